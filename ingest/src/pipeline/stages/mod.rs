//! The stages, by what they do: take values out of lines (`extract`, `json`), write them
//! back (`write`), choose entries (`choose`), join lines (`join`), count (`measure`).

mod choose;
mod extract;
mod join;
mod json;
mod logfmt;
mod measure;
mod time;
mod write;

use super::config::{Mapping, StageConfig, TimestampConfig, TimestampFailure};
use super::scrub::Scrub;
use super::{Pipeline, Stage, Tools};

pub use choose::parse_byte_size;

/// The expression that a line of a container in the CRI's format matches.
const CRI_LINE: &str =
    r"^(?s)(?P<time>\S+?) (?P<stream>stdout|stderr) (?P<flags>\S+?) (?P<content>.*)$";

/// Makes a stage.
pub(super) fn make(config: &StageConfig, tools: &Tools) -> Result<Box<dyn Stage>, String> {
    Ok(match config {
        StageConfig::Json {
            expressions,
            source,
            drop_malformed,
        } => {
            let stage = json::Json::new(expressions, source.as_deref(), *drop_malformed)?;
            Box::new(stage)
        }
        StageConfig::Logfmt { mapping, source } => {
            Box::new(extract::Logfmt::new(mapping, source.as_deref())?)
        }
        StageConfig::Regex { expression, source } => {
            Box::new(extract::Expression::new(expression, source.as_deref())?)
        }
        StageConfig::Replace {
            expression,
            source,
            replace,
        } => {
            let template = tools.languages.template(replace)?;
            let stage = write::Replace::new(expression, source.as_deref(), template)?;
            Box::new(stage)
        }
        StageConfig::Template { source, template } => {
            let template = tools.languages.template(template)?;
            Box::new(write::Template::new(source, template)?)
        }
        StageConfig::Labels(mapping) => Box::new(write::Labels::new(mapping)?),
        StageConfig::StaticLabels(labels) => Box::new(write::StaticLabels::new(labels)?),
        StageConfig::LabelDrop(names) => Box::new(write::LabelDrop::new(names)?),
        StageConfig::LabelAllow(names) => Box::new(write::LabelAllow::new(names)?),
        StageConfig::StructuredMetadata(mapping) => Box::new(write::Metadata::new(mapping)?),
        StageConfig::StructuredMetadataDrop(names) => Box::new(write::MetadataDrop::new(names)?),
        StageConfig::Timestamp(config) => Box::new(time::Timestamp::new(config, tools)?),
        StageConfig::Output { source } => Box::new(write::Output::new(source)?),
        StageConfig::Match(config) => Box::new(choose::Match::new(config, tools)?),
        StageConfig::Drop(config) => Box::new(choose::Drop::new(config, tools)?),
        StageConfig::Limit(config) => Box::new(choose::Limit::new(config, tools)?),
        StageConfig::Multiline(config) => Box::new(join::Multiline::new(config, tools)?),
        StageConfig::Metrics(metrics) => Box::new(measure::Metrics::new(metrics, tools)?),
        StageConfig::Pack {
            labels,
            ingest_timestamp,
        } => Box::new(write::Pack::new(labels, *ingest_timestamp)),
        StageConfig::Tenant(source) => Box::new(write::Tenant::new(source)),
        StageConfig::Decolorize => Box::new(write::Decolorize::new()?),
        StageConfig::Sampling { rate, drop_reason } => {
            Box::new(choose::Sampling::new(*rate, drop_reason, tools)?)
        }
        StageConfig::Cri(config) => {
            let base = Nested(unwatched(&cri_stages(), tools)?);
            Box::new(join::Cri::new(base, config))
        }
        StageConfig::Docker => Box::new(Nested(unwatched(&docker_stages(), tools)?)),
        StageConfig::Scrub(config) => Box::new(Scrub::new(config, tools)?),
        StageConfig::Pipeline(stages) => Box::new(Nested(
            Pipeline::new(stages, tools).map_err(|e| e.to_string())?,
        )),
    })
}

/// Makes the stages that another one consists of and that nobody has configured.
fn unwatched(stages: &[StageConfig], tools: &Tools) -> Result<Pipeline, String> {
    let tools = Tools {
        watcher: None,
        ..tools.clone()
    };
    Pipeline::new(stages, &tools).map_err(|error| error.to_string())
}

fn cri_stages() -> Vec<StageConfig> {
    let output = |source: &str| StageConfig::Output {
        source: source.to_owned(),
    };
    vec![
        StageConfig::Regex {
            expression: CRI_LINE.to_owned(),
            source: None,
        },
        StageConfig::Labels(own_names(&["stream"])),
        container_time("time"),
        output("content"),
        output("tags"),
    ]
}

fn docker_stages() -> Vec<StageConfig> {
    let pair = |name: &str, expression: &str| (name.to_owned(), expression.to_owned());
    vec![
        StageConfig::Json {
            expressions: vec![
                pair("output", "log"),
                pair("stream", "stream"),
                pair("timestamp", "time"),
            ],
            source: None,
            drop_malformed: false,
        },
        StageConfig::Labels(own_names(&["stream"])),
        container_time("timestamp"),
        StageConfig::Output {
            source: "output".to_owned(),
        },
    ]
}

fn own_names(names: &[&str]) -> Mapping {
    let names = names.iter();
    names
        .map(|name| ((*name).to_owned(), String::new()))
        .collect()
}

fn container_time(source: &str) -> StageConfig {
    StageConfig::Timestamp(TimestampConfig {
        source: source.to_owned(),
        format: "RFC3339Nano".to_owned(),
        on_failure: TimestampFailure::Fudge,
        ..TimestampConfig::default()
    })
}

/// A pipeline as a stage of another.
pub(super) struct Nested(Pipeline);

impl Nested {
    fn run(&mut self, entry: super::Entry) -> Vec<super::Entry> {
        let mut out = Vec::with_capacity(1);
        self.0.process(entry, &mut out);
        out
    }
}

impl Stage for Nested {
    fn process(&mut self, entry: super::Entry) -> super::Step {
        super::Step::Many(self.run(entry))
    }

    fn tick(&mut self, now_ns: i64) -> Vec<super::Entry> {
        let mut out = Vec::new();
        self.0.tick(now_ns, &mut out);
        out
    }

    fn flush(&mut self) -> Vec<super::Entry> {
        let mut out = Vec::new();
        self.0.flush(&mut out);
        out
    }

    fn held_from(&self) -> Option<u64> {
        self.0.held_from()
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(Nested(self.0.fresh()))
    }
}

fn source_of(source: Option<&str>) -> Result<Option<std::sync::Arc<str>>, String> {
    match source {
        Some("") => Err("empty source".to_owned()),
        Some(name) => Ok(Some(name.into())),
        None => Ok(None),
    }
}

fn compile(expression: &str) -> Result<std::sync::Arc<kymo_storage::compat::regex::Regex>, String> {
    if expression.is_empty() {
        return Err("expression is required".to_owned());
    }
    kymo_storage::compat::regex::Regex::new(expression)
        .map(std::sync::Arc::new)
        .map_err(|error| format!("could not compile regular expression: {error}"))
}

/// Names of labels, each with the extracted value that it takes.
type Pairs = std::sync::Arc<[(std::sync::Arc<str>, std::sync::Arc<str>)]>;

/// Checks that mapped names are names of labels, and fills in sources that are the name.
fn label_mapping(mapping: &Mapping, empty: &str) -> Result<Pairs, String> {
    if mapping.is_empty() {
        return Err(empty.to_owned());
    }
    let mut out = Vec::with_capacity(mapping.len());
    for (name, source) in mapping {
        if !kymo_storage::compat::name::NameValidation::Legacy.is_label_name(name) {
            return Err(format!("invalid label name: {name}"));
        }
        let source = if source.is_empty() { name } else { source };
        out.push((name.as_str().into(), source.as_str().into()));
    }
    Ok(out.into())
}
