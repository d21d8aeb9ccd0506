//! One log design for all stores: what is acknowledged is in here first.
//!
//! A log is a directory of numbered segments, one log per shard, one writer. A commit
//! is one `write(2)`; it is durable against the death of the process when it returns
//! and against power loss after the next sync. Replay hands the records back in the
//! order of the commits, tells what it could not read and where, and never loses what
//! follows in the next segment. The bytes are drawn in [`format`](mod@format) and in
//! `docs/formats/wal.md`.
//!
//! Invariants:
//! - Behind a frame that cannot be read no good frame is ever written: a failed write
//!   is cut back, and when it cannot be, the log is poisoned and refuses all more.
//! - A segment is decoded from its own bytes: value deltas never reach into another.
//!   Series are the exception: samples may name series that an earlier segment
//!   defines. Whoever removes segments keeps those series elsewhere.
//! - A commit is replayed whole or not at all.
//!
//! It is not a store: it knows neither which samples are accepted nor what a series
//! is beyond its number and labels.

#![allow(unreachable_pub, reason = "public behind the feature `internals`")]

mod entries;
mod exemplars;
mod floats;
pub mod format;
#[cfg(any(test, feature = "internals"))]
pub mod fuzz;
mod histograms;
mod lanes;
mod metadata;
mod reader;
mod repair;
mod series;
mod tail;
mod tombstones;
mod writer;

#[cfg(test)]
mod tests;

pub use entries::{EntriesFrame, EntryRow, LoggedEntries, metadata_pairs};
pub use exemplars::{LoggedExemplar, decode_exemplar, encode_exemplar};
pub use histograms::LoggedHistogram;
pub use metadata::{LoggedMetadata, decode_metadata, encode_metadata};
pub use reader::{Entry, Replayed};
pub use series::Definitions;
pub use tail::{Position, Tail, TailDamage};
pub use writer::{PendingSync, Start, Wal, WalOptions, WalStats};

use std::path::PathBuf;

use crate::fs::FsError;

/// Why the log refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The disk failed; the log is poisoned unless it happened at opening.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The disk is full. Nothing of the commit is stored and the log is sound: the
    /// caller may try again once there is space.
    #[error("the disk is full; free space below {}, nothing stored so far is lost", dir.display())]
    DiskFull {
        /// The directory of the log.
        dir: PathBuf,
        /// The operation that found it out.
        #[source]
        source: FsError,
    },
    /// An earlier failure left the end of the log unknown.
    #[error("the log {} stopped after an earlier disk error; restart to recover", dir.display())]
    Poisoned {
        /// The directory of the log.
        dir: PathBuf,
    },
    /// A segment was written by a newer version.
    #[error(
        "{} has format version {found}, this version reads up to {supported}; start the newer version, or move the file away",
        path.display()
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest version that can be read.
        supported: u16,
    },
    /// The segments and this log belong to different shards.
    #[error("{} belongs to shard {found}, not to shard {expected}", path.display())]
    Shard {
        /// The segment.
        path: PathBuf,
        /// The shard in its header.
        found: u32,
        /// The shard of the log.
        expected: u32,
    },
    /// A record is larger than a frame may be, or a series number is past the limit.
    #[error("{what} is too large for the log: {found}, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
}
