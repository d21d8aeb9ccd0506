//! One file that is followed: reading, cutting into lines, and the account of what of it is
//! read, given and stored.
//!
//! ```text
//! 0 ......... durable ......... acked ......... lines.start .... lines.end ..... size
//!             on the store's    in the store    given to stages  read
//!             disk              (log written)
//!             |<------------- pieces ------------->|
//! ```
//!
//! The handle stays open, so a file that is renamed or removed is read to its end. A file
//! that was cut is known by its size, or by the bytes in front of the place where reading
//! goes on: they are read again with what follows, and compared.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::compressed::Compression;
use super::follow::Shown;
use super::identity::{HEAD_BYTES, Print, read_at};
use super::lines::{Line, LineOptions, Lines};
use super::positions::{Key, Piece, Record};
use super::stats::FileStats;
use crate::pipeline::{Entry, LabelSet, Pipeline};

/// Bytes in front of the place where reading goes on that are compared.
pub(super) const TAIL_BYTES: usize = 64;

/// What a turn at a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// So many bytes were read, and there may be more.
    More(usize),
    /// All is read.
    AtEnd,
    /// The file was cut, or written anew: it must begin anew.
    Cut,
}

/// Where a file's bytes come from.
pub(super) enum Content {
    Plain(File),
    Packed(Packed),
}

/// A compressed file.
pub(super) struct Packed {
    file: File,
    compression: Compression,
    reader: Option<Box<dyn Read + Send>>,
    /// Where the reader is, in bytes of what it gives.
    at: u64,
    /// Size of the file when its end was reached.
    done_at: Option<u64>,
}

impl Content {
    pub(super) fn new(file: File, compression: Option<Compression>) -> Content {
        match compression {
            None => Content::Plain(file),
            Some(compression) => Content::Packed(Packed {
                file,
                compression,
                reader: None,
                at: 0,
                done_at: None,
            }),
        }
    }

    fn file(&self) -> &File {
        match self {
            Content::Plain(file) => file,
            Content::Packed(packed) => &packed.file,
        }
    }

    /// Reads up to `len` bytes at a place, however far that is.
    pub(super) fn read_at(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        match self {
            Content::Plain(file) => read_at(file, at, len),
            Content::Packed(packed) => packed.read_at(at, len),
        }
    }
}

impl Packed {
    fn read_at(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        if self.reader.is_none() || self.at > at {
            let mut file = self.file.try_clone()?;
            io::Seek::rewind(&mut file)?;
            self.reader = Some(self.compression.open(file)?);
            self.at = 0;
        }
        let Some(reader) = &mut self.reader else {
            return Ok(Vec::new());
        };
        if self.at < at {
            let skip = at - self.at;
            let skipped = io::copy(&mut reader.by_ref().take(skip), &mut io::sink())?;
            self.at += skipped;
            if skipped < skip {
                return Ok(Vec::new());
            }
        }
        let mut bytes = Vec::new();
        reader.by_ref().take(len as u64).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

/// A file that is followed.
pub(super) struct TailedFile {
    pub(super) key: Key,
    /// The path that it is known by: the one it had when it was found.
    pub(super) path: PathBuf,
    /// Where it is now.
    pub(super) place: PathBuf,
    content: Content,
    labels: LabelSet,
    pipeline: Pipeline,
    lines: Lines,
    options: LineOptions,
    /// The first bytes.
    head: Vec<u8>,
    /// What an earlier process knew of them.
    was: Print,
    /// The last bytes that were read.
    tail: Vec<u8>,
    pieces: VecDeque<Piece>,
    /// How many of the pieces were read by an earlier process and are still to be read again.
    replay: usize,
    acked: u64,
    durable: u64,
    /// The first time that the next piece may have.
    next_ns: i64,
    /// Whether what is on disk about it is out of date.
    pub(super) dirty: bool,
    /// When it was last written down.
    pub(super) recorded_ns: i64,
    pub(super) stats: Arc<FileStats>,
    /// When it is looked at again, and how long after the time before.
    pub(super) due_ns: i64,
    pub(super) idle_ns: i64,
    /// Since when no scan finds it.
    pub(super) unseen_since_ns: Option<i64>,
    /// When it last had something new.
    pub(super) grew_ns: i64,
    shown: Arc<Shown>,
    /// Why it cannot be read now, told once.
    failure: Option<String>,
    /// Why what is in front of the place where reading goes on cannot be read again.
    blind: Option<String>,
}

/// What a file that is followed begins with.
pub(super) struct Opening {
    pub(super) key: Key,
    pub(super) path: PathBuf,
    pub(super) place: PathBuf,
    pub(super) content: Content,
    pub(super) labels: LabelSet,
    pub(super) pipeline: Pipeline,
    pub(super) options: LineOptions,
    /// What an earlier process knew of the first bytes.
    pub(super) head: Print,
    /// Where reading starts.
    pub(super) at: u64,
    /// What an earlier process read from there on.
    pub(super) pieces: Vec<Piece>,
    pub(super) shown: Arc<Shown>,
    pub(super) now_ns: i64,
}

impl TailedFile {
    pub(super) fn open(opening: Opening) -> io::Result<TailedFile> {
        let mut content = opening.content;
        let at = opening.at;
        let head = content.read_at(0, HEAD_BYTES)?;
        let back = TAIL_BYTES.min(usize::try_from(at).unwrap_or(usize::MAX));
        let tail = match back {
            0 => Vec::new(),
            back => content.read_at(at - back as u64, back)?,
        };
        let pieces: VecDeque<Piece> = opening.pieces.into();
        let stats = Arc::new(FileStats::new(&opening.path));
        stats.size(content.file().metadata()?.len());
        stats.position(at);
        let last = pieces.back();
        Ok(TailedFile {
            next_ns: last.map_or(i64::MIN, next_ns),
            replay: pieces.len(),
            lines: Lines::new(&opening.options, at),
            key: opening.key,
            path: opening.path,
            place: opening.place,
            content,
            labels: opening.labels,
            pipeline: opening.pipeline,
            options: opening.options,
            head,
            was: opening.head,
            tail,
            pieces,
            acked: at,
            durable: at,
            dirty: true,
            recorded_ns: opening.now_ns,
            stats,
            due_ns: i64::MIN,
            idle_ns: 0,
            unseen_since_ns: None,
            grew_ns: opening.now_ns,
            shown: opening.shown,
            failure: None,
            blind: None,
        })
    }

    /// Tells once that it cannot be read.
    pub(super) fn failed(&mut self, error: &io::Error) {
        let error = error.to_string();
        if self.failure.as_ref() != Some(&error) {
            let path = self.path.display();
            tracing::warn!(job = self.key.job, %path, error, "a log file cannot be read");
            self.failure = Some(error);
            self.show_failure();
        }
    }

    /// Notes that it can be read.
    pub(super) fn is_well(&mut self) {
        if self.failure.take().is_some() {
            self.show_failure();
        }
    }

    fn show_failure(&self) {
        let mut failures = self.shown.failures.lock();
        match self.failure.as_ref().or(self.blind.as_ref()) {
            Some(failure) => failures.insert(self.path.clone(), failure.clone()),
            None => failures.remove(&self.path),
        };
    }

    /// Returns the first bytes, as far as they are read.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Tells whether it is at what an earlier process read.
    pub(super) fn is_replaying(&self) -> bool {
        self.replay > 0
    }

    /// Tells whether a name still leads to the file.
    pub(super) fn has_name(&self) -> bool {
        self.content.file().metadata().is_ok_and(|m| m.nlink() > 0)
    }

    /// Reads up to `budget` bytes, and adds the entries that leave the pipeline to `out`.
    pub(super) fn read(
        &mut self,
        budget: usize,
        now_ns: i64,
        out: &mut Vec<Entry>,
    ) -> io::Result<Turn> {
        let size = self.content.file().metadata()?.len();
        self.stats.size(size);
        let at = self.lines.end();
        let budget = self.budget(budget, at);
        let new = match &mut self.content {
            Content::Plain(file) => {
                // What an earlier process read must still be there.
                let read_to = match self.replay {
                    0 => at,
                    _ => self.pieces.back().map_or(at, |piece| piece.to.max(at)),
                };
                // And what the file began with when it was found.
                if size < read_to.max(self.head.len() as u64) {
                    return Ok(Turn::Cut);
                }
                if size == at {
                    Vec::new()
                } else {
                    let left = usize::try_from(size - at).unwrap_or(usize::MAX);
                    let back = self.tail.len();
                    let mut bytes = read_at(file, at - back as u64, back + budget.min(left))?;
                    // After the bytes, so that they were read from the same file.
                    let same = read_at(file, 0, self.head.len())? == self.head;
                    if !same || !bytes.starts_with(&self.tail) {
                        return Ok(Turn::Cut);
                    }
                    bytes.drain(..back);
                    bytes
                }
            }
            Content::Packed(packed) if packed.done_at == Some(size) => Vec::new(),
            Content::Packed(packed) => {
                // What was added since the end was reached is read from the start again.
                if packed.done_at.take().is_some() {
                    packed.reader = None;
                }
                match packed.read_at(at, budget) {
                    Ok(bytes) => {
                        if bytes.is_empty() {
                            packed.done_at = Some(size);
                            packed.reader = None;
                        }
                        bytes
                    }
                    Err(error) => {
                        packed.done_at = Some(size);
                        packed.reader = None;
                        return Err(error);
                    }
                }
            }
        };
        if new.is_empty() {
            self.replayed(out);
            return Ok(Turn::AtEnd);
        }
        self.grew_ns = now_ns;
        self.take(&new, now_ns, out);
        Ok(Turn::More(new.len()))
    }

    /// Bytes that may be read: not beyond the piece that is read again.
    fn budget(&self, budget: usize, at: u64) -> usize {
        match self.replay_piece() {
            Some(piece) => {
                let left = usize::try_from(piece.to.saturating_sub(at)).unwrap_or(usize::MAX);
                budget.min(left.max(1))
            }
            None => budget,
        }
    }

    fn replay_piece(&self) -> Option<Piece> {
        let at = self.pieces.len().checked_sub(self.replay)?;
        self.pieces.get(at).copied()
    }

    fn take(&mut self, new: &[u8], now_ns: i64, out: &mut Vec<Entry>) {
        let at = self.lines.end();
        if self.head.len() < HEAD_BYTES
            && let Some(known) = (self.head.len() as u64).checked_sub(at)
            && let Some(more) = usize::try_from(known)
                .ok()
                .and_then(|known| new.get(known..))
        {
            let missing = (HEAD_BYTES - self.head.len()).min(more.len());
            self.head.extend_from_slice(&more[..missing]);
        }
        let kept = TAIL_BYTES.saturating_sub(new.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail
            .extend_from_slice(&new[new.len().saturating_sub(TAIL_BYTES)..]);
        self.stats.read(new.len() as u64);
        let mut lines = Vec::new();
        self.lines.push(new, &mut lines);
        // A piece ends where a line ended, with or without a newline.
        if let Some(piece) = self.replay_piece()
            && self.lines.end() == piece.to
            && self.lines.start() < piece.to
        {
            self.lines.finish(&mut lines);
        }
        self.give(lines, now_ns, out);
        self.replayed(out);
    }

    /// Goes on to the next piece where one was read again whole.
    fn replayed(&mut self, out: &mut Vec<Entry>) {
        while let Some(piece) = self.replay_piece()
            && self.lines.start() >= piece.to
        {
            if piece.flushed {
                self.pipeline.flush(out);
            }
            self.replay -= 1;
        }
    }

    fn give(&mut self, lines: Vec<Line>, now_ns: i64, out: &mut Vec<Entry>) {
        let mut live: Option<Piece> = None;
        for line in lines {
            self.stats.line();
            let piece = match self.replay_piece() {
                Some(piece) => piece,
                None => {
                    let piece = live.get_or_insert(Piece {
                        from: line.from,
                        to: line.to,
                        read_ns: now_ns.max(self.next_ns),
                        flushed: false,
                    });
                    piece.to = line.to;
                    *piece
                }
            };
            let Some(bytes) = line.bytes else {
                self.stats.too_long();
                continue;
            };
            let before = i64::try_from(line.from.saturating_sub(piece.from)).unwrap_or(i64::MAX);
            let read_ns = piece.read_ns.saturating_add(before);
            let mut entry = Entry::new(read_ns, bytes, self.labels.clone());
            entry.from = line.from;
            entry.to = line.to;
            self.pipeline.process(entry, out);
        }
        if let Some(piece) = live {
            self.next_ns = next_ns(&piece);
            self.pieces.push_back(piece);
            self.dirty = true;
        }
    }

    /// Adds what stages do not hold back any longer to `out`.
    pub(super) fn tick(&mut self, now_ns: i64, out: &mut Vec<Entry>) {
        if self.replay > 0 || self.pipeline.held_from().is_none() {
            return;
        }
        let before = out.len();
        self.pipeline.tick(now_ns, out);
        if out.len() > before {
            // All of it, so that reading again comes to the same.
            self.flush(out);
        }
    }

    /// Adds all that is held back to `out`.
    fn flush(&mut self, out: &mut Vec<Entry>) {
        self.pipeline.flush(out);
        if let Some(piece) = self.pieces.back_mut() {
            piece.flushed = true;
            self.dirty = true;
        }
    }

    /// Adds what is left to `out`: nothing follows any more.
    pub(super) fn finish(&mut self, now_ns: i64, out: &mut Vec<Entry>) {
        let mut lines = Vec::new();
        self.lines.finish(&mut lines);
        self.give(lines, now_ns, out);
        self.flush(out);
    }

    /// Begins anew: the file was cut. Returns what is known of what it was, and adds what
    /// was held back to `out`.
    pub(super) fn begin_anew(&mut self, now_ns: i64, out: &mut Vec<Entry>) -> Record {
        let unread = usize::try_from(self.lines.end() - self.lines.start()).unwrap_or(usize::MAX);
        let tail = match self.durable == self.lines.start() {
            true => &self.tail[..self.tail.len().saturating_sub(unread)],
            // They are gone with the file.
            false => &[],
        };
        let tail = Print::of(tail);
        // What is given now is written down as behind the last piece before it is stored.
        self.flush(out);
        let before = Record {
            key: Key {
                before: Some(now_ns.cast_unsigned()),
                ..self.key.clone()
            },
            path: self.path.clone(),
            head: match self.replay {
                0 => Print::of(&self.head),
                _ => self.was,
            },
            tail,
            at: self.durable,
            pieces: self.pieces.iter().copied().collect(),
            seen_ns: now_ns,
            gone: false,
        };
        self.stats.cut(self.lines.end() - self.lines.start());
        self.lines = Lines::new(&self.options, 0);
        self.pipeline = self.pipeline.fresh();
        self.head.clear();
        self.tail.clear();
        self.pieces.clear();
        self.replay = 0;
        (self.acked, self.durable) = (0, 0);
        self.dirty = true;
        if let Content::Packed(packed) = &mut self.content {
            packed.reader = None;
            packed.done_at = None;
        }
        before
    }

    /// Notes that the store has what was given.
    pub(super) fn ack(&mut self) {
        let start = self.lines.start();
        let held = self.pipeline.held_from().unwrap_or(start);
        self.acked = held.min(start).max(self.acked);
        self.stats.position(self.acked);
    }

    /// Notes that the store has on disk what it has.
    pub(super) fn synced(&mut self) {
        if self.durable == self.acked {
            return;
        }
        self.durable = self.acked;
        while self.pieces.len() > self.replay
            && self
                .pieces
                .front()
                .is_some_and(|piece| piece.to <= self.durable)
        {
            self.pieces.pop_front();
        }
        self.dirty = true;
    }

    /// Counts the pieces that are not on the store's disk yet.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Returns what is to be on disk about the file. Where the bytes in front of the place
    /// cannot be read the record has none of them, and that is told: a copy of the file is
    /// known by its first bytes alone then.
    pub(super) fn record(&mut self, now_ns: i64) -> Record {
        self.recorded_ns = now_ns;
        let (tail, blind) = match self.last_bytes() {
            Ok(tail) => (tail, None),
            Err(error) => {
                let blind = format!("bytes in front of {}: {error}", self.durable);
                (Vec::new(), Some(blind))
            }
        };
        if self.blind != blind {
            if let Some(error) = &blind {
                let path = self.path.display();
                tracing::warn!(
                    job = self.key.job,
                    %path,
                    error,
                    "what was read of a log file cannot be read again; a copy of it is known by its first bytes alone"
                );
            }
            self.blind = blind;
            self.show_failure();
        }
        Record {
            key: self.key.clone(),
            path: self.path.clone(),
            head: Print::of(&self.head),
            tail: Print::of(&tail),
            at: self.durable,
            pieces: self.pieces.iter().copied().collect(),
            seen_ns: now_ns,
            gone: false,
        }
    }

    /// Reads the bytes in front of what the store has; none of a compressed file, in which
    /// nothing goes back, nor of one that was cut.
    fn last_bytes(&self) -> io::Result<Vec<u8>> {
        let Content::Plain(file) = &self.content else {
            return Ok(Vec::new());
        };
        let back = TAIL_BYTES.min(usize::try_from(self.durable).unwrap_or(usize::MAX));
        let tail = read_at(file, self.durable - back as u64, back)?;
        // Of a file that was cut meanwhile they are others.
        let head = read_at(file, 0, self.head.len())?;
        Ok(match head == self.head {
            true => tail,
            false => Vec::new(),
        })
    }
}

/// Returns the first time behind all lines of a piece.
fn next_ns(piece: &Piece) -> i64 {
    let len = i64::try_from(piece.to.saturating_sub(piece.from)).unwrap_or(i64::MAX);
    piece.read_ns.saturating_add(len).saturating_add(1)
}

#[cfg(test)]
mod tests;
