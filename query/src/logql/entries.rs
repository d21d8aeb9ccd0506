//! Queries for entries: the newest or the oldest that the stages keep.
//!
//! Groups are read from the wanted end of time. Reading stops as soon as those that are
//! left cannot have an entry before the ones that are found.
//!
//! Which entries of one time are in the answer follows from the text of their labels, then
//! from their stream, then from their arrival. Within a stream of the answer they are in
//! order of arrival, or backward in the exact reverse.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use kymo_storage::model::{Labels, NanoRange};

use super::LogQlError;
use super::ast::LogExpr;
use super::candidates::{Candidate, Candidates, EntryGroups, Rest};
use super::columnar::Plan;
use super::engine::{Direction, LogQueryOptions, LogRangeQuery};
use super::label_set::LabelSet;
use super::pipeline::{LineLabels, Pipeline};
use super::source::{LogGroup, LogSelection, LogSource};
use super::value::{LogLine, LogStats, LogStream, LogValue};
use crate::error::QueryError;
use crate::limits::{Budget, Cancel};
use crate::promql::eval::batches::{AHEAD, for_each_group};
use crate::workers::Workers;

/// Place of an entry in the order of the answer: smaller ones come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The time, negated where the newest come first.
    time: i64,
    /// The text of the labels.
    labels: Arc<str>,
    /// Stream and arrival, negated where the newest come first.
    arrival: (u32, u64),
}

/// Labels of entries with their text.
type Known = (Arc<LineLabels>, Arc<str>);

/// A query for entries, on its way.
pub(super) struct EntryQuery<'q> {
    pub(super) source: &'q dyn LogSource,
    pub(super) query: &'q LogRangeQuery,
    pub(super) options: &'q LogQueryOptions,
    pub(super) cancel: &'q Cancel,
    /// Threads that may help.
    pub(super) workers: Option<&'q Arc<dyn Workers>>,
    pub(super) stats: LogStats,
    pub(super) budget: Budget,
}

/// Entries that may be in the answer.
struct Found {
    entries: BTreeMap<Key, LogLine>,
    /// Distinct labels of entries.
    labels: HashMap<LineLabels, Known>,
}

/// The answer, as far as it is known.
struct Answer {
    found: Found,
    /// What no entry can come before any more.
    kept: Vec<(Key, LogLine)>,
    thinning: Thinning,
}

/// Why no more groups are read.
enum Stop {
    /// The answer is certain.
    Decided,
    Failed(LogQlError),
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Stop {
        Stop::Failed(error.into())
    }
}

impl EntryQuery<'_> {
    /// Runs the query.
    pub(super) fn run(&mut self, expr: &LogExpr) -> Result<LogValue, LogQlError> {
        let LogRangeQuery {
            start_ns, end_ns, ..
        } = *self.query;
        let pipeline = Pipeline::new(expr)?.with_now(self.options.now_ns);
        let needles = pipeline.needles();
        let selection = LogSelection {
            needles: &needles,
            ..LogSelection::new(&expr.matchers, NanoRange { start_ns, end_ns })
        };
        let set = self.source.select(&selection).map_err(QueryError::from)?;
        let set_bytes = set.memory_bytes();
        self.budget.hold_bytes(set_bytes)?;
        let groups = Arc::new(EntryGroups {
            plan: Plan::of_entries(&expr.stages, &pipeline),
            ranks: ranks(set.streams()),
            order: self.group_order(set.groups()),
            // Of what is thinned out later any number may be needed.
            limit: match self.query.interval_ns > 0 {
                true => usize::MAX,
                false => self.query.limit,
            },
            is_backward: self.is_backward(),
            cancel: self.cancel.clone(),
            set: set.into(),
            pipeline,
        });
        let mut answer = Answer {
            found: Found {
                entries: BTreeMap::new(),
                labels: HashMap::new(),
            },
            kept: Vec::new(),
            thinning: Thinning::new(self.query),
        };
        match self.read(&groups, &mut answer) {
            Ok(()) | Err(Stop::Decided) => {}
            Err(Stop::Failed(error)) => return Err(error),
        }
        self.settle(&mut answer, None);
        self.budget.release_bytes(set_bytes);
        self.stats.entries = answer.kept.len() as u64;
        Ok(LogValue::Streams(self.streams(answer.kept)))
    }

    /// Reads groups until the answer is certain. The first one may be enough, and nobody is
    /// asked to help with it.
    fn read(&mut self, groups: &Arc<EntryGroups>, answer: &mut Answer) -> Result<(), Stop> {
        self.check(groups, 0, answer)?;
        if groups.order.is_empty() {
            return Ok(());
        }
        let mut buffers = groups.buffers();
        let first = groups.make(0, &mut buffers)?;
        drop(buffers);
        self.take(groups, 0, first, answer)?;
        let rest = Rest {
            groups: Arc::clone(groups),
            from: 1,
        };
        let n = groups.order.len() - 1;
        // What is thinned out later is not bounded by the limit.
        let mut workers = self.workers.filter(|_| self.query.interval_ns <= 0);
        let before = self.budget.held();
        let waiting = waiting_bytes(groups.set.groups(), groups.limit);
        if workers.is_some() && self.budget.hold_bytes(waiting).is_err() {
            // What waits needs memory, and the query can do without.
            self.budget.reset_to(before);
            workers = None;
        }
        let is_held = workers.is_some();
        let read = for_each_group(Arc::new(rest), n, workers, |(at, candidates)| {
            self.take(groups, at, candidates, answer)
        });
        if is_held {
            self.budget.release_bytes(waiting);
        }
        read
    }

    /// Stops where no entry of the groups from `at` on can be in the answer.
    fn check(&self, groups: &EntryGroups, at: usize, answer: &Answer) -> Result<(), Stop> {
        let next = groups.order.get(at);
        let next = next.and_then(|next| groups.set.groups().get(*next));
        let is_decided = next.is_some_and(|next| self.is_decided(&answer.found, next));
        match answer.kept.len() >= self.query.limit || is_decided {
            true => Err(Stop::Decided),
            false => Ok(()),
        }
    }

    fn is_backward(&self) -> bool {
        self.query.direction == Direction::Backward
    }

    /// Returns the groups from the wanted end of time.
    fn group_order(&self, groups: &[LogGroup]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..groups.len()).collect();
        match self.is_backward() {
            true => order.sort_by_key(|at| (!groups[*at].last_ns, !at)),
            false => order.sort_by_key(|at| (groups[*at].first_ns, *at)),
        }
        order
    }

    /// Returns the smallest time part of a key that a group can have.
    fn first_of(&self, group: &LogGroup) -> i64 {
        match self.is_backward() {
            true => !group.last_ns,
            false => group.first_ns,
        }
    }

    /// Tells whether no entry of a group can be in the answer.
    fn is_decided(&self, found: &Found, group: &LogGroup) -> bool {
        let is_full = self.query.interval_ns <= 0 && found.entries.len() >= self.query.limit;
        let last = found.entries.last_key_value();
        is_full && last.is_none_or(|(key, _)| self.first_of(group) > key.time)
    }

    /// Takes what the group has that is at `at` of the order.
    fn take(
        &mut self,
        groups: &EntryGroups,
        at: usize,
        candidates: Candidates,
        answer: &mut Answer,
    ) -> Result<(), Stop> {
        self.budget.touch_bytes(candidates.bytes)?;
        self.stats.add(&candidates.stats);
        let is_bounded = self.query.interval_ns <= 0;
        let found = &mut answer.found;
        for candidate in candidates.found {
            let (time, arrival) = candidate.place;
            let is_full = is_bounded && found.entries.len() >= self.query.limit;
            let last = found.entries.last_key_value();
            if is_full && last.is_none_or(|(last, _)| last.time < time) {
                break;
            }
            let Candidate {
                line, labels, t_ns, ..
            } = candidate;
            let mut bytes = line.len() + size_of::<(Key, LogLine)>();
            let (labels, text) = match found.labels.get(&labels) {
                Some(known) => known.clone(),
                None => {
                    let text: Arc<str> = labels.merged().to_string().into();
                    bytes += 2 * labels.memory_bytes() + text.len();
                    let known = (Arc::new(labels.clone()), text);
                    found.labels.insert(labels, known.clone());
                    known
                }
            };
            self.budget.hold_bytes(bytes)?;
            let key = Key {
                time,
                labels: text,
                arrival,
            };
            found.entries.insert(key, LogLine { t_ns, line, labels });
            if is_full && let Some((_, out)) = found.entries.pop_last() {
                self.budget
                    .release_bytes(out.line.len() + size_of::<(Key, LogLine)>());
            }
        }
        if !is_bounded {
            // What no later group can come before is final.
            let next = groups.order.get(at + 1);
            let next = next.and_then(|next| groups.set.groups().get(*next));
            self.settle(answer, next);
        }
        self.check(groups, at + 1, answer)
    }

    /// Moves entries that no later group can come before into the answer.
    fn settle(&self, answer: &mut Answer, next: Option<&LogGroup>) {
        let open_from = next.map(|next| self.first_of(next));
        while answer.kept.len() < self.query.limit
            && let Some(first) = answer.found.entries.first_entry()
            && open_from.is_none_or(|open| first.key().time < open)
        {
            let (key, line) = first.remove_entry();
            if answer.thinning.keeps(line.t_ns) {
                answer.kept.push((key, line));
            }
        }
    }

    /// Sorts entries into streams.
    fn streams(&self, mut kept: Vec<(Key, LogLine)>) -> Vec<LogStream> {
        kept.sort_by_key(|(key, _)| (key.time, key.arrival));
        let mut streams: Vec<LogStream> = Vec::new();
        let mut by_labels: HashMap<LabelSet, usize> = HashMap::new();
        let mut by_line: HashMap<*const LineLabels, usize> = HashMap::new();
        for (_, line) in kept {
            let known = by_line.get(&Arc::as_ptr(&line.labels)).copied();
            let at = known.unwrap_or_else(|| {
                let labels = match self.options.categorize_labels {
                    true => line.labels.stream.clone(),
                    false => line.labels.merged(),
                };
                let next = streams.len();
                let at = *by_labels.entry(labels.clone()).or_insert(next);
                if at == next {
                    let entries = Vec::new();
                    streams.push(LogStream { labels, entries });
                }
                by_line.insert(Arc::as_ptr(&line.labels), at);
                at
            });
            streams[at].entries.push(line);
        }
        streams.sort_by_cached_key(|stream| stream.labels.to_string());
        streams
    }
}

/// Returns how many bytes the entries of groups have that wait to be taken.
fn waiting_bytes(groups: &[LogGroup], limit: usize) -> usize {
    let of_group = |group: &LogGroup| {
        let average = group.line_bytes / group.entries.max(1) as u64;
        let of_limit = average.saturating_mul(limit as u64);
        of_limit.min(group.line_bytes)
    };
    let most = groups.iter().map(of_group).max().unwrap_or(0);
    usize::try_from(most)
        .unwrap_or(usize::MAX)
        .saturating_mul(AHEAD)
}

/// Returns the place of each stream among all, by its labels.
fn ranks(streams: &[Labels]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..streams.len() as u32).collect();
    order.sort_by(|a, b| streams[*a as usize].cmp(&streams[*b as usize]));
    let mut ranks = vec![0; streams.len()];
    for (rank, at) in order.into_iter().enumerate() {
        ranks[at as usize] = rank as u32;
    }
    ranks
}

/// Leaves out entries that are too near to the one before, over all streams.
struct Thinning {
    interval_ns: i64,
    last_ns: Option<i64>,
}

impl Thinning {
    fn new(query: &LogRangeQuery) -> Thinning {
        Thinning {
            interval_ns: query.interval_ns,
            last_ns: None,
        }
    }

    fn keeps(&mut self, t_ns: i64) -> bool {
        let is_far = self
            .last_ns
            .is_none_or(|last| t_ns.abs_diff(last) >= self.interval_ns.max(0) as u64);
        if is_far {
            self.last_ns = Some(t_ns);
        }
        is_far
    }
}
