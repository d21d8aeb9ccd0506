//! Opening a log: which files count, what is replayed, and where writing goes on.
//!
//! The end of the last segment is torn when nothing sound follows the place where
//! reading stopped; then it is cut off, so that new frames follow good ones. When
//! something sound does follow, bytes in the middle went bad: nothing is cut, the
//! place is reported, and writing goes on in a new segment.

use std::sync::Arc;

use super::WalError;
use super::format::{
    FRAME_HEADER_BYTES, FrameFault, MAX_FILE_BYTES, read_frame, segment_name, segment_seq,
};
use super::reader::{Damage, Entry, Expected, FileRead, FileReader, Replayed, Stop, TornTail};
use super::writer::{SegmentInfo, Start};
use crate::fs::{AppendFile, Dir};

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
    start: Start,
    apply: &mut dyn FnMut(Entry<'_>),
) -> Result<Recovered, WalError> {
    remove_before(dir, start.keep)?;
    let recovery = Recovery {
        dir,
        shard,
        reader: FileReader::default(),
        replayed: Replayed::default(),
    };
    recovery.replay_segments(&segments(dir)?, start.replay, apply)
}

/// Returns the numbers of the segments in ascending order: names sort like numbers
/// only up to eight digits.
fn segments(dir: &dyn Dir) -> Result<Vec<u64>, WalError> {
    let files = dir.files()?;
    let mut segments: Vec<u64> = files.iter().filter_map(|f| segment_seq(f)).collect();
    segments.sort_unstable();
    Ok(segments)
}

/// Removes all segments with numbers below `seq`, oldest first, so that a crash in
/// between leaves no gap.
pub(super) fn remove_before(dir: &dyn Dir, seq: u64) -> Result<(), WalError> {
    for old in segments(dir)?.into_iter().take_while(|&old| old < seq) {
        dir.remove(&segment_name(old))?;
    }
    Ok(())
}

impl Recovery<'_> {
    fn expected(&self, seq: u64) -> Expected {
        Expected {
            path: self.dir.path().join(segment_name(seq)),
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
            if seq < first {
                let len_bytes = self.dir.len_bytes(&segment_name(seq))?;
                sealed.push(SegmentInfo { seq, len_bytes });
                continue;
            }
            if seq > next {
                let file = self.expected(next);
                let reason = format!("{} segments from this one on are missing", seq - next);
                self.damage(&file, &FileRead::default(), 0, reason);
            }
            next = seq + 1;
            let bytes = self.dir.read(&segment_name(seq), MAX_FILE_BYTES)?;
            let file = self.expected(seq);
            let read = self.reader.read(&bytes, &file, apply)?;
            self.replayed.segments += 1;
            self.replayed.len_bytes += bytes.len() as u64;
            self.replayed.series += read.series;
            self.replayed.samples += read.samples;
            self.replayed.entries += read.entries;
            let mut info = SegmentInfo {
                seq,
                len_bytes: bytes.len() as u64,
            };
            let is_last = i + 1 == seqs.len();
            match read.stop {
                None if is_last && !read.is_old => {
                    let name = segment_name(seq);
                    current = Some((self.dir.open_append(&name)?, info));
                }
                None => sealed.push(info),
                Some(stop) if is_last && is_torn(&bytes[read.fault_bytes..], stop) => {
                    info.len_bytes = read.good_bytes as u64;
                    let end = self.cut(&file, info, bytes.len())?;
                    match end {
                        None => next = seq,
                        Some(_) if read.is_old => sealed.push(info),
                        Some(_) => current = end,
                    }
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
        let name = segment_name(file.seq);
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
            && matches!(rest[8], 1..=12)
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
