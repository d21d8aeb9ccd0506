//! The messages of OTLP as tables: for reading their JSON, and for checking
//! that bytes are one.
//!
//! A field has one name here, that of the generated Go code. Its two names in JSON follow:
//! `StartTimeUnixNano` is written `startTimeUnixNano`, and `start_time_unix_nano` is
//! understood as well.

use super::error::DecodeError;
use crate::wire::WireError;
use crate::wire::{BYTES, FIXED32, FIXED64, Reader, Tag, VARINT};

/// How deep messages may lie in each other. Only values of attributes go deeper than a
/// dozen, and each level of theirs is two messages.
pub(super) const MAX_DEPTH: usize = 100;

/// A message: its name and the fields that are known.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    /// Bytes, in JSON in base 64.
    Bytes,
    /// An id of so many bytes, or none; in JSON in hexadecimal digits.
    Id(usize),
    Fixed64,
    Fixed32,
    SignedFixed64,
    Double,
    Uint32,
    Int64,
    /// A signed number whose sign is its last bit.
    Zigzag32,
    Bool,
    /// A number that in JSON may also be one of these names, numbered from 0.
    Enum(&'static [&'static str]),
    Message(&'static Message),
    Messages(&'static Message),
    Doubles,
    Fixed64s,
    Uint64s,
}

pub(super) const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind }
}

/// `ExportMetricsServiceRequest`.
pub(super) static REQUEST: Message = Message {
    name: "ExportMetricsServiceRequest",
    fields: &[field(
        1,
        "ResourceMetrics",
        Kind::Messages(&RESOURCE_METRICS),
    )],
};

pub(super) static RESOURCE_METRICS: Message = Message {
    name: "ResourceMetrics",
    fields: &[
        field(1, "Resource", Kind::Message(&RESOURCE)),
        field(2, "ScopeMetrics", Kind::Messages(&SCOPE_METRICS)),
        field(3, "SchemaUrl", Kind::Text),
        field(
            1000,
            "DeprecatedScopeMetrics",
            Kind::Messages(&SCOPE_METRICS),
        ),
    ],
};

pub(super) static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        field(1, "Attributes", Kind::Messages(&KEY_VALUE)),
        field(2, "DroppedAttributesCount", Kind::Uint32),
    ],
};

pub(super) static SCOPE_METRICS: Message = Message {
    name: "ScopeMetrics",
    fields: &[
        field(1, "Scope", Kind::Message(&SCOPE)),
        field(2, "Metrics", Kind::Messages(&METRIC)),
        field(3, "SchemaUrl", Kind::Text),
    ],
};

pub(super) static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[
        field(1, "Name", Kind::Text),
        field(2, "Version", Kind::Text),
        field(3, "Attributes", Kind::Messages(&KEY_VALUE)),
        field(4, "DroppedAttributesCount", Kind::Uint32),
    ],
};

pub(super) static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[
        field(1, "Key", Kind::Text),
        field(2, "Value", Kind::Message(&ANY_VALUE)),
    ],
};

pub(super) static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        field(1, "StringValue", Kind::Text),
        field(2, "BoolValue", Kind::Bool),
        field(3, "IntValue", Kind::Int64),
        field(4, "DoubleValue", Kind::Double),
        field(5, "ArrayValue", Kind::Message(&ARRAY_VALUE)),
        field(6, "KvlistValue", Kind::Message(&KEY_VALUE_LIST)),
        field(7, "BytesValue", Kind::Bytes),
    ],
};

pub(super) static ARRAY_VALUE: Message = Message {
    name: "ArrayValue",
    fields: &[field(1, "Values", Kind::Messages(&ANY_VALUE))],
};

pub(super) static KEY_VALUE_LIST: Message = Message {
    name: "KeyValueList",
    fields: &[field(1, "Values", Kind::Messages(&KEY_VALUE))],
};

pub(super) static METRIC: Message = Message {
    name: "Metric",
    fields: &[
        field(1, "Name", Kind::Text),
        field(2, "Description", Kind::Text),
        field(3, "Unit", Kind::Text),
        field(5, "Gauge", Kind::Message(&GAUGE)),
        field(7, "Sum", Kind::Message(&SUM)),
        field(9, "Histogram", Kind::Message(&HISTOGRAM)),
        field(
            10,
            "ExponentialHistogram",
            Kind::Message(&EXPONENTIAL_HISTOGRAM),
        ),
        field(11, "Summary", Kind::Message(&SUMMARY)),
        field(12, "Metadata", Kind::Messages(&KEY_VALUE)),
    ],
};

const TEMPORALITY: Kind = Kind::Enum(&[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
]);

pub(super) static GAUGE: Message = Message {
    name: "Gauge",
    fields: &[field(1, "DataPoints", Kind::Messages(&NUMBER_POINT))],
};

pub(super) static SUM: Message = Message {
    name: "Sum",
    fields: &[
        field(1, "DataPoints", Kind::Messages(&NUMBER_POINT)),
        field(2, "AggregationTemporality", TEMPORALITY),
        field(3, "IsMonotonic", Kind::Bool),
    ],
};

pub(super) static HISTOGRAM: Message = Message {
    name: "Histogram",
    fields: &[
        field(1, "DataPoints", Kind::Messages(&HISTOGRAM_POINT)),
        field(2, "AggregationTemporality", TEMPORALITY),
    ],
};

pub(super) static EXPONENTIAL_HISTOGRAM: Message = Message {
    name: "ExponentialHistogram",
    fields: &[
        field(1, "DataPoints", Kind::Messages(&EXPONENTIAL_POINT)),
        field(2, "AggregationTemporality", TEMPORALITY),
    ],
};

pub(super) static SUMMARY: Message = Message {
    name: "Summary",
    fields: &[field(1, "DataPoints", Kind::Messages(&SUMMARY_POINT))],
};

pub(super) static NUMBER_POINT: Message = Message {
    name: "NumberDataPoint",
    fields: &[
        field(2, "StartTimeUnixNano", Kind::Fixed64),
        field(3, "TimeUnixNano", Kind::Fixed64),
        field(4, "AsDouble", Kind::Double),
        field(5, "Exemplars", Kind::Messages(&EXEMPLAR)),
        field(6, "AsInt", Kind::SignedFixed64),
        field(7, "Attributes", Kind::Messages(&KEY_VALUE)),
        field(8, "Flags", Kind::Uint32),
    ],
};

pub(super) static HISTOGRAM_POINT: Message = Message {
    name: "HistogramDataPoint",
    fields: &[
        field(2, "StartTimeUnixNano", Kind::Fixed64),
        field(3, "TimeUnixNano", Kind::Fixed64),
        field(4, "Count", Kind::Fixed64),
        field(5, "Sum", Kind::Double),
        field(6, "BucketCounts", Kind::Fixed64s),
        field(7, "ExplicitBounds", Kind::Doubles),
        field(8, "Exemplars", Kind::Messages(&EXEMPLAR)),
        field(9, "Attributes", Kind::Messages(&KEY_VALUE)),
        field(10, "Flags", Kind::Uint32),
        field(11, "Min", Kind::Double),
        field(12, "Max", Kind::Double),
    ],
};

pub(super) static EXPONENTIAL_POINT: Message = Message {
    name: "ExponentialHistogramDataPoint",
    fields: &[
        field(1, "Attributes", Kind::Messages(&KEY_VALUE)),
        field(2, "StartTimeUnixNano", Kind::Fixed64),
        field(3, "TimeUnixNano", Kind::Fixed64),
        field(4, "Count", Kind::Fixed64),
        field(5, "Sum", Kind::Double),
        field(6, "Scale", Kind::Zigzag32),
        field(7, "ZeroCount", Kind::Fixed64),
        field(8, "Positive", Kind::Message(&BUCKETS)),
        field(9, "Negative", Kind::Message(&BUCKETS)),
        field(10, "Flags", Kind::Uint32),
        field(11, "Exemplars", Kind::Messages(&EXEMPLAR)),
        field(12, "Min", Kind::Double),
        field(13, "Max", Kind::Double),
        field(14, "ZeroThreshold", Kind::Double),
    ],
};

pub(super) static BUCKETS: Message = Message {
    name: "Buckets",
    fields: &[
        field(1, "Offset", Kind::Zigzag32),
        field(2, "BucketCounts", Kind::Uint64s),
    ],
};

pub(super) static SUMMARY_POINT: Message = Message {
    name: "SummaryDataPoint",
    fields: &[
        field(2, "StartTimeUnixNano", Kind::Fixed64),
        field(3, "TimeUnixNano", Kind::Fixed64),
        field(4, "Count", Kind::Fixed64),
        field(5, "Sum", Kind::Double),
        field(6, "QuantileValues", Kind::Messages(&QUANTILE)),
        field(7, "Attributes", Kind::Messages(&KEY_VALUE)),
        field(8, "Flags", Kind::Uint32),
    ],
};

pub(super) static QUANTILE: Message = Message {
    name: "ValueAtQuantile",
    fields: &[
        field(1, "Quantile", Kind::Double),
        field(2, "Value", Kind::Double),
    ],
};

pub(super) static EXEMPLAR: Message = Message {
    name: "Exemplar",
    fields: &[
        field(2, "TimeUnixNano", Kind::Fixed64),
        field(3, "AsDouble", Kind::Double),
        field(4, "SpanId", Kind::Id(8)),
        field(5, "TraceId", Kind::Id(16)),
        field(6, "AsInt", Kind::SignedFixed64),
        field(7, "FilteredAttributes", Kind::Messages(&KEY_VALUE)),
    ],
};

impl Field {
    /// Tells whether this is how JSON calls the field.
    pub(super) fn is_called(&self, key: &str) -> bool {
        let (name, key) = (self.name.as_bytes(), key.as_bytes());
        let (Some((first, rest)), Some((key_first, key_rest))) =
            (name.split_first(), key.split_first())
        else {
            return false;
        };
        if first.to_ascii_lowercase() != *key_first {
            return false;
        }
        rest == key_rest || is_snake_case_of(rest, key_rest)
    }
}

fn is_snake_case_of(name: &[u8], key: &[u8]) -> bool {
    let mut key = key.iter();
    for byte in name {
        let is_word = byte.is_ascii_uppercase();
        if is_word && key.next() != Some(&b'_') {
            return false;
        }
        if key.next() != Some(&byte.to_ascii_lowercase()) {
            return false;
        }
    }
    key.next().is_none()
}

/// Checks that bytes are a request in protobuf.
///
/// # Errors
///
/// The first thing that is wrong, in the order of the bytes.
pub fn check_request(bytes: &[u8]) -> Result<(), DecodeError> {
    check(bytes, &REQUEST)
}

/// Checks that bytes are a message, and that its texts are UTF-8.
///
/// # Errors
///
/// The first thing that is wrong, in the order of the bytes.
pub(super) fn check(bytes: &[u8], message: &'static Message) -> Result<(), DecodeError> {
    check_at(bytes, message, MAX_DEPTH)
}

/// Passes over a field that a view does not read, and checks it if the message has it.
///
/// # Errors
///
/// The field is malformed.
pub(super) fn pass(
    reader: &mut Reader<'_>,
    tag: Tag,
    message: &'static Message,
) -> Result<(), DecodeError> {
    let mut fields = message.fields.iter();
    match fields.find(|field| field.number == tag.field) {
        Some(field) => check_field(reader, tag, field, MAX_DEPTH),
        None => Ok(reader.skip(tag)?),
    }
}

fn check_at(bytes: &[u8], message: &'static Message, depth_left: usize) -> Result<(), DecodeError> {
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return Err(DecodeError::TooDeep);
    };
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag(message.name)? {
        let mut fields = message.fields.iter();
        match fields.find(|field| field.number == tag.field) {
            Some(field) => check_field(&mut reader, tag, field, depth_left)?,
            None => reader.skip(tag)?,
        }
    }
    Ok(())
}

fn check_field(
    reader: &mut Reader<'_>,
    tag: Tag,
    field: &'static Field,
    depth_left: usize,
) -> Result<(), DecodeError> {
    match (&field.kind, tag.wire_type) {
        (
            Kind::Uint32
            | Kind::Int64
            | Kind::Zigzag32
            | Kind::Bool
            | Kind::Enum(_)
            | Kind::Uint64s,
            VARINT,
        ) => {
            reader.varint()?;
        }
        (
            Kind::Fixed64 | Kind::SignedFixed64 | Kind::Double | Kind::Doubles | Kind::Fixed64s,
            FIXED64,
        ) => {
            reader.fixed64()?;
        }
        (Kind::Fixed32, FIXED32) => {
            reader.fixed32()?;
        }
        (Kind::Text, BYTES) => {
            let bytes = reader.bytes()?;
            std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { field: field.name })?;
        }
        (Kind::Bytes, BYTES) => {
            reader.bytes()?;
        }
        (Kind::Id(len), BYTES) => {
            let bytes = reader.bytes()?;
            if !bytes.is_empty() && bytes.len() != *len {
                return Err(DecodeError::IdLength { field: field.name });
            }
        }
        (Kind::Message(inner) | Kind::Messages(inner), BYTES) => {
            check_at(reader.bytes()?, inner, depth_left)?;
        }
        (Kind::Uint64s, BYTES) => {
            let mut packed = Reader::new(reader.bytes()?);
            while !packed.is_at_end() {
                packed.varint()?;
            }
        }
        (Kind::Doubles | Kind::Fixed64s, BYTES) => {
            let mut packed = Reader::new(reader.bytes()?);
            while !packed.is_at_end() {
                packed.fixed64()?;
            }
        }
        _ => {
            return Err(DecodeError::Wire(WireError::WrongWireType {
                field: field.name,
                wire_type: tag.wire_type,
            }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_two_names_in_json() {
        let field = field(2, "StartTimeUnixNano", Kind::Fixed64);
        assert!(field.is_called("startTimeUnixNano"));
        assert!(field.is_called("start_time_unix_nano"));
        for other in [
            "",
            "s",
            "StartTimeUnixNano",
            "start_timeUnixNano",
            "startTimeUnixNan",
            "startTimeUnixNanos",
            "start_time_unix_nano_",
            "start__time_unix_nano",
        ] {
            assert!(!field.is_called(other), "{other}");
        }
    }

    #[test]
    fn no_two_fields_of_a_message_have_one_name_or_number() {
        fn walk(message: &'static Message, seen: &mut Vec<&'static str>) {
            if seen.contains(&message.name) {
                return;
            }
            seen.push(message.name);
            for (at, field) in message.fields.iter().enumerate() {
                let others = &message.fields[at + 1..];
                assert!(others.iter().all(|one| one.number != field.number));
                assert!(others.iter().all(|one| one.name != field.name));
                if let Kind::Message(inner) | Kind::Messages(inner) = field.kind {
                    walk(inner, seen);
                }
            }
        }
        let mut seen = Vec::new();
        walk(&REQUEST, &mut seen);
        assert_eq!(seen.len(), 22, "{seen:?}");
    }
}
