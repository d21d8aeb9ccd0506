//! Reading of groups of entries, each on whichever thread is free.
//!
//! A thread keeps what it reads of a group by series. The thread of the query puts it
//! together, in the order of the groups, so that answers do not depend on who has helped.

use std::marker::PhantomData;
use std::sync::Arc;

use hashbrown::HashMap;
use kymo_storage::logs::part::LEVEL_NAME;

use super::cell::{Cell, push, put};
use super::grid::Windows;
use crate::error::QueryError;
use crate::limits::Cancel;
use crate::logql::columnar::{ColumnGroup, Counted, HasError, Pieces, Plan, Sampler, Stop};
use crate::logql::label_set::LabelSet;
use crate::logql::pipeline::{Extractor, SeriesId};
use crate::logql::source::{EntryBatch, LogSet};
use crate::logql::value::LogStats;
use crate::promql::eval::batches::PerSeries;

/// What is kept of the samples of a series.
pub(super) trait Kept: Default + Send + 'static {
    /// Keeps a sample.
    fn push(&mut self, segment: u32, t_ns: i64, value: f64);

    /// Keeps several equal samples.
    fn push_many(&mut self, segment: u32, t_ns: i64, value: f64, n: u64);

    /// Keeps what was kept of the next group.
    fn append(&mut self, next: Self);

    /// Returns how many bytes that takes.
    fn bytes(&self) -> usize;
}

/// Condensed samples, in order of their segments.
pub(super) struct Cells<C>(pub(super) Vec<(u32, C)>);

impl<C> Default for Cells<C> {
    fn default() -> Cells<C> {
        Cells(Vec::new())
    }
}

impl<C: Cell> Kept for Cells<C> {
    fn push(&mut self, segment: u32, t_ns: i64, value: f64) {
        push(&mut self.0, segment, t_ns, value);
    }

    fn push_many(&mut self, segment: u32, t_ns: i64, value: f64, n: u64) {
        if n > 0 {
            put(&mut self.0, segment, C::many(t_ns, value, n));
        }
    }

    fn append(&mut self, next: Cells<C>) {
        for (segment, cell) in next.0 {
            put(&mut self.0, segment, cell);
        }
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u32, C)>()
    }
}

/// Samples as they are: segment, time and value.
#[derive(Default)]
pub(super) struct Samples(pub(super) Vec<(u32, i64, f64)>);

impl Kept for Samples {
    fn push(&mut self, segment: u32, t_ns: i64, value: f64) {
        self.0.push((segment, t_ns, value));
    }

    fn push_many(&mut self, segment: u32, t_ns: i64, value: f64, n: u64) {
        (0..n).for_each(|_| self.push(segment, t_ns, value));
    }

    fn append(&mut self, next: Samples) {
        self.0.extend(next.0);
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u32, i64, f64)>()
    }
}

/// Segments and values of samples.
#[derive(Default)]
pub(super) struct Values(pub(super) Vec<(u32, f64)>);

impl Kept for Values {
    fn push(&mut self, segment: u32, _: i64, value: f64) {
        self.0.push((segment, value));
    }

    fn push_many(&mut self, segment: u32, t_ns: i64, value: f64, n: u64) {
        (0..n).for_each(|_| self.push(segment, t_ns, value));
    }

    fn append(&mut self, next: Values) {
        self.0.extend(next.0);
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u32, f64)>()
    }
}

/// The groups of a selection, to be read.
pub(super) struct Groups<K> {
    pub(super) set: Arc<dyn LogSet>,
    pub(super) extractor: Extractor,
    pub(super) plan: Plan,
    pub(super) windows: Windows,
    pub(super) cancel: Cancel,
    pub(super) kept: PhantomData<fn() -> K>,
}

/// What one group has.
pub(super) struct Read<K> {
    pub(super) series: Vec<(LabelSet, K)>,
    pub(super) stats: LogStats,
    /// What the entries took while they were read.
    pub(super) batch_bytes: usize,
}

/// What a thread needs to read groups.
pub(super) struct Buffers {
    extractor: Extractor,
    batch: EntryBatch,
    samples: Vec<(SeriesId, u32, i64, f64)>,
    /// Where the series of the thread's extractor are in the group that is read.
    places: Vec<Option<u32>>,
}

impl<K: Kept> PerSeries for Groups<K> {
    type Buffers = Buffers;
    type Made = Read<K>;

    fn buffers(&self) -> Buffers {
        Buffers {
            extractor: self.extractor.clone(),
            batch: EntryBatch::default(),
            samples: Vec::new(),
            places: Vec::new(),
        }
    }

    fn make(&self, index: usize, buffers: &mut Buffers) -> Result<Option<Read<K>>, QueryError> {
        self.cancel.check("query execution")?;
        if let Some(columns) = self.set.columns(index)
            && let Some(read) = self.count(&columns, buffers)
        {
            return Ok(Some(read));
        }
        if let Some(read) = self.count_heads(index, buffers) {
            return Ok(Some(read));
        }
        self.read(index, buffers).map(Some)
    }
}

impl<K: Kept> Groups<K> {
    /// Reads the entries of a group.
    fn read(&self, index: usize, buffers: &mut Buffers) -> Result<Read<K>, QueryError> {
        let Buffers {
            extractor,
            batch,
            samples,
            places,
        } = buffers;
        let streams = self.set.streams();
        let mut has_error = false;
        if let Some(columns) = self.set.columns(index) {
            let mut sampling = Sampling {
                groups: self,
                extractor: &mut *extractor,
                places: &mut *places,
                kept: Vec::new(),
            };
            match self.plan.sample(&columns, streams, &mut sampling) {
                Ok(Some(stats)) => {
                    return Ok(Read {
                        series: labelled(sampling.kept, places, extractor.series()),
                        stats,
                        batch_bytes: 0,
                    });
                }
                Ok(None) | Err(Stop::Damaged) => {}
                Err(Stop::HasError) => has_error = true,
            }
            // What was kept is read again.
            labelled(sampling.kept, places, extractor.series());
        }
        let mut from_columns = !has_error && self.plan.read_columns(&*self.set, index, batch);
        loop {
            if !from_columns {
                self.set.read(index, batch)?;
            }
            samples.clear();
            has_error = false;
            for entry in batch.iter() {
                let segment = self.windows.segment(entry.t_ns);
                let (Some(segment), Some(stream)) = (segment, streams.get(entry.stream as usize))
                else {
                    continue;
                };
                if let Some((series, value)) = extractor.sample(stream, &entry) {
                    has_error |= extractor.has_error();
                    samples.push((series, segment, entry.t_ns, value));
                }
            }
            // With an error all labels are in the answer, also those left out here.
            if from_columns && has_error {
                from_columns = false;
                continue;
            }
            break;
        }
        let mut stats = LogStats::default();
        batch.iter().for_each(|entry| stats.count(&entry));
        stats.post_filter_lines = samples.len() as u64;
        let mut kept: Vec<(SeriesId, K)> = Vec::new();
        for (series, segment, t_ns, value) in samples.drain(..) {
            place(&mut kept, places, series).push(segment, t_ns, value);
        }
        Ok(Read {
            series: labelled(kept, places, extractor.series()),
            stats,
            batch_bytes: batch.memory_bytes(),
        })
    }

    /// Takes the samples of a group from counts of its entries; `None` where that is not
    /// possible.
    fn count(&self, columns: &ColumnGroup<'_>, buffers: &mut Buffers) -> Option<Read<K>> {
        let mut kept = Vec::new();
        let stats = self.count_pieces(columns, buffers, &mut kept);
        // Places are given back also where the entries have to be read after all.
        let series = labelled(kept, &mut buffers.places, buffers.extractor.series());
        Some(Read {
            series,
            stats: stats?,
            batch_bytes: 0,
        })
    }

    /// Adds the samples to `kept`; `None` where there are others.
    fn count_pieces(
        &self,
        columns: &ColumnGroup<'_>,
        buffers: &mut Buffers,
        kept: &mut Vec<(SeriesId, K)>,
    ) -> Option<LogStats> {
        let counted = self.plan.counted()?;
        let stretch = |t_ns| self.windows.stretch(t_ns);
        // Damage is told by the one who reads the entries.
        let Pieces { levels, pieces } = self.plan.counts(columns, stretch).ok()??;
        let Buffers {
            extractor,
            places,
            batch,
            ..
        } = buffers;
        let mut stats = LogStats::default();
        // Of one entry of a stream and level the series is that of all of them.
        let mut series: Vec<Option<Option<SeriesId>>> = vec![None; levels.len().max(1)];
        let mut of = None;
        for piece in pieces {
            if of.replace(piece.stream) != Some(piece.stream) {
                series.fill(None);
            }
            let known = series.get_mut(piece.level as usize)?;
            let found = match *known {
                Some(found) => found,
                None => {
                    let stream = self.set.streams().get(piece.stream as usize)?;
                    let level = levels.get(piece.level as usize);
                    let level = level.filter(|level| !level.is_empty());
                    let pair = level.map(|level| (LEVEL_NAME, level.as_str()));
                    batch.clear();
                    batch.push(piece.stream, piece.t_ns, &[], pair);
                    let sample = extractor.sample(stream, &batch.entry(0));
                    if sample.is_some() && extractor.has_error() {
                        // Then all of its labels are in the answer.
                        return None;
                    }
                    *known.insert(sample.map(|(series, _)| series))
                }
            };
            stats.lines += piece.entries;
            stats.bytes += piece.bytes;
            let Some(series) = found else {
                continue;
            };
            stats.post_filter_lines += piece.entries;
            let (value, n) = match counted {
                Counted::Entries => (1.0, piece.entries),
                Counted::Bytes => (piece.bytes as f64, 1),
            };
            place(kept, places, series).push_many(piece.segment, piece.t_ns, value, n);
        }
        Some(stats)
    }
}

impl<K: Kept> Groups<K> {
    /// Takes the samples of a group from entries in memory whose lines nobody looks at;
    /// `None` where that is not possible.
    fn count_heads(&self, index: usize, buffers: &mut Buffers) -> Option<Read<K>> {
        let counted = self.plan.counted()?;
        let Buffers {
            extractor,
            places,
            batch,
            ..
        } = buffers;
        let mut stats = LogStats::default();
        let mut kept: Vec<(SeriesId, K)> = Vec::new();
        // The series of what has the same stream and metadata.
        let mut known: HashMap<Box<[u8]>, Option<SeriesId>> = HashMap::new();
        let mut key: Vec<u8> = Vec::new();
        let (mut last_key, mut last): (Vec<u8>, Option<SeriesId>) = (Vec::new(), None);
        let (mut from_ns, mut stretch) = (i64::MAX, (None, i64::MIN));
        let mut has_error = false;
        let is_read = self.set.heads(index, &mut |entry| {
            stats.lines += 1;
            stats.bytes += u64::from(entry.line_bytes);
            if entry.t_ns < from_ns || stretch.1 < entry.t_ns {
                stretch = self.windows.stretch(entry.t_ns);
                from_ns = entry.t_ns;
            }
            let stream = self.set.streams().get(entry.stream as usize);
            let (Some(segment), Some(stream)) = (stretch.0, stream) else {
                return;
            };
            let pairs = || {
                entry
                    .metadata()
                    .filter(|(name, _)| self.plan.looks_at(name))
            };
            key.clear();
            key.extend(entry.stream.to_le_bytes());
            for (name, value) in pairs() {
                for text in [name, value] {
                    key.extend((text.len() as u64).to_le_bytes());
                    key.extend(text.as_bytes());
                }
            }
            if key != last_key {
                last = match known.get(key.as_slice()) {
                    Some(series) => *series,
                    None => {
                        batch.clear();
                        batch.push(entry.stream, entry.t_ns, &[], pairs());
                        let sample = extractor.sample(stream, &batch.entry(0));
                        has_error |= sample.is_some() && extractor.has_error();
                        let series = sample.map(|(series, _)| series);
                        known.insert(key.as_slice().into(), series);
                        series
                    }
                };
                std::mem::swap(&mut key, &mut last_key);
            }
            let Some(series) = last else {
                return;
            };
            stats.post_filter_lines += 1;
            let value = match counted {
                Counted::Entries => 1.0,
                Counted::Bytes => f64::from(entry.line_bytes),
            };
            place(&mut kept, places, series).push(segment, entry.t_ns, value);
        });
        let series = labelled(kept, places, extractor.series());
        // With an error all labels are in the answer, also those that were left out.
        (is_read && !has_error).then_some(Read {
            series,
            stats,
            batch_bytes: 0,
        })
    }
}

/// Samples of a group, on their way from its columns to what is kept of them.
struct Sampling<'g, K> {
    groups: &'g Groups<K>,
    extractor: &'g mut Extractor,
    places: &'g mut Vec<Option<u32>>,
    kept: Vec<(SeriesId, K)>,
}

impl<K: Kept> Sampler for Sampling<'_, K> {
    fn stretch(&self, t_ns: i64) -> (Option<u32>, i64) {
        self.groups.windows.stretch(t_ns)
    }

    fn sample(&mut self, entry: &EntryBatch) -> Result<Option<(u32, f64)>, HasError> {
        let entry = entry.entry(0);
        let stream = self.groups.set.streams().get(entry.stream as usize);
        let sample = stream.and_then(|stream| self.extractor.sample(stream, &entry));
        match sample.is_some() && self.extractor.has_error() {
            true => Err(HasError),
            false => Ok(sample),
        }
    }

    #[inline]
    fn keep(&mut self, series: u32, segment: u32, t_ns: i64, value: f64) {
        place(&mut self.kept, self.places, series).push(segment, t_ns, value);
    }
}

/// Returns what is kept of a series in the group that is read.
fn place<'k, K: Kept>(
    kept: &'k mut Vec<(SeriesId, K)>,
    places: &mut Vec<Option<u32>>,
    series: SeriesId,
) -> &'k mut K {
    let at = series as usize;
    if places.len() <= at {
        places.resize(at + 1, None);
    }
    let place = *places[at].get_or_insert_with(|| {
        kept.push((series, K::default()));
        kept.len() as u32 - 1
    });
    &mut kept[place as usize].1
}

/// Puts labels in the place of numbers, which are those of one thread.
fn labelled<K>(
    kept: Vec<(SeriesId, K)>,
    places: &mut [Option<u32>],
    labels: &[LabelSet],
) -> Vec<(LabelSet, K)> {
    let series = kept.into_iter().map(|(id, kept)| {
        places[id as usize] = None;
        (labels[id as usize].clone(), kept)
    });
    series.collect()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use kymo_storage::logs::{LogStore, LogStoreOptions};
    use kymo_storage::model::{Labels, LogEntry, StreamBatch};

    use crate::Cancel;
    use crate::logql::source::{LogSource, MemoryLogSource};
    use crate::logql::{
        Direction, LogEngine, LogEngineOptions, LogQueryOptions, LogRangeQuery, parse,
    };

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn counts_that_turn_out_to_have_errors_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = LogStore::open(&LogStoreOptions::new(dir.path())).unwrap();
        let mut memory = MemoryLogSource::new();
        let labels = Labels::from_pairs([("app", "a")]);
        let entries = (0..400).map(|at| {
            // Levels that are numbers come first.
            let level = ["5", "7", "info", "9"][at as usize / 100];
            let t_ns = at * SECOND / 2;
            memory.push(&labels, t_ns, b"x", [("detected_level", level)]);
            LogEntry {
                t_ns,
                line: b"x".into(),
                metadata: [("detected_level".into(), level.into())]
                    .into_iter()
                    .collect(),
            }
        });
        let batch = StreamBatch {
            labels: labels.clone(),
            entries: entries.collect(),
        };
        assert_eq!(store.push(&[batch]).unwrap().entries, 400);
        let flushed = store.flush(&mut || ControlFlow::Continue(()));
        assert_eq!(flushed.unwrap(), 400);
        for query in [
            r#"count_over_time({app="a"} | detected_level > 3 [1m])"#,
            r#"count_over_time({app="a"} | detected_level > 3 | __error__!="x" [1m])"#,
            r#"sum by (detected_level, __error__) (bytes_rate({app="a"} | detected_level > 3 [1m]))"#,
        ] {
            let expr = parse(query).unwrap();
            let range = LogRangeQuery {
                start_ns: 0,
                end_ns: 600 * SECOND,
                step_ns: 60 * SECOND,
                interval_ns: 0,
                limit: 100,
                direction: Direction::Forward,
            };
            let engine = LogEngine::new(LogEngineOptions::default());
            let (options, cancel) = (LogQueryOptions::default(), Cancel::new());
            let sources: [&dyn LogSource; 2] = [&memory, &store];
            let [expected, found] = sources.map(|source| {
                let result = engine.range(source, &expr, &range, &options, &cancel);
                let value = result.map(|result| result.value);
                format!("{:?}", value.map_err(|error| error.to_string()))
            });
            assert_eq!(found, expected, "{query}");
        }
    }
}
