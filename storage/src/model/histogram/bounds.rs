//! Where buckets begin and end.

use super::bounds_table::BOUNDS;

/// Finest schema, for which the table is.
const TABLE_SCHEMA: i32 = 8;

/// Returns the upper bound of the positive bucket `index` of an exponential schema.
///
/// Bucket 0 ends at 1. The last bucket of finite values ends at the largest finite
/// value, and the one behind it at +Inf, so that it counts infinite observations.
pub fn exponential_bound(index: i32, schema: i32) -> f64 {
    // Beyond these a histogram is not valid; the bounds are only not to overflow.
    let schema = schema.clamp(-30, TABLE_SCHEMA);
    let (fraction, exponent) = if schema < 0 {
        (0.5, (i64::from(index) << -schema) + 1)
    } else {
        let within = (index & ((1 << schema) - 1)) << (TABLE_SCHEMA - schema);
        (BOUNDS[within as usize], i64::from(index >> schema) + 1)
    };
    if fraction == 0.5 && exponent == 1025 {
        return f64::MAX;
    }
    scaled(fraction, exponent)
}

/// Returns the upper bound of the custom bucket `index`, -Inf below the first.
pub(super) fn custom_bound(index: i64, bounds: &[f64]) -> f64 {
    match usize::try_from(index) {
        Err(_) => f64::NEG_INFINITY,
        Ok(index) => bounds.get(index).copied().unwrap_or(f64::INFINITY),
    }
}

/// Returns `fraction * 2^exponent`, rounded once.
fn scaled(fraction: f64, exponent: i64) -> f64 {
    // The product of two normal steps is exact until the last one.
    const STEP: i64 = 100;
    match exponent.clamp(-1200, 1200) {
        exponent @ 1001.. => fraction * power(exponent - 1000 + STEP) * power(1000 - STEP),
        exponent @ -900..=1000 => fraction * power(exponent),
        exponent => fraction * power(exponent + 400) * power(-400),
    }
}

/// Returns `2^exponent` for the exponents of normal numbers.
fn power(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_every_two_to_the_schema_buckets() {
        for schema in -4..=8 {
            assert_eq!(exponential_bound(0, schema), 1.0, "schema {schema}");
            if schema >= 0 {
                assert_eq!(exponential_bound(1 << schema, schema), 2.0);
                assert_eq!(exponential_bound(-(1 << schema), schema), 0.5);
            } else {
                let first = 2f64.powi(1 << -schema);
                assert_eq!(exponential_bound(1, schema), first);
                assert_eq!(exponential_bound(-1, schema), first.recip());
            }
            let close = 2f64.powf(5.0 / 2f64.powi(schema));
            let bound = exponential_bound(5, schema);
            assert!((bound - close).abs() <= close * 1e-15, "{bound} {close}");
        }
    }

    #[test]
    fn a_coarse_schema_has_the_bounds_of_a_fine_one() {
        for schema in -4..8 {
            for index in -70..70 {
                let fine = exponential_bound(index * 2, schema + 1);
                assert_eq!(exponential_bound(index, schema), fine);
            }
        }
    }

    #[test]
    fn the_ends_of_the_floats_are_ends_of_buckets() {
        for schema in -4..=8 {
            let last = if schema < 0 {
                1024 >> -schema
            } else {
                1024 << schema
            };
            assert_eq!(exponential_bound(last, schema), f64::MAX, "{schema}");
            assert_eq!(exponential_bound(last + 1, schema), f64::INFINITY);
            assert!(exponential_bound(last - 1, schema) < f64::MAX);
        }
        assert_eq!(exponential_bound(-1074, 0), f64::from_bits(1));
        assert_eq!(exponential_bound(-1030, 0), f64::from_bits(1 << 44));
        assert_eq!(exponential_bound(-1076, 0), 0.0);
        for schema in [i32::MIN, -53, 9, i32::MAX] {
            for index in [i32::MIN, -1, 0, i32::MAX] {
                assert!(exponential_bound(index, schema) >= 0.0);
            }
        }
    }

    #[test]
    fn bounds_are_rounded_as_the_bounds_of_prometheus_are() {
        // The nearest float to the square root of two is one further.
        let below = std::f64::consts::SQRT_2.next_down();
        assert_eq!(exponential_bound(1, 1), below);
        assert_eq!(exponential_bound(1, 3), 1.0905077326652577);
        assert_eq!(exponential_bound(-1, 2), 0.8408964152537144);
    }
}
