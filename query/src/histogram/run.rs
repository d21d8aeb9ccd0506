//! Runs of histograms of a series, as they are stored and read back.
//!
//! Prometheus keeps histograms in chunks, and begins a new one where a counter was
//! reset or the layout changed so that the histogram does not fit the last one. Within a
//! chunk a counter is known not to be reset; of the first one nothing is said, since
//! nobody knows whether the chunk before it still exists. A hint that came with a
//! histogram decides where it stands and is forgotten. All histograms of a chunk have
//! one layout: a bucket that any of them has is an empty one of the others, which shows
//! where empty buckets are computed with.

use std::sync::Arc;

use kymo_storage::model::histogram::{Buckets, CounterResetHint, FloatHistogram};

use super::layout::side_by_side;
use crate::source::HistogramSample;

/// The run that the newest histograms of a series form.
#[derive(Debug, Clone, Default)]
pub struct HistogramRun {
    last: Option<FloatHistogram>,
    len: usize,
}

impl HistogramRun {
    /// Adds the next histogram of a series to those before it: sets its hint, and gives
    /// all histograms of its run one layout.
    pub fn add(
        &mut self,
        mut histogram: FloatHistogram,
        t_ms: i64,
        before: &mut Vec<HistogramSample>,
    ) {
        let last = self.last.take().filter(|last| continues(last, &histogram));
        let mut next = histogram.clone();
        if histogram.counter_reset_hint != CounterResetHint::Gauge {
            histogram.counter_reset_hint = match &last {
                Some(_) => CounterResetHint::NotReset,
                None => CounterResetHint::Unknown,
            };
        }
        self.len = self.len.min(before.len());
        match last {
            None => self.len = 0,
            // A stale marker has no buckets, but the next one is compared with those
            // before it.
            Some(last) if next.is_stale_marker() => {
                next = FloatHistogram {
                    sum: next.sum,
                    ..last
                }
            }
            Some(last) => {
                let layouts = [
                    widened(&mut histogram.positive, &last.positive),
                    widened(&mut histogram.negative, &last.negative),
                ];
                next.positive = histogram.positive.clone();
                next.negative = histogram.negative.clone();
                let [positive, negative] = layouts;
                let run = before.len() - self.len;
                let run = before[run..].iter_mut().map(|sample| &mut sample.histogram);
                for earlier in run.filter(|earlier| !earlier.is_stale_marker()) {
                    for (layout, is_positive) in [(&positive, true), (&negative, false)] {
                        let Some(layout) = layout else {
                            continue;
                        };
                        let earlier = Arc::make_mut(earlier);
                        let side = match is_positive {
                            true => &mut earlier.positive,
                            false => &mut earlier.negative,
                        };
                        *side = with_layout(side, layout);
                    }
                }
            }
        }
        self.len += 1;
        self.last = Some(next);
        before.push(HistogramSample {
            t_ms,
            start_ms: 0,
            histogram: Arc::new(histogram),
        });
    }
}

/// Gives buckets those that others have and they have not. Returns the common layout
/// where it is new to the others.
fn widened(buckets: &mut Buckets, others: &Buckets) -> Option<Arc<[i32]>> {
    if buckets.has_layout_of(others) {
        return None;
    }
    let both = side_by_side(buckets.iter(), others.iter());
    let layout: Arc<[i32]> = both.map(|(index, ..)| index).collect();
    *buckets = with_layout(buckets, &layout);
    (!buckets.has_layout_of(others)).then_some(layout)
}

/// Returns buckets with those of a larger layout, which are empty where they are new.
fn with_layout(buckets: &Buckets, layout: &Arc<[i32]>) -> Buckets {
    let wanted = layout.iter().map(|index| (*index, 0.0));
    let counts = side_by_side(wanted, buckets.iter());
    let counts = counts.map(|(_, _, count)| count.unwrap_or(0.0));
    Buckets::from_layout(Arc::clone(layout), counts.collect()).unwrap_or_default()
}

/// Tells whether a histogram fits the chunk that ends with `last`.
fn continues(last: &FloatHistogram, next: &FloatHistogram) -> bool {
    let is_gauge = next.counter_reset_hint == CounterResetHint::Gauge;
    if is_gauge != (last.counter_reset_hint == CounterResetHint::Gauge)
        || next.counter_reset_hint == CounterResetHint::Reset
    {
        return false;
    }
    // Behind a stale marker only others fit.
    if next.is_stale_marker() || last.is_stale_marker() {
        return next.is_stale_marker();
    }
    if next.schema != last.schema
        || next.zero_threshold != last.zero_threshold
        || (next.uses_custom_buckets() && next.custom_bounds != last.custom_bounds)
    {
        return false;
    }
    if is_gauge {
        return true;
    }
    let is_less = [
        (&last.positive, &next.positive),
        (&last.negative, &next.negative),
    ]
    .into_iter()
    .any(|(last, next)| {
        side_by_side(last.iter(), next.iter()).any(|(_, last, next)| match (last, next) {
            (Some(last), Some(next)) => last > next,
            (Some(last), None) => last != 0.0,
            (None, _) => false,
        })
    });
    !(next.count < last.count || next.zero_count < last.zero_count || is_less)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kymo_storage::model::histogram::Span;
    use kymo_storage::model::stale_marker;

    fn histogram(counts: &[f64]) -> FloatHistogram {
        let span = Span {
            offset: 0,
            length: counts.len() as u32,
        };
        FloatHistogram {
            count: counts.iter().sum(),
            positive: Buckets::from_spans(&[span], counts.to_vec()).unwrap(),
            ..FloatHistogram::default()
        }
    }

    fn with_hint(hint: CounterResetHint) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: hint,
            ..histogram(&[100.0, 100.0])
        }
    }

    #[test]
    fn a_counter_is_known_to_go_on_within_its_chunk() {
        use CounterResetHint::*;
        let stale = FloatHistogram {
            sum: stale_marker(),
            ..FloatHistogram::default()
        };
        let finer = FloatHistogram {
            schema: 1,
            ..histogram(&[60.0, 60.0])
        };
        let steps = [
            (histogram(&[1.0]), Unknown),
            (histogram(&[1.0, 2.0]), NotReset),
            (histogram(&[1.0, 2.0]), NotReset),
            (histogram(&[4.0, 1.0]), Unknown),
            (histogram(&[9.0]), Unknown),
            (stale, NotReset),
            (histogram(&[9.0]), Unknown),
            (histogram(&[50.0, 9.0]), NotReset),
            (finer, Unknown),
            (with_hint(Reset), Unknown),
            (with_hint(NotReset), NotReset),
            (with_hint(Gauge), Gauge),
            (with_hint(Gauge), Gauge),
            (with_hint(Unknown), Unknown),
            (with_hint(Unknown), NotReset),
        ];
        let (mut run, mut samples) = (HistogramRun::default(), Vec::new());
        for (at, (histogram, expected)) in steps.into_iter().enumerate() {
            run.add(histogram, at as i64, &mut samples);
            let found = samples[at].histogram.counter_reset_hint;
            assert_eq!(found, expected, "histogram {at}");
        }
    }

    #[test]
    fn a_run_has_one_layout() {
        let (mut run, mut samples) = (HistogramRun::default(), Vec::new());
        let sparse = |pairs: &[(i32, f64)]| {
            let layout: Arc<[i32]> = pairs.iter().map(|pair| pair.0).collect();
            let counts = pairs.iter().map(|pair| pair.1).collect();
            FloatHistogram {
                count: 100.0,
                positive: Buckets::from_layout(layout, counts).unwrap(),
                ..FloatHistogram::default()
            }
        };
        let steps: [&[(i32, f64)]; 4] = [
            &[(9, 1.0)],
            &[(0, 2.0)],
            &[(0, 2.0), (5, 1.0)],
            &[(-1, 1.0), (0, 2.0), (5, 1.0)],
        ];
        for (at, pairs) in steps.into_iter().enumerate() {
            run.add(sparse(pairs), at as i64, &mut samples);
        }
        let found = |at: usize| samples[at].histogram.positive.iter().collect::<Vec<_>>();
        assert_eq!(found(0), [(9, 1.0)]);
        assert_eq!(found(1), [(-1, 0.0), (0, 2.0), (5, 0.0)]);
        assert_eq!(found(2), [(-1, 0.0), (0, 2.0), (5, 1.0)]);
        assert_eq!(found(3), [(-1, 1.0), (0, 2.0), (5, 1.0)]);
        let gauge = |pairs| FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            ..sparse(pairs)
        };
        run.add(gauge(&[(1, 5.0)]), 4, &mut samples);
        run.add(gauge(&[(2, 1.0)]), 5, &mut samples);
        let found = |at: usize| samples[at].histogram.positive.iter().collect::<Vec<_>>();
        assert_eq!(found(3).len(), 3);
        assert_eq!(found(4), [(1, 5.0), (2, 0.0)]);
        assert_eq!(found(5), [(1, 0.0), (2, 1.0)]);
    }
}
