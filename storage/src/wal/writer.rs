//! The writing end of a log.
//!
//! Records are collected with [`Wal::series`], [`Wal::float`] and the like, and written by
//! [`Wal::commit`] in one append. Segments are not preallocated: their length is then
//! the truth about their end, which makes a torn tail plain to see, and a store with
//! many shards and little data does not claim 64 MiB for each. A segment is closed
//! when a commit took it past its size, so a commit never straddles two.

use std::sync::Arc;

use super::WalError;
use super::floats::{FloatsEncoder, MAX_SAMPLES};
use super::format::{
    FLAG_MORE, FLAG_RESET, FrameKind, HEADER_BYTES, Header, MAX_BODY_BYTES, MAX_FILE_BYTES,
    MAX_SERIES, VERSION, begin_frame, finish_frame, segment_name,
};
use super::lanes::Lanes;
use super::reader::{Entry, Replayed};
use super::repair::{recover, remove_before};
use super::series::{MAX_SERIES_PER_FRAME, SeriesEncoder};
use super::tail::Position;
use super::tombstones::{self, MAX_RANGES};
use crate::fs::{AppendFile, Dir, FsError};
use crate::model::TimeRange;

/// A frame of series is closed when its body is about this long.
pub(super) const FRAME_TARGET_BYTES: usize = 1 << 20;
/// Longest commit in bytes; a segment is longer than its configured size by less.
const MAX_COMMIT_BYTES: usize = 1 << 30;
/// A buffer that grew past this for one commit is given back after it.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// What a log must know.
#[derive(Debug, Clone, Copy)]
pub struct WalOptions {
    /// The shard, checked against the files.
    pub shard: u32,
    /// Size in bytes at which a segment is closed.
    pub segment_bytes: u64,
}

/// Where reading a log begins.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Segments with lower numbers are not needed: they are removed.
    pub keep: u64,
    /// Segments with lower numbers are kept, and not read.
    pub replay: u64,
}

impl Default for Start {
    /// At the first segment.
    fn default() -> Start {
        Start { keep: 1, replay: 1 }
    }
}

/// A segment as the writer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub seq: u64,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// Figures of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Segments that exist, the current one included.
    pub segments: u64,
    /// Their length in bytes.
    pub len_bytes: u64,
    /// The number of the current segment.
    pub current_seq: u64,
    /// Commits since the log was opened.
    pub commits: u64,
    /// Bytes written since the log was opened.
    pub written_bytes: u64,
}

/// A log, open for writing. It does not lock its directory: the store does.
#[derive(Debug)]
pub struct Wal {
    dir: Arc<dyn Dir>,
    options: WalOptions,
    current: SegmentInfo,
    /// `None` until the first commit of a segment creates it.
    file: Option<Arc<dyn AppendFile>>,
    sealed: Vec<SegmentInfo>,
    /// Closed segments whose last bytes are not synced.
    unsynced: Vec<Arc<dyn AppendFile>>,
    dirty: bool,
    poisoned: bool,
    /// Length of the current segment before the last commit, for `revert_last`.
    revert_bytes: Option<u64>,

    lanes: Lanes,
    /// The next frame of samples must not build on what came before.
    reset_pending: bool,
    series: SeriesEncoder,
    floats: FloatsEncoder,
    series_frames: Frames,
    floats_frames: Frames,
    /// Frames of other records; they follow the samples.
    other_frames: Frames,
    refused: Option<WalError>,
    commits: u64,
    written_bytes: u64,
}

/// Frames of the commit being collected; headers are filled in at its end.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    open: Vec<(usize, FrameKind, u8, u16)>,
}

impl Frames {
    /// Takes the frames of `other` to the end.
    fn append(&mut self, other: &mut Frames) {
        if self.open.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let base = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        let moved = other.open.drain(..);
        self.open
            .extend(moved.map(|(s, k, f, n)| (base + s, k, f, n)));
    }
}

impl Wal {
    /// Opens the log in `dir`, replays it into `apply` and repairs its end.
    ///
    /// # Errors
    /// As [`Wal::open_from`].
    #[cfg(any(test, feature = "internals"))]
    pub fn open(
        dir: Arc<dyn Dir>,
        options: WalOptions,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(Wal, Replayed), WalError> {
        Wal::open_from(dir, options, Start::default(), apply)
    }

    /// As [`Wal::open`], for a caller that has what the segments before `start.replay`
    /// say.
    ///
    /// # Errors
    /// [`WalError::Fs`] when the directory cannot be read, [`WalError::Version`] and
    /// [`WalError::Shard`] for files that are sound but not for us. Damage is no
    /// error: it is in [`Replayed`], and everything else was replayed.
    pub fn open_from(
        dir: Arc<dyn Dir>,
        options: WalOptions,
        start: Start,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(Wal, Replayed), WalError> {
        let recovered = recover(&*dir, options.shard, start, apply)?;
        let (file, current) = match recovered.current {
            Some((file, info)) => (Some(file), info),
            None => (
                None,
                SegmentInfo {
                    seq: recovered.seq,
                    len_bytes: 0,
                },
            ),
        };
        let wal = Wal {
            dir,
            options,
            current,
            file,
            sealed: recovered.sealed,
            unsynced: Vec::new(),
            dirty: false,
            poisoned: false,
            revert_bytes: None,
            lanes: Lanes::default(),
            reset_pending: true,
            series: SeriesEncoder::default(),
            floats: FloatsEncoder::default(),
            series_frames: Frames::default(),
            floats_frames: Frames::default(),
            other_frames: Frames::default(),
            refused: None,
            commits: 0,
            written_bytes: 0,
        };
        Ok((wal, recovered.replayed))
    }

    /// Collects the definition of a series. Within a commit all definitions are
    /// replayed before all samples.
    ///
    /// What is too large is refused by [`Wal::commit`].
    pub fn series<'a>(
        &mut self,
        id: u32,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) {
        if let Err(refused) = check_series(id, labels.clone()) {
            self.refused = Some(refused);
            return;
        }
        if self.series.len() == MAX_SERIES_PER_FRAME
            || self.series.len_bytes() >= FRAME_TARGET_BYTES
        {
            self.close_series_frame();
        }
        self.series.push(id, labels);
    }

    /// Collects a sample of a series that was defined, in this commit or before.
    #[inline]
    pub fn float(&mut self, id: u32, t_ms: i64, value: f64) {
        if self.floats.len() == 0 {
            self.begin_floats();
        }
        if id >= MAX_SERIES {
            self.refuse_id(id);
            return;
        }
        self.floats.push(&mut self.lanes, id, t_ms, value);
        if self.floats.len() == MAX_SAMPLES {
            self.close_floats_frame(FrameKind::Floats);
        }
    }

    /// As [`Wal::float`], for samples that came late: number, time, value.
    pub fn late(&mut self, samples: impl Iterator<Item = (u32, i64, f64)>) {
        self.close_floats();
        for (id, t_ms, value) in samples {
            self.float(id, t_ms, value);
            if self.floats.len() + 1 == MAX_SAMPLES {
                self.close_floats_frame(FrameKind::Late);
            }
        }
        if self.floats.len() > 0 {
            self.close_floats_frame(FrameKind::Late);
        }
    }

    /// Collects deleted times of series that were defined. They are replayed after
    /// what was collected before.
    pub fn tombstones(&mut self, deleted: &[(u32, TimeRange)]) {
        self.close_floats();
        for ranges in deleted.chunks(MAX_RANGES) {
            self.begin_floats();
            if let Some((id, _)) = ranges.iter().find(|(id, _)| *id >= MAX_SERIES) {
                self.refuse_id(*id);
                return;
            }
            let start = begin_frame(&mut self.floats_frames.bytes);
            tombstones::encode(ranges, &mut self.floats_frames.bytes);
            self.push_frame(start, FrameKind::Tombstones, ranges.len());
        }
    }

    #[cold]
    pub(super) fn refuse_id(&mut self, id: u32) {
        let (found, limit) = (u64::from(id), u64::from(MAX_SERIES - 1));
        self.refused = Some(WalError::TooLarge {
            what: "series number",
            found,
            limit,
        });
    }

    /// Collects a frame of `n` records of another kind. Within a commit they are replayed after the samples.
    ///
    /// What is too large is refused by [`Wal::commit`].
    pub(super) fn record(&mut self, kind: FrameKind, n: u16, body: &[u8]) {
        self.record_of(kind, n, &[body]);
    }

    /// As [`Wal::record`], for a body in several pieces.
    pub(super) fn record_of(&mut self, kind: FrameKind, n: u16, pieces: &[&[u8]]) {
        let Frames { bytes, open } = &mut self.other_frames;
        let start = begin_frame(bytes);
        for piece in pieces {
            bytes.extend_from_slice(piece);
        }
        let len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if len > MAX_BODY_BYTES {
            self.refused = Some(WalError::TooLarge {
                what: "record",
                found: len as u64,
                limit: MAX_BODY_BYTES as u64,
            });
        }
        open.push((start, kind, 0, n));
    }

    /// Before the first sample of a commit: a full segment is left behind, because
    /// deltas must not be taken against values that the next one does not hold.
    fn begin_floats(&mut self) {
        if self.floats_frames.open.is_empty() {
            if self.current.len_bytes >= self.options.segment_bytes {
                self.roll();
            }
            if self.reset_pending {
                self.lanes.reset();
            }
        }
    }

    fn close_series_frame(&mut self) {
        let n = self.series.len() as u16;
        let start = begin_frame(&mut self.series_frames.bytes);
        self.series.finish(&mut self.series_frames.bytes);
        self.series_frames
            .open
            .push((start, FrameKind::Series, 0, n));
    }

    fn close_floats(&mut self) {
        if self.floats.len() > 0 {
            self.close_floats_frame(FrameKind::Floats);
        }
    }

    fn close_floats_frame(&mut self, kind: FrameKind) {
        let n = self.floats.len();
        let start = begin_frame(&mut self.floats_frames.bytes);
        self.floats.finish(&mut self.floats_frames.bytes);
        self.push_frame(start, kind, n);
    }

    /// Notes a frame behind the series, which began at `start`.
    fn push_frame(&mut self, start: usize, kind: FrameKind, n: usize) {
        let first = self.floats_frames.open.is_empty();
        let flags = if first && self.reset_pending {
            FLAG_RESET
        } else {
            0
        };
        self.floats_frames.open.push((start, kind, flags, n as u16));
    }

    /// Writes what was collected, all or nothing, with one `write(2)`; nothing
    /// collected is fine. It is durable against power loss after the next sync.
    ///
    /// # Errors
    /// After any error nothing of the commit is in the log. [`WalError::DiskFull`] and
    /// [`WalError::TooLarge`] leave it usable; any other I/O error poisons it, and
    /// every later commit answers [`WalError::Poisoned`] until it is opened again.
    pub fn commit(&mut self) -> Result<(), WalError> {
        if self.poisoned || self.refused.is_some() {
            let refused = self.refused.take();
            self.discard();
            return Err(refused.unwrap_or_else(|| self.poison_error()));
        }
        if self.series.len() > 0 {
            self.close_series_frame();
        }
        self.close_floats();
        let no_floats = self.floats_frames.open.is_empty();
        self.series_frames.append(&mut self.floats_frames);
        self.series_frames.append(&mut self.other_frames);
        let Frames { bytes, open } = &mut self.series_frames;
        if open.is_empty() {
            return Ok(());
        }
        if bytes.len() > MAX_COMMIT_BYTES {
            let (found, limit) = (bytes.len() as u64, MAX_COMMIT_BYTES as u64);
            self.discard();
            return Err(WalError::TooLarge {
                what: "commit",
                found,
                limit,
            });
        }
        seal_frames(bytes, open);
        if no_floats && self.current.len_bytes >= self.options.segment_bytes {
            self.roll();
        }
        self.write()?;
        if !no_floats {
            self.reset_pending = false;
        }
        self.commits += 1;
        self.clear_collected();
        Ok(())
    }

    /// Appends `series_frames.bytes`, which holds the whole commit.
    fn write(&mut self) -> Result<(), WalError> {
        let before = self.current.len_bytes;
        let len_bytes = self.series_frames.bytes.len() as u64;
        match self.append() {
            Ok(start) => {
                self.current.len_bytes = start + len_bytes;
                self.revert_bytes = Some(start);
                self.written_bytes += len_bytes + (start - before);
                self.dirty = true;
                Ok(())
            }
            Err(error) => {
                self.discard();
                // The file may hold any prefix of the commit.
                let restored = match &self.file {
                    Some(file) if before > 0 => file.truncate(before),
                    _ => self.forget_new_segment(),
                };
                self.poisoned |= !error.is_disk_full() || restored.is_err();
                if !self.poisoned {
                    let dir = self.dir.path().to_path_buf();
                    return Err(WalError::DiskFull { dir, source: error });
                }
                Err(WalError::Fs(error))
            }
        }
    }

    /// Returns the offset at which the commit was written.
    fn append(&mut self) -> Result<u64, FsError> {
        while self.unsynced.len() > 1 {
            // Nobody syncs: at least nothing older than the last closed segment is at
            // risk, and the list stays short.
            let synced = self.unsynced.remove(0).sync();
            self.note_sync(synced)?;
        }
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                let file = self.dir.create(&segment_name(self.current.seq))?;
                self.file = Some(file.clone());
                let header = Header {
                    version: VERSION,
                    shard: self.options.shard,
                    seq: self.current.seq,
                };
                file.append(&header.encode())?;
                let synced = self.dir.sync();
                self.note_sync(synced)?;
                file
            }
        };
        file.append(&self.series_frames.bytes)?;
        Ok(self.current.len_bytes.max(HEADER_BYTES as u64))
    }

    fn forget_new_segment(&mut self) -> Result<(), FsError> {
        match self.file.take() {
            Some(_) => self.dir.remove(&segment_name(self.current.seq)),
            None => Ok(()),
        }
    }

    /// Forgets what was collected since the last commit.
    pub fn discard(&mut self) {
        self.refused = None;
        self.clear_collected();
        // The lanes may have moved past what the file holds.
        self.reset_pending = true;
    }

    fn clear_collected(&mut self) {
        self.series.clear();
        self.floats.clear();
        for frames in [
            &mut self.series_frames,
            &mut self.floats_frames,
            &mut self.other_frames,
        ] {
            frames.open.clear();
            frames.bytes.clear();
            frames.bytes.shrink_to(KEPT_BUFFER_BYTES);
        }
    }

    /// Takes the last commit back, when another part of the same transaction failed
    /// elsewhere. Nothing may have been collected since. Does nothing when there is
    /// no last commit, or it was taken back already.
    ///
    /// # Errors
    /// [`WalError::Fs`] when the file cannot be cut; the log is then poisoned, and the
    /// commit is replayed at the next opening.
    pub fn revert_last(&mut self) -> Result<(), WalError> {
        self.discard();
        let (Some(len_bytes), Some(file)) = (self.revert_bytes.take(), &self.file) else {
            return Ok(());
        };
        if let Err(error) = file.truncate(len_bytes) {
            self.poisoned = true;
            return Err(error.into());
        }
        self.current.len_bytes = len_bytes;
        self.dirty = true;
        Ok(())
    }

    /// Closes the current segment, if there is anything in it; the next commit begins
    /// a new one. Only whole segments can be dropped, so a store that writes little
    /// does this now and then. Must not be called between collecting and `commit`.
    pub fn roll(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.dirty {
            self.unsynced.push(file);
            self.dirty = false;
        }
        self.sealed.push(self.current);
        self.current = SegmentInfo {
            seq: self.current.seq + 1,
            len_bytes: 0,
        };
        self.revert_bytes = None;
        self.lanes.reset();
        self.reset_pending = false;
    }

    /// Syncs what was committed; shorthand for the two halves.
    ///
    /// # Errors
    /// As [`Wal::end_sync`].
    #[cfg(any(test, feature = "internals"))]
    pub fn sync(&mut self) -> Result<(), WalError> {
        match self.begin_sync() {
            Some(pending) => self.end_sync(pending.run()),
            None => self.check(),
        }
    }

    /// Returns what has to be synced, to be done without holding the log; `None` when
    /// there is nothing.
    pub fn begin_sync(&mut self) -> Option<PendingSync> {
        let mut files = std::mem::take(&mut self.unsynced);
        if std::mem::take(&mut self.dirty) {
            files.extend(self.file.clone());
        }
        (!files.is_empty() && !self.poisoned).then_some(PendingSync { files })
    }

    /// Takes the outcome of [`PendingSync::run`].
    ///
    /// # Errors
    /// The outcome's, which poisons the log: after a failed sync the system may have
    /// dropped the bytes, and a second sync would claim success.
    pub fn end_sync(&mut self, outcome: Result<(), FsError>) -> Result<(), WalError> {
        self.note_sync(outcome).map_err(WalError::Fs)
    }

    /// A failed sync poisons, also one for want of space: what was written before may
    /// be gone, and unlike a failed write it cannot be undone.
    fn note_sync(&mut self, outcome: Result<(), FsError>) -> Result<(), FsError> {
        self.poisoned |= outcome.is_err();
        outcome
    }

    /// Answers [`WalError::Poisoned`] when nothing can be committed any more.
    #[cfg(any(test, feature = "internals"))]
    pub fn check(&self) -> Result<(), WalError> {
        if self.poisoned {
            Err(self.poison_error())
        } else {
            Ok(())
        }
    }

    fn poison_error(&self) -> WalError {
        WalError::Poisoned {
            dir: self.dir.path().to_path_buf(),
        }
    }

    /// Removes the closed segments with numbers below `seq`, oldest first. The series
    /// that they define, and that later ones only name, are the caller's to keep.
    ///
    /// # Errors
    /// [`WalError::Fs`]; what is left is removed by the next call.
    pub fn remove_before(&mut self, seq: u64) -> Result<(), WalError> {
        let seq = seq.min(self.current.seq);
        if self.sealed.first().is_none_or(|first| first.seq >= seq) {
            return Ok(());
        }
        remove_before(&*self.dir, seq)?;
        self.sealed.retain(|segment| segment.seq >= seq);
        Ok(())
    }

    /// Returns the figures of the log.
    pub fn stats(&self) -> WalStats {
        let exists = u64::from(self.file.is_some());
        WalStats {
            segments: self.sealed.len() as u64 + exists,
            len_bytes: self.sealed.iter().map(|s| s.len_bytes).sum::<u64>()
                + self.current.len_bytes,
            current_seq: self.current.seq,
            commits: self.commits,
            written_bytes: self.written_bytes,
        }
    }

    /// Returns the place behind the last commit.
    pub fn end(&self) -> Position {
        Position {
            seq: self.current.seq,
            offset: self.current.len_bytes,
        }
    }

    /// Returns the closed segments, oldest first, and the current one.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentInfo> {
        self.sealed
            .iter()
            .chain(self.file.is_some().then_some(&self.current))
    }
}

/// Fills in the headers of a commit's frames.
fn seal_frames(bytes: &mut [u8], open: &[(usize, FrameKind, u8, u16)]) {
    let mut end = bytes.len();
    let mut more = 0;
    for &(start, kind, flags, n) in open.iter().rev() {
        finish_frame(&mut bytes[..end], start, kind, flags | more, n);
        more = FLAG_MORE;
        end = start;
    }
}

/// Refuses what a series record cannot hold.
fn check_series<'a>(
    id: u32,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), WalError> {
    if id >= MAX_SERIES {
        let (found, limit) = (u64::from(id), u64::from(MAX_SERIES - 1));
        return Err(WalError::TooLarge {
            what: "series number",
            found,
            limit,
        });
    }
    // Twice ten bytes per label bound its lengths and indexes.
    let len_bytes: usize = labels
        .map(|(name, value)| name.len() + value.len() + 20)
        .sum();
    let limit = MAX_BODY_BYTES - FRAME_TARGET_BYTES - 64;
    if len_bytes > limit {
        let (found, limit) = (len_bytes as u64, limit as u64);
        return Err(WalError::TooLarge {
            what: "label set",
            found,
            limit,
        });
    }
    Ok(())
}

/// A sync that can run while commits go on.
#[derive(Debug)]
#[must_use = "nothing is synced before it runs"]
pub struct PendingSync {
    files: Vec<Arc<dyn AppendFile>>,
}

impl PendingSync {
    /// Syncs, oldest segment first. The outcome must go to [`Wal::end_sync`].
    ///
    /// # Errors
    /// The first failure.
    pub fn run(self) -> Result<(), FsError> {
        self.files.iter().try_for_each(|file| file.sync())
    }
}

const _: () = assert!((MAX_COMMIT_BYTES as u64) < MAX_FILE_BYTES);
