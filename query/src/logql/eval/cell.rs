//! What is kept of the samples of one segment of time, and how neighbours join.
//!
//! A window is the join of its segments. No sample is ever taken out again, so that
//! infinities and rounding of one window do not reach the next.

use super::grid::Windows;

/// Samples of a stretch of time, condensed.
pub(super) trait Cell: Copy + Send + 'static {
    /// Returns what is kept of one sample.
    fn one(t_ns: i64, value: f64) -> Self;

    /// Adds a sample of the same segment.
    fn add(&mut self, t_ns: i64, value: f64);

    /// Returns what is kept of `n` equal samples, one at least.
    fn many(t_ns: i64, value: f64, n: u64) -> Self {
        let one = Self::one(t_ns, value);
        (1..n).fold(one, |cell, _| cell.join(one))
    }

    /// Joins with what is later.
    fn join(self, later: Self) -> Self;

    /// Joins with other samples of the same segment, which may be earlier or later.
    fn merge(self, other: Self) -> Self {
        self.join(other)
    }
}

/// How many samples there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count(pub(super) u64);

impl Cell for Count {
    fn one(_: i64, _: f64) -> Count {
        Count(1)
    }

    fn add(&mut self, _: i64, _: f64) {
        self.0 += 1;
    }

    fn many(_: i64, _: f64, n: u64) -> Count {
        Count(n)
    }

    fn join(self, later: Count) -> Count {
        Count(self.0 + later.0)
    }
}

/// The sum of the values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum(pub(super) f64);

impl Cell for Sum {
    fn one(_: i64, value: f64) -> Sum {
        // From zero, as all sums: of minus zero alone it is zero.
        Sum(0.0 + value)
    }

    fn add(&mut self, _: i64, value: f64) {
        self.0 += value;
    }

    fn join(self, later: Sum) -> Sum {
        Sum(self.0 + later.0)
    }
}

/// The smallest and the largest value; NaN counts where there is nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extremes {
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Cell for Extremes {
    fn one(_: i64, value: f64) -> Extremes {
        Extremes {
            min: value,
            max: value,
        }
    }

    fn add(&mut self, t_ns: i64, value: f64) {
        *self = self.join(Extremes::one(t_ns, value));
    }

    fn join(self, later: Extremes) -> Extremes {
        Extremes {
            min: self.min.min(later.min),
            max: self.max.max(later.max),
        }
    }
}

/// Mean and squared distances from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    n: f64,
    pub(super) mean: f64,
    squares: f64,
}

impl Moments {
    /// The variance of the values as a whole population.
    pub(super) fn variance(&self) -> f64 {
        self.squares / self.n
    }
}

impl Cell for Moments {
    fn one(_: i64, value: f64) -> Moments {
        Moments {
            n: 1.0,
            mean: value,
            // What is not finite has no distances.
            squares: if value.is_finite() { 0.0 } else { f64::NAN },
        }
    }

    fn add(&mut self, t_ns: i64, value: f64) {
        *self = self.join(Moments::one(t_ns, value));
    }

    fn join(self, later: Moments) -> Moments {
        let n = self.n + later.n;
        let delta = later.mean - self.mean;
        let mean = match self.mean.is_finite() && later.mean.is_finite() {
            true if delta.is_finite() => self.mean + delta * (later.n / n),
            // The distance of two large numbers may be too large.
            true => self.mean * (self.n / n) + later.mean * (later.n / n),
            // Infinities of one sign stay, those of both have no mean.
            false => self.mean + later.mean,
        };
        Moments {
            n,
            mean,
            squares: self.squares + later.squares + delta * delta * (self.n * later.n / n),
        }
    }
}

/// The first and the last sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) first: (i64, f64),
    pub(super) last: (i64, f64),
}

impl Cell for Ends {
    fn one(t_ns: i64, value: f64) -> Ends {
        Ends {
            first: (t_ns, value),
            last: (t_ns, value),
        }
    }

    fn add(&mut self, t_ns: i64, value: f64) {
        if t_ns < self.first.0 {
            self.first = (t_ns, value);
        }
        if t_ns >= self.last.0 {
            self.last = (t_ns, value);
        }
    }

    fn join(self, later: Ends) -> Ends {
        Ends {
            first: self.first,
            last: later.last,
        }
    }

    fn merge(self, other: Ends) -> Ends {
        let other_is_first = other.first.0 < self.first.0;
        let other_is_last = other.last.0 >= self.last.0;
        Ends {
            first: if other_is_first {
                other.first
            } else {
                self.first
            },
            last: if other_is_last { other.last } else { self.last },
        }
    }
}

/// A counter between its first and its last sample. Samples have to come in order of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    n: u64,
    first: (i64, f64),
    last: (i64, f64),
    /// What was counted before resets.
    lost: f64,
}

impl Cell for Counter {
    fn one(t_ns: i64, value: f64) -> Counter {
        Counter {
            n: 1,
            first: (t_ns, value),
            last: (t_ns, value),
            lost: 0.0,
        }
    }

    fn add(&mut self, t_ns: i64, value: f64) {
        *self = self.join(Counter::one(t_ns, value));
    }

    fn join(self, later: Counter) -> Counter {
        let is_reset = later.first.1 < self.last.1;
        let lost = if is_reset { self.last.1 } else { 0.0 };
        Counter {
            n: self.n + later.n,
            first: self.first,
            last: later.last,
            lost: self.lost + lost + later.lost,
        }
    }
}

impl Counter {
    /// Returns the rate per second in a window, as Prometheus extends it to the bounds; zero
    /// for a single sample.
    pub(super) fn rate(&self, windows: &Windows, window: usize) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let seconds = |ns: i64| ns as f64 / 1e9;
        let end = windows.end(window);
        let start = end - windows.range_ns();
        let increase = self.last.1 - self.first.1 + self.lost;
        let sampled = seconds(self.last.0 - self.first.0);
        let gap = sampled / (self.n - 1) as f64;
        let threshold = gap * 1.1;
        let mut to_start = seconds(self.first.0 - start);
        if to_start >= threshold {
            to_start = gap / 2.0;
        }
        // A counter was never below zero.
        if increase > 0.0 && self.first.1 >= 0.0 {
            let to_zero = sampled * (self.first.1 / increase);
            to_start = to_start.min(to_zero);
        }
        let mut to_end = seconds(end - self.last.0);
        if to_end >= threshold {
            to_end = gap / 2.0;
        }
        let extended = sampled + to_start + to_end;
        increase * (extended / sampled) / windows.range_seconds()
    }
}

/// Adds a sample to the cells of a series, which are in order of their segments. Samples
/// come more or less in order.
pub(super) fn push<C: Cell>(cells: &mut Vec<(u32, C)>, segment: u32, t_ns: i64, value: f64) {
    match cells.last_mut() {
        Some((last, cell)) if *last == segment => cell.add(t_ns, value),
        Some((last, _)) if *last > segment => {
            match cells.binary_search_by_key(&segment, |(segment, _)| *segment) {
                Ok(at) => cells[at].1.add(t_ns, value),
                Err(at) => cells.insert(at, (segment, C::one(t_ns, value))),
            }
        }
        _ => cells.push((segment, C::one(t_ns, value))),
    }
}

/// Joins what is kept of a segment with what the cells of a series have of it.
pub(super) fn put<C: Cell>(cells: &mut Vec<(u32, C)>, segment: u32, cell: C) {
    if cells.last().is_none_or(|(last, _)| *last < segment) {
        cells.push((segment, cell));
        return;
    }
    match cells.binary_search_by_key(&segment, |(segment, _)| *segment) {
        Ok(at) => cells[at].1 = cells[at].1.merge(cell),
        Err(at) => cells.insert(at, (segment, cell)),
    }
}

/// Calls `take` with each window that has cells, and their join. Each cell is joined a
/// bounded number of times: what is to leave a window is joined from its end, once.
pub(super) fn slide<C: Cell>(
    cells: &[(u32, C)],
    windows: &Windows,
    mut take: impl FnMut(usize, C),
) {
    let (mut low, mut high) = (0, 0);
    // Joins of `cells[low..middle]` from each of them on, the one of all on top.
    let mut leaving: Vec<C> = Vec::new();
    // The join of `cells[middle..high]`.
    let mut entered: Option<C> = None;
    for window in 0..windows.len() {
        let segments = windows.segments(window);
        while low < high && cells[low].0 < segments.start {
            if leaving.is_empty() {
                let mut joined: Option<C> = None;
                for (_, cell) in cells[low..high].iter().rev() {
                    let next = joined.map_or(*cell, |later| cell.join(later));
                    leaving.push(next);
                    joined = Some(next);
                }
                entered = None;
            }
            leaving.pop();
            low += 1;
        }
        while high < cells.len() && cells[high].0 < segments.end {
            if cells[high].0 < segments.start {
                // It is in no window.
                low += 1;
            } else {
                let cell = cells[high].1;
                entered = Some(entered.map_or(cell, |before| before.join(cell)));
            }
            high += 1;
        }
        match (leaving.last(), entered) {
            (Some(first), Some(second)) => take(window, first.join(second)),
            (Some(all), None) => take(window, *all),
            (None, Some(all)) => take(window, all),
            (None, None) => {}
        }
    }
}
