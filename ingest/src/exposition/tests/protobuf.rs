//! Families of protobuf, and what is wrong with some.

use super::messages::{
    Bucket, Counter, Exemplar, Histogram, Label, Metric, MetricFamily, Quantile, Span, Summary,
    Timestamp, Value, body, labels,
};
use super::*;

const HISTOGRAM: i32 = 4;

fn family(name: &str, kind: i32, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily {
        name: name.to_owned(),
        help: format!("Help of {name}."),
        kind,
        metric: metrics,
        ..MetricFamily::default()
    }
}

fn histogram(histogram: Histogram) -> Metric {
    Metric {
        histogram: Some(histogram),
        ..Metric::default()
    }
}

fn native() -> Histogram {
    Histogram {
        count: 6,
        sum: 12.5,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1,
        positive_span: vec![Span {
            offset: 2,
            length: 3,
        }],
        positive_delta: vec![2, -2, 3],
        bucket: vec![Bucket {
            count: 4,
            upper_bound: 2.0,
            exemplar: Some(exemplar("in a bucket", 7)),
        }],
        ..Histogram::default()
    }
}

fn exemplar(id: &str, seconds: i64) -> Exemplar {
    Exemplar {
        label: labels(&[("id", id)]),
        value: 1.5,
        timestamp: Some(Timestamp {
            seconds,
            nanos: 2_999_999,
        }),
    }
}

fn options(native: bool, convert: bool, keep: bool) -> ParserOptions {
    ParserOptions {
        native_histograms: native,
        convert_classic_histograms: convert,
        keep_classic_histograms: keep,
        ..ParserOptions::default()
    }
}

/// Writes samples one a line, the error last.
fn samples(families: &[MetricFamily], options: ParserOptions) -> Vec<String> {
    lines(&body(families), options)
}

fn lines(body: &[u8], options: ParserOptions) -> Vec<String> {
    let show = |series: &Series<'_>| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pairs = series
            .labels()
            .map(|(n, v)| format!("{}={}", text(&n), text(&v)));
        pairs.collect::<Vec<_>>().join(",")
    };
    let show_exemplars = |exemplars: &[super::Exemplar<'_>]| -> String {
        let times = exemplars
            .iter()
            .map(|found| format!(" # {:?}", found.timestamp_ms));
        times.collect()
    };
    Parser::new(Format::Protobuf, body, options)
        .filter_map(|entry| {
            Some(match entry {
                Ok(Entry::Sample(sample)) => {
                    let exemplars = show_exemplars(sample.exemplar.as_slice());
                    format!("{} {}{exemplars}", show(&sample.series), sample.value)
                }
                Ok(Entry::Histogram(sample)) => {
                    let exemplars = show_exemplars(&sample.exemplars);
                    let SentHistogram::Integer(found) = &sample.histogram else {
                        return Some("floats".to_owned());
                    };
                    let (count, deltas) = (found.count, &found.positive_deltas);
                    format!("{} {count} in {deltas:?}{exemplars}", show(&sample.series))
                }
                Err(error) => format!("! {error}"),
                Ok(_) => return None,
            })
        })
        .collect()
}

#[test]
fn a_metric_stands_for_the_series_a_text_would_have() {
    let value = |value| Some(Value { value });
    let summary = Summary {
        count: 3,
        sum: 4.5,
        quantile: vec![Quantile {
            quantile: 1.0,
            value: 2.0,
        }],
        ..Summary::default()
    };
    let families = [
        family(
            "g",
            1,
            vec![Metric {
                label: labels(&[("a", "b")]),
                gauge: value(1.0),
                ..Metric::default()
            }],
        ),
        family(
            "u",
            3,
            vec![
                Metric {
                    untyped: value(2.0),
                    ..Metric::default()
                },
                Metric::default(),
            ],
        ),
        family(
            "s",
            2,
            vec![Metric {
                summary: Some(summary),
                ..Metric::default()
            }],
        ),
        family("none", 1, Vec::new()),
    ];
    let expected = [
        "__name__=g,a=b 1",
        "__name__=u 2",
        "__name__=u 0",
        "__name__=s_count 3",
        "__name__=s_sum 4.5",
        "__name__=s,quantile=1.0 2",
    ];
    assert_eq!(samples(&families, options(true, false, false)), expected);
}

#[test]
fn histograms_are_native_classic_converted_or_both() {
    let families = [family("h", HISTOGRAM, vec![histogram(native())])];
    let native = "__name__=h 6 in [2, 1] # Some(7002)";
    let classic = [
        "__name__=h_count 6",
        "__name__=h_sum 12.5",
        "__name__=h_bucket,le=2.0 4 # Some(7002)",
        "__name__=h_bucket,le=+Inf 6",
    ];
    let converted = "__name__=h 6 in [4, -2] # Some(7002)";
    let both = |first: &[&'static str], second: &[&'static str]| [first, second].concat();
    for (native_on, convert, keep, expected) in [
        (false, false, false, classic.to_vec()),
        (false, false, true, classic.to_vec()),
        (true, false, false, vec![native]),
        (true, true, false, vec![native]),
        (true, false, true, both(&[native], &classic)),
        (true, true, true, both(&[native], &classic)),
        (false, true, false, vec![converted]),
        (false, true, true, both(&classic, &[converted])),
    ] {
        let options = options(native_on, convert, keep);
        assert_eq!(samples(&families, options), expected, "{options:?}");
    }
}

#[test]
fn native_and_classic_histograms_may_stand_in_one_family() {
    let classic = Histogram {
        count: 1,
        ..Histogram::default()
    };
    let metrics = vec![
        histogram(classic.clone()),
        histogram(native()),
        histogram(classic),
    ];
    let families = [family("h", HISTOGRAM, metrics)];
    let classic = [
        "__name__=h_count 1",
        "__name__=h_sum 0",
        "__name__=h_bucket,le=+Inf 1",
    ];
    let native = ["__name__=h 6 in [2, 1] # Some(7002)"];
    let expected = [&classic[..], &native, &classic].concat();
    assert_eq!(samples(&families, options(true, false, false)), expected);
}

#[test]
fn own_exemplars_of_a_native_histogram_come_before_those_of_buckets() {
    let untimed = Exemplar {
        timestamp: None,
        ..exemplar("x", 1)
    };
    let of = |exemplars| {
        let histograms = vec![
            histogram(Histogram {
                exemplars,
                ..native()
            }),
            histogram(native()),
        ];
        samples(
            &[family("h", HISTOGRAM, histograms)],
            options(true, false, false),
        )
    };
    let own = of(vec![exemplar("a", 1), untimed.clone(), exemplar("b", 2)]);
    assert_eq!(own[0], "__name__=h 6 in [2, 1] # Some(1002) # Some(2002)");
    assert_eq!(own[1], "__name__=h 6 in [2, 1] # Some(7002)");
    assert_eq!(of(vec![untimed])[0], "__name__=h 6 in [2, 1]");
}

#[test]
fn start_times_are_those_of_the_metric() {
    let counter = Counter {
        value: 1.0,
        start: Some(Timestamp {
            seconds: 12,
            nanos: 345_678_901,
        }),
        ..Counter::default()
    };
    let metrics = vec![
        Metric {
            counter: Some(counter),
            ..Metric::default()
        },
        Metric {
            counter: Some(Counter::default()),
            ..Metric::default()
        },
    ];
    let body = body(&[family("c_total", 0, metrics)]);
    let mut parser = Parser::new(Format::Protobuf, &body, ParserOptions::default());
    let mut starts = Vec::new();
    while let Some(entry) = parser.next() {
        if let Entry::Sample(_) = entry.unwrap() {
            starts.push(parser.start_timestamp_ms());
        }
    }
    assert_eq!(starts, [Some(12_345), None]);
}

#[test]
fn metadata_becomes_labels_where_asked() {
    let label = labels(&[("__unit__", "s"), ("x", "y")]);
    let metric = Metric {
        label,
        ..Metric::default()
    };
    let mut family = family("g_seconds", 1, vec![metric]);
    family.unit = "seconds".to_owned();
    let options = ParserOptions {
        type_and_unit_labels: true,
        ..ParserOptions::default()
    };
    assert_eq!(
        samples(&[family], options),
        ["__name__=g_seconds,__type__=gauge,__unit__=seconds,x=y 0"]
    );
}

#[test]
fn identities_tell_series_apart_and_stay_the_same() {
    let metric = |value: &str, gauge| Metric {
        label: labels(&[("a", value)]),
        gauge: Some(Value { value: gauge }),
        ..Metric::default()
    };
    let of = |gauge: f64, other: &str| {
        let families = [
            family("g", 1, vec![metric("x", gauge), metric(other, gauge)]),
            family("h", HISTOGRAM, vec![histogram(native())]),
        ];
        let body = body(&families);
        let mut identities = Vec::new();
        for entry in Parser::new(Format::Protobuf, &body, options(true, false, true)) {
            let series = match entry.unwrap() {
                Entry::Sample(sample) => sample.series,
                Entry::Histogram(sample) => sample.series,
                _ => continue,
            };
            identities.push(series.identity(&mut Vec::new()).to_vec());
        }
        identities
    };
    let (first, second) = (of(1.0, "y"), of(2.0, "y"));
    assert_eq!(first, second);
    let mut unique = first.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), first.len());
    assert_ne!(of(1.0, "z")[1], first[1]);
}

#[test]
fn what_is_wrong_is_named() {
    let mut mismatch = native();
    mismatch.positive_delta.pop();
    let odd_label = Metric {
        label: vec![Label::default()],
        ..Metric::default()
    };
    let gauge = family("g", 1, vec![Metric::default()]);
    let whole = body(std::slice::from_ref(&gauge));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            body(&[family("", 1, vec![Metric::default()])]),
            "! invalid metric name: ",
        ),
        (
            body(&[family("x", 9, vec![Metric::default()])]),
            "! unknown metric type for metric \"x\": 9",
        ),
        (
            body(&[family("h", HISTOGRAM, vec![histogram(mismatch)])]),
            "! histogram \"h\": positive side: spans require 3 buckets, have 2",
        ),
        (
            whole[..whole.len() - 1].to_vec(),
            "! clientpb: insufficient length of buffer, expected at least 20 bytes, got 19 bytes",
        ),
        (vec![0x80], "! clientpb: invalid varint encountered"),
        (
            vec![0x80, 0x80, 0x80, 0x80, 0x80, 0],
            "! clientpb: invalid varint encountered",
        ),
        (vec![1, 0x22], "! unexpected EOF"),
        (vec![4, 0x22, 2, 0x12, 0], "! invalid metric name: "),
        (
            vec![3, 0x22, 1, 4],
            "! proto: Metric: wiretype end group for non-group",
        ),
        (
            b"\x07\x0a\x01g\x22\x02\x0a\x07".to_vec(),
            "! unexpected EOF",
        ),
        (body(&[family("g", 1, vec![odd_label])]), "__name__=g,= 0"),
    ];
    for (body, expected) in cases {
        let found = lines(&body, options(true, false, false));
        assert_eq!(found, [expected], "{body:?}");
    }
    // A family before the mistake is seen.
    let both = body(&[gauge, family("", 1, vec![Metric::default()])]);
    assert_eq!(
        lines(&both, options(true, false, false)),
        ["__name__=g 0", "! invalid metric name: "]
    );
}

proptest::proptest! {
    #[test]
    fn any_change_of_a_body_is_read_without_a_panic(
        changes in proptest::collection::vec((proptest::prelude::any::<u16>(), proptest::prelude::any::<u8>()), 0..6),
        convert in proptest::prelude::any::<bool>(),
        keep in proptest::prelude::any::<bool>(),
    ) {
        let families = [
            family("h", HISTOGRAM, vec![histogram(native()), histogram(native())]),
            family("g", 1, vec![Metric { label: labels(&[("a", "b")]), ..Metric::default() }]),
        ];
        let mut body = body(&families);
        for (at, byte) in changes {
            let at = usize::from(at) % body.len();
            body[at] = byte;
        }
        let mut parser = Parser::new(Format::Protobuf, &body, options(true, convert, keep));
        let mut entries = 0;
        while let Some(entry) = parser.next() {
            entries += 1;
            proptest::prop_assert!(entries <= body.len() * 2 + 4);
            parser.start_timestamp_ms();
            if let Ok(Entry::Sample(sample)) = entry {
                sample.series.labels().for_each(drop);
                sample.series.identity(&mut Vec::new());
            }
        }
    }
}
