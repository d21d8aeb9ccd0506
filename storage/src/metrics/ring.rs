//! The exemplars of all series in one ring: the newest ones, in order of arrival.
//!
//! An exemplar is one entry of 48 bytes and a few bytes of text. Both lie in queues
//! without a heap object each: what is dropped is always what came first. The entries
//! of a series are linked in order of time, so that a query does not have to look at
//! those of others, and a late one finds its place.
//!
//! Invariants: every entry is in the list of one series; a series has an entry; lists
//! ascend in time; `texts` holds the labels of exactly the entries, in their order.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::codec::{CodecError, text, varint};
use crate::model::{Exemplar, Labels, Matcher, TimeRange};
use crate::wal::{decode_exemplar, encode_exemplar};

/// Bytes that entries, texts and labels of series may take for each exemplar, on
/// average. Only unusually long labels reach it; then fewer exemplars are kept.
const BYTES_PER_EXEMPLAR: usize = 1 << 11;

/// Most exemplars, so that the limit of bytes is a number.
pub(super) const MAX_EXEMPLARS: usize = 1 << 31;

/// Fewest bytes of an exemplar and of a series in the encoded form.
const MIN_ENTRY_BYTES: usize = 12;
const MIN_SERIES_BYTES: usize = 4;

/// Entries that room is made for at first.
const MIN_GROWTH: usize = 64;

/// Number of no entry.
const NONE: u64 = u64::MAX;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Ring {
    max: usize,
    window_ms: i64,
    /// In order of arrival.
    entries: VecDeque<Entry>,
    /// Number of the first entry; those behind it are numbered on.
    first: u64,
    /// Labels of the entries.
    texts: VecDeque<u8>,
    /// Where in all texts so far the first byte of `texts` was.
    first_text: u64,
    series: Vec<Option<Series>>,
    unused: Vec<u32>,
    by_labels: HashTable<u32>,
    hasher: RandomState,
    /// Bytes of the labels of `series`.
    label_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    t_ms: i64,
    value: f64,
    /// Numbers of the neighbours in the list of the series.
    older: u64,
    newer: u64,
    text_at: u64,
    series: u32,
    text_len: u16,
    timed: bool,
}

#[derive(Debug)]
struct Series {
    labels: Labels,
    oldest: u64,
    newest: u64,
}

/// What becomes of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It is new.
    Stored,
    /// It is there already.
    Repeated,
    /// It is too old.
    OutOfOrder,
}

/// Exemplars of one series.
#[derive(Debug, Clone)]
pub struct SeriesExemplars {
    /// Labels of the series.
    pub labels: Labels,
    /// In order of time.
    pub exemplars: Vec<Exemplar>,
}

impl Ring {
    /// Makes an empty ring.
    pub(super) fn new(max: usize, window_ms: i64) -> Ring {
        let mut ring = Ring::default();
        ring.set_max(max);
        ring.set_window_ms(window_ms);
        ring
    }

    /// Returns how many exemplars are kept at most.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Counts the exemplars.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Counts the series that have one.
    pub(super) fn n_series(&self) -> usize {
        self.by_labels.len()
    }

    /// Returns the time of the exemplar that came first.
    pub(super) fn first_ms(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.t_ms)
    }

    /// Keeps at most `max` exemplars from now on, those that came last.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max.min(MAX_EXEMPLARS);
        self.shorten(self.max);
        self.keep_within_bytes();
        self.entries.shrink_to(self.max);
        self.texts.shrink_to(self.texts.len());
        if self.entries.is_empty() {
            *self = Ring {
                max: self.max,
                window_ms: self.window_ms,
                ..Ring::default()
            };
        }
    }

    /// Takes exemplars that are older than the newest of their series by less than
    /// this; 0 is none of them.
    pub(super) fn set_window_ms(&mut self, window_ms: i64) {
        self.window_ms = window_ms.max(0);
    }

    /// Tells what would become of an exemplar.
    pub(super) fn check(&self, labels: &Labels, exemplar: &Exemplar) -> Added {
        match self.find(labels) {
            Some(series) => self.check_series(series, exemplar),
            None => Added::Stored,
        }
    }

    fn check_series(&self, series: u32, exemplar: &Exemplar) -> Added {
        let Some(newest) = self.series(series).and_then(|s| self.entry(s.newest)) else {
            return Added::Stored;
        };
        let same_value = exemplar.value == newest.value;
        // Labels are decoded only where all else is equal.
        let decoded = || self.exemplar(newest);
        if same_value
            && (exemplar.t_ms == newest.t_ms || !(exemplar.timed || newest.timed))
            && decoded().is_same(exemplar)
        {
            return Added::Repeated;
        }
        let too_old = exemplar.t_ms < newest.t_ms
            && exemplar.t_ms <= newest.t_ms.saturating_sub(self.window_ms);
        // At one time the order is by value, then by the hash that Prometheus takes, so
        // that what is there already is recognized without a look at all of them.
        let behind = exemplar.t_ms == newest.t_ms
            && (exemplar.value < newest.value
                || (same_value
                    && exemplar.labels.prometheus_hash() < decoded().labels.prometheus_hash()));
        if too_old || behind {
            return Added::OutOfOrder;
        }
        let older = self.not_newer(series, exemplar.t_ms);
        let late = exemplar.t_ms < newest.t_ms;
        match self.entry(older) {
            Some(older) if late && older.t_ms == exemplar.t_ms => Added::Repeated,
            _ => Added::Stored,
        }
    }

    /// Adds an exemplar, if it is acceptable, and drops the first one of a full ring.
    pub(super) fn add(&mut self, labels: &Labels, exemplar: &Exemplar) -> Added {
        let added = self.check(labels, exemplar);
        if added != Added::Stored || self.max == 0 {
            return added;
        }
        self.shorten(self.max - 1);
        let series = self.find_or_create(labels);
        let older = self.not_newer(series, exemplar.t_ms);
        let number = self.push(series, exemplar);
        self.link(series, number, older);
        self.keep_within_bytes();
        Added::Stored
    }

    fn keep_within_bytes(&mut self) {
        let limit = self.max.saturating_mul(BYTES_PER_EXEMPLAR);
        while self.entries.len() > 1 && self.content_bytes() > limit {
            self.drop_first();
        }
    }

    /// Appends an entry that is in no list yet; returns its number.
    fn push(&mut self, series: u32, exemplar: &Exemplar) -> u64 {
        let mut text = Vec::with_capacity(64);
        for (name, value) in &exemplar.labels {
            text::write(&mut text, name);
            text::write(&mut text, value);
        }
        let text_at = self.first_text + self.texts.len() as u64;
        self.texts.extend(&text);
        if self.entries.len() == self.entries.capacity() {
            // Doubled as usual, but not past what a full ring needs.
            let room = self.max.saturating_sub(self.entries.len());
            let more = self.entries.len().max(MIN_GROWTH);
            self.entries.reserve_exact(more.min(room));
        }
        self.entries.push_back(Entry {
            t_ms: exemplar.t_ms,
            value: exemplar.value,
            older: NONE,
            newer: NONE,
            text_at,
            series,
            text_len: text.len() as u16,
            timed: exemplar.timed,
        });
        self.first + self.entries.len() as u64 - 1
    }

    /// Puts an entry into the list of a series, behind `older`, in front where that is
    /// no entry.
    fn link(&mut self, series: u32, number: u64, older: u64) {
        let Some(Some(list)) = self.series.get_mut(series as usize) else {
            return;
        };
        let newer = match older {
            NONE => std::mem::replace(&mut list.oldest, number),
            _ if older == list.newest => NONE,
            _ => self.entry(older).map_or(NONE, |entry| entry.newer),
        };
        if newer == NONE
            && let Some(Some(list)) = self.series.get_mut(series as usize)
        {
            list.newest = number;
        }
        if let Some(entry) = self.entry_mut(older) {
            entry.newer = number;
        }
        if let Some(entry) = self.entry_mut(newer) {
            entry.older = number;
        }
        if let Some(entry) = self.entry_mut(number) {
            (entry.older, entry.newer) = (older, newer);
        }
    }

    /// Returns the last entry of a series that is not newer than `t_ms`. Late ones
    /// are close to the newest as a rule, so the search begins there.
    fn not_newer(&self, series: u32, t_ms: i64) -> u64 {
        let mut number = self.series(series).map_or(NONE, |series| series.newest);
        while let Some(entry) = self.entry(number) {
            if entry.t_ms <= t_ms {
                break;
            }
            number = entry.older;
        }
        number
    }

    fn shorten(&mut self, len: usize) {
        while self.entries.len() > len {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        self.first += 1;
        self.texts.drain(..usize::from(entry.text_len));
        self.first_text += u64::from(entry.text_len);
        if let Some(older) = self.entry_mut(entry.older) {
            older.newer = entry.newer;
        }
        if let Some(newer) = self.entry_mut(entry.newer) {
            newer.older = entry.older;
        }
        let Some(Some(series)) = self.series.get_mut(entry.series as usize) else {
            return;
        };
        if entry.older == NONE {
            series.oldest = entry.newer;
        }
        if entry.newer == NONE {
            series.newest = entry.older;
        }
        if series.oldest == NONE {
            self.remove_series(entry.series);
        }
    }

    fn remove_series(&mut self, at: u32) {
        let Some(series) = self.series.get_mut(at as usize).and_then(Option::take) else {
            return;
        };
        self.label_bytes -= series.labels.len_bytes();
        let hash = self.hasher.hash_one(&series.labels);
        if let Ok(found) = self.by_labels.find_entry(hash, |&other| other == at) {
            found.remove();
        }
        self.unused.push(at);
    }

    fn find(&self, labels: &Labels) -> Option<u32> {
        let hash = self.hasher.hash_one(labels);
        let is_same = |&at: &u32| self.series(at).is_some_and(|s| s.labels == *labels);
        self.by_labels.find(hash, is_same).copied()
    }

    fn find_or_create(&mut self, labels: &Labels) -> u32 {
        if let Some(found) = self.find(labels) {
            return found;
        }
        let series = Some(Series {
            labels: labels.clone(),
            oldest: NONE,
            newest: NONE,
        });
        self.label_bytes += labels.len_bytes();
        let at = match self.unused.pop() {
            Some(at) => {
                self.series[at as usize] = series;
                at
            }
            None => {
                self.series.push(series);
                self.series.len() as u32 - 1
            }
        };
        let (all, hasher) = (&self.series, &self.hasher);
        let hash_of = |&at: &u32| {
            let series = all.get(at as usize).and_then(Option::as_ref);
            hasher.hash_one(series.map(|series| &series.labels).unwrap_or(labels))
        };
        let hash = hasher.hash_one(labels);
        self.by_labels.insert_unique(hash, at, hash_of);
        at
    }

    fn series(&self, at: u32) -> Option<&Series> {
        self.series.get(at as usize)?.as_ref()
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        let at = number.checked_sub(self.first)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    fn entry_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let at = number.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(at).ok()?)
    }

    fn exemplar(&self, entry: &Entry) -> Exemplar {
        let at = (entry.text_at - self.first_text) as usize;
        let bytes = self.texts.range(at..at + usize::from(entry.text_len));
        let bytes: Vec<u8> = bytes.copied().collect();
        let mut rest = &bytes[..];
        let mut pairs = Vec::new();
        // The ring wrote the texts itself.
        while let (Ok(name), Ok(value)) = (text::read(&mut rest), text::read(&mut rest)) {
            pairs.push((name, value));
        }
        Exemplar {
            labels: Labels::from_sorted(pairs),
            value: entry.value,
            t_ms: entry.t_ms,
            timed: entry.timed,
        }
    }

    /// Returns the exemplars in `range` of the series that satisfy all matchers of any
    /// set, in order of labels.
    pub(super) fn select(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        let satisfies = |labels: &Labels, matchers: &[Matcher]| {
            matchers
                .iter()
                .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
        };
        let mut found = Vec::new();
        for series in self.series.iter().flatten() {
            let times = self.entry(series.oldest).zip(self.entry(series.newest));
            let overlaps = times.is_some_and(|(oldest, newest)| {
                oldest.t_ms <= range.end_ms && newest.t_ms >= range.start_ms
            });
            let labels = &series.labels;
            if !overlaps || !sets.iter().any(|set| satisfies(labels, set)) {
                continue;
            }
            let mut exemplars = Vec::new();
            let mut number = series.oldest;
            while let Some(entry) = self.entry(number).filter(|e| e.t_ms <= range.end_ms) {
                if entry.t_ms >= range.start_ms {
                    exemplars.push(self.exemplar(entry));
                }
                number = entry.newer;
            }
            if !exemplars.is_empty() {
                let labels = labels.clone();
                found.push(SeriesExemplars { labels, exemplars });
            }
        }
        found.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    /// Bytes of the content, without what the queues hold in reserve.
    fn content_bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>()
            + self.texts.len()
            + self.n_series() * (size_of::<Series>() + 2 * size_of::<u32>())
            + self.label_bytes
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.texts.capacity()
            + self.series.capacity() * size_of::<Option<Series>>()
            + self.unused.capacity() * size_of::<u32>()
            + self.by_labels.allocation_size()
            + self.label_bytes
    }

    /// Appends everything; see `docs/formats/exemplars.md`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        varint::write_u64(out, self.n_series() as u64);
        // Series are numbered in the order in which they are written.
        let mut numbers = vec![0; self.series.len()];
        let mut n = 0u64;
        for (at, series) in self.series.iter().enumerate() {
            let Some(series) = series else { continue };
            numbers[at] = n;
            n += 1;
            varint::write_u64(out, series.labels.len() as u64);
            for (name, value) in &series.labels {
                text::write(out, name);
                text::write(out, value);
            }
        }
        varint::write_u64(out, self.entries.len() as u64);
        let mut last_ms = 0;
        for entry in &self.entries {
            varint::write_u64(out, numbers[entry.series as usize]);
            encode_exemplar(out, &self.exemplar(entry), &mut last_ms);
        }
    }

    /// Fills an empty ring with what [`Ring::encode`] wrote. Where that is more than
    /// fits, the last ones are kept.
    ///
    /// # Errors
    /// The bytes are none that it wrote. The ring then holds a part of them.
    pub(super) fn decode(&mut self, bytes: &mut &[u8]) -> Result<(), CodecError> {
        let labels = decode_series(bytes)?;
        let n = decode_count(bytes, MIN_ENTRY_BYTES)?;
        let skipped = n.saturating_sub(self.max);
        let mut last_ms = 0;
        for at in 0..n {
            let series = usize::try_from(varint::read_u64(bytes)?).unwrap_or(usize::MAX);
            let exemplar = decode_exemplar(bytes, &mut last_ms)?;
            let labels = labels.get(series);
            let labels = labels.ok_or(CodecError::Invalid("series of an exemplar"))?;
            if at >= skipped {
                let series = self.find_or_create(labels);
                self.push(series, &exemplar);
            }
        }
        self.link_all();
        self.keep_within_bytes();
        Ok(())
    }

    /// Links all entries, which are in no list. One by one each would look for its
    /// place, which takes long where times fall.
    fn link_all(&mut self) {
        let numbers = self.first..self.first + self.entries.len() as u64;
        let mut order: Vec<u64> = numbers.collect();
        order.sort_by_key(|&number| self.entry(number).map(|entry| (entry.series, entry.t_ms)));
        for number in order {
            let Some(series) = self.entry(number).map(|entry| entry.series) else {
                continue;
            };
            let newest = self.series(series).map_or(NONE, |series| series.newest);
            self.link(series, number, newest);
        }
    }
}

fn decode_series(bytes: &mut &[u8]) -> Result<Vec<Labels>, CodecError> {
    let n = decode_count(bytes, MIN_SERIES_BYTES)?;
    let mut series = Vec::new();
    for _ in 0..n {
        let n_labels = decode_count(bytes, 2)?;
        let mut pairs = Vec::with_capacity(n_labels);
        for _ in 0..n_labels {
            pairs.push((text::read(bytes)?, text::read(bytes)?));
        }
        let ascend = pairs.is_sorted_by(|(one, _), (next, _)| one < next);
        if pairs.is_empty() || !ascend || pairs.iter().any(|(_, value)| value.is_empty()) {
            return Err(CodecError::Invalid("labels of a series"));
        }
        series.push(Labels::from_sorted(pairs));
    }
    Ok(series)
}

/// Takes a number of things that take `min_bytes` of `bytes` each at least.
fn decode_count(bytes: &mut &[u8], min_bytes: usize) -> Result<usize, CodecError> {
    let found = varint::read_u64(bytes)?;
    let limit = (bytes.len() / min_bytes) as u64;
    if found > limit {
        return Err(CodecError::TooMany { found, limit });
    }
    Ok(found as usize)
}
