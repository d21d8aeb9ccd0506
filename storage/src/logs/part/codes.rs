//! A small number for each row, and the times of rows, page by page.
//!
//! ```text
//! codes = for each page: n bytes | least | packed
//! times = for each page: n bytes | first zigzag | mark u8, 1: steps go back | unit | packed
//! ```
//!
//! Codes are above the least one of the page. Times are steps from one row to the next in
//! the largest unit that all steps of a page are multiples of.

use super::error::Decoded;
use super::wire::{put_bytes, take_byte, take_bytes};
use crate::codec::{CodecError, packed, varint};

/// Appends a code for each row.
pub(super) fn encode_codes(codes: &[u64], page_ends: &[usize], out: &mut Vec<u8>) {
    let mut start = 0;
    let mut page = Vec::new();
    for &end in page_ends {
        let codes = &codes[start..end];
        let least = codes.iter().copied().min().unwrap_or(0);
        page.clear();
        varint::write_u64(&mut page, least);
        let above: Vec<u64> = codes.iter().map(|code| code - least).collect();
        packed::pack(&above, &mut page);
        put_bytes(out, &page);
        start = end;
    }
}

/// Appends the time of each row.
pub(super) fn encode_times(times: &[i64], page_ends: &[usize], out: &mut Vec<u8>) {
    let mut start = 0;
    let mut page = Vec::new();
    for &end in page_ends {
        let times = &times[start..end];
        start = end;
        page.clear();
        let steps: Vec<i64> = times
            .windows(2)
            .map(|pair| pair[1].wrapping_sub(pair[0]))
            .collect();
        let goes_back = steps.iter().any(|&step| step < 0);
        let unit = steps
            .iter()
            .fold(0, |unit, &step| divisor(unit, step.unsigned_abs()))
            .max(1);
        varint::write_i64(&mut page, times.first().copied().unwrap_or(0));
        page.push(u8::from(goes_back));
        varint::write_u64(&mut page, unit);
        let packed_step = |&step: &i64| {
            let units = (step.unsigned_abs() / unit).cast_signed();
            match goes_back {
                true => varint::zigzag(if step < 0 {
                    units.wrapping_neg()
                } else {
                    units
                }),
                false => units.cast_unsigned(),
            }
        };
        packed::pack(
            &steps.iter().map(packed_step).collect::<Vec<_>>(),
            &mut page,
        );
        put_bytes(out, &page);
    }
}

/// The greatest common divisor; that of 0 and a number is the number.
fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Finds the bytes of each page.
pub(super) fn pages(mut bytes: &[u8], n_pages: usize) -> Decoded<Vec<&[u8]>> {
    let mut pages = Vec::new();
    for _ in 0..n_pages {
        pages.push(take_bytes(&mut bytes)?);
    }
    Ok(pages)
}

/// Reads the codes of a page, which are below `limit`.
pub(super) fn decode_codes(mut page: &[u8], n: usize, limit: usize) -> Decoded<Vec<u64>> {
    let least = varint::read_u64(&mut page)?;
    let mut codes = Vec::new();
    packed::unpack(&mut page, n, &mut codes)?;
    for code in &mut codes {
        *code = code.wrapping_add(least);
        if *code >= limit as u64 {
            return Err(CodecError::Invalid("number of a kind of rows"));
        }
    }
    Ok(codes)
}

/// Reads the times of a page.
pub(super) fn decode_times(mut page: &[u8], n: usize, out: &mut Vec<i64>) -> Decoded<()> {
    out.clear();
    let page = &mut page;
    let mut time = varint::read_i64(page)?;
    let goes_back = take_byte(page)? == 1;
    let unit = varint::read_u64(page)?.cast_signed();
    if n == 0 {
        return Ok(());
    }
    let mut steps = Vec::new();
    packed::unpack(page, n - 1, &mut steps)?;
    out.reserve_exact(n);
    out.push(time);
    if goes_back {
        for step in steps {
            time = time.wrapping_add(varint::unzigzag(step).wrapping_mul(unit));
            out.push(time);
        }
    } else {
        for step in steps {
            time = time.wrapping_add(step.cast_signed().wrapping_mul(unit));
            out.push(time);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times_round_trip(times: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode_times(times, &[times.len()], &mut bytes);
        let pages = pages(&bytes, 1).unwrap();
        let mut out = Vec::new();
        decode_times(pages[0], times.len(), &mut out).unwrap();
        assert_eq!(out, times);
        bytes.len()
    }

    #[test]
    fn times_of_milliseconds_are_short() {
        let times: Vec<i64> = (0..128)
            .map(|i| 1_785_578_400_000_000_000 + i * 60_000_000)
            .collect();
        assert!(times_round_trip(&times) < 60);
        times_round_trip(&[]);
        times_round_trip(&[i64::MIN, i64::MAX, 0, i64::MIN]);
    }

    proptest! {
        #[test]
        fn any_times_come_back(times: Vec<i64>) {
            times_round_trip(&times);
        }

        #[test]
        fn any_codes_come_back(codes in prop::collection::vec(0u64..5000, 0..300)) {
            let mut bytes = Vec::new();
            let half = codes.len() / 2;
            encode_codes(&codes, &[half, codes.len()], &mut bytes);
            let pages = pages(&bytes, 2).unwrap();
            prop_assert_eq!(&decode_codes(pages[0], half, 5000).unwrap()[..], &codes[..half]);
            prop_assert_eq!(&decode_codes(pages[1], codes.len() - half, 5000).unwrap()[..], &codes[half..]);
        }
    }
}
