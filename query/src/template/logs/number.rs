//! Numbers: whatever is none counts as zero.

use kymo_storage::compat::{duration as durations, float as floats};

use super::decimal::Decimal;
use super::{integer, string};
use crate::template::number::{float_to_int, parse_int};
use crate::template::value::Value;

type Outcome = Result<Value, String>;

/// Returns a value as an integer. A text may name its base and have a fraction, which
/// is dropped.
pub(super) fn int(value: &Value) -> i64 {
    match value.pointee() {
        Value::Int(value, _) | Value::Number(value, _) => *value,
        Value::Uint(value, _) => *value as i64,
        Value::Float(value) => float_to_int(*value),
        Value::Bool(value) => i64::from(*value),
        Value::String(text) => parse_int(whole_part(&text.to_str())).unwrap_or(0),
        _ => 0,
    }
}

/// Returns a decimal number without its fraction, and any other text as it is.
fn whole_part(text: &str) -> &str {
    let Some((whole, fraction)) = text.split_once('.') else {
        return text;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    if !digits(unsigned) || !digits(fraction) {
        return text;
    }
    if unsigned.is_empty() { "0" } else { whole }
}

/// Returns a value as a float.
pub(super) fn float(value: &Value) -> f64 {
    match value.pointee() {
        Value::Int(value, _) | Value::Number(value, _) => *value as f64,
        Value::Uint(value, _) => *value as f64,
        Value::Float(value) => *value,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::String(text) => floats::parse(&text.to_str()).unwrap_or(0.0),
        _ => 0.0,
    }
}

pub(super) fn add(a: &[Value]) -> Outcome {
    let sum = a
        .iter()
        .fold(0i64, |sum, value| sum.wrapping_add(int(value)));
    Ok(Value::int64(sum))
}

pub(super) fn sub(a: &[Value]) -> Outcome {
    Ok(Value::int64(int(&a[0]).wrapping_sub(int(&a[1]))))
}

pub(super) fn mul(a: &[Value]) -> Outcome {
    let product = a
        .iter()
        .fold(1i64, |product, value| product.wrapping_mul(int(value)));
    Ok(Value::int64(product))
}

const DIVIDED_BY_ZERO: &str = "runtime error: integer divide by zero";

pub(super) fn div(a: &[Value]) -> Outcome {
    match int(&a[1]) {
        0 => Err(DIVIDED_BY_ZERO.to_owned()),
        by => Ok(Value::int64(int(&a[0]).wrapping_div(by))),
    }
}

pub(super) fn modulo(a: &[Value]) -> Outcome {
    match int(&a[1]) {
        0 => Err(DIVIDED_BY_ZERO.to_owned()),
        by => Ok(Value::int64(int(&a[0]).wrapping_rem(by))),
    }
}

pub(super) fn max(a: &[Value]) -> Outcome {
    Ok(Value::int64(a.iter().map(int).max().unwrap_or(0)))
}

pub(super) fn min(a: &[Value]) -> Outcome {
    Ok(Value::int64(a.iter().map(int).min().unwrap_or(0)))
}

/// Chooses among floats; what is no number wins.
fn choose(a: &[Value], better: fn(f64, f64) -> f64) -> Outcome {
    let mut values = a.iter().map(float);
    let mut best = values.next().unwrap_or(0.0);
    for value in values {
        best = if best.is_nan() || value.is_nan() {
            f64::NAN
        } else {
            better(best, value)
        };
    }
    Ok(Value::Float(best))
}

pub(super) fn max_float(a: &[Value]) -> Outcome {
    choose(a, f64::max)
}

pub(super) fn min_float(a: &[Value]) -> Outcome {
    choose(a, f64::min)
}

/// Rounds to a number of decimal places.
pub(super) fn round(a: &[Value]) -> Outcome {
    let round_on = match a.get(2) {
        Some(Value::Float(round_on)) => *round_on,
        _ => 0.5,
    };
    let power = 10f64.powf(integer(&a[1]) as f64);
    let shifted = power * float(&a[0]);
    let rounded = if shifted.fract() >= round_on {
        shifted.ceil()
    } else {
        shifted.floor()
    };
    Ok(Value::Float(rounded / power))
}

/// Computes in decimals, as people do, not in binary fractions.
fn decimals(
    first: f64,
    rest: &[Value],
    operation: fn(&Decimal, &Decimal) -> Result<Decimal, String>,
) -> Outcome {
    let mut result = Decimal::from_float(first)?;
    for value in rest {
        result = operation(&result, &Decimal::from_float(float(value))?)?;
    }
    Ok(Value::Float(result.to_float()))
}

pub(super) fn add_float(a: &[Value]) -> Outcome {
    decimals(0.0, a, Decimal::add)
}

pub(super) fn sub_float(a: &[Value]) -> Outcome {
    decimals(float(&a[0]), &a[1..], |a, b| a.add(&b.negated()))
}

pub(super) fn mul_float(a: &[Value]) -> Outcome {
    decimals(float(&a[0]), &a[1..], Decimal::mul)
}

pub(super) fn div_float(a: &[Value]) -> Outcome {
    decimals(float(&a[0]), &a[1..], Decimal::div)
}

pub(super) fn bytes(a: &[Value]) -> Outcome {
    parse_size(&string(&a[0])).map(|size| Value::Float(size as f64))
}

/// Reads a size such as `1.5 MiB` and drops what is less than a byte.
///
/// # Errors
/// The text is no size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let len = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(len);
    let number = floats::parse(&number.replace(',', "")).map_err(|error| error.to_string())?;
    let unit = unit.trim().to_lowercase();
    let Some(factor) = unit_bytes(&unit) else {
        return Err(format!("unhandled size name: {unit}"));
    };
    let size = number * factor;
    if size >= u64::MAX as f64 {
        return Err(format!("too large: {text}"));
    }
    Ok(size as u64)
}

fn unit_bytes(unit: &str) -> Option<f64> {
    let (prefix, base) = match unit.strip_suffix('b').unwrap_or(unit) {
        prefix if prefix.ends_with('i') => (&prefix[..prefix.len() - 1], 1024f64),
        prefix => (prefix, 1000f64),
    };
    let power = match prefix {
        "" if base == 1000.0 => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return None,
    };
    Some(base.powi(power))
}

/// Reads a duration of Go as seconds.
pub(super) fn duration(a: &[Value]) -> Outcome {
    let nanos = durations::parse_go(&string(&a[0])).map_err(|error| error.to_string())?;
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    Ok(Value::Float(seconds as f64 + rest as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_integers_as_far_as_they_are_numbers() {
        for (text, want) in [
            ("42", 42),
            ("-7.9", -7),
            (".5", 0),
            ("-.5", 0),
            ("0x1f", 31),
            ("017", 15),
            ("1e3", 0),
            ("12a", 0),
            ("", 0),
            ("99999999999999999999", 0),
        ] {
            assert_eq!(int(&Value::from(text)), want, "{text}");
        }
        assert_eq!(int(&Value::Float(2.9)), 2);
        assert_eq!(int(&Value::Bool(true)), 1);
    }

    #[test]
    fn sizes_have_units_of_both_kinds() {
        for (text, want) in [
            ("10MB", 1e7),
            ("1KiB", 1024.0),
            ("5", 5.0),
            ("1,000 kb", 1e6),
        ] {
            let got = bytes(&[Value::from(text)]).unwrap();
            assert!(
                matches!(got, Value::Float(got) if got == want),
                "{text} {got:?}"
            );
        }
        assert!(bytes(&[Value::from("5 ib")]).is_err());
        assert!(bytes(&[Value::from("5 x")]).is_err());
        assert!(bytes(&[Value::from("20 eib")]).is_err());
    }
}
