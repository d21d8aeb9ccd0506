//! Reading what is stored, in the order of the log and from a place that survives a
//! restart: for whoever hands everything on to somewhere else.
//!
//! A [`LogTail`] is named. It stands in the log of every shard, reads what commits have
//! put there, and tells the store how far it is done; from there on the logs are kept,
//! also over restarts, until it has read them or gives them up. So what a slow receiver
//! has not taken costs disk, not memory, and is no more than what was written.
//!
//! - `cursor`: the file that says how far a tail is.
//! - `handing`: from the records of a commit to a sink that knows the series.
//! - `removed`: labels of series that left memory before a tail came to their samples.
//!
//! **Pieces.** [`LogTail::mark`] ends a piece of the log and writes its end down before
//! the piece is used. Whoever comes back after a kill gets the pieces again that were
//! marked and not [done](LogTail::done), each whole and with its word, then what is new.
//! A receiver that refuses what it has already refuses such a piece as a whole, and
//! nothing new with it.
//!
//! **Order.** Samples of a series come as they were logged. Between shards the one goes
//! first whose samples are older, so a series that left and came back under another
//! number keeps its order, too.
//!
//! **Invariants:** what is handed out was committed: no failure takes it back. Every
//! committed sample behind the place where a tail began is handed out once at least.

mod cursor;
mod handing;
mod removed;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use cursor::{CursorFile, Found, Mark, Positions};
use handing::{Handing, Scratch};
pub(super) use removed::Removed;

use super::stats::Damage;
use super::store::MetricStore;
use crate::error::StorageError;
use crate::fs::{Dir, FsError};
use crate::model::histogram::Histogram;
use crate::model::{Exemplar, MetricMetadata};
use crate::wal::{Position, Tail, TailDamage, WalError};

const SUFFIX: &str = ".cursor";

/// What all tails of a store have in common.
#[derive(Debug)]
pub(super) struct Tails {
    dir: Arc<dyn Dir>,
    logs: Vec<Arc<dyn Dir>>,
    pub(super) removed: Removed,
    /// By shard, how far the log holds what nobody takes back; a packed [`Position`].
    published: Box<[AtomicU64]>,
    /// By file, the first segment of each shard that is still needed.
    holds: Mutex<HashMap<String, Vec<u64>>>,
}

impl Tails {
    /// Finds the tails that there were.
    pub(super) fn open(
        dir: Arc<dyn Dir>,
        logs: Vec<Arc<dyn Dir>>,
        damages: &mut Vec<Damage>,
    ) -> Result<Tails, FsError> {
        let n_shards = logs.len();
        let removed = Removed::open(Arc::clone(&dir), n_shards, damages)?;
        let mut holds = HashMap::new();
        for name in dir.files()? {
            if !name.ends_with(SUFFIX) {
                continue;
            }
            match cursor::read(&*dir, &name, n_shards)? {
                Some(found) => {
                    let hold = found.done.iter().map(|position| position.seq);
                    holds.insert(name, hold.collect());
                }
                None => damages.push(Damage {
                    path: dir.path().join(&name),
                    offset: 0,
                    lost_bytes: dir.len_bytes(&name)?,
                    detail: "a cursor cannot be read; its owner begins at the end of the log"
                        .to_owned(),
                }),
            }
        }
        removed.set_on(!holds.is_empty());
        Ok(Tails {
            dir,
            published: logs.iter().map(|_| AtomicU64::new(0)).collect(),
            logs,
            removed,
            holds: Mutex::new(holds),
        })
    }

    /// Returns the first segment of a shard that some tail needs.
    pub(super) fn hold(&self, shard: usize) -> Option<u64> {
        let holds = self.holds.lock();
        holds
            .values()
            .filter_map(|hold| hold.get(shard))
            .min()
            .copied()
    }

    /// Tells the tails of a shard that they may read up to a position.
    #[inline]
    pub(super) fn publish(&self, shard: usize, end: Position) {
        if let Some(published) = self.published.get(shard) {
            published.fetch_max(end.pack(), Ordering::Release);
        }
    }

    fn published(&self, shard: usize) -> Position {
        let published = self.published.get(shard);
        Position::unpack(published.map_or(0, |end| end.load(Ordering::Acquire)))
    }

    fn set_hold(&self, file_name: &str, done: &Positions) -> Result<(), FsError> {
        let mut holds = self.holds.lock();
        let hold = done.iter().map(|position| position.seq).collect();
        holds.insert(file_name.to_owned(), hold);
        let oldest: Vec<u64> = (0..self.logs.len())
            .map(|shard| {
                let of_shard = holds.values().filter_map(|hold| hold.get(shard));
                of_shard.min().copied().unwrap_or(u64::MAX)
            })
            .collect();
        drop(holds);
        self.removed.release(&oldest)
    }
}

/// Takes what a [`LogTail`] reads. Series have numbers that mean something to this tail
/// only.
pub trait TailSink {
    /// A series has this number from here on. Labels are sorted by name. It may be told
    /// again; other labels than before are another series.
    fn series(&mut self, id: u32, labels: &[(&str, &str)]);
    /// Samples, in the order they were logged; the slices are equally long. The series
    /// were told before.
    fn samples(&mut self, ids: &[u32], t_ms: &[i64], values: &[f64]);
    /// A native histogram of a series that was told before.
    fn histogram(&mut self, id: u32, t_ms: i64, histogram: &Histogram);
    /// An exemplar of a series that was told before.
    fn exemplar(&mut self, id: u32, exemplar: &Exemplar);
    /// A metric has this metadata from here on.
    fn metadata(&mut self, name: &str, metadata: &MetricMetadata);
    /// Samples whose series is not known, because of damage; they are lost.
    fn lost(&mut self, samples: u64);
}

/// Where [`LogTail::read`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailStop {
    /// There is more.
    Full,
    /// Everything that is committed was read.
    End,
    /// At the end of a piece that was marked before a restart, with its word. It has to
    /// be marked again.
    Mark(u32),
}

/// What [`LogTail::mark`] returns, for [`LogTail::done`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailMark(Positions);

/// A named reader of the logs of a store; see the module's text.
#[derive(Debug)]
pub struct LogTail {
    store: Arc<MetricStore>,
    file_name: String,
    cursor: CursorFile,
    shards: Vec<ShardTail>,
    /// Pieces that were marked before a restart and are still to come.
    again: std::collections::VecDeque<Mark>,
    /// By number, whether the sink knows the series.
    told: Vec<u64>,
    damages: Vec<TailDamage>,
    scratch: Scratch,
}

#[derive(Debug)]
struct ShardTail {
    tail: Tail,
    /// The time of the next commit, once it was looked at.
    next_ms: Option<i64>,
}

impl LogTail {
    /// Opens the tail of this name: where it was done, or at the end of the logs if there
    /// was none. No two of a name may be open at one time.
    ///
    /// # Errors
    /// The disk refused.
    pub fn open(store: &Arc<MetricStore>, name: &str) -> Result<LogTail, StorageError> {
        let tails = &store.tails;
        let file_name = file_name(name);
        // Before the positions are looked at, so that no series leaves in between.
        tails.removed.set_on(true);
        let ends = (0..tails.logs.len()).map(|shard| tails.published(shard));
        let ends: Positions = ends.collect();
        let found = match cursor::read(&*tails.dir, &file_name, ends.len()) {
            Ok(found) => found,
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let mut found = found.unwrap_or_else(|| Found {
            name: name.to_owned(),
            done: ends.clone(),
            marks: Vec::new(),
        });
        // After a power loss a log may be shorter than what was read of it.
        let is_beyond = |positions: &Positions| {
            let mut pairs = positions.iter().zip(&ends);
            pairs.any(|(position, end)| position > end)
        };
        for (position, end) in found.done.iter_mut().zip(&ends) {
            *position = (*position).min(*end);
        }
        let sound = found.marks.iter().position(|mark| is_beyond(&mark.end));
        found.marks.truncate(sound.unwrap_or(found.marks.len()));
        let shards = found.done.iter().zip(&tails.logs).enumerate();
        let shards = shards.map(|(shard, (&position, dir))| ShardTail {
            tail: Tail::new(Arc::clone(dir), shard as u32, position),
            next_ms: None,
        });
        let shards = shards.collect();
        tails.set_hold(&file_name, &found.done)?;
        let again = found.marks.iter().cloned().collect();
        let cursor = CursorFile::create(Arc::clone(&tails.dir), file_name.clone(), found)?;
        Ok(LogTail {
            store: Arc::clone(store),
            file_name,
            cursor,
            shards,
            again,
            told: Vec::new(),
            damages: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// Reads on, up to the commit with which `max_samples` are reached.
    ///
    /// # Errors
    /// The disk refused; it can be tried again.
    pub fn read(
        &mut self,
        max_samples: usize,
        sink: &mut dyn TailSink,
    ) -> Result<TailStop, StorageError> {
        let mut n_samples = 0;
        loop {
            let Some(shard) = self.next_shard()? else {
                return Ok(match self.again.front() {
                    Some(mark) => TailStop::Mark(mark.word),
                    None => TailStop::End,
                });
            };
            if n_samples >= max_samples && self.again.is_empty() {
                return Ok(TailStop::Full);
            }
            n_samples += self.read_commit(shard, sink)?;
        }
    }

    /// Returns the shard to read from next: of those that have more, one whose next
    /// samples are the oldest.
    fn next_shard(&mut self) -> Result<Option<usize>, StorageError> {
        let mut next: Option<(i64, usize)> = None;
        for shard in 0..self.shards.len() {
            let end = self.end(shard);
            let Some(found) = self.shards.get_mut(shard) else {
                break;
            };
            if found.next_ms.is_none() && found.tail.position() < end {
                let peeked = found.tail.peek_ms(end, &mut self.damages);
                found.next_ms = peeked.map_err(failed)?;
            }
            // What was looked at stays where it is, though the end of a piece may come
            // before it.
            let has_more = found.tail.position() < end;
            if let Some(next_ms) = found.next_ms.filter(|_| has_more)
                && next.is_none_or(|(least_ms, _)| next_ms < least_ms)
            {
                next = Some((next_ms, shard));
            }
        }
        Ok(next.map(|(_, shard)| shard))
    }

    /// Returns up to where a shard may be read.
    fn end(&self, shard: usize) -> Position {
        let marked = self.again.front().and_then(|mark| mark.end.get(shard));
        marked.map_or_else(|| self.store.tails.published(shard), |&end| end)
    }

    fn read_commit(
        &mut self,
        shard: usize,
        sink: &mut dyn TailSink,
    ) -> Result<usize, StorageError> {
        let end = self.end(shard);
        let Some(from) = self.shards.get_mut(shard) else {
            return Ok(0);
        };
        let mut handing = Handing {
            store: &self.store,
            shard,
            seq: from.tail.position().seq,
            told: &mut self.told,
            scratch: &mut self.scratch,
            n_samples: 0,
            sink,
        };
        let read = from
            .tail
            .read(end, &mut self.damages, &mut |entry| handing.take(entry));
        from.next_ms = None;
        let n_samples = handing.n_samples;
        read.map_err(failed)?;
        Ok(n_samples)
    }

    /// Ends a piece at the place where reading stopped, and writes that down with a word
    /// for whoever comes back after a kill.
    ///
    /// # Errors
    /// The disk refused. The piece may be used all the same: after a kill others would
    /// be found.
    pub fn mark(&mut self, word: u32) -> (TailMark, Result<(), StorageError>) {
        let end = self.positions();
        let was_marked = self.again.front().is_some_and(|mark| mark.end == end);
        if was_marked {
            self.again.pop_front();
            return (TailMark(end), Ok(()));
        }
        let mark = Mark {
            end: end.clone(),
            word,
        };
        let written = self.cursor.mark(mark).map_err(StorageError::from);
        (TailMark(end), written)
    }

    /// Says that nothing up to a mark need be read again. Marks are done in the order in
    /// which they were made; one that is left out is done with the next.
    ///
    /// # Errors
    /// The disk refused; after a kill more is read again.
    pub fn done(&mut self, mark: &TailMark) -> Result<(), StorageError> {
        if *self.cursor.done() == mark.0 {
            return Ok(());
        }
        self.cursor.done_until(&mark.0)?;
        let tails = &self.store.tails;
        Ok(tails.set_hold(&self.file_name, self.cursor.done())?)
    }

    /// Makes what was said with [`LogTail::mark`] and [`LogTail::done`] survive a power
    /// loss. Without it that is known after a kill, and after a power loss more is read
    /// again.
    ///
    /// # Errors
    /// The disk refused.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        Ok(self.cursor.sync()?)
    }

    /// Forgets which series were told: all are told again when they come.
    pub fn forget(&mut self) {
        self.told.clear();
    }

    /// Tells whether there is more to be read. Costs a look at a word per shard.
    pub fn has_more(&self) -> bool {
        let shards = self.shards.iter().enumerate();
        let mut behind = shards.map(|(shard, found)| found.tail.position() < self.end(shard));
        !self.again.is_empty() || behind.any(|is_behind| is_behind)
    }

    /// Returns the time of the oldest samples that are to be read, as far as commits are
    /// about one time each; `None` where there are none.
    ///
    /// # Errors
    /// As of [`LogTail::read`].
    pub fn next_ms(&mut self) -> Result<Option<i64>, StorageError> {
        let shard = self.next_shard()?;
        let next_ms = shard.and_then(|shard| self.shards.get(shard)?.next_ms);
        Ok(next_ms.filter(|&next_ms| next_ms != i64::MIN))
    }

    /// Returns the bytes of the logs that are to be read.
    pub fn backlog_bytes(&self) -> u64 {
        let shards = self.shards.iter().enumerate();
        let bytes = shards.map(|(shard, found)| {
            let (at, end) = (found.tail.position(), self.store.tails.published(shard));
            match self.store.logs.get(shard) {
                _ if at >= end => 0,
                _ if at.seq == end.seq => end.offset - at.offset,
                Some(log) => log.lock().len_bytes_from(at.seq).saturating_sub(at.offset),
                None => 0,
            }
        });
        bytes.sum()
    }

    /// Returns the largest number of a segment that is read.
    pub fn current_segment(&self) -> u64 {
        let segments = self.shards.iter().map(|shard| shard.tail.position().seq);
        segments.max().unwrap_or(0)
    }

    /// Returns what could not be read since the last call.
    pub fn take_damages(&mut self) -> Vec<Damage> {
        let damages = self.damages.drain(..).map(|found| Damage {
            path: found.file,
            offset: found.offset,
            lost_bytes: 0,
            detail: found.reason,
        });
        damages.collect()
    }

    fn positions(&self) -> Positions {
        self.shards
            .iter()
            .map(|shard| shard.tail.position())
            .collect()
    }
}

impl MetricStore {
    /// Ends the tails with other names: what they have not read is theirs no more.
    ///
    /// # Errors
    /// The disk refused; the next call tries again.
    pub fn retain_tails(&self, names: &[&str]) -> Result<(), StorageError> {
        let kept: Vec<String> = names.iter().map(|name| file_name(name)).collect();
        let tails = &self.tails;
        for name in tails.dir.files()? {
            if name.ends_with(SUFFIX) && !kept.contains(&name) {
                tails.dir.remove(&name)?;
            }
        }
        let mut holds = tails.holds.lock();
        holds.retain(|name, _| kept.contains(name));
        if holds.is_empty() && kept.is_empty() {
            tails.removed.set_on(false);
            tails.removed.clear()?;
        }
        Ok(())
    }
}

/// Names of tails are anybody's; those of files are plain.
fn file_name(name: &str) -> String {
    format!(
        "{:016x}{SUFFIX}",
        xxhash_rust::xxh3::xxh3_64(name.as_bytes())
    )
}

fn failed(error: WalError) -> StorageError {
    match error {
        WalError::Fs(error) => error.into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests;
