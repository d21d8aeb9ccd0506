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
    if let Some(value) = out_of_range(q, values.is_empty()) {
        return value;
    }
    let rank = Rank::of(q, values.len());
    let (_, &mut lower, above) = values.select_nth_unstable_by(rank.lower_at, nan_first);
    let upper = above.iter().copied().min_by(nan_first).unwrap_or(lower);
    rank.between(lower, upper)
}

/// The values of a window in order, kept while the window moves over a series.
///
/// Values are kept as integers of the same order, which are compared faster.
#[derive(Debug, Clone, Default)]
pub(super) struct SortedWindow {
    /// All values of the series.
    keys: Vec<i64>,
    sorted: Vec<i64>,
    from: usize,
    to: usize,
}

impl SortedWindow {
    /// Begins with another series, which must not contain NaN.
    pub(super) fn reset(&mut self, values: &[f64]) {
        self.keys.clear();
        self.keys.extend(values.iter().map(|&value| key_of(value)));
        self.sorted.clear();
        (self.from, self.to) = (0, 0);
    }

    /// Moves the window to the samples `from..to`, neither end backwards.
    pub(super) fn move_to(&mut self, from: usize, to: usize) {
        if from >= self.to {
            self.sorted.clear();
            self.sorted.extend_from_slice(&self.keys[from..to]);
            self.sorted.sort_unstable();
        } else {
            let (mut out, mut new) = (self.from..from, self.to..to);
            loop {
                match (out.next(), new.next()) {
                    (Some(old), Some(new)) => self.replace(self.keys[old], self.keys[new]),
                    (Some(old), None) => {
                        let at = self.position(self.keys[old]);
                        self.sorted.remove(at);
                    }
                    (None, Some(new)) => {
                        let at = self.position(self.keys[new]);
                        self.sorted.insert(at, self.keys[new]);
                    }
                    (None, None) => break,
                }
            }
        }
        (self.from, self.to) = (from, to);
    }

    /// Puts a value in the place of another one.
    fn replace(&mut self, old: i64, new: i64) {
        let (leaves, comes) = (self.position(old), self.position(new));
        if comes <= leaves {
            self.sorted.copy_within(comes..leaves, comes + 1);
            self.sorted[comes] = new;
        } else {
            self.sorted.copy_within(leaves + 1..comes, leaves);
            self.sorted[comes - 1] = new;
        }
    }

    /// Interpolates the q-quantile.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        match out_of_range(q, self.sorted.is_empty()) {
            Some(value) => value,
            None => {
                let rank = Rank::of(q, self.sorted.len());
                let lower = self.sorted[rank.lower_at];
                let upper = self.sorted.get(rank.lower_at + 1).copied().unwrap_or(lower);
                rank.between(value_of(lower), value_of(upper))
            }
        }
    }

    fn position(&self, key: i64) -> usize {
        self.sorted.partition_point(|&known| known < key)
    }
}

/// Returns an integer that compares as `f64::total_cmp` does.
fn key_of(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn value_of(key: i64) -> f64 {
    f64::from_bits((key ^ (((key >> 63) as u64) >> 1) as i64) as u64)
}

/// Where a quantile lies among sorted values.
struct Rank {
    lower_at: usize,
    weight: f64,
}

impl Rank {
    /// `q` is in 0..=1, and `len` is not 0.
    fn of(q: f64, len: usize) -> Rank {
        let rank = q * (len - 1) as f64;
        Rank {
            lower_at: rank.floor() as usize,
            weight: rank - rank.floor(),
        }
    }

    fn between(&self, lower: f64, upper: f64) -> f64 {
        lower * (1.0 - self.weight) + upper * self.weight
    }
}

/// Returns the answer where there is nothing to rank, or `q` is no quantile.
fn out_of_range(q: f64, empty: bool) -> Option<f64> {
    if empty || q.is_nan() {
        Some(f64::NAN)
    } else if q < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if q > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
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
    /// Begins to keep the `k` largest or smallest.
    pub(super) fn new(k: usize, direction: Direction) -> Best {
        Best {
            k,
            direction,
            heap: Vec::new(),
        }
    }

    /// Looks at a value; tells whether there is one more.
    pub(super) fn add(&mut self, value: f64, series: usize) -> bool {
        if self.heap.len() < self.k {
            self.heap.push((value, series));
            self.up();
            return true;
        }
        let Some(worst) = self.heap.first_mut() else {
            return false;
        };
        let better = match self.direction {
            Direction::Descending => worst.0 < value,
            Direction::Ascending => worst.0 > value,
        };
        if better || (worst.0.is_nan() && !value.is_nan()) {
            *worst = (value, series);
            self.down();
        }
        false
    }

    /// Returns what a value must be better than to be kept; NaN where that may be any.
    pub(super) fn bar(&self) -> f64 {
        match self.heap.first() {
            Some(worst) if self.heap.len() == self.k => worst.0,
            _ => f64::NAN,
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
    fn a_moving_window_has_the_quantiles_of_its_values() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i * 7919 % 23) - 11.0).collect();
        let mut window = SortedWindow::default();
        window.reset(&values);
        for (from, to) in [
            (0, 5),
            (0, 9),
            (4, 12),
            (4, 12),
            (11, 20),
            (30, 40),
            (39, 60),
        ] {
            window.move_to(from, to);
            for q in [0.0, 0.3, 0.5, 0.99, 1.0, 2.0] {
                let expected = quantile(q, &mut values[from..to].to_vec());
                assert_eq!(window.quantile(q), expected, "{q} of {from}..{to}");
            }
        }
        window.reset(&values);
        assert!(window.quantile(0.5).is_nan());
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
