//! The times that a query looks at.
//!
//! Prometheus opens its storage for them once per query, and the order in which series
//! come depends on them: that of creation where the head has all, else that of labels.
//! So every selector of a query, and every part of one that is evaluated for itself, is
//! handed the times of the whole.

use kymo_storage::model::{Matcher, TimeRange};

use crate::promql::deep::grow;
use crate::promql::eval::Grid;
use crate::promql::plan::{Edges, Node, NodeKind, Selector};
use crate::source::{SelectHints, SeriesSet, Source, SourceError};

/// Returns the times that a plan looks at over a grid; `None` where it selects nothing,
/// or looks beyond the first or last millisecond.
pub(crate) fn whole(root: &Node, grid: &Grid, lookback_ms: i64) -> Option<TimeRange> {
    let mut reach = Reach {
        lookback_ms,
        whole: None,
    };
    reach.node(root, TimeRange::new(grid.start_ms, grid.last()))?;
    reach.whole
}

struct Reach {
    lookback_ms: i64,
    whole: Option<TimeRange>,
}

impl Reach {
    /// Adds what a node looks at when it is evaluated at `times`.
    fn node(&mut self, node: &Node, times: TimeRange) -> Option<()> {
        grow(|| self.level(node, times))
    }

    fn level(&mut self, node: &Node, times: TimeRange) -> Option<()> {
        match &node.kind {
            NodeKind::Number(_) | NodeKind::String(_) => {}
            NodeKind::Plus(inner) | NodeKind::Minus(inner) | NodeKind::Invariant(inner) => {
                self.node(inner, times)?;
            }
            NodeKind::Binary(binary) => {
                self.node(&binary.lhs, times)?;
                self.node(&binary.rhs, times)?;
            }
            NodeKind::Aggregate(aggregate) => {
                self.node(&aggregate.expr, times)?;
                if let Some(param) = &aggregate.param {
                    self.node(param, times)?;
                }
            }
            NodeKind::Call(call) => {
                for arg in &call.args {
                    self.node(arg, times)?;
                }
            }
            NodeKind::Vector(selector) => self.selector(selector, 0, times)?,
            NodeKind::Matrix(matrix) => {
                self.selector(&matrix.selector, matrix.range_ms, times)?;
            }
            NodeKind::Subquery(subquery) => {
                let at_ms = subquery.shift.at_ms;
                let offset_ms = subquery.shift.offset_ms;
                let first_ms = at_ms.unwrap_or(times.start_ms).checked_sub(offset_ms)?;
                let last_ms = at_ms.unwrap_or(times.end_ms).checked_sub(offset_ms)?;
                let first_ms = first_ms.checked_sub(subquery.range_ms)?;
                self.node(&subquery.expr, TimeRange::new(first_ms, last_ms))?;
            }
        }
        Some(())
    }

    fn selector(&mut self, selector: &Selector, range_ms: i64, times: TimeRange) -> Option<()> {
        let shift = selector.shift;
        let first_ms = shift.at_ms.unwrap_or(times.start_ms);
        let last_ms = shift.at_ms.unwrap_or(times.end_ms);
        let before_ms = match (range_ms, selector.edges) {
            (0, _) => self.lookback_ms,
            (range_ms, Edges::Plain) => range_ms,
            (range_ms, _) => range_ms.checked_add(self.lookback_ms)?,
        };
        let after_ms = match selector.edges {
            Edges::Smoothed => self.lookback_ms,
            _ => 0,
        };
        let start_ms = first_ms.checked_sub(shift.offset_ms)?;
        let start_ms = start_ms.checked_sub(before_ms)?.checked_add(1)?;
        let end_ms = last_ms
            .checked_sub(shift.offset_ms)?
            .checked_add(after_ms)?;
        let whole = self.whole.get_or_insert(TimeRange { start_ms, end_ms });
        whole.start_ms = whole.start_ms.min(start_ms);
        whole.end_ms = whole.end_ms.max(end_ms);
        Some(())
    }
}

/// A source whose selections all come in the order of one range.
pub(crate) struct Ordered<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) whole: Option<TimeRange>,
}

impl Source for Ordered<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        let hints = SelectHints {
            whole: self.whole,
            ..*hints
        };
        self.source.select(matchers, range, &hints)
    }
}
