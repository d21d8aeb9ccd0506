//! What a target exposed before: the raw bytes of a line to its series.
//!
//! A line that was seen in an earlier scrape costs one hash of its bytes and, as
//! targets keep the order of their lines, one comparison with the line that stood
//! in this place last time. Labels are decoded only for bytes not seen before.
//!
//! Scrapes are numbered. An entry remembers in which scrape it was last seen, and
//! in which it last brought a sample whose absence from the next one ends the series.

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use kymo_storage::metrics::{RawKey, SeriesRef};

/// Dropped by relabelling, or stored as a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The job's rules drop it.
    Dropped,
    /// It is stored.
    Stored(SeriesRef),
}

/// Number of an entry in its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryId(u32);

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: RawKey,
    fate: Fate,
    /// Scrape in which the line was last seen.
    seen: u64,
    /// Scrape in which its sample was last taken and its end is watched for; 0 = never.
    watched: u64,
    /// Where the line stood when it was last seen, in `order`.
    place: u32,
}

/// The lines of one target.
#[derive(Debug)]
pub(super) struct ScrapeCache {
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_key: HashMap<RawKey, u32, RandomState>,
    /// Entries in the order of the lines of the last scrape, and of this one so far.
    last_order: Vec<u32>,
    order: Vec<u32>,
    /// Place in `last_order` where the next line is expected.
    expected: usize,
    /// Number of the scrape under way; the first is 1.
    scrape: u64,
    /// Entries after the last scrape that worked.
    settled: usize,
}

impl ScrapeCache {
    /// Returns a cache of a target never scraped.
    pub(super) fn new() -> ScrapeCache {
        ScrapeCache {
            entries: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::with_hasher(RandomState::default()),
            last_order: Vec::new(),
            order: Vec::new(),
            expected: 0,
            scrape: 1,
            settled: 0,
        }
    }

    /// Returns the number of the scrape under way.
    pub(super) fn scrape(&self) -> u64 {
        self.scrape
    }

    /// Counts the lines known.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Finds a line and notes that it was seen. Also tells whether it was seen
    /// earlier in this scrape.
    pub(super) fn find(&mut self, key: RawKey) -> Option<(EntryId, Fate, bool)> {
        let id = match self.predicted(key) {
            Some(id) => id,
            None => *self.by_key.get(&key)?,
        };
        let entry = self.entries.get_mut(id as usize)?;
        // The line behind this one is expected to be the one that followed it before,
        // so that a new or missing line costs one wrong guess.
        self.expected = entry.place as usize + 1;
        entry.place = self.order.len() as u32;
        self.order.push(id);
        let again = entry.seen == self.scrape;
        entry.seen = self.scrape;
        Some((EntryId(id), entry.fate, again))
    }

    /// Adds a line that [`find`](Self::find) does not know.
    pub(super) fn add(&mut self, key: RawKey, fate: Fate) -> EntryId {
        let entry = Entry {
            key,
            fate,
            seen: self.scrape,
            watched: 0,
            place: self.order.len() as u32,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.by_key.insert(key, id);
        self.order.push(id);
        EntryId(id)
    }

    /// Notes that a line's series has another reference now.
    pub(super) fn set_series(&mut self, id: EntryId, series: SeriesRef) {
        self.entries[id.0 as usize].fate = Fate::Stored(series);
    }

    /// Watches for the end of a line's series: when it is missing from the next
    /// scrape, it ended.
    pub(super) fn watch(&mut self, id: EntryId) {
        self.entries[id.0 as usize].watched = self.scrape;
    }

    /// Returns the series that were watched in the last scrape and are not in this
    /// one, in no particular order.
    pub(super) fn ended(&self) -> Vec<SeriesRef> {
        let watched = |scrape: u64| {
            self.entries
                .iter()
                .filter(move |entry| entry.watched == scrape && scrape > 0)
                .filter_map(|entry| match entry.fate {
                    Fate::Stored(series) => Some(series),
                    Fate::Dropped => None,
                })
        };
        let mut ended: Vec<SeriesRef> = watched(self.scrape - 1).collect();
        if ended.is_empty() {
            return ended;
        }
        // Two lines may be one series; it goes on while one of them does.
        let going_on: HashSet<SeriesRef, RandomState> = watched(self.scrape).collect();
        let mut known: HashSet<SeriesRef, RandomState> = HashSet::default();
        ended.retain(|series| !going_on.contains(series) && known.insert(*series));
        ended
    }

    /// Ends a scrape that worked: lines it did not have are forgotten.
    pub(super) fn finish(&mut self) {
        self.forget_unseen();
        self.settled = self.len();
        self.next_scrape();
    }

    /// Ends a scrape that failed. Nothing is forgotten unless failing scrapes pile up
    /// lines: then it returns `true`.
    pub(super) fn finish_failed(&mut self) -> bool {
        let flush = self.len() > self.settled * 2 + 1000;
        if flush {
            self.forget_unseen();
        }
        // An order cut short predicts nothing.
        self.order.clear();
        self.next_scrape();
        flush
    }

    fn next_scrape(&mut self) {
        std::mem::swap(&mut self.last_order, &mut self.order);
        self.order.clear();
        self.expected = 0;
        self.scrape += 1;
    }

    fn predicted(&self, key: RawKey) -> Option<u32> {
        let id = *self.last_order.get(self.expected)?;
        let entry = self.entries.get(id as usize)?;
        (entry.key == key).then_some(id)
    }

    fn forget_unseen(&mut self) {
        for (id, entry) in self.entries.iter_mut().enumerate() {
            if entry.seen != self.scrape && entry.seen != 0 {
                self.by_key.remove(&entry.key);
                entry.seen = 0;
                entry.watched = 0;
                self.free.push(id as u32);
            }
        }
    }
}
