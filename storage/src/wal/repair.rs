//! Opening a log: which files count, what is replayed, and where writing goes on.
//!
//! The end of the last segment is torn when nothing sound follows the place where
//! reading stopped; then it is cut off, so that new frames follow good ones. When
//! something sound does follow, bytes in the middle went bad: nothing is cut, the
//! place is reported, and writing goes on in a new segment.

use std::sync::Arc;

use super::WalError;
use super::format::{FRAME_HEADER_BYTES, FileKind, FrameFault, MAX_FILE_BYTES, read_frame};
use super::reader::{Damage, Entry, Expected, FileRead, FileReader, Replayed, Stop, TornTail};
use super::writer::SegmentInfo;
use crate::fs::{AppendFile, Dir};

/// Ending of a checkpoint that is not finished.
pub(super) const TEMPORARY: &str = ".tmp";

/// Bytes that may be summed in the search for a sound frame; past it one is assumed.
const SEARCH_BUDGET_BYTES: usize = 64 << 20;

/// The open segment and what is in it.
pub(super) type CurrentSegment = (Arc<dyn AppendFile>, SegmentInfo);

/// Where the writer goes on.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) replayed: Replayed,
    /// All segments but the one to go on with.
    pub(super) sealed: Vec<SegmentInfo>,
    /// The number of the segment to go on with.
    pub(super) seq: u64,
    /// It, when it exists.
    pub(super) current: Option<CurrentSegment>,
}

struct Recovery<'a> {
    dir: &'a dyn Dir,
    shard: u32,
    reader: FileReader,
    replayed: Replayed,
}

/// Replays the log in `dir` and makes its end fit to be written to.
pub(super) fn recover(
    dir: &dyn Dir,
    shard: u32,
    apply: &mut dyn FnMut(Entry<'_>),
) -> Result<Recovered, WalError> {
    let files = dir.files()?;
    for name in files.iter().filter(|name| name.ends_with(TEMPORARY)) {
        dir.remove(name)?;
    }
    let mut segments: Vec<u64> = files
        .iter()
        .filter_map(|f| FileKind::Segment.seq(f))
        .collect();
    let mut checkpoints: Vec<u64> = files
        .iter()
        .filter_map(|f| FileKind::Checkpoint.seq(f))
        .collect();
    // Names sort like numbers only up to eight digits.
    segments.sort_unstable();
    checkpoints.sort_unstable();

    let mut recovery = Recovery {
        dir,
        shard,
        reader: FileReader::default(),
        replayed: Replayed::default(),
    };
    let checkpoint = recovery.replay_checkpoints(&checkpoints, apply)?;
    if let Some(from) = checkpoint {
        // A crash inside a truncation leaves files that the checkpoint replaced.
        remove_before(dir, from)?;
        segments.retain(|&seq| seq >= from);
    }
    recovery.replay_segments(&segments, checkpoint.unwrap_or(1), apply)
}

/// Removes all segments and checkpoints with numbers below `seq`, oldest first, so
/// that a crash in between leaves no gap.
pub(super) fn remove_before(dir: &dyn Dir, seq: u64) -> Result<(), WalError> {
    for kind in [FileKind::Segment, FileKind::Checkpoint] {
        let mut old: Vec<u64> = dir.files()?.iter().filter_map(|f| kind.seq(f)).collect();
        old.retain(|&s| s < seq);
        old.sort_unstable();
        for s in old {
            dir.remove(&kind.name(s))?;
        }
    }
    Ok(())
}

impl Recovery<'_> {
    fn expected(&self, kind: FileKind, seq: u64) -> Expected {
        Expected {
            path: self.dir.path().join(kind.name(seq)),
            kind,
            shard: self.shard,
            seq,
        }
    }

    fn damage(&mut self, file: &Expected, read: &FileRead, len_bytes: usize, reason: String) {
        self.replayed.damages.push(Damage {
            file: file.path.clone(),
            offset: read.good_bytes as u64,
            len_bytes: (len_bytes - read.good_bytes) as u64,
            reason,
        });
    }

    /// Replays the newest sound checkpoint and returns its number. Of a damaged one
    /// everything that can be read is replayed, and an older one is looked for.
    fn replay_checkpoints(
        &mut self,
        seqs: &[u64],
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Option<u64>, WalError> {
        for &seq in seqs.iter().rev() {
            let bytes = self
                .dir
                .read(&FileKind::Checkpoint.name(seq), MAX_FILE_BYTES)?;
            let file = self.expected(FileKind::Checkpoint, seq);
            let read = self.reader.read(&bytes, &file, apply)?;
            self.replayed.len_bytes += bytes.len() as u64;
            self.replayed.series += read.series;
            if read.stop.is_none() && read.checkpoint_end == Some(read.series) {
                return Ok(Some(seq));
            }
            let reason = read
                .stop
                .map_or("the checkpoint has no end".to_owned(), Stop::reason);
            self.damage(&file, &read, bytes.len(), reason);
        }
        Ok(None)
    }

    fn replay_segments(
        mut self,
        seqs: &[u64],
        first: u64,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Recovered, WalError> {
        let mut sealed = Vec::new();
        let mut next = first;
        let mut current = None;
        for (i, &seq) in seqs.iter().enumerate() {
            if seq > next {
                let file = self.expected(FileKind::Segment, next);
                let reason = format!("{} segments from this one on are missing", seq - next);
                self.damage(&file, &FileRead::default(), 0, reason);
            }
            next = seq + 1;
            let bytes = self
                .dir
                .read(&FileKind::Segment.name(seq), MAX_FILE_BYTES)?;
            let file = self.expected(FileKind::Segment, seq);
            let read = self.reader.read(&bytes, &file, apply)?;
            self.replayed.segments += 1;
            self.replayed.len_bytes += bytes.len() as u64;
            self.replayed.series += read.series;
            self.replayed.samples += read.samples;
            let mut info = SegmentInfo {
                seq,
                len_bytes: bytes.len() as u64,
                max_t_ms: read.max_t_ms,
            };
            let is_last = i + 1 == seqs.len();
            match read.stop {
                None if is_last => {
                    let name = FileKind::Segment.name(seq);
                    current = Some((self.dir.open_append(&name)?, info));
                }
                None => sealed.push(info),
                Some(stop) if is_last && is_torn(&bytes[read.fault_bytes..], stop) => {
                    info.len_bytes = read.good_bytes as u64;
                    let end = self.cut(&file, info, bytes.len())?;
                    if end.is_none() {
                        next = seq;
                    }
                    current = end;
                }
                Some(stop) => {
                    self.damage(&file, &read, bytes.len(), stop.reason());
                    sealed.push(info);
                }
            }
        }
        let seq = current.as_ref().map_or(next, |(_, info)| info.seq);
        Ok(Recovered {
            replayed: self.replayed,
            sealed,
            seq,
            current,
        })
    }

    /// Cuts the last segment down to `info.len_bytes`; one without a sound header goes
    /// altogether, and its number is free again.
    fn cut(
        &mut self,
        file: &Expected,
        info: SegmentInfo,
        len_bytes: usize,
    ) -> Result<Option<CurrentSegment>, WalError> {
        self.replayed.torn = Some(TornTail {
            file: file.path.clone(),
            offset: info.len_bytes,
            len_bytes: len_bytes as u64 - info.len_bytes,
        });
        let name = file.kind.name(file.seq);
        if info.len_bytes == 0 {
            self.dir.remove(&name)?;
            self.dir.sync()?;
            return Ok(None);
        }
        let segment = self.dir.open_append(&name)?;
        segment.truncate(info.len_bytes)?;
        segment.sync()?;
        Ok(Some((segment, info)))
    }
}

/// Tells whether `tail`, which begins with the frame that ended the reading, holds nothing sound.
fn is_torn(tail: &[u8], stop: Stop) -> bool {
    match stop {
        // The frame is whole: this is no unfinished write.
        Stop::Record(_) | Stop::Frame(FrameFault::Unknown) => false,
        Stop::Header | Stop::Frame(_) => !holds_sound_frame(tail),
    }
}

fn holds_sound_frame(tail: &[u8]) -> bool {
    let mut budget = SEARCH_BUDGET_BYTES;
    for start in 0..tail.len().saturating_sub(FRAME_HEADER_BYTES) {
        let rest = &tail[start..];
        // Only what looks like a frame is worth a checksum; an empty one is too easily
        // found in zeroes and never written.
        let len = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let plausible = (1..=rest.len() - FRAME_HEADER_BYTES).contains(&len)
            && matches!(rest[8], 1..=10)
            && rest[9] < 4;
        if !plausible {
            continue;
        }
        if len > budget || !matches!(read_frame(rest), Err(FrameFault::Checksum)) {
            return true;
        }
        budget -= len;
    }
    false
}
