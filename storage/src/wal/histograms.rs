//! The record of native histograms.
//!
//! ```text
//! body = n x (series number difference zigzag varint | time difference zigzag varint
//!          | flags u8: 1 it came late | record of a histogram, see `codec::flat`)
//! ```
//!
//! Differences are to the histogram before, and to 0 for the first. Records build on no
//! other one, so a frame can be read without those before it.

use super::format::{FrameKind, MAX_SERIES};
use super::writer::{FRAME_TARGET_BYTES, Wal};
use crate::codec::flat::Flat;
use crate::codec::{CodecError, varint};

/// Most histograms in one frame: well below what its count can say.
const MAX_PER_FRAME: usize = 1 << 14;

/// Fewest bytes of a record: both differences, the flags, and of the histogram flags, shape
/// (kind, schema, threshold, layouts, bounds), sum, and two counts.
const MIN_BYTES: usize = 13;

const FLAG_LATE: u8 = 1;

/// A histogram of the log.
#[derive(Debug, Clone)]
pub struct LoggedHistogram {
    /// The number of its series.
    pub id: u32,
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// It came late; to be held as a set beside the others.
    pub is_late: bool,
    /// The histogram.
    pub flat: Flat,
}

/// Decodes a body of `n` histograms.
pub(super) fn decode(mut body: &[u8], n: usize) -> Result<Vec<LoggedHistogram>, CodecError> {
    let mut found = Vec::with_capacity(n.min(body.len() / MIN_BYTES));
    let (mut id, mut t_ms) = (0i64, 0i64);
    for _ in 0..n {
        id = id.wrapping_add(varint::read_i64(&mut body)?);
        t_ms = t_ms.wrapping_add(varint::read_i64(&mut body)?);
        let number = u32::try_from(id).ok().filter(|&id| id < MAX_SERIES);
        let flags = body.split_off_first().copied();
        let flags = flags.filter(|flags| flags & !FLAG_LATE == 0);
        let flags = flags.ok_or(CodecError::Invalid("flags of a histogram"))?;
        found.push(LoggedHistogram {
            id: number.ok_or(CodecError::Invalid("series number"))?,
            t_ms,
            is_late: flags & FLAG_LATE != 0,
            flat: Flat::decode(&mut body, None)?,
        });
    }
    if body.is_empty() {
        Ok(found)
    } else {
        Err(CodecError::Invalid("end of the histograms"))
    }
}

/// Returns the first timestamp of a body.
pub(super) fn first_ms(mut body: &[u8]) -> Option<i64> {
    varint::read_i64(&mut body).ok()?;
    varint::read_i64(&mut body).ok()
}

impl Wal {
    /// Collects histograms of series that were defined, in this commit or before: number,
    /// time, whether it came late.
    ///
    /// What is too large is refused by [`Wal::commit`].
    pub fn histograms<'a>(&mut self, histograms: impl Iterator<Item = (u32, i64, bool, &'a Flat)>) {
        let mut histograms = histograms.peekable();
        while histograms.peek().is_some() {
            let (mut body, mut n) = (Vec::new(), 0);
            let (mut last_id, mut last_ms) = (0i64, 0i64);
            while n < MAX_PER_FRAME && body.len() < FRAME_TARGET_BYTES {
                let Some((id, t_ms, is_late, flat)) = histograms.next() else {
                    break;
                };
                if id >= MAX_SERIES {
                    self.refuse_id(id);
                    return;
                }
                varint::write_i64(&mut body, i64::from(id) - last_id);
                varint::write_i64(&mut body, t_ms.wrapping_sub(last_ms));
                (last_id, last_ms) = (i64::from(id), t_ms);
                body.push(u8::from(is_late) * FLAG_LATE);
                flat.encode(None, &mut body);
                n += 1;
            }
            self.record(FrameKind::Histograms, n as u16, &body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_the_count_is_refused() {
        let mut body = vec![0, 0, 0];
        Flat::stale_marker(true).encode(None, &mut body);
        let shortest = body.len();
        assert!(shortest >= MIN_BYTES);
        let found = decode(&body, 1).unwrap();
        assert!(found[0].flat.is_stale_marker() && !found[0].is_late);
        assert!(decode(&body, 2).is_err());
        assert!(decode(&body, 0).is_err());
        body[2] = 2;
        assert!(decode(&body, 1).is_err());
        body[2] = 1;
        assert!(decode(&body, 1).unwrap()[0].is_late);
        body[0] = 1;
        assert!(decode(&body, 1).is_err(), "a negative number");
    }
}
