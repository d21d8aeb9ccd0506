//! The bytes of snapshots of the head, and nothing else. All integers are
//! little-endian.
//!
//! ```text
//! part    = header frame* end
//!
//! header  0          8         10     11    12      16      24     28     32
//!         | KYMOSNAP | version | part | 0   | shard | seq   | 0    | crc  |
//!         | 8 bytes  | u16     | u8   | u8  | u32   | u64   | u32  | u32  |
//!
//! frame   0      4      8      9       12
//!         | len  | crc  | kind | 0     | body: len bytes |
//!         | u32  | u32  | u8   | 3 x 0 |                 |
//! ```
//!
//! The header's crc covers bytes 0..28; a frame's covers its `len` and everything
//! behind `crc`. The last frame is the end: it counts those before it. The bodies are
//! drawn in `docs/formats/head.md`.

use std::sync::Arc;

use super::page::{FilePlace, PageInfo};
use super::sealed::ChunkRef;
use super::shard::SavedRow;
use crate::codec::crc;
use crate::codec::open::{OpenChunk, STATE_BYTES};
use crate::fs::{AppendFile, Dir, FsError};
use crate::index::Row;
use crate::model::TimeRange;

/// Format version that is written, and the newest that is read. All before it are read,
/// too.
pub(super) const VERSION: u16 = 2;

const MAGIC: [u8; 8] = *b"KYMOSNAP";
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 12;
/// Frames are written together up to about this.
const BUFFER_BYTES: usize = 1 << 18;

/// Kinds of frames. A version that adds one raises [`VERSION`].
pub(super) mod kind {
    pub(in crate::metrics) const STATE: u8 = 1;
    pub(in crate::metrics) const TEXTS: u8 = 2;
    pub(in crate::metrics) const ROWS: u8 = 3;
    pub(in crate::metrics) const PAGES: u8 = 4;
    pub(in crate::metrics) const MEMORY_PAGE: u8 = 5;
    pub(in crate::metrics) const END: u8 = 6;
    /// Sections of other parts of the store have kinds from here on.
    pub(in crate::metrics) const FIRST_SECTION: u8 = 16;
    /// Of a shard: samples that came late.
    pub(in crate::metrics) const LATE: u8 = 16;
    /// Of a shard: deleted times.
    pub(in crate::metrics) const TOMBSTONES: u8 = 17;
    /// Of the store: exemplars.
    pub(in crate::metrics) const EXEMPLARS: u8 = 18;
    /// Of the store: metadata of metrics.
    pub(in crate::metrics) const METADATA: u8 = 19;
    /// Of a shard: histograms. Since version 2; there may be several.
    pub(in crate::metrics) const HISTOGRAMS: u8 = 20;
}

/// A part of a snapshot that belongs to somebody else: a kind from
/// [`kind::FIRST_SECTION`] on, and bytes.
pub(super) type Section = (u8, Vec<u8>);

/// Kinds of the sections that [`MetricStore::sections`](super::MetricStore) returns.
pub(super) const STORE_SECTIONS: &[u8] = &[kind::EXEMPLARS, kind::METADATA];

/// Which file of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The state of the store, and what belongs to the snapshot. Written last.
    Manifest,
    /// What all shards share.
    Store,
    Shard(usize),
}

impl Part {
    /// Returns the name of this part of snapshot `seq`.
    pub(super) fn name(self, seq: u64) -> String {
        match self {
            Part::Manifest => format!("{seq:08}.snap"),
            Part::Store => format!("{seq:08}-store.part"),
            Part::Shard(shard) => format!("{seq:08}-{shard:04}.part"),
        }
    }

    fn code(self) -> (u8, u32) {
        match self {
            Part::Manifest => (1, 0),
            Part::Store => (2, 0),
            Part::Shard(shard) => (3, shard as u32),
        }
    }
}

/// Returns the number of the snapshot that a file belongs to, if it is a part.
pub(super) fn seq_of(name: &str) -> Option<u64> {
    let stem = name
        .strip_suffix(".snap")
        .or_else(|| name.strip_suffix(".part"))?;
    stem.split('-').next()?.parse().ok()
}

/// Returns the number of the snapshot whose manifest has this name.
pub(super) fn manifest_seq(name: &str) -> Option<u64> {
    seq_of(name).filter(|&seq| Part::Manifest.name(seq) == name)
}

/// Writes a part.
pub(super) struct PartWriter {
    file: Arc<dyn AppendFile>,
    buffer: Vec<u8>,
    n_frames: u64,
    len_bytes: u64,
}

impl PartWriter {
    pub(super) fn create(
        dir: &dyn Dir,
        name: &str,
        part: Part,
        seq: u64,
    ) -> Result<PartWriter, FsError> {
        let mut buffer = vec![0; HEADER_BYTES];
        let (code, shard) = part.code();
        buffer[..8].copy_from_slice(&MAGIC);
        buffer[8..10].copy_from_slice(&VERSION.to_le_bytes());
        buffer[10] = code;
        buffer[12..16].copy_from_slice(&shard.to_le_bytes());
        buffer[16..24].copy_from_slice(&seq.to_le_bytes());
        let sum = crc::ieee(&[&buffer[..28]]);
        buffer[28..].copy_from_slice(&sum.to_le_bytes());
        Ok(PartWriter {
            file: dir.create(name)?,
            buffer,
            n_frames: 0,
            len_bytes: 0,
        })
    }

    /// Adds a frame whose body is `pieces`, one after the other.
    pub(super) fn frame(&mut self, kind: u8, pieces: &[&[u8]]) -> Result<(), FsError> {
        let start = self.buffer.len();
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.buffer.extend_from_slice(&(len as u32).to_le_bytes());
        self.buffer.extend_from_slice(&[0, 0, 0, 0, kind, 0, 0, 0]);
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
        }
        let frame = &mut self.buffer[start..];
        let sum = crc::ieee(&[&frame[..4], &frame[8..]]);
        frame[4..8].copy_from_slice(&sum.to_le_bytes());
        self.n_frames += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FsError> {
        self.file.append(&self.buffer)?;
        self.len_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the part, makes it durable and returns its length in bytes.
    pub(super) fn finish(mut self) -> Result<u64, FsError> {
        self.frame(kind::END, &[&self.n_frames.to_le_bytes()])?;
        self.flush()?;
        self.file.sync()?;
        Ok(self.len_bytes)
    }
}

/// Why a part is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where, in bytes.
    pub(super) offset: usize,
    pub(super) detail: String,
    /// The version, where it is newer than ours.
    pub(super) version: Option<u16>,
}

impl Fault {
    pub(super) fn new(offset: usize, detail: &str) -> Fault {
        Fault {
            offset,
            detail: detail.to_owned(),
            version: None,
        }
    }
}

/// A verified frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    /// Where the body stands in the part.
    pub(super) at: usize,
    pub(super) body: &'a [u8],
}

impl Frame<'_> {
    /// Returns the fault of a frame that is sound, but cannot be used.
    pub(super) fn fault(&self, detail: &str) -> Fault {
        Fault::new(self.at, detail)
    }
}

/// Verifies a part and returns its frames without the end.
pub(super) fn read_part(bytes: &[u8], part: Part, seq: u64) -> Result<Vec<Frame<'_>>, Fault> {
    check_header(bytes, part, seq)?;
    let mut frames = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let frame = read_frame(bytes, at)?;
        at = frame.at + frame.body.len();
        if frame.kind == kind::END {
            let n_frames = frame.body.first_chunk().map(|n| u64::from_le_bytes(*n));
            if n_frames != Some(frames.len() as u64) || at != bytes.len() {
                return Err(frame.fault("the end is not where it should be"));
            }
            return Ok(frames);
        }
        frames.push(frame);
    }
}

fn check_header(bytes: &[u8], part: Part, seq: u64) -> Result<(), Fault> {
    let header: &[u8; HEADER_BYTES] = bytes
        .first_chunk()
        .ok_or_else(|| Fault::new(0, "the file is cut short"))?;
    let sum = crc::ieee(&[&header[..28]]);
    if header[..8] != MAGIC || header[28..] != sum.to_le_bytes() {
        return Err(Fault::new(0, "the file header is not valid"));
    }
    let version = u16::from_le_bytes([header[8], header[9]]);
    if version == 0 || version > VERSION {
        let mut fault = Fault::new(8, &format!("the format version is {version}"));
        fault.version = Some(version);
        return Err(fault);
    }
    let (code, shard) = part.code();
    let expected = (code, shard.to_le_bytes(), seq.to_le_bytes());
    if (header[10], &header[12..16], &header[16..24])
        != (expected.0, &expected.1[..], &expected.2[..])
    {
        return Err(Fault::new(10, "the file belongs to another place"));
    }
    Ok(())
}

fn read_frame(bytes: &[u8], at: usize) -> Result<Frame<'_>, Fault> {
    let rest = bytes.get(at..).unwrap_or_default();
    let short = || Fault::new(at, "the frame is cut short");
    let header: &[u8; FRAME_HEADER_BYTES] = rest.first_chunk().ok_or_else(short)?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let frame = rest.get(..FRAME_HEADER_BYTES + len).ok_or_else(short)?;
    let sum = crc::ieee(&[&frame[..4], &frame[8..]]);
    if header[4..8] != sum.to_le_bytes() {
        return Err(Fault::new(at, "the checksum does not match"));
    }
    Ok(Frame {
        kind: header[8],
        at: at + FRAME_HEADER_BYTES,
        body: &frame[FRAME_HEADER_BYTES..],
    })
}

/// Takes little-endian integers off the front of a body.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn u32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*value))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.u64().map(|value| value as i64)
    }
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) seq: u64,
    pub(super) newest_ms: i64,
    pub(super) kept_from_ms: i64,
    pub(super) next_born: u32,
    pub(super) n_pairs: u32,
    pub(super) n_series: u64,
    /// Length of the store's part in bytes.
    pub(super) store_bytes: u64,
    pub(super) shards: Vec<ShardEntry>,
}

/// What a manifest says about a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShardEntry {
    /// The first segment of the log that is not in the snapshot.
    pub(super) position: u64,
    /// The head files that may be named are `first_file..next_file`.
    pub(super) first_file: u64,
    pub(super) next_file: u64,
    /// Length of the part in bytes.
    pub(super) len_bytes: u64,
}

impl Manifest {
    /// Returns the length of all parts in bytes, without the manifest.
    pub(super) fn len_bytes(&self) -> u64 {
        let shards = self.shards.iter().map(|shard| shard.len_bytes);
        shards.fold(self.store_bytes, u64::saturating_add)
    }

    /// Returns the body of the one frame of a manifest.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&self.newest_ms.to_le_bytes());
        body.extend_from_slice(&self.kept_from_ms.to_le_bytes());
        body.extend_from_slice(&self.next_born.to_le_bytes());
        body.extend_from_slice(&self.n_pairs.to_le_bytes());
        body.extend_from_slice(&self.n_series.to_le_bytes());
        body.extend_from_slice(&self.store_bytes.to_le_bytes());
        body.extend_from_slice(&(self.shards.len() as u32).to_le_bytes());
        for shard in &self.shards {
            let ShardEntry {
                position,
                first_file,
                next_file,
                len_bytes,
            } = shard;
            for field in [position, first_file, next_file, len_bytes] {
                body.extend_from_slice(&field.to_le_bytes());
            }
        }
        body
    }

    /// Reads the manifest of snapshot `seq`.
    pub(super) fn read(bytes: &[u8], seq: u64) -> Result<Manifest, Fault> {
        let frames = read_part(bytes, Part::Manifest, seq)?;
        let [frame] = frames[..] else {
            return Err(Fault::new(HEADER_BYTES, "a manifest is one frame"));
        };
        let manifest = Manifest::decode(frame, seq);
        manifest.ok_or_else(|| frame.fault("the manifest cannot be decoded"))
    }

    fn decode(frame: Frame<'_>, seq: u64) -> Option<Manifest> {
        if frame.kind != kind::STATE {
            return None;
        }
        let mut fields = Fields(frame.body);
        let mut manifest = Manifest {
            seq,
            newest_ms: fields.i64()?,
            kept_from_ms: fields.i64()?,
            next_born: fields.u32()?,
            n_pairs: fields.u32()?,
            n_series: fields.u64()?,
            store_bytes: fields.u64()?,
            shards: Vec::new(),
        };
        for _ in 0..fields.u32()? {
            manifest.shards.push(ShardEntry {
                position: fields.u64()?,
                first_file: fields.u64()?,
                next_file: fields.u64()?,
                len_bytes: fields.u64()?,
            });
        }
        fields.0.is_empty().then_some(manifest)
    }
}

/// Bytes of a row beside its labels and tokens.
pub(super) const ROW_BYTES: usize = 13 + STATE_BYTES;

/// Collects the rows of a frame.
#[derive(Debug, Default)]
pub(super) struct RowsEncoder {
    states: Vec<u8>,
    labels: Vec<u8>,
    tokens: Vec<u8>,
}

impl RowsEncoder {
    /// Adds a series with its labels.
    #[inline]
    pub(super) fn push(&mut self, row: &SavedRow<'_>, is_defined: bool, labels: Row<'_>) {
        for field in [row.slot, row.born, row.sealed.stored()] {
            self.states.extend_from_slice(&field.to_le_bytes());
        }
        self.states.push(u8::from(is_defined));
        self.states.extend_from_slice(&row.open.state());
        self.labels.extend_from_slice(labels.bytes());
        self.tokens.extend_from_slice(row.tokens);
    }

    /// Counts the rows.
    pub(super) fn len(&self) -> usize {
        self.states.len() / ROW_BYTES
    }

    /// Writes the frame and starts over.
    pub(super) fn finish(&mut self, part: &mut PartWriter) -> Result<(), FsError> {
        let n = (self.len() as u32).to_le_bytes();
        let labels_len = (self.labels.len() as u32).to_le_bytes();
        let pieces = [
            &n[..],
            &labels_len,
            &self.states,
            &self.labels,
            &self.tokens,
        ];
        part.frame(kind::ROWS, &pieces)?;
        self.states.clear();
        self.labels.clear();
        self.tokens.clear();
        Ok(())
    }
}

/// Returns how many rows a frame says it has, at most as many as it has room for.
pub(super) fn n_rows(body: &[u8]) -> usize {
    let n = Fields(body).u32().unwrap_or(0) as usize;
    n.min(body.len() / ROW_BYTES)
}

/// Calls `each` for the rows of a frame: the series, whether the log defined it, and
/// its labels, whose pairs are all below `n_pairs`. `None` when the frame is no such
/// frame or `each` refuses.
pub(super) fn decode_rows<'a>(
    body: &'a [u8],
    n_pairs: u32,
    mut each: impl FnMut(SavedRow<'a>, bool, Row<'a>) -> bool,
) -> Option<()> {
    let mut fields = Fields(body);
    let n = fields.u32()? as usize;
    let labels_len = fields.u32()? as usize;
    let (states, rest) = body[8..].split_at_checked(n.checked_mul(ROW_BYTES)?)?;
    let (mut labels, mut tokens) = rest.split_at_checked(labels_len)?;
    for state in states.chunks_exact(ROW_BYTES) {
        let mut fields = Fields(state);
        let (slot, born) = (fields.u32()?, fields.u32()?);
        let sealed = ChunkRef::from_stored(fields.u32()?);
        let is_defined = state[12] != 0;
        let open = OpenChunk::from_state(state[13..].first_chunk()?, tokens)?;
        let row = Row::parse(labels, n_pairs)?;
        labels = &labels[row.bytes().len()..];
        let (own, rest) = tokens.split_at(usize::from(open.len_bytes));
        tokens = rest;
        let saved = SavedRow {
            slot,
            born,
            sealed,
            open,
            tokens: own,
        };
        if !each(saved, is_defined, row) {
            return None;
        }
    }
    (labels.is_empty() && tokens.is_empty()).then_some(())
}

/// Appends an entry of the table of stored pages.
pub(super) fn encode_page(number: usize, info: &PageInfo, place: FilePlace, out: &mut Vec<u8>) {
    out.extend_from_slice(&(number as u32).to_le_bytes());
    encode_page_info(info, out);
    out.extend_from_slice(&place.slot.to_le_bytes());
    out.extend_from_slice(&place.file.to_le_bytes());
}

/// Reads the table of stored pages.
pub(super) fn decode_pages(body: &[u8]) -> Option<Vec<(usize, PageInfo, FilePlace)>> {
    let mut fields = Fields(body);
    let mut pages = Vec::new();
    while !fields.0.is_empty() {
        let number = fields.u32()? as usize;
        let info = decode_page_info(&mut fields)?;
        let (slot, file) = (fields.u32()?, fields.u64()?);
        pages.push((number, info, FilePlace { file, slot }));
    }
    Some(pages)
}

/// Appends what is known of a page.
pub(super) fn encode_page_info(info: &PageInfo, out: &mut Vec<u8>) {
    for field in [info.serial, info.len, info.n_chunks] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&info.range.start_ms.to_le_bytes());
    out.extend_from_slice(&info.range.end_ms.to_le_bytes());
}

/// Reads what is known of a page.
pub(super) fn decode_page_info(fields: &mut Fields<'_>) -> Option<PageInfo> {
    Some(PageInfo {
        serial: fields.u32()?,
        len: fields.u32()?,
        n_chunks: fields.u32()?,
        range: TimeRange::new(fields.i64()?, fields.i64()?),
        place: None,
    })
}
