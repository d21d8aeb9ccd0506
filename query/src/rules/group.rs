//! A group of rules: evaluated in order, each rule seeing what the earlier ones stored.

use hashbrown::HashMap;
use kymo_storage::model::Labels;
use parking_lot::Mutex;

use super::definition::{GroupDefinition, Pairs};
use super::dependencies::Dependencies;
use super::error::RuleError;
use super::logs::RuleLogs;
use super::rule::Rule;
use super::schedule::Schedule;
use super::sink::RuleSink;
use crate::limits::Cancel;
use crate::promql::Engine;
use crate::source::Source;

/// What a group is evaluated with besides its definition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupSettings {
    /// Milliseconds between evaluations.
    pub interval_ms: i64,
    /// How many milliseconds before the time of the evaluation queries look and results
    /// are stored.
    pub query_offset_ms: i64,
    /// Least milliseconds between two sendings of an alert.
    pub resend_delay_ms: i64,
    /// The server's own labels, for templates.
    pub external_labels: Labels,
    /// The server's URL, for templates.
    pub external_url: String,
    /// The path of that URL, for templates.
    pub path_prefix: String,
}

impl GroupSettings {
    /// Returns the settings of a group: what it says itself over these defaults.
    pub fn of(&self, definition: &GroupDefinition) -> GroupSettings {
        GroupSettings {
            interval_ms: definition.interval_ms.unwrap_or(self.interval_ms).max(1),
            query_offset_ms: definition.query_offset_ms.unwrap_or(self.query_offset_ms),
            ..self.clone()
        }
    }

    /// Returns the time of queries and results, in milliseconds.
    pub(super) fn query_ms(&self, at_ns: i64) -> i64 {
        let offset_ns = self.query_offset_ms.saturating_mul(1_000_000);
        at_ns.saturating_sub(offset_ns).div_euclid(1_000_000)
    }
}

/// What an evaluation of rules takes place with.
#[derive(Clone, Copy)]
pub struct Evaluation<'a> {
    /// Runs the queries.
    pub engine: &'a Engine,
    /// What they read.
    pub source: &'a dyn Source,
    /// Answers the queries of rules over logs, where there are logs.
    pub logs: Option<&'a dyn RuleLogs>,
    /// Stops it.
    pub cancel: &'a Cancel,
    /// The time, in nanoseconds since the epoch.
    pub at_ns: i64,
}

/// Whether alerts of an earlier run are to be looked for in stored samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// They are; the series of alerts are not written before [`Group::restore`].
    Later,
    /// There are none.
    Nothing,
}

/// A group of rules with the state of each.
#[derive(Debug)]
pub struct Group {
    file: String,
    definition: GroupDefinition,
    settings: GroupSettings,
    rules: Vec<Rule>,
    dependencies: Dependencies,
    /// Series of rules that an earlier version of the group had and this one has not.
    orphans: Mutex<Vec<Labels>>,
}

impl Group {
    /// Returns a group of which nothing was evaluated. `defaults` counts where the group
    /// does not say.
    pub fn new(
        file: impl Into<String>,
        definition: GroupDefinition,
        defaults: &GroupSettings,
        restore: Restore,
    ) -> Group {
        let labels: Vec<Pairs> = definition
            .rules
            .iter()
            .map(|rule| definition.labels_of(rule))
            .collect();
        let dependencies = Dependencies::of(&definition.rules, &labels);
        let is_restored = restore == Restore::Nothing;
        let both = definition.rules.iter().zip(labels);
        let rules = both
            .map(|(rule, labels)| Rule::new(rule.clone(), labels, is_restored))
            .collect();
        Group {
            file: file.into(),
            settings: defaults.of(&definition),
            rules,
            dependencies,
            definition,
            orphans: Mutex::default(),
        }
    }

    /// Returns the file the group stands in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the group's name.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// Returns what the group says.
    pub fn definition(&self) -> &GroupDefinition {
        &self.definition
    }

    /// Returns what counts for it.
    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// Returns the rules in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns when the group is to be evaluated.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(&self.file, self.name(), self.settings.interval_ms)
    }

    /// Returns which rules may be evaluated at the same time: batch after batch, the
    /// indexes of the rules of each. Empty where only the order of the rules is safe.
    pub fn batches(&self) -> &[Vec<usize>] {
        &self.dependencies.batches
    }

    /// Returns the last rule before `index` whose results have to be visible before that
    /// one is evaluated: it may read them, or write the same series. Whoever evaluates
    /// rule by rule may hold back the results of all others, to commit those of many
    /// rules together.
    pub fn waits_for(&self, index: usize) -> Option<usize> {
        self.dependencies.waits_for.get(index).copied().flatten()
    }

    /// Evaluates all rules in their order and ends the series of rules that are gone.
    /// Returns the outcome of each rule: the number of its samples or why it has none.
    pub fn evaluate(
        &self,
        evaluation: &Evaluation<'_>,
        sink: &dyn RuleSink,
    ) -> Vec<Result<usize, RuleError>> {
        let indexes = 0..self.rules.len();
        let outcomes = indexes
            .filter_map(|index| self.evaluate_rule(index, evaluation, sink))
            .collect();
        // Why they could not be ended was told to the sink, and they are tried again.
        let _later = self.end_orphans(evaluation.at_ns, sink);
        outcomes
    }

    /// Evaluates one rule; `None` where there is none of that index.
    pub fn evaluate_rule(
        &self,
        index: usize,
        evaluation: &Evaluation<'_>,
        sink: &dyn RuleSink,
    ) -> Option<Result<usize, RuleError>> {
        let rule = self.rules.get(index)?;
        Some(rule.evaluate(&self.settings, self.definition.limit, evaluation, sink))
    }

    /// Ends the series of rules that an earlier version of the group had.
    ///
    /// # Errors
    /// They could not be stored; the next call tries again.
    pub fn end_orphans(&self, at_ns: i64, sink: &dyn RuleSink) -> Result<(), RuleError> {
        let mut orphans = self.orphans.lock();
        if orphans.is_empty() {
            return Ok(());
        }
        let t_ms = self.settings.query_ms(at_ns);
        let mut writer = sink.begin(None);
        for labels in orphans.iter() {
            writer.end(labels, t_ms);
        }
        writer.commit().map_err(RuleError::Store)?;
        orphans.clear();
        Ok(())
    }

    /// Makes all series of a group that is given up orphans, for
    /// [`Group::end_orphans`].
    pub fn abandon(&self) {
        let series = self.rules.iter().flat_map(Rule::written);
        self.orphans.lock().extend(series);
    }

    /// Takes over the state of an earlier version of the group: of rules with the same
    /// name and labels, the first from the first, the second from the second.
    pub fn copy_from(&self, from: &Group) {
        let key = |rule: &Rule| (rule.name().to_owned(), rule.labels().clone());
        let mut earlier: HashMap<_, std::collections::VecDeque<&Rule>> = HashMap::new();
        for rule in &from.rules {
            earlier.entry(key(rule)).or_default().push_back(rule);
        }
        for rule in &self.rules {
            if let Some(from) = earlier.get_mut(&key(rule)).and_then(|all| all.pop_front()) {
                rule.copy_from(from);
            }
        }
        let mut orphans = from.orphans.lock().clone();
        orphans.extend(earlier.values().flatten().flat_map(|rule| rule.written()));
        *self.orphans.lock() = orphans;
    }
}
