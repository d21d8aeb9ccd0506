//! Labels and annotations of an alert: texts with templates in them.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::definition::RuleExpr;
use super::group::{Evaluation, GroupSettings};
use crate::promql::{PointValue, QueryOptions, Value, VectorSample};
use crate::template::Sample;
use crate::template::alert::{AlertData, Expander, Prefix, SampleValue};

const NS_PER_MS: i64 = 1_000_000;

/// What the texts of one alert may refer to.
pub(super) struct Expansion<'a> {
    alert: &'a str,
    expr: &'a RuleExpr,
    settings: &'a GroupSettings,
    evaluation: &'a Evaluation<'a>,
    sample: &'a VectorSample,
    /// Made for the first text that is a template; most labels are none.
    data: OnceCell<AlertData>,
    /// Looked for when the first text wants it.
    line: OnceCell<AlertData>,
}

impl<'a> Expansion<'a> {
    pub(super) fn new(
        (alert, expr): (&'a str, &'a RuleExpr),
        settings: &'a GroupSettings,
        evaluation: &'a Evaluation<'a>,
        sample: &'a VectorSample,
    ) -> Expansion<'a> {
        Expansion {
            alert,
            expr,
            line: OnceCell::new(),
            settings,
            evaluation,
            sample,
            data: OnceCell::new(),
        }
    }

    /// Returns the value of the alert as a number; 0 where it is a histogram.
    pub(super) fn value(&self) -> f64 {
        match &self.sample.value {
            PointValue::Float(value) => *value,
            PointValue::Histogram(_) => 0.0,
        }
    }

    /// Expands a text. A failure stands in its place, and the alert goes on: somebody
    /// has to see both.
    pub(super) fn expand<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !text.contains("{{") {
            return Cow::Borrowed(text);
        }
        let data = match wants_line(text) {
            true => self.line.get_or_init(|| self.data(self.line())),
            false => self.data.get_or_init(|| self.data(String::new())),
        };
        let expander = Expander {
            name: &format!("__alert_{}", self.alert),
            text,
            data,
            now_ms: self.evaluation.at_ns.div_euclid(NS_PER_MS),
            external_url: &self.settings.external_url,
            path_prefix: &self.settings.path_prefix,
            query: &|query, t_ms| self.query(query, t_ms),
            prefix: match self.expr {
                RuleExpr::Metrics(_) => Prefix::Alert,
                RuleExpr::Logs(_) => Prefix::LogAlert,
            },
        };
        Cow::Owned(match expander.expand() {
            Ok(expanded) => expanded,
            Err(error) => format!("<error expanding template: {error}>"),
        })
    }

    fn data(&self, line: String) -> AlertData {
        let (labels, settings) = (&self.sample.labels, self.settings);
        let (external, url) = (&settings.external_labels, &settings.external_url);
        let value = sample_value(&self.sample.value);
        match self.expr {
            RuleExpr::Metrics(_) => AlertData::new(labels, external, url, value),
            RuleExpr::Logs(_) => AlertData::with_line(labels, external, url, value, &line),
        }
    }

    /// Looks for a line that the alert is about.
    fn line(&self) -> String {
        let (RuleExpr::Logs(logs), Some(source)) = (self.expr, self.evaluation.logs) else {
            return String::new();
        };
        let t_ns = self.sample.t_ms.saturating_mul(NS_PER_MS);
        let cancel = self.evaluation.cancel;
        let line = source.line(logs.expr(), &self.sample.labels, t_ns, cancel);
        line.unwrap_or_default()
    }

    /// Answers a query of a template.
    fn query(&self, query: &str, t_ms: i64) -> Result<Vec<Sample>, String> {
        let Evaluation {
            engine,
            source,
            cancel,
            ..
        } = *self.evaluation;
        let options = QueryOptions::default();
        let result = engine
            .instant(source, query, t_ms, &options, cancel)
            .map_err(|error| error.to_string())?;
        match result.value {
            Value::Vector(samples) => Ok(samples
                .into_iter()
                .map(|VectorSample { labels, value, .. }| Sample {
                    labels,
                    value: sample_value(&value),
                })
                .collect()),
            Value::Scalar { value, .. } => Ok(vec![Sample {
                labels: kymo_storage::model::Labels::empty(),
                value: SampleValue::from(value),
            }]),
            Value::String { .. } | Value::Matrix(_) => {
                Err("rule result is not a vector or scalar".to_owned())
            }
        }
    }
}

/// Tells whether a template may read the line of an alert. Looking for it costs a query.
fn wants_line(text: &str) -> bool {
    text.contains("$line") || text.contains(".Line")
}

/// Returns a value as templates see it.
fn sample_value(value: &PointValue) -> SampleValue {
    match value {
        PointValue::Float(value) => SampleValue::from(*value),
        PointValue::Histogram(histogram) => SampleValue::from(histogram.as_ref()),
    }
}
