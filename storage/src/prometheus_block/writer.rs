//! Writes a block of Prometheus.
//!
//! All files are written in `<ulid>.tmp-for-creation`, a name that Prometheus removes
//! when it starts, made durable, `meta.json` last, and renamed with their directory.

use std::path::Path;
use std::sync::Arc;

use super::index_writer::IndexWriter;
use super::meta::{self, BlockMeta};
use super::output::Output;
use super::segments::{self, HEADER_BYTES};
use super::series_entry::ChunkMeta;
use super::tombstones;
use super::xor::{self, CHUNK_SAMPLES};
use super::{PrometheusBlockError, Result};
use crate::codec::varint::write_u64;
use crate::fs::{Dir, RealDir};
use crate::model::Labels;

const TMP_SUFFIX: &str = ".tmp-for-creation";

/// A chunk file ends before this.
const SEGMENT_BYTES: u64 = 512 << 20;

/// Encoding of a chunk of floats.
const ENCODING_XOR: u8 = 1;

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
            scratch: Vec::new(),
        };
        Ok(Writer {
            index: Some(IndexWriter::create(&dir)?),
            parent,
            dir,
            options,
            segments,
            last: None,
            n_samples: 0,
            n_chunks: 0,
            chunks: Vec::new(),
            is_finished: false,
        })
    }

    /// Writes the next series in order of labels; one without samples is left out.
    ///
    /// # Errors
    /// [`PrometheusBlockError::Series`] when it is not the next one, or its samples are
    /// not ascending in time and within the block: the writer can go on with another
    /// one. [`PrometheusBlockError::Io`], after which it can not.
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
    ) -> Result<()> {
        if timestamps.is_empty() && values.is_empty() {
            return Ok(());
        }
        if let Err(detail) = self.check(labels.clone(), timestamps, values) {
            return Err(PrometheusBlockError::Series {
                labels: Labels::from_pairs(labels),
                detail,
            });
        }
        let Some(index) = &mut self.index else {
            return Ok(());
        };
        self.chunks.clear();
        for (times, values) in timestamps
            .chunks(CHUNK_SAMPLES)
            .zip(values.chunks(CHUNK_SAMPLES))
        {
            let reference = self.segments.chunk(times, values)?;
            if let (Some(&min_t_ms), Some(&max_t_ms)) = (times.first(), times.last()) {
                self.chunks.push(ChunkMeta {
                    min_t_ms,
                    max_t_ms,
                    reference,
                });
            }
        }
        index.series(labels.clone(), &self.chunks)?;
        self.last = Some(Labels::from_sorted(labels));
        self.n_samples += timestamps.len() as u64;
        self.n_chunks += self.chunks.len() as u64;
        Ok(())
    }

    fn check<'a>(
        &self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
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
        if !timestamps.is_sorted_by(|a, b| a < b) {
            return Err("its times are not ascending".to_owned());
        }
        let (min, max) = (self.options.min_t_ms, self.options.max_t_ms);
        match (timestamps.first(), timestamps.last()) {
            (Some(&first), Some(&last)) if first < min || last >= max => Err(format!(
                "its times {first} to {last} are not from {min} to before {max}"
            )),
            _ => Ok(()),
        }
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
    scratch: Vec<u8>,
}

impl SegmentWriter {
    /// Writes a chunk of samples; returns its reference.
    fn chunk(&mut self, timestamps: &[i64], values: &[f64]) -> Result<u64> {
        let mut content = std::mem::take(&mut self.scratch);
        content.clear();
        content.push(ENCODING_XOR);
        xor::encode(timestamps, values, &mut content);
        let mut len = Vec::new();
        write_u64(&mut len, content.len() as u64 - 1);
        let len_bytes = (len.len() + content.len() + 4) as u64;
        let file = self.file_for(len_bytes)?;
        let offset = file.position();
        file.write(&len)?;
        file.write_summed(&content)?;
        file.end_section()?;
        self.scratch = content;
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
