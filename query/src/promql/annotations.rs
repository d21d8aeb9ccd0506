//! Warnings and infos that come with an answer.
//!
//! They are told apart by their text without position and numbers; one that comes
//! again is merged into the first. Prometheus hands the same annotation from node to
//! node by pointer and merges the collections at every step, so that an annotation
//! meets itself: the number of samples that the info about forced monotonicity
//! prints grows by that. The same answers need the same sharing, hence the `Arc`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use kymo_storage::compat::float::{g, push_g_precision};
use kymo_storage::compat::quote::quote;
use parking_lot::Mutex;

use crate::promql::ast::Span;
use crate::promql::error::place;
use crate::promql::time::{Civil, seconds_of};

const FORCED_MONOTONICITY: &str = "input to histogram_quantile needed to be fixed for \
     monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/\
     #histogram_quantile)";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Warning,
    Info,
}

#[derive(Debug, Clone, Copy)]
struct Annotation {
    span: Span,
    monotonicity: Option<Monotonicity>,
    /// How often it was met, where that is told; 0 where not.
    occurrences: u64,
}

/// Where and how far bucket counts had to be lifted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Monotonicity {
    pub(crate) t_min_ms: i64,
    pub(crate) t_max_ms: i64,
    pub(crate) bucket_min: f64,
    pub(crate) bucket_max: f64,
    pub(crate) diff_max: f64,
    /// Number of samples less one; wraps as Go's integers do.
    pub(crate) more: i64,
}

/// A set of annotations. Clones share the annotations themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Annotations {
    entries: BTreeMap<(Level, String), Arc<Mutex<Annotation>>>,
}

impl Annotations {
    /// Tells whether there is nothing to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a warning about the expression at `span`.
    pub(crate) fn warn(&mut self, text: String, span: Span) {
        self.add(Level::Warning, text, span, None);
    }

    /// Adds an info about the expression at `span`.
    pub(crate) fn info(&mut self, text: String, span: Span) {
        self.add(Level::Info, text, span, None);
    }

    /// Adds the info that the buckets of `name` (empty if not to be told) were lifted.
    pub(crate) fn forced_monotonicity(&mut self, name: &str, fixed: Monotonicity, span: Span) {
        let mut text = FORCED_MONOTONICITY.to_owned();
        push_metric_name(&mut text, name);
        self.add(Level::Info, text, span, Some(fixed));
    }

    /// Adds the warning that samples of metric `name` began before the one before them.
    pub(crate) fn start_time_overlap(&mut self, name: &str, occurrences: u64, span: Span) {
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            quoted(name)
        );
        let annotation = Annotation {
            span,
            monotonicity: None,
            occurrences,
        };
        let annotation = Arc::new(Mutex::new(annotation));
        self.merge_entry(&(Level::Warning, text), &annotation);
    }

    /// Adds the warning that `q` is no quantile.
    pub(crate) fn invalid_quantile(&mut self, q: f64, span: Span) {
        let text = format!("quantile value should be between 0 and 1, got {}", g(q));
        self.warn(text, span);
    }

    /// Adds the warning that a bucket has no usable `le`.
    pub(crate) fn bad_bucket_label(&mut self, name: &str, le: &str, span: Span) {
        let mut text = format!(
            "bucket label \"le\" is missing or has a malformed value of {}",
            quoted(le)
        );
        push_metric_name(&mut text, name);
        self.warn(text, span);
    }

    /// Merges other annotations into these.
    pub(crate) fn merge(&mut self, others: &Annotations) {
        for (key, other) in &others.entries {
            self.merge_entry(key, other);
        }
    }

    /// Returns the texts of warnings and infos with positions in `query`, each sorted.
    pub(crate) fn texts(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for ((level, text), annotation) in &self.entries {
            let annotation = annotation.lock();
            let mut line = match level {
                Level::Warning => format!("PromQL warning: {text}"),
                Level::Info => format!("PromQL info: {text}"),
            };
            if let Some(fixed) = &annotation.monotonicity {
                fixed.push_to(&mut line);
            }
            if annotation.occurrences > 1 {
                let _ = write!(line, " ({} occurrences)", annotation.occurrences);
            }
            let place = place(query.as_bytes(), annotation.span.start);
            let _ = write!(line, " ({place})");
            match level {
                Level::Warning => warnings.push(line),
                Level::Info => infos.push(line),
            }
        }
        warnings.sort();
        infos.sort();
        (warnings, infos)
    }

    fn add(&mut self, level: Level, text: String, span: Span, fixed: Option<Monotonicity>) {
        let annotation = Annotation {
            span,
            monotonicity: fixed,
            occurrences: 0,
        };
        self.merge_entry(&(level, text), &Arc::new(Mutex::new(annotation)));
    }

    fn merge_entry(&mut self, key: &(Level, String), other: &Arc<Mutex<Annotation>>) {
        let Some(known) = self.entries.get_mut(key) else {
            self.entries.insert(key.clone(), Arc::clone(other));
            return;
        };
        // The numbers are copied first: both may be one annotation.
        let from = *other.lock();
        match from.monotonicity {
            Some(from) => {
                if let Some(into) = &mut known.lock().monotonicity {
                    into.merge(&from);
                }
            }
            None if from.occurrences > 0 => {
                let mut known = known.lock();
                known.occurrences = known.occurrences.saturating_add(from.occurrences);
            }
            // Of plain annotations the newest stays, and with it its position.
            None => *known = Arc::clone(other),
        }
    }
}

impl Monotonicity {
    fn merge(&mut self, other: &Monotonicity) {
        self.t_min_ms = self.t_min_ms.min(other.t_min_ms);
        self.t_max_ms = self.t_max_ms.max(other.t_max_ms);
        self.bucket_min = self.bucket_min.min(other.bucket_min);
        self.bucket_max = self.bucket_max.max(other.bucket_max);
        self.diff_max = self.diff_max.max(other.diff_max);
        self.more = self.more.wrapping_add(other.more).wrapping_add(1);
    }

    fn push_to(&self, line: &mut String) {
        let mut diff = String::new();
        push_g_precision(&mut diff, self.diff_max, 2);
        let _ = write!(
            line,
            ", from buckets {} to {}, with a max diff of {diff}, over {} samples from {} to {}",
            g(self.bucket_min),
            g(self.bucket_max),
            self.more.wrapping_add(1),
            Civil::from_unix(seconds_of(self.t_min_ms)).rfc3339(),
            Civil::from_unix(seconds_of(self.t_max_ms)).rfc3339(),
        );
    }
}

/// Adds which metric is meant, if it is to be told.
pub(crate) fn push_metric_name(text: &mut String, name: &str) {
    if !name.is_empty() {
        let _ = write!(text, " for metric name {}", quoted(name));
    }
}

/// Returns `text` in quotes, as Go's `%q` prints it.
pub(crate) fn quoted(text: &str) -> String {
    quote(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { start: 3, end: 5 };

    #[test]
    fn equal_texts_are_told_once_with_the_newest_position() {
        let mut annotations = Annotations::default();
        annotations.warn("careful".to_owned(), Span { start: 0, end: 1 });
        annotations.warn("careful".to_owned(), SPAN);
        annotations.invalid_quantile(1.5, SPAN);
        let (warnings, infos) = annotations.texts("a\nbcd");
        let expected = [
            "PromQL warning: careful (2:2)",
            "PromQL warning: quantile value should be between 0 and 1, got 1.5 (2:2)",
        ];
        assert_eq!(warnings, expected);
        assert!(infos.is_empty());
    }

    #[test]
    fn an_annotation_that_meets_itself_counts_itself() {
        let fixed = Monotonicity {
            t_min_ms: 0,
            t_max_ms: 0,
            bucket_min: 1.0,
            bucket_max: f64::INFINITY,
            diff_max: 0.000_361,
            more: 0,
        };
        let (mut inner, mut outer) = (Annotations::default(), Annotations::default());
        for t_max_ms in [0, 60_000] {
            let mut step = Annotations::default();
            step.forced_monotonicity("", Monotonicity { t_max_ms, ..fixed }, SPAN);
            inner.merge(&step);
            outer.merge(&inner);
        }
        let (_, infos) = outer.texts("abcdef");
        let tail = ", from buckets 1 to +Inf, with a max diff of 0.00036, over 4 samples \
                    from 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z (1:4)";
        assert!(infos[0].ends_with(tail), "{}", infos[0]);
    }
}
