//! Which series a sample belongs to: the part of an entry that stays the same from one
//! scrape to the next.
//!
//! Nothing is decoded until somebody asks for the labels. What a scrape keeps its series
//! by is [`Series::identity`]: bytes that are there already in the text formats, and
//! that are put together from the name and the raw labels of a metric in protobuf. The
//! identities of different forms never meet: a line does not begin with a NUL byte.

use kymo_storage::model::LabelsBuilder;

use super::error::LabelError;
use super::labels::{self, LabelPairs};
use super::{Family, MetricType};
use crate::wire::metric_family::LabelFields;

/// The series of a sample.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    pub(super) form: Form<'a>,
    pub(super) family: Family<'a>,
}

/// How the series is written.
#[derive(Debug, Clone)]
pub(super) enum Form<'a> {
    /// Name and labels as they stand in a line.
    Line(&'a [u8]),
    /// Name of a family and labels of a metric.
    Metric(MetricSeries<'a>),
    /// What the series of a classic histogram have in common.
    Classic(Box<ClassicSeries<'a>>),
}

/// A series of a protobuf metric, which may stand for several.
#[derive(Debug, Clone, Copy)]
pub(super) struct MetricSeries<'a> {
    /// Name of the family.
    pub(super) name: &'a str,
    pub(super) labels: LabelFields<'a>,
    pub(super) part: Part,
}

/// What a series has of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    Count,
    Sum,
    /// Observations up to a bound.
    Bucket(f64),
    Quantile(f64),
}

/// Name and labels of a classic histogram, in order of the labels' names.
#[derive(Debug, Clone)]
pub(super) struct ClassicSeries<'a> {
    pub(super) name: Vec<u8>,
    pub(super) labels: Vec<labels::Pair<'a>>,
}

impl Part {
    /// Returns what is appended to the family's name.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Part::Whole | Part::Quantile(_) => "",
            Part::Count => "_count",
            Part::Sum => "_sum",
            Part::Bucket(_) => "_bucket",
        }
    }

    fn push_identity(self, out: &mut Vec<u8>) {
        let (number, bound) = match self {
            Part::Whole => (0, 0.0),
            Part::Count => (1, 0.0),
            Part::Sum => (2, 0.0),
            Part::Bucket(bound) => (3, bound),
            Part::Quantile(bound) => (4, bound),
        };
        out.push(number);
        out.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
}

impl<'a> Series<'a> {
    /// Returns the type that the metadata before it gave.
    pub fn kind(&self) -> MetricType {
        self.family.kind
    }

    /// Returns name and labels as they stand in the line; `None` where there are no lines.
    pub fn line(&self) -> Option<&'a [u8]> {
        match self.form {
            Form::Line(line) => Some(line),
            _ => None,
        }
    }

    /// Returns bytes that are the same for the same series in the same form, and differ
    /// between series. `scratch` holds them where they do not stand in the body.
    #[inline]
    pub fn identity<'s>(&'s self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        match &self.form {
            Form::Line(line) => line,
            form => {
                scratch.clear();
                self.push_identity(form, scratch);
                scratch
            }
        }
    }

    fn push_identity(&self, form: &Form<'a>, out: &mut Vec<u8>) {
        match form {
            Form::Line(line) => out.extend_from_slice(line),
            Form::Metric(series) => {
                out.extend_from_slice(&[0, 0]);
                push_text(out, series.name.as_bytes());
                if self.family.as_labels {
                    push_text(out, self.family.kind.as_str().as_bytes());
                    push_text(out, self.family.unit);
                }
                series.part.push_identity(out);
                series.labels.push_identity(out);
            }
            Form::Classic(series) => {
                out.extend_from_slice(&[0, 1]);
                push_text(out, &series.name);
                for (name, value) in &series.labels {
                    push_text(out, name);
                    push_text(out, value);
                }
            }
        }
    }

    /// Iterates over the labels as they stand in the body, the name first, escapes
    /// resolved, `le` and `quantile` of histograms and summaries in the form of
    /// OpenMetrics. Empty values and repeated names are all there.
    pub fn labels(&self) -> LabelPairs<'_> {
        LabelPairs::new(self)
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
    pub fn decode_labels(&self, out: &mut LabelsBuilder) -> Result<(), LabelError> {
        labels::decode(self.labels(), out)
    }
}

/// Appends a text and its length, so that no two lists of texts look alike.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text);
}
