//! Floats that came from short decimals, as integers: `value = d / 10^e`.
//!
//! Most samples were printed with few digits. For `|d| <= 2^53` and `e <= 22` both
//! operands of the division are exact and IEEE division rounds correctly, so the
//! quotient is *the* double nearest to the decimal: what parsing its text gave.
//! Nothing is assumed: every recovery is verified by bits, which also turns away
//! -0.0, NaNs and infinities.

use crate::model::is_stale_marker;

/// Largest exponent that is tried.
pub const MAX_EXPONENT: u8 = 18;

/// Largest magnitude of a recovered integer: all integers up to it are doubles.
pub const MAX_INTEGER: i64 = 1 << 53;

const POWERS: [f64; MAX_EXPONENT as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Returns 10 to the power of `exponent`; past [`MAX_EXPONENT`] that of the maximum.
#[inline]
pub fn power(exponent: u8) -> f64 {
    POWERS[usize::from(exponent.min(MAX_EXPONENT))]
}

/// Returns the integer `d` with `d / 10^exponent` equal to `value` bit by bit.
#[inline]
pub fn scale(value: f64, exponent: u8) -> Option<i64> {
    let integer = scale_known(value, exponent);
    let exact = integer.unsigned_abs() <= MAX_INTEGER as u64
        && unscale(integer, exponent).to_bits() == value.to_bits();
    exact.then_some(integer)
}

/// As [`scale`], for a value that is known to be exact at `exponent`.
#[inline]
pub fn scale_known(value: f64, exponent: u8) -> i64 {
    let scaled = value * power(exponent);
    // Rounds half away from zero without a library call; `scale` verifies the result.
    (scaled + 0.5f64.copysign(scaled)) as i64
}

/// Returns the value of a recovered integer.
#[inline]
pub fn unscale(integer: i64, exponent: u8) -> f64 {
    integer as f64 / power(exponent)
}

/// Returns the smallest exponent at which `value` is exact, if there is one.
///
/// Costs up to 19 divisions; callers remember the answer per series.
pub fn exponent_of(value: f64) -> Option<u8> {
    if !value.is_finite() {
        return None;
    }
    for exponent in 0..=MAX_EXPONENT {
        if (value * power(exponent)).abs() > MAX_INTEGER as f64 {
            return None;
        }
        if scale(value, exponent).is_some() {
            return Some(exponent);
        }
    }
    None
}

/// Returns an exponent at which nearly all of `values` are exact, or `None` when a
/// quarter and more of the looked-at ones are no decimals. `hint` is preferred to a
/// search when it does and a smaller one does not.
///
/// It looks at a few values only: the caller counts the failures.
pub fn common_exponent(values: &[f64], hint: Option<u8>) -> Option<u8> {
    const LOOKED_AT: usize = 16;
    let step = values.len().div_ceil(LOOKED_AT).max(1);
    let (mut looked_at, mut failures) = (0, 0);
    let mut exponent = 0;
    for &value in values.iter().step_by(step) {
        if is_stale_marker(value) {
            continue;
        }
        looked_at += 1;
        // What fits already needs no search; most values of a series are alike.
        if scale(value, exponent).is_some() {
            continue;
        }
        match hint.filter(|&hint| hint > exponent && scale(value, hint).is_some()) {
            Some(hint) => exponent = hint,
            None => match exponent_of(value) {
                Some(found) => exponent = exponent.max(found),
                None => failures += 1,
            },
        }
    }
    (failures * 4 < looked_at).then_some(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_smallest_exponent() {
        for (value, expected) in [
            (0.0, Some(0)),
            (-7.0, Some(0)),
            (0.1, Some(1)),
            (12345.67, Some(2)),
            (-0.001, Some(3)),
            (1e15, Some(0)),
            (9_007_199_254_740_992.0, Some(0)),
            (1e-18, Some(18)),
            (1e-19, None),
            (0.1 + 0.2, None),
            (-0.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (1e300, None),
            (std::f64::consts::PI, Some(15)),
        ] {
            assert_eq!(exponent_of(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_recovered_integer_gives_the_same_bits(bits: u64, exponent in 0..=MAX_EXPONENT) {
            let value = f64::from_bits(bits);
            if let Some(d) = scale(value, exponent) {
                prop_assert_eq!(unscale(d, exponent).to_bits(), bits);
                prop_assert_eq!(scale_known(value, exponent), d);
            }
        }

        #[test]
        fn text_of_up_to_15_digits_is_recovered(d in -999_999_999_999_999i64..=999_999_999_999_999, e in 0u8..=12) {
            let value: f64 = format!("{d}e-{e}").parse().unwrap();
            if d != 0 {
                prop_assert_eq!(scale(value, e), Some(d));
                prop_assert!(exponent_of(value).is_some_and(|found| found <= e));
            }
        }
    }
}
