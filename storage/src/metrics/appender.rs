//! One write transaction: a scrape, a request, the results of a rule group.

mod start;

use std::sync::atomic::Ordering;

use parking_lot::RwLockUpgradableReadGuard;
use smallvec::SmallVec;

use super::histograms::{Applying, PendingHistogram};
use super::limits;
use super::log::Written;
use super::shard::{Applied, Checked, NEVER, Shard};
use super::side::Side;
use super::snapshot::MAX_WAITING;
use super::store::MetricStore;
use crate::error::{AppendError, StorageError};
use crate::index::Search;
use crate::model::Labels;
use crate::options::SyncPolicy;
use crate::wal::Position;

/// Longest label set in bytes of text.
const MAX_LABEL_BYTES: usize = 1 << 20;

/// Most labels of a series.
const MAX_LABELS: usize = 10_000;

/// Aliases that are kept for each series in memory, on average.
const ALIASES_PER_SERIES: usize = 4;

/// Aliases that are kept in any case.
const MIN_ALIASES: usize = 1 << 16;

/// Samples that a kept buffer of a shard has room for at most.
const KEPT_SAMPLES: usize = 1 << 12;

/// A 128-bit hash of the bytes that name a series in some input, made by
/// [`MetricStore::raw_key`]. Keys of different stores have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawKey(pub(crate) u128);

impl RawKey {
    /// Returns the hash as bytes, to be part of what another key is made of.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

/// Names a series of one store while that series is in memory. It means nothing
/// to another store or after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesRef(u64);

impl SeriesRef {
    fn new(id: u32, born: u32) -> SeriesRef {
        SeriesRef(u64::from(born) << 32 | u64::from(id))
    }

    pub(super) fn id(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn born(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A sample of a series that is named by its raw key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawSample {
    /// Key of the bytes that name the series.
    pub key: RawKey,
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// The value; bits are kept as they are.
    pub value: f64,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// Samples stored. Repeated samples (same time and bits) are not counted.
    pub samples: u64,
    /// Series created.
    pub series: u64,
    /// Of the samples, native histograms.
    pub histograms: u64,
    /// Of the samples, those that came late: older than the newest of their series.
    pub late: u64,
    /// Of these, native histograms.
    pub late_histograms: u64,
    /// Samples that were accepted by `append`, then dropped because an earlier
    /// sample of this or another transaction conflicts with them.
    pub dropped: u64,
}

/// Which times a transaction accepts. They are fixed when it begins, and by its first
/// sample where the store has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// No sample is appended in order before this.
    pub(super) valid_from_ms: i64,
    /// The newest time of the store.
    pub(super) newest_ms: i64,
    /// Late samples are accepted from here on, if at all.
    pub(super) late_from_ms: Option<i64>,
}

impl Bounds {
    /// Of a transaction that was offered no sample.
    pub(super) const NONE: Bounds = Bounds {
        valid_from_ms: NEVER,
        newest_ms: NEVER,
        late_from_ms: None,
    };

    /// Tells why a sample that cannot be appended in order is not accepted, if it is
    /// not. With a window its start is the only bound.
    #[cold]
    pub(super) fn check_late(&self, t_ms: i64) -> Result<(), AppendError> {
        match self.late_from_ms {
            Some(from_ms) if t_ms >= from_ms => Ok(()),
            Some(_) => Err(AppendError::TooOld),
            None if t_ms < self.valid_from_ms => Err(AppendError::OutOfBounds),
            None => Err(AppendError::OutOfOrder),
        }
    }
}

/// A sample that waits for its commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) slot: u32,
    pub(super) born: u32,
    pub(super) t_ms: i64,
    pub(super) value: f64,
}

/// Buffers of a transaction, one of each kind per shard, used again by the next ones.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pending: Vec<Vec<Pending>>,
    /// Samples that are late already.
    late: Vec<Vec<Pending>>,
    /// Samples of a batch: index in the batch and slot.
    routed: Vec<Vec<(u32, u32)>>,
    /// The label set looked for last.
    search: Search,
}

impl Scratch {
    pub(super) fn prepare(&mut self, n_shards: usize) {
        self.pending.resize_with(n_shards, Vec::new);
        self.late.resize_with(n_shards, Vec::new);
        self.routed.resize_with(n_shards, Vec::new);
        let both = self.pending.iter_mut().chain(&mut self.late);
        both.for_each(Vec::clear);
    }

    /// Tells whether the buffers are worth keeping.
    pub(super) fn is_small(&self) -> bool {
        let both = self.pending.iter().chain(&self.late);
        let largest = both.map(Vec::capacity).max();
        largest.is_none_or(|largest| largest <= KEPT_SAMPLES)
    }
}

/// One transaction. No sample of it is visible or logged before [`commit`]; dropping
/// it is a rollback. A series it created stays known after a rollback, without
/// samples, until retention removes it, as in Prometheus.
///
/// [`commit`]: Appender::commit
#[derive(Debug)]
pub struct Appender<'a> {
    pub(super) store: &'a MetricStore,
    id: u64,
    scratch: Scratch,
    bounds: Option<Bounds>,
    discards_late: bool,
    n_created: u64,
    pub(super) side: Side,
}

impl<'a> Appender<'a> {
    pub(super) fn begin(store: &'a MetricStore, id: u64, scratch: Scratch) -> Appender<'a> {
        Appender {
            store,
            id,
            scratch,
            bounds: store.bounds(),
            discards_late: false,
            n_created: 0,
            side: Side::default(),
        }
    }

    /// Finds the series with these labels or creates it.
    ///
    /// # Errors
    /// The labels are empty or too many, or the store, the metric or the target has as
    /// many series as it may.
    pub fn series(&mut self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        self.series_of(labels.iter())
    }

    /// As [`Appender::series`], for pairs that are sorted by name, each name once, and
    /// without empty values. In debug builds a violation panics.
    ///
    /// # Errors
    /// As [`Appender::series`].
    pub fn series_of<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
    ) -> Result<SeriesRef, AppendError> {
        debug_assert!(
            labels
                .clone()
                .is_sorted_by(|(one, _), (next, _)| one < next)
                && labels.clone().all(|(_, value)| !value.is_empty()),
            "labels out of order, or an empty value"
        );
        let store = self.store;
        // Others go on reading while this looks, and nobody creates a series between a
        // look in vain and the creation.
        let index = store.index.upgradable_read();
        let search = &mut self.scratch.search;
        if let Some(id) = index.search(labels.clone(), search) {
            return touch(store, id).ok_or(AppendError::UnknownSeries);
        }
        check_labels(labels.clone())?;
        // At a limit not even the texts of a refused series may stay.
        limits::check(store, &index, labels.clone())?;
        let n_series = index.len();
        let mut index = RwLockUpgradableReadGuard::upgrade(index);
        let Some(id) = index.create(labels.clone(), search, store.layout.end_id()) else {
            // There are no more numbers, or no room for labels.
            store.counters.series_limit.fetch_add(1, Ordering::Relaxed);
            return Err(AppendError::SeriesLimit { limit: n_series });
        };
        store.targets.add(labels);
        let born = store.next_born.fetch_add(1, Ordering::Relaxed);
        let shard = &store.shards[store.layout.shard(id)];
        shard.lock().create(store.layout.slot(id), born);
        // Only now can another transaction find the series, or retention remove it.
        drop(index);
        let counter = &store.counters.series_created;
        counter.fetch_add(1, Ordering::Relaxed);
        self.n_created += 1;
        Ok(SeriesRef::new(id, born))
    }

    /// Finds the series with these labels, which are as those of
    /// [`Appender::series_of`]; does not create it.
    pub fn find_series<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
    ) -> Option<SeriesRef> {
        let index = self.store.index.read();
        let id = index.search(labels, &mut self.scratch.search)?;
        touch(self.store, id)
    }

    /// Returns the series remembered for a raw key.
    pub fn raw_series(&mut self, key: RawKey) -> Option<SeriesRef> {
        self.store.aliases.with(key, |id| touch(self.store, id))
    }

    /// Remembers which series a raw key names, for as long as the series lives. The
    /// memory for this is bounded, so a key may also not be remembered.
    pub fn alias(&mut self, key: RawKey, series: SeriesRef) {
        let n_series = self.store.index.read().len();
        let limit = (n_series * ALIASES_PER_SERIES).max(MIN_ALIASES);
        let still = || touch(self.store, series.id()) == Some(series);
        self.store.aliases.insert(key, series.id(), limit, still);
    }

    /// Refuses late samples from here on, inside the window, too. It is for samples that
    /// nobody measured, such as the stale markers of a target that went: a series that
    /// goes on elsewhere must not be broken by them.
    pub fn discard_late(&mut self) {
        self.discards_late = true;
    }

    /// Tells whether the store takes any samples of this time: no series need be created
    /// for one that will be refused.
    ///
    /// # Errors
    /// [`AppendError::OutOfBounds`].
    pub fn check_time(&mut self, t_ms: i64) -> Result<(), AppendError> {
        let bounds = self.bounds(t_ms);
        if t_ms < bounds.valid_from_ms && bounds.late_from_ms.is_none() {
            let error = AppendError::OutOfBounds;
            self.count(&error, t_ms);
            return Err(error);
        }
        Ok(())
    }

    /// Adds a sample to the transaction. Order and duplicates are checked against
    /// committed samples; conflicts inside the transaction are settled at commit,
    /// where the first sample stays.
    ///
    /// # Errors
    /// The sample is not acceptable. The transaction goes on without it.
    pub fn append(&mut self, series: SeriesRef, t_ms: i64, value: f64) -> Result<(), AppendError> {
        let bounds = self.bounds(t_ms);
        let layout = self.store.layout;
        let (shard, slot) = (layout.shard(series.id()), layout.slot(series.id()));
        let born = Some(series.born());
        let checked = match self.store.shards.get(shard) {
            Some(found) => found.lock().check(slot, born, t_ms, value, &bounds),
            None => Err(AppendError::UnknownSeries),
        };
        let checked = checked.inspect_err(|error| self.count(error, t_ms))?;
        let (to, born) = match checked {
            Checked::InOrder(born) => (&mut self.scratch.pending, born),
            Checked::Late(born) => {
                self.admit_late(t_ms)?;
                (&mut self.scratch.late, born)
            }
            Checked::Repeated => return Ok(()),
        };
        to[shard].push(Pending {
            slot,
            born,
            t_ms,
            value,
        });
        Ok(())
    }

    /// Adds many samples by raw key. Indexes of samples whose key is not known are
    /// added to `misses`, for the caller to parse their labels and call
    /// [`Appender::alias`]; indexes of samples that are not acceptable are added to
    /// `rejected` with the reason. Both are in ascending order of index.
    ///
    /// Keys are looked up together, then each shard is locked once, so that the
    /// memory accesses of many samples overlap.
    pub fn append_raw(
        &mut self,
        samples: &[RawSample],
        misses: &mut Vec<usize>,
        rejected: &mut Vec<(usize, AppendError)>,
    ) {
        let (first_miss, first_rejected) = (misses.len(), rejected.len());
        let mut routed = std::mem::take(&mut self.scratch.routed);
        let layout = self.store.layout;
        // Aliases of removed series are gone before their ids are given again, which
        // cannot happen while the tables are held.
        let aliases = self.store.aliases.read();
        let mut first_ms = None;
        for (index, sample) in samples.iter().enumerate() {
            match aliases.get(sample.key) {
                Some(id) => {
                    first_ms = first_ms.or(Some(sample.t_ms));
                    routed[layout.shard(id)].push((index as u32, layout.slot(id)));
                }
                None => misses.push(index),
            }
        }
        let bounds = first_ms.map_or(Bounds::NONE, |t_ms| self.bounds(t_ms));
        let mut late = std::mem::take(&mut self.scratch.late);
        for (shard, routed) in routed.iter_mut().enumerate() {
            if routed.is_empty() {
                continue;
            }
            let mut locked = self.store.shards[shard].lock();
            let mut pending = std::mem::take(&mut self.scratch.pending[shard]);
            for (index, slot) in routed.drain(..) {
                let index = index as usize;
                let RawSample { t_ms, value, .. } = samples[index];
                match locked.check(slot, None, t_ms, value, &bounds) {
                    Ok(Checked::InOrder(born)) => pending.push(Pending {
                        slot,
                        born,
                        t_ms,
                        value,
                    }),
                    Ok(Checked::Late(born)) => match self.admit_late(t_ms) {
                        Ok(()) => late[shard].push(Pending {
                            slot,
                            born,
                            t_ms,
                            value,
                        }),
                        Err(error) => rejected.push((index, error)),
                    },
                    Ok(Checked::Repeated) => {}
                    // The series was removed a moment ago; its labels may name one again.
                    Err(AppendError::UnknownSeries) => misses.push(index),
                    Err(error) => {
                        self.count(&error, t_ms);
                        rejected.push((index, error));
                    }
                }
            }
            self.scratch.pending[shard] = pending;
        }
        drop(aliases);
        self.scratch.late = late;
        self.scratch.routed = routed;
        misses[first_miss..].sort_unstable();
        rejected[first_rejected..].sort_unstable_by_key(|(index, _)| *index);
    }

    /// Returns the bounds. In an empty store the first sample that is offered decides,
    /// as in Prometheus.
    #[inline]
    pub(super) fn bounds(&mut self, t_ms: i64) -> Bounds {
        if let Some(bounds) = self.bounds {
            return bounds;
        }
        // Of several first samples one wins; all then use the winner's.
        let _ =
            self.store
                .newest_ms
                .compare_exchange(NEVER, t_ms, Ordering::AcqRel, Ordering::Acquire);
        self.bounds = self.store.bounds();
        self.bounds.unwrap_or(Bounds::NONE)
    }

    /// Counts a late sample, which the transaction may not want.
    #[cold]
    pub(super) fn admit_late(&self, t_ms: i64) -> Result<(), AppendError> {
        if self.discards_late {
            let error = AppendError::OutOfOrder;
            self.count(&error, t_ms);
            return Err(error);
        }
        self.count_delay(t_ms);
        Ok(())
    }

    /// Counts how far a sample that is not in order is behind the newest one.
    fn count_delay(&self, t_ms: i64) {
        let newest_ms = self.bounds.map_or(NEVER, |bounds| bounds.newest_ms);
        self.store.counters.delays.observe(newest_ms, t_ms);
    }

    pub(super) fn count(&self, error: &AppendError, t_ms: i64) {
        let counters = &self.store.counters;
        if matches!(error, AppendError::OutOfOrder | AppendError::TooOld) {
            self.count_delay(t_ms);
        }
        let counter = match error {
            AppendError::OutOfOrder => &counters.out_of_order,
            AppendError::TooOld => &counters.too_old,
            error if error.is_duplicate() => &counters.duplicate,
            AppendError::OutOfBounds => &counters.out_of_bounds,
            AppendError::UnknownSeries => &counters.not_found,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs the transaction and makes it visible, all at once. When it returns, the
    /// operating system has the data, and the disk has it under
    /// [`SyncPolicy::Always`].
    ///
    /// Each shard has its own log. Should the process die before this returns, a
    /// restart may find the transaction in some of them only; once it has returned, a
    /// restart finds all of it.
    ///
    /// # Errors
    /// A log could not be written: nothing of the transaction is visible or
    /// acknowledged. With [`StorageError::DiskFull`] it can be tried again later, after
    /// other errors the store takes no more writes.
    pub fn commit(mut self) -> Result<Committed, StorageError> {
        if let Some(reason) = self.store.poisoned() {
            return Err(StorageError::Poisoned { reason });
        }
        let pending = std::mem::take(&mut self.scratch.pending);
        let late = std::mem::take(&mut self.scratch.late);
        self.side.sort(&self.store.exemplars);
        let mut crowded = None;
        let committed = {
            let _snapshots_wait = self.store.committing.read();
            let written = self.write(&pending, &late);
            written.map(|written| {
                let committed = self.apply(&pending, &late, &mut crowded);
                std::mem::take(&mut self.side).apply(self.store);
                for (shard, written) in written {
                    self.store.tails.publish(shard, written.end);
                }
                committed
            })
        };
        self.scratch.pending = pending;
        self.scratch.late = late;
        if let Some(shard) = crowded {
            self.store.bound_waiting(shard);
        }
        committed
    }

    /// Writes the part of each shard to its log.
    fn write(
        &self,
        pending: &[Vec<Pending>],
        late: &[Vec<Pending>],
    ) -> Result<SmallVec<[(usize, Written); 32]>, StorageError> {
        let store = self.store;
        let both = || pending.iter().zip(late).enumerate();
        let shards = || {
            both().filter(|&(shard, (pending, late))| {
                !pending.is_empty() || !late.is_empty() || self.side.is_in(shard)
            })
        };
        let mut written: SmallVec<[(usize, Written); 32]> = SmallVec::new();
        for (shard, (pending, late)) in shards() {
            let result = store.logs[shard].lock().write(
                &store.index,
                store.layout,
                shard,
                pending,
                late,
                &self.side,
            );
            match result {
                Ok(commit) => written.push((shard, commit)),
                Err(error) => {
                    for (shard, Written { commit, .. }) in written {
                        if let Err(error) = store.logs[shard].lock().revert(commit) {
                            store.log_failed(error);
                        }
                    }
                    return Err(store.log_failed(error));
                }
            }
        }
        if store.options.wal_sync == SyncPolicy::Always {
            for (shard, _) in shards() {
                store.sync_log(&store.logs[shard])?;
            }
        }
        Ok(written)
    }

    /// Sets `crowded` to a shard with many full pages in memory, if there is one.
    fn apply(
        &self,
        pending: &[Vec<Pending>],
        late: &[Vec<Pending>],
        crowded: &mut Option<usize>,
    ) -> Committed {
        let store = self.store;
        let bounds = self.bounds.unwrap_or(Bounds::NONE);
        let mut committed = Committed {
            series: self.n_created,
            ..Committed::default()
        };
        let (mut newest_ms, mut oldest_ms) = (NEVER, i64::MAX);
        let (mut out_of_order, mut duplicate, mut too_old) = (0, 0, 0);
        let mut turned_late: Vec<(usize, Pending)> = Vec::new();
        let epoch = store.gate.read();
        let mut histograms = Applying::new(&self.side.histograms, bounds);
        for (number, (pending, late)) in pending.iter().zip(late).enumerate() {
            if !histograms.begin(number) && pending.is_empty() && late.is_empty() {
                continue;
            }
            let mut shard = store.shards[number].lock();
            for &sample in pending {
                let Pending {
                    slot,
                    born,
                    t_ms,
                    value,
                } = sample;
                histograms.apply_before(slot, t_ms, &mut shard, *epoch, &mut committed);
                match shard.apply(slot, born, t_ms, value, *epoch) {
                    Applied::Stored => {
                        committed.samples += 1;
                        newest_ms = newest_ms.max(t_ms);
                        oldest_ms = oldest_ms.min(t_ms);
                    }
                    Applied::Repeated => {}
                    Applied::OutOfOrder => match bounds.check_late(t_ms) {
                        Ok(()) => turned_late.push((number, sample)),
                        Err(AppendError::TooOld) => too_old += 1,
                        Err(_) => out_of_order += 1,
                    },
                    Applied::Duplicate => duplicate += 1,
                    Applied::Lost => committed.dropped += 1,
                }
            }
            histograms.apply_all(&mut shard, *epoch, &mut committed);
            committed.apply_late(&mut shard, late, *epoch);
            if shard.sealed().n_waiting() > MAX_WAITING {
                *crowded = Some(number);
            }
        }
        newest_ms = newest_ms.max(histograms.newest_ms);
        oldest_ms = oldest_ms.min(histograms.oldest_ms);
        let refused = histograms.refused;
        out_of_order += refused.out_of_order;
        too_old += refused.too_old;
        duplicate += refused.duplicate;
        store.newest_ms.fetch_max(newest_ms, Ordering::AcqRel);
        if !turned_late.is_empty() {
            self.apply_turned(&turned_late, *epoch, &mut committed);
        }
        if !histograms.turned.is_empty() {
            self.apply_turned_histograms(histograms.turned, *epoch, &mut committed);
        }
        let came_late = || {
            let turned = turned_late.iter().map(|(_, sample)| sample);
            late.iter().flatten().chain(turned)
        };
        let oldest_ms = came_late().fold(oldest_ms, |oldest_ms, late| oldest_ms.min(late.t_ms));
        if store.versions.are_watched_at(oldest_ms) {
            let all = pending.iter().flatten().chain(came_late());
            let histograms = self.side.histograms.iter().map(|pending| pending.t_ms);
            let all = all.map(|sample| sample.t_ms).chain(histograms);
            store.versions.appended(all);
        }
        drop(epoch);
        committed.dropped += out_of_order + duplicate + too_old;
        let counters = &store.counters;
        if committed.late > 0 {
            counters.late.fetch_add(committed.late, Ordering::Relaxed);
        }
        counters.too_old.fetch_add(too_old, Ordering::Relaxed);
        counters
            .samples
            .fetch_add(committed.samples, Ordering::Relaxed);
        if !self.side.histograms.is_empty() {
            let of_histograms = &counters.of_histograms;
            for (counter, n) in [
                (&of_histograms.samples, committed.histograms),
                (&of_histograms.late, committed.late_histograms),
                (&of_histograms.out_of_order, refused.out_of_order),
                (&of_histograms.too_old, refused.too_old),
            ] {
                counter.fetch_add(n, Ordering::Relaxed);
            }
        }
        counters
            .out_of_order
            .fetch_add(out_of_order, Ordering::Relaxed);
        counters.duplicate.fetch_add(duplicate, Ordering::Relaxed);
        committed
    }

    /// Stores samples that were in order when they were added and are not any more. The
    /// logs have them as such, and a replay would pass over them, so they are logged
    /// once more. Where that fails they are dropped.
    #[cold]
    fn apply_turned(&self, turned: &[(usize, Pending)], epoch: u32, committed: &mut Committed) {
        let store = self.store;
        for turned in turned.chunk_by(|(one, _), (next, _)| one == next) {
            let Some(&(number, _)) = turned.first() else {
                continue;
            };
            let late: Vec<Pending> = turned.iter().map(|&(_, sample)| sample).collect();
            match self.write_turned(number, &late, &Side::default()) {
                Ok(()) => committed.apply_late(&mut store.shards[number].lock(), &late, epoch),
                Err(_) => committed.dropped += late.len() as u64,
            }
        }
    }

    /// As [`Appender::apply_turned`], of histograms in order of shard.
    #[cold]
    fn apply_turned_histograms(
        &self,
        turned: Vec<PendingHistogram>,
        epoch: u32,
        committed: &mut Committed,
    ) {
        let mut side = Side::default();
        side.histograms = turned;
        for late in side
            .histograms
            .chunk_by(|one, next| one.shard == next.shard)
        {
            let Some(number) = late.first().map(|pending| pending.shard) else {
                continue;
            };
            if self.write_turned(number, &[], &side).is_err() {
                committed.dropped += late.len() as u64;
                continue;
            }
            let mut shard = self.store.shards[number].lock();
            for pending in late {
                let flat = pending.flat.clone();
                let (slot, born, t_ms) = (pending.slot, pending.born, pending.t_ms);
                let applied = shard.apply_late_histogram(slot, born, t_ms, flat, epoch);
                committed.count_late_histogram(applied);
            }
        }
    }

    /// Logs samples of a shard as late ones.
    fn write_turned(
        &self,
        number: usize,
        late: &[Pending],
        side: &Side,
    ) -> Result<(), StorageError> {
        let store = self.store;
        let log = &store.logs[number];
        let written = log
            .lock()
            .write(&store.index, store.layout, number, &[], late, side);
        let end = written
            .as_ref()
            .map_or_else(|_| Position::default(), |written| written.end);
        match written.map_err(|error| store.log_failed(error)) {
            Ok(_) if store.options.wal_sync == SyncPolicy::Always => store.sync_log(log)?,
            written => {
                written?;
            }
        }
        store.tails.publish(number, end);
        Ok(())
    }

    /// Forgets the samples of the transaction.
    pub fn rollback(self) {}
}

impl Committed {
    fn apply_late(&mut self, shard: &mut Shard, late: &[Pending], epoch: u32) {
        for sample in late {
            let Pending { slot, born, .. } = *sample;
            match shard.apply_late(slot, born, sample.t_ms, sample.value, epoch) {
                Applied::Stored => {
                    self.samples += 1;
                    self.late += 1;
                }
                Applied::Lost => self.dropped += 1,
                _ => {}
            }
        }
    }
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        let scratch = std::mem::take(&mut self.scratch);
        self.store.end_appender(self.id, scratch);
    }
}

/// Returns the reference of an id, `None` where its series was removed. The id is not
/// given again meanwhile, because the caller holds the table it found the id in.
pub(super) fn touch(store: &MetricStore, id: u32) -> Option<SeriesRef> {
    let mut shard = store.shards[store.layout.shard(id)].lock();
    let born = shard.touch(store.layout.slot(id))?;
    Some(SeriesRef::new(id, born))
}

fn check_labels<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>) -> Result<(), AppendError> {
    let (mut n, mut len) = (0, 0);
    for (name, value) in labels {
        n += 1;
        len += name.len() + value.len();
    }
    if n == 0 {
        let text = "empty labelset: invalid sample".to_owned();
        return Err(AppendError::InvalidLabels(text));
    }
    if n > MAX_LABELS || len > MAX_LABEL_BYTES {
        return Err(AppendError::InvalidLabels(format!(
            "series has {n} labels of {len} bytes; at most {MAX_LABELS} labels of \
             {MAX_LABEL_BYTES} bytes are stored"
        )));
    }
    Ok(())
}
