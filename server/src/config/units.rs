//! Sizes and durations as Prometheus' configuration writes them.

use std::time::Duration;

use kymo_storage::compat::duration::{self, DurationError};

/// Units of a size, the largest first, as powers of 1,024.
const SIZE_UNITS: [(&str, u32); 7] = [
    ("EiB", 6),
    ("PiB", 5),
    ("TiB", 4),
    ("GiB", 3),
    ("MiB", 2),
    ("KiB", 1),
    ("B", 0),
];

/// Reads a duration in Prometheus' form.
///
/// # Errors
/// The text is not of that form.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let ns = duration::parse_prometheus(text)?;
    Ok(Duration::from_nanos(ns.unsigned_abs()))
}

/// Returns a duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Prints a duration in Prometheus' form.
pub(crate) fn print_duration(duration: Duration) -> String {
    duration::format_prometheus(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// Reads a size in bytes: numbers, fractions allowed, with units of 1,024 (`KB` and
/// `KiB` are the same).
///
/// # Errors
/// The texts of the Go package that Prometheus uses.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    let invalid = || format!("units: invalid {text}");
    if text.is_empty() {
        return Err(invalid());
    }
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let unit_len = after
            .bytes()
            .take_while(|b| !b.is_ascii_digit() && *b != b'.')
            .count();
        let (unit, next) = after.split_at(unit_len);
        if unit.is_empty() {
            return Err(format!("units: missing unit in {text}"));
        }
        let power =
            size_power(unit).ok_or_else(|| format!("units: unknown unit {unit} in {text}"))?;
        total += number * 1024f64.powi(power as i32);
        rest = next;
    }
    if total >= i64::MAX as f64 {
        return Err(format!("units: {text} is too large"));
    }
    Ok(total as u64)
}

/// Prints a size as the Go package does: `1MiB512KiB`.
pub(crate) fn print_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    let mut rest = bytes;
    let mut out = String::new();
    for (unit, power) in SIZE_UNITS {
        let size = 1u64 << (10 * power);
        if rest >= size {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    out
}

fn size_power(unit: &str) -> Option<u32> {
    let known = |(name, _): &&(&str, u32)| {
        *name == unit
            || (unit.len() == 2
                && name.len() == 3
                && name.starts_with(&unit[..1])
                && unit.ends_with('B'))
    };
    SIZE_UNITS.iter().find(known).map(|(_, power)| *power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print_as_in_prometheus() {
        for (text, bytes, printed) in [
            ("0", 0, "0B"),
            ("15MB", 15 << 20, "15MiB"),
            ("1.5MiB", 1536 << 10, "1MiB512KiB"),
            ("100B", 100, "100B"),
            ("2GB", 2 << 30, "2GiB"),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(print_size(bytes), printed);
        }
        assert_eq!(
            parse_size("5x"),
            Err("units: unknown unit x in 5x".to_owned())
        );
        assert!(parse_size("5").is_err());
        assert!(parse_size("MB").is_err());
    }
}
