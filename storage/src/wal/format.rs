//! The bytes of segments, and nothing else. All integers are little-endian.
//!
//! ```text
//! file    = header frame*
//!
//! header  0        8        10     11    12      16      24     28     32
//!         | magic  | version| kind | 0   | shard | seq   | 0    | crc  |
//!         | KYMOWAL\0 | u16 | u8   | u8  | u32   | u64   | u32  | u32  |
//!
//! frame   0      4      8      9       10     12
//!         | len  | crc  | type | flags | n    | body: len bytes        |
//!         | u32  | u32  | u8   | u8    | u16  |                        |
//! ```
//!
//! The header's crc covers bytes 0..28; a frame's covers its `len` and everything
//! behind `crc`. The kind is 1. A file is named by its number: `00000001.wal`.

use crate::codec::crc;

/// First bytes of every file of a log.
pub const MAGIC: [u8; 8] = *b"KYMOWAL\0";
/// Format version that is written, and the newest that is read. All before it are read,
/// too.
pub const VERSION: u16 = 2;
/// Length of a file header in bytes.
pub const HEADER_BYTES: usize = 32;
/// Length of a frame header in bytes.
pub const FRAME_HEADER_BYTES: usize = 12;
/// Longest body of a frame in bytes; a longer announced one is damage.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// Longest file that is read. A segment is closed at its configured size, so only a
/// single huge commit can bring one near this.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// Series numbers are below this, per log.
pub const MAX_SERIES: u32 = 1 << 24;

const SUFFIX: &str = ".wal";
/// The kind in a header. 2 was once the series of dropped segments.
const KIND_SEGMENT: u8 = 1;

/// Returns the name of segment number `seq`.
pub fn segment_name(seq: u64) -> String {
    format!("{seq:08}{SUFFIX}")
}

/// Returns the number in `name` if it names a segment.
pub fn segment_seq(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let seq = digits.parse().ok()?;
    // One spelling per number, so that two files never claim the same.
    (segment_name(seq) == name).then_some(seq)
}

/// The header of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Format version.
    pub version: u16,
    /// The shard the log belongs to.
    pub shard: u32,
    /// The number of the file.
    pub seq: u64,
}

impl Header {
    /// Returns the bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[10] = KIND_SEGMENT;
        bytes[12..16].copy_from_slice(&self.shard.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.seq.to_le_bytes());
        let sum = crc::ieee(&[&bytes[..28]]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` when it is short, not ours or damaged.
    pub fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let sound = bytes[..8] == MAGIC
            && bytes[10] == KIND_SEGMENT
            && u32_at(bytes, 28)? == crc::ieee(&[&bytes[..28]]);
        if !sound {
            return None;
        }
        Some(Header {
            version: u16::from_le_bytes(*bytes[8..].first_chunk()?),
            shard: u32_at(bytes, 12)?,
            seq: u64::from_le_bytes(*bytes[16..].first_chunk()?),
        })
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum FrameKind {
    /// Series numbers with their labels.
    Series = 1,
    /// Float samples.
    Floats = 3,
    /// Native histograms. Since version 2.
    Histograms = 4,
    /// Float samples that came late, coded as the others.
    Late = 5,
    /// Deleted times of series.
    Tombstones = 6,
    /// Exemplars of series.
    Exemplars = 7,
    /// Type, help and unit of metrics.
    Metadata = 8,
    /// Log entries of streams.
    Entries = 11,
    /// The mark of a deletion of log entries.
    Deletion = 12,
}

impl FrameKind {
    // Reserved: 2 symbols, 9 sealed-chunk marker. 10 once ended a checkpoint.
    fn from_byte(byte: u8) -> Option<FrameKind> {
        match byte {
            1 => Some(FrameKind::Series),
            3 => Some(FrameKind::Floats),
            4 => Some(FrameKind::Histograms),
            5 => Some(FrameKind::Late),
            6 => Some(FrameKind::Tombstones),
            7 => Some(FrameKind::Exemplars),
            8 => Some(FrameKind::Metadata),
            11 => Some(FrameKind::Entries),
            12 => Some(FrameKind::Deletion),
            _ => None,
        }
    }
}

/// The commit goes on in the next frame.
pub const FLAG_MORE: u8 = 1;
/// Value deltas start afresh: earlier frames of the segment are no base any more.
pub const FLAG_RESET: u8 = 2;
const KNOWN_FLAGS: u8 = FLAG_MORE | FLAG_RESET;

/// A verified frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// What the body holds.
    pub kind: FrameKind,
    /// `FLAG_*` bits.
    pub flags: u8,
    /// Number of items in the body.
    pub n: u16,
    /// The record.
    pub body: &'a [u8],
}

/// Why no frame could be read at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFault {
    /// The bytes end before the frame does.
    Short,
    /// The checksum does not match.
    Checksum,
    /// The length is past any frame's.
    Length,
    /// A sound frame of a type or with flags that are not known.
    Unknown,
}

impl FrameFault {
    /// Says it in words for a report.
    pub fn reason(self) -> &'static str {
        match self {
            FrameFault::Short => "the frame is cut short",
            FrameFault::Checksum => "the checksum does not match",
            FrameFault::Length => "the length is not possible",
            FrameFault::Unknown => "the frame has a type or flag that is not known",
        }
    }
}

impl Frame<'_> {
    /// Length in the file, header included.
    pub fn len_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body.len()
    }
}

/// Reads and verifies the frame at the start of `bytes`.
pub fn read_frame(bytes: &[u8]) -> Result<Frame<'_>, FrameFault> {
    let header: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk().ok_or(FrameFault::Short)?;
    let len = u32_at(header, 0).ok_or(FrameFault::Short)? as usize;
    if len > MAX_BODY_BYTES {
        return Err(FrameFault::Length);
    }
    let frame = bytes
        .get(..FRAME_HEADER_BYTES + len)
        .ok_or(FrameFault::Short)?;
    let sum = crc::ieee(&[&frame[..4], &frame[8..]]);
    if u32_at(header, 4) != Some(sum) {
        return Err(FrameFault::Checksum);
    }
    let kind = FrameKind::from_byte(header[8]).filter(|_| header[9] & !KNOWN_FLAGS == 0);
    Ok(Frame {
        kind: kind.ok_or(FrameFault::Unknown)?,
        flags: header[9],
        n: u16::from_le_bytes([header[10], header[11]]),
        body: &frame[FRAME_HEADER_BYTES..],
    })
}

/// Appends an empty frame header; the body is appended behind it and
/// [`finish_frame`] called with the returned start.
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    start
}

/// Fills in the header of the last frame of `out`, which began at `start`.
///
/// The caller keeps the body within [`MAX_BODY_BYTES`].
pub fn finish_frame(out: &mut [u8], start: usize, kind: FrameKind, flags: u8, n: u16) {
    let frame = &mut out[start..];
    let len = (frame.len() - FRAME_HEADER_BYTES) as u32;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    frame[8] = kind as u8;
    frame[9] = flags;
    frame[10..12].copy_from_slice(&n.to_le_bytes());
    let sum = crc::ieee(&[&frame[..4], &frame[8..]]);
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
