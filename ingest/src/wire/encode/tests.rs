//! What is written is what the views of this crate read.

use std::collections::BTreeMap;
use std::sync::Arc;

use kymo_storage::model::histogram::{
    Buckets, CounterResetHint, FloatHistogram, Histogram, IntegerHistogram, Span,
};
use kymo_storage::model::{Labels, MetricType};
use proptest::prelude::*;

use super::super::histogram::{SentHistogram, read_histogram};
use super::super::schema;
use super::super::write_request::{Part, WriteRequest};
use super::super::write_request_v2::{self, RequestV2};
use super::*;

/// A table that numbers texts as they come.
#[derive(Debug, Default)]
struct Table {
    texts: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Table {
    fn number(&mut self, text: &str) -> u32 {
        let next = self.texts.len() as u32;
        let number = *self.numbers.entry(text.to_owned()).or_insert(next);
        if number == next {
            self.texts.push(text.to_owned());
        }
        number
    }

    fn labels(&mut self, labels: &[(String, String)]) -> Vec<(u32, u32)> {
        let pairs = labels.iter();
        let pairs = pairs.map(|(name, value)| (self.number(name), self.number(value)));
        pairs.collect()
    }
}

impl Symbols for Table {
    fn text(&self, symbol: u32) -> &str {
        self.texts.get(symbol as usize).map_or("", String::as_str)
    }
}

/// Labels, time and bits of the value.
type SentExemplar = (Vec<(String, String)>, i64, u64);

/// A series of a request.
#[derive(Debug, Clone)]
struct Sent {
    labels: Vec<(String, String)>,
    samples: Vec<(i64, u64)>,
    exemplars: Vec<SentExemplar>,
    histograms: Vec<(i64, Histogram)>,
    metadata: Option<MetricMetadata>,
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::btree_map("[a-c_é]{1,3}", "[a-d]{1,2}|.{150}", 0..5)
        .prop_map(|map| map.into_iter().collect())
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let counts = prop::collection::vec(0u32..90, 1..20);
    (any::<bool>(), counts, -4..9i32, 0u8..4, any::<f64>()).prop_map(
        |(is_integer, counts, schema, hint, sum)| {
            let counter_reset_hint = match hint {
                0 => CounterResetHint::Unknown,
                1 => CounterResetHint::Reset,
                2 => CounterResetHint::NotReset,
                _ => CounterResetHint::Gauge,
            };
            let length = counts.len() as u32;
            let spans = vec![
                Span {
                    offset: -3,
                    length: 0,
                },
                Span { offset: 5, length },
            ];
            if is_integer {
                return Histogram::Integer(IntegerHistogram {
                    counter_reset_hint,
                    schema,
                    zero_threshold: 0.001,
                    zero_count: 2,
                    count: counts.iter().map(|&n| u64::from(n)).sum(),
                    sum,
                    positive_deltas: counts.iter().map(|&n| i64::from(n) - 40).collect(),
                    positive_spans: spans,
                    negative_spans: Vec::new(),
                    negative_deltas: Vec::new(),
                    custom_bounds: Arc::from([]),
                });
            }
            let counts: Vec<f64> = counts.into_iter().map(f64::from).collect();
            Histogram::Float(FloatHistogram {
                counter_reset_hint,
                schema,
                zero_threshold: 0.0,
                zero_count: 0.0,
                count: counts.iter().sum(),
                sum,
                positive: Buckets::default(),
                negative: Buckets::from_spans(&spans, counts).unwrap(),
                custom_bounds: Arc::from([1.0, 2.5]),
            })
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let sample = || (any::<i64>(), any::<u64>());
    let exemplar = (pairs(), any::<i64>(), any::<u64>());
    let metadata = ("[a-z ]{0,9}", "[a-z]{0,3}", 0..8usize);
    let metadata = metadata.prop_map(|(help, unit, kind)| MetricMetadata {
        kind: MetricType::ALL[kind],
        help,
        unit,
    });
    (
        pairs(),
        prop::collection::vec(sample(), 0..4),
        prop::collection::vec(exemplar, 0..3),
        prop::collection::vec((any::<i64>(), histogram()), 0..3),
        prop::option::of(metadata),
    )
        .prop_map(|(labels, samples, exemplars, histograms, metadata)| Sent {
            labels,
            samples,
            exemplars,
            histograms,
            metadata,
        })
}

fn exemplars(sent: &Sent) -> Vec<Exemplar> {
    let all = sent.exemplars.iter();
    all.map(|(labels, t_ms, value)| Exemplar {
        labels: Labels::from_pairs(labels.clone()),
        value: f64::from_bits(*value),
        t_ms: *t_ms,
        timed: true,
    })
    .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `read_histogram` makes of a histogram that was written.
fn as_read(histogram: &Histogram) -> String {
    match histogram {
        Histogram::Integer(found) => format!("{found:?}"),
        Histogram::Float(found) => {
            let (positive, negative) = (&found.positive, &found.negative);
            let counts = |side: &Buckets| format!("{:?} {:?}", side.spans(), side.counts());
            let rest = FloatHistogram {
                positive: Buckets::default(),
                negative: Buckets::default(),
                ..found.clone()
            };
            format!("{rest:?} {} {}", counts(positive), counts(negative))
        }
    }
}

fn read_as(bytes: &[u8]) -> String {
    schema::check(bytes, &schema::HISTOGRAM).unwrap();
    match read_histogram(bytes).unwrap().histogram {
        SentHistogram::Integer(found) => format!("{found:?}"),
        SentHistogram::Float(found) => {
            let counts = |spans: &[Span], counts: &[f64]| format!("{spans:?} {counts:?}");
            format!(
                "{:?} {} {}",
                found.histogram,
                counts(&found.positive_spans, &found.positive_counts),
                counts(&found.negative_spans, &found.negative_counts)
            )
        }
    }
}

proptest! {
    #[test]
    fn a_request_of_1_0_is_read_as_it_was_meant(all in prop::collection::vec(sent(), 0..6)) {
        let mut table = Table::default();
        let mut builder = WriteRequestBuilder::default();
        // The second request shows that nothing of the first one is left.
        for _ in 0..2 {
            for sent in &all {
                let labels = table.labels(&sent.labels);
                builder.begin_series(&labels, &table);
                for &(t_ms, value) in &sent.samples {
                    builder.sample(t_ms, f64::from_bits(value));
                }
                for exemplar in &exemplars(sent) {
                    builder.exemplar(exemplar);
                }
                for (t_ms, histogram) in &sent.histograms {
                    builder.histogram(*t_ms, histogram);
                }
                builder.end_series();
                if let Some(metadata) = &sent.metadata {
                    builder.metadata("family", metadata);
                }
            }
            let bytes = builder.finish(<[u8]>::to_vec);
            let mut request = WriteRequest::new(&bytes);
            for sent in &all {
                let Some(Part::Series(series)) = request.next_part().unwrap() else {
                    panic!("no series");
                };
                let mut samples = Vec::new();
                let scanned = series.scan(|t_ms, value| samples.push((t_ms, value.to_bits()))).unwrap();
                prop_assert_eq!(&samples, &sent.samples);
                let mut labels = Vec::new();
                scanned.labels.read(&mut labels).unwrap();
                let labels: Vec<_> = labels.iter().map(|(n, v)| (text(n), text(v))).collect();
                prop_assert_eq!(&labels, &sent.labels);
                let mut found = Vec::new();
                series.exemplars(&mut Vec::new(), |labels, t_ms, value| {
                    let labels: Vec<_> = labels.iter().map(|(n, v)| (text(n), text(v))).collect();
                    found.push((labels, t_ms, value.to_bits()));
                }).unwrap();
                prop_assert_eq!(&found, &sent.exemplars);
                let found: Vec<_> = series.histograms().map(|bytes| read_as(bytes.unwrap())).collect();
                let want: Vec<_> = sent.histograms.iter().map(|(_, h)| as_read(h)).collect();
                prop_assert_eq!(found, want);
                if let Some(want) = &sent.metadata {
                    let Some(Part::Metadata(found)) = request.next_part().unwrap() else {
                        panic!("no metadata");
                    };
                    prop_assert_eq!(found.kind, u64::from(want.kind.number()));
                    prop_assert_eq!(text(found.family), "family");
                    prop_assert_eq!(text(found.help), want.help.clone());
                    prop_assert_eq!(text(found.unit), want.unit.clone());
                }
            }
            prop_assert!(request.next_part().unwrap().is_none());
        }
    }

    #[test]
    fn a_request_of_2_0_is_read_as_it_was_meant(all in prop::collection::vec(sent(), 0..6)) {
        let mut table = Table::default();
        let mut builder = RequestBuilder::default();
        for _ in 0..2 {
            for sent in &all {
                let labels = table.labels(&sent.labels);
                builder.begin_series(&labels, &table);
                for &(t_ms, value) in &sent.samples {
                    builder.sample(t_ms, f64::from_bits(value));
                }
                for (t_ms, histogram) in &sent.histograms {
                    builder.histogram(*t_ms, histogram);
                }
                for exemplar in &exemplars(sent) {
                    builder.exemplar(exemplar);
                }
                if let Some(metadata) = &sent.metadata {
                    let help = table.number(&metadata.help);
                    let unit = table.number(&metadata.unit);
                    builder.metadata(metadata.kind, help, unit, &table);
                }
                builder.end_series();
            }
            let bytes = builder.finish(<[u8]>::to_vec);
            let mut symbols = Vec::new();
            let mut request = RequestV2::new(&bytes, &mut symbols).unwrap();
            prop_assert_eq!(symbols[0], b"");
            let resolve = |refs: &[u32]| -> Vec<(String, String)> {
                let symbol = |&at: &u32| text(symbols[at as usize]);
                let (pairs, rest) = refs.as_chunks::<2>();
                assert!(rest.is_empty());
                pairs.iter().map(|[name, value]| (symbol(name), symbol(value))).collect()
            };
            for sent in &all {
                let bytes = request.next_series().unwrap().unwrap();
                let (mut refs, mut samples) = (Vec::new(), Vec::new());
                let series = write_request_v2::read_series(bytes, &mut refs, &mut samples).unwrap();
                let samples: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
                prop_assert_eq!(&samples, &sent.samples);
                prop_assert_eq!(&resolve(&refs), &sent.labels);
                let mut found = Vec::new();
                write_request_v2::read_exemplars(bytes, |refs, t_ms, value| {
                    found.push((resolve(refs), t_ms, value.to_bits()));
                }).unwrap();
                prop_assert_eq!(&found, &sent.exemplars);
                let found = write_request_v2::histograms(bytes);
                let found: Vec<_> = found.map(|bytes| read_as(bytes.unwrap())).collect();
                let want: Vec<_> = sent.histograms.iter().map(|(_, h)| as_read(h)).collect();
                prop_assert_eq!(found, want);
                prop_assert_eq!(series.metadata.is_some(), sent.metadata.is_some());
                if let (Some(found), Some(want)) = (series.metadata, &sent.metadata) {
                    prop_assert_eq!(found.kind, u64::from(want.kind.number()));
                    prop_assert_eq!(text(symbols[found.help_ref as usize]), want.help.clone());
                    prop_assert_eq!(text(symbols[found.unit_ref as usize]), want.unit.clone());
                }
            }
            prop_assert!(request.next_series().unwrap().is_none());
        }
    }
}
