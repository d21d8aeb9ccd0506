//! Orders among values and labels: sorting, quantiles, the best k.

use std::cmp::Ordering;

use kymo_storage::compat::natural;

use super::quicksort;
use super::row::Row;

/// Which end of the order is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

/// Interpolates the q-quantile of values, which are reordered. NaN ranks lowest.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * (values.len() - 1) as f64;
    let weight = rank - rank.floor();
    let lower_at = rank.floor() as usize;
    let (_, &mut lower, above) = values.select_nth_unstable_by(lower_at, nan_first);
    let upper = above.iter().copied().min_by(nan_first).unwrap_or(lower);
    lower * (1.0 - weight) + upper * weight
}

fn nan_first(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (a, b) => b.cmp(&a),
    }
}

/// Sorts the rows of an instant vector by value, NaN last in either direction.
pub(super) fn sort_by_value(rows: &mut [Row], direction: Direction) {
    let key = |row: &Row| row.get(0).unwrap_or(f64::NAN);
    quicksort::sort(rows, |a, b| is_worse(key(b), key(a), direction));
}

/// Tells whether `a` ranks below `b`; NaN is below everything, itself included.
fn is_worse(a: f64, b: f64, direction: Direction) -> bool {
    a.is_nan()
        || match direction {
            Direction::Descending => a < b,
            Direction::Ascending => a > b,
        }
}

/// Sorts the rows of an instant vector by labels in natural order, then by all labels.
///
/// The natural order has cycles, which the library's sorts may answer with a panic;
/// so the rows are merged by hand.
pub(super) fn sort_by_label(rows: Vec<Row>, names: &[&str], direction: Direction) -> Vec<Row> {
    let before = |a: &Row, b: &Row| {
        let order = by_names(a, b, names);
        match direction {
            Direction::Ascending => order.is_lt(),
            Direction::Descending => order.is_gt(),
        }
    };
    merge_sort(rows, &before)
}

fn merge_sort(mut rows: Vec<Row>, before: &dyn Fn(&Row, &Row) -> bool) -> Vec<Row> {
    if rows.len() < 2 {
        return rows;
    }
    let right = rows.split_off(rows.len() / 2);
    let mut left = merge_sort(rows, before).into_iter().peekable();
    let mut right = merge_sort(right, before).into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        merged.extend(if before(b, a) {
            right.next()
        } else {
            left.next()
        });
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

fn by_names(a: &Row, b: &Row, names: &[&str]) -> Ordering {
    for name in names {
        let (a, b) = (
            a.labels.get(name).unwrap_or(""),
            b.labels.get(name).unwrap_or(""),
        );
        if a != b {
            return match natural::less(a, b) {
                true => Ordering::Less,
                false => Ordering::Greater,
            };
        }
    }
    a.labels.cmp(&b.labels)
}

/// The k best of values that come one by one, with Go's `container/heap`, whose order
/// decides which of equal values stays.
#[derive(Debug)]
pub(super) struct Best {
    k: usize,
    direction: Direction,
    /// Value and number of the series; the worst is the first.
    heap: Vec<(f64, usize)>,
}

impl Best {
    /// Begins to keep the `k` (at least one) largest or smallest.
    pub(super) fn new(k: usize, direction: Direction) -> Best {
        Best {
            k,
            direction,
            heap: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, value: f64, series: usize) {
        if self.heap.len() < self.k {
            self.heap.push((value, series));
            self.up();
            return;
        }
        let Some(worst) = self.heap.first_mut() else {
            return;
        };
        let better = match self.direction {
            Direction::Descending => worst.0 < value,
            Direction::Ascending => worst.0 > value,
        };
        if better || (worst.0.is_nan() && !value.is_nan()) {
            *worst = (value, series);
            self.down();
        }
    }

    /// Returns what was kept, the best first.
    pub(super) fn sorted(mut self) -> Vec<(f64, usize)> {
        let direction = self.direction;
        quicksort::sort(&mut self.heap, |a, b| is_worse(b.0, a.0, direction));
        self.heap
    }

    fn worse(&self, a: f64, b: f64) -> bool {
        is_worse(a, b, self.direction)
    }

    fn up(&mut self) {
        let mut at = self.heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.worse(self.heap[at].0, self.heap[parent].0) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self) {
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.worse(self.heap[child + 1].0, self.heap[child].0)
            {
                child += 1;
            }
            if !self.worse(self.heap[child].0, self.heap[at].0) {
                break;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    #[test]
    fn quantiles_interpolate_between_ranks() {
        let cases = [
            (0.0, 1.0),
            (0.5, 2.5),
            (1.0, 4.0),
            (0.1, 1.3),
            (-0.1, f64::NEG_INFINITY),
            (1.1, f64::INFINITY),
        ];
        for (q, expected) in cases {
            let got = quantile(q, &mut [4.0, 1.0, 3.0, 2.0]);
            assert!(
                got == expected || (got - expected).abs() < 1e-12,
                "{q}: {got}"
            );
        }
        assert!(quantile(NAN, &mut [1.0]).is_nan());
        assert!(quantile(0.0, &mut [1.0, NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [1.0, NAN]), 1.0);
    }

    #[test]
    fn the_best_are_kept_and_nan_only_for_want_of_numbers() {
        for (direction, expected) in [
            (Direction::Descending, [9.0, 5.0, 4.0]),
            (Direction::Ascending, [1.0, 2.0, 4.0]),
        ] {
            let mut best = Best::new(3, direction);
            for (series, value) in [NAN, 4.0, 9.0, 1.0, NAN, 5.0, 2.0].into_iter().enumerate() {
                best.add(value, series);
            }
            let kept: Vec<f64> = best.sorted().into_iter().map(|kept| kept.0).collect();
            assert_eq!(kept, expected);
        }
        let mut few = Best::new(3, Direction::Descending);
        few.add(NAN, 0);
        few.add(1.0, 1);
        let kept = few.sorted();
        assert_eq!(kept[0], (1.0, 1));
        assert!(kept[1].0.is_nan());
    }
}
