//! Numbers, durations and times for people to read.

use kymo_storage::compat::float;

use crate::template::number::float_to_int;
use crate::template::time::{DURATION, Time};
use crate::template::value::Value;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const LARGE_BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// Returns a number that is given as one or as text.
pub(in crate::template) fn to_float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::String(text) => float::parse(&text.to_str()).map_err(|error| error.to_string()),
        Value::Int(value, _) => Ok(*value as f64),
        Value::Uint(value, _) => Ok(*value as f64),
        Value::Number(nanos, named) if std::ptr::eq(*named, &DURATION) => {
            Ok((nanos / 1_000_000_000) as f64 + (nanos % 1_000_000_000) as f64 / 1e9)
        }
        other => {
            let kind = match other.clone().out_of_interface() {
                Value::Invalid => "<nil>".to_owned(),
                other => other.type_name(),
            };
            Err(format!("can't convert {kind} to float"))
        }
    }
}

/// Returns a number in four digits.
fn short(value: f64) -> String {
    let mut out = String::new();
    float::push_g_precision(&mut out, value, 4);
    out
}

/// Divides by a factor while the number is not below it, and names how often.
fn scaled_down(mut value: f64, by: f64, names: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for name in names {
        if value.abs() < by {
            break;
        }
        prefix = name;
        value /= by;
    }
    (value, prefix)
}

fn scaled_up(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for name in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = name;
        value *= 1000.0;
    }
    (value, prefix)
}

pub(super) fn si(value: &Value) -> Result<Value, String> {
    let value = to_float(value)?;
    if value == 0.0 || !value.is_finite() {
        return Ok(short(value).into());
    }
    let (value, prefix) = if value.abs() >= 1.0 {
        scaled_down(value, 1000.0, &LARGE)
    } else {
        scaled_up(value)
    };
    Ok(format!("{}{prefix}", short(value)).into())
}

pub(super) fn binary(value: &Value) -> Result<Value, String> {
    let value = to_float(value)?;
    if value.abs() <= 1.0 || !value.is_finite() {
        return Ok(short(value).into());
    }
    let (value, prefix) = scaled_down(value, 1024.0, &LARGE_BINARY);
    Ok(format!("{}{prefix}", short(value)).into())
}

pub(super) fn duration(value: &Value) -> Result<Value, String> {
    let value = to_float(value)?;
    if !value.is_finite() {
        return Ok(short(value).into());
    }
    if value == 0.0 {
        return Ok(format!("{}s", short(value)).into());
    }
    if value.abs() < 1.0 {
        let (value, prefix) = scaled_up(value);
        return Ok(format!("{}{prefix}s", short(value)).into());
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    // Beyond the largest integer the parts are those of the smallest.
    let total = float_to_int(value);
    let seconds = total % 60;
    let minutes = total / 60 % 60;
    let hours = total / 3600 % 24;
    let days = total / 86_400;
    let text = if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", short(value))
    };
    Ok(text.into())
}

pub(super) fn percentage(value: &Value) -> Result<Value, String> {
    let value = to_float(value)?;
    Ok(format!("{}%", short(value * 100.0)).into())
}

pub(super) fn timestamp(value: &Value) -> Result<Value, String> {
    let value = to_float(value)?;
    Ok(match to_time(value)? {
        Some(time) => time.to_string().into(),
        None => short(value).into(),
    })
}

/// Returns the time of a number of seconds, cut to the millisecond; `None` for what is
/// no number or infinite.
pub(super) fn to_time(seconds: f64) -> Result<Option<Time>, String> {
    if !seconds.is_finite() {
        return Ok(None);
    }
    let nanos = seconds * 1e9;
    // The largest integer is no float; Go compares with the next one.
    if !(-9_223_372_036_854_775_808.0..=9_223_372_036_854_775_808.0).contains(&nanos) {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            float::g(seconds)
        ));
    }
    Ok(Some(Time::from_ms(float_to_int(nanos) / 1_000_000)))
}
