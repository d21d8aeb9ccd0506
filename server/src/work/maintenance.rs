//! The thread that keeps the store in shape.
//!
//! ```text
//! every 250 ms   full pages of the head to disk; a snapshot of the head when one is due;
//!                the oldest range of a head that is long to a block
//! every minute   merges of blocks, retention
//! every day      every byte of the blocks against its checksum
//! ```
//!
//! It is one thread, so that two jobs never compete for the disk, and it has a low
//! priority, which on Linux holds for its reads and writes as well. Work on blocks comes
//! in pieces of a few milliseconds, and as long as each took the thread sleeps behind it:
//! ingest and queries get the other half. A job that fails is tried again when
//! its time comes, and said once until it works.
//!
//! Near the memory limit nothing is stored, so the newest sample stays where it is, and
//! no block would ever be due. The head then goes to blocks by the clock, however short
//! it is, and the series that ended go with it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kymo_storage::StorageError;
use kymo_storage::logs::LogStore;
use kymo_storage::metrics::{Compacted, Damage, MetricStore};
use parking_lot::{Condvar, Mutex};
use tracing::{error, info, warn};

use crate::app::App;
use crate::clock;
use crate::work::background::Stores;

/// Pause between two looks at what is due.
const TICK: Duration = Duration::from_millis(250);
/// Pause between two compactions; Prometheus' own.
const COMPACT_EVERY: Duration = Duration::from_secs(60);
/// The same while nothing is stored for want of memory.
const COMPACT_EVERY_WHEN_FULL: Duration = Duration::from_secs(5);
/// Pause between two scrubs.
const SCRUB_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Least pause behind a snapshot, and how many times as long as it took.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(500);
const SNAPSHOT_SHARE: u32 = 10;
/// Work after which the thread sleeps, and how long it sleeps at most.
const SLICE: Duration = Duration::from_millis(2);
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// Age from which a series that ended no longer needs an open chunk, and from which the
/// head may leave memory when that is short.
const SETTLED_AFTER_MS: i64 = 10 * 60_000;
/// Name of the job that failures of compactions are noted under.
const COMPACTION: &str = "compact the store";
/// Niceness of the thread.
const NICE: i32 = 10;

/// The running thread.
#[derive(Debug)]
pub(crate) struct Maintenance {
    thread: JoinHandle<()>,
    signal: Arc<Signal>,
}

/// Tells the thread to stop, and wakes it.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    stopping: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Waits for at most `limit`; true when it is time to stop.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.changed.wait_for(&mut stopping, limit);
        }
        *stopping
    }

    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.changed.notify_all();
    }
}

impl Maintenance {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refused a thread.
    pub(crate) fn start(app: Arc<App>, stores: Stores) -> std::io::Result<Maintenance> {
        let signal = Arc::new(Signal::default());
        let mut caretaker = Caretaker::new(app, stores, Arc::clone(&signal));
        let thread = std::thread::Builder::new()
            .name("maintenance".to_owned())
            .spawn(move || caretaker.run())?;
        Ok(Maintenance { thread, signal })
    }

    /// Breaks off what is being done, and waits until the thread has ended.
    pub(crate) fn stop(self) {
        self.signal.stop();
        if self.thread.join().is_err() {
            error!("the maintenance of the store panicked");
        }
    }
}

/// What the thread knows.
struct Caretaker {
    app: Arc<App>,
    store: Arc<MetricStore>,
    logs: Arc<LogStore>,
    signal: Arc<Signal>,
    next_snapshot: Instant,
    /// End of the last compaction.
    compacted: Option<Instant>,
    next_scrub: Instant,
    /// Jobs whose last try failed.
    failing: BTreeSet<&'static str>,
}

impl Caretaker {
    fn new(app: Arc<App>, stores: Stores, signal: Arc<Signal>) -> Caretaker {
        let now = clock::monotonic();
        Caretaker {
            app,
            store: stores.metrics,
            logs: stores.logs,
            signal,
            next_snapshot: now,
            compacted: None,
            next_scrub: now + SCRUB_EVERY,
            failing: BTreeSet::new(),
        }
    }

    fn run(&mut self) {
        lower_priority();
        self.check_head();
        while !self.signal.wait(TICK) {
            let now = clock::monotonic();
            let flushed = self.store.flush_pages();
            self.judge("write pages of the head", flushed);
            if now >= self.next_snapshot && self.store.snapshot_is_due() {
                self.snapshot();
            }
            if self.compaction_is_due(now) {
                self.compact();
            }
            if now >= self.next_scrub {
                self.scrub();
            }
            for damage in self.store.take_damages() {
                report(&damage);
            }
        }
    }

    /// Pages that an earlier process wrote were not read at the start.
    fn check_head(&self) {
        for damage in self.store.verify_head() {
            report(&damage);
        }
    }

    fn snapshot(&mut self) {
        let began = clock::monotonic();
        let taken = self.store.snapshot_head();
        let took = began.elapsed();
        self.next_snapshot = clock::monotonic() + SNAPSHOT_PAUSE.max(took * SNAPSHOT_SHARE);
        if taken.is_ok() {
            self.app.metrics.store.snapshot_taken(clock::now_ms());
        }
        self.judge("take a snapshot of the head", taken);
    }

    fn compaction_is_due(&self, now: Instant) -> bool {
        let pause = match self.app.memory.is_full() {
            true => COMPACT_EVERY_WHEN_FULL,
            false => COMPACT_EVERY,
        };
        self.compacted
            .is_none_or(|last| now.duration_since(last) >= pause)
            // After a failure it waits for its minute.
            || (!self.failing.contains(COMPACTION) && self.store.flush_is_due())
    }

    fn compact(&mut self) {
        let (store, metrics) = (Arc::clone(&self.store), &self.app.metrics.store);
        let began = clock::monotonic();
        metrics.compaction_triggered();
        store.retire_ended(clock::now_ms() - SETTLED_AFTER_MS);
        let retention = self.app.store_retention();
        let mut outcome = match (retention.time_ms, store.newest_time_ms()) {
            (Some(kept_ms), Some(newest_ms)) => {
                store.truncate_before(newest_ms.saturating_sub(kept_ms))
            }
            _ => Ok(()),
        };
        if outcome.is_ok() {
            let compacted = store.compact(&retention, &mut self.pace());
            outcome = compacted.map(|done| {
                if done != Compacted::default() {
                    let took = began.elapsed();
                    self.app.metrics.store.compacted(took);
                    describe(&done, took);
                }
            });
        }
        if outcome.is_ok() && self.app.memory.is_full() {
            outcome = self.relieve();
        }
        self.compacted = Some(clock::monotonic());
        self.judge(COMPACTION, outcome);
    }

    /// Moves what has settled from the head to blocks, though it is not due.
    fn relieve(&mut self) -> Result<(), StorageError> {
        let store = Arc::clone(&self.store);
        store.flush_before(clock::now_ms() - SETTLED_AFTER_MS, &mut self.pace())?;
        self.app
            .memory
            .measured(store.memory_bytes() + self.logs.memory_bytes());
        Ok(())
    }

    fn scrub(&mut self) {
        let store = Arc::clone(&self.store);
        let began = clock::monotonic();
        let outcome = store.scrub(&mut self.pace());
        self.next_scrub = clock::monotonic() + SCRUB_EVERY;
        if outcome.is_ok() {
            info!(took = ?began.elapsed(), "all blocks were checked");
            self.app.metrics.store.scrubbed(clock::now_ms());
        }
        self.judge("check the blocks", outcome);
    }

    /// Says what failed, once until it works.
    fn judge<T>(&mut self, job: &'static str, outcome: Result<T, StorageError>) {
        match outcome {
            Ok(_) => {
                self.failing.remove(job);
            }
            Err(StorageError::Stopped) => {}
            Err(error) => {
                if self.failing.insert(job) {
                    let error: &dyn std::error::Error = &error;
                    error!(
                        error,
                        job, "maintenance of the store failed, and is tried again"
                    );
                }
            }
        }
    }

    fn pace(&self) -> impl FnMut() -> ControlFlow<()> + use<> {
        pace(Arc::clone(&self.signal))
    }
}

/// Sleeps as long as the work took, and breaks off when it is time to stop.
pub(crate) fn pace(signal: Arc<Signal>) -> impl FnMut() -> ControlFlow<()> {
    let mut awake_since = clock::monotonic();
    move || {
        let worked = awake_since.elapsed();
        let stopping = match worked < SLICE {
            true => signal.wait(Duration::ZERO),
            false => signal.wait(worked.min(LONGEST_SLEEP)),
        };
        if worked >= SLICE {
            awake_since = clock::monotonic();
        }
        match stopping {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Names damage in the log.
pub(crate) fn report(damage: &Damage) {
    error!(
        file = %damage.path.display(),
        offset = damage.offset,
        lost_bytes = damage.lost_bytes,
        detail = %damage.detail,
        "stored bytes are damaged"
    );
}

fn describe(done: &Compacted, took: Duration) {
    let Compacted {
        flushed,
        late_blocks,
        merged,
        dropped_by_time,
        dropped_by_size,
        ..
    } = done;
    info!(
        flushed,
        late_blocks,
        merged,
        dropped_by_time,
        dropped_by_size,
        ?took,
        "store compacted"
    );
}

/// Niceness is a matter of threads on Linux, where the order of disk requests follows it.
pub(crate) fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        warn!(%error, "the maintenance of the store runs with ordinary priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_paced_and_broken_off() {
        let signal = Arc::new(Signal::default());
        let mut paced = pace(Arc::clone(&signal));
        let began = clock::monotonic();
        for _ in 0..5 {
            let until = clock::monotonic() + SLICE;
            while clock::monotonic() < until {
                std::hint::spin_loop();
            }
            assert_eq!(paced(), ControlFlow::Continue(()));
        }
        // Five pieces of work, and five times as much sleep.
        assert!(began.elapsed() >= SLICE * 10, "{:?}", began.elapsed());
        signal.stop();
        assert_eq!(paced(), ControlFlow::Break(()));
        assert!(signal.wait(Duration::from_secs(60)));
    }

    #[test]
    fn a_thread_can_be_made_nicer() {
        let niceness = std::thread::spawn(|| {
            lower_priority();
            rustix::process::getpriority_process(None).unwrap()
        });
        assert_eq!(niceness.join().unwrap(), NICE);
        assert_ne!(rustix::process::getpriority_process(None).unwrap(), NICE);
    }
}
