//! The threads that evaluate queries, and the gate in front of them.
//!
//! The pool has a thread for each query that may run at one time, not one for each
//! core: a few heavy queries then share the cores with the light ones instead of
//! holding them up until they are done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kymo_query::Cancel;
use tokio::sync::{Semaphore, oneshot};

use super::helpers::Helpers;
use crate::clock;

/// Stack of a query's thread. Evaluation recurses once per level of a query; where a query
/// is deep, further pieces of stack come from the heap (`query::promql::deep`), so this need
/// only be enough for what goes on at one level, and for the usual query to need no more.
const STACK_BYTES: usize = 8 << 20;

/// Most threads of the pool, whatever the gate lets through.
const MAX_THREADS: usize = 64;

/// Why a job gave no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    /// Its time was over before it began.
    #[error("query timed out in query queue")]
    QueueTimeout,
    /// The server is shutting down.
    #[error("query was canceled in query queue: server is shutting down")]
    ShuttingDown,
    /// It panicked; the panic is in the log.
    #[error("query failed on an internal error, the log has more")]
    Panicked,
}

/// Runs queries off the threads that serve connections.
#[derive(Debug)]
pub(crate) struct QueryPool {
    pool: rayon::ThreadPool,
    gate: Semaphore,
    concurrency: usize,
    waiting_or_running: Arc<AtomicUsize>,
    helpers: Arc<Helpers>,
}

/// A finished job.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) result: T,
    /// Time spent waiting for the gate and a thread.
    pub(crate) queued: Duration,
    /// Time spent running.
    pub(crate) ran: Duration,
}

impl QueryPool {
    /// Starts the threads; `concurrency` queries may run at one time.
    ///
    /// # Errors
    /// The system refused a thread.
    pub(crate) fn new(concurrency: usize) -> Result<QueryPool, rayon::ThreadPoolBuildError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let concurrency = concurrency.max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .stack_size(STACK_BYTES)
            .num_threads(concurrency.max(cores).min(MAX_THREADS))
            .thread_name(|index| format!("query-{index}"))
            .build()?;
        let waiting_or_running = Arc::new(AtomicUsize::new(0));
        Ok(QueryPool {
            pool,
            gate: Semaphore::new(concurrency),
            concurrency,
            helpers: Arc::new(Helpers::new(cores, Arc::clone(&waiting_or_running))?),
            waiting_or_running,
        })
    }

    /// Returns the threads that may help a query.
    pub(crate) fn helpers(&self) -> Arc<Helpers> {
        Arc::clone(&self.helpers)
    }

    /// Returns how many queries may run at one time.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Returns how many queries wait or run.
    pub(crate) fn active(&self) -> usize {
        self.waiting_or_running.load(Ordering::Relaxed)
    }

    /// Refuses queries that have not begun.
    pub(crate) fn close(&self) {
        self.gate.close();
    }

    /// Runs a query once the gate lets it through. When `timeout` is over, waiting
    /// included, it is told to stop; when the returned future is dropped because
    /// the client went away, too. What it came to is handed to `then`, still on its
    /// thread, whether or not anybody waits for it.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        timeout: Duration,
        job: impl FnOnce(&Cancel) -> T + Send + 'static,
        then: impl FnOnce(&Done<T>) + Send + 'static,
    ) -> Result<Done<T>, Stopped> {
        let _counted = Counted::new(&self.waiting_or_running);
        let asked = clock::monotonic();
        let deadline = tokio::time::Instant::from_std(asked) + timeout;
        let permit = match tokio::time::timeout_at(deadline, self.gate.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_closed)) => return Err(Stopped::ShuttingDown),
            Err(_elapsed) => return Err(Stopped::QueueTimeout),
        };
        let cancel = CancelOnDrop(Arc::new(Cancel::new()));
        let switch = Arc::clone(&cancel.0);
        let mut running = std::pin::pin!(self.spawn(asked, move || job(&switch), then));
        let done = tokio::select! {
            done = &mut running => done,
            () = tokio::time::sleep_until(deadline) => {
                cancel.0.expire();
                running.await
            }
        };
        drop(permit);
        done
    }

    /// Runs something short that computes too much for a connection's thread.
    pub(crate) async fn lookup<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        self.spawn(clock::monotonic(), job, |_| ())
            .await
            .map(|done| done.result)
    }

    async fn spawn<T: Send + 'static>(
        &self,
        asked: Instant,
        job: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&Done<T>) + Send + 'static,
    ) -> Result<Done<T>, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.pool.spawn(move || {
            let began = clock::monotonic();
            // A panic must not take the pool's thread down; nobody sees what the
            // job left half done, because it owns all that it changes.
            let result = catch_unwind(AssertUnwindSafe(job));
            let done = result.map(|result| Done {
                result,
                queued: began.saturating_duration_since(asked),
                ran: clock::monotonic().saturating_duration_since(began),
            });
            let done = done.and_then(|done| {
                catch_unwind(AssertUnwindSafe(|| then(&done)))?;
                Ok(done)
            });
            let _client_gone = sender.send(done.map_err(|_panic| Stopped::Panicked));
        });
        receiver.await.unwrap_or(Err(Stopped::Panicked))
    }
}

struct CancelOnDrop(Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Counted<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn spin_until_stopped(cancel: &Cancel) -> String {
        loop {
            if let Err(error) = cancel.check("a test") {
                return error.to_string();
            }
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_query_over_its_time_is_told_to_stop() {
        let pool = QueryPool::new(2).unwrap();
        let done = pool
            .query(Duration::from_millis(20), spin_until_stopped, |_| ())
            .await
            .unwrap();
        assert_eq!(done.result, "query timed out in a test");
    }

    #[tokio::test]
    async fn a_query_nobody_waits_for_is_told_to_stop() {
        let pool = QueryPool::new(1).unwrap();
        let (sender, receiver) = oneshot::channel();
        let query = pool.query(LONG, spin_until_stopped, move |done| {
            let _ = sender.send(done.result.clone());
        });
        let gone = tokio::time::timeout(Duration::from_millis(20), query).await;
        assert!(gone.is_err());
        assert_eq!(receiver.await.unwrap(), "query was canceled in a test");
        assert_eq!(pool.active(), 0);
    }

    #[tokio::test]
    async fn waiting_for_the_gate_counts_as_query_time() {
        let pool = QueryPool::new(1).unwrap();
        let first = pool.query(Duration::from_millis(100), spin_until_stopped, |_| ());
        let second = pool.query(Duration::from_millis(10), |_| (), |_| ());
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first.unwrap().result, "query timed out in a test");
        assert_eq!(second.unwrap_err(), Stopped::QueueTimeout);
        pool.close();
        let third = pool.query(LONG, |_| (), |_| ()).await;
        assert_eq!(third.unwrap_err(), Stopped::ShuttingDown);
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_the_pool_goes_on() {
        let pool = QueryPool::new(1).unwrap();
        let panicked = pool.lookup(|| -> i32 { panic!("boom") }).await;
        assert_eq!(panicked.unwrap_err(), Stopped::Panicked);
        assert_eq!(pool.lookup(|| 7).await.unwrap(), 7);
    }
}
