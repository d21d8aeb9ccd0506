//! Sums of many histograms, with compensation of rounding.

use kymo_storage::model::histogram::{Buckets, FloatHistogram};

use super::add::{self, IncompatibleSchemas, Reconciled};
use super::layout::{self, Building};
use super::{scale, zero};
use crate::promql::Sum;

/// A running sum of histograms that keeps what rounding loses of every count.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    sum: FloatHistogram,
    /// Nothing is lost before the second histogram.
    lost: Option<Lost>,
}

/// What rounding has lost of the counts of a histogram.
#[derive(Debug, Clone, Default)]
pub(super) struct Lost {
    pub(super) zero_count: f64,
    pub(super) count: f64,
    pub(super) sum: f64,
    /// One number for each positive bucket.
    pub(super) positive: Vec<f64>,
    /// One number for each negative bucket.
    pub(super) negative: Vec<f64>,
}

impl HistogramSum {
    /// Begins with one histogram.
    pub fn new(first: FloatHistogram) -> HistogramSum {
        HistogramSum {
            sum: first,
            lost: None,
        }
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// It has no buckets in common with the sum, which stays what it was.
    pub fn add(&mut self, added: &FloatHistogram) -> Result<Reconciled, IncompatibleSchemas> {
        let sum = &mut self.sum;
        let mut reconciled = add::begin(sum, added)?;
        let lost = self.lost.get_or_insert_with(|| Lost::of(sum));
        if !sum.uses_custom_buckets() {
            let zero = zero::reconcile(sum, Some(lost), added);
            add_to(&mut sum.zero_count, &mut lost.zero_count, zero.sum);
            add_to(&mut sum.zero_count, &mut lost.zero_count, zero.lost);
        }
        add_to(&mut sum.count, &mut lost.count, added.count);
        add_to(&mut sum.sum, &mut lost.sum, added.sum);
        if sum.uses_custom_buckets() && sum.custom_bounds != added.custom_bounds {
            reconciled.bounds_differ = true;
            let bounds = layout::common_bounds(&sum.custom_bounds, &added.custom_bounds);
            let sides = add::custom_sides(sum, &lost.positive, added, 1.0);
            (sum.positive, lost.positive) = layout::add_at_bounds(sides, &bounds);
            sum.custom_bounds = bounds;
            return Ok(reconciled);
        }
        let schemas = Schemas {
            of_sum: sum.schema,
            of_added: added.schema,
            threshold: sum.zero_threshold,
        };
        schemas.add_side(&mut sum.positive, &mut lost.positive, &added.positive);
        schemas.add_side(&mut sum.negative, &mut lost.negative, &added.negative);
        sum.schema = schemas.common();
        Ok(reconciled)
    }

    /// Tells whether a number of the sum is infinite.
    pub fn is_overflown(&self) -> bool {
        let sum = &self.sum;
        let infinite = |counts: &[f64]| counts.iter().any(|count| count.is_infinite());
        infinite(&[sum.zero_count, sum.count, sum.sum])
            || infinite(sum.positive.counts())
            || infinite(sum.negative.counts())
            || infinite(&sum.custom_bounds)
    }

    /// Divides the sum.
    pub fn divide(&mut self, divisor: f64) {
        scale::divide(&mut self.sum, divisor);
        if let Some(lost) = &mut self.lost {
            lost.each(|number| *number /= divisor);
        }
    }

    /// Multiplies the sum.
    pub fn multiply(&mut self, factor: f64) {
        scale::multiply(&mut self.sum, factor);
        if let Some(lost) = &mut self.lost {
            lost.each(|number| *number *= factor);
        }
    }

    /// Returns the sum with what was lost.
    pub fn total(self) -> FloatHistogram {
        let HistogramSum { mut sum, lost } = self;
        if let Some(lost) = lost {
            let with_layout = |of: &Buckets, lost| {
                Buckets::from_layout(of.layout().clone(), lost).unwrap_or_default()
            };
            let lost = FloatHistogram {
                counter_reset_hint: sum.counter_reset_hint,
                schema: sum.schema,
                zero_threshold: sum.zero_threshold,
                zero_count: lost.zero_count,
                count: lost.count,
                sum: lost.sum,
                positive: with_layout(&sum.positive, lost.positive),
                negative: with_layout(&sum.negative, lost.negative),
                custom_bounds: sum.custom_bounds.clone(),
            };
            // Both have one schema, so that this cannot fail.
            let _ = add::add(&mut sum, &lost);
        }
        sum
    }
}

impl Lost {
    fn of(histogram: &FloatHistogram) -> Lost {
        Lost {
            positive: vec![0.0; histogram.positive.len()],
            negative: vec![0.0; histogram.negative.len()],
            ..Lost::default()
        }
    }

    fn each(&mut self, mut change: impl FnMut(&mut f64)) {
        let Lost {
            zero_count,
            count,
            sum,
            positive,
            negative,
        } = self;
        [zero_count, count, sum].into_iter().for_each(&mut change);
        positive.iter_mut().for_each(&mut change);
        negative.iter_mut().for_each(&mut change);
    }

    /// Removes the buckets of a histogram that are empty and of which nothing was lost.
    pub(super) fn compact(&mut self, histogram: &mut FloatHistogram) {
        for (buckets, lost) in [
            (&mut histogram.positive, &mut self.positive),
            (&mut histogram.negative, &mut self.negative),
        ] {
            let mut built = Building::with_capacity(buckets.len());
            for ((index, sum), &lost) in buckets.iter().zip(lost.iter()) {
                if sum != 0.0 || lost != 0.0 {
                    built.push_with_lost(index, Sum { sum, lost });
                }
            }
            (*buckets, *lost) = built.take();
        }
    }
}

/// The schemas of a sum and of what is added.
struct Schemas {
    of_sum: i32,
    of_added: i32,
    threshold: f64,
}

impl Schemas {
    fn common(&self) -> i32 {
        self.of_sum.min(self.of_added)
    }

    fn add_side(&self, to: &mut Buckets, to_lost: &mut Vec<f64>, added: &Buckets) {
        let common = self.common();
        if common < self.of_sum {
            (*to, *to_lost) = layout::coarser_with_lost(to, to_lost, self.of_sum, common);
        }
        if common < self.of_added {
            let nothing = vec![0.0; added.len()];
            let (added, added_lost) =
                layout::coarser_with_lost(added, &nothing, self.of_added, common);
            self.add_equal(to, to_lost, &added, Some(&added_lost));
        } else {
            self.add_equal(to, to_lost, added, None);
        }
    }

    fn add_equal(
        &self,
        to: &mut Buckets,
        to_lost: &mut Vec<f64>,
        added: &Buckets,
        added_lost: Option<&[f64]>,
    ) {
        let skipped = add::n_in_zero(added, self.common(), self.threshold);
        if skipped == 0 && added_lost.is_none() && to.has_layout_of(added) {
            let sums = to.counts_mut().iter_mut().zip(to_lost);
            for ((sum, lost), added) in sums.zip(added.counts()) {
                add_to(sum, lost, *added);
            }
            return;
        }
        let lost = |at: usize| added_lost.and_then(|lost| lost.get(at)).copied();
        let sums = added.iter().enumerate().map(|(at, (index, sum))| {
            let lost = lost(at).unwrap_or_default();
            (index, Sum { sum, lost })
        });
        let n_added = added.len() - skipped;
        layout::add_buckets_with_lost(to, to_lost, sums.skip(skipped), n_added);
    }
}

fn add_to(sum: &mut f64, lost: &mut f64, value: f64) {
    let mut both = Sum {
        sum: *sum,
        lost: *lost,
    };
    both.add(value);
    (*sum, *lost) = (both.sum, both.lost);
}
