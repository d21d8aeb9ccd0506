//! The time-series store: series with their labels and float samples.
//!
//! Writers open an [`Appender`], one transaction each; readers take a
//! [`Selection`], a snapshot that sees whole transactions only. Nothing here knows
//! text or wire formats, and no clock is read: times come with the samples.
//!
//! A transaction is checked against the shards as it is filled, written to the logs of
//! its shards, then applied to them; only then does it return. See `store` for locks
//! and visibility, `shard` for the samples in memory, `log` and `recovery` for what
//! survives the process. Beside the samples a transaction carries exemplars and the
//! metadata of metrics; `limits` refuses series that would be too many.

mod store;

mod appender;
mod selection;

mod alias;
mod buffers;
mod limits;
mod sealed;
mod shard;

mod exemplars;
mod metadata;
mod ring;
mod side;

mod figures;
mod log;
mod lookup;
mod recovery;
mod retention;
mod stats;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod ring_tests;
#[cfg(test)]
mod side_tests;
#[cfg(test)]
mod tests;

pub use appender::{Appender, Committed, RawKey, RawSample, SeriesRef};
pub use exemplars::SeriesExemplars;
pub use selection::Selection;
pub use stats::{
    Cardinality, Damage, ExemplarStats, MemoryStats, MetadataStats, Recovery, StoreStats, WalStats,
};
pub use store::MetricStore;
