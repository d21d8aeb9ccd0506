//! The same metrics in each format are the same series.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::exposition::tests::messages::{
    Bucket, Counter, Exemplar, Histogram, Label, Metric, MetricFamily, Quantile, Summary,
    Timestamp, Value, body, labels,
};
use crate::scrape::rehearsal::Rehearsal;

const NOW: i64 = 1_700_000_000_000;
const KINDS: [&str; 5] = ["counter", "gauge", "summary", "unknown", "histogram"];

/// A family of metrics of one kind, a few values for each label value. No label value comes
/// twice: lines of one histogram written twice cannot be told from one histogram with its
/// buckets twice, which the messages of protobuf can.
fn family() -> impl Strategy<Value = (i32, BTreeMap<String, [u8; 3]>, bool)> {
    let label = "[a-cé\"\\\\\n]{0,3}";
    (
        0i32..5,
        proptest::collection::btree_map(label, any::<[u8; 3]>(), 1..4),
        any::<bool>(),
    )
}

fn metric(kind: i32, label: &str, values: [u8; 3], timed: bool) -> Metric {
    let [a, b, c] = values.map(u64::from);
    let value = Value {
        value: a as f64 / 4.0,
    };
    let exemplar = (a % 2 == 0).then(|| Exemplar {
        label: labels(&[("trace", "x")]),
        value: 0.5,
        timestamp: (b % 2 == 0).then_some(Timestamp {
            seconds: NOW / 1000 - 1,
            nanos: 0,
        }),
    });
    let mut metric = Metric {
        label: vec![Label {
            name: "l".to_owned(),
            value: label.to_owned(),
        }],
        timestamp_ms: if timed { NOW - 1000 } else { 0 },
        ..Metric::default()
    };
    match kind {
        0 => {
            metric.counter = Some(Counter {
                value: value.value,
                exemplar,
                start: None,
            });
        }
        1 => metric.gauge = Some(value),
        2 => {
            metric.summary = Some(Summary {
                count: a,
                sum: b as f64,
                quantile: vec![Quantile {
                    quantile: 0.5,
                    value: c as f64,
                }],
                start: None,
            });
        }
        3 => metric.untyped = Some(value),
        _ => {
            let bucket = |count, upper_bound, exemplar| Bucket {
                count,
                upper_bound,
                exemplar,
            };
            metric.histogram = Some(Histogram {
                count: a + b + c,
                sum: b as f64,
                bucket: vec![
                    bucket(a, 0.5, exemplar),
                    bucket(a + b, 1.0, None),
                    bucket(a + b + c, f64::INFINITY, None),
                ],
                ..Histogram::default()
            });
        }
    }
    metric
}

/// Writes families as text. OpenMetrics differs in the words for types, and has exemplars.
fn text(families: &[MetricFamily], openmetrics: bool) -> String {
    let mut out = String::new();
    for family in families {
        let kind = match KINDS[family.kind as usize] {
            "unknown" if !openmetrics => "untyped",
            kind => kind,
        };
        let name = &family.name;
        writeln!(out, "# TYPE {name} {kind}").unwrap();
        for metric in &family.metric {
            let time = match metric.timestamp_ms {
                0 => String::new(),
                ms if openmetrics => format!(" {}", ms as f64 / 1000.0),
                ms => format!(" {ms}"),
            };
            let escaped = metric.label[0].value.replace('\\', "\\\\");
            let escaped = escaped.replace('\n', "\\n").replace('"', "\\\"");
            let mut line = |suffix: &str, bound: &str, value: f64, exemplar: &Option<Exemplar>| {
                write!(
                    out,
                    "{name}{suffix}{{l=\"{escaped}\"{bound}}} {value}{time}"
                )
                .unwrap();
                if let Some(exemplar) = exemplar.as_ref().filter(|_| openmetrics) {
                    write!(out, " # {{trace=\"x\"}} {}", exemplar.value).unwrap();
                    if let Some(time) = &exemplar.timestamp {
                        write!(out, " {}", time.seconds).unwrap();
                    }
                }
                out.push('\n');
            };
            if let Some(counter) = &metric.counter {
                line("", "", counter.value, &counter.exemplar);
            }
            for value in metric.gauge.iter().chain(&metric.untyped) {
                line("", "", value.value, &None);
            }
            if let Some(summary) = &metric.summary {
                line("_count", "", summary.count as f64, &None);
                line("_sum", "", summary.sum, &None);
                for quantile in &summary.quantile {
                    let bound = format!(",quantile=\"{}\"", quantile.quantile);
                    line("", &bound, quantile.value, &None);
                }
            }
            if let Some(histogram) = &metric.histogram {
                line("_count", "", histogram.count as f64, &None);
                line("_sum", "", histogram.sum, &None);
                for bucket in &histogram.bucket {
                    let bound = match bucket.upper_bound {
                        f64::INFINITY => ",le=\"+Inf\"".to_owned(),
                        bound => format!(",le=\"{bound}\""),
                    };
                    line("_bucket", &bound, bucket.count as f64, &bucket.exemplar);
                }
            }
        }
    }
    if openmetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// Everything a store has: series with floats, with histograms, and exemplars.
fn content(stored: &Stored) -> (Vec<String>, Vec<String>, Vec<String>) {
    let matchers = [Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()];
    let range = TimeRange {
        start_ms: i64::MIN / 2,
        end_ms: i64::MAX / 2,
    };
    let selection = stored.store.select(&matchers, range).unwrap();
    let (mut times, mut values, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let mut histograms = Vec::new();
    for index in 0..selection.len() {
        selection.read(index, &mut times, &mut values).unwrap();
        selection
            .read_histograms(index, &times, &mut found)
            .unwrap();
        for sample in &found {
            let labels = selection.labels(index).to_metric_string();
            histograms.push(format!("{labels} {} {:?}", sample.t_ms, sample.histogram));
        }
    }
    histograms.sort();
    let exemplars = stored.store.exemplars(&[matchers.to_vec()], range);
    let mut exemplars: Vec<String> = exemplars
        .iter()
        .map(|series| format!("{} {:?}", series.labels, series.exemplars))
        .collect();
    exemplars.sort();
    (stored.samples(".+"), histograms, exemplars)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_format_stores_the_same(
        families in proptest::collection::vec(family(), 1..4),
        convert in any::<bool>(),
        keep in any::<bool>(),
    ) {
        let families: Vec<MetricFamily> = families
            .into_iter()
            .enumerate()
            .map(|(at, (kind, metrics, timed))| MetricFamily {
                name: format!("m{at}"),
                kind,
                metric: metrics
                    .into_iter()
                    .map(|(label, values)| metric(kind, &label, values, timed))
                    .collect(),
                ..MetricFamily::default()
            })
            .collect();
        let bodies = [
            ("application/vnd.google.protobuf", body(&families)),
            ("application/openmetrics-text", text(&families, true).into_bytes()),
            ("text/plain", text(&families, false).into_bytes()),
        ];
        let contents = bodies.map(|(content_type, body)| {
            let stored = Stored::with(|options| options.max_exemplars = 100);
            let mut target = Rehearsal::new(Arc::clone(&stored.store), |config| {
                config.convert_classic_histograms = convert;
                config.always_classic_histograms = keep;
            });
            let scraped = target.scrape(content_type, &body, NOW);
            assert!(scraped.is_ok(), "{scraped:?}");
            content(&stored)
        });
        let [protobuf, openmetrics, plain] = contents;
        prop_assert_eq!(&protobuf.0, &openmetrics.0);
        prop_assert_eq!(&protobuf.0, &plain.0);
        prop_assert_eq!(&protobuf.1, &openmetrics.1);
        prop_assert_eq!(&protobuf.1, &plain.1);
        // Those of lines that became a histogram go with the lines.
        if !convert {
            prop_assert_eq!(&protobuf.2, &openmetrics.2);
        }
    }
}
