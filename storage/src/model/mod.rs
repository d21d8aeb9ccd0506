//! The vocabulary of all four crates: labels, matchers, samples, times.

mod labels;
mod labels_text;
mod matcher;
mod pattern;
mod sample;
mod time;

pub use labels::{Labels, LabelsBuilder, METRIC_NAME};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use sample::{STALE_NAN_BITS, is_stale_marker, stale_marker};
pub use time::TimeRange;
