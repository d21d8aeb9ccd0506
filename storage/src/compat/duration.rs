//! Durations as Prometheus and Go write them, in nanoseconds.
//!
//! Prometheus' own form (`1y2w3d4h5m6s7ms`) has units in falling order, each at most
//! once, without fractions and sign. Go's form (`1h30m0.5s`) has fractions, signs and
//! any order, and nothing above hours. A day is 24 h, a year 365 days.

use super::float;
use super::quote::{quote, quote_for_time};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The units of Prometheus' form, largest first, with their nanoseconds.
const PROMETHEUS_UNITS: [(&str, u64); 7] = [
    ("y", 365 * DAY),
    ("w", 7 * DAY),
    ("d", DAY),
    ("h", HOUR),
    ("m", MINUTE),
    ("s", SECOND),
    ("ms", MILLISECOND),
];

/// Text that is no duration, in the words of the program that reads it so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Prometheus' form: nothing there.
    #[error("empty duration string")]
    Empty,
    /// Prometheus' form: not of that form.
    #[error("not a valid duration string: {}", quote(.input))]
    Invalid {
        /// The text as given.
        input: String,
    },
    /// Prometheus' form: no such unit.
    #[error("unknown unit {} in duration {}", quote(.unit), quote(.input))]
    UnknownUnit {
        /// What stands in the place of a unit.
        unit: String,
        /// The text as given.
        input: String,
    },
    /// Prometheus' form: longer than about 292 years.
    #[error("duration out of range")]
    OutOfRange,
    /// Go's form: not of that form, or longer than about 292 years.
    #[error("time: invalid duration {}", quote_for_time(.input))]
    GoInvalid {
        /// The text as given.
        input: String,
    },
    /// Go's form: a number without a unit.
    #[error("time: missing unit in duration {}", quote_for_time(.input))]
    GoMissingUnit {
        /// The text as given.
        input: String,
    },
    /// Go's form: no such unit.
    #[error("time: unknown unit {} in duration {}", quote_for_time(.unit), quote_for_time(.input))]
    GoUnknownUnit {
        /// What stands in the place of a unit.
        unit: String,
        /// The text as given.
        input: String,
    },
    /// An API parameter: neither a number of seconds nor a duration.
    #[error("cannot parse {} to a valid duration", quote(.input))]
    Parameter {
        /// The text as given.
        input: String,
    },
    /// An API parameter: more nanoseconds than 64 bits hold.
    #[error("cannot parse {} to a valid duration. It overflows int64", quote(.input))]
    ParameterOverflow {
        /// The text as given.
        input: String,
    },
}

/// Reads Prometheus' form; returns nanoseconds, never negative.
///
/// # Errors
/// The text is not of the form, or beyond about 292 years.
pub fn parse_prometheus(text: &str) -> Result<i64, DurationError> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let invalid = || DurationError::Invalid {
        input: text.to_owned(),
    };
    let (mut total_ns, mut units_left, mut rest) = (0u64, &PROMETHEUS_UNITS[..], text);
    while !rest.is_empty() {
        let digits = leading(rest, |byte| byte.is_ascii_digit());
        // Also refuses no digits and more than 64 bits.
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        rest = &rest[digits.len()..];
        let unit = leading(rest, |byte| !byte.is_ascii_digit());
        if unit.is_empty() {
            return Err(invalid());
        }
        rest = &rest[unit.len()..];
        let Some(&(_, unit_ns)) = PROMETHEUS_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
                input: text.to_owned(),
            });
        };
        let Some(at) = units_left.iter().position(|(name, _)| *name == unit) else {
            return Err(invalid());
        };
        units_left = &units_left[at + 1..];
        total_ns = count
            .checked_mul(unit_ns)
            .and_then(|part_ns| total_ns.checked_add(part_ns))
            .filter(|&ns| ns <= i64::MAX as u64)
            .ok_or(DurationError::OutOfRange)?;
    }
    Ok(total_ns as i64)
}

/// Reads Prometheus' form with an optional leading minus.
///
/// # Errors
/// As [`parse_prometheus`], about the text behind the minus.
pub fn parse_prometheus_signed(text: &str) -> Result<i64, DurationError> {
    match text.strip_prefix('-') {
        Some(unsigned) => parse_prometheus(unsigned).map(|ns| -ns),
        None => parse_prometheus(text),
    }
}

/// Returns Prometheus' form of `ns` nanoseconds; what is below a millisecond is cut.
/// Years and weeks stand only where nothing remains behind them.
pub fn format_prometheus(ns: i64) -> String {
    let ms = ns / MILLISECOND as i64;
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::with_capacity(16);
    if ms < 0 {
        text.push('-');
    }
    let mut rest_ms = ms.unsigned_abs();
    for (unit, unit_ns) in PROMETHEUS_UNITS {
        let unit_ms = unit_ns / MILLISECOND;
        let whole_only = unit == "y" || unit == "w";
        if whole_only && !rest_ms.is_multiple_of(unit_ms) {
            continue;
        }
        let count = rest_ms / unit_ms;
        if count > 0 {
            text.push_str(itoa::Buffer::new().format(count));
            text.push_str(unit);
            rest_ms -= count * unit_ms;
        }
    }
    text
}

/// Reads Go's form; returns nanoseconds.
///
/// # Errors
/// The text is not of the form, or beyond about 292 years.
pub fn parse_go(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::GoInvalid {
        input: text.to_owned(),
    };
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    // One more than the largest positive value is the largest negative one.
    const LIMIT: u64 = 1 << 63;
    let mut total_ns = 0u64;
    while !rest.is_empty() {
        let whole = leading(rest, |byte| byte.is_ascii_digit());
        rest = &rest[whole.len()..];
        let count: u64 = match whole {
            "" => 0,
            digits => digits.parse().map_err(|_| invalid())?,
        };
        if count > LIMIT {
            return Err(invalid());
        }
        let mut fraction = "";
        if let Some(behind) = rest.strip_prefix('.') {
            fraction = leading(behind, |byte| byte.is_ascii_digit());
            rest = &behind[fraction.len()..];
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit = leading(rest, |byte| byte != b'.' && !byte.is_ascii_digit());
        if unit.is_empty() {
            return Err(DurationError::GoMissingUnit {
                input: text.to_owned(),
            });
        }
        rest = &rest[unit.len()..];
        let unit_ns = match unit {
            "ns" => 1,
            // Go takes the micro sign, the Greek letter and a plain u.
            "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
            "ms" => MILLISECOND,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            _ => {
                return Err(DurationError::GoUnknownUnit {
                    unit: unit.to_owned(),
                    input: text.to_owned(),
                });
            }
        };
        let part_ns = count
            .checked_mul(unit_ns)
            .filter(|&ns| ns <= LIMIT)
            .and_then(|ns| ns.checked_add(fraction_ns(fraction, unit_ns)))
            .filter(|&ns| ns <= LIMIT)
            .ok_or_else(invalid)?;
        total_ns = total_ns
            .checked_add(part_ns)
            .filter(|&ns| ns <= LIMIT)
            .ok_or_else(invalid)?;
    }
    if negative {
        return Ok((total_ns as i64).wrapping_neg());
    }
    i64::try_from(total_ns).map_err(|_| invalid())
}

/// Returns the nanoseconds of a fraction of a unit, with Go's rounding: digits are
/// taken while they fit 63 bits, the rest is one float multiplication.
fn fraction_ns(digits: &str, unit_ns: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for byte in digits.bytes() {
        if value > (i64::MAX as u64) / 10 {
            break;
        }
        let next = value * 10 + u64::from(byte - b'0');
        if next > 1 << 63 {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    if value == 0 {
        return 0;
    }
    (value as f64 * (unit_ns as f64 / scale)) as u64
}

/// Returns Go's form of `ns` nanoseconds: `1h0m0s`, `1.5s`, `100ms`, `1µs`.
pub fn format_go(ns: i64) -> String {
    let magnitude = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    if magnitude == 0 {
        return "0s".to_owned();
    }
    if magnitude < SECOND {
        let (unit, unit_ns) = match magnitude {
            0..MICROSECOND => ("ns", 1),
            MICROSECOND..MILLISECOND => ("\u{b5}s", MICROSECOND),
            _ => ("ms", MILLISECOND),
        };
        return format!("{sign}{}{unit}", with_fraction(magnitude, unit_ns));
    }
    let (seconds, minutes) = (magnitude % MINUTE, magnitude / MINUTE);
    let seconds = with_fraction(seconds, SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// Returns `ns / unit_ns` as a decimal without trailing zeros; `unit_ns` is a power
/// of ten.
fn with_fraction(ns: u64, unit_ns: u64) -> String {
    let (whole, fraction) = (ns / unit_ns, ns % unit_ns);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit_ns.ilog10() as usize;
    let text = format!("{whole}.{fraction:0width$}");
    text.trim_end_matches('0').to_owned()
}

/// Reads a duration parameter of the HTTP API (`step`, `timeout`): a number of
/// seconds or Prometheus' form. Returns nanoseconds, possibly negative.
///
/// # Errors
/// The text is neither, or has more nanoseconds than 64 bits hold.
pub fn parse_api(text: &str) -> Result<i64, DurationError> {
    if let Ok(seconds) = float::parse(text) {
        let ns = seconds * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            return Err(DurationError::ParameterOverflow {
                input: text.to_owned(),
            });
        }
        return Ok(super::time::float_to_i64(ns));
    }
    parse_prometheus(text).map_err(|_| DurationError::Parameter {
        input: text.to_owned(),
    })
}

/// Returns the longest start of `text` whose bytes all satisfy `take`. Cuts only
/// next to ASCII bytes, so always between characters.
fn leading(text: &str, take: impl Fn(u8) -> bool) -> &str {
    let end = text.bytes().position(|byte| !take(byte));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prometheus_units_fall_and_appear_once() {
        assert_eq!(parse_prometheus("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_prometheus("0"), Ok(0));
        assert_eq!(
            parse_prometheus("1y2w3d4h5m6s7ms"),
            Ok(33_019_506_007_000_000)
        );
        for (text, error) in [
            ("", "empty duration string"),
            ("30m1h", "not a valid duration string: \"30m1h\""),
            ("1m1m", "not a valid duration string: \"1m1m\""),
            ("1h30", "not a valid duration string: \"1h30\""),
            ("1.5h", "unknown unit \".\" in duration \"1.5h\""),
            ("5 m", "unknown unit \" m\" in duration \"5 m\""),
            ("293y", "duration out of range"),
        ] {
            assert_eq!(parse_prometheus(text).unwrap_err().to_string(), error);
        }
        assert_eq!(parse_prometheus_signed("-5m"), Ok(-300_000_000_000));
    }

    #[test]
    fn years_and_weeks_print_only_when_nothing_remains() {
        let day = DAY as i64;
        for (ns, text) in [
            (0, "0s"),
            (999_999, "0s"),
            (90 * day, "90d"),
            (14 * day, "2w"),
            (365 * day, "1y"),
            (366 * day, "366d"),
            (-90_061_001_000_000, "-1d1h1m1s1ms"),
        ] {
            assert_eq!(format_prometheus(ns), text);
        }
    }

    #[test]
    fn go_durations_have_fractions_and_signs() {
        assert_eq!(parse_go("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_go("-1.5s"), Ok(-1_500_000_000));
        assert_eq!(parse_go(".5h"), Ok(1_800_000_000_000));
        assert_eq!(parse_go("-9223372036854775808ns"), Ok(i64::MIN));
        for (text, error) in [
            ("5", "time: missing unit in duration \"5\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("--5m", "time: invalid duration \"--5m\""),
            (
                "9223372036854775808ns",
                "time: invalid duration \"9223372036854775808ns\"",
            ),
            (
                "5ü",
                r#"time: unknown unit "\xc3\xbc" in duration "5\xc3\xbc""#,
            ),
        ] {
            assert_eq!(parse_go(text).unwrap_err().to_string(), error);
        }
        assert_eq!(format_go(i64::MIN), "-2562047h47m16.854775808s");
        assert_eq!(format_go(1_500), "1.5µs");
    }

    proptest! {
        #[test]
        fn prometheus_form_reads_back(ms in 0..i64::MAX / 1_000_000) {
            let ns = ms * 1_000_000;
            prop_assert_eq!(parse_prometheus(&format_prometheus(ns)), Ok(ns));
            prop_assert_eq!(parse_prometheus_signed(&format_prometheus(-ns)), Ok(-ns));
        }

        #[test]
        fn go_form_reads_back(ns in any::<i64>()) {
            prop_assert_eq!(parse_go(&format_go(ns)), Ok(ns));
        }

        #[test]
        fn reading_never_panics(text in "[-+]?([0-9]{0,25}\\.?[a-zµ]{0,3}){0,6}|.{0,20}") {
            let _ = (parse_prometheus(&text), parse_go(&text), parse_api(&text));
        }
    }
}
