//! The messages of a protobuf exposition: `io.prometheus.client.MetricFamily` and what is
//! in it, but for histograms ([`super::metric_histogram`]).
//!
//! A family is read twice: first its own fields, so that all of it is known to be whole,
//! then its metrics one by one. Nothing of a metric is copied but numbers.
//!
//! A field that may stand once and stands twice counts as often as it stands: numbers
//! of the last one hold, and lists go on, as protobuf has it.

use super::metric_histogram::Histogram;
use super::reader::{BYTES, FIXED64, Reader, Tag, VARINT, WireError};

/// A family, without its metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricFamily<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its help text.
    pub help: &'a [u8],
    /// Its unit.
    pub unit: &'a [u8],
    /// The number of its type.
    pub kind: i32,
    bytes: &'a [u8],
}

impl<'a> MetricFamily<'a> {
    /// Reads the fields of a family.
    ///
    /// # Errors
    ///
    /// The message is malformed; what its metrics hold was not looked at.
    pub fn read(bytes: &'a [u8]) -> Result<MetricFamily<'a>, WireError> {
        let mut family = MetricFamily {
            bytes,
            ..MetricFamily::default()
        };
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("MetricFamily")? {
            match tag.field {
                1 => family.name = take_bytes(&mut reader, tag, "Name")?,
                2 => family.help = take_bytes(&mut reader, tag, "Help")?,
                3 => family.kind = number(&mut reader, tag, "Type")? as i32,
                4 => {
                    take_bytes(&mut reader, tag, "Metric")?;
                }
                5 => family.unit = take_bytes(&mut reader, tag, "Unit")?,
                _ => reader.skip(tag)?,
            }
        }
        Ok(family)
    }

    /// Returns the bytes of its metrics, in order.
    pub fn metrics(&self) -> Fields<'a> {
        Fields::new(self.bytes, 4)
    }
}

/// The contents of all fields with one number, of a message that was read once.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    reader: Reader<'a>,
    field: u32,
}

impl<'a> Fields<'a> {
    /// Returns the fields `field` of a message.
    pub(crate) fn new(bytes: &'a [u8], field: u32) -> Fields<'a> {
        Fields {
            reader: Reader::new(bytes),
            field,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        // The message was read before, so nothing in it is malformed.
        while let Ok(Some(tag)) = self.reader.tag("") {
            if tag.field == self.field && tag.wire_type == BYTES {
                return self.reader.bytes().ok();
            }
            self.reader.skip(tag).ok()?;
        }
        None
    }
}

/// A metric: its labels and every kind of value it may have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metric<'a> {
    /// Its labels.
    pub labels: LabelFields<'a>,
    /// The value of a gauge.
    pub gauge: f64,
    /// The value of a counter.
    pub counter: Counter<'a>,
    /// The values of a summary.
    pub summary: Summary,
    /// The value of what has no type.
    pub untyped: f64,
    /// The values of a histogram.
    pub histogram: Histogram<'a>,
    /// Its time, milliseconds; 0 = none.
    pub timestamp_ms: i64,
}

impl<'a> Metric<'a> {
    /// Takes on what a message says. What the labels hold is not looked at.
    ///
    /// # Errors
    ///
    /// The message is malformed.
    pub fn read(&mut self, bytes: &'a [u8]) -> Result<(), WireError> {
        self.labels = LabelFields::default();
        self.gauge = 0.0;
        self.counter = Counter::default();
        self.summary.clear();
        self.untyped = 0.0;
        self.histogram.clear();
        self.timestamp_ms = 0;
        let mut reader = Reader::new(bytes);
        let mut labels = None;
        loop {
            let start = reader.pos();
            let Some(tag) = reader.tag("Metric")? else {
                break;
            };
            match tag.field {
                1 => {
                    take_bytes(&mut reader, tag, "Label")?;
                    let (from, gaps) = match labels {
                        None => (start, false),
                        Some((from, end, gaps)) => (from, gaps || end != start),
                    };
                    labels = Some((from, reader.pos(), gaps));
                }
                2 => read_value(
                    take_bytes(&mut reader, tag, "Gauge")?,
                    "Gauge",
                    &mut self.gauge,
                )?,
                3 => self
                    .counter
                    .read(take_bytes(&mut reader, tag, "Counter")?)?,
                4 => self
                    .summary
                    .read(take_bytes(&mut reader, tag, "Summary")?)?,
                5 => read_value(
                    take_bytes(&mut reader, tag, "Untyped")?,
                    "Untyped",
                    &mut self.untyped,
                )?,
                6 => self.timestamp_ms = number(&mut reader, tag, "TimestampMs")?.cast_signed(),
                7 => self
                    .histogram
                    .read(take_bytes(&mut reader, tag, "Histogram")?)?,
                _ => reader.skip(tag)?,
            }
        }
        if let Some((from, end, has_gaps)) = labels {
            self.labels = LabelFields {
                bytes: bytes.get(from..end).unwrap_or_default(),
                has_gaps,
            };
        }
        Ok(())
    }
}

/// The labels of a metric, as they stand in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LabelFields<'a> {
    /// From the first label to the last, tags included.
    bytes: &'a [u8],
    /// Other fields stand between.
    has_gaps: bool,
}

impl<'a> LabelFields<'a> {
    /// Returns the labels of an exemplar's message.
    pub(crate) fn of_message(bytes: &'a [u8]) -> LabelFields<'a> {
        LabelFields {
            bytes,
            has_gaps: true,
        }
    }

    /// Iterates over names and values. What cannot be read ends it; see
    /// [`check`](Self::check).
    pub fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        self.fields().map_while(read_label)
    }

    /// Returns the bytes of the labels, one by one.
    pub(crate) fn fields(&self) -> Fields<'a> {
        Fields::new(self.bytes, 1)
    }

    /// Calls `look` with name and value of each label; a name that does not stand in
    /// the message is `None`.
    ///
    /// # Errors
    ///
    /// A label is malformed, or what `look` returns.
    pub fn check<E: From<WireError>>(
        &self,
        mut look: impl FnMut(Option<&'a [u8]>, &'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for label in self.fields() {
            let (name, value) = read_label_parts(label)?;
            look(name, value)?;
        }
        Ok(())
    }

    /// Appends bytes that are the same for the same labels in the same form.
    pub fn push_identity(&self, out: &mut Vec<u8>) {
        if !self.has_gaps {
            out.extend_from_slice(self.bytes);
            return;
        }
        for label in self.fields() {
            out.extend_from_slice(&(label.len() as u64).to_le_bytes());
            out.extend_from_slice(label);
        }
    }
}

/// Reads name and value of a label; `None` where it is malformed.
pub(crate) fn read_label(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = read_label_parts(bytes).ok()?;
    Some((name.unwrap_or_default(), value))
}

fn read_label_parts(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), WireError> {
    let (mut name, mut value) = (None, &[][..]);
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("LabelPair")? {
        match tag.field {
            1 => name = Some(take_bytes(&mut reader, tag, "Name")?),
            2 => value = take_bytes(&mut reader, tag, "Value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok((name, value))
}

/// The values of a counter.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counter<'a> {
    /// How far it has counted.
    pub value: f64,
    /// An example of what it counted.
    pub exemplar: Option<Exemplar<'a>>,
    /// Since when it counts.
    pub start: Timestamp,
}

impl<'a> Counter<'a> {
    fn read(&mut self, bytes: &'a [u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Counter")? {
            match tag.field {
                1 => self.value = double(&mut reader, tag, "Value")?,
                2 => {
                    let message = take_bytes(&mut reader, tag, "Exemplar")?;
                    self.exemplar = Some(Exemplar::read(message)?);
                }
                3 => {
                    let message = take_bytes(&mut reader, tag, "StartTimestamp")?;
                    self.start.read(message)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }
}

/// The values of a summary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantiles and their values.
    pub quantiles: Vec<(f64, f64)>,
    /// Since when it counts.
    pub start: Timestamp,
}

impl Summary {
    fn clear(&mut self) {
        self.count = 0;
        self.sum = 0.0;
        self.quantiles.clear();
        self.start = Timestamp::default();
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Summary")? {
            match tag.field {
                1 => self.count = number(&mut reader, tag, "SampleCount")?,
                2 => self.sum = double(&mut reader, tag, "SampleSum")?,
                3 => {
                    let message = take_bytes(&mut reader, tag, "Quantile")?;
                    self.quantiles.push(read_quantile(message)?);
                }
                4 => {
                    let message = take_bytes(&mut reader, tag, "StartTimestamp")?;
                    self.start.read(message)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }
}

fn read_quantile(bytes: &[u8]) -> Result<(f64, f64), WireError> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("Quantile")? {
        match tag.field {
            1 => quantile = double(&mut reader, tag, "Quantile")?,
            2 => value = double(&mut reader, tag, "Value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok((quantile, value))
}

/// Reads the message of a single value.
fn read_value(bytes: &[u8], message: &'static str, value: &mut f64) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag(message)? {
        match tag.field {
            1 => *value = double(&mut reader, tag, "Value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

/// An exemplar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar<'a> {
    /// Its labels.
    pub labels: LabelFields<'a>,
    /// Its value.
    pub value: f64,
    /// Its time, if it has one.
    pub timestamp: Option<Timestamp>,
}

impl<'a> Exemplar<'a> {
    /// Reads an exemplar, its labels included.
    ///
    /// # Errors
    ///
    /// The message is malformed.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Exemplar<'a>, WireError> {
        let mut exemplar = Exemplar {
            labels: LabelFields::of_message(bytes),
            value: 0.0,
            timestamp: None,
        };
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Exemplar")? {
            match tag.field {
                1 => {
                    read_label_parts(take_bytes(&mut reader, tag, "Label")?)?;
                }
                2 => exemplar.value = double(&mut reader, tag, "Value")?,
                3 => {
                    let message = take_bytes(&mut reader, tag, "Timestamp")?;
                    exemplar
                        .timestamp
                        .get_or_insert_with(Timestamp::default)
                        .read(message)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(exemplar)
    }
}

/// A time, 1970 where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timestamp {
    seconds: i64,
    nanos: i32,
}

impl Timestamp {
    /// Returns the time in milliseconds since the epoch. What does not fit wraps, as it
    /// does in Prometheus.
    pub fn ms(self) -> i64 {
        let ms = self.seconds.wrapping_mul(1000);
        ms.wrapping_add(i64::from(self.nanos) / 1_000_000)
    }

    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Timestamp")? {
            match tag.field {
                1 => self.seconds = number(&mut reader, tag, "Seconds")?.cast_signed(),
                2 => self.nanos = number(&mut reader, tag, "Nanos")? as i32,
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }
}

/// Reads a number of a known field.
pub(super) fn number(
    reader: &mut Reader<'_>,
    tag: Tag,
    name: &'static str,
) -> Result<u64, WireError> {
    tag.expect(VARINT, name)?;
    reader.varint()
}

/// Reads a float of a known field.
pub(super) fn double(
    reader: &mut Reader<'_>,
    tag: Tag,
    name: &'static str,
) -> Result<f64, WireError> {
    tag.expect(FIXED64, name)?;
    Ok(f64::from_bits(reader.fixed64()?))
}

/// Reads text or a message of a known field.
pub(super) fn take_bytes<'a>(
    reader: &mut Reader<'a>,
    tag: Tag,
    name: &'static str,
) -> Result<&'a [u8], WireError> {
    tag.expect(BYTES, name)?;
    reader.bytes()
}
