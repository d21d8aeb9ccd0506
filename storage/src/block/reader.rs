//! Reads a block.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::grouped::GroupReader;
use super::index::{Dictionary, Index, NameStats, Pairs};
use super::layout::{DATA_FILE, DATA_GROUP_BYTES, INDEX_FILE, check_data_header};
use super::meta::MAX_BYTES;
use super::resolve::BlockLists;
use super::samples::{ReadScratch, SeriesChunks};
use super::tombstones::{self, TOMBSTONES_FILE, Tombstones};
use super::{BlockError, BlockMeta, META_FILE};
use crate::fs::Dir;
use crate::index::{Lists, Regexes, resolve};
use crate::model::histogram::HistogramPoint;
use crate::model::histogram::HistogramSample;
use crate::model::{Matcher, TimeRange};
use crate::sync::atomic::AtomicBool;

/// Numbers of values that are remembered as answers to patterns.
const MAX_REMEMBERED: usize = 1 << 16;

/// Name of the tombstones while they are written.
const TOMBSTONES_WRITING: &str = "tombstones.tmp";

/// An open block; every method may be called from several threads.
pub struct Block {
    dir: Arc<dyn Dir>,
    meta: BlockMeta,
    index: Index,
    data: GroupReader,
    regexes: Regexes,
    tombstones: RwLock<Arc<Tombstones>>,
    /// Whether there are tombstones: a look at this is cheaper than the lock.
    has_tombstones: AtomicBool,
    /// Held while the file of tombstones is replaced.
    deleting: Mutex<()>,
}

/// The labels of a series of a block, in order of name.
#[derive(Debug, Clone)]
pub struct SeriesLabels<'a> {
    index: &'a Index,
    dictionary: Dictionary<'a>,
    pairs: Pairs<'a>,
}

impl<'a> Iterator for SeriesLabels<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let (name, pair) = self.pairs.next()?;
        let name = &self.index.names[name as usize];
        Some((&name.text, name.value(pair, &self.dictionary)))
    }
}

/// Numbers of names of labels.
pub type Names = SmallVec<[u32; 4]>;

/// The labels of a block by the numbers of their pairs.
#[derive(Debug, Clone, Copy)]
pub struct BlockTexts<'a> {
    block: &'a Block,
    dictionary: Dictionary<'a>,
}

impl<'a> BlockTexts<'a> {
    /// Returns a number above those of all pairs.
    pub fn n_pairs(&self) -> u32 {
        self.block.index.n_pairs()
    }

    /// Returns name and value of a pair; nothing where there is none.
    #[inline]
    pub fn text(&self, pair: u32) -> (&'a str, &'a str) {
        match self.block.index.name_of(pair) {
            Some(name) => (&name.text, name.value(pair, &self.dictionary)),
            None => ("", ""),
        }
    }

    /// Finds a pair.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn find(&self, name: &str, value: &str) -> Result<Option<u32>, BlockError> {
        let lists = self.block.lists();
        match lists.name(name) {
            Some(name) => lists.pair(name, value),
            None => Ok(None),
        }
    }
}

impl Block {
    /// Opens the block in `dir`: reads `meta.json`, the head of the index, and the
    /// tombstones.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] names the file and the place where something is wrong.
    pub fn open(dir: Arc<dyn Dir>) -> Result<Block, BlockError> {
        let path = dir.path().join(META_FILE);
        let meta = BlockMeta::decode(&dir.read(META_FILE, MAX_BYTES)?, &path)?;
        let is_range = meta.max_t_ms.checked_sub(meta.min_t_ms);
        if is_range.is_none_or(|len_ms| len_ms <= 0) {
            return Err(BlockError::corrupt(&path, 0, "its range of time is empty"));
        }
        let index = Index::open(dir.as_ref(), &meta)?;
        let data = GroupReader::open(dir.as_ref(), DATA_FILE, meta.bytes_data, DATA_GROUP_BYTES)?;
        check_data_header(&data, meta.ulid)?;
        let tombstones = read_tombstones(dir.as_ref(), &meta, index.n_series)?;
        Ok(Block {
            has_tombstones: AtomicBool::new(!tombstones.is_empty()),
            tombstones: RwLock::new(Arc::new(tombstones)),
            deleting: Mutex::new(()),
            regexes: Regexes::with_limit(MAX_REMEMBERED),
            dir,
            meta,
            index,
            data,
        })
    }

    /// Returns what the block is.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Counts the series.
    pub fn n_series(&self) -> u32 {
        self.index.n_series
    }

    /// Counts the intervals that were deleted.
    pub fn n_tombstones(&self) -> u64 {
        self.tombstones.read().len()
    }

    /// Returns the series that satisfy all matchers, ascending, which is label order.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn resolve(&self, matchers: &[Matcher]) -> Result<Vec<u32>, BlockError> {
        resolve(&self.lists(), matchers)
    }

    fn lists(&self) -> BlockLists<'_> {
        BlockLists {
            index: &self.index,
            regexes: &self.regexes,
        }
    }

    /// Returns the texts of labels.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn texts(&self) -> Result<BlockTexts<'_>, BlockError> {
        Ok(BlockTexts {
            block: self,
            dictionary: self.index.dictionary()?,
        })
    }

    /// Finds names of labels; those that no series has are left out.
    pub fn names<S: AsRef<str>>(&self, names: &[S]) -> Names {
        let found = names.iter().map(|name| self.index.name(name.as_ref()));
        found.flatten().collect()
    }

    /// As [`Block::labels`], but only the labels with one of `names`.
    ///
    /// # Errors
    /// As [`Block::labels`].
    #[inline]
    pub fn labels_named<'a>(
        &'a self,
        series: u32,
        names: &'a Names,
    ) -> Result<impl Iterator<Item = (&'a str, &'a str)> + Clone, BlockError> {
        self.check_series(series)?;
        let dictionary = self.index.dictionary()?;
        let pairs = self.index.pairs(series)?;
        let wanted = pairs.filter(|(name, _)| names.contains(name));
        Ok(wanted.map(move |(name, pair)| {
            let name = &self.index.names[name as usize];
            (&*name.text, name.value(pair, &dictionary))
        }))
    }

    /// Returns the numbers of the labels of a series, in order of name.
    ///
    /// # Errors
    /// As [`Block::labels`].
    #[inline]
    pub fn pairs(&self, series: u32) -> Result<impl Iterator<Item = u32> + '_, BlockError> {
        self.check_series(series)?;
        Ok(self.index.pairs(series)?.map(|(_, pair)| pair))
    }

    /// Returns the labels of a series in order of name, borrowed from the map.
    ///
    /// # Errors
    /// The index is damaged, or there is no such series.
    #[inline]
    pub fn labels(&self, series: u32) -> Result<SeriesLabels<'_>, BlockError> {
        self.check_series(series)?;
        Ok(SeriesLabels {
            index: &self.index,
            dictionary: self.index.dictionary()?,
            pairs: self.index.pairs(series)?,
        })
    }

    /// Tells whether a chunk of the series, not wholly deleted, shares a time with the
    /// range; looks at the index only.
    ///
    /// # Errors
    /// The index is damaged, or there is no such series.
    pub fn overlaps(&self, series: u32, range: TimeRange) -> Result<bool, BlockError> {
        let chunks = self.chunks(series)?;
        match self.deleted() {
            Some(tombstones) => chunks.overlaps(range, tombstones.of(series)),
            None => chunks.overlaps(range, &[]),
        }
    }

    /// Appends the samples of a series in the range, without the deleted ones, to
    /// `timestamps` and `values`. After an error both are as long as before.
    ///
    /// # Errors
    /// The block is damaged, or there is no such series.
    pub fn read(
        &self,
        series: u32,
        range: TimeRange,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), BlockError> {
        let (n_times, n_values) = (timestamps.len(), values.len());
        let read = self
            .chunks(series)
            .and_then(|chunks| chunks.read(range, scratch, timestamps, values));
        if let Err(error) = read {
            timestamps.truncate(n_times);
            values.truncate(n_values);
            return Err(error);
        }
        if let Some(tombstones) = self.deleted() {
            let deleted = tombstones.of(series);
            if !deleted.is_empty() {
                // Both grew by the same number.
                let mut rest = values.split_off(n_values);
                let mut times = timestamps.split_off(n_times);
                tombstones::drop_deleted(deleted, 0, &mut times, &mut rest);
                timestamps.append(&mut times);
                values.append(&mut rest);
            }
        }
        Ok(())
    }

    /// Tells whether any series has histograms.
    pub fn has_histograms(&self) -> bool {
        self.meta.n_histograms > 0
    }

    /// Appends the histograms of a series in the range, without the deleted ones, as
    /// queries take them. After an error `out` is as long as before.
    ///
    /// # Errors
    /// As [`Block::read`].
    pub fn read_histograms(
        &self,
        series: u32,
        range: TimeRange,
        scratch: &mut ReadScratch,
        out: &mut Vec<HistogramSample>,
    ) -> Result<(), BlockError> {
        self.with_deleted(series, out, |chunks, deleted, out| {
            chunks.read_histograms(range, deleted, scratch, out)
        })
    }

    /// As [`Block::read_histograms`], with the counts that the histograms came with.
    ///
    /// # Errors
    /// As [`Block::read`].
    pub fn read_points(
        &self,
        series: u32,
        range: TimeRange,
        scratch: &mut ReadScratch,
        out: &mut Vec<HistogramPoint>,
    ) -> Result<(), BlockError> {
        self.with_deleted(series, out, |chunks, deleted, out| {
            chunks.read_points(range, deleted, scratch, out)
        })
    }

    /// Reads histograms of a series, if there are any.
    fn with_deleted<T>(
        &self,
        series: u32,
        out: &mut Vec<T>,
        read: impl FnOnce(&SeriesChunks<'_>, &[TimeRange], &mut Vec<T>) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        if !self.has_histograms() {
            return Ok(());
        }
        let n = out.len();
        let tombstones = self.deleted();
        let deleted = tombstones.as_ref().map_or(&[][..], |all| all.of(series));
        let chunks = self.chunks(series)?;
        let read = read(&chunks, deleted, out);
        if read.is_err() {
            out.truncate(n);
        }
        read
    }

    fn chunks(&self, series: u32) -> Result<SeriesChunks<'_>, BlockError> {
        self.check_series(series)?;
        let (_, at) = self.index.row(series)?;
        Ok(SeriesChunks {
            index: &self.index,
            data: &self.data,
            ulid: self.meta.ulid,
            base: self.meta.min_t_ms,
            end: self.meta.max_t_ms,
            at,
        })
    }

    #[inline]
    fn deleted(&self) -> Option<Arc<Tombstones>> {
        let has_tombstones = self.has_tombstones.load(Ordering::Acquire);
        has_tombstones.then(|| Arc::clone(&self.tombstones.read()))
    }

    #[inline]
    fn check_series(&self, series: u32) -> Result<(), BlockError> {
        if series < self.index.n_series {
            return Ok(());
        }
        Err(BlockError::NoSeries {
            path: self.path(),
            series,
            n_series: self.index.n_series,
        })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }

    /// Returns the names of labels, sorted.
    ///
    /// # Errors
    /// None: names were checked when the block was opened.
    pub fn label_names(&self) -> Result<Vec<String>, BlockError> {
        let names = self.index.names.iter();
        Ok(names.map(|name| name.text.to_string()).collect())
    }

    /// Tells whether a series has a label of this name.
    pub fn has_label(&self, name: &str) -> bool {
        self.index.name(name).is_some()
    }

    /// Returns the values of a name, sorted; empty where no series has it.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn label_values(&self, name: &str) -> Result<Vec<String>, BlockError> {
        let Some(name) = self.index.name(name) else {
            return Ok(Vec::new());
        };
        let name = &self.index.names[name as usize];
        let dictionary = self.index.dictionary()?;
        let pairs = name.base..name.base + name.n_values;
        Ok(pairs.map(|pair| dictionary.text(pair).to_owned()).collect())
    }

    /// Returns the names of labels of these series, sorted.
    ///
    /// # Errors
    /// The index is damaged, or there is no such series.
    pub fn label_names_of(&self, series: &[u32]) -> Result<Vec<String>, BlockError> {
        let mut shapes = vec![false; self.index.n_shapes()];
        let mut names = vec![false; self.index.names.len()];
        for &series in series {
            self.check_series(series)?;
            let shape = self.index.row(series)?.0.shape;
            // Series are many, sets of names few.
            if !shapes.get(shape).copied().unwrap_or_default() {
                for (name, _) in self.index.pairs(series)? {
                    names[name as usize] = true;
                }
                shapes[shape] = true;
            }
        }
        let found = self.index.names.iter().zip(names).filter(|found| found.1);
        Ok(found.map(|(name, _)| name.text.to_string()).collect())
    }

    /// Returns the values of a name in these series, sorted.
    ///
    /// # Errors
    /// The index is damaged, or there is no such series.
    pub fn label_values_of(&self, name: &str, series: &[u32]) -> Result<Vec<String>, BlockError> {
        let Some(wanted) = self.index.name(name) else {
            return Ok(Vec::new());
        };
        let name = &self.index.names[wanted as usize];
        let mut is_found = vec![false; name.n_values as usize];
        for &series in series {
            self.check_series(series)?;
            let pair = self.index.pairs(series)?.find(|&(name, _)| name == wanted);
            let number = pair.map(|(_, pair)| (pair - name.base) as usize);
            if let Some(found) = number.and_then(|number| is_found.get_mut(number)) {
                *found = true;
            }
        }
        let dictionary = self.index.dictionary()?;
        let found = (name.base..).zip(is_found).filter(|&(_, found)| found);
        Ok(found
            .map(|(pair, _)| dictionary.text(pair).to_owned())
            .collect())
    }

    /// Returns the bytes of each part of the index, with its name, for measurements.
    #[cfg(any(test, feature = "internals"))]
    #[doc(hidden)]
    pub fn section_sizes(&self) -> Vec<(String, usize)> {
        self.index.section_sizes()
    }

    /// Returns figures about the names of labels, by name.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn stats(&self) -> Result<Vec<NameStats>, BlockError> {
        self.index.stats()
    }

    /// Deletes samples: later reads do not see them. What is not in the block is left out.
    /// Durable when it returns.
    ///
    /// # Errors
    /// The disk refuses, the index is damaged, or there is no such series; nothing is
    /// deleted then.
    pub fn delete(&self, ranges: &[(u32, TimeRange)]) -> Result<(), BlockError> {
        let _deleting = self.deleting.lock();
        let mut tombstones = self.tombstones.read().as_ref().clone();
        for &(series, range) in ranges {
            let start_ms = range.start_ms.max(self.meta.min_t_ms);
            let end_ms = range.end_ms.min(self.meta.max_t_ms - 1);
            if start_ms <= end_ms && self.overlaps(series, range)? {
                tombstones.add(series, TimeRange::new(start_ms, end_ms));
            }
        }
        if tombstones == **self.tombstones.read() {
            return Ok(());
        }
        let bytes = tombstones.encode(self.meta.ulid, self.meta.min_t_ms);
        if self
            .dir
            .files()?
            .iter()
            .any(|file| file == TOMBSTONES_WRITING)
        {
            self.dir.remove(TOMBSTONES_WRITING)?;
        }
        let file = self.dir.create(TOMBSTONES_WRITING)?;
        file.append(&bytes)?;
        file.sync()?;
        self.dir.rename(TOMBSTONES_WRITING, TOMBSTONES_FILE)?;
        self.dir.sync()?;
        *self.tombstones.write() = Arc::new(tombstones);
        self.has_tombstones.store(true, Ordering::Release);
        Ok(())
    }

    /// Reads all files and compares their checksums, whether that was done before or not.
    /// `pace` is called in front of every group of bytes; it may wait, and break off.
    ///
    /// # Errors
    /// What is damaged.
    pub fn verify(&self, pace: &mut dyn FnMut() -> ControlFlow<()>) -> Result<(), BlockError> {
        for file in [&self.index.file, &self.data] {
            for group in 0..file.n_groups() {
                if pace().is_break() {
                    return Ok(());
                }
                file.check(group)?;
            }
        }
        let path = self.dir.path().join(META_FILE);
        BlockMeta::decode(&self.dir.read(META_FILE, MAX_BYTES)?, &path)?;
        let _deleting = self.deleting.lock();
        read_tombstones(self.dir.as_ref(), &self.meta, self.index.n_series)?;
        Ok(())
    }

    /// Links the files of the block into the empty directory `to`, which is synced.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn link_into(&self, to: &Arc<dyn Dir>) -> Result<(), BlockError> {
        // Nothing is deleted meanwhile, so the tombstones are those of one moment.
        let _deleting = self.deleting.lock();
        let files = self.dir.files()?;
        let present = |name: &&str| files.iter().any(|file| file == name);
        // The description comes last: it makes a block of the directory.
        let names = [DATA_FILE, INDEX_FILE, TOMBSTONES_FILE, META_FILE];
        for name in names.iter().filter(|name| present(name)) {
            self.dir.link(name, to.as_ref())?;
        }
        to.sync()?;
        Ok(())
    }
}

fn read_tombstones(
    dir: &dyn Dir,
    meta: &BlockMeta,
    n_series: u32,
) -> Result<Tombstones, BlockError> {
    let bytes = match dir.read(TOMBSTONES_FILE, tombstones::MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(Tombstones::default()),
        Err(error) => return Err(error.into()),
    };
    let path = dir.path().join(TOMBSTONES_FILE);
    Tombstones::decode(&bytes, &path, meta.ulid, meta.min_t_ms, n_series)
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({}, {})", self.path().display(), self.meta.ulid)
    }
}
