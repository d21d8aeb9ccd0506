//! Kept answers by query, within a number of bytes; the least recently used go first.

use std::sync::Arc;

use hashbrown::HashMap;

use super::kept::Kept;
use crate::limits::{MemoryGrant, MemoryPool};

/// What tells kept answers apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) query: Box<str>,
    pub(super) step_ms: i64,
    /// Time of a step, modulo the step.
    pub(super) phase_ms: i64,
    pub(super) lookback_ms: i64,
    /// Step of subqueries that name none.
    pub(super) default_step_ms: i64,
}

/// An answer, and what it takes for it to be true.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kept: Kept,
    /// Number of the newest change that it has seen.
    pub(super) version: u64,
    /// Whether series came in label order; `None` where their order does not matter.
    pub(super) by_labels: Option<bool>,
    /// The longest range that was asked for, in milliseconds.
    pub(super) longest_ms: i64,
    /// Time of the last step of each evaluation that it comes from, and the samples that
    /// the evaluation held at most.
    pub(super) peaks: Vec<(i64, u64)>,
}

#[derive(Debug)]
struct Place {
    entry: Arc<Entry>,
    bytes: u64,
    used: u64,
    _grant: Option<MemoryGrant>,
}

/// The kept answers.
#[derive(Debug)]
pub(super) struct Shelf {
    places: HashMap<Key, Place>,
    bytes: u64,
    max_bytes: u64,
    memory: Option<Arc<dyn MemoryPool>>,
    /// Counts uses, as a clock.
    now: u64,
    pub(super) evicted: u64,
}

impl Shelf {
    pub(super) fn new(max_bytes: u64, memory: Option<Arc<dyn MemoryPool>>) -> Shelf {
        Shelf {
            places: HashMap::new(),
            bytes: 0,
            max_bytes,
            memory,
            now: 0,
            evicted: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<Arc<Entry>> {
        self.now += 1;
        let place = self.places.get_mut(key)?;
        place.used = self.now;
        Some(Arc::clone(&place.entry))
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.bytes -= place.bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.bytes = 0;
    }

    /// Keeps an entry, instead of others where there is no room. One that is larger than
    /// a quarter of all room is not kept.
    pub(super) fn put(&mut self, key: Key, entry: Entry) {
        self.remove(&key);
        let bytes = entry.kept.memory_bytes()
            + (key.query.len() + size_of::<Key>() + size_of::<Place>() + size_of::<Entry>()) as u64;
        if bytes > self.max_bytes / 4 {
            return;
        }
        while self.bytes + bytes > self.max_bytes {
            if !self.evict() {
                return;
            }
        }
        let grant = match &self.memory {
            None => None,
            Some(memory) => {
                // Queries come first: nothing else is given up for what may be of use.
                let Some(grant) = MemoryGrant::take(Arc::clone(memory), bytes) else {
                    return;
                };
                Some(grant)
            }
        };
        self.now += 1;
        self.bytes += bytes;
        let place = Place {
            entry: Arc::new(entry),
            bytes,
            used: self.now,
            _grant: grant,
        };
        self.places.insert(key, place);
    }

    /// Gives up what was not used for longest.
    fn evict(&mut self) -> bool {
        let oldest = self.places.iter().min_by_key(|(_, place)| place.used);
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            return false;
        };
        self.remove(&key);
        self.evicted += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use kymo_storage::model::Labels;

    use super::*;
    use crate::cache::kept::Part;
    use crate::promql::Series;
    use crate::source::SampleBuf;

    fn key(n: i64) -> Key {
        Key {
            query: "a".into(),
            step_ms: 10,
            phase_ms: n,
            lookback_ms: 0,
            default_step_ms: 0,
        }
    }

    fn entry(steps: i64) -> Entry {
        let mut floats = SampleBuf::default();
        for step in 0..steps {
            floats.push(step * 10, 1.0);
        }
        let series = [Series {
            labels: Labels::empty(),
            floats,
            histograms: Vec::new(),
        }];
        let part = Part::Made {
            series: &series,
            last_ms: i64::MAX,
        };
        Entry {
            kept: Kept::new(&[part], 0, (steps - 1) * 10, 10).unwrap(),
            version: 0,
            by_labels: None,
            longest_ms: 0,
            peaks: Vec::new(),
        }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut shelf = Shelf::new(40_000, None);
        for n in 0..4 {
            shelf.put(key(n), entry(1000));
        }
        assert_eq!((shelf.len(), shelf.evicted), (4, 0));
        assert!(shelf.get(&key(0)).is_some());
        shelf.put(key(4), entry(1000));
        assert!(shelf.bytes() <= 40_000);
        assert_eq!(shelf.evicted, 1);
        assert!(shelf.get(&key(1)).is_none());
        assert!(shelf.get(&key(0)).is_some());
        // What is too large drives nobody out, but what it would replace is gone.
        shelf.put(key(0), entry(2000));
        assert_eq!((shelf.len(), shelf.evicted), (3, 1));
        shelf.clear();
        assert_eq!((shelf.len(), shelf.bytes()), (0, 0));
    }

    #[derive(Debug)]
    struct Nothing;

    impl MemoryPool for Nothing {
        fn take(&self, _bytes: u64) -> bool {
            false
        }

        fn give_back(&self, bytes: u64) {
            assert_eq!(bytes, 0);
        }
    }

    #[test]
    fn without_memory_nothing_is_kept() {
        let mut shelf = Shelf::new(40_000, Some(Arc::new(Nothing)));
        shelf.put(key(0), entry(10));
        assert_eq!((shelf.len(), shelf.bytes()), (0, 0));
    }
}
