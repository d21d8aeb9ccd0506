//! Logs that others push, in Loki's protobuf and JSON, in OpenTelemetry's or as JSON lines.
//!
//! A body goes through four hands. It is unpacked (`encoding`), walked in its own bytes by
//! the decoder of its format (`protobuf`, `json`, `lines`, `otlp::logs`), its streams and entries are
//! checked, completed and counted (`admission`, `limits`, `labels`, `metadata`, `level`),
//! and what is accepted comes out as batches that borrow from the body. Storing them is the
//! caller's; [`Admitted::outcome`] then says what the sender is told.
//!
//! Rules, statuses and texts are those of Loki's distributor. A push may be stored in part:
//! what is refused is told, and a retry could not help it.
//!
//! **Invariant:** no entry costs a heap object of its own unless its metadata has more than
//! two names.

mod admission;
mod backfill;
mod encoding;
mod error;
mod json;
mod json_error;
mod label_text;
mod labels;
mod level;
mod limits;
mod lines;
mod logfmt;
mod media_type;
mod metadata;
mod own;
mod protobuf;
mod receiver;
mod scan;
mod stored;
mod tally;
mod time;

pub(crate) use admission::{Admission, StreamId};
pub use admission::{Admitted, Rules};
pub use backfill::backfill_shard;
pub use encoding::Encoding;
pub use error::PushError;
pub(crate) use labels::Pairs;
pub use level::{DEFAULT_LEVEL_FIELDS, DETECTED_LEVEL, LevelFields};
pub use limits::{DEFAULT_SERVICE_LABELS, Limits, Reason, Refusal, TENANT};
pub use lines::LineFields;
pub use receiver::{BodyLimits, Buffers, Format, Receiver, ReceiverStats, admit_json};
pub use scan::JsonError;
pub use tally::{Discarded, Tally};

#[cfg(test)]
mod tests;
