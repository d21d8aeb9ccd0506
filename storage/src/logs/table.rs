//! Entries in memory: what was pushed since the last flush.
//!
//! A table is a list of blocks, each a flat run of bytes with a row for every entry, in
//! order of arrival. Only the last block grows. Readers take the blocks as they are: a
//! block that a reader holds is copied before it grows, so what was taken never changes.
//!
//! Equal entries of a stream count once: a table finds the one it has by a hash of stream,
//! time and content.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::spare::Spare;
use crate::wal::EntryRow;

/// A block that has so many bytes grows no more.
pub(super) const BLOCK_BYTES: usize = 1 << 20;
/// Room for the last frame of a block.
const RESERVED_BYTES: usize = BLOCK_BYTES + BLOCK_BYTES / 4;

/// The memory of a block.
#[derive(Debug, Default)]
pub(super) struct BlockMemory {
    pub(super) rows: Vec<EntryRow>,
    pub(super) bytes: Vec<u8>,
}

impl BlockMemory {
    /// Returns the bytes that it takes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity() + self.rows.capacity() * size_of::<EntryRow>()
    }
}

/// A run of entries in order of arrival.
#[derive(Debug)]
pub(super) struct Block {
    /// Deletions up to this number were asked for before the entries came.
    pub(super) born: u64,
    /// Entries of the table in front of this block.
    first_row: u32,
    rows: Vec<EntryRow>,
    bytes: Vec<u8>,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) line_bytes: u64,
    /// Where its memory comes from and goes to.
    spare: Arc<Spare>,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.spare.give_block(BlockMemory {
            rows: std::mem::take(&mut self.rows),
            bytes: std::mem::take(&mut self.bytes),
        });
    }
}

impl Clone for Block {
    /// Copies what will grow on: with the room that the original has.
    fn clone(&self) -> Block {
        let mut block = Block::new(self.born, self.first_row, &self.spare);
        block.rows.extend_from_slice(&self.rows);
        block.bytes.extend_from_slice(&self.bytes);
        block.first_ns = self.first_ns;
        block.last_ns = self.last_ns;
        block.line_bytes = self.line_bytes;
        block
    }
}

impl Block {
    fn new(born: u64, first_row: u32, spare: &Arc<Spare>) -> Block {
        let BlockMemory { rows, mut bytes } = spare.take_block();
        bytes.reserve_exact(RESERVED_BYTES);
        Block {
            born,
            first_row,
            rows,
            bytes,
            first_ns: i64::MAX,
            last_ns: i64::MIN,
            line_bytes: 0,
            spare: Arc::clone(spare),
        }
    }

    /// Returns the rows; their streams are ids of the index.
    pub(super) fn rows(&self) -> &[EntryRow] {
        &self.rows
    }

    /// Returns the bytes that the rows point into.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.rows.capacity() * size_of::<EntryRow>()
    }
}

/// What a table has of one stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) entries: u64,
    /// Bytes of lines and metadata.
    pub(super) bytes: u64,
}

/// Finds the entry of a table that has a hash.
#[derive(Debug, Clone, Copy)]
struct Known {
    hash: u32,
    row: u32,
}

/// What became of the entries of a frame.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Appended {
    pub(super) entries: u64,
    /// Bytes of lines and metadata of these.
    pub(super) bytes: u64,
    /// Entries that were equal to one that is there.
    pub(super) duplicates: u64,
}

/// Entries by block and stream; see the module's text.
#[derive(Debug, Default)]
pub(super) struct Table {
    sealed: Vec<Arc<Block>>,
    active: Option<Arc<Block>>,
    spans: HashMap<u32, Span, RandomState>,
    known: HashTable<Known>,
    hasher: RandomState,
    n_rows: u32,
    born: u64,
    sealed_bytes: usize,
    spare: Arc<Spare>,
}

impl Table {
    /// Returns a table whose entries come after the deletion number `born`, with memory that
    /// others left.
    pub(super) fn new(born: u64, spare: Arc<Spare>) -> Table {
        Table {
            born,
            spare,
            ..Table::default()
        }
    }

    /// Returns the memory that tables share.
    pub(super) fn spare(&self) -> &Arc<Spare> {
        &self.spare
    }

    /// Tells whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Returns the number of the newest deletion that was marked.
    pub(super) fn born(&self) -> u64 {
        self.born
    }

    /// Counts the entries.
    pub(super) fn len(&self) -> usize {
        self.n_rows as usize
    }

    /// Returns the blocks, oldest first.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.sealed.iter().chain(&self.active)
    }

    /// Returns what the table has of each stream, by id.
    pub(super) fn spans(&self) -> impl Iterator<Item = (u32, &Span)> {
        self.spans.iter().map(|(&id, span)| (id, span))
    }

    /// Returns the bytes of memory of the table.
    pub(super) fn memory_bytes(&self) -> usize {
        self.sealed_bytes
            + self.active.as_ref().map_or(0, |block| block.memory_bytes())
            + self.known.allocation_size()
            + self.spans.capacity() * size_of::<(u32, Span)>()
    }

    /// Hashes an entry.
    fn hash(&self, stream: u32, t_ns: i64, content: &[u8]) -> u32 {
        let seed = self.hasher.hash_one((stream, t_ns));
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(content, seed);
        (hash >> 32) as u32 ^ hash as u32
    }

    /// Finds the newest entry that is equal to this one, and the block it is in.
    pub(super) fn find(
        &self,
        stream: u32,
        t_ns: i64,
        content: &[u8],
    ) -> Option<(&Block, EntryRow)> {
        let hash = self.hash(stream, t_ns, content);
        let is_same = |known: &&Known| {
            known.hash == hash
                && self.at(known.row).is_some_and(|(block, row)| {
                    row.stream == stream && row.t_ns == t_ns && row.content(&block.bytes) == content
                })
        };
        let found = self.known.iter_hash(spread(hash)).filter(is_same);
        let newest = found.map(|known| known.row).max()?;
        self.at(newest)
    }

    fn at(&self, row: u32) -> Option<(&Block, EntryRow)> {
        let block = match &self.active {
            Some(active) if active.first_row <= row => active,
            _ => {
                let next = self.sealed.partition_point(|block| block.first_row <= row);
                self.sealed.get(next.checked_sub(1)?)?
            }
        };
        let row = block.rows.get((row - block.first_row) as usize)?;
        Some((block, *row))
    }

    /// Notes that the deletion `number` was asked for: it hides what is there, and not
    /// what follows.
    pub(super) fn mark(&mut self, number: u64) {
        self.seal();
        self.born = number;
    }

    fn seal(&mut self) {
        if let Some(block) = self.active.take() {
            self.sealed_bytes += block.memory_bytes();
            self.sealed.push(block);
        }
    }

    /// Appends the entries of a frame, of which `stream` gives the ids: none where the
    /// entry is left out. Those that are equal to one that is there are left out, too.
    /// `is_hidden` tells of a block whether a deletion hides the entry in it.
    pub(super) fn append(
        &mut self,
        rows: &[EntryRow],
        payload: &[u8],
        stream: impl Fn(u32) -> Option<u32>,
        is_hidden: impl Fn(&Block, EntryRow) -> bool,
    ) -> Appended {
        let is_full = |block: &Arc<Block>| block.bytes.len() >= BLOCK_BYTES;
        if self.active.as_ref().is_some_and(is_full) {
            self.seal();
        }
        let mut shared = self
            .active
            .take()
            .unwrap_or_else(|| Arc::new(Block::new(self.born, self.n_rows, &self.spare)));
        let block = Arc::make_mut(&mut shared);
        let base = block.bytes.len() as u32;
        block.bytes.extend_from_slice(payload);
        let mut appended = Appended::default();
        let mut span: Option<(u32, Span)> = None;
        for &row in rows {
            let Some(id) = stream(row.stream) else {
                continue;
            };
            let content = row.content(payload);
            let hash = self.hash(id, row.t_ns, content);
            let known = &self.known;
            let is_same = |known: &&Known| {
                known.hash == hash && {
                    let at = match known.row.checked_sub(block.first_row) {
                        Some(at) => block.rows.get(at as usize).map(|row| (&*block, *row)),
                        None => self.at(known.row),
                    };
                    at.is_some_and(|(block, other)| {
                        other.stream == id
                            && other.t_ns == row.t_ns
                            && other.content(&block.bytes) == content
                            && !is_hidden(block, other)
                    })
                }
            };
            if known.iter_hash(spread(hash)).any(|known| is_same(&known)) {
                appended.duplicates += 1;
                continue;
            }
            let known = Known {
                hash,
                row: self.n_rows,
            };
            self.known
                .insert_unique(spread(hash), known, |known| spread(known.hash));
            self.n_rows += 1;
            appended.entries += 1;
            appended.bytes += content.len() as u64;
            block.rows.push(EntryRow {
                stream: id,
                at: base + row.at,
                ..row
            });
            block.first_ns = block.first_ns.min(row.t_ns);
            block.last_ns = block.last_ns.max(row.t_ns);
            block.line_bytes += u64::from(row.line_len);
            match &mut span {
                Some((of, span)) if *of == id => span.add(row),
                _ => {
                    if let Some((of, span)) = span.take() {
                        self.spans.entry(of).or_insert(Span::EMPTY).merge(span);
                    }
                    let mut begun = Span::EMPTY;
                    begun.add(row);
                    span = Some((id, begun));
                }
            }
        }
        if let Some((of, span)) = span {
            self.spans.entry(of).or_insert(Span::EMPTY).merge(span);
        }
        self.active = Some(shared);
        appended
    }
}

impl Span {
    const EMPTY: Span = Span {
        first_ns: i64::MAX,
        last_ns: i64::MIN,
        entries: 0,
        bytes: 0,
    };

    fn add(&mut self, row: EntryRow) {
        self.first_ns = self.first_ns.min(row.t_ns);
        self.last_ns = self.last_ns.max(row.t_ns);
        self.entries += 1;
        self.bytes += u64::from(row.line_len) + u64::from(row.metadata_len);
    }

    fn merge(&mut self, other: Span) {
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// Makes the hash of the table out of the bits that are kept.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
