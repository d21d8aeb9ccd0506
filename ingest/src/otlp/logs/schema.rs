//! The messages of OTLP logs that metrics do not have.

use crate::otlp::schema::{ANY_VALUE, Field, KEY_VALUE, Kind, Message, RESOURCE, SCOPE, field};

/// `ExportLogsServiceRequest`.
pub(in crate::otlp) static REQUEST: Message = Message {
    name: "ExportLogsServiceRequest",
    fields: &[field(1, "ResourceLogs", Kind::Messages(&RESOURCE_LOGS))],
};

pub(super) static RESOURCE_LOGS: Message = Message {
    name: "ResourceLogs",
    fields: &[
        field(1, "Resource", Kind::Message(&RESOURCE)),
        field(2, "ScopeLogs", Kind::Messages(&SCOPE_LOGS)),
        field(3, "SchemaUrl", Kind::Text),
    ],
};

pub(super) static SCOPE_LOGS: Message = Message {
    name: "ScopeLogs",
    fields: &[
        field(1, "Scope", Kind::Message(&SCOPE)),
        field(2, "LogRecords", Kind::Messages(&LOG_RECORD)),
        field(3, "SchemaUrl", Kind::Text),
    ],
};

/// Names of severities in the order of their numbers.
const SEVERITIES: &[&str] = &[
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];

const LOG_RECORD_FIELDS: &[Field] = &[
    field(1, "TimeUnixNano", Kind::Fixed64),
    field(2, "SeverityNumber", Kind::Enum(SEVERITIES)),
    field(3, "SeverityText", Kind::Text),
    field(5, "Body", Kind::Message(&ANY_VALUE)),
    field(6, "Attributes", Kind::Messages(&KEY_VALUE)),
    field(7, "DroppedAttributesCount", Kind::Uint32),
    field(8, "Flags", Kind::Fixed32),
    field(9, "TraceId", Kind::Id(16)),
    field(10, "SpanId", Kind::Id(8)),
    field(11, "ObservedTimeUnixNano", Kind::Fixed64),
    field(12, "EventName", Kind::Text),
];

pub(super) static LOG_RECORD: Message = Message {
    name: "LogRecord",
    fields: LOG_RECORD_FIELDS,
};
