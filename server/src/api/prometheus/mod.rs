//! Prometheus' `/api/v1`.

pub(super) mod admin;
pub(super) mod alertmanagers;
pub(super) mod config;
pub(super) mod exemplars;
pub(super) mod explain;
pub(super) mod features;
pub(super) mod flags;
pub(super) mod labels;
pub(super) mod log_targets;
pub(super) mod notices;
pub(super) mod otlp;
pub(super) mod parse;
pub(super) mod query;
pub(super) mod read;
pub(super) mod relabel_steps;
pub(super) mod rules;
pub(super) mod search;
pub(super) mod self_metrics;
pub(super) mod status;
pub(super) mod targets;
pub(super) mod write;

mod bounds;
mod histogram;
mod result;
