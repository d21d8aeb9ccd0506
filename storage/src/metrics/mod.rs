//! The time-series store: series with their labels and float samples.
//!
//! Writers open an [`Appender`], one transaction each; readers take a
//! [`Selection`], a snapshot that sees whole transactions only. Nothing here knows
//! text or wire formats, and no clock is read: times come with the samples.

mod appender;
mod selection;
mod simple;
mod stats;
mod store;

pub use appender::{Appender, Committed, RawKey, RawSample, SeriesRef};
pub use selection::Selection;
pub use stats::{Cardinality, Damage, MemoryStats, Recovery, StoreStats, WalStats};
pub use store::MetricStore;
