//! What a call is described by, and the calls of Prometheus' API, one entry each.

/// A call as it is described.
#[derive(Debug)]
pub(super) struct Described {
    /// The path below `/api/v1`; the whole one of a call of Loki's.
    pub(super) path: &'static str,
    /// In lower case.
    pub(super) methods: &'static [&'static str],
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// The media type of a body that is no form.
    pub(super) body: Option<&'static str>,
    pub(super) answer: Answer,
}

/// A parameter of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) about: &'static str,
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// May be given several times.
    Texts,
    Time,
    Duration,
    Number,
    Bool,
    /// A part of the path.
    Path,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// JSON, with data of this schema.
    Data(&'static str),
    /// JSON as it is.
    Json,
    /// Status 204.
    Nothing,
    /// Something of this media type.
    Other(&'static str),
    /// A stream of events.
    Events,
    /// A websocket.
    Socket,
}

const fn parameter(
    name: &'static str,
    kind: Kind,
    is_required: bool,
    about: &'static str,
) -> Parameter {
    Parameter {
        name,
        kind,
        is_required,
        about,
    }
}

pub(super) const fn may(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    parameter(name, kind, false, about)
}

pub(super) const fn must(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    parameter(name, kind, true, about)
}

pub(super) const GET: &[&str] = &["get"];
pub(super) const POST: &[&str] = &["post"];
pub(super) const GET_POST: &[&str] = &["get", "post"];
pub(super) const POST_PUT: &[&str] = &["post", "put"];

const QUERY: Parameter = must("query", Kind::Text, "An expression of PromQL.");
pub(super) const START: Parameter = may(
    "start",
    Kind::Time,
    "First time, in seconds or as RFC 3339.",
);
pub(super) const END: Parameter = may("end", Kind::Time, "Last time, in seconds or as RFC 3339.");
const LIMIT: Parameter = may(
    "limit",
    Kind::Number,
    "Most entries of the answer; 0 is no limit.",
);
const MATCH: Parameter = may("match[]", Kind::Texts, "Selectors of series.");
const TIMEOUT: Parameter = may("timeout", Kind::Duration, "Longest time of evaluation.");
const LOOKBACK: Parameter = may(
    "lookback_delta",
    Kind::Duration,
    "How far back a sample counts.",
);
const STATS: Parameter = may(
    "stats",
    Kind::Text,
    "Anything adds statistics; `all` those of each step.",
);
const POOL: Parameter = may("scrapePool", Kind::Text, "Name of a job.");
const THE_POOL: Parameter = must("scrapePool", Kind::Text, "Name of a job.");

const INSTANT: &[Parameter] = &[
    QUERY,
    may("time", Kind::Time, "Time of evaluation; now where absent."),
    TIMEOUT,
    LIMIT,
    LOOKBACK,
    STATS,
];
const RANGE: &[Parameter] = &[
    QUERY,
    must("start", Kind::Time, "First time of evaluation."),
    must("end", Kind::Time, "Last time of evaluation."),
    must("step", Kind::Duration, "Distance of the times."),
    TIMEOUT,
    LIMIT,
    LOOKBACK,
    STATS,
    may(
        "nocache",
        Kind::Bool,
        "Whether kept answers are passed over; Kymo's own.",
    ),
];
const LABELS: &[Parameter] = &[MATCH, START, END, LIMIT];
const SEARCH: &[Parameter] = &[
    MATCH,
    START,
    END,
    LIMIT,
    may("search[]", Kind::Texts, "Terms, of which one has to fit."),
    may("fuzz_alg", Kind::Text, "`subsequence` or `jarowinkler`."),
    may("fuzz_threshold", Kind::Number, "Least score in hundredths."),
    may(
        "case_sensitive",
        Kind::Bool,
        "Whether case matters; it does where absent.",
    ),
    may("sort_by", Kind::Text, "`alpha` or `score`."),
    may("sort_dir", Kind::Text, "`asc` or `dsc`."),
    may("include_score", Kind::Bool, "Whether scores are shown."),
    may("batch_size", Kind::Number, "Results in a line."),
];
const SEARCH_NAMES: &[Parameter] = &[
    SEARCH[0],
    SEARCH[1],
    SEARCH[2],
    SEARCH[3],
    SEARCH[4],
    SEARCH[5],
    SEARCH[6],
    SEARCH[7],
    SEARCH[8],
    SEARCH[9],
    SEARCH[10],
    SEARCH[11],
    may(
        "include_metadata",
        Kind::Bool,
        "Whether type, help and unit are shown.",
    ),
];
const SEARCH_VALUES: &[Parameter] = &[
    must("label", Kind::Text, "The label whose values are searched."),
    SEARCH[0],
    SEARCH[1],
    SEARCH[2],
    SEARCH[3],
    SEARCH[4],
    SEARCH[5],
    SEARCH[6],
    SEARCH[7],
    SEARCH[8],
    SEARCH[9],
    SEARCH[10],
    SEARCH[11],
];

pub(super) const fn call(
    path: &'static str,
    methods: &'static [&'static str],
    tag: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    answer: Answer,
) -> Described {
    Described {
        path,
        methods,
        tag,
        summary,
        parameters,
        body: None,
        answer,
    }
}

const fn sent(
    path: &'static str,
    summary: &'static str,
    body: &'static str,
    answer: Answer,
) -> Described {
    Described {
        path,
        methods: POST,
        tag: "remote",
        summary,
        parameters: &[],
        body: Some(body),
        answer,
    }
}

use Answer::{Data, Events, Nothing, Other};

#[rustfmt::skip]
pub(super) const CALLS: &[Described] = &[
    call("/query", GET_POST, "query", "Evaluates an expression at one time.", INSTANT, Data("Result")),
    call("/query_range", GET_POST, "query", "Evaluates an expression at many times.", RANGE, Data("Result")),
    call("/query_exemplars", GET_POST, "query", "Finds the exemplars of the series of an expression.", &[QUERY, START, END], Data("objects")),
    call("/format_query", GET_POST, "query", "Writes an expression over several lines.", &[QUERY], Data("string")),
    call("/parse_query", GET_POST, "query", "Shows the tree of an expression.", &[QUERY], Data("object")),
    call("/explain", GET_POST, "query", "Shows how an expression is evaluated; Kymo's own.", RANGE, Data("object")),
    call("/labels", GET_POST, "labels", "Lists names of labels.", LABELS, Data("strings")),
    call("/label/{name}/values", GET, "labels", "Lists values of a label.", &[must("name", Kind::Path, "The label; names beyond letters, digits and underscores may be escaped."), MATCH, START, END, LIMIT], Data("strings")),
    call("/series", GET_POST, "series", "Lists series.", &[must("match[]", Kind::Texts, "Selectors of series."), START, END, LIMIT], Data("objects")),
    call("/search/metric_names", GET_POST, "search", "Searches names of metrics.", SEARCH_NAMES, Other("application/x-ndjson")),
    call("/search/label_names", GET_POST, "search", "Searches names of labels.", SEARCH, Other("application/x-ndjson")),
    call("/search/label_values", GET_POST, "search", "Searches values of a label.", SEARCH_VALUES, Other("application/x-ndjson")),
    call("/metadata", GET, "metadata", "Tells type, help and unit of metrics.", &[may("metric", Kind::Text, "Name of a metric."), may("limit", Kind::Number, "Most metrics."), may("limit_per_metric", Kind::Number, "Most entries of a metric."), may("all", Kind::Bool, "Whether metrics count that no target exposes now; Kymo's own.")], Data("object")),
    call("/targets", GET, "targets", "Lists targets.", &[may("state", Kind::Text, "`active`, `dropped` or `any`."), POOL], Data("object")),
    call("/targets/metadata", GET, "targets", "Tells what each target says of its metrics.", &[may("match_target", Kind::Text, "Selector of targets."), may("metric", Kind::Text, "Name of a metric."), LIMIT], Data("objects")),
    call("/targets/relabel_steps", GET, "targets", "Shows what each rule does to labels.", &[THE_POOL, must("labels", Kind::Text, "Labels as a JSON object.")], Data("object")),
    call("/scrape_pools", GET, "targets", "Lists jobs.", &[], Data("object")),
    call("/scrape_pools/config", GET, "targets", "Shows the configuration of a job.", &[THE_POOL], Data("object")),
    call("/rules", GET, "rules", "Lists rules with their state.", &[may("type", Kind::Text, "`alert` or `record`."), may("rule_name[]", Kind::Texts, "Names of rules."), may("rule_group[]", Kind::Texts, "Names of groups."), may("file[]", Kind::Texts, "Files of rules."), MATCH, may("exclude_alerts", Kind::Bool, "Whether alerts are left out."), may("group_limit", Kind::Number, "Most groups."), may("group_next_token", Kind::Text, "Where the list before ended.")], Data("object")),
    call("/alerts", GET, "alerts", "Lists alerts.", &[], Data("object")),
    call("/log_targets", GET, "targets", "Lists logs that are followed, and how far.", &[], Data("object")),
    call("/alertmanagers", GET, "alerts", "Lists Alertmanagers.", &[], Data("object")),
    call("/status/config", GET, "status", "Shows the configuration in force.", &[], Data("object")),
    call("/status/flags", GET, "status", "Shows the command line in force.", &[may("all", Kind::Bool, "Whether Kymo's own flags are shown, too.")], Data("object")),
    call("/status/runtimeinfo", GET, "status", "Tells about the process.", &[], Data("object")),
    call("/status/buildinfo", GET, "status", "Tells about the program.", &[], Data("object")),
    call("/status/tsdb", GET, "status", "Tells what has most series and values.", &[may("limit", Kind::Number, "Entries of each list, 1 to 10000.")], Data("object")),
    call("/status/tsdb/blocks", GET, "status", "Lists blocks.", &[], Data("object")),
    call("/status/walreplay", GET, "status", "Tells how far the start is.", &[], Data("object")),
    call("/status/self_metrics", GET, "status", "Shows the metrics of the server itself.", &[may("metric_name_pattern", Kind::Text, "Regular expression for whole names.")], Data("objects")),
    call("/features", GET, "features", "Lists what the server can do.", &[], Data("object")),
    call("/notifications", GET, "notifications", "Lists what operators should know.", &[], Data("objects")),
    call("/notifications/live", GET, "notifications", "Tells what operators should know as it happens.", &[], Events),
    sent("/read", "Answers a remote reader.", "application/x-protobuf", Other("application/x-protobuf")),
    sent("/write", "Stores what a remote writer sends.", "application/x-protobuf", Nothing),
    sent("/otlp/v1/metrics", "Stores metrics of OpenTelemetry.", "application/x-protobuf", Other("application/x-protobuf")),
    call("/admin/tsdb/delete_series", POST_PUT, "admin", "Deletes samples of series.", &[must("match[]", Kind::Texts, "Selectors of series."), START, END], Nothing),
    call("/admin/tsdb/clean_tombstones", POST_PUT, "admin", "Removes deleted samples from disk.", &[], Nothing),
    call("/admin/tsdb/snapshot", POST_PUT, "admin", "Copies the data directory.", &[may("skip_head", Kind::Bool, "Whether what is not in a block is left out.")], Data("object")),
    call("/openapi.yaml", GET, "status", "Describes the calls.", &[may("openapi_version", Kind::Text, "`3.1` or `3.2`.")], Other("application/yaml")),
];
