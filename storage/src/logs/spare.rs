//! Memory of a flush that is kept for the next one.
//!
//! A store that is pushed to fills tables and writes them to parts over and over, and needs
//! the same large pieces of memory each time. An allocator that gets them back finds other
//! places for the next ones and holds on to both for a while, which doubles what the process
//! takes. So blocks of tables that are gone and what a writer of parts works in stay here,
//! no more than a flush needs, and are freed when none comes for some time.
//!
//! The locks here are taken last and for a moment.

use std::mem;

use parking_lot::Mutex;

use super::part::{GROUP_BYTES, WriterMemory};
use super::table::{BLOCK_BYTES, BlockMemory};

/// How long memory is kept when nothing needs it, in nanoseconds.
const KEPT_NS: i64 = 5 * 1_000_000_000;
/// Memory of a block that was made much larger than others by one long entry is not kept.
const MAX_BLOCK_BYTES: usize = 2 * BLOCK_BYTES;

/// Memory that waits to be used; see the module's text.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// Most blocks that are kept.
    max_blocks: usize,
    blocks: Mutex<Vec<BlockMemory>>,
    /// Whether tables are large enough for whole row groups.
    keeps_writer: bool,
    writer: Mutex<Option<WriterMemory>>,
    rest: Mutex<Rest>,
}

/// Since when nothing was flushed.
#[derive(Debug, Default)]
struct Rest {
    flushes: u64,
    since_ns: Option<i64>,
}

impl Spare {
    /// Keeps what tables of so many bytes have.
    pub(super) fn new(table_bytes: usize) -> Spare {
        Spare {
            max_blocks: table_bytes / BLOCK_BYTES,
            keeps_writer: table_bytes >= GROUP_BYTES,
            ..Spare::default()
        }
    }

    /// Returns memory for a block, empty.
    pub(super) fn take_block(&self) -> BlockMemory {
        self.blocks.lock().pop().unwrap_or_default()
    }

    /// Takes the memory of a block that is gone.
    pub(super) fn give_block(&self, mut block: BlockMemory) {
        block.rows.clear();
        block.bytes.clear();
        if block.allocated_bytes() > MAX_BLOCK_BYTES {
            return;
        }
        let mut blocks = self.blocks.lock();
        if blocks.len() < self.max_blocks {
            blocks.push(block);
        }
    }

    /// Returns memory for a writer of parts.
    pub(super) fn take_writer(&self) -> WriterMemory {
        self.writer.lock().take().unwrap_or_default()
    }

    /// Takes the memory of a writer that has ended.
    pub(super) fn give_writer(&self, memory: WriterMemory) {
        if self.keeps_writer {
            *self.writer.lock() = Some(memory);
        }
    }

    /// Frees everything when the store, which has had so many flushes, has had none for a
    /// while.
    pub(super) fn rest(&self, flushes: u64, now_ns: i64) {
        let mut rest = self.rest.lock();
        match rest.since_ns {
            Some(since_ns) if rest.flushes == flushes => {
                if now_ns.saturating_sub(since_ns) >= KEPT_NS {
                    rest.since_ns = Some(now_ns);
                    drop(rest);
                    self.release();
                }
            }
            _ => {
                *rest = Rest {
                    flushes,
                    since_ns: Some(now_ns),
                };
            }
        }
    }

    /// Frees everything.
    pub(super) fn release(&self) {
        let blocks = mem::take(&mut *self.blocks.lock());
        let writer = self.writer.lock().take();
        drop((blocks, writer));
    }

    /// Returns the bytes that are kept.
    pub(super) fn memory_bytes(&self) -> usize {
        let blocks = self.blocks.lock();
        let blocks: usize = blocks.iter().map(BlockMemory::allocated_bytes).sum();
        let writer = self.writer.lock();
        blocks + writer.as_ref().map_or(0, WriterMemory::memory_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: usize) -> BlockMemory {
        BlockMemory {
            rows: Vec::new(),
            bytes: Vec::with_capacity(bytes),
        }
    }

    #[test]
    fn no_more_is_kept_than_a_table_has_and_no_odd_pieces() {
        let spare = Spare::new(2 * BLOCK_BYTES + 1);
        spare.give_block(block(3 * BLOCK_BYTES));
        assert_eq!(spare.memory_bytes(), 0);
        for _ in 0..3 {
            spare.give_block(block(BLOCK_BYTES));
        }
        assert_eq!(spare.memory_bytes(), 2 * BLOCK_BYTES);
        assert_eq!(spare.take_block().allocated_bytes(), BLOCK_BYTES);
        assert_eq!(spare.memory_bytes(), BLOCK_BYTES);
    }

    #[test]
    fn what_nothing_needs_for_a_while_is_freed() {
        let spare = Spare::new(GROUP_BYTES);
        let give = || spare.give_block(block(BLOCK_BYTES));
        give();
        spare.give_writer(WriterMemory::default());
        spare.rest(1, 0);
        spare.rest(1, KEPT_NS - 1);
        // A flush begins the time anew.
        spare.rest(2, KEPT_NS);
        spare.rest(2, 2 * KEPT_NS - 1);
        assert_eq!(spare.memory_bytes(), BLOCK_BYTES);
        assert!(spare.writer.lock().is_some());
        spare.rest(2, 2 * KEPT_NS);
        assert_eq!(spare.memory_bytes(), 0);
        assert!(spare.writer.lock().is_none());
        give();
        spare.rest(2, 2 * KEPT_NS + 1);
        assert_eq!(spare.memory_bytes(), BLOCK_BYTES);
        spare.rest(2, 3 * KEPT_NS);
        assert_eq!(spare.memory_bytes(), 0);
    }
}
