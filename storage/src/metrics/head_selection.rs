//! Selected series of the head, as they were at one moment.

use std::sync::Arc;

use parking_lot::{MutexGuard, RwLock, RwLockReadGuard};
use smallvec::SmallVec;

use super::blocks::BlockSet;
use super::extras::{Extra, NO_EXTRA, Taken};
use super::histograms::Point;
use super::samples::Samples;
use super::sealed::SealedPages;
use super::selection::packed;
use super::shard::{Captured, ReadScratch, Wanted, Window};
use super::store::{Capture, MetricStore};
use crate::error::StorageError;
use crate::index::{Dictionary, NameId, PairId, Row};
use crate::model::{Labels, Matcher, TimeRange};

/// Series that are copied under one lock of their shard.
const BATCH: usize = 1024;

/// Bytes that a row of labels and a sample take at least, as a rule.
const ROW_BYTES: usize = 32;
const SAMPLE_BYTES: usize = 17;

/// Room for samples that is made before they are seen, at most.
const MAX_RESERVED: usize = 64 << 20;

/// The series of the head that satisfied a selection, in order of creation.
#[derive(Debug)]
pub(super) struct HeadSelection {
    window: Window,
    series: Vec<Selected>,
    /// Rows of labels, one after the other, and the texts of their pairs.
    rows: Vec<u8>,
    dictionary: Arc<RwLock<Dictionary>>,
    /// What was copied of the shards.
    taken: Taken,
    /// By shard.
    pages: Vec<SealedPages>,
}

#[derive(Debug, Clone)]
struct Selected {
    captured: Captured,
    id: u32,
    shard: u32,
    row_at: usize,
}

impl HeadSelection {
    /// Returns how many series were selected.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// Returns the labels of series `index` (below [`HeadSelection::len`], else empty).
    pub(super) fn labels(&self, index: usize) -> Labels {
        if index >= self.series.len() {
            return Labels::empty();
        }
        let dictionary = self.dictionary.read();
        let row = self.row(index);
        packed(row.pairs().map(|pair| dictionary.pair_text(pair)))
    }

    /// Finds names of labels; those that no series has are left out.
    pub(super) fn names<S: AsRef<str>>(&self, names: &[S]) -> SmallVec<[NameId; 4]> {
        let dictionary = self.dictionary.read();
        let found = names.iter().map(|name| dictionary.name(name.as_ref()));
        found.flatten().collect()
    }

    /// As [`HeadSelection::labels`], but only the labels with one of `names`.
    pub(super) fn labels_named(&self, index: usize, names: &[NameId]) -> Labels {
        if index >= self.series.len() {
            return Labels::empty();
        }
        let dictionary = self.dictionary.read();
        let row = self.row(index);
        let wanted = |&pair: &PairId| names.contains(&dictionary.pair_name(pair));
        let kept = row.pairs().filter(wanted);
        packed(kept.map(|pair| dictionary.pair_text(pair)))
    }

    /// Returns the bytes of memory held, without the pages it shares with the store.
    pub(super) fn memory_bytes(&self) -> usize {
        self.series.capacity() * size_of::<Selected>()
            + self.rows.capacity()
            + self.taken.memory_bytes()
    }

    /// Tells whether a series has late samples or deleted times.
    pub(super) fn has_extra(&self, index: usize) -> bool {
        let series = self.series.get(index);
        series.is_some_and(|series| series.captured.extra != NO_EXTRA)
    }

    /// Tells whether any series may have histograms.
    pub(super) fn has_any_histograms(&self) -> bool {
        self.taken.extras.iter().any(Extra::has_histograms)
    }

    /// Tells whether a series may have histograms.
    pub(super) fn has_histograms(&self, index: usize) -> bool {
        let series = self.series.get(index);
        series.is_some_and(|series| series.captured.has_histograms(&self.taken))
    }

    /// Appends the histograms of series `index` within the selected range, in order of
    /// time, stale markers included.
    ///
    /// # Errors
    /// A run could not be decoded.
    pub(super) fn read_histograms(
        &self,
        index: usize,
        into: &mut Vec<Point>,
    ) -> Result<(), StorageError> {
        let Some(series) = self.series.get(index) else {
            return Ok(());
        };
        let read = series
            .captured
            .read_histograms(&self.taken, self.window, into);
        read.map_err(|_| StorageError::Chunk {
            series: format!("{:?}", self.labels(index)),
        })
    }

    /// Replaces the content of `samples` by the samples of series `index` within the
    /// selected range.
    ///
    /// # Errors
    /// A chunk could not be decoded.
    pub(super) fn read_samples(
        &self,
        index: usize,
        scratch: &mut ReadScratch,
        samples: &mut Samples,
    ) -> Result<(), StorageError> {
        samples.clear();
        let (timestamps, values) = (&mut samples.timestamps, &mut samples.values);
        self.read(index, scratch, timestamps, values)?;
        let mut points = Vec::new();
        self.read_histograms(index, &mut points)?;
        samples.set_histograms(points);
        Ok(())
    }

    /// Drops series that turn out to have nothing in the selected range. May read the
    /// disk, so no lock should be held.
    fn drop_empty(&mut self) {
        let (pages, window) = (&self.pages, self.window);
        let is_in = |series: &Selected| {
            let pages = &pages[series.shard as usize];
            series.captured.is_in(pages, window)
        };
        self.series.retain(is_in);
    }

    /// Returns the texts of the pairs in the rows.
    pub(super) fn dictionary(&self) -> RwLockReadGuard<'_, Dictionary> {
        self.dictionary.read()
    }

    /// Returns the pairs of series `index`, which is below [`HeadSelection::len`].
    pub(super) fn row(&self, index: usize) -> Row<'_> {
        Row::new(&self.rows[self.series[index].row_at..])
    }

    /// Appends the samples of series `index` within the selected range to both columns,
    /// which are empty, in order of time, stale markers included.
    ///
    /// # Errors
    /// A chunk could not be decoded.
    pub(super) fn read(
        &self,
        index: usize,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), StorageError> {
        let Some(series) = self.series.get(index) else {
            return Ok(());
        };
        let pages = &self.pages[series.shard as usize];
        let read =
            series
                .captured
                .read(pages, &self.taken, self.window, scratch, timestamps, values);
        read.map_err(|_| StorageError::Chunk {
            series: format!("{:?}", self.labels(index)),
        })
    }
}

impl MetricStore {
    /// Takes a snapshot of the series of the head, and of the blocks that were there at
    /// the same moment.
    pub(super) fn capture_head(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        wanted: Wanted,
    ) -> (HeadSelection, Arc<BlockSet>) {
        let capture = self.capture.lock();
        // First of all: the series of every transaction that is seen are in the index then.
        let epoch = self.next_epoch(&capture);
        // The head forgets what went to blocks under `capture`, after they were published.
        let set = self.blocks.set();
        let window = Window::new(range, set.head_from_ms);
        // Ids stay with their series while `capture` is held.
        let late = || self.late_times().is_some_and(|late| late.overlaps(range));
        let ids = match window.in_order.is_some() || late() {
            true => self.index.read().resolve(matchers),
            false => Vec::new(),
        };
        let mut selection = self.capture_series(&ids, epoch, window, wanted);
        // Each shard came in order, but for ids that were given again: the stable sort
        // merges such runs quickly.
        selection.series.sort_by_key(|series| series.captured.born);
        self.copy_rows(&mut selection);
        drop(capture);
        selection.drop_empty();
        (selection, set)
    }

    /// Tells whether series may have native histograms in a range.
    pub fn has_histograms(&self, range: TimeRange) -> bool {
        let is_in = |times: TimeRange| times.overlaps(range);
        let set = self.blocks.set();
        let mut shards = self.shards.iter();
        shards.any(|shard| shard.lock().histograms.range().is_some_and(is_in))
            || set.overlapping(range).any(|block| block.has_histograms())
    }

    /// Takes a snapshot of series by their ids, in this order. The caller keeps series
    /// from being removed.
    pub(super) fn capture_ids(&self, ids: &[u32], window: Window) -> HeadSelection {
        let capture = self.capture.lock();
        let epoch = self.next_epoch(&capture);
        let mut selection = self.capture_series(ids, epoch, window, Wanted::All);
        drop(capture);
        selection.drop_empty();
        let mut places: Vec<(u32, u32)> = ids.iter().copied().zip(0..).collect();
        places.sort_unstable();
        let place = |id: u32| places.binary_search_by_key(&id, |&(id, _)| id);
        selection
            .series
            .sort_unstable_by_key(|series| place(series.id).map(|at| places[at].1).ok());
        self.copy_rows(&mut selection);
        selection
    }

    /// Begins the next epoch, which the caller does not see.
    fn next_epoch(&self, _capture: &MutexGuard<'_, Capture>) -> u32 {
        let mut epoch = self.gate.write();
        *epoch = epoch.wrapping_add(1);
        *epoch
    }

    /// Copies what is there before an epoch, which is the newest one, shard by shard.
    /// The caller holds `capture`.
    fn capture_series(
        &self,
        ids: &[u32],
        epoch: u32,
        window: Window,
        wanted: Wanted,
    ) -> HeadSelection {
        let mut selection = HeadSelection {
            window,
            series: Vec::with_capacity(ids.len()),
            rows: Vec::with_capacity(ids.len() * ROW_BYTES),
            dictionary: Arc::default(),
            taken: Taken::default(),
            pages: vec![SealedPages::default(); self.shards.len()],
        };
        self.capture_all(ids, epoch, wanted, &mut selection);
        let bytes = &mut selection.taken.bytes;
        if bytes.len() < bytes.capacity() / 2 {
            bytes.shrink_to_fit();
        }
        selection
    }

    fn capture_all(&self, ids: &[u32], epoch: u32, wanted: Wanted, selection: &mut HeadSelection) {
        let mut by_shard: Vec<Vec<u32>> = vec![Vec::new(); self.shards.len()];
        for &id in ids {
            by_shard[self.layout.shard(id)].push(id);
        }
        for (shard, ids_of_shard) in by_shard.iter().enumerate() {
            for batch in ids_of_shard.chunks(BATCH) {
                let locked = self.shards[shard].lock();
                let bytes = &mut selection.taken.bytes;
                if bytes.capacity() == 0 {
                    // Series of one shard are like those of the others.
                    let each = match wanted {
                        Wanted::All => locked.counts().mean_open_bytes(),
                        Wanted::Newest => SAMPLE_BYTES,
                    };
                    bytes.reserve_exact(each.saturating_mul(ids.len()).min(MAX_RESERVED));
                }
                // The last ones are good for all, because pages only come while
                // `capture` is held.
                let pages = locked.pages();
                for &id in batch {
                    let slot = self.layout.slot(id);
                    let taken = &mut selection.taken;
                    let window = selection.window;
                    let captured = locked.capture(slot, window, wanted, epoch, &pages, taken);
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

    fn copy_rows(&self, selection: &mut HeadSelection) {
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
