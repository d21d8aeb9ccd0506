//! Rules over stored data and in times that are over: what they would have done.
//!
//! Results stay in memory, above the store: rules read them instead of whatever the store
//! has under the names that the rules write.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use kymo_query::rules::{
    Evaluation, Group, GroupSettings, MemoryRules, Restore, RuleDefinition, RuleError,
};
use kymo_query::{Cancel, Engine, SampleBuf, SelectHints, SeriesSet, Source, SourceError, Times};
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Labels, METRIC_NAME, MatchOp, Matcher, TimeRange};

use super::file::{self, Accepted};

const NS_PER_MS: i64 = 1_000_000;

/// Groups with what they read and write.
pub(crate) struct DryRun {
    groups: Vec<Group>,
    engine: Engine,
    data: Overlay,
}

/// Results in memory over a store.
pub(crate) struct Overlay {
    store: MetricStore,
    /// What the rules wrote.
    pub(crate) written: MemoryRules,
    /// Names of metrics that rules write.
    names: HashSet<String>,
}

impl DryRun {
    /// Reads rule files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn new(
        files: &[String],
        accepted: &Accepted,
        defaults: &GroupSettings,
        engine: Engine,
        store: MetricStore,
    ) -> Result<DryRun, Vec<String>> {
        DryRun::of(files, accepted, defaults, engine, store, |_| true)
    }

    /// As [`DryRun::new`], without alerting rules.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub(crate) fn recording_only(
        files: &[String],
        accepted: &Accepted,
        defaults: &GroupSettings,
        engine: Engine,
        store: MetricStore,
    ) -> Result<DryRun, Vec<String>> {
        let records = |rule: &RuleDefinition| !rule.is_alerting();
        DryRun::of(files, accepted, defaults, engine, store, records)
    }

    fn of(
        files: &[String],
        accepted: &Accepted,
        defaults: &GroupSettings,
        engine: Engine,
        store: MetricStore,
        keeps: impl Fn(&RuleDefinition) -> bool,
    ) -> Result<DryRun, Vec<String>> {
        let (mut groups, mut mistakes) = (Vec::new(), Vec::new());
        for name in files {
            match file::load(name, accepted) {
                Ok(read) => groups.extend(read.groups.into_iter().map(|mut group| {
                    group.rules.retain(&keeps);
                    Group::new(name.as_str(), group, defaults, Restore::Nothing)
                })),
                Err(error) => mistakes.extend(error.texts()),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut names = HashSet::from(["ALERTS".to_owned(), "ALERTS_FOR_STATE".to_owned()]);
        for rule in groups.iter().flat_map(Group::rules) {
            if !rule.definition().is_alerting() {
                names.insert(rule.name().to_owned());
            }
        }
        Ok(DryRun {
            groups,
            engine,
            data: Overlay {
                store,
                written: MemoryRules::default(),
                names,
            },
        })
    }

    /// Returns the groups.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns what the rules read and wrote.
    pub(crate) fn data(&self) -> &Overlay {
        &self.data
    }

    /// Returns the longest time that an alert waits or goes on, in milliseconds: how far
    /// before a time evaluation has to begin so that the states at that time are right.
    pub(crate) fn memory_ms(&self) -> i64 {
        let rules = self.groups.iter().flat_map(Group::rules);
        let settings = rules.filter_map(|rule| rule.alert_settings());
        let longest = settings
            .map(|s| s.for_ms.saturating_add(s.keep_firing_for_ms))
            .max();
        longest.unwrap_or(0)
    }

    /// Evaluates every group at each of its times in a range, in order of time. `after`
    /// is told group, time in milliseconds and outcomes.
    pub(crate) fn run(
        &self,
        range: TimeRange,
        mut after: impl FnMut(usize, i64, Vec<Result<usize, RuleError>>),
    ) {
        let cancel = Cancel::new();
        let mut due: BinaryHeap<Reverse<(i64, usize)>> = (0..self.groups.len())
            .map(|at| Reverse((range.start_ms, at)))
            .collect();
        while let Some(Reverse((t_ms, at))) = due.pop() {
            let Some(group) = self.groups.get(at).filter(|_| t_ms <= range.end_ms) else {
                continue;
            };
            let evaluation = Evaluation {
                engine: &self.engine,
                source: &self.data,
                logs: None,
                cancel: &cancel,
                at_ns: t_ms.saturating_mul(NS_PER_MS),
            };
            after(at, t_ms, group.evaluate(&evaluation, &self.data.written));
            let next_ms = t_ms.saturating_add(group.settings().interval_ms);
            due.push(Reverse((next_ms, at)));
        }
    }
}

impl Overlay {
    /// Returns the store below.
    pub(crate) fn store(&self) -> &MetricStore {
        &self.store
    }

    /// Tells whether a selector reads nothing but what rules write, or nothing of it.
    fn reads(&self, matchers: &[Matcher]) -> Reads {
        let equal = matchers
            .iter()
            .find(|matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal);
        match equal {
            Some(matcher) if self.names.contains(matcher.value()) => Reads::Written,
            Some(_) => Reads::Stored,
            None => Reads::Both,
        }
    }
}

enum Reads {
    Written,
    Stored,
    Both,
}

impl Source for Overlay {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        match self.reads(matchers) {
            Reads::Written => self.written.select(matchers, range, hints),
            Reads::Stored => Source::select(&self.store, matchers, range, hints),
            Reads::Both => {
                let stored = Source::select(&self.store, matchers, range, hints)?;
                let is_shown = |&index: &usize| {
                    let name = stored.labels_named(index, &[METRIC_NAME.to_owned()]);
                    !self.names.contains(name.metric_name())
                };
                let shown = (0..stored.len()).filter(is_shown).collect();
                let written = self.written.select(matchers, range, hints)?;
                Ok(Box::new(Joined {
                    stored,
                    shown,
                    written,
                }))
            }
        }
    }
}

/// Series of the store, those that rules write left out, and then those written.
struct Joined {
    stored: Box<dyn SeriesSet>,
    shown: Vec<usize>,
    written: Box<dyn SeriesSet>,
}

impl Joined {
    /// Returns the set that has a series, and its number there.
    fn place(&self, index: usize) -> (&dyn SeriesSet, usize) {
        match self.shown.get(index) {
            Some(&at) => (self.stored.as_ref(), at),
            None => (self.written.as_ref(), index - self.shown.len()),
        }
    }
}

impl SeriesSet for Joined {
    fn len(&self) -> usize {
        self.shown.len() + self.written.len()
    }

    fn labels(&self, index: usize) -> Labels {
        let (set, at) = self.place(index);
        set.labels(at)
    }

    fn labels_named(&self, index: usize, names: &[String]) -> Labels {
        let (set, at) = self.place(index);
        set.labels_named(at, names)
    }

    fn memory_bytes(&self) -> usize {
        self.stored.memory_bytes() + self.written.memory_bytes() + self.shown.capacity() * 8
    }

    fn read(&self, index: usize, into: &mut SampleBuf) -> Result<(), SourceError> {
        let (set, at) = self.place(index);
        set.read(at, into)
    }

    fn read_next(&self, index: usize, into: &mut SampleBuf) -> Result<Times, SourceError> {
        let (set, at) = self.place(index);
        set.read_next(at, into)
    }
}
