//! Messages as tables, and a check of bytes against them.
//!
//! Parts of a request that are accepted and not kept (histograms, exemplars as a rule)
//! still have to be well formed. The check also gives the first error of a whole
//! request in the order of its bytes, whatever order the views looked at it.

use super::reader::{BYTES, FIXED64, Reader, Tag, VARINT, WireError};

/// A message: its name and the fields that are known.
#[derive(Debug)]
pub struct Message {
    name: &'static str,
    fields: &'static [Field],
}

#[derive(Debug)]
struct Field {
    number: u32,
    name: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Varint,
    Double,
    Bytes,
    Message(&'static Message),
    /// Numbers, one by one or packed.
    Varints,
    Doubles,
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind }
}

/// `prometheus.WriteRequest`, the request of remote write 1.0.
pub static WRITE_REQUEST: Message = Message {
    name: "WriteRequest",
    fields: &[
        field(1, "Timeseries", Kind::Message(&TIME_SERIES)),
        field(3, "Metadata", Kind::Message(&METRIC_METADATA)),
    ],
};

static TIME_SERIES: Message = Message {
    name: "TimeSeries",
    fields: &[
        field(1, "Labels", Kind::Message(&LABEL)),
        field(2, "Samples", Kind::Message(&SAMPLE)),
        field(3, "Exemplars", Kind::Message(&EXEMPLAR)),
        field(4, "Histograms", Kind::Message(&HISTOGRAM)),
    ],
};

static LABEL: Message = Message {
    name: "Label",
    fields: &[
        field(1, "Name", Kind::Bytes),
        field(2, "Value", Kind::Bytes),
    ],
};

static SAMPLE: Message = Message {
    name: "Sample",
    fields: &[
        field(1, "Value", Kind::Double),
        field(2, "Timestamp", Kind::Varint),
    ],
};

/// `prometheus.Exemplar`.
pub static EXEMPLAR: Message = Message {
    name: "Exemplar",
    fields: &[
        field(1, "Labels", Kind::Message(&LABEL)),
        field(2, "Value", Kind::Double),
        field(3, "Timestamp", Kind::Varint),
    ],
};

/// `prometheus.Histogram`, and that of 2.0 but for its start time, which is not checked.
pub static HISTOGRAM: Message = Message {
    name: "Histogram",
    fields: &[
        field(1, "CountInt", Kind::Varint),
        field(2, "CountFloat", Kind::Double),
        field(3, "Sum", Kind::Double),
        field(4, "Schema", Kind::Varint),
        field(5, "ZeroThreshold", Kind::Double),
        field(6, "ZeroCountInt", Kind::Varint),
        field(7, "ZeroCountFloat", Kind::Double),
        field(8, "NegativeSpans", Kind::Message(&BUCKET_SPAN)),
        field(9, "NegativeDeltas", Kind::Varints),
        field(10, "NegativeCounts", Kind::Doubles),
        field(11, "PositiveSpans", Kind::Message(&BUCKET_SPAN)),
        field(12, "PositiveDeltas", Kind::Varints),
        field(13, "PositiveCounts", Kind::Doubles),
        field(14, "ResetHint", Kind::Varint),
        field(15, "Timestamp", Kind::Varint),
        field(16, "CustomValues", Kind::Doubles),
    ],
};

static BUCKET_SPAN: Message = Message {
    name: "BucketSpan",
    fields: &[
        field(1, "Offset", Kind::Varint),
        field(2, "Length", Kind::Varint),
    ],
};

/// `prometheus.MetricMetadata`.
pub static METRIC_METADATA: Message = Message {
    name: "MetricMetadata",
    fields: &[
        field(1, "Type", Kind::Varint),
        field(2, "MetricFamilyName", Kind::Bytes),
        field(4, "Help", Kind::Bytes),
        field(5, "Unit", Kind::Bytes),
    ],
};

/// `io.prometheus.write.v2.Request`, the request of remote write 2.0.
pub static REQUEST_V2: Message = Message {
    name: "Request",
    fields: &[
        field(4, "Symbols", Kind::Bytes),
        field(5, "Timeseries", Kind::Message(&TIME_SERIES_V2)),
    ],
};

static TIME_SERIES_V2: Message = Message {
    name: "TimeSeries",
    fields: &[
        field(1, "LabelsRefs", Kind::Varints),
        field(2, "Samples", Kind::Message(&SAMPLE_V2)),
        field(3, "Histograms", Kind::Message(&HISTOGRAM)),
        field(4, "Exemplars", Kind::Message(&EXEMPLAR_V2)),
        field(5, "Metadata", Kind::Message(&METADATA_V2)),
    ],
};

static SAMPLE_V2: Message = Message {
    name: "Sample",
    fields: &[
        field(1, "Value", Kind::Double),
        field(2, "Timestamp", Kind::Varint),
        field(3, "StartTimestamp", Kind::Varint),
    ],
};

/// `io.prometheus.write.v2.Exemplar`.
pub static EXEMPLAR_V2: Message = Message {
    name: "Exemplar",
    fields: &[
        field(1, "LabelsRefs", Kind::Varints),
        field(2, "Value", Kind::Double),
        field(3, "Timestamp", Kind::Varint),
    ],
};

static METADATA_V2: Message = Message {
    name: "Metadata",
    fields: &[
        field(1, "Type", Kind::Varint),
        field(3, "HelpRef", Kind::Varint),
        field(4, "UnitRef", Kind::Varint),
    ],
};

/// Checks that bytes are a message. The depth is that of the tables: fields not known
/// are passed over, groups among them without recursion.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check(bytes: &[u8], message: &'static Message) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag(message.name)? {
        let known = message
            .fields
            .iter()
            .find(|field| field.number == tag.field);
        match known {
            Some(field) => check_field(&mut reader, tag, field)?,
            None => reader.skip(tag)?,
        }
    }
    Ok(())
}

fn check_field(reader: &mut Reader<'_>, tag: Tag, field: &'static Field) -> Result<(), WireError> {
    match (&field.kind, tag.wire_type) {
        (Kind::Varint | Kind::Varints, VARINT) => {
            reader.varint()?;
        }
        (Kind::Double | Kind::Doubles, FIXED64) => {
            reader.fixed64()?;
        }
        (Kind::Bytes, BYTES) => {
            reader.bytes()?;
        }
        (Kind::Message(inner), BYTES) => check(reader.bytes()?, inner)?,
        (Kind::Varints, BYTES) => {
            let mut packed = Reader::new(reader.bytes()?);
            while !packed.is_at_end() {
                packed.varint()?;
            }
        }
        (Kind::Doubles, BYTES) => {
            let mut packed = Reader::new(reader.bytes()?);
            while !packed.is_at_end() {
                packed.fixed64()?;
            }
        }
        _ => {
            return Err(WireError::WrongWireType {
                field: field.name,
                wire_type: tag.wire_type,
            });
        }
    }
    Ok(())
}
