//! The time-series store: series with their labels and float samples.
//!
//! Writers open an [`Appender`], one transaction each; readers take a
//! [`Selection`], a snapshot that sees whole transactions only. Nothing here knows
//! text or wire formats, and no clock is read: times come with the samples.
//!
//! A transaction is checked against the shards as it is filled, written to the logs of
//! its shards, then applied to them; only then does it return. See `store` for locks
//! and visibility, `shard` for the samples in memory, `log`, `snapshot`, `head_files`
//! and `recovery` for what survives the process.

mod store;

mod appender;
mod selection;

mod alias;
mod buffers;
mod page;
mod sealed;
mod shard;

mod figures;
mod head_files;
mod log;
mod lookup;
mod recovery;
mod retention;
mod snapshot;
mod snapshot_format;
mod snapshot_load;
mod stats;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

pub use appender::{Appender, Committed, RawKey, RawSample, SeriesRef};
pub use selection::Selection;
pub use snapshot::Snapshotted;
pub use stats::{Cardinality, Damage, HeadStats, MemoryStats, Recovery, StoreStats, WalStats};
pub use store::MetricStore;
