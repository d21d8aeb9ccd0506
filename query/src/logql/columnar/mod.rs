//! Queries over the columns of parts, in place of whole entries.
//!
//! A row group of a part knows more than its lines: which rows have a field with some value,
//! what a line has beside the fields that a query looks at, how many entries there are in a
//! minute. This module gives the stages of a query less to do, never another answer:
//!
//! - rows that a condition on labels certainly removes are not read (`condition`);
//! - of a line whose parser is known to succeed, only the fields that are wanted are built,
//!   as a shorter line of the same kind; of one that nobody reads, nothing (`read`);
//! - of rows that are alike in all that the query looks at, one runs through the stages
//!   (`alike`);
//! - entries that are only counted are counted by the minute, or by their times (`counts`).
//!
//! What is left runs through the same stages as everything else. So clashes of names,
//! errors and conversions need no second implementation, and a row of which anything is in
//! doubt is simply read as it is. A test compares the answers to random queries with and
//! without columns.

mod alike;
mod condition;
mod counts;
mod plan;
mod read;
#[cfg(test)]
mod tests;

pub(super) use alike::{HasError, Sampler, Stop};
pub(super) use counts::Pieces;
pub(super) use plan::{Counted, Plan};
pub(super) use read::Rows;

use kymo_storage::logs::part::PartReader;
use kymo_storage::model::NanoRange;

/// A row group of a part in a selection.
#[derive(Debug, Clone, Copy)]
pub struct ColumnGroup<'s> {
    /// The part.
    pub part: &'s PartReader,
    /// Number of the group in it.
    pub group: usize,
    /// Numbers of the selected streams in the part, in order, each with its index among
    /// those of the selection.
    pub streams: &'s [(u32, u32)],
    /// Times of the selected entries.
    pub range: NanoRange,
}
