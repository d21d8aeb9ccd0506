//! Newest samples, put together in families of one name and one type.

use std::sync::Arc;

use kymo_storage::model::Labels;
use kymo_storage::model::histogram::{CounterResetHint, FloatHistogram};

use super::accept::Format;

/// The newest sample of a series.
#[derive(Debug, Clone)]
pub(super) struct Newest {
    pub(super) labels: Labels,
    pub(super) t_ms: i64,
    pub(super) sample: NewestSample,
}

/// A sample of either kind.
#[derive(Debug, Clone)]
pub(super) enum NewestSample {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// What the metrics of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FamilyKind {
    Untyped,
    Histogram,
    GaugeHistogram,
}

/// Metrics of one name and type. A name may have several families, one after the other,
/// where its series are of several types.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: FamilyKind,
    pub(super) metrics: Vec<Metric>,
}

/// One metric, with its labels in the order in which they are written.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) labels: Vec<(String, String)>,
    pub(super) t_ms: i64,
    pub(super) sample: NewestSample,
}

impl Newest {
    /// Returns the name of the series, empty where it has none.
    pub(super) fn name(&self) -> &str {
        self.labels.get("__name__").unwrap_or("")
    }

    fn kind(&self) -> FamilyKind {
        match &self.sample {
            NewestSample::Float(_) => FamilyKind::Untyped,
            NewestSample::Histogram(h) if h.counter_reset_hint == CounterResetHint::Gauge => {
                FamilyKind::GaugeHistogram
            }
            NewestSample::Histogram(_) => FamilyKind::Histogram,
        }
    }

    /// Tells whether a form of answer can hold the sample: text has no way to write
    /// exponential buckets.
    fn fits(&self, format: Format) -> bool {
        match &self.sample {
            NewestSample::Histogram(histogram) => {
                format == Format::Protobuf || histogram.uses_custom_buckets()
            }
            NewestSample::Float(_) => true,
        }
    }
}

/// Makes families of samples that are sorted by name. Series without a name are left out.
/// Each metric gets the external labels that it does not have, and an empty `instance`,
/// so that a scraper does not give it its own.
pub(super) fn families(newest: Vec<Newest>, external: &Labels, format: Format) -> Vec<Family> {
    let mut added: Vec<(&str, &str)> = external.iter().collect();
    if external.get("instance").is_none() {
        added.push(("instance", ""));
        added.sort_unstable();
    }
    let mut families: Vec<Family> = Vec::new();
    for sample in newest {
        if sample.name().is_empty() || !sample.fits(format) {
            continue;
        }
        let kind = sample.kind();
        let is_next = families
            .last()
            .is_none_or(|family| family.name != sample.name() || family.kind != kind);
        if is_next {
            families.push(Family {
                name: sample.name().to_owned(),
                kind,
                metrics: Vec::new(),
            });
        }
        let own = sample.labels.iter().filter(|(name, _)| *name != "__name__");
        let missing = added
            .iter()
            .copied()
            .filter(|(name, _)| sample.labels.get(name).is_none());
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let metric = Metric {
            labels: own.chain(missing).map(owned).collect(),
            t_ms: sample.t_ms,
            sample: sample.sample,
        };
        if let Some(family) = families.last_mut() {
            family.metrics.push(metric);
        }
    }
    families
}

/// Returns the buckets of a histogram with custom bounds as classic ones, without the
/// last: upper bounds with the number of observations up to them.
pub(super) fn classic_buckets(histogram: &FloatHistogram) -> Vec<(f64, f64)> {
    let mut counts = histogram.positive.iter().peekable();
    let mut total = 0.0;
    let bounds = histogram.custom_bounds.iter().zip(0..);
    bounds
        .map(|(&bound, index)| {
            while let Some((_, count)) = counts.next_if(|(at, _)| *at <= index) {
                total += count;
            }
            (bound, total)
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use kymo_storage::model::histogram::{Buckets, Span};

    use super::*;

    pub(in super::super) fn float(labels: &[(&str, &str)], value: f64) -> Newest {
        Newest {
            labels: Labels::from_sorted(labels.iter().copied()),
            t_ms: 1500,
            sample: NewestSample::Float(value),
        }
    }

    pub(in super::super) fn histogram(name: &str, schema: i32, hint: CounterResetHint) -> Newest {
        let custom_bounds: Arc<[f64]> = match schema {
            -53 => Arc::from([0.5, 1.0, 5.0]),
            _ => Arc::from([]),
        };
        let spans = [
            Span {
                offset: 0,
                length: 1,
            },
            Span {
                offset: 1,
                length: 2,
            },
        ];
        let histogram = FloatHistogram {
            counter_reset_hint: hint,
            schema,
            count: 9.0,
            sum: 12.5,
            positive: Buckets::from_spans(&spans, vec![2.0, 3.0, 4.0]).unwrap(),
            custom_bounds,
            ..FloatHistogram::default()
        };
        Newest {
            labels: Labels::from_sorted([("__name__", name)]),
            t_ms: 1500,
            sample: NewestSample::Histogram(Arc::new(histogram)),
        }
    }

    fn labels(family: &Family, metric: usize) -> Vec<String> {
        let pairs = family.metrics[metric].labels.iter();
        pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn own_labels_come_first_then_the_external_ones_that_are_missing() {
        let external = Labels::from_sorted([("a", "x"), ("z", "x")]);
        let newest = vec![
            float(&[("__name__", "m"), ("b", "1"), ("z", "1")], 1.0),
            float(&[("__name__", "m"), ("instance", "i")], 2.0),
            float(&[("job", "nameless")], 3.0),
            float(&[("__name__", "n")], 4.0),
        ];
        let families = families(newest, &external, Format::Text);
        assert_eq!(families.len(), 2);
        assert_eq!(labels(&families[0], 0), ["b=1", "z=1", "a=x", "instance="]);
        assert_eq!(labels(&families[0], 1), ["instance=i", "a=x", "z=x"]);
        assert_eq!(labels(&families[1], 0), ["a=x", "instance=", "z=x"]);
    }

    #[test]
    fn a_name_has_a_family_for_each_type_and_text_no_exponential_buckets() {
        let newest = || {
            vec![
                float(&[("__name__", "m")], 1.0),
                histogram("m", 3, CounterResetHint::Unknown),
                histogram("m", -53, CounterResetHint::NotReset),
                histogram("m", 3, CounterResetHint::Gauge),
                float(&[("__name__", "m"), ("x", "y")], 1.0),
            ]
        };
        let kinds = |format| -> Vec<(FamilyKind, usize)> {
            let families = families(newest(), &Labels::empty(), format);
            families.iter().map(|f| (f.kind, f.metrics.len())).collect()
        };
        use FamilyKind::{GaugeHistogram, Histogram, Untyped};
        assert_eq!(
            kinds(Format::Protobuf),
            [
                (Untyped, 1),
                (Histogram, 2),
                (GaugeHistogram, 1),
                (Untyped, 1)
            ]
        );
        assert_eq!(
            kinds(Format::Text),
            [(Untyped, 1), (Histogram, 1), (Untyped, 1)]
        );
    }

    #[test]
    fn custom_buckets_are_counted_up_to_each_bound() {
        let newest = histogram("m", -53, CounterResetHint::Unknown);
        let NewestSample::Histogram(histogram) = &newest.sample else {
            panic!("it is a histogram");
        };
        assert_eq!(
            classic_buckets(histogram),
            [(0.5, 2.0), (1.0, 2.0), (5.0, 5.0)]
        );
    }
}
