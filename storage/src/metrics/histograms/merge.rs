//! Histograms of a series from several places, in order of time.

use std::sync::Arc;

use super::run::Point;
use crate::model::histogram::{CounterResetHint, Histogram, HistogramPoint, HistogramSample};

/// A histogram in any of its forms.
pub(in crate::metrics) trait Timed {
    /// Returns its time.
    fn t_ms(&self) -> i64;

    /// Forgets what is known of a counter reset before it.
    fn forget_reset(&mut self);
}

fn forget(hint: &mut CounterResetHint) {
    if *hint != CounterResetHint::Gauge {
        *hint = CounterResetHint::Unknown;
    }
}

impl Timed for Point {
    fn t_ms(&self) -> i64 {
        self.t_ms
    }

    fn forget_reset(&mut self) {
        forget(&mut self.hint);
    }
}

impl Timed for HistogramSample {
    fn t_ms(&self) -> i64 {
        self.t_ms
    }

    fn forget_reset(&mut self) {
        forget(&mut Arc::make_mut(&mut self.histogram).counter_reset_hint);
    }
}

impl Timed for HistogramPoint {
    fn t_ms(&self) -> i64 {
        self.t_ms
    }

    fn forget_reset(&mut self) {
        match &mut self.histogram {
            Histogram::Integer(histogram) => forget(&mut histogram.counter_reset_hint),
            Histogram::Float(histogram) => forget(&mut histogram.counter_reset_hint),
        }
    }
}

/// Merges histograms into those from `begin` on, both in order of time; of two at one time
/// that which was there stays. Where one does not follow its own kind any more, nothing is
/// known of a reset.
pub(in crate::metrics) fn merge<T: Timed>(into: &mut Vec<T>, begin: usize, mut others: Vec<T>) {
    let Some(first) = others.first_mut() else {
        return;
    };
    let last = into.get(begin..).and_then(|known| known.last());
    if last.is_none_or(|last| last.t_ms() < first.t_ms()) {
        if last.is_some() {
            first.forget_reset();
        }
        into.append(&mut others);
        return;
    }
    let mut known = into.split_off(begin).into_iter().peekable();
    let mut others = others.into_iter().peekable();
    let mut was_known = None;
    loop {
        let (point, is_known) = match (known.peek(), others.peek()) {
            (Some(one), Some(other)) if one.t_ms() == other.t_ms() => {
                others.next();
                (known.next(), true)
            }
            (Some(one), Some(other)) if one.t_ms() > other.t_ms() => (others.next(), false),
            (Some(_), _) => (known.next(), true),
            (None, _) => (others.next(), false),
        };
        let Some(mut point) = point else { break };
        if was_known.is_some_and(|was_known| was_known != is_known) {
            point.forget_reset();
        }
        was_known = Some(is_known);
        into.push(point);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::FloatHistogram;

    fn sample(t_ms: i64, hint: CounterResetHint, sum: f64) -> HistogramSample {
        HistogramSample {
            t_ms,
            start_ms: 0,
            histogram: Arc::new(FloatHistogram {
                counter_reset_hint: hint,
                sum,
                ..FloatHistogram::default()
            }),
        }
    }

    #[test]
    fn nothing_is_known_of_a_reset_where_one_comes_from_elsewhere() {
        use CounterResetHint::{Gauge, NotReset, Unknown};
        let known = |t_ms| sample(t_ms, NotReset, 1.0);
        let other = |t_ms| sample(t_ms, NotReset, 2.0);
        let seen = |merged: &[HistogramSample]| {
            let all = merged.iter();
            let seen = all.map(|s| (s.t_ms, s.histogram.counter_reset_hint, s.histogram.sum));
            seen.collect::<Vec<_>>()
        };
        let mut merged = vec![
            sample(-1, Gauge, 0.0),
            known(1),
            known(2),
            known(5),
            known(6),
        ];
        merge(&mut merged, 1, vec![other(2), other(3), other(4), other(9)]);
        let expected = [
            (-1, Gauge, 0.0),
            (1, NotReset, 1.0),
            (2, NotReset, 1.0),
            (3, Unknown, 2.0),
            (4, NotReset, 2.0),
            (5, Unknown, 1.0),
            (6, NotReset, 1.0),
            (9, Unknown, 2.0),
        ];
        assert_eq!(seen(&merged), expected);
        let mut behind = vec![known(1)];
        merge(&mut behind, 0, vec![other(2), other(3)]);
        let expected = [(1, NotReset, 1.0), (2, Unknown, 2.0), (3, NotReset, 2.0)];
        assert_eq!(seen(&behind), expected);
        let mut gauges = vec![known(1)];
        merge(&mut gauges, 0, vec![sample(2, Gauge, 0.0)]);
        assert_eq!(seen(&gauges)[1].1, Gauge);
        let mut alone = Vec::new();
        merge(&mut alone, 0, vec![known(1)]);
        assert_eq!(seen(&alone), [(1, NotReset, 1.0)]);
    }
}
