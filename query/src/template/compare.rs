//! Go's comparisons. Kinds are not mixed, except for signed and unsigned integers.

use super::function::Function;
use super::print;
use super::value::{Shape, Type, Value, decode};

const TWO: &[Type] = &[Type::Reflect, Type::Reflect];

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic("eq", TWO, |arguments| {
        equals_any(&arguments[0], &arguments[1..]).map(Value::Bool)
    }),
    Function::pure("ne", TWO, |arguments| {
        equals_any(&arguments[0], &arguments[1..]).map(|equal| Value::Bool(!equal))
    }),
    Function::pure("lt", TWO, |arguments| {
        less(&arguments[0], &arguments[1]).map(Value::Bool)
    }),
    Function::pure("le", TWO, |arguments| {
        less_or_equal(&arguments[0], &arguments[1]).map(Value::Bool)
    }),
    Function::pure("gt", TWO, |arguments| {
        less_or_equal(&arguments[0], &arguments[1]).map(|le| Value::Bool(!le))
    }),
    Function::pure("ge", TWO, |arguments| {
        less(&arguments[0], &arguments[1]).map(|less| Value::Bool(!less))
    }),
];

/// A value of a basic kind.
enum Basic<'v> {
    Bool(bool),
    Complex(f64, f64),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'v [u8]),
}

impl Basic<'_> {
    fn of(value: &Value) -> Option<Basic<'_>> {
        Some(match value {
            Value::Bool(value) => Basic::Bool(*value),
            Value::Int(value, _) | Value::Number(value, _) => Basic::Int(*value),
            Value::Uint(value, _) => Basic::Uint(*value),
            Value::Float(value) => Basic::Float(*value),
            Value::Complex(real, imaginary) => Basic::Complex(*real, *imaginary),
            Value::String(text) => Basic::Text(text.as_bytes()),
            _ => return None,
        })
    }
}

fn incompatible(a: &Value, b: &Value) -> String {
    let (a, b) = (a.type_name(), b.type_name());
    format!("incompatible types for comparison: {a} and {b}")
}

fn equals_any(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    let (a, b) = (&a.clone().out_of_interface(), &b.clone().out_of_interface());
    Ok(match (Basic::of(a), Basic::of(b)) {
        (Some(Basic::Bool(a)), Some(Basic::Bool(b))) => a == b,
        (Some(Basic::Int(a)), Some(Basic::Int(b))) => a == b,
        (Some(Basic::Uint(a)), Some(Basic::Uint(b))) => a == b,
        (Some(Basic::Int(a)), Some(Basic::Uint(b)))
        | (Some(Basic::Uint(b)), Some(Basic::Int(a))) => u64::try_from(a) == Ok(b),
        (Some(Basic::Float(a)), Some(Basic::Float(b))) => a == b,
        (Some(Basic::Complex(a, ai)), Some(Basic::Complex(b, bi))) => a == b && ai == bi,
        (Some(Basic::Text(a)), Some(Basic::Text(b))) => a == b,
        (None, None) => return equal_others(a, b),
        // Nothing is equal to nil but nil.
        _ if matches!(a, Value::Invalid) || matches!(b, Value::Invalid) => false,
        _ => return Err(incompatible(a, b)),
    })
}

/// Compares values of which none is of a basic kind.
fn equal_others(a: &Value, b: &Value) -> Result<bool, String> {
    let nil = |value: &Value| matches!(value, Value::Invalid | Value::Nil(_));
    let invalid = matches!(a, Value::Invalid) || matches!(b, Value::Invalid);
    if !invalid && family(a) != family(b) {
        let (a_text, b_text) = (shown("%s", a), shown("%v", b));
        let (a, b) = (a.type_name(), b.type_name());
        return Err(format!("non-comparable types {a_text}: {a}, {b}: {b_text}"));
    }
    if nil(a) || nil(b) {
        return Ok(nil(a) && nil(b));
    }
    if let Value::List(_) | Value::Map(_) = b {
        let (text, kind) = (shown("%s", b), b.type_name());
        return Err(format!("non-comparable type {text}: {kind}"));
    }
    Ok(match (a, b) {
        (Value::Pointer(a), Value::Pointer(b)) => std::sync::Arc::ptr_eq(a, b),
        (Value::Time(a), Value::Time(b)) => a.go_fields() == b.go_fields(),
        (Value::Struct(a), Value::Struct(b)) => std::sync::Arc::ptr_eq(a, b),
        _ => false,
    })
}

/// Returns what tells apart the kinds of values that are not basic.
fn family(value: &Value) -> u8 {
    match value.kind() {
        Some(Type::Pointer(_)) => 1,
        Some(Type::Named(named)) => match named.shape {
            Shape::List(_) => 2,
            Shape::Map(_) => 3,
            _ => 4,
        },
        _ => 0,
    }
}

/// Returns a value under a verb, as much of it as an error can sensibly hold.
fn shown(verb: &str, value: &Value) -> String {
    let text = print::sprintf(verb.as_bytes(), std::slice::from_ref(value), 64 << 10);
    text.map_or_else(|| "...".to_owned(), |text| decode(&text))
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    const WRONG: &str = "invalid type for comparison";
    let (Some(x), Some(y)) = (Basic::of(a), Basic::of(b)) else {
        return Err(WRONG.to_owned());
    };
    Ok(match (x, y) {
        (Basic::Int(a), Basic::Int(b)) => a < b,
        (Basic::Uint(a), Basic::Uint(b)) => a < b,
        (Basic::Int(a), Basic::Uint(b)) => u64::try_from(a).map_or(true, |a| a < b),
        (Basic::Uint(a), Basic::Int(b)) => u64::try_from(b).is_ok_and(|b| a < b),
        (Basic::Float(a), Basic::Float(b)) => a < b,
        (Basic::Text(a), Basic::Text(b)) => a < b,
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => {
            return Err(WRONG.to_owned());
        }
        _ => return Err(incompatible(a, b)),
    })
}

fn less_or_equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(less(a, b)? || equal(a, b)?)
}
