//! Numbers of an exposition: Go's float syntax without underscores and hexadecimal.

use kymo_storage::compat::float;
use kymo_storage::compat::quote::quote_bytes;

/// Reads a value. On failure returns Go's text of what is wrong.
#[inline]
pub(super) fn parse_value(text: &[u8]) -> Result<f64, String> {
    match small_integer(text) {
        Some(value) => Ok(value),
        None => parse_float(text),
    }
}

/// Most values are short whole numbers, which need no rounding.
#[inline]
fn small_integer(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    let mut value = 0u64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value as f64)
}

fn parse_float(text: &[u8]) -> Result<f64, String> {
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float".to_owned());
    }
    let not_utf8 = |_| {
        format!(
            "strconv.ParseFloat: parsing {}: invalid syntax",
            quote_bytes(text)
        )
    };
    let digits = std::str::from_utf8(text).map_err(not_utf8)?;
    float::parse(digits).map_err(|error| error.to_string())
}

/// Reads the digits of a timestamp in milliseconds.
#[inline]
pub(super) fn parse_timestamp(digits: &[u8]) -> Result<i64, String> {
    let mut value = 0i64;
    for &byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        value = match value.checked_mul(10).and_then(|v| v.checked_add(digit)) {
            Some(value) => value,
            None => {
                let text = quote_bytes(digits);
                return Err(format!(
                    "strconv.ParseInt: parsing {text}: value out of range"
                ));
            }
        };
    }
    Ok(value)
}

/// Turns seconds into whole milliseconds, cut towards zero. What does not fit
/// becomes the smallest number, as on the machines Prometheus mostly runs on.
pub(super) fn seconds_to_ms(seconds: f64) -> i64 {
    let ms = seconds * 1000.0;
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&ms) {
        ms as i64
    } else {
        i64::MIN
    }
}

/// Names a float that is not finite as Go's `%f` does.
pub(super) fn show_not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_go() {
        let good: [(&str, f64); 12] = [
            ("0", 0.0),
            ("123456789012345", 123_456_789_012_345.0),
            ("1234567890123456789", 1_234_567_890_123_456_800.0),
            ("+5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("-Inf", f64::NEG_INFINITY),
            ("infinity", f64::INFINITY),
            ("5e-324", 5e-324),
            ("1e-400", 0.0),
            ("0.30000000000000004", 0.300_000_000_000_000_04),
        ];
        for (text, value) in good {
            assert_eq!(parse_value(text.as_bytes()), Ok(value), "{text}");
        }
        assert!(parse_value(b"nAn").unwrap().is_nan());
        assert!(parse_value(b"-0").unwrap().is_sign_negative());
        for text in [
            "", ".", "-", "--1", "1e", "1f", "é", "-NaN", "+nan", "0x1F", "0b1", "1\r",
        ] {
            let error = parse_value(text.as_bytes()).unwrap_err();
            assert!(error.ends_with(": invalid syntax"), "{error}");
        }
        for text in ["1e309", "-1e309"] {
            let error = parse_value(text.as_bytes()).unwrap_err();
            assert!(error.ends_with(": value out of range"), "{error}");
        }
        for text in ["1_0", "0x1p4", "1P"] {
            let error = parse_value(text.as_bytes()).unwrap_err();
            assert_eq!(error, "unsupported character in float");
        }
    }

    #[test]
    fn times_beyond_the_range_become_the_smallest() {
        assert_eq!(seconds_to_ms(1520879607.789), 1_520_879_607_789);
        assert_eq!(seconds_to_ms(-1.5), -1500);
        assert_eq!(seconds_to_ms(1e20), i64::MIN);
        assert_eq!(seconds_to_ms(-1e20), i64::MIN);
        assert_eq!(parse_timestamp(b"9223372036854775807"), Ok(i64::MAX));
        assert!(parse_timestamp(b"9223372036854775808").is_err());
    }
}
