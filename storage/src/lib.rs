//! Kymo's storage engine: series with their labels and samples, kept in a
//! sharded head backed by a write-ahead log, selected by label matchers and time.
//!
//! It is a library without async, sockets, clocks or globals: callers pass the
//! time, the directory and the limits. Nothing here parses a text or wire format.
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
//! Reading order: [`model`] (the vocabulary of all crates), [`metrics`] (the store),
//! then `index`, `wal`, `codec` and `fs` below it. [`prometheus_block`] stands beside
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

pub mod metrics;
pub mod prometheus_block;

pub use error::{AppendError, StorageError};
pub use options::{StoreOptions, SyncPolicy};
