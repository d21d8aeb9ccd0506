//! Accumulators of aggregations: for each group a column over the steps, to which the
//! group's rows are added one after the other.
//!
//! Loops over rows without holes have no branches, so that several steps are computed
//! at a time; each step's own operations and their order are the reference's.

use super::row::Bits;
use super::sum::{Mean, Sum};
use crate::promql::ast::AggregateOp;

/// The accumulator of one group.
#[derive(Debug)]
pub(super) enum Column {
    Sum(Sums),
    Avg {
        sums: Sums,
        counts: Vec<f64>,
    },
    /// Averages of which a sum has overflowed.
    LargeAvg(Vec<Option<Mean>>),
    Count(Vec<f64>),
    Min(Vec<f64>),
    Max(Vec<f64>),
    Group,
    Spread {
        moments: Moments,
        root: bool,
    },
}

/// Compensated sums.
#[derive(Debug)]
pub(super) struct Sums {
    sums: Vec<f64>,
    lost: Vec<f64>,
}

/// Welford's moments without compensation, as the reference aggregates.
#[derive(Debug)]
pub(super) struct Moments {
    counts: Vec<f64>,
    means: Vec<f64>,
    distances: Vec<f64>,
}

impl Column {
    pub(super) fn new(op: AggregateOp, steps: usize) -> Column {
        match op {
            AggregateOp::Sum => Column::Sum(Sums::new(steps)),
            AggregateOp::Avg => Column::Avg {
                sums: Sums::new(steps),
                counts: vec![0.0; steps],
            },
            AggregateOp::Count => Column::Count(vec![0.0; steps]),
            AggregateOp::Min => Column::Min(vec![f64::NAN; steps]),
            AggregateOp::Max => Column::Max(vec![f64::NAN; steps]),
            AggregateOp::Stddev | AggregateOp::Stdvar => Column::Spread {
                moments: Moments {
                    counts: vec![0.0; steps],
                    means: vec![0.0; steps],
                    distances: vec![0.0; steps],
                },
                root: op == AggregateOp::Stddev,
            },
            _ => Column::Group,
        }
    }

    /// Returns how many bytes of memory one step takes.
    pub(super) fn step_bytes(&self) -> usize {
        let columns = match self {
            Column::Sum(_) => 2,
            Column::Avg { .. } | Column::Spread { .. } => 3,
            Column::LargeAvg(_) => return size_of::<Option<Mean>>(),
            Column::Count(_) | Column::Min(_) | Column::Max(_) => 1,
            Column::Group => 0,
        };
        columns * size_of::<f64>()
    }

    /// Adds the values of a row from its first step on; `held` tells which there are.
    pub(super) fn add(&mut self, first: usize, values: &[f64], held: Option<&Bits>) {
        let to = first + values.len();
        match self {
            Column::Sum(sums) => match held {
                None => sums.add_all(first, values),
                Some(held) => each(first, values, held, |step, value| sums.add(step, value)),
            },
            Column::Avg { sums, counts } => {
                if sums.would_overflow(first, values) {
                    *self = Column::LargeAvg(large(sums, counts));
                    return self.add(first, values, held);
                }
                match held {
                    None => {
                        sums.add_all(first, values);
                        counts[first..to].iter_mut().for_each(|count| *count += 1.0);
                    }
                    Some(held) => each(first, values, held, |step, value| {
                        sums.add(step, value);
                        counts[step] += 1.0;
                    }),
                }
            }
            Column::LargeAvg(means) => {
                let add = |step: usize, value| match &mut means[step] {
                    Some(mean) => mean.add(value),
                    none => *none = Some(Mean::new(value)),
                };
                each_of(first, values, held, add);
            }
            Column::Count(counts) => match held {
                None => counts[first..to].iter_mut().for_each(|count| *count += 1.0),
                Some(held) => each(first, values, held, |step, _| counts[step] += 1.0),
            },
            Column::Min(least) => choose(&mut least[first..to], values, held, |known, value| {
                (known > value) | known.is_nan()
            }),
            Column::Max(most) => choose(&mut most[first..to], values, held, |known, value| {
                (known < value) | known.is_nan()
            }),
            Column::Group => {}
            Column::Spread { moments, .. } => match held {
                None => moments.add_all(first, values),
                Some(held) => each(first, values, held, |step, value| {
                    moments.add_all(step, &[value]);
                }),
            },
        }
    }

    /// Returns the results of all steps; those of steps without a row mean nothing.
    pub(super) fn into_values(self, steps: usize) -> Vec<f64> {
        match self {
            Column::Sum(Sums { mut sums, lost }) => {
                for (sum, lost) in sums.iter_mut().zip(lost) {
                    *sum += lost;
                }
                sums
            }
            Column::Avg {
                sums: Sums { mut sums, lost },
                counts,
            } => {
                for ((sum, lost), count) in sums.iter_mut().zip(lost).zip(counts) {
                    *sum = *sum / count + lost / count;
                }
                sums
            }
            Column::LargeAvg(means) => {
                let value = |mean: Option<Mean>| mean.map_or(f64::NAN, |mean| mean.mean());
                means.into_iter().map(value).collect()
            }
            Column::Count(values) | Column::Min(values) | Column::Max(values) => values,
            Column::Group => vec![1.0; steps],
            Column::Spread { moments, root } => {
                let mut variances = moments.distances;
                for (variance, count) in variances.iter_mut().zip(moments.counts) {
                    *variance /= count;
                    if root {
                        *variance = variance.sqrt();
                    }
                }
                variances
            }
        }
    }
}

impl Sums {
    fn new(steps: usize) -> Sums {
        Sums {
            // Minus zero is what changes no value it is added to, its sign included.
            sums: vec![-0.0; steps],
            lost: vec![0.0; steps],
        }
    }

    fn add(&mut self, step: usize, value: f64) {
        let mut sum = Sum {
            sum: self.sums[step],
            lost: self.lost[step],
        };
        sum.add(value);
        (self.sums[step], self.lost[step]) = (sum.sum, sum.lost);
    }

    fn add_all(&mut self, first: usize, values: &[f64]) {
        add_all(&mut self.sums[first..], &mut self.lost[first..], values);
    }

    fn would_overflow(&self, first: usize, values: &[f64]) -> bool {
        let totals = self.sums[first..].iter().zip(values);
        totals.fold(false, |any, (sum, value)| {
            any | ((sum + value).abs() > f64::MAX)
        })
    }
}

/// Returns averages as they are kept once a sum overflows.
fn large(sums: &Sums, counts: &[f64]) -> Vec<Option<Mean>> {
    let sums = sums.sums.iter().zip(&sums.lost).zip(counts);
    sums.map(|((&sum, &lost), &count)| (count > 0.0).then(|| Mean::of(Sum { sum, lost }, count)))
        .collect()
}

impl Moments {
    /// The first value of a step needs no case of its own: from nothing, its mean
    /// becomes the value, and the distance stays 0, or becomes NaN for an infinity.
    fn add_all(&mut self, first: usize, values: &[f64]) {
        let columns = self.counts[first..]
            .iter_mut()
            .zip(&mut self.means[first..]);
        let columns = columns.zip(&mut self.distances[first..]);
        for (((count, mean), distance), &value) in columns.zip(values) {
            *count += 1.0;
            let delta = value - *mean;
            *mean += delta / *count;
            *distance += delta * (value - *mean);
        }
    }
}

/// Adds a column of values to a column of sums.
pub(super) fn add_all(sums: &mut [f64], lost: &mut [f64], values: &[f64]) {
    for ((sum, lost), &value) in sums.iter_mut().zip(lost).zip(values) {
        add_one(sum, lost, value);
    }
}

/// Adds a value as [`Sum::add`] does, without branches.
#[inline(always)]
pub(super) fn add_one(sum: &mut f64, lost: &mut f64, value: f64) {
    let total = *sum + value;
    let large_sum = (*sum - total) + value;
    let large_value = (value - total) + *sum;
    let error = if sum.abs() >= value.abs() {
        large_sum
    } else {
        large_value
    };
    *lost = if total.abs() > f64::MAX {
        0.0
    } else {
        *lost + error
    };
    *sum = total;
}

/// Replaces what is known by the value where that is better.
fn choose(
    known: &mut [f64],
    values: &[f64],
    held: Option<&Bits>,
    better: impl Fn(f64, f64) -> bool,
) {
    match held {
        None => {
            for (known, &value) in known.iter_mut().zip(values) {
                *known = if better(*known, value) { value } else { *known };
            }
        }
        Some(held) => each(0, values, held, |at, value| {
            if better(known[at], value) {
                known[at] = value;
            }
        }),
    }
}

fn each(first: usize, values: &[f64], held: &Bits, mut each: impl FnMut(usize, f64)) {
    for (at, &value) in values.iter().enumerate() {
        if held.get(at) {
            each(first + at, value);
        }
    }
}

fn each_of(first: usize, values: &[f64], held: Option<&Bits>, mut each: impl FnMut(usize, f64)) {
    for (at, &value) in values.iter().enumerate() {
        if held.is_none_or(|held| held.get(at)) {
            each(first + at, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 10] = [
        1.0,
        1e100,
        -1e100,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        -0.0,
        1e308,
        1.5e308,
        0.1,
    ];

    fn folded(op: AggregateOp, rows: &[&[f64]], held: Option<&Bits>) -> Vec<f64> {
        let mut column = Column::new(op, 2);
        for row in rows {
            column.add(0, row, held);
        }
        column.into_values(2)
    }

    #[test]
    fn columns_fold_step_by_step() {
        let rows: [&[f64]; 3] = [&[1.0, 4.0], &[2.0, f64::NAN], &[6.0, 2.0]];
        let cases = [
            (AggregateOp::Sum, [9.0, f64::NAN]),
            (AggregateOp::Avg, [3.0, f64::NAN]),
            (AggregateOp::Count, [3.0, 3.0]),
            (AggregateOp::Min, [1.0, 2.0]),
            (AggregateOp::Max, [6.0, 4.0]),
            (AggregateOp::Group, [1.0, 1.0]),
            (AggregateOp::Stdvar, [14.0 / 3.0, f64::NAN]),
        ];
        let mut all = Bits::new(2);
        all.set_range(0, 2);
        for (op, expected) in cases {
            for held in [None, Some(&all)] {
                let got = folded(op, &rows, held);
                for (got, expected) in got.iter().zip(expected) {
                    let close = (got - expected).abs() < 1e-12 || got.is_nan() && expected.is_nan();
                    assert!(close, "{op:?}: {got}, expected {expected}");
                }
            }
        }
    }

    /// All triples of values, as columns.
    fn triples() -> [Vec<f64>; 3] {
        let mut columns = [Vec::new(), Vec::new(), Vec::new()];
        for first in VALUES {
            for second in VALUES {
                for third in VALUES {
                    for (column, value) in columns.iter_mut().zip([first, second, third]) {
                        column.push(value);
                    }
                }
            }
        }
        columns
    }

    fn assert_same(op: AggregateOp, expected: impl Fn([f64; 3]) -> f64) {
        let columns = triples();
        let steps = columns[0].len();
        let mut column = Column::new(op, steps);
        columns
            .iter()
            .for_each(|values| column.add(0, values, None));
        for (at, got) in column.into_values(steps).into_iter().enumerate() {
            let of = [columns[0][at], columns[1][at], columns[2][at]];
            let expected = expected(of);
            let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
            assert!(same, "{op:?} of {of:?}: {got}, expected {expected}");
        }
    }

    #[test]
    fn columns_are_what_one_value_after_the_other_gives() {
        assert_same(AggregateOp::Sum, |of| {
            let mut sum = Sum {
                sum: of[0],
                lost: 0.0,
            };
            sum.add(of[1]);
            sum.add(of[2]);
            sum.total()
        });
        assert_same(AggregateOp::Avg, |of| {
            let mut mean = Mean::new(of[0]);
            mean.add(of[1]);
            mean.add(of[2]);
            mean.mean()
        });
        assert_same(AggregateOp::Stdvar, |of| {
            let (mut count, mut mean) = (1.0, of[0]);
            let mut distance = if of[0].is_finite() { 0.0 } else { f64::NAN };
            for value in &of[1..] {
                count += 1.0;
                let delta = value - mean;
                mean += delta / count;
                distance += delta * (value - mean);
            }
            distance / count
        });
        for (op, better) in [
            (AggregateOp::Min, f64::lt as fn(&f64, &f64) -> bool),
            (AggregateOp::Max, f64::gt),
        ] {
            assert_same(op, |of| {
                of.into_iter().fold(f64::NAN, |known, value| {
                    match known.is_nan() || better(&value, &known) {
                        true => value,
                        false => known,
                    }
                })
            });
        }
    }
}
