use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::fs::Dir;
use crate::model::{Labels, MatchOp, Matcher, TimeRange, stale_marker};
use crate::{AppendError, StorageError, StoreOptions, SyncPolicy};

mod blocks;
mod deletion;
mod histogram_blocks;
mod histograms;
mod late;
mod late_model;
mod model;
mod order;
mod pressure;
mod reopen;
mod retention;
mod snapshots;
mod start;

const HOUR: i64 = 3_600_000;

/// Lets so many pieces of work be done, and breaks off then.
fn turns(n: usize) -> impl FnMut() -> ControlFlow<()> {
    let mut turn = 0;
    move || {
        turn += 1;
        match turn <= n {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

struct Place {
    dir: tempfile::TempDir,
    options: StoreOptions,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(dir.path());
    options.shards = 4;
    options.wal_sync = SyncPolicy::Never;
    Place { dir, options }
}

impl Place {
    fn open(&self) -> MetricStore {
        let (store, recovery) = MetricStore::open(&self.options).unwrap();
        assert_eq!(recovery.damages, []);
        store
    }

    /// The files of the log that are not empty, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for shard in fs::read_dir(self.dir.path().join("wal")).unwrap() {
            for file in fs::read_dir(shard.unwrap().path()).unwrap() {
                found.push(file.unwrap().path());
            }
        }
        found.sort();
        found
    }
}

fn labels(text: &str) -> Labels {
    let pairs = text.split(',').map(|pair| pair.split_once('=').unwrap());
    Labels::from_pairs(pairs)
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(MatchOp::Equal, name, value).unwrap()
}

fn all() -> Vec<Matcher> {
    Vec::new()
}

fn write(store: &MetricStore, samples: &[(&str, i64, f64)]) -> Committed {
    let mut appender = store.appender();
    for &(series, t_ms, value) in samples {
        let series = appender.series(&labels(series)).unwrap();
        appender.append(series, t_ms, value).unwrap();
    }
    appender.commit().unwrap()
}

type Samples = Vec<(i64, u64)>;

fn read_selection(selection: &Selection) -> Vec<(Labels, Samples)> {
    let (mut t, mut v) = (Vec::new(), Vec::new());
    (0..selection.len())
        .map(|index| {
            selection.read(index, &mut t, &mut v).unwrap();
            let samples = t.iter().zip(&v).map(|(&t, v)| (t, v.to_bits()));
            (selection.labels(index), samples.collect())
        })
        .collect()
}

fn read(store: &MetricStore, matchers: &[Matcher], range: TimeRange) -> Vec<(Labels, Samples)> {
    read_selection(&store.select(matchers, range).unwrap())
}

fn content(store: &MetricStore) -> BTreeMap<Labels, Samples> {
    read(store, &all(), TimeRange::ALL).into_iter().collect()
}

#[test]
fn committed_samples_are_selected_in_order_of_creation() {
    let place = place();
    let store = place.open();
    let done = write(
        &store,
        &[
            ("n=z,i=1", 1000, 1.0),
            ("n=a,i=1", 1000, 2.0),
            ("n=z,i=2", 1000, 3.0),
        ],
    );
    assert_eq!((done.samples, done.series, done.dropped), (3, 3, 0));
    write(&store, &[("n=a,i=1", 2000, 2.5)]);
    let found = read(&store, &all(), TimeRange::ALL);
    let names: Vec<&Labels> = found.iter().map(|(labels, _)| labels).collect();
    assert_eq!(
        names,
        [&labels("n=z,i=1"), &labels("n=a,i=1"), &labels("n=z,i=2")]
    );
    assert_eq!(
        found[1].1,
        [(1000, 2f64.to_bits()), (2000, 2.5f64.to_bits())]
    );
    let some = read(&store, &[equal("n", "z")], TimeRange::new(0, 999));
    assert!(some.is_empty());
    assert_eq!(
        read(&store, &[equal("n", "a")], TimeRange::new(1500, 2000)).len(),
        1
    );
}

#[test]
fn the_newest_sample_is_the_same_without_the_others() {
    let place = place();
    let store = place.open();
    // Enough to seal chunks; one series ends early, one with a stale marker.
    for t_ms in 1..=700 {
        write(&store, &[("a=1,b=2,n=x", t_ms, t_ms as f64 * 0.1)]);
        if t_ms <= 300 {
            write(&store, &[("a=1,b=3", t_ms, 1.0)]);
        }
    }
    write(&store, &[("a=1,n=y", 500, stale_marker())]);
    let newest = |(labels, samples): (Labels, Samples)| (labels, samples.last().copied());
    for (start_ms, end_ms) in [
        (0, 700),
        (0, 900),
        (690, 699),
        (250, 650),
        (1, 1),
        (600, 800),
    ] {
        let range = TimeRange::new(start_ms, end_ms);
        let expected = read(&store, &all(), range).into_iter().map(newest);
        let selection = store.select_newest(&all(), range).unwrap();
        let found = read_selection(&selection).into_iter().map(newest);
        assert!(found.eq(expected), "{start_ms}..{end_ms}");
        for index in 0..selection.len() {
            let all = selection.labels(index);
            let some = all.iter().filter(|(name, _)| *name != "b");
            let named = selection.labels_named(index, &["n", "none", "a"]);
            assert_eq!(named, Labels::from_sorted(some));
        }
    }
    let selection = store.select_newest(&all(), TimeRange::new(0, 900)).unwrap();
    let read = read_selection(&selection);
    assert_eq!(read[0].1.len(), 1, "nothing else is copied");
}

#[test]
fn samples_are_accepted_and_refused_as_in_prometheus() {
    let place = place();
    let store = place.open();
    let now = 10 * HOUR;
    write(&store, &[("a=1", now, 1.0), ("b=1", now - HOUR / 2, 1.0)]);
    let mut appender = store.appender();
    let a = appender.series(&labels("a=1")).unwrap();
    let b = appender.series(&labels("b=1")).unwrap();
    assert_eq!(appender.append(a, now, 1.0), Ok(()));
    let error = appender.append(a, now, 2.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "duplicate sample for timestamp 36000000; overrides not allowed: existing 1, new value 2"
    );
    assert_eq!(
        appender.append(a, now - 1, 1.0),
        Err(AppendError::OutOfOrder)
    );
    // The bound is an hour behind the newest sample of any series, and comes first.
    assert_eq!(
        appender.append(a, now - HOUR - 1, 1.0),
        Err(AppendError::OutOfBounds)
    );
    assert_eq!(
        appender.append(b, now - HOUR - 1, 1.0),
        Err(AppendError::OutOfBounds)
    );
    assert_eq!(
        appender.append(b, now - HOUR, 1.0),
        Err(AppendError::OutOfOrder)
    );
    assert_eq!(appender.append(b, now - HOUR / 4, 1.0), Ok(()));
    // Conflicts inside one transaction are settled at commit: the first sample stays.
    assert_eq!(appender.append(b, now - HOUR / 4, 2.0), Ok(()));
    assert_eq!(appender.append(b, now - HOUR / 3, 2.0), Ok(()));
    let done = appender.commit().unwrap();
    assert_eq!((done.samples, done.dropped), (1, 2));
    let found = read(&store, &[equal("b", "1")], TimeRange::ALL);
    assert_eq!(found[0].1.last(), Some(&(now - HOUR / 4, 1f64.to_bits())));
    let stats = store.stats();
    assert_eq!(stats.out_of_order_total, 3);
    assert_eq!(stats.duplicate_total, 2);
    assert_eq!(stats.out_of_bounds_total, 2);
}

#[test]
fn the_first_sample_of_an_empty_store_sets_the_bound() {
    let place = place();
    let store = place.open();
    let mut appender = store.appender();
    let a = appender.series(&labels("a=1")).unwrap();
    assert_eq!(appender.append(a, 5 * HOUR, 1.0), Ok(()));
    assert_eq!(
        appender.append(a, 3 * HOUR, 1.0),
        Err(AppendError::OutOfBounds)
    );
    assert_eq!(appender.append(a, 9 * HOUR, 1.0), Ok(()));
    appender.rollback();
    assert!(store.select(&all(), TimeRange::ALL).unwrap().is_empty());
    assert_eq!(store.stats().active_appenders, 0);
}

#[test]
fn what_cannot_be_a_series_is_refused() {
    let mut place = place();
    place.options.max_series = 2;
    let store = place.open();
    let mut appender = store.appender();
    let error = appender.series(&Labels::empty()).unwrap_err();
    assert_eq!(error.to_string(), "empty labelset: invalid sample");
    let huge = "x".repeat(2 << 20);
    assert!(matches!(
        appender.series(&Labels::from_pairs([("a", huge)])),
        Err(AppendError::InvalidLabels(_))
    ));
    appender.series(&labels("a=1")).unwrap();
    appender.series(&labels("a=2")).unwrap();
    appender.series(&labels("a=1")).unwrap();
    assert_eq!(
        appender.series(&labels("a=3")),
        Err(AppendError::SeriesLimit { limit: 2 })
    );
    assert_eq!(store.stats().series_limit_total, 1);
}

#[test]
fn raw_keys_find_their_series() {
    let place = place();
    let store = place.open();
    let key = |n: u32| store.raw_key(format!("bytes {n}").as_bytes());
    let sample = |n, t_ms, value| RawSample {
        key: key(n),
        t_ms,
        value,
    };
    let (mut misses, mut rejected) = (Vec::new(), Vec::new());
    let mut appender = store.appender();
    let batch: Vec<RawSample> = (0..100).map(|n| sample(n, 1000, 1.0)).collect();
    appender.append_raw(&batch, &mut misses, &mut rejected);
    assert_eq!(misses, (0..100).collect::<Vec<_>>());
    for n in (0..100).step_by(2) {
        let series = appender.series(&labels(&format!("n={n}"))).unwrap();
        appender.alias(key(n), series);
        assert_eq!(appender.raw_series(key(n)), Some(series));
        appender.append(series, 1000, 1.0).unwrap();
    }
    appender.commit().unwrap();
    let (mut misses, mut rejected) = (Vec::new(), Vec::new());
    let batch: Vec<RawSample> = (0..100)
        .map(|n| sample(n, if n % 10 == 0 { 900 } else { 2000 }, 1.0))
        .collect();
    let mut appender = store.appender();
    appender.append_raw(&batch, &mut misses, &mut rejected);
    assert_eq!(misses, (1..100).step_by(2).collect::<Vec<_>>());
    let expected: Vec<_> = (0..100)
        .step_by(10)
        .map(|n| (n, AppendError::OutOfOrder))
        .collect();
    assert_eq!(rejected, expected);
    assert_eq!(appender.commit().unwrap().samples, 40);
}

/// Eight series always get their samples in one transaction, from two writers; no
/// reader may ever see them at different lengths.
#[test]
fn selections_see_whole_transactions() {
    let place = place();
    let store = Arc::new(place.open());
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|group| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut t_ms = 0;
                while !stop.load(Ordering::Relaxed) || t_ms < 2000 {
                    t_ms += 1;
                    let mut appender = store.appender();
                    for n in 0..8 {
                        let series = labels(&format!("group={group},n={n}"));
                        let series = appender.series(&series).unwrap();
                        appender.append(series, t_ms, t_ms as f64).unwrap();
                    }
                    appender.commit().unwrap();
                    // What was acknowledged is seen by whoever asks then.
                    if t_ms % 50 == 0 {
                        let range = TimeRange::new(t_ms, t_ms);
                        let matchers = [equal("group", &group.to_string())];
                        assert_eq!(store.select(&matchers, range).unwrap().len(), 8);
                    }
                }
                t_ms
            })
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                for _ in 0..300 {
                    for group in ["0", "1"] {
                        let matchers = [equal("group", group)];
                        let newest = store.select_newest(&matchers, TimeRange::ALL).unwrap();
                        let newest = read_selection(&newest);
                        assert!(newest.windows(2).all(|w| w[0].1.last() == w[1].1.last()));
                        let found = read(&store, &matchers, TimeRange::ALL);
                        assert!(found.is_empty() || found.len() == 8, "{}", found.len());
                        let lens: Vec<usize> = found.iter().map(|(_, s)| s.len()).collect();
                        assert!(lens.windows(2).all(|w| w[0] == w[1]), "{lens:?}");
                    }
                }
            })
        })
        .collect();
    for reader in readers {
        reader.join().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let written: Vec<i64> = writers.into_iter().map(|w| w.join().unwrap()).collect();
    let found = content(&store);
    assert_eq!(found[&labels("group=0,n=3")].len(), written[0] as usize);
    assert_eq!(found[&labels("group=1,n=3")].len(), written[1] as usize);
}

#[test]
fn names_values_and_sets_are_listed() {
    let place = place();
    let store = place.open();
    write(
        &store,
        &[
            ("__name__=up,job=a,i=1", 1000, 1.0),
            ("__name__=up,job=b,i=2", 1000, 1.0),
            ("__name__=down,job=b", 5000, 1.0),
        ],
    );
    let range = TimeRange::ALL;
    let b = vec![equal("job", "b")];
    assert_eq!(
        store.label_names(&[], range, 0).unwrap(),
        ["__name__", "i", "job"]
    );
    assert_eq!(store.label_names(&[], range, 2).unwrap(), ["__name__", "i"]);
    assert_eq!(
        store.label_values("job", &[], range, 0).unwrap(),
        ["a", "b"]
    );
    let values = store.label_values("__name__", std::slice::from_ref(&b), range, 0);
    assert_eq!(values.unwrap(), ["down", "up"]);
    let down = vec![equal("__name__", "down")];
    assert_eq!(
        store
            .label_names(std::slice::from_ref(&down), range, 0)
            .unwrap(),
        ["__name__", "job"]
    );
    // Values do not look at times inside what is stored, label sets do.
    let early = TimeRange::new(0, 2000);
    assert_eq!(
        store.label_values("__name__", &[], early, 0).unwrap(),
        ["down", "up"]
    );
    let sets = [b.clone(), down.clone(), b];
    assert_eq!(
        store.series(&sets, early, 0).unwrap(),
        [labels("__name__=up,job=b,i=2")]
    );
    assert_eq!(
        store.series(&sets, range, 0).unwrap(),
        [
            labels("__name__=down,job=b"),
            labels("__name__=up,job=b,i=2")
        ]
    );
    assert_eq!(store.series(&sets, range, 1).unwrap().len(), 1);
    let before = TimeRange::new(0, 999);
    assert!(store.label_names(&[], before, 0).unwrap().is_empty());
    let after = TimeRange::new(5001, i64::MAX);
    assert!(store.label_values("job", &[], after, 0).unwrap().is_empty());
    assert!(
        store
            .label_values("absent", &[], range, 0)
            .unwrap()
            .is_empty()
    );

    let cardinality = store.cardinality(2);
    assert_eq!(cardinality.series, 3);
    assert_eq!(cardinality.label_pairs, 6);
    let pairs = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs
            .iter()
            .map(|&(name, n)| (name.to_owned(), n))
            .collect()
    };
    assert_eq!(
        cardinality.series_by_metric_name,
        pairs(&[("up", 2), ("down", 1)])
    );
    assert_eq!(
        cardinality.values_by_label_name,
        pairs(&[("__name__", 2), ("i", 2)])
    );
    assert_eq!(
        cardinality.bytes_by_label_name,
        pairs(&[("__name__", 8), ("job", 3)])
    );
    assert_eq!(
        cardinality.series_by_label_pair,
        pairs(&[("__name__=up", 2), ("job=b", 2)])
    );
}

#[test]
fn hundred_thousand_series() {
    let place = place();
    let store = place.open();
    for block in 0..100 {
        let mut appender = store.appender();
        for n in 0..1000 {
            let series = Labels::from_pairs([
                ("__name__".to_owned(), format!("metric_{}", n % 50)),
                ("instance".to_owned(), format!("host-{block}")),
                ("n".to_owned(), n.to_string()),
            ]);
            let series = appender.series(&series).unwrap();
            appender.append(series, 1000, n as f64).unwrap();
        }
        appender.commit().unwrap();
    }
    assert_eq!(store.stats().series, 100_000);
    let range = TimeRange::ALL;
    assert_eq!(store.select(&all(), range).unwrap().len(), 100_000);
    let host = [equal("instance", "host-7"), equal("__name__", "metric_3")];
    assert_eq!(store.select(&host, range).unwrap().len(), 20);
    let regex = Matcher::new(MatchOp::Regex, "instance", "host-1[0-9]").unwrap();
    assert_eq!(
        store
            .select(&[regex, equal("n", "5")], range)
            .unwrap()
            .len(),
        10
    );
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, i64, f64)>),
    Rollback(Vec<(u8, i64, f64)>),
    Reopen,
}

fn a_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        5 => (-500i32..500).prop_map(|d| f64::from(d) / 100.0),
        2 => Just(1.0),
        1 => Just(stale_marker()),
        1 => Just(f64::from_bits(0x7ff8_0000_0000_1234)),
        1 => any::<u64>().prop_map(f64::from_bits),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let samples = || proptest::collection::vec((0u8..6, 0i64..3000, a_value()), 0..40);
    let step = prop_oneof![
        8 => samples().prop_map(Step::Commit),
        1 => samples().prop_map(Step::Rollback),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The store against a map: same answers to every append, same samples to the
    /// bit, whatever is rolled back or reopened in between.
    #[test]
    fn behaves_as_a_map(steps in steps()) {
        let place = place();
        let mut store = place.open();
        let mut model: BTreeMap<u8, Vec<(i64, f64)>> = BTreeMap::new();
        let name = |n: u8| labels(&format!("n={n},const=x"));
        for step in steps {
            match step {
                Step::Reopen => {
                    drop(store);
                    store = place.open();
                }
                Step::Commit(samples) | Step::Rollback(samples) if samples.is_empty() => {}
                Step::Rollback(samples) => {
                    let mut appender = store.appender();
                    for (n, t_ms, value) in samples {
                        let series = appender.series(&name(n)).unwrap();
                        let _ = appender.append(series, t_ms, value);
                    }
                    appender.rollback();
                }
                Step::Commit(samples) => {
                    let mut appender = store.appender();
                    let mut pending = Vec::new();
                    for (n, t_ms, value) in samples {
                        let series = appender.series(&name(n)).unwrap();
                        let answer = appender.append(series, t_ms, value);
                        let expected = match model.get(&n).and_then(|s| s.last()) {
                            Some(&(last_ms, _)) if t_ms < last_ms => Err(AppendError::OutOfOrder),
                            Some(&(last_ms, last)) if t_ms == last_ms => {
                                if last.to_bits() == value.to_bits() { Ok(()) } else {
                                    Err(AppendError::DuplicateTimestamp { t_ms, existing: last, new: value })
                                }
                            }
                            _ => Ok(()),
                        };
                        prop_assert_eq!(format!("{:?}", &answer), format!("{:?}", expected));
                        if answer.is_ok() {
                            pending.push((n, t_ms, value));
                        }
                    }
                    let done = appender.commit().unwrap();
                    let mut stored = 0;
                    for (n, t_ms, value) in pending {
                        let samples = model.entry(n).or_default();
                        if samples.last().is_none_or(|last| last.0 < t_ms) {
                            samples.push((t_ms, value));
                            stored += 1;
                        }
                    }
                    prop_assert_eq!(done.samples, stored);
                }
            }
            let expected: BTreeMap<Labels, Samples> = model
                .iter()
                .map(|(&n, s)| (name(n), s.iter().map(|&(t, v)| (t, v.to_bits())).collect()))
                .collect();
            prop_assert_eq!(content(&store), expected);
            let range = TimeRange::new(700, 1900);
            for (labels, samples) in read(&store, &all(), range) {
                let n = labels.get("n").unwrap().parse::<u8>().unwrap();
                let expected = model[&n].iter().filter(|s| range.contains(s.0));
                let expected: Samples = expected.map(|&(t, v)| (t, v.to_bits())).collect();
                prop_assert_eq!(samples, expected);
            }
        }
    }
}

#[test]
fn times_of_one_scrape_are_told_to_be_the_same() {
    let place = place();
    let store = place.open();
    for t in 0..700 {
        let samples = [("n=a", t * 10, t as f64), ("n=b", t * 10, 0.5)];
        write(&store, &samples);
        write(&store, &[("n=c", t * 10 + 1, 1.0)]);
    }
    let selection = store.select(&all(), TimeRange::new(15, 6000)).unwrap();
    let (mut t, mut v) = (Vec::new(), Vec::new());
    let mut read = |index, t: &mut Vec<i64>| {
        let times = selection.read(index, t, &mut v).unwrap();
        assert_eq!(v.len(), t.len());
        times
    };
    assert_eq!(read(0, &mut t), Times::New);
    let expected: Vec<i64> = (2..=600).map(|t| t * 10).collect();
    assert_eq!(t, expected);
    assert_eq!(read(1, &mut t), Times::Same);
    assert_eq!(t, expected);
    assert_eq!(read(2, &mut t), Times::New);
    assert_eq!((t[0], t.len()), (21, 598));
    assert_eq!(read(2, &mut t), Times::Same);
    // What the caller did to its buffer is noticed.
    t.remove(77);
    assert_eq!(read(2, &mut t), Times::New);
    assert_eq!(t.len(), 598);
    // Readers at the same time do not disturb each other.
    std::thread::scope(|scope| {
        for first in 0..3 {
            let selection = &selection;
            scope.spawn(move || {
                let (mut t, mut v) = (Vec::new(), Vec::new());
                for index in (0..3).cycle().skip(first).take(300) {
                    selection.read(index, &mut t, &mut v).unwrap();
                    let start = if index == 2 { 21 } else { 20 };
                    assert_eq!((t[0], t[1] - t[0]), (start, 10));
                    assert_eq!(
                        (t.len(), v.len()),
                        if index == 2 { (598, 598) } else { (599, 599) }
                    );
                }
            });
        }
    });
}
