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
use super::columnar::Plan;
use super::engine::{Direction, LogQueryOptions, LogRangeQuery};
use super::label_set::LabelSet;
use super::pipeline::{LineLabels, Pipeline};
use super::source::{EntryBatch, LogGroup, LogSelection, LogSource};
use super::value::{LogLine, LogStats, LogStream, LogValue};
use crate::error::QueryError;
use crate::limits::{Budget, Cancel};

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

/// Time of an entry, and stream and arrival.
type Place = (i64, (u32, u64));

/// Labels of entries with their text.
type Known = (Arc<LineLabels>, Arc<str>);

/// A query for entries, on its way.
pub(super) struct EntryQuery<'q> {
    pub(super) source: &'q dyn LogSource,
    pub(super) query: &'q LogRangeQuery,
    pub(super) options: &'q LogQueryOptions,
    pub(super) cancel: &'q Cancel,
    pub(super) stats: LogStats,
    pub(super) budget: Budget,
}

/// Entries that may be in the answer.
struct Found {
    entries: BTreeMap<Key, LogLine>,
    /// Distinct labels of entries.
    labels: HashMap<LineLabels, Known>,
}

impl EntryQuery<'_> {
    /// Runs the query.
    pub(super) fn run(&mut self, expr: &LogExpr) -> Result<LogValue, LogQlError> {
        let LogRangeQuery {
            start_ns, end_ns, ..
        } = *self.query;
        let mut pipeline = Pipeline::new(expr)?.with_now(self.options.now_ns);
        let needles = pipeline.needles();
        let plan = Plan::of_entries(&expr.stages, &pipeline);
        let selection = LogSelection {
            needles: &needles,
            ..LogSelection::new(&expr.matchers, NanoRange { start_ns, end_ns })
        };
        let set = self.source.select(&selection).map_err(QueryError::from)?;
        let set_bytes = set.memory_bytes();
        self.budget.hold_bytes(set_bytes)?;
        let ranks = ranks(set.streams());
        let order = self.group_order(set.groups());
        let mut found = Found {
            entries: BTreeMap::new(),
            labels: HashMap::new(),
        };
        let mut kept: Vec<(Key, LogLine)> = Vec::new();
        let mut thinning = Thinning::new(self.query);
        let mut batch = EntryBatch::default();
        for (at, group) in order.iter().enumerate() {
            if kept.len() >= self.query.limit || self.is_decided(&found, &set.groups()[*group]) {
                break;
            }
            self.cancel.check("query execution")?;
            if !plan.read_columns(&*set, *group, &mut batch) {
                set.read(*group, &mut batch).map_err(QueryError::from)?;
            }
            self.budget.touch_bytes(batch.memory_bytes())?;
            let streams = (set.streams(), ranks.as_slice());
            self.take(&mut pipeline, &batch, *group, streams, &mut found)?;
            if self.query.interval_ns > 0 {
                // What no later group can come before is final.
                let next = order.get(at + 1).map(|next| &set.groups()[*next]);
                self.settle(&mut found, next, &mut thinning, &mut kept);
            }
        }
        self.settle(&mut found, None, &mut thinning, &mut kept);
        self.budget.release_bytes(set_bytes);
        self.stats.entries = kept.len() as u64;
        Ok(LogValue::Streams(self.streams(kept)))
    }

    fn is_backward(&self) -> bool {
        self.query.direction == Direction::Backward
    }

    /// Returns time, stream and arrival of an entry as they count in its place.
    fn place(&self, t_ns: i64, rank: u32, arrival: u64) -> Place {
        match self.is_backward() {
            true => (!t_ns, (!rank, !arrival)),
            false => (t_ns, (rank, arrival)),
        }
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

    /// Runs the entries of a group through the stages, those that come first in the answer
    /// first.
    fn take(
        &mut self,
        pipeline: &mut Pipeline,
        batch: &EntryBatch,
        group: usize,
        (streams, ranks): (&[Labels], &[u32]),
        found: &mut Found,
    ) -> Result<(), LogQlError> {
        let mut places: Vec<(Place, usize)> = Vec::with_capacity(batch.len());
        for (index, entry) in batch.iter().enumerate() {
            let rank = ranks
                .get(entry.stream as usize)
                .copied()
                .unwrap_or(u32::MAX);
            let arrival = ((group as u64) << 32) | index as u64;
            places.push((self.place(entry.t_ns, rank, arrival), index));
        }
        if !places.is_sorted() {
            places.sort_unstable();
        }
        let is_bounded = self.query.interval_ns <= 0;
        for ((time, arrival), index) in places {
            let is_full = is_bounded && found.entries.len() >= self.query.limit;
            let last = found.entries.last_key_value();
            if is_full && last.is_none_or(|(last, _)| last.time < time) {
                break;
            }
            let entry = batch.entry(index);
            self.stats.count(&entry);
            let stream = entry.stream as usize;
            let Some(labels) = streams.get(stream) else {
                continue;
            };
            let line = pipeline.run(stream, labels, entry.t_ns, entry.line, entry.metadata);
            let Some(line) = line.map(<[u8]>::to_vec) else {
                continue;
            };
            self.stats.post_filter_lines += 1;
            let mut bytes = line.len() + size_of::<(Key, LogLine)>();
            let labels = pipeline.line_labels();
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
            let t_ns = entry.t_ns;
            found.entries.insert(key, LogLine { t_ns, line, labels });
            if is_full && let Some((_, out)) = found.entries.pop_last() {
                self.budget
                    .release_bytes(out.line.len() + size_of::<(Key, LogLine)>());
            }
        }
        Ok(())
    }

    /// Moves entries that no later group can come before into the answer.
    fn settle(
        &self,
        found: &mut Found,
        next: Option<&LogGroup>,
        thinning: &mut Thinning,
        kept: &mut Vec<(Key, LogLine)>,
    ) {
        let open_from = next.map(|next| self.first_of(next));
        while kept.len() < self.query.limit
            && let Some(first) = found.entries.first_entry()
            && open_from.is_none_or(|open| first.key().time < open)
        {
            let (key, line) = first.remove_entry();
            if thinning.keeps(line.t_ns) {
                kept.push((key, line));
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
