//! Views of the messages: what is needed of each, without copies of texts.
//!
//! A data point is read once into buffers that the next one uses again. Lists that have
//! no bound in the message have one here, before memory is taken for them.

use super::attributes::{MAX_ATTRIBUTES, text};
use super::error::DecodeError;
use super::schema::{self, Message, pass};
use crate::wire::{BYTES, FIXED64, Reader, Tag, VARINT, WireError};

/// Most buckets of one side of an exponential histogram: more than its finest schema has
/// for all floats.
const MAX_BUCKETS: usize = 1 << 20;

/// Most exemplars or quantiles of one point.
const MAX_ENTRIES: usize = 10_000;

/// The flag of a point that says that there is no value.
const NO_RECORDED_VALUE: u32 = 1;

/// Returns the contents of all fields with this number, which hold messages, up to the
/// first mistake.
pub(super) fn messages<'a>(
    bytes: &'a [u8],
    message: &'static str,
    number: u32,
    name: &'static str,
) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> {
    let mut reader = Reader::new(bytes);
    let mut next = move || -> Result<Option<&'a [u8]>, WireError> {
        while let Some(tag) = reader.tag(message)? {
            if tag.field == number {
                tag.expect(BYTES, name)?;
                return reader.bytes().map(Some);
            }
            reader.skip(tag)?;
        }
        Ok(None)
    };
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let found = next().transpose();
        failed = matches!(found, Some(Err(_)));
        found.map(|one| one.map_err(DecodeError::from))
    })
}

/// Adds the attribute of a field to those read.
fn push_bounded<'a>(
    out: &mut Vec<&'a [u8]>,
    bytes: &'a [u8],
    what: &'static str,
    limit: usize,
) -> Result<(), DecodeError> {
    if out.len() >= limit {
        return Err(DecodeError::TooMany { what, limit });
    }
    out.push(bytes);
    Ok(())
}

fn push_attribute<'a>(out: &mut Vec<&'a [u8]>, bytes: &'a [u8]) -> Result<(), DecodeError> {
    push_bounded(out, bytes, "attributes", MAX_ATTRIBUTES)
}

/// A resource and where the metrics of its scopes are.
#[derive(Debug, Default)]
pub(super) struct ResourceMetrics<'a> {
    pub(super) attributes: Vec<&'a [u8]>,
    /// Number of the field that holds scopes: the deprecated one where the other is empty.
    scopes_field: u32,
    bytes: &'a [u8],
}

impl<'a> ResourceMetrics<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<ResourceMetrics<'a>, DecodeError> {
        let mut view = ResourceMetrics {
            scopes_field: 1000,
            bytes,
            ..ResourceMetrics::default()
        };
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("ResourceMetrics")? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Resource")?;
                    view.read_resource(reader.bytes()?)?;
                }
                2 => {
                    view.scopes_field = 2;
                    reader.skip(tag)?;
                }
                1000 => reader.skip(tag)?,
                _ => pass(&mut reader, tag, &schema::RESOURCE_METRICS)?,
            }
        }
        if view.scopes_field == 2 {
            // Not read, but to be well formed.
            for one in messages(bytes, "ResourceMetrics", 1000, "DeprecatedScopeMetrics") {
                schema::check(one?, &schema::SCOPE_METRICS)?;
            }
        }
        Ok(view)
    }

    fn read_resource(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Resource")? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Attributes")?;
                    push_attribute(&mut self.attributes, reader.bytes()?)?;
                }
                _ => pass(&mut reader, tag, &schema::RESOURCE)?,
            }
        }
        Ok(())
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> {
        messages(
            self.bytes,
            "ResourceMetrics",
            self.scopes_field,
            "ScopeMetrics",
        )
    }
}

/// A scope and where its metrics are.
#[derive(Debug, Default)]
pub(super) struct ScopeMetrics<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) schema_url: &'a str,
    pub(super) attributes: Vec<&'a [u8]>,
    bytes: &'a [u8],
}

impl<'a> ScopeMetrics<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<ScopeMetrics<'a>, DecodeError> {
        let mut view = ScopeMetrics {
            bytes,
            ..ScopeMetrics::default()
        };
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("ScopeMetrics")? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Scope")?;
                    view.read_scope(reader.bytes()?)?;
                }
                3 => view.schema_url = text_field(&mut reader, tag, "SchemaUrl")?,
                2 => reader.skip(tag)?,
                _ => pass(&mut reader, tag, &schema::SCOPE_METRICS)?,
            }
        }
        Ok(view)
    }

    fn read_scope(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("InstrumentationScope")? {
            match tag.field {
                1 => self.name = text_field(&mut reader, tag, "Name")?,
                2 => self.version = text_field(&mut reader, tag, "Version")?,
                3 => {
                    tag.expect(BYTES, "Attributes")?;
                    push_attribute(&mut self.attributes, reader.bytes()?)?;
                }
                _ => pass(&mut reader, tag, &schema::SCOPE)?,
            }
        }
        Ok(())
    }

    pub(super) fn metrics(&self) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> {
        messages(self.bytes, "ScopeMetrics", 2, "Metrics")
    }
}

/// What a metric holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    #[default]
    Empty,
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

impl Kind {
    /// Returns the message that holds data of this kind; that of an empty metric has
    /// nothing that is read.
    fn message(self) -> &'static Message {
        match self {
            Kind::Empty | Kind::Gauge => &schema::GAUGE,
            Kind::Sum => &schema::SUM,
            Kind::Histogram => &schema::HISTOGRAM,
            Kind::ExponentialHistogram => &schema::EXPONENTIAL_HISTOGRAM,
            Kind::Summary => &schema::SUMMARY,
        }
    }
}

/// Since when a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Temporality {
    #[default]
    Unspecified,
    /// Since the value before.
    Delta,
    /// Since a fixed start.
    Cumulative,
}

/// A metric and where its points are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) unit: &'a str,
    pub(super) kind: Kind,
    pub(super) temporality: Temporality,
    pub(super) is_monotonic: bool,
    data: &'a [u8],
}

impl<'a> Metric<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Metric<'a>, DecodeError> {
        let mut view = Metric::default();
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Metric")? {
            let kind = match tag.field {
                1 => {
                    view.name = text_field(&mut reader, tag, "Name")?;
                    continue;
                }
                2 => {
                    view.description = text_field(&mut reader, tag, "Description")?;
                    continue;
                }
                3 => {
                    view.unit = text_field(&mut reader, tag, "Unit")?;
                    continue;
                }
                5 => Kind::Gauge,
                7 => Kind::Sum,
                9 => Kind::Histogram,
                10 => Kind::ExponentialHistogram,
                11 => Kind::Summary,
                _ => {
                    pass(&mut reader, tag, &schema::METRIC)?;
                    continue;
                }
            };
            tag.expect(BYTES, "Data")?;
            // Of several the last one holds.
            view.check_unread()?;
            view.kind = kind;
            view.data = reader.bytes()?;
        }
        view.read_data()?;
        Ok(view)
    }

    /// Checks data that another takes the place of.
    fn check_unread(&self) -> Result<(), DecodeError> {
        match self.kind {
            Kind::Empty => Ok(()),
            kind => schema::check(self.data, kind.message()),
        }
    }

    fn read_data(&mut self) -> Result<(), DecodeError> {
        let message = self.kind.message();
        let mut reader = Reader::new(self.data);
        while let Some(tag) = reader.tag("Metric")? {
            match tag.field {
                1 => reader.skip(tag)?,
                2 if self.has_temporality() => {
                    tag.expect(VARINT, "AggregationTemporality")?;
                    self.temporality = match reader.varint()? {
                        1 => Temporality::Delta,
                        2 => Temporality::Cumulative,
                        _ => Temporality::Unspecified,
                    };
                }
                3 if self.kind == Kind::Sum => {
                    tag.expect(VARINT, "IsMonotonic")?;
                    self.is_monotonic = reader.varint()? != 0;
                }
                _ => pass(&mut reader, tag, message)?,
            }
        }
        Ok(())
    }

    /// Tells whether this kind of metric has a temporality.
    pub(super) fn has_temporality(&self) -> bool {
        matches!(
            self.kind,
            Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram
        )
    }

    pub(super) fn points(&self) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> {
        messages(self.data, "Metric", 1, "DataPoints")
    }
}

/// One side of an exponential histogram.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) offset: i32,
    pub(super) counts: Vec<u64>,
}

/// A data point of any kind; what its kind has not is as in an empty message.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    pub(super) attributes: Vec<&'a [u8]>,
    pub(super) exemplars: Vec<&'a [u8]>,
    pub(super) start_ns: u64,
    pub(super) t_ns: u64,
    flags: u32,
    /// Of gauges and sums.
    pub(super) value: f64,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) bucket_counts: Vec<u64>,
    pub(super) bounds: Vec<f64>,
    pub(super) scale: i32,
    pub(super) zero_count: u64,
    pub(super) positive: Side,
    pub(super) negative: Side,
    /// Quantiles and their values, of summaries.
    pub(super) quantiles: Vec<(f64, f64)>,
}

impl<'a> Point<'a> {
    /// Tells whether the point says that its series has no value now.
    pub(super) fn has_no_value(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    /// Reads a point over the one before it.
    pub(super) fn read(&mut self, kind: Kind, bytes: &'a [u8]) -> Result<(), DecodeError> {
        self.clear();
        match kind {
            Kind::Empty => Ok(()),
            Kind::Gauge | Kind::Sum => self.read_number(bytes),
            Kind::Histogram => self.read_histogram(bytes),
            Kind::ExponentialHistogram => self.read_exponential(bytes),
            Kind::Summary => self.read_summary(bytes),
        }
    }

    fn clear(&mut self) {
        self.attributes.clear();
        self.exemplars.clear();
        self.bucket_counts.clear();
        self.bounds.clear();
        self.quantiles.clear();
        for side in [&mut self.positive, &mut self.negative] {
            side.offset = 0;
            side.counts.clear();
        }
        (self.start_ns, self.t_ns, self.flags) = (0, 0, 0);
        (self.value, self.count, self.sum) = (0.0, 0, None);
        (self.scale, self.zero_count) = (0, 0);
    }

    #[inline]
    fn read_number(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("NumberDataPoint")? {
            match tag.field {
                2 => self.start_ns = fixed(&mut reader, tag, "StartTimeUnixNano")?,
                3 => self.t_ns = fixed(&mut reader, tag, "TimeUnixNano")?,
                4 => self.value = f64::from_bits(fixed(&mut reader, tag, "AsDouble")?),
                5 => self.read_exemplar(&mut reader, tag)?,
                6 => self.value = fixed(&mut reader, tag, "AsInt")?.cast_signed() as f64,
                7 => self.read_attribute(&mut reader, tag)?,
                8 => self.flags = varint(&mut reader, tag, "Flags")? as u32,
                _ => pass(&mut reader, tag, &schema::NUMBER_POINT)?,
            }
        }
        Ok(())
    }

    fn read_histogram(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("HistogramDataPoint")? {
            match tag.field {
                2 => self.start_ns = fixed(&mut reader, tag, "StartTimeUnixNano")?,
                3 => self.t_ns = fixed(&mut reader, tag, "TimeUnixNano")?,
                4 => self.count = fixed(&mut reader, tag, "Count")?,
                5 => self.sum = Some(f64::from_bits(fixed(&mut reader, tag, "Sum")?)),
                6 => fixeds(&mut reader, tag, "BucketCounts", |count| {
                    self.bucket_counts.push(count);
                })?,
                7 => fixeds(&mut reader, tag, "ExplicitBounds", |bound| {
                    self.bounds.push(f64::from_bits(bound));
                })?,
                8 => self.read_exemplar(&mut reader, tag)?,
                9 => self.read_attribute(&mut reader, tag)?,
                10 => self.flags = varint(&mut reader, tag, "Flags")? as u32,
                _ => pass(&mut reader, tag, &schema::HISTOGRAM_POINT)?,
            }
        }
        Ok(())
    }

    fn read_exponential(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("ExponentialHistogramDataPoint")? {
            match tag.field {
                1 => self.read_attribute(&mut reader, tag)?,
                2 => self.start_ns = fixed(&mut reader, tag, "StartTimeUnixNano")?,
                3 => self.t_ns = fixed(&mut reader, tag, "TimeUnixNano")?,
                4 => self.count = fixed(&mut reader, tag, "Count")?,
                5 => self.sum = Some(f64::from_bits(fixed(&mut reader, tag, "Sum")?)),
                6 => self.scale = zigzag(varint(&mut reader, tag, "Scale")?),
                7 => self.zero_count = fixed(&mut reader, tag, "ZeroCount")?,
                8 => {
                    tag.expect(BYTES, "Positive")?;
                    self.positive.read(reader.bytes()?)?;
                }
                9 => {
                    tag.expect(BYTES, "Negative")?;
                    self.negative.read(reader.bytes()?)?;
                }
                10 => self.flags = varint(&mut reader, tag, "Flags")? as u32,
                11 => self.read_exemplar(&mut reader, tag)?,
                _ => pass(&mut reader, tag, &schema::EXPONENTIAL_POINT)?,
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("SummaryDataPoint")? {
            match tag.field {
                2 => self.start_ns = fixed(&mut reader, tag, "StartTimeUnixNano")?,
                3 => self.t_ns = fixed(&mut reader, tag, "TimeUnixNano")?,
                4 => self.count = fixed(&mut reader, tag, "Count")?,
                5 => self.sum = Some(f64::from_bits(fixed(&mut reader, tag, "Sum")?)),
                6 => {
                    tag.expect(BYTES, "QuantileValues")?;
                    if self.quantiles.len() >= MAX_ENTRIES {
                        let (what, limit) = ("quantiles", MAX_ENTRIES);
                        return Err(DecodeError::TooMany { what, limit });
                    }
                    self.quantiles.push(read_quantile(reader.bytes()?)?);
                }
                7 => self.read_attribute(&mut reader, tag)?,
                8 => self.flags = varint(&mut reader, tag, "Flags")? as u32,
                _ => pass(&mut reader, tag, &schema::SUMMARY_POINT)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn read_attribute(&mut self, reader: &mut Reader<'a>, tag: Tag) -> Result<(), DecodeError> {
        tag.expect(BYTES, "Attributes")?;
        push_attribute(&mut self.attributes, reader.bytes()?)
    }

    fn read_exemplar(&mut self, reader: &mut Reader<'a>, tag: Tag) -> Result<(), DecodeError> {
        tag.expect(BYTES, "Exemplars")?;
        push_bounded(
            &mut self.exemplars,
            reader.bytes()?,
            "exemplars",
            MAX_ENTRIES,
        )
    }
}

impl Side {
    fn read(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Buckets")? {
            match tag.field {
                1 => self.offset = zigzag(varint(&mut reader, tag, "Offset")?),
                2 if tag.wire_type == VARINT => self.push(reader.varint()?)?,
                2 => {
                    tag.expect(BYTES, "BucketCounts")?;
                    let mut packed = Reader::new(reader.bytes()?);
                    while !packed.is_at_end() {
                        self.push(packed.varint()?)?;
                    }
                }
                _ => pass(&mut reader, tag, &schema::BUCKETS)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, count: u64) -> Result<(), DecodeError> {
        if self.counts.len() >= MAX_BUCKETS {
            let (what, limit) = ("buckets", MAX_BUCKETS);
            return Err(DecodeError::TooMany { what, limit });
        }
        self.counts.push(count);
        Ok(())
    }
}

/// The value of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ExemplarValue {
    /// None was told.
    Empty,
    /// A whole number, or one that is not.
    Number(f64),
}

/// An exemplar as it was sent.
#[derive(Debug)]
pub(super) struct SentExemplar<'a> {
    pub(super) attributes: Vec<&'a [u8]>,
    pub(super) t_ns: u64,
    pub(super) value: ExemplarValue,
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
}

impl<'a> SentExemplar<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<SentExemplar<'a>, DecodeError> {
        let mut view = SentExemplar {
            attributes: Vec::new(),
            t_ns: 0,
            value: ExemplarValue::Empty,
            trace_id: &[],
            span_id: &[],
        };
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Exemplar")? {
            match tag.field {
                2 => view.t_ns = fixed(&mut reader, tag, "TimeUnixNano")?,
                3 => {
                    let bits = fixed(&mut reader, tag, "AsDouble")?;
                    view.value = ExemplarValue::Number(f64::from_bits(bits));
                }
                4 => view.span_id = id(&mut reader, tag, "SpanId", 8)?,
                5 => view.trace_id = id(&mut reader, tag, "TraceId", 16)?,
                6 => {
                    let value = fixed(&mut reader, tag, "AsInt")?.cast_signed();
                    view.value = ExemplarValue::Number(value as f64);
                }
                7 => {
                    tag.expect(BYTES, "FilteredAttributes")?;
                    push_attribute(&mut view.attributes, reader.bytes()?)?;
                }
                _ => pass(&mut reader, tag, &schema::EXEMPLAR)?,
            }
        }
        Ok(view)
    }
}

fn read_quantile(bytes: &[u8]) -> Result<(f64, f64), DecodeError> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("ValueAtQuantile")? {
        match tag.field {
            1 => quantile = f64::from_bits(fixed(&mut reader, tag, "Quantile")?),
            2 => value = f64::from_bits(fixed(&mut reader, tag, "Value")?),
            _ => pass(&mut reader, tag, &schema::QUANTILE)?,
        }
    }
    Ok((quantile, value))
}

/// Reads an id; one of zeros is none.
pub(super) fn id<'a>(
    reader: &mut Reader<'a>,
    tag: Tag,
    field: &'static str,
    len: usize,
) -> Result<&'a [u8], DecodeError> {
    tag.expect(BYTES, field)?;
    let bytes = reader.bytes()?;
    if !bytes.is_empty() && bytes.len() != len {
        return Err(DecodeError::IdLength { field });
    }
    Ok(match bytes.iter().all(|byte| *byte == 0) {
        true => &[],
        false => bytes,
    })
}

pub(super) fn text_field<'a>(
    reader: &mut Reader<'a>,
    tag: Tag,
    field: &'static str,
) -> Result<&'a str, DecodeError> {
    tag.expect(BYTES, field)?;
    text(reader.bytes()?, field)
}

#[inline]
pub(super) fn fixed(
    reader: &mut Reader<'_>,
    tag: Tag,
    field: &'static str,
) -> Result<u64, WireError> {
    tag.expect(FIXED64, field)?;
    reader.fixed64()
}

pub(super) fn varint(
    reader: &mut Reader<'_>,
    tag: Tag,
    field: &'static str,
) -> Result<u64, WireError> {
    tag.expect(VARINT, field)?;
    reader.varint()
}

/// Reads numbers of eight bytes, packed or one by one.
fn fixeds(
    reader: &mut Reader<'_>,
    tag: Tag,
    field: &'static str,
    mut push: impl FnMut(u64),
) -> Result<(), WireError> {
    if tag.wire_type == FIXED64 {
        push(reader.fixed64()?);
        return Ok(());
    }
    tag.expect(BYTES, field)?;
    let mut packed = Reader::new(reader.bytes()?);
    while !packed.is_at_end() {
        push(packed.fixed64()?);
    }
    Ok(())
}

fn zigzag(number: u64) -> i32 {
    let number = number as u32;
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}
