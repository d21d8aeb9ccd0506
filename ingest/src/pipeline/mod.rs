//! Pipelines: what is done with log entries between their source and the store.
//!
//! ```text
//! source --> Entry --> stage --> stage --> ... --> Entry --> delivery
//!                        |
//!                extracted values, labels, metadata, time, line
//! ```
//!
//! A configuration becomes a [`Pipeline`] by [`Pipeline::new`]; each source of entries runs
//! a copy of its own ([`Pipeline::fresh`]), because some stages hold entries back until they
//! know how these end. What all copies share is shared: limits, counters, metrics.
//!
//! Stages behave as those of Promtail do, whose library
//! (`clients/pkg/logentry/stages` in grafana/loki, Apache-2.0) was read for it. Differences:
//!
//! - The present is the moment when the line was read. So the same line, read again after a
//!   crash, becomes the same entry.
//! - What stages hold back is bounded in bytes and in number.
//!
//! Templates, selectors and layouts of times belong to languages that this crate does not
//! know; whoever starts a pipeline hands them in ([`Languages`]).
//!
//! Invariant: an entry that is held back is told by [`Pipeline::held_from`], so that its
//! source does not take it for delivered.

mod config;
mod entry;
mod languages;
pub mod metrics;
mod rate;
pub mod scrub;
mod stages;
mod stats;
#[cfg(test)]
mod tests;
mod value;
mod watch;

use std::sync::Arc;
use std::time::Duration;

pub use config::{
    CriConfig, DropCondition, DropConfig, Excess, LimitConfig, Mapping, MatchAction, MatchConfig,
    MultilineConfig, StageConfig, TenantSource, TimestampConfig, TimestampFailure,
};
pub use entry::{Entry, Extracted, LabelSet};
pub use languages::{Languages, Selector, TextTemplate, TimeLayout};
pub(crate) use rate::Bucket;
pub use stages::parse_byte_size;
pub use stats::{PipelineCounts, PipelineStats};
pub use value::Value;
pub use watch::{Done, Watcher};

use metrics::LogMetrics;

/// Label that the tenant is kept in while an entry is in a pipeline.
pub const TENANT_LABEL: &str = "__tenant_id__";

/// What the stages of a pipeline need.
#[derive(Clone)]
pub struct Tools {
    /// The languages of templates, selectors and times.
    pub languages: Arc<dyn Languages>,
    /// What is counted.
    pub stats: Arc<PipelineStats>,
    /// Where metrics of stages go.
    pub metrics: Arc<LogMetrics>,
    /// The clock, in nanoseconds since the epoch.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Waits, or less where its source stops.
    pub wait: Arc<dyn Fn(Duration) + Send + Sync>,
    /// Who is told what each stage does.
    pub watcher: Option<Arc<dyn Watcher>>,
}

impl Tools {
    /// Returns tools that count for themselves, wait for nothing and tell nobody.
    pub fn new(languages: Arc<dyn Languages>, clock: Arc<dyn Fn() -> i64 + Send + Sync>) -> Tools {
        Tools {
            languages,
            stats: Arc::default(),
            metrics: Arc::default(),
            clock,
            wait: Arc::new(|_| {}),
            watcher: None,
        }
    }
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}

/// A stage that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {stage} stage config: {text}")]
pub struct StageError {
    /// The stage.
    pub stage: &'static str,
    /// What is wrong.
    pub text: String,
}

/// What a stage makes of an entry.
pub(crate) enum Step {
    /// It goes on.
    On(Entry),
    /// It is dropped, or held back.
    Away,
    /// These go on.
    Many(Vec<Entry>),
}

/// A stage at work.
pub(crate) trait Stage: Send {
    /// Takes an entry.
    fn process(&mut self, entry: Entry) -> Step;

    /// Returns what was held back until now and is not any longer.
    fn tick(&mut self, _now_ns: i64) -> Vec<Entry> {
        Vec::new()
    }

    /// Returns all that is held back.
    fn flush(&mut self) -> Vec<Entry> {
        Vec::new()
    }

    /// Returns where the first entry that is held back starts in its source.
    fn held_from(&self) -> Option<u64> {
        None
    }

    /// Returns the same stage for another source: nothing is held back, and what sources
    /// share is shared.
    fn fresh(&self) -> Box<dyn Stage>;
}

/// Stages in a row.
pub struct Pipeline {
    stages: Vec<Box<dyn Stage>>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages = self.stages.len();
        f.debug_struct("Pipeline").field("stages", &stages).finish()
    }
}

impl Pipeline {
    /// Makes a pipeline.
    ///
    /// # Errors
    /// The first stage that cannot be made.
    pub fn new(configs: &[StageConfig], tools: &Tools) -> Result<Pipeline, StageError> {
        let mut made = Vec::with_capacity(configs.len());
        for config in configs {
            let stage = stages::make(config, tools).map_err(|text| StageError {
                stage: config.name(),
                text,
            })?;
            made.push(match &tools.watcher {
                Some(watcher) => {
                    let watcher = Arc::clone(watcher);
                    Box::new(watch::Watched::new(config.name(), stage, watcher))
                }
                None => stage,
            });
        }
        Ok(Pipeline { stages: made })
    }

    /// Returns the same pipeline for another source.
    #[must_use]
    pub fn fresh(&self) -> Pipeline {
        Pipeline {
            stages: self.stages.iter().map(|stage| stage.fresh()).collect(),
        }
    }

    /// Takes an entry, and adds what leaves the pipeline to `out`.
    pub fn process(&mut self, mut entry: Entry, out: &mut Vec<Entry>) {
        if !self.stages.is_empty() {
            entry.extract_labels();
        }
        self.feed(0, entry, out);
    }

    /// Adds what is not held back any longer to `out`.
    pub fn tick(&mut self, now_ns: i64, out: &mut Vec<Entry>) {
        for at in 0..self.stages.len() {
            for entry in self.stages[at].tick(now_ns) {
                self.feed(at + 1, entry, out);
            }
        }
    }

    /// Adds all that is held back to `out`.
    pub fn flush(&mut self, out: &mut Vec<Entry>) {
        for at in 0..self.stages.len() {
            for entry in self.stages[at].flush() {
                self.feed(at + 1, entry, out);
            }
        }
    }

    /// Returns where the first entry that is held back starts in its source.
    pub fn held_from(&self) -> Option<u64> {
        self.stages.iter().filter_map(|s| s.held_from()).min()
    }

    fn feed(&mut self, from: usize, mut entry: Entry, out: &mut Vec<Entry>) {
        for at in from..self.stages.len() {
            match self.stages[at].process(entry) {
                Step::On(next) => entry = next,
                Step::Away => return,
                Step::Many(entries) => {
                    for entry in entries {
                        self.feed(at + 1, entry, out);
                    }
                    return;
                }
            }
        }
        out.push(entry);
    }
}
