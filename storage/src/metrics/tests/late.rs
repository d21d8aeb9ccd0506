use super::*;

const MINUTE: i64 = 60_000;
const NOW: i64 = 100 * HOUR;

/// A store whose newest sample is `a` of [`NOW`], with a window.
fn store_with_window(place: &mut Place, window_ms: i64) -> MetricStore {
    place.options.out_of_order_window_ms = window_ms;
    let store = place.open();
    let old = NOW - 30 * MINUTE;
    write(&store, &[("n=a", NOW, 1.0), ("n=b", old, 1.0)]);
    store
}

fn append(store: &MetricStore, series: &str, t_ms: i64, value: f64) -> Result<u64, AppendError> {
    let mut appender = store.appender();
    let series = appender.series(&labels(series)).unwrap();
    appender.append(series, t_ms, value)?;
    Ok(appender.commit().unwrap().samples)
}

#[test]
fn the_window_decides_as_in_prometheus() {
    use AppendError::{OutOfBounds, OutOfOrder, TooOld};
    let duplicate = |t_ms| AppendError::DuplicateTimestamp {
        t_ms,
        existing: 1.0,
        new: 2.0,
    };
    let b = NOW - 30 * MINUTE;
    // Series, time, answers without a window, with 10 minutes, and with 2 hours.
    #[rustfmt::skip]
    let table = [
        ("n=a", NOW - 1, Err(OutOfOrder), Ok(1), Ok(1)),
        ("n=a", NOW, Err(duplicate(NOW)), Err(duplicate(NOW)), Err(duplicate(NOW))),
        ("n=a", NOW - 10 * MINUTE, Err(OutOfOrder), Ok(1), Ok(1)),
        ("n=a", NOW - 10 * MINUTE - 1, Err(OutOfOrder), Err(TooOld), Ok(1)),
        // In order for its series: the window is not asked.
        ("n=b", b + 1, Ok(1), Ok(1), Ok(1)),
        ("n=c", NOW - HOUR, Ok(1), Ok(1), Ok(1)),
        ("n=b", b, Err(duplicate(b)), Err(duplicate(b)), Err(duplicate(b))),
        ("n=b", b - 1, Err(OutOfOrder), Err(TooOld), Ok(1)),
        // Behind the bound a sample is late, whatever its series has.
        ("n=c", NOW - HOUR - 1, Err(OutOfBounds), Err(TooOld), Ok(1)),
        ("n=a", NOW - 2 * HOUR, Err(OutOfBounds), Err(TooOld), Ok(1)),
        ("n=a", NOW - 2 * HOUR - 1, Err(OutOfBounds), Err(TooOld), Err(TooOld)),
        ("n=c", NOW - 2 * HOUR - 1, Err(OutOfBounds), Err(TooOld), Err(TooOld)),
    ];
    for (series, t_ms, none, short, long) in table {
        for (window_ms, answer) in [(0, &none), (10 * MINUTE, &short), (2 * HOUR, &long)] {
            let mut place = place();
            let store = store_with_window(&mut place, window_ms);
            let found = append(&store, series, t_ms, 2.0);
            assert_eq!(&found, answer, "{series} at {t_ms} with {window_ms}");
            let mut content = content(&store);
            let samples = content.remove(&labels(series)).unwrap_or_default();
            let expected = answer.is_ok().then_some(2f64.to_bits());
            let stored = samples
                .iter()
                .find(|s| s.0 == t_ms && s.1 != 1f64.to_bits());
            assert_eq!(stored.map(|s| s.1), expected);
            drop(store);
            let again = place.open();
            let samples_again = self::content(&again).remove(&labels(series));
            assert_eq!(samples_again.unwrap_or_default(), samples);
        }
    }
}

#[test]
fn the_first_late_sample_of_a_time_stays() {
    let mut place = place();
    let store = store_with_window(&mut place, HOUR);
    let a = labels("n=a");
    assert_eq!(append(&store, "n=a", NOW - 5, 7.0), Ok(1));
    assert_eq!(append(&store, "n=a", NOW - 5, 7.0), Ok(0));
    assert_eq!(append(&store, "n=a", NOW - 5, 8.0), Ok(0));
    assert_eq!(append(&store, "n=a", NOW + 10, 3.0), Ok(1));
    // At the time of a sample in order it is taken and not seen.
    assert_eq!(append(&store, "n=a", NOW, 9.0), Ok(1));
    assert_eq!(append(&store, "n=a", NOW - 6, stale_marker()), Ok(1));
    let expected = [
        (NOW - 6, stale_marker().to_bits()),
        (NOW - 5, 7f64.to_bits()),
        (NOW, 1f64.to_bits()),
        (NOW + 10, 3f64.to_bits()),
    ];
    assert_eq!(content(&store)[&a], expected);
    let stats = store.stats();
    assert_eq!((stats.late_appended_total, stats.late_samples), (3, 3));
    assert_eq!(stats.late_times_ms, Some((NOW - 6, NOW)));
    assert_eq!((stats.out_of_order_total, stats.too_old_total), (0, 0));
    assert!(stats.memory.late > 0);
    drop(store);
    let store = place.open();
    assert_eq!(content(&store)[&a], expected);
    assert_eq!(store.stats().late_samples, 3);
}

#[test]
fn what_turns_late_within_a_transaction_is_late() {
    let mut place = place();
    let store = store_with_window(&mut place, 10 * MINUTE);
    let mut appender = store.appender();
    let a = appender.series(&labels("n=a")).unwrap();
    for (t_ms, value) in [
        (NOW + 40 * MINUTE, 1.0),
        (NOW + 20, 2.0),
        (NOW + 20, 3.0),
        (NOW + 10, 4.0),
        (NOW - MINUTE, 5.0),
        (NOW + 40 * MINUTE, 6.0),
    ] {
        appender.append(a, t_ms, value).unwrap();
    }
    let b = appender.series(&labels("n=b")).unwrap();
    appender.append(b, NOW - 10, 1.0).unwrap();
    appender.append(b, NOW - 11 * MINUTE, 1.0).unwrap();
    let done = appender.commit().unwrap();
    assert_eq!((done.samples, done.late, done.dropped), (5, 3, 2));
    let a: Vec<i64> = content(&store)[&labels("n=a")]
        .iter()
        .map(|s| s.0)
        .collect();
    let expected = [NOW - MINUTE, NOW, NOW + 10, NOW + 20, NOW + 40 * MINUTE];
    assert_eq!(a, expected);
    let stats = store.stats();
    assert_eq!((stats.duplicate_total, stats.too_old_total), (1, 1));
    let before = content(&store);
    drop(store);
    assert_eq!(content(&place.open()), before);
}

#[test]
fn the_window_can_be_changed_and_late_samples_be_unwanted() {
    let mut place = place();
    let store = store_with_window(&mut place, 0);
    assert_eq!(
        append(&store, "n=a", NOW - 1, 1.0),
        Err(AppendError::OutOfOrder)
    );
    let mut begun_before = store.appender();
    let a = begun_before.series(&labels("n=a")).unwrap();
    store.set_out_of_order_window_ms(MINUTE);
    let answer = begun_before.append(a, NOW - 1, 1.0);
    assert_eq!(answer, Err(AppendError::OutOfOrder));
    begun_before.rollback();
    assert_eq!(append(&store, "n=a", NOW - 1, 1.0), Ok(1));
    let mut appender = store.appender();
    appender.discard_late();
    let a = appender.series(&labels("n=a")).unwrap();
    let answer = appender.append(a, NOW - 2, stale_marker());
    assert_eq!(answer, Err(AppendError::OutOfOrder));
    assert_eq!(appender.append(a, NOW + 1, stale_marker()), Ok(()));
    assert_eq!(appender.commit().unwrap().samples, 1);
    store.set_out_of_order_window_ms(0);
    assert_eq!(
        append(&store, "n=a", NOW - 3, 1.0),
        Err(AppendError::OutOfOrder)
    );
    assert_eq!(content(&store)[&labels("n=a")].len(), 3);
    assert_eq!(store.stats().out_of_order_total, 4);
}

#[test]
fn delays_are_counted_whether_accepted_or_not() {
    let mut place = place();
    let store = store_with_window(&mut place, HOUR);
    for (delay, times) in [
        (1, 1),
        (10 * MINUTE, 2),
        (10 * MINUTE + 1, 4),
        (13 * HOUR, 3),
    ] {
        for _ in 0..times {
            let _ = append(&store, "n=a", NOW - delay, 1.0);
        }
    }
    append(&store, "n=a", NOW + 1, 1.0).unwrap();
    let delays = store.stats().delays;
    assert_eq!(delays.counts, [3, 4, 0, 0, 0, 0, 0, 3]);
    let sum_ms = 1 + 2 * 10 * MINUTE + 4 * (10 * MINUTE + 1) + 3 * 13 * HOUR;
    assert_eq!(delays.sum_ms, sum_ms);
}

#[test]
fn raw_samples_may_be_late() {
    let mut place = place();
    let store = store_with_window(&mut place, 10 * MINUTE);
    let key = store.raw_key(b"a");
    let mut appender = store.appender();
    let a = appender.series(&labels("n=a")).unwrap();
    appender.alias(key, a);
    let (mut misses, mut rejected) = (Vec::new(), Vec::new());
    let sample = |t_ms| RawSample {
        key,
        t_ms,
        value: 2.0,
    };
    let batch = [NOW - 5, NOW + 5, NOW - HOUR, NOW - 7].map(sample);
    appender.append_raw(&batch, &mut misses, &mut rejected);
    assert_eq!((misses, rejected), (vec![], vec![(2, AppendError::TooOld)]));
    let done = appender.commit().unwrap();
    assert_eq!((done.samples, done.late), (3, 2));
    let times: Vec<i64> = content(&store)[&labels("n=a")]
        .iter()
        .map(|s| s.0)
        .collect();
    assert_eq!(times, [NOW - 7, NOW - 5, NOW, NOW + 5]);
    assert_eq!(store.stats().too_old_total, 1);
}

#[test]
fn the_newest_sample_may_be_a_late_one() {
    let mut place = place();
    let store = store_with_window(&mut place, 2 * HOUR);
    for n in 0..100 {
        append(&store, "n=b", NOW - HOUR + n * MINUTE / 2 + 1, 5.0).unwrap();
    }
    append(&store, "n=new", NOW - 90 * MINUTE, 5.0).unwrap();
    for end_ms in [NOW, NOW - 5 * MINUTE, NOW - 35 * MINUTE, NOW - 80 * MINUTE] {
        for back_ms in [MINUTE, 20 * MINUTE, 3 * HOUR] {
            let range = TimeRange::new(end_ms - back_ms, end_ms);
            let last = |(labels, samples): (Labels, Samples)| (labels, samples.last().copied());
            let newest = store.select_newest(&all(), range).unwrap();
            let newest: Vec<_> = read_selection(&newest).into_iter().map(last).collect();
            let all: Vec<_> = read(&store, &all(), range).into_iter().map(last).collect();
            assert_eq!(newest, all);
        }
    }
    let early = TimeRange::new(0, NOW - 85 * MINUTE);
    let sets = [vec![equal("n", "new")]];
    assert_eq!(store.label_values("n", &[], early, 0).unwrap().len(), 3);
    assert_eq!(store.series(&sets, early, 0).unwrap(), [labels("n=new")]);
}

#[test]
fn late_samples_are_handed_over_and_forgotten() {
    let mut place = place();
    let store = store_with_window(&mut place, 2 * HOUR);
    for n in 0..300 {
        for series in ["n=b", "n=a"] {
            append(&store, series, NOW - HOUR - n * 1000, n as f64).unwrap();
        }
    }
    append(&store, "n=a", NOW - 5, 5.0).unwrap();
    let before = content(&store);
    let range = NOW - 2 * HOUR..NOW - HOUR;
    let taken = store.drain_late(range);
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0].labels(), &labels("n=a"));
    let mut samples = samples::Samples::default();
    taken[0].read(&mut samples).unwrap();
    let expected: Vec<i64> = (1..300).rev().map(|n| NOW - HOUR - n * 1000).collect();
    assert_eq!(samples.timestamps, expected);
    assert_eq!(samples.values[0], 299.0);
    assert_eq!(content(&store), before, "they are there until forgotten");
    // What comes in between stays.
    append(&store, "n=b", NOW - HOUR - 500, 8.0).unwrap();
    store.forget_late(&taken).unwrap();
    let after = content(&store);
    let times = |n: &str| after[&labels(n)].iter().map(|s| s.0).collect::<Vec<_>>();
    assert_eq!(times("n=a"), [NOW - HOUR, NOW - 5, NOW]);
    let b = NOW - 30 * MINUTE;
    assert_eq!(times("n=b"), [NOW - HOUR - 500, NOW - HOUR, b]);
    let left = TimeRange::new(NOW - HOUR - 500, NOW - 5);
    assert_eq!(store.late_times(), Some(left));
    assert!(store.drain_late(5..5).is_empty());
    // Retention drops late samples, too, and keeps a series for the others.
    store.truncate_before(NOW - HOUR).unwrap();
    store.truncate_before(NOW - HOUR).unwrap();
    let kept = TimeRange::new(NOW - HOUR, NOW - 5);
    assert_eq!(store.late_times(), Some(kept));
    assert_eq!(content(&store)[&labels("n=b")].len(), 2);
}

#[test]
fn a_series_lives_as_long_as_its_late_samples() {
    let mut place = place();
    let store = store_with_window(&mut place, 2 * HOUR);
    append(&store, "n=late", NOW - 90 * MINUTE, 1.0).unwrap();
    for _ in 0..3 {
        store.truncate_before(NOW - 2 * HOUR).unwrap();
    }
    assert_eq!(store.stats().series, 3);
    for _ in 0..3 {
        store.truncate_before(NOW - HOUR).unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.series, stats.late_samples), (2, 0));
    append(&store, "n=late", NOW - 59 * MINUTE, 1.0).unwrap();
    assert_eq!(content(&store)[&labels("n=late")].len(), 1);
}

/// As `selections_see_whole_transactions`, with transactions of late samples only.
#[test]
fn late_samples_are_seen_in_whole_transactions() {
    let mut place = place();
    let store = Arc::new(store_with_window(&mut place, 2 * HOUR));
    for n in 0..8 {
        append(&store, &format!("late={n}"), NOW, 0.0).unwrap();
    }
    let writer = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            for round in 1..3000 {
                let mut appender = store.appender();
                for n in 0..8 {
                    let series = appender.series(&labels(&format!("late={n}"))).unwrap();
                    let t_ms = NOW - round * 7919 % 6000 - 1;
                    appender.append(series, t_ms, 1.0).unwrap();
                }
                let done = appender.commit().unwrap();
                assert_eq!((done.samples, done.late), (8, 8));
            }
        })
    };
    let matcher = Matcher::new(MatchOp::Regex, "late", ".+").unwrap();
    let mut last = 0;
    while !writer.is_finished() {
        let found = read(&store, std::slice::from_ref(&matcher), TimeRange::ALL);
        let lens: Vec<usize> = found.iter().map(|(_, samples)| samples.len()).collect();
        assert!(
            lens.len() == 8 && lens.iter().all(|&n| n == lens[0]),
            "{lens:?}"
        );
        assert!(lens[0] >= last);
        last = lens[0];
    }
    writer.join().unwrap();
    let found = read(&store, &[matcher], TimeRange::ALL);
    assert!(found.iter().all(|(_, samples)| samples.len() == 3000));
}

/// Blocks of late samples take their names from the same range.
#[test]
fn the_first_of_two_late_samples_stays_whatever_their_blocks_are_called() {
    for _ in 0..12 {
        let mut place = place();
        place.options.block_range_ms = 100;
        place.options.out_of_order_window_ms = 10_000;
        let store = place.open();
        let compact = || {
            let retention = Retention::default();
            let go_on = &mut || std::ops::ControlFlow::Continue(());
            store.compact(&retention, go_on).unwrap();
        };
        for (turn, t_ms) in [1000, 1200, 1400, 1600].into_iter().enumerate() {
            write(&store, &[("n=a", t_ms, 0.0)]);
            write(&store, &[("n=a", 50, turn as f64)]);
            compact();
        }
        let samples = &content(&store)[&labels("n=a")];
        assert_eq!(samples.first(), Some(&(50, 0f64.to_bits())));
    }
}
