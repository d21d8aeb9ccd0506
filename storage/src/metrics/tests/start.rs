//! Zeros from which series began to count.

use super::*;
use crate::model::histogram::{CounterResetHint, FloatHistogram, Histogram, IntegerHistogram};

const NOW: i64 = 100 * HOUR;

/// Appends a sample with the zero it began from, and returns the series' samples.
fn begun(store: &MetricStore, start_ms: i64, t_ms: i64) -> Vec<(i64, f64)> {
    let mut appender = store.appender();
    let series = appender.series(&labels("n=a")).unwrap();
    appender.append_start(series, start_ms, t_ms);
    appender.append(series, t_ms, 5.0).unwrap();
    appender.commit().unwrap();
    let samples = content(store).remove(&labels("n=a")).unwrap();
    let floats = samples
        .into_iter()
        .map(|(t_ms, bits)| (t_ms, f64::from_bits(bits)));
    floats.collect()
}

#[test]
fn a_series_begins_at_zero_once() {
    for window_ms in [0, HOUR] {
        let mut place = place();
        place.options.out_of_order_window_ms = window_ms;
        let store = place.open();
        let first = [(NOW - 500, 0.0), (NOW, 5.0)];
        assert_eq!(begun(&store, NOW - 500, NOW), first);
        // The next scrape says the same, and the series has begun.
        let second = [&first[..], &[(NOW + 1000, 5.0)]].concat();
        assert_eq!(begun(&store, NOW - 500, NOW + 1000), second);
        assert_eq!(begun(&store, NOW - 400, NOW + 1000), second);
        // It began anew in between.
        let anew = [&second[..], &[(NOW + 1500, 0.0), (NOW + 2000, 5.0)]].concat();
        assert_eq!(begun(&store, NOW + 1500, NOW + 2000), anew);
        assert_eq!(store.stats().out_of_order_total, 0);
    }
}

#[test]
fn zeros_that_do_not_fit_are_left_out() {
    for start_ms in [NOW, NOW + 1, NOW - 2 * HOUR, 0, i64::MIN, i64::MAX] {
        let place = place();
        let store = place.open();
        assert_eq!(begun(&store, start_ms, NOW), [(NOW, 5.0)], "{start_ms}");
    }
}

#[test]
fn histograms_begin_without_observations() {
    let whole = Histogram::Integer(IntegerHistogram {
        schema: 3,
        zero_threshold: 0.5,
        zero_count: 2,
        count: 2,
        sum: 0.1,
        ..IntegerHistogram::default()
    });
    let custom = Histogram::Float(FloatHistogram {
        schema: -53,
        sum: 0.1,
        custom_bounds: vec![1.0, 2.0].into(),
        ..FloatHistogram::default()
    });
    for histogram in [whole, custom] {
        let place = place();
        let store = place.open();
        for t_ms in [NOW, NOW + 1000] {
            let mut appender = store.appender();
            let series = appender.series(&labels("n=a")).unwrap();
            appender.append_start_histogram(series, NOW - 500, t_ms, &histogram);
            appender.append_histogram(series, t_ms, &histogram).unwrap();
            appender.commit().unwrap();
        }
        let selection = store.select(&all(), TimeRange::ALL).unwrap();
        let mut found = Vec::new();
        selection.read_histograms(0, &[], &mut found).unwrap();
        let times: Vec<i64> = found.iter().map(|sample| sample.t_ms).collect();
        assert_eq!(times, [NOW - 500, NOW, NOW + 1000]);
        let (zero, first) = (&found[0].histogram, &found[1].histogram);
        assert_eq!((zero.count, zero.sum, zero.zero_count), (0.0, 0.0, 0.0));
        assert_eq!(zero.schema, first.schema);
        assert_eq!(zero.zero_threshold, first.zero_threshold);
        assert_eq!(zero.custom_bounds, first.custom_bounds);
        assert_eq!(zero.counter_reset_hint, CounterResetHint::Unknown);
        assert_eq!(first.counter_reset_hint, CounterResetHint::NotReset);
    }
}
