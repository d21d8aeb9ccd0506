//! Selected series, as they were at one moment.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::sealed::SealedPages;
use super::shard::{Captured, ReadScratch, Wanted};
use super::store::MetricStore;
use crate::error::StorageError;
use crate::index::{Dictionary, NameId, Row};
use crate::model::{Labels, Matcher, TimeRange};

/// Series that are copied under one lock of their shard.
const BATCH: usize = 1024;

/// Bytes that a row of labels and a sample take at least, as a rule.
const ROW_BYTES: usize = 32;
const SAMPLE_BYTES: usize = 17;

/// A snapshot of the series that satisfied a selection, in order of creation.
/// Samples are decoded when they are read, from as many threads as the caller likes.
#[derive(Debug)]
pub struct Selection {
    range: TimeRange,
    series: Vec<Selected>,
    /// Rows of labels, one after the other, and the texts of their pairs.
    rows: Vec<u8>,
    dictionary: Arc<RwLock<Dictionary>>,
    /// Bytes of open chunks.
    bytes: Vec<u8>,
    /// By shard.
    pages: Vec<SealedPages>,
    /// Buffers of the last reader, for the next one.
    scratch: Mutex<ReadScratch>,
}

#[derive(Debug, Clone)]
struct Selected {
    captured: Captured,
    id: u32,
    shard: u32,
    row_at: usize,
}

impl Selection {
    /// Returns how many series were selected.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Tells whether nothing was selected.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Returns the labels of series `index` (below [`Selection::len`], else empty).
    pub fn labels(&self, index: usize) -> Labels {
        let Some(series) = self.series.get(index) else {
            return Labels::empty();
        };
        let dictionary = self.dictionary.read();
        let row = Row::new(&self.rows[series.row_at..]);
        Labels::from_sorted(row.pairs().map(|pair| dictionary.pair_text(pair)))
    }

    /// As [`Selection::labels`], but only the labels with one of `names`. Costs much
    /// less where those are few.
    pub fn labels_named<S: AsRef<str>>(&self, index: usize, names: &[S]) -> Labels {
        let Some(series) = self.series.get(index) else {
            return Labels::empty();
        };
        let dictionary = self.dictionary.read();
        let wanted: SmallVec<[NameId; 4]> = names
            .iter()
            .filter_map(|name| dictionary.name(name.as_ref()))
            .collect();
        let row = Row::new(&self.rows[series.row_at..]);
        let kept = row
            .pairs()
            .filter(|&pair| wanted.contains(&dictionary.pair_name(pair)));
        Labels::from_sorted(kept.map(|pair| dictionary.pair_text(pair)))
    }

    /// Returns how much memory the selection holds for itself, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.series.capacity() * size_of::<Selected>()
            + self.rows.capacity()
            + self.bytes.capacity()
    }

    /// Replaces the content of both columns by the samples of series `index` within
    /// the selected range, in order of time, stale markers included.
    ///
    /// # Errors
    /// A chunk could not be decoded.
    pub fn read(
        &self,
        index: usize,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), StorageError> {
        timestamps.clear();
        values.clear();
        let Some(series) = self.series.get(index) else {
            return Ok(());
        };
        let pages = &self.pages[series.shard as usize];
        // A second reader at the same time has to do with new ones.
        let (mut free, mut own) = (self.scratch.try_lock(), None);
        let scratch = match &mut free {
            Some(scratch) => &mut **scratch,
            None => own.insert(ReadScratch::default()),
        };
        let read =
            series
                .captured
                .read(pages, &self.bytes, self.range, scratch, timestamps, values);
        read.map_err(|_| StorageError::Chunk {
            series: format!("{:?}", self.labels(index)),
        })
    }
}

impl MetricStore {
    /// Takes a snapshot of the series that satisfy all matchers and may have samples
    /// in `range`, in order of creation.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Selection, StorageError> {
        Ok(self.snapshot(matchers, range, Wanted::All))
    }

    /// As [`MetricStore::select`], for a reader that looks only at the newest sample in
    /// `range` of each series: older ones may be missing, which saves copying and
    /// decoding them.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn select_newest(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Selection, StorageError> {
        Ok(self.snapshot(matchers, range, Wanted::Newest))
    }

    fn snapshot(&self, matchers: &[Matcher], range: TimeRange, wanted: Wanted) -> Selection {
        let capture = self.capture.lock();
        let epoch = {
            let mut epoch = self.gate.write();
            *epoch = epoch.wrapping_add(1);
            *epoch
        };
        // Ids stay with their series while `capture` is held.
        let ids = self.index.read().resolve(matchers);
        let mut selection = Selection {
            range,
            series: Vec::with_capacity(ids.len()),
            rows: Vec::with_capacity(ids.len() * ROW_BYTES),
            dictionary: Arc::default(),
            bytes: Vec::with_capacity(ids.len() * SAMPLE_BYTES),
            pages: vec![SealedPages::default(); self.shards.len()],
            scratch: Mutex::default(),
        };
        self.capture_all(&ids, epoch, wanted, &mut selection);
        // Each shard came in order, but for ids that were given again: the stable sort
        // merges such runs quickly.
        selection.series.sort_by_key(|series| series.captured.born);
        self.copy_rows(&mut selection);
        drop(capture);
        selection
    }

    fn capture_all(&self, ids: &[u32], epoch: u32, wanted: Wanted, selection: &mut Selection) {
        let mut by_shard: Vec<Vec<u32>> = vec![Vec::new(); self.shards.len()];
        for &id in ids {
            by_shard[self.layout.shard(id)].push(id);
        }
        for (shard, ids) in by_shard.iter().enumerate() {
            for batch in ids.chunks(BATCH) {
                let locked = self.shards[shard].lock();
                // The last ones are good for all, because pages only come while
                // `capture` is held.
                let pages = locked.pages();
                for &id in batch {
                    let slot = self.layout.slot(id);
                    let bytes = &mut selection.bytes;
                    let range = selection.range;
                    let captured = locked.capture(slot, range, wanted, epoch, &pages, bytes);
                    selection.series.extend(captured.map(|captured| Selected {
                        captured,
                        id,
                        shard: shard as u32,
                        row_at: 0,
                    }));
                }
                selection.pages[shard] = pages;
            }
        }
    }

    fn copy_rows(&self, selection: &mut Selection) {
        let index = self.index.read();
        selection.dictionary = index.dictionary();
        let rows = &mut selection.rows;
        selection.series.retain_mut(|series| {
            series.row_at = rows.len();
            let row = index.row(series.id);
            rows.extend_from_slice(row.map_or(&[], Row::bytes));
            row.is_some()
        });
    }
}
