//! Views of the messages of remote write 1.0 that carry samples.
//!
//! ```text
//! WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
//! TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2;
//!                repeated Exemplar exemplars = 3; repeated Histogram histograms = 4; }
//! Label        { string name = 1; string value = 2; }
//! Sample       { double value = 1; int64 timestamp = 2; }
//! Exemplar     { repeated Label labels = 1; double value = 2; int64 timestamp = 3; }
//! MetricMetadata { MetricType type = 1; string metric_family_name = 2;
//!                  string help = 4; string unit = 5; }
//! ```
//!
//! Senders write the labels of a series first and in one run. That run of bytes names
//! the series: whoever has seen it before need not look inside, and [`TimeSeries::scan`]
//! does not.

use super::reader::{BYTES, FIXED64, Reader, VARINT, WireError};
use super::schema;

/// A part of a request.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// A series with its samples.
    Series(TimeSeries<'a>),
    /// Type, help and unit of a family.
    Metadata(Metadata<'a>),
}

/// Type, help and unit of a family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Number of the type.
    pub kind: u64,
    /// Name of the family.
    pub family: &'a [u8],
    /// The help text.
    pub help: &'a [u8],
    /// The unit.
    pub unit: &'a [u8],
}

/// Takes a request apart.
#[derive(Debug, Clone)]
pub struct WriteRequest<'a> {
    reader: Reader<'a>,
}

impl<'a> WriteRequest<'a> {
    /// Returns a view of an encoded request.
    pub fn new(bytes: &'a [u8]) -> WriteRequest<'a> {
        WriteRequest {
            reader: Reader::new(bytes),
        }
    }

    /// Returns the next part, `None` at the end.
    ///
    /// # Errors
    ///
    /// The request is malformed here.
    #[inline]
    pub fn next_part(&mut self) -> Result<Option<Part<'a>>, WireError> {
        while let Some(tag) = self.reader.tag("WriteRequest")? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Timeseries")?;
                    let bytes = self.reader.bytes()?;
                    return Ok(Some(Part::Series(TimeSeries { bytes })));
                }
                3 => {
                    tag.expect(BYTES, "Metadata")?;
                    let metadata = read_metadata(self.reader.bytes()?)?;
                    return Ok(Some(Part::Metadata(metadata)));
                }
                _ => self.reader.skip(tag)?,
            }
        }
        Ok(None)
    }
}

/// A series with its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSeries<'a> {
    bytes: &'a [u8],
}

/// What a scan of a series found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned<'a> {
    /// The whole series.
    pub series: TimeSeries<'a>,
    /// The labels.
    pub labels: LabelBytes<'a>,
    /// How many exemplars there are.
    pub n_exemplars: usize,
    /// How many native histograms there are.
    pub n_histograms: usize,
}

/// The labels of a series, encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelBytes<'a> {
    /// They stand in one run, which is nothing but labels: equal runs, equal labels.
    Run(&'a [u8]),
    /// They stand apart; this is the whole series.
    Scattered(&'a [u8]),
}

/// Field 1, wire type 2.
const LABEL_TAG: u8 = 0x0a;

impl<'a> TimeSeries<'a> {
    /// Finds the labels, and hands time (ms) and value of each sample to `sample`.
    /// The labels are not looked at.
    ///
    /// # Errors
    ///
    /// The series is malformed, its labels left aside.
    #[inline]
    pub fn scan(&self, mut sample: impl FnMut(i64, f64)) -> Result<Scanned<'a>, WireError> {
        let mut reader = Reader::new(self.bytes);
        reader.skip_short_run(LABEL_TAG);
        let mut run = 0..reader.pos();
        let mut is_scattered = false;
        let (mut n_exemplars, mut n_histograms) = (0, 0);
        loop {
            let start = reader.pos();
            let Some(tag) = reader.tag("TimeSeries")? else {
                break;
            };
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Labels")?;
                    reader.bytes()?;
                    if run.is_empty() {
                        run.start = start;
                    } else if run.end != start {
                        is_scattered = true;
                    }
                    run.end = reader.pos();
                }
                2 => {
                    tag.expect(BYTES, "Samples")?;
                    let (t_ms, value) = read_sample(reader.bytes()?)?;
                    sample(t_ms, value);
                }
                3 => {
                    tag.expect(BYTES, "Exemplars")?;
                    schema::check(reader.bytes()?, &schema::EXEMPLAR)?;
                    n_exemplars += 1;
                }
                4 => {
                    tag.expect(BYTES, "Histograms")?;
                    schema::check(reader.bytes()?, &schema::HISTOGRAM)?;
                    n_histograms += 1;
                }
                _ => reader.skip(tag)?,
            }
        }
        let labels = if is_scattered {
            LabelBytes::Scattered(self.bytes)
        } else {
            LabelBytes::Run(self.bytes.get(run).unwrap_or_default())
        };
        Ok(Scanned {
            series: *self,
            labels,
            n_exemplars,
            n_histograms,
        })
    }
}

impl<'a> TimeSeries<'a> {
    /// Hands each exemplar to `exemplar`, its labels in `labels`.
    ///
    /// # Errors
    ///
    /// The series is malformed.
    pub fn exemplars(
        &self,
        labels: &mut Vec<(&'a [u8], &'a [u8])>,
        mut exemplar: impl FnMut(&[(&'a [u8], &'a [u8])], i64, f64),
    ) -> Result<(), WireError> {
        let mut reader = Reader::new(self.bytes);
        while let Some(tag) = reader.tag("TimeSeries")? {
            if tag.field == 3 {
                tag.expect(BYTES, "Exemplars")?;
                labels.clear();
                let (t_ms, value) = read_exemplar(reader.bytes()?, labels)?;
                exemplar(labels, t_ms, value);
            } else {
                reader.skip(tag)?;
            }
        }
        Ok(())
    }
}

impl<'a> TimeSeries<'a> {
    /// Returns the bytes of each native histogram.
    pub fn histograms(&self) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
        fields(self.bytes, 4, "Histograms")
    }
}

/// Returns the contents of all fields of a series with this number, up to the first
/// mistake.
pub(super) fn fields<'a>(
    bytes: &'a [u8],
    number: u32,
    name: &'static str,
) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
    let mut reader = Reader::new(bytes);
    let mut next = move || {
        while let Some(tag) = reader.tag("TimeSeries")? {
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
        found
    })
}

fn read_exemplar<'a>(
    bytes: &'a [u8],
    labels: &mut Vec<(&'a [u8], &'a [u8])>,
) -> Result<(i64, f64), WireError> {
    let mut reader = Reader::new(bytes);
    let (mut t_ms, mut value) = (0, 0.0);
    while let Some(tag) = reader.tag("Exemplar")? {
        match tag.field {
            1 => {
                tag.expect(BYTES, "Labels")?;
                labels.push(read_label(reader.bytes()?)?);
            }
            2 => {
                tag.expect(FIXED64, "Value")?;
                value = f64::from_bits(reader.fixed64()?);
            }
            3 => {
                tag.expect(VARINT, "Timestamp")?;
                t_ms = reader.varint()?.cast_signed();
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok((t_ms, value))
}

fn read_metadata(bytes: &[u8]) -> Result<Metadata<'_>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut metadata = Metadata::default();
    while let Some(tag) = reader.tag("MetricMetadata")? {
        match tag.field {
            1 => {
                tag.expect(VARINT, "Type")?;
                metadata.kind = reader.varint()?;
            }
            2 => {
                tag.expect(BYTES, "MetricFamilyName")?;
                metadata.family = reader.bytes()?;
            }
            4 => {
                tag.expect(BYTES, "Help")?;
                metadata.help = reader.bytes()?;
            }
            5 => {
                tag.expect(BYTES, "Unit")?;
                metadata.unit = reader.bytes()?;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(metadata)
}

#[inline]
fn read_sample(bytes: &[u8]) -> Result<(i64, f64), WireError> {
    let mut reader = Reader::new(bytes);
    let (mut t_ms, mut value) = (0, 0.0);
    while let Some(tag) = reader.tag("Sample")? {
        match tag.field {
            1 => {
                tag.expect(FIXED64, "Value")?;
                value = f64::from_bits(reader.fixed64()?);
            }
            2 => {
                tag.expect(VARINT, "Timestamp")?;
                t_ms = reader.varint()?.cast_signed();
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok((t_ms, value))
}

impl<'a> LabelBytes<'a> {
    /// Adds name and value of each label to `out`, in the order they stand.
    ///
    /// # Errors
    ///
    /// A label is malformed.
    pub fn read(self, out: &mut Vec<(&'a [u8], &'a [u8])>) -> Result<(), WireError> {
        let (LabelBytes::Run(bytes) | LabelBytes::Scattered(bytes)) = self;
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("TimeSeries")? {
            if tag.field == 1 {
                tag.expect(BYTES, "Labels")?;
                out.push(read_label(reader.bytes()?)?);
            } else {
                reader.skip(tag)?;
            }
        }
        Ok(())
    }
}

fn read_label(bytes: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let mut reader = Reader::new(bytes);
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    while let Some(tag) = reader.tag("Label")? {
        match tag.field {
            1 => {
                tag.expect(BYTES, "Name")?;
                name = reader.bytes()?;
            }
            2 => {
                tag.expect(BYTES, "Value")?;
                value = reader.bytes()?;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok((name, value))
}
