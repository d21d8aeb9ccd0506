use proptest::prelude::*;

use super::*;
use crate::model::histogram::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, FloatHistogram, IntegerHistogram, Span,
};
use crate::model::stale_marker;

/// What becomes of a histogram at a place of a run.
fn stored(histogram: &Histogram, layout: &Layout, at: usize) -> Histogram {
    let hint = match layout.before {
        CounterResetHint::Gauge => CounterResetHint::Gauge,
        _ if at > 0 => CounterResetHint::NotReset,
        _ => CounterResetHint::Unknown,
    };
    let is_stale = histogram.is_stale_marker();
    match widened(histogram, layout).unwrap().into_owned() {
        Histogram::Integer(histogram) => Histogram::Integer(IntegerHistogram {
            counter_reset_hint: hint,
            ..match is_stale {
                true => IntegerHistogram {
                    sum: stale_marker(),
                    ..IntegerHistogram::default()
                },
                false => histogram,
            }
        }),
        Histogram::Float(histogram) => Histogram::Float(FloatHistogram {
            counter_reset_hint: hint,
            ..match is_stale {
                true => FloatHistogram {
                    sum: stale_marker(),
                    ..FloatHistogram::default()
                },
                false => histogram,
            }
        }),
    }
}

#[test]
fn a_wider_histogram_has_empty_buckets_where_it_had_none() {
    let points = points(vec![
        Histogram::Integer(whole(&[(1, 5), (4, 2)])),
        Histogram::Integer(whole(&[(-1, 3), (1, 5), (2, 0), (3, 1), (4, 2)])),
    ]);
    let [Run { layout, len: 2 }] = &cut(&points, 9).unwrap()[..] else {
        panic!("one run");
    };
    let wider = widened(&points[0].histogram, layout).unwrap();
    let expected = whole(&[(-1, 0), (1, 5), (2, 0), (3, 0), (4, 2)]);
    let Histogram::Integer(wider) = &*wider else {
        panic!("whole counts stay whole");
    };
    assert_eq!(wider.positive_deltas, expected.positive_deltas);
    let spans = |offset, length| Span { offset, length };
    assert_eq!(wider.positive_spans, [spans(-1, 1), spans(1, 4)]);
    let other = Histogram::Integer(whole(&[(0, 1)]));
    assert_eq!(widened(&other, layout), Err(NO_FIT));
}

/// Text in which every bit shows.
fn shown(histogram: &Histogram) -> String {
    let float = match histogram {
        Histogram::Integer(histogram) => histogram.sum.to_bits(),
        Histogram::Float(histogram) => {
            let all = [histogram.sum, histogram.count, histogram.zero_count];
            let counts = histogram.positive.counts().iter();
            let counts = counts.chain(histogram.negative.counts());
            let bits = all.iter().chain(counts).map(|value| value.to_bits());
            bits.fold(0u64, |all, bits| all.rotate_left(7) ^ bits)
        }
    };
    format!("{float:x} {histogram:?}")
}

fn round_trip(points: &[HistogramPoint], most: usize) -> usize {
    let mut scratch = Scratch::default();
    let (mut at, mut n_bytes) = (0, 0);
    for Run { layout, len } in cut(points, most).unwrap() {
        assert!(len > 0 && len <= most);
        let run = &points[at..at + len];
        at += len;
        let mut bytes = Vec::new();
        encode(run, &layout, Effort::Block, &mut scratch, &mut bytes).unwrap();
        n_bytes += bytes.len();
        let mut found = Vec::new();
        decode(&bytes, len, &mut scratch, &mut found).unwrap();
        assert_eq!(found.len(), len);
        for (place, (found, point)) in found.iter().zip(run).enumerate() {
            assert_eq!(found.t_ms, point.t_ms);
            let expected = stored(&point.histogram, &layout, place);
            assert_eq!(shown(&found.histogram), shown(&expected));
        }
        let mut bytes = Vec::new();
        let histograms = run.iter().map(|point| &point.histogram);
        encode_values(histograms, &layout, Effort::Quick, &mut scratch, &mut bytes).unwrap();
        let values = Values::read(&bytes, len).unwrap();
        let bits = |layout: &Layout| {
            let bounds = layout.custom_bounds.iter();
            let bounds: Vec<u64> = bounds.map(|bound| bound.to_bits()).collect();
            (layout.zero_threshold.to_bits(), bounds)
        };
        assert_eq!(format!("{:?}", values.layout), format!("{layout:?}"));
        assert_eq!(bits(&values.layout), bits(&layout));
        let range = len / 3..len - len / 4;
        let mut floats = Vec::new();
        let take = |histogram| floats.push(histogram);
        let read = values.float_histograms(range.clone(), &mut scratch, take);
        assert_eq!(read, Ok(()));
        let expected = found[range].iter().map(|point| match &point.histogram {
            Histogram::Integer(histogram) => histogram.to_float().unwrap(),
            Histogram::Float(histogram) => histogram.clone(),
        });
        let shown = |histogram: FloatHistogram| shown(&Histogram::Float(histogram));
        let floats: Vec<String> = floats.into_iter().map(shown).collect();
        assert_eq!(floats, expected.map(shown).collect::<Vec<_>>());
    }
    assert_eq!(at, points.len());
    n_bytes
}

fn whole(indexes_and_counts: &[(i32, i64)]) -> IntegerHistogram {
    let (mut last, mut end) = (0, 0);
    let (mut positive_spans, mut positive_deltas) = (Vec::new(), Vec::new());
    for &(index, count) in indexes_and_counts {
        positive_spans.push(Span {
            offset: index - end,
            length: 1,
        });
        positive_deltas.push(count - std::mem::replace(&mut last, count));
        end = index + 1;
    }
    IntegerHistogram {
        count: indexes_and_counts.iter().map(|pair| pair.1 as u64).sum(),
        positive_spans,
        positive_deltas,
        ..IntegerHistogram::default()
    }
}

fn points(histograms: Vec<Histogram>) -> Vec<HistogramPoint> {
    let points = histograms.into_iter().zip(0i64..);
    let point = |(histogram, at)| HistogramPoint {
        t_ms: 1_700_000_000_000 + at * 15_000,
        histogram,
    };
    points.map(point).collect()
}

#[test]
fn runs_end_where_chunks_of_the_original_do() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    let with = |hint, histogram: IntegerHistogram| IntegerHistogram {
        counter_reset_hint: hint,
        ..histogram
    };
    let stale = IntegerHistogram {
        sum: stale_marker(),
        ..IntegerHistogram::default()
    };
    let finer = IntegerHistogram {
        schema: 1,
        ..whole(&[(0, 99)])
    };
    // A histogram, and whether it begins a run, of which is known what came before.
    let steps = [
        (whole(&[(0, 1)]), Some(Unknown)),
        (whole(&[(0, 1), (3, 2)]), None),
        // The bucket before them is used, and goes down.
        (whole(&[(0, 0), (3, 5)]), Some(Reset)),
        // An empty one may be missing.
        (whole(&[(3, 5)]), None),
        (whole(&[(2, 1), (3, 5)]), None),
        (stale.clone(), None),
        (stale.clone(), None),
        (whole(&[(2, 1), (3, 5)]), Some(Unknown)),
        (finer.clone(), Some(Unknown)),
        (with(Reset, finer.clone()), Some(Reset)),
        (with(NotReset, finer.clone()), None),
        (with(Gauge, finer.clone()), Some(Gauge)),
        (
            with(
                Gauge,
                IntegerHistogram {
                    schema: 1,
                    ..whole(&[(1, 1)])
                },
            ),
            None,
        ),
        (finer, Some(NotReset)),
        (whole(&[(0, 1)]), Some(Reset)),
    ];
    let all = points(
        steps
            .iter()
            .map(|step| Histogram::Integer(step.0.clone()))
            .collect(),
    );
    let mut expected: Vec<(CounterResetHint, usize)> = Vec::new();
    for step in steps {
        match (step.1, expected.last_mut()) {
            (None, Some(last)) => last.1 += 1,
            (before, _) => expected.push((before.unwrap_or_default(), 1)),
        }
    }
    let runs = cut(&all, 100).unwrap();
    let found: Vec<_> = runs
        .iter()
        .map(|run| (run.layout.before, run.len))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(*runs[1].layout.positive, [0, 2, 3]);
    round_trip(&all, 100);
    // Runs that are cut for their length go on.
    let two = cut(&all[2..5], 2).unwrap();
    assert_eq!(two[1].layout.before, NotReset);
    round_trip(&all, 2);
}

#[test]
fn a_histogram_of_a_service_takes_few_bytes() {
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let mut counts = [0i64; 30];
    let mut histograms = Vec::new();
    for _ in 0..480 {
        for (at, count) in counts.iter_mut().enumerate() {
            let rate = 40 >> (at as i64 - 12).unsigned_abs().min(8);
            *count += random(rate + 1) as i64;
        }
        let pairs: Vec<(i32, i64)> = (0..).zip(counts).collect();
        let mut histogram = whole(&pairs);
        histogram.sum = counts.iter().map(|count| *count as f64 * 0.125).sum();
        histograms.push(Histogram::Integer(histogram));
    }
    let n_bytes = round_trip(&points(histograms), 1024);
    assert!(n_bytes < 480 * 14, "{n_bytes}");
}

#[test]
fn too_many_buckets_are_refused() {
    let indexes: Arc<[i32]> = (0..MAX_CELLS as i32 + 1).collect();
    let wide = |n: usize| {
        Histogram::Float(FloatHistogram {
            positive: Buckets::from_layout(indexes[..n].into(), vec![1.0; n]).unwrap(),
            ..FloatHistogram::default()
        })
    };
    let all = points(vec![wide(MAX_CELLS), wide(MAX_CELLS)]);
    assert_eq!(cut(&all, 100).unwrap().len(), 2);
    let too_wide = cut(&points(vec![wide(MAX_CELLS + 1)]), 100);
    assert!(matches!(too_wide, Err(CodecError::TooMany { .. })));
}

fn any_double() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0u32..1000).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_marker()),
    ]
}

fn any_hint() -> impl Strategy<Value = CounterResetHint> {
    prop_oneof![8 => Just(CounterResetHint::Unknown), 1 => prop::sample::select(&BEFORE[..])]
}

fn any_integer() -> impl Strategy<Value = IntegerHistogram> {
    let side = || {
        prop::collection::vec(
            (
                0i32..4,
                prop::collection::vec(prop_oneof![9 => -3i64..9, 1 => any::<i64>()], 0..4),
            ),
            0..4,
        )
    };
    let head = (
        any_hint(),
        prop_oneof![9 => Just(3i32), 1 => -53i32..10],
        prop_oneof![9 => Just(2f64.powi(-128)), 1 => any_double()],
        prop_oneof![9 => 0u64..100, 1 => any::<u64>()],
        prop_oneof![9 => 0u64..100, 1 => any::<u64>()],
        any_double(),
        prop_oneof![9 => Just(vec![]), 1 => prop::collection::vec(any_double(), 1..4)],
    );
    (head, side(), side()).prop_map(|(head, positive, negative)| {
        let spans = |side: &[(i32, Vec<i64>)]| {
            let span = |(offset, deltas): &(i32, Vec<i64>)| Span {
                offset: *offset,
                length: deltas.len() as u32,
            };
            side.iter().map(span).collect::<Vec<_>>()
        };
        let deltas = |side: Vec<(i32, Vec<i64>)>| side.into_iter().flat_map(|span| span.1);
        let mut histogram = IntegerHistogram {
            counter_reset_hint: head.0,
            schema: head.1,
            zero_threshold: head.2,
            zero_count: head.3,
            count: head.4,
            sum: head.5,
            custom_bounds: head.6.into(),
            positive_spans: spans(&positive),
            negative_spans: spans(&negative),
            positive_deltas: deltas(positive).collect(),
            negative_deltas: deltas(negative).collect(),
        };
        if histogram.custom_bounds.is_empty() {
            histogram.schema = histogram.schema.max(-9);
        } else {
            histogram.schema = CUSTOM_BUCKETS_SCHEMA;
            histogram.zero_count = 0;
            histogram.zero_threshold = 0.0;
            histogram.negative_spans.clear();
            histogram.negative_deltas.clear();
        }
        histogram
    })
}

fn any_float() -> impl Strategy<Value = FloatHistogram> {
    let side = || prop::collection::btree_map(-5i32..9, any_double(), 0..6);
    let count = prop_oneof![3 => any_double().prop_map(Some), 1 => Just(None)];
    (any_integer(), any_double(), count, side(), side()).prop_map(
        |(head, zero_count, count, positive, negative)| {
            let side = |side: std::collections::BTreeMap<i32, f64>| {
                let (indexes, counts): (Vec<i32>, Vec<f64>) = side.into_iter().unzip();
                Buckets::from_layout(indexes.into(), counts).unwrap()
            };
            let (positive, negative) = (side(positive), side(negative));
            let all = observations(
                observations(zero_count, positive.counts()),
                negative.counts(),
            );
            FloatHistogram {
                counter_reset_hint: head.counter_reset_hint,
                schema: head.schema,
                zero_threshold: head.zero_threshold,
                zero_count,
                count: count.unwrap_or(all),
                sum: head.sum,
                positive,
                negative,
                custom_bounds: head.custom_bounds,
            }
        },
    )
}

/// A histogram, then what is added to it, so that it goes on like a counter.
fn any_counter() -> impl Strategy<Value = Vec<Histogram>> {
    let step = prop::collection::btree_map(-3i32..12, 0i64..40, 0..8);
    prop::collection::vec((step, any_double()), 1..40).prop_map(|steps| {
        let mut counts = std::collections::BTreeMap::new();
        let histogram = |(step, sum): (std::collections::BTreeMap<i32, i64>, f64)| {
            for (index, more) in step {
                *counts.entry(index).or_insert(0) += more;
            }
            let pairs: Vec<(i32, i64)> = counts.iter().map(|(a, b)| (*a, *b)).collect();
            Histogram::Integer(IntegerHistogram {
                sum,
                ..whole(&pairs)
            })
        };
        steps.into_iter().map(histogram).collect()
    })
}

fn any_histograms() -> impl Strategy<Value = Vec<Histogram>> {
    prop_oneof![
        prop::collection::vec(any_integer().prop_map(Histogram::Integer), 1..20),
        prop::collection::vec(any_float().prop_map(Histogram::Float), 1..20),
        prop::collection::vec(
            prop_oneof![
                any_integer().prop_map(Histogram::Integer),
                any_float().prop_map(Histogram::Float),
            ],
            1..9,
        ),
        any_counter(),
    ]
}

proptest! {
    #[test]
    fn every_bit_survives(histograms in any_histograms(), most in 1usize..30) {
        round_trip(&points(histograms), most);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, n in 0usize..70_000) {
        check_bytes(&bytes, n);
    }

    #[test]
    fn damage_never_panics(histograms in any_histograms(), at: prop::sample::Index, with: u8) {
        let all = points(histograms);
        let mut scratch = Scratch::default();
        let mut begin = 0;
        for Run { layout, len } in cut(&all, 30).unwrap() {
            let mut bytes = Vec::new();
            let run = all[begin..begin + len].iter().map(|point| &point.histogram);
            encode_values(run, &layout, Effort::Block, &mut scratch, &mut bytes).unwrap();
            begin += len;
            let at = at.index(bytes.len());
            bytes[at] = with;
            check_bytes(&bytes, len);
            bytes.truncate(at);
            check_bytes(&bytes, len);
        }
    }
}

/// Reads bytes as a run in both ways.
fn check_bytes(bytes: &[u8], n: usize) {
    let mut scratch = Scratch::default();
    let _ = decode(bytes, n, &mut scratch, &mut Vec::new());
    let Ok(values) = Values::read(bytes, n) else {
        return;
    };
    for range in [0..n, n / 3..n / 2] {
        let mut found = 0;
        let read = values.float_histograms(range.clone(), &mut scratch, |_| found += 1);
        assert_eq!(found, if read.is_ok() { range.len() } else { 0 });
        let mut found = 0;
        let read = values.histograms(range.clone(), &mut scratch, |_| found += 1);
        assert_eq!(found, if read.is_ok() { range.len() } else { 0 });
    }
}
