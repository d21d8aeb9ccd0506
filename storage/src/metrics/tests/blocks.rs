//! Samples on their way from the head through ever larger blocks.

use std::ops::ControlFlow;

use super::*;

/// Range of a block in these tests, in milliseconds.
const RANGE: i64 = 1000;

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn short_ranges() -> Place {
    let mut place = place();
    place.options.block_range_ms = RANGE;
    place
}

fn compact(store: &MetricStore) -> Compacted {
    store.compact(&Retention::default(), &mut on).unwrap()
}

fn keep(time_ms: Option<i64>, size_bytes: Option<u64>) -> Retention {
    Retention {
        time_ms,
        size_bytes,
    }
}

/// Writes samples of some series every 50 ms; every third series has holes.
fn fill(store: &MetricStore, from_ms: i64, to_ms: i64) {
    for t in (from_ms..to_ms).step_by(50) {
        let mut appender = store.appender();
        for n in (0..12).rev() {
            if n % 3 == 0 && t / 700 % 2 == 0 {
                continue;
            }
            let text = format!("n=m{},i=i{n}", n % 4);
            let series = appender.series(&labels(&text)).unwrap();
            let value = (t / 50 * (n + 3) * 7919 % 1013) as f64 / 8.0;
            appender.append(series, t, value).unwrap();
        }
        appender.commit().unwrap();
    }
}

/// The same samples in a store that never makes a block.
fn without_blocks(from_ms: i64, to_ms: i64) -> (Place, MetricStore) {
    let mut place = place();
    place.options.block_range_ms = 1 << 40;
    let store = place.open();
    fill(&store, from_ms, to_ms);
    (place, store)
}

/// Everything that can be asked for, over some ranges.
fn answers(store: &MetricStore) -> Vec<String> {
    let mut answers = Vec::new();
    let sets = [
        all(),
        vec![equal("n", "m1")],
        vec![equal("i", "i3")],
        vec![Matcher::new(MatchOp::Regex, "i", "i1.*").unwrap()],
        vec![Matcher::new(MatchOp::NotEqual, "n", "m2").unwrap()],
    ];
    let ranges = [
        TimeRange::ALL,
        TimeRange::new(0, 900),
        TimeRange::new(950, 1050),
        TimeRange::new(3333, 7777),
        TimeRange::new(1000, 1999),
        TimeRange::new(11_000, 20_000),
    ];
    for range in ranges {
        for set in &sets {
            let mut found = read(store, set, range);
            found.retain(|(_, samples)| !samples.is_empty());
            found.sort();
            answers.push(format!("{range:?} {set:?}: {found:?}"));
            let newest = store.select_newest(set, range).unwrap();
            let mut last: Vec<_> = read_selection(&newest)
                .into_iter()
                .filter_map(|(labels, samples)| Some((labels, *samples.last()?)))
                .collect();
            last.sort();
            answers.push(format!("newest {range:?} {set:?}: {last:?}"));
        }
    }
    answers.push(format!("{:?}", store.label_names(&[], TimeRange::ALL, 0)));
    for set in &sets {
        let sets = [set.clone()];
        answers.push(format!("{:?}", store.series(&sets, TimeRange::ALL, 0)));
        for name in ["n", "i", "x"] {
            let values = store.label_values(name, &sets, TimeRange::ALL, 0);
            answers.push(format!("{set:?} {name}: {values:?}"));
        }
    }
    answers
}

#[test]
fn blocks_give_the_answers_of_the_head() {
    let place = short_ranges();
    let store = place.open();
    for t in (0..15_000).step_by(500) {
        fill(&store, t, t + 500);
        compact(&store);
    }
    let (_other, reference) = without_blocks(0, 15_000);
    let blocks = store.blocks();
    let levels: Vec<(i64, u32)> = blocks
        .iter()
        .map(|b| (b.min_t_ms / RANGE, b.level))
        .collect();
    assert_eq!(levels, [(0, 3), (12, 1), (13, 1)]);
    assert_eq!(answers(&store), answers(&reference));
    let stats = store.stats();
    assert!(stats.min_time_ms >= Some(13_000), "{:?}", stats.min_time_ms);
    // A restart changes nothing of it.
    store.close().unwrap();
    let store = place.open();
    assert_eq!(answers(&store), answers(&reference));
    drop(store);
    let store = place.open();
    assert_eq!(answers(&store), answers(&reference));
    fill(&store, 15_000, 16_000);
    fill(&reference, 15_000, 16_000);
    assert_eq!(answers(&store), answers(&reference));
}

#[test]
fn series_come_in_label_order_once_blocks_take_part() {
    let place = short_ranges();
    let store = place.open();
    fill(&store, 0, 1900);
    assert_eq!(compact(&store).flushed, 1);
    write(
        &store,
        &[("n=a,i=new", 1950, 1.0), ("n=z,i=new", 1950, 1.0)],
    );
    let order = |range| {
        let found = read(&store, &all(), range).into_iter();
        found.map(|(labels, _)| labels).collect::<Vec<_>>()
    };
    for range in [TimeRange::ALL, TimeRange::new(0, 999)] {
        let found = order(range);
        assert!(found.is_sorted(), "{found:?}");
    }
    assert_eq!(order(TimeRange::ALL).len(), 14);
    let head = order(TimeRange::new(1000, 5000));
    assert_eq!(head[0].get("i"), Some("i11"), "in order of creation");
    assert_eq!(head.len(), 14);
}

#[test]
fn a_range_is_closed_before_it_is_written() {
    let place = short_ranges();
    let store = place.open();
    fill(&store, 0, 1400);
    let mut open = store.appender();
    let series = open.series(&labels("n=late,i=1")).unwrap();
    open.append(series, 950, 1.0).unwrap();
    fill(&store, 1400, 2000);
    assert_eq!(
        compact(&store).flushed,
        0,
        "an open transaction is waited for"
    );
    open.commit().unwrap();
    let mut young = store.appender();
    let series = young.series(&labels("n=late,i=2")).unwrap();
    assert_eq!(
        young.append(series, 999, 1.0),
        Err(AppendError::OutOfBounds)
    );
    assert_eq!(compact(&store).flushed, 1, "a young one is not");
    young.append(series, 1900, 1.0).unwrap();
    young.commit().unwrap();
    let late = read(&store, &[equal("n", "late")], TimeRange::ALL);
    let samples: Vec<_> = late.iter().map(|(_, samples)| samples[0].0).collect();
    assert_eq!(samples, [950, 1900]);
}

#[test]
fn old_blocks_go_by_time_and_by_size() {
    let place = short_ranges();
    let store = place.open();
    fill(&store, 0, 30_000);
    compact(&store);
    let before = store.blocks();
    assert_eq!(before.len(), 2 + 1 + 1, "{before:?}");
    let done = store.compact(&keep(Some(7000), None), &mut on).unwrap();
    assert_eq!(done.dropped_by_time, 1);
    let left = store.blocks();
    assert_eq!(left, before[1..]);
    assert!(read(&store, &all(), TimeRange::new(0, 11_999)).is_empty());
    let bytes: u64 = left[1..].iter().map(|b| b.index_bytes + b.data_bytes).sum();
    let log = store.head_disk_bytes().unwrap();
    let done = store
        .compact(&keep(None, Some(bytes + log)), &mut on)
        .unwrap();
    assert_eq!(done.dropped_by_size, 1);
    assert_eq!(store.blocks(), left[1..]);
    let done = store.compact(&keep(None, Some(1)), &mut on).unwrap();
    assert_eq!(done.dropped_by_size, 2);
    assert!(!content(&store).is_empty(), "the head stays");
}

#[test]
fn a_compaction_can_be_broken_off_at_any_turn() {
    let place = short_ranges();
    let store = place.open();
    fill(&store, 0, 9_900);
    let (_other, reference) = without_blocks(0, 9_900);
    for turns in 0.. {
        let mut left = turns;
        let mut pace = || match left {
            0 => ControlFlow::Break(()),
            _ => {
                left -= 1;
                ControlFlow::Continue(())
            }
        };
        let done = store.compact(&Retention::default(), &mut pace);
        match done {
            Ok(_) => break,
            Err(StorageError::Stopped) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(content(&store), content(&reference), "after {turns} turns");
    }
    assert_eq!(store.blocks().len(), 3);
    let names = fs::read_dir(place.dir.path().join("blocks")).unwrap();
    assert_eq!(names.count(), 3, "nothing is left behind");
}

#[test]
fn a_damaged_block_is_set_aside_and_the_rest_is_served() {
    let place = short_ranges();
    let store = place.open();
    fill(&store, 0, 2_900);
    compact(&store);
    let expected = content(&store);
    let blocks = store.blocks();
    assert_eq!(blocks.len(), 2);
    drop(store);
    let data = place
        .dir
        .path()
        .join("blocks")
        .join(&blocks[0].ulid)
        .join("data");
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&data, bytes).unwrap();

    // What is small is checked when it is opened, the rest when it is read.
    let (store, recovery) = MetricStore::open(&place.options).unwrap();
    let selection = store.select(&all(), TimeRange::ALL).unwrap();
    let (mut t, mut v) = (Vec::new(), Vec::new());
    for index in 0..selection.len() {
        if let Err(error) = selection.read(index, &mut t, &mut v) {
            assert!(error.to_string().contains(&blocks[0].ulid), "{error}");
        }
    }
    let mut damages = recovery.damages;
    damages.extend(store.take_damages());
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert!(damages[0].path.ends_with("data"), "{damages:?}");
    assert!(damages[0].detail.contains("set aside"), "{damages:?}");
    // From now on it takes no part.
    let left = content(&store);
    for (labels, samples) in &left {
        let all = &expected[labels];
        let from = all.iter().position(|sample| sample == &samples[0]).unwrap();
        assert_eq!(&all[from..], samples);
        assert!(samples[0].0 >= RANGE);
    }
    assert_eq!(left.len(), expected.len());
    compact(&store);
    assert_eq!(store.blocks(), blocks[1..]);
    let aside = format!("{}.damaged", blocks[0].ulid);
    assert!(place.dir.path().join("blocks").join(aside).is_dir());
    drop(store);
    assert_eq!(content(&place.open()), left);
}

#[test]
fn a_scrub_finds_what_nobody_reads() {
    let place = short_ranges();
    let store = place.open();
    fill(&store, 0, 2_900);
    compact(&store);
    let blocks = store.blocks();
    store.scrub(&mut on).unwrap();
    assert!(store.take_damages().is_empty());
    let index = place
        .dir
        .path()
        .join("blocks")
        .join(&blocks[1].ulid)
        .join("data");
    let mut bytes = fs::read(&index).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x01;
    fs::write(&index, bytes).unwrap();
    store.scrub(&mut on).unwrap();
    assert_eq!(store.take_damages().len(), 1);
    assert_eq!(store.blocks(), blocks[..1]);
    assert!(matches!(
        store.scrub(&mut || ControlFlow::Break(())),
        Err(StorageError::Stopped)
    ));
}

#[test]
fn a_backup_is_a_store() {
    let place = short_ranges();
    let store = place.open();
    fill(&store, 0, 6_900);
    compact(&store);
    let copies = tempfile::tempdir().unwrap();
    let whole = copies.path().join("whole");
    store.backup(&whole, true, &mut on).unwrap();
    assert!(matches!(
        store.backup(&whole, true, &mut on),
        Err(StorageError::NotEmpty { .. })
    ));
    let blocks_only = copies.path().join("blocks");
    store.backup(&blocks_only, false, &mut on).unwrap();
    let expected = content(&store);
    let end_ms = store.blocks().last().unwrap().max_t_ms;
    fill(&store, 6_900, 9_000);
    compact(&store);

    let open = |path: &std::path::Path| {
        let mut options = place.options.clone();
        options.dir = path.to_owned();
        let (store, recovery) = MetricStore::open(&options).unwrap();
        assert_eq!(recovery.damages, []);
        store
    };
    let copy = open(&whole);
    assert_eq!(content(&copy), expected);
    fill(&copy, 6_900, 9_000);
    assert_eq!(content(&copy), content(&store), "it can be written to");
    let mut older = expected;
    older
        .values_mut()
        .for_each(|samples| samples.retain(|&(t, _)| t < end_ms));
    older.retain(|_, samples| !samples.is_empty());
    assert_eq!(content(&open(&blocks_only)), older);
}

#[test]
fn a_backup_has_the_late_samples_of_memory() {
    let mut place = short_ranges();
    place.options.out_of_order_window_ms = 1 << 40;
    let store = place.open();
    fill(&store, 0, 6_900);
    compact(&store);
    // Before, in, and behind the range that is next.
    let late = [120, 5_010, 6_810];
    let late = late.map(|t_ms| ("n=m1,i=i1", t_ms, t_ms as f64));
    write(&store, &late);
    write(&store, &[("n=only,i=late", 70, 1.0)]);
    let copies = tempfile::tempdir().unwrap();
    let whole = copies.path().join("whole");
    store.backup(&whole, true, &mut on).unwrap();
    let mut options = place.options.clone();
    options.dir = whole;
    let (copy, recovery) = MetricStore::open(&options).unwrap();
    assert_eq!(recovery.damages, []);
    assert_eq!(content(&copy), content(&store));
}
