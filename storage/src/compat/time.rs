//! Times as the HTTP API reads and prints them.

use super::TextSink;
use super::float;
use super::quote::quote;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The second from which Go counts to print a date: March of the year -292277022400.
const GO_EARLIEST_S: i128 = -9_223_372_028_741_760_000;

/// The earliest time of the API, as it is written where a client asks for all time.
const EARLIEST: &str = "-292273086-05-16T16:47:06Z";
/// The latest time of the API.
const LATEST: &str = "292277025-08-18T07:12:54.999999999Z";

/// A point in time with nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Whole seconds since the Unix epoch, rounded down.
    pub unix_s: i64,
    /// Nanoseconds within the second, below 1 000 000 000.
    pub nanos: u32,
}

impl Instant {
    /// Returns the time `ms` milliseconds after the epoch.
    pub fn from_ms(ms: i64) -> Instant {
        Instant {
            unix_s: ms.div_euclid(1000),
            nanos: ms.rem_euclid(1000) as u32 * 1_000_000,
        }
    }

    /// Returns milliseconds since the epoch, cutting what is below; wraps beyond
    /// 64 bits as Prometheus does.
    pub fn ms(self) -> i64 {
        self.unix_s
            .wrapping_mul(1000)
            .wrapping_add(i64::from(self.nanos / 1_000_000))
    }

    /// Returns the time in UTC as Go's `RFC3339Nano` prints it.
    pub fn rfc3339_nano(self) -> String {
        let mut unix_s = i128::from(self.unix_s);
        if unix_s < GO_EARLIEST_S {
            // Go counts from that second on without sign, so what lies before it
            // comes out behind the latest time.
            unix_s += 1 << 64;
        }
        let days = unix_s.div_euclid(i128::from(SECONDS_PER_DAY)) as i64;
        let second_of_day = unix_s.rem_euclid(i128::from(SECONDS_PER_DAY)) as i64;
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60,
        );
        let sign = if year < 0 { "-" } else { "" };
        let year = year.unsigned_abs();
        let mut text =
            format!("{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        if self.nanos > 0 {
            let fraction = format!(".{:09}", self.nanos);
            text.push_str(fraction.trim_end_matches('0'));
        }
        text.push('Z');
        text
    }
}

/// A time parameter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse {} to a valid timestamp", quote(.input))]
pub struct TimeError {
    /// The text as given.
    pub input: String,
}

/// Reads a time parameter of the HTTP API: seconds since the epoch as a float
/// (rounded to milliseconds), or RFC 3339.
///
/// # Errors
/// The text is neither.
pub fn parse_api(text: &str) -> Result<Instant, TimeError> {
    if let Ok(seconds) = float::parse(text) {
        return Ok(from_float_seconds(seconds));
    }
    if let Some(instant) = parse_rfc3339(text) {
        return Ok(instant);
    }
    match text {
        EARLIEST => Ok(Instant {
            unix_s: i64::MIN / 1000 + 62_135_596_801,
            nanos: 0,
        }),
        LATEST => Ok(Instant {
            unix_s: i64::MAX / 1000 - 62_135_596_801,
            nanos: 999_999_999,
        }),
        _ => Err(TimeError {
            input: text.to_owned(),
        }),
    }
}

/// Appends a timestamp as the HTTP API prints it: seconds, and exactly three digits
/// behind the point unless the milliseconds are zero.
pub fn push_api(out: &mut impl TextSink, ms: i64) {
    if ms < 0 {
        out.push_text("-");
    }
    let magnitude = ms.unsigned_abs();
    let mut buffer = itoa::Buffer::new();
    out.push_text(buffer.format(magnitude / 1000));
    let fraction = magnitude % 1000;
    if fraction != 0 {
        out.push_text(match fraction {
            0..10 => ".00",
            10..100 => ".0",
            _ => ".",
        });
        out.push_text(buffer.format(fraction));
    }
}

/// Converts as a 64-bit x86 machine running Go does: towards zero, and to the least
/// value where the float is NaN or out of range.
pub(super) fn float_to_i64(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

fn from_float_seconds(seconds: f64) -> Instant {
    let whole = seconds.trunc();
    // For an infinity the fraction is NaN, as in Go.
    let fraction = seconds - whole;
    let fraction = (fraction * 1000.0).round() / 1000.0;
    let (mut unix_s, mut nanos) = (float_to_i64(whole), float_to_i64(fraction * 1e9));
    if !(0..NANOS_PER_SECOND).contains(&nanos) {
        unix_s = unix_s.wrapping_add(nanos.div_euclid(NANOS_PER_SECOND));
        nanos = nanos.rem_euclid(NANOS_PER_SECOND);
    }
    Instant {
        unix_s,
        nanos: nanos as u32,
    }
}

/// Reads RFC 3339 as leniently as Go does: the hour may have one digit, the fraction
/// any number of digits behind a point or a comma, an offset up to `24:60`.
fn parse_rfc3339(text: &str) -> Option<Instant> {
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4, 4)?;
    literal(&mut rest, b'-')?;
    let month = number(&mut rest, 2, 2).filter(|month| (1..=12).contains(month))?;
    literal(&mut rest, b'-')?;
    let day = number(&mut rest, 2, 2).filter(|&day| day >= 1 && day <= month_days(year, month))?;
    literal(&mut rest, b'T')?;
    let hour = number(&mut rest, 1, 2).filter(|&hour| hour < 24)?;
    literal(&mut rest, b':')?;
    let minute = number(&mut rest, 2, 2).filter(|&minute| minute < 60)?;
    literal(&mut rest, b':')?;
    let second = number(&mut rest, 2, 2).filter(|&second| second < 60)?;
    let mut nanos = 0;
    if let [b'.' | b',', digit, ..] = rest
        && digit.is_ascii_digit()
    {
        rest = &rest[1..];
        let mut place = 100_000_000;
        while let Some((digit, behind)) = rest.split_first()
            && digit.is_ascii_digit()
        {
            nanos += u32::from(digit - b'0') * place;
            place /= 10;
            rest = behind;
        }
    }
    let offset_s = match rest.split_first()? {
        (b'Z', behind) => {
            rest = behind;
            0
        }
        (sign @ (b'+' | b'-'), behind) => {
            rest = behind;
            let hours = number(&mut rest, 2, 2).filter(|&hours| hours <= 24)?;
            literal(&mut rest, b':')?;
            let minutes = number(&mut rest, 2, 2).filter(|&minutes| minutes <= 60)?;
            let offset_s = hours * 3600 + minutes * 60;
            if *sign == b'-' { -offset_s } else { offset_s }
        }
        _ => return None,
    };
    if !rest.is_empty() {
        return None;
    }
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second
            - offset_s;
    Some(Instant {
        unix_s: seconds,
        nanos,
    })
}

fn number(rest: &mut &[u8], least: usize, most: usize) -> Option<i64> {
    let digits = rest
        .iter()
        .take(most)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits < least {
        return None;
    }
    let (number, behind) = rest.split_at(digits);
    *rest = behind;
    let value = number
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(value)
}

fn literal(rest: &mut &[u8], expected: u8) -> Option<()> {
    let (&first, behind) = rest.split_first()?;
    *rest = behind;
    (first == expected).then_some(())
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from the epoch to a date of the proleptic Gregorian calendar.
/// Years are counted from March, so that the leap day is the last of its year.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns year, month and day of the date `days` after the epoch.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(text: &str) -> Option<i64> {
        parse_api(text).ok().map(Instant::ms)
    }

    #[test]
    fn seconds_are_rounded_to_milliseconds() {
        assert_eq!(ms("1763790000.1234"), Some(1_763_790_000_123));
        assert_eq!(ms("-1.5"), Some(-1_500));
        assert_eq!(ms("1e3"), Some(1_000_000));
    }

    #[test]
    fn rfc3339_is_read_as_go_reads_it() {
        assert_eq!(ms("2032-01-09T04:30:00.236-00:30"), Some(1_957_237_200_236));
        assert_eq!(ms("2026-11-22T5:00:00Z"), ms("2026-11-22T05:00:00Z"));
        assert_eq!(ms("2026-11-22T05:00:00,5Z"), Some(1_795_323_600_500));
        for wrong in [
            "2026-02-29T00:00:00Z",
            "2026-11-22T05:00:00",
            "2026-11-22 05:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T05:00:00Z ",
            "2026-11-22T05:00:00+25:00",
        ] {
            let error = parse_api(wrong).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot parse \"{wrong}\" to a valid timestamp")
            );
        }
    }

    #[test]
    fn timestamps_have_three_digits_or_none() {
        for (ms, expected) in [(0, "0"), (10, "0.010"), (-1, "-0.001"), (1_500, "1.500")] {
            let mut text = String::new();
            push_api(&mut text, ms);
            assert_eq!(text, expected);
        }
    }

    proptest! {
        #[test]
        fn printed_times_read_back(unix_s in -62_167_219_200i64..253_402_300_800, nanos in 0u32..1_000_000_000) {
            let instant = Instant { unix_s, nanos };
            prop_assert_eq!(parse_api(&instant.rfc3339_nano()), Ok(instant));
        }

        #[test]
        fn reading_never_panics(text in "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}T[0-9:.,Z+-]{0,20}|.{0,30}") {
            let _ = parse_api(&text);
        }
    }
}
