//! Hints of counter resets as stored histograms have them.
//!
//! Prometheus keeps histograms in chunks, and begins a new one where a counter was
//! reset or the layout changed so that the histogram does not fit the last one. Within a
//! chunk a counter is known not to be reset; of the first one nothing is said, since
//! nobody knows whether the chunk before it still exists. A hint that came with a
//! histogram decides where it stands and is forgotten.

use kymo_storage::model::histogram::{CounterResetHint, FloatHistogram};

use super::layout::side_by_side;

/// What is known of the histograms of one series, one after the other.
#[derive(Debug, Clone, Default)]
pub struct ResetHints {
    last: Option<FloatHistogram>,
}

impl ResetHints {
    /// Sets the hint of the next histogram of the series.
    pub fn set(&mut self, histogram: &mut FloatHistogram) {
        let mut next = histogram.clone();
        let continues = self
            .last
            .as_ref()
            .is_some_and(|last| continues(last, histogram));
        if histogram.counter_reset_hint != CounterResetHint::Gauge {
            histogram.counter_reset_hint = match continues {
                true => CounterResetHint::NotReset,
                false => CounterResetHint::Unknown,
            };
        }
        if let Some(last) = self.last.take().filter(|_| continues) {
            widen(&mut next, &last);
        }
        self.last = Some(next);
    }
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

/// Gives a stale marker the layout of its chunk, which the next one is compared with.
fn widen(next: &mut FloatHistogram, last: &FloatHistogram) {
    if next.is_stale_marker() && !last.is_stale_marker() {
        *next = FloatHistogram {
            sum: next.sum,
            ..last.clone()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kymo_storage::model::histogram::{Buckets, Span};
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
        let mut hints = ResetHints::default();
        for (at, (mut histogram, expected)) in steps.into_iter().enumerate() {
            hints.set(&mut histogram);
            assert_eq!(histogram.counter_reset_hint, expected, "histogram {at}");
        }
    }
}
