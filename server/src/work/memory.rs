//! One budget for all memory that grows with use.
//!
//! ```text
//! 0                                             13/16    7/8   15/16    limit
//! | the store: measured, and no longer written to  |======|      |       |
//! |                                                  bodies |====|       |
//! |                                     queries |........................|
//! ```
//!
//! The store cannot say beforehand what a write will cost, so it is measured, once a
//! second and whenever much was received. Above seven eighths of the limit nothing more
//! is stored, until it is below thirteen sixteenths: the gap keeps the server from
//! changing its mind with every request. What is left then belongs to reading: bodies
//! of requests and queries have a sixteenth each that nobody else can take.
//!
//! **Invariant:** bodies never hold more than their sixteenth (or 256 MiB), and queries,
//! one or all, never more than a quarter of the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kymo_query::{MemoryGrant, MemoryPool};
use tracing::{info, warn};

/// Most bytes of bodies, however high the limit is.
const MAX_BODIES_BYTES: u64 = 256 << 20;

/// The budget. Bytes of the store are as of the last look; the others are exact.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    store: AtomicU64,
    bodies: AtomicU64,
    queries: AtomicU64,
    /// Bytes received since the store was last looked at.
    received: AtomicU64,
    /// Nothing more is stored.
    full: AtomicBool,
    refusals: [AtomicU64; Refused::ALL.len()],
}

/// What was refused for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A request to store something.
    Write,
    /// A scrape.
    Scrape,
    /// A request whose body found no room.
    Body,
    /// A query, or a step of it.
    Query,
    /// The results of a rule.
    Rule,
}

impl Refused {
    pub(crate) const ALL: [Refused; 5] = [
        Refused::Write,
        Refused::Scrape,
        Refused::Body,
        Refused::Query,
        Refused::Rule,
    ];

    /// Returns the word of the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Refused::Write => "write",
            Refused::Scrape => "scrape",
            Refused::Body => "body",
            Refused::Query => "query",
            Refused::Rule => "rule",
        }
    }
}

/// The store holds as much as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory limit reached: the store holds {store_bytes} bytes, of {limit_bytes} for everything \
     (--memory.limit); nothing is stored until it holds less; \
     send or scrape fewer series, or raise the limit"
)]
pub(crate) struct Full {
    store_bytes: u64,
    limit_bytes: u64,
}

impl Memory {
    /// Returns a budget of `limit` bytes of which nothing is used.
    pub(crate) fn new(limit: u64) -> Memory {
        Memory {
            limit,
            store: AtomicU64::new(0),
            bodies: AtomicU64::new(0),
            queries: AtomicU64::new(0),
            received: AtomicU64::new(0),
            full: AtomicBool::new(false),
            refusals: Default::default(),
        }
    }

    /// Returns the limit in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the most that one query may hold, in bytes.
    pub(crate) fn query_share(&self) -> u64 {
        self.limit / 4
    }

    /// Takes note of how much the store holds, and decides whether it is written to.
    pub(crate) fn measured(&self, store_bytes: u64) {
        self.store.store(store_bytes, Ordering::Relaxed);
        self.received.store(0, Ordering::Relaxed);
        let limit = self.limit;
        let was_full = self.full.load(Ordering::Relaxed);
        let is_full = if was_full {
            store_bytes > limit / 16 * 13
        } else {
            store_bytes > limit / 8 * 7
        };
        // Of two measurements at one time, one says it.
        if is_full == was_full || self.full.swap(is_full, Ordering::Relaxed) == is_full {
            return;
        }
        if is_full {
            warn!(
                store_bytes,
                limit, "memory limit reached, nothing more is stored; reads go on"
            );
        } else {
            info!(
                store_bytes,
                limit, "memory is below its limit, storing again"
            );
        }
    }

    /// Takes note of received bytes. Returns whether the store has to be measured now,
    /// because a second may be too long to wait.
    pub(crate) fn received(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let since = self.received.fetch_add(bytes, Ordering::Relaxed) + bytes;
        since > self.limit / 64
    }

    /// Tells whether something may be stored, and counts it where not.
    ///
    /// # Errors
    /// The store holds as much as it may.
    pub(crate) fn admit(&self, what: Refused) -> Result<(), Full> {
        if !self.is_full() {
            return Ok(());
        }
        self.refuse(what);
        Err(Full {
            store_bytes: self.store.load(Ordering::Relaxed),
            limit_bytes: self.limit,
        })
    }

    /// Takes memory for a body, or for what it unpacks to; `None` where there is none.
    pub(crate) fn body(self: &Arc<Memory>, bytes: u64) -> Option<BodyMemory> {
        let most = (self.limit / 16).min(MAX_BODIES_BYTES);
        if !take(&self.bodies, bytes, most) {
            self.refuse(Refused::Body);
            return None;
        }
        Some(BodyMemory {
            memory: Arc::clone(self),
            bytes,
        })
    }

    /// Takes memory of queries for an answer made of `bytes` bytes: what was found, and
    /// the text of it, which is escaped and grows while it is written.
    pub(crate) fn for_answer(self: &Arc<Memory>, bytes: usize) -> Option<Arc<MemoryGrant>> {
        let pool = Arc::clone(self) as Arc<dyn MemoryPool>;
        let grant = MemoryGrant::take(pool, (bytes as u64).saturating_mul(3))?;
        Some(Arc::new(grant))
    }

    /// Tells whether nothing more is stored.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Returns the bytes in use, by purpose.
    pub(crate) fn used(&self) -> [(&'static str, u64); 3] {
        [
            ("store", self.store.load(Ordering::Relaxed)),
            ("bodies", self.bodies.load(Ordering::Relaxed)),
            ("queries", self.queries.load(Ordering::Relaxed)),
        ]
    }

    /// Returns how often something was refused.
    pub(crate) fn refusals(&self, what: Refused) -> u64 {
        self.refusals[what as usize].load(Ordering::Relaxed)
    }

    fn refuse(&self, what: Refused) {
        self.refusals[what as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl MemoryPool for Memory {
    fn take(&self, bytes: u64) -> bool {
        let [(_, store), (_, bodies), _] = self.used();
        let free = self.limit.saturating_sub(store + bodies);
        let most = free.min(self.limit / 4).max(self.limit / 16);
        let taken = take(&self.queries, bytes, most);
        if !taken {
            self.refuse(Refused::Query);
        }
        taken
    }

    fn give_back(&self, bytes: u64) {
        self.queries.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn take(used: &AtomicU64, bytes: u64, most: u64) -> bool {
    let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= most);
    let order = Ordering::Relaxed;
    used.fetch_update(order, order, add).is_ok()
}

/// Memory of a body. It goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Drop for BodyMemory {
    fn drop(&mut self) {
        self.memory.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1 << 20;

    #[test]
    fn writing_stops_near_the_limit_and_begins_again_below_it() {
        let memory = Memory::new(LIMIT);
        memory.measured(LIMIT / 8 * 7);
        assert_eq!(memory.admit(Refused::Write), Ok(()));
        memory.measured(LIMIT / 8 * 7 + 1);
        let full = memory.admit(Refused::Write).unwrap_err();
        let text = full.to_string();
        assert!(text.contains("917505 bytes, of 1048576"), "{text}");
        assert!(text.contains("--memory.limit"), "{text}");
        // In the gap it stays as it is.
        memory.measured(LIMIT / 16 * 13 + 1);
        assert!(memory.admit(Refused::Scrape).is_err());
        memory.measured(LIMIT / 16 * 13);
        assert_eq!(memory.admit(Refused::Write), Ok(()));
        memory.measured(LIMIT / 8 * 7);
        assert_eq!(memory.admit(Refused::Write), Ok(()));
        let refusals = Refused::ALL.map(|what| memory.refusals(what));
        assert_eq!(refusals, [1, 1, 0, 0, 0]);
    }

    #[test]
    fn bodies_have_a_share_and_give_it_back() {
        let memory = Arc::new(Memory::new(LIMIT));
        let first = memory.body(LIMIT / 16).unwrap();
        assert!(memory.body(1).is_none());
        assert_eq!(memory.refusals(Refused::Body), 1);
        drop(first);
        assert!(memory.body(1).is_some());
        let huge = Arc::new(Memory::new(1 << 40));
        assert!(huge.body(MAX_BODIES_BYTES + 1).is_none());
    }

    #[test]
    fn queries_take_what_is_free_and_a_sixteenth_at_any_time() {
        let memory = Memory::new(LIMIT);
        assert!(!memory.take(LIMIT / 4 + 1));
        assert!(memory.take(LIMIT / 4));
        assert!(!memory.take(1));
        memory.give_back(LIMIT / 4);
        memory.measured(LIMIT / 8 * 7);
        assert!(!memory.take(LIMIT / 8 + 1));
        assert!(memory.take(LIMIT / 8));
        memory.give_back(LIMIT / 8);
        // More than the limit, as after a start with a lower one: reads go on.
        memory.measured(LIMIT * 3);
        assert!(!memory.take(LIMIT / 16 + 1));
        assert!(memory.take(LIMIT / 16));
        assert_eq!(memory.refusals(Refused::Query), 4);
    }

    #[test]
    fn much_that_was_received_asks_for_a_look_at_the_store() {
        let memory = Memory::new(LIMIT);
        assert!(!memory.received(10_000));
        assert!(memory.received(10_000));
        memory.measured(5);
        assert!(!memory.received(10_000));
    }
}
