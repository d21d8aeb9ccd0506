//! What literals are worth, and how characters show in error texts.

use kymo_storage::compat::float;
use kymo_storage::compat::quote::is_print;

/// Reads a number: an integer as Go writes one (`010` is 8, `0x1F`, `1_000`), else a
/// float.
///
/// # Errors
/// Go's text about a number that is none, or too large.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    float::parse(text).map_err(|error| error.to_string())
}

fn parse_integer(text: &str) -> Option<i64> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    if let Some(hex) = plain.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok();
    }
    match plain.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ => plain.parse().ok(),
    }
}

/// Tells whether every underscore stands between digits, or behind `0x`.
fn underscores_separate_digits(text: &str) -> bool {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let digits = hex.unwrap_or(text);
    let is_digit = |c: char| c.is_digit(if hex.is_some() { 16 } else { 10 });
    // A prefix counts as a digit.
    let mut before = if hex.is_some() { '0' } else { ' ' };
    for c in digits.chars() {
        if (c == '_' && !is_digit(before)) || (before == '_' && !is_digit(c)) {
            return false;
        }
        before = c;
    }
    before != '_'
}

/// Rounds seconds to nanoseconds. What has more than 64 bits becomes the least
/// number, as a conversion on x86 does, which is what Prometheus' users see.
pub(crate) fn seconds_to_ns(seconds: f64) -> i64 {
    let ns = (seconds * 1e9).round();
    if ns.is_nan() || ns >= i64::MAX as f64 || ns < i64::MIN as f64 {
        return i64::MIN;
    }
    ns as i64
}

/// Puts single quotes around a character; the end of a text shows as U+FFFD.
pub(crate) fn quote_char(c: Option<char>) -> String {
    let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
    match c {
        '\'' => "'\\''".to_owned(),
        '\\' => "'\\\\'".to_owned(),
        '\u{7}' => "'\\a'".to_owned(),
        '\u{8}' => "'\\b'".to_owned(),
        '\u{c}' => "'\\f'".to_owned(),
        '\n' => "'\\n'".to_owned(),
        '\r' => "'\\r'".to_owned(),
        '\t' => "'\\t'".to_owned(),
        '\u{b}' => "'\\v'".to_owned(),
        _ if is_print(c) => format!("'{c}'"),
        _ if c.is_ascii() => format!("'\\x{:02x}'", u32::from(c)),
        _ if u32::from(c) < 0x1_0000 => format!("'\\u{:04x}'", u32::from(c)),
        _ => format!("'\\U{:08x}'", u32::from(c)),
    }
}

/// Names a character by its code point, and shows it where it can be shown.
pub(crate) fn code_point(c: char) -> String {
    let number = format!("U+{:04X}", u32::from(c));
    if is_print(c) {
        format!("{number} '{c}'")
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_integers_first() {
        let cases = [
            ("1", 1.0),
            ("010", 8.0),
            ("09", 9.0),
            ("0x1F", 31.0),
            ("0X_1F", 31.0),
            ("1_000", 1000.0),
            ("1_0.5e1_0", 10.5e10),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e+3", 1000.0),
            ("Inf", f64::INFINITY),
            ("9223372036854775808", 9223372036854775808.0),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_number(text), Ok(expected), "{text}");
        }
        assert!(parse_number("nAn").is_ok_and(f64::is_nan));
        for text in ["0x", "1_.5", "1e309", "1__0"] {
            assert!(parse_number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_beyond_64_bits_of_nanoseconds_become_the_least_number() {
        assert_eq!(seconds_to_ns(1.5), 1_500_000_000);
        assert_eq!(seconds_to_ns(-0.0000000006), -1);
        assert_eq!(seconds_to_ns(1e10), i64::MIN);
        assert_eq!(seconds_to_ns(f64::NAN), i64::MIN);
    }

    #[test]
    fn single_characters_show_in_single_quotes() {
        assert_eq!(quote_char(Some('\'')), r"'\''");
        assert_eq!(quote_char(Some('"')), "'\"'");
        assert_eq!(quote_char(Some('\u{1}')), r"'\x01'");
        assert_eq!(quote_char(None), "'\u{fffd}'");
        assert_eq!(code_point('c'), "U+0063 'c'");
        assert_eq!(code_point('\u{1}'), "U+0001");
    }
}
