//! `prometheus.Histogram`, which both versions use.

use kymo_storage::model::histogram::{Buckets, CounterResetHint, Histogram, Span};

use super::super::writer::{
    put_double, put_double_always, put_doubles, put_message, put_number, put_number_always,
    put_signed, zigzag,
};

/// Appends the fields of a histogram.
pub fn put(out: &mut Vec<u8>, t_ms: i64, histogram: &Histogram) {
    match histogram {
        Histogram::Integer(found) => {
            // The count is one of two fields, and written even where it is 0: it tells
            // which of them there is.
            put_number_always(out, 1, found.count);
            put_double(out, 3, found.sum);
            put_number(out, 4, zigzag(found.schema.into()));
            put_double(out, 5, found.zero_threshold);
            put_number_always(out, 6, found.zero_count);
            put_spans(out, 8, &found.negative_spans);
            put_signed(out, 9, &found.negative_deltas);
            put_spans(out, 11, &found.positive_spans);
            put_signed(out, 12, &found.positive_deltas);
            put_number(out, 14, hint(found.counter_reset_hint));
            put_number(out, 15, t_ms.cast_unsigned());
            put_doubles(out, 16, &found.custom_bounds);
        }
        Histogram::Float(found) => {
            put_double_always(out, 2, found.count);
            put_double(out, 3, found.sum);
            put_number(out, 4, zigzag(found.schema.into()));
            put_double(out, 5, found.zero_threshold);
            put_double_always(out, 7, found.zero_count);
            put_counts(out, [8, 10], &found.negative);
            put_counts(out, [11, 13], &found.positive);
            put_number(out, 14, hint(found.counter_reset_hint));
            put_number(out, 15, t_ms.cast_unsigned());
            put_doubles(out, 16, &found.custom_bounds);
        }
    }
}

fn hint(hint: CounterResetHint) -> u64 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

fn put_spans(out: &mut Vec<u8>, field: u32, spans: &[Span]) {
    for span in spans {
        put_message(out, field, |out| {
            put_number(out, 1, zigzag(span.offset.into()));
            put_number(out, 2, span.length.into());
        });
    }
}

fn put_counts(out: &mut Vec<u8>, [spans, counts]: [u32; 2], buckets: &Buckets) {
    put_spans(out, spans, &buckets.spans());
    put_doubles(out, counts, buckets.counts());
}
