//! The parts of the store and how they are locked.
//!
//! Series are dealt out to shards by id, so ids that follow each other are spread
//! evenly and a slot inside a shard is dense.
//!
//! **Locks**, in the order in which one thread may take them: `maintaining`,
//! `truncating`, `capture`, the set of blocks, `committing`, `gate`, the head files of a
//! shard, a log, the index, the aliases, a shard, the dictionary; last and alone the
//! exemplars, the metadata, the counts by target, the versions, what tails hold. No file is written under
//! any of them but a log's and the head files' own, blocks under `maintaining`, and a
//! snapshot or a block of the head under `truncating`.
//!
//! **Visibility.** Transactions apply their samples under the shared side of `gate`
//! and stamp them with the epoch found there. A reader takes the exclusive side for a
//! moment to begin the next epoch: transactions of earlier epochs have then been
//! applied as a whole, and what is stamped with the new one is not seen (each series
//! notes how far it reached before its first sample of an epoch). So a reader sees
//! whole transactions, and every one that returned before it began, without stopping
//! writers while it copies. One note per series serves one reader at a time, so
//! readers copy one after the other (`capture`); reading the copies takes no lock of
//! the store.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::alias::Aliases;
use super::appender::{Appender, Bounds, RawKey, Scratch};
use super::blocks::Blocks;
use super::exemplars::Exemplars;
use super::flush::Closing;
use super::limits::Targets;
use super::log::ShardLog;
use super::metadata::MetadataStore;
use super::opening::OpenProgress;
use super::recovery;
use super::shard::{NEVER, Shard};
use super::snapshot::Head;
use super::snapshot_format::{Section, kind};
use super::stats::{Cardinality, DelayCounters, Recovery, StoreStats};
use super::tail::Tails;
use super::versions::Versions;
use crate::error::StorageError;
use crate::fs::{Dir, DirLock, RealDir};
use crate::index::Index;
use crate::options::{StoreOptions, SyncPolicy};
use crate::sync::atomic::{AtomicI64, AtomicU32};
use crate::wal::WalError;

/// Buffers of ended transactions that are kept for the next ones.
const KEPT_SCRATCHES: usize = 16;

/// Bytes of the secret of the hash of raw keys. A seed would do, but is made a secret
/// of this length for every input that is not short.
const SECRET_BYTES: usize = 192;

/// The time-series store. Share it as `Arc<MetricStore>`.
#[derive(Debug)]
pub struct MetricStore {
    pub(super) options: StoreOptions,
    pub(super) layout: Layout,
    /// What raw keys are made with.
    secret: [u8; SECRET_BYTES],
    /// Held by the one truncation or snapshot there is at a time.
    pub(super) truncating: Mutex<()>,
    /// Held by whoever changes blocks: a compaction, a deletion, a backup.
    pub(super) maintaining: Mutex<()>,
    pub(super) blocks: Arc<Blocks>,
    /// Shared with the blocks.
    pub(super) versions: Arc<Versions>,
    pub(super) closing: Mutex<Option<Closing>>,
    /// Samples left the head since its last snapshot. Changes under `maintaining`.
    pub(super) unsettled: AtomicBool,
    /// Commits hold the shared side from the log to the shards.
    pub(super) committing: RwLock<()>,
    pub(super) capture: Mutex<Capture>,
    pub(super) gate: RwLock<u32>,
    pub(super) logs: Box<[Mutex<ShardLog>]>,
    pub(super) head: Head,
    pub(super) tails: Tails,
    pub(super) index: RwLock<Index>,
    pub(super) aliases: Aliases,
    pub(super) shards: Box<[Mutex<Shard>]>,
    pub(super) exemplars: Exemplars,
    pub(super) metadata: MetadataStore,
    pub(super) targets: Targets,
    pub(super) counters: Counters,
    /// Newest time of any committed sample, and of the first one of an empty store.
    pub(super) newest_ms: AtomicI64,
    /// Samples before this are out of bounds, because they are out of retention.
    pub(super) kept_from_ms: AtomicI64,
    /// How far late samples may be behind the newest one; 0 where none may.
    window_ms: AtomicI64,
    pub(super) next_born: AtomicU32,
    active: Mutex<Active>,
    scratches: Mutex<Vec<Scratch>>,
    poison: Mutex<Option<String>>,
    _lock: DirLock,
}

/// What only one reader, or the retention, does at a time.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// Series marked as having nothing left can go when no transaction below this
    /// number is open.
    pub(super) doomed_below: Option<u64>,
}

/// Open transactions.
#[derive(Debug, Default)]
struct Active {
    next: u64,
    open: BTreeSet<u64>,
}

/// Counters that are not kept by a shard or a log.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) series_created: AtomicU64,
    pub(super) series_removed: AtomicU64,
    pub(super) samples: AtomicU64,
    /// Of these counters, what was of histograms.
    pub(super) of_histograms: HistogramCounters,
    pub(super) out_of_order: AtomicU64,
    pub(super) too_old: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) delays: DelayCounters,
    pub(super) duplicate: AtomicU64,
    pub(super) out_of_bounds: AtomicU64,
    pub(super) not_found: AtomicU64,
    pub(super) series_limit: AtomicU64,
    pub(super) metric_series_limit: AtomicU64,
    pub(super) target_series_limit: AtomicU64,
    pub(super) truncations: AtomicU64,
    pub(super) corruptions: AtomicU64,
}

/// Counters of histograms alone.
#[derive(Debug, Default)]
pub(super) struct HistogramCounters {
    pub(super) samples: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) out_of_order: AtomicU64,
    pub(super) too_old: AtomicU64,
    pub(super) out_of_bounds: AtomicU64,
}

/// How ids are dealt out to shards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    bits: u32,
}

impl Layout {
    /// Returns the layout of a power of two of shards.
    pub(super) fn new(n_shards: usize) -> Layout {
        Layout {
            bits: n_shards.trailing_zeros(),
        }
    }

    /// Returns the shard of an id.
    #[inline]
    pub(super) fn shard(self, id: u32) -> usize {
        (id & ((1 << self.bits) - 1)) as usize
    }

    /// Returns the slot of an id in its shard.
    #[inline]
    pub(super) fn slot(self, id: u32) -> u32 {
        id >> self.bits
    }

    /// Returns the id of a slot.
    #[inline]
    pub(super) fn id(self, shard: usize, slot: u32) -> u32 {
        slot << self.bits | shard as u32
    }

    /// Returns the number of shards.
    pub(super) fn n_shards(self) -> usize {
        1 << self.bits
    }

    /// Returns the first id whose slot the logs cannot number.
    pub(super) fn end_id(self) -> u32 {
        let end = u64::from(crate::wal::format::MAX_SERIES) << self.bits;
        u32::try_from(end).unwrap_or(u32::MAX)
    }
}

impl MetricStore {
    /// Opens the store in `options.dir`, takes its lock and replays its log.
    ///
    /// The number of shards is fixed when a directory is created; later openings keep
    /// it, whatever the options say.
    ///
    /// # Errors
    /// The directory is in use, cannot be read or written, or was written by a newer
    /// version. Damage inside the log is no error: it is reported in [`Recovery`], and
    /// the rest is served.
    pub fn open(options: &StoreOptions) -> Result<(MetricStore, Recovery), StorageError> {
        MetricStore::open_watched(options, &OpenProgress::default())
    }

    /// As [`MetricStore::open`], and tells `progress` how far it came.
    ///
    /// # Errors
    /// As [`MetricStore::open`].
    pub fn open_watched(
        options: &StoreOptions,
        progress: &OpenProgress,
    ) -> Result<(MetricStore, Recovery), StorageError> {
        let dir = RealDir::open(&options.dir)?;
        MetricStore::open_in_watched(&dir, options, progress)
    }

    /// Opens the store in a directory that may be none of the disk.
    #[cfg(test)]
    pub(super) fn open_in(
        dir: &dyn Dir,
        options: &StoreOptions,
    ) -> Result<(MetricStore, Recovery), StorageError> {
        MetricStore::open_in_watched(dir, options, &OpenProgress::default())
    }

    fn open_in_watched(
        dir: &dyn Dir,
        options: &StoreOptions,
        progress: &OpenProgress,
    ) -> Result<(MetricStore, Recovery), StorageError> {
        let opened = recovery::open(dir, options, progress)?;
        let counters = Counters::default();
        let series = opened.index.len() as u64;
        counters.series_created.store(series, Ordering::Relaxed);
        let damages = opened.recovery.damages.len() as u64;
        counters.corruptions.store(damages, Ordering::Relaxed);
        let blocks = Arc::new(opened.blocks);
        let targets = Targets::new(options.max_series_per_target, &opened.index);
        let store = MetricStore {
            options: options.clone(),
            layout: opened.layout,
            secret: random_secret(),
            maintaining: Mutex::default(),
            versions: Arc::clone(&blocks.versions),
            blocks: Arc::clone(&blocks),
            closing: Mutex::default(),
            unsettled: AtomicBool::new(false),
            truncating: Mutex::default(),
            committing: RwLock::default(),
            capture: Mutex::default(),
            gate: RwLock::new(1),
            logs: opened.logs.into_iter().map(Mutex::new).collect(),
            head: opened.head,
            tails: opened.tails,
            index: RwLock::new(opened.index),
            aliases: Aliases::default(),
            shards: opened.shards.into_iter().map(Mutex::new).collect(),
            exemplars: opened.exemplars,
            metadata: opened.metadata,
            targets,
            counters,
            newest_ms: AtomicI64::new(opened.newest_ms),
            kept_from_ms: AtomicI64::new(opened.kept_from_ms),
            window_ms: AtomicI64::new(options.out_of_order_window_ms),
            next_born: AtomicU32::new(opened.next_born),
            active: Mutex::default(),
            scratches: Mutex::default(),
            poison: Mutex::default(),
            _lock: opened.lock,
        };
        Ok((store, opened.recovery))
    }

    /// Begins a transaction.
    pub fn appender(&self) -> Appender<'_> {
        let id = {
            let mut active = self.active.lock();
            let id = active.next;
            active.next += 1;
            active.open.insert(id);
            id
        };
        let mut scratch = self.scratches.lock().pop().unwrap_or_default();
        scratch.prepare(self.shards.len());
        Appender::begin(self, id, scratch)
    }

    /// Ends a transaction.
    pub(super) fn end_appender(&self, id: u64, scratch: Scratch) {
        self.active.lock().open.remove(&id);
        let mut scratches = self.scratches.lock();
        if scratches.len() < KEPT_SCRATCHES && scratch.is_small() {
            scratches.push(scratch);
        }
    }

    /// Returns the number of the next transaction and of the oldest open one, which is
    /// the next one where none is open.
    pub(super) fn active(&self) -> (u64, u64, u64) {
        let active = self.active.lock();
        let oldest = active.open.first().copied().unwrap_or(active.next);
        (active.next, oldest, active.open.len() as u64)
    }

    /// Hashes the bytes that name a series in some input.
    #[inline]
    pub fn raw_key(&self, label_bytes: &[u8]) -> RawKey {
        RawKey(xxhash_rust::xxh3::xxh3_128_with_secret(
            label_bytes,
            &self.secret,
        ))
    }

    /// Returns which times are accepted now, or `None` while the store has seen no
    /// sample. As in Prometheus, samples are out of bounds half the range of a block before
    /// the newest one, so that a range that is written to a block changes no more.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        let newest_ms = self.newest_ms.load(Ordering::Acquire);
        let kept_from_ms = self.kept_from_ms.load(Ordering::Relaxed);
        let window_ms = self.window_ms.load(Ordering::Relaxed);
        let bounds_ms = self.options.block_range_ms / 2;
        (newest_ms != NEVER).then(|| Bounds {
            valid_from_ms: newest_ms.saturating_sub(bounds_ms).max(kept_from_ms),
            newest_ms,
            late_from_ms: (window_ms > 0).then(|| newest_ms.saturating_sub(window_ms)),
        })
    }

    /// Sets how far samples may be behind the newest one of the store and yet be
    /// accepted when their series has a newer one, in milliseconds; 0 or less is not at
    /// all. It holds for transactions that begin later. What was accepted stays.
    pub fn set_out_of_order_window_ms(&self, window_ms: i64) {
        self.window_ms.store(window_ms, Ordering::Relaxed);
        self.exemplars.set_window_ms(window_ms);
    }

    /// Returns how far late samples may be behind the newest one, in milliseconds; 0 or
    /// less where none may.
    pub fn out_of_order_window_ms(&self) -> i64 {
        self.window_ms.load(Ordering::Relaxed)
    }

    /// Returns what tells which times have changed.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Forces to the disk what was written since the last call.
    ///
    /// # Errors
    /// The disk refused; the store takes no more writes.
    pub fn sync(&self) -> Result<(), StorageError> {
        for log in &self.logs {
            self.sync_log(log)?;
        }
        Ok(())
    }

    pub(super) fn sync_log(&self, log: &Mutex<ShardLog>) -> Result<(), StorageError> {
        let Some(pending) = log.lock().begin_sync() else {
            return Ok(());
        };
        let outcome = pending.run();
        let ended = log.lock().end_sync(outcome);
        ended.map_err(|error| self.log_failed(error))
    }

    /// Turns an error of a log into one of the store. After one that leaves the state
    /// on disk unknown the store takes no more writes.
    pub(super) fn log_failed(&self, error: WalError) -> StorageError {
        if !matches!(error, WalError::DiskFull { .. } | WalError::TooLarge { .. }) {
            let mut poison = self.poison.lock();
            if poison.is_none() {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                *poison = Some(format!("{error}{}", cause.unwrap_or_default()));
            }
        }
        error.into()
    }

    /// Tells why the store takes no more writes, if it does not. It stays that way until
    /// the directory is opened anew; reads go on.
    pub fn poisoned(&self) -> Option<String> {
        self.poison.lock().clone()
    }

    /// Returns counters and gauges. Looks at every label pair; meant to be called every
    /// few seconds, not every request.
    pub fn stats(&self) -> StoreStats {
        super::figures::stats(self)
    }

    /// Returns how much memory the store holds, in bytes; postings are estimated. Cheap
    /// enough to be asked several times a second, whatever the number of series.
    pub fn memory_bytes(&self) -> u64 {
        super::figures::memory(self, super::figures::Postings::Estimated).total()
    }

    /// Describes the label sets; of each list the `top` largest.
    pub fn cardinality(&self, top: usize) -> Cardinality {
        super::figures::cardinality(self, top)
    }

    /// Returns what else of the store a snapshot must hold.
    pub(super) fn sections(&self) -> Vec<Section> {
        vec![
            (kind::EXEMPLARS, self.exemplars.encode()),
            (kind::METADATA, self.metadata.encode()),
        ]
    }

    /// Returns the time of the newest sample in milliseconds, `None` while there is none.
    pub fn newest_time_ms(&self) -> Option<i64> {
        super::figures::newest_ms(self)
    }

    /// Syncs, and takes a last snapshot so that the next opening is quick: what is to be
    /// done before a store goes that others may still hold.
    ///
    /// # Errors
    /// The last sync or the snapshot failed. After a sync that succeeded nothing is
    /// lost, and the next opening reads the log.
    pub fn settle(&self) -> Result<(), StorageError> {
        self.sync()?;
        if self.poisoned().is_none() && !self.is_snapshotted() {
            self.snapshot_head()?;
        }
        Ok(())
    }

    /// Does what [`MetricStore::settle`] does and releases the directory. Dropping the
    /// store only syncs, and cannot report an error.
    ///
    /// # Errors
    /// As [`MetricStore::settle`].
    pub fn close(self) -> Result<(), StorageError> {
        self.settle()
    }
}

/// Returns bytes that differ from process to process.
fn random_secret() -> [u8; SECRET_BYTES] {
    let state = foldhash::quality::RandomState::default();
    let mut secret = [0; SECRET_BYTES];
    for (n, word) in secret.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&state.hash_one(n).to_le_bytes());
    }
    secret
}

impl Drop for MetricStore {
    fn drop(&mut self) {
        if self.options.wal_sync != SyncPolicy::Never {
            // Nobody is left to be told; the data is with the operating system.
            let _ = self.sync();
        }
    }
}

/// What [`recovery`] hands over.
pub(super) struct Opened {
    pub(super) layout: Layout,
    pub(super) index: Index,
    pub(super) shards: Vec<Shard>,
    pub(super) logs: Vec<ShardLog>,
    pub(super) head: Head,
    pub(super) tails: Tails,
    pub(super) newest_ms: i64,
    pub(super) kept_from_ms: i64,
    pub(super) next_born: u32,
    pub(super) blocks: Blocks,
    pub(super) recovery: Recovery,
    pub(super) exemplars: Exemplars,
    pub(super) metadata: MetadataStore,
    pub(super) lock: DirLock,
}
