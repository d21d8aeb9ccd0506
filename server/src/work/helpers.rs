//! Cores that no query needs, lent to the queries that run.
//!
//! A query alone may use all cores; as soon as there are as many queries as cores,
//! each has its own thread and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kymo_query::Workers;

/// Threads that help, one less than there are cores.
#[derive(Debug)]
pub(crate) struct Helpers {
    pool: rayon::ThreadPool,
    /// Cores, and what is at work on them.
    cores: usize,
    queries: Arc<AtomicUsize>,
    lent: Arc<AtomicUsize>,
}

impl Helpers {
    /// Starts the threads. `queries` counts the queries that wait or run.
    ///
    /// # Errors
    /// The system refused a thread.
    pub(crate) fn new(
        cores: usize,
        queries: Arc<AtomicUsize>,
    ) -> Result<Helpers, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(cores.saturating_sub(1).max(1))
            .thread_name(|index| format!("query-help-{index}"))
            .build()?;
        Ok(Helpers {
            pool,
            cores,
            queries,
            lent: Arc::new(AtomicUsize::new(0)),
        })
    }

    fn busy(&self) -> usize {
        self.queries.load(Ordering::Relaxed) + self.lent.load(Ordering::Relaxed)
    }
}

impl Workers for Helpers {
    fn idle(&self) -> usize {
        self.cores.saturating_sub(self.busy())
    }

    fn start(&self, help: Box<dyn FnOnce() + Send>) {
        let lent = Lent::new(&self.lent);
        self.pool.spawn(move || {
            // The query meets the same panic on its own thread, where it is told.
            let _panicked = catch_unwind(AssertUnwindSafe(help));
            drop(lent);
        });
    }

    fn may_go_on(&self) -> bool {
        self.busy() <= self.cores
    }
}

/// A thread that is lent until this is dropped.
struct Lent(Arc<AtomicUsize>);

impl Lent {
    fn new(count: &Arc<AtomicUsize>) -> Lent {
        count.fetch_add(1, Ordering::Relaxed);
        Lent(Arc::clone(count))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_lent_while_there_are_fewer_queries() {
        let queries = Arc::new(AtomicUsize::new(1));
        let helpers = Helpers::new(2, Arc::clone(&queries)).unwrap();
        assert_eq!(helpers.idle(), 1);
        let (hold, held) = std::sync::mpsc::channel::<()>();
        helpers.start(Box::new(move || {
            let _ended = held.recv();
        }));
        assert_eq!((helpers.idle(), helpers.may_go_on()), (0, true));
        queries.store(2, Ordering::Relaxed);
        assert!(!helpers.may_go_on());
        drop(hold);
        while helpers.busy() > 2 {
            std::thread::yield_now();
        }
        assert_eq!(helpers.idle(), 0);
        queries.store(0, Ordering::Relaxed);
        let (gone, closed) = std::sync::mpsc::channel::<()>();
        drop(gone);
        helpers.start(Box::new(move || closed.recv().unwrap()));
        while helpers.busy() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(helpers.idle(), 2);
    }
}
