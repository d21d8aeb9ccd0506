//! The thread that keeps the store of logs in shape.
//!
//! ```text
//! every 250 ms   what is in memory to parts, when it is much or old
//! every 10 s     retention, deletions, merges of parts
//! ```
//!
//! It is beside that of metrics, so that neither waits for the other; both have a low
//! priority and sleep as long as they work. Near the memory limit entries go to parts at
//! once, however few there are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kymo_query::logql;
use kymo_storage::StorageError;
use kymo_storage::logs::{LogRetention, LogStore, Maintained, StreamRetention};
use tracing::{error, info, warn};

use crate::app::App;
use crate::clock;
use crate::work::maintenance::{Signal, lower_priority, pace, report};

/// Pause between two looks at what is due.
const TICK: Duration = Duration::from_millis(250);
/// Pause between two rounds of retention, deletions and merges.
const MAINTAIN_EVERY: Duration = Duration::from_secs(10);

/// The running thread.
#[derive(Debug)]
pub(crate) struct LogMaintenance {
    thread: JoinHandle<()>,
    signal: Arc<Signal>,
}

impl LogMaintenance {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refused a thread.
    pub(crate) fn start(app: Arc<App>, store: Arc<LogStore>) -> std::io::Result<LogMaintenance> {
        let signal = Arc::new(Signal::default());
        let mut caretaker = Caretaker {
            app,
            store,
            signal: Arc::clone(&signal),
            failing: BTreeSet::new(),
        };
        let thread = std::thread::Builder::new()
            .name("log-maintenance".to_owned())
            .spawn(move || caretaker.run())?;
        Ok(LogMaintenance { thread, signal })
    }

    /// Breaks off what is being done, and waits until the thread has ended.
    pub(crate) fn stop(self) {
        self.signal.stop();
        if self.thread.join().is_err() {
            error!("the maintenance of the store of logs panicked");
        }
    }
}

struct Caretaker {
    app: Arc<App>,
    store: Arc<LogStore>,
    signal: Arc<Signal>,
    /// Jobs whose last try failed.
    failing: BTreeSet<&'static str>,
}

impl Caretaker {
    fn run(&mut self) {
        lower_priority();
        let mut next_round = clock::monotonic();
        while !self.signal.wait(TICK) {
            if self.store.flush_is_due(clock::now_ns()) || self.app.memory.is_full() {
                let flushed = self.store.flush(&mut pace(Arc::clone(&self.signal)));
                if self.app.memory.is_full() {
                    self.store.release_memory();
                    if flushed.as_ref().is_ok_and(|entries| *entries > 0) {
                        self.app.measure();
                    }
                }
                self.judge("write logs to parts", flushed);
            }
            if clock::monotonic() >= next_round {
                self.maintain();
                next_round = clock::monotonic() + MAINTAIN_EVERY;
            }
            for damage in self.store.take_damages() {
                report(&damage);
            }
        }
    }

    fn maintain(&mut self) {
        let began = clock::monotonic();
        let retention = self.app.log_retention();
        let mut pace = pace(Arc::clone(&self.signal));
        let done = self.store.maintain(clock::now_ns(), &retention, &mut pace);
        if let Ok(done) = &done
            && *done != Maintained::default()
        {
            describe(done, began);
        }
        self.judge("keep the store of logs in shape", done);
    }

    /// Says what failed, once until it works.
    fn judge<T>(&mut self, job: &'static str, outcome: Result<T, StorageError>) {
        match outcome {
            Ok(_) => {
                self.failing.remove(job);
            }
            Err(StorageError::Stopped) => {}
            Err(error) if self.failing.insert(job) => {
                let error: &dyn std::error::Error = &error;
                error!(
                    error,
                    job, "maintenance of the store of logs failed, and is tried again"
                );
            }
            Err(_) => {}
        }
    }
}

fn describe(done: &Maintained, began: Instant) {
    let Maintained {
        flushed,
        merged,
        cleaned,
        dropped_by_time,
        dropped_by_size,
        ..
    } = done;
    let took = began.elapsed();
    info!(
        flushed,
        merged,
        cleaned,
        dropped_by_time,
        dropped_by_size,
        ?took,
        "store of logs compacted"
    );
}

impl App {
    /// Returns how long logs are kept, and how much of them.
    pub(crate) fn log_retention(&self) -> LogRetention {
        let config = &self.config.current().logs;
        let flags = &self.flags.logs;
        let streams = config.retention_streams.iter().filter_map(|rule| {
            match logql::parse_matchers(&rule.selector) {
                Ok(matchers) => Some(StreamRetention {
                    matchers,
                    time_ns: rule.period_ns(),
                }),
                Err(error) => {
                    // The configuration was checked.
                    warn!(%error, selector = rule.selector, "a rule of retention cannot be used");
                    None
                }
            }
        });
        LogRetention {
            time_ns: config.retention_ns(flags.logs_retention_time),
            size_bytes: (flags.logs_retention_size > 0).then_some(flags.logs_retention_size),
            streams: streams.collect(),
        }
    }

    /// Measures the memory of the stores now.
    pub(crate) fn measure(&self) {
        if let Ok(core) = self.core() {
            self.memory.measured(core.store_bytes());
        }
    }
}
