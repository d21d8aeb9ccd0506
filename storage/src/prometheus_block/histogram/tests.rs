use proptest::prelude::*;

use super::*;
use crate::codec::histogram::{Run, cut};
use crate::model::stale_marker;

/// Chunks made by Prometheus' own encoder.
fn vector(name: &str) -> Vec<u8> {
    let lines = include_str!("../histogram_vectors.txt").lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let hex = found.next().unwrap();
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

/// The histogram `i` of the vectors: steady and changing buckets, a new one, a jump, and
/// a stale marker at the end.
fn whole(i: i64, counter_reset_hint: CounterResetHint) -> IntegerHistogram {
    if i == 29 {
        return IntegerHistogram {
            counter_reset_hint,
            sum: stale_marker(),
            ..IntegerHistogram::default()
        };
    }
    let span = |offset, length| Span { offset, length };
    let (indexes, positive_spans) = match i {
        ..10 => (vec![-2, -1, 1, 2], vec![span(-2, 2), span(1, 2)]),
        _ => (vec![-2, -1, 0, 1, 2], vec![span(-2, 5)]),
    };
    let count = |&index: &i64| match index {
        0 => (i - 9) * 3,
        _ => i * (index + 3) + index * index + 1_000_000 * (i / 20),
    };
    let counts: Vec<i64> = indexes.iter().map(count).collect();
    let mut last = 0;
    let delta = |count: &i64| count - std::mem::replace(&mut last, *count);
    IntegerHistogram {
        counter_reset_hint,
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count: i as u64 / 3,
        count: (i / 3 + i * 100 + counts.iter().sum::<i64>()) as u64,
        sum: i as f64 * 0.1,
        positive_spans,
        positive_deltas: counts.iter().map(delta).collect(),
        negative_spans: vec![span(7, 1)],
        negative_deltas: vec![i * 100],
        ..IntegerHistogram::default()
    }
}

fn real(i: i64) -> FloatHistogram {
    let whole = whole(i, CounterResetHint::Unknown);
    let mut float = whole.to_float().unwrap();
    float.zero_count /= 3.0;
    float.count /= 4.0;
    for side in [&mut float.positive, &mut float.negative] {
        side.counts_mut().iter_mut().for_each(|count| *count /= 4.0);
    }
    float
}

fn points(n: i64, histogram: impl Fn(i64) -> Histogram) -> Vec<HistogramPoint> {
    let point = |i: i64| HistogramPoint {
        t_ms: 1_700_000_000_000 + i * 15_000 + i * i % 11,
        histogram: histogram(i),
    };
    (0..n).map(point).collect()
}

fn layout_of(points: &[HistogramPoint]) -> Layout {
    let mut runs = cut(points, 1000).unwrap();
    assert_eq!(runs.len(), 1);
    runs.remove(0).layout
}

/// What a reader gets of the histograms of a run.
fn read_back(points: &[HistogramPoint], layout: &Layout) -> Vec<HistogramPoint> {
    let read = |(at, point): (usize, &HistogramPoint)| {
        let mut histogram = widened(&point.histogram, layout).unwrap().into_owned();
        let hint = match layout.before {
            CounterResetHint::Gauge => CounterResetHint::Gauge,
            before if at == 0 => before,
            _ => CounterResetHint::NotReset,
        };
        match &mut histogram {
            Histogram::Integer(histogram) => {
                histogram.counter_reset_hint = hint;
            }
            Histogram::Float(histogram) => {
                histogram.counter_reset_hint = hint;
            }
        }
        HistogramPoint {
            t_ms: point.t_ms,
            histogram,
        }
    };
    points.iter().enumerate().map(read).collect()
}

/// Text in which NaNs are equal.
fn shown(points: &[HistogramPoint]) -> String {
    format!("{points:?}")
}

fn check(name: &str, encoding: u8, points: &[HistogramPoint]) {
    let layout = layout_of(points);
    let payload = vector(name);
    let mut found = Vec::new();
    let decoded = decode(encoding, &payload, &mut found);
    let expected = Decoded {
        n: points.len(),
        has_starts: name.ends_with("_starts") && !name.contains("without"),
        unknown_schema: None,
    };
    assert_eq!(decoded, Ok(expected), "{name}");
    assert_eq!(shown(&found), shown(&read_back(points, &layout)), "{name}");
    if !name.ends_with("_starts") {
        let mut written = Vec::new();
        encode(points, &layout, &mut written).unwrap();
        assert_eq!(written, payload, "{name}");
    }
}

#[test]
fn what_prometheus_encodes_is_decoded_and_encoded() {
    let unknown = |i| Histogram::Integer(whole(i, CounterResetHint::Unknown));
    let integers = points(30, unknown);
    check("integer", ENCODING_INTEGER, &integers);
    check("integer_starts", ENCODING_INTEGER_STARTS, &integers);
    let floats = points(30, |i| Histogram::Float(real(i)));
    check("float", ENCODING_FLOAT, &floats);
    check("float_starts", ENCODING_FLOAT_STARTS, &floats);
    let gauge = |i| Histogram::Integer(whole(i * 7 % 29, CounterResetHint::Gauge));
    check("gauge", ENCODING_INTEGER, &points(29, gauge));
    let reset = points(3, |i| {
        let hints = [CounterResetHint::Reset, CounterResetHint::Unknown];
        Histogram::Integer(whole(i, hints[usize::from(i > 0)]))
    });
    check("reset", ENCODING_INTEGER, &reset);
    check("reset_without_starts", ENCODING_INTEGER_STARTS, &reset);
    check("stale", ENCODING_INTEGER, &points(2, |_| unknown(29)));
    let custom = |i: i64| {
        let span = |offset, length| Span { offset, length };
        Histogram::Integer(IntegerHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 6 * i as u64,
            sum: i as f64 / 3.0,
            positive_spans: vec![span(0, 2), span(4, 1)],
            positive_deltas: vec![i, 2 * i, -i],
            custom_bounds: [-1.5, 0.005, 1.0, 2.5, 33_554.43, 33_554.431, 1e6].into(),
            ..IntegerHistogram::default()
        })
    };
    check("custom", ENCODING_INTEGER, &points(20, custom));
}

#[test]
fn a_schema_that_is_not_stored_is_told() {
    let high = |i| {
        Histogram::Integer(IntegerHistogram {
            schema: 9,
            ..whole(i, CounterResetHint::Unknown)
        })
    };
    let points = points(9, high);
    let mut payload = Vec::new();
    encode(&points, &layout_of(&points), &mut payload).unwrap();
    let mut found = Vec::new();
    let decoded = decode(ENCODING_INTEGER, &payload, &mut found).unwrap();
    assert_eq!((decoded.n, decoded.unknown_schema), (9, Some(9)));
    assert!(found.is_empty());
}

proptest! {
    #[test]
    fn any_run_survives(
        steps in prop::collection::vec((-20i32..20, 0i64..1 << 40, any::<u64>()), 1..60),
        is_float: bool,
    ) {
        let mut counts = std::collections::BTreeMap::new();
        let histogram = |&(index, more, sum): &(i32, i64, u64)| {
            *counts.entry(index).or_insert(0i64) += more;
            let indexes: Vec<i32> = counts.keys().copied().collect();
            let mut last = 0;
            let delta = |count: &i64| count - std::mem::replace(&mut last, *count);
            let whole = IntegerHistogram {
                count: counts.values().sum::<i64>() as u64,
                sum: f64::from_bits(sum),
                positive_spans: spans_of(&indexes),
                positive_deltas: counts.values().map(delta).collect(),
                ..IntegerHistogram::default()
            };
            match is_float {
                true => Histogram::Float(whole.to_float().unwrap()),
                false => Histogram::Integer(whole),
            }
        };
        let mut histograms = steps.iter().map(histogram).collect::<Vec<_>>().into_iter();
        let points = points(steps.len() as i64, |_| Histogram::Float(FloatHistogram::default()));
        let points: Vec<HistogramPoint> = points
            .into_iter()
            .map(|point| HistogramPoint { histogram: histograms.next().unwrap(), ..point })
            .collect();
        let mut begin = 0;
        for Run { layout, len } in cut(&points, 1000).unwrap() {
            let run = &points[begin..begin + len];
            begin += len;
            let mut payload = Vec::new();
            encode(run, &layout, &mut payload).unwrap();
            let mut found = Vec::new();
            let encoding = if is_float { ENCODING_FLOAT } else { ENCODING_INTEGER };
            prop_assert_eq!(decode(encoding, &payload, &mut found).map(|found| found.n), Ok(len));
            prop_assert_eq!(shown(&found), shown(&read_back(run, &layout)));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(encoding in prop::sample::select(vec![2u8, 3, 5, 6]), bytes: Vec<u8>) {
        let mut out = Vec::new();
        let _ = decode(encoding, &bytes, &mut out);
        prop_assert!(out.len() <= 8 * bytes.len());
    }
}
