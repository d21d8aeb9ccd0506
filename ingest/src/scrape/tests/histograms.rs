//! Native histograms from the body of a target to the store.

use kymo_storage::model::histogram::{CounterResetHint, FloatHistogram};

use super::*;
use crate::exposition::tests::messages::{
    Bucket, Exemplar, Histogram, Metric, MetricFamily, Span, Timestamp, body, labels,
};
use crate::scrape::ScrapeFeatures;
use crate::scrape::config::ScrapeConfig;
use crate::scrape::rehearsal::Rehearsal;

const PROTOBUF: &str = "application/vnd.google.protobuf; \
                        proto=io.prometheus.client.MetricFamily; encoding=delimited";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";
const NOW: i64 = 1_700_000_000_000;

/// A job that takes native histograms.
fn rehearsal(stored: &Stored, change: impl FnOnce(&mut ScrapeConfig)) -> Rehearsal {
    Rehearsal::new(Arc::clone(&stored.store), |config| {
        config.native_histograms = true;
        change(config);
    })
}

/// A histogram with `counts` in neighbouring buckets, and one classic bucket.
fn native(counts: &[i64]) -> Histogram {
    let mut last = 0;
    let deltas = counts.iter().map(|count| {
        let delta = count - last;
        last = *count;
        delta
    });
    let count = counts.iter().sum::<i64>() as u64;
    Histogram {
        count,
        sum: 1.5,
        schema: 3,
        zero_threshold: 0.001,
        positive_delta: deltas.collect(),
        positive_span: vec![Span {
            offset: 1,
            length: counts.len() as u32,
        }],
        bucket: vec![Bucket {
            count,
            upper_bound: 4.0,
            exemplar: None,
        }],
        ..Histogram::default()
    }
}

fn exposed(name: &str, histograms: impl IntoIterator<Item = Histogram>) -> Vec<u8> {
    let metrics = histograms
        .into_iter()
        .enumerate()
        .map(|(at, histogram)| Metric {
            label: labels(&[("n", &at.to_string())]),
            histogram: Some(histogram),
            ..Metric::default()
        });
    body(&[MetricFamily {
        name: name.to_owned(),
        kind: 4,
        metric: metrics.collect(),
        ..MetricFamily::default()
    }])
}

/// Returns the histograms of the only series that has some, with their times.
fn histograms(stored: &Stored, name: &str) -> Vec<(i64, FloatHistogram)> {
    let matcher = Matcher::new(MatchOp::Equal, "__name__", name).unwrap();
    let range = TimeRange {
        start_ms: i64::MIN / 2,
        end_ms: i64::MAX / 2,
    };
    let selection = stored.store.select(&[matcher], range).unwrap();
    assert_eq!(selection.len(), 1, "{name}");
    let (mut times, mut values, mut found) = (Vec::new(), Vec::new(), Vec::new());
    selection.read(0, &mut times, &mut values).unwrap();
    selection.read_histograms(0, &times, &mut found).unwrap();
    let found = found.iter();
    found
        .map(|sample| (sample.t_ms, FloatHistogram::clone(&sample.histogram)))
        .collect()
}

fn counts(stored: &Stored, name: &str) -> Vec<(i64, f64)> {
    let found = histograms(stored, name).into_iter();
    found
        .map(|(t_ms, histogram)| (t_ms - NOW, histogram.count))
        .collect()
}

#[test]
fn native_histograms_are_stored_and_end_with_their_target() {
    let stored = Stored::new();
    let mut target = rehearsal(&stored, |_| {});
    for (at, counts) in [(0, [1, 2]), (1000, [1, 5])] {
        let body = exposed("h", [native(&counts)]);
        assert_eq!(target.scrape(PROTOBUF, &body, NOW + at), Ok(1));
    }
    assert_eq!(
        target.scrape(PROTOBUF, &exposed("g", [native(&[1])]), NOW + 2000),
        Ok(1)
    );
    let found = histograms(&stored, "h");
    let counts: Vec<f64> = found.iter().map(|(_, h)| h.count).collect();
    assert_eq!(counts, [3.0, 6.0, 0.0]);
    assert_eq!(found[1].1.counter_reset_hint, CounterResetHint::NotReset);
    assert_eq!(found[1].1.positive.counts(), [1.0, 5.0]);
    assert!(found[2].1.is_stale_marker());
    // The classic series are not there.
    assert_eq!(stored.samples("h_.*"), [""; 0]);
}

#[test]
fn a_failing_scrape_ends_histograms_too() {
    let stored = Stored::new();
    let mut target = rehearsal(&stored, |_| {});
    let one = exposed("h", [native(&[1])]);
    target.scrape(PROTOBUF, &one, NOW).unwrap();
    let error = "clientpb: invalid varint encountered".to_owned();
    assert_eq!(target.scrape(PROTOBUF, &[0x80], NOW + 1000), Err(error));
    let found = histograms(&stored, "h");
    assert_eq!(found.len(), 2);
    assert!(found[1].1.is_stale_marker());
}

#[test]
fn classic_series_are_kept_or_become_native_ones_as_the_job_says() {
    for (native_on, keep, convert, schema, n_classic) in [
        (true, false, false, Some(3), 0),
        (true, true, false, Some(3), 4),
        (false, false, false, None, 4),
        (false, false, true, Some(-53), 0),
        (false, true, true, Some(-53), 4),
    ] {
        let stored = Stored::new();
        let mut target = rehearsal(&stored, |config| {
            config.native_histograms = native_on;
            config.always_classic_histograms = keep;
            config.convert_classic_histograms = convert;
        });
        target
            .scrape(PROTOBUF, &exposed("h", [native(&[1, 2])]), NOW)
            .unwrap();
        assert_eq!(stored.samples("h_.*").len(), n_classic);
        if let Some(schema) = schema {
            assert_eq!(histograms(&stored, "h")[0].1.schema, schema);
        }
    }
}

#[test]
fn histograms_with_too_many_buckets_are_made_coarser_or_refused() {
    let stored = Stored::new();
    let mut target = rehearsal(&stored, |config| config.native_histogram_bucket_limit = 2);
    let body = exposed("h", [native(&[1; 16])]);
    target.scrape(PROTOBUF, &body, NOW).unwrap();
    let found = histograms(&stored, "h").remove(0).1;
    assert_eq!(
        (found.schema, found.positive.counts()),
        (0, &[8.0, 8.0][..])
    );
    // Custom buckets cannot be made coarser.
    let text = "# TYPE c histogram\nc_bucket{le=\"1\"} 1\nc_bucket{le=\"2\"} 2\n\
                c_bucket{le=\"+Inf\"} 3\nc_count 3\nc_sum 1\nx 1\n";
    let mut target = rehearsal(&stored, |config| {
        config.native_histogram_bucket_limit = 2;
        config.convert_classic_histograms = true;
    });
    assert_eq!(
        target.scrape("text/plain", text.as_bytes(), NOW + 1000),
        Err("histogram bucket limit exceeded".to_owned())
    );
}

#[test]
fn histograms_that_are_none_fail_the_scrape() {
    let stored = Stored::new();
    let mut target = rehearsal(&stored, |_| {});
    let wrong_count = Histogram {
        count: 9,
        ..native(&[1])
    };
    let fine_schema = Histogram {
        schema: 9,
        ..native(&[1])
    };
    for (histogram, text) in [
        (
            wrong_count,
            "1 observations found in buckets, but the Count field is 9",
        ),
        (fine_schema, "got schema 9"),
    ] {
        let refused = target
            .scrape(PROTOBUF, &exposed("h", [histogram]), NOW)
            .unwrap_err();
        assert!(refused.contains(text), "{refused}");
    }
    // A factor brings a schema that is too fine within those that are stored.
    let mut target = rehearsal(&stored, |config| {
        config.native_histogram_min_bucket_factor = 1.1;
    });
    let fine = Histogram {
        schema: 9,
        ..native(&[1])
    };
    target.scrape(PROTOBUF, &exposed("h", [fine]), NOW).unwrap();
    assert_eq!(histograms(&stored, "h")[0].1.schema, 2);
}

#[test]
fn the_same_histogram_twice_counts_once() {
    let stored = Stored::new();
    let mut target = rehearsal(&stored, |_| {});
    let one = exposed("h", [native(&[1])]);
    let twice = [one.clone(), one.clone()].concat();
    assert_eq!(target.scrape(PROTOBUF, &one, NOW), Ok(1));
    assert_eq!(target.scrape(PROTOBUF, &twice, NOW + 1000), Ok(2));
    assert_eq!(counts(&stored, "h"), [(0, 1.0), (1000, 1.0)]);
}

#[test]
fn exemplars_of_native_histograms_need_a_time() {
    let stored = Stored::with(|options| options.max_exemplars = 100);
    let mut target = rehearsal(&stored, |_| {});
    let exemplar = |id: &str, seconds: Option<i64>| Exemplar {
        label: labels(&[("id", id)]),
        value: 1.0,
        timestamp: seconds.map(|seconds| Timestamp { seconds, nanos: 0 }),
    };
    let start = NOW / 1000;
    let histogram = Histogram {
        exemplars: vec![
            exemplar("second", Some(start - 1)),
            exemplar("never", None),
            exemplar("first", Some(start - 2)),
        ],
        ..native(&[1])
    };
    target
        .scrape(PROTOBUF, &exposed("h", [histogram]), NOW)
        .unwrap();
    let matcher = Matcher::new(MatchOp::Equal, "__name__", "h").unwrap();
    let range = TimeRange {
        start_ms: 0,
        end_ms: i64::MAX / 2,
    };
    let found = stored.store.exemplars(&[vec![matcher]], range);
    let ids: Vec<String> = found
        .iter()
        .flat_map(|series| &series.exemplars)
        .map(|exemplar| exemplar.labels.to_string())
        .collect();
    assert_eq!(ids, ["{id=\"first\"}", "{id=\"second\"}"]);
}

#[test]
fn series_begin_with_a_zero_where_asked() {
    let features = ScrapeFeatures {
        start_zero_samples: true,
        ..ScrapeFeatures::default()
    };
    let start = Timestamp {
        seconds: NOW / 1000 - 60,
        nanos: 0,
    };
    let began = Histogram {
        start: Some(start),
        ..native(&[1, 2])
    };
    let stored = Stored::new();
    let mut target = rehearsal(&stored, |_| {});
    target.set_features(features);
    for at in [0, 1000] {
        target
            .scrape(PROTOBUF, &exposed("h", [began.clone()]), NOW + at)
            .unwrap();
    }
    assert_eq!(
        counts(&stored, "h"),
        [(-60_000, 0.0), (0, 3.0), (1000, 3.0)]
    );

    let text = format!(
        "# TYPE c counter\nc_total 5\nc_created {0}\n# TYPE g gauge\ng 1\ng_created {0}\n# EOF\n",
        NOW / 1000 - 60
    );
    let mut target = rehearsal(&stored, |_| {});
    target.set_features(features);
    target.scrape(OPENMETRICS, text.as_bytes(), NOW).unwrap();
    let seconds = NOW / 1000;
    assert_eq!(
        stored.samples("c_.*|g.*"),
        [
            format!(
                "c_total{{instance=\"i\", job=\"rehearsal\"}} {}=0 {seconds}=5",
                seconds - 60
            ),
            format!(
                "g_created{{instance=\"i\", job=\"rehearsal\"}} {seconds}={}",
                seconds - 60
            ),
            format!("g{{instance=\"i\", job=\"rehearsal\"}} {seconds}=1"),
        ]
    );
}

#[test]
fn metadata_becomes_labels_where_asked() {
    let stored = Stored::new();
    let mut target = rehearsal(&stored, |_| {});
    target.set_features(ScrapeFeatures {
        type_and_unit_labels: true,
        ..ScrapeFeatures::default()
    });
    target
        .scrape("text/plain", b"# TYPE g gauge\ng 1\n", NOW)
        .unwrap();
    target
        .scrape(PROTOBUF, &exposed("h", [native(&[1])]), NOW)
        .unwrap();
    assert!(stored.samples("g")[0].contains("__type__=\"gauge\""));
    let matcher = Matcher::new(MatchOp::Equal, "__type__", "histogram").unwrap();
    let range = TimeRange {
        start_ms: 0,
        end_ms: i64::MAX / 2,
    };
    assert_eq!(stored.store.select(&[matcher], range).unwrap().len(), 1);
}
