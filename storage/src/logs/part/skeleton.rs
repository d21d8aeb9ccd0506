//! What lines have in common: the text around their values.
//!
//! A line of a skeleton is its first text, the first value, the second text and so on, to
//! the last text. Skeletons are few: kinds of lines, not lines. The first one of a group
//! has no text and one value, the whole line: for those that are like no others.

use super::error::Decoded;
use super::split::{Form, Kind};
use super::texts::Texts;
use super::wire::{put, put_bytes, take, take_byte, take_bytes, take_count, take_text};
use crate::codec::CodecError;

/// Where the values of a column come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Whole lines.
    Line,
    /// Structured metadata.
    Metadata,
    /// Values in lines of a kind.
    Part(Kind),
}

/// What tells the columns of a group apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnKey {
    /// Where its values come from.
    pub origin: Origin,
    /// How they are written.
    pub form: Form,
    /// Which of several of this name in one line it is, from 0.
    pub nth: u32,
    /// Name of the label that a parser makes of it.
    pub name: String,
}

impl ColumnKey {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let origin = match self.origin {
            Origin::Line => 0,
            Origin::Metadata => 1,
            Origin::Part(kind) => 2 + encode_kind(kind),
        };
        let form = match self.form {
            Form::Quoted => 0,
            Form::Bare => 1,
            Form::Opaque => 2,
        };
        out.extend([origin, form]);
        put(out, self.nth as usize);
        put_bytes(out, self.name.as_bytes());
    }

    pub(super) fn decode(bytes: &mut &[u8]) -> Decoded<ColumnKey> {
        let origin = match take_byte(bytes)? {
            0 => Origin::Line,
            1 => Origin::Metadata,
            kind => Origin::Part(decode_kind(kind - 2)?),
        };
        let form = match take_byte(bytes)? {
            0 => Form::Quoted,
            1 => Form::Bare,
            2 => Form::Opaque,
            _ => return Err(CodecError::Invalid("form of a column")),
        };
        Ok(ColumnKey {
            origin,
            form,
            nth: take(bytes, u32::MAX as usize)? as u32,
            name: take_text(bytes)?.to_owned(),
        })
    }
}

/// A kind of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// What its lines are; `None` for the one of whole lines.
    pub kind: Option<Kind>,
    /// Whether the parser of LogQL for the kind makes of each line a label of each value
    /// that is not opaque, with the name of its column, no other ones and no error. It
    /// holds for values without escapes and other marks.
    pub is_clean: bool,
    /// Texts around the values, one more than these.
    pub texts: Texts,
    /// Numbers of the columns of the values.
    pub columns: Vec<u32>,
}

impl Skeleton {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind.map_or(0, |kind| 1 + encode_kind(kind)));
        out.push(u8::from(self.is_clean));
        put(out, self.columns.len());
        for &column in &self.columns {
            put(out, column as usize);
        }
        for text in self.texts.iter() {
            put_bytes(out, text);
        }
    }

    pub(super) fn decode(bytes: &mut &[u8], n_columns: usize) -> Decoded<Skeleton> {
        let kind = match take_byte(bytes)? {
            0 => None,
            kind => Some(decode_kind(kind - 1)?),
        };
        let is_clean = take_byte(bytes)? == 1;
        let n = take_count(bytes)?;
        let mut columns = Vec::with_capacity(n);
        for _ in 0..n {
            let column = take(bytes, n_columns)?;
            // A value of one line is found by counting the lines with its column.
            if column == n_columns || columns.contains(&(column as u32)) {
                return Err(CodecError::Invalid("column of a skeleton"));
            }
            columns.push(column as u32);
        }
        let mut texts = Texts::default();
        for _ in 0..=n {
            texts.push(take_bytes(bytes)?);
        }
        Ok(Skeleton {
            kind,
            is_clean,
            texts,
            columns,
        })
    }
}

fn encode_kind(kind: Kind) -> u8 {
    match kind {
        Kind::Json => 0,
        Kind::Logfmt => 1,
        Kind::Plain => 2,
    }
}

fn decode_kind(kind: u8) -> Decoded<Kind> {
    match kind {
        0 => Ok(Kind::Json),
        1 => Ok(Kind::Logfmt),
        2 => Ok(Kind::Plain),
        _ => Err(CodecError::Invalid("kind of a line")),
    }
}
