use proptest::prelude::*;

use super::super::value_tests::{check_bits, values};
use super::*;
use crate::codec::CodecError;
use crate::model::stale_marker;

const EFFORTS: [Effort; 3] = [Effort::Quick, Effort::Block, Effort::Cold];

fn round_trip(values: &[f64]) -> (Codec, usize) {
    let [quick, block, cold] = EFFORTS.map(|effort| round_trip_with(values, effort));
    for (_, len) in [block, cold] {
        assert!(
            len <= quick.1,
            "more effort is not longer: {len} against {}",
            quick.1
        );
    }
    quick
}

fn round_trip_with(values: &[f64], effort: Effort) -> (Codec, usize) {
    let mut scratch = Scratch::default();
    let mut bytes = vec![1, 2];
    let codec = seal_with(values, None, effort, &mut scratch, &mut bytes);
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

#[test]
fn pco_is_used_where_it_pays() {
    // Steps of 0 to 16, most of them near 8: a packed one takes the bits of the widest.
    let mut total = 0;
    let counter: Vec<f64> = (0..8192u64)
        .map(|i| {
            let dice = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let dice = (dice ^ dice >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            total += (dice >> 40 & 0xffff).count_ones();
            f64::from(total)
        })
        .collect();
    let (quick, plain) = round_trip_with(&counter, Effort::Quick);
    let (cold, paged) = round_trip_with(&counter, Effort::Cold);
    assert_eq!((quick, cold), (Codec::Delta, Codec::PcoIntegers));
    assert!(paged * 100 <= plain * 85, "{paged} against {plain}");

    // The last bits of its numbers are noise, which no code makes shorter.
    let sine = series(480, |i| 100.0 + (i as f64 * 0.1).sin());
    let (quick, plain) = round_trip_with(&sine, Effort::Quick);
    let (block, paged) = round_trip_with(&sine, Effort::Block);
    assert_eq!((quick, block), (Codec::Xor, Codec::PcoDoubles));
    assert!(paged * 100 <= plain * 95, "{paged} against {plain}");

    let uniform = series(480, |i| spread(i, 4096) as f64);
    assert_eq!(round_trip_with(&uniform, Effort::Cold).0, Codec::For);
}

#[test]
fn what_is_not_finite_stands_beside_the_doubles() {
    let mut values = series(2000, |i| 100.0 + (i as f64 * 0.01).sin());
    let clean = round_trip_with(&values, Effort::Cold);
    values[7] = stale_marker();
    values[0] = f64::NAN;
    values[1999] = f64::from_bits(0x7ff0_0000_0000_0001);
    values[1000] = f64::NEG_INFINITY;
    let (codec, len) = round_trip_with(&values, Effort::Cold);
    assert_eq!((clean.0, codec), (Codec::PcoDoubles, Codec::PcoDoubles));
    assert!(len <= clean.1 + clean.1 / 50, "{len} against {}", clean.1);
    values[1001] = -0.0;
    values[1002] = f64::from_bits(1);
    assert_eq!(round_trip_with(&values, Effort::Cold).0, Codec::PcoDoubles);
}

#[test]
fn a_range_of_a_chunk_does_not_reach_beyond_it() {
    let mut bytes = Vec::new();
    let mut scratch = Scratch::default();
    seal(&[1.0, 2.0, 4.0], None, &mut scratch, &mut bytes);
    let mut out = Vec::new();
    let beyond = decode_range(&bytes, 3, 1..4, &mut scratch, &mut out);
    assert_eq!(beyond, Err(CodecError::Invalid("range of a chunk")));
}

/// Values of every codec, in chunks with and without anchors, runs and pages.
fn long_values() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        values(3000),
        // What is no decimal, smooth or not.
        (1usize..3000, any::<bool>()).prop_map(|(n, is_smooth)| {
            let step = if is_smooth { 0.01 } else { 1.0 };
            series(n, |i| 100.0 + (i as f64 * step).sin())
        }),
        (1usize..3000, 1usize..10_000, 0usize..5_000).prop_map(|(n, below, slope)| {
            series(n, |i| (i * slope + spread(i, below)) as f64 / 100.0)
        }),
        (1usize..3000, 2usize..200).prop_map(|(n, every)| {
            series(n, |i| ((i + spread(i, every)) / every * 4096) as f64)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_range_is_a_slice_of_the_whole(
        values in long_values(),
        effort in prop::sample::select(EFFORTS.to_vec()),
        ends in prop::collection::vec((any::<prop::sample::Index>(), 0usize..600), 4),
    ) {
        let n = values.len();
        let mut scratch = Scratch::default();
        let mut bytes = Vec::new();
        seal_with(&values, None, effort, &mut scratch, &mut bytes);
        for (start, len) in ends {
            let start = start.index(n + 1);
            let range = start..(start + len).min(n);
            let mut out = vec![3.0];
            decode_range(&bytes, n, range.clone(), &mut scratch, &mut out).unwrap();
            check_bits(&values[range], &out[1..]);
        }
    }

    #[test]
    fn long_chunks_round_trip(values in long_values()) {
        round_trip(&values);
    }

    #[test]
    fn damaged_long_chunks_never_panic(
        values in long_values(),
        at: prop::sample::Index,
        bits: u8,
        start in 0usize..2500,
    ) {
        let n = values.len();
        let mut bytes = Vec::new();
        let mut scratch = Scratch::default();
        seal_with(&values, None, Effort::Cold, &mut scratch, &mut bytes);
        let at = at.index(bytes.len().min(100));
        bytes[at] ^= bits;
        for range in [0..n, start..start + 300] {
            let mut out = Vec::new();
            let _ = decode_range(&bytes, n, range, &mut scratch, &mut out);
            prop_assert!(out.len() <= n);
        }
        bytes.truncate(at);
        let _ = decode(&bytes, n, &mut scratch, &mut Vec::new());
    }
}

#[test]
fn one_value_has_no_paged_differences() {
    let bytes = [Codec::PcoIntegers as u8, 0, PAGED_DELTAS | 1, 0, 0, 0];
    let mut out = Vec::new();
    assert!(decode(&bytes, 1, &mut Scratch::default(), &mut out).is_err());
    assert!(decode_range(&bytes, 1, 0..1, &mut Scratch::default(), &mut out).is_err());
    assert!(out.is_empty());
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
