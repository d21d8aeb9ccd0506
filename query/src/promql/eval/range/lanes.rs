//! Compensated sums and moments of several windows at a time.
//!
//! One window is a chain of additions, each of which waits for the one before. Steps
//! of a query mostly have windows of equal length, and those are computed side by side;
//! the operations of each and their order stay the same.

use crate::error::QueryError;
use crate::limits::Cancel;
use crate::promql::eval::column::add_one;
use crate::promql::eval::over_time;
use crate::promql::eval::row::RowBuilder;

/// Windows side by side.
const LANES: usize = 4;

/// What is computed of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folded {
    Sum,
    Avg,
    Variance,
    Deviation,
}

/// Computes all windows that are not empty.
pub(super) fn fold_windows(
    what: Folded,
    values: &[f64],
    pairs: &[(u32, u32)],
    cancel: &Cancel,
    out: &mut RowBuilder,
) -> Result<(), QueryError> {
    let slice = |(from, to): (u32, u32)| &values[from as usize..(to as usize).max(from as usize)];
    let mut step = 0;
    while step < pairs.len() {
        cancel.check("expression evaluation")?;
        let len = slice(pairs[step]).len();
        let together = pairs
            .get(step..step + LANES)
            .filter(|together| len > 1 && together.iter().all(|&pair| slice(pair).len() == len));
        if let Some(together) = together {
            let lanes = [0, 1, 2, 3].map(|lane| slice(together[lane]));
            for (lane, value) in fold_lanes(what, lanes).into_iter().enumerate() {
                out.set(step + lane, value);
            }
            step += LANES;
        } else {
            if len > 0 {
                out.set(step, fold_one(what, slice(pairs[step])));
            }
            step += 1;
        }
    }
    Ok(())
}

fn fold_one(what: Folded, values: &[f64]) -> f64 {
    match what {
        Folded::Sum => over_time::sum(values),
        Folded::Avg => over_time::avg(values),
        Folded::Variance => over_time::Moments::of(values).variance(),
        Folded::Deviation => over_time::Moments::of(values).variance().sqrt(),
    }
}

fn fold_lanes(what: Folded, lanes: [&[f64]; LANES]) -> [f64; LANES] {
    match what {
        Folded::Sum => sums(lanes),
        Folded::Avg => averages(lanes),
        Folded::Variance => variances(lanes),
        Folded::Deviation => variances(lanes).map(f64::sqrt),
    }
}

/// Calls `each` with the values of the same place in all lanes, place by place.
#[inline(always)]
fn each_place([a, b, c, d]: [&[f64]; LANES], mut each: impl FnMut([f64; LANES])) {
    for (((&a, &b), &c), &d) in a.iter().zip(b).zip(c).zip(d) {
        each([a, b, c, d]);
    }
}

fn sums(lanes: [&[f64]; LANES]) -> [f64; LANES] {
    let (mut sums, mut lost) = ([0.0; LANES], [0.0; LANES]);
    each_place(lanes, |values| {
        for lane in 0..LANES {
            add_one(&mut sums[lane], &mut lost[lane], values[lane]);
        }
    });
    [0, 1, 2, 3].map(|lane| match sums[lane].is_infinite() {
        true => sums[lane],
        false => sums[lane] + lost[lane],
    })
}

fn averages(lanes: [&[f64]; LANES]) -> [f64; LANES] {
    let mut sums = lanes.map(|lane| lane[0]);
    let mut lost = [0.0; LANES];
    let mut any_large = false;
    each_place(lanes.map(|lane| &lane[1..]), |values| {
        for lane in 0..LANES {
            add_one(&mut sums[lane], &mut lost[lane], values[lane]);
            any_large |= sums[lane].abs() > f64::MAX;
        }
    });
    if any_large {
        // Where a sum overflows the mean itself is kept.
        return lanes.map(over_time::avg);
    }
    let count = lanes[0].len() as f64;
    [0, 1, 2, 3].map(|lane| sums[lane] / count + lost[lane] / count)
}

fn variances(lanes: [&[f64]; LANES]) -> [f64; LANES] {
    let mut count = 0.0;
    let (mut means, mut means_lost) = ([0.0; LANES], [0.0; LANES]);
    let (mut distances, mut distances_lost) = ([0.0; LANES], [0.0; LANES]);
    each_place(lanes, |values| {
        count += 1.0;
        for lane in 0..LANES {
            let value = values[lane];
            let delta = value - (means[lane] + means_lost[lane]);
            add_one(&mut means[lane], &mut means_lost[lane], delta / count);
            let moved = value - (means[lane] + means_lost[lane]);
            add_one(
                &mut distances[lane],
                &mut distances_lost[lane],
                delta * moved,
            );
        }
    });
    [0, 1, 2, 3].map(|lane| (distances[lane] + distances_lost[lane]) / count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use kymo_storage::model::Labels;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-2000i32..2000).prop_map(|n| f64::from(n) / 7.0),
            2 => any::<f64>(),
            1 => prop::sample::select(vec![
                f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -f64::MAX, 5e-324,
            ]),
        ]
    }

    proptest! {
        #[test]
        fn windows_side_by_side_are_what_each_gives(
            values in prop::collection::vec(value(), 60),
            len in 0u32..20,
            by in 0u32..4,
            odd in 0usize..12,
        ) {
            let mut pairs: Vec<(u32, u32)> = (0..12)
                .map(|step| (step * by, (step * by + len).min(60)))
                .collect();
            pairs[odd].1 = pairs[odd].1.saturating_sub(1).max(pairs[odd].0);
            for what in [Folded::Sum, Folded::Avg, Folded::Variance, Folded::Deviation] {
                let mut out = RowBuilder::new(pairs.len());
                fold_windows(what, &values, &pairs, &Cancel::new(), &mut out).unwrap();
                let row = out.take(Labels::empty);
                for (step, &(from, to)) in pairs.iter().enumerate() {
                    let of = &values[from as usize..to as usize];
                    let expected = (!of.is_empty()).then(|| fold_one(what, of));
                    let got = row.as_ref().and_then(|row| row.get(step));
                    let bits = |value: f64| match value.is_nan() {
                        true => f64::NAN.to_bits(),
                        false => value.to_bits(),
                    };
                    prop_assert_eq!(got.map(bits), expected.map(bits), "{:?} of {:?}", what, of);
                }
            }
        }
    }
}
