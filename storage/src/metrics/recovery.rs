//! Opening a directory: its version, its lock, the newest snapshot of the head, and the
//! replay of the logs from there on.
//!
//! Logs are independent, so each is replayed into its shard by a thread of its own.
//! Series meet only in the index, which is filled when all logs are read. Of two
//! series with the same labels (one was removed, the other created later, and both
//! are still in logs) the one with the newer samples is the one that was alive.

use std::collections::{HashMap, hash_map};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::blocks::Blocks;
use super::exemplars::{Exemplars, ReplayedExemplars};
use super::log::{ShardLog, SlotSet};
use super::metadata::MetadataStore;
use super::opening::OpenProgress;
use super::shard::{Applied, NEVER, Shard};
use super::snapshot_format::{Section, kind};
use super::snapshot_load::{self, Loaded, LoadedShard};
use super::stats::{Damage, Recovery};
use super::store::{Layout, Opened};
use super::tail::Tails;
use crate::error::StorageError;
use crate::fs::Dir;
use crate::index::{Dictionary, Index, PairId, Restoring, Row, Rows, encode_row};
use crate::model::Labels;
use crate::options::StoreOptions;
use crate::sync::thread;
use crate::wal::format::segment_seq;
use crate::wal::{
    Definitions, Entry, LoggedExemplar, LoggedHistogram, Replayed, Start, WalError, WalOptions,
};

const VERSION_FILE: &str = "VERSION";
const TEMPORARY_FILE: &str = "VERSION.tmp";
const WAL_DIR: &str = "wal";
const BLOCKS_DIR: &str = "blocks";
const HEAD_DIR: &str = "head";
const TAILS_DIR: &str = "cursors";
/// The first line of the version file.
const FORMAT: &str = "kymo-store 1";
/// The version file is two short lines.
const MAX_VERSION_BYTES: u64 = 4096;
const MAX_SHARDS: usize = 1 << 10;
/// What is replayed is stamped with this, and what a snapshot has is not.
const REPLAY_EPOCH: u32 = 1;
/// Stands for a creation number that is not known.
const UNKNOWN: u32 = u32::MAX;

/// Opens everything a store consists of, and says how far it came.
pub(super) fn open(
    dir: &dyn Dir,
    options: &StoreOptions,
    progress: &OpenProgress,
) -> Result<Opened, StorageError> {
    let lock = dir.lock()?;
    let n_shards = match read_version(dir)? {
        Some(n_shards) => n_shards,
        None => {
            let n_shards = wanted_shards(options);
            write_version(dir, n_shards)?;
            n_shards
        }
    };
    let wal = dir.subdir(WAL_DIR)?;
    let dirs = (0..n_shards).map(|shard| wal.subdir(&format!("{shard:04}")));
    let dirs: Vec<Arc<dyn Dir>> = dirs.collect::<Result<_, _>>()?;

    let mut damages = Vec::new();
    let blocks = Blocks::open(blocks_dir(dir)?, &mut damages)?;
    let tails = Tails::open(dir.subdir(TAILS_DIR)?, dirs.clone(), &mut damages)?;
    let head_dir = dir.subdir(HEAD_DIR)?;
    let mut found = snapshot_load::load(&head_dir, n_shards)?;
    damages.append(&mut found.damages);
    let mut recovery = Recovery {
        damages,
        ..Recovery::default()
    };
    let loaded = found.loaded.take();
    if let Some(Loaded { manifest, .. }) = &loaded {
        recovery.snapshot_series = manifest.n_series;
        recovery.snapshot_bytes = manifest.len_bytes();
    }
    let starts = snapshot_load::starts(&found.kept, n_shards);
    let base = Base::new(loaded, n_shards);
    // A range that was deleted as a whole left the head, and no block tells so.
    blocks.publish(None, &[], Some(base.head_from_ms))?;
    let Restored {
        exemplars,
        metadata,
    } = restore_sections(&base.sections, options, dir, &mut recovery.damages);
    for (dir, start) in dirs.iter().zip(&starts) {
        let seqs = dir.files()?.into_iter().filter_map(|n| segment_seq(&n));
        progress.expect(seqs.filter(|&seq| seq >= start.replay).count() as u64);
    }
    let shared = Shared {
        progress,
        index: Mutex::new(base.index),
        exemplars: Mutex::new(ReplayedExemplars::new(options.max_exemplars)),
        metadata,
    };
    let replays = replay_all(&dirs, &starts, options, &shared, &tails, base.shards)?;
    shared.exemplars.into_inner().finish(&exemplars);
    let mut opened = Opened {
        layout: Layout::new(n_shards),
        index: Index::default(),
        shards: Vec::new(),
        logs: Vec::new(),
        head: snapshot_load::open_head(head_dir, found, n_shards)?,
        tails,
        newest_ms: base.newest_ms,
        kept_from_ms: base.kept_from_ms.max(blocks.set().head_from_ms),
        next_born: base.next_born,
        blocks,
        recovery,
        exemplars,
        metadata: shared.metadata,
        lock,
    };
    let (mut rows, mut born) = (Vec::new(), Vec::new());
    for (shard, replay) in replays.into_iter().enumerate() {
        opened.tails.publish(shard, replay.log.end());
        opened.newest_ms = opened.newest_ms.max(replay.newest_ms);
        report(&mut opened.recovery, replay.replayed);
        opened.shards.push(replay.shard);
        opened.logs.push(replay.log);
        rows.push(replay.rows);
        born.push(replay.born);
    }
    opened.index = restore_index(shared.index.into_inner(), &mut opened, &rows, &born);
    Ok(opened)
}

/// What snapshots and logs have beside series and samples.
struct Restored {
    exemplars: Exemplars,
    metadata: MetadataStore,
}

/// Reads the sections of a snapshot that belong to all shards together. One that cannot
/// be read is named, and what it held is lost.
fn restore_sections(
    sections: &[Section],
    options: &StoreOptions,
    dir: &dyn Dir,
    damages: &mut Vec<Damage>,
) -> Restored {
    let mut restored = Restored {
        exemplars: Exemplars::new(options),
        metadata: MetadataStore::default(),
    };
    for (section, bytes) in sections {
        let read = match *section {
            kind::EXEMPLARS => Exemplars::decode(bytes, options)
                .map(|exemplars| restored.exemplars = exemplars)
                .is_ok(),
            kind::METADATA => MetadataStore::decode(bytes)
                .map(|metadata| restored.metadata = metadata)
                .is_ok(),
            _ => false,
        };
        if !read {
            damages.push(Damage {
                path: dir.path().join(HEAD_DIR),
                offset: 0,
                lost_bytes: bytes.len() as u64,
                detail: format!("section {section} of the newest snapshot cannot be decoded"),
            });
        }
    }
    restored
}

/// Makes an empty directory one of a store without samples.
pub(super) fn begin_copy(dir: &dyn Dir, n_shards: usize) -> Result<(), StorageError> {
    let (files, dirs) = (dir.files()?, dir.dirs()?);
    if let Some(name) = files.first().or(dirs.first()) {
        return Err(StorageError::NotEmpty {
            path: dir.path().join(name),
        });
    }
    write_version(dir, n_shards)
}

/// Opens the directory of the blocks in that of a store.
pub(super) fn blocks_dir(dir: &dyn Dir) -> Result<Arc<dyn Dir>, StorageError> {
    Ok(dir.subdir(BLOCKS_DIR)?)
}

/// What there is before the logs are replayed.
struct Base {
    index: Index,
    shards: Vec<LoadedShard>,
    newest_ms: i64,
    kept_from_ms: i64,
    /// The head answers from here on: the shards dropped what is before.
    head_from_ms: i64,
    next_born: u32,
    sections: Vec<Section>,
}

impl Base {
    fn new(loaded: Option<Loaded>, n_shards: usize) -> Base {
        let Some(mut loaded) = loaded else {
            let mut shards = Vec::new();
            shards.resize_with(n_shards, LoadedShard::default);
            return Base {
                index: Index::default(),
                shards,
                newest_ms: NEVER,
                kept_from_ms: NEVER,
                head_from_ms: NEVER,
                next_born: 0,
                sections: Vec::new(),
            };
        };
        let mut next_born = loaded.manifest.next_born;
        if next_born > u32::MAX / 2 {
            // Before the numbers run out they begin anew, in order of id.
            next_born = 0;
            for shard in &mut loaded.shards {
                shard.born.clear();
            }
        }
        let dropped = loaded.shards.iter().map(|it| it.shard.kept_from_ms());
        Base {
            index: loaded.index,
            head_from_ms: dropped.min().unwrap_or(NEVER),
            shards: loaded.shards,
            newest_ms: loaded.manifest.newest_ms,
            kept_from_ms: loaded.manifest.kept_from_ms,
            next_born,
            sections: loaded.sections,
        }
    }
}

fn wanted_shards(options: &StoreOptions) -> usize {
    let wanted = match options.shards {
        0 => 4 * cores(),
        wanted => wanted,
    };
    wanted.clamp(1, MAX_SHARDS).next_power_of_two()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn read_version(dir: &dyn Dir) -> Result<Option<usize>, StorageError> {
    let bytes = match dir.read(VERSION_FILE, MAX_VERSION_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let format = lines.next().unwrap_or_default();
    let shards = lines.next().and_then(|line| line.strip_prefix("shards "));
    let shards = shards.and_then(|n| n.parse::<usize>().ok());
    match shards.filter(|n| n.is_power_of_two() && *n <= MAX_SHARDS) {
        Some(n_shards) if format == FORMAT => Ok(Some(n_shards)),
        _ => Err(StorageError::Version {
            path: dir.path().join(VERSION_FILE),
            found: text.into_owned(),
            expected: format!("{FORMAT}\nshards N\n"),
        }),
    }
}

fn write_version(dir: &dyn Dir, n_shards: usize) -> Result<(), StorageError> {
    match dir.remove(TEMPORARY_FILE) {
        Err(error) if !error.is_not_found() => return Err(error.into()),
        _ => {}
    }
    let file = dir.create(TEMPORARY_FILE)?;
    file.append(format!("{FORMAT}\nshards {n_shards}\n").as_bytes())?;
    file.sync()?;
    dir.rename(TEMPORARY_FILE, VERSION_FILE)?;
    dir.sync()?;
    Ok(())
}

/// What the logs have in common.
struct Shared<'p> {
    progress: &'p OpenProgress,
    index: Mutex<Index>,
    exemplars: Mutex<ReplayedExemplars>,
    metadata: MetadataStore,
}

/// One log, read.
struct Replay {
    shard: Shard,
    log: ShardLog,
    rows: Rows,
    born: Vec<u32>,
    newest_ms: i64,
    replayed: Replayed,
}

/// Calls `each` for the numbers below `n`, as many at a time as there are cores, and
/// returns what it returned, in order.
pub(super) fn each_core<T: Send>(n: usize, each: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..cores().min(n) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= n {
                        break;
                    }
                    let result = each(number);
                    done.lock().push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Replays every log onto what a snapshot has.
fn replay_all(
    dirs: &[Arc<dyn Dir>],
    starts: &[Start],
    options: &StoreOptions,
    shared: &Shared<'_>,
    tails: &Tails,
    shards: Vec<LoadedShard>,
) -> Result<Vec<Replay>, StorageError> {
    let shards: Vec<Mutex<LoadedShard>> = shards.into_iter().map(Mutex::new).collect();
    let replays = each_core(dirs.len(), |shard| {
        let options = WalOptions {
            shard: shard as u32,
            segment_bytes: options.wal_segment_bytes,
        };
        let loaded = std::mem::take(&mut *shards[shard].lock());
        let dir = Arc::clone(&dirs[shard]);
        let held_from = tails.hold(shard);
        let replay = replay(dir, options, starts[shard], held_from, shared, loaded)?;
        shared.progress.done(replay.replayed.segments);
        Ok(replay)
    });
    let replays = replays
        .into_iter()
        .map(|replay: Result<Replay, WalError>| replay.map_err(Into::into));
    replays.collect()
}

fn replay(
    dir: Arc<dyn Dir>,
    options: WalOptions,
    start: Start,
    held_from: Option<u64>,
    shared: &Shared<'_>,
    loaded: LoadedShard,
) -> Result<Replay, WalError> {
    let mut replayer = Replayer {
        shared,
        known: Dictionary::default(),
        pairs: Vec::new(),
        rows: loaded.rows,
        shard: loaded.shard,
        born: loaded.born,
        defined: loaded.defined,
        newest_ms: NEVER,
        overtaken: Vec::new(),
        row: Vec::new(),
        series: Vec::new(),
        by_value: Vec::new(),
        labels: HashMap::new(),
    };
    let opened = ShardLog::open(dir, options, start, held_from, &mut |entry| {
        replayer.apply(entry);
    });
    let (mut log, replayed) = opened?;
    log.set_defined(replayer.defined);
    Ok(Replay {
        shard: replayer.shard,
        log,
        rows: replayer.rows,
        born: replayer.born,
        newest_ms: replayer.newest_ms,
        replayed,
    })
}

/// Applies the records of one log.
struct Replayer<'a> {
    shared: &'a Shared<'a>,
    /// The texts this log has named so far, and what the index calls them: threads
    /// meet in the index only for new ones.
    known: Dictionary,
    pairs: Vec<PairId>,
    rows: Rows,
    shard: Shard,
    /// Creation numbers by slot, as far as they are known.
    born: Vec<u32>,
    defined: SlotSet,
    newest_ms: i64,
    /// Samples of a frame that are older than the newest of their series.
    overtaken: Vec<usize>,
    row: Vec<u8>,
    series: Vec<PairId>,
    /// By value of the frame: the name it came with last, and their pair.
    by_value: Vec<(u32, PairId)>,
    /// Labels of the series that have exemplars, by slot.
    labels: HashMap<u32, Labels>,
}

impl Replayer<'_> {
    fn apply(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Series(found) => self.define_all(found),
            Entry::Floats { ids, t_ms, values } => self.floats(ids, t_ms, values),
            Entry::Late { ids, t_ms, values } => {
                for ((&slot, &t_ms), &value) in ids.iter().zip(t_ms).zip(values) {
                    self.shard.apply_late(slot, 0, t_ms, value, 0);
                }
            }
            Entry::Histograms(found) => self.histograms(found),
            Entry::Tombstones(deleted) => {
                for &(slot, range) in deleted {
                    self.shard.delete(slot, 0, range);
                }
            }
            Entry::Exemplars(found) => self.exemplars(found),
            Entry::Metadata(found) => {
                for &found in found {
                    self.shared.metadata.replay(found);
                }
            }
            // Only the log of a log store has them.
            Entry::Entries(_) | Entry::Deletion(_) => {}
        }
    }

    fn floats(&mut self, slots: &[u32], times: &[i64], values: &[f64]) {
        self.overtaken.clear();
        for (at, ((&slot, &t_ms), &value)) in slots.iter().zip(times).zip(values).enumerate() {
            // A slot without a series belonged to one that was removed; its definition
            // went with older segments.
            let applied = self.shard.replay(slot, t_ms, value, REPLAY_EPOCH);
            if applied == Applied::OutOfOrder {
                self.overtaken.push(at);
            }
            self.newest_ms = self.newest_ms.max(t_ms);
        }
        if !self.overtaken.is_empty() {
            self.keep_overtaken(slots, times, values);
        }
    }

    /// Keeps samples of a frame that came in order although an earlier frame has a newer
    /// one of their series: two transactions may reach the shard in the other order than
    /// the log. What a snapshot has is left out, and what is behind another sample of
    /// its own transaction, which dropped it.
    #[cold]
    fn keep_overtaken(&mut self, slots: &[u32], times: &[i64], values: &[f64]) {
        let mut newest: HashMap<u32, i64> = HashMap::new();
        let mut overtaken = self.overtaken.iter().copied().peekable();
        for (at, ((&slot, &t_ms), &value)) in slots.iter().zip(times).zip(values).enumerate() {
            let newest_ms = newest.entry(slot).or_insert(NEVER);
            let is_overtaken = overtaken.next_if_eq(&at).is_some();
            if is_overtaken && *newest_ms < t_ms && self.shard.is_since(slot, t_ms, REPLAY_EPOCH) {
                self.shard.apply_late(slot, 0, t_ms, value, 0);
            }
            *newest_ms = t_ms.max(*newest_ms);
        }
    }

    fn histograms(&mut self, found: &[LoggedHistogram]) {
        for logged in found {
            let (slot, t_ms, flat) = (logged.id, logged.t_ms, logged.flat.clone());
            if logged.is_late {
                self.shard.apply_late_histogram(slot, 0, t_ms, flat, 0);
            } else {
                self.shard.replay_histogram(slot, t_ms, flat, REPLAY_EPOCH);
                self.newest_ms = self.newest_ms.max(t_ms);
            }
        }
    }

    fn exemplars(&mut self, found: &[LoggedExemplar]) {
        for logged in found {
            let labels = match self.labels.entry(logged.id) {
                hash_map::Entry::Occupied(known) => known.into_mut(),
                hash_map::Entry::Vacant(new) => {
                    // As a sample, an exemplar may have outlived the definition.
                    let Some(row) = self.rows.get(logged.id) else {
                        continue;
                    };
                    let dictionary = self.shared.index.lock().dictionary();
                    let dictionary = dictionary.read();
                    let pairs = row.pairs().map(|pair| dictionary.pair_text(pair));
                    new.insert(Labels::from_sorted(pairs))
                }
            };
            let mut exemplars = self.shared.exemplars.lock();
            exemplars.push(logged.number, labels, &logged.exemplar);
        }
    }

    fn define_all(&mut self, found: &Definitions<'_>) {
        // Nearly every value of a frame stands under one name, and most come many
        // times: only the first time is a text looked up.
        self.by_value.clear();
        self.by_value.resize(found.strings().len(), (u32::MAX, 0));
        for (slot, labels) in found.series() {
            self.series.clear();
            for &(name, value) in labels {
                let (known_name, known_pair) = self.by_value[value as usize];
                let pair = if known_name == name {
                    known_pair
                } else {
                    let string = |index: u32| found.strings()[index as usize];
                    let pair = self.intern(string(name), string(value));
                    self.by_value[value as usize] = (name, pair);
                    pair
                };
                self.series.push(pair);
            }
            self.define(slot);
        }
    }

    fn intern(&mut self, name: &str, value: &str) -> PairId {
        let local = self.known.intern(name, value) as usize;
        if local == self.pairs.len() {
            let pair = [(name, value)].into_iter();
            self.pairs.extend(self.shared.index.lock().intern(pair));
        }
        self.pairs[local]
    }

    /// Begins the series of the pairs in `series`.
    fn define(&mut self, slot: u32) {
        encode_row(&self.series, &mut self.row);
        if let Some(before) = self.rows.get(slot) {
            if before.bytes() == self.row {
                self.defined.insert(slot);
                return;
            }
            // Another series has the slot from here on; the one before was removed.
            self.labels.remove(&slot);
            self.rows.remove(slot);
            self.defined.remove(slot);
            self.shard.forget_samples(slot);
            self.shard.forget_extras(slot);
            self.shard.forget_histograms(slot);
            if let Some(born) = self.born.get_mut(slot as usize) {
                *born = UNKNOWN;
            }
        }
        if !self.series.is_empty() && self.rows.set(slot, &self.row) {
            self.defined.insert(slot);
            self.shard.create(slot, 0);
        }
    }
}

/// Fills the index in order of id, which is about the order of creation.
fn restore_index(index: Index, opened: &mut Opened, rows: &[Rows], born: &[Vec<u32>]) -> Index {
    let layout = opened.layout;
    let n_slots = rows.iter().map(Rows::end_id).max().unwrap_or(0);
    let mut index = index.restore(n_slots as usize * rows.len());
    let mut unused: Vec<Vec<u32>> = vec![Vec::new(); rows.len()];
    for slot in 0..n_slots {
        for (shard, rows) in rows.iter().enumerate() {
            let id = layout.id(shard, slot);
            let Some(row) = rows.get(slot) else {
                unused[shard].push(id);
                continue;
            };
            if let Err(other) = index.add(id, row) {
                let loser = opened.settle(&mut index, id, other, row);
                unused[layout.shard(loser)].push(loser);
                if loser == id {
                    continue;
                }
            }
            let known = born[shard].get(slot as usize).copied();
            let born = known.filter(|&born| born != UNKNOWN).unwrap_or_else(|| {
                opened.next_born += 1;
                opened.next_born - 1
            });
            opened.shards[shard].set_born(slot, born);
        }
    }
    opened.recovery.series = index.len() as u64;
    let mut index = index.finish(layout.id(0, n_slots), cores());
    for (log, unused) in opened.logs.iter_mut().zip(unused) {
        log.keep_back(layout, unused.into_iter());
        index.release(log.released());
    }
    index
}

impl Opened {
    /// Of two series with the same labels, removes the one with older samples and
    /// returns its id.
    fn settle(&mut self, index: &mut Restoring, id: u32, other: u32, row: Row<'_>) -> u32 {
        let layout = self.layout;
        let newest = |shards: &[Shard], id| shards[layout.shard(id)].newest_ms(layout.slot(id));
        let mut loser = id;
        if other != id && newest(&self.shards, id) > newest(&self.shards, other) {
            index.remove(other);
            if index.add(id, row).is_ok() {
                loser = other;
            }
        }
        if self.tails.removed.is_on() {
            let dictionary = index.dictionary();
            let dictionary = dictionary.read();
            let pairs = row.pairs().map(|pair| dictionary.pair_text(pair));
            let seq = self.logs[layout.shard(loser)].end().seq;
            self.tails.removed.add(loser, seq, pairs);
        }
        let shard = &mut self.shards[layout.shard(loser)];
        shard.forget_samples(layout.slot(loser));
        // Late samples tell nothing about who was alive, so none is given up.
        let late = shard.forget_extras(layout.slot(loser));
        let late_histograms = shard.forget_histograms(layout.slot(loser));
        shard.remove(layout.slot(loser));
        let winner = if loser == id { other } else { id };
        let (shard, slot) = (layout.shard(winner), layout.slot(winner));
        self.shards[shard].add_late(slot, &late);
        self.shards[shard].add_late_histograms(slot, late_histograms);
        loser
    }
}

fn report(recovery: &mut Recovery, replayed: Replayed) {
    recovery.segments += replayed.segments;
    recovery.bytes += replayed.len_bytes;
    recovery.samples += replayed.samples;
    let mut damage = |path: PathBuf, offset, lost_bytes, detail| {
        recovery.damages.push(Damage {
            path,
            offset,
            lost_bytes,
            detail,
        });
    };
    for found in replayed.damages {
        damage(found.file, found.offset, found.len_bytes, found.reason);
    }
    if let Some(torn) = replayed.torn {
        let detail = "an unfinished commit, cut off; nobody was told that it succeeded".to_owned();
        damage(torn.file, torn.offset, torn.len_bytes, detail);
    }
}
