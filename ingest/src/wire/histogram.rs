//! The message of a native histogram, `prometheus.Histogram`, which both versions of
//! remote write use.

use std::sync::Arc;

use kymo_storage::model::histogram::{
    Buckets, CounterResetHint, EXPONENTIAL_SCHEMAS, FloatHistogram, Histogram, HistogramError,
    IntegerHistogram, Span,
};

use super::reader::{BYTES, FIXED64, Reader, Tag, VARINT, WireError};

/// Most buckets of one side that are read: each may be a single byte, and takes eight in
/// memory. The store takes far fewer.
const MAX_BUCKETS: usize = 1 << 20;

/// The finest schema that a sender may use; beyond those that are stored it is reduced.
const FINEST_SENT_SCHEMA: i32 = 52;

/// A native histogram as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub enum SentHistogram {
    /// With whole counts.
    Integer(IntegerHistogram),
    /// With counts of floats, whose sides are not put together yet.
    Float(SentFloatHistogram),
}

/// A histogram with float counts: spans beside counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SentFloatHistogram {
    /// Everything but the buckets.
    pub histogram: FloatHistogram,
    /// Layout of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Positive buckets.
    pub positive_counts: Vec<f64>,
    /// Layout of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Negative buckets.
    pub negative_counts: Vec<f64>,
}

impl SentHistogram {
    /// Tells whether the histogram can be stored.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(self) -> Result<(), HistogramError> {
        self.into_stored()?.validate()
    }

    /// Returns the histogram as it can be stored: a schema finer than those stored is
    /// reduced to the finest of them. The rest is for the store to judge.
    ///
    /// # Errors
    /// The spans of a side do not fit its buckets.
    pub fn into_stored(self) -> Result<Histogram, HistogramError> {
        let finest = *EXPONENTIAL_SCHEMAS.end();
        let mut histogram = self.assemble()?;
        match &mut histogram {
            Histogram::Integer(sent) if is_too_fine(sent.schema) => sent.coarsen(finest)?,
            Histogram::Float(sent) if is_too_fine(sent.schema) => sent.coarsen(finest),
            _ => {}
        }
        Ok(histogram)
    }

    /// Puts the sides of the histogram together. The result need not be a valid one.
    ///
    /// # Errors
    /// The spans of a side do not fit its counts.
    pub fn assemble(self) -> Result<Histogram, HistogramError> {
        let sent = match self {
            SentHistogram::Integer(histogram) => return Ok(histogram.into()),
            SentHistogram::Float(sent) => sent,
        };
        let side = |spans: &[Span], counts, side| {
            Buckets::from_spans(spans, counts).map_err(|error| HistogramError::Side {
                side,
                error: Box::new(error),
            })
        };
        let mut histogram = sent.histogram;
        histogram.positive = side(&sent.positive_spans, sent.positive_counts, "positive side")?;
        histogram.negative = side(&sent.negative_spans, sent.negative_counts, "negative side")?;
        Ok(histogram.into())
    }
}

fn is_too_fine(schema: i32) -> bool {
    schema > *EXPONENTIAL_SCHEMAS.end() && schema <= FINEST_SENT_SCHEMA
}

/// A native histogram with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct SentSample {
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// Since when it counts, of remote write 2.0; 0 where that is not told.
    pub start_ms: i64,
    /// The histogram.
    pub histogram: SentHistogram,
}

/// Reads a histogram.
///
/// # Errors
///
/// The message is malformed.
pub fn read_histogram(bytes: &[u8]) -> Result<SentSample, WireError> {
    let (mut t_ms, mut start_ms) = (0, 0);
    let mut integer = IntegerHistogram::default();
    let mut float = SentFloatHistogram::default();
    // The kind of the count decides; the last one holds, as of any field.
    let mut is_float = false;
    let mut bounds = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("Histogram")? {
        match tag.field {
            1 => {
                integer.count = number(&mut reader, tag, "CountInt")?;
                is_float = false;
            }
            2 => {
                float.histogram.count = double(&mut reader, tag, "CountFloat")?;
                is_float = true;
            }
            3 => integer.sum = double(&mut reader, tag, "Sum")?,
            4 => integer.schema = zigzag(number(&mut reader, tag, "Schema")?) as i32,
            5 => integer.zero_threshold = double(&mut reader, tag, "ZeroThreshold")?,
            6 => integer.zero_count = number(&mut reader, tag, "ZeroCountInt")?,
            7 => float.histogram.zero_count = double(&mut reader, tag, "ZeroCountFloat")?,
            8 => push_bounded(
                &mut integer.negative_spans,
                span(&mut reader, tag, "NegativeSpans")?,
                "NegativeSpans",
            )?,
            9 => deltas(
                &mut reader,
                tag,
                "NegativeDeltas",
                &mut integer.negative_deltas,
            )?,
            10 => doubles(
                &mut reader,
                tag,
                "NegativeCounts",
                &mut float.negative_counts,
            )?,
            11 => push_bounded(
                &mut integer.positive_spans,
                span(&mut reader, tag, "PositiveSpans")?,
                "PositiveSpans",
            )?,
            12 => deltas(
                &mut reader,
                tag,
                "PositiveDeltas",
                &mut integer.positive_deltas,
            )?,
            13 => doubles(
                &mut reader,
                tag,
                "PositiveCounts",
                &mut float.positive_counts,
            )?,
            14 => integer.counter_reset_hint = hint(number(&mut reader, tag, "ResetHint")?),
            15 => t_ms = number(&mut reader, tag, "Timestamp")?.cast_signed(),
            16 => doubles(&mut reader, tag, "CustomValues", &mut bounds)?,
            17 if tag.wire_type == VARINT => start_ms = reader.varint()?.cast_signed(),
            _ => reader.skip(tag)?,
        }
    }
    integer.custom_bounds = Arc::from(bounds);
    if !is_float {
        return Ok(SentSample {
            t_ms,
            start_ms,
            histogram: SentHistogram::Integer(integer),
        });
    }
    float.histogram.sum = integer.sum;
    float.histogram.schema = integer.schema;
    float.histogram.zero_threshold = integer.zero_threshold;
    float.histogram.counter_reset_hint = integer.counter_reset_hint;
    float.histogram.custom_bounds = integer.custom_bounds;
    float.positive_spans = integer.positive_spans;
    float.negative_spans = integer.negative_spans;
    Ok(SentSample {
        t_ms,
        start_ms,
        histogram: SentHistogram::Float(float),
    })
}

fn number(reader: &mut Reader<'_>, tag: Tag, name: &'static str) -> Result<u64, WireError> {
    tag.expect(VARINT, name)?;
    reader.varint()
}

fn double(reader: &mut Reader<'_>, tag: Tag, name: &'static str) -> Result<f64, WireError> {
    tag.expect(FIXED64, name)?;
    Ok(f64::from_bits(reader.fixed64()?))
}

/// Undoes the coding of signed numbers.
pub(super) fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

pub(super) fn span(
    reader: &mut Reader<'_>,
    tag: Tag,
    name: &'static str,
) -> Result<Span, WireError> {
    tag.expect(BYTES, name)?;
    let mut span = Span::default();
    let mut inner = Reader::new(reader.bytes()?);
    while let Some(tag) = inner.tag("BucketSpan")? {
        match tag.field {
            1 => span.offset = zigzag(number(&mut inner, tag, "Offset")?) as i32,
            2 => span.length = number(&mut inner, tag, "Length")? as u32,
            _ => inner.skip(tag)?,
        }
    }
    Ok(span)
}

pub(super) fn deltas(
    reader: &mut Reader<'_>,
    tag: Tag,
    name: &'static str,
    out: &mut Vec<i64>,
) -> Result<(), WireError> {
    if tag.wire_type == VARINT {
        return push_bounded(out, zigzag(reader.varint()?), name);
    }
    tag.expect(BYTES, name)?;
    let mut packed = Reader::new(reader.bytes()?);
    while !packed.is_at_end() {
        push_bounded(out, zigzag(packed.varint()?), name)?;
    }
    Ok(())
}

fn push_bounded<T>(out: &mut Vec<T>, item: T, field: &'static str) -> Result<(), WireError> {
    if out.len() >= MAX_BUCKETS {
        let limit = MAX_BUCKETS;
        return Err(WireError::TooMany { field, limit });
    }
    out.push(item);
    Ok(())
}

pub(super) fn doubles(
    reader: &mut Reader<'_>,
    tag: Tag,
    name: &'static str,
    out: &mut Vec<f64>,
) -> Result<(), WireError> {
    if tag.wire_type == FIXED64 {
        out.push(f64::from_bits(reader.fixed64()?));
        return Ok(());
    }
    tag.expect(BYTES, name)?;
    let mut packed = Reader::new(reader.bytes()?);
    while !packed.is_at_end() {
        out.push(f64::from_bits(packed.fixed64()?));
    }
    Ok(())
}

fn hint(number: u64) -> CounterResetHint {
    match number {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}
