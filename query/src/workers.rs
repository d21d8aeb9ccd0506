//! Threads that help with a query.

use std::fmt;

/// Lends threads to queries: for a server that knows how many are idle.
///
/// A query never waits for a helper that has not begun, so a pool may start what it
/// was given whenever it likes, or drop it. What a query answers does not depend on
/// how many help.
pub trait Workers: fmt::Debug + Send + Sync {
    /// Returns how many threads besides the calling one a query may use now. It is
    /// asked before each reading of many series.
    fn idle(&self) -> usize;

    /// Runs `help` on another thread, soon.
    fn start(&self, help: Box<dyn FnOnce() + Send>);

    /// Tells whether a running helper may go on. It is asked on the helper's thread
    /// every few milliseconds of work.
    fn may_go_on(&self) -> bool {
        true
    }
}
