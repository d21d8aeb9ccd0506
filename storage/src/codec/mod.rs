//! Values to bytes and back, exact to the last bit, without any I/O.
//!
//! Every value of an `f64` survives: NaN payloads (the stale marker is one), -0.0,
//! infinities, subnormals. Nothing here compares floats by value where bits decide.
//!
//! Decoders take bytes that may be damaged: they check every bound, allocate no more
//! than the caller's stated number of values, and answer [`CodecError`]. A checksum
//! below them makes that rare; they do not rely on it.
//!
//! Reading order: [`varint`] and [`bits`] (the alphabet), [`decimal`] (floats that
//! were decimals become integers), [`open`] (the chunk being appended to), [`sealed`]
//! with [`packed`], [`xor`] and [`pages`] (the chunk at rest), [`timestamps`], [`presence`],
//! [`histogram`] (runs of native histograms), [`flat`] (one of them), [`crc`].

#![allow(unreachable_pub, reason = "public behind the feature `internals`")]

pub mod bits;
pub mod crc;
pub mod decimal;
pub mod flat;
#[cfg(any(test, feature = "internals"))]
pub mod fuzz;
pub mod histogram;
pub mod open;
pub mod packed;
pub mod pages;
pub mod presence;
pub mod sealed;
pub mod text;
pub mod timestamps;
pub mod varint;
pub mod xor;

#[cfg(test)]
mod value_tests;

/// Why bytes are not what an encoder of this module wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end before the value does.
    #[error("{0} is cut short")]
    Truncated(&'static str),
    /// The bytes say something no encoder says.
    #[error("{0} is not valid")]
    Invalid(&'static str),
    /// More values are announced than the caller allows.
    #[error("{found} values are announced, at most {limit} are allowed")]
    TooMany {
        /// The announced number.
        found: u64,
        /// The caller's limit.
        limit: u64,
    },
}
