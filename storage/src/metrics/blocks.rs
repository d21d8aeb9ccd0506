//! The blocks of a store: which there are, since when the head is not their business
//! any more, and what becomes of a damaged one.
//!
//! Readers take the whole set at once ([`BlockSet`], shared and never changed): blocks
//! and the time from which the head answers change together, so nothing is seen twice
//! or not at all while a block takes over from the head. What was replaced stays mapped
//! for as long as a reader holds it.

use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foldhash::quality::RandomState;
use parking_lot::{Mutex, RwLock};

use super::label_order::{BlockPart, Unreadable};
use super::shard::NEVER;
use super::stats::{BlockInfo, BlockStats, Damage};
use super::versions::Versions;
use crate::block::{self, Block, BlockError, BlockMeta, Ulid};
use crate::error::StorageError;
use crate::fs::Dir;
use crate::model::TimeRange;

/// Suffix of the directory of a block that was set aside.
const ASIDE: &str = ".damaged";

/// A block that readers look at.
#[derive(Debug)]
pub(super) struct Served {
    block: Block,
    /// Something in it could not be read; it takes no part in later selections.
    damaged: AtomicBool,
}

impl Deref for Served {
    type Target = Block;

    fn deref(&self) -> &Block {
        &self.block
    }
}

impl Served {
    fn open(dir: Arc<dyn Dir>) -> Result<Served, BlockError> {
        Ok(Served {
            block: Block::open(dir)?,
            damaged: AtomicBool::new(false),
        })
    }

    /// Tells whether the block proved damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Tells whether all samples lie in `range`.
    pub(super) fn is_inside(&self, range: TimeRange) -> bool {
        let meta = self.meta();
        range.start_ms <= meta.min_t_ms && meta.max_t_ms <= range.end_ms.saturating_add(1)
    }

    /// Describes the block.
    pub(super) fn info(&self) -> BlockInfo {
        let meta = self.meta();
        BlockInfo {
            ulid: meta.ulid.to_string(),
            min_t_ms: meta.min_t_ms,
            max_t_ms: meta.max_t_ms,
            level: meta.level,
            sources: meta.sources.iter().map(Ulid::to_string).collect(),
            series: meta.n_series,
            samples: meta.n_samples,
            chunks: meta.n_chunks,
            tombstones: self.n_tombstones(),
            index_bytes: meta.bytes_index,
            data_bytes: meta.bytes_data,
        }
    }

    /// Returns the times that samples of the block can have.
    pub(super) fn times(&self) -> TimeRange {
        let meta = self.meta();
        TimeRange::new(meta.min_t_ms, meta.max_t_ms.saturating_sub(1))
    }

    /// Returns the bytes on disk.
    pub(super) fn len_bytes(&self) -> u64 {
        self.meta().bytes_index + self.meta().bytes_data
    }
}

/// Blocks and head at one moment.
#[derive(Debug, Clone)]
pub(super) struct BlockSet {
    /// By first time, then by ULID.
    pub(super) blocks: Vec<Arc<Served>>,
    /// In-order samples before this are in blocks, if anywhere.
    pub(super) head_from_ms: i64,
}

/// The blocks of a store and their directory.
#[derive(Debug)]
pub(super) struct Blocks {
    dir: Arc<dyn Dir>,
    set: RwLock<Arc<BlockSet>>,
    /// Damage that was found and not yet fetched by [`Blocks::take_damages`].
    damages: Mutex<Vec<Damage>>,
    /// Told of whatever comes, goes or changes.
    pub(super) versions: Arc<Versions>,
    pub(super) counters: BlockCounters,
}

/// What happened to blocks since the store was opened.
#[derive(Debug, Default)]
pub(super) struct BlockCounters {
    pub(super) flushes: AtomicU64,
    pub(super) merges: AtomicU64,
    pub(super) overlapping_merges: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) dropped_by_time: AtomicU64,
    pub(super) dropped_by_size: AtomicU64,
    pub(super) set_aside: AtomicU64,
    pub(super) scrubbed_bytes: AtomicU64,
}

impl BlockSet {
    fn sort(&mut self) {
        self.blocks
            .sort_by_key(|block| (block.meta().min_t_ms, block.meta().ulid));
    }

    /// Returns the sound blocks that may hold samples in `range`, those that were written
    /// first first.
    pub(super) fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &Arc<Served>> {
        let mut found: Vec<&Arc<Served>> = self
            .blocks
            .iter()
            .filter(|block| {
                let meta = block.meta();
                !block.is_damaged()
                    && meta.min_t_ms <= range.end_ms
                    && range.start_ms < meta.max_t_ms
            })
            .collect();
        found.sort_unstable_by_key(|block| block.meta().ulid);
        found.into_iter()
    }
}

impl Blocks {
    /// Opens the blocks in `dir`. Leftovers of what was interrupted are removed; a
    /// block that cannot be read is set aside and reported in `damages`.
    pub(super) fn open(
        dir: Arc<dyn Dir>,
        damages: &mut Vec<Damage>,
    ) -> Result<Blocks, StorageError> {
        let mut set = BlockSet {
            blocks: Vec::new(),
            head_from_ms: NEVER,
        };
        let n_before = damages.len();
        for ulid in block::list_blocks(&dir)? {
            let name = ulid.to_string();
            match Served::open(dir.subdir(&name)?) {
                Ok(block) => set.blocks.push(Arc::new(block)),
                Err(error) if error.is_corrupt() => {
                    damages.push(damage_of(&*dir, &name, &error));
                    set_aside(&*dir, &name)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let replaced: Vec<Ulid> = set
            .blocks
            .iter()
            .flat_map(|block| block.meta().parents.iter().map(|parent| parent.ulid))
            .collect();
        let mut gone = Vec::new();
        set.blocks.retain(|block| {
            let stays = !replaced.contains(&block.meta().ulid);
            if !stays {
                gone.push(block.meta().ulid);
            }
            stays
        });
        // What they became is there, only their removal was interrupted.
        for ulid in gone {
            block::remove_block(&dir, ulid)?;
        }
        let ends = set.blocks.iter().filter_map(|b| b.meta().head_until_ms);
        set.head_from_ms = ends.max().unwrap_or(NEVER);
        set.sort();
        let blocks = Blocks {
            dir,
            set: RwLock::new(Arc::new(set)),
            damages: Mutex::default(),
            versions: Arc::new(Versions::new()),
            counters: BlockCounters::default(),
        };
        let n_aside = (damages.len() - n_before) as u64;
        blocks.counters.set_aside.store(n_aside, Ordering::Relaxed);
        Ok(blocks)
    }

    /// Returns the blocks of now.
    pub(super) fn set(&self) -> Arc<BlockSet> {
        Arc::clone(&self.set.read())
    }

    /// Returns the name of a new block of samples in `range`. Names sort by the end of
    /// the data, and after those of all blocks in the same range: of two samples at the
    /// same time that of the earlier block stays, so what came first must come first.
    pub(super) fn new_ulid(&self, range: TimeRange) -> Ulid {
        let state = RandomState::default();
        let (one, other) = (state.hash_one(0u8), state.hash_one(1u8));
        let mut chance = [0; 10];
        chance[..8].copy_from_slice(&one.to_le_bytes());
        chance[8..].copy_from_slice(&other.to_le_bytes()[..2]);
        let ulid = Ulid::new(range.end_ms.max(0) as u64, chance);
        let before = self.set().overlapping(range).last().map(|b| b.meta().ulid);
        match before {
            // A millisecond later: chance keeps names apart that follow the same block.
            Some(before) if before >= ulid => Ulid::new((before.bits() >> 80) as u64 + 1, chance),
            _ => ulid,
        }
    }

    /// Returns the directory of the blocks.
    pub(super) fn dir(&self) -> &Arc<dyn Dir> {
        &self.dir
    }

    /// Opens a block that was just written.
    pub(super) fn open_new(&self, meta: &BlockMeta) -> Result<Arc<Served>, StorageError> {
        let dir = self.dir.subdir(&meta.ulid.to_string())?;
        Ok(Arc::new(Served::open(dir)?))
    }

    /// Makes `new` visible in place of `old`, together with the time from which the
    /// head answers, then removes the files of `old`.
    pub(super) fn publish(
        &self,
        new: impl IntoIterator<Item = Arc<Served>>,
        old: &[Arc<Served>],
        head_from_ms: Option<i64>,
    ) -> Result<(), StorageError> {
        let mut changed: Vec<TimeRange> = Vec::new();
        {
            let mut set = self.set.write();
            let mut next = BlockSet::clone(&set);
            next.blocks
                .retain(|block| !old.iter().any(|old| Arc::ptr_eq(old, block)));
            let n_kept = next.blocks.len();
            next.blocks.extend(new);
            // Series may come in another order from now on, even where samples stay.
            let come = next.blocks.iter().skip(n_kept);
            changed.extend(come.chain(old).map(|block| block.times()));
            next.sort();
            next.head_from_ms = next.head_from_ms.max(head_from_ms.unwrap_or(NEVER));
            *set = Arc::new(next);
            for times in changed {
                self.versions.changed(times);
            }
        }
        for block in old {
            block::remove_block(&self.dir, block.meta().ulid)?;
        }
        Ok(())
    }

    /// Notes that reading a block failed. Damage keeps it out of every later selection;
    /// its directory is set aside by [`Blocks::set_damaged_aside`].
    pub(super) fn note(&self, block: &Served, error: &BlockError) {
        if error.is_corrupt() && !block.damaged.swap(true, Ordering::Relaxed) {
            self.versions.changed(block.times());
            let name = block.meta().ulid.to_string();
            self.damages
                .lock()
                .push(damage_of(&*self.dir, &name, error));
        }
    }

    /// As [`Blocks::note`], and returns the error as one of the store.
    pub(super) fn failed(&self, block: &Served, error: BlockError) -> StorageError {
        self.note(block, &error);
        error.into()
    }

    /// As [`Blocks::failed`], for labels that could not be read.
    pub(super) fn unreadable(&self, parts: &[BlockPart], of: Unreadable) -> StorageError {
        self.failed(&parts[of.part].block, of.error)
    }

    /// Moves the directories of blocks that proved damaged out of the way.
    pub(super) fn set_damaged_aside(&self) -> Result<(), StorageError> {
        let set = self.set();
        let damaged = set.blocks.iter().filter(|block| block.is_damaged());
        for block in damaged {
            set_aside(&*self.dir, &block.meta().ulid.to_string())?;
            self.counters.set_aside.fetch_add(1, Ordering::Relaxed);
            let mut set = self.set.write();
            let mut next = BlockSet::clone(&set);
            next.blocks.retain(|other| !Arc::ptr_eq(other, block));
            *set = Arc::new(next);
        }
        Ok(())
    }

    /// Returns the damage found in blocks since the last call.
    pub(super) fn take_damages(&self) -> Vec<Damage> {
        std::mem::take(&mut self.damages.lock())
    }

    /// Describes the blocks, oldest first.
    pub(super) fn infos(&self) -> Vec<BlockInfo> {
        let set = self.set();
        set.blocks.iter().map(|block| block.info()).collect()
    }

    /// Returns the figures of all blocks.
    pub(super) fn stats(&self) -> BlockStats {
        let set = self.set();
        let blocks = || set.blocks.iter();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        BlockStats {
            blocks: set.blocks.len() as u64,
            bytes: blocks().map(|block| block.len_bytes()).sum(),
            min_time_ms: blocks().map(|block| block.meta().min_t_ms).min(),
            tombstones: blocks().map(|block| block.n_tombstones()).sum(),
            flushes_total: load(&counters.flushes),
            merges_total: load(&counters.merges),
            overlapping_merges_total: load(&counters.overlapping_merges),
            failures_total: load(&counters.failures),
            dropped_by_time_total: load(&counters.dropped_by_time),
            dropped_by_size_total: load(&counters.dropped_by_size),
            set_aside_total: load(&counters.set_aside),
            scrubbed_bytes_total: load(&counters.scrubbed_bytes),
        }
    }
}

fn set_aside(dir: &dyn Dir, name: &str) -> Result<(), StorageError> {
    dir.rename_dir(name, &format!("{name}{ASIDE}"))?;
    dir.sync()?;
    Ok(())
}

fn damage_of(dir: &dyn Dir, name: &str, error: &BlockError) -> Damage {
    let (path, offset) = match error {
        BlockError::Corrupt { path, offset, .. } => (path.clone(), *offset),
        _ => (dir.path().join(name), 0),
    };
    Damage {
        path,
        offset,
        lost_bytes: 0,
        detail: format!("{error}; the block was set aside as {name}{ASIDE}, the rest is served"),
    }
}
