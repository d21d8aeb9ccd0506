//! Text exposition: lines such as an exporter has, 130 bytes each with HELP and TYPE
//! now and then. Throughput is in lines.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench fails like a test, and its entry point comes from a macro"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kymo_ingest::exposition::{Entry, Format, Parser, ParserOptions};
use kymo_ingest::scrape::Rehearsal;
use kymo_storage::StoreOptions;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::LabelsBuilder;

const N_SAMPLES: usize = 5000;

fn body() -> String {
    let mut out = String::new();
    for at in 0..N_SAMPLES {
        let family = at / 50;
        if at % 50 == 0 {
            writeln!(
                out,
                "# HELP http_requests_{family}_total The number of requests."
            )
            .unwrap();
            writeln!(out, "# TYPE http_requests_{family}_total counter").unwrap();
        }
        let (code, value) = (200 + at % 5, at as f64 * 1.37);
        writeln!(
            out,
            "http_requests_{family}_total{{code=\"{code}\",handler=\"/api/v1/items/{at}\",\
             method=\"get\",instance=\"worker-{}\",region=\"eu-central-1\"}} {value}",
            at % 10,
        )
        .unwrap();
    }
    out
}

fn parse(c: &mut Criterion) {
    let text = body();
    let openmetrics = format!("{text}# EOF\n");
    let n_lines = text.lines().count() as u64;
    let mut group = c.benchmark_group("exposition");
    group.throughput(Throughput::Elements(n_lines));
    for (name, format, body) in [
        ("text", Format::Text, &text),
        ("openmetrics", Format::OpenMetrics, &openmetrics),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let options = ParserOptions::default();
                for entry in Parser::new(format, body.as_bytes(), options) {
                    if let Entry::Sample(sample) = entry.unwrap() {
                        black_box((sample.series.line(), sample.value));
                    }
                }
            });
        });
    }
    group.bench_function("text, labels decoded", |b| {
        b.iter(|| {
            let options = ParserOptions::default();
            for entry in Parser::new(Format::Text, text.as_bytes(), options) {
                if let Entry::Sample(sample) = entry.unwrap() {
                    let mut labels = LabelsBuilder::new();
                    sample.series.decode_labels(&mut labels).unwrap();
                    black_box(labels.labels());
                }
            }
        });
    });
    group.finish();
}

/// The same body again and again, each time with another time: what a target costs once
/// its series are known, from its bytes to the log.
fn scrape(c: &mut Criterion) {
    let text = body();
    let openmetrics = format!("{text}# EOF\n");
    let n_lines = text.lines().count() as u64;
    let mut group = c.benchmark_group("scrape");
    group.throughput(Throughput::Elements(n_lines));
    for (name, content_type, body) in [
        ("text", "text/plain", &text),
        ("openmetrics", "application/openmetrics-text", &openmetrics),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
        let mut target = Rehearsal::new(Arc::new(store), |_| {});
        let mut t_ms = 1_700_000_000_000;
        group.bench_function(name, |b| {
            b.iter(|| {
                t_ms += 15_000;
                let samples = target.scrape(content_type, body.as_bytes(), t_ms);
                assert_eq!(samples, Ok(N_SAMPLES as u64));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, scrape);
criterion_main!(benches);
