//! What is done with each entry of a stream: filters, parsers, formats.
//!
//! ```text
//! stages --order, compile--> steps
//! entry + steps --> line, labels by category   (or nothing: the entry is not wanted)
//! ```
//!
//! A [`Pipeline`] holds buffers and caches, so that an entry costs no allocation that its
//! stages do not need. It is for one thread; clones are for others.
//!
//! Upstream source: `pkg/logql/log` of Loki.

mod choose;
mod entry_labels;
mod format;
mod hints;
mod ip;
mod json;
mod json_path;
mod json_stage;
mod label_filter;
mod line_filter;
mod logfmt;
mod logfmt_stage;
mod names;
mod order;
mod regexp_stage;
mod result;
mod sample;
mod text_pattern;

use std::sync::Arc;

use kymo_storage::model::Labels;

use choose::Choices;
use entry_labels::EntryLabels;
use format::{Decolorize, LabelFormat, LineFormat, Times};
use hints::{Hints, Wanted};
use json_path::JsonPaths;
use json_stage::{Json, Unpack, Unpacked};
use label_filter::LabelFilter;
use line_filter::LineFilter;
use logfmt_stage::{Logfmt, LogfmtKeys};
use names::{NameId, Names};
use regexp_stage::Regexp;
use text_pattern::Captures;

use crate::logql::ast::{LogExpr, Stage};
use crate::logql::source::{LineNeedles, MetadataRef};

pub(crate) use names::{ERROR_NAME, PRESERVE_ERROR_NAME};
pub(crate) use order::{in_order, needed};
pub use result::{LineLabels, ProcessedEntry};
pub(crate) use sample::{Extractor, SeriesId};

/// The stages of a query, compiled.
///
/// ```
/// use kymo_query::logql::{MetadataRef, Pipeline, parse_log};
/// use kymo_storage::model::Labels;
///
/// let query = parse_log(r#"{app="a"} |= "error" | json | line_format "{{.msg}}""#)?;
/// let mut pipeline = Pipeline::new(&query)?;
/// let stream = Labels::from_pairs([("app", "a")]);
/// let line = br#"{"level":"error","msg":"hello"}"#;
/// let entry = pipeline.process(&stream, 5, line, MetadataRef::NONE).unwrap();
/// assert_eq!(entry.line, b"hello");
/// assert_eq!(entry.labels.parsed.get("level"), Some("error"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pipeline {
    steps: Vec<Step>,
    hints: Hints,
    labels: EntryLabels,
    /// A line that a stage has written.
    written: Vec<u8>,
    now_ns: i64,
}

/// A stage, compiled.
#[derive(Debug, Clone)]
enum Step {
    LineFilter(LineFilter),
    LabelFilter(Arc<LabelFilter>),
    Json(Json),
    JsonPaths(JsonPaths),
    Logfmt(Logfmt),
    LogfmtKeys(LogfmtKeys),
    Regexp(Regexp),
    Pattern(Captures),
    Unpack(Unpack),
    LineFormat(LineFormat),
    LabelFormat(LabelFormat),
    Decolorize(Decolorize),
    Drop(Choices),
    Keep(Choices),
}

/// What a query is about that stages alone do not tell.
struct Purpose<'a> {
    wanted: Wanted<'a>,
    /// The label that becomes a number.
    unwrap: Option<&'a str>,
    /// Conditions behind that.
    after: &'a [crate::logql::ast::LabelFilter],
}

impl Pipeline {
    /// Compiles the stages of a query for entries.
    ///
    /// # Errors
    /// A stage that cannot be: a regular expression, pattern, path or template without
    /// meaning. A query that was parsed has none.
    pub fn new(query: &LogExpr) -> Result<Pipeline, super::LogQlError> {
        Pipeline::from_stages(&query.stages)
    }

    /// Compiles stages.
    ///
    /// # Errors
    /// As [`Pipeline::new`].
    pub fn from_stages(stages: &[Stage]) -> Result<Pipeline, super::LogQlError> {
        let purpose = Purpose {
            wanted: Wanted::All,
            unwrap: None,
            after: &[],
        };
        let (pipeline, _) = Pipeline::compile(stages, &purpose)?;
        Ok(pipeline)
    }

    /// Compiles stages, and the conditions behind them.
    fn compile(
        stages: &[Stage],
        purpose: &Purpose<'_>,
    ) -> Result<(Pipeline, Vec<Arc<LabelFilter>>), super::LogQlError> {
        let mut names = Names::new();
        let (mut steps, mut read) = (Vec::new(), Vec::new());
        for stage in order::in_order(stages) {
            let step = Step::new(stage, &mut names).map_err(|reason| {
                super::LogQlError::Parse(super::ParseError::stage(&stage.to_string(), reason))
            })?;
            if let Some(step) = step {
                step.push_labels(&mut names, &mut read);
                steps.push(step);
            }
        }
        cheap_first(&mut steps);
        let mut after = Vec::new();
        for filter in purpose.after {
            let filter = LabelFilter::new(filter, &mut names)
                .map_err(|reason| super::LogQlError::Parse(super::ParseError::new(reason)))?;
            filter.push_labels(&mut read);
            after.push(Arc::new(filter));
        }
        if let Some(unwrap) = purpose.unwrap {
            read.push(names.fix(unwrap));
        }
        let conditions = steps.iter().filter_map(|step| match step {
            Step::LabelFilter(filter) => Some(Arc::clone(filter)),
            _ => None,
        });
        // One condition behind `unwrap` is tested early, too; several are one of two.
        let last = after.first().filter(|_| after.len() == 1).cloned();
        let conditions: Vec<Arc<LabelFilter>> = conditions.chain(last).collect();
        let hints = Hints::new(purpose.wanted, &read, conditions.into_iter(), &mut names);
        let pipeline = Pipeline {
            steps,
            hints,
            labels: EntryLabels::new(names),
            written: Vec::new(),
            now_ns: 0,
        };
        Ok((pipeline, after))
    }

    /// Returns the pipeline with the time that templates take for the present, in
    /// nanoseconds since the epoch.
    pub fn with_now(mut self, now_ns: i64) -> Pipeline {
        self.now_ns = now_ns;
        self
    }

    /// Runs an entry through the stages; `None` where it is not wanted.
    pub fn process(
        &mut self,
        stream: &Labels,
        t_ns: i64,
        line: &[u8],
        metadata: MetadataRef<'_>,
    ) -> Option<ProcessedEntry> {
        let line = self.run(0, stream, t_ns, line, metadata)?.to_vec();
        Some(ProcessedEntry {
            line,
            labels: self.labels.to_line_labels(),
        })
    }

    /// Tells whether stages keep an entry, which costs less than [`Pipeline::process`].
    pub fn keeps(
        &mut self,
        stream: &Labels,
        t_ns: i64,
        line: &[u8],
        metadata: MetadataRef<'_>,
    ) -> bool {
        self.run(0, stream, t_ns, line, metadata).is_some()
    }

    /// Returns what lines contain at least that the pipeline keeps.
    pub fn needles(&self) -> Vec<LineNeedles> {
        // Behind other stages the line may be another one.
        let steps = self.steps.iter();
        let filters = steps.take_while(|step| {
            !matches!(
                step,
                Step::Unpack(_) | Step::LineFormat(_) | Step::Decolorize(_)
            )
        });
        let needles = filters.filter_map(|step| match step {
            Step::LineFilter(filter) => filter.needles(),
            _ => None,
        });
        needles.collect()
    }

    /// Tells whether any stage looks at lines.
    pub(crate) fn reads_lines(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::LabelFilter(_) | Step::Drop(_) | Step::Keep(_) => false,
            Step::LabelFormat(stage) => stage.reads_line(),
            _ => true,
        })
    }

    /// Returns the labels of the entry that was run last.
    pub(crate) fn line_labels(&self) -> LineLabels {
        self.labels.to_line_labels()
    }

    /// Runs an entry, and leaves its labels where they are. Streams have numbers of the
    /// caller's, for caching.
    pub(crate) fn run<'p>(
        &'p mut self,
        stream: usize,
        stream_labels: &Labels,
        t_ns: i64,
        line: &'p [u8],
        metadata: MetadataRef<'_>,
    ) -> Option<&'p [u8]> {
        let Pipeline {
            steps,
            hints,
            labels,
            written,
            now_ns,
        } = self;
        let times = Times {
            entry_ns: t_ns,
            now_ns: *now_ns,
        };
        // What the labels are no line filter asks, so that they wait for those to be passed.
        let first = steps.iter().position(|step| match step {
            Step::LineFilter(filter) => !filter.keeps(line),
            _ => true,
        });
        match first.map(|first| &steps[first]) {
            Some(Step::LineFilter(_)) => return None,
            _ => labels.begin(stream, stream_labels),
        }
        labels.add_metadata(metadata);
        let mut is_written = false;
        for step in &mut steps[first.unwrap_or(0)..] {
            let current: &[u8] = if is_written { written } else { line };
            let mut keeps = true;
            let new_line = match step {
                Step::LineFilter(filter) => {
                    keeps = filter.keeps(current);
                    None
                }
                Step::LabelFilter(filter) => {
                    keeps = filter.keeps(labels);
                    None
                }
                Step::Json(stage) => {
                    keeps = stage.run(current, hints, labels);
                    None
                }
                Step::Logfmt(stage) => {
                    keeps = stage.run(current, hints, labels);
                    None
                }
                Step::Regexp(stage) => {
                    keeps = stage.run(current, hints, labels);
                    None
                }
                Step::Pattern(stage) => {
                    keeps = stage.run(current, hints, labels);
                    None
                }
                Step::JsonPaths(stage) => {
                    stage.run(current, hints, labels);
                    None
                }
                Step::LogfmtKeys(stage) => {
                    stage.run(current, hints, labels);
                    None
                }
                Step::LabelFormat(stage) => {
                    stage.run(current, times, labels);
                    None
                }
                Step::Drop(choices) => {
                    choices.drop(labels);
                    None
                }
                Step::Keep(choices) => {
                    choices.keep(labels);
                    None
                }
                Step::Unpack(stage) => match stage.run(current, hints, labels) {
                    Unpacked::Refused => return None,
                    Unpacked::Same => None,
                    Unpacked::Line(line) => Some(line.to_vec()),
                },
                Step::LineFormat(stage) => stage.run(current, times, labels),
                Step::Decolorize(stage) => stage.run(current),
            };
            if !keeps {
                return None;
            }
            if let Some(new_line) = new_line {
                *written = new_line;
                is_written = true;
            }
        }
        Some(if is_written { written } else { line })
    }
}

impl Step {
    /// Compiles a stage; `None` where it does nothing.
    fn new(stage: &Stage, names: &mut Names) -> Result<Option<Step>, String> {
        Ok(Some(match stage {
            Stage::LineFilter(filter) => {
                let filter = LineFilter::new(filter)?;
                match filter.is_always_true() {
                    true => return Ok(None),
                    false => Step::LineFilter(filter),
                }
            }
            Stage::LabelFilter(filter) => {
                let filter = LabelFilter::new(filter, names)?;
                match filter.is_always_true() {
                    true => return Ok(None),
                    false => Step::LabelFilter(Arc::new(filter)),
                }
            }
            Stage::Json(paths) if paths.is_empty() => Step::Json(Json::default()),
            Stage::Json(paths) => Step::JsonPaths(JsonPaths::new(paths, names)?),
            Stage::Logfmt {
                strict,
                keep_empty,
                extractions,
            } => match extractions.is_empty() {
                true => Step::Logfmt(Logfmt::new(*strict, *keep_empty)),
                false => Step::LogfmtKeys(LogfmtKeys::new(*strict, extractions, names)?),
            },
            Stage::Regexp(pattern) => Step::Regexp(Regexp::new(pattern, names)?),
            Stage::Pattern(pattern) => Step::Pattern(Captures::new(pattern, names)?),
            Stage::Unpack => Step::Unpack(Unpack::default()),
            Stage::LineFormat(template) => Step::LineFormat(LineFormat::new(template, names)?),
            Stage::LabelFormat(formats) => Step::LabelFormat(LabelFormat::new(formats, names)?),
            Stage::Decolorize => Step::Decolorize(Decolorize::new()?),
            Stage::Drop(choices) => Step::Drop(Choices::new(choices, names)),
            Stage::Keep(choices) => Step::Keep(Choices::new(choices, names)),
        }))
    }

    /// Appends the labels that the stage looks at.
    fn push_labels(&self, names: &mut Names, out: &mut Vec<NameId>) {
        match self {
            Step::LabelFilter(filter) => filter.push_labels(out),
            Step::LineFormat(stage) => stage.push_labels(names, out),
            Step::LabelFormat(stage) => stage.push_labels(names, out),
            _ => {}
        }
    }
}

/// Puts the cheap ones of neighbouring line filters first.
fn cheap_first(steps: &mut [Step]) {
    let is_filter = |step: &Step| matches!(step, Step::LineFilter(_));
    let alike = |a: &Step, b: &Step| is_filter(a) && is_filter(b);
    for neighbours in steps.chunk_by_mut(alike) {
        neighbours.sort_by_key(|step| match step {
            Step::LineFilter(filter) => filter.cost(),
            _ => 0,
        });
    }
}
