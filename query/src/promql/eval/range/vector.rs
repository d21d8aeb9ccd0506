//! A range vector that is the whole query.

use crate::error::QueryError;
use crate::histogram::sample_size;
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
            if selector.range_ms == 0 || samples.is_empty() {
                continue;
            }
            if selector.selector.edges != Edges::Plain && !samples.histograms.is_empty() {
                return Err(no_histograms(selector.selector.edges));
            }
            let end_ms = spec.end(grid, 0);
            let start_ms = end_ms - spec.range_ms;
            match selector.selector.edges {
                Edges::Plain => {}
                edges => rate::extend(&mut samples, start_ms, end_ms, edges == Edges::Smoothed),
            }
            let histograms = samples.histograms.iter();
            let of_histograms: usize = histograms.map(|s| sample_size(&s.histogram)).sum();
            let count = samples.timestamps.len() + of_histograms;
            self.looked += count as u64;
            self.read += count as u64;
            self.budget.hold(count)?;
            if count > 0 {
                let labels = set.labels(index);
                self.budget.hold_bytes(
                    size_of::<Series>() + labels.memory_bytes() + samples.memory_bytes(),
                )?;
                let mut floats = std::mem::take(&mut samples);
                series.push(Series {
                    labels,
                    histograms: std::mem::take(&mut floats.histograms),
                    floats,
                });
            }
        }
        self.budget.release_bytes(set.memory_bytes());
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }
}

fn no_histograms(edges: Edges) -> QueryError {
    let word = match edges {
        Edges::Smoothed => "smoothed",
        _ => "anchored",
    };
    QueryError::Execution(format!("{word} modifier is not supported with histograms"))
}
