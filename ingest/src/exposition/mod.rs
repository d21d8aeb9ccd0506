//! The exposition formats: Prometheus' text 0.0.4, OpenMetrics 1.0 (and 0.0.1) and
//! Prometheus' protobuf, read as Prometheus 3.14 reads them.
//!
//! A [`Parser`] walks a body and hands out [`Entry`] values that borrow from it;
//! nothing is allocated per line. The series of a sample stays in raw bytes: the
//! same bytes mean the same series from one scrape to the next, so a scrape keeps
//! its series by them ([`Series::identity`]) and decodes labels ([`Series::labels`]) only
//! for bytes it has not seen. What is accepted, what is refused, and the texts of refusals
//! follow upstream to the odd corner, because exporters live in those corners.
//!
//! Classic histograms become native ones with custom buckets where that is asked for, in
//! [`protobuf`] metric by metric and in [`collate`] from the lines of a text.
//!
//! After the first error the parser yields nothing more; a scrape that meets one is
//! thrown away whole.

mod classic;
mod collate;
mod cursor;
mod detect;
mod error;
mod labels;
mod lexer;
mod number;
mod openmetrics;
mod protobuf;
mod series;
mod text;
mod token;

use std::borrow::Cow;

pub use detect::{Detected, Format, UnknownFormat, detect};
pub use error::{ClassicError, ExpositionError, LabelError, LayoutMismatch};
pub use kymo_storage::model::MetricType;
pub use labels::LabelPairs;
pub use series::Series;

use crate::wire::histogram::SentHistogram;
use crate::wire::metric_family;

/// What a line of an exposition says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// `# HELP name text`
    Help {
        /// Name of the family, as written (a quoted name without its quotes).
        name: &'a [u8],
        /// The text.
        help: HelpText<'a>,
    },
    /// `# TYPE name kind`
    Type {
        /// Name of the family, as written.
        name: &'a [u8],
        /// Its type.
        kind: MetricType,
    },
    /// `# UNIT name unit`, OpenMetrics only.
    Unit {
        /// Name of the family, as written.
        name: &'a [u8],
        /// The unit, empty where the line has none.
        unit: &'a [u8],
    },
    /// Any other line that begins with `#`, text format only, without its newline.
    Comment(&'a [u8]),
    /// A sample.
    Sample(Sample<'a>),
    /// A sample of a native histogram.
    Histogram(Box<HistogramSample<'a>>),
}

/// One sample line.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    /// Name and labels.
    pub series: Series<'a>,
    /// The value; in the text formats every NaN is the canonical one
    /// (`0x7ff8000000000001`).
    pub value: f64,
    /// The explicit timestamp, milliseconds.
    pub timestamp_ms: Option<i64>,
    /// The exemplar; Prometheus' text has none.
    pub exemplar: Option<Exemplar<'a>>,
}

/// A sample of a native histogram.
#[derive(Debug, Clone)]
pub struct HistogramSample<'a> {
    /// Name and labels.
    pub series: Series<'a>,
    /// The histogram, without empty buckets. It need not be a valid one.
    pub histogram: SentHistogram,
    /// The explicit timestamp, milliseconds.
    pub timestamp_ms: Option<i64>,
    /// Its exemplars, in order. Those without a time are not stored.
    pub exemplars: Vec<Exemplar<'a>>,
}

/// The exemplar of a sample.
#[derive(Debug, Clone)]
pub struct Exemplar<'a> {
    labels: ExemplarLabels<'a>,
    /// The value.
    pub value: f64,
    /// The exemplar's own timestamp, milliseconds.
    pub timestamp_ms: Option<i64>,
}

/// Where the labels of an exemplar stand.
#[derive(Debug, Clone, Copy)]
enum ExemplarLabels<'a> {
    /// In a line, behind the opening brace.
    Line(&'a [u8]),
    /// In a message.
    Message(metric_family::LabelFields<'a>),
}

impl<'a> Exemplar<'a> {
    fn of_message(message: &metric_family::Exemplar<'a>) -> Exemplar<'a> {
        Exemplar {
            labels: ExemplarLabels::Message(message.labels),
            value: message.value,
            timestamp_ms: message.timestamp.map(metric_family::Timestamp::ms),
        }
    }

    /// Iterates over the labels as they stand in the body. Escapes are left as they
    /// are, which is what Prometheus stores.
    pub fn labels(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let (line, message) = match self.labels {
            ExemplarLabels::Line(raw) => (Some(labels::ExemplarPairs::new(raw)), None),
            ExemplarLabels::Message(fields) => (None, Some(fields.pairs())),
        };
        line.into_iter()
            .flatten()
            .chain(message.into_iter().flatten())
    }
}

/// The text of a HELP line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelpText<'a> {
    raw: &'a str,
    escapes: Escapes,
}

impl<'a> HelpText<'a> {
    /// Returns the text as it stands in the body, for comparing it with an earlier one.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// Returns the text with its escapes resolved.
    pub fn unescape(&self) -> Cow<'a, str> {
        labels::unescape_text(self.raw, self.escapes)
    }
}

/// Which escapes a text knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// None at all.
    None,
    /// `\\` and `\n`.
    Help,
    /// `\\`, `\n` and `\"`.
    Quoted,
}

/// What of the metadata lines bears on the labels of a sample.
#[derive(Debug, Clone, Copy, Default)]
struct Family<'a> {
    kind: MetricType,
    unit: &'a [u8],
    /// Whether type and unit become the labels `__type__` and `__unit__`.
    as_labels: bool,
}

/// Choices of the scrape that change what the parser hands out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParserOptions {
    /// Leave out `_created` samples of OpenMetrics counters, summaries and
    /// histograms; their times are had from [`Parser::start_timestamp_ms`].
    pub skip_created_series: bool,
    /// Add `__type__` and `__unit__` to the labels.
    pub type_and_unit_labels: bool,
    /// Hand out native histograms; without it they are read as if they were classic.
    /// Protobuf only.
    pub native_histograms: bool,
    /// Make native histograms with custom buckets of classic ones.
    pub convert_classic_histograms: bool,
    /// Hand out classic histograms also where there is a native one, or one is made.
    pub keep_classic_histograms: bool,
}

/// Reads the entries of a body, in order.
#[derive(Debug)]
pub struct Parser<'a> {
    inner: Inner<'a>,
}

#[derive(Debug)]
enum Inner<'a> {
    Lines(Lines<'a>),
    Collated(Box<collate::Collator<'a>>),
    Protobuf(Box<protobuf::ProtobufParser<'a>>),
}

/// The formats made of lines.
#[derive(Debug)]
enum Lines<'a> {
    Text(text::TextParser<'a>),
    OpenMetrics(Box<openmetrics::OpenMetricsParser<'a>>),
}

impl<'a> Lines<'a> {
    #[inline]
    fn next_entry(&mut self) -> Option<Result<Entry<'a>, ExpositionError>> {
        match self {
            Lines::Text(parser) => parser.next_entry(),
            Lines::OpenMetrics(parser) => parser.next_entry(),
        }
    }

    fn start_timestamp_ms(&mut self) -> Option<i64> {
        match self {
            Lines::Text(_) => None,
            Lines::OpenMetrics(parser) => parser.start_timestamp_ms(),
        }
    }
}

impl<'a> Parser<'a> {
    /// Returns a parser of `body`.
    pub fn new(format: Format, body: &'a [u8], options: ParserOptions) -> Parser<'a> {
        let lines = match format {
            Format::Text => Lines::Text(text::TextParser::new(body, options)),
            Format::OpenMetrics => {
                Lines::OpenMetrics(Box::new(openmetrics::OpenMetricsParser::new(body, options)))
            }
            Format::Protobuf => {
                let parser = Box::new(protobuf::ProtobufParser::new(body, options));
                return Parser {
                    inner: Inner::Protobuf(parser),
                };
            }
        };
        let inner = match options.convert_classic_histograms {
            true => Inner::Collated(Box::new(collate::Collator::new(lines, options))),
            false => Inner::Lines(lines),
        };
        Parser { inner }
    }

    /// Returns when the series of the last sample began, milliseconds, as far as it is
    /// known.
    ///
    /// In OpenMetrics it reads ahead for the `_created` sample of the same family and
    /// labels. As in Prometheus, asking has an effect: from then on `_created` samples are
    /// left out.
    pub fn start_timestamp_ms(&mut self) -> Option<i64> {
        match &mut self.inner {
            Inner::Lines(lines) => lines.start_timestamp_ms(),
            Inner::Collated(collator) => collator.start_timestamp_ms(),
            Inner::Protobuf(parser) => parser.start_timestamp_ms(),
        }
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, ExpositionError>;

    #[inline]
    fn next(&mut self) -> Option<Result<Entry<'a>, ExpositionError>> {
        match &mut self.inner {
            Inner::Lines(lines) => lines.next_entry(),
            Inner::Collated(collator) => collator.next_entry(),
            Inner::Protobuf(parser) => parser.next_entry(),
        }
    }
}

/// The NaN that Prometheus stores for every NaN of an exposition.
const NORMAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

#[inline]
fn canonical(value: f64) -> f64 {
    if value.is_nan() { NORMAL_NAN } else { value }
}

#[cfg(test)]
pub(crate) mod tests;
