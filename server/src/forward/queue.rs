//! One queue: from the log to one receiver.
//!
//! A task reads the log a piece at a time on a blocking thread, and deals the requests of
//! the piece out to shards, tasks that send one request after the other. Two pieces are
//! under way at most, which bounds memory; while the receiver is out the rest stays in the
//! log. A piece whose requests are all through is done in the log, in the order of the
//! pieces.
//!
//! The number of shards changes between pieces, when nothing is under way: a series that
//! goes to another shard must not overtake itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kymo_storage::metrics::{LogTail, MetricStore, TailMark, TailStop};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::metrics::QueueMetrics;
use super::pace::{Pace, RESHARD_INTERVAL};
use super::piece::{Collector, Maker, Progress, Request};
use super::send::{Sender, oldest_sent};
use crate::clock;
use crate::config::QueueConfig;

/// How long a queue waits before it goes on after the disk refused.
const RECOVERY_PAUSE: Duration = Duration::from_secs(10);
/// How long the end of the log is left alone after it was reached.
const POLL: Duration = Duration::from_millis(100);
/// How often what waits is compared with what may.
const LIMITS_INTERVAL: Duration = Duration::from_secs(10);
/// How often the place in the log is made to survive a power loss.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// How often labels are worked out anew, so that series that went are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);
/// Records that are read in one go on a blocking thread.
const READ_AT_ONCE: usize = 200_000;
/// Records of a piece of which nothing is sent.
const MAX_UNSENT: usize = 1_000_000;
/// Pieces that are under way at one time.
const MAX_PIECES: usize = 2;
/// Most shards that a mark can ask for; it comes from a file.
const MAX_SHARDS: usize = 10_000;

/// What a queue is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Send what comes.
    Running,
    /// Send what is under way, then end; with `drain` what is in the log, too. At `until`,
    /// or where the receiver does not answer, end at once: the log has everything.
    Ending { drain: bool, until: Instant },
}

/// How much may wait in the log for a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BacklogLimits {
    /// Older samples are given up, milliseconds behind the newest one.
    pub(crate) time_ms: Option<i64>,
    /// Most bytes of the log.
    pub(crate) bytes: Option<u64>,
}

/// The reading half, which works on blocking threads.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) tail: LogTail,
    pub(super) collector: Collector,
    pub(super) maker: Maker,
    pub(super) store: Arc<MetricStore>,
    pub(super) config: QueueConfig,
    pub(super) metrics: Arc<QueueMetrics>,
    pub(super) synced: Instant,
    pub(super) forgotten: Instant,
}

/// A piece that is ready to be sent.
#[derive(Debug)]
struct Piece {
    mark: Option<TailMark>,
    n_shards: usize,
    requests: Vec<(usize, Request)>,
}

/// What reading brought.
#[derive(Debug)]
enum Brought {
    Piece(Piece),
    /// There is more, but no piece yet.
    More,
    /// The end of the log was reached, and there is no piece yet.
    End,
}

impl Reading {
    /// Reads on. `close` makes a piece of whatever there is at the end of the log.
    fn read(&mut self, n_shards: usize, close: bool) -> Result<Brought, String> {
        let failed = |error: kymo_storage::StorageError| chain(&error);
        self.forget_now_and_then();
        let wanted = piece_len(&self.config, n_shards);
        let mut read = 0;
        loop {
            let before = self.collector.n_read;
            let room = wanted.saturating_sub(self.collector.len());
            let stop = self.tail.read(room, &mut self.collector).map_err(failed)?;
            read += self.collector.n_read - before;
            for damage in self.tail.take_damages() {
                crate::work::maintenance::report(&damage);
            }
            let is_full = self.collector.len() >= wanted || self.collector.n_read >= MAX_UNSENT;
            match stop {
                TailStop::Mark(shards) => return Ok(Brought::Piece(self.close(shards as usize))),
                _ if is_full => return Ok(Brought::Piece(self.close(n_shards))),
                TailStop::End if close && self.collector.n_read > 0 => {
                    return Ok(Brought::Piece(self.close(n_shards)));
                }
                TailStop::End => return Ok(Brought::End),
                TailStop::Full if read >= READ_AT_ONCE => return Ok(Brought::More),
                TailStop::Full => {}
            }
        }
    }

    fn close(&mut self, n_shards: usize) -> Piece {
        let n_shards = n_shards.clamp(1, MAX_SHARDS);
        let (mark, written) = self.tail.mark(n_shards as u32);
        if let Err(error) = written {
            let error = chain(&error);
            warn!(
                error,
                "the place of a queue is not written down, after a kill more is sent again"
            );
        }
        let from_ms = oldest_sent(self.config.sample_age_limit, clock::now_ms());
        let requests = self
            .maker
            .make(&mut self.collector, n_shards, from_ms, &self.store);
        for (_, request) in &requests {
            self.metrics.pending.add(&request.counts);
            self.metrics.queued_until(request.newest_ms);
        }
        Piece {
            mark: Some(mark),
            n_shards,
            requests,
        }
    }

    fn settle(&mut self, mark: &TailMark) {
        if let Err(error) = self.tail.done(mark) {
            let error = chain(&error);
            warn!(
                error,
                "the place of a queue is not written down, after a kill more is sent again"
            );
        }
    }

    fn keep_in_shape(&mut self, now: bool) {
        if now || self.synced.elapsed() >= SYNC_INTERVAL {
            self.synced = clock::monotonic();
            if let Err(error) = self.tail.sync() {
                let error = chain(&error);
                warn!(error, "the place of a queue is not synced");
            }
        }
        let metrics = &self.metrics;
        let backlog = self.tail.backlog_bytes();
        metrics.backlog_bytes.store(backlog, Ordering::Relaxed);
        let segment = self.tail.current_segment();
        metrics.segment.store(segment, Ordering::Relaxed);
    }

    fn forget_now_and_then(&mut self) {
        let is_between = self.collector.len() == 0;
        let is_due = self.forgotten.elapsed() >= FORGET_INTERVAL || self.collector.table.is_full();
        if is_between && is_due {
            self.forgotten = clock::monotonic();
            self.tail.forget();
            self.collector.table.clear();
        }
    }

    /// Gives up what has waited for too long, or takes too much room. Returns whether
    /// there was something.
    fn give_up(&mut self, limits: BacklogLimits) -> Result<bool, String> {
        let failed = |error: kymo_storage::StorageError| chain(&error);
        let newest_ms = self.store.newest_time_ms();
        let from_ms = limits.time_ms.zip(newest_ms);
        let from_ms = from_ms.map(|(time_ms, newest_ms)| newest_ms.saturating_sub(time_ms));
        let mut gave_up = false;
        loop {
            let next_ms = self.tail.next_ms().map_err(failed)?;
            let is_old = next_ms
                .zip(from_ms)
                .is_some_and(|(next_ms, from_ms)| next_ms < from_ms);
            let is_much = limits
                .bytes
                .is_some_and(|bytes| self.tail.backlog_bytes() > bytes);
            if !is_old && !is_much {
                break;
            }
            gave_up = true;
            self.collector.gives_up = true;
            let stop = self.tail.read(1, &mut self.collector).map_err(failed)?;
            if let TailStop::Mark(shards) = stop {
                // It is given up with the others.
                let (_, _written) = self.tail.mark(shards);
            }
        }
        self.collector.gives_up = false;
        if gave_up {
            let (mark, _written) = self.tail.mark(1);
            self.settle(&mark);
        }
        Ok(gave_up)
    }
}

/// Returns how much a piece holds: some whole requests for each shard, so that two pieces
/// fill what a shard may hold.
fn piece_len(config: &QueueConfig, n_shards: usize) -> usize {
    let per_request = config.max_samples_per_send.max(1);
    let requests = (config.capacity / MAX_PIECES / per_request).max(1);
    per_request
        .saturating_mul(requests)
        .saturating_mul(n_shards)
}

fn chain(error: &kymo_storage::StorageError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The sending half: a task for each shard.
#[derive(Debug)]
struct Shards {
    inputs: Vec<mpsc::UnboundedSender<(Request, Arc<Progress>)>>,
    /// Dropping it ends the tasks.
    _tasks: JoinSet<()>,
}

impl Shards {
    fn start(n: usize, sender: &Arc<Sender>) -> Shards {
        let mut tasks = JoinSet::new();
        let inputs = (0..n).map(|_| {
            // What is in it is bounded by the pieces that are under way.
            let (input, mut requests) = mpsc::unbounded_channel::<(Request, Arc<Progress>)>();
            let sender = Arc::clone(sender);
            tasks.spawn(async move {
                while let Some((request, progress)) = requests.recv().await {
                    sender.send(request).await;
                    progress.finish_one();
                }
            });
            input
        });
        Shards {
            inputs: inputs.collect(),
            _tasks: tasks,
        }
    }
}

/// The task of a queue.
pub(super) struct Worker {
    pub(super) reading: Reading,
    pub(super) sender: Arc<Sender>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) limits: Arc<dyn Fn() -> BacklogLimits + Send + Sync>,
    pub(super) name: String,
}

impl Worker {
    /// Runs until the queue is ended.
    pub(super) async fn run(self) {
        let name = self.name.clone();
        let n_shards = self.reading.config.min_shards;
        let metrics = Arc::clone(&self.reading.metrics);
        metrics.shards.store(n_shards as u64, Ordering::Relaxed);
        let mut running = Running {
            shards: Shards::start(n_shards, &self.sender),
            reading: Some(self.reading),
            sender: self.sender,
            phase: self.phase,
            limits: self.limits,
            name: self.name,
            metrics: Arc::clone(&metrics),
            n_shards,
            waiting: None,
            under_way: VecDeque::new(),
            done: Arc::new(Notify::new()),
            began_at: None,
            pace: Pace::default(),
            paced: clock::monotonic(),
            limited: clock::monotonic(),
        };
        while let Err(error) = running.run().await {
            error!(remote_name = name, error, "forwarding broke off");
            if running.reading.is_none() || *running.phase.borrow() != Phase::Running {
                break;
            }
            tokio::time::sleep(RECOVERY_PAUSE).await;
        }
        // What was under way and is not sent is in the log.
        drop(running);
        metrics.pending.clear();
    }
}

/// A queue at work.
struct Running {
    /// With a blocking thread while it works.
    reading: Option<Reading>,
    sender: Arc<Sender>,
    shards: Shards,
    phase: watch::Receiver<Phase>,
    limits: Arc<dyn Fn() -> BacklogLimits + Send + Sync>,
    name: String,
    metrics: Arc<QueueMetrics>,
    /// How many shards pieces are made for.
    n_shards: usize,
    /// A piece that waits until nothing is under way.
    waiting: Option<Piece>,
    under_way: VecDeque<(Option<TailMark>, Arc<Progress>)>,
    done: Arc<Notify>,
    /// When the piece was begun that is being collected.
    began_at: Option<Instant>,
    pace: Pace,
    paced: Instant,
    limited: Instant,
}

impl Running {
    async fn run(&mut self) -> Result<(), String> {
        loop {
            let phase = *self.phase.borrow_and_update();
            let settled = self.take_done();
            self.dispatch_waiting();
            let drains = match phase {
                Phase::Running => true,
                Phase::Ending { drain, until } => {
                    if self.sender.is_failing() || clock::monotonic() >= until {
                        self.with_reading(move |reading| finish(reading, settled.as_ref()))
                            .await?;
                        return Ok(());
                    }
                    drain
                }
            };
            let has_room = self.waiting.is_none() && self.under_way.len() < MAX_PIECES;
            let mut rest = POLL;
            if drains && has_room {
                match self.read(phase, settled).await? {
                    Brought::Piece(piece) => {
                        self.waiting = Some(piece);
                        continue;
                    }
                    Brought::More => continue,
                    Brought::End if self.is_through(phase) => break,
                    Brought::End => {}
                }
            } else {
                if settled.is_some() {
                    self.with_reading(move |reading| {
                        settled.iter().for_each(|mark| reading.settle(mark));
                    })
                    .await?;
                }
                if !drains && self.is_through(phase) {
                    break;
                }
                self.metrics.enqueue_retries.fetch_add(1, Ordering::Relaxed);
                rest = SYNC_INTERVAL;
            }
            self.look_after().await?;
            tokio::select! {
                () = self.done.notified() => {}
                _phase = self.phase.changed() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        self.with_reading(|reading| finish(reading, None)).await
    }

    /// Tells whether an ending queue has nothing more to do.
    fn is_through(&self, phase: Phase) -> bool {
        phase != Phase::Running && self.waiting.is_none() && self.under_way.is_empty()
    }

    /// Does what is to be done now and then.
    async fn look_after(&mut self) -> Result<(), String> {
        if self.paced.elapsed() >= RESHARD_INTERVAL {
            self.paced = clock::monotonic();
            self.with_reading(|reading| reading.store.newest_time_ms())
                .await
                .map(|newest_ms| self.reshard(newest_ms.unwrap_or(0)))?;
        }
        if self.limited.elapsed() >= LIMITS_INTERVAL {
            self.limited = clock::monotonic();
            let limits = (self.limits)();
            if self
                .with_reading(move |reading| reading.give_up(limits))
                .await??
            {
                warn!(
                    remote_name = self.name,
                    "samples waited for longer than they are kept, or took too much room: they are not sent"
                );
                // What is under way comes before the place that is written down now.
                for (mark, _) in &mut self.under_way {
                    *mark = None;
                }
                if let Some(piece) = &mut self.waiting {
                    piece.mark = None;
                }
            }
        }
        Ok(())
    }

    fn reshard(&mut self, newest_ms: i64) {
        let happened = self.metrics.take_happened(newest_ms);
        let Some(config) = self.reading.as_ref().map(|reading| reading.config) else {
            return;
        };
        let (shards, desired) = self.pace.tick(&happened, self.n_shards, &config);
        if let Some(desired) = desired {
            self.metrics.set_desired_shards(desired);
        }
        if shards != self.n_shards && self.sender.may_reshard(RESHARD_INTERVAL) {
            info!(
                remote_name = self.name,
                from = self.n_shards,
                to = shards,
                "remote storage resharding"
            );
            self.n_shards = shards;
        }
    }

    /// Takes the pieces that are through, and returns the mark of the last one.
    fn take_done(&mut self) -> Option<TailMark> {
        let mut last = None;
        while self
            .under_way
            .front()
            .is_some_and(|(_, progress)| progress.is_done())
        {
            let front = self.under_way.pop_front();
            last = front.and_then(|(mark, _)| mark).or(last);
        }
        last
    }

    /// Deals out the piece that waits, if its shards are there or can be made.
    fn dispatch_waiting(&mut self) {
        let Some(piece) = self.waiting.take() else {
            return;
        };
        if piece.n_shards != self.shards.inputs.len() {
            if !self.under_way.is_empty() {
                self.waiting = Some(piece);
                return;
            }
            self.shards = Shards::start(piece.n_shards, &self.sender);
            let n_shards = piece.n_shards as u64;
            self.metrics.shards.store(n_shards, Ordering::Relaxed);
        }
        let progress = Progress::new(piece.requests.len(), Arc::clone(&self.done));
        for (shard, request) in piece.requests {
            if let Some(input) = self.shards.inputs.get(shard) {
                // The task ends with the shards only.
                let _sent = input.send((request, Arc::clone(&progress)));
            }
        }
        self.under_way.push_back((piece.mark, progress));
    }

    async fn read(&mut self, phase: Phase, settled: Option<TailMark>) -> Result<Brought, String> {
        let has_more = self
            .reading
            .as_ref()
            .is_some_and(|reading| reading.tail.has_more());
        let deadline = self.reading.as_ref().map(|r| r.config.batch_send_deadline);
        let is_late = match (self.began_at, deadline) {
            (Some(began_at), Some(deadline)) => began_at.elapsed() >= deadline,
            _ => false,
        };
        let close = is_late || phase != Phase::Running;
        let has_some = self.began_at.is_some();
        if settled.is_none() && !has_more && !(close && has_some) {
            return Ok(Brought::End);
        }
        let n_shards = self.n_shards;
        let brought = self
            .with_reading(move |reading| {
                settled.iter().for_each(|mark| reading.settle(mark));
                reading.keep_in_shape(false);
                let brought = reading.read(n_shards, close);
                (brought, reading.collector.n_read > 0)
            })
            .await?;
        let (brought, has_some) = brought;
        self.began_at = match has_some {
            true => self.began_at.or_else(|| Some(clock::monotonic())),
            false => None,
        };
        brought
    }

    async fn with_reading<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reading) -> T + Send + 'static,
    ) -> Result<T, String> {
        let gone = || "the reader of the log is gone".to_owned();
        let mut reading = self.reading.take().ok_or_else(gone)?;
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut reading);
            (reading, result)
        });
        let (reading, result) = worked.await.map_err(|panic| panic.to_string())?;
        self.reading = Some(reading);
        Ok(result)
    }
}

fn finish(reading: &mut Reading, settled: Option<&TailMark>) {
    settled.into_iter().for_each(|mark| reading.settle(mark));
    reading.keep_in_shape(true);
}
