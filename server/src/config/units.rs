//! Sizes and durations as Prometheus' configuration writes them.

use std::time::Duration;

/// Units of a duration, the longest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

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

/// Reads a duration: whole numbers with units in falling order, each at most once.
///
/// # Errors
/// Prometheus' texts for what is empty, malformed or too long.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    match text {
        "0" => return Ok(Duration::ZERO),
        "" => return Err("empty duration string".to_owned()),
        _ => {}
    }
    let malformed = || format!("not a valid duration string: {text:?}");
    let mut rest = text;
    let mut units = DURATION_UNITS.iter();
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let unit_len = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at(unit_len);
        let (_, unit_ms) = units.find(|(u, _)| *u == unit).ok_or_else(malformed)?;
        if number.is_empty() {
            return Err(malformed());
        }
        let out_of_range = || "duration out of range".to_owned();
        let number: u64 = number.parse().map_err(|_| out_of_range())?;
        let part = number.checked_mul(*unit_ms).ok_or_else(out_of_range)?;
        total_ms = total_ms.checked_add(part).ok_or_else(out_of_range)?;
        // Prometheus counts nanoseconds in 64 signed bits.
        if total_ms > i64::MAX as u64 / 1_000_000 {
            return Err(out_of_range());
        }
        rest = next;
    }
    Ok(Duration::from_millis(total_ms))
}

/// Reads a size in bytes: numbers, fractions allowed, with units of 1,024 (`KB` and
/// `KiB` are the same).
///
/// # Errors
/// The texts of the Go package that Prometheus uses.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
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

fn split_number(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_prometheus() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("15s", 15_000),
            ("900ms", 900),
            ("1m30s", 90_000),
            ("1y", 31_536_000_000),
            ("1d2h", 93_600_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in ["5", "1s1m", "1s1s", "s", "1.5s", "-1s", " 1s", "1S"] {
            let expected = format!("not a valid duration string: {text:?}");
            assert_eq!(parse_duration(text), Err(expected));
        }
        assert_eq!(parse_duration(""), Err("empty duration string".to_owned()));
        assert!(parse_duration("99999999999y").is_err());
    }

    #[test]
    fn sizes_read_as_in_prometheus() {
        for (text, bytes) in [
            ("0", 0),
            ("15MB", 15 << 20),
            ("1.5MiB", 1536 << 10),
            ("100B", 100),
            ("2GB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert_eq!(
            parse_size("5x"),
            Err("units: unknown unit x in 5x".to_owned())
        );
        assert!(parse_size("5").is_err());
        assert!(parse_size("MB").is_err());
    }
}
