//! `prometheus.Histogram`, which both versions use.

use kymo_storage::model::histogram::{Buckets, CounterResetHint, Histogram, Span};

use super::super::reader::{BYTES, FIXED64, VARINT};
use super::{put_bytes, put_double, put_number, put_tag, put_varint};

/// Appends the fields of a histogram.
pub fn put(out: &mut Vec<u8>, t_ms: i64, histogram: &Histogram) {
    match histogram {
        Histogram::Integer(found) => {
            // The count is one of two fields, and written even where it is 0: it tells
            // which of them there is.
            put_tag(out, 1, VARINT);
            put_varint(out, found.count);
            put_double(out, 3, found.sum);
            put_number(out, 4, zigzag(found.schema.into()));
            put_double(out, 5, found.zero_threshold);
            put_tag(out, 6, VARINT);
            put_varint(out, found.zero_count);
            put_spans(out, 8, &found.negative_spans);
            put_deltas(out, 9, &found.negative_deltas);
            put_spans(out, 11, &found.positive_spans);
            put_deltas(out, 12, &found.positive_deltas);
            put_number(out, 14, hint(found.counter_reset_hint));
            put_number(out, 15, t_ms.cast_unsigned());
            put_doubles(out, 16, &found.custom_bounds);
        }
        Histogram::Float(found) => {
            put_tag(out, 2, FIXED64);
            out.extend_from_slice(&found.count.to_bits().to_le_bytes());
            put_double(out, 3, found.sum);
            put_number(out, 4, zigzag(found.schema.into()));
            put_double(out, 5, found.zero_threshold);
            put_tag(out, 7, FIXED64);
            out.extend_from_slice(&found.zero_count.to_bits().to_le_bytes());
            put_counts(out, [8, 10], &found.negative);
            put_counts(out, [11, 13], &found.positive);
            put_number(out, 14, hint(found.counter_reset_hint));
            put_number(out, 15, t_ms.cast_unsigned());
            put_doubles(out, 16, &found.custom_bounds);
        }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
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
    let mut inner = Vec::with_capacity(16);
    for span in spans {
        inner.clear();
        put_number(&mut inner, 1, zigzag(span.offset.into()));
        put_number(&mut inner, 2, span.length.into());
        put_bytes(out, field, &inner);
    }
}

fn put_deltas(out: &mut Vec<u8>, field: u32, deltas: &[i64]) {
    if deltas.is_empty() {
        return;
    }
    let mut inner = Vec::with_capacity(deltas.len() * 2);
    for &delta in deltas {
        put_varint(&mut inner, zigzag(delta));
    }
    put_bytes(out, field, &inner);
}

fn put_counts(out: &mut Vec<u8>, [spans, counts]: [u32; 2], buckets: &Buckets) {
    put_spans(out, spans, &buckets.spans());
    put_doubles(out, counts, buckets.counts());
}

fn put_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    if values.is_empty() {
        return;
    }
    put_tag(out, field, BYTES);
    put_varint(out, values.len() as u64 * 8);
    for value in values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}
