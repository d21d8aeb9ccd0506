//! Numbers and texts one after the other: the small alphabet of all sections.

use super::error::Decoded;
use crate::codec::{CodecError, varint};

/// Appends a length or a count.
pub(super) fn put(out: &mut Vec<u8>, value: usize) {
    varint::write_u64(out, value as u64);
}

/// Appends bytes behind their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Takes a number of at most `limit` off the front.
pub(super) fn take(bytes: &mut &[u8], limit: usize) -> Decoded<usize> {
    let found = varint::read_u64(bytes)?;
    match usize::try_from(found) {
        Ok(value) if value <= limit => Ok(value),
        _ => Err(CodecError::TooMany {
            found,
            limit: limit as u64,
        }),
    }
}

/// Takes a count of things that take at least a byte each, so that the bytes that are
/// there bound it.
pub(super) fn take_count(bytes: &mut &[u8]) -> Decoded<usize> {
    let limit = bytes.len();
    take(bytes, limit)
}

/// Takes `len` bytes off the front.
pub(super) fn take_slice<'a>(bytes: &mut &'a [u8], len: usize) -> Decoded<&'a [u8]> {
    bytes
        .split_off(..len)
        .ok_or(CodecError::Truncated("a section"))
}

/// Takes bytes behind their length.
pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Decoded<&'a [u8]> {
    let len = take_count(bytes)?;
    take_slice(bytes, len)
}

/// Takes a text behind its length.
pub(super) fn take_text<'a>(bytes: &mut &'a [u8]) -> Decoded<&'a str> {
    let text = take_bytes(bytes)?;
    std::str::from_utf8(text).map_err(|_| CodecError::Invalid("a text"))
}

/// Takes one byte.
pub(super) fn take_byte(bytes: &mut &[u8]) -> Decoded<u8> {
    let byte = bytes.split_off_first();
    byte.copied().ok_or(CodecError::Truncated("a section"))
}
