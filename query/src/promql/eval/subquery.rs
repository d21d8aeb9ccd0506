//! Subqueries: a vector evaluated at steps of its own, as samples.

use super::row::{Grid, Row};
use super::{Evaluator, out_of_time};
use crate::error::QueryError;
use crate::promql::annotations::Annotations;
use crate::promql::plan::{NodeKind, Subquery};

impl Evaluator<'_> {
    /// Evaluates a subquery over all steps of `grid`. Its steps are multiples of its
    /// own step. Returns the rows and the grid that they are on.
    pub(super) fn subquery(
        &mut self,
        subquery: &Subquery,
        grid: &Grid,
    ) -> Result<(Vec<Row>, Annotations, Grid), QueryError> {
        let step_ms = match subquery.step_ms {
            0 => self.options.default_step_ms.max(1),
            step_ms => step_ms,
        };
        let offset_ms = subquery.shift.offset_ms;
        let (first_ms, last_ms) = match subquery.shift.at_ms {
            Some(at_ms) => (at_ms, at_ms),
            None => (grid.start_ms, grid.last()),
        };
        let bounds = || {
            let open_ms = first_ms
                .checked_sub(offset_ms)?
                .checked_sub(subquery.range_ms)?;
            let mut start_ms = step_ms * (open_ms / step_ms);
            if start_ms <= open_ms {
                start_ms = start_ms.checked_add(step_ms)?;
            }
            Some((start_ms, last_ms.checked_sub(offset_ms)?))
        };
        let (start_ms, end_ms) = bounds().ok_or_else(out_of_time)?;
        let mut inner = Grid::new(start_ms, end_ms, step_ms);
        // What is the same at all steps has a value, as in Prometheus, also where there is
        // no step. It lies behind the window of any function, but is seen as a matrix.
        if inner.steps == 0 && matches!(subquery.expr.kind, NodeKind::Invariant(_)) {
            inner.steps = 1;
        }
        let (rows, annotations) = self.eval(&subquery.expr, &inner)?;
        Ok((rows, annotations, inner))
    }
}
