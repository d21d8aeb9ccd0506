//! One group that runs: it waits for its times, has its rules evaluated, and is
//! stopped when the configuration changes.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kymo_query::Cancel;
use kymo_query::rules::{Evaluation, Group, Restore, Rule};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{debug, error, warn};

use super::evaluator::{Context, STACK_BYTES};
use super::sink::StoreSink;
use super::stats::{GroupFigures, GroupStats, nanos};
use crate::clock;

/// How often queries that take too long are looked for.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// A group with the task that evaluates it.
#[derive(Debug)]
pub(crate) struct Running {
    group: Group,
    pub(super) stats: Arc<GroupStats>,
    /// Set once; the task ends as soon as the rule under way is through.
    stop: watch::Sender<bool>,
    stopping: AtomicBool,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Queries under way by the index of their rule.
    queries: Mutex<HashMap<usize, (Arc<Cancel>, Instant)>>,
}

/// The wall clock as it went on since a moment, without its jumps.
#[derive(Debug, Clone, Copy)]
struct SteadyClock {
    began: Instant,
    began_ns: i64,
}

impl SteadyClock {
    fn start() -> SteadyClock {
        SteadyClock {
            began: clock::monotonic(),
            began_ns: clock::now_ns(),
        }
    }

    fn now_ns(&self) -> i64 {
        let since = clock::monotonic().saturating_duration_since(self.began);
        self.began_ns
            .saturating_add(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn instant(&self, at_ns: i64) -> tokio::time::Instant {
        let since = u64::try_from(at_ns.saturating_sub(self.began_ns)).unwrap_or(0);
        tokio::time::Instant::from_std(self.began) + Duration::from_nanos(since)
    }
}

impl Running {
    pub(super) fn new(group: Group, stats: Arc<GroupStats>) -> Running {
        Running {
            group,
            stats,
            stop: watch::channel(false).0,
            stopping: AtomicBool::new(false),
            task: Mutex::default(),
            queries: Mutex::default(),
        }
    }

    /// Returns the group.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Returns what was counted of the group.
    pub(crate) fn figures(&self) -> GroupFigures {
        self.stats.figures()
    }

    /// Returns how long the evaluation of a rule has taken so far; nothing where it is
    /// not evaluated now.
    pub(super) fn took_so_far(&self, rule: &Rule) -> Duration {
        let mut rules = self.group.rules().iter();
        let index = rules.position(|one| std::ptr::eq(one, rule));
        let queries = self.queries.lock();
        let began = index.and_then(|index| queries.get(&index));
        began.map_or(Duration::ZERO, |(_, began)| {
            clock::monotonic().saturating_duration_since(*began)
        })
    }

    /// Starts the task; must be called inside a tokio runtime.
    pub(super) fn start(self: &Arc<Running>, context: Arc<Context>, restore: Restore) {
        let running = Arc::clone(self);
        let task = tokio::spawn(async move { running.run(context, restore).await });
        *self.task.lock() = Some(task);
    }

    /// Lets the task end after the rule under way.
    pub(super) fn ask_to_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.stop.send_replace(true);
    }

    /// Breaks off the queries under way.
    pub(super) fn cancel(&self) {
        for (cancel, _) in self.queries.lock().values() {
            cancel.cancel();
        }
    }

    /// Waits until the task has ended.
    pub(super) async fn ended(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(panic) = task.await
        {
            error!(%panic, group = self.group.name(), "a group of rules ended in a panic");
        }
    }

    async fn run(self: Arc<Running>, context: Arc<Context>, restore: Restore) {
        let (schedule, clock) = (self.group.schedule(), SteadyClock::start());
        let mut at_ns = schedule.next(clock.now_ns());
        let mut n_evaluations = 0u64;
        loop {
            if self.stops_before(clock.instant(at_ns)).await {
                return;
            }
            if n_evaluations > 0 {
                // The group may have slept longer than it wanted to.
                let interval_ns = schedule.interval_ns();
                let (due_ns, missed) = schedule.after(at_ns - interval_ns, clock.now_ns());
                at_ns = due_ns.max(at_ns);
                self.stats.missed.fetch_add(missed, Ordering::Relaxed);
                self.stats.iterations.fetch_add(missed, Ordering::Relaxed);
            }
            self.on_pool(&context, move |running, context| {
                running.evaluate(context, at_ns)
            })
            .await;
            n_evaluations += 1;
            if restore == Restore::Later && n_evaluations == 2 && !*self.stop.borrow() {
                // Only now: the first evaluation may have seen too little, and recording
                // rules that alerts read had nothing before it.
                self.on_pool(&context, Running::restore).await;
            }
            at_ns = at_ns.saturating_add(schedule.interval_ns());
        }
    }

    /// Waits for a time; true where the group is stopped before it.
    async fn stops_before(&self, time: tokio::time::Instant) -> bool {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => true,
            () = tokio::time::sleep_until(time) => false,
        }
    }

    /// Runs something on the threads of the rules and watches over its queries.
    async fn on_pool(
        self: &Arc<Running>,
        context: &Arc<Context>,
        job: impl FnOnce(&Running, &Context) + Send + 'static,
    ) {
        let (sender, mut done) = oneshot::channel();
        let (running, shared) = (Arc::clone(self), Arc::clone(context));
        context.pool.spawn(move || {
            let work = AssertUnwindSafe(|| job(&running, &shared));
            if catch_unwind(work).is_err() {
                error!(
                    group = running.group.name(),
                    "the evaluation of rules has panicked"
                );
            }
            // The group may be gone.
            let _told = sender.send(());
        });
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        loop {
            tokio::select! {
                _ = &mut done => return,
                _ = ticks.tick() => self.expire(context.options.query_timeout),
            }
        }
    }

    fn expire(&self, timeout: Duration) {
        let now = clock::monotonic();
        for (cancel, began) in self.queries.lock().values() {
            if now.saturating_duration_since(*began) > timeout {
                cancel.expire();
            }
        }
    }

    /// Evaluates all rules for one time.
    fn evaluate(&self, context: &Context, at_ns: i64) {
        self.stats.iterations.fetch_add(1, Ordering::Relaxed);
        let (began, began_ns) = (clock::monotonic(), clock::now_ns());
        let round = Round {
            running: self,
            context,
            at_ns,
            samples: AtomicU64::new(0),
            took_ns: AtomicU64::new(0),
        };
        if round.evaluate_rules() {
            let samples = round.samples.load(Ordering::Relaxed);
            self.stats.samples.store(samples, Ordering::Relaxed);
            self.end_orphans(context, at_ns);
        }
        let took = began.elapsed();
        context.durations.group(took);
        let stats = &self.stats;
        stats.took_ns.store(nanos(took), Ordering::Relaxed);
        let rules_took_ns = round.took_ns.load(Ordering::Relaxed);
        stats.rules_took_ns.store(rules_took_ns, Ordering::Relaxed);
        stats.evaluated_at_ns.store(began_ns, Ordering::Relaxed);
    }

    /// Ends the series of rules that are gone.
    pub(super) fn end_orphans(&self, context: &Context, at_ns: i64) {
        let sink = StoreSink::new(context, self);
        // The sink has logged what went wrong, and the next evaluation tries again.
        let _later = self.group.end_orphans(at_ns, &sink);
    }

    fn restore(&self, context: &Context) {
        let began = clock::monotonic();
        let now_ns = clock::now_ns();
        let options = &context.options.restore;
        for (index, error) in self.group.restore(&*context.store, now_ns, options) {
            let alert = self.group.rules().get(index).map(|rule| rule.name());
            let group = self.group.name();
            error!(group, alert, %error, "failed to restore 'for' state");
        }
        let took = began.elapsed();
        debug!(
            group = self.group.name(),
            ?took,
            "'for' state restoration completed"
        );
        let restore_took_ns = &self.stats.restore_took_ns;
        restore_took_ns.store(nanos(took), Ordering::Relaxed);
    }
}

/// One evaluation of all rules of a group.
struct Round<'a> {
    running: &'a Running,
    context: &'a Context,
    at_ns: i64,
    samples: AtomicU64,
    took_ns: AtomicU64,
}

impl Round<'_> {
    /// Evaluates the rules; false where the group was stopped on the way.
    fn evaluate_rules(&self) -> bool {
        let group = &self.running.group;
        let batches = group.batches();
        let Some(most) = self
            .context
            .options
            .concurrency
            .filter(|_| !batches.is_empty())
        else {
            return self.evaluate_in_order();
        };
        let sink = StoreSink::new(self.context, self.running);
        let sink = &sink;
        let beside = &self.context.evaluated_beside;
        batches.iter().all(|batch| {
            // Threads of their own: while one of the pool waited for others, it would
            // begin with the next group.
            std::thread::scope(|scope| {
                for &index in batch {
                    let is_beside = batch.len() > 1 && Place::take(beside, most);
                    if !is_beside {
                        self.evaluate_rule(index, sink);
                        continue;
                    }
                    let place = Place(beside);
                    let evaluate = move || {
                        let _place = place;
                        self.evaluate_rule(index, sink);
                    };
                    let builder = std::thread::Builder::new()
                        .name("rule".to_owned())
                        .stack_size(STACK_BYTES);
                    if builder.spawn_scoped(scope, evaluate).is_err() {
                        // The system has no more threads; the place was given back.
                        self.evaluate_rule(index, sink);
                    }
                }
            });
            !self.running.stopping.load(Ordering::Relaxed)
        })
    }

    /// Evaluates rules one after the other. Results are committed when a later rule may
    /// need them: a transaction for each rule would cost more than most rules do.
    fn evaluate_in_order(&self) -> bool {
        let group = &self.running.group;
        let sink = StoreSink::holding(self.context, self.running);
        // The first rule whose results are held back.
        let mut held_from = 0;
        let mut is_through = true;
        for index in 0..group.rules().len() {
            let is_waited_for = group.waits_for(index).is_some_and(|rule| rule >= held_from);
            if is_waited_for || sink.is_full() {
                self.commit(&sink, held_from..index);
                held_from = index;
            }
            is_through = self.evaluate_rule(index, &sink);
            if !is_through {
                break;
            }
        }
        self.commit(&sink, held_from..group.rules().len());
        is_through
    }

    fn commit(&self, sink: &StoreSink<'_>, held: Range<usize>) {
        let Err(error) = sink.commit() else {
            return;
        };
        for rule in self.running.group.rules().get(held).unwrap_or_default() {
            rule.results_lost(&error);
            let failures = &self.running.stats.failures;
            failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Evaluates a rule; false where the group is stopped.
    fn evaluate_rule(&self, index: usize, sink: &StoreSink<'_>) -> bool {
        let (running, context) = (self.running, self.context);
        if running.stopping.load(Ordering::Relaxed) {
            return false;
        }
        let Some(rule) = running.group.rules().get(index) else {
            return true;
        };
        let cancel = Arc::new(Cancel::new());
        let (began, began_ns) = (clock::monotonic(), clock::now_ns());
        let watched = (Arc::clone(&cancel), began);
        running.queries.lock().insert(index, watched);
        let evaluation = Evaluation {
            engine: &context.engine,
            source: &*context.store,
            logs: context.logs.as_deref(),
            cancel: &cancel,
            at_ns: self.at_ns,
        };
        let outcome = running.group.evaluate_rule(index, &evaluation, sink);
        running.queries.lock().remove(&index);
        let took = began.elapsed();
        rule.set_timing(began_ns, nanos(took));
        context.durations.rule(took);
        self.took_ns.fetch_add(nanos(took), Ordering::Relaxed);
        running.stats.evaluations.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Some(Ok(samples)) => {
                self.samples.fetch_add(samples as u64, Ordering::Relaxed);
            }
            Some(Err(error)) => {
                running.stats.failures.fetch_add(1, Ordering::Relaxed);
                if !error.is_canceled() {
                    let (file, group) = (running.group.file(), running.group.name());
                    let name = rule.name();
                    warn!(file, group, name, index, %error, "evaluating rule failed");
                }
            }
            None => {}
        }
        true
    }
}

/// A place among the rules that are evaluated beside others.
struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    /// Takes a place where one is free.
    fn take(taken: &AtomicUsize, most: usize) -> bool {
        taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                (n < most).then_some(n + 1)
            })
            .is_ok()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
