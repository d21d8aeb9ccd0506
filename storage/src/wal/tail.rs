//! Reading a log while it is written: from a position on, as far as its owner says.
//!
//! The owner publishes how far the log holds what is settled: commits that no failure
//! elsewhere can take back any more. Bytes before that do not change, so they are
//! mapped and read in place. A reader that begins within a segment decodes what stands
//! before its position, too, because values build on each other, and hands none of it
//! on.
//!
//! A part of a segment that cannot be read is passed over and named, as at an opening;
//! the next segment starts afresh.

use std::path::PathBuf;
use std::sync::Arc;

use super::format::{FrameKind, HEADER_BYTES, segment_name, segment_seq};
use super::reader::{Entry, Expected, FileRead, FileReader, check_header, read_commit};
use super::{WalError, floats, histograms};
use crate::fs::{Dir, FileMap, MAP_ALIGN_BYTES};

/// A place between two commits of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The number of the segment.
    pub seq: u64,
    /// Bytes of it that stand before the place.
    pub offset: u64,
}

impl Position {
    /// Packs it into one word whose order is that of positions: no file is longer than
    /// 2 GiB, and no log has 4 G segments.
    pub fn pack(self) -> u64 {
        self.seq << 32 | self.offset & u64::from(u32::MAX)
    }

    /// Undoes [`Position::pack`].
    pub fn unpack(word: u64) -> Position {
        Position {
            seq: word >> 32,
            offset: word & u64::from(u32::MAX),
        }
    }
}

/// A part of the log that a reader passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailDamage {
    /// The segment.
    pub file: PathBuf,
    /// Where reading stopped, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

/// A reader of one log.
#[derive(Debug)]
pub struct Tail {
    dir: Arc<dyn Dir>,
    shard: u32,
    at: Position,
    /// The values decoded are those of `at`, in the segment of `at`.
    warm: bool,
    reader: FileReader,
    mapped: Option<Mapped>,
}

/// A part of the segment that is read.
#[derive(Debug)]
struct Mapped {
    start: u64,
    end: u64,
    bytes: FileMap,
}

impl Tail {
    /// Makes a reader that stands at a position.
    pub fn new(dir: Arc<dyn Dir>, shard: u32, at: Position) -> Tail {
        Tail {
            dir,
            shard,
            at,
            warm: false,
            reader: FileReader::default(),
            mapped: None,
        }
    }

    /// Returns where the reader stands.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Reads the next commit before `end`, and hands its records to `apply`; `false`
    /// where there is none. What cannot be read is added to `damages`.
    ///
    /// # Errors
    /// The disk refused, or the segment was written by a newer version.
    pub fn read(
        &mut self,
        end: Position,
        damages: &mut Vec<TailDamage>,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<bool, WalError> {
        while let Some(len_bytes) = self.seek(end, damages)? {
            match self.read_one(len_bytes, apply)? {
                Ok(()) => return Ok(true),
                Err(reason) => {
                    self.damage(reason, damages);
                    self.pass(len_bytes);
                }
            }
        }
        Ok(false)
    }

    /// Returns a time of the next commit before `end`, that of its first sample; the
    /// least one where it has no sample, or cannot be read. `None` where there is none.
    ///
    /// # Errors
    /// As of [`Tail::read`].
    pub fn peek_ms(
        &mut self,
        end: Position,
        damages: &mut Vec<TailDamage>,
    ) -> Result<Option<i64>, WalError> {
        let Some(len_bytes) = self.seek(end, damages)? else {
            return Ok(None);
        };
        let len = usize::try_from(len_bytes - self.at.offset).unwrap_or(usize::MAX);
        let bytes = self.bytes(len_bytes)?;
        let mut frames = Vec::new();
        let sound = read_commit(bytes.get(..len).unwrap_or_default(), &mut frames).is_ok();
        let first = frames
            .iter()
            .filter(|_| sound)
            .find_map(|frame| match frame.kind {
                FrameKind::Floats | FrameKind::Late => floats::first_ms(frame.body),
                FrameKind::Histograms => histograms::first_ms(frame.body),
                _ => None,
            });
        Ok(Some(first.unwrap_or(i64::MIN)))
    }

    /// Goes to the next commit before `end`; returns how many bytes of its segment can be
    /// read.
    fn seek(
        &mut self,
        end: Position,
        damages: &mut Vec<TailDamage>,
    ) -> Result<Option<u64>, WalError> {
        loop {
            if self.at >= end {
                return Ok(None);
            }
            let Some(len_bytes) = self.segment_end(end)? else {
                self.next_segment(end)?;
                continue;
            };
            if !self.warm && !self.warm_up(len_bytes, damages)? {
                self.pass(len_bytes);
                continue;
            }
            if self.at.offset < len_bytes {
                return Ok(Some(len_bytes));
            }
            if self.at.seq >= end.seq {
                return Ok(None);
            }
            self.next_segment(end)?;
        }
    }

    /// Returns how many bytes of the segment can be read; `None` where it is not there.
    fn segment_end(&self, end: Position) -> Result<Option<u64>, WalError> {
        if self.at.seq == end.seq {
            return Ok(Some(end.offset));
        }
        match &self.mapped {
            // A segment that is over does not change.
            Some(mapped) if self.warm && self.at.offset < mapped.end => Ok(Some(mapped.end)),
            _ => match self.dir.len_bytes(&segment_name(self.at.seq)) {
                Ok(len_bytes) => Ok(Some(len_bytes)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Decodes what stands before the position; `false` where the segment is not sound
    /// up to there.
    fn warm_up(&mut self, len_bytes: u64, damages: &mut Vec<TailDamage>) -> Result<bool, WalError> {
        let header = HEADER_BYTES as u64;
        if len_bytes < header {
            // A segment that has no commit yet, or whose header was lost.
            return Ok(false);
        }
        self.reader.lanes.reset();
        let expected = Expected {
            path: self.dir.path().join(segment_name(self.at.seq)),
            shard: self.shard,
            seq: self.at.seq,
        };
        let goal = self.at.offset;
        self.at.offset = 0;
        let bytes = self.bytes(len_bytes)?;
        if !check_header(bytes, &expected)? {
            self.damage("the file header is not valid".to_owned(), damages);
            return Ok(false);
        }
        self.at.offset = header;
        while self.at.offset < goal {
            if let Err(reason) = self.read_one(len_bytes, &mut |_| {})? {
                self.damage(reason, damages);
                return Ok(false);
            }
        }
        self.warm = true;
        Ok(true)
    }

    /// Reads the commit at the position and moves behind it, or says why it cannot.
    fn read_one(
        &mut self,
        len_bytes: u64,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Result<(), String>, WalError> {
        self.bytes(len_bytes)?;
        let Some(mapped) = &self.mapped else {
            return Ok(Err("the segment is empty".to_owned()));
        };
        let skip = (self.at.offset - mapped.start) as usize;
        let until = (len_bytes - mapped.start) as usize;
        let bytes = mapped.bytes.get(skip..until).unwrap_or_default();
        let mut frames = Vec::new();
        let len = match read_commit(bytes, &mut frames) {
            Ok(len) => len,
            Err((_, fault)) => return Ok(Err(fault.reason().to_owned())),
        };
        let mut read = FileRead::default();
        for frame in &frames {
            if let Err(error) = self.reader.apply(frame, &mut read, apply) {
                return Ok(Err(format!("the record cannot be decoded: {error}")));
            }
        }
        self.at.offset += len as u64;
        Ok(Ok(()))
    }

    /// Maps the segment from the position to `len_bytes`, and returns these bytes.
    fn bytes(&mut self, len_bytes: u64) -> Result<&[u8], WalError> {
        let covers = |mapped: &Mapped| mapped.start <= self.at.offset && mapped.end >= len_bytes;
        if !self.mapped.as_ref().is_some_and(covers) {
            let start = self.at.offset / MAP_ALIGN_BYTES * MAP_ALIGN_BYTES;
            self.mapped = None;
            let bytes = self.dir.map(&segment_name(self.at.seq), start..len_bytes)?;
            self.mapped = Some(Mapped {
                start,
                end: len_bytes,
                bytes,
            });
        }
        let mapped = self.mapped.as_ref();
        let bytes = mapped.and_then(|mapped| {
            let skip = (self.at.offset - mapped.start) as usize;
            mapped.bytes.get(skip..)
        });
        Ok(bytes.unwrap_or_default())
    }

    /// Goes to the segment behind this one: the next number, or the one after a gap.
    fn next_segment(&mut self, end: Position) -> Result<(), WalError> {
        self.mapped = None;
        self.warm = false;
        let files = self.dir.files()?;
        let later = files.iter().filter_map(|name| segment_seq(name));
        let next = later.filter(|&seq| seq > self.at.seq).min();
        self.at = Position {
            seq: next.map_or(end.seq, |next| next.min(end.seq)),
            offset: 0,
        };
        Ok(())
    }

    /// Gives up the rest of the segment.
    fn pass(&mut self, len_bytes: u64) {
        self.at.offset = len_bytes.max(self.at.offset);
        self.warm = true;
    }

    fn damage(&self, reason: String, damages: &mut Vec<TailDamage>) {
        damages.push(TailDamage {
            file: self.dir.path().join(segment_name(self.at.seq)),
            offset: self.at.offset,
            reason,
        });
    }
}
