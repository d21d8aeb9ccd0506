//! Quantiles over windows.
//!
//! Where no window shares a sample with another, the values at the ranks are picked out of
//! those of each. Otherwise the values of a series are ranked once. A window is a set of
//! ranks, kept as counts in a tree, so that a sample that enters or leaves, and a rank that
//! is looked up, cost the logarithm of the number of samples.

use std::cmp::Ordering;

use super::grid::Windows;

/// Calls `take` with each window that has samples, and their quantile. Samples are sorted
/// by segment here.
pub(super) fn slide(
    samples: &mut [(u32, f64)],
    windows: &Windows,
    quantile: f64,
    mut take: impl FnMut(usize, f64),
) {
    if windows.len() < 2 || windows.segments(0).end <= windows.segments(1).start {
        return apart(samples, windows, quantile, take);
    }
    samples.sort_by_key(|(segment, _)| *segment);
    let mut sorted: Vec<u32> = (0..samples.len() as u32).collect();
    let key = |at: &u32| samples[*at as usize].1;
    sorted.sort_by(|a, b| order(&key(a), &key(b)));
    let mut rank_of = vec![0u32; samples.len()];
    for (rank, at) in sorted.iter().enumerate() {
        rank_of[*at as usize] = rank as u32;
    }
    let mut ranks = Ranks::new(samples.len());
    let value = |rank: usize| samples[sorted[rank] as usize].1;
    let (mut low, mut high) = (0, 0);
    for window in 0..windows.len() {
        let segments = windows.segments(window);
        while low < high && samples[low].0 < segments.start {
            ranks.remove(rank_of[low] as usize);
            low += 1;
        }
        while high < samples.len() && samples[high].0 < segments.end {
            if samples[high].0 < segments.start {
                low += 1;
            } else {
                ranks.insert(rank_of[high] as usize);
            }
            high += 1;
        }
        let n = high - low;
        if n > 0 {
            take(window, of_ranks(quantile, n, |nth| value(ranks.nth(nth))));
        }
    }
}

/// What is no number comes first.
fn order(a: &f64, b: &f64) -> Ordering {
    b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b))
}

/// As [`slide`], for windows that have no segment in common.
fn apart(
    samples: &[(u32, f64)],
    windows: &Windows,
    quantile: f64,
    mut take: impl FnMut(usize, f64),
) {
    let segments = samples.iter().map(|(segment, _)| *segment);
    let Some((first, last)) = segments.clone().min().zip(segments.clone().max()) else {
        return;
    };
    // Where the values of each segment begin, among those of all; then where they end.
    let mut places = vec![0u32; (last - first) as usize + 2];
    segments.for_each(|segment| places[(segment - first) as usize + 1] += 1);
    for at in 1..places.len() {
        places[at] += places[at - 1];
    }
    let mut values = vec![0.0; samples.len()];
    for (segment, value) in samples {
        let place = &mut places[(segment - first) as usize];
        values[*place as usize] = *value;
        *place += 1;
    }
    let end_of = |segment: u32| match segment.checked_sub(first) {
        Some(at) => places[(at as usize).min(places.len() - 1)] as usize,
        None => 0,
    };
    for window in 0..windows.len() {
        let segments = windows.segments(window);
        let start = segments.start.checked_sub(1).map_or(0, end_of);
        let end = segments.end.checked_sub(1).map_or(0, end_of);
        if start < end {
            take(window, of_values(quantile, &mut values[start..end]));
        }
    }
}

/// Returns a quantile of values in any order.
fn of_values(quantile: f64, values: &mut [f64]) -> f64 {
    let n = values.len();
    let mut picked: Option<(usize, f64, f64)> = None;
    of_ranks(quantile, n, |nth| match picked {
        // Ranks are asked for in pairs, the lower one first.
        Some((lower, value, next)) => {
            if nth == lower {
                value
            } else {
                next
            }
        }
        None => {
            let (_, value, above) = values.select_nth_unstable_by(nth, order);
            let next = above.iter().copied().min_by(order).unwrap_or(*value);
            picked = Some((nth, *value, next));
            *value
        }
    })
}

/// Returns a quantile of `n` sorted values, between two of them where it lies there.
fn of_ranks(quantile: f64, n: usize, mut nth: impl FnMut(usize) -> f64) -> f64 {
    if quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    let rank = quantile * (n - 1) as f64;
    let lower = rank.floor();
    let weight = rank - lower;
    let lower = lower as usize;
    let upper = (lower + 1).min(n - 1);
    nth(lower) * (1.0 - weight) + nth(upper) * weight
}

/// A set of ranks, as a Fenwick tree of counts.
struct Ranks {
    tree: Vec<u32>,
    /// The largest power of two that is not above the number of ranks.
    top: usize,
}

impl Ranks {
    fn new(n: usize) -> Ranks {
        Ranks {
            tree: vec![0; n + 1],
            top: n.checked_ilog2().map_or(0, |bits| 1 << bits),
        }
    }

    fn insert(&mut self, rank: usize) {
        let mut at = rank + 1;
        while at < self.tree.len() {
            self.tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }

    fn remove(&mut self, rank: usize) {
        let mut at = rank + 1;
        while at < self.tree.len() {
            self.tree[at] -= 1;
            at += at & at.wrapping_neg();
        }
    }

    /// Returns the rank that has `nth` others before it.
    fn nth(&self, nth: usize) -> usize {
        let (mut at, mut left, mut bit) = (0, nth as u32, self.top);
        while bit > 0 {
            let next = at + bit;
            if let Some(count) = self.tree.get(next)
                && *count <= left
            {
                at = next;
                left -= count;
            }
            bit /= 2;
        }
        at
    }
}
