//! The index of a block, version 2, read in place.
//!
//! ```text
//! | magic BAAAD700 | version 2 | symbols | series | ... | postings | table | contents |
//!
//! symbols    length u32 | n u32 | n x (length uvarint, bytes) | CRC     sorted
//! series     see super::series_entry
//! postings   length u32 | n u32 | n x number of a series u32 | CRC      for each label
//! table      length u32 | n u32 | n x entry | CRC                       sorted
//! entry      2 | length uvarint, name | length uvarint, value | offset of postings uvarint
//! contents   six offsets u64: symbols, series, two old sections, postings, table | CRC
//! ```
//!
//! Postings of the empty name and value list all series, in the order of their labels.
//! They are the only ones that are read: nobody looks for single series here.

use std::path::PathBuf;

use super::scan::Scan;
use super::series_entry::{ALIGN_BYTES, ChunkMeta, read_chunks, read_labels};
use super::{PrometheusBlockError, Result};
use crate::fs::{Dir, FileMap};

pub(super) const FILE: &str = "index";
pub(super) const MAGIC: u32 = 0xbaaa_d700;
pub(super) const VERSION: u8 = 2;
pub(super) const CONTENTS_BYTES: u64 = 6 * 8 + 4;

/// Of so many symbols one is remembered; the others are found by walking on from it.
const STRIDE: usize = 8;

/// An open index.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    map: FileMap,
    symbols: Symbols,
    /// Where the numbers of all series stand.
    all_from: usize,
    n_series: usize,
}

/// Where symbols stand in the file.
#[derive(Debug)]
struct Symbols {
    from: usize,
    to: usize,
    n: usize,
    /// Offsets of every [`STRIDE`]th symbol, from `from` on.
    sampled: Vec<u32>,
}

impl Index {
    /// Opens the index of a block; checks the sections that are read, but no series.
    pub(super) fn open(dir: &dyn Dir) -> Result<Index> {
        let path = dir.path().join(FILE);
        let len_bytes = dir.len_bytes(FILE).map_err(|error| {
            if error.is_not_found() {
                PrometheusBlockError::NotABlock {
                    path: dir.path().to_path_buf(),
                    detail: format!("it has no {FILE}"),
                }
            } else {
                error.into()
            }
        })?;
        let map = dir.map(FILE, 0..len_bytes)?;
        let mut header = Scan::at(&path, &map, 0)?;
        let magic = header.be32("magic of the index")?;
        if magic != MAGIC {
            return Err(PrometheusBlockError::corrupt(
                &path,
                0,
                format!("{magic:08x} is not the magic of an index, {MAGIC:08x}"),
            ));
        }
        let version = header.byte("version of the index")?;
        if version != VERSION {
            let who = match version {
                1 => "as the first releases of Prometheus 2 wrote it",
                _ => "which no release of Prometheus up to 3.9 writes",
            };
            return Err(PrometheusBlockError::Version {
                path,
                detail: format!(
                    "the index has version {version}, {who}; version {VERSION} is read; let a Prometheus that reads it compact the block"
                ),
            });
        }
        let contents_at = len_bytes.saturating_sub(CONTENTS_BYTES);
        let mut contents = Scan::at(&path, &map, contents_at)?.checked(
            CONTENTS_BYTES as usize - 4,
            true,
            "the table of contents",
        )?;
        let mut offset = || contents.be64("the table of contents");
        let (symbols_at, _series, _, _, _postings) =
            (offset()?, offset()?, offset()?, offset()?, offset()?);
        let table_at = offset()?;
        let symbols = Symbols::open(Scan::section(&path, &map, symbols_at, "the symbol table")?)?;
        let table = Scan::section(&path, &map, table_at, "the postings table")?;
        let (all_from, n_series) = match find_all_series(table)? {
            None => (0, 0),
            Some(at) => {
                let mut list = Scan::section(&path, &map, at, "the list of all series")?;
                let n = list.be32("number of series")? as usize;
                let from = list.offset();
                list.take(n.saturating_mul(4), "the list of all series")?;
                (from, n)
            }
        };
        Ok(Index {
            path,
            symbols,
            all_from,
            n_series,
            map,
        })
    }

    pub(super) fn n_series(&self) -> usize {
        self.n_series
    }

    /// Returns the number that tombstones have for a series.
    pub(super) fn number(&self, series: usize) -> Result<u32> {
        let at = self.all_from as u64 + 4 * series as u64;
        Scan::at(&self.path, &self.map, at)?.be32("number of a series")
    }

    /// Reads a series, of which there are [`Index::n_series`]. `verify` is for the first
    /// reading: it checks the checksum.
    pub(super) fn series<'a>(
        &'a self,
        series: usize,
        verify: bool,
        labels: &mut Vec<(&'a str, &'a str)>,
        chunks: impl FnMut(ChunkMeta) -> Result<()>,
    ) -> Result<()> {
        labels.clear();
        let at = u64::from(self.number(series)?) * ALIGN_BYTES;
        let mut scan = Scan::at(&self.path, &self.map, at)?;
        let len = scan.count("length of a series")?;
        let mut body = scan.checked(len, verify, "a series")?;
        read_labels(&mut body, |name, value| {
            labels.push((self.symbol(name)?, self.symbol(value)?));
            Ok(())
        })?;
        read_chunks(&mut body, chunks)
    }

    /// Returns an error at the entry of a series.
    pub(super) fn error_at(
        &self,
        series: usize,
        detail: impl Into<String>,
    ) -> PrometheusBlockError {
        let number = self.number(series).unwrap_or(0);
        PrometheusBlockError::corrupt(&self.path, u64::from(number) * ALIGN_BYTES, detail)
    }

    fn symbol(&self, number: u64) -> Result<&str> {
        let symbols = &self.symbols;
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let sampled = symbols.sampled.get(number / STRIDE);
        let Some(&offset) = sampled.filter(|_| number < symbols.n) else {
            return Err(PrometheusBlockError::corrupt(
                &self.path,
                symbols.from as u64,
                format!("symbol {number} is asked for, there are {}", symbols.n),
            ));
        };
        let at = symbols.from as u64 + u64::from(offset);
        let mut scan = Scan::at(&self.path, &self.map[..symbols.to], at)?;
        for _ in 0..number % STRIDE {
            let len = scan.count("length of a symbol")?;
            scan.take(len, "symbol")?;
        }
        let len = scan.count("length of a symbol")?;
        let text = scan.take(len, "symbol")?;
        std::str::from_utf8(text).map_err(|_| {
            scan.error(format!(
                "the symbol before this byte, {:?}, is not UTF-8",
                String::from_utf8_lossy(text)
            ))
        })
    }
}

impl Symbols {
    fn open(mut section: Scan<'_>) -> Result<Symbols> {
        let n = section.be32("number of symbols")? as usize;
        let from = section.offset();
        let mut sampled = Vec::new();
        for number in 0..n {
            if number % STRIDE == 0 {
                // A section has less than 4 GiB.
                sampled.push((section.offset() - from) as u32);
            }
            let len = section.count("length of a symbol")?;
            section.take(len, "symbol")?;
        }
        Ok(Symbols {
            from,
            to: section.offset(),
            n,
            sampled,
        })
    }
}

/// Returns where the list of all series stands; it is the first one in the table.
fn find_all_series(mut table: Scan<'_>) -> Result<Option<u64>> {
    let n = table.be32("number of postings")?;
    for _ in 0..n {
        let n_keys = table.uvarint("number of keys")?;
        if n_keys != 2 {
            return Err(table.error(format!(
                "an entry of the postings table has {n_keys} keys, not 2"
            )));
        }
        let len = table.count("length of a label's name")?;
        let name = table.take(len, "name of a label")?;
        let len = table.count("length of a label's value")?;
        let value = table.take(len, "value of a label")?;
        let at = table.uvarint("offset of postings")?;
        if name.is_empty() && value.is_empty() {
            return Ok(Some(at));
        }
    }
    if n == 0 {
        return Ok(None);
    }
    Err(table.error("the postings table does not list all series"))
}
