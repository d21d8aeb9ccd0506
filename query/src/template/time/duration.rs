//! `time.Duration`: nanoseconds that print themselves.

use kymo_storage::compat::duration::format_go;

use crate::template::function::Function;
use crate::template::value::{IntType, NamedType, Shape, Type, Value};

/// `time.Duration`
pub(crate) static DURATION: NamedType = NamedType {
    name: "time.Duration",
    shape: Shape::Int(IntType::Int64),
    methods: &METHODS,
    stringer: Some(|value| format_go(nanos(value))),
    stringer_on_pointer: false,
};

static ONE: [Type; 1] = [Type::Named(&DURATION)];

static METHODS: [Function; 10] = [
    Function::pure("String", &[], |arguments| {
        Ok(format_go(receiver(arguments)).into())
    }),
    Function::pure("Nanoseconds", &[], |arguments| {
        Ok(Value::int64(receiver(arguments)))
    }),
    Function::pure("Microseconds", &[], |arguments| {
        Ok(Value::int64(receiver(arguments) / 1_000))
    }),
    Function::pure("Milliseconds", &[], |arguments| {
        Ok(Value::int64(receiver(arguments) / 1_000_000))
    }),
    Function::pure("Seconds", &[], |arguments| {
        Ok(in_units(arguments, 1_000_000_000))
    }),
    Function::pure("Minutes", &[], |arguments| {
        Ok(in_units(arguments, 60_000_000_000))
    }),
    Function::pure("Hours", &[], |arguments| {
        Ok(in_units(arguments, 3_600_000_000_000))
    }),
    Function::pure("Abs", &[], |arguments| {
        let nanos = receiver(arguments);
        Ok(Value::Number(
            nanos.checked_abs().unwrap_or(i64::MAX),
            &DURATION,
        ))
    }),
    Function::pure("Truncate", &ONE, |arguments| {
        let (nanos, unit) = (receiver(arguments), nanos(&arguments[1]));
        let truncated = if unit <= 0 {
            nanos
        } else {
            nanos - nanos % unit
        };
        Ok(Value::Number(truncated, &DURATION))
    }),
    Function::pure("Round", &ONE, |arguments| {
        let (nanos, unit) = (receiver(arguments), nanos(&arguments[1]));
        Ok(Value::Number(round(nanos, unit), &DURATION))
    }),
];

/// Returns a duration's nanoseconds.
pub(crate) fn nanos(value: &Value) -> i64 {
    match value.pointee() {
        Value::Number(nanos, _) => *nanos,
        _ => 0,
    }
}

fn receiver(arguments: &[Value]) -> i64 {
    arguments.first().map_or(0, nanos)
}

fn in_units(arguments: &[Value], unit: i64) -> Value {
    let nanos = receiver(arguments);
    Value::Float((nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64)
}

/// Rounds half away from zero, to the largest duration where that overflows.
fn round(nanos: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return nanos;
    }
    let (nanos, unit) = (i128::from(nanos), i128::from(unit));
    let (whole, rest) = (nanos.abs() / unit, nanos.abs() % unit);
    let rounded = (whole + i128::from(rest * 2 >= unit)) * unit;
    let signed = if nanos < 0 { -rounded } else { rounded };
    i64::try_from(signed).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}
