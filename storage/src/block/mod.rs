//! The immutable block: the series and samples of one range of time, with their index.
//!
//! ```text
//! <ulid>/
//!   meta.json    what it is; written last
//!   index        labels, where the chunks are, shared timestamps
//!   data         encoded values, and the timestamps that series do not share
//!   tombstones   what was deleted since; absent where nothing was
//! ```
//!
//! Series are numbered in label order, from 0. A block is written by a [`BlockWriter`]
//! into a directory `<ulid>.tmp`, which gets its name when everything in it is durable: a
//! crash leaves a whole block or none. It is read through maps by a [`Block`], which takes
//! little memory and checks every group of bytes when it is touched for the first time.
//!
//! Readers of bytes of a block trust the checksums for nothing but that damage is rare:
//! every offset is looked at, and no bytes make them panic or allocate without bound.

#![allow(unreachable_pub, reason = "public behind the feature `internals`")]
#![cfg_attr(
    not(any(test, feature = "internals")),
    allow(
        dead_code,
        unused_imports,
        reason = "the format is whole and tested; the store uses a part of it"
    )
)]

mod entry;
mod error;
mod fixed;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod fuzz;
mod grouped;
mod histograms;
mod index;
mod index_writer;
mod layout;
mod lists;
mod meta;
mod place;
mod reader;
mod resolve;
mod samples;
mod tombstones;
mod ulid;
mod vectors;
mod writer;

pub use error::BlockError;
#[cfg(feature = "internals")]
pub use index::NameStats;
pub use meta::{BlockMeta, BlockOptions, BlockParent, META_FILE};
pub use place::{list_blocks, remove_block};
pub use reader::{Block, BlockTexts, Names};
pub use samples::ReadScratch;
pub use ulid::Ulid;
pub use writer::BlockWriter;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod histogram_tests;
#[cfg(test)]
mod tests;
