use proptest::prelude::*;

use super::super::value_tests::{check_bits, values};
use super::*;

fn round_trip(values: &[f64]) -> (Codec, usize) {
    let mut scratch = Scratch::default();
    let mut bytes = vec![1, 2];
    let codec = seal(values, None, &mut scratch, &mut bytes);
    assert!(
        bytes.len() - 2 <= 1 + 8 * values.len().max(1),
        "never longer than raw"
    );
    let mut out = vec![3.0];
    decode(&bytes[2..], values.len(), &mut scratch, &mut out).unwrap();
    check_bits(values, &out[1..]);
    (codec, bytes.len() - 2)
}

fn series(n: usize, value: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..n).map(value).collect()
}

/// A spread of numbers that is the same everywhere.
fn spread(i: usize, below: usize) -> usize {
    (i * 7919 + i * i * 104_729) % below
}

#[test]
fn each_shape_gets_its_codec() {
    let cases: [(&str, Vec<f64>, Codec); 8] = [
        ("constant", series(120, |_| 0.1), Codec::Const),
        (
            "gauge",
            series(240, |i| spread(i, 10_000) as f64 / 100.0),
            Codec::For,
        ),
        (
            "counter",
            series(240, |i| (i * 1_000_000 + spread(i, 1000)) as f64),
            Codec::Delta,
        ),
        (
            "drift",
            series(240, |i| 5e8 + ((i as f64 * 0.05).sin() * 1e6).trunc()),
            Codec::DeltaZigzag,
        ),
        (
            "quiet",
            series(240, |i| ((i + 10) / 97) as f64),
            Codec::Sparse,
        ),
        (
            "sine",
            series(240, |i| 100.0 + (i as f64).sin()),
            Codec::Xor,
        ),
        (
            "noise",
            series(240, |i| {
                f64::from_bits((spread(i, 1 << 40) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            }),
            Codec::Raw,
        ),
        ("empty", vec![], Codec::Raw),
    ];
    for (name, values, expected) in cases {
        assert_eq!(round_trip(&values).0, expected, "{name}");
    }
}

#[test]
fn a_stale_marker_or_nan_costs_a_few_bytes_and_keeps_the_codec() {
    let mut values = series(240, |i| (i * 15) as f64 + spread(i, 4) as f64);
    let (codec, clean) = round_trip(&values);
    values[100] = stale_marker();
    values[0] = stale_marker();
    values[239] = stale_marker();
    let (with_markers, len) = round_trip(&values);
    assert_eq!((codec, with_markers), (Codec::Delta, Codec::Delta));
    assert!(len <= clean + 20, "{len} against {clean}");
    values[50] = f64::NAN;
    values[51] = 0.1 + 0.2;
    assert_eq!(round_trip(&values).0, Codec::Delta);
}

#[test]
fn multiples_share_their_factor() {
    let pages = series(240, |i| (spread(i, 200) * 4096) as f64);
    let plain = series(240, |i| spread(i, 200) as f64);
    let (_, with_factor) = round_trip(&pages);
    let (_, without) = round_trip(&plain);
    assert!(
        with_factor <= without + 4,
        "{with_factor} against {without}"
    );
}

proptest! {
    #[test]
    fn round_trips_bit_by_bit(values in values(600)) {
        round_trip(&values);
    }

    #[test]
    fn hints_change_nothing_but_time(values in values(200), exponent in 0u8..=18) {
        let mut bytes = Vec::new();
        let mut scratch = Scratch::default();
        seal(&values, Some(exponent), &mut scratch, &mut bytes);
        let mut out = Vec::new();
        decode(&bytes, values.len(), &mut scratch, &mut out).unwrap();
        check_bits(&values, &out);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, codec in 0u8..10, n in 0usize..2000) {
        if let Some(first) = bytes.first_mut() {
            *first = codec;
        }
        let mut out = Vec::new();
        let _ = decode(&bytes, n, &mut Scratch::default(), &mut out);
        prop_assert!(out.len() <= n);
    }

    #[test]
    fn damaged_chunks_never_panic(values in values(300), at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = Vec::new();
        let mut scratch = Scratch::default();
        seal(&values, None, &mut scratch, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let mut out = Vec::new();
        let _ = decode(&bytes, values.len(), &mut scratch, &mut out);
        bytes.truncate(at);
        let _ = decode(&bytes, values.len(), &mut scratch, &mut out);
    }
}
