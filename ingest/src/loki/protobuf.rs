//! The protobuf of a push, walked in its own bytes.
//!
//! ```text
//! PushRequest { repeated Stream streams = 1; }
//! Stream      { string labels = 1; repeated Entry entries = 2; uint64 hash = 3; }
//! Entry       { Timestamp timestamp = 1; string line = 2;
//!               repeated Label structuredMetadata = 3; }
//! Timestamp   { int64 seconds = 1; int32 nanos = 2; }
//! Label       { string name = 1; string value = 2; }
//! ```

use std::borrow::Cow;

use kymo_storage::model::Metadata;

use super::admission::{Admission, StreamId};
use super::error::PushError;
use super::{labels, metadata};
use crate::wire::{BYTES, Reader, Tag, VARINT, WireError};

/// Hands the streams and entries of an encoded `PushRequest` to `admission`.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    admission: &mut Admission<'a, '_>,
) -> Result<(), PushError> {
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("PushRequest")? {
        match tag.field {
            1 => {
                tag.expect(BYTES, "Streams")?;
                read_stream(reader.bytes()?, admission)?;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

fn read_stream<'a>(bytes: &'a [u8], admission: &mut Admission<'a, '_>) -> Result<(), PushError> {
    // Labels may stand behind entries, and the last ones count.
    let (mut text, mut n_entries) = (&[][..], 0);
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("StreamAdapter")? {
        match tag.field {
            1 => text = field(&mut reader, tag, "Labels")?,
            2 => {
                tag.expect(BYTES, "Entries")?;
                reader.bytes()?;
                n_entries += 1;
            }
            3 => {
                tag.expect(VARINT, "Hash")?;
                reader.varint()?;
            }
            _ => reader.skip(tag)?,
        }
    }
    let text = String::from_utf8_lossy(text);
    let mut pairs = labels::parse(&text).map_err(PushError::Labels)?;
    let id = admission.stream(&mut pairs, n_entries)?;
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("StreamAdapter")? {
        match tag.field {
            2 => read_entry(reader.bytes()?, id, admission)?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

#[inline]
fn read_entry<'a>(
    bytes: &'a [u8],
    id: StreamId,
    admission: &mut Admission<'a, '_>,
) -> Result<(), PushError> {
    let (mut t_ns, mut line) = (0, &[][..]);
    let mut all = Metadata::new();
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("EntryAdapter")? {
        match tag.field {
            1 => {
                tag.expect(BYTES, "Timestamp")?;
                t_ns = read_timestamp(reader.bytes()?)?;
            }
            2 => line = field(&mut reader, tag, "Line")?,
            3 => {
                tag.expect(BYTES, "StructuredMetadata")?;
                let pair = read_label(reader.bytes()?)?;
                if all.len() == all.inline_size() {
                    admission.take_memory(all.len() * 2 * size_of_val(&pair))?;
                }
                all.push(pair);
            }
            _ => reader.skip(tag)?,
        }
    }
    admission.entry(id, t_ns, Cow::Borrowed(line), all)
}

/// Reads a time. Where it is outside of what nanoseconds can tell it is the nearest one.
#[inline]
fn read_timestamp(bytes: &[u8]) -> Result<i64, WireError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("Timestamp")? {
        match tag.field {
            1 => {
                tag.expect(VARINT, "Seconds")?;
                seconds = reader.varint()?.cast_signed();
            }
            2 => {
                tag.expect(VARINT, "Nanos")?;
                nanos = i64::from((reader.varint()? as u32).cast_signed());
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

fn read_label(bytes: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), WireError> {
    let (mut name, mut value) = (&[][..], &[][..]);
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("LabelPairAdapter")? {
        match tag.field {
            1 => name = field(&mut reader, tag, "Name")?,
            2 => value = field(&mut reader, tag, "Value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok((metadata::name(name), metadata::value(value)))
}

fn field<'a>(reader: &mut Reader<'a>, tag: Tag, name: &'static str) -> Result<&'a [u8], WireError> {
    tag.expect(BYTES, name)?;
    reader.bytes()
}
