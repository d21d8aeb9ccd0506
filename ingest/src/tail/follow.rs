//! The files of a job: read in turns, given on, remembered. How they are found stands in
//! `found`.
//!
//! A thread of its own does a round after the other: look for files now and then, read some
//! of each that has something new, write down what was read, push it, note that the store
//! has it. One round's entries are stored before the next is read, so a job holds no more
//! than [`ROUND_BYTES`] and one line for each file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::config::{FilesConfig, TailOptions};
use super::file::{TailedFile, Turn};
use super::glob::Glob;
use super::identity::FileId;
use super::outlet::{Novelty, Outlet, Stopped};
use super::positions::{Positions, Record};
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
/// Longest time between looks for files while some wait.
const WAIT_PERIOD: Duration = Duration::from_millis(200);

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
    /// Files of the first look that could not be followed yet, with their sizes then, where
    /// a job begins at the end.
    pub(super) ends: BTreeMap<FileId, u64>,
    /// Files of before the start that were renamed and cannot be read, with the path that is
    /// told for each.
    pub(super) moved: BTreeMap<FileId, PathBuf>,
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

    pub(super) fn now(&self) -> i64 {
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
    pub(super) fn write(&self, records: Vec<Record>) -> Result<(), Stopped> {
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

    pub(super) fn show(&self) {
        let stats = self.files.values().map(|file| Arc::clone(&file.stats));
        *self.shown.files.lock() = stats.collect();
    }
}

/// Tells whether the path of a file leads to another one.
fn moved(file: &TailedFile) -> bool {
    match std::fs::metadata(&file.place) {
        Ok(metadata) => FileId::of(&metadata) != file.key.id,
        Err(_) => true,
    }
}

pub(super) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
