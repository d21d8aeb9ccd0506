//! The time-series store: series with their labels, and their samples, floats and native
//! histograms.
//!
//! Writers open an [`Appender`], one transaction each; readers take a
//! [`Selection`], a snapshot that sees whole transactions only. Nothing here knows
//! text or wire formats, and no clock is read: times come with the samples.
//!
//! The newest hours are in memory (the *head*), everything older is in immutable blocks
//! on disk. [`MetricStore::compact`] moves the oldest range of the head into a block and
//! keeps the blocks few; a selection reads both.
//!
//! A transaction is checked against the shards as it is filled, written to the logs of
//! its shards, then applied to them; only then does it return. See `store` for locks
//! and visibility, `shard` for the samples in memory, `log`, `snapshot`, `head_files`
//! and `recovery` for what survives the process, `flush` and `compaction` for blocks.
//! Beside the samples a transaction carries exemplars and the metadata of metrics;
//! `limits` refuses series that would be too many.

mod store;

mod appender;
mod columns;
mod head_selection;
mod label_order;
mod scratch;
mod selection;

mod alias;
mod buffers;
mod deletion;
mod drain;
mod extras;
mod histograms;
mod late;
mod limits;
mod page;
mod samples;
mod sealed;
mod shard;
mod tombstones;

mod blocks;
mod compaction;
mod flush;

mod exemplars;
mod metadata;
mod ring;
mod side;

mod figures;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod fuzz;
mod head_files;
mod import;
mod log;
mod lookup;
mod maintenance;
mod opening;
mod recovery;
mod retention;
mod snapshot;
mod snapshot_format;
mod snapshot_load;
mod stats;
mod tail;
mod versions;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod ring_tests;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
#[cfg(test)]
mod side_tests;
#[cfg(test)]
mod tests;

pub use appender::{Appender, Committed, RawKey, RawSample, SeriesRef};
pub use compaction::{Compacted, Retention};
pub use exemplars::SeriesExemplars;
pub use flush::Pace;
pub use import::Import;
pub use opening::OpenProgress;
pub use selection::{Selection, Times};
pub use snapshot::Snapshotted;
pub use stats::{
    BlockInfo, BlockStats, Cardinality, Damage, Delays, ExemplarStats, HeadStats, HistogramStats,
    MemoryStats, MetadataStats, Recovery, StoreStats, WalStats,
};
pub use store::MetricStore;
pub use tail::{LogTail, TailMark, TailSink, TailStop};
pub use versions::{Version, Versions};
