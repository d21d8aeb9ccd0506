//! Kymo's storage engine: series with their labels and samples, the newest hours in a
//! sharded head backed by a write-ahead log, the rest in immutable blocks, selected by
//! label matchers and time.
//!
//! It is a library without async, sockets, clocks or globals: callers pass the
//! time, the directory and the limits. Nothing here parses a text or wire format.
//!
//! # Append and select
//!
//! ```
//! use kymo_storage::metrics::MetricStore;
//! use kymo_storage::model::{Labels, MatchOp, Matcher, TimeRange};
//! use kymo_storage::StoreOptions;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let options = StoreOptions::new(dir.path());
//! let (store, recovery) = MetricStore::open(&options)?;
//! assert!(recovery.damages.is_empty());
//!
//! // A transaction is in the log, and visible, as a whole or not at all.
//! let mut appender = store.appender();
//! for (room, degrees) in [("kitchen", 21.5), ("hall", 18.0)] {
//!     let labels = Labels::from_pairs([("__name__", "temperature"), ("room", room)]);
//!     let series = appender.series(&labels)?;
//!     appender.append(series, 1_000, degrees)?;
//! }
//! appender.commit()?;
//!
//! let matchers = [
//!     Matcher::new(MatchOp::Equal, "__name__", "temperature")?,
//!     Matcher::new(MatchOp::Regex, "room", "kit.*")?,
//! ];
//! let range = TimeRange { start_ms: 0, end_ms: 60_000 };
//! let selection = store.select(&matchers, range)?;
//! assert_eq!(selection.len(), 1);
//! assert_eq!(selection.labels(0).get("room"), Some("kitchen"));
//! let (mut timestamps, mut values) = (Vec::new(), Vec::new());
//! selection.read(0, &mut timestamps, &mut values)?;
//! assert_eq!((timestamps, values), (vec![1_000], vec![21.5]));
//! store.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Keep it going
//!
//! A store starts no threads. Whoever opens it calls [`sync`] about once a second,
//! [`flush_pages`] as often, [`snapshot_head`] when [`snapshot_is_due`], and [`compact`]
//! every minute or so: the last one moves the oldest hours of the head into a block,
//! merges blocks and drops what is out of retention. All may run beside writers and
//! readers; [`compact`] asks a function of yours every few milliseconds of work, which may
//! wait, or break off.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use kymo_storage::StoreOptions;
//! use kymo_storage::metrics::{MetricStore, Retention};
//! use kymo_storage::model::{Labels, TimeRange};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let copies = tempfile::tempdir()?;
//! let (store, _) = MetricStore::open(&StoreOptions::new(dir.path()))?;
//! let labels = Labels::from_pairs([("__name__", "power_watts"), ("site", "roof")]);
//! for minute in 0..10 * 60 {
//!     let mut appender = store.appender();
//!     let series = appender.series(&labels)?;
//!     appender.append(series, minute * 60_000, (minute % 97) as f64)?;
//!     appender.commit()?;
//! }
//! store.sync()?;
//! store.flush_pages()?;
//! if store.snapshot_is_due() {
//!     store.snapshot_head()?;
//! }
//!
//! let retention = Retention {
//!     time_ms: Some(15 * 24 * 3_600_000),
//!     size_bytes: Some(10 << 30),
//! };
//! let mut pace = || ControlFlow::Continue(());
//! let done = store.compact(&retention, &mut pace)?;
//! assert_eq!(done.flushed, 4, "ten hours, of which the head keeps the last two or three");
//! let blocks = store.blocks();
//! assert_eq!(blocks.iter().map(|block| block.samples).sum::<u64>(), 8 * 60);
//! let stats = store.stats();
//! assert_eq!((stats.series, stats.samples_appended_total), (1, 600));
//!
//! // A copy that shares the files of the blocks, and is a store itself.
//! let to = copies.path().join("copy");
//! store.backup(&to, true, &mut pace)?;
//! let (copy, _) = MetricStore::open(&StoreOptions::new(&to))?;
//! let (mut timestamps, mut values) = (Vec::new(), Vec::new());
//! copy.select(&[], TimeRange::ALL)?.read(0, &mut timestamps, &mut values)?;
//! assert_eq!(timestamps.len(), 600);
//! copy.close()?;
//! store.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! [`sync`]: metrics::MetricStore::sync
//! [`flush_pages`]: metrics::MetricStore::flush_pages
//! [`snapshot_head`]: metrics::MetricStore::snapshot_head
//! [`snapshot_is_due`]: metrics::MetricStore::snapshot_is_due
//! [`compact`]: metrics::MetricStore::compact
//!
//! Reading order: [`model`] (the vocabulary of all crates), [`metrics`] (the store),
//! then `block`, `index`, `wal`, `codec` and `fs` below it; [`prometheus_block`] stands beside
//! the store: it reads and writes blocks of Prometheus.

pub mod compat;
pub mod model;

#[cfg(not(feature = "internals"))]
mod block;
#[cfg(not(feature = "internals"))]
mod codec;
#[cfg(not(feature = "internals"))]
mod fs;
mod index;
#[cfg(not(feature = "internals"))]
mod wal;

// Open to benches and fuzz targets, and promised to nobody.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod block;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod codec;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod fs;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod wal;

mod error;
mod options;
mod sync;

pub mod logs;
pub mod metrics;
pub mod prometheus_block;

pub use error::{AppendError, StorageError};
pub use options::{StoreOptions, SyncPolicy};
