//! Histograms of one series from several places, in one order of time.

use std::sync::Arc;

use super::run::Point;
use crate::model::histogram::{CounterResetHint, Histogram, HistogramPoint, HistogramSample};

/// A histogram at a time, in any form.
pub(in crate::metrics) trait Timed {
    /// Returns its time.
    fn t_ms(&self) -> i64;

    /// Returns what is known of a reset before it.
    fn hint_mut(&mut self) -> &mut CounterResetHint;
}

impl Timed for Point {
    fn t_ms(&self) -> i64 {
        self.t_ms
    }

    fn hint_mut(&mut self) -> &mut CounterResetHint {
        &mut self.hint
    }
}

impl Timed for HistogramSample {
    fn t_ms(&self) -> i64 {
        self.t_ms
    }

    fn hint_mut(&mut self) -> &mut CounterResetHint {
        &mut Arc::make_mut(&mut self.histogram).counter_reset_hint
    }
}

impl Timed for HistogramPoint {
    fn t_ms(&self) -> i64 {
        self.t_ms
    }

    fn hint_mut(&mut self) -> &mut CounterResetHint {
        match &mut self.histogram {
            Histogram::Integer(histogram) => &mut histogram.counter_reset_hint,
            Histogram::Float(histogram) => &mut histogram.counter_reset_hint,
        }
    }
}

/// Merges the histograms from `begin` on into those before, both in order of time; of two at
/// one time that which was before stays. As in Prometheus, nothing is known of a reset where
/// one does not follow another one of its own place.
pub(in crate::metrics) fn settle<T: Timed>(all: &mut Vec<T>, begin: usize) {
    let (before, from) = all.split_at_mut(begin);
    let (Some(last), Some(first)) = (before.last(), from.first_mut()) else {
        return;
    };
    if last.t_ms() < first.t_ms() {
        forget_reset(first);
        return;
    }
    let mut others = all.split_off(begin).into_iter().peekable();
    let mut known = std::mem::take(all).into_iter().peekable();
    let mut was_known = None;
    loop {
        let times = (known.peek().map(T::t_ms), others.peek().map(T::t_ms));
        let is_known = match times {
            (Some(one), Some(other)) => one <= other,
            (one, _) => one.is_some(),
        };
        if times.0 == times.1 {
            others.next();
        }
        let next = if is_known {
            known.next()
        } else {
            others.next()
        };
        let Some(mut next) = next else { break };
        if was_known.is_some_and(|was_known| was_known != is_known) {
            forget_reset(&mut next);
        }
        was_known = Some(is_known);
        all.push(next);
    }
}

/// Forgets that there was no reset before a histogram.
pub(in crate::metrics) fn forget_reset<T: Timed>(next: &mut T) {
    let hint = next.hint_mut();
    if *hint != CounterResetHint::Gauge {
        *hint = CounterResetHint::Unknown;
    }
}

/// Drops the histograms from `begin` on that are at the time of a float; `times` are in
/// order.
pub(in crate::metrics) fn drop_beside<T: Timed>(all: &mut Vec<T>, begin: usize, times: &[i64]) {
    if times.is_empty() {
        return;
    }
    let mut at = 0;
    all.retain(|next| {
        at += 1;
        at <= begin || times.binary_search(&next.t_ms()).is_err()
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;
    use CounterResetHint::{NotReset, Unknown};

    #[derive(Debug, Clone, PartialEq)]
    struct At(i64, u8, CounterResetHint);

    impl Timed for At {
        fn t_ms(&self) -> i64 {
            self.0
        }

        fn hint_mut(&mut self) -> &mut CounterResetHint {
            &mut self.2
        }
    }

    proptest! {
        #[test]
        fn places_merge_like_maps(one: BTreeMap<i8, ()>, other: BTreeMap<i8, ()>) {
            let mut all: Vec<At> = Vec::new();
            all.extend(one.keys().map(|&t| At(i64::from(t), 1, NotReset)));
            let begin = all.len();
            all.extend(other.keys().map(|&t| At(i64::from(t), 2, NotReset)));
            settle(&mut all, begin);
            let mut model: BTreeMap<i8, u8> = other.keys().map(|&t| (t, 2)).collect();
            model.extend(one.keys().map(|&t| (t, 1)));
            let mut before = None;
            let expected = model.into_iter().map(|(t, place)| {
                let changed = before.replace(place).is_some_and(|before| before != place);
                At(i64::from(t), place, if changed { Unknown } else { NotReset })
            });
            prop_assert_eq!(all, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn floats_stay_where_both_are() {
        let mut all: Vec<At> = (0..6).map(|t| At(t, 1, NotReset)).collect();
        drop_beside(&mut all, 2, &[0, 3, 4, 9]);
        let times: Vec<i64> = all.iter().map(|at| at.0).collect();
        assert_eq!(times, [0, 1, 2, 5]);
    }
}
