//! JSON of OTLP, turned into protobuf on the way.
//!
//! So there is one reader of requests, whatever they are written in. The JSON is that of
//! protobuf with OTLP's own rules: ids are hexadecimal, numbers may be strings, names may
//! be in snake case, `null` is an empty message or list, and what is not known is passed
//! over.
//!
//! **Invariant:** what is written is never more than `limit_bytes`; a value that would go
//! over it ends the reading.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kymo_storage::compat::float;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::DecodeError;
use super::schema::{Field, Kind, Message};
use crate::wire::{BYTES, FIXED32, FIXED64, VARINT};

/// Begins the text of the error that says that the output is full.
const FULL: &str = "output limit";

/// Appends the `message` in `json` to `out` as protobuf, as at most `limit_bytes`. What
/// stands behind it is not looked at.
///
/// # Errors
///
/// It is no request, or too large.
pub(super) fn transcode(
    json: &[u8],
    message: &'static Message,
    out: &mut Vec<u8>,
    limit_bytes: usize,
) -> Result<(), DecodeError> {
    let mut writer = Writer {
        out,
        end: 0,
        limit_bytes,
    };
    writer.end = writer.out.len().saturating_add(limit_bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let seed = MessageSeed {
        message,
        writer: &mut writer,
    };
    seed.deserialize(&mut deserializer).map_err(|error| {
        let text = error.to_string();
        match text.starts_with(FULL) {
            true => DecodeError::TooLarge { limit_bytes },
            false => DecodeError::Json(text),
        }
    })
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Length that the output may have.
    end: usize,
    limit_bytes: usize,
}

impl Writer<'_> {
    fn push<E: Error>(&mut self, bytes: &[u8]) -> Result<(), E> {
        if self.out.len() + bytes.len() > self.end {
            return Err(E::custom(format_args!("{FULL} of {}", self.limit_bytes)));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn varint<E: Error>(&mut self, value: u64) -> Result<(), E> {
        let (bytes, len) = varint(value);
        self.push(&bytes[..len])
    }

    fn tag<E: Error>(&mut self, field: &Field, wire_type: u8) -> Result<(), E> {
        self.varint(u64::from(field.number) << 3 | u64::from(wire_type))
    }

    fn bytes<E: Error>(&mut self, field: &Field, bytes: &[u8]) -> Result<(), E> {
        self.tag(field, BYTES)?;
        self.varint(bytes.len() as u64)?;
        self.push(bytes)
    }

    /// Begins a field whose length is not known yet.
    fn open<E: Error>(&mut self, field: &Field) -> Result<usize, E> {
        self.tag(field, BYTES)?;
        // Most lengths take one byte.
        self.push(&[0])?;
        Ok(self.out.len())
    }

    /// Ends a field that began at `start`.
    fn close<E: Error>(&mut self, start: usize) -> Result<(), E> {
        let (bytes, len) = varint((self.out.len() - start) as u64);
        if len > 1 {
            self.push(&bytes[1..len])?;
            let content_end = self.out.len() - (len - 1);
            self.out.copy_within(start..content_end, start + len - 1);
        }
        self.out[start - 1..start - 1 + len].copy_from_slice(&bytes[..len]);
        Ok(())
    }
}

fn varint(mut value: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    (bytes, len + 1)
}

/// Reads the content of a message.
struct MessageSeed<'w, 'o> {
    message: &'static Message,
    writer: &'w mut Writer<'o>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.message.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(KeySeed(self.message))? {
            match field {
                Some(field) => map.next_value_seed(FieldSeed {
                    field,
                    writer: self.writer,
                })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Finds the field that a key names.
struct KeySeed(&'static Message);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.is_called(key)))
    }
}

/// Reads the value of a field and writes the field.
struct FieldSeed<'w, 'o> {
    field: &'static Field,
    writer: &'w mut Writer<'o>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let FieldSeed { field, writer } = self;
        match field.kind {
            Kind::Message(message) => {
                let start = writer.open(field)?;
                let seed = MessageSeed {
                    message,
                    writer: &mut *writer,
                };
                seed.deserialize(deserializer)?;
                writer.close(start)
            }
            Kind::Messages(_) | Kind::Doubles | Kind::Fixed64s | Kind::Uint64s => {
                deserializer.deserialize_any(ListVisitor { field, writer })
            }
            _ => deserializer.deserialize_any(ScalarVisitor { field, writer }),
        }
    }
}

/// Reads a list: of messages, or of numbers, which are packed.
struct ListVisitor<'w, 'o> {
    field: &'static Field,
    writer: &'w mut Writer<'o>,
}

impl<'de> Visitor<'de> for ListVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array ({})", self.field.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let ListVisitor { field, writer } = self;
        let Kind::Messages(message) = field.kind else {
            let start = writer.open(field)?;
            let mut item =
                |writer: &mut Writer<'_>| list.next_element_seed(ItemSeed { field, writer });
            while item(writer)?.is_some() {}
            return writer.close(start);
        };
        loop {
            // The field is begun before it is known whether there is another.
            let before = writer.out.len();
            let start = writer.open(field)?;
            let seed = MessageSeed {
                message,
                writer: &mut *writer,
            };
            if list.next_element_seed(seed)?.is_none() {
                writer.out.truncate(before);
                return Ok(());
            }
            writer.close(start)?;
        }
    }
}

/// Reads a number of a packed list.
struct ItemSeed<'w, 'o> {
    field: &'static Field,
    writer: &'w mut Writer<'o>,
}

impl<'de> DeserializeSeed<'de> for ItemSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let number = deserializer.deserialize_any(NumberVisitor(self.field))?;
        match self.field.kind {
            Kind::Doubles => self
                .writer
                .push(&number.double::<D::Error>()?.to_le_bytes()),
            Kind::Fixed64s => self
                .writer
                .push(&number.unsigned::<D::Error>()?.to_le_bytes()),
            _ => self.writer.varint(number.unsigned::<D::Error>()?),
        }
    }
}

/// A number as it is written.
enum Number<'n> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(std::borrow::Cow<'n, str>),
}

impl Number<'_> {
    fn double<E: Error>(&self) -> Result<f64, E> {
        match self {
            Number::Unsigned(value) => Ok(*value as f64),
            Number::Signed(value) => Ok(*value as f64),
            Number::Float(value) => Ok(*value),
            Number::Text(text) => float::parse(text).map_err(E::custom),
        }
    }

    fn unsigned<E: Error>(&self) -> Result<u64, E> {
        match self {
            Number::Unsigned(value) => Ok(*value),
            Number::Signed(value) => Err(no_number(value)),
            Number::Float(value) => Err(no_number(value)),
            Number::Text(text) => match text.starts_with('+') {
                true => Err(no_number(text)),
                false => text.parse().map_err(|_| no_number(text)),
            },
        }
    }

    fn signed<E: Error>(&self) -> Result<i64, E> {
        match self {
            Number::Unsigned(value) => i64::try_from(*value).map_err(|_| no_number(value)),
            Number::Signed(value) => Ok(*value),
            Number::Float(value) => Err(no_number(value)),
            Number::Text(text) => text.parse().map_err(|_| no_number(text)),
        }
    }
}

fn no_number<E: Error>(value: impl fmt::Display) -> E {
    E::custom(format_args!("{value} is no number that can stand here"))
}

struct NumberVisitor(&'static Field);

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, or a string that is one ({})", self.0.name)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number<'de>, E> {
        Ok(Number::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Number<'de>, E> {
        Ok(Number::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number<'de>, E> {
        Ok(Number::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Number<'de>, E> {
        Ok(Number::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Number<'de>, E> {
        Ok(Number::Text(text.to_owned().into()))
    }
}

/// Reads a value that is no message and no list, and writes its field.
struct ScalarVisitor<'w, 'o> {
    field: &'static Field,
    writer: &'w mut Writer<'o>,
}

impl ScalarVisitor<'_, '_> {
    fn number<E: Error>(self, number: &Number<'_>) -> Result<(), E> {
        let ScalarVisitor { field, writer } = self;
        let fixed = |writer: &mut Writer<'_>, bytes: [u8; 8]| {
            writer.tag(field, FIXED64)?;
            writer.push(&bytes)
        };
        let value = match field.kind {
            Kind::Double => return fixed(writer, number.double::<E>()?.to_le_bytes()),
            Kind::Fixed64 => return fixed(writer, number.unsigned::<E>()?.to_le_bytes()),
            Kind::SignedFixed64 => return fixed(writer, number.signed::<E>()?.to_le_bytes()),
            Kind::Fixed32 => {
                let value = number.unsigned::<E>()?;
                let value = u32::try_from(value).map_err(|_| no_number::<E>(value))?;
                writer.tag(field, FIXED32)?;
                return writer.push(&value.to_le_bytes());
            }
            Kind::Uint32 => {
                let value = number.unsigned::<E>()?;
                u64::from(u32::try_from(value).map_err(|_| no_number::<E>(value))?)
            }
            Kind::Int64 => number.signed::<E>()?.cast_unsigned(),
            Kind::Enum(_) => {
                let value = number.signed::<E>()?;
                let value = i32::try_from(value).map_err(|_| no_number::<E>(value))?;
                i64::from(value).cast_unsigned()
            }
            Kind::Zigzag32 => {
                let value = number.signed::<E>()?;
                let value = i32::try_from(value).map_err(|_| no_number::<E>(value))?;
                u64::from((value << 1 ^ value >> 31).cast_unsigned())
            }
            _ => return Err(E::custom(format_args!("{} is no number", field.name))),
        };
        writer.tag(field, VARINT)?;
        writer.varint(value)
    }
}

impl<'de> Visitor<'de> for ScalarVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind {
            Kind::Text => "a string",
            Kind::Bytes => "a string in base 64",
            Kind::Id(_) => "a string of hexadecimal digits",
            Kind::Bool => "true or false",
            _ => "a number, or a string that is one",
        };
        write!(f, "{what} ({})", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.field.kind {
            Kind::Text | Kind::Bytes | Kind::Id(_) => self.writer.bytes(self.field, &[]),
            _ => Err(E::custom(format_args!(
                "{} is null, which is no number",
                self.field.name
            ))),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => {
                self.writer.tag(self.field, VARINT)?;
                self.writer.varint(u64::from(value))
            }
            _ => Err(E::custom(format_args!(
                "{} is neither true nor false",
                self.field.name
            ))),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(&Number::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(&Number::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(&Number::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Text => self.writer.bytes(self.field, text.as_bytes()),
            Kind::Bytes => {
                let bytes = BASE64_STANDARD.decode(text).map_err(E::custom)?;
                self.writer.bytes(self.field, &bytes)
            }
            Kind::Id(len) => {
                let bytes = from_hex(text)
                    .filter(|bytes| bytes.is_empty() || bytes.len() == len)
                    .ok_or_else(|| {
                        E::custom(format_args!(
                            "{} is no id of {len} bytes in hexadecimal digits",
                            self.field.name
                        ))
                    })?;
                self.writer.bytes(self.field, &bytes)
            }
            Kind::Enum(names) => match names.iter().position(|name| *name == text) {
                Some(at) => self.number(&Number::Unsigned(at as u64)),
                None => Err(E::custom(format_args!(
                    "{text} is unknown ({})",
                    self.field.name
                ))),
            },
            _ => self.number(&Number::Text(text.into())),
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}
