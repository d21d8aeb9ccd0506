//! The text exposition formats: Prometheus' text 0.0.4 and OpenMetrics 1.0 (and
//! 0.0.1), read as Prometheus 3.14 reads them.
//!
//! A [`Parser`] walks a body and hands out [`Entry`] values that borrow from it;
//! nothing is allocated per line. The series part of a sample stays raw bytes: the
//! same bytes mean the same series from one scrape to the next, so a scrape keeps
//! its series by them and decodes labels ([`Sample::labels`]) only for bytes it has
//! not seen. What is accepted, what is refused, and the texts of refusals follow
//! upstream to the odd corner, because exporters live in those corners.
//!
//! After the first error the parser yields nothing more; a scrape that meets one is
//! thrown away whole.

mod cursor;
mod detect;
mod error;
mod labels;
mod lexer;
mod number;
mod openmetrics;
mod text;
mod token;

use std::borrow::Cow;

pub use detect::{Detected, Format, UnknownFormat, detect};
pub use error::{ExpositionError, LabelError};
pub use kymo_storage::model::MetricType;
pub use labels::LabelPairs;

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
}

/// One sample line.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    /// Name and labels as they stand in the body.
    pub series: &'a [u8],
    /// The value; every NaN is the canonical one (`0x7ff8000000000001`).
    pub value: f64,
    /// The explicit timestamp, milliseconds.
    pub timestamp_ms: Option<i64>,
    /// The exemplar, OpenMetrics only.
    pub exemplar: Option<Exemplar<'a>>,
    family: Family<'a>,
}

impl<'a> Sample<'a> {
    /// Returns the type that the last TYPE line gave.
    pub fn kind(&self) -> MetricType {
        self.family.kind
    }

    /// Iterates over the labels as they stand in the line, the name first, escapes
    /// resolved, `le` and `quantile` of histograms and summaries in the form of
    /// OpenMetrics. Empty values and repeated names are all there.
    pub fn labels(&self) -> LabelPairs<'a> {
        LabelPairs::new(self.series, self.family)
    }

    /// Sets the labels of the series in `out`.
    ///
    /// A name with an empty value is no label, wherever else the name stands in the
    /// line: that is what Prometheus makes of it.
    ///
    /// # Errors
    ///
    /// [`LabelError::Duplicate`] where a name stands twice, [`LabelError::NotUtf8`]
    /// where a name is not UTF-8. `out` then holds a part of the labels.
    pub fn decode_labels(
        &self,
        out: &mut kymo_storage::model::LabelsBuilder,
    ) -> Result<(), LabelError> {
        labels::decode(self.labels(), out)
    }
}

/// The exemplar of a sample.
#[derive(Debug, Clone)]
pub struct Exemplar<'a> {
    raw: &'a [u8],
    /// The value.
    pub value: f64,
    /// The exemplar's own timestamp, milliseconds.
    pub timestamp_ms: Option<i64>,
}

impl<'a> Exemplar<'a> {
    /// Iterates over the labels as they stand in the line. Escapes are left as they
    /// are, which is what Prometheus stores.
    pub fn labels(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        labels::ExemplarPairs::new(self.raw)
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
}

/// Reads the entries of a body, in order.
#[derive(Debug)]
pub struct Parser<'a> {
    inner: Inner<'a>,
}

#[derive(Debug)]
enum Inner<'a> {
    Text(text::TextParser<'a>),
    OpenMetrics(Box<openmetrics::OpenMetricsParser<'a>>),
}

impl<'a> Parser<'a> {
    /// Returns a parser of `body`.
    ///
    /// # Errors
    ///
    /// [`ExpositionError::Unsupported`] for [`Format::Protobuf`].
    pub fn new(
        format: Format,
        body: &'a [u8],
        options: ParserOptions,
    ) -> Result<Parser<'a>, ExpositionError> {
        let inner = match format {
            Format::Text => Inner::Text(text::TextParser::new(body, options)),
            Format::OpenMetrics => {
                Inner::OpenMetrics(Box::new(openmetrics::OpenMetricsParser::new(body, options)))
            }
            Format::Protobuf => return Err(ExpositionError::Unsupported("protobuf")),
        };
        Ok(Parser { inner })
    }

    /// Returns when the series of the last sample began, milliseconds, as far as the
    /// lines after it tell.
    ///
    /// It reads ahead for the `_created` sample of the same family and labels. As in
    /// Prometheus, asking has an effect: from then on `_created` samples are left out.
    pub fn start_timestamp_ms(&mut self) -> Option<i64> {
        match &mut self.inner {
            Inner::Text(_) => None,
            Inner::OpenMetrics(parser) => parser.start_timestamp_ms(),
        }
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, ExpositionError>;

    #[inline]
    fn next(&mut self) -> Option<Result<Entry<'a>, ExpositionError>> {
        match &mut self.inner {
            Inner::Text(parser) => parser.next_entry(),
            Inner::OpenMetrics(parser) => parser.next_entry(),
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
mod tests;
