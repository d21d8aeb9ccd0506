//! Values that stages extract, and what Go makes of them as text and as numbers.

use std::borrow::Cow;

use kymo_storage::compat::{duration, float};

/// An extracted value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number of a JSON line.
    Number(f64),
    /// A boolean of a JSON line.
    Bool(bool),
    /// What a JSON line does not have, or has as null. It is there and has no text.
    Null,
}

impl Value {
    /// Returns the value as text; a null has none.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            // Shortest, and never with an exponent, as Go's format `f`.
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(true) => Some(Cow::Borrowed("true")),
            Value::Bool(false) => Some(Cow::Borrowed("false")),
            Value::Null => None,
        }
    }

    /// Returns the value as a number: a text may be a number or a duration, which counts in
    /// seconds.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Text(text) => match float::parse(text) {
                Ok(number) => Some(number),
                Err(_) => duration::parse_go(text).ok().map(|ns| ns as f64 / 1e9),
            },
            Value::Number(number) => Some(*number),
            Value::Bool(is) => Some(f64::from(u8::from(*is))),
            Value::Null => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_in_go() {
        for (value, text, number) in [
            (Value::Text("1.5".into()), Some("1.5"), Some(1.5)),
            (Value::Text("1m30s".into()), Some("1m30s"), Some(90.0)),
            (Value::Text("x".into()), Some("x"), None),
            (
                Value::Number(1e21),
                Some("1000000000000000000000"),
                Some(1e21),
            ),
            (Value::Number(0.000_000_1), Some("0.0000001"), Some(1e-7)),
            (Value::Number(3.0), Some("3"), Some(3.0)),
            (Value::Bool(true), Some("true"), Some(1.0)),
            (Value::Null, None, None),
        ] {
            assert_eq!(value.text().as_deref(), text);
            assert_eq!(value.number(), number, "{value:?}");
        }
    }
}
