//! The files of a job: found, read in turns, given on, remembered.
//!
//! A thread of its own does a round after the other: look for files now and then, read some
//! of each that has something new, write down what was read, push it, note that the store
//! has it. One round's entries are stored before the next is read, so a job holds no more
//! than [`ROUND_BYTES`] and one line for each file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::compressed::Compression;
use super::config::{FilesConfig, StartAt, TailOptions};
use super::file::{Content, Opening, TAIL_BYTES, TailedFile, Turn};
use super::glob::Glob;
use super::identity::{FileId, HEAD_BYTES, Print};
use super::outlet::{Novelty, Outlet, Stopped};
use super::positions::{Key, Piece, Positions, Record};
use super::stats::FileStats;
use super::watch::Hints;
use crate::pipeline::{Entry, LabelSet, Pipeline};

/// Bytes that are read of one file before it is another one's turn.
const TURN_BYTES: usize = 256 << 10;
/// How long changes are gathered where there is not much to do.
const GATHER: Duration = Duration::from_millis(2);
/// Bytes that are read in one round.
const ROUND_BYTES: usize = 2 << 20;
/// How often the store is told to sync what was pushed.
const SYNC_NS: i64 = 1_000_000_000;
/// Pieces of a file from which it is told so at once.
const MAX_PIECES: usize = 64;
/// How long it is waited for whether a copy of a file that is read means that the file is
/// about to be cut.
const COPY_WAIT_NS: i64 = 30_000_000_000;
/// How long a file waits that is too short to tell it from the beginning of another one.
const SHORT_WAIT_NS: i64 = 1_000_000_000;
/// Longest time between looks for files while some wait.
const WAIT_PERIOD: Duration = Duration::from_millis(200);
/// How long a file that is not there any more is remembered.
const KEEP_NS: i64 = 7 * 24 * 3_600_000_000_000;
/// How often it is written down that a file is still there.
const SEEN_NS: i64 = 24 * 3_600_000_000_000;
/// How long the state of a file before it was cut is remembered.
const BEFORE_NS: i64 = 3_600_000_000_000;
/// Least part of a file that must be the same for it to be a copy. A shorter one may be a
/// greeting that each new file begins with.
const LEAST_COPY_BYTES: usize = 64;

/// Files that a target names, with the labels of their entries.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileTarget {
    pub(super) include: Glob,
    pub(super) exclude: Option<Glob>,
    pub(super) labels: LabelSet,
}

/// What others may see of a job.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) files: Mutex<Vec<Arc<FileStats>>>,
    /// What went wrong last, by file.
    pub(super) failures: Mutex<BTreeMap<PathBuf, String>>,
    /// Counters of files that are not followed any more, by path.
    pub(super) past: Mutex<BTreeMap<PathBuf, super::stats::FileCounts>>,
}

/// The files of a job at work.
pub(super) struct Follow {
    pub(super) job: String,
    pub(super) config: FilesConfig,
    pub(super) options: TailOptions,
    /// Replaced where discovery finds others.
    pub(super) targets: Arc<Mutex<Arc<Vec<FileTarget>>>>,
    pub(super) pipeline: Pipeline,
    pub(super) positions: Arc<Mutex<Positions>>,
    pub(super) outlet: Outlet,
    pub(super) hints: Arc<Hints>,
    pub(super) shown: Arc<Shown>,
    /// Positions of Promtail by path.
    pub(super) imported: BTreeMap<PathBuf, u64>,
    pub(super) files: BTreeMap<FileId, TailedFile>,
    /// Files that may be copies of one that is about to be cut, with when they were found.
    pub(super) copies: BTreeMap<FileId, i64>,
    /// Directories that cannot be read.
    pub(super) shut: BTreeSet<PathBuf>,
    pub(super) scanned: bool,
    pub(super) unsynced: bool,
    pub(super) synced_ns: i64,
    /// Where the next round begins, so that no file has to wait for ever.
    pub(super) next: usize,
}

impl Follow {
    /// Works until it is stopped.
    pub(super) fn run(mut self) {
        let mut scan_due_ns = i64::MIN;
        let mut last_ns = i64::MIN;
        while !self.outlet.signal.is_stopped() {
            let now_ns = self.now();
            // The clock was set back: what was due then is due now.
            if now_ns < last_ns {
                scan_due_ns = i64::MIN;
                self.synced_ns = i64::MIN;
                for file in self.files.values_mut() {
                    file.due_ns = i64::MIN;
                }
            }
            last_ns = now_ns;
            let asked = self.hints.take_scan() | self.outlet.signal.take_look();
            if now_ns >= scan_due_ns || asked {
                self.scan();
                scan_due_ns = now_ns.saturating_add(nanos(match self.copies.is_empty() {
                    true => self.options.sync_period,
                    false => self.options.sync_period.min(WAIT_PERIOD),
                }));
            }
            let Ok(busy) = self.round() else {
                break;
            };
            let now_ns = self.now();
            if self.unsynced && now_ns >= self.synced_ns.saturating_add(SYNC_NS) {
                self.sync();
            }
            if !busy {
                // Many small changes are one.
                self.outlet.signal.sleep(GATHER);
                self.outlet.signal.wait(self.options.min_poll);
            }
        }
        self.sync();
        self.shown.files.lock().clear();
    }

    fn now(&self) -> i64 {
        (self.outlet.clock)()
    }

    /// Reads some of each file that is due and stores it. Tells whether there was anything.
    fn round(&mut self) -> Result<bool, Stopped> {
        let now_ns = self.now();
        let hinted = self.hints.take_files();
        let mut entries: Vec<Entry> = Vec::new();
        let mut touched: BTreeSet<FileId> = BTreeSet::new();
        let mut read_bytes = 0;
        let ids: Vec<FileId> = self.files.keys().copied().collect();
        let start = self.next % ids.len().max(1);
        let mut looked = 0;
        let mut ended = Vec::new();
        let mut novelty = Novelty::New;
        for id in ids.iter().cycle().skip(start).take(ids.len()) {
            if read_bytes >= ROUND_BYTES {
                break;
            }
            looked += 1;
            let Some(file) = self.files.get_mut(id) else {
                continue;
            };
            if file.due_ns > now_ns && !hinted.names(&file.place) {
                continue;
            }
            let before = (entries.len(), file.dirty);
            if file.is_replaying() {
                novelty = Novelty::Again;
            }
            match file.read(TURN_BYTES, now_ns, &mut entries) {
                Ok(Turn::More(bytes)) => {
                    read_bytes += bytes;
                    file.idle_ns = 0;
                    file.due_ns = now_ns;
                    touched.insert(*id);
                    file.is_well();
                }
                Ok(Turn::AtEnd) => {
                    file.tick(now_ns, &mut entries);
                    let idle_ns = (file.idle_ns * 2)
                        .clamp(nanos(self.options.min_poll), nanos(self.options.max_poll));
                    file.idle_ns = idle_ns;
                    file.due_ns = now_ns.saturating_add(idle_ns);
                    let unseen = file.unseen_since_ns.is_some_and(|since_ns| {
                        now_ns
                            >= since_ns
                                .max(file.grew_ns)
                                .saturating_add(nanos(self.options.grace))
                    });
                    if unseen {
                        file.finish(now_ns, &mut entries);
                        ended.push(*id);
                    } else if file.unseen_since_ns.is_none() && moved(file) {
                        self.hints.scan();
                    }
                    if before != (entries.len(), file.dirty) {
                        touched.insert(*id);
                    }
                }
                Ok(Turn::Cut) => {
                    let was = file.begin_anew(now_ns, &mut entries);
                    tracing::info!(
                        job = self.job,
                        path = %file.path.display(),
                        at = was.at,
                        "a log file was cut and is read from its start"
                    );
                    file.due_ns = now_ns;
                    touched.insert(*id);
                    let anew = file.record(now_ns);
                    self.write(vec![was, anew])?;
                    self.hints.scan();
                }
                Err(error) => {
                    file.due_ns = now_ns.saturating_add(nanos(Duration::from_secs(1)));
                    file.failed(&error);
                }
            }
        }
        self.next = start + looked;
        let busy = read_bytes > 0 || !ended.is_empty();
        self.store(entries, novelty, &touched, now_ns)?;
        self.end(&ended, now_ns)?;
        Ok(busy)
    }

    /// Writes down what was read, stores it, and notes that it is stored.
    fn store(
        &mut self,
        entries: Vec<Entry>,
        novelty: Novelty,
        touched: &BTreeSet<FileId>,
        now_ns: i64,
    ) -> Result<(), Stopped> {
        if touched.is_empty() {
            return Ok(());
        }
        if !entries.is_empty() {
            let files = self.files.iter_mut().filter(|(id, _)| touched.contains(id));
            let records = files.map(|(_, file)| {
                file.dirty = false;
                file.record(now_ns)
            });
            let records = records.collect();
            self.write(records)?;
            self.outlet.push(entries, novelty)?;
        }
        let mut many = false;
        for id in touched {
            if let Some(file) = self.files.get_mut(id) {
                file.ack();
                many |= file.pieces() > MAX_PIECES;
            }
        }
        self.unsynced = true;
        if many {
            self.sync();
        }
        Ok(())
    }

    /// Has the store sync, and writes down how far files are stored.
    fn sync(&mut self) {
        if self.unsynced && !self.outlet.sync() {
            return;
        }
        self.unsynced = false;
        let now_ns = self.now();
        self.synced_ns = now_ns;
        let mut records = Vec::new();
        for file in self.files.values_mut() {
            file.synced();
            if std::mem::take(&mut file.dirty) {
                records.push(file.record(now_ns));
            }
        }
        if let Err(error) = self.positions.lock().write(records) {
            // What is on disk is older and good: more is read again after a restart.
            tracing::warn!(job = self.job, %error, "positions of log files cannot be written");
        }
    }

    /// Writes records, however long it takes: without them, what is pushed next could come
    /// twice.
    fn write(&self, records: Vec<Record>) -> Result<(), Stopped> {
        let mut told = false;
        loop {
            // The lock is held over the write: records of all jobs are one file.
            let written = self.positions.lock().write(records.clone());
            let Err(error) = written else {
                return Ok(());
            };
            if !std::mem::replace(&mut told, true) {
                tracing::error!(job = self.job, %error, "positions of log files cannot be written");
            }
            self.outlet.signal.sleep(Duration::from_secs(1));
            if self.outlet.signal.is_stopped() {
                return Err(Stopped);
            }
        }
    }

    /// Closes files whose end was reached.
    fn end(&mut self, ended: &[FileId], now_ns: i64) -> Result<(), Stopped> {
        if ended.is_empty() {
            return Ok(());
        }
        self.sync();
        let mut records = Vec::new();
        for id in ended {
            if let Some(mut file) = self.files.remove(id) {
                let mut record = file.record(now_ns);
                // A file that still has a name may come back to a pattern.
                if !file.has_name() {
                    // A compressed copy may have taken its place.
                    let mut before = record.clone();
                    before.key.before = Some(now_ns.cast_unsigned());
                    records.push(before);
                    record.gone = true;
                }
                records.push(record);
                self.forget(&file);
            }
        }
        self.write(records)?;
        self.show();
        Ok(())
    }

    fn forget(&self, file: &TailedFile) {
        let counts = file.stats.counts();
        let mut past = self.shown.past.lock();
        if past.len() > 1000 {
            past.clear();
        }
        let sum = past.entry(file.path.clone()).or_default();
        sum.path.clone_from(&file.path);
        sum.read_bytes += counts.read_bytes;
        sum.lines += counts.lines;
        sum.too_long += counts.too_long;
        sum.cuts += counts.cuts;
        sum.cut_bytes += counts.cut_bytes;
        self.shown.failures.lock().remove(&file.path);
    }

    fn show(&self) {
        let stats = self.files.values().map(|file| Arc::clone(&file.stats));
        *self.shown.files.lock() = stats.collect();
    }

    /// Compares the patterns with the files that are there.
    fn scan(&mut self) {
        let now_ns = self.now();
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
                    None => self.found(&path, id, target, now_ns),
                }
            }
        }
        for (id, file) in &mut self.files {
            if !seen.contains(id) {
                file.unseen_since_ns.get_or_insert(now_ns);
            }
        }
        if !self.scanned {
            self.scanned = true;
            self.find_moved(&targets, &seen, now_ns);
        }
        self.copies.retain(|id, _| seen.contains(id));
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
                Adoption::New => match self.fresh_start(path, &content) {
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

    fn failed(&self, path: &Path, error: &str) {
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

    fn fresh_start(&self, path: &Path, content: &Content) -> io::Result<Start> {
        let known = || {
            let positions = self.positions.lock();
            positions.records().any(|record| record.key.job == self.job)
        };
        let at_end = self.config.start == StartAt::End && !self.scanned && !known();
        let at = match content {
            Content::Plain(file) => {
                let size = file.metadata()?.len();
                match self.imported.get(path) {
                    Some(at) if *at <= size => *at,
                    _ if at_end => line_start(file, size)?,
                    _ => 0,
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
    /// pattern finds, are read to their end.
    fn find_moved(&mut self, targets: &[FileTarget], seen: &BTreeSet<FileId>, now_ns: i64) {
        let records: Vec<Record> = {
            let positions = self.positions.lock();
            let records = positions.records().filter(|record| {
                record.key.job == self.job
                    && record.key.before.is_none()
                    && !seen.contains(&record.key.id)
            });
            records.cloned().collect()
        };
        for record in records {
            let Some(target) = targets.iter().find(|t| t.include.fits(&record.path)) else {
                continue;
            };
            let place = match place_of(&record) {
                Ok(Some(place)) => place,
                Ok(None) => continue,
                Err(error) => {
                    self.failed(&record.path, &error.to_string());
                    continue;
                }
            };
            match unread_rest(&record, &place) {
                Ok(None) => {}
                Ok(Some(content)) => {
                    let (id, start) = (record.key.id, Start::from(&record));
                    self.follow(&place, id, content, target, start, now_ns);
                    if let Some(file) = self.files.get_mut(&id) {
                        file.unseen_since_ns = Some(now_ns);
                    }
                }
                Err(error) => self.failed(&place, &error.to_string()),
            }
        }
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

/// Tells whether the path of a file leads to another one.
fn moved(file: &TailedFile) -> bool {
    match std::fs::metadata(&file.place) {
        Ok(metadata) => FileId::of(&metadata) != file.key.id,
        Err(_) => true,
    }
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

pub(super) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
