//! Where things are in the index, and how the two big files begin.
//!
//! ```text
//! index   = header 80 | sections, each at a multiple of 8 | table of contents
//! header  = magic 8 | version u32 | number of sections u32 | ulid u128
//!         | min time i64 | end time i64 | series u64 | samples u64 | chunks u64 | data bytes u64
//! table   = for each section: offset u64 | length u64
//! data    = header 32 | chunks
//! header  = magic 8 | version u32 | 0 u32 | ulid u128
//! ```
//!
//! Both are files of `grouped`, whose footer holds the place of the table of contents.
//! The sections are those of [`Section`], in that order.

use std::ops::Range;

use super::grouped::GroupReader;
use super::{BlockError, BlockMeta, Ulid, fixed};

/// Name of the file with the index.
pub(super) const INDEX_FILE: &str = "index";

/// Name of the file with the values.
pub(super) const DATA_FILE: &str = "data";

/// Bytes under one checksum. The index is asked for a few bytes here and there.
pub(super) const INDEX_GROUP_BYTES: usize = 1 << 14;
pub(super) const DATA_GROUP_BYTES: usize = 1 << 16;

const INDEX_MAGIC: &[u8; 8] = b"KYMOBLKI";
const DATA_MAGIC: &[u8; 8] = b"KYMOBLKD";
const VERSION: u32 = 1;
/// Of an index that speaks of histograms. Whoever reads it reads version 1, too.
const VERSION_WITH_HISTOGRAMS: u32 = 2;

const INDEX_HEADER_BYTES: usize = 80;
const DATA_HEADER_BYTES: usize = 32;

/// The parts of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// Names of labels, sorted, and how many values each has.
    Names,
    /// Texts of all values, by name, then sorted.
    Texts,
    /// Where each text ends.
    TextEnds,
    /// A transducer from value to number for each name with many values.
    Transducers,
    /// Sets of names, and how wide the values of each are.
    Shapes,
    /// Of each series: shape, and where its labels and chunks are.
    Series,
    /// Numbers of the values of each series.
    Labels,
    /// Shared timestamps.
    Vectors,
    /// Where each vector ends.
    VectorEnds,
    /// Chunks of each series.
    Chunks,
    /// Series of each value.
    Postings,
    /// Where each list of series ends.
    PostingEnds,
    /// Figures about names.
    Stats,
}

/// All sections, in their order.
#[cfg(any(test, feature = "internals"))]
pub(super) const SECTIONS: [Section; N_SECTIONS] = [
    Section::Names,
    Section::Texts,
    Section::TextEnds,
    Section::Transducers,
    Section::Shapes,
    Section::Series,
    Section::Labels,
    Section::Vectors,
    Section::VectorEnds,
    Section::Chunks,
    Section::Postings,
    Section::PostingEnds,
    Section::Stats,
];

/// Number of sections.
pub(super) const N_SECTIONS: usize = Section::Stats as usize + 1;

/// Returns the header of an index.
pub(super) fn index_header(meta: &BlockMeta) -> Vec<u8> {
    let version = match meta.n_histograms {
        0 => VERSION,
        _ => VERSION_WITH_HISTOGRAMS,
    };
    let mut out = header(INDEX_MAGIC, version, N_SECTIONS as u32, meta.ulid);
    for word in [meta.min_t_ms, meta.max_t_ms] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for word in [
        meta.n_series,
        meta.n_samples,
        meta.n_chunks,
        meta.bytes_data,
    ] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out
}

/// Returns the header of a data file.
pub(super) fn data_header(ulid: Ulid) -> Vec<u8> {
    header(DATA_MAGIC, VERSION, 0, ulid)
}

fn header(magic: &[u8; 8], version: u32, word: u32, ulid: Ulid) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&word.to_le_bytes());
    out.extend_from_slice(&ulid.bits().to_le_bytes());
    out
}

/// Checks the header of a data file.
pub(super) fn check_data_header(file: &GroupReader, ulid: Ulid) -> Result<(), BlockError> {
    let found = file.get(0..DATA_HEADER_BYTES.min(file.len()))?;
    check_header(file, found, &data_header(ulid))
}

/// Checks the header of an index against what the block should be, and returns where its
/// sections are.
pub(super) fn open_index(
    file: &GroupReader,
    meta: &BlockMeta,
) -> Result<[Range<usize>; N_SECTIONS], BlockError> {
    let found = file.get(0..INDEX_HEADER_BYTES.min(file.len()))?;
    check_header(file, found, &index_header(meta))?;
    let toc_at = usize::try_from(file.word()).unwrap_or(usize::MAX);
    let toc_end = toc_at.saturating_add(16 * N_SECTIONS);
    let toc = file.get(toc_at..toc_end)?;
    let mut sections = [const { 0..0 }; N_SECTIONS];
    for (section, entry) in sections.iter_mut().zip(toc.chunks_exact(16)) {
        let (start, len) = entry.split_at(8);
        let start = usize::try_from(fixed::read(start)).unwrap_or(usize::MAX);
        let len = usize::try_from(fixed::read(len)).unwrap_or(usize::MAX);
        let end = start.checked_add(len).filter(|&end| end <= toc_at);
        let end = end.ok_or_else(|| {
            file.corrupt(
                toc_at,
                "a section does not lie before the table of contents",
            )
        })?;
        *section = start..end;
    }
    Ok(sections)
}

fn check_header(file: &GroupReader, found: &[u8], expected: &[u8]) -> Result<(), BlockError> {
    if found == expected {
        return Ok(());
    }
    if found.get(..8) != expected.get(..8) {
        return Err(file.corrupt(0, "it does not begin as such a file does"));
    }
    match found.get(8..12).map(|version| fixed::read(version) as u32) {
        Some(version) if version > VERSION_WITH_HISTOGRAMS => Err(BlockError::Version {
            path: file.path().to_path_buf(),
            found: version,
            supported: VERSION_WITH_HISTOGRAMS,
        }),
        _ => Err(file.corrupt(8, "its header and meta.json speak of different blocks")),
    }
}
