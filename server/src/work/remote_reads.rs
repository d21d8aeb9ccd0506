//! How many remote readers are answered at one time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The gate in front of answers to remote readers.
#[derive(Debug)]
pub(crate) struct RemoteReads {
    /// `None` lets everybody through.
    gate: Option<Arc<Semaphore>>,
    waiting_or_running: Arc<AtomicUsize>,
}

/// A reader that was let in, until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _permit: Option<OwnedSemaphorePermit>,
    _counted: Counted,
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RemoteReads {
    /// Lets so many readers in at one time; 0 is no limit.
    pub(crate) fn new(concurrency: usize) -> RemoteReads {
        let places = concurrency.min(Semaphore::MAX_PERMITS);
        RemoteReads {
            gate: (places > 0).then(|| Arc::new(Semaphore::new(places))),
            waiting_or_running: Arc::default(),
        }
    }

    /// Returns how many readers wait or are answered.
    pub(crate) fn active(&self) -> usize {
        self.waiting_or_running.load(Ordering::Relaxed)
    }

    /// Waits until there is a place.
    pub(crate) async fn enter(&self) -> Admitted {
        self.waiting_or_running.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.waiting_or_running));
        let permit = match &self.gate {
            // The gate is never closed.
            Some(gate) => Arc::clone(gate).acquire_owned().await.ok(),
            None => None,
        };
        Admitted {
            _permit: permit,
            _counted: counted,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_finds_no_place_waits_and_counts() {
        let reads = RemoteReads::new(1);
        let first = reads.enter().await;
        let waits = tokio::time::timeout(Duration::from_millis(10), reads.enter());
        assert!(waits.await.is_err());
        assert_eq!(reads.active(), 1);
        drop(first);
        let _second = reads.enter().await;
        assert_eq!(reads.active(), 1);
    }

    #[tokio::test]
    async fn zero_places_are_no_limit() {
        let reads = RemoteReads::new(0);
        let _many = [reads.enter().await, reads.enter().await];
        assert_eq!(reads.active(), 2);
    }
}
