//! The calls about logs: Loki's, and those that logs are pushed to. Those of one path stand
//! together.

use super::calls::Answer::{Data, Json, Nothing, Other, Socket};
use super::calls::{
    Answer, Described, END, GET, GET_POST, Kind, POST, POST_PUT, Parameter, START, call, may, must,
};

const QUERY: Parameter = must("query", Kind::Text, "An expression of LogQL.");
const STREAMS: Parameter = must("query", Kind::Text, "A selector of streams.");
const LIMIT: Parameter = may(
    "limit",
    Kind::Number,
    "Most entries of the answer; 100 where absent.",
);
const SINCE: Parameter = may(
    "since",
    Kind::Duration,
    "How far the start is before the end; 1h where absent.",
);
const STEP: Parameter = may("step", Kind::Duration, "Distance of the times.");
const DIRECTION: Parameter = may(
    "direction",
    Kind::Text,
    "`backward`, or `forward` for the oldest entries.",
);
const INTERVAL: Parameter = may(
    "interval",
    Kind::Duration,
    "Least distance of entries of a stream.",
);
const NAME: Parameter = must("name", Kind::Path, "The label.");
const FIELD: Parameter = must("name", Kind::Path, "The field.");
const NAMESPACE: Parameter = must("name", Kind::Path, "The namespace.");
const GROUP: Parameter = must("group", Kind::Path, "The group.");
const LINES: Parameter = may(
    "line_limit",
    Kind::Number,
    "Lines that are looked at; 100 where absent.",
);
const FIELDS: Parameter = may("limit", Kind::Number, "Most fields of the answer.");
const REGEXP: Parameter = may(
    "regexp",
    Kind::Text,
    "An expression that lines have to match.",
);
const FIRST: Parameter = may(
    "limit",
    Kind::Number,
    "Entries that come first; 100 where absent.",
);
const DELAY: Parameter = may(
    "delay_for",
    Kind::Number,
    "Seconds for which entries are held back; 5 at most.",
);
const FILTER: Parameter = must(
    "query",
    Kind::Text,
    "A selector of streams, with filters of lines.",
);
const ID: Parameter = must("request_id", Kind::Text, "The request.");
const RULES: Parameter = may("type", Kind::Text, "`alert` or `record`.");

const RANGE: &[Parameter] = &[QUERY, START, END, SINCE, STEP, LIMIT, DIRECTION, INTERVAL];
const SELECTOR: Parameter = may("query", Kind::Text, "A selector of streams.");
const LABELS: &[Parameter] = &[SELECTOR, START, END, SINCE];
const VOLUME: &[Parameter] = &[
    STREAMS,
    START,
    END,
    SINCE,
    LIMIT,
    may(
        "targetLabels",
        Kind::Text,
        "Labels to sum by, with commas between.",
    ),
    may("aggregateBy", Kind::Text, "`series` or `labels`."),
];
const VOLUMES: &[Parameter] = &[
    VOLUME[0], VOLUME[1], VOLUME[2], VOLUME[3], STEP, VOLUME[4], VOLUME[5], VOLUME[6],
];
const TAIL: &[Parameter] = &[QUERY, START, FIRST, DELAY, REGEXP];

const DELETE: &[&str] = &["delete"];

const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/x-protobuf";

const fn pushed(path: &'static str, summary: &'static str, body: &'static str) -> Described {
    sent(path, "log push", summary, &[], body, Nothing)
}

const fn sent(
    path: &'static str,
    tag: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    body: &'static str,
    answer: Answer,
) -> Described {
    Described {
        body: Some(body),
        ..call(path, POST, tag, summary, parameters, answer)
    }
}

#[rustfmt::skip]
pub(super) const CALLS: &[Described] = &[
    call("/loki/api/v1/query", GET_POST, "logs", "Evaluates an expression that gives numbers at one time.", &[QUERY, may("time", Kind::Time, "Time of evaluation; now where absent."), LIMIT, DIRECTION], Data("Result")),
    call("/loki/api/v1/query_range", GET_POST, "logs", "Finds entries, or evaluates an expression at many times.", RANGE, Data("object")),
    call("/loki/api/v1/labels", GET_POST, "logs", "Lists names of labels of streams.", LABELS, Data("strings")),
    call("/loki/api/v1/label", GET_POST, "logs", "The same as labels.", LABELS, Data("strings")),
    call("/loki/api/v1/label/{name}/values", GET_POST, "logs", "Lists values of a label of streams.", &[NAME, SELECTOR, START, END, SINCE], Data("strings")),
    call("/loki/api/v1/series", GET_POST, "logs", "Lists streams.", &[may("match[]", Kind::Texts, "Selectors of streams."), START, END, SINCE], Data("objects")),
    call("/loki/api/v1/index/stats", GET_POST, "logs", "Counts streams, entries and bytes.", &[STREAMS, START, END, SINCE], Json),
    call("/loki/api/v1/index/shards", GET_POST, "logs", "Tells into which parts a query may be cut.", &[STREAMS, START, END, SINCE], Json),
    call("/loki/api/v1/index/volume", GET_POST, "logs", "Tells which streams or labels have most bytes.", VOLUME, Data("Result")),
    call("/loki/api/v1/index/volume_range", GET_POST, "logs", "Tells how many bytes streams or labels have over time.", VOLUMES, Data("Result")),
    call("/loki/api/v1/patterns", GET_POST, "logs", "Finds patterns of lines, and counts them over time.", &[STREAMS, START, END, SINCE, STEP], Data("objects")),
    call("/loki/api/v1/detected_labels", GET_POST, "logs", "Lists labels with how many values they have.", LABELS, Json),
    call("/loki/api/v1/detected_fields", GET_POST, "logs", "Finds the fields of lines.", &[QUERY, START, END, SINCE, LINES, FIELDS], Json),
    call("/loki/api/v1/detected_field/{name}/values", GET_POST, "logs", "Lists values of a field of lines.", &[FIELD, QUERY, START, END, SINCE, LINES, FIELDS], Json),
    call("/loki/api/v1/tail", GET, "logs", "Follows a query.", TAIL, Socket),
    call("/loki/api/v1/format_query", GET_POST, "logs", "Writes an expression over several lines.", &[QUERY], Data("string")),
    call("/loki/api/v1/status/buildinfo", GET, "logs", "Tells about the program.", &[], Json),
    call("/loki/api/v1/drilldown-limits", GET, "logs", "Tells about limits.", &[], Json),
    call("/config/tenant/v1/limits", GET, "logs", "Tells about limits.", &[], Other("text/yaml")),
    call("/api/prom/query", GET_POST, "logs", "Finds entries, as before there were versions.", &[QUERY, REGEXP, START, END, SINCE, LIMIT, DIRECTION], Json),
    call("/api/prom/label", GET_POST, "logs", "Lists names of labels.", LABELS, Data("strings")),
    call("/api/prom/label/{name}/values", GET_POST, "logs", "Lists values of a label.", &[NAME, SELECTOR, START, END, SINCE], Data("strings")),
    call("/api/prom/series", GET_POST, "logs", "Lists streams.", &[may("match[]", Kind::Texts, "Selectors of streams."), START, END, SINCE], Data("objects")),
    call("/api/prom/tail", GET, "logs", "Follows a query, as before there were versions.", TAIL, Socket),
    call("/loki/api/v1/rules", GET, "log rules", "Lists all rules over logs.", &[], Other(YAML)),
    call("/loki/api/v1/rules/{name}", GET, "log rules", "Lists the groups of a namespace.", &[NAMESPACE], Other(YAML)),
    sent("/loki/api/v1/rules/{name}", "log rules", "Puts a group into a namespace.", &[NAMESPACE], YAML, Json),
    call("/loki/api/v1/rules/{name}", DELETE, "log rules", "Deletes a namespace.", &[NAMESPACE], Json),
    call("/loki/api/v1/rules/{name}/{group}", GET, "log rules", "Shows a group.", &[NAMESPACE, GROUP], Other(YAML)),
    call("/loki/api/v1/rules/{name}/{group}", DELETE, "log rules", "Deletes a group.", &[NAMESPACE, GROUP], Json),
    call("/api/prom/rules", GET, "log rules", "Lists all rules over logs.", &[], Other(YAML)),
    call("/api/prom/rules/{name}", GET, "log rules", "Lists the groups of a namespace.", &[NAMESPACE], Other(YAML)),
    sent("/api/prom/rules/{name}", "log rules", "Puts a group into a namespace.", &[NAMESPACE], YAML, Json),
    call("/api/prom/rules/{name}", DELETE, "log rules", "Deletes a namespace.", &[NAMESPACE], Json),
    call("/api/prom/rules/{name}/{group}", GET, "log rules", "Shows a group.", &[NAMESPACE, GROUP], Other(YAML)),
    call("/api/prom/rules/{name}/{group}", DELETE, "log rules", "Deletes a group.", &[NAMESPACE, GROUP], Json),
    call("/prometheus/api/v1/rules", GET, "log rules", "Lists rules over logs with their state.", &[RULES], Data("object")),
    call("/prometheus/api/v1/alerts", GET, "log rules", "Lists alerts of rules over logs.", &[], Data("object")),
    call("/loki/api/v1/delete", POST_PUT, "log deletion", "Deletes the entries that a query finds.", &[FILTER, must("start", Kind::Time, "Time of the first entry."), END], Nothing),
    call("/loki/api/v1/delete", GET, "log deletion", "Lists what was asked to be deleted.", &[], Json),
    call("/loki/api/v1/delete", DELETE, "log deletion", "Takes a request back that nothing was done for.", &[ID], Nothing),
    pushed("/loki/api/v1/push", "Stores entries, in protobuf or JSON.", PROTOBUF),
    pushed("/api/prom/push", "Stores entries, in protobuf or JSON.", PROTOBUF),
    pushed("/otlp/v1/logs", "Stores logs of OpenTelemetry.", PROTOBUF),
    pushed("/v1/logs", "Stores logs of OpenTelemetry.", PROTOBUF),
    sent("/insert/jsonline", "log push", "Stores lines that are JSON objects.", &[
        may("_stream_fields", Kind::Text, "Fields that tell streams apart, with commas between."),
        may("_msg_field", Kind::Text, "Fields that are the line."),
        may("_time_field", Kind::Text, "Fields that are the time."),
        may("ignore_fields", Kind::Text, "Fields that are left out."),
    ], "application/stream+json", Nothing),
    call("/flush", POST, "log push", "Moves what is in memory to the disk.", &[], Nothing),
];
