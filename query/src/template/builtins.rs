//! Go's own functions: indexing, printing and escaping.

use std::sync::Arc;

use kymo_storage::compat::quote;

use super::function::{Body, Function};
use super::print;
use super::value::{List, Shape, Text, Type, UintType, Value};

const ANYTHING: &[Type] = &[Type::Any];

pub(super) const FUNCTIONS: &[Function] = &[
    special("and", Body::And),
    special("or", Body::Or),
    special("call", Body::Call),
    Function::pure("not", &[Type::Reflect], |arguments| {
        Ok(Value::Bool(!arguments[0].is_true()))
    }),
    Function::pure("len", &[Type::Reflect], |arguments| {
        len(&arguments[0]).map(Value::int)
    }),
    Function::variadic("index", &[Type::Reflect, Type::Reflect], |arguments| {
        index(&arguments[0], &arguments[1..])
    }),
    Function::variadic("slice", &[Type::Reflect, Type::Reflect], |arguments| {
        slice(&arguments[0], &arguments[1..])
    }),
    sized("print", ANYTHING, |arguments, limit| {
        within(print::sprint(arguments, limit), limit)
    }),
    sized("println", ANYTHING, |arguments, limit| {
        within(print::sprintln(arguments, limit), limit)
    }),
    sized("printf", &[Type::String, Type::Any], |arguments, limit| {
        let format = match &arguments[0] {
            Value::String(format) => format.as_bytes(),
            _ => b"",
        };
        within(print::sprintf(format, &arguments[1..], limit), limit)
    }),
    sized("html", ANYTHING, |arguments, limit| {
        let text = print::escapable(arguments, limit).ok_or_else(|| over(limit))?;
        Ok(html(&text).into())
    }),
    sized("js", ANYTHING, |arguments, limit| {
        let text = print::escapable(arguments, limit).ok_or_else(|| over(limit))?;
        Ok(js(&text).into())
    }),
    sized("urlquery", ANYTHING, |arguments, limit| {
        let text = print::escapable(arguments, limit).ok_or_else(|| over(limit))?;
        Ok(query_escape(&text).into())
    }),
];

const fn special(name: &'static str, body: Body) -> Function {
    Function {
        name,
        parameters: &[Type::Reflect, Type::Reflect],
        variadic: true,
        body,
    }
}

const fn sized(
    name: &'static str,
    parameters: &'static [Type],
    body: fn(&[Value], usize) -> Result<Value, String>,
) -> Function {
    Function {
        name,
        parameters,
        variadic: true,
        body: Body::Sized(body),
    }
}

/// Returns the words for a text that is larger than the limit.
pub(super) fn over(limit: usize) -> String {
    format!("result is larger than {limit} bytes")
}

fn within(text: Option<Vec<u8>>, limit: usize) -> Result<Value, String> {
    text.map(Value::from).ok_or_else(|| over(limit))
}

fn len(value: &Value) -> Result<i64, String> {
    let len = match value.pointee() {
        Value::Invalid => {
            return Err("reflect: call of reflect.Value.Type on zero Value".to_owned());
        }
        nil if nil.is_nil_pointer() => return Err("len of nil pointer".to_owned()),
        Value::String(text) => text.len(),
        Value::List(list) => list.items().len(),
        Value::Map(map) => map.entries().len(),
        Value::Nil(_) => 0,
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(i64::try_from(len).unwrap_or(i64::MAX))
}

/// Returns an index into something of a length, which itself is allowed here.
fn position(index: &Value, len: usize) -> Result<usize, String> {
    let position = match index {
        Value::Int(index, _) | Value::Number(index, _) => *index,
        // Go wraps around, too.
        Value::Uint(index, _) => *index as i64,
        Value::Invalid | Value::Nil(Type::Any) => {
            return Err("cannot index slice/array with nil".to_owned());
        }
        other => {
            return Err(format!(
                "cannot index slice/array with type {}",
                other.type_name()
            ));
        }
    };
    match usize::try_from(position) {
        Ok(at) if at <= len => Ok(at),
        _ => Err(format!("index out of range: {position}")),
    }
}

fn index(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    let mut item = item.clone().out_of_interface();
    if let Value::Invalid = item {
        return Err("index of untyped nil".to_owned());
    }
    for index in indexes {
        if item.is_nil_pointer() {
            return Err("index of nil pointer".to_owned());
        }
        item = match item.pointee() {
            Value::String(text) => {
                let at = position(index, text.len())?;
                match text.as_bytes().get(at) {
                    Some(byte) => Value::Uint(u64::from(*byte), UintType::Uint8),
                    None => return Err("reflect: string index out of range".to_owned()),
                }
            }
            Value::List(list) => {
                let at = position(index, list.items().len())?;
                match list.items().get(at) {
                    Some(item) => item.clone(),
                    None => return Err("reflect: slice index out of range".to_owned()),
                }
            }
            Value::Map(map) => match key(index)? {
                Some(key) => match map.get(key.as_bytes()) {
                    Some(found) => found.clone(),
                    None => zero_item(&item),
                },
                None => zero_item(&item),
            },
            Value::Nil(Type::Named(named)) => match named.shape {
                Shape::Map(_) => {
                    key(index)?;
                    zero_item(&item)
                }
                _ => {
                    position(index, 0)?;
                    return Err("reflect: slice index out of range".to_owned());
                }
            },
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

/// Returns an index as the key of a map.
fn key(index: &Value) -> Result<Option<Text>, String> {
    match index {
        Value::String(key) => Ok(Some(key.clone())),
        Value::Invalid | Value::Nil(Type::Any) => {
            Err("value is nil; should be of type string".to_owned())
        }
        other => Err(format!(
            "value has type {}; should be string",
            other.type_name()
        )),
    }
}

fn zero_item(map: &Value) -> Value {
    match map.pointee().kind() {
        Some(Type::Named(named)) => match named.shape {
            Shape::Map(item) => item.zero(),
            _ => Value::Invalid,
        },
        _ => Value::Invalid,
    }
}

fn slice(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    let item = item.clone().out_of_interface();
    if let Value::Invalid = item {
        return Err("slice of untyped nil".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let len = match &item {
        Value::String(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::String(text) => text.len(),
        Value::List(list) => list.items().len(),
        Value::Nil(Type::Named(named)) if matches!(named.shape, Shape::List(_)) => 0,
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, len)?;
    }
    let [from, to, capacity] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if indexes.len() == 3 && to > capacity {
        return Err(format!("invalid slice index: {to} > {capacity}"));
    }
    match &item {
        Value::String(text) => Ok(Value::from(text.as_bytes()[from..to].to_vec())),
        Value::List(list) => {
            let Some(Type::Named(named)) = item.kind() else {
                return Ok(item);
            };
            let items = list.items()[from..to].to_vec();
            Ok(Value::List(Arc::new(List::new(named, items)?)))
        }
        _ => Ok(item),
    }
}

/// Escapes text for HTML.
pub(super) fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            other => out.push(*other),
        }
    }
    out
}

/// Escapes text for a string of JavaScript.
fn js(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\'' => out.push_str("\\'"),
                '"' => out.push_str("\\\""),
                '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
                c if c < ' ' || !(c.is_ascii() || quote::is_print(c)) => {
                    out.push_str(&format!("\\u{:04X}", u32::from(c)));
                }
                c => out.push(c),
            }
        }
        for _ in chunk.invalid() {
            // What is no character is replaced by one that is printed as it is.
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
    out.into_bytes()
}

/// Escapes text for the query of a URL (`url.QueryEscape`).
pub(super) fn query_escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    out
}
