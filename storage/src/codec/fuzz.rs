//! The columns of chunks over arbitrary bytes: the body of the fuzz target
//! `chunk_columns`, and of a test that runs its seeds on every build.

use super::presence::Presence;
use super::sealed::{self, Effort, Scratch};
use super::{histogram, timestamps};
use crate::model::histogram::{
    CounterResetHint, Histogram, HistogramPoint, IntegerHistogram, Span,
};
use crate::model::stale_marker;

/// Reads `data` as a column, then as what a column is to be made of.
///
/// Its first byte says as what, the next two how many values there are.
///
/// # Panics
/// When a codec breaks a promise; that is what it is for.
pub fn check_columns(data: &[u8]) {
    let Some((&[mode, low, high], rest)) = data.split_first_chunk() else {
        return;
    };
    let n = usize::from(u16::from_le_bytes([low, high])) % 9000;
    match mode % 7 {
        0 => read_values(rest, n),
        1 => read_timestamps(rest, n),
        2 => {
            if let Ok(presence) = Presence::decode(&mut &*rest, n) {
                let times: Vec<i64> = (0..n as i64).collect();
                let mut kept = Vec::new();
                presence.keep(0..n, &times, &mut kept);
                assert_eq!(kept.len(), presence.n_present());
                let found = Presence::of(&times, &kept);
                assert_eq!(found, Some(presence), "it is found again");
            }
        }
        3 => write_values(&doubles(rest), n),
        5 => read_run(rest, n),
        6 => write_run(rest),
        _ => {
            let t_ms: Vec<i64> = doubles(rest).iter().map(|v| v.to_bits() as i64).collect();
            let mut bytes = Vec::new();
            timestamps::encode(&t_ms, &mut bytes);
            let mut out = Vec::new();
            assert_eq!(
                timestamps::decode(&bytes, t_ms.len(), &mut out),
                Ok(t_ms.len())
            );
            assert_eq!(out, t_ms);
        }
    }
}

fn read_values(bytes: &[u8], n: usize) {
    let mut scratch = Scratch::default();
    let mut whole = Vec::new();
    let found = sealed::decode(bytes, n, &mut scratch, &mut whole);
    assert!(whole.len() <= n);
    let mut part = Vec::new();
    let range = n / 3..n / 2;
    // A part may be sound, or look like it, where the whole is not.
    let _ = sealed::decode_range(bytes, n, range.clone(), &mut scratch, &mut part);
    assert!(part.len() <= n);
    if found.is_ok() {
        assert_eq!(whole.len(), n);
    }
}

/// Reads a run of histograms in both ways, whole and in part.
fn read_run(bytes: &[u8], n: usize) {
    let mut scratch = histogram::Scratch::default();
    let mut points = Vec::new();
    let _ = histogram::decode(bytes, n, &mut scratch, &mut points);
    assert!(points.len() <= n);
    let Ok(values) = histogram::Values::read(bytes, n) else {
        return;
    };
    for range in [0..n, n / 3..n / 2] {
        let (mut floats, mut histograms) = (0, 0);
        let read = values.float_histograms(range.clone(), &mut scratch, |_| floats += 1);
        assert_eq!(floats, if read.is_ok() { range.len() } else { 0 });
        let read = values.histograms(range.clone(), &mut scratch, |_| histograms += 1);
        assert_eq!(histograms, if read.is_ok() { range.len() } else { 0 });
    }
}

/// Makes histograms of bytes, six each, cuts and writes them, and reads them back.
fn write_run(bytes: &[u8]) {
    let (pieces, _) = bytes.as_chunks::<6>();
    let mut counts = [0i64; 4];
    let point = |(t_ms, &[hint, bucket, more, shape, sum, first]): (i64, &[u8; 6])| {
        counts[usize::from(bucket % 4)] += i64::from(more as i8) << (shape >> 3);
        let length = 1 + u32::from(shape & 3);
        let mut last = 0i64;
        let deltas = counts[..length as usize].iter().map(|count| {
            let before = std::mem::replace(&mut last, *count);
            count.wrapping_sub(before)
        });
        let integer = IntegerHistogram {
            counter_reset_hint: [
                CounterResetHint::Unknown,
                CounterResetHint::Reset,
                CounterResetHint::NotReset,
                CounterResetHint::Gauge,
            ][usize::from(hint & 3)],
            count: u64::from(more),
            sum: match sum {
                255 => stale_marker(),
                sum => f64::from(sum) / 7.0,
            },
            positive_deltas: deltas.collect(),
            positive_spans: vec![Span {
                offset: i32::from(first as i8),
                length,
            }],
            ..IntegerHistogram::default()
        };
        let histogram = match (hint & 4 == 0, integer.to_float()) {
            (false, Ok(float)) => Histogram::Float(float),
            _ => Histogram::Integer(integer),
        };
        HistogramPoint { t_ms, histogram }
    };
    let points: Vec<HistogramPoint> = (0..).zip(pieces).map(point).collect();
    let Ok(runs) = histogram::cut(&points, 50) else {
        return;
    };
    let mut scratch = histogram::Scratch::default();
    let mut begin = 0;
    for histogram::Run { layout, len } in runs {
        let run = &points[begin..begin + len];
        begin += len;
        let mut bytes = Vec::new();
        let written = histogram::encode(run, &layout, Effort::Block, &mut scratch, &mut bytes);
        assert_eq!(written, Ok(()));
        let mut found = Vec::new();
        let read = histogram::decode(&bytes, len, &mut scratch, &mut found);
        assert_eq!(read, Ok(()));
        for (found, point) in found.iter().zip(run) {
            let is_stale = point.histogram.is_stale_marker();
            assert_eq!(found.histogram.is_stale_marker(), is_stale);
            let wider = histogram::widened(&point.histogram, &layout);
            let floats = (
                found.histogram.to_float(),
                wider.map(|wider| wider.to_float()),
            );
            let (Ok(found), Ok(Ok(wider))) = floats else {
                unreachable!("what was cut has spans that fit");
            };
            assert!(
                is_stale || found.is_same_data(&wider),
                "{found:?} {wider:?}"
            );
        }
    }
    assert_eq!(begin, points.len());
}

fn read_timestamps(bytes: &[u8], n: usize) {
    let mut out = Vec::new();
    if let Ok(found) = timestamps::decode(bytes, n, &mut out) {
        assert_eq!(out.len(), found);
    }
    assert!(out.len() <= n);
    out.clear();
    let _ = timestamps::decode_range(bytes, n, n / 3..n / 2, &mut out);
    assert!(out.len() <= n);
}

/// Doubles of eight bytes each; three bits of the first say how they go on.
fn doubles(bytes: &[u8]) -> Vec<f64> {
    let Some((&[shape, step], bytes)) = bytes.split_first_chunk() else {
        return Vec::new();
    };
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let mut last = 0u64;
    let value = |word: u64| match shape % 4 {
        0 => f64::from_bits(word),
        1 => (word as i32) as f64 / 100.0,
        2 => {
            last = last.wrapping_add(word % (u64::from(step) + 1));
            last as f64
        }
        _ => 100.0 + (word as u32 as f64).sin() * f64::from(step),
    };
    words.map(value).collect()
}

/// Seals the values, repeated until there are `n`, and reads them back.
fn write_values(values: &[f64], n: usize) {
    let values: Vec<f64> = values.iter().copied().cycle().take(n).collect();
    let n = values.len();
    let mut scratch = Scratch::default();
    for effort in [Effort::Quick, Effort::Block, Effort::Cold] {
        let mut bytes = Vec::new();
        sealed::seal_with(&values, None, effort, &mut scratch, &mut bytes);
        for range in [0..n, n / 3..n / 2] {
            let mut out = Vec::new();
            let found = sealed::decode_range(&bytes, n, range.clone(), &mut scratch, &mut out);
            assert_eq!(found, Ok(()));
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&out), bits(&values[range]));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// The seeds that a run begins with.
    #[test]
    fn seeds_hold() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/chunk_columns");
        let mut n = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "seed")
            {
                super::check_columns(&std::fs::read(path).unwrap());
                n += 1;
            }
        }
        assert!(n > 0, "there are seeds in {dir}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_hold(
            mode in 0u8..7,
            n in 0u16..3000,
            codec in 0u8..10,
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let [low, high] = n.to_le_bytes();
            super::check_columns(&[&[mode, low, high, codec], &bytes[..]].concat());
        }
    }
}
