//! Puts samples that come in any order into the order in which blocks are written:
//! window by window, in each by labels, in each by time.
//!
//! Samples gather in memory up to a bound. Then they are sorted and go to disk as a run,
//! and in the end the runs are merged. Of two samples of a series at one time the one
//! that came first stays.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use kymo_storage::model::{Labels, TimeRange};

use super::run::{Piece, Point, RunReader, RunWriter};

/// Bytes of samples that gather in memory.
pub(super) const BUDGET_BYTES: usize = 128 << 20;

/// Runs that are read at one time.
const MAX_RUNS: usize = 64;

/// What a series costs beside its samples and labels.
const SERIES_BYTES: usize = 160;

/// Takes samples in any order.
pub(super) struct Sorter {
    /// Where runs are written.
    dir: PathBuf,
    /// Width of a window.
    window_ms: i64,
    budget_bytes: usize,
    gathered: HashMap<Labels, Vec<Point>>,
    gathered_bytes: usize,
    /// In the order in which their samples came.
    runs: Vec<RunReader>,
    /// Samples at times that their series had already.
    repeated: u64,
    /// Oldest and newest time.
    extent: Option<TimeRange>,
}

impl Sorter {
    pub(super) fn new(dir: PathBuf, window_ms: i64, budget_bytes: usize) -> Sorter {
        Sorter {
            dir,
            window_ms,
            budget_bytes,
            gathered: HashMap::new(),
            gathered_bytes: 0,
            runs: Vec::new(),
            repeated: 0,
            extent: None,
        }
    }

    /// Returns what the samples span, `None` where there are none.
    pub(super) fn extent(&self) -> Option<TimeRange> {
        self.extent
    }

    /// Takes samples of a series.
    pub(super) fn add(&mut self, labels: Labels, points: &[Point]) -> anyhow::Result<()> {
        if points.is_empty() {
            return Ok(());
        }
        for &(t_ms, _) in points {
            let (start_ms, end_ms) = match self.extent {
                Some(extent) => (extent.start_ms.min(t_ms), extent.end_ms.max(t_ms)),
                None => (t_ms, t_ms),
            };
            self.extent = Some(TimeRange::new(start_ms, end_ms));
        }
        self.gathered_bytes += size_of_val(points);
        let label_bytes = labels.memory_bytes();
        let gathered = self.gathered.entry(labels).or_default();
        if gathered.is_empty() {
            self.gathered_bytes += label_bytes + SERIES_BYTES;
        }
        gathered.extend_from_slice(points);
        if self.gathered_bytes >= self.budget_bytes {
            self.spill()?;
        }
        Ok(())
    }

    /// Calls `each` for every piece, in order, and returns how many samples were repeated.
    pub(super) fn finish(
        mut self,
        each: impl FnMut(Piece) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        self.spill()?;
        self.repeated += merge(std::mem::take(&mut self.runs), each)?;
        Ok(self.repeated)
    }

    /// Writes what gathered as a run.
    fn spill(&mut self) -> anyhow::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let mut series: Vec<(Labels, Vec<Point>)> = self.gathered.drain().collect();
        self.gathered_bytes = 0;
        series.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut order = Vec::new();
        for (rank, (_, points)) in series.iter_mut().enumerate() {
            self.repeated += keep_first(points);
            let mut from = 0;
            for part in points.chunk_by(|a, b| self.window(a) == self.window(b)) {
                order.push((self.window(&part[0]), rank, from..from + part.len()));
                from += part.len();
            }
        }
        order.sort_unstable_by_key(|(window, rank, _)| (*window, *rank));
        let mut run = RunWriter::create(&self.dir)?;
        for (window, rank, part) in order {
            let (labels, points) = &series[rank];
            run.push(window, labels, &points[part])?;
        }
        self.runs.push(run.finish()?);
        drop(series);
        if self.runs.len() == MAX_RUNS {
            let mut run = RunWriter::create(&self.dir)?;
            self.repeated += merge(std::mem::take(&mut self.runs), |piece| {
                run.push(piece.window, &piece.labels, &piece.points)
            })?;
            self.runs.push(run.finish()?);
        }
        Ok(())
    }

    fn window(&self, point: &Point) -> i64 {
        point.0.div_euclid(self.window_ms)
    }
}

/// Sorts points by time. Of those at one time the first stays; the others are counted.
fn keep_first(points: &mut Vec<Point>) -> u64 {
    let before = points.len();
    if !points.is_sorted_by(|a, b| a.0 < b.0) {
        points.sort_by_key(|(t_ms, _)| *t_ms);
        points.dedup_by_key(|(t_ms, _)| *t_ms);
    }
    (before - points.len()) as u64
}

/// Reads runs side by side, and returns how many samples were repeated.
fn merge(
    mut runs: Vec<RunReader>,
    mut each: impl FnMut(Piece) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut heads: BTreeMap<(i64, Labels, usize), Vec<Point>> = BTreeMap::new();
    for (number, run) in runs.iter_mut().enumerate() {
        if let Some(piece) = run.next_piece()? {
            heads.insert((piece.window, piece.labels, number), piece.points);
        }
    }
    let mut repeated = 0;
    let mut current: Option<Piece> = None;
    while let Some(((window, labels, number), points)) = heads.pop_first() {
        if let Some(piece) = runs[number].next_piece()? {
            heads.insert((piece.window, piece.labels, number), piece.points);
        }
        match &mut current {
            Some(piece) if piece.window == window && piece.labels == labels => {
                piece.points.extend_from_slice(&points);
                repeated += keep_first(&mut piece.points);
            }
            _ => {
                let next = Piece {
                    window,
                    labels,
                    points,
                };
                if let Some(whole) = current.replace(next) {
                    each(whole)?;
                }
            }
        }
    }
    if let Some(whole) = current {
        each(whole)?;
    }
    Ok(repeated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(number: u8) -> Labels {
        Labels::from_pairs([("__name__", "x"), ("n", &number.to_string())])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_order_comes_out_sorted_and_the_first_of_a_time_stays(
            samples in prop::collection::vec((0_u8..6, -50_i64..50), 0..400),
            budget_bytes in 1_usize..4000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::new(dir.path().to_owned(), 10, budget_bytes);
            let mut expected: BTreeMap<(i64, Labels, i64), f64> = BTreeMap::new();
            for (order, &(number, t_ms)) in samples.iter().enumerate() {
                let value = order as f64;
                sorter.add(labels(number), &[(t_ms, value)]).unwrap();
                let key = (t_ms.div_euclid(10), labels(number), t_ms);
                expected.entry(key).or_insert(value);
            }
            let (mut found, mut pieces) = (Vec::new(), Vec::new());
            let repeated = sorter.finish(|piece| {
                pieces.push((piece.window, piece.labels.clone()));
                for (t_ms, value) in piece.points {
                    found.push(((piece.window, piece.labels.clone(), t_ms), value));
                }
                Ok(())
            }).unwrap();
            prop_assert_eq!(repeated as usize, samples.len() - expected.len());
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            prop_assert!(pieces.is_sorted_by(|a, b| a < b), "each piece once");
            // Files without a name: nothing is left in the directory.
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
