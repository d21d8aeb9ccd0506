//! What a query is allowed to cost, and how it is stopped.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::QueryError;

const RUNNING: u8 = 0;
const CANCELED: u8 = 1;
const EXPIRED: u8 = 2;

/// A switch that stops a running query from outside; the first call decides.
///
/// The crate reads no clock: whoever runs the query watches its deadline and calls
/// [`Cancel::expire`]. Evaluation looks at the switch at least once per series and
/// once per step.
#[derive(Debug, Default)]
pub struct Cancel {
    state: AtomicU8,
}

impl Cancel {
    /// Returns a switch that nobody has touched.
    pub const fn new() -> Cancel {
        Cancel {
            state: AtomicU8::new(RUNNING),
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

/// Counts the samples that a query holds, as Prometheus counts them.
#[derive(Debug)]
pub(crate) struct Budget {
    held: usize,
    peak: usize,
    max: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Budget {
        Budget {
            held: 0,
            peak: 0,
            max,
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

    /// Checks that `n` samples may be held for a moment on top of the others.
    pub(crate) fn touch(&mut self, n: usize) -> Result<(), QueryError> {
        self.hold(n)?;
        self.held -= n;
        Ok(())
    }

    /// Returns the number of samples held now.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Returns the largest number of samples held at one time.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// Goes back to a number of held samples, when intermediate results are dropped.
    pub(crate) fn reset_to(&mut self, held: usize) {
        self.held = held;
        self.peak = self.peak.max(held);
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
        let mut budget = Budget::new(10);
        budget.hold(4).unwrap();
        budget.touch(6).unwrap();
        assert_eq!((budget.held(), budget.peak()), (4, 10));
        assert!(matches!(budget.touch(7), Err(QueryError::TooManySamples)));
    }
}
