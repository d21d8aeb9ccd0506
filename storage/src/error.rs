//! What can go wrong in the store, and why a sample is not accepted.

use std::io;
use std::path::PathBuf;

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// An operation on a file failed.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was tried, such as `write`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The answer of the operating system.
        #[source]
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error("directory {} is in use by another process; stop it or choose another directory", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Stored bytes are not what was written.
    #[error("{} is damaged at byte {offset}: {detail}", .path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What was expected and what was found.
        detail: String,
    },
    /// An earlier write failed; nothing more is accepted until a restart.
    #[error(
        "the store takes no more writes after an earlier failure: {reason}; data can still be read; repair the cause and restart"
    )]
    Poisoned {
        /// The failure that stopped writing.
        reason: String,
    },
}

/// A sample or series was not accepted. The texts are Prometheus', because its
/// clients look at them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The series has a newer sample.
    #[error("out of order sample")]
    OutOfOrder,
    /// The series has another value at this very time.
    #[error("duplicate sample for timestamp {t_ms}; overrides not allowed: existing {}, new value {}", go_g(*existing), go_g(*new))]
    DuplicateTimestamp {
        /// Time of both samples in milliseconds.
        t_ms: i64,
        /// The value that stays.
        existing: f64,
        /// The value that was refused.
        new: f64,
    },
    /// The sample is too far behind the newest sample of the store.
    #[error("out of bounds")]
    OutOfBounds,
    /// The sample is older than the out-of-order window.
    #[error("too old sample")]
    TooOld,
    /// The reference does not name a series (any more).
    #[error("unknown series")]
    UnknownSeries,
    /// The store holds as many series as it may.
    #[error(
        "series limit of {limit} reached; raise the limit or drop series before they are stored"
    )]
    SeriesLimit {
        /// The limit.
        limit: usize,
    },
    /// The labels cannot name a series.
    #[error("{0}")]
    InvalidLabels(String),
}

/// Writes a float as Go's `%g`.
fn go_g(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_clients_match_on() {
        assert_eq!(AppendError::OutOfOrder.to_string(), "out of order sample");
        assert_eq!(AppendError::OutOfBounds.to_string(), "out of bounds");
        assert_eq!(AppendError::TooOld.to_string(), "too old sample");
        let error = AppendError::DuplicateTimestamp {
            t_ms: 1000,
            existing: 3.0,
            new: 9.0,
        };
        assert_eq!(
            error.to_string(),
            "duplicate sample for timestamp 1000; overrides not allowed: existing 3, new value 9"
        );
    }

    #[test]
    fn floats_print_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.5, "0.5"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e300, "1e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(go_g(value), text);
        }
    }
}
