//! Writes a block, series by series.
//!
//! Values go to `data` as they come. What the index needs is kept packed: a row of label
//! numbers, an entry per chunk, each text once; about 60 bytes for a series with twelve
//! labels. The index is written at the end, when all values of all names are known.

use std::path::PathBuf;
use std::sync::Arc;

use super::entry::{Entry, MAX_INLINE, Times, Values};
use super::grouped::GroupWriter;
use super::index_writer::{self, Chunks, Labels};
use super::layout::{DATA_FILE, DATA_GROUP_BYTES, data_header};
use super::place::{WRITING, remove_block, remove_tree};
use super::vectors::{self, Vectors};
use super::{BlockError, BlockMeta, BlockOptions, META_FILE, Ulid};
use crate::codec::histogram::{self, Cutter, Run};
use crate::codec::sealed::{self, Codec, Effort};
use crate::fs::Dir;
use crate::model::histogram::HistogramPoint;

/// Values of a chunk, about. Chunks end at certain times, so that series of one rhythm
/// have chunks with the same times.
const HOT_VALUES: usize = 1024;

/// The same for blocks that are read in long pieces.
const COLD_VALUES: usize = 8192;

/// A block that is being written. Dropped unfinished it leaves nothing.
#[derive(Debug)]
pub struct BlockWriter {
    blocks: Arc<dyn Dir>,
    dir: Arc<dyn Dir>,
    ulid: Ulid,
    options: BlockOptions,
    /// Taken at the end.
    data: Option<GroupWriter>,
    labels: Labels,
    chunks: Chunks,
    vectors: Vectors,
    n_samples: u64,
    n_histograms: u64,
    scratch: Scratch,
    is_finished: bool,
}

#[derive(Debug, Default)]
struct Scratch {
    sealed: sealed::Scratch,
    runs: histogram::Scratch,
    payload: Vec<u8>,
}

impl BlockWriter {
    /// Begins a block in `<ulid>.tmp` below `blocks`.
    ///
    /// # Errors
    /// The range is empty, or the disk refuses.
    pub fn create(
        blocks: &Arc<dyn Dir>,
        ulid: Ulid,
        options: BlockOptions,
    ) -> Result<BlockWriter, BlockError> {
        let range = options.min_t_ms..options.max_t_ms;
        let name = format!("{ulid}{WRITING}");
        let len_ms = range.end.checked_sub(range.start);
        if len_ms.is_none_or(|len_ms| len_ms <= 0) {
            return Err(BlockError::Input {
                path: blocks.path().join(name),
                what: format!("the range from {} to {}", range.start, range.end),
            });
        }
        if blocks.dirs()?.contains(&name) {
            remove_tree(blocks, &name)?;
        }
        let dir = blocks.subdir(&name)?;
        let mut writer = BlockWriter {
            blocks: Arc::clone(blocks),
            ulid,
            data: None,
            labels: Labels::default(),
            chunks: Chunks::default(),
            vectors: Vectors::new(range),
            n_samples: 0,
            n_histograms: 0,
            scratch: Scratch::default(),
            is_finished: false,
            options,
            dir,
        };
        let mut data = GroupWriter::create(writer.dir.as_ref(), DATA_FILE, DATA_GROUP_BYTES)?;
        data.append(&data_header(ulid))?;
        writer.data = Some(data);
        Ok(writer)
    }

    /// Adds a series of floats; see [`BlockWriter::series_with`].
    ///
    /// # Errors
    /// As there.
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
    ) -> Result<(), BlockError> {
        self.series_with(labels, timestamps, values, &[])
    }

    /// Adds a series of floats and histograms. Series come in ascending order of their
    /// labels, the times of each kind of its samples ascend strictly and lie in the range
    /// of the block. One without samples is left out.
    ///
    /// # Errors
    /// [`BlockError::Input`] where a rule is broken, or the disk refuses; the block is
    /// to be dropped then.
    pub fn series_with<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
        histograms: &[HistogramPoint],
    ) -> Result<(), BlockError> {
        if timestamps.len() != values.len() {
            let (n, m) = (timestamps.len(), values.len());
            return Err(self.refuse(format!("a series with {n} times and {m} values")));
        }
        if timestamps.is_empty() && histograms.is_empty() {
            return Ok(());
        }
        self.check_times(timestamps)?;
        self.labels.add(labels).map_err(|what| self.refuse(what))?;
        self.n_samples += timestamps.len() as u64;
        let mut is_first = true;
        let mut values = values;
        for len in self.parts(timestamps) {
            let at = timestamps.len() - values.len();
            let (v, more) = values.split_at(len);
            is_first &= !self.chunk(&timestamps[at..at + len], v, is_first)?;
            values = more;
        }
        if !histograms.is_empty() {
            self.histograms(histograms, is_first)?;
        }
        self.chunks.end_series();
        Ok(())
    }

    fn check_times(&self, timestamps: &[i64]) -> Result<(), BlockError> {
        let (Some(&first), Some(&last)) = (timestamps.first(), timestamps.last()) else {
            return Ok(());
        };
        let ascends = timestamps.is_sorted_by(|a, b| a < b);
        if !ascends || first < self.options.min_t_ms || last >= self.options.max_t_ms {
            return Err(self.refuse(format!(
                "a series from {first} to {last}, times must ascend from {} and end before {}",
                self.options.min_t_ms, self.options.max_t_ms
            )));
        }
        Ok(())
    }

    /// Returns how many of a series' times go to each of its chunks.
    fn parts(&self, timestamps: &[i64]) -> Vec<usize> {
        let mut parts = Vec::new();
        if timestamps.is_empty() {
            return parts;
        }
        let part_ms = self.part_ms(timestamps);
        let mut timestamps = timestamps;
        while let Some(&first) = timestamps.first() {
            let end = (first - self.options.min_t_ms) / part_ms * part_ms;
            let end = self
                .options
                .min_t_ms
                .saturating_add(end)
                .saturating_add(part_ms);
            let len = timestamps.partition_point(|&t| t < end);
            // More than usual in one part: equal pieces of it.
            let len = len.div_ceil(len.div_ceil(self.most_values()));
            parts.push(len);
            timestamps = &timestamps[len..];
        }
        parts
    }

    /// Writes the histograms of a series; `is_first` where it has no bytes in `data` yet.
    fn histograms(
        &mut self,
        points: &[HistogramPoint],
        mut is_first: bool,
    ) -> Result<(), BlockError> {
        let t_ms: Vec<i64> = points.iter().map(|point| point.t_ms).collect();
        self.check_times(&t_ms)?;
        self.n_samples += points.len() as u64;
        self.n_histograms += points.len() as u64;
        let (mut cutter, mut runs) = (Cutter::new(self.most_values()), Vec::new());
        let mut rest = points;
        for len in self.parts(&t_ms) {
            let (part, more) = rest.split_at(len);
            rest = more;
            for point in part {
                let ended = cutter.add(&point.histogram);
                runs.extend(ended.map_err(|error| self.refuse(error.to_string()))?);
            }
            cutter.end_run();
        }
        runs.extend(cutter.finish());
        let mut rest = points;
        for Run { layout, len } in runs {
            let (run, more) = rest.split_at(len);
            let at = points.len() - rest.len();
            let (times, effort) = (self.place_times(&t_ms[at..at + len]), self.effort());
            let Scratch { runs, payload, .. } = &mut self.scratch;
            let values_at = payload.len();
            let histograms = run.iter().map(|point| &point.histogram);
            histogram::encode_values(histograms, &layout, effort, runs, payload)
                .map_err(|error| self.refuse(error.to_string()))?;
            is_first &= !self.entry(times, None, values_at, is_first)?;
            rest = more;
        }
        Ok(())
    }

    fn most_values(&self) -> usize {
        if self.options.cold {
            COLD_VALUES
        } else {
            HOT_VALUES
        }
    }

    /// Returns the length of the parts of the block's range in which a chunk of the
    /// series ends: a part of it by a power of two, from the mean step alone, so that
    /// series that begin late are cut where the others of their rhythm are.
    fn part_ms(&self, t_ms: &[i64]) -> i64 {
        let range_ms = self.options.max_t_ms - self.options.min_t_ms;
        let steps = t_ms.len() as i64 - 1;
        if steps == 0 {
            return range_ms;
        }
        let step_ms = ((t_ms[t_ms.len() - 1] - t_ms[0]) / steps).max(1);
        let expected = (range_ms / step_ms).cast_unsigned();
        let parts = expected.div_ceil(self.most_values() as u64).max(1);
        (range_ms / parts.next_power_of_two().cast_signed()).saturating_add(1)
    }

    fn effort(&self) -> Effort {
        if self.options.cold {
            Effort::Cold
        } else {
            Effort::Block
        }
    }

    /// Finds the times of a chunk, or begins its bytes with them.
    fn place_times(&mut self, t_ms: &[i64]) -> Times {
        let payload = &mut self.scratch.payload;
        payload.clear();
        self.vectors.place(t_ms).unwrap_or_else(|| {
            vectors::encode_times(t_ms, payload);
            let (first, last) = (t_ms[0], t_ms[t_ms.len() - 1]);
            Times::Own {
                first: (first - self.options.min_t_ms) as u64,
                span: (last - first) as u64,
                n: t_ms.len() as u32,
                len_bytes: payload.len() as u64,
            }
        })
    }

    /// Writes a chunk of floats; `is_first` where the series has no bytes in `data` yet.
    /// Returns whether this one has.
    fn chunk(&mut self, t_ms: &[i64], values: &[f64], is_first: bool) -> Result<bool, BlockError> {
        let (times, effort) = (self.place_times(t_ms), self.effort());
        let Scratch {
            sealed, payload, ..
        } = &mut self.scratch;
        let at = payload.len();
        let codec = sealed::seal_with(values, None, effort, sealed, payload);
        self.entry(times, Some((codec, values[0])), at, is_first)
    }

    /// Writes a chunk whose values begin at `at` of the payload: of floats, with their
    /// codec and the first of them, or of histograms.
    fn entry(
        &mut self,
        times: Times,
        floats: Option<(Codec, f64)>,
        at: usize,
        is_first: bool,
    ) -> Result<bool, BlockError> {
        let payload = &self.scratch.payload;
        let mut in_data = payload.len();
        let values = if let Some((Codec::Const, value)) = floats {
            in_data = at;
            Values::Constant(value)
        } else if payload.len() - at <= MAX_INLINE {
            in_data = at;
            Values::Inline(&payload[at..])
        } else {
            Values::InData {
                len_bytes: (payload.len() - at) as u64,
            }
        };
        let Some(data) = &mut self.data else {
            return Ok(false);
        };
        let data_at = is_first.then(|| data.position());
        let entry = Entry {
            times,
            values,
            is_histograms: floats.is_none(),
        };
        self.chunks.push(|out| entry.encode(data_at, out));
        data.append(&payload[..in_data])?;
        Ok(in_data > 0)
    }

    /// Makes the block durable and gives it its name. `None` when it has no series; there
    /// is no block then.
    ///
    /// # Errors
    /// The disk refuses; there is no block then.
    pub fn finish(mut self) -> Result<Option<BlockMeta>, BlockError> {
        let n_series = self.labels.n_series();
        let Some(data) = self.data.take().filter(|_| n_series > 0) else {
            return Ok(None);
        };
        let options = &self.options;
        let mut sources = options.sources.clone();
        if sources.is_empty() {
            sources.push(self.ulid);
        }
        let mut meta = BlockMeta {
            ulid: self.ulid,
            min_t_ms: options.min_t_ms,
            max_t_ms: options.max_t_ms,
            level: options.level.max(1),
            sources,
            head_until_ms: self.options.head_until_ms,
            is_cold: self.options.cold,
            parents: options.parents.clone(),
            n_series: u64::from(n_series),
            n_samples: self.n_samples,
            n_histograms: self.n_histograms,
            n_chunks: self.chunks.n_chunks(),
            bytes_index: 0,
            bytes_data: data.finish(0)?,
        };
        let vectors = std::mem::replace(&mut self.vectors, Vectors::new(0..1));
        let chunks = std::mem::take(&mut self.chunks);
        meta.bytes_index =
            index_writer::write(self.dir.as_ref(), &meta, &self.labels, chunks, vectors)?;

        let file = self.dir.create(META_FILE)?;
        file.append(&meta.encode(&self.path().join(META_FILE))?)?;
        file.sync()?;
        self.dir.sync()?;
        let name = self.ulid.to_string();
        self.blocks.rename_dir(&format!("{name}{WRITING}"), &name)?;
        self.is_finished = true;
        if let Err(error) = self.blocks.sync() {
            // Nothing is known of the name now; its owner takes it for not there.
            let _ = remove_block(&self.blocks, self.ulid);
            return Err(error.into());
        }
        Ok(Some(meta))
    }

    fn path(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }

    fn refuse(&self, what: String) -> BlockError {
        BlockError::Input {
            path: self.path(),
            what,
        }
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            self.data = None;
            // What cannot be removed now is removed at the next start.
            let _ = remove_tree(&self.blocks, &format!("{}{WRITING}", self.ulid));
        }
    }
}
