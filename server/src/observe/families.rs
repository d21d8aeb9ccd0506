//! Our own metrics as families: name, type, and metrics that hold their samples together.
//!
//! As JSON they have the form that protobuf's mapping gives the messages of Prometheus'
//! client: integers of 64 bits and floats that JSON cannot write are strings.

use serde_json::{Map, Value, json};

use super::exposition::Kind;

/// All metrics of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    kind: Kind,
    help: String,
    metrics: Vec<Metric>,
}

/// The samples of one set of labels.
#[derive(Debug)]
struct Metric {
    labels: Vec<(String, String)>,
    /// Value of a counter or gauge.
    value: f64,
    sum: f64,
    count: f64,
    /// Upper bounds or quantiles, with what they are of.
    points: Vec<(f64, f64)>,
}

impl Family {
    pub(super) fn new(name: &str, kind: Kind, help: &str) -> Family {
        Family {
            name: name.to_owned(),
            kind,
            help: help.to_owned(),
            metrics: Vec::new(),
        }
    }

    /// Adds a sample as a line of text would have it.
    pub(super) fn push(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let of_point = match self.kind {
            Kind::Counter | Kind::Gauge => "",
            Kind::Summary => "quantile",
            Kind::Histogram => "le",
        };
        let point = labels.iter().find(|(label, _)| *label == of_point);
        let point = point.and_then(|(_, text)| text.parse::<f64>().ok());
        let labels: Vec<(String, String)> = labels
            .iter()
            .filter(|(label, _)| *label != of_point)
            .map(|&(label, text)| (label.to_owned(), text.to_owned()))
            .collect();
        if self.metrics.last().is_none_or(|m| m.labels != labels) {
            self.metrics.push(Metric {
                labels,
                value,
                sum: 0.0,
                count: 0.0,
                points: Vec::new(),
            });
        }
        let suffix = name.strip_prefix(self.name.as_str()).unwrap_or("");
        if let Some(metric) = self.metrics.last_mut() {
            match (point, suffix) {
                (Some(point), _) => metric.points.push((point, value)),
                (None, "_sum") => metric.sum = value,
                (None, "_count") => metric.count = value,
                (None, _) => metric.value = value,
            }
        }
    }

    /// Returns the family as JSON.
    pub(crate) fn json(&self) -> Value {
        let kind = match self.kind {
            Kind::Counter => "COUNTER",
            Kind::Gauge => "GAUGE",
            Kind::Summary => "SUMMARY",
            Kind::Histogram => "HISTOGRAM",
        };
        let metrics: Vec<Value> = self.metrics.iter().map(|m| self.metric(m)).collect();
        json!({
            "name": self.name,
            "help": self.help,
            "type": kind,
            "metric": metrics,
        })
    }

    fn metric(&self, metric: &Metric) -> Value {
        let mut json = Map::new();
        if !metric.labels.is_empty() {
            let labels = metric.labels.iter();
            let labels: Vec<Value> = labels
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect();
            json.insert("label".to_owned(), labels.into());
        }
        let (key, value) = match self.kind {
            Kind::Counter => ("counter", json!({ "value": number(metric.value) })),
            Kind::Gauge => ("gauge", json!({ "value": number(metric.value) })),
            Kind::Summary => ("summary", metric.summary()),
            Kind::Histogram => ("histogram", metric.histogram()),
        };
        json.insert(key.to_owned(), value);
        Value::Object(json)
    }
}

impl Metric {
    fn summary(&self) -> Value {
        let quantiles = self.points.iter().map(
            |(quantile, value)| json!({ "quantile": number(*quantile), "value": number(*value) }),
        );
        json!({
            "sampleCount": integer(self.count),
            "sampleSum": number(self.sum),
            "quantile": quantiles.collect::<Vec<_>>(),
        })
    }

    /// Returns the buckets without the last one, which is the count.
    fn histogram(&self) -> Value {
        let finite = self.points.iter().filter(|(bound, _)| bound.is_finite());
        let buckets = finite.map(|(bound, count)| {
            json!({ "cumulativeCount": integer(*count), "upperBound": number(*bound) })
        });
        json!({
            "sampleCount": integer(self.count),
            "sampleSum": number(self.sum),
            "bucket": buckets.collect::<Vec<_>>(),
        })
    }
}

fn integer(count: f64) -> Value {
    format!("{count:.0}").into()
}

fn number(value: f64) -> Value {
    if value.is_nan() {
        return "NaN".into();
    }
    match value {
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        // A whole number is written without a fraction.
        whole if whole.fract() == 0.0 && whole.abs() < 1e15 => (whole as i64).into(),
        value => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_the_json_of_their_messages() {
        let mut gauge = Family::new("g", Kind::Gauge, "G.");
        gauge.push("g", &[("x", "1")], f64::NAN);
        gauge.push("g", &[("x", "2")], 0.5);
        assert_eq!(
            gauge.json(),
            json!({"name": "g", "help": "G.", "type": "GAUGE", "metric": [
                {"label": [{"name": "x", "value": "1"}], "gauge": {"value": "NaN"}},
                {"label": [{"name": "x", "value": "2"}], "gauge": {"value": 0.5}},
            ]})
        );
        let mut histogram = Family::new("h", Kind::Histogram, "H.");
        for (name, le, value) in [
            ("h_bucket", Some("0.1"), 2.0),
            ("h_bucket", Some("+Inf"), 3.0),
            ("h_sum", None, 7.0),
            ("h_count", None, 3.0),
        ] {
            let labels: Vec<(&str, &str)> = le.map(|le| ("le", le)).into_iter().collect();
            histogram.push(name, &labels, value);
        }
        assert_eq!(
            histogram.json()["metric"],
            json!([{"histogram": {"sampleCount": "3", "sampleSum": 7,
                "bucket": [{"cumulativeCount": "2", "upperBound": 0.1}]}}])
        );
        let mut summary = Family::new("s", Kind::Summary, "S.");
        summary.push("s", &[("slice", "a"), ("quantile", "0.5")], 1.0);
        summary.push("s_sum", &[("slice", "a")], 4.0);
        summary.push("s_count", &[("slice", "a")], 2.0);
        assert_eq!(
            summary.json()["metric"],
            json!([{"label": [{"name": "slice", "value": "a"}],
                "summary": {"sampleCount": "2", "sampleSum": 4,
                    "quantile": [{"quantile": 0.5, "value": 1}]}}])
        );
    }
}
