//! Sliding windows against a model that looks at each window by itself.

use std::sync::Arc;

use kymo_storage::model::Labels;
use proptest::prelude::*;

use crate::logql::ast::{Expr, MetricExpr, RangeOp};
use crate::logql::{
    Direction, LogEngine, LogEngineOptions, LogQueryOptions, LogRangeQuery, LogValue,
    MemoryLogSource, parse,
};
use crate::{Cancel, Workers};

const OPS: [(&str, RangeOp); 13] = [
    ("count_over_time", RangeOp::Count),
    ("rate", RangeOp::Rate),
    ("rate_counter", RangeOp::RateCounter),
    ("bytes_over_time", RangeOp::Bytes),
    ("sum_over_time", RangeOp::Sum),
    ("avg_over_time", RangeOp::Avg),
    ("min_over_time", RangeOp::Min),
    ("max_over_time", RangeOp::Max),
    ("stdvar_over_time", RangeOp::Stdvar),
    ("stddev_over_time", RangeOp::Stddev),
    ("quantile_over_time", RangeOp::Quantile),
    ("first_over_time", RangeOp::First),
    ("last_over_time", RangeOp::Last),
];

/// A function over the samples of one window, `(end - range, end]`.
fn model(op: RangeOp, samples: &[(i64, f64)], end: i64, range: i64) -> f64 {
    let n = samples.len() as f64;
    let seconds = range as f64 / 1e9;
    let values = || samples.iter().map(|(_, value)| *value);
    let numbers = || values().filter(|value| !value.is_nan());
    let mean = values().sum::<f64>() / n;
    let variance = || values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    match op {
        RangeOp::Count => n,
        RangeOp::Bytes => values()
            .map(|value| format!("v={value}").len() as f64)
            .sum(),
        RangeOp::Sum => values().sum(),
        RangeOp::Rate => values().sum::<f64>() / seconds,
        RangeOp::Avg => mean,
        RangeOp::Min => numbers().fold(f64::NAN, f64::min),
        RangeOp::Max => numbers().fold(f64::NAN, f64::max),
        RangeOp::Stdvar => variance(),
        RangeOp::Stddev => variance().sqrt(),
        RangeOp::First => samples[0].1,
        RangeOp::Last => samples[samples.len() - 1].1,
        RangeOp::Quantile => {
            let mut sorted: Vec<f64> = values().collect();
            sorted.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
            let rank = 0.3 * (n - 1.0);
            let (lower, weight) = (rank.floor() as usize, rank - rank.floor());
            let upper = (lower + 1).min(sorted.len() - 1);
            sorted[lower] * (1.0 - weight) + sorted[upper] * weight
        }
        RangeOp::RateCounter if samples.len() < 2 => 0.0,
        RangeOp::RateCounter => {
            let (first, last) = (samples[0], samples[samples.len() - 1]);
            let mut increase = last.1 - first.1;
            for pair in samples.windows(2) {
                if pair[1].1 < pair[0].1 {
                    increase += pair[0].1;
                }
            }
            let sampled = (last.0 - first.0) as f64 / 1e9;
            let gap = sampled / (n - 1.0);
            let near = |distance: f64| {
                if distance >= gap * 1.1 {
                    gap / 2.0
                } else {
                    distance
                }
            };
            let mut to_start = near((first.0 - (end - range)) as f64 / 1e9);
            if increase > 0.0 && first.1 >= 0.0 {
                to_start = to_start.min(sampled * (first.1 / increase));
            }
            let to_end = near((end - last.0) as f64 / 1e9);
            increase * ((sampled + to_start + to_end) / sampled) / seconds
        }
        _ => f64::NAN,
    }
}

fn is_close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

proptest! {
    #[test]
    fn sliding_windows_are_windows(
        op in prop::sample::select(OPS.to_vec()),
        samples in prop::collection::vec(
            (0i64..120, prop::sample::select(vec![0.0, 1.0, 2.5, -3.0, 7.0, 100.0])),
            0..40,
        ),
        odd in prop::sample::select(vec![None, None, Some(f64::NAN), Some(f64::INFINITY)]),
        start in 0i64..40,
        step in 1i64..30,
        n in 1i64..8,
        range in 1i64..90,
        offset in -20i64..20,
    ) {
        // Times of counters are all different: no time is between equal ones.
        let mut samples = samples;
        if let (Some(odd), Some(first)) = (odd, samples.first_mut()) {
            first.1 = odd;
        }
        samples.sort_by_key(|(t_ns, _)| *t_ns);
        samples.dedup_by_key(|(t_ns, _)| *t_ns);
        let (name, op) = op;
        let parameter = if op == RangeOp::Quantile { "0.3, " } else { "" };
        let unwrap = match op {
            RangeOp::Count | RangeOp::Bytes => "",
            _ => "| logfmt | unwrap v",
        };
        let text = format!(r#"{name}({parameter}{{app="a"}} {unwrap} [1m])"#);
        let Ok(Expr::Metric(parsed)) = parse(&text) else {
            return Err(TestCaseError::fail(text));
        };
        let MetricExpr::Range(function) = &parsed else {
            return Err(TestCaseError::fail(text));
        };
        let mut function = function.clone();
        function.range_ns = range;
        function.offset_ns = offset;
        let mut source = MemoryLogSource::new();
        let stream = Labels::from_pairs([("app", "a")]);
        for (t_ns, value) in &samples {
            source.push(&stream, *t_ns, format!("v={value}").as_bytes(), []);
        }
        let query = LogRangeQuery {
            start_ns: start,
            end_ns: start + step * (n - 1),
            step_ns: step,
            interval_ns: 0,
            limit: 1,
            direction: Direction::Forward,
        };
        let engine = LogEngine::new(LogEngineOptions::default());
        let options = LogQueryOptions::default();
        let expr = Expr::Metric(MetricExpr::Range(function));
        let result = engine.range(&source, &expr, &query, &options, &Cancel::new());
        let LogValue::Matrix(series) = result.unwrap().value else {
            return Err(TestCaseError::fail("no matrix"));
        };
        let mut wanted = Vec::new();
        for step_at in 0..n {
            let end = start + step * step_at - offset;
            let inside: Vec<(i64, f64)> = samples
                .iter()
                .copied()
                .filter(|(t_ns, _)| end - range < *t_ns && *t_ns <= end)
                .collect();
            if !inside.is_empty() {
                wanted.push(model(op, &inside, end, range));
            }
        }
        let got: Vec<f64> = series
            .iter()
            .flat_map(|series| series.points.iter().map(|(_, value)| *value))
            .collect();
        prop_assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.iter().zip(&wanted) {
            prop_assert!(is_close(*got, *wanted), "{} got {} want {}", name, got, wanted);
        }
    }
}

/// Lends threads that begin at once.
#[derive(Debug)]
struct Threads(usize);

impl Workers for Threads {
    fn idle(&self) -> usize {
        self.0
    }

    fn start(&self, help: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(help);
    }
}

#[test]
fn answers_do_not_depend_on_who_helps() {
    let mut source = MemoryLogSource::new();
    for t_ns in 0..30_000i64 {
        let stream = Labels::from_pairs([("app", if t_ns % 3 == 0 { "a" } else { "b" })]);
        let line = format!("v={} k={}", t_ns * 7 % 101, t_ns % 5);
        source.push(&stream, t_ns, line.as_bytes(), []);
    }
    let query = LogRangeQuery {
        start_ns: 0,
        end_ns: 30_000,
        step_ns: 700,
        interval_ns: 0,
        limit: 1,
        direction: Direction::Forward,
    };
    for (name, op) in OPS {
        let parameter = if op == RangeOp::Quantile { "0.3, " } else { "" };
        let unwrap = match op {
            RangeOp::Count | RangeOp::Bytes => "",
            _ => "| unwrap v",
        };
        let text = format!(r#"{name}({parameter}{{app=~".+"}} | logfmt {unwrap} [1ms])"#);
        let expr = parse(&text).unwrap();
        let answer = |workers: Option<Arc<dyn Workers>>| {
            let engine = LogEngine::new(LogEngineOptions {
                workers,
                max_series: 0,
                ..LogEngineOptions::default()
            });
            let options = LogQueryOptions::default();
            let result = engine.range(&source, &expr, &query, &options, &Cancel::new());
            result.unwrap()
        };
        let alone = answer(None);
        let helped = answer(Some(Arc::new(Threads(3))));
        assert_eq!(alone.value, helped.value, "{text}");
        assert_eq!(alone.stats, helped.stats, "{text}");
    }
}

#[test]
fn numbers_are_no_series() {
    let engine = LogEngine::new(LogEngineOptions::default());
    let (source, options) = (MemoryLogSource::new(), LogQueryOptions::default());
    let value = |query: &str| {
        let query = parse(query).unwrap();
        let result = engine.instant(&source, &query, 0, &options, &Cancel::new());
        result.map(|result| result.value)
    };
    for query in [
        "sum(1)",
        "sort(1 + 1)",
        r#"label_replace(1, "a", "b", "c", "d")"#,
    ] {
        let error = value(query).unwrap_err().to_string();
        assert!(
            error.starts_with("unexpected expr type (*syntax.LiteralExpr)"),
            "{error}"
        );
    }
    let error = value("approx_topk(1, 1)").unwrap_err().to_string();
    assert_eq!(error, "unexpected empty result");
    assert!(value("sum(vector(1)) + 1").is_ok());
    assert!(value("1 + 1").is_ok());
}

#[test]
fn series_of_the_same_labels_are_one() {
    let engine = LogEngine::new(LogEngineOptions::default());
    let mut source = MemoryLogSource::new();
    for (pod, t_ns) in [("a", 1), ("b", 2), ("b", 3), ("c", 1_000_000_001)] {
        let labels = Labels::from_pairs([("pod", pod)]);
        source.push(&labels, t_ns, b"x", Vec::<(&str, &str)>::new());
    }
    let text = r#"label_replace(count_over_time({pod=~".+"}[1s]), "pod", "x", "", "")"#;
    let query = LogRangeQuery {
        start_ns: 1_000_000_000,
        end_ns: 2_000_000_000,
        step_ns: 1_000_000_000,
        interval_ns: 0,
        limit: 0,
        direction: Direction::Forward,
    };
    let (expr, options) = (parse(text).unwrap(), LogQueryOptions::default());
    let result = engine.range(&source, &expr, &query, &options, &Cancel::new());
    let LogValue::Matrix(series) = result.unwrap().value else {
        unreachable!("numbers at many times");
    };
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].labels.get("pod"), Some("x"));
    let points = [(1000, 1.0), (1000, 2.0), (2000, 1.0)];
    assert_eq!(series[0].points, points);
}
