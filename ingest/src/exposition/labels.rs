//! Labels out of the raw series part of a sample.
//!
//! The parser has checked the bytes; this reads them once more, only for series not
//! seen before, and resolves what the check did not need: escapes, float forms, the
//! labels that come from metadata lines.

use std::borrow::Cow;

use kymo_storage::compat::float;
use kymo_storage::model::{LabelsBuilder, METRIC_NAME};

use super::cursor::{Cursor, LABEL_START, Quoted, is};
use super::error::LabelError;
use super::series::{Form, MetricSeries, Part, Series};
use super::{Escapes, Family, MetricType};
use crate::wire::metric_family::{Fields, read_label};

/// Name and value of a label.
pub(super) type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Iterator over the labels of a sample: name and value, the metric's name first
/// under `__name__`.
///
/// They are bytes because a quoted name need not be UTF-8; values always are.
#[derive(Debug, Clone)]
pub struct LabelPairs<'a> {
    family: Family<'a>,
    stage: Stage,
    name: Cow<'a, [u8]>,
    source: Source<'a>,
}

/// Where the labels behind those of the metadata come from.
#[derive(Debug, Clone)]
enum Source<'a> {
    Line(Cursor<'a>),
    Metric(Fields<'a>, Part),
    /// Labels that are decoded, with those of the metadata.
    Decoded(std::slice::Iter<'a, Pair<'a>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Name,
    Type,
    Unit,
    Labels,
}

const TYPE_LABEL: &str = "__type__";
const UNIT_LABEL: &str = "__unit__";

impl<'a> LabelPairs<'a> {
    pub(super) fn new(series: &'a Series<'_>) -> LabelPairs<'a> {
        let mut family = series.family;
        let (name, source) = match &series.form {
            Form::Line(line) => return LabelPairs::of_line(line, family),
            Form::Metric(MetricSeries { name, labels, part }) => {
                let name = match part.suffix() {
                    "" => Cow::Borrowed(name.as_bytes()),
                    suffix => Cow::Owned([name.as_bytes(), suffix.as_bytes()].concat()),
                };
                (name, Source::Metric(labels.fields(), *part))
            }
            Form::Classic(classic) => {
                family.as_labels = false;
                let name = Cow::Borrowed(classic.name.as_slice());
                (name, Source::Decoded(classic.labels.iter()))
            }
        };
        LabelPairs {
            family,
            stage: Stage::Name,
            name,
            source,
        }
    }

    /// Iterates over the labels of a line.
    pub(super) fn of_line(line: &'a [u8], family: Family<'a>) -> LabelPairs<'a> {
        let (_, name, cursor) = split_name(line);
        LabelPairs {
            family,
            stage: Stage::Name,
            name: unescape(name, Escapes::Quoted),
            source: Source::Line(cursor),
        }
    }

    /// Tells whether a label of the sample gives way to one from the metadata.
    fn is_overridden(&self, name: &[u8]) -> bool {
        self.family.as_labels
            && ((name == METRIC_NAME.as_bytes() && !self.name.is_empty())
                || (name == TYPE_LABEL.as_bytes() && self.family.kind != MetricType::Unknown)
                || (name == UNIT_LABEL.as_bytes() && !self.family.unit.is_empty()))
    }

    fn metadata_label(&mut self) -> Option<(&'static str, Cow<'a, [u8]>)> {
        if self.stage == Stage::Name {
            self.stage = Stage::Type;
            // With metadata as labels an empty name is no label at all.
            if !self.family.as_labels || !self.name.is_empty() {
                return Some((METRIC_NAME, self.name.clone()));
            }
        }
        if self.stage == Stage::Type {
            self.stage = Stage::Unit;
            if self.family.as_labels && self.family.kind != MetricType::Unknown {
                let kind = self.family.kind.as_str();
                return Some((TYPE_LABEL, Cow::Borrowed(kind.as_bytes())));
            }
        }
        if self.stage == Stage::Unit {
            self.stage = Stage::Labels;
            if self.family.as_labels && !self.family.unit.is_empty() {
                return Some((UNIT_LABEL, Cow::Borrowed(self.family.unit)));
            }
        }
        None
    }

    /// Returns the next label of the sample itself.
    fn own_label(&mut self) -> Option<Pair<'a>> {
        match &mut self.source {
            Source::Line(cursor) => loop {
                let pair = next_pair(cursor, Quoted::Value)?;
                let Some(value) = pair.value else { continue };
                let name = unescape(pair.name, Escapes::Quoted);
                let value = unescape(value, Escapes::Quoted);
                let value = normal_float(self.family.kind, &name, value);
                return Some((name, value));
            },
            Source::Metric(fields, part) => {
                if let Some((name, value)) = fields.next().and_then(read_label) {
                    return Some((Cow::Borrowed(name), Cow::Borrowed(value)));
                }
                let (name, bound) = match std::mem::replace(part, Part::Whole) {
                    Part::Bucket(bound) => ("le", bound),
                    Part::Quantile(bound) => ("quantile", bound),
                    _ => return None,
                };
                let bound = float::openmetrics(bound).into_bytes();
                Some((Cow::Borrowed(name.as_bytes()), Cow::Owned(bound)))
            }
            Source::Decoded(pairs) => {
                let (name, value) = pairs.next()?;
                Some((Cow::Borrowed(name), Cow::Borrowed(value)))
            }
        }
    }
}

impl<'a> Iterator for LabelPairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        if let Some((name, value)) = self.metadata_label() {
            return Some((Cow::Borrowed(name.as_bytes()), value));
        }
        loop {
            let (name, value) = self.own_label()?;
            if !self.is_overridden(&name) {
                return Some((name, value));
            }
        }
    }
}

/// Iterates over the labels of a line as written, escapes and all, without the name.
pub(super) fn written(series: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let (_, _, mut cursor) = split_name(series);
    std::iter::from_fn(move || {
        loop {
            let pair = next_pair(&mut cursor, Quoted::Value)?;
            if let Some(value) = pair.value {
                return Some((pair.name, value));
            }
        }
    })
}

/// Returns the metric name of a line as written, without quotes, and where it begins.
pub(super) fn written_name(series: &[u8]) -> (usize, &[u8]) {
    let (at, name, _) = split_name(series);
    (at, name)
}

/// Splits a series into the place of its name, its name, and a cursor behind the
/// opening brace.
fn split_name(series: &[u8]) -> (usize, &[u8], Cursor<'_>) {
    let mut cursor = Cursor::new(series);
    cursor.skip_blanks();
    let (at, name) = if cursor.peek() == b'{' {
        quoted_name(cursor.clone())
    } else {
        cursor.metric_name();
        // Blanks in front belong to the name, as upstream has it.
        let name = cursor.slice(0, cursor.pos);
        cursor.skip_blanks();
        (0, name)
    };
    cursor.bump();
    (at, name, cursor)
}

/// Finds the name among the labels of a series that begins with a brace.
fn quoted_name(mut cursor: Cursor<'_>) -> (usize, &[u8]) {
    cursor.bump();
    while let Some(pair) = next_pair(&mut cursor, Quoted::Value) {
        if pair.value.is_none() {
            return (pair.at, pair.name);
        }
    }
    (0, &[])
}

/// A label as written, or the metric name where it has no value.
struct WrittenPair<'a> {
    at: usize,
    name: &'a [u8],
    value: Option<&'a [u8]>,
}

/// Reads the next `name="value"` or `"name"` between braces, names and values
/// without their quotes, escapes left alone.
fn next_pair<'a>(cursor: &mut Cursor<'a>, value_rule: Quoted) -> Option<WrittenPair<'a>> {
    while matches!(cursor.peek(), b' ' | b'\t' | b',') {
        cursor.bump();
    }
    let start = cursor.pos;
    let (at, name) = match cursor.peek() {
        b'"' => {
            cursor.quoted(Quoted::Name);
            let inner = cursor.slice(start + 1, cursor.pos.saturating_sub(1));
            (start + 1, inner)
        }
        byte if is(byte, LABEL_START) => {
            cursor.label_name();
            (start, cursor.slice(start, cursor.pos))
        }
        _ => return None,
    };
    cursor.skip_blanks();
    if cursor.peek() != b'=' {
        let value = None;
        return Some(WrittenPair { at, name, value });
    }
    cursor.bump();
    cursor.skip_blanks();
    let start = cursor.pos;
    cursor.quoted(value_rule);
    let value = Some(cursor.slice(start + 1, cursor.pos.saturating_sub(1)));
    Some(WrittenPair { at, name, value })
}

/// Iterator over the labels of an exemplar, after its opening brace.
#[derive(Debug, Clone)]
pub(super) struct ExemplarPairs<'a> {
    cursor: Cursor<'a>,
}

impl<'a> ExemplarPairs<'a> {
    pub(super) fn new(raw: &'a [u8]) -> ExemplarPairs<'a> {
        ExemplarPairs {
            cursor: Cursor::new(raw),
        }
    }
}

impl<'a> Iterator for ExemplarPairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let pair = next_pair(&mut self.cursor, Quoted::LineString)?;
        Some((pair.name, pair.value?))
    }
}

/// Puts labels into a builder. See [`Series::decode_labels`].
pub(super) fn decode(pairs: LabelPairs<'_>, out: &mut LabelsBuilder) -> Result<(), LabelError> {
    let mut emptied: Vec<String> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in pairs {
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(LabelError::NotUtf8(bytes.to_vec())),
        };
        let name = text(&name)?;
        let value = text(&value)?;
        if value.is_empty() {
            emptied.push(name);
            continue;
        }
        out.set(&name, &value);
        seen.push(name);
    }
    for name in &emptied {
        out.remove(name);
    }
    seen.sort_unstable();
    let twice = seen
        .windows(2)
        .find(|pair| pair[0] == pair[1] && !emptied.contains(&pair[0]));
    match twice {
        Some(pair) => Err(LabelError::Duplicate(pair[0].clone())),
        None => Ok(()),
    }
}

/// Brings bucket bounds and quantiles into the one form OpenMetrics gives them.
fn normal_float<'a>(kind: MetricType, name: &[u8], value: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    let is_bound = match kind {
        MetricType::Histogram => name == b"le",
        MetricType::Summary => name == b"quantile",
        _ => false,
    };
    if !is_bound {
        return value;
    }
    match std::str::from_utf8(&value).map(float::parse) {
        Ok(Ok(bound)) => Cow::Owned(float::openmetrics(bound).into_bytes()),
        _ => value,
    }
}

/// Resolves escapes; a backslash before anything else stays.
fn unescape(raw: &[u8], escapes: Escapes) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else {
        return Cow::Borrowed(raw);
    };
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(&raw[..first]);
    let mut rest = &raw[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        let resolved = match (byte, tail.first()) {
            _ if escapes == Escapes::None => None,
            (b'\\', Some(b'\\')) => Some(b'\\'),
            (b'\\', Some(b'n')) => Some(b'\n'),
            (b'\\', Some(b'"')) if escapes == Escapes::Quoted => Some(b'"'),
            _ => None,
        };
        out.push(resolved.unwrap_or(byte));
        rest = &tail[usize::from(resolved.is_some())..];
    }
    Cow::Owned(out)
}

/// As [`unescape`], for text.
pub(super) fn unescape_text(raw: &str, escapes: Escapes) -> Cow<'_, str> {
    match unescape(raw.as_bytes(), escapes) {
        Cow::Borrowed(_) => Cow::Borrowed(raw),
        // Escapes are ASCII, so the result of valid UTF-8 is valid UTF-8.
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}
