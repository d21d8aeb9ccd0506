//! A range query gives at each of its steps what an instant query gives there.
//!
//! The two take different ways through the engine (columns over many steps, windows
//! found with two pointers, rows joined and split), so random expressions over random
//! data with holes, stale markers, resets and NaN find what tables do not.
#![allow(
    clippy::panic,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use kymo_query::promql::Features;
use kymo_query::{
    Cancel, Engine, EngineOptions, MemorySource, PointValue, QueryError, QueryOptions, Value,
};
use kymo_storage::model::histogram::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram,
};
use kymo_storage::model::{Labels, stale_marker};
use proptest::prelude::*;

const STEP_MS: i64 = 30_000;
const STEPS: i64 = 9;

/// A value of a series at a scrape: none, a stale marker, or a number.
fn sample() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(stale_marker())),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(f64::INFINITY)),
        12 => (-3i32..20).prop_map(|v| Some(f64::from(v) / 2.0)),
    ]
}

/// A histogram: exponential or custom, with a hint or without.
fn histogram() -> impl Strategy<Value = FloatHistogram> {
    let counts = prop::collection::vec(0u8..9, 3);
    let schema = prop_oneof![4 => -1i32..=1, 1 => Just(CUSTOM_BUCKETS_SCHEMA)];
    (counts, schema, 0u8..3, 0u8..6, any::<bool>()).prop_map(
        |(counts, schema, zero_count, first, wide)| {
            let counts: Vec<f64> = counts.into_iter().map(f64::from).collect();
            let is_custom = schema == CUSTOM_BUCKETS_SCHEMA;
            let first = if is_custom { 0 } else { i32::from(first) };
            let zero_count = if is_custom {
                0.0
            } else {
                f64::from(zero_count)
            };
            FloatHistogram {
                counter_reset_hint: match first {
                    5 => CounterResetHint::Gauge,
                    _ => CounterResetHint::Unknown,
                },
                schema,
                zero_threshold: if is_custom { 0.0 } else { 0.25 },
                zero_count,
                count: zero_count + counts.iter().sum::<f64>(),
                sum: 12.5,
                positive: Buckets::from_layout((first..first + 3).collect(), counts)
                    .unwrap_or_default(),
                negative: Buckets::default(),
                custom_bounds: match (is_custom, wide) {
                    (false, _) => Arc::default(),
                    (true, false) => [1.0, 2.0].into(),
                    (true, true) => [1.0, 4.0].into(),
                },
            }
        },
    )
}

/// Four series of histograms beside the floats, two of which have floats as well.
fn with_histograms() -> impl Strategy<Value = MemorySource> {
    let column = prop::collection::vec(prop::option::weighted(0.8, histogram()), 40);
    (data(), prop::collection::vec(column, 4)).prop_map(|(mut source, columns)| {
        for (at, column) in columns.into_iter().enumerate() {
            let labels = Labels::from_pairs([
                ("__name__", "h"),
                ("a", ["x", "y"][at % 2]),
                ("b", ["1", "1", "2", "2"][at % 4]),
            ]);
            for (scrape, histogram) in column.into_iter().enumerate() {
                let t_ms = scrape as i64 * 15_000 + at as i64;
                match histogram {
                    Some(histogram) => source.push_histogram(&labels, t_ms, histogram),
                    None if at < 2 => {}
                    None if scrape % 3 == 0 => source.push(&labels, t_ms, stale_marker()),
                    None => source.push(&labels, t_ms, scrape as f64),
                }
            }
        }
        source
    })
}

/// Eight series of two metrics with scrapes every 15 s.
fn data() -> impl Strategy<Value = MemorySource> {
    prop::collection::vec(prop::collection::vec(sample(), 40), 8).prop_map(|columns| {
        let mut source = MemorySource::new();
        for (at, column) in columns.iter().enumerate() {
            let le = ["0.5", "1", "2", "+Inf"][at % 4];
            let labels = Labels::from_pairs([
                ("__name__", if at < 4 { "m_total" } else { "n" }),
                ("a", ["x", "y"][at % 2]),
                ("b", ["1", "1", "2", "2"][at % 4]),
                ("le", le),
            ]);
            for (scrape, value) in column.iter().enumerate() {
                if let Some(value) = value {
                    source.push(&labels, scrape as i64 * 15_000 + at as i64, *value);
                }
            }
        }
        source
    })
}

fn selector() -> impl Strategy<Value = String> {
    let matchers = prop::sample::select(vec![
        "m_total",
        "n",
        "n{a=\"x\"}",
        "m_total{b=~\"1|2\",a!=\"x\"}",
        "{a=\"y\"}",
        "absent_metric",
        "h",
        "h{a=\"x\"}",
    ]);
    let modifiers = prop::sample::select(vec!["", "", "", " offset 1m", " offset -45s", " @ 150"]);
    (matchers, modifiers).prop_map(|(m, s)| format!("{m}\u{1}{s}"))
}

/// Puts what belongs between a selector and its modifiers.
fn with(selector: &str, between: &str) -> String {
    selector.replace('\u{1}', between)
}

fn range_vector(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let ranges = prop::sample::select(vec!["[1m]", "[100s]", "[15s]", "[5m]"]);
    let subqueries = prop::sample::select(vec!["[1m:20s]", "[2m:]", "[90s:15s] offset 15s"]);
    prop_oneof![
        3 => (selector(), ranges).prop_map(|(s, r)| with(&s, r)),
        1 => (inner, subqueries).prop_map(|(e, s)| format!("({e}){s}")),
    ]
}

fn vector() -> BoxedStrategy<String> {
    let leaf = selector().prop_map(|s| with(&s, "")).boxed();
    leaf.prop_recursive(4, 24, 2, |inner| {
        let over_range = prop::sample::select(vec![
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "changes",
            "resets",
            "deriv",
            "sum_over_time",
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "count_over_time",
            "last_over_time",
            "first_over_time",
            "present_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "mad_over_time",
            "absent_over_time",
            "ts_of_min_over_time",
            "ts_of_max_over_time",
            "ts_of_last_over_time",
        ]);
        let of_value = prop::sample::select(vec![
            "abs",
            "ceil",
            "sgn",
            "-",
            "timestamp",
            "absent",
            "day_of_year",
            "sqrt",
            "histogram_count",
            "histogram_sum",
            "histogram_stddev",
        ]);
        let aggregations = prop::sample::select(vec![
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "group",
            "stddev",
            "stdvar",
            "topk(2,",
            "bottomk(1,",
            "quantile(0.3,",
            "limitk(2,",
            "limit_ratio(0.5,",
            "count_values(\"v\",",
        ]);
        let groupings = prop::sample::select(vec!["", "by (a)", "by (b, le)", "without (a)"]);
        let arithmetic = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "^", "==", "!=", "> bool", "<=", "atan2", "</", ">/",
        ]);
        let matchings = prop::sample::select(vec![
            "",
            "on (a, b, le)",
            "ignoring (b)",
            "on (a) group_left (b)",
            "on (le) group_right ()",
            "fill (2)",
            "on (a, le) fill_left (1)",
        ]);
        let sets = prop::sample::select(vec![
            "and",
            "or",
            "unless",
            "and on (a)",
            "or on (b)",
            "unless ignoring (le)",
        ]);
        let range = range_vector(inner.clone()).boxed();
        prop_oneof![
            4 => (over_range, range.clone()).prop_map(|(f, r)| format!("{f}({r})")),
            1 => range.clone().prop_map(|r| format!("quantile_over_time(0.7, {r})")),
            1 => range.prop_map(|r| format!("predict_linear({r}, scalar(n{{a=\"x\",b=\"1\"}}))")),
            2 => (of_value, inner.clone()).prop_map(|(f, e)| format!("{f}({e})")),
            3 => (aggregations, groupings, inner.clone()).prop_map(|(f, g, e)| {
                match f.split_once('(') {
                    Some((f, param)) => format!("{f} {g} ({param} {e})"),
                    None => format!("{f} {g} ({e})"),
                }
            }),
            2 => (inner.clone(), arithmetic.clone(), inner.clone(), matchings)
                .prop_map(|(l, op, r, m)| format!("({l}) {op} {m} ({r})")),
            1 => (inner.clone(), arithmetic)
                .prop_map(|(l, op)| format!("({l}) {op} (time() / 100)")),
            2 => (inner.clone(), sets, inner.clone())
                .prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            1 => inner.clone().prop_map(|e| format!("histogram_quantile(0.6, {e})")),
            1 => inner.clone().prop_map(|e| format!("histogram_fraction(0.4, 3, {e})")),
            1 => inner.clone().prop_map(|e| format!("clamp({e}, 1, scalar(m_total{{a=\"x\"}}))")),
            1 => inner.clone().prop_map(|e| format!("vector(scalar({e}))")),
            1 => inner.prop_map(|e| format!("label_replace({e}, \"b\", \"$1$1\", \"b\", \"(1)\")")),
        ]
    })
    .boxed()
}

type Points = BTreeMap<Labels, PointValue>;

fn at_step(value: &Value, t_ms: i64) -> Points {
    let mut points = Points::new();
    match value {
        Value::Vector(vector) => {
            for sample in vector {
                points.insert(sample.labels.clone(), sample.value.clone());
            }
        }
        Value::Matrix(matrix) => {
            for series in matrix {
                if let Ok(at) = series.floats.timestamps.binary_search(&t_ms) {
                    let value = PointValue::Float(series.floats.values[at]);
                    points.insert(series.labels.clone(), value);
                }
                if let Some(sample) = series.histograms.iter().find(|s| s.t_ms == t_ms) {
                    let value = PointValue::Histogram(Arc::clone(&sample.histogram));
                    let before = points.insert(series.labels.clone(), value);
                    assert_eq!(before, None, "a float and a histogram at {t_ms}");
                }
            }
        }
        other => panic!("no vector: {other:?}"),
    }
    points
}

/// Sums may be made in another order where series of equal labels were joined.
fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn same(a: &PointValue, b: &PointValue) -> bool {
    match (a, b) {
        (PointValue::Float(a), PointValue::Float(b)) => close(*a, *b),
        (PointValue::Histogram(a), PointValue::Histogram(b)) => {
            let buckets = |h: &FloatHistogram| {
                let buckets = h.all_buckets().filter(|bucket| bucket.count != 0.0);
                buckets.collect::<Vec<_>>()
            };
            let (of_a, of_b) = (buckets(a), buckets(b));
            let mut pairs = of_a.iter().zip(&of_b);
            a.schema == b.schema
                && a.counter_reset_hint == b.counter_reset_hint
                && close(a.count, b.count)
                && close(a.sum, b.sum)
                && of_a.len() == of_b.len()
                && pairs.all(|(a, b)| a.upper == b.upper && close(a.count, b.count))
        }
        _ => false,
    }
}

/// Tells whether a query takes the first of series whose order is nobody's business: that of
/// an operator or an aggregation depends on which series come first at any step.
fn is_left_to_order(query: &str) -> bool {
    let aggregations = [
        "sum ",
        "avg ",
        "min ",
        "max ",
        "count ",
        "group ",
        "stddev ",
        "stdvar ",
        "topk ",
        "bottomk ",
        "quantile ",
        "limitk ",
        "limit_ratio ",
        "count_values ",
    ];
    let mut operands = ["topk", "bottomk", "limitk"]
        .into_iter()
        .flat_map(|name| query.split(name).skip(1))
        .filter_map(|rest| rest.split_once(", "))
        .map(|(_, operand)| operand);
    operands.any(|operand| {
        let is_operator = operand.contains(") ");
        is_operator || aggregations.iter().any(|name| operand.contains(name))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_step_of_a_range_is_an_instant(source in with_histograms(), query in vector()) {
        prop_assume!(!is_left_to_order(&query));
        let engine = Engine::new(EngineOptions {
            enable: Features::ALL,
            ..EngineOptions::default()
        });
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let (start_ms, end_ms) = (200_000, 200_000 + STEP_MS * (STEPS - 1));
        let range = engine.range(&source, &query, start_ms, end_ms, STEP_MS, &options, &cancel);
        if let Err(error @ QueryError::Parse(_)) = &range {
            prop_assert!(false, "{query}: {error}");
        }
        for step in 0..STEPS {
            let t_ms = start_ms + step * STEP_MS;
            let instant = engine.instant(&source, &query, t_ms, &options, &cancel);
            match (&range, instant) {
                (Ok(range), Ok(instant)) => {
                    let range = at_step(&range.value, t_ms);
                    let instant = at_step(&instant.value, t_ms);
                    let same = range.len() == instant.len()
                        && range.iter().zip(&instant).all(|(a, b)| a.0 == b.0 && same(a.1, b.1));
                    prop_assert!(same, "{query} at {t_ms}:\n{range:?}\n{instant:?}");
                }
                (Ok(_), Err(error)) => prop_assert!(false, "{query} at {t_ms}: {error}"),
                // One bad step is enough for a range to fail.
                (Err(_), _) => {}
            }
        }
    }
}
