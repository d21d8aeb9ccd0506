//! OTLP: metrics that OpenTelemetry pushes, and its logs (`logs`), which go the way of those
//! that are pushed otherwise.
//!
//! A request is one transaction and stored whole or not at all. It comes as protobuf or as
//! JSON, which is turned into protobuf first ([`Receiver`]); a translation walks its bytes
//! in place and hands samples to a [`Sink`], the store as a rule ([`translate`]). Names,
//! labels, statuses and texts are those of Prometheus' own translation
//! (`storage/remote/otlptranslator` and the library of that name).
//!
//! Reading order: `schema` (the messages as tables), `view` (what is read of them),
//! `names`, `labels`, `buckets` (what they become), `translate` (the walk), `store` and
//! `receiver`.

mod attributes;
mod buckets;
mod error;
mod json;
mod labels;
pub(crate) mod logs;
mod names;
mod receiver;
mod schema;
mod settings;
mod sink;
mod store;
mod translate;
mod unpack;
mod view;
mod warnings;

pub use crate::unpack::Reserve;
pub use error::{DecodeError, PointError, PushError};
pub use logs::settings::{AttributeAction, AttributeRule, DEFAULT_INDEX_ATTRIBUTES, LogAttributes};
pub(crate) use names::sanitized_label_name;
pub use receiver::{Encoding, Format, Limits, Receipt, Receiver, ReceiverStats};
pub use schema::check_request;
pub use settings::{Promotion, Settings, Strategy};
pub use sink::{Family, Sample, SampleValue, Sink};
pub use translate::{Translated, translate};
pub(crate) use unpack::logs_from_json;
pub use unpack::{from_json, gunzip};
pub use warnings::{WarningCategory, Warnings};

#[cfg(test)]
mod tests;
