//! The parts of the store and how they are locked.
//!
//! **Locks**, in the order in which one thread may take them: `maintaining`, `flushing`, the
//! manifest, the state, the index, the dictionary of the index. The state is held while a
//! push is written to the log and put into the table, and for a moment when a reader takes
//! a snapshot: so a reader sees whole pushes, and every one that returned before it began.
//! Parts are written under `maintaining` or `flushing` alone, the manifest under its own
//! lock.
//!
//! What is in memory and in parts changes in one step, after the manifest says so: nothing
//! is seen twice or not at all while a part takes over from a table. A reader looks streams up in the index and takes its snapshot one after the other.
//! Streams that go in between, and whose ids could be given again, are told by a counter:
//! the reader then begins anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, RwLock};

use super::deletion::Deletions;
use super::flush::Flushing;
use super::manifest::{Manifest, PartId, WriteFailure};
use super::options::LogStoreOptions;
use super::parts::{Damages, Served};
use super::push::Scratch;
use super::recovery;
use super::stats::{Counters, LogRecovery};
use super::table::{Block, Table};
use crate::error::StorageError;
use crate::fs::{Dir, DirLock, RealDir};
use crate::index::{Index, Row, Search};
use crate::model::Labels;
use crate::options::SyncPolicy;
use crate::sync::atomic::AtomicU64;
use crate::wal::format::MAX_SERIES;
use crate::wal::{Wal, WalError};

/// The log store. Share it as `Arc<LogStore>`.
#[derive(Debug)]
pub struct LogStore {
    pub(super) options: LogStoreOptions,
    pub(super) dir: Arc<dyn Dir>,
    pub(super) parts_dir: Arc<dyn Dir>,
    /// Held by whoever changes parts that there are.
    pub(super) maintaining: Mutex<()>,
    /// Held by the one flush there is at a time.
    pub(super) flushing: Mutex<()>,
    pub(super) manifest: Mutex<Manifest>,
    pub(super) state: Mutex<State>,
    pub(super) index: RwLock<Index>,
    /// Counts how often streams were removed.
    pub(super) removals: AtomicU64,
    pub(super) scratches: Mutex<Vec<Scratch>>,
    pub(super) counters: Counters,
    pub(super) damages: Arc<Damages>,
    poison: Mutex<Option<String>>,
    _lock: DirLock,
}

/// What changes with every push.
#[derive(Debug)]
pub(super) struct State {
    pub(super) wal: Wal,
    pub(super) table: Table,
    /// When the table was first seen not to be empty.
    pub(super) filling_since_ns: Option<i64>,
    /// The table that is being written to parts.
    pub(super) flushing: Option<Flushing>,
    /// By day, then by number.
    pub(super) parts: Arc<Vec<Arc<Served>>>,
    /// By number; those that hide nothing any more are among them.
    pub(super) deletions: Arc<Deletions>,
    /// By id of the stream.
    pub(super) notes: Vec<StreamNote>,
    /// The log defines the streams that were noted with this number; a segment of its own
    /// has one of its own.
    pub(super) era: u64,
    pub(super) search: Search,
}

/// What the store remembers of a stream while it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamNote {
    pub(super) newest_ns: i64,
    pub(super) defined_in: u64,
}

impl StreamNote {
    pub(super) const NONE: StreamNote = StreamNote {
        newest_ns: i64::MIN,
        defined_in: 0,
    };
}

impl State {
    /// Returns the note of a stream.
    pub(super) fn note(&mut self, id: u32) -> &mut StreamNote {
        let at = id as usize;
        if self.notes.len() <= at {
            self.notes.resize(at + 1, StreamNote::NONE);
        }
        &mut self.notes[at]
    }

    /// Closes a segment that is long enough: every segment defines its streams itself, so
    /// that those before it can go.
    pub(super) fn roll_if_full(&mut self, segment_bytes: u64) {
        if self.wal.end().offset >= segment_bytes {
            self.wal.roll();
            self.era += 1;
        }
    }

    /// Returns all there is at this moment.
    pub(super) fn snapshot(&self) -> Snapshot {
        let flushing = self
            .flushing
            .iter()
            .flat_map(|flushing| flushing.table.blocks());
        Snapshot {
            parts: Arc::clone(&self.parts),
            blocks: flushing.chain(self.table.blocks()).cloned().collect(),
            deletions: Arc::clone(&self.deletions),
        }
    }

    /// Returns the bytes of memory of the entries.
    pub(super) fn table_bytes(&self) -> usize {
        let flushing = self.flushing.as_ref();
        self.table.memory_bytes() + flushing.map_or(0, |flushing| flushing.table.memory_bytes())
    }
}

/// What a store has at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) parts: Arc<Vec<Arc<Served>>>,
    /// In order of arrival.
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) deletions: Arc<Deletions>,
}

impl LogStore {
    /// Opens the store below `options.dir`, takes its lock and replays its log.
    ///
    /// # Errors
    /// The directory is in use, cannot be read or written, or was written by a newer
    /// version. Damage is no error: it is reported in [`LogRecovery`], and the rest is
    /// served.
    pub fn open(options: &LogStoreOptions) -> Result<(LogStore, LogRecovery), StorageError> {
        let dir = RealDir::open(&options.dir)?;
        LogStore::open_in(&dir, options)
    }

    /// Opens the store in a directory that may be none of the disk.
    pub(super) fn open_in(
        dir: &dyn Dir,
        options: &LogStoreOptions,
    ) -> Result<(LogStore, LogRecovery), StorageError> {
        let opened = recovery::open(dir, options)?;
        let n_damages = opened.recovery.damages.len() as u64;
        let damages = Damages::new(Arc::clone(&opened.parts_dir), n_damages);
        let store = LogStore {
            options: options.clone(),
            dir: opened.dir,
            parts_dir: opened.parts_dir,
            maintaining: Mutex::default(),
            flushing: Mutex::default(),
            manifest: Mutex::new(opened.manifest),
            damages: Arc::new(damages),
            state: Mutex::new(opened.state),
            index: RwLock::new(opened.index),
            removals: AtomicU64::new(0),
            scratches: Mutex::default(),
            counters: Counters::default(),
            poison: Mutex::default(),
            _lock: opened.lock,
        };
        Ok((store, opened.recovery))
    }

    /// Returns the id of the stream with these labels, a new one where there is none yet;
    /// `None` where there are as many streams as there may be.
    pub(super) fn stream(&self, search: &mut Search, labels: &Labels) -> Option<u32> {
        if let Some(id) = self.index.read().search(labels.iter(), search) {
            return Some(id);
        }
        let mut index = self.index.write();
        if self.options.max_streams > 0 && index.len() >= self.options.max_streams {
            return None;
        }
        if let Some(id) = index.search(labels.iter(), search) {
            return Some(id);
        }
        let id = index.create(labels.iter(), search, MAX_SERIES)?;
        self.counters
            .streams_created
            .fetch_add(1, Ordering::Relaxed);
        Some(id)
    }

    /// Forces to the disk what was written since the last call.
    ///
    /// # Errors
    /// The disk refused; the store takes no more writes.
    pub fn sync(&self) -> Result<(), StorageError> {
        let Some(pending) = self.state.lock().wal.begin_sync() else {
            return Ok(());
        };
        let outcome = pending.run();
        let ended = self.state.lock().wal.end_sync(outcome);
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        ended.map_err(|error| self.log_failed(error))
    }

    /// Turns an error of the log into one of the store. After one that leaves the state on
    /// disk unknown the store takes no more writes.
    pub(super) fn log_failed(&self, error: WalError) -> StorageError {
        if !matches!(error, WalError::DiskFull { .. } | WalError::TooLarge { .. }) {
            self.poison(&error);
        }
        error.into()
    }

    fn poison(&self, error: &dyn std::error::Error) {
        let mut poison = self.poison.lock();
        if poison.is_none() {
            let cause = error.source().map(|cause| format!(": {cause}"));
            *poison = Some(format!("{error}{}", cause.unwrap_or_default()));
        }
    }

    /// Refuses to write after a failure that left the state on disk unknown.
    pub(super) fn check_poison(&self) -> Result<(), StorageError> {
        match self.poisoned() {
            Some(reason) => Err(StorageError::Poisoned { reason }),
            None => Ok(()),
        }
    }

    /// Replaces the manifest by what `change` makes of it, and then shows readers `new` in
    /// place of the parts `old`. `settle` changes the state in the same step. The files of
    /// `old` are removed.
    pub(super) fn publish(
        &self,
        new: Vec<Arc<Served>>,
        old: &[PartId],
        change: impl FnOnce(&mut Manifest),
        settle: impl FnOnce(&mut State),
    ) -> Result<(), StorageError> {
        self.check_poison()?;
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        next.parts.retain(|part| !old.contains(&part.id));
        next.parts.extend(new.iter().map(|part| part.entry));
        next.parts.sort_unstable_by_key(|part| part.id);
        change(&mut next);
        self.write_manifest(&next)?;
        *manifest = next;
        {
            let mut state = self.state.lock();
            let mut parts = Vec::clone(&state.parts);
            parts.retain(|part| !old.contains(&part.id()));
            parts.extend(new);
            parts.sort_unstable_by_key(|part| part.id());
            state.parts = Arc::new(parts);
            settle(&mut state);
        }
        let kept: Vec<PartId> = manifest.parts.iter().map(|part| part.id).collect();
        drop(manifest);
        for id in old.iter().filter(|id| !kept.contains(id)) {
            match self.parts_dir.remove(&id.file_name()) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes a manifest. After a failure that leaves it unknown which one stands the store
    /// takes no more writes.
    pub(super) fn write_manifest(&self, next: &Manifest) -> Result<(), StorageError> {
        let written = next.write(&*self.dir);
        if let Err(WriteFailure::Unknown(error)) = &written {
            self.poison(error);
        }
        Ok(written?)
    }

    /// Tells why the store takes no more writes, if it does not. It stays that way until
    /// the directory is opened anew; reads go on.
    pub fn poisoned(&self) -> Option<String> {
        self.poison.lock().clone()
    }

    /// Syncs and releases the directory. Dropping the store does the same, and cannot
    /// report an error.
    ///
    /// # Errors
    /// As [`LogStore::sync`].
    pub fn close(self) -> Result<(), StorageError> {
        self.sync()
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        if self.options.wal_sync != SyncPolicy::Never {
            // Nobody is left to be told; the data is with the operating system.
            let _ = self.sync();
        }
    }
}

/// Returns the labels of a stream.
pub(super) fn labels_of(index: &Index, id: u32) -> Labels {
    let dictionary = index.dictionary();
    let dictionary = dictionary.read();
    let pairs = index.row(id).map(Row::pairs).into_iter().flatten();
    Labels::from_sorted(pairs.map(|pair| dictionary.pair_text(pair)))
}
