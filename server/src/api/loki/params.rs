//! Parameters that several calls share: times, steps, limits, direction.
//!
//! A time is a whole number of seconds where it has at most ten digits, of nanoseconds
//! where it has more; seconds where it has a point; or RFC 3339. Times that nanoseconds of
//! 64 bits cannot hold count as the first or the last that they can.

use kymo_storage::compat::quote::quote;
use kymo_storage::compat::{duration, float, time};

use super::error::LokiError;
use crate::http::params::Params;

pub(super) const NS_PER_S: i64 = 1_000_000_000;
/// How far before its end a range begins where nothing is said.
const DEFAULT_SPAN_NS: i64 = 3600 * NS_PER_S;
/// Entries, or values, where nothing is said.
pub(super) const DEFAULT_LIMIT: u32 = 100;
/// Most points of a series.
const MAX_POINTS: i64 = 11_000;
/// A step where nothing is said gives this many points.
const DEFAULT_POINTS: i64 = 250;

/// Where a range begins and ends, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
}

/// Refuses parameters that could not be decoded.
pub(super) fn check_decoded(params: &Params) -> Result<(), LokiError> {
    match params.defect() {
        Some(defect) => Err(LokiError::bad(defect)),
        None => Ok(()),
    }
}

/// Reads `start`, `end` and `since`.
pub(super) fn bounds(params: &Params, now_ns: i64) -> Result<Bounds, LokiError> {
    check_decoded(params)?;
    let wrong = |name: &str, cause: &dyn std::fmt::Display| {
        LokiError::bad(format!("could not parse '{name}' parameter: {cause}"))
    };
    let since_ns = match params.get("since") {
        "" => DEFAULT_SPAN_NS,
        text => duration::parse_prometheus(text).map_err(|error| wrong("since", &error))?,
    };
    let end_ns = time_or(params, "end", now_ns).map_err(|error| wrong("end", &error))?;
    let begin_ns = end_ns.min(now_ns).saturating_sub(since_ns);
    let start_ns = time_or(params, "start", begin_ns).map_err(|error| wrong("start", &error))?;
    Ok(Bounds { start_ns, end_ns })
}

/// Reads a range whose end is not before its start.
pub(super) fn ordered_bounds(params: &Params, now_ns: i64) -> Result<Bounds, LokiError> {
    let bounds = bounds(params, now_ns)?;
    if bounds.end_ns < bounds.start_ns {
        return Err(LokiError::bad(
            "end timestamp must not be before or equal to start time",
        ));
    }
    Ok(bounds)
}

/// Reads an optional time.
///
/// # Errors
/// The bare cause.
pub(super) fn time_or(params: &Params, name: &str, absent_ns: i64) -> Result<i64, String> {
    match params.get(name) {
        "" => Ok(absent_ns),
        text => parse_time(text),
    }
}

fn parse_time(text: &str) -> Result<i64, String> {
    if text.contains('.')
        && let Ok(seconds) = float::parse(text)
    {
        let whole = seconds.trunc();
        let fraction = ((seconds - whole) * 1000.0).round() / 1000.0;
        return Ok((whole as i64)
            .saturating_mul(NS_PER_S)
            .saturating_add((fraction * 1e9) as i64));
    }
    match atoi(text, "ParseInt") {
        Ok(number) if text.len() <= 10 => Ok(number.saturating_mul(NS_PER_S)),
        Ok(number) => Ok(number),
        // Only what looks like a date: what reads it takes floats as well.
        Err(error) => match time::parse_api(text) {
            Ok(instant) if text.contains('T') => Ok(instant
                .unix_s
                .saturating_mul(NS_PER_S)
                .saturating_add(i64::from(instant.nanos))),
            _ => Err(error),
        },
    }
}

/// Reads a number as Go does.
///
/// # Errors
/// Go's text, with the name of its function.
fn atoi(text: &str, function: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let cause = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                "value out of range"
            }
            _ => "invalid syntax",
        };
        format!("strconv.{function}: parsing {}: {cause}", quote(text))
    })
}

/// Reads an optional whole number.
pub(super) fn number(params: &Params, name: &str, absent: i64) -> Result<i64, LokiError> {
    match params.get(name) {
        "" => Ok(absent),
        text => atoi(text, "Atoi").map_err(LokiError::bad),
    }
}

/// Reads a number of things that is above zero.
pub(super) fn count(params: &Params, name: &str, absent: u32) -> Result<u32, LokiError> {
    let value = number(params, name, i64::from(absent))?;
    if value <= 0 {
        return Err(LokiError::bad("limit must be a positive value"));
    }
    u32::try_from(value).map_err(|_over| {
        let most = u32::MAX;
        LokiError::bad(format!("{name} value {value} is out of range [0, {most}]"))
    })
}

/// Reads `limit`.
pub(super) fn limit(params: &Params) -> Result<u32, LokiError> {
    count(params, "limit", DEFAULT_LIMIT)
}

/// Reads `direction`: whether the oldest entries come first.
pub(super) fn is_forward(params: &Params) -> Result<bool, LokiError> {
    let text = params.get("direction");
    match text.to_ascii_uppercase().as_str() {
        "" | "BACKWARD" => Ok(false),
        "FORWARD" => Ok(true),
        _ => Err(LokiError::bad(format!("invalid direction '{text}'"))),
    }
}

/// Reads `step`, in nanoseconds, and checks how many points it gives.
pub(super) fn step(params: &Params, bounds: Bounds) -> Result<i64, LokiError> {
    let span_ns = bounds.end_ns.saturating_sub(bounds.start_ns);
    let step_ns = match params.get("step") {
        "" => (span_ns / NS_PER_S / DEFAULT_POINTS).max(1) * NS_PER_S,
        text => seconds_or_duration(text)?,
    };
    if step_ns <= 0 {
        return Err(LokiError::bad(
            "zero or negative query resolution step widths are not accepted. \
             Try a positive integer",
        ));
    }
    if span_ns / step_ns > MAX_POINTS {
        return Err(LokiError::bad(
            "exceeded maximum resolution of 11,000 points per time series. \
             Try increasing the value of the step parameter",
        ));
    }
    Ok(step_ns)
}

/// Reads a range and checks all that a query over it may say, for calls that use a part of
/// it only.
pub(super) fn checked_bounds(params: &Params, now_ns: i64) -> Result<Bounds, LokiError> {
    let bounds = ordered_bounds(params, now_ns)?;
    limit(params)?;
    is_forward(params)?;
    step(params, bounds)?;
    interval(params)?;
    Ok(bounds)
}

/// Reads `interval`, in nanoseconds; 0 where there is none.
pub(super) fn interval(params: &Params) -> Result<i64, LokiError> {
    let interval_ns = match params.get("interval") {
        "" => 0,
        text => seconds_or_duration(text)?,
    };
    if interval_ns < 0 {
        return Err(LokiError::bad("interval must be >= 0"));
    }
    Ok(interval_ns)
}

fn seconds_or_duration(text: &str) -> Result<i64, LokiError> {
    duration::parse_api(text).map_err(|error| LokiError::bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: i64 = 1_800_000_000 * NS_PER_S;

    fn params(query: &str) -> Params {
        Params::decode(Some(query), None)
    }

    fn text<T: std::fmt::Debug>(result: Result<T, LokiError>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.status, 400);
        error.text
    }

    #[test]
    fn times_are_read_in_all_their_forms() {
        for (text, ns) in [
            ("1795329565", 1_795_329_565_000_000_000),
            ("4000000000", 4_000_000_000_000_000_000),
            ("1795329565123456789", 1_795_329_565_123_456_789),
            ("17953295651", 17_953_295_651),
            ("1795329565.5", 1_795_329_565_500_000_000),
            ("1795329565.1239", 1_795_329_565_124_000_000),
            ("-1", -NS_PER_S),
            ("0", 0),
            ("2026-11-22T05:00:00Z", 1_795_323_600_000_000_000),
            ("2026-11-22T06:00:00.25+01:00", 1_795_323_600_250_000_000),
            // Beyond what there is.
            ("9999999999", i64::MAX),
            ("99999999999999999999.0", i64::MAX),
            ("50000-01-01T00:00:00Z", 0),
        ] {
            match parse_time(text) {
                Ok(found) => assert_eq!(found, ns, "{text}"),
                Err(_) => assert_eq!(text, "50000-01-01T00:00:00Z"),
            }
        }
        for bad in [
            "",
            "x",
            "1e9",
            "Inf",
            "1795329565s",
            "99999999999999999999",
            ".",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_ends_now_and_lasts_an_hour_unless_told_otherwise() {
        let read = |query: &str| bounds(&params(query), NOW_NS).unwrap();
        let hour = 3600 * NS_PER_S;
        let expected = Bounds {
            start_ns: NOW_NS - hour,
            end_ns: NOW_NS,
        };
        assert_eq!(read(""), expected);
        assert_eq!(read("since=2h").start_ns, NOW_NS - 2 * hour);
        assert_eq!(
            read("end=1799990000").start_ns,
            1_799_990_000 * NS_PER_S - hour
        );
        // An end that is still to come.
        assert_eq!(read("end=1800090000").start_ns, NOW_NS - hour);
        assert_eq!(read("start=5&since=2h").start_ns, 5 * NS_PER_S);
        let wrong = "could not parse 'start' parameter: \
                     strconv.ParseInt: parsing \"x\": invalid syntax";
        assert_eq!(text(bounds(&params("start=x"), NOW_NS)), wrong);
        assert!(text(bounds(&params("since=x"), NOW_NS)).starts_with("could not parse 'since'"));
        let undecoded = bounds(&params("start=1&query=%zz"), NOW_NS);
        assert_eq!(text(undecoded), "invalid URL escape \"%zz\"");
        let backwards = ordered_bounds(&params("start=6&end=5"), NOW_NS);
        let wrong = "end timestamp must not be before or equal to start time";
        assert_eq!(text(backwards), wrong);
    }

    #[test]
    fn a_step_is_a_part_of_the_range_unless_told_otherwise() {
        let bounds = |seconds: i64| Bounds {
            start_ns: 0,
            end_ns: seconds * NS_PER_S,
        };
        let read = |query: &str, seconds: i64| step(&params(query), bounds(seconds));
        assert_eq!(read("", 100), Ok(NS_PER_S));
        assert_eq!(read("", 3600), Ok(14 * NS_PER_S));
        assert_eq!(read("step=60", 3600), Ok(60 * NS_PER_S));
        assert_eq!(read("step=1.5", 3600), Ok(1_500_000_000));
        assert_eq!(read("step=500ms", 3600), Ok(500_000_000));
        assert!(text(read("step=0", 1)).starts_with("zero or negative query resolution"));
        assert!(text(read("step=1s", 11_001)).starts_with("exceeded maximum resolution"));
        assert!(read("step=1s", 11_000).is_ok());
        assert_eq!(
            text(read("step=x", 1)),
            "cannot parse \"x\" to a valid duration"
        );
        let all = Bounds {
            start_ns: i64::MIN,
            end_ns: i64::MAX,
        };
        assert!(step(&params(""), all).is_ok());
        assert_eq!(
            text(interval(&params("interval=-1"))),
            "interval must be >= 0"
        );
        assert_eq!(interval(&params("interval=3s")), Ok(3 * NS_PER_S));
    }

    #[test]
    fn calls_that_use_a_part_check_everything() {
        let read = |query: &str| checked_bounds(&params(query), NOW_NS);
        let bounds = Bounds {
            start_ns: 5 * NS_PER_S,
            end_ns: 6 * NS_PER_S,
        };
        assert_eq!(read("start=5&end=6&limit=1&step=1s"), Ok(bounds));
        assert_eq!(text(read("limit=0")), "limit must be a positive value");
        assert_eq!(text(read("direction=up")), "invalid direction 'up'");
        assert_eq!(
            text(read("step=x")),
            "cannot parse \"x\" to a valid duration"
        );
        assert_eq!(text(read("interval=-1")), "interval must be >= 0");
    }

    #[test]
    fn limits_are_above_zero_and_directions_are_two() {
        assert_eq!(limit(&params("")), Ok(100));
        assert_eq!(limit(&params("limit=7")), Ok(7));
        let wrong = "limit must be a positive value";
        assert_eq!(text(limit(&params("limit=0"))), wrong);
        assert_eq!(text(limit(&params("limit=-5"))), wrong);
        let wrong = "strconv.Atoi: parsing \"x\": invalid syntax";
        assert_eq!(text(limit(&params("limit=x"))), wrong);
        let wrong = "limit value 4294967296 is out of range [0, 4294967295]";
        assert_eq!(text(limit(&params("limit=4294967296"))), wrong);
        assert_eq!(is_forward(&params("direction=FORWARD")), Ok(true));
        assert_eq!(is_forward(&params("direction=backward")), Ok(false));
        let wrong = "invalid direction 'up'";
        assert_eq!(text(is_forward(&params("direction=up"))), wrong);
    }
}
