//! Bringing buckets of different layouts together.

use std::sync::Arc;

use kymo_storage::model::histogram::{Buckets, FloatHistogram};

use crate::promql::Sum;

/// Buckets being built, perhaps with what rounding has lost of each.
#[derive(Default)]
pub(super) struct Building {
    indexes: Vec<i32>,
    counts: Vec<f64>,
    lost: Vec<f64>,
}

impl Building {
    pub(super) fn with_capacity(n: usize) -> Building {
        Building {
            indexes: Vec::with_capacity(n),
            counts: Vec::with_capacity(n),
            lost: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, index: i32, count: f64) {
        self.indexes.push(index);
        self.counts.push(count);
    }

    pub(super) fn push_with_lost(&mut self, index: i32, count: Sum) {
        self.push(index, count.sum);
        self.lost.push(count.lost);
    }

    /// Returns the buckets. They are pushed in ascending order by everyone here.
    pub(super) fn take(self) -> (Buckets, Vec<f64>) {
        let layout: Arc<[i32]> = self.indexes.into();
        let buckets = Buckets::from_layout(layout, self.counts);
        (buckets.unwrap_or_default(), self.lost)
    }
}

/// Returns the bucket of a coarser schema in which a bucket lies.
pub(super) fn coarser_index(index: i32, from: i32, to: i32) -> i32 {
    let halvings = from.saturating_sub(to).clamp(0, 40);
    // One bucket up to `k * 2^n` becomes the bucket up to `k`. Fits: it comes closer to 1.
    (((i64::from(index) - 1) >> halvings) + 1) as i32
}

/// Walks buckets merged to a coarser schema.
pub(super) fn merged(
    buckets: &Buckets,
    from: i32,
    to: i32,
) -> impl Iterator<Item = (i32, f64)> + '_ {
    let mut fine = buckets
        .iter()
        .map(move |(index, count)| (coarser_index(index, from, to), count))
        .peekable();
    std::iter::from_fn(move || {
        let (index, mut all) = fine.next()?;
        while let Some((_, count)) = fine.next_if(|next| next.0 == index) {
            all += count;
        }
        Some((index, all))
    })
}

/// Returns buckets merged to a coarser schema.
pub(super) fn coarser(buckets: &Buckets, from: i32, to: i32) -> Buckets {
    if from <= to {
        return buckets.clone();
    }
    let mut built = Building::with_capacity(buckets.len());
    for (index, count) in merged(buckets, from, to) {
        built.push(index, count);
    }
    built.take().0
}

/// Returns buckets merged to a coarser schema, with what rounding has lost of each.
pub(super) fn coarser_with_lost(
    buckets: &Buckets,
    lost: &[f64],
    from: i32,
    to: i32,
) -> (Buckets, Vec<f64>) {
    let mut built = Building::with_capacity(buckets.len());
    let mut open: Option<(i32, Sum)> = None;
    for ((index, sum), &lost) in buckets.iter().zip(lost) {
        let index = coarser_index(index, from, to);
        match &mut open {
            Some((of, all)) if *of == index => {
                all.add(sum);
                all.add(lost);
            }
            _ => {
                if let Some((of, all)) = open.replace((index, Sum { sum, lost })) {
                    built.push_with_lost(of, all);
                }
            }
        }
    }
    if let Some((of, all)) = open {
        built.push_with_lost(of, all);
    }
    built.take()
}

/// Returns the histogram at a schema that is not finer than its own.
pub fn with_schema(histogram: &FloatHistogram, schema: i32) -> FloatHistogram {
    if schema >= histogram.schema || histogram.uses_custom_buckets() {
        return histogram.clone();
    }
    FloatHistogram {
        // What the hint said of the finer buckets need not hold for these.
        counter_reset_hint: Default::default(),
        schema,
        positive: coarser(&histogram.positive, histogram.schema, schema),
        negative: coarser(&histogram.negative, histogram.schema, schema),
        custom_bounds: Arc::default(),
        ..*histogram
    }
}

/// Adds buckets of one schema to others, times `sign`.
pub(super) fn add_buckets(
    to: &mut Buckets,
    added: impl Iterator<Item = (i32, f64)>,
    n_added: usize,
    sign: f64,
) {
    let mut built = Building::with_capacity(to.len() + n_added);
    for (index, before, added) in side_by_side(to.iter(), added) {
        built.push(
            index,
            match (before, added) {
                (Some(before), Some(added)) => before + sign * added,
                (Some(before), None) => before,
                (None, added) => sign * added.unwrap_or_default(),
            },
        );
    }
    *to = built.take().0;
}

/// Adds buckets of one schema to others, and keeps what rounding loses.
pub(super) fn add_buckets_with_lost(
    to: &mut Buckets,
    to_lost: &mut Vec<f64>,
    added: impl Iterator<Item = (i32, Sum)>,
    n_added: usize,
) {
    let sums = to.iter().zip(to_lost.iter());
    let sums = sums.map(|((index, sum), &lost)| (index, Sum { sum, lost }));
    let mut built = Building::with_capacity(to.len() + n_added);
    for (index, before, added) in side_by_side(sums, added) {
        let sum = match (before, added) {
            (Some(mut sum), Some(added)) => {
                sum.add(added.sum);
                if added.lost != 0.0 {
                    sum.add(added.lost);
                }
                sum
            }
            (Some(sum), None) | (None, Some(sum)) => sum,
            (None, None) => Sum::default(),
        };
        built.push_with_lost(index, sum);
    }
    (*to, *to_lost) = built.take();
}

/// Walks two lists in ascending order of their indexes.
pub(super) fn side_by_side<T>(
    a: impl Iterator<Item = (i32, T)>,
    b: impl Iterator<Item = (i32, T)>,
) -> impl Iterator<Item = (i32, Option<T>, Option<T>)> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || {
        let index = match (a.peek(), b.peek()) {
            (Some(a), Some(b)) => a.0.min(b.0),
            (Some(a), None) => a.0,
            (None, Some(b)) => b.0,
            (None, None) => return None,
        };
        let of_a = a.next_if(|next| next.0 == index);
        let of_b = b.next_if(|next| next.0 == index);
        Some((index, of_a.map(|a| a.1), of_b.map(|b| b.1)))
    })
}

/// Returns the bounds that both have.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Arc<[f64]> {
    let (mut a, mut b) = (a, b);
    let mut common = Vec::new();
    while let (Some((first_a, rest_a)), Some((first_b, rest_b))) =
        (a.split_first(), b.split_first())
    {
        if first_a == first_b {
            common.push(*first_a);
            (a, b) = (rest_a, rest_b);
        } else if first_a < first_b {
            a = rest_a;
        } else {
            b = rest_b;
        }
    }
    common.into()
}

/// Custom buckets to be brought to other bounds.
pub(super) struct CustomBuckets<'a> {
    pub(super) buckets: &'a Buckets,
    /// What rounding has lost of each, or nothing.
    pub(super) lost: &'a [f64],
    pub(super) bounds: &'a [f64],
    pub(super) sign: f64,
}

/// Adds custom buckets at bounds that each of them has. Buckets that stay empty are
/// left out.
pub(super) fn add_at_bounds(sides: [CustomBuckets<'_>; 2], bounds: &[f64]) -> (Buckets, Vec<f64>) {
    let mut sums = vec![Sum::default(); bounds.len() + 1];
    for side in sides {
        let mut at = 0;
        for (position, (index, count)) in side.buckets.iter().enumerate() {
            let upper = usize::try_from(index).ok().and_then(|i| side.bounds.get(i));
            let target = match upper {
                None => bounds.len(),
                Some(upper) => {
                    while bounds.get(at).is_some_and(|bound| bound < upper) {
                        at += 1;
                    }
                    at
                }
            };
            let Some(sum) = sums.get_mut(target) else {
                continue;
            };
            sum.add(side.sign * count);
            if let Some(lost) = side.lost.get(position) {
                sum.add(*lost);
            }
        }
    }
    let mut built = Building::with_capacity(sums.len());
    for (index, sum) in (0..).zip(sums) {
        if sum.sum != 0.0 || sum.lost != 0.0 {
            built.push_with_lost(index, sum);
        }
    }
    built.take()
}
