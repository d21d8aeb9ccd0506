//! An example of what a sample counted, such as the trace of one request.

use std::cmp::Ordering;

use super::Labels;

/// One exemplar of a series.
#[derive(Debug, Clone)]
pub struct Exemplar {
    /// What it names, such as a trace id.
    pub labels: Labels,
    /// The value of the example, not of the series.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// The time came with the exemplar. Otherwise it is the time of the sample, and
    /// says nothing about whether two exemplars are the same.
    pub timed: bool,
}

impl Exemplar {
    /// Most characters in all label names and values of an exemplar together.
    pub const MAX_LABEL_CHARS: usize = 128;

    /// Tells whether the labels are short enough to be stored.
    pub fn has_short_labels(&self) -> bool {
        let mut n_chars = 0;
        self.labels.iter().all(|(name, value)| {
            n_chars += name.chars().count() + value.chars().count();
            n_chars <= Exemplar::MAX_LABEL_CHARS
        })
    }

    /// Tells whether both are the same example. Values are compared as numbers, so one
    /// that is not a number is never the same. Where neither came with a time, the
    /// times do not count: an exposition repeats its exemplar from scrape to scrape.
    pub fn is_same(&self, other: &Exemplar) -> bool {
        self.value == other.value
            && (self.t_ms == other.t_ms || !(self.timed || other.timed))
            && self.labels == other.labels
    }

    /// Orders by time, then value, then labels: the order in which the exemplars of
    /// one series have to be appended.
    pub fn order(&self, other: &Exemplar) -> Ordering {
        let by_value = || self.value.partial_cmp(&other.value);
        self.t_ms
            .cmp(&other.t_ms)
            .then_with(|| by_value().unwrap_or(Ordering::Equal))
            .then_with(|| self.labels.cmp(&other.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(t_ms: i64, timed: bool) -> Exemplar {
        Exemplar {
            labels: Labels::from_pairs([("trace_id", "a")]),
            value: 2.0,
            t_ms,
            timed,
        }
    }

    #[test]
    fn times_count_only_where_they_were_given() {
        assert!(exemplar(1, false).is_same(&exemplar(2, false)));
        assert!(!exemplar(1, true).is_same(&exemplar(2, false)));
        assert!(exemplar(1, true).is_same(&exemplar(1, false)));
        let nan = Exemplar {
            value: f64::NAN,
            ..exemplar(1, true)
        };
        assert!(!nan.is_same(&nan.clone()));
        assert_eq!(exemplar(1, true).order(&exemplar(2, true)), Ordering::Less);
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        let labels = |value: String| Exemplar {
            labels: Labels::from_pairs([("id", value)]),
            ..exemplar(0, true)
        };
        assert!(labels("é".repeat(126)).has_short_labels());
        assert!(!labels("x".repeat(127)).has_short_labels());
    }
}
