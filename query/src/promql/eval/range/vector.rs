//! A range vector that is the whole query.

use crate::error::QueryError;
use crate::promql::eval::row::Grid;
use crate::promql::eval::window::drop_stale_markers;
use crate::promql::eval::{Evaluator, rate};
use crate::promql::plan::{Edges, RangeSelector};
use crate::promql::value::Series;
use crate::source::SampleBuf;

impl Evaluator<'_> {
    /// Evaluates a range vector that is the whole query.
    pub(in crate::promql::eval) fn range_vector(
        &mut self,
        selector: &RangeSelector,
        grid: &Grid,
    ) -> Result<Vec<Series>, QueryError> {
        let (set, spec) = self.select_range("", selector, grid)?;
        let mut series = Vec::new();
        let mut samples = SampleBuf::default();
        for index in 0..set.len() {
            self.check()?;
            set.read(index, &mut samples)?;
            drop_stale_markers(&mut samples);
            if selector.range_ms == 0 || samples.timestamps.is_empty() {
                continue;
            }
            let end_ms = spec.end(grid, 0);
            let start_ms = end_ms - spec.range_ms;
            match selector.selector.edges {
                Edges::Plain => {}
                edges => rate::extend(&mut samples, start_ms, end_ms, edges == Edges::Smoothed),
            }
            let count = samples.timestamps.len();
            self.looked += count as u64;
            self.read += count as u64;
            self.budget.hold(count)?;
            if count > 0 {
                let labels = set.labels(index);
                let samples_bytes = samples.timestamps.capacity() + samples.values.capacity();
                self.budget
                    .hold_bytes(size_of::<Series>() + labels.memory_bytes() + samples_bytes * 8)?;
                series.push(Series {
                    labels,
                    floats: std::mem::take(&mut samples),
                });
            }
        }
        self.budget.release_bytes(set.memory_bytes());
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }
}
