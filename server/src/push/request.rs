//! Families of metrics as a request of remote write 1.0.

use std::collections::{BTreeMap, HashMap};

use kymo_ingest::wire::encode::{Symbols, WriteRequestBuilder};
use kymo_storage::compat::float::g;
use kymo_storage::model::{METRIC_NAME, MetricMetadata, MetricType};

use crate::text_format::{Family, Kind, Metric, Parts, Value};

/// Texts of labels with their numbers.
#[derive(Default)]
struct Texts {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        // A text file has fewer texts than bytes, and those are bounded.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

impl Symbols for Texts {
    fn text(&self, symbol: u32) -> &str {
        self.texts.get(symbol as usize).map_or("", String::as_str)
    }
}

/// Puts the metrics into a request. `extra` are labels of all series, those of a metric
/// stand above them, and a label `job` of a metric becomes `exported_job`.
pub(super) fn encode(families: &[Family], extra: &[(String, String)], now_ms: i64) -> Vec<u8> {
    let mut request = Request {
        builder: WriteRequestBuilder::default(),
        texts: Texts::default(),
    };
    for family in families {
        for metric in &family.metrics {
            let t_ms = metric.t_ms.filter(|t_ms| *t_ms != 0).unwrap_or(now_ms);
            let labels = labels(metric, extra);
            match &metric.value {
                Value::Number(value) => request.series(&family.name, &labels, None, t_ms, *value),
                Value::Parts(parts) => request.parts(family, &labels, t_ms, parts),
            }
        }
    }
    for family in families {
        let metadata = MetricMetadata {
            kind: kind(family.kind),
            help: family.help.clone().unwrap_or_default(),
            ..MetricMetadata::default()
        };
        request.builder.metadata(&family.name, &metadata);
    }
    request.builder.finish(<[u8]>::to_vec)
}

struct Request {
    builder: WriteRequestBuilder,
    texts: Texts,
}

impl Request {
    fn parts(
        &mut self,
        family: &Family,
        labels: &BTreeMap<String, String>,
        t_ms: i64,
        parts: &Parts,
    ) {
        let name = &family.name;
        let (label, end) = match family.kind {
            Kind::Summary => ("quantile", ""),
            _ => ("le", "_bucket"),
        };
        let of_steps = format!("{name}{end}");
        for (step, value) in &parts.steps {
            let step = (label, g(*step));
            self.series(&of_steps, labels, Some(&step), t_ms, *value);
        }
        let has_last = parts.steps.iter().any(|(step, _)| *step == f64::INFINITY);
        if family.kind != Kind::Summary && !has_last {
            let last = (label, "+Inf".to_owned());
            self.series(&of_steps, labels, Some(&last), t_ms, parts.count);
        }
        self.series(&format!("{name}_sum"), labels, None, t_ms, parts.sum);
        self.series(&format!("{name}_count"), labels, None, t_ms, parts.count);
    }

    fn series(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
        step: Option<&(&str, String)>,
        t_ms: i64,
        value: f64,
    ) {
        let mut all: BTreeMap<&str, &str> = labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        all.insert(METRIC_NAME, name);
        if let Some((label, step)) = step {
            all.insert(label, step);
        }
        let pairs: Vec<(u32, u32)> = all
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (self.texts.number(name), self.texts.number(value)))
            .collect();
        self.builder.begin_series(&pairs, &self.texts);
        self.builder.sample(t_ms, value);
        self.builder.end_series();
    }
}

fn labels(metric: &Metric, extra: &[(String, String)]) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = extra.iter().cloned().collect();
    for (name, value) in &metric.labels {
        let name = match name.as_str() {
            "job" => "exported_job",
            name => name,
        };
        labels.insert(name.to_owned(), value.clone());
    }
    labels
}

fn kind(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Summary => MetricType::Summary,
        Kind::Histogram => MetricType::Histogram,
        Kind::GaugeHistogram => MetricType::GaugeHistogram,
        Kind::Untyped => MetricType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use kymo_ingest::wire::write_request::{Part, WriteRequest};

    use super::*;
    use crate::text_format;

    #[test]
    fn requests_can_be_read_again() {
        let text = "# TYPE h histogram\n# HELP h x\nh_bucket{le=\"1\"} 1\nh_sum 3\nh_count 2\n\
                    a{job=\"b\",c=\"d\"} 5 7\n";
        let families = text_format::read(text.as_bytes()).unwrap();
        let extra = [("job".to_owned(), "promtool".to_owned())];
        let message = encode(&families, &extra, 9);
        let mut request = WriteRequest::new(&message);
        let (mut samples, mut metadata) = (Vec::new(), Vec::new());
        while let Some(part) = request.next_part().unwrap() {
            match part {
                Part::Series(series) => {
                    series
                        .scan(|t_ms, value| samples.push((t_ms, value)))
                        .unwrap();
                }
                Part::Metadata(part) => metadata.push((part.family.to_vec(), part.kind)),
            }
        }
        // The metric, two buckets, sum and count.
        assert_eq!(samples, [(7, 5.0), (9, 1.0), (9, 2.0), (9, 3.0), (9, 2.0)]);
        assert_eq!(metadata, [(b"a".to_vec(), 0), (b"h".to_vec(), 3)]);
        let has = |text: &[u8]| message.windows(text.len()).any(|part| part == text);
        for text in ["exported_job", "promtool", "h_bucket", "+Inf", "h_count"] {
            assert!(has(text.as_bytes()), "{text}");
        }
    }
}
