//! Protobuf written: fields appended to a buffer.
//!
//! As in proto3 a number that is zero is left out, except by the functions that say
//! otherwise. Messages within messages are written in place and given their length
//! afterwards, which moves their bytes once.

use super::reader::{BYTES, FIXED64, VARINT};

/// Appends a number in 7-bit groups.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Returns how many bytes [`put_varint`] takes for a number.
pub fn varint_len(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Codes a signed number so that small ones of either sign are short (`sint32`, `sint64`).
pub fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn put_tag(out: &mut Vec<u8>, field: u32, wire_type: u8) {
    put_varint(out, u64::from(field) << 3 | u64::from(wire_type));
}

/// Appends a number, zero too, as a field of which it matters whether it is there.
pub fn put_number_always(out: &mut Vec<u8>, field: u32, number: u64) {
    put_tag(out, field, VARINT);
    put_varint(out, number);
}

/// Appends a number unless it is zero.
pub fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        put_number_always(out, field, number);
    }
}

/// Appends a signed number (`int64`) unless it is zero.
pub fn put_int(out: &mut Vec<u8>, field: u32, number: i64) {
    put_number(out, field, number.cast_unsigned());
}

/// Appends a float, zero too.
pub fn put_double_always(out: &mut Vec<u8>, field: u32, value: f64) {
    put_tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends a float unless it is zero; a negative zero is not.
pub fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    if value.to_bits() != 0 {
        put_double_always(out, field, value);
    }
}

/// Appends bytes or a text, empty ones too.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_tag(out, field, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends floats as one packed field, unless there are none.
pub fn put_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    if values.is_empty() {
        return;
    }
    put_tag(out, field, BYTES);
    put_varint(out, values.len() as u64 * 8);
    for value in values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Appends signed numbers (`sint64`) as one packed field, unless there are none.
pub fn put_signed(out: &mut Vec<u8>, field: u32, numbers: &[i64]) {
    if numbers.is_empty() {
        return;
    }
    put_message(out, field, |out| {
        for &number in numbers {
            put_varint(out, zigzag(number));
        }
    });
}

/// Appends a message that `write` writes.
pub fn put_message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_tag(out, field, BYTES);
    put_delimited(out, write);
}

/// Appends a length and that many bytes, which `write` writes.
pub fn put_delimited(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    write(out);
    let len_bytes = out.len() - begin;
    put_varint(out, len_bytes as u64);
    let moved = out.len() - begin - len_bytes;
    out[begin..].rotate_right(moved);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Inner {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        t: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Outer {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "2")]
        inner: Vec<Inner>,
        #[prost(sint64, repeated, tag = "3")]
        deltas: Vec<i64>,
        #[prost(double, repeated, tag = "4")]
        bounds: Vec<f64>,
        #[prost(uint64, optional, tag = "17")]
        count: Option<u64>,
    }

    proptest! {
        #[test]
        fn another_decoder_reads_what_is_written(
            name in ".*",
            inner in proptest::collection::vec((any::<f64>(), any::<i64>()), 0..20),
            deltas in proptest::collection::vec(any::<i64>(), 0..20),
            bounds in proptest::collection::vec(-1e300f64..1e300, 0..20),
            count in any::<u64>(),
        ) {
            let mut out = Vec::new();
            put_bytes(&mut out, 1, name.as_bytes());
            for &(value, t) in &inner {
                put_message(&mut out, 2, |out| {
                    put_double(out, 1, value);
                    put_int(out, 2, t);
                });
            }
            put_signed(&mut out, 3, &deltas);
            put_doubles(&mut out, 4, &bounds);
            put_number_always(&mut out, 17, count);
            let read = Outer::decode(&out[..]).unwrap();
            prop_assert_eq!(read.name, name);
            let bits = |values: Vec<(f64, i64)>| -> Vec<(u64, i64)> {
                values.into_iter().map(|(v, t)| (v.to_bits(), t)).collect()
            };
            let found = read.inner.iter().map(|i| (i.value, i.t)).collect();
            prop_assert_eq!(bits(found), bits(inner));
            prop_assert_eq!(read.deltas, deltas);
            prop_assert_eq!(read.bounds, bounds);
            prop_assert_eq!(read.count, Some(count));
        }

        #[test]
        fn lengths_of_numbers_are_known(number in any::<u64>(), bits in 0u32..64) {
            let number = number >> bits;
            let mut out = Vec::new();
            put_varint(&mut out, number);
            prop_assert_eq!(out.len(), varint_len(number));
        }
    }

    #[test]
    fn zeros_are_left_out_unless_they_matter() {
        let mut out = Vec::new();
        put_number(&mut out, 1, 0);
        put_double(&mut out, 1, 0.0);
        put_doubles(&mut out, 1, &[]);
        put_signed(&mut out, 1, &[]);
        assert!(out.is_empty());
        put_double(&mut out, 1, -0.0);
        put_number_always(&mut out, 2, 0);
        assert_eq!(out, [9, 0, 0, 0, 0, 0, 0, 0, 0x80, 16, 0]);
        assert_eq!(
            (zigzag(0), zigzag(-1), zigzag(1), zigzag(i64::MIN)),
            (0, 1, 2, u64::MAX)
        );
    }
}
