//! The histogram of a protobuf exposition, `io.prometheus.client.Histogram`: classic
//! buckets, native ones, or both.
//!
//! Native buckets are read into lists, at most eight bytes for each byte that came.
//! Classic buckets and exemplars are larger than their bytes may be, so they stay where
//! they are and are read as they are asked for.

use kymo_storage::model::histogram::{
    CounterResetHint, FloatHistogram, IntegerHistogram, Span, compact_spans,
};

use super::histogram::{SentFloatHistogram, SentHistogram, deltas, doubles, span, zigzag};
use super::metric_family::{Exemplar, Fields, Timestamp, double, number, take_bytes};
use super::reader::{Reader, WireError};

/// The values of a histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram<'a> {
    count: u64,
    count_float: f64,
    /// Sum of the observations.
    pub sum: f64,
    /// Since when it counts.
    pub start: Timestamp,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    /// The messages it was put together from: one, as a rule.
    messages: Vec<&'a [u8]>,
}

/// A classic bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bucket<'a> {
    /// Observations up to the bound.
    pub count: f64,
    /// The bound.
    pub upper_bound: f64,
    /// An example of what was counted.
    pub exemplar: Option<Exemplar<'a>>,
}

/// Spans for another number of buckets than there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{side} side: spans require {spanned} buckets, have {buckets}")]
pub struct LayoutMismatch {
    side: &'static str,
    spanned: u64,
    buckets: usize,
}

impl<'a> Histogram<'a> {
    /// Forgets everything but the memory it has.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.count_float = 0.0;
        self.sum = 0.0;
        self.start = Timestamp::default();
        self.schema = 0;
        self.zero_threshold = 0.0;
        self.zero_count = 0;
        self.zero_count_float = 0.0;
        self.negative_spans.clear();
        self.negative_deltas.clear();
        self.negative_counts.clear();
        self.positive_spans.clear();
        self.positive_deltas.clear();
        self.positive_counts.clear();
        self.messages.clear();
    }

    /// Takes on what a message says, on top of what others said.
    pub(super) fn read(&mut self, bytes: &'a [u8]) -> Result<(), WireError> {
        self.messages.push(bytes);
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        while let Some(tag) = reader.tag("Histogram")? {
            match tag.field {
                1 => self.count = number(reader, tag, "SampleCount")?,
                2 => self.sum = double(reader, tag, "SampleSum")?,
                3 => {
                    Bucket::read(take_bytes(reader, tag, "Bucket")?)?;
                }
                4 => self.count_float = double(reader, tag, "SampleCountFloat")?,
                5 => self.schema = zigzag(number(reader, tag, "Schema")?) as i32,
                6 => self.zero_threshold = double(reader, tag, "ZeroThreshold")?,
                7 => self.zero_count = number(reader, tag, "ZeroCount")?,
                8 => self.zero_count_float = double(reader, tag, "ZeroCountFloat")?,
                9 => {
                    let span = span(reader, tag, "NegativeSpan")?;
                    self.negative_spans.push(span);
                }
                10 => deltas(reader, tag, "NegativeDelta", &mut self.negative_deltas)?,
                11 => doubles(reader, tag, "NegativeCount", &mut self.negative_counts)?,
                12 => {
                    let span = span(reader, tag, "PositiveSpan")?;
                    self.positive_spans.push(span);
                }
                13 => deltas(reader, tag, "PositiveDelta", &mut self.positive_deltas)?,
                14 => doubles(reader, tag, "PositiveCount", &mut self.positive_counts)?,
                15 => {
                    let message = take_bytes(reader, tag, "StartTimestamp")?;
                    self.start.read(message)?;
                }
                16 => {
                    Exemplar::read(take_bytes(reader, tag, "Exemplars")?)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }

    /// Returns the number of observations, as a classic histogram has it.
    pub fn count(&self) -> f64 {
        whole_or_float(self.count, self.count_float)
    }

    /// Tells whether there are native buckets, or could be: a histogram without
    /// observations says so by an empty span or by a zero bucket.
    pub fn is_native(&self) -> bool {
        !self.positive_spans.is_empty()
            || !self.negative_spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    /// Iterates over the classic buckets in the order in which they came.
    pub fn buckets(&self) -> Buckets<'a> {
        Buckets {
            fields: self.fields(0, 3),
            message: 0,
        }
    }

    /// Returns the next bucket of an iteration over the buckets of this histogram.
    #[inline]
    pub fn next_bucket(&self, buckets: &mut Buckets<'a>) -> Option<Bucket<'a>> {
        loop {
            if let Some(bytes) = buckets.fields.next() {
                // It was read before, so it can be read.
                return Bucket::read(bytes).ok();
            }
            buckets.message += 1;
            if buckets.message >= self.messages.len() {
                return None;
            }
            buckets.fields = self.fields(buckets.message, 3);
        }
    }

    /// Iterates over the exemplars beside the buckets.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> {
        let fields = |message: &&'a [u8]| Fields::new(message, 16);
        let exemplars = self.messages.iter().flat_map(fields);
        exemplars.map_while(|bytes| Exemplar::read(bytes).ok())
    }

    fn fields(&self, message: usize, field: u32) -> Fields<'a> {
        Fields::new(
            self.messages.get(message).copied().unwrap_or_default(),
            field,
        )
    }

    /// Returns the native histogram without its empty buckets.
    ///
    /// # Errors
    ///
    /// There are more or fewer buckets than the spans say.
    pub fn native(&self, hint: CounterResetHint) -> Result<SentHistogram, LayoutMismatch> {
        if self.count_float > 0.0 || self.zero_count_float > 0.0 {
            return self.native_float(hint);
        }
        check_layout("positive", &self.positive_spans, self.positive_deltas.len())?;
        check_layout("negative", &self.negative_spans, self.negative_deltas.len())?;
        let mut histogram = IntegerHistogram {
            counter_reset_hint: hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            positive_deltas: self.positive_deltas.clone(),
            negative_spans: self.negative_spans.clone(),
            negative_deltas: self.negative_deltas.clone(),
            ..IntegerHistogram::default()
        };
        histogram.compact(0);
        Ok(SentHistogram::Integer(histogram))
    }

    fn native_float(&self, hint: CounterResetHint) -> Result<SentHistogram, LayoutMismatch> {
        check_layout("positive", &self.positive_spans, self.positive_counts.len())?;
        check_layout("negative", &self.negative_spans, self.negative_counts.len())?;
        let mut sent = SentFloatHistogram {
            histogram: FloatHistogram {
                counter_reset_hint: hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_float,
                count: self.count_float,
                sum: self.sum,
                ..FloatHistogram::default()
            },
            positive_spans: self.positive_spans.clone(),
            positive_counts: self.positive_counts.clone(),
            negative_spans: self.negative_spans.clone(),
            negative_counts: self.negative_counts.clone(),
        };
        compact_spans(&mut sent.positive_spans, &mut sent.positive_counts, 0);
        compact_spans(&mut sent.negative_spans, &mut sent.negative_counts, 0);
        Ok(SentHistogram::Float(sent))
    }
}

/// How far an iteration over classic buckets has come.
#[derive(Debug, Clone)]
pub struct Buckets<'a> {
    fields: Fields<'a>,
    message: usize,
}

impl<'a> Bucket<'a> {
    fn read(bytes: &'a [u8]) -> Result<Bucket<'a>, WireError> {
        let mut bucket = Bucket::default();
        let (mut count, mut count_float) = (0, 0.0);
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Bucket")? {
            match tag.field {
                1 => count = number(&mut reader, tag, "CumulativeCount")?,
                2 => bucket.upper_bound = double(&mut reader, tag, "UpperBound")?,
                3 => {
                    let message = take_bytes(&mut reader, tag, "Exemplar")?;
                    bucket.exemplar = Some(Exemplar::read(message)?);
                }
                4 => count_float = double(&mut reader, tag, "CumulativeCountFloat")?,
                _ => reader.skip(tag)?,
            }
        }
        bucket.count = whole_or_float(count, count_float);
        Ok(bucket)
    }
}

fn whole_or_float(whole: u64, float: f64) -> f64 {
    if float == 0.0 { whole as f64 } else { float }
}

fn check_layout(side: &'static str, spans: &[Span], buckets: usize) -> Result<(), LayoutMismatch> {
    let spanned = spans.iter().map(|span| u64::from(span.length)).sum();
    if spanned == buckets as u64 {
        return Ok(());
    }
    Err(LayoutMismatch {
        side,
        spanned,
        buckets,
    })
}
