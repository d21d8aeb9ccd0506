//! Writes sorted samples as blocks, one a window, without those that the store has.

use anyhow::bail;
use kymo_storage::metrics::{BlockInfo, Import, MetricStore, Selection};
use kymo_storage::model::{Labels, TimeRange};

use super::run::{Piece, Point};

/// Takes pieces in order.
pub(super) struct Loader<'a> {
    store: &'a MetricStore,
    /// What the samples span; no block is said to reach beyond it.
    extent: TimeRange,
    open: Option<Window<'a>>,
    times: Vec<i64>,
    values: Vec<f64>,
    /// What was stored.
    pub(super) loaded: Loaded,
}

/// What was stored.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) stored: u64,
    /// Samples at times at which the store had one of the series.
    pub(super) repeated: u64,
    pub(super) blocks: Vec<BlockInfo>,
}

/// A window that is being filled.
struct Window<'a> {
    number: i64,
    range: TimeRange,
    known: Known,
    /// `None` as long as the store has everything.
    import: Option<Import<'a>>,
    samples: u64,
}

impl<'a> Loader<'a> {
    pub(super) fn new(store: &'a MetricStore, extent: TimeRange) -> Loader<'a> {
        Loader {
            store,
            extent,
            open: None,
            times: Vec::new(),
            values: Vec::new(),
            loaded: Loaded::default(),
        }
    }

    /// Stores a piece.
    pub(super) fn piece(&mut self, piece: &Piece) -> anyhow::Result<()> {
        if self.open.as_ref().map(|open| open.number) != Some(piece.window) {
            self.close()?;
            let number = piece.window;
            let start_ms = number.saturating_mul(self.store.import_window_ms());
            let end_ms = start_ms.saturating_add(self.store.import_window_ms() - 1);
            let range = TimeRange::new(
                start_ms.max(self.extent.start_ms),
                end_ms.min(self.extent.end_ms),
            );
            self.open = Some(Window {
                number,
                range,
                known: Known::new(self.store.select_sorted(&[], range)?),
                import: None,
                samples: 0,
            });
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let known = open.known.times(&piece.labels)?;
        self.times.clear();
        self.values.clear();
        let (times, values) = (&mut self.times, &mut self.values);
        for &(t_ms, value) in new_points(&piece.points, known) {
            times.push(t_ms);
            values.push(value);
        }
        self.loaded.repeated += (piece.points.len() - times.len()) as u64;
        if times.is_empty() {
            return Ok(());
        }
        if open.import.is_none() {
            open.import = Some(self.store.import(open.range)?);
        }
        if let Some(import) = &mut open.import {
            import.series(piece.labels.iter(), times, values)?;
            open.samples += times.len() as u64;
        }
        Ok(())
    }

    /// Stores the last window, and returns what was stored.
    pub(super) fn finish(mut self) -> anyhow::Result<Loaded> {
        self.close()?;
        Ok(self.loaded)
    }

    fn close(&mut self) -> anyhow::Result<()> {
        let Some(window) = self.open.take() else {
            return Ok(());
        };
        let Some(import) = window.import else {
            return Ok(());
        };
        let block = import.finish()?;
        let found = block.as_ref().map_or(0, |block| block.samples);
        if found != window.samples {
            bail!(
                "a block was given {} samples and has {found}; please report this",
                window.samples
            );
        }
        self.loaded.stored += found;
        self.loaded.blocks.extend(block);
        Ok(())
    }
}

/// Iterates over the points at other times than `known`, both in order of time.
fn new_points<'p>(points: &'p [Point], mut known: &'p [i64]) -> impl Iterator<Item = &'p Point> {
    points.iter().filter(move |(t_ms, _)| {
        while let [first, rest @ ..] = known
            && first < t_ms
        {
            known = rest;
        }
        known.first() != Some(t_ms)
    })
}

/// What the store has of a window, walked through in order of labels.
struct Known {
    selection: Selection,
    at: usize,
    /// Labels of the series `at`.
    labels: Option<Labels>,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Known {
    fn new(selection: Selection) -> Known {
        let labels = (!selection.is_empty()).then(|| selection.labels(0));
        Known {
            selection,
            at: 0,
            labels,
            times: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Returns the times of a series, which comes after those that were asked for before.
    fn times(&mut self, wanted: &Labels) -> anyhow::Result<&[i64]> {
        while self.labels.as_ref().is_some_and(|labels| labels < wanted) {
            self.at += 1;
            let is_there = self.at < self.selection.len();
            self.labels = is_there.then(|| self.selection.labels(self.at));
        }
        if self.labels.as_ref() != Some(wanted) {
            return Ok(&[]);
        }
        self.selection
            .read(self.at, &mut self.times, &mut self.values)?;
        let mut histograms = Vec::new();
        self.selection
            .read_histograms(self.at, &self.times, &mut histograms)?;
        if !histograms.is_empty() {
            self.times.extend(histograms.iter().map(|found| found.t_ms));
            self.times.sort_unstable();
        }
        Ok(&self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_at_known_times_are_left_out() {
        let points: Vec<Point> = (0..6).map(|t_ms| (t_ms, 0.5)).collect();
        let left = |known: &[i64]| -> Vec<i64> {
            let new = new_points(&points, known);
            new.map(|(t_ms, _)| *t_ms).collect()
        };
        assert_eq!(left(&[]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(left(&[-3, 0, 2, 3, 9]), [1, 4, 5]);
        assert_eq!(left(&[0, 1, 2, 3, 4, 5]), Vec::<i64>::new());
    }
}
