//! Threads, and the atomics that order work of several of them.
//!
//! They are those of the standard library, and under the feature `shuttle` those of
//! shuttle, which decides itself who runs next. Locks come from `parking_lot`, which is
//! replaced in the same way. Counters that order nothing are the standard library's in
//! any case.

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{sync::atomic, thread};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{sync::atomic, thread};
