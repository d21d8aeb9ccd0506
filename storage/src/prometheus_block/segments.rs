//! Chunk files, read in place.
//!
//! ```text
//! | magic 85BD40DD | version 1 | 0 0 0 | chunk | chunk | ...
//! chunk  | length uvarint | encoding u8 | payload | CRC-32C of encoding and payload |
//! ```
//!
//! A reference is the number of the file, from 0, in the high half, and the offset of
//! the length field in the low half. The length counts the payload only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::scan::Scan;
use super::{PrometheusBlockError, Result};
use crate::fs::{Dir, FileMap};

pub(super) const DIR: &str = "chunks";
pub(super) const MAGIC: u32 = 0x85bd_40dd;
pub(super) const VERSION: u8 = 1;
pub(super) const HEADER_BYTES: usize = 8;

/// The chunk files of a block.
#[derive(Debug)]
pub(super) struct Segments {
    files: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    map: FileMap,
}

/// A chunk whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawChunk<'a> {
    pub(super) encoding: u8,
    pub(super) payload: &'a [u8],
    /// The reference behind it, where the next chunk may stand.
    pub(super) end: u64,
}

impl Segments {
    pub(super) fn open(block: &dyn Dir) -> Result<Segments> {
        if !block.dirs()?.iter().any(|name| name == DIR) {
            return Err(PrometheusBlockError::NotABlock {
                path: block.path().to_path_buf(),
                detail: format!("it has no directory {DIR}"),
            });
        }
        let dir = block.subdir(DIR)?;
        let names = dir.files()?;
        // Other names are passed over, as Prometheus does.
        let numbered = names.iter().filter(|name| name.parse::<u64>().is_ok());
        let files = numbered.map(|name| Segment::open(&dir, name));
        Ok(Segments {
            files: files.collect::<Result<_>>()?,
        })
    }

    /// Tells whether there is a file for a reference.
    pub(super) fn has_file(&self, reference: u64) -> bool {
        (reference >> 32) < self.files.len() as u64
    }

    /// Returns the file and the offset of a reference, for messages.
    pub(super) fn place(&self, reference: u64) -> (&Path, u64) {
        let path = match self.files.get((reference >> 32) as usize) {
            Some(segment) => &segment.path,
            None => Path::new(DIR),
        };
        (path, reference & u64::from(u32::MAX))
    }

    /// Returns the chunk at a reference.
    pub(super) fn chunk(&self, reference: u64) -> Result<RawChunk<'_>> {
        let (path, offset) = self.place(reference);
        let Some(segment) = self.files.get((reference >> 32) as usize) else {
            return Err(PrometheusBlockError::corrupt(
                path,
                offset,
                format!("there is no chunk file {}", (reference >> 32) + 1),
            ));
        };
        if offset < HEADER_BYTES as u64 {
            return Err(PrometheusBlockError::corrupt(
                path,
                offset,
                "the index puts a chunk into the header",
            ));
        }
        let mut scan = Scan::at(&segment.path, &segment.map, offset)?;
        let len = scan.count("length of a chunk")?;
        // Less than the file, so the encoding can be added.
        let mut content = scan.checked(len + 1, true, "a chunk")?;
        Ok(RawChunk {
            encoding: content.byte("encoding of a chunk")?,
            payload: content.take(len, "a chunk")?,
            end: (reference >> 32) << 32 | scan.offset() as u64,
        })
    }
}

impl Segment {
    fn open(dir: &Arc<dyn Dir>, name: &str) -> Result<Segment> {
        let path = dir.path().join(name);
        let len_bytes = dir.len_bytes(name)?;
        let map = dir.map(name, 0..len_bytes)?;
        let mut scan = Scan::at(&path, &map, 0)?;
        let magic = scan.be32("magic of a chunk file")?;
        if magic != MAGIC {
            return Err(PrometheusBlockError::corrupt(
                &path,
                0,
                format!("{magic:08x} is not the magic of a chunk file, {MAGIC:08x}"),
            ));
        }
        let version = scan.byte("version of a chunk file")?;
        if version != VERSION {
            return Err(PrometheusBlockError::Version {
                path,
                detail: format!("the chunk file has version {version}, version {VERSION} is read"),
            });
        }
        scan.take(HEADER_BYTES - 5, "header of a chunk file")?;
        Ok(Segment { path, map })
    }
}
