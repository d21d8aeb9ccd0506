//! The record of deleted times.
//!
//! ```text
//! body = n x (number, as zigzag varint difference to the previous one
//!          | start zigzag varint | end - start varint)
//! ```
//!
//! Ranges are closed at both ends.

use super::format::MAX_SERIES;
use crate::codec::{CodecError, varint};
use crate::model::TimeRange;

/// Most ranges in one frame: its count is a u16.
pub(super) const MAX_RANGES: usize = u16::MAX as usize;

/// Appends the body for ranges that are not empty; the caller bounds their number.
pub(super) fn encode(deleted: &[(u32, TimeRange)], out: &mut Vec<u8>) {
    let mut previous = 0i64;
    for &(id, range) in deleted {
        varint::write_i64(out, i64::from(id) - previous);
        previous = i64::from(id);
        varint::write_i64(out, range.start_ms);
        varint::write_u64(out, range.end_ms.wrapping_sub(range.start_ms) as u64);
    }
}

/// Decodes a body of `n` ranges.
pub(super) fn decode(
    mut body: &[u8],
    n: usize,
    deleted: &mut Vec<(u32, TimeRange)>,
) -> Result<(), CodecError> {
    deleted.clear();
    let mut id = 0i64;
    for _ in 0..n {
        id = id.wrapping_add(varint::read_i64(&mut body)?);
        let number = u32::try_from(id).ok().filter(|&id| id < MAX_SERIES);
        let number = number.ok_or(CodecError::Invalid("series number"))?;
        let start_ms = varint::read_i64(&mut body)?;
        let end_ms = start_ms.checked_add_unsigned(varint::read_u64(&mut body)?);
        let end_ms = end_ms.ok_or(CodecError::Invalid("deleted range"))?;
        deleted.push((number, TimeRange::new(start_ms, end_ms)));
    }
    if body.is_empty() {
        Ok(())
    } else {
        Err(CodecError::Invalid("end of the deleted ranges"))
    }
}
