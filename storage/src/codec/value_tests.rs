//! Sample values as the codec tests generate them.

use proptest::prelude::*;

use crate::model::stale_marker;

/// Up to `max` values of the kinds that series are made of, and of kinds they are not.
pub(crate) fn values(max: usize) -> impl Strategy<Value = Vec<f64>> {
    let n = 0..=max;
    prop_oneof![
        prop::collection::vec(any::<u64>().prop_map(f64::from_bits), n.clone()),
        // Decimals of mixed lengths, with the odd marker and special value.
        prop::collection::vec(
            prop_oneof![
                20 => (-100_000i64..100_000, 0u8..4).prop_map(|(d, e)| d as f64 / 10f64.powi(e.into())),
                1 => Just(stale_marker()),
                1 => prop_oneof![
                    Just(f64::NAN), Just(-0.0), Just(f64::INFINITY), Just(0.1 + 0.2),
                    Just(f64::MIN_POSITIVE / 2.0), Just(9_007_199_254_740_993.0), Just(1e308)
                ],
            ],
            n.clone()
        ),
        // A counter with resets.
        prop::collection::vec((0u32..2_000_000, 0u8..50), n.clone()).prop_map(|steps| {
            let mut total = 0.0;
            let add = |(step, reset)| {
                total = if reset == 0 {
                    0.0
                } else {
                    total + f64::from(step)
                };
                total
            };
            steps.into_iter().map(add).collect()
        }),
        // A quiet series.
        prop::collection::vec((0u8..20, -3i32..3), n).prop_map(|steps| {
            let mut value = 40.25;
            let mut walk = |(change, by)| {
                if change == 0 {
                    value += f64::from(by);
                }
                value
            };
            steps.into_iter().map(&mut walk).collect()
        }),
    ]
}

/// Asserts that two lists are equal bit by bit.
pub(crate) fn check_bits(expected: &[f64], found: &[f64]) {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(expected), bits(found));
}
