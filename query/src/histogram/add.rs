//! Sums and differences of two histograms.

use kymo_storage::model::histogram::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, exponential_bound,
};

use super::layout::{self, CustomBuckets};
use super::zero;

/// Exponential and custom buckets cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
)]
pub struct IncompatibleSchemas;

/// What had to be done to bring two histograms together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// One said that the counter began anew, the other that it did not.
    pub resets_conflict: bool,
    /// Their custom bounds differed; those that both have are left.
    pub bounds_differ: bool,
}

/// Adds a histogram to another one.
///
/// # Errors
/// They have no buckets in common; nothing was changed.
pub fn add(
    to: &mut FloatHistogram,
    added: &FloatHistogram,
) -> Result<Reconciled, IncompatibleSchemas> {
    combine(to, added, 1.0)
}

/// Takes a histogram from another one. The result is a gauge in PromQL, which is left to
/// the caller.
///
/// # Errors
/// They have no buckets in common; nothing was changed.
pub fn subtract(
    from: &mut FloatHistogram,
    taken: &FloatHistogram,
) -> Result<Reconciled, IncompatibleSchemas> {
    combine(from, taken, -1.0)
}

fn combine(
    to: &mut FloatHistogram,
    added: &FloatHistogram,
    sign: f64,
) -> Result<Reconciled, IncompatibleSchemas> {
    let mut reconciled = begin(to, added)?;
    if !to.uses_custom_buckets() {
        to.zero_count += sign * zero::reconcile(to, None, added).sum;
    }
    to.count += sign * added.count;
    to.sum += sign * added.sum;
    if to.uses_custom_buckets() && to.custom_bounds != added.custom_bounds {
        reconciled.bounds_differ = true;
        let bounds = layout::common_bounds(&to.custom_bounds, &added.custom_bounds);
        to.positive = layout::add_at_bounds(custom_sides(to, &[], added, sign), &bounds).0;
        to.custom_bounds = bounds;
        return Ok(reconciled);
    }
    let (from, schema) = (to.schema, to.schema.min(added.schema));
    let threshold = to.zero_threshold;
    for (side, added_side) in [
        (&mut to.positive, &added.positive),
        (&mut to.negative, &added.negative),
    ] {
        if schema < from {
            *side = layout::coarser(side, from, schema);
        }
        if schema == added.schema {
            add_side(side, added_side, schema, threshold, sign);
        } else {
            let coarse = layout::coarser(added_side, added.schema, schema);
            add_side(side, &coarse, schema, threshold, sign);
        }
    }
    to.schema = schema;
    Ok(reconciled)
}

fn add_side(to: &mut Buckets, added: &Buckets, schema: i32, threshold: f64, sign: f64) {
    let skipped = n_in_zero(added, schema, threshold);
    if skipped == 0 && to.has_layout_of(added) {
        for (to, added) in to.counts_mut().iter_mut().zip(added.counts()) {
            *to += sign * added;
        }
        return;
    }
    layout::add_buckets(to, added.iter().skip(skipped), added.len() - skipped, sign);
}

/// Returns how many buckets end inside the zero bucket. They count there.
pub(super) fn n_in_zero(buckets: &Buckets, schema: i32, threshold: f64) -> usize {
    if schema == CUSTOM_BUCKETS_SCHEMA {
        return 0;
    }
    let indexes = buckets.layout().iter();
    indexes
        .take_while(|index| exponential_bound(**index, schema) <= threshold)
        .count()
}

/// Checks that two histograms go together, and sets the hint of their sum.
pub(super) fn begin(
    to: &mut FloatHistogram,
    added: &FloatHistogram,
) -> Result<Reconciled, IncompatibleSchemas> {
    if to.uses_custom_buckets() != added.uses_custom_buckets() {
        return Err(IncompatibleSchemas);
    }
    use CounterResetHint::{Gauge, Unknown};
    let mut resets_conflict = false;
    to.counter_reset_hint = match (to.counter_reset_hint, added.counter_reset_hint) {
        (a, b) if a == b => a,
        (Gauge, _) | (_, Gauge) => Gauge,
        (Unknown, _) | (_, Unknown) => Unknown,
        _ => {
            resets_conflict = true;
            Unknown
        }
    };
    Ok(Reconciled {
        resets_conflict,
        bounds_differ: false,
    })
}

pub(super) fn custom_sides<'a>(
    to: &'a FloatHistogram,
    lost: &'a [f64],
    added: &'a FloatHistogram,
    sign: f64,
) -> [CustomBuckets<'a>; 2] {
    let side = |histogram: &'a FloatHistogram, lost, sign| CustomBuckets {
        buckets: &histogram.positive,
        lost,
        bounds: &histogram.custom_bounds,
        sign,
    };
    [side(to, lost, 1.0), side(added, &[], sign)]
}
