//! The only clock of the program. Everything else is handed the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns the wall clock in milliseconds since the epoch; negative before 1970.
pub fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

/// Returns the wall clock in nanoseconds since the epoch.
pub(crate) fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Returns the wall clock for timestamps shown to people.
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Returns a time that never goes backwards, for durations and deadlines.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
