//! What a query is allowed to cost, and how it is stopped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::QueryError;

const RUNNING: u8 = 0;
const CANCELED: u8 = 1;
const EXPIRED: u8 = 2;

/// A switch that stops a running query from outside; the first call decides. Clones
/// are the same switch.
///
/// The crate reads no clock: whoever runs the query watches its deadline and calls
/// [`Cancel::expire`]. Evaluation looks at the switch at least once per series and
/// once per step.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    state: Arc<AtomicU8>,
}

impl Cancel {
    /// Returns a switch that nobody has touched.
    pub fn new() -> Cancel {
        Cancel {
            state: Arc::new(AtomicU8::new(RUNNING)),
        }
    }

    /// Stops the query because its answer is no longer wanted.
    pub fn cancel(&self) {
        self.stop(CANCELED);
    }

    /// Stops the query because its time is over.
    pub fn expire(&self) {
        self.stop(EXPIRED);
    }

    /// Returns the error of a stopped query. `place` completes its text:
    /// `query timed out in PLACE`.
    ///
    /// # Errors
    /// [`QueryError::Canceled`] or [`QueryError::Timeout`] once stopped.
    pub fn check(&self, place: &'static str) -> Result<(), QueryError> {
        match self.state.load(Ordering::Relaxed) {
            CANCELED => Err(QueryError::Canceled(place)),
            EXPIRED => Err(QueryError::Timeout(place)),
            _ => Ok(()),
        }
    }

    fn stop(&self, state: u8) {
        // A query that was stopped twice keeps its first reason; losing the race is fine.
        let _ = self
            .state
            .compare_exchange(RUNNING, state, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Bytes that are taken from a pool at a time.
const STEP_BYTES: u64 = 64 << 10;

/// Memory that all queries draw from together, kept by whoever runs them.
pub trait MemoryPool: fmt::Debug + Send + Sync {
    /// Takes bytes out of the pool; `false` where it does not have them.
    fn take(&self, bytes: u64) -> bool;

    /// Puts back what was taken.
    fn give_back(&self, bytes: u64);
}

/// Memory taken from a [`MemoryPool`]. It goes back when this is dropped.
#[derive(Debug, Default)]
pub struct MemoryGrant {
    pool: Option<Arc<dyn MemoryPool>>,
    bytes: u64,
}

impl MemoryGrant {
    /// Takes memory for something that is no query; `None` where there is none.
    pub fn take(pool: Arc<dyn MemoryPool>, bytes: u64) -> Option<MemoryGrant> {
        let mut grant = MemoryGrant {
            pool: Some(pool),
            bytes: 0,
        };
        grant.grow_to(bytes).then_some(grant)
    }

    /// Returns how much is held, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if let Some(pool) = &self.pool
            && !pool.take(more)
        {
            return false;
        }
        self.bytes += more;
        true
    }

    fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        if let Some(pool) = &self.pool {
            pool.give_back(less);
        }
        self.bytes -= less;
    }
}

impl Drop for MemoryGrant {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// What a query holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) samples: usize,
    pub(crate) bytes: u64,
}

/// The peak before one that is measured by itself.
#[derive(Debug)]
pub(crate) struct OuterPeak(usize);

/// Counts what a query holds: samples, as Prometheus counts them, and bytes of memory,
/// as they are.
///
/// What was taken from the pool is kept until the query ends, because the next operator
/// is going to need it.
#[derive(Debug)]
pub(crate) struct Budget {
    held: usize,
    peak: usize,
    max: usize,
    /// Bytes of what is held: selections, rows, groups.
    held_bytes: u64,
    /// Bytes of what is kept aside, whatever is held.
    kept_bytes: u64,
    max_bytes: u64,
    grant: MemoryGrant,
}

impl Budget {
    /// Returns a budget of `max` samples and `max_bytes` bytes, taken from `pool`.
    pub(crate) fn new(max: usize, max_bytes: u64, pool: Option<Arc<dyn MemoryPool>>) -> Budget {
        Budget {
            held: 0,
            peak: 0,
            max,
            held_bytes: 0,
            kept_bytes: 0,
            max_bytes,
            grant: MemoryGrant { pool, bytes: 0 },
        }
    }

    /// Counts `n` more samples as held.
    pub(crate) fn hold(&mut self, n: usize) -> Result<(), QueryError> {
        self.held += n;
        self.peak = self.peak.max(self.held);
        if self.held > self.max {
            return Err(QueryError::TooManySamples);
        }
        Ok(())
    }

    /// Counts memory as held.
    #[inline]
    pub(crate) fn hold_bytes(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.held_bytes = self.held_bytes.saturating_add(bytes as u64);
        self.touch_bytes(0)
    }

    /// Counts memory as no longer held.
    pub(crate) fn release_bytes(&mut self, bytes: usize) {
        self.held_bytes = self.held_bytes.saturating_sub(bytes as u64);
    }

    /// Counts memory as kept until it is dropped with [`Budget::drop_bytes`]. Where there
    /// is none nothing changes, and the answer is `false`.
    pub(crate) fn keep_bytes(&mut self, bytes: usize) -> bool {
        let fits = self.touch_bytes(bytes).is_ok();
        if fits {
            self.kept_bytes += bytes as u64;
        }
        fits
    }

    /// Counts memory as no longer kept.
    pub(crate) fn drop_bytes(&mut self, bytes: usize) {
        self.kept_bytes = self.kept_bytes.saturating_sub(bytes as u64);
    }

    /// Checks that there is memory for `bytes` more for a moment.
    #[inline]
    pub(crate) fn touch_bytes(&mut self, bytes: usize) -> Result<(), QueryError> {
        let needed = (self.held_bytes + self.kept_bytes).saturating_add(bytes as u64);
        if needed <= self.grant.bytes {
            return Ok(());
        }
        self.take(needed)
    }

    #[cold]
    fn take(&mut self, needed: u64) -> Result<(), QueryError> {
        if needed > self.max_bytes {
            return Err(QueryError::TooMuchMemory {
                limit_bytes: self.max_bytes,
            });
        }
        let rounded = needed.div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES);
        if self.grant.grow_to(rounded.min(self.max_bytes)) {
            Ok(())
        } else {
            Err(QueryError::NoMemory)
        }
    }

    /// Ends counting and returns what is held for a result of `bytes` bytes.
    pub(crate) fn into_grant(mut self, bytes: u64) -> MemoryGrant {
        self.grant.shrink_to(bytes);
        self.grant
    }

    /// Checks that `n` samples may be held for a moment on top of the others.
    pub(crate) fn touch(&mut self, n: usize) -> Result<(), QueryError> {
        self.hold(n)?;
        self.held -= n;
        Ok(())
    }

    /// Returns what is held now.
    pub(crate) fn held(&self) -> Held {
        Held {
            samples: self.held,
            bytes: self.held_bytes,
        }
    }

    /// Returns the largest number of samples held at one time.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// Begins a peak of its own, which [`Budget::end_peak`] tells.
    pub(crate) fn begin_peak(&mut self) -> OuterPeak {
        OuterPeak(std::mem::replace(&mut self.peak, self.held))
    }

    /// Returns the largest number of samples held since, and goes on with the peak of all.
    pub(crate) fn end_peak(&mut self, OuterPeak(outer): OuterPeak) -> usize {
        let peak = self.peak;
        self.peak = outer.max(peak);
        peak
    }

    /// Goes back to what was held, when intermediate results are dropped.
    pub(crate) fn reset_to(&mut self, held: Held) {
        self.held = held.samples;
        self.held_bytes = held.bytes;
        self.peak = self.peak.max(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_to_stop_stays() {
        let cancel = Cancel::new();
        assert!(cancel.check("query execution").is_ok());
        cancel.expire();
        cancel.cancel();
        let error = cancel.check("query execution").unwrap_err();
        assert_eq!(error.to_string(), "query timed out in query execution");
    }

    #[test]
    fn a_budget_remembers_its_peak_and_refuses_what_is_over() {
        let mut budget = Budget::new(10, u64::MAX, None);
        budget.hold(4).unwrap();
        budget.touch(6).unwrap();
        assert_eq!((budget.held().samples, budget.peak()), (4, 10));
        assert!(matches!(budget.touch(7), Err(QueryError::TooManySamples)));
    }

    #[derive(Debug)]
    struct Pool(std::sync::Mutex<u64>);

    impl MemoryPool for Pool {
        fn take(&self, bytes: u64) -> bool {
            let mut free = self.0.lock().unwrap();
            let left = free.checked_sub(bytes);
            *free = left.unwrap_or(*free);
            left.is_some()
        }

        fn give_back(&self, bytes: u64) {
            *self.0.lock().unwrap() += bytes;
        }
    }

    #[test]
    fn bytes_come_from_the_pool_and_go_back() {
        let pool = Arc::new(Pool(std::sync::Mutex::new(1 << 20)));
        let free = || *pool.0.lock().unwrap();
        let budget = |max_bytes| Budget::new(usize::MAX, max_bytes, Some(pool.clone()));

        let mut first = budget(u64::MAX);
        first.hold_bytes(16_000).unwrap();
        first.hold_bytes(50_000).unwrap();
        assert_eq!(free(), (1 << 20) - 2 * STEP_BYTES);
        // What is looked at for a moment is taken and kept for the next moment.
        first.touch_bytes(500_000).unwrap();
        first.touch_bytes(500_000).unwrap();
        let taken = (1 << 20) - free();
        assert!((566_000..566_000 + STEP_BYTES).contains(&taken), "{taken}");

        let mut second = budget(u64::MAX);
        assert!(matches!(
            second.hold_bytes(500_000),
            Err(QueryError::NoMemory)
        ));
        let mut small = budget(1000);
        small.hold_bytes(600).unwrap();
        let before = small.held();
        small.hold_bytes(400).unwrap();
        small.release_bytes(400);
        small.hold_bytes(400).unwrap();
        small.reset_to(before);
        small.touch_bytes(400).unwrap();
        let refused = small.hold_bytes(401).unwrap_err();
        assert!(matches!(
            refused,
            QueryError::TooMuchMemory { limit_bytes: 1000 }
        ));
        drop((second, small));
        assert_eq!(free(), (1 << 20) - taken);

        let grant = first.into_grant(16_000);
        assert_eq!((grant.bytes(), free()), (16_000, (1 << 20) - 16_000));
        drop(grant);
        assert_eq!(free(), 1 << 20);
    }
}
