//! What a pipeline is told to do: one value for each stage, as a configuration has it.

use std::time::Duration;

use super::metrics::MetricConfig;
use super::scrub::ScrubConfig;

/// Names, each with where its value comes from.
pub type Mapping = Vec<(String, String)>;

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub enum StageConfig {
    /// Takes values out of JSON by JMESPath.
    Json {
        /// Names with expressions; an empty one is the name.
        expressions: Mapping,
        /// What is read; without, the line.
        source: Option<String>,
        /// Whether entries that are no JSON are dropped.
        drop_malformed: bool,
    },
    /// Takes values out of logfmt.
    Logfmt {
        /// Names with keys; an empty one is the name.
        mapping: Mapping,
        /// What is read; without, the line.
        source: Option<String>,
    },
    /// Takes the named groups of an expression.
    Regex {
        /// The expression.
        expression: String,
        /// What is read; without, the line.
        source: Option<String>,
    },
    /// Replaces the groups of an expression.
    Replace {
        /// The expression.
        expression: String,
        /// What is read and changed; without, the line.
        source: Option<String>,
        /// The template of what takes a group's place.
        replace: String,
    },
    /// Makes a value by a template.
    Template {
        /// The value.
        source: String,
        /// Its template.
        template: String,
    },
    /// Makes labels of extracted values.
    Labels(Mapping),
    /// Sets labels to constants.
    StaticLabels(Mapping),
    /// Removes labels.
    LabelDrop(Vec<String>),
    /// Removes all labels but these.
    LabelAllow(Vec<String>),
    /// Makes structured metadata of extracted values and of labels.
    StructuredMetadata(Mapping),
    /// Removes structured metadata.
    StructuredMetadataDrop(Vec<String>),
    /// Takes the time out of an extracted value.
    Timestamp(TimestampConfig),
    /// Makes the line of an extracted value.
    Output {
        /// The value.
        source: String,
    },
    /// Runs stages on entries that a selector takes, or drops these.
    Match(MatchConfig),
    /// Drops entries.
    Drop(DropConfig),
    /// Lets entries through at a rate.
    Limit(LimitConfig),
    /// Joins lines.
    Multiline(MultilineConfig),
    /// Counts and measures.
    Metrics(Vec<MetricConfig>),
    /// Puts labels and line into one JSON object.
    Pack {
        /// The labels, or extracted values.
        labels: Vec<String>,
        /// Whether the time becomes that of reading.
        ingest_timestamp: bool,
    },
    /// Sets the tenant.
    Tenant(TenantSource),
    /// Takes codes of colour out of the line.
    Decolorize,
    /// Lets a share of the entries through.
    Sampling {
        /// The share, from 0 to 1.
        rate: f64,
        /// What dropped entries are counted under.
        drop_reason: String,
    },
    /// Reads lines of containers in the CRI's format and joins partial ones.
    Cri(CriConfig),
    /// Reads lines of containers in Docker's format.
    Docker,
    /// Takes personal data out of entries.
    Scrub(ScrubConfig),
    /// Runs stages.
    Pipeline(Vec<StageConfig>),
}

impl StageConfig {
    /// Returns the stage's name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            StageConfig::Json { .. } => "json",
            StageConfig::Logfmt { .. } => "logfmt",
            StageConfig::Regex { .. } => "regex",
            StageConfig::Replace { .. } => "replace",
            StageConfig::Template { .. } => "template",
            StageConfig::Labels(_) => "labels",
            StageConfig::StaticLabels(_) => "static_labels",
            StageConfig::LabelDrop(_) => "labeldrop",
            StageConfig::LabelAllow(_) => "labelallow",
            StageConfig::StructuredMetadata(_) => "structured_metadata",
            StageConfig::StructuredMetadataDrop(_) => "structured_metadata_drop",
            StageConfig::Timestamp(_) => "timestamp",
            StageConfig::Output { .. } => "output",
            StageConfig::Match(_) => "match",
            StageConfig::Drop(_) => "drop",
            StageConfig::Limit(_) => "limit",
            StageConfig::Multiline(_) => "multiline",
            StageConfig::Metrics(_) => "metrics",
            StageConfig::Pack { .. } => "pack",
            StageConfig::Tenant(_) => "tenant",
            StageConfig::Decolorize => "decolorize",
            StageConfig::Sampling { .. } => "sampling",
            StageConfig::Cri(_) => "cri",
            StageConfig::Docker => "docker",
            StageConfig::Scrub(_) => "scrub",
            StageConfig::Pipeline(_) => "pipeline",
        }
    }
}

/// How a time is taken out of a value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TimestampConfig {
    /// The value.
    pub source: String,
    /// How it is written: Go's layout, or a name such as `RFC3339` or `UnixMs`.
    pub format: String,
    /// What is tried where it is not written so.
    pub fallback_formats: Vec<String>,
    /// The zone of texts that name none.
    pub location: Option<String>,
    /// What becomes of entries without time.
    pub on_failure: TimestampFailure,
}

/// What becomes of an entry whose time cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampFailure {
    /// It gets the last good time and one nanosecond.
    #[default]
    Fudge,
    /// It keeps its time.
    Skip,
}

/// What stages run on what entries.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchConfig {
    /// A selector of LogQL, with line filters.
    pub selector: String,
    /// What is done with what it takes.
    pub action: MatchAction,
}

/// What is done with selected entries.
#[derive(Debug, Clone, PartialEq)]
pub enum MatchAction {
    /// Stages run on them.
    Keep(Vec<StageConfig>),
    /// They are dropped, and counted under this reason.
    Drop(String),
}

/// What is dropped: entries that all these hold for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DropConfig {
    /// Extracted values that are there, or that the expression looks at.
    pub source: Option<Vec<String>>,
    /// What stands between them for the expression.
    pub separator: Option<String>,
    /// What it is looked for.
    pub condition: Option<DropCondition>,
    /// The least age.
    pub older_than: Option<Duration>,
    /// The least length of the line, without which it is not dropped, in bytes.
    pub longer_than: Option<u64>,
    /// What dropped entries are counted under.
    pub reason: String,
}

/// What the line, or values, are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum DropCondition {
    /// An expression matches somewhere.
    Expression(String),
    /// It is exactly this.
    Value(String),
}

/// How many entries go through.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitConfig {
    /// Entries a second.
    pub rate: f64,
    /// Most at one moment.
    pub burst: u64,
    /// What happens with more.
    pub excess: Excess,
}

/// What happens with entries above a limit.
#[derive(Debug, Clone, PartialEq)]
pub enum Excess {
    /// They wait, and so does their source.
    Wait,
    /// They are dropped.
    Drop,
    /// They are dropped, where the limit is one for each value of a label.
    DropBy {
        /// The label.
        label: String,
        /// For how many values counts are kept.
        max_distinct: usize,
    },
}

/// How lines are joined.
#[derive(Debug, Clone, PartialEq)]
pub struct MultilineConfig {
    /// What first lines match.
    pub firstline: String,
    /// How long the next line is waited for.
    pub max_wait: Duration,
    /// Most lines of an entry; zero is any number.
    pub max_lines: u64,
}

/// Where the tenant comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum TenantSource {
    /// A label.
    Label(String),
    /// An extracted value.
    Extracted(String),
    /// It is this.
    Value(String),
}

/// How partial lines of containers are joined.
#[derive(Debug, Clone, PartialEq)]
pub struct CriConfig {
    /// Streams of which parts are kept at one time.
    pub max_partial_lines: usize,
    /// Where joined lines are cut, in bytes; `None` where they are not.
    pub truncate_at: Option<u64>,
}

impl Default for CriConfig {
    fn default() -> CriConfig {
        CriConfig {
            max_partial_lines: CriConfig::DEFAULT_PARTIAL_LINES,
            truncate_at: None,
        }
    }
}

impl CriConfig {
    /// Streams of which parts are kept where nothing else is said.
    pub const DEFAULT_PARTIAL_LINES: usize = 100;
}
