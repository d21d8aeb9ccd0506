//! Families as delimited messages `io.prometheus.client.MetricFamily`.

use kymo_ingest::wire::writer::{
    put_bytes, put_delimited, put_double_always, put_message, put_number_always, zigzag,
};
use kymo_storage::compat::name::EscapingScheme;
use kymo_storage::model::histogram::{Buckets, FloatHistogram};

use super::family::{Family, FamilyKind, Metric, NewestSample, classic_buckets};
use super::text::escaped;

/// Writes families.
pub(super) fn written(families: &[Family], escaping: EscapingScheme) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        put_delimited(&mut out, |out| put_family(out, family, escaping));
    }
    out
}

fn put_family(out: &mut Vec<u8>, family: &Family, escaping: EscapingScheme) {
    put_bytes(out, 1, escaped(&family.name, escaping).as_bytes());
    let kind = match family.kind {
        FamilyKind::Untyped => 3,
        FamilyKind::Histogram => 4,
        FamilyKind::GaugeHistogram => 5,
    };
    put_number_always(out, 3, kind);
    for metric in &family.metrics {
        put_message(out, 4, |out| put_metric(out, metric, escaping));
    }
}

fn put_metric(out: &mut Vec<u8>, metric: &Metric, escaping: EscapingScheme) {
    for (name, value) in &metric.labels {
        put_message(out, 1, |out| {
            put_bytes(out, 1, escaped(name, escaping).as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    }
    match &metric.sample {
        NewestSample::Float(value) => put_message(out, 5, |out| put_double_always(out, 1, *value)),
        NewestSample::Histogram(histogram) => put_message(out, 7, |out| {
            put_double_always(out, 2, histogram.sum);
            if histogram.uses_custom_buckets() {
                put_classic(out, histogram);
            } else {
                put_native(out, histogram);
            }
        }),
    }
    put_number_always(out, 6, metric.t_ms.cast_unsigned());
}

fn put_classic(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    for (bound, count) in classic_buckets(histogram) {
        put_message(out, 3, |out| {
            put_double_always(out, 2, bound);
            put_double_always(out, 4, count);
        });
    }
    put_double_always(out, 4, histogram.count);
}

fn put_native(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    put_double_always(out, 4, histogram.count);
    put_number_always(out, 5, zigzag(histogram.schema.into()));
    put_double_always(out, 6, histogram.zero_threshold);
    put_double_always(out, 8, histogram.zero_count);
    put_side(out, &histogram.negative, 9, 11);
    put_side(out, &histogram.positive, 12, 14);
}

fn put_side(out: &mut Vec<u8>, side: &Buckets, spans: u32, counts: u32) {
    for span in side.spans() {
        put_message(out, spans, |out| {
            put_number_always(out, 1, zigzag(span.offset.into()));
            put_number_always(out, 2, span.length.into());
        });
    }
    for &count in side.counts() {
        put_double_always(out, counts, count);
    }
}
