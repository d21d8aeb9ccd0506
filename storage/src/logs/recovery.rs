//! Opening a directory: its version, its lock, and the replay of the log.

use std::sync::Arc;

use super::deletion::{self, Deletion};
use super::manifest::{self, Found, Manifest, PartId};
use super::options::LogStoreOptions;
use super::part::WRITING;
use super::parts::{self, Served};
use super::spare::Spare;
use super::stats::LogRecovery;
use super::store::{State, StreamNote, labels_of};
use super::table::{Block, Table};
use crate::error::StorageError;
use crate::fs::{Dir, DirLock};
use crate::index::{Index, Search};
use crate::metrics::Damage;
use crate::model::Labels;
use crate::wal::format::{MAX_SERIES, segment_seq};
use crate::wal::{Definitions, Entry, LoggedEntries, Replayed, Start, Wal, WalOptions};

const DIR: &str = "logs";
const VERSION_FILE: &str = "VERSION";
const TEMPORARY_FILE: &str = "VERSION.tmp";
const WAL_DIR: &str = "wal";
const PARTS_DIR: &str = "parts";
/// What the version file says.
const FORMAT: &str = "kymo-logs 1\n";
/// The version file is a short line.
const MAX_VERSION_BYTES: u64 = 4096;

/// Everything a store consists of.
pub(super) struct Opened {
    pub(super) dir: Arc<dyn Dir>,
    pub(super) parts_dir: Arc<dyn Dir>,
    pub(super) manifest: Manifest,
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
    let parts_dir = dir.subdir(PARTS_DIR)?;
    let mut recovery = LogRecovery::default();
    let mut index = Index::default();
    let (mut manifest, parts) = open_parts(&dir, &parts_dir, &mut index, &mut recovery)?;
    let deletions = restore_deletions(&manifest, options, &*dir, &mut recovery);
    let wal_options = WalOptions {
        shard: 0,
        segment_bytes: options.wal_segment_bytes,
    };
    let mut replayer = Replayer {
        index,
        table: Table::new(manifest.wal_born, Arc::new(Spare::new(options.flush_bytes))),
        deletions: &deletions,
        notes: Vec::new(),
        search: Search::default(),
        ids: Vec::new(),
        entries: 0,
        newest_mark: 0,
    };
    let start = Start {
        keep: manifest.wal_from,
        replay: manifest.wal_from,
    };
    let wal = dir.subdir(WAL_DIR)?;
    let (wal, replayed) = Wal::open_from(wal, wal_options, start, &mut |entry| {
        replayer.apply(entry);
    })?;
    // A mark may stand in the log whose deletion was never acknowledged.
    manifest.next_deletion = manifest.next_deletion.max(replayer.newest_mark + 1);
    recovery.streams = replayer.index.len() as u64;
    recovery.entries = replayer.entries;
    report(&mut recovery, replayed);
    let state = State {
        wal,
        table: replayer.table,
        filling_since_ns: None,
        flushing: None,
        parts: Arc::new(parts),
        notes: replayer.notes,
        era: 1,
        search: replayer.search,
        deletions: Arc::default(),
    };
    let index = replayer.index;
    Ok(Opened {
        dir,
        parts_dir,
        manifest,
        state: State {
            deletions: Arc::new(deletions),
            ..state
        },
        index,
        recovery,
        lock,
    })
}

/// Opens the parts that count. Leftovers are removed; a part that cannot be read is set
/// aside and reported.
fn open_parts(
    dir: &Arc<dyn Dir>,
    parts_dir: &Arc<dyn Dir>,
    index: &mut Index,
    recovery: &mut LogRecovery,
) -> Result<(Manifest, Vec<Arc<Served>>), StorageError> {
    let names = parts_dir.files()?;
    let there = names.iter().filter_map(|name| PartId::of_file_name(name));
    let there: Vec<PartId> = there.collect();
    let (mut manifest, is_lost) = match Manifest::read(&**dir)? {
        Found::Manifest(manifest) => (manifest, false),
        Found::Nothing if there.is_empty() => {
            // Before there is any part: one without a manifest means that it was lost.
            let manifest = Manifest::new();
            manifest.write(&**dir)?;
            (manifest, false)
        }
        found => {
            let reason = match found {
                Found::Damaged(reason) => reason,
                _ => "it is missing; all parts are served, deletions that were not processed are lost"
                    .to_owned(),
            };
            recovery.damages.push(Damage {
                path: dir.path().join(manifest::FILE),
                offset: 0,
                lost_bytes: 0,
                detail: reason,
            });
            let segments = dir.subdir(WAL_DIR)?.files()?;
            let oldest = segments.iter().filter_map(|name| segment_seq(name)).min();
            let mut manifest = Manifest::of_parts(&there);
            manifest.wal_from = oldest.unwrap_or(1);
            (manifest, true)
        }
    };
    let mut search = Search::default();
    let mut parts: Vec<Arc<Served>> = Vec::new();
    for &entry in &manifest.parts {
        if !there.contains(&entry.id) {
            recovery.damages.push(Damage {
                path: parts_dir.path().join(entry.id.file_name()),
                offset: 0,
                lost_bytes: 0,
                detail: "the part is missing; the rest is served".to_owned(),
            });
            continue;
        }
        match Served::open(parts_dir, entry, index, &mut search) {
            Ok(part) => parts.push(Arc::new(part)),
            Err(error) if error.is_corrupt() => {
                let damage = parts::damage_of(&**parts_dir, entry.id, &error);
                recovery.damages.push(damage);
                parts::set_aside(&**parts_dir, entry.id)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if is_lost {
        // What a merge read and what it wrote may both be there.
        let ids: Vec<PartId> = parts.iter().map(|part| part.id()).collect();
        parts.retain(|part| !ids.iter().any(|&other| part.id().is_in(other)));
    }
    manifest.parts = parts.iter().map(|part| part.entry).collect();
    for name in &names {
        let stays = match PartId::of_file_name(name) {
            Some(id) => manifest.parts.iter().any(|part| part.id == id),
            None => !name.ends_with(WRITING),
        };
        // Those set aside have another name by now.
        if !stays
            && !recovery
                .damages
                .iter()
                .any(|damage| damage.path.ends_with(name))
        {
            parts_dir.remove(name)?;
        }
    }
    recovery.parts = parts.len() as u64;
    Ok((manifest, parts))
}

fn restore_deletions(
    manifest: &Manifest,
    options: &LogStoreOptions,
    dir: &dyn Dir,
    recovery: &mut LogRecovery,
) -> Vec<Arc<Deletion>> {
    let restored = manifest.deletions.iter().map(|entry| {
        let (deletion, failure) = Deletion::restore(entry.clone(), options.filters.as_ref());
        if let Some(detail) = failure {
            recovery.damages.push(Damage {
                path: dir.path().join(manifest::FILE),
                offset: 0,
                lost_bytes: 0,
                detail,
            });
        }
        Arc::new(deletion)
    });
    restored.collect()
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

/// Returns the note of a stream.
fn note(notes: &mut Vec<StreamNote>, id: u32) -> &mut StreamNote {
    let at = id as usize;
    if notes.len() <= at {
        notes.resize(at + 1, StreamNote::NONE);
    }
    &mut notes[at]
}

/// Applies the records of the log.
struct Replayer<'d> {
    index: Index,
    table: Table,
    deletions: &'d [Arc<Deletion>],
    notes: Vec<StreamNote>,
    search: Search,
    /// Ids by number in the log.
    ids: Vec<Option<u32>>,
    entries: u64,
    newest_mark: u64,
}

impl Replayer<'_> {
    fn apply(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Series(found) => self.define(found),
            Entry::Entries(found) => self.entries(found),
            Entry::Deletion(number) => {
                self.table.mark(number);
                self.newest_mark = self.newest_mark.max(number);
            }
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
        let (index, deletions) = (&self.index, self.deletions);
        let is_hidden = |block: &Block, row| {
            deletion::is_hidden(deletions, block, row, |id| labels_of(index, id))
        };
        let appended = self.table.append(&found.rows, found.payload, id, is_hidden);
        self.entries += appended.entries;
        for row in &found.rows {
            let Some(id) = id(row.stream) else { continue };
            let note = note(&mut self.notes, id);
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
