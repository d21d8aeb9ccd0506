//! Whole lives of a store: every kind of operation in random order, with restarts and with
//! crashes at random moments, against a plain list of what has to be there.
//!
//! How many lives are lived says [`lives`]; each is cut in `CUTS_PER_LIFE` places.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::flush::DAY_NS;
use super::*;
use crate::SyncPolicy;
use crate::fs::crash::CrashDir;
use crate::fs::lives::{self, Chance};
use crate::model::{Labels, LogEntry, MatchOp, Matcher, NanoRange, StreamBatch};

/// Lives in an ordinary test run.
const LIVES: u64 = 16;
/// Crashes that are tried of each.
const CUTS_PER_LIFE: usize = 12;
/// Operations of a life.
const STEPS: usize = 60;
/// Streams.
const N_STREAMS: u64 = 5;

/// Lines by stream and time, in order of arrival.
type Content = BTreeMap<(u64, i64), Vec<String>>;

/// A store on a recording directory, and what it has to hold.
struct Life {
    chance: Chance,
    options: LogStoreOptions,
    dir: CrashDir,
    store: Option<LogStore>,
    now_ns: i64,
    content: Content,
    /// By deletion, what it hid of what was there.
    hidden: BTreeMap<u64, Content>,
    retention: LogRetention,
    /// After how many changes of the disk which content was acknowledged.
    ledger: Vec<(usize, Content)>,
    written: u64,
}

fn labels_of(stream: u64) -> Labels {
    Labels::from_pairs([
        ("app", format!("a{}", stream % 2)),
        ("n", stream.to_string()),
    ])
}

/// Finds the lines with an even number.
fn even() -> EntryFilter {
    Arc::new(|_, entry| entry.line.last().is_some_and(|digit| digit % 2 == 0))
}

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl Life {
    fn begin(seed: u64, wal_sync: SyncPolicy) -> Life {
        let mut chance = Chance(seed);
        let mut options = LogStoreOptions::new("/life");
        options.wal_sync = wal_sync;
        options.wal_segment_bytes = 256 << chance.below(4);
        options.filters = Some(FilterCompiler::new(|_| Ok(even())));
        let retention = LogRetention {
            time_ns: [None, Some(3 * DAY_NS)][chance.below(2) as usize],
            size_bytes: None,
            streams: match chance.below(3) {
                0 => vec![StreamRetention {
                    matchers: vec![Matcher::new(MatchOp::Equal, "n", "1").unwrap()],
                    time_ns: [None, Some(DAY_NS)][chance.below(2) as usize],
                }],
                _ => Vec::new(),
            },
        };
        let mut life = Life {
            chance,
            options,
            dir: CrashDir::new("/life"),
            store: None,
            now_ns: 10 * DAY_NS,
            content: Content::new(),
            hidden: BTreeMap::new(),
            retention,
            ledger: Vec::new(),
            written: 0,
        };
        life.open();
        life
    }

    fn open(&mut self) {
        let (store, recovery) = LogStore::open_in(&self.dir, &self.options).unwrap();
        assert_eq!(recovery.damages, []);
        self.store = Some(store);
    }

    fn store(&self) -> &LogStore {
        self.store.as_ref().unwrap()
    }

    fn step(&mut self) {
        match self.chance.below(20) {
            0..=10 => self.write(),
            11..=13 => {
                self.store().flush(&mut on).unwrap();
            }
            14 | 15 => {
                let now_ns = self.now_ns;
                self.store()
                    .maintain(now_ns, &self.retention, &mut on)
                    .unwrap();
                self.forget_old();
            }
            16 | 17 => match self.chance.below(4) {
                0 => self.cancel(),
                _ => self.delete(),
            },
            _ => self.restart(),
        }
        self.ledger.push((self.dir.ops(), self.content.clone()));
    }

    fn write(&mut self) {
        for _ in 0..1 + self.chance.below(4) {
            self.now_ns += [1, 1_000, DAY_NS / 7][self.chance.below(3) as usize];
            let mut batches = Vec::new();
            for stream in 0..N_STREAMS {
                let mut entries = Vec::new();
                for _ in 0..self.chance.below(4) {
                    let back = [0, 0, 1, 5_000, DAY_NS][self.chance.below(5) as usize];
                    let t_ns = self.now_ns - back;
                    self.written += 1;
                    let line = format!("line {}", self.written);
                    self.content
                        .entry((stream, t_ns))
                        .or_default()
                        .push(line.clone());
                    entries.push(LogEntry {
                        t_ns,
                        line: line.into_bytes().into(),
                        metadata: Default::default(),
                    });
                }
                batches.push(StreamBatch {
                    labels: labels_of(stream),
                    entries,
                });
            }
            let pushed = self.store().push(&batches).unwrap();
            let wanted: usize = batches.iter().map(|batch| batch.entries.len()).sum();
            assert_eq!(pushed.entries as usize, wanted);
            // Once more: nothing of it is new while it is in memory.
            if self.chance.below(4) == 0 {
                assert_eq!(self.store().push(&batches).unwrap().entries, 0);
            }
        }
    }

    fn delete(&mut self) {
        let app = format!("a{}", self.chance.below(2));
        let start_ns = self.now_ns - self.chance.below(3 * DAY_NS as u64) as i64;
        let end_ns = start_ns + self.chance.below(2 * DAY_NS as u64) as i64;
        let range = NanoRange { start_ns, end_ns };
        let filter = [None, Some(even())][self.chance.below(2) as usize].clone();
        let is_even = |line: &String| line.as_bytes().last().is_some_and(|d| d % 2 == 0);
        let hide = |content: &mut Content| {
            let mut hidden = Content::new();
            for (key, lines) in content {
                if labels_of(key.0).get("app") == Some(&app) && range.contains(key.1) {
                    let found = lines.extract_if(.., |line| filter.is_none() || is_even(line));
                    hidden.insert(*key, found.collect());
                }
            }
            hidden
        };
        let mut hidden = hide(&mut self.content);
        for before in self.hidden.values() {
            // What is hidden already is hidden by this one, too.
            for (key, lines) in hide(&mut before.clone()) {
                hidden.entry(key).or_default().extend(lines);
            }
        }
        let request = DeleteRequest {
            matchers: vec![Matcher::new(MatchOp::Equal, "app", &app).unwrap()],
            range,
            query: "even".to_owned(),
            filter,
            created_ns: self.now_ns,
        };
        let number = self.store().delete(request).unwrap();
        self.hidden.insert(number, hidden);
    }

    /// Cancels a deletion. Where that is done it was applied to nothing, so that all it hid
    /// is there again.
    fn cancel(&mut self) {
        let numbers: Vec<u64> = self.hidden.keys().copied().collect();
        let Some(last) = numbers.len().checked_sub(1) else {
            return;
        };
        let number = numbers[last - self.chance.below(numbers.len().min(3) as u64) as usize];
        let cancelled = self.store().cancel_deletion(number, false).unwrap();
        if cancelled != Cancelled::Done {
            return;
        }
        let shown = self.hidden.remove(&number).unwrap_or_default();
        for (key, lines) in shown {
            let mut others = self.hidden.values();
            let others: Vec<&String> = others
                .by_ref()
                .filter_map(|of| of.get(&key))
                .flatten()
                .collect();
            let all = self.content.entry(key).or_default();
            all.extend(lines.into_iter().filter(|line| !others.contains(&line)));
            all.sort_by_key(|line| line[5..].parse::<u64>().unwrap());
            all.dedup();
        }
    }

    /// After retention: what is in no part and not in memory may be gone.
    fn forget_old(&mut self) {
        let found = read(self.store());
        let none = Vec::new();
        for (key, lines) in &mut self.content {
            if key.1 < self.retention.kept_from_ns(&labels_of(key.0), self.now_ns) {
                let left = found.get(key).unwrap_or(&none);
                lines.retain(|line| left.contains(line));
            }
        }
    }

    fn restart(&mut self) {
        let store = self.store.take().unwrap();
        match self.chance.below(2) {
            0 => store.close().unwrap(),
            _ => drop(store),
        }
        self.open();
    }

    fn check(&self) {
        check_equal(&read(self.store()), &without_empty(&self.content));
    }
}

/// As `assert_eq`, and says only where they differ.
fn check_equal(found: &Content, wanted: &Content) {
    for key in found.keys().chain(wanted.keys()) {
        assert_eq!(found.get(key), wanted.get(key), "{key:?}");
    }
}

fn without_empty(content: &Content) -> Content {
    let mut content = content.clone();
    content.retain(|_, lines| !lines.is_empty());
    content
}

fn read(store: &LogStore) -> Content {
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    let mut content = Content::new();
    assert!(selection.groups().is_sorted_by_key(|group| group.first_ns));
    for (group, info) in selection.groups().iter().enumerate() {
        let mut last = BTreeMap::new();
        let mut n = 0;
        let read = selection.read(group, &mut |entry| {
            assert!((info.first_ns..=info.last_ns).contains(&entry.t_ns));
            n += 1;
            let labels = &selection.streams()[entry.stream as usize];
            let stream = labels.get("n").unwrap().parse().unwrap();
            let before = last.insert(entry.stream, entry.t_ns);
            assert!(before.is_none_or(|before| before <= entry.t_ns));
            let line = String::from_utf8(entry.line.to_vec()).unwrap();
            content.entry((stream, entry.t_ns)).or_default().push(line);
        });
        read.unwrap();
        assert!(n <= info.entries);
    }
    content
}

/// Checks what a crash left: all that had been acknowledged, in order, and nothing but
/// what was being done besides.
fn check_crash(found: &Content, before: &Content, after: &Content) {
    let none = Vec::new();
    for (key, lines) in found {
        let known = |content: &Content, line: &String| {
            content.get(key).is_some_and(|lines| lines.contains(line))
        };
        for line in lines {
            assert!(
                known(before, line) || known(after, line),
                "{line:?} at {key:?}"
            );
        }
        let mut sorted = lines.clone();
        sorted.sort_by_key(|line| line[5..].parse::<u64>().unwrap());
        sorted.dedup();
        assert_eq!(lines, &sorted, "order at {key:?}");
    }
    for (key, lines) in before {
        let (of_after, of_found) = (
            after.get(key).unwrap_or(&none),
            found.get(key).unwrap_or(&none),
        );
        for line in lines.iter().filter(|line| of_after.contains(line)) {
            assert!(of_found.contains(line), "{line:?} at {key:?} is lost");
        }
    }
}

fn live(seed: u64) {
    let (wal_sync, losses) = lives::losses(seed);
    let mut life = Life::begin(seed, wal_sync);
    let begun = life.dir.ops();
    life.ledger.push((begun, Content::new()));
    for _ in 0..STEPS {
        life.step();
        life.check();
    }
    life.store = None;
    for turn in 0..CUTS_PER_LIFE {
        let cut = lives::cut(&mut life.chance, &life.dir, begun);
        let loss = losses[turn % 2];
        let image = life.dir.image(cut, loss);
        let (store, _) = LogStore::open_in(&image, &life.options)
            .unwrap_or_else(|error| panic!("{cut:?} {loss:?}: {error}"));
        let (before, after) = lives::around(&life.ledger, cut);
        check_crash(&read(&store), before, after);
        // It goes on as if nothing had happened.
        let found = read(&store);
        store.flush(&mut on).unwrap();
        store
            .maintain(0, &LogRetention::default(), &mut on)
            .unwrap();
        check_equal(&read(&store), &found);
        drop(store);
        let (store, recovery) = LogStore::open_in(&image, &life.options).unwrap();
        assert_eq!(recovery.damages, []);
        check_equal(&read(&store), &found);
    }
}

/// Process kills and power losses, torn and unsynced writes.
#[test]
fn lives_end_anywhere_and_lose_nothing_acknowledged() {
    lives::live_all(LIVES, live);
}
