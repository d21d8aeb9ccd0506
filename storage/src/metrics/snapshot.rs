//! Taking a snapshot of the head, so that a restart needs only the end of the log.
//!
//! A snapshot is *fuzzy*: for a moment no commit is under way, and every log begins a
//! new segment, its *position*. Then rows are copied a slice at a time while commits go
//! on. A row may so be newer than the position, but never older; the log from the
//! position on has everything that may be missing, and replaying what is there already
//! changes nothing: samples that are not newer than the last one are dropped.
//!
//! No series and no page is removed meanwhile (`truncating` is held), so references
//! between the copied parts hold. Pages are copied after the rows that refer to them,
//! texts after all rows.
//!
//! Two snapshots are kept. The log is kept from the position of the older one, head
//! files from the first one that either names: the newest may go bad without a loss.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::head_files::HeadFiles;
use super::histograms;
use super::log::SlotSet;
use super::snapshot_format::{
    Manifest, Part, PartWriter, RowsEncoder, ShardEntry, encode_page, encode_page_info, kind,
    seq_of,
};
use super::stats::Damage;
use super::store::MetricStore;
use crate::codec::varint;
use crate::error::StorageError;
use crate::fs::{Dir, FsError};
use crate::index::PairId;

/// Slots that are copied under one lock of their shard.
const SLICE_SLOTS: u32 = 2048;
/// Pairs that are copied under one lock of the dictionary.
const SLICE_PAIRS: usize = 8192;
/// Snapshots that are kept.
const KEPT: usize = 2;
/// A snapshot is due when the log behind the last one has so many bytes,
const DUE_BYTES: u64 = 4 << 20;
/// or this part of the snapshot, if that is more. Reading a byte of a log takes several
/// times as long as reading one of a snapshot, and writing snapshots costs the disk.
const DUE_SHARE: u64 = 6;
/// One is also due when this part of the chunks was dropped since the one before the last.
const DUE_DROPPED: u64 = 4;
/// Full pages of a shard that wait in memory before a commit stores them.
pub(super) const MAX_WAITING: usize = 4;

/// What a snapshot took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshotted {
    /// Series in it.
    pub series: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// The files of the head, and which of them are needed.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) dir: Arc<dyn Dir>,
    /// By shard. Taken before the shard.
    files: Box<[Mutex<HeadFiles>]>,
    /// Oldest first, at most [`KEPT`].
    kept: Mutex<Vec<Manifest>>,
    next_seq: AtomicU64,
    /// Chunks dropped since the last snapshot.
    dropped: AtomicU64,
    /// Chunks dropped between the last two: the older one keeps their files.
    dropped_before: AtomicU64,
    pub(super) snapshots: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl Head {
    pub(super) fn new(
        dir: Arc<dyn Dir>,
        files: Vec<HeadFiles>,
        kept: Vec<Manifest>,
        next_seq: u64,
    ) -> Head {
        Head {
            dir,
            files: files.into_iter().map(Mutex::new).collect(),
            kept: Mutex::new(kept),
            next_seq: AtomicU64::new(next_seq),
            dropped: AtomicU64::new(0),
            dropped_before: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Notes that chunks went.
    pub(super) fn note_dropped(&self, n_chunks: u64) {
        self.dropped.fetch_add(n_chunks, Ordering::Relaxed);
    }

    /// Returns the length of the newest snapshot in bytes, 0 if there is none.
    pub(super) fn snapshot_bytes(&self) -> u64 {
        self.kept.lock().last().map_or(0, Manifest::len_bytes)
    }

    /// Removes what was written of a snapshot that failed, and everything else that
    /// belongs to none that is kept.
    fn sweep(&self, kept: &[u64]) -> Result<(), FsError> {
        for name in self.dir.files()? {
            if seq_of(&name).is_some_and(|seq| !kept.contains(&seq)) {
                self.dir.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// A snapshot that is being written.
struct Taking<'a> {
    store: &'a MetricStore,
    seq: u64,
    n_series: u64,
    rows: RowsEncoder,
}

impl MetricStore {
    /// Writes what is in memory to the disk, so that the next opening reads that and
    /// the log from now on. Commits and readers go on meanwhile. Removes older
    /// snapshots and the part of the log that nothing needs.
    ///
    /// # Errors
    /// The disk refused, or the store takes no more writes. Nothing is lost: the
    /// snapshots and the log from before are still there.
    pub fn snapshot_head(&self) -> Result<Snapshotted, StorageError> {
        if let Some(reason) = self.poisoned() {
            return Err(StorageError::Poisoned { reason });
        }
        let _alone = self.truncating.lock();
        // A snapshot does not know the series that left.
        self.tails.removed.flush().map_err(failed)?;
        let taken = self.take_snapshot();
        let counter = match &taken {
            Ok(_) => &self.head.snapshots,
            Err(_) => &self.head.failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        taken
    }

    fn take_snapshot(&self) -> Result<Snapshotted, StorageError> {
        let head = &self.head;
        let seq = head.next_seq.fetch_add(1, Ordering::Relaxed);
        if self.is_much(head.dropped.load(Ordering::Relaxed)) {
            // What is stored from here on must not keep files of what was dropped.
            for files in &head.files {
                files.lock().roll();
            }
        }
        let dropped = head.dropped.load(Ordering::Relaxed);
        let mut taking = Taking {
            store: self,
            seq,
            n_series: 0,
            rows: RowsEncoder::default(),
        };
        let written = taking.write();
        let manifest = match written {
            Ok(manifest) => manifest,
            Err(error) => {
                let kept: Vec<u64> = head.kept.lock().iter().map(|m| m.seq).collect();
                // The next snapshot tries again to remove what is left.
                let _ = head.sweep(&kept);
                return Err(failed(error));
            }
        };
        head.dropped.fetch_sub(dropped, Ordering::Relaxed);
        head.dropped_before.store(dropped, Ordering::Relaxed);
        let taken = Snapshotted {
            series: manifest.n_series,
            bytes: manifest.len_bytes(),
        };
        let kept = {
            let mut kept = head.kept.lock();
            kept.push(manifest);
            let excess = kept.len().saturating_sub(KEPT);
            kept.drain(..excess);
            kept.clone()
        };
        self.remove_unneeded(&kept)?;
        Ok(taken)
    }

    /// Removes the files that none of the kept snapshots needs.
    fn remove_unneeded(&self, kept: &[Manifest]) -> Result<(), StorageError> {
        let head = &self.head;
        let seqs: Vec<u64> = kept.iter().map(|manifest| manifest.seq).collect();
        head.sweep(&seqs).map_err(failed)?;
        if kept.len() < KEPT {
            // Should the only one go bad, the whole log is there.
            return Ok(());
        }
        // A snapshot that came back after a power loss would miss the log before it.
        head.dir.sync().map_err(failed)?;
        for (number, log) in self.logs.iter().enumerate() {
            let entries = || kept.iter().map(|manifest| &manifest.shards[number]);
            if let Some(position) = entries().map(|entry| entry.position).min() {
                let held_from = self.tails.hold(number);
                log.lock().remove_before(position, held_from)?;
            }
            if let Some(first) = entries().map(|entry| entry.first_file).min() {
                // Files that came later than the snapshots are later, too.
                let mut files = head.files[number].lock();
                files.remove_before(first).map_err(failed)?;
            }
            let released = log.lock().released();
            if !released.is_empty() {
                self.index.write().release(released);
            }
        }
        Ok(())
    }

    /// Tells whether so many chunks are worth a snapshot that lets their files go.
    fn is_much(&self, dropped: u64) -> bool {
        let n_chunks = self.shards.iter().map(|s| s.lock().sealed().n_chunks());
        dropped > 0 && dropped >= n_chunks.sum::<u64>() / DUE_DROPPED
    }

    /// Tells whether so much was logged or dropped since the last snapshot that one
    /// should be taken.
    pub fn snapshot_is_due(&self) -> bool {
        let due = DUE_BYTES.max(self.head.snapshot_bytes() / DUE_SHARE);
        // The files of what was dropped are kept until two snapshots came after it.
        let dropped = &self.head.dropped;
        let dropped_before = &self.head.dropped_before;
        self.unsnapshotted_bytes() >= due
            || self.is_much(dropped.load(Ordering::Relaxed))
            || self.is_much(dropped_before.load(Ordering::Relaxed))
    }

    /// Returns the bytes of the log that a restart would replay.
    pub(super) fn unsnapshotted_bytes(&self) -> u64 {
        let positions: Option<Vec<u64>> = {
            let kept = self.head.kept.lock();
            kept.last()
                .map(|m| m.shards.iter().map(|s| s.position).collect())
        };
        let logs = self.logs.iter().enumerate();
        let bytes = logs.map(|(number, log)| {
            let position = positions.as_ref().map_or(0, |positions| positions[number]);
            log.lock().len_bytes_from(position)
        });
        bytes.sum()
    }

    /// Tells whether a snapshot would have nothing new.
    pub(super) fn is_snapshotted(&self) -> bool {
        self.unsnapshotted_bytes() == 0 && self.head.dropped.load(Ordering::Relaxed) == 0
    }

    /// Stores the pages of finished chunks that are full, and gives their memory back.
    ///
    /// # Errors
    /// The disk refused. The pages stay in memory and can be read; the next call tries
    /// again.
    pub fn flush_pages(&self) -> Result<(), StorageError> {
        for shard in 0..self.shards.len() {
            self.flush_shard(shard).map_err(failed)?;
        }
        Ok(())
    }

    fn flush_shard(&self, shard: usize) -> Result<(), FsError> {
        let mut files = self.head.files[shard].lock();
        let waiting = self.shards[shard].lock().sealed().waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        let mut stored = Vec::with_capacity(waiting.len());
        let outcome = files.store(&waiting, &mut stored);
        let mut locked = self.shards[shard].lock();
        for stored in stored {
            locked
                .sealed_mut()
                .stored(stored.number, stored.page, stored.place);
        }
        drop(locked);
        if outcome.is_err() {
            self.head.failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Stores the full pages of a shard where nobody else is about to. A disk that
    /// refuses is told to whoever calls [`MetricStore::flush_pages`].
    #[cold]
    pub(super) fn bound_waiting(&self, shard: usize) {
        if !self.head.files[shard].is_locked() {
            let _ = self.flush_shard(shard);
        }
    }

    /// Reads all stored pages, and drops those that are not what was written: their
    /// series go on without the samples that were in them or before them. Meant to be
    /// called once after opening, when there is time, and when a read failed.
    pub fn verify_head(&self) -> Vec<Damage> {
        let mut damages = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let (pages, _) = shard.lock().sealed().all();
            for (page_number, page, info) in pages {
                if page.bytes().is_ok() {
                    continue;
                }
                let _alone = self.truncating.lock();
                // Readers rely on pages only coming while they copy.
                let _capture = self.capture.lock();
                shard.lock().drop_damaged(page_number, info.serial);
                damages.extend(info.place.map(|place| Damage {
                    path: self.head.dir.path().join(super::head_files::name(number, place.file)),
                    offset: u64::from(place.slot) * super::page::PAGE_BYTES as u64,
                    lost_bytes: u64::from(info.len),
                    detail: format!(
                        "a page of {} finished chunks is not what was written; their samples are lost",
                        info.n_chunks
                    ),
                }));
            }
        }
        let n = damages.len() as u64;
        self.counters.corruptions.fetch_add(n, Ordering::Relaxed);
        damages
    }

    /// Gives back the memory of the open chunks of series that ended with a stale
    /// marker before `before_ms`: their chunks are finished early.
    pub fn retire_ended(&self, before_ms: i64) {
        /// Rows and chunks for one lock.
        const N_ROWS: usize = 8192;
        const N_SEALS: usize = 128;
        for shard in &self.shards {
            let mut next = Some(0);
            while let Some(slot) = next {
                next = shard.lock().retire_ended(slot, before_ms, N_ROWS, N_SEALS);
            }
        }
    }
}

fn failed(error: FsError) -> StorageError {
    match error {
        FsError::Io { ref path, .. } if error.is_disk_full() => StorageError::DiskFull {
            dir: path.parent().unwrap_or(path).to_path_buf(),
        },
        other => other.into(),
    }
}

impl Taking<'_> {
    /// Writes all parts, and the manifest when they are durable.
    fn write(&mut self) -> Result<Manifest, FsError> {
        let store = self.store;
        let starts: Vec<(u64, SlotSet)> = {
            let _quiet = store.committing.write();
            store.logs.iter().map(|log| log.lock().roll()).collect()
        };
        let mut shards = Vec::with_capacity(starts.len());
        for (shard, (position, defined)) in starts.iter().enumerate() {
            shards.push(self.shard(shard, *position, defined)?);
        }
        let (store_bytes, n_pairs) = self.texts()?;
        let manifest = Manifest {
            seq: self.seq,
            newest_ms: store.newest_ms.load(Ordering::Acquire),
            kept_from_ms: store.kept_from_ms.load(Ordering::Relaxed),
            next_born: store.next_born.load(Ordering::Relaxed),
            n_pairs,
            n_series: self.n_series,
            store_bytes,
            shards,
        };
        let name = Part::Manifest.name(self.seq);
        // Complete under another name first: a manifest that is there is whole.
        let temporary = Part::Manifest
            .name(self.seq)
            .replace(".snap", "-manifest.part");
        let mut part = self.part(&temporary, Part::Manifest)?;
        part.frame(kind::STATE, &[&manifest.encode()])?;
        part.finish()?;
        store.head.dir.rename(&temporary, &name)?;
        store.head.dir.sync()?;
        Ok(manifest)
    }

    fn part(&self, name: &str, part: Part) -> Result<PartWriter, FsError> {
        PartWriter::create(&*self.store.head.dir, name, part, self.seq)
    }

    /// Writes the part of a shard.
    fn shard(
        &mut self,
        number: usize,
        position: u64,
        defined: &SlotSet,
    ) -> Result<ShardEntry, FsError> {
        let store = self.store;
        let this = Part::Shard(number);
        let mut part = self.part(&this.name(self.seq), this)?;
        let mut slot = 0;
        while self.copy_rows(number, slot, defined) {
            self.rows.finish(&mut part)?;
            slot += SLICE_SLOTS;
        }
        // A page that a row refers to is there by now. Those that cannot be stored ride
        // with the snapshot.
        let _ = store.flush_shard(number);
        let lowest_open = store.head.files[number].lock().lowest_open();
        let (pages, current, first_file, state, histograms, sections) = {
            let shard = store.shards[number].lock();
            let (pages, current) = shard.sealed().all();
            let mut state = shard.kept_from_ms().to_le_bytes().to_vec();
            state.extend_from_slice(&shard.sealed().next_serial().to_le_bytes());
            let mut memory = Vec::new();
            let mut table = Vec::new();
            for (page_number, page, info) in pages {
                match info.place {
                    Some(place) => encode_page(page_number, &info, place, &mut table),
                    None => memory.push((page_number, page, info)),
                }
            }
            let first_file = shard.sealed().first_file();
            (
                (memory, table),
                current,
                first_file,
                state,
                shard.histograms.saved(),
                shard.sections(),
            )
        };
        let next_file = store.head.files[number].lock().next();
        part.frame(kind::STATE, &[&state])?;
        let (memory, table) = pages;
        part.frame(kind::PAGES, &[&table])?;
        for (page_number, page, info) in memory {
            // Only the end of a page in memory changes, which is behind `info.len`.
            let mut body = (page_number as u32).to_le_bytes().to_vec();
            body.extend_from_slice(&u32::from(current == Some(page_number)).to_le_bytes());
            encode_page_info(&info, &mut body);
            let stored = page.stored(number as u32, &info).unwrap_or_default();
            part.frame(kind::MEMORY_PAGE, &[&body, &stored])?;
        }
        for bytes in histograms::sections(&histograms) {
            part.frame(kind::HISTOGRAMS, &[&bytes])?;
        }
        for (kind, bytes) in sections {
            part.frame(kind, &[&bytes])?;
        }
        Ok(ShardEntry {
            position,
            // Later pages may come to the open file.
            first_file: first_file.map_or(lowest_open, |first| first.min(lowest_open)),
            next_file,
            len_bytes: part.finish()?,
        })
    }

    /// Copies the rows of a slice; `false` when it is behind the last row.
    fn copy_rows(&mut self, number: usize, first: u32, defined: &SlotSet) -> bool {
        let store = self.store;
        let index = store.index.read();
        let shard = store.shards[number].lock();
        let end = shard.end_slot().min(first.saturating_add(SLICE_SLOTS));
        for slot in first..end {
            let labels = index.row(store.layout.id(number, slot));
            let (Some(saved), Some(labels)) = (shard.saved(slot), labels) else {
                continue;
            };
            // A series that was created and never written to is forgotten at a restart.
            let is_defined = defined.contains(slot);
            if is_defined || saved.has_samples() {
                self.rows.push(&saved, is_defined, labels);
                self.n_series += 1;
            }
        }
        first < end
    }

    /// Writes the part of the store; returns its length and the number of pairs.
    fn texts(&self) -> Result<(u64, u32), FsError> {
        let store = self.store;
        let mut part = self.part(&Part::Store.name(self.seq), Part::Store)?;
        let dictionary = store.index.read().dictionary();
        let n_pairs = dictionary.read().n_pairs();
        let (mut n_names, mut body) = (0, Vec::new());
        for start in (0..n_pairs).step_by(SLICE_PAIRS) {
            let dictionary = dictionary.read();
            for pair in start..n_pairs.min(start + SLICE_PAIRS) {
                let name = dictionary.pair_name(pair as PairId);
                let (name_text, value) = dictionary.pair_text(pair as PairId);
                varint::write_u64(&mut body, u64::from(name));
                if name == n_names {
                    n_names += 1;
                    varint::write_u64(&mut body, name_text.len() as u64);
                    body.extend_from_slice(name_text.as_bytes());
                }
                varint::write_u64(&mut body, value.len() as u64);
                body.extend_from_slice(value.as_bytes());
            }
            drop(dictionary);
            part.frame(kind::TEXTS, &[&body])?;
            body.clear();
        }
        for (kind, bytes) in store.sections() {
            part.frame(kind, &[&bytes])?;
        }
        Ok((part.finish()?, n_pairs as u32))
    }
}
