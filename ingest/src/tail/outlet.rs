//! The way out of a job: entries to the sink, again and again until it takes them.
//!
//! Whoever pushes waits here while the store is slow or full, and reads nothing meanwhile:
//! nothing is dropped, and nothing piles up.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::config::RateLimit;
use super::sink::{LogSink, SinkStats, batches};
use crate::pipeline::{Bucket, Entry, PipelineStats};

/// First and longest wait between two attempts.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Reason that lines above the common limit are counted under.
const RATE_REASON: &str = "global_rate_limiter_drop";

/// Tells a job to stop, or to look.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
    /// Tells of the end alone, so that nothing else ends a wait early.
    stopping: Condvar,
    looks: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    woken: bool,
}

impl Signal {
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
        self.stopping.notify_all();
    }

    pub(super) fn wake(&self) {
        self.state.lock().woken = true;
        self.changed.notify_all();
    }

    /// Asks for a look for new files.
    pub(super) fn look(&self) {
        self.looks.store(true, std::sync::atomic::Ordering::Relaxed);
        self.wake();
    }

    /// Tells whether a look was asked for since the last call.
    pub(super) fn take_look(&self) -> bool {
        self.looks.swap(false, std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits for a time, or until it is woken or stopped.
    pub(super) fn wait(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.woken && !state.stopped {
            self.changed.wait_for(&mut state, time);
        }
        state.woken = false;
    }

    /// Waits for a time, or until it is stopped.
    pub(super) fn sleep(&self, time: Duration) {
        let mut state = self.state.lock();
        while !state.stopped {
            if self.stopping.wait_for(&mut state, time).timed_out() {
                return;
            }
        }
    }
}

/// The limit that all jobs share.
#[derive(Debug)]
pub(super) struct CommonLimit {
    limit: RateLimit,
    bucket: Mutex<Bucket>,
}

impl CommonLimit {
    pub(super) fn new(limit: RateLimit) -> CommonLimit {
        CommonLimit {
            limit,
            bucket: Mutex::new(Bucket::new(limit.lines, limit.burst as f64)),
        }
    }
}

/// The way out of a job.
#[derive(Clone)]
pub(super) struct Outlet {
    pub(super) job: Arc<str>,
    pub(super) sink: Arc<dyn LogSink>,
    pub(super) stats: Arc<SinkStats>,
    pub(super) dropped: Arc<PipelineStats>,
    pub(super) limit: Option<Arc<CommonLimit>>,
    pub(super) signal: Arc<Signal>,
    pub(super) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// Whether entries may be stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    /// An earlier process read them, too.
    Again,
}

/// The job was stopped before entries were stored.
#[derive(Debug)]
pub(super) struct Stopped;

impl Outlet {
    /// Stores entries, however long it takes.
    pub(super) fn push(&self, mut entries: Vec<Entry>, novelty: Novelty) -> Result<(), Stopped> {
        self.limit(&mut entries);
        let count = entries.len() as u64;
        let bytes = entries.iter().map(|entry| entry.line.len() as u64).sum();
        if entries.is_empty() {
            return Ok(());
        }
        let batches = batches(entries);
        let mut wait = FIRST_RETRY;
        // After an attempt that failed, a part of them may be stored, too.
        let mut again = novelty == Novelty::Again;
        loop {
            let pushed = match std::mem::replace(&mut again, true) {
                false => self.sink.push(&batches),
                true => self.sink.push_again(&batches),
            };
            match pushed {
                Ok(pushed) => {
                    let mut refused = 0;
                    for (reason, count) in pushed.rejected {
                        self.dropped.dropped_many(&reason, count);
                        refused += count;
                    }
                    self.stats.sent(count.saturating_sub(refused), bytes);
                    return Ok(());
                }
                Err(error) => {
                    if wait == FIRST_RETRY {
                        tracing::warn!(job = &*self.job, %error, "entries wait for the store");
                    }
                    self.stats
                        .retries
                        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
            self.signal.sleep(wait);
            if self.signal.is_stopped() {
                return Err(Stopped);
            }
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    fn limit(&self, entries: &mut Vec<Entry>) {
        let Some(common) = &self.limit else {
            return;
        };
        if common.limit.drop {
            let mut bucket = common.bucket.lock();
            entries.retain(|entry| {
                let takes = bucket.take(1.0, entry.read_ns);
                if !takes {
                    self.dropped.dropped(RATE_REASON);
                }
                takes
            });
            return;
        }
        let wait = common
            .bucket
            .lock()
            .take_late(entries.len() as f64, (self.clock)());
        if !wait.is_zero() {
            self.signal.sleep(wait);
        }
    }

    /// Has the sink put on disk what it has; false where that failed.
    pub(super) fn sync(&self) -> bool {
        match self.sink.sync() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(job = &*self.job, %error, "the store did not sync log entries");
                false
            }
        }
    }
}
