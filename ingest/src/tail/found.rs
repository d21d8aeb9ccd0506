//! Files that a job finds: which of them are new, and which are what another was before it
//! was renamed, cut or compressed.
//!
//! A file that may be a copy of one that is about to be cut waits until that is known, so
//! that nothing is read twice.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compressed::Compression;
use super::config::StartAt;
use super::file::{Content, Opening, TAIL_BYTES, TailedFile};
use super::follow::{FileTarget, Follow, nanos};
use super::identity::{FileId, HEAD_BYTES, Print};
use super::positions::{Key, Piece, Record};

/// How long it is waited for whether a copy of a file that is read means that the file is
/// about to be cut.
const COPY_WAIT_NS: i64 = 30_000_000_000;
/// How long a file waits that is too short to tell it from the beginning of another one.
const SHORT_WAIT_NS: i64 = 1_000_000_000;
/// How long a file that is not there any more is remembered.
const KEEP_NS: i64 = 7 * 24 * 3_600_000_000_000;
/// How often it is written down that a file is still there.
const SEEN_NS: i64 = 24 * 3_600_000_000_000;
/// How long the state of a file before it was cut is remembered.
const BEFORE_NS: i64 = 3_600_000_000_000;
/// Least part of a file that must be the same for it to be a copy. A shorter one may be a
/// greeting that each new file begins with.
const LEAST_COPY_BYTES: usize = 64;

impl Follow {
    /// Compares the patterns with the files that are there.
    pub(super) fn scan(&mut self) {
        let now_ns = self.now();
        let from_end = self.begins_at_end();
        let targets = Arc::clone(&self.targets.lock());
        let mut seen = BTreeSet::new();
        let mut dirs = BTreeSet::new();
        let mut shut = BTreeSet::new();
        for target in targets.iter() {
            let found = target.include.files();
            dirs.extend(found.dirs);
            for (dir, error) in found.failures {
                self.failed(&dir, &error);
                shut.insert(dir);
            }
            for path in found.files {
                if target.exclude.as_ref().is_some_and(|glob| glob.fits(&path)) {
                    continue;
                }
                let Ok(metadata) = std::fs::metadata(&path) else {
                    continue;
                };
                let id = FileId::of(&metadata);
                // One file that several targets or names lead to is read once.
                if !seen.insert(id) {
                    continue;
                }
                match self.files.get_mut(&id) {
                    Some(file) => {
                        file.unseen_since_ns = None;
                        file.place = path;
                        if now_ns >= file.recorded_ns.saturating_add(SEEN_NS) {
                            file.dirty = true;
                            self.unsynced = true;
                        }
                    }
                    None => {
                        self.found(&path, id, target, now_ns);
                        if from_end && !self.files.contains_key(&id) {
                            self.ends.insert(id, metadata.len());
                        }
                    }
                }
            }
        }
        for (id, file) in &mut self.files {
            if !seen.contains(id) {
                file.unseen_since_ns.get_or_insert(now_ns);
            }
        }
        if !self.scanned || !self.moved.is_empty() {
            self.find_moved(&targets, &seen, now_ns);
        }
        self.scanned = true;
        self.copies.retain(|id, _| seen.contains(id));
        self.ends.retain(|id, _| seen.contains(id));
        self.forget_old(now_ns);
        for dir in std::mem::replace(&mut self.shut, shut) {
            if !self.shut.contains(&dir) {
                self.shown.failures.lock().remove(&dir);
            }
        }
        self.hints.watch(dirs);
        self.show();
    }

    /// Forgets files that are gone, and states of files from before they were cut, after a
    /// while.
    fn forget_old(&self, now_ns: i64) {
        let oldest_ns = now_ns.saturating_sub(BEFORE_NS);
        let mut positions = self.positions.lock();
        let gone_ns = now_ns.saturating_sub(KEEP_NS);
        let old = positions.records().filter(|record| {
            let oldest_ns = match record.key.before {
                Some(_) => oldest_ns,
                None if self.files.contains_key(&record.key.id) => i64::MIN,
                None => gone_ns,
            };
            record.key.job == self.job && record.seen_ns < oldest_ns
        });
        let old: Vec<Record> = old
            .map(|record| Record {
                gone: true,
                ..record.clone()
            })
            .collect();
        if !old.is_empty() && positions.write(old).is_err() {
            tracing::debug!(job = self.job, "old positions of log files stay");
        }
    }

    fn key(&self, id: FileId) -> Key {
        Key {
            job: self.job.clone(),
            id,
            before: None,
        }
    }

    /// Begins to follow a file that was found.
    fn found(&mut self, path: &Path, id: FileId, target: &FileTarget, now_ns: i64) {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.failed(path, &error.to_string());
                return;
            }
        };
        let compression = self
            .config
            .compression
            .or_else(|| Compression::of_path(path));
        if compression.is_some() && !self.config.initial_delay.is_zero() {
            let since_ns = *self.copies.entry(id).or_insert(now_ns);
            if now_ns < since_ns.saturating_add(nanos(self.config.initial_delay)) {
                return;
            }
            self.copies.remove(&id);
        }
        let mut content = Content::new(file, compression);
        let head = match content.read_at(0, HEAD_BYTES) {
            Ok(head) => head,
            Err(error) => {
                self.failed(path, &error.to_string());
                return;
            }
        };
        let size = match compression {
            None => size,
            Some(_) => u64::MAX,
        };
        let record = self.known(id);
        let same = record
            .as_ref()
            .is_some_and(|record| record.head.begins(&head) && record.end() <= size);
        let start = match record {
            Some(record) if same => Start::from(&record),
            // It was cut, or written anew, while nobody looked.
            Some(mut record) if record.head.len > 0 => {
                record.key.before = Some(now_ns.cast_unsigned());
                if self.write(vec![record]).is_err() {
                    return;
                }
                Start::default()
            }
            _ => match self.adopt(id, path, &head, &mut content, size, now_ns) {
                Adoption::Start(start) => start,
                Adoption::Wait => return,
                Adoption::New => match self.fresh_start(path, id, &content) {
                    Ok(start) => start,
                    Err(error) => {
                        self.failed(path, &error.to_string());
                        return;
                    }
                },
            },
        };
        self.follow(path, id, content, target, start, now_ns);
    }

    pub(super) fn failed(&self, path: &Path, error: &str) {
        let mut failures = self.shown.failures.lock();
        if failures.get(path).map(String::as_str) != Some(error) {
            tracing::warn!(job = self.job, path = %path.display(), error, "logs cannot be read");
            failures.insert(path.to_owned(), error.to_owned());
        }
    }

    /// Returns the record of a file, or of one that had the same number before.
    fn known(&self, id: FileId) -> Option<Record> {
        let positions = self.positions.lock();
        let record = positions
            .get(&self.key(id))
            .or_else(|| positions.orphan(id));
        record.cloned()
    }

    /// Looks whether a file that is new is what another was before it was cut or compressed.
    fn adopt(
        &mut self,
        id: FileId,
        path: &Path,
        head: &[u8],
        content: &mut Content,
        size: u64,
        now_ns: i64,
    ) -> Adoption {
        let oldest_ns = now_ns.saturating_sub(BEFORE_NS);
        let candidates: Vec<Record> = {
            let positions = self.positions.lock();
            let records = positions.records().filter(|record| {
                record.key.job == self.job
                    && record.key.id != id
                    && record.path.parent() == path.parent()
                    && record.head.len >= LEAST_COPY_BYTES
                    && record.head.begins(head)
                    && record.seen_ns >= oldest_ns
            });
            records.cloned().collect()
        };
        let mut wait = false;
        for record in candidates {
            let len = TAIL_BYTES.min(record.tail.len);
            let tail = match len {
                0 => Ok(Vec::new()),
                len => content.read_at(record.at - len as u64, len),
            };
            // A copy that is still being written is shorter, or cannot be read.
            let whole = tail.as_ref().is_ok_and(|tail| tail.len() == len) && record.end() <= size;
            let alive = record.key.before.is_none() && self.is_there(&record);
            if alive || !whole {
                wait = true;
                continue;
            }
            if !tail.is_ok_and(|tail| record.tail.begins(&tail)) {
                continue;
            }
            tracing::info!(
                job = self.job,
                path = %path.display(),
                was = %record.path.display(),
                at = record.at,
                "a log file goes on under another name"
            );
            let mut gone = record.clone();
            gone.gone = true;
            let mut own = record.clone();
            own.key = self.key(id);
            own.seen_ns = now_ns;
            // In one piece: one of both has the position, whatever happens.
            if self.write(vec![gone, own]).is_err() {
                return Adoption::Wait;
            }
            self.copies.remove(&id);
            return Adoption::Start(Start::from(&record));
        }
        let longest_ns = match self.likeness(id, path, head) {
            _ if wait => COPY_WAIT_NS,
            Likeness::Same => COPY_WAIT_NS,
            Likeness::Short => SHORT_WAIT_NS,
            Likeness::None => 0,
        };
        if longest_ns > 0 {
            let since_ns = *self.copies.entry(id).or_insert(now_ns);
            if now_ns < since_ns.saturating_add(longest_ns) {
                return Adoption::Wait;
            }
        }
        self.copies.remove(&id);
        Adoption::New
    }

    /// Tells whether a new file may be a copy of one that is followed, or the first part of
    /// such a copy.
    fn likeness(&self, id: FileId, path: &Path, head: &[u8]) -> Likeness {
        let mut likeness = Likeness::None;
        for (other, file) in &self.files {
            let theirs = file.head();
            let beside = *other != id && file.path.parent() == path.parent();
            if !beside || theirs.len() < LEAST_COPY_BYTES {
                continue;
            }
            if head.starts_with(theirs) {
                return Likeness::Same;
            }
            if theirs.starts_with(head) {
                likeness = Likeness::Short;
            }
        }
        likeness
    }

    /// Tells whether the file of a record is still the one it was.
    fn is_there(&self, record: &Record) -> bool {
        if self.files.contains_key(&record.key.id) {
            return true;
        }
        std::fs::metadata(&record.path).is_ok_and(|m| FileId::of(&m) == record.key.id)
    }

    /// Tells whether files that are found now are read from their end on.
    fn begins_at_end(&self) -> bool {
        let known = || {
            let positions = self.positions.lock();
            positions.records().any(|record| record.key.job == self.job)
        };
        self.config.start == StartAt::End && !self.scanned && !known()
    }

    fn fresh_start(&self, path: &Path, id: FileId, content: &Content) -> io::Result<Start> {
        let at = match content {
            Content::Plain(file) => {
                let size = file.metadata()?.len();
                let end = match self.begins_at_end() {
                    true => Some(size),
                    // Where its end was at the first look.
                    false => self.ends.get(&id).copied().filter(|end| *end <= size),
                };
                match (self.imported.get(path), end) {
                    (Some(at), _) if *at <= size => *at,
                    (_, Some(end)) => line_start(file, end)?,
                    (_, None) => 0,
                }
            }
            Content::Packed(_) => 0,
        };
        Ok(Start {
            at,
            ..Start::default()
        })
    }

    fn follow(
        &mut self,
        place: &Path,
        id: FileId,
        content: Content,
        target: &FileTarget,
        start: Start,
        now_ns: i64,
    ) {
        let path = start.path.unwrap_or_else(|| place.to_owned());
        let mut labels = target.labels.clone();
        labels.set("filename".into(), path.display().to_string().into());
        let opened = TailedFile::open(Opening {
            key: self.key(id),
            path,
            place: place.to_owned(),
            content,
            labels,
            pipeline: self.pipeline.fresh(),
            options: self.config.lines.clone(),
            head: start.head,
            at: start.at,
            pieces: start.pieces,
            shown: Arc::clone(&self.shown),
            now_ns,
        });
        match opened {
            Ok(file) => {
                self.shown.failures.lock().remove(place);
                self.files.insert(id, file);
            }
            Err(error) => self.failed(place, &error.to_string()),
        }
    }

    /// After a start: files that were being read and have another name now, one that no
    /// pattern finds, are read to their end. Those that cannot be read are tried again at
    /// later looks.
    fn find_moved(&mut self, targets: &[FileTarget], seen: &BTreeSet<FileId>, now_ns: i64) {
        let tried = self.scanned.then(|| std::mem::take(&mut self.moved));
        let records: Vec<Record> = {
            let positions = self.positions.lock();
            let records = positions.records().filter(|record| {
                let id = record.key.id;
                record.key.job == self.job
                    && record.key.before.is_none()
                    && !seen.contains(&id)
                    && tried.as_ref().is_none_or(|tried| tried.contains_key(&id))
            });
            records.cloned().collect()
        };
        for record in records {
            let Some(target) = targets.iter().find(|t| t.include.fits(&record.path)) else {
                continue;
            };
            let id = record.key.id;
            if let Err((told, error)) = self.follow_moved(record, target, now_ns) {
                self.failed(&told, &error.to_string());
                self.moved.insert(id, told);
            }
        }
        for (id, told) in tried.into_iter().flatten() {
            if self.moved.get(&id) != Some(&told) {
                self.shown.failures.lock().remove(&told);
            }
        }
    }

    /// Follows a file where it is now, if that is known and it has more than was stored.
    fn follow_moved(
        &mut self,
        record: Record,
        target: &FileTarget,
        now_ns: i64,
    ) -> Result<(), (PathBuf, io::Error)> {
        let place = place_of(&record).map_err(|error| (record.path.clone(), error))?;
        let Some(place) = place else {
            return Ok(());
        };
        let rest = unread_rest(&record, &place).map_err(|error| (place.clone(), error))?;
        if let Some(content) = rest {
            let (id, start) = (record.key.id, Start::from(&record));
            self.follow(&place, id, content, target, start, now_ns);
            match self.files.get_mut(&id) {
                Some(file) => file.unseen_since_ns = Some(now_ns),
                // That it cannot be read is told.
                None => {
                    self.moved.insert(id, place);
                }
            }
        }
        Ok(())
    }
}

/// Where reading starts.
#[derive(Debug, Default)]
struct Start {
    head: Print,
    at: u64,
    pieces: Vec<Piece>,
    /// The path that the file was known by.
    path: Option<PathBuf>,
}

impl Start {
    fn from(record: &Record) -> Start {
        Start {
            head: record.head,
            at: record.at,
            pieces: record.pieces.clone(),
            path: Some(record.path.clone()),
        }
    }
}

/// Whether a new file is an old one.
enum Adoption {
    Start(Start),
    /// That is not known yet.
    Wait,
    New,
}

/// How a new file looks beside one that is followed.
enum Likeness {
    None,
    /// It is too short to tell.
    Short,
    /// It begins with the same bytes.
    Same,
}

/// Returns where the file of a record is now, in the directory where it was.
fn place_of(record: &Record) -> io::Result<Option<PathBuf>> {
    let Some(dir) = record.path.parent() else {
        return Ok(None);
    };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if std::fs::metadata(&path).is_ok_and(|m| FileId::of(&m) == record.key.id) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Opens the file of a record where it is the one it was, and has more than was stored.
fn unread_rest(record: &Record, place: &Path) -> io::Result<Option<Content>> {
    let file = File::open(place)?;
    let size = file.metadata()?.len();
    let mut content = Content::new(file, Compression::of_path(&record.path));
    let head = content.read_at(0, HEAD_BYTES)?;
    let unread = record.at < size || !record.pieces.is_empty();
    let same = record.head.begins(&head) && record.end() <= size;
    Ok((unread && same).then_some(content))
}

/// Returns the start of the line that a file ends in.
fn line_start(file: &File, size: u64) -> io::Result<u64> {
    let back = 64 << 10;
    let from = size.saturating_sub(back);
    let len = usize::try_from(size - from).unwrap_or(0);
    let bytes = super::identity::read_at(file, from, len)?;
    Ok(match memchr::memrchr(b'\n', &bytes) {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => size,
    })
}
