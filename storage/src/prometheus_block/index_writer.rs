//! Writes an index; its bytes are drawn in [`super::index`].
//!
//! The symbols stand in front of the series and are known only behind the last one.
//! So series go to a draft file first, with symbols numbered as they came up:
//!
//! ```text
//! draft   n x (n labels uvarint | n x (name uvarint, value uvarint)
//!              | length uvarint, the chunks as in the index)
//! ```
//!
//! At the end the draft is read once for the series and then for the postings, for as
//! many names at a time as need no more memory than one number for each series does.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::index::{FILE, MAGIC, VERSION};
use super::output::Output;
use super::scan::Scan;
use super::series_entry::{ALIGN_BYTES, ChunkMeta, write_chunks};
use super::{PrometheusBlockError, Result};
use crate::codec::varint::write_u64;
use crate::fs::{Dir, FileMap};

const DRAFT: &str = "index.draft";

/// Collects series and writes the index at the end.
#[derive(Debug)]
pub(super) struct IndexWriter {
    dir: Arc<dyn Dir>,
    draft: Output,
    /// Symbols and their numbers in the draft.
    symbols: HashMap<Box<str>, u32>,
    n_series: u64,
    scratch: Vec<u8>,
    chunks: Vec<u8>,
}

impl IndexWriter {
    pub(super) fn create(dir: &Arc<dyn Dir>) -> Result<IndexWriter> {
        Ok(IndexWriter {
            dir: dir.clone(),
            draft: Output::create(dir.as_ref(), DRAFT)?,
            symbols: HashMap::new(),
            n_series: 0,
            scratch: Vec::new(),
            chunks: Vec::new(),
        })
    }

    pub(super) fn n_series(&self) -> u64 {
        self.n_series
    }

    /// Adds the next series in order of labels.
    pub(super) fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        chunks: &[ChunkMeta],
    ) -> Result<()> {
        let mut entry = std::mem::take(&mut self.scratch);
        entry.clear();
        write_u64(&mut entry, labels.clone().count() as u64);
        for (name, value) in labels {
            write_u64(&mut entry, self.symbol(name)?.into());
            write_u64(&mut entry, self.symbol(value)?.into());
        }
        self.chunks.clear();
        write_chunks(chunks, &mut self.chunks);
        write_u64(&mut entry, self.chunks.len() as u64);
        self.draft.write(&entry)?;
        self.draft.write(&self.chunks)?;
        self.scratch = entry;
        self.n_series += 1;
        Ok(())
    }

    fn symbol(&mut self, text: &str) -> Result<u32> {
        if let Some(&number) = self.symbols.get(text) {
            return Ok(number);
        }
        let number = u32::try_from(self.symbols.len())
            .map_err(|_| too_large(self.dir.as_ref(), "the symbol table"))?;
        self.symbols.insert(text.into(), number);
        Ok(number)
    }

    /// Writes the index and removes the draft; returns the length of the index.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.draft.flush()?;
        let len_bytes = self.draft.position();
        let draft = Draft {
            path: self.dir.path().join(DRAFT),
            map: self.dir.map(DRAFT, 0..len_bytes)?,
        };
        let mut symbols: Vec<(Box<str>, u32)> = self.symbols.drain().collect();
        symbols.sort_unstable();
        let mut ranks = vec![0; symbols.len()];
        for (rank, (_, number)) in symbols.iter().enumerate() {
            ranks[*number as usize] = rank as u32;
        }
        let mut file = Finish {
            dir: self.dir.as_ref(),
            out: Output::create(self.dir.as_ref(), FILE)?,
            symbols: symbols.into_iter().map(|(text, _)| text).collect(),
            ranks,
            numbers: Vec::new(),
            uses: Vec::new(),
            all_at: 0,
            table: Vec::new(),
            list: Vec::new(),
        };
        file.out.write(&MAGIC.to_be_bytes())?;
        file.out.write(&[VERSION])?;
        let symbols_at = file.out.position();
        file.write_symbols()?;
        let series_at = file.out.position();
        file.write_series(&draft)?;
        let postings_at = file.out.position();
        file.write_postings(&draft)?;
        let table_at = file.out.position();
        file.write_table()?;
        // The two old sections would stand before the postings and before the table.
        for offset in [
            symbols_at,
            series_at,
            postings_at,
            table_at,
            postings_at,
            table_at,
        ] {
            file.out.write_summed(&offset.to_be_bytes())?;
        }
        file.out.end_section()?;
        let len_bytes = file.out.finish()?;
        drop(draft);
        self.dir.remove(DRAFT)?;
        Ok(len_bytes)
    }
}

fn too_large(dir: &dyn Dir, what: &'static str) -> PrometheusBlockError {
    PrometheusBlockError::TooLarge {
        what,
        path: dir.path().to_path_buf(),
        limit: "4 GiB for a section, 64 GiB for the index",
    }
}

/// The draft, complete.
struct Draft {
    path: PathBuf,
    map: FileMap,
}

impl Draft {
    /// Hands out the labels, as numbers of the draft, and the chunks of each series.
    fn each(&self, mut series: impl FnMut(&[(u32, u32)], &[u8]) -> Result<()>) -> Result<()> {
        let mut scan = Scan::at(&self.path, &self.map, 0)?;
        let mut labels = Vec::new();
        while !scan.is_at_end() {
            labels.clear();
            for _ in 0..scan.count("number of labels")? {
                let name = scan.uvarint("symbol of a label's name")? as u32;
                labels.push((name, scan.uvarint("symbol of a label's value")? as u32));
            }
            let len = scan.count("length of the chunks")?;
            series(&labels, scan.take(len, "chunks")?)?;
        }
        Ok(())
    }
}

/// The index while it is written.
struct Finish<'a> {
    dir: &'a dyn Dir,
    out: Output,
    /// Sorted.
    symbols: Vec<Box<str>>,
    /// Places in `symbols` by number in the draft.
    ranks: Vec<u32>,
    /// Numbers of the series in the index.
    numbers: Vec<u32>,
    /// How many series have a symbol as a label's name, by place in `symbols`.
    uses: Vec<u32>,
    /// Where the list of all series stands.
    all_at: u64,
    /// Name, value and offset of each other list of postings.
    table: Vec<(u32, u32, u64)>,
    list: Vec<u8>,
}

impl Finish<'_> {
    fn write_symbols(&mut self) -> Result<()> {
        let mut entry = Vec::new();
        let texts = self.symbols.iter();
        let len: u64 = texts.map(|text| text_len(text.len())).sum();
        let len = u32::try_from(4 + len).map_err(|_| too_large(self.dir, "the symbol table"))?;
        self.out.write(&len.to_be_bytes())?;
        self.out
            .write_summed(&(self.symbols.len() as u32).to_be_bytes())?;
        for text in &self.symbols {
            entry.clear();
            write_text(&mut entry, text);
            self.out.write_summed(&entry)?;
        }
        self.out.end_section()
    }

    fn write_series(&mut self, draft: &Draft) -> Result<()> {
        self.uses = vec![0; self.symbols.len()];
        let (mut len, mut body) = (Vec::new(), Vec::new());
        draft.each(|labels, chunks| {
            self.out.pad(ALIGN_BYTES)?;
            let number = u32::try_from(self.out.position() / ALIGN_BYTES)
                .map_err(|_| too_large(self.dir, "the index"))?;
            self.numbers.push(number);
            body.clear();
            write_u64(&mut body, labels.len() as u64);
            for &(name, value) in labels {
                let name = self.ranks[name as usize];
                self.uses[name as usize] += 1;
                write_u64(&mut body, name.into());
                write_u64(&mut body, self.ranks[value as usize].into());
            }
            body.extend_from_slice(chunks);
            len.clear();
            write_u64(&mut len, body.len() as u64);
            self.out.write(&len)?;
            self.out.write_summed(&body)?;
            self.out.end_section()
        })
    }

    fn write_postings(&mut self, draft: &Draft) -> Result<()> {
        self.out.pad(4)?;
        let all = std::mem::take(&mut self.numbers);
        self.all_at = self.out.position();
        self.write_list(all.iter().copied())?;
        let mut postings: Vec<(u32, u32, u32)> = Vec::new();
        let mut from = 0;
        while from < self.uses.len() {
            let to = self.end_of_batch(from, all.len() as u64);
            postings.clear();
            if self.uses[from..to].iter().any(|&uses| uses > 0) {
                let mut numbers = all.iter();
                draft.each(|labels, _| {
                    let number = numbers.next().copied().unwrap_or(u32::MAX);
                    for &(name, value) in labels {
                        let name = self.ranks[name as usize];
                        if (from..to).contains(&(name as usize)) {
                            postings.push((name, self.ranks[value as usize], number));
                        }
                    }
                    Ok(())
                })?;
            }
            postings.sort_unstable();
            for list in postings.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
                self.out.pad(4)?;
                self.table.push((list[0].0, list[0].1, self.out.position()));
                self.write_list(list.iter().map(|entry| entry.2))?;
            }
            from = to;
        }
        Ok(())
    }

    /// Returns behind which symbol the names that are used `limit` times end; always
    /// behind `from`.
    fn end_of_batch(&self, from: usize, limit: u64) -> usize {
        let mut sum = 0;
        let fits = |uses: &&u32| {
            sum += u64::from(**uses);
            sum <= limit
        };
        from + self.uses[from..].iter().take_while(fits).count().max(1)
    }

    fn write_table(&mut self) -> Result<()> {
        let symbol = |number: u32| self.symbols[number as usize].as_ref();
        let lists = self.table.iter();
        let entries = std::iter::once(("", "", self.all_at))
            .chain(lists.map(|&(name, value, at)| (symbol(name), symbol(value), at)));
        let len: u64 = entries
            .clone()
            .map(|(name, value, at)| {
                1 + text_len(name.len()) + text_len(value.len()) + varint_len(at)
            })
            .sum();
        let len = u32::try_from(4 + len).map_err(|_| too_large(self.dir, "the postings table"))?;
        self.out.write(&len.to_be_bytes())?;
        self.out
            .write_summed(&(self.table.len() as u32 + 1).to_be_bytes())?;
        let mut bytes = Vec::new();
        for (name, value, at) in entries {
            bytes.clear();
            write_u64(&mut bytes, 2);
            write_text(&mut bytes, name);
            write_text(&mut bytes, value);
            write_u64(&mut bytes, at);
            self.out.write_summed(&bytes)?;
        }
        self.out.end_section()
    }

    fn write_list(&mut self, numbers: impl ExactSizeIterator<Item = u32>) -> Result<()> {
        let len = 4 * (numbers.len() as u64 + 1);
        let len = u32::try_from(len).map_err(|_| too_large(self.dir, "a list of series"))?;
        self.out.write(&len.to_be_bytes())?;
        self.list.clear();
        self.list
            .extend_from_slice(&(numbers.len() as u32).to_be_bytes());
        for number in numbers {
            self.list.extend_from_slice(&number.to_be_bytes());
        }
        self.out.write_summed(&self.list)?;
        self.out.end_section()
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Returns how many bytes [`write_text`] appends for a text of `len` bytes.
fn text_len(len: usize) -> u64 {
    varint_len(len as u64) + len as u64
}

fn varint_len(value: u64) -> u64 {
    (64 - (value | 1).leading_zeros()).div_ceil(7).into()
}
