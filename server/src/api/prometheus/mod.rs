//! Prometheus' `/api/v1`.

pub(super) mod labels;
pub(super) mod status;

mod bounds;
