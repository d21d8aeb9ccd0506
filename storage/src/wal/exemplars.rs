//! The record of exemplars.
//!
//! ```text
//! body     = first number varint | n x (series number difference zigzag varint, exemplar)
//! exemplar = time difference zigzag varint | value: 8 bytes | timed: 1 byte, 0 or 1
//!          | n_labels varint | n_labels x (name text, value text)
//! text     = len varint, bytes
//! ```
//!
//! Differences are to the record before, and to 0 for the first. Exemplars are numbered
//! over all logs of a store: those of different logs share one ring, and their numbers
//! tell in which order they went into it.

use super::format::{FrameKind, MAX_SERIES};
use super::writer::{FRAME_TARGET_BYTES, Wal};
use crate::codec::{CodecError, text, varint};
use crate::model::{Exemplar, Labels};

/// Most exemplars in one frame: well below what its count can say, and far from the
/// longest body, because labels of exemplars are short.
const MAX_PER_FRAME: usize = 1 << 14;

/// Fewest bytes of a record: both differences, the value, the flag, the labels.
const MIN_BYTES: usize = 12;

/// An exemplar of the log.
#[derive(Debug, Clone)]
pub struct LoggedExemplar {
    /// Its number over all logs.
    pub number: u64,
    /// The number of its series.
    pub id: u32,
    /// What was logged.
    pub exemplar: Exemplar,
}

/// Appends an exemplar; `last_ms` is the time of the one before, and moves on.
pub fn encode_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar, last_ms: &mut i64) {
    varint::write_i64(out, exemplar.t_ms.wrapping_sub(*last_ms));
    *last_ms = exemplar.t_ms;
    out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
    out.push(u8::from(exemplar.timed));
    varint::write_u64(out, exemplar.labels.len() as u64);
    for (name, value) in &exemplar.labels {
        text::write(out, name);
        text::write(out, value);
    }
}

/// Takes an exemplar from the front of `bytes`, as [`encode_exemplar`] wrote it.
///
/// # Errors
/// [`CodecError`] for bytes that it cannot have written.
pub fn decode_exemplar(bytes: &mut &[u8], last_ms: &mut i64) -> Result<Exemplar, CodecError> {
    let t_ms = last_ms.wrapping_add(varint::read_i64(bytes)?);
    *last_ms = t_ms;
    let fixed = bytes.split_off(..9);
    let fixed = fixed.and_then(|fixed| fixed.split_first_chunk());
    let (value, timed) = fixed.ok_or(CodecError::Truncated("exemplar"))?;
    let timed = match timed {
        [0] => false,
        [1] => true,
        _ => return Err(CodecError::Invalid("flag of an exemplar")),
    };
    let exemplar = Exemplar {
        labels: decode_labels(bytes)?,
        value: f64::from_bits(u64::from_le_bytes(*value)),
        t_ms,
        timed,
    };
    if exemplar.has_short_labels() {
        Ok(exemplar)
    } else {
        Err(CodecError::Invalid("length of exemplar labels"))
    }
}

fn decode_labels(bytes: &mut &[u8]) -> Result<Labels, CodecError> {
    let n_labels = varint::read_u64(bytes)?;
    // Names and values have a character each at least.
    let limit = Exemplar::MAX_LABEL_CHARS as u64;
    if n_labels > limit {
        let found = n_labels;
        return Err(CodecError::TooMany { found, limit });
    }
    let mut pairs = Vec::with_capacity(n_labels as usize);
    for _ in 0..n_labels {
        pairs.push((text::read(bytes)?, text::read(bytes)?));
    }
    let ascend = pairs.is_sorted_by(|(one, _), (next, _)| one < next);
    if !ascend || pairs.iter().any(|(_, value)| value.is_empty()) {
        return Err(CodecError::Invalid("labels of an exemplar"));
    }
    Ok(Labels::from_sorted(pairs))
}

/// Decodes a body of `n` exemplars.
pub(super) fn decode(mut body: &[u8], n: usize) -> Result<Vec<LoggedExemplar>, CodecError> {
    let first = varint::read_u64(&mut body)?;
    let mut found = Vec::with_capacity(n.min(body.len() / MIN_BYTES));
    let (mut last_id, mut last_ms) = (0i64, 0);
    for at in 0..n as u64 {
        last_id = last_id.wrapping_add(varint::read_i64(&mut body)?);
        let id = u32::try_from(last_id).ok().filter(|&id| id < MAX_SERIES);
        found.push(LoggedExemplar {
            number: first.saturating_add(at),
            id: id.ok_or(CodecError::Invalid("series number"))?,
            exemplar: decode_exemplar(&mut body, &mut last_ms)?,
        });
    }
    if body.is_empty() {
        Ok(found)
    } else {
        Err(CodecError::Invalid("end of the exemplars"))
    }
}

impl Wal {
    /// Collects exemplars of series that were defined, in this commit or before. They
    /// have the numbers from `first` on.
    ///
    /// What is too large is refused by [`Wal::commit`].
    pub fn exemplars<'a>(
        &mut self,
        first: u64,
        exemplars: impl Iterator<Item = (u32, &'a Exemplar)>,
    ) {
        let mut exemplars = exemplars.peekable();
        let mut first = first;
        while exemplars.peek().is_some() {
            let (mut body, mut n) = (Vec::new(), 0);
            varint::write_u64(&mut body, first);
            let (mut last_id, mut last_ms) = (0, 0);
            while n < MAX_PER_FRAME && body.len() < FRAME_TARGET_BYTES {
                let Some((id, exemplar)) = exemplars.next() else {
                    break;
                };
                varint::write_i64(&mut body, i64::from(id) - last_id);
                last_id = i64::from(id);
                encode_exemplar(&mut body, exemplar, &mut last_ms);
                n += 1;
            }
            first += n as u64;
            self.record(FrameKind::Exemplars, n as u16, &body);
        }
    }
}
