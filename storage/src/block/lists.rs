//! The series of one label value, at rest.
//!
//! ```text
//! list = count * 4 + kind, varint | body
//! kind 0 ascending: first varint | differences varint
//!      1 one run: first varint
//!      2 roaring, in its own portable format
//! ```

use roaring::RoaringBitmap;

use crate::codec::CodecError;
use crate::codec::varint::{read_u64, write_u64};
use crate::index::Postings;

const ASCENDING: u64 = 0;
const RUN: u64 = 1;
const ROARING: u64 = 2;

/// Longest list that may be cheaper one by one.
const MAX_ASCENDING: usize = 1024;

/// Appends a list, which ascends and is not empty.
pub(super) fn encode(ids: &[u32], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let count = (ids.len() as u64) << 2;
    let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else {
        return write_u64(out, count);
    };
    if (last - first) as usize == ids.len() - 1 {
        write_u64(out, count | RUN);
        write_u64(out, u64::from(first));
        return;
    }
    scratch.clear();
    if ids.len() <= MAX_ASCENDING {
        let mut before = 0;
        for &id in ids {
            write_u64(scratch, u64::from(id - before));
            before = id;
        }
    }
    if ids.len() > 16 {
        let mut bitmap = RoaringBitmap::new();
        bitmap.extend(ids);
        bitmap.optimize();
        if scratch.is_empty() || bitmap.serialized_size() < scratch.len() {
            scratch.clear();
            let written = bitmap.serialize_into(&mut *scratch);
            debug_assert!(written.is_ok(), "memory takes all bytes");
            write_u64(out, count | ROARING);
            out.extend_from_slice(scratch);
            return;
        }
    }
    write_u64(out, count | ASCENDING);
    out.extend_from_slice(scratch);
}

/// Returns the length of a list of numbers below `n_series`.
pub(super) fn len(mut bytes: &[u8], n_series: u32) -> Result<u64, CodecError> {
    let count = read_u64(&mut bytes)? >> 2;
    if count > u64::from(n_series) {
        return Err(CodecError::TooMany {
            found: count,
            limit: u64::from(n_series),
        });
    }
    Ok(count)
}

/// Reads a list of numbers below `n_series`.
pub(super) fn decode(mut bytes: &[u8], n_series: u32) -> Result<Postings, CodecError> {
    let count = len(bytes, n_series)?;
    let rest = &mut bytes;
    let kind = read_u64(rest)? & 3;
    let is_known = |id: u64| id < u64::from(n_series);
    match kind {
        ASCENDING => {
            // Each takes a byte at least, which bounds what is allocated.
            if count > rest.len() as u64 {
                return Err(CodecError::Truncated("list of series"));
            }
            let mut ids = Vec::with_capacity(count as usize);
            let mut id = 0u64;
            for i in 0..count {
                let step = read_u64(rest)?;
                id = id.saturating_add(step);
                if i > 0 && step == 0 || !is_known(id) {
                    return Err(BAD);
                }
                ids.push(id as u32);
            }
            Ok(Postings::from_ascending(&ids))
        }
        RUN => {
            let first = read_u64(rest)?;
            let end = first.checked_add(count).ok_or(BAD)?;
            if count == 0 || !is_known(end - 1) {
                return Err(BAD);
            }
            if count == 1 {
                return Ok(Postings::One(first as u32));
            }
            let mut bitmap = RoaringBitmap::new();
            bitmap.insert_range(first as u32..=(end - 1) as u32);
            Ok(Postings::Many(Box::new(bitmap)))
        }
        ROARING => {
            let bitmap = RoaringBitmap::deserialize_from(*rest).map_err(|_| BAD)?;
            let fits = bitmap.len() == count && bitmap.max().is_some_and(|id| id < n_series);
            if !fits {
                return Err(BAD);
            }
            Ok(Postings::Many(Box::new(bitmap)))
        }
        _ => Err(CodecError::Invalid("kind of a list of series")),
    }
}

const BAD: CodecError = CodecError::Invalid("list of series");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn round_trip(ids: &[u32], n_series: u32) -> usize {
        let (mut out, mut scratch) = (Vec::new(), vec![1]);
        encode(ids, &mut scratch, &mut out);
        assert_eq!(len(&out, n_series), Ok(ids.len() as u64));
        let mut read = Vec::new();
        decode(&out, n_series).unwrap().append_to(&mut read);
        assert_eq!(read, ids);
        let largest = ids[ids.len() - 1];
        assert!(decode(&out, largest).is_err());
        out.len()
    }

    #[test]
    fn usual_lists_are_short() {
        assert_eq!(round_trip(&[5], 6), 2);
        assert_eq!(round_trip(&[1_000_000], 1_000_001), 4);
        let run: Vec<u32> = (1000..900_000).collect();
        assert_eq!(round_trip(&run, 1_000_000), 6);
        let spread: Vec<u32> = (0..800).map(|i| i * 1250).collect();
        assert!(round_trip(&spread, 1_000_000) < 1650);
        let runs: Vec<u32> = (0..1_000_000).filter(|i| i % 10_000 < 5000).collect();
        assert!(round_trip(&runs, 1_000_000) < 1000);
    }

    proptest! {
        #[test]
        fn round_trips(ids in prop::collection::btree_set(0u32..3000, 1..200), stretch in 1u32..2000) {
            let ids: BTreeSet<u32> = ids.iter().map(|id| id * stretch).collect();
            round_trip(&ids.into_iter().collect::<Vec<_>>(), 6_000_000);
        }

        #[test]
        fn arbitrary_bytes_never_panic(kind in 0u64..4, count in 0u64..100, bytes: Vec<u8>) {
            let mut all = Vec::new();
            write_u64(&mut all, count << 2 | kind);
            all.extend_from_slice(&bytes);
            let _ = decode(&all, 1000);
            let _ = decode(&bytes, 1000);
        }
    }
}
