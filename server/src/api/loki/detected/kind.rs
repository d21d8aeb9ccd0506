//! Of which kind the values of a field are, and values as they are shown.

use kymo_query::template::logs::parse_size;
use kymo_storage::compat::{duration, float};

/// What sizes end in, in small letters.
const SIZE_ENDS: [&str; 19] = [
    "b", "k", "ki", "m", "mi", "g", "gi", "t", "ti", "p", "pi", "e", "ei", "kb", "mb", "gb", "tb",
    "pb", "eb",
];

/// Names the kind of a value.
pub(super) fn kind(value: &str) -> &'static str {
    if value.parse::<i64>().is_ok() {
        "int"
    } else if float::parse(value).is_ok() {
        "float"
    } else if is_boolean(value) {
        "boolean"
    } else if duration::parse_go(value).is_ok() {
        "duration"
    } else if parse_size(value).is_ok() {
        "bytes"
    } else {
        "string"
    }
}

fn is_boolean(value: &str) -> bool {
    // 0 and 1 are numbers.
    matches!(
        value,
        "t" | "T" | "true" | "TRUE" | "True" | "f" | "F" | "false" | "FALSE" | "False"
    )
}

/// Returns a value as it can be put into a query: sizes in the form that queries read.
pub(super) fn shown(value: &str) -> String {
    let small = value.to_ascii_lowercase();
    let is_size = SIZE_ENDS.iter().any(|end| small.ends_with(end));
    match parse_size(value) {
        Ok(bytes) if is_size => size(bytes),
        _ => value.to_owned(),
    }
}

/// Writes a size with a decimal unit, and one digit behind the point below ten.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes}B");
    }
    let power = (bytes as f64).log10() / 3.0;
    let power = (power.floor() as usize).min(UNITS.len() - 1);
    let value = bytes as f64 / 1000f64.powi(power as i32);
    let value = (value * 10.0 + 0.5).floor() / 10.0;
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$}{}", UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_a_kind() {
        for (value, expected) in [
            ("5", "int"),
            ("-17", "int"),
            ("0", "int"),
            ("1.5", "float"),
            ("NaN", "float"),
            ("1e9", "float"),
            ("true", "boolean"),
            ("F", "boolean"),
            ("1.5s", "duration"),
            ("96µs", "duration"),
            ("1h2m", "duration"),
            ("3.6MiB", "bytes"),
            ("12kB", "bytes"),
            ("1d", "string"),
            ("", "string"),
            ("12x", "string"),
            ("Oslo", "string"),
        ] {
            assert_eq!(kind(value), expected, "{value}");
        }
    }

    #[test]
    fn sizes_are_shown_as_queries_read_them() {
        for (value, expected) in [
            ("2KB", "2.0kB"),
            ("3.6MiB", "3.8MB"),
            ("12kB", "12kB"),
            ("5b", "5B"),
            ("999B", "999B"),
            ("18EB", "18EB"),
            ("6981", "6981"),
            ("1.5s", "1.5s"),
            ("Oslo", "Oslo"),
            ("b", "b"),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }
}
