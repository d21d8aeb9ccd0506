//! Writes a block of Prometheus.
//!
//! All files are written in `<ulid>.tmp-for-creation`, a name that Prometheus removes
//! when it starts, made durable, `meta.json` last, and renamed with their directory.

use std::path::Path;
use std::sync::Arc;

use super::chunk::{self, Chunk};
use super::index_writer::IndexWriter;
use super::meta::{self, BlockMeta};
use super::output::Output;
use super::segments::{self, HEADER_BYTES};
use super::series_entry::ChunkMeta;
use super::tombstones;
use super::{PrometheusBlockError, Result};
use crate::codec::varint::write_u64;
use crate::fs::{Dir, RealDir};
use crate::model::Labels;
use crate::model::histogram::HistogramPoint;

const TMP_SUFFIX: &str = ".tmp-for-creation";

/// A chunk file ends before this.
const SEGMENT_BYTES: u64 = 512 << 20;

/// What a block should be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WriterOptions {
    /// Its ULID, 26 capital letters and digits; the time in it should be now.
    pub ulid: String,
    /// First millisecond of the block.
    pub min_t_ms: i64,
    /// First millisecond behind the block.
    pub max_t_ms: i64,
    segment_bytes: u64,
}

impl WriterOptions {
    /// Returns options for a block of the times from `min_t_ms` to before `max_t_ms`.
    pub fn new(ulid: impl Into<String>, min_t_ms: i64, max_t_ms: i64) -> WriterOptions {
        WriterOptions {
            ulid: ulid.into(),
            min_t_ms,
            max_t_ms,
            segment_bytes: SEGMENT_BYTES,
        }
    }

    /// Makes chunk files shorter, for tests.
    #[cfg(test)]
    pub(super) fn segment_bytes(mut self, segment_bytes: u64) -> WriterOptions {
        self.segment_bytes = segment_bytes;
        self
    }
}

/// A block that is being written. Dropped before [`Writer::finish`], it leaves nothing
/// behind.
#[derive(Debug)]
pub struct Writer {
    parent: Arc<dyn Dir>,
    dir: Arc<dyn Dir>,
    options: WriterOptions,
    /// Taken when the block is finished.
    index: Option<IndexWriter>,
    segments: SegmentWriter,
    last: Option<Labels>,
    n_samples: u64,
    n_histograms: u64,
    n_chunks: u64,
    chunks: Vec<ChunkMeta>,
    is_finished: bool,
}

impl Writer {
    /// Begins a block in the directory `parent`, which is created when missing.
    ///
    /// # Errors
    /// [`PrometheusBlockError::Options`] when the options make no block, and
    /// [`PrometheusBlockError::Io`].
    pub fn create(parent: &Path, options: WriterOptions) -> Result<Writer> {
        Writer::create_in(Arc::new(RealDir::open(parent)?), options)
    }

    pub(super) fn create_in(parent: Arc<dyn Dir>, options: WriterOptions) -> Result<Writer> {
        let refused = |detail: String| Err(PrometheusBlockError::Options(detail));
        if !meta::is_ulid(&options.ulid) {
            return refused(format!("{:?} is not a ULID", options.ulid));
        }
        if options.min_t_ms >= options.max_t_ms {
            let (min, max) = (options.min_t_ms, options.max_t_ms);
            return refused(format!("it would end at {max} and begin at {min}"));
        }
        if parent.dirs()?.contains(&options.ulid) {
            let path = parent.path().join(&options.ulid);
            return refused(format!("{} is there already", path.display()));
        }
        let dir = parent.subdir(&format!("{}{TMP_SUFFIX}", options.ulid))?;
        let segments = SegmentWriter {
            dir: dir.subdir(segments::DIR)?,
            limit_bytes: options.segment_bytes,
            file: None,
            n_files: 0,
        };
        Ok(Writer {
            index: Some(IndexWriter::create(&dir)?),
            parent,
            dir,
            options,
            segments,
            last: None,
            n_samples: 0,
            n_histograms: 0,
            n_chunks: 0,
            chunks: Vec::new(),
            is_finished: false,
        })
    }

    /// Writes the next series in order of labels, of floats only; see
    /// [`Writer::series_with`].
    ///
    /// # Errors
    /// As there.
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
    ) -> Result<()> {
        self.series_with(labels, timestamps, values, &[])
    }

    /// Writes the next series in order of labels, of floats and native histograms; one
    /// without samples is left out.
    ///
    /// # Errors
    /// [`PrometheusBlockError::Series`] when it is not the next one, or its samples are
    /// not ascending in time and within the block: the writer can go on with another
    /// one. [`PrometheusBlockError::Io`], after which it can not.
    pub fn series_with<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
        histograms: &[HistogramPoint],
    ) -> Result<()> {
        if timestamps.is_empty() && values.is_empty() && histograms.is_empty() {
            return Ok(());
        }
        let checked = self.check(labels.clone(), timestamps, values, histograms);
        let chunks = checked.and_then(|()| chunks_of(timestamps, values, histograms));
        let chunks = match chunks {
            Ok(chunks) => chunks,
            Err(detail) => {
                return Err(PrometheusBlockError::Series {
                    labels: Labels::from_pairs(labels),
                    detail,
                });
            }
        };
        let Some(index) = &mut self.index else {
            return Ok(());
        };
        self.chunks.clear();
        for chunk in chunks {
            let reference = self.segments.chunk(&chunk)?;
            self.chunks.push(ChunkMeta {
                min_t_ms: chunk.min_t_ms,
                max_t_ms: chunk.max_t_ms,
                reference,
            });
        }
        index.series(labels.clone(), &self.chunks)?;
        self.last = Some(Labels::from_sorted(labels));
        self.n_samples += (timestamps.len() + histograms.len()) as u64;
        self.n_histograms += histograms.len() as u64;
        self.n_chunks += self.chunks.len() as u64;
        Ok(())
    }

    fn check<'a>(
        &self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
        histograms: &[HistogramPoint],
    ) -> std::result::Result<(), String> {
        if !labels.clone().is_sorted_by(|a, b| a.0 < b.0) {
            return Err("its labels are not in order of name".to_owned());
        }
        if labels.clone().next().is_none() {
            return Err("it has no labels".to_owned());
        }
        if labels.clone().any(|(_, value)| value.is_empty()) {
            return Err("a label has an empty value".to_owned());
        }
        if let Some(last) = &self.last
            && !is_before(last, labels)
        {
            return Err(format!("it comes behind {last:?}"));
        }
        if timestamps.len() != values.len() {
            let (times, values) = (timestamps.len(), values.len());
            return Err(format!("it has {times} times and {values} values"));
        }
        let times = histograms.iter().map(|point| point.t_ms);
        if !timestamps.is_sorted_by(|a, b| a < b) || !times.clone().is_sorted_by(|a, b| a < b) {
            return Err("its times are not ascending".to_owned());
        }
        let mut others = times.clone().peekable();
        for &t_ms in timestamps {
            while others.next_if(|other| *other < t_ms).is_some() {}
            if others.peek() == Some(&t_ms) {
                return Err(format!("it has a float and a histogram at {t_ms}"));
            }
        }
        let (min, max) = (self.options.min_t_ms, self.options.max_t_ms);
        let ends = (timestamps.first().copied(), timestamps.last().copied());
        let ends_of_others = (times.clone().next(), times.clone().next_back());
        for ends in [ends, ends_of_others] {
            if let (Some(first), Some(last)) = ends
                && (first < min || last >= max)
            {
                return Err(format!(
                    "its times {first} to {last} are not from {min} to before {max}"
                ));
            }
        }
        Ok(())
    }

    /// Makes the block durable under its name. Returns `None`, and leaves nothing
    /// behind, when no series was written.
    ///
    /// # Errors
    /// [`PrometheusBlockError::Io`], and [`PrometheusBlockError::TooLarge`]. Nothing is
    /// left behind, but for the whole block when the last sync of its name fails.
    pub fn finish(mut self) -> Result<Option<BlockMeta>> {
        let Some(index) = self.index.take() else {
            return Ok(None);
        };
        let meta = BlockMeta {
            ulid: self.options.ulid.clone(),
            min_t_ms: self.options.min_t_ms,
            max_t_ms: self.options.max_t_ms,
            n_samples: self.n_samples,
            n_histograms: self.n_histograms,
            n_series: index.n_series(),
            n_chunks: self.n_chunks,
            n_tombstones: 0,
            level: 1,
            sources: vec![self.options.ulid.clone()],
        };
        if meta.n_series == 0 {
            return Ok(None);
        }
        self.segments.end_file()?;
        self.segments.dir.sync()?;
        index.finish()?;
        self.write_file(tombstones::FILE, &tombstones::empty_file())?;
        let text = meta.encode().map_err(|error| {
            PrometheusBlockError::Options(format!("its meta data cannot be written: {error}"))
        })?;
        self.write_file(meta::FILE, &text)?;
        self.dir.sync()?;
        let tmp = format!("{}{TMP_SUFFIX}", self.options.ulid);
        self.parent.rename_dir(&tmp, &self.options.ulid)?;
        self.is_finished = true;
        self.parent.sync()?;
        Ok(Some(meta))
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = Output::create(self.dir.as_ref(), name)?;
        file.write(bytes)?;
        file.finish()?;
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        for dir in [&self.segments.dir, &self.dir] {
            for name in dir.files()? {
                dir.remove(&name)?;
            }
        }
        self.dir.remove_dir(segments::DIR)?;
        let tmp = format!("{}{TMP_SUFFIX}", self.options.ulid);
        Ok(self.parent.remove_dir(&tmp)?)
    }
}

/// Returns the chunks of a series, in order of time: a chunk ends where floats become
/// histograms, or these become floats.
fn chunks_of(
    mut timestamps: &[i64],
    mut values: &[f64],
    mut histograms: &[HistogramPoint],
) -> std::result::Result<Vec<Chunk>, String> {
    let mut chunks = Vec::new();
    while !timestamps.is_empty() || !histograms.is_empty() {
        let next_ms = histograms.first().map_or(i64::MAX, |point| point.t_ms);
        let n = match histograms.is_empty() {
            true => timestamps.len(),
            false => timestamps.partition_point(|t_ms| *t_ms < next_ms),
        };
        chunks.extend(chunk::encode_floats(&timestamps[..n], &values[..n]));
        (timestamps, values) = (&timestamps[n..], &values[n..]);
        let n = match timestamps.first() {
            Some(next_ms) => histograms.partition_point(|point| point.t_ms < *next_ms),
            None => histograms.len(),
        };
        let encoded = chunk::encode_histograms(&histograms[..n]);
        chunks.extend(encoded.map_err(|error| format!("of its histograms: {error}"))?);
        histograms = &histograms[n..];
    }
    Ok(chunks)
}

/// Tells whether a set comes before `labels`, in the order of [`Labels`].
fn is_before<'a>(set: &Labels, labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let mut own = set.iter();
    for label in labels {
        match own.next() {
            None => return true,
            Some(own) if own != label => return own < label,
            Some(_) => {}
        }
    }
    false
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_finished {
            // What is left then has a name that Prometheus removes.
            let _ = self.remove();
        }
    }
}

/// Writes chunk files; their bytes are drawn in [`super::segments`].
#[derive(Debug)]
struct SegmentWriter {
    dir: Arc<dyn Dir>,
    limit_bytes: u64,
    file: Option<Output>,
    n_files: u64,
}

impl SegmentWriter {
    /// Writes a chunk; returns its reference.
    fn chunk(&mut self, chunk: &Chunk) -> Result<u64> {
        let mut len = Vec::new();
        write_u64(&mut len, chunk.payload.len() as u64);
        let len_bytes = (len.len() + 1 + chunk.payload.len() + 4) as u64;
        let file = self.file_for(len_bytes)?;
        let offset = file.position();
        file.write(&len)?;
        file.write_summed(&[chunk.encoding as u8])?;
        file.write_summed(&chunk.payload)?;
        file.end_section()?;
        Ok((self.n_files - 1) << 32 | offset)
    }

    /// Returns the file that the next `len_bytes` go to.
    fn file_for(&mut self, len_bytes: u64) -> Result<&mut Output> {
        let is_full = |file: &Output| {
            file.position() > HEADER_BYTES as u64 && file.position() + len_bytes > self.limit_bytes
        };
        if self.file.as_ref().is_some_and(is_full) {
            self.end_file()?;
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                self.n_files += 1;
                let mut file = Output::create(self.dir.as_ref(), &format!("{:06}", self.n_files))?;
                file.write(&segments::MAGIC.to_be_bytes())?;
                file.write(&[segments::VERSION, 0, 0, 0])?;
                file
            }
        };
        Ok(self.file.insert(file))
    }

    fn end_file(&mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            file.finish()?;
        }
        Ok(())
    }
}
