//! Keeps answers of range queries, so that the next one computes only what is new.
//!
//! A dashboard asks for the last hour again and again. Of each answer the steps are kept
//! that lie in time which is over, and when a query of the same text, step and phase comes,
//! only the steps before and behind are evaluated. No time is shifted or rounded for it.
//!
//! An answer put together is the answer that an evaluation gives, bit for bit:
//!
//! - only queries are kept whose value at a step is the same in every range (`steady`);
//! - a kept step is used as long as nothing that it was made of has changed: the source
//!   numbers what changes ([`Changes`]), from before the evaluation on. Samples newer than
//!   anything that was looked at change nothing;
//! - sums of floats depend on the order of series, which depends on the times of the whole
//!   query ([`SelectHints::whole`](crate::SelectHints::whole)): parts are evaluated in the
//!   order of the whole, and kept steps are used only where they were, too;
//! - answers with warnings or infos are not kept, because these tell of all steps together,
//!   nor what was made of native histograms (`noting`);
//! - where an evaluation of the whole could meet the limit on samples, it is the whole that
//!   is evaluated.
//!
//! The newest minutes are not kept, since samples are still coming in; that saves work and
//! nothing hangs on it. Costs in the result are those of what was evaluated.

mod kept;
mod noting;
mod shelf;
mod steady;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kymo_storage::model::TimeRange;

use crate::error::QueryError;
use crate::limits::{Cancel, MemoryGrant, MemoryPool};
use crate::promql::ast::Expr;
use crate::promql::{Engine, Prepared, QueryOptions, QueryResult, RangeQuery, Series, Value};
use crate::source::{Changes, Source};
use crate::stats::QueryStats;
use kept::{Kept, Part, join};
use noting::Noting;
use shelf::{Entry, Key, Shelf};
use steady::Steady;

/// Samples arrive at most so long after their time, as a rule; in milliseconds.
const ARRIVAL_MS: i64 = 300_000;

/// An entry is made anew when so much of a range, one in this many steps, has been added.
const WORTH_KEEPING: i64 = 16;

/// Evaluations that an entry remembers one by one.
const MAX_PEAKS: usize = 64;

/// Most steps of a query that is looked at here.
const MAX_STEPS: i64 = 1 << 16;

/// Whether steps of a query may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// What it gives at a step may follow from the range, or nobody has proven otherwise.
    Refused,
    /// They may, as long as nothing that they are made of changes.
    Steps {
        /// Samples of so long before the step, in milliseconds.
        back_ms: i64,
        /// Samples up to so long after the step.
        forward_ms: i64,
        /// The order of series, too.
        ordered: bool,
    },
}

/// Tells whether steps of a query may be kept.
pub(crate) fn keeping(expr: &Expr, lookback_ms: i64) -> Keeping {
    match steady::steady(expr, lookback_ms) {
        None => Keeping::Refused,
        Some(Steady {
            back_ms,
            forward_ms,
            ordered,
            ..
        }) => Keeping::Steps {
            back_ms,
            forward_ms,
            ordered,
        },
    }
}

/// Labels that go with the name of a metric.
const OTHER_METADATA: [&str; 2] = ["__type__", "__unit__"];

/// How large a [`ResultCache`] is.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// Most bytes of all kept answers together; 0 keeps nothing.
    pub max_bytes: u64,
    /// Where that memory is taken from; `None` for an endless one.
    pub memory: Option<Arc<dyn MemoryPool>>,
}

/// What a [`ResultCache`] has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Queries of which some steps were there, and how many steps.
    pub hits: u64,
    /// Steps that did not have to be evaluated.
    pub hit_steps: u64,
    /// Queries of which nothing was there.
    pub misses: u64,
    /// Queries of which nothing may be kept.
    pub refused: u64,
    /// Answers that were given up for want of room.
    pub evictions: u64,
    /// Queries that found steps which have changed since.
    pub invalidations: u64,
    /// Answers kept now.
    pub entries: u64,
    /// Bytes held now.
    pub bytes: u64,
}

/// Answers of range queries over one source, as an engine with fixed options gives them.
///
/// ```
/// use kymo_query::{
///     CacheOptions, Cancel, Engine, EngineOptions, QueryOptions, RangeQuery, ResultCache,
/// };
/// use kymo_storage::StoreOptions;
/// use kymo_storage::metrics::MetricStore;
/// use kymo_storage::model::Labels;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let (store, _recovery) = MetricStore::open(&StoreOptions::new(dir.path()))?;
/// let mut appender = store.appender();
/// let series = appender.series(&Labels::from_pairs([("__name__", "requests_total")]))?;
/// for i in 0..240 {
///     appender.append(series, i * 15_000, i as f64)?;
/// }
/// appender.commit()?;
///
/// let engine = Engine::new(EngineOptions::default());
/// let cache = ResultCache::new(CacheOptions { max_bytes: 1 << 20, memory: None });
/// let (options, cancel) = (QueryOptions::default(), Cancel::new());
/// let query = RangeQuery {
///     query: "rate(requests_total[1m])",
///     start_ms: 600_000,
///     end_ms: 3_600_000,
///     step_ms: 60_000,
/// };
/// let first = cache.range(&engine, &store, &query, &options, 3_600_000, &cancel)?;
/// let again = cache.range(&engine, &store, &query, &options, 3_600_000, &cancel)?;
/// assert_eq!(again.value, first.value);
/// assert!(cache.stats().hit_steps > 40);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ResultCache {
    shelf: Mutex<Shelf>,
    max_bytes: u64,
    hits: AtomicU64,
    hit_steps: AtomicU64,
    misses: AtomicU64,
    refused: AtomicU64,
    invalidations: AtomicU64,
}

/// A query whose answer may be kept.
struct Work<'a> {
    engine: &'a Engine,
    source: Noting<'a>,
    changes: &'a dyn Changes,
    cancel: &'a Cancel,
    prepared: Prepared<'a>,
    steady: Steady,
    key: Key,
    whole: TimeRange,
    step_ms: i64,
    /// First and last step.
    first_ms: i64,
    last_ms: i64,
    /// Last step of time that is over.
    closed_ms: i64,
    by_labels: Option<bool>,
    /// Number of the newest change before anything is read.
    version: u64,
}

/// Some steps that follow each other, by the times of the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Steps {
    first_ms: i64,
    last_ms: i64,
}

impl ResultCache {
    /// Returns a cache without answers.
    pub fn new(options: CacheOptions) -> ResultCache {
        ResultCache {
            max_bytes: options.max_bytes,
            shelf: Mutex::new(Shelf::new(options.max_bytes, options.memory)),
            hits: AtomicU64::new(0),
            hit_steps: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            invalidations: AtomicU64::new(0),
        }
    }

    /// Answers a range query as [`Engine::range`] does. `now_ms` is the time of now.
    /// Engine and source are the same ones in every call.
    ///
    /// # Errors
    /// As [`Engine::range`].
    pub fn range(
        &self,
        engine: &Engine,
        source: &dyn Source,
        query: &RangeQuery<'_>,
        options: &QueryOptions,
        now_ms: i64,
        cancel: &Cancel,
    ) -> Result<QueryResult, QueryError> {
        let answer = self.answer(engine, source, query, options, now_ms, cancel);
        match answer {
            // What is kept is there to save work, not to be in its way.
            Err(QueryError::NoMemory) if self.give_way() => {
                let prepared = engine.prepare(query, options)?;
                engine.run_part(&prepared, source, query.start_ms, query.end_ms, cancel)
            }
            answer => answer,
        }
    }

    /// Gives up all answers, because memory is short. Returns whether there were any.
    pub fn give_way(&self) -> bool {
        let mut shelf = self.shelf();
        let gives = shelf.len() > 0;
        shelf.clear();
        gives
    }

    /// Returns what the cache has done and holds.
    pub fn stats(&self) -> CacheStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shelf = self.shelf();
        CacheStats {
            hits: load(&self.hits),
            hit_steps: load(&self.hit_steps),
            misses: load(&self.misses),
            refused: load(&self.refused),
            evictions: shelf.evicted,
            invalidations: load(&self.invalidations),
            entries: shelf.len() as u64,
            bytes: shelf.bytes(),
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing panics while it is held; what is on the shelf is whole in any case.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(
        &self,
        engine: &Engine,
        source: &dyn Source,
        query: &RangeQuery<'_>,
        options: &QueryOptions,
        now_ms: i64,
        cancel: &Cancel,
    ) -> Result<QueryResult, QueryError> {
        let prepared = engine.prepare(query, options)?;
        let work = match source.changes() {
            Some(changes) if self.max_bytes > 0 => {
                Work::new(engine, source, changes, cancel, prepared, query, now_ms)
            }
            _ => Err(prepared),
        };
        let work = match work {
            Ok(work) => work,
            Err(prepared) => {
                count(&self.refused);
                return engine.run_part(&prepared, source, query.start_ms, query.end_ms, cancel);
            }
        };
        let entry = self.shelf().get(&work.key);
        let entry = entry.filter(|entry| entry.by_labels == work.by_labels);
        if let Some(entry) = entry {
            let unchanged = work.unchanged(&entry);
            let all = Steps {
                first_ms: entry.kept.first_ms,
                last_ms: entry.kept.last_ms,
            };
            if unchanged != Some(all) {
                count(&self.invalidations);
            }
            if let Some(unchanged) = unchanged
                && let Some(answer) = self.put_together(&work, &entry, unchanged)?
            {
                return Ok(answer);
            }
        }
        count(&self.misses);
        let result = work.run(work.first_ms, work.last_ms)?;
        self.keep(&work, &result, result.stats.peak_samples, None);
        Ok(result)
    }

    /// Answers with kept steps and evaluates the others. `None` where that cannot be, or
    /// gave no answer that is known to be that of the whole.
    fn put_together(
        &self,
        work: &Work<'_>,
        entry: &Entry,
        unchanged: Steps,
    ) -> Result<Option<QueryResult>, QueryError> {
        let Some((used, head, tail)) = work.split(unchanged) else {
            return Ok(None);
        };
        let max_samples = work.engine.options().max_samples as u64;
        let mut peak = 0u64;
        let mut stats = QueryStats::default();
        let mut made: [Vec<Series>; 2] = [Vec::new(), Vec::new()];
        // Held until the answer has memory of its own.
        let mut memory = Vec::new();
        for (steps, made) in [head, tail].into_iter().zip(&mut made) {
            let Some(steps) = steps else { continue };
            let result = work.run(steps.first_ms, steps.last_ms)?;
            let is_noted = !result.warnings.is_empty() || !result.infos.is_empty();
            if is_noted || work.source.has_read_histograms() {
                // They tell of all steps, and so would those of the kept ones.
                self.shelf().remove(&work.key);
                return Ok(None);
            }
            let Value::Matrix(series) = result.value else {
                return Ok(None);
            };
            *made = series;
            memory.push(result.memory);
            peak = peak.saturating_add(result.stats.peak_samples);
            stats.total_samples += result.stats.total_samples;
            stats.samples_read += result.stats.samples_read;
            stats.peak_samples = stats.peak_samples.max(result.stats.peak_samples);
        }
        let kept = Part::Kept {
            kept: &entry.kept,
            first_ms: used.first_ms,
            last_ms: used.last_ms,
        };
        let made_part = |series| Part::Made {
            series,
            last_ms: i64::MAX,
        };
        let parts = [made_part(&made[0]), kept, made_part(&made[1])];
        if entry.peak_of(used).saturating_add(peak) > max_samples || work.has_changed(used) {
            return Ok(None);
        }
        let value = Value::Matrix(join(&parts));
        let bytes = value.memory_bytes();
        let options = work.engine.options();
        if bytes > options.max_memory_bytes {
            return Ok(None);
        }
        let memory = match &options.memory {
            None => MemoryGrant::default(),
            Some(pool) => {
                drop(memory);
                MemoryGrant::take(Arc::clone(pool), bytes).ok_or(QueryError::NoMemory)?
            }
        };
        drop(made);
        let result = QueryResult {
            value,
            warnings: Vec::new(),
            infos: Vec::new(),
            stats,
            steps: Vec::new(),
            memory: Arc::new(memory),
        };
        count(&self.hits);
        let hit_steps = (used.last_ms - used.first_ms) / work.step_ms + 1;
        self.hit_steps
            .fetch_add(hit_steps.unsigned_abs(), Ordering::Relaxed);
        let all_steps = (work.last_ms - work.first_ms) / work.step_ms + 1;
        let new_steps = (work.closed_ms - used.last_ms).max(0) / work.step_ms;
        if head.is_some() || new_steps * WORTH_KEEPING >= all_steps {
            self.keep(work, &result, peak, Some((entry, unchanged)));
        }
        Ok(Some(result))
    }

    /// Keeps the steps of an answer that are over, and those of an older entry.
    /// `peak` is the most samples that the evaluations for the answer have held.
    fn keep(
        &self,
        work: &Work<'_>,
        result: &QueryResult,
        peak: u64,
        before: Option<(&Entry, Steps)>,
    ) {
        let Value::Matrix(series) = &result.value else {
            return;
        };
        let is_noted = !result.warnings.is_empty() || !result.infos.is_empty();
        if is_noted || work.source.has_read_histograms() {
            return;
        }
        let new = Steps {
            first_ms: work.first_ms,
            last_ms: work.closed_ms,
        };
        let step_ms = work.step_ms;
        let before = before.filter(|(_, old)| {
            old.first_ms <= new.last_ms + step_ms && new.first_ms <= old.last_ms + step_ms
        });
        let longest_ms = before.map_or(0, |(entry, _)| entry.longest_ms);
        let longest_ms = longest_ms.max(work.last_ms - work.first_ms);
        let last_ms = before.map_or(new.last_ms, |(_, old)| old.last_ms.max(new.last_ms));
        let oldest_ms = before.map_or(new.first_ms, |(_, old)| old.first_ms.min(new.first_ms));
        let n_steps = longest_ms / step_ms;
        let first_ms = oldest_ms.max(last_ms - n_steps * step_ms);
        if new.last_ms < first_ms {
            return;
        }
        let mut parts = Vec::with_capacity(3);
        if let Some((entry, _)) = before
            && first_ms < new.first_ms
        {
            parts.push(Part::Kept {
                kept: &entry.kept,
                first_ms,
                last_ms: new.first_ms - step_ms,
            });
        }
        parts.push(Part::Made {
            series,
            last_ms: new.last_ms,
        });
        if let Some((entry, _)) = before
            && new.last_ms < last_ms
        {
            parts.push(Part::Kept {
                kept: &entry.kept,
                first_ms: new.last_ms + step_ms,
                last_ms,
            });
        }
        let Some(kept) = Kept::new(&parts, first_ms, last_ms, step_ms) else {
            return;
        };
        let mut peaks = Vec::new();
        if let Some((entry, _)) = before {
            peaks.extend(
                entry
                    .peaks
                    .iter()
                    .filter(|(until_ms, _)| *until_ms >= first_ms),
            );
        }
        peaks.push((last_ms, peak));
        if peaks.len() > MAX_PEAKS {
            // Two and two become one, which may only make the sum too large.
            let pairs = peaks.chunks(2).map(|pair| {
                let until_ms = pair.iter().map(|(until_ms, _)| *until_ms).max();
                (
                    until_ms.unwrap_or(last_ms),
                    pair.iter().map(|(_, n)| n).sum(),
                )
            });
            peaks = pairs.collect();
        }
        let entry = Entry {
            kept,
            version: work.version,
            by_labels: work.by_labels,
            longest_ms,
            peaks,
        };
        let steps = Steps { first_ms, last_ms };
        if work.has_changed(steps) {
            return;
        }
        self.shelf().put(work.key.clone(), entry);
    }
}

impl Entry {
    /// Returns how many samples the evaluation of some steps held, or more.
    fn peak_of(&self, steps: Steps) -> u64 {
        let peaks = self.peaks.iter();
        let touched = peaks.filter(|(until_ms, _)| *until_ms >= steps.first_ms);
        touched.fold(0, |sum, (_, peak)| sum.saturating_add(*peak))
    }
}

impl<'a> Work<'a> {
    /// Looks at a query; gives it back where nothing of it may be kept.
    #[allow(clippy::result_large_err, reason = "it is handed back and run")]
    fn new(
        engine: &'a Engine,
        source: &'a dyn Source,
        changes: &'a dyn Changes,
        cancel: &'a Cancel,
        mut prepared: Prepared<'a>,
        query: &RangeQuery<'a>,
        now_ms: i64,
    ) -> Result<Work<'a>, Prepared<'a>> {
        let RangeQuery {
            query,
            start_ms,
            end_ms,
            step_ms,
        } = *query;
        let n_steps = end_ms.saturating_sub(start_ms) / step_ms.max(1) + 1;
        if engine.options().delayed_name_removal || !(2..=MAX_STEPS).contains(&n_steps) {
            return Err(prepared);
        }
        let lookback_ms = prepared.lookback_delta_ms;
        let (Some(steady), Some(whole)) =
            (steady::steady(&prepared.expr, lookback_ms), prepared.whole)
        else {
            return Err(prepared);
        };
        let has_label = |name: &&str| changes.has_label(name, whole);
        let is_plain = !(steady.renames && OTHER_METADATA.iter().any(has_label));
        if !is_plain {
            return Err(prepared);
        }
        let settled_ms = changes.settled_ms().unwrap_or(i64::MIN);
        let settled_ms = settled_ms.min(now_ms.saturating_sub(ARRIVAL_MS));
        let last_ms = start_ms + (n_steps - 1) * step_ms;
        let until_ms = settled_ms.saturating_sub(steady.forward_ms).min(last_ms);
        if until_ms < start_ms {
            return Err(prepared);
        }
        let closed_ms = until_ms - (until_ms - start_ms) % step_ms;
        // In this order: what comes between is noticed as a change.
        let version = changes.watch(closed_ms.saturating_add(steady.forward_ms));
        let by_labels = steady.ordered.then(|| changes.is_in_label_order(whole));
        if !steady.ordered {
            // Any order will do, and none is the cheapest.
            prepared.whole = None;
        }
        Ok(Work {
            engine,
            source: Noting::new(source),
            changes,
            cancel,
            steady,
            whole,
            step_ms,
            first_ms: start_ms,
            last_ms,
            closed_ms,
            by_labels,
            version,
            key: Key {
                query: query.into(),
                step_ms,
                phase_ms: start_ms.rem_euclid(step_ms),
                lookback_ms,
                default_step_ms: engine.options().default_step_ms,
            },
            prepared,
        })
    }

    fn run(&self, first_ms: i64, last_ms: i64) -> Result<QueryResult, QueryError> {
        let engine = self.engine;
        engine.run_part(&self.prepared, &self.source, first_ms, last_ms, self.cancel)
    }

    /// Returns the times that some steps are made of.
    fn window(&self, steps: Steps) -> TimeRange {
        TimeRange {
            start_ms: steps.first_ms.saturating_sub(self.steady.back_ms),
            end_ms: steps.last_ms.saturating_add(self.steady.forward_ms),
        }
    }

    /// Returns the steps of an entry that are as they were: those before, or those behind
    /// whatever has changed.
    fn unchanged(&self, entry: &Entry) -> Option<Steps> {
        let all = Steps {
            first_ms: entry.kept.first_ms,
            last_ms: entry.kept.last_ms,
        };
        let Some(changed) = self.changes.changed_since(entry.version, self.window(all)) else {
            return Some(all);
        };
        let (
            step_ms,
            Steady {
                back_ms,
                forward_ms,
                ..
            },
        ) = (self.step_ms, self.steady);
        let until_ms = changed
            .start_ms
            .saturating_sub(1)
            .saturating_sub(forward_ms);
        let from_ms = changed.end_ms.saturating_add(1).saturating_add(back_ms);
        let before = (until_ms >= all.first_ms).then(|| Steps {
            first_ms: all.first_ms,
            last_ms: until_ms.min(all.last_ms)
                - (until_ms.min(all.last_ms) - all.first_ms) % step_ms,
        });
        let behind = (from_ms <= all.last_ms).then(|| Steps {
            first_ms: all.last_ms - (all.last_ms - from_ms.max(all.first_ms)) / step_ms * step_ms,
            last_ms: all.last_ms,
        });
        let length = |steps: &Steps| steps.last_ms - steps.first_ms;
        [before, behind].into_iter().flatten().max_by_key(length)
    }

    /// Tells whether what some steps are made of has changed since the work began.
    fn has_changed(&self, steps: Steps) -> bool {
        let order = self.steady.ordered;
        self.changes
            .changed_since(self.version, self.window(steps))
            .is_some()
            || order.then(|| self.changes.is_in_label_order(self.whole)) != self.by_labels
    }

    /// Splits the query into the kept steps that are used and those to be evaluated
    /// before and behind. A part has two steps at least: one alone is evaluated as an
    /// instant query is, in another way.
    fn split(&self, kept: Steps) -> Option<(Steps, Option<Steps>, Option<Steps>)> {
        let step_ms = self.step_ms;
        let mut used = Steps {
            first_ms: kept.first_ms.max(self.first_ms),
            last_ms: kept.last_ms.min(self.last_ms),
        };
        if used.first_ms == self.first_ms + step_ms {
            used.first_ms += step_ms;
        }
        if used.last_ms == self.last_ms - step_ms {
            used.last_ms -= step_ms;
        }
        if used.last_ms < used.first_ms {
            return None;
        }
        let head = (used.first_ms > self.first_ms).then(|| Steps {
            first_ms: self.first_ms,
            last_ms: used.first_ms - step_ms,
        });
        let tail = (used.last_ms < self.last_ms).then(|| Steps {
            first_ms: used.last_ms + step_ms,
            last_ms: self.last_ms,
        });
        Some((used, head, tail))
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
