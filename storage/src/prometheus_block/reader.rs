//! A block of Prometheus, series by series.

use std::path::Path;

use super::columns::Columns;
use super::index::Index;
use super::meta::{self, BlockMeta};
use super::report::{ImportReport, Skipped, SkippedKind};
use super::segments::{RawChunk, Segments};
use super::series_entry::ChunkMeta;
use super::tombstones::{self, Tombstones};
use super::{PrometheusBlockError, Result, histogram, xor, xor2};
use crate::codec::CodecError;
use crate::fs::{Dir, RealDir};
use crate::model::histogram::HistogramPoint;
use crate::model::{Labels, TimeRange};

/// An open block. Its files are mapped; they may be removed, but not changed, while it
/// is open. A Prometheus that is running does the former only.
#[derive(Debug)]
pub struct Reader {
    meta: BlockMeta,
    index: Index,
    segments: Segments,
    tombstones: Tombstones,
    extent: Option<TimeRange>,
    n_chunks: u64,
}

impl Reader {
    /// Opens the block in a directory and checks its index from end to end.
    ///
    /// # Errors
    /// [`PrometheusBlockError`] when it is not a block, has a version that is not read,
    /// or is damaged. Chunks are checked later, when they are read.
    pub fn open(path: &Path) -> Result<Reader> {
        Reader::open_dir(&RealDir::existing(path)?)
    }

    pub(super) fn open_dir(dir: &dyn Dir) -> Result<Reader> {
        let mut reader = Reader {
            meta: BlockMeta::read(dir)?,
            index: Index::open(dir)?,
            segments: Segments::open(dir)?,
            tombstones: Tombstones::read(dir)?,
            extent: None,
            n_chunks: 0,
        };
        (reader.extent, reader.n_chunks) = reader.check_series()?;
        Ok(reader)
    }

    /// Returns what `meta.json` says.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Returns the number of series.
    pub fn n_series(&self) -> u64 {
        self.index.n_series() as u64
    }

    /// Returns the number of chunks, as counted in the index.
    pub fn n_chunks(&self) -> u64 {
        self.n_chunks
    }

    /// Returns the times that the chunks span, or `None` without chunks. It is the
    /// range to read for not to miss anything: some releases of Prometheus left chunks
    /// that reach over the range in `meta.json`.
    pub fn extent(&self) -> Option<TimeRange> {
        self.extent
    }

    /// Returns the labels of a series by its number in the order of labels.
    ///
    /// # Errors
    /// [`PrometheusBlockError::Corrupt`] when there is no such series.
    pub fn labels(&self, series: u32) -> Result<Labels> {
        if u64::from(series) >= self.n_series() {
            return Err(self
                .index
                .error_at(0, format!("there is no series {series}")));
        }
        let mut labels = Vec::new();
        self.index
            .series(series as usize, false, &mut labels, |_| Ok(()))?;
        Ok(Labels::from_sorted(labels.iter().copied()))
    }

    /// Goes through the series in order of labels and takes their samples in `range`.
    /// What is not taken is added to `report`.
    pub fn read<'r>(&'r self, range: TimeRange, report: &'r mut ImportReport) -> Cursor<'r> {
        Cursor {
            reader: self,
            range,
            report,
            next: 0,
            labels: Vec::new(),
            chunks: Vec::new(),
            columns: Columns::default(),
            chunk: Columns::default(),
        }
    }

    /// Checks every series of the index; returns what the chunks span and their number.
    fn check_series(&self) -> Result<(Option<TimeRange>, u64)> {
        let mut extent: Option<TimeRange> = None;
        let mut n_chunks = 0;
        let (mut labels, mut last) = (Vec::new(), Vec::new());
        for series in 0..self.index.n_series() {
            let mut bad_reference = None;
            self.index.series(series, true, &mut labels, |chunk| {
                n_chunks += 1;
                if !self.segments.has_file(chunk.reference) {
                    bad_reference = Some(chunk.reference);
                }
                let range = extent.get_or_insert(TimeRange {
                    start_ms: chunk.min_t_ms,
                    end_ms: chunk.max_t_ms,
                });
                range.start_ms = range.start_ms.min(chunk.min_t_ms);
                range.end_ms = range.end_ms.max(chunk.max_t_ms);
                Ok(())
            })?;
            let error = |detail: String| {
                let named = Named(&labels);
                Err(self
                    .index
                    .error_at(series, format!("series {named:?} {detail}")))
            };
            if let Some(reference) = bad_reference {
                let file = (reference >> 32) + 1;
                return error(format!("is in chunk file {file}, which does not exist"));
            }
            if !labels.is_sorted_by(|a, b| a.0 < b.0) {
                return error("has labels out of order".to_owned());
            }
            if let Some((name, _)) = labels.iter().find(|label| label.1.is_empty()) {
                return error(format!("has an empty value for label {name:?}"));
            }
            if series > 0 && last >= labels {
                return error(format!("comes behind {:?}", Named(&last)));
            }
            std::mem::swap(&mut last, &mut labels);
        }
        Ok((extent, n_chunks))
    }
}

/// Returns the names of the blocks in a data directory of Prometheus, in order of
/// creation. What it collected in the last hours is in none of them; a snapshot by
/// its admin API has all.
///
/// # Errors
/// [`PrometheusBlockError::Io`] when the directory cannot be read.
pub fn block_names(data_dir: &Path) -> Result<Vec<String>> {
    let mut names = RealDir::existing(data_dir)?.dirs()?;
    names.retain(|name| meta::is_ulid(name));
    Ok(names)
}

/// Labels as they are printed in messages.
struct Named<'a>(&'a [(&'a str, &'a str)]);

impl std::fmt::Debug for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().copied()).finish()
    }
}

/// A pass through the series of a block.
#[derive(Debug)]
pub struct Cursor<'r> {
    reader: &'r Reader,
    range: TimeRange,
    report: &'r mut ImportReport,
    next: usize,
    labels: Vec<(&'r str, &'r str)>,
    chunks: Vec<ChunkMeta>,
    columns: Columns,
    chunk: Columns,
}

/// A series and its samples in the range of the pass, in order of time.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// Names and values, in order of name.
    pub labels: &'a [(&'a str, &'a str)],
    /// Times of the floats, ascending.
    pub timestamps: &'a [i64],
    /// Their values.
    pub values: &'a [f64],
    /// Native histograms, ascending in time; none has the time of a float.
    pub histograms: &'a [HistogramPoint],
}

impl Cursor<'_> {
    /// Returns the next series that has samples, or `None` behind the last.
    ///
    /// # Errors
    /// [`PrometheusBlockError::Corrupt`] with the file and the offset of a chunk that
    /// cannot be read. The pass may go on with the next series.
    pub fn next_series(&mut self) -> Result<Option<Series<'_>>> {
        let reader = self.reader;
        while self.next < reader.index.n_series() {
            let series = self.next;
            self.next += 1;
            self.chunks.clear();
            let (range, chunks) = (self.range, &mut self.chunks);
            reader
                .index
                .series(series, false, &mut self.labels, |chunk| {
                    if range.start_ms <= chunk.max_t_ms && chunk.min_t_ms <= range.end_ms {
                        chunks.push(chunk);
                    }
                    Ok(())
                })?;
            self.collect(series)?;
            if self.columns.len() > 0 {
                return Ok(Some(Series {
                    labels: &self.labels,
                    timestamps: &self.columns.timestamps,
                    values: &self.columns.values,
                    histograms: &self.columns.histograms,
                }));
            }
        }
        Ok(None)
    }

    /// Reads the chunks that were found.
    fn collect(&mut self, series: usize) -> Result<()> {
        let reader = self.reader;
        self.columns.clear();
        if self.chunks.is_empty() {
            return Ok(());
        }
        let deleted = reader.tombstones.of(reader.index.number(series)?);
        let mut end = 0;
        for meta in &self.chunks {
            // Chunks that share bytes would make much of little.
            if meta.reference < end {
                return Err(reader.chunk_error(meta, "it begins within the chunk before it"));
            }
            let raw = reader.segments.chunk(meta.reference)?;
            end = raw.end;
            self.chunk.clear();
            let decoded = decode(&raw, &mut self.chunk)
                .map_err(|error| reader.chunk_error(meta, &error.to_string()))?;
            if let Some((kind, samples)) = decoded.skipped
                && self.range.contains(meta.min_t_ms)
                && !deleted
                    .iter()
                    .any(|range| range.contains(meta.min_t_ms) && range.contains(meta.max_t_ms))
            {
                let skipped = Skipped {
                    chunks: 1,
                    samples,
                    range: TimeRange::new(meta.min_t_ms, meta.max_t_ms),
                };
                self.report.skip(series as u32, kind, skipped);
            }
            reader.check_times(meta, self.chunk.timestamps.iter().copied())?;
            let times = self.chunk.histograms.iter().map(|point| point.t_ms);
            reader.check_times(meta, times)?;
            for point in self.chunk.histograms.drain(..) {
                if !self.range.contains(point.t_ms) {
                    continue;
                }
                if tombstones::covers(deleted, point.t_ms) {
                    self.report.deleted += 1;
                } else {
                    self.columns.histograms.push(point);
                }
            }
            let samples = self.chunk.timestamps.iter().zip(&self.chunk.values);
            for (&t_ms, &value) in samples {
                if !self.range.contains(t_ms) {
                    continue;
                }
                if tombstones::covers(deleted, t_ms) {
                    self.report.deleted += 1;
                } else {
                    self.columns.push(t_ms, value);
                }
            }
        }
        self.report.replaced += self.columns.settle();
        self.report.samples += self.columns.len() as u64;
        Ok(())
    }
}

impl Reader {
    fn chunk_error(&self, meta: &ChunkMeta, detail: &str) -> PrometheusBlockError {
        let (path, offset) = self.segments.place(meta.reference);
        PrometheusBlockError::corrupt(path, offset, format!("a chunk cannot be read: {detail}"))
    }

    /// Checks that the samples of a chunk are where the index says: ranges are chosen
    /// by the index, so that others would be lost silently.
    fn check_times(
        &self,
        meta: &ChunkMeta,
        mut timestamps: impl DoubleEndedIterator<Item = i64> + Clone,
    ) -> Result<()> {
        let is_sorted = timestamps.clone().is_sorted_by(|a, b| a < b);
        let Some(first) = timestamps.next() else {
            return Ok(());
        };
        let last = timestamps.next_back().unwrap_or(first);
        if !is_sorted {
            return Err(self.chunk_error(meta, "its times are not ascending"));
        }
        if first < meta.min_t_ms || last > meta.max_t_ms {
            let detail = format!(
                "it has times {first} to {last}, the index says {} to {}",
                meta.min_t_ms, meta.max_t_ms
            );
            return Err(self.chunk_error(meta, &detail));
        }
        Ok(())
    }
}

/// What a chunk holds besides the samples that were taken.
struct Decoded {
    skipped: Option<(SkippedKind, u64)>,
}

fn decode(chunk: &RawChunk<'_>, out: &mut Columns) -> std::result::Result<Decoded, CodecError> {
    let skipped = match chunk.encoding {
        1 => {
            xor::decode(chunk.payload, out)?;
            None
        }
        4 => {
            let decoded = xor2::decode(chunk.payload, out)?;
            let starts = (SkippedKind::StartTimes, decoded.n as u64);
            Some(starts).filter(|_| decoded.has_starts)
        }
        encoding @ (2 | 3 | 5 | 6) => {
            let histograms = &mut out.histograms;
            let decoded = histogram::decode(encoding, chunk.payload, histograms)?;
            let skipped = match decoded.unknown_schema {
                Some(schema) => Some(SkippedKind::Schema(schema)),
                None => decoded.has_starts.then_some(SkippedKind::StartTimes),
            };
            skipped.map(|kind| (kind, decoded.n as u64))
        }
        other => Some((SkippedKind::Unknown(other), 0)),
    };
    Ok(Decoded { skipped })
}
