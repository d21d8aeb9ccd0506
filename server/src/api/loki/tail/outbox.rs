//! Entries that wait for a client that follows logs.
//!
//! Entries are held back as long as the client asked for and then sent in order of their
//! times. A client that takes them too slowly loses what does not fit; it is told of the
//! first few.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use kymo_query::logql::{LabelSet, LogLine};

/// Entries that wait at one time.
const MAX_ENTRIES: usize = 10_000;
/// Bytes of their lines.
const MAX_BYTES: usize = 8 << 20;
/// Entries of one message.
const MAX_SENT: usize = 1000;
/// Dropped entries that a message tells of.
const MAX_TOLD: usize = 10;

/// An entry that was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) t_ns: i64,
    pub(super) labels: LabelSet,
}

/// What is sent at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) entries: Vec<LogLine>,
    pub(super) dropped: Vec<Dropped>,
}

impl Batch {
    /// Takes as many entries from the front of others as a message may have, but one at
    /// least.
    pub(super) fn front(others: &mut VecDeque<LogLine>) -> Batch {
        let mut bytes = 0_usize;
        let fitting = others.iter().take(MAX_SENT).take_while(|entry| {
            bytes = bytes.saturating_add(entry.line.len());
            bytes <= MAX_BYTES
        });
        let count = fitting.count().max(1).min(others.len());
        Batch {
            entries: others.drain(..count).collect(),
            dropped: Vec::new(),
        }
    }
}

/// Entries that wait.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(Instant, LogLine)>,
    bytes: usize,
    dropped: Vec<Dropped>,
}

impl Outbox {
    /// Puts an entry in that may be sent from `due` on; false where there is no room.
    pub(super) fn put(&mut self, due: Instant, entry: LogLine) -> bool {
        let bytes = self.bytes + entry.line.len();
        if self.waiting.len() >= MAX_ENTRIES || bytes > MAX_BYTES {
            self.missed(entry.t_ns, entry.labels.merged());
            return false;
        }
        self.bytes = bytes;
        self.waiting.push_back((due, entry));
        true
    }

    /// Takes note of an entry that was not sent.
    pub(super) fn missed(&mut self, t_ns: i64, labels: LabelSet) {
        if self.dropped.len() < MAX_TOLD {
            self.dropped.push(Dropped { t_ns, labels });
        }
    }

    /// Removes entries that were sent already.
    pub(super) fn forget(&mut self, sent: &HashSet<u64>) {
        self.waiting.retain(|(_, entry)| {
            let keep = !sent.contains(&identity(entry));
            if !keep {
                self.bytes -= entry.line.len();
            }
            keep
        });
    }

    /// Returns when the next entry is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// Takes what is due; `None` where there is nothing to say.
    pub(super) fn take(&mut self, now: Instant) -> Option<Batch> {
        let due = self.waiting.iter().take_while(|(due, _)| *due <= now);
        let count = due.take(MAX_SENT).count();
        if count == 0 && self.dropped.is_empty() {
            return None;
        }
        let due = self.waiting.drain(..count).map(|(_, entry)| entry);
        let mut entries: Vec<LogLine> = due.collect();
        self.add_older(&mut entries);
        self.bytes -= entries.iter().map(|entry| entry.line.len()).sum::<usize>();
        // Stable: entries of one time stay in order of arrival.
        entries.sort_by_key(|entry| entry.t_ns);
        Some(Batch {
            entries,
            dropped: std::mem::take(&mut self.dropped),
        })
    }

    /// Adds what came later than all of `entries` and is older than one of them: the next
    /// message would be too late for it to be in order.
    fn add_older(&mut self, entries: &mut Vec<LogLine>) {
        let Some(newest_ns) = entries.iter().map(|entry| entry.t_ns).max() else {
            return;
        };
        for (due, entry) in std::mem::take(&mut self.waiting) {
            if entry.t_ns < newest_ns && entries.len() < MAX_SENT {
                entries.push(entry);
            } else {
                self.waiting.push_back((due, entry));
            }
        }
    }
}

/// Returns what tells an entry from others.
pub(super) fn identity(entry: &LogLine) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.t_ns.hash(&mut hasher);
    entry.line.hash(&mut hasher);
    entry.labels.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use kymo_query::logql::LineLabels;

    use super::*;
    use crate::clock;

    fn entry(t_ns: i64, len: usize) -> LogLine {
        LogLine {
            t_ns,
            line: vec![b'x'; len],
            labels: Arc::new(LineLabels {
                stream: LabelSet::from_pairs([("app", "a")]),
                ..LineLabels::default()
            }),
        }
    }

    fn times(batch: &Batch) -> Vec<i64> {
        batch.entries.iter().map(|entry| entry.t_ns).collect()
    }

    #[test]
    fn many_entries_are_several_messages() {
        let counts = |entries: Vec<LogLine>| {
            let mut left = VecDeque::from(entries);
            let mut counts = Vec::new();
            let mut t_ns = 0;
            while !left.is_empty() {
                let batch = Batch::front(&mut left);
                counts.push(batch.entries.len());
                for entry in batch.entries {
                    assert_eq!(entry.t_ns, t_ns);
                    t_ns += 1;
                }
            }
            counts
        };
        let small = |count: i64| (0..count).map(|t_ns| entry(t_ns, 1)).collect();
        assert_eq!(counts(small(2500)), [1000, 1000, 500]);
        assert_eq!(counts(small(1000)), [1000]);
        assert_eq!(counts(Vec::new()), [0_usize; 0]);
        let half = MAX_BYTES / 2;
        let large = [half, half, 1, MAX_BYTES + 1, half];
        let large = large
            .into_iter()
            .zip(0..)
            .map(|(len, t_ns)| entry(t_ns, len));
        assert_eq!(counts(large.collect()), [2, 1, 1, 1]);
    }

    #[test]
    fn entries_are_held_back_and_then_sent_in_order() {
        let (mut outbox, now) = (Outbox::default(), clock::monotonic());
        let later = now + Duration::from_secs(5);
        for t_ns in [5, 3, 4] {
            assert!(outbox.put(now, entry(t_ns, 1)));
        }
        assert!(outbox.put(later, entry(7, 1)));
        // It would be out of order later.
        assert!(outbox.put(later, entry(1, 1)));
        assert_eq!(times(&outbox.take(now).unwrap()), [1, 3, 4, 5]);
        assert_eq!(outbox.take(now), None);
        assert_eq!(outbox.next_due(), Some(later));
        assert_eq!(times(&outbox.take(later).unwrap()), [7]);
        assert_eq!((outbox.bytes, outbox.next_due()), (0, None));
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_told_of() {
        let (mut outbox, now) = (Outbox::default(), clock::monotonic());
        assert!(outbox.put(now, entry(0, MAX_BYTES)));
        for t_ns in 1..=20 {
            assert!(!outbox.put(now, entry(t_ns, 1)));
        }
        let batch = outbox.take(now).unwrap();
        assert_eq!(times(&batch), [0]);
        let told: Vec<i64> = batch.dropped.iter().map(|dropped| dropped.t_ns).collect();
        assert_eq!(told, (1..=10).collect::<Vec<i64>>());
        assert_eq!(batch.dropped[0].labels.get("app"), Some("a"));
        assert!(outbox.put(now, entry(21, 1)));
        assert_eq!(outbox.take(now).unwrap().dropped, []);
        for t_ns in 0..MAX_ENTRIES as i64 {
            assert!(outbox.put(now, entry(t_ns, 0)));
        }
        assert!(!outbox.put(now, entry(0, 0)));
        assert_eq!(outbox.take(now).unwrap().entries.len(), MAX_SENT);
    }

    #[test]
    fn what_was_sent_is_not_sent_again() {
        let (mut outbox, now) = (Outbox::default(), clock::monotonic());
        for t_ns in [1, 2, 3] {
            outbox.put(now, entry(t_ns, 7));
        }
        outbox.forget(&HashSet::from([identity(&entry(2, 7))]));
        assert_eq!(times(&outbox.take(now).unwrap()), [1, 3]);
        assert_eq!(outbox.bytes, 0);
    }
}
