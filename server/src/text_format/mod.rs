//! Text of the exposition format 0.0.4 as families of metrics, for tools.
//!
//! Scrapes read the format line by line and keep nothing (`kymo_ingest::exposition`).
//! Tools want to know what belongs together, and are told of mistakes that a scrape
//! forgives: this reader is as strict as the one of Prometheus' client libraries, and
//! complains in its words.

mod cursor;
mod read;

pub(crate) use read::read;

/// Metrics of one name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: Option<String>,
    pub(crate) kind: Kind,
    /// At least one, in the order of the text.
    pub(crate) metrics: Vec<Metric>,
    /// The line that names it first.
    pub(crate) line: usize,
}

/// What a family says of its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Summary,
    Histogram,
    GaugeHistogram,
    Untyped,
}

impl Kind {
    /// Returns the word for it, in lower case.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
            Kind::Histogram => "histogram",
            Kind::GaugeHistogram => "gauge_histogram",
            Kind::Untyped => "untyped",
        }
    }

    /// Finds a kind by the word of a TYPE line, whatever its case.
    fn by_name(word: &str) -> Option<Kind> {
        match word.to_ascii_lowercase().as_str() {
            "counter" => Some(Kind::Counter),
            "gauge" => Some(Kind::Gauge),
            "summary" => Some(Kind::Summary),
            "histogram" => Some(Kind::Histogram),
            "gauge_histogram" | "gaugehistogram" => Some(Kind::GaugeHistogram),
            "untyped" => Some(Kind::Untyped),
            _ => None,
        }
    }
}

/// One metric. Of summaries and histograms, all lines that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    /// In the order of the text, without `quantile` and `le` where these are special.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) t_ms: Option<i64>,
    pub(crate) value: Value,
}

/// What a metric says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Parts(Parts),
}

/// The lines of a summary or histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Parts {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    /// Quantiles or upper bounds of buckets, with their values.
    pub(crate) steps: Vec<(f64, f64)>,
}

/// A text that is not of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("text format parsing error in line {line}: {message}")]
pub(crate) struct TextError {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

#[cfg(test)]
mod tests;
