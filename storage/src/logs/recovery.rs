//! Opening a directory: its version, its lock, and the replay of the log.

use super::options::LogStoreOptions;
use super::stats::LogRecovery;
use super::store::{State, StreamNote};
use super::table::Table;
use crate::error::StorageError;
use crate::fs::{Dir, DirLock};
use crate::index::{Index, Search};
use crate::metrics::Damage;
use crate::model::Labels;
use crate::wal::format::MAX_SERIES;
use crate::wal::{Definitions, Entry, LoggedEntries, Replayed, Start, Wal, WalOptions};

const DIR: &str = "logs";
const VERSION_FILE: &str = "VERSION";
const TEMPORARY_FILE: &str = "VERSION.tmp";
const WAL_DIR: &str = "wal";
/// What the version file says.
const FORMAT: &str = "kymo-logs 1\n";
/// The version file is a short line.
const MAX_VERSION_BYTES: u64 = 4096;

/// Everything a store consists of.
pub(super) struct Opened {
    pub(super) state: State,
    pub(super) index: Index,
    pub(super) recovery: LogRecovery,
    pub(super) lock: DirLock,
}

/// Opens the store below `dir`.
pub(super) fn open(dir: &dyn Dir, options: &LogStoreOptions) -> Result<Opened, StorageError> {
    let dir = dir.subdir(DIR)?;
    let lock = dir.lock()?;
    check_version(&*dir)?;
    let wal_options = WalOptions {
        shard: 0,
        segment_bytes: options.wal_segment_bytes,
    };
    let mut replayer = Replayer {
        index: Index::default(),
        table: Table::new(0),
        notes: Vec::new(),
        search: Search::default(),
        ids: Vec::new(),
        entries: 0,
    };
    let wal = dir.subdir(WAL_DIR)?;
    let (wal, replayed) = Wal::open_from(wal, wal_options, Start::default(), &mut |entry| {
        replayer.apply(entry);
    })?;
    let mut recovery = LogRecovery {
        streams: replayer.index.len() as u64,
        entries: replayer.entries,
        ..LogRecovery::default()
    };
    report(&mut recovery, replayed);
    Ok(Opened {
        state: State {
            wal,
            table: replayer.table,
            notes: replayer.notes,
            era: 1,
            search: replayer.search,
        },
        index: replayer.index,
        recovery,
        lock,
    })
}

fn check_version(dir: &dyn Dir) -> Result<(), StorageError> {
    let found = match dir.read(VERSION_FILE, MAX_VERSION_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return write_version(dir),
        Err(error) => return Err(error.into()),
    };
    if found == FORMAT.as_bytes() {
        return Ok(());
    }
    Err(StorageError::Version {
        path: dir.path().join(VERSION_FILE),
        found: String::from_utf8_lossy(&found).into_owned(),
        expected: FORMAT.to_owned(),
    })
}

fn write_version(dir: &dyn Dir) -> Result<(), StorageError> {
    match dir.remove(TEMPORARY_FILE) {
        Err(error) if !error.is_not_found() => return Err(error.into()),
        _ => {}
    }
    let file = dir.create(TEMPORARY_FILE)?;
    file.append(FORMAT.as_bytes())?;
    file.sync()?;
    dir.rename(TEMPORARY_FILE, VERSION_FILE)?;
    dir.sync()?;
    Ok(())
}

/// Applies the records of the log.
struct Replayer {
    index: Index,
    table: Table,
    notes: Vec<StreamNote>,
    search: Search,
    /// Ids by number in the log.
    ids: Vec<Option<u32>>,
    entries: u64,
}

impl Replayer {
    fn apply(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Series(found) => self.define(found),
            Entry::Entries(found) => self.entries(found),
            Entry::Deletion(number) => self.table.mark(number),
            // No log store writes anything else.
            _ => {}
        }
    }

    fn define(&mut self, found: &Definitions<'_>) {
        let text = |index: u32| found.strings().get(index as usize).copied();
        for (number, pairs) in found.series() {
            let texts = pairs.iter();
            let texts = texts.filter_map(|&(name, value)| text(name).zip(text(value)));
            let labels = Labels::from_pairs(texts);
            let search = &mut self.search;
            let id = match self.index.search(labels.iter(), search) {
                Some(id) => Some(id),
                None => self.index.create(labels.iter(), search, MAX_SERIES),
            };
            let at = number as usize;
            if self.ids.len() <= at {
                self.ids.resize(at + 1, None);
            }
            self.ids[at] = id;
        }
    }

    fn entries(&mut self, found: &LoggedEntries<'_>) {
        let ids = &self.ids;
        let id = |number: u32| ids.get(number as usize).copied().flatten();
        let appended = self
            .table
            .append(&found.rows, found.payload, id, |_, _| false);
        self.entries += appended.entries;
        for row in &found.rows {
            let Some(id) = id(row.stream) else { continue };
            let at = id as usize;
            if self.notes.len() <= at {
                self.notes.resize(at + 1, StreamNote::NONE);
            }
            let note = &mut self.notes[at];
            note.newest_ns = note.newest_ns.max(row.t_ns);
        }
    }
}

fn report(recovery: &mut LogRecovery, replayed: Replayed) {
    recovery.segments += replayed.segments;
    recovery.wal_bytes += replayed.len_bytes;
    for found in replayed.damages {
        recovery.damages.push(Damage {
            path: found.file,
            offset: found.offset,
            lost_bytes: found.len_bytes,
            detail: found.reason,
        });
    }
    if let Some(torn) = replayed.torn {
        recovery.damages.push(Damage {
            path: torn.file,
            offset: torn.offset,
            lost_bytes: torn.len_bytes,
            detail: "an unfinished commit, cut off; nobody was told that it succeeded".to_owned(),
        });
    }
}
