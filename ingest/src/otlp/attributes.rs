//! Attributes: names with values of many kinds, which labels have as text.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kymo_storage::compat::{float, json};

use super::error::DecodeError;
use super::schema::{self, KEY_VALUE, pass};
use crate::wire::{BYTES, FIXED64, Reader, VARINT};

/// Most attributes of one resource, scope, point or exemplar. A series cannot have more
/// labels.
pub(super) const MAX_ATTRIBUTES: usize = 10_000;

/// An attribute, its value not yet text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) key: &'a str,
    value: Value<'a>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Value<'a> {
    #[default]
    Empty,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// The bytes of a list of values.
    Array(&'a [u8]),
    /// The bytes of a list of attributes.
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> Attribute<'a> {
    /// Reads a `KeyValue`.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Attribute<'a>, DecodeError> {
        let mut attribute = Attribute {
            key: "",
            value: Value::Empty,
        };
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("KeyValue")? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Key")?;
                    attribute.key = text(reader.bytes()?, "Key")?;
                }
                2 => {
                    tag.expect(BYTES, "Value")?;
                    attribute.value.read(reader.bytes()?)?;
                }
                _ => pass(&mut reader, tag, &KEY_VALUE)?,
            }
        }
        Ok(attribute)
    }

    /// Returns the entries of a map, `None` where the value is none.
    pub(super) fn entries(
        &self,
    ) -> Option<impl Iterator<Item = Result<&'a [u8], DecodeError>> + use<'a>> {
        match self.value {
            Value::Map(bytes) => Some(super::view::messages(bytes, "KeyValueList", 1, "Values")),
            _ => None,
        }
    }

    /// As [`Attribute::text`], without a copy of what is text already.
    pub(super) fn value_text(&self) -> Result<Cow<'a, str>, DecodeError> {
        match self.value {
            Value::Text(text) => Ok(text.into()),
            _ => self.text().map(Cow::Owned),
        }
    }

    /// Returns the value as text. What lies too deep, or has numbers that JSON cannot
    /// have, is left out as a whole.
    pub(super) fn text(&self) -> Result<String, DecodeError> {
        let mut out = String::new();
        match self.value {
            Value::Empty => {}
            Value::Text(text) => out.push_str(text),
            Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Value::Int(value) => out = value.to_string(),
            Value::Double(value) => push_double(&mut out, value),
            Value::Bytes(bytes) => out = BASE64_STANDARD.encode(bytes),
            Value::Array(_) | Value::Map(_) => {
                // A number that JSON does not know spoils all of it, as in Go.
                if !self.value.push_json(&mut out, MAX_LEVELS)? {
                    out.clear();
                }
            }
        }
        Ok(out)
    }
}

/// Returns an `AnyValue` as text, as [`Attribute::text`] does.
pub(super) fn text_of_value(bytes: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    let mut attribute = Attribute {
        key: "",
        value: Value::Empty,
    };
    attribute.value.read(bytes)?;
    attribute.value_text()
}

/// How deep values may lie in each other: as deep as the check of messages lets them.
const MAX_LEVELS: usize = schema::MAX_DEPTH;

impl<'a> Value<'a> {
    /// Reads an `AnyValue` over what there is: the last kind that is told holds.
    fn read(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("AnyValue")? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "StringValue")?;
                    *self = Value::Text(text(reader.bytes()?, "StringValue")?);
                }
                2 => {
                    tag.expect(VARINT, "BoolValue")?;
                    *self = Value::Bool(reader.varint()? != 0);
                }
                3 => {
                    tag.expect(VARINT, "IntValue")?;
                    *self = Value::Int(reader.varint()?.cast_signed());
                }
                4 => {
                    tag.expect(FIXED64, "DoubleValue")?;
                    *self = Value::Double(f64::from_bits(reader.fixed64()?));
                }
                5 => {
                    tag.expect(BYTES, "ArrayValue")?;
                    let bytes = reader.bytes()?;
                    schema::check(bytes, &schema::ARRAY_VALUE)?;
                    *self = Value::Array(bytes);
                }
                6 => {
                    tag.expect(BYTES, "KvlistValue")?;
                    let bytes = reader.bytes()?;
                    schema::check(bytes, &schema::KEY_VALUE_LIST)?;
                    *self = Value::Map(bytes);
                }
                7 => {
                    tag.expect(BYTES, "BytesValue")?;
                    *self = Value::Bytes(reader.bytes()?);
                }
                _ => pass(&mut reader, tag, &schema::ANY_VALUE)?,
            }
        }
        Ok(())
    }

    /// Appends the value as Go writes JSON; `false` where a number is none in JSON.
    fn push_json(&self, out: &mut String, levels_left: usize) -> Result<bool, DecodeError> {
        let Some(levels_left) = levels_left.checked_sub(1) else {
            return Err(DecodeError::TooDeep);
        };
        match *self {
            Value::Empty => out.push_str("null"),
            Value::Text(text) => json::push_plain_string(out, text),
            Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Double(value) if !value.is_finite() => return Ok(false),
            Value::Double(value) => float::push_api(out, value),
            Value::Bytes(bytes) => {
                out.push('"');
                BASE64_STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Value::Array(bytes) => {
                out.push('[');
                let mut is_first = true;
                for bytes in messages(bytes, "ArrayValue") {
                    if !std::mem::take(&mut is_first) {
                        out.push(',');
                    }
                    let mut value = Value::Empty;
                    value.read(bytes?)?;
                    if !value.push_json(out, levels_left)? {
                        return Ok(false);
                    }
                }
                out.push(']');
            }
            Value::Map(bytes) => {
                let attributes = messages(bytes, "KeyValueList").map(|one| Attribute::read(one?));
                let mut attributes: Vec<Attribute<'_>> = attributes.collect::<Result<_, _>>()?;
                attributes.sort_by_key(|attribute| attribute.key);
                out.push('{');
                let mut is_first = true;
                for (at, attribute) in attributes.iter().enumerate() {
                    // Of several with one name the last one holds.
                    let next = attributes.get(at + 1);
                    if next.is_some_and(|next| next.key == attribute.key) {
                        continue;
                    }
                    if !std::mem::take(&mut is_first) {
                        out.push(',');
                    }
                    json::push_plain_string(out, attribute.key);
                    out.push(':');
                    if !attribute.value.push_json(out, levels_left)? {
                        return Ok(false);
                    }
                }
                out.push('}');
            }
        }
        Ok(true)
    }
}

fn push_double(out: &mut String, value: f64) {
    match value {
        f64::INFINITY => out.push_str("Infinity"),
        f64::NEG_INFINITY => out.push_str("-Infinity"),
        value => float::push_api(out, value),
    }
}

/// Returns the contents of field 1 of a message that has no other.
fn messages<'a>(
    bytes: &'a [u8],
    message: &'static str,
) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> {
    super::view::messages(bytes, message, 1, "Values")
}

/// Returns bytes as text.
pub(super) fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { field })
}

/// Reads attributes that lie one by one.
pub(super) fn read_all<'a>(all: &[&'a [u8]]) -> Result<Vec<Attribute<'a>>, DecodeError> {
    all.iter().map(|bytes| Attribute::read(bytes)).collect()
}

/// Returns the value of the first attribute of this name.
pub(super) fn find<'a>(attributes: &[Attribute<'a>], key: &str) -> Option<Attribute<'a>> {
    attributes.iter().find(|one| one.key == key).copied()
}
