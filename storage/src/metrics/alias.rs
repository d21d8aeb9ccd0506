//! From the hash of raw label bytes to the series, without looking at the bytes.
//!
//! Open addressing over slots of 16 bytes: 96 bits of the key and the id. Keys are
//! 128-bit hashes with a seed of this process; that two label sets of ten million
//! agree in 96 bits has a probability of about 10^-15, so the bytes are neither kept
//! nor compared. A table is at most four fifths full, grows by half, and is filtered
//! as a whole when series are removed, so it has no tombstones.

use parking_lot::{RwLock, RwLockReadGuard};
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::appender::RawKey;

/// Tables; a power of two. More than one keeps the pause of a growing table short.
const TABLES: usize = 16;
const SMALLEST: usize = 64;
const FREE: u32 = u32::MAX;

/// All aliases of a store.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    tables: [RwLock<Table>; TABLES],
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    low: u64,
    high: u32,
    id: u32,
}

/// All tables, locked for reading: a batch looks up thousands of keys.
pub(super) struct AliasReader<'a> {
    tables: SmallVec<[RwLockReadGuard<'a, Table>; TABLES]>,
}

fn table_of(key: RawKey) -> usize {
    // The lowest bits; the place inside the table comes from other ones.
    key.0 as usize % TABLES
}

fn slot_of(key: RawKey, id: u32) -> Slot {
    Slot {
        low: key.0 as u64,
        high: (key.0 >> 64) as u32,
        id,
    }
}

impl AliasReader<'_> {
    /// Returns the id of the series that the key names.
    #[inline]
    pub(super) fn get(&self, key: RawKey) -> Option<u32> {
        self.tables[table_of(key)].get(slot_of(key, 0))
    }
}

impl Aliases {
    /// Locks all tables for reading.
    pub(super) fn read(&self) -> AliasReader<'_> {
        AliasReader {
            tables: self.tables.iter().map(RwLock::read).collect(),
        }
    }

    /// Looks up one key and calls `found` with the id while it cannot be removed.
    pub(super) fn with<T>(&self, key: RawKey, found: impl FnOnce(u32) -> Option<T>) -> Option<T> {
        let table = self.tables[table_of(key)].read();
        table.get(slot_of(key, 0)).and_then(found)
    }

    /// Makes `key` name `id`, if `still` holds while `id` cannot be removed and fewer
    /// than `limit` aliases are kept: they are only a shortcut, and a sender that
    /// names its series in ever new ways must not fill the memory.
    pub(super) fn insert(&self, key: RawKey, id: u32, limit: usize, still: impl FnOnce() -> bool) {
        let mut table = self.tables[table_of(key)].write();
        if table.len < limit / TABLES && still() {
            table.insert(slot_of(key, id));
        }
    }

    /// Removes the aliases of removed series.
    pub(super) fn remove_all(&self, dead: &RoaringBitmap) {
        for table in &self.tables {
            let mut table = table.write();
            if table.slots.iter().any(|slot| dead.contains(slot.id)) {
                let slots = std::mem::take(&mut table.slots);
                let kept = slots
                    .into_iter()
                    .filter(|slot| slot.id != FREE && !dead.contains(slot.id));
                let kept: Vec<Slot> = kept.collect();
                *table = Table::with_room_for(kept.len());
                for slot in kept {
                    table.insert(slot);
                }
            }
        }
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        let tables = self.tables.iter();
        tables
            .map(|table| table.read().slots.capacity() * size_of::<Slot>())
            .sum()
    }
}

impl Table {
    fn with_room_for(len: usize) -> Table {
        let capacity = (len * 5 / 4 + 1).max(SMALLEST);
        let free = Slot {
            low: 0,
            high: 0,
            id: FREE,
        };
        Table {
            slots: vec![free; capacity],
            len: 0,
        }
    }

    /// Maps 32 bits of the key to a place without a division.
    fn home(&self, slot: Slot) -> usize {
        ((u64::from(slot.high) * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn get(&self, wanted: Slot) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(wanted);
        loop {
            let slot = self.slots[at];
            if slot.low == wanted.low && slot.high == wanted.high && slot.id != FREE {
                return Some(slot.id);
            }
            if slot.id == FREE {
                return None;
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }

    fn insert(&mut self, new: Slot) {
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            let mut larger = Table::with_room_for((self.len + 1) * 3 / 2);
            for &slot in self.slots.iter().filter(|slot| slot.id != FREE) {
                larger.insert(slot);
            }
            *self = larger;
        }
        let mut at = self.home(new);
        loop {
            let slot = &mut self.slots[at];
            let same = slot.low == new.low && slot.high == new.high;
            if slot.id == FREE || same {
                self.len += usize::from(slot.id == FREE);
                *slot = new;
                return;
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Keys that differ only in high bits, or crowd at the end of a table, too.
        #[test]
        fn behaves_as_a_map(
            keys in proptest::collection::vec((any::<u64>(), prop_oneof![Just(u64::from(u32::MAX)), 0u64..40]), 1..600),
            dead in proptest::collection::btree_set(0u32..600, 0..300),
        ) {
            let aliases = Aliases::default();
            let mut model = HashMap::new();
            for (id, &(low, high)) in keys.iter().enumerate() {
                let key = RawKey(u128::from(high) << 64 | u128::from(low % 64));
                aliases.insert(key, id as u32, usize::MAX, || true);
                model.insert(key, id as u32);
            }
            for round in 0..2 {
                for (&key, &id) in &model {
                    prop_assert_eq!(aliases.read().get(key), Some(id));
                    prop_assert_eq!(aliases.with(key, Some), Some(id));
                }
                prop_assert_eq!(aliases.read().get(RawKey(77 << 64)), None);
                if round == 0 {
                    aliases.remove_all(&dead.iter().copied().collect());
                    for (key, id) in &model {
                        if dead.contains(id) {
                            prop_assert_eq!(aliases.read().get(*key), None);
                        }
                    }
                    model.retain(|_, id| !dead.contains(id));
                }
            }
        }
    }

    #[test]
    fn refuses_more_than_the_limit() {
        let aliases = Aliases::default();
        for n in 0..10_000u128 {
            aliases.insert(RawKey(n << 60 | n), 1, 160, || true);
        }
        let n = aliases.tables.iter().map(|t| t.read().len).sum::<usize>();
        assert_eq!(n, 160);
    }
}
