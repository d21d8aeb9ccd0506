//! The columns of chunks over arbitrary bytes: the body of the fuzz target
//! `chunk_columns`, and of a test that runs its seeds on every build.

use super::presence::Presence;
use super::sealed::{self, Effort, Scratch};
use super::timestamps;

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
    match mode % 5 {
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
            mode in 0u8..5,
            n in 0u16..3000,
            codec in 0u8..10,
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let [low, high] = n.to_le_bytes();
            super::check_columns(&[&[mode, low, high, codec], &bytes[..]].concat());
        }
    }
}
