//! What is said of histograms that an operator could not take as they are.

use crate::histogram::{QuantileNote, Reconciled};
use crate::promql::annotations::{Annotations, push_metric_name, quoted};
use crate::promql::ast::Span;

/// What an annotation is about: a metric, and an expression.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// Name of the metric, perhaps empty.
    pub(super) name: &'a str,
    pub(super) span: Span,
}

/// During what histograms met.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Aggregation => "aggregation",
        }
    }
}

impl About<'_> {
    /// Warns that a range holds floats and histograms.
    pub(super) fn mixed_kinds(&self, notes: &mut Annotations) {
        self.warn_named(
            "encountered a mix of histograms and floats for metric name",
            notes,
        );
    }

    /// Warns that exponential and custom buckets met.
    pub(super) fn mixed_schemas(&self, notes: &mut Annotations) {
        let text = "vector contains a mix of histograms with exponential and custom buckets \
                    schemas for metric name";
        self.warn_named(text, notes);
    }

    /// Warns that gauges were taken for counters.
    pub(super) fn not_a_counter(&self, notes: &mut Annotations) {
        self.warn_named("this native histogram metric is not a counter:", notes);
    }

    /// Warns that counters were taken for gauges.
    pub(super) fn not_a_gauge(&self, notes: &mut Annotations) {
        self.warn_named("this native histogram metric is not a gauge:", notes);
    }

    /// Tells that only the floats of a range counted.
    pub(super) fn ignored_in_range(&self, notes: &mut Annotations) {
        let text = format!(
            "ignored histograms in a range containing both floats and histograms for metric \
             name {}",
            quoted(self.name)
        );
        notes.info(text, self.span);
    }

    /// Tells what had to be done to bring histograms together; of resets nothing.
    pub(super) fn reconciled(&self, how: Reconciled, during: Operation, notes: &mut Annotations) {
        if how.bounds_differ {
            bounds_differ(during, self.span, notes);
        }
    }

    /// Tells what is odd about a quantile or fraction.
    pub(super) fn quantile(&self, note: QuantileNote, notes: &mut Annotations) {
        let mut text = match note {
            QuantileNote::NanResult => {
                "input to histogram_quantile has NaN observations, result is NaN"
            }
            QuantileNote::NanSkew => {
                "input to histogram_quantile has NaN observations, result is skewed higher"
            }
            QuantileNote::NanExcluded => {
                "input to histogram_fraction has NaN observations, which are excluded from all \
                 fractions"
            }
        }
        .to_owned();
        push_metric_name(&mut text, self.name);
        notes.info(text, self.span);
    }

    /// Warns that classic and native histograms have equal labels.
    pub(super) fn classic_and_native(&self, notes: &mut Annotations) {
        let mut text = "vector contains a mix of classic and native histograms".to_owned();
        push_metric_name(&mut text, self.name);
        notes.warn(text, self.span);
    }

    fn warn_named(&self, text: &str, notes: &mut Annotations) {
        notes.warn(format!("{text} {}", quoted(self.name)), self.span);
    }
}

/// Tells that custom bounds differed.
pub(super) fn bounds_differ(during: Operation, span: Span, notes: &mut Annotations) {
    let text = format!(
        "mismatched custom buckets were reconciled during {}",
        during.word()
    );
    notes.info(text, span);
}

/// Warns that histograms contradict each other about counter resets.
pub(super) fn resets_conflict(during: Operation, span: Span, notes: &mut Annotations) {
    let text = format!(
        "conflicting counter resets during histogram {}",
        during.word()
    );
    notes.warn(text, span);
}

/// Tells that an aggregation has no use for histograms.
pub(super) fn ignored_in_aggregation(op: &str, span: Span, notes: &mut Annotations) {
    notes.info(format!("ignored histogram in {op} aggregation"), span);
}

/// Warns that floats and histograms met in an aggregation.
pub(super) fn mixed_in_aggregation(span: Span, notes: &mut Annotations) {
    let text = "encountered a mix of histograms and floats for aggregation";
    notes.warn(text.to_owned(), span);
}
