//! The vocabulary of all four crates: labels, matchers, samples, native histograms,
//! exemplars, metadata, times, relabelling.

mod builder;
mod entry;
mod exemplar;
pub mod histogram;
mod labels;
mod labels_text;
mod matcher;
mod metadata;
mod pattern;
mod relabel;
mod sample;
mod time;

pub use builder::LabelsBuilder;
pub use entry::{LogEntry, Metadata, NanoRange, StreamBatch};
pub use exemplar::Exemplar;
pub use labels::{Labels, METRIC_NAME};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use metadata::{MetricMetadata, MetricType};
pub use relabel::{RelabelAction, RelabelConfig, RelabelError, RelabelRule, Verdict, relabel};
pub use sample::{STALE_NAN_BITS, is_stale_marker, stale_marker};
pub use time::TimeRange;
