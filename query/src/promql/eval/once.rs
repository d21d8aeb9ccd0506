//! Parts of a plan that come again: the first evaluation keeps its rows for the others.
//!
//! The counts of samples are those of evaluating again. A part about which something
//! is to be said is evaluated again, since what is said names places in the text.

use super::row::{Grid, Row};
use super::{Evaluator, Outcome, total_bytes, total_count};
use crate::error::QueryError;
use crate::promql::annotations::Annotations;
use crate::promql::common::Part;
use crate::promql::plan::Node;

/// The rows of a part for the uses to come.
#[derive(Debug)]
pub(super) struct Kept {
    grid: Grid,
    rows: Vec<Row>,
    bytes: usize,
    /// Uses to come.
    left: usize,
    /// Samples that the evaluation looked at, read, and held at most.
    looked: u64,
    read: u64,
    peak: usize,
}

impl Evaluator<'_> {
    /// Evaluates a part that comes again.
    pub(super) fn once(&mut self, part: Part, node: &Node, grid: &Grid) -> Outcome {
        if let Some(rows) = self.reuse(part, grid) {
            let rows = rows?;
            return Ok((rows, Annotations::default()));
        }
        let (looked, read, held) = (self.looked, self.read, self.budget.held().samples);
        let outer = self.budget.begin_peak();
        let outcome = self.eval_node(node, grid);
        let peak = self.budget.end_peak(outer);
        let (rows, annotations) = outcome?;
        let bytes = total_bytes(&rows);
        if annotations.is_empty() && self.budget.keep_bytes(bytes) {
            let kept = Kept {
                grid: *grid,
                rows: rows.clone(),
                bytes,
                left: part.uses - 1,
                looked: self.looked - looked,
                read: self.read - read,
                peak: peak.saturating_sub(held),
            };
            self.kept.insert(part.number, kept);
        }
        Ok((rows, annotations))
    }

    fn reuse(&mut self, part: Part, grid: &Grid) -> Option<Result<Vec<Row>, QueryError>> {
        let kept = self.kept.get_mut(&part.number)?;
        if kept.grid != *grid {
            return None;
        }
        kept.left = kept.left.saturating_sub(1);
        self.looked += kept.looked;
        self.read += kept.read;
        let (peak, bytes) = (kept.peak, kept.bytes);
        let rows = match kept.left {
            0 => {
                self.budget.drop_bytes(bytes);
                self.kept.remove(&part.number)?.rows
            }
            _ => kept.rows.clone(),
        };
        let counted = self
            .budget
            .touch(peak)
            .and_then(|()| self.budget.hold(total_count(&rows)))
            .and_then(|()| self.budget.hold_bytes(bytes));
        Some(counted.map(|()| rows))
    }
}
