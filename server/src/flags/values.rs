//! Values of flags as people type them.

use std::time::Duration;

use crate::config::units;

/// Reads a number above zero.
pub(crate) fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be 1 or more".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

/// Reads a size with a unit, or a number of bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes) => Ok(bytes),
        Err(_) => units::parse_size(text),
    }
}

/// Reads a duration as Prometheus writes it, such as `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let ns = kymo_storage::compat::duration::parse_prometheus(text)
        .map_err(|error| error.to_string())?;
    Ok(Duration::from_nanos(ns.unsigned_abs()))
}
