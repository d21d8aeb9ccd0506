//! The parts of a store: files of entries that do not change.
//!
//! Readers take the whole list at once, shared and never changed; what was replaced stays
//! mapped for as long as a reader holds it. A part numbers its streams itself, so each one
//! comes with the ids that the index has for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::deletion::Deletion;
use super::manifest::{PartEntry, PartId};
use super::part::{GroupInfo, PartError, PartMeta, PartReader};
use crate::error::StorageError;
use crate::fs::Dir;
use crate::index::{Index, Search};
use crate::metrics::Damage;
use crate::wal::format::MAX_SERIES;

/// Suffix of a part that was set aside.
const ASIDE: &str = ".damaged";

/// A part that readers look at.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) entry: PartEntry,
    reader: PartReader,
    meta: PartMeta,
    /// Ids by number of the stream in the part.
    ids: Vec<u32>,
    /// Something in it could not be read; it takes no part in later selections.
    damaged: AtomicBool,
}

impl Served {
    /// Opens a part and finds the ids of its streams, new ones where needed.
    pub(super) fn open(
        dir: &Arc<dyn Dir>,
        entry: PartEntry,
        index: &mut Index,
        search: &mut Search,
    ) -> Result<Served, PartError> {
        let reader = PartReader::open(dir, &entry.id.file_name())?;
        let mut ids = Vec::with_capacity(reader.streams().len());
        for labels in reader.streams() {
            let id = match index.search(labels.iter(), search) {
                Some(id) => Some(id),
                None => index.create(labels.iter(), search, MAX_SERIES),
            };
            // Where there are no more ids the stream is not found.
            ids.push(id.unwrap_or(u32::MAX));
        }
        Ok(Served {
            entry,
            meta: reader.meta(),
            reader,
            ids,
            damaged: AtomicBool::new(false),
        })
    }

    /// Returns the name of the part.
    pub(super) fn id(&self) -> PartId {
        self.entry.id
    }

    /// Returns what reads the part.
    pub(super) fn reader(&self) -> &PartReader {
        &self.reader
    }

    /// Returns what the part holds.
    pub(super) fn meta(&self) -> PartMeta {
        self.meta
    }

    /// Returns the row groups.
    pub(super) fn groups(&self) -> &[GroupInfo] {
        self.reader.groups()
    }

    /// Returns the ids of the streams, by their numbers in the part.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Tells whether the part proved damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Tells whether a deletion hides entries of the part, as far as can be told without
    /// reading it.
    pub(super) fn is_concerned_by(&self, deletion: &Deletion) -> bool {
        let meta = self.meta();
        deletion.concerns(self.entry.applied, meta.first_ns, meta.last_ns)
            && self
                .reader()
                .streams()
                .iter()
                .any(|labels| deletion.is_of(labels))
    }
}

/// Damage that is found while a store is open.
#[derive(Debug)]
pub(super) struct Damages {
    dir: Arc<dyn Dir>,
    found: Mutex<Vec<Damage>>,
    total: AtomicU64,
}

impl Damages {
    /// Makes a list for the parts in a directory, of which so many were found before.
    pub(super) fn new(dir: Arc<dyn Dir>, total: u64) -> Damages {
        Damages {
            dir,
            found: Mutex::default(),
            total: AtomicU64::new(total),
        }
    }

    /// Notes that reading a part failed, and returns the error as one of the store. Damage
    /// keeps the part out of every later selection.
    pub(super) fn failed(&self, part: &Served, error: PartError) -> StorageError {
        if error.is_corrupt() && !part.damaged.swap(true, Ordering::Relaxed) {
            let damage = damage_of(&*self.dir, part.id(), &error);
            self.found.lock().push(damage);
            self.total.fetch_add(1, Ordering::Relaxed);
        }
        error.into()
    }

    /// As [`Damages::failed`], for a failure of one of several parts.
    pub(super) fn failed_of(&self, parts: &[Arc<Served>], error: PartError) -> StorageError {
        let at = match &error {
            PartError::Corrupt { path, .. } => parts.iter().find(|p| p.reader().path() == path),
            _ => None,
        };
        match at {
            Some(part) => self.failed(part, error),
            None => error.into(),
        }
    }

    /// Takes what was found since the last call.
    pub(super) fn take(&self) -> Vec<Damage> {
        std::mem::take(&mut self.found.lock())
    }

    /// Counts what was ever found.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// Describes a part that cannot be read.
pub(super) fn damage_of(dir: &dyn Dir, id: PartId, error: &PartError) -> Damage {
    let name = id.file_name();
    let (path, offset) = match error {
        PartError::Corrupt { path, offset, .. } => (path.clone(), *offset),
        _ => (dir.path().join(&name), 0),
    };
    Damage {
        path,
        offset,
        lost_bytes: dir.len_bytes(&name).unwrap_or(0),
        detail: format!("{error}; the part was set aside as {name}{ASIDE}, the rest is served"),
    }
}

/// Moves a damaged part out of the way.
pub(super) fn set_aside(dir: &dyn Dir, id: PartId) -> Result<(), StorageError> {
    let name = id.file_name();
    match dir.rename(&name, &format!("{name}{ASIDE}")) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(dir.sync()?),
    }
}
