//! Kymo's storage engine: series with their labels and samples, kept in a
//! sharded head backed by a write-ahead log, selected by label matchers and time.
//!
//! It is a library without async, sockets, clocks or globals: callers pass the
//! time, the directory and the limits. Nothing here parses a text or wire format.
//!
//! Reading order: [`model`] (the vocabulary of all crates), [`metrics`] (the store),
//! then `index`, `wal`, `codec` and `fs` below it.

pub mod compat;
pub mod model;

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
pub mod codec;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod fs;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod wal;

mod error;
mod options;

pub mod metrics;

pub use error::{AppendError, StorageError};
pub use options::{StoreOptions, SyncPolicy};
