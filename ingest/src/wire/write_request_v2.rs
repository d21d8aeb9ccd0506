//! Views of the messages of remote write 2.0.
//!
//! ```text
//! Request    { repeated string symbols = 4; repeated TimeSeries timeseries = 5; }
//! TimeSeries { repeated uint32 labels_refs = 1; repeated Sample samples = 2;
//!              repeated Histogram histograms = 3; repeated Exemplar exemplars = 4;
//!              Metadata metadata = 5; }
//! Sample     { double value = 1; int64 timestamp = 2; int64 start_timestamp = 3; }
//! Exemplar   { repeated uint32 labels_refs = 1; double value = 2; int64 timestamp = 3; }
//! Metadata   { MetricType type = 1; uint32 help_ref = 3; uint32 unit_ref = 4; }
//! ```
//!
//! Every text of a request stands once among its symbols; references are indexes of
//! them, names and values by turns.

use super::reader::{BYTES, FIXED64, Reader, Tag, VARINT, WireError};
use super::schema;
use super::write_request::fields;

/// The symbols and the series of a request, in order.
#[derive(Debug)]
pub struct RequestV2<'a> {
    reader: Reader<'a>,
}

impl<'a> RequestV2<'a> {
    /// Returns a view of an encoded request. `symbols` is replaced by its symbols: they
    /// may stand behind the series that name them.
    ///
    /// # Errors
    ///
    /// The request is malformed outside of its series.
    pub fn new(bytes: &'a [u8], symbols: &mut Vec<&'a [u8]>) -> Result<RequestV2<'a>, WireError> {
        symbols.clear();
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("Request")? {
            match tag.field {
                4 => {
                    tag.expect(BYTES, "Symbols")?;
                    symbols.push(reader.bytes()?);
                }
                5 => {
                    tag.expect(BYTES, "Timeseries")?;
                    reader.bytes()?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(RequestV2 {
            reader: Reader::new(bytes),
        })
    }

    /// Returns the bytes of the next series, `None` at the end.
    ///
    /// # Errors
    ///
    /// The request is malformed here.
    #[inline]
    pub fn next_series(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        while let Some(tag) = self.reader.tag("Request")? {
            match tag.field {
                5 => {
                    tag.expect(BYTES, "Timeseries")?;
                    return Ok(Some(self.reader.bytes()?));
                }
                _ => self.reader.skip(tag)?,
            }
        }
        Ok(None)
    }
}

/// A sample: time and value. Its start time is read by [`read_starts`].
pub type SampleV2 = (i64, f64);

/// What stands in a series besides references and samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesV2 {
    /// How many exemplars there are.
    pub n_exemplars: usize,
    /// How many native histograms there are.
    pub n_histograms: usize,
    /// Some sample tells since when it counts.
    pub has_starts: bool,
    /// Type, help and unit, where they are given.
    pub metadata: Option<MetadataV2>,
}

/// Type of a metric, and the symbols of its help and unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MetadataV2 {
    /// Number of the type.
    pub kind: u64,
    /// Symbol of the help text.
    pub help_ref: u32,
    /// Symbol of the unit.
    pub unit_ref: u32,
}

/// Reads a series: adds its references to `refs` and its samples to `samples`.
///
/// # Errors
///
/// The series is malformed.
#[inline]
pub fn read_series(
    bytes: &[u8],
    refs: &mut Vec<u32>,
    samples: &mut Vec<SampleV2>,
) -> Result<SeriesV2, WireError> {
    let mut series = SeriesV2::default();
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("TimeSeries")? {
        match tag.field {
            1 => read_refs(&mut reader, tag, refs)?,
            2 => {
                tag.expect(BYTES, "Samples")?;
                let (t_ms, value, start_ms) = read_sample(reader.bytes()?)?;
                series.has_starts |= start_ms != 0;
                samples.push((t_ms, value));
            }
            3 => {
                tag.expect(BYTES, "Histograms")?;
                schema::check(reader.bytes()?, &schema::HISTOGRAM)?;
                series.n_histograms += 1;
            }
            4 => {
                tag.expect(BYTES, "Exemplars")?;
                schema::check(reader.bytes()?, &schema::EXEMPLAR_V2)?;
                series.n_exemplars += 1;
            }
            5 => {
                tag.expect(BYTES, "Metadata")?;
                let metadata = series.metadata.get_or_insert_default();
                read_metadata(reader.bytes()?, metadata)?;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(series)
}

/// Adds since when each sample of a series counts to `starts`, in their order.
///
/// # Errors
///
/// The series is malformed.
pub fn read_starts(bytes: &[u8], starts: &mut Vec<i64>) -> Result<(), WireError> {
    for bytes in fields(bytes, 2, "Samples") {
        starts.push(read_sample(bytes?)?.2);
    }
    Ok(())
}

/// Hands each exemplar of a series to `exemplar`: references, time and value.
///
/// # Errors
///
/// The series is malformed.
pub fn read_exemplars(
    bytes: &[u8],
    mut exemplar: impl FnMut(&[u32], i64, f64),
) -> Result<(), WireError> {
    let mut refs = Vec::new();
    for bytes in fields(bytes, 4, "Exemplars") {
        refs.clear();
        let (mut t_ms, mut value) = (0, 0.0);
        let mut inner = Reader::new(bytes?);
        while let Some(tag) = inner.tag("Exemplar")? {
            match tag.field {
                1 => read_refs(&mut inner, tag, &mut refs)?,
                2 => {
                    tag.expect(FIXED64, "Value")?;
                    value = f64::from_bits(inner.fixed64()?);
                }
                3 => {
                    tag.expect(VARINT, "Timestamp")?;
                    t_ms = inner.varint()?.cast_signed();
                }
                _ => inner.skip(tag)?,
            }
        }
        exemplar(&refs, t_ms, value);
    }
    Ok(())
}

/// Returns the bytes of each native histogram of a series.
pub fn histograms(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], WireError>> {
    fields(bytes, 3, "Histograms")
}

/// Reads references, packed or one by one. As the decoder this follows does, only the
/// low 32 bits of a number count.
#[inline]
fn read_refs(reader: &mut Reader<'_>, tag: Tag, refs: &mut Vec<u32>) -> Result<(), WireError> {
    if tag.wire_type == VARINT {
        refs.push(reader.varint()? as u32);
        return Ok(());
    }
    tag.expect(BYTES, "LabelsRefs")?;
    let mut packed = Reader::new(reader.bytes()?);
    while !packed.is_at_end() {
        refs.push(packed.varint()? as u32);
    }
    Ok(())
}

#[inline]
fn read_sample(bytes: &[u8]) -> Result<(i64, f64, i64), WireError> {
    let mut reader = Reader::new(bytes);
    let (mut t_ms, mut value, mut start_ms) = (0, 0.0, 0);
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
            3 => {
                tag.expect(VARINT, "StartTimestamp")?;
                start_ms = reader.varint()?.cast_signed();
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok((t_ms, value, start_ms))
}

fn read_metadata(bytes: &[u8], metadata: &mut MetadataV2) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("Metadata")? {
        match tag.field {
            1 => {
                tag.expect(VARINT, "Type")?;
                metadata.kind = reader.varint()?;
            }
            3 => {
                tag.expect(VARINT, "HelpRef")?;
                metadata.help_ref = reader.varint()? as u32;
            }
            4 => {
                tag.expect(VARINT, "UnitRef")?;
                metadata.unit_ref = reader.varint()? as u32;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}
