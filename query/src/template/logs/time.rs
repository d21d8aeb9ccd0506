//! Times of log lines.

use super::string;
use crate::template::time::{TIME, Time, Zone, parse};
use crate::template::value::{Type, Value};

type Outcome = Result<Value, String>;

static PARAMETER: [Type; 1] = [Type::Named(&TIME)];
/// One time.
pub(super) static ONE: &[Type] = &PARAMETER;

fn time(value: &Value) -> Time {
    match value.pointee() {
        Value::Time(time) => time.clone(),
        _ => Time::ZERO,
    }
}

/// Writes a time, or a number of seconds, as a layout says.
pub(super) fn date(a: &[Value], now: &Time) -> Value {
    let layout = a.first().map(string).unwrap_or_default();
    let time = match a.get(1).map(Value::pointee) {
        Some(Value::Time(time)) => time.in_zone(Zone::Utc),
        Some(Value::Int(seconds, _)) => Time::from_seconds(*seconds),
        _ => now.clone(),
    };
    time.format(&layout).into()
}

/// Reads a time; what is none is the first moment of the year one.
pub(super) fn to_date(a: &[Value]) -> Outcome {
    Ok(read(&string(&a[0]), &string(&a[1]), &Zone::Utc))
}

pub(super) fn to_date_in_zone(a: &[Value]) -> Outcome {
    let zone = Zone::load(&string(&a[1])).unwrap_or(Zone::Utc);
    Ok(read(&string(&a[0]), &string(&a[2]), &zone))
}

fn read(layout: &str, text: &str, zone: &Zone) -> Value {
    Value::Time(parse(layout, text, zone).unwrap_or(Time::ZERO))
}

pub(super) fn unix_epoch(a: &[Value]) -> Outcome {
    Ok(time(&a[0]).unix().to_string().into())
}

pub(super) fn unix_epoch_millis(a: &[Value]) -> Outcome {
    Ok(time(&a[0]).unix_ms().to_string().into())
}

pub(super) fn unix_epoch_nanos(a: &[Value]) -> Outcome {
    Ok(time(&a[0]).unix_nanos().to_string().into())
}

/// Reads a number since the epoch, whose unit its length tells.
pub(super) fn unix_to_time(a: &[Value]) -> Outcome {
    let text = string(&a[0]);
    let wrong = |reason: &str| Err(format!("unable to parse time '{text}': {reason}"));
    let quoted = || kymo_storage::compat::quote::quote(&text);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong(&format!(
            "strconv.ParseInt: parsing {}: invalid syntax",
            quoted()
        ));
    }
    let Ok(number) = text.parse::<i64>() else {
        return wrong(&format!(
            "strconv.ParseInt: parsing {}: value out of range",
            quoted()
        ));
    };
    let time = match text.len() {
        5 => Time::from_seconds(number * 86_400),
        10 => Time::from_seconds(number),
        13 => Time::from_nanos(number.wrapping_mul(1_000_000)),
        16 => Time::from_nanos(number.wrapping_mul(1000)),
        19 => Time::from_nanos(number),
        // Upstream wraps an error that there is none of.
        _ => return wrong("%!w(<nil>)"),
    };
    Ok(Value::Time(time))
}
