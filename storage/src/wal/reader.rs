//! Replay: files to records, up to where they can be trusted.
//!
//! A file is read until the first commit that is not whole and sound. What stands
//! behind a bad frame of the same file cannot be used, because its value deltas build
//! on what was lost; the next segment starts afresh and can.

use std::path::PathBuf;

use super::WalError;
use super::entries::{self, LoggedEntries};
use super::exemplars::{self, LoggedExemplar};
use super::floats::FloatsDecoder;
use super::format::{
    FLAG_MORE, FLAG_RESET, Frame, FrameFault, FrameKind, HEADER_BYTES, Header, VERSION, read_frame,
};
use super::histograms::{self, LoggedHistogram};
use super::lanes::Lanes;
use super::metadata::{self, LoggedMetadata};
use super::series::{self, Definitions};
use super::tombstones;
use crate::codec::CodecError;
use crate::model::TimeRange;

/// One record of the log, in the order of the commits.
#[derive(Debug)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// Series have these numbers, all below [`MAX_SERIES`](super::format::MAX_SERIES),
    /// from here on. The same definition may come again.
    Series(&'a Definitions<'a>),
    /// Samples in the order they were logged; the slices are equally long.
    Floats {
        /// Series numbers. Damage may leave a number without a definition.
        ids: &'a [u32],
        /// Milliseconds since the epoch.
        t_ms: &'a [i64],
        /// Values, bit for bit.
        values: &'a [f64],
    },
    /// Samples that came late; to be held as a set beside the others.
    Late {
        /// As of [`Entry::Floats`].
        ids: &'a [u32],
        /// As of [`Entry::Floats`].
        t_ms: &'a [i64],
        /// As of [`Entry::Floats`].
        values: &'a [f64],
    },
    /// Histograms in the order they were logged.
    Histograms(&'a [LoggedHistogram]),
    /// Times of series that were deleted, of samples before and after. Every range has
    /// a millisecond at least.
    Tombstones(&'a [(u32, TimeRange)]),
    /// Exemplars in the order they were logged.
    Exemplars(&'a [LoggedExemplar]),
    /// Metrics whose metadata is this from here on.
    Metadata(&'a [LoggedMetadata<'a>]),
    /// Log entries in the order they were logged.
    Entries(&'a LoggedEntries<'a>),
    /// The deletion of this number was asked for here.
    Deletion(u64),
}

/// What replay found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Segments that were read.
    pub segments: u64,
    /// Bytes of all files that were read.
    pub len_bytes: u64,
    /// Series records, repeated definitions included.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Log entries.
    pub entries: u64,
    /// An unfinished commit at the end, which was cut off. Nobody was told that it
    /// succeeded, or the disk lost what was not synced.
    pub torn: Option<TornTail>,
    /// Places that could not be read although they should be, oldest first.
    pub damages: Vec<Damage>,
}

/// The unfinished end of the last segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Where the sound part ends, in bytes.
    pub offset: u64,
    /// How many bytes were cut off.
    pub len_bytes: u64,
}

/// A part of the log that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where reading stopped, in bytes.
    pub offset: u64,
    /// How many bytes of the file were not read from there on.
    pub len_bytes: u64,
    /// What is wrong there.
    pub reason: String,
}

/// How far the reading of one file got.
#[derive(Debug, Default)]
pub(super) struct FileRead {
    /// End of the last whole and sound commit.
    pub(super) good_bytes: usize,
    /// Where the frame stands that ended the reading; within a commit of several
    /// frames that is behind `good_bytes`.
    pub(super) fault_bytes: usize,
    /// Why reading ended there, unless it was the end of the file.
    pub(super) stop: Option<Stop>,
    pub(super) series: u64,
    pub(super) samples: u64,
    pub(super) entries: u64,
    /// The file has an older version: it is read, and not written on.
    pub(super) is_old: bool,
}

/// Why a file was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Header,
    Frame(FrameFault),
    Record(CodecError),
}

impl Stop {
    pub(super) fn reason(self) -> String {
        match self {
            Stop::Header => "the file header is not valid".to_owned(),
            Stop::Frame(fault) => fault.reason().to_owned(),
            Stop::Record(error) => format!("the record cannot be decoded: {error}"),
        }
    }
}

/// What a file should say about itself.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) path: PathBuf,
    pub(super) shard: u32,
    pub(super) seq: u64,
}

/// Reads files one after the other with the same buffers.
#[derive(Debug, Default)]
pub(super) struct FileReader {
    pub(super) lanes: Lanes,
    floats: FloatsDecoder,
    deleted: Vec<(u32, TimeRange)>,
}

impl FileReader {
    /// Reads `bytes` and hands its records to `apply`.
    ///
    /// # Errors
    /// Only for a file that is sound but not for us: a newer version, another shard.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        expected: &Expected,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<FileRead, WalError> {
        let mut read = FileRead::default();
        if !check_header(bytes, expected)? {
            read.stop = Some(Stop::Header);
            return Ok(read);
        }
        let header = Header::decode(bytes);
        read.is_old = header.is_some_and(|header| header.version < VERSION);
        self.lanes.reset();
        read.good_bytes = HEADER_BYTES;
        let mut frames = Vec::new();
        while read.good_bytes < bytes.len() {
            let rest = &bytes[read.good_bytes..];
            let commit = read_commit(rest, &mut frames).map_err(|(at, fault)| {
                read.fault_bytes = read.good_bytes + at;
                Stop::Frame(fault)
            });
            let applied = commit.and_then(|len| {
                for frame in &frames {
                    self.apply(frame, &mut read, apply).map_err(Stop::Record)?;
                }
                Ok(len)
            });
            match applied {
                Ok(len) => read.good_bytes += len,
                Err(stop) => {
                    read.stop = Some(stop);
                    break;
                }
            }
        }
        Ok(read)
    }

    pub(super) fn apply(
        &mut self,
        frame: &Frame<'_>,
        read: &mut FileRead,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(), CodecError> {
        let n = usize::from(frame.n);
        if frame.flags & FLAG_RESET != 0 {
            self.lanes.reset();
        }
        match frame.kind {
            FrameKind::Series => {
                apply(Entry::Series(&series::decode(frame.body, n)?));
                read.series += n as u64;
            }
            FrameKind::Floats | FrameKind::Late => {
                self.floats.decode(frame.body, n, &mut self.lanes)?;
                let FloatsDecoder {
                    ids, t_ms, values, ..
                } = &self.floats;
                read.samples += n as u64;
                apply(match frame.kind {
                    FrameKind::Late => Entry::Late { ids, t_ms, values },
                    _ => Entry::Floats { ids, t_ms, values },
                });
            }
            FrameKind::Histograms => {
                apply(Entry::Histograms(&histograms::decode(frame.body, n)?));
                read.samples += n as u64;
            }
            FrameKind::Tombstones => {
                tombstones::decode(frame.body, n, &mut self.deleted)?;
                apply(Entry::Tombstones(&self.deleted));
            }
            FrameKind::Exemplars => {
                apply(Entry::Exemplars(&exemplars::decode(frame.body, n)?));
            }
            FrameKind::Metadata => {
                apply(Entry::Metadata(&metadata::decode(frame.body, n)?));
            }
            FrameKind::Entries => {
                apply(Entry::Entries(&entries::decode(frame.body, n)?));
                read.entries += n as u64;
            }
            FrameKind::Deletion => {
                apply(Entry::Deletion(entries::decode_deletion(frame.body)?));
            }
        }
        Ok(())
    }
}

/// Collects the frames of the commit at the start of `bytes`; returns its length, or
/// where it goes wrong.
pub(super) fn read_commit<'a>(
    bytes: &'a [u8],
    frames: &mut Vec<Frame<'a>>,
) -> Result<usize, (usize, FrameFault)> {
    frames.clear();
    let mut len = 0;
    loop {
        let frame = read_frame(&bytes[len..]).map_err(|fault| (len, fault))?;
        len += frame.len_bytes();
        frames.push(frame);
        if frame.flags & FLAG_MORE == 0 {
            return Ok(len);
        }
    }
}

/// Tells whether the header is sound and the expected one.
pub(super) fn check_header(bytes: &[u8], expected: &Expected) -> Result<bool, WalError> {
    let Some(header) = Header::decode(bytes) else {
        return Ok(false);
    };
    let path = || expected.path.clone();
    if header.version == 0 || header.version > VERSION {
        return Err(WalError::Version {
            path: path(),
            found: header.version,
            supported: VERSION,
        });
    }
    if header.shard != expected.shard {
        return Err(WalError::Shard {
            path: path(),
            found: header.shard,
            expected: expected.shard,
        });
    }
    Ok(header.seq == expected.seq)
}
