//! The log part: an immutable file with the entries of many streams, in columns.
//!
//! ```text
//! part  = groups of rows, then a footer with the streams and where the groups are
//! group = columns, how many entries each stream has in each minute, filters, a head
//! ```
//!
//! A row group holds some ten thousand entries of a short time, by stream, then time, cut
//! into pages of a few thousand rows. A line is split into what many lines share, a
//! skeleton, and its values, which go to columns: one for each field of JSON and logfmt,
//! for each place of a text that varies, and for each name of structured metadata. Lines
//! come back byte for byte, because a skeleton with values put in is the line whatever the
//! splitter made of it.
//!
//! A part is written by a [`PartWriter`] beside its place and gets its name when it is
//! durable: a crash leaves a whole part or none. It is read through a map by a
//! [`PartReader`], group by group, page by page, column by column; a search for a text looks
//! at skeletons, filters and dictionaries before it decodes anything. Whoever reads trusts
//! the checksums for nothing but that damage is rare: no bytes make it panic or allocate
//! without bound.
//!
//! The idea of columns and filters is that of VictoriaLogs; unlike there, lines are kept
//! exactly, a group has many streams, and a text is found inside a word, too.

mod codes;
mod column;
mod counts;
mod digits;
mod error;
mod filter;
mod form;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod fuzz;
mod grams;
mod group;
mod head;
mod layout;
mod merge;
mod moment;
mod needle;
mod number;
mod page;
mod pattern;
mod read;
mod reader;
mod rows;
mod scan;
mod seal;
mod search;
mod skeleton;
mod split;
mod stretch;
mod texts;
mod values;
mod wire;
mod writer;
mod zstd;

pub use column::{Column, PageHead};
pub use counts::{Count, Counts, LEVEL_NAME, MINUTE_NS};
pub use error::PartError;
pub use group::Group;
pub use head::Run;
pub use layout::GroupInfo;
pub use merge::merge;
pub use moment::Layout;
pub use needle::Needle;
pub use number::Spelling;
pub use page::{Page, PageColumn};
pub use pattern::Pattern;
pub use read::{RowFilter, RowRef, SelectedRows};
pub use reader::PartReader;
pub use search::Search;
pub use skeleton::{ColumnKey, Origin, Skeleton};
pub use split::{Form, Kind};
pub use stretch::Stretch;
pub use texts::Texts;
pub use values::{Encoding, Values};
pub(super) use writer::GROUP_BYTES;
pub use writer::{Effort, PartMeta, PartWriter, WRITING, WriterMemory};

#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod tests;
