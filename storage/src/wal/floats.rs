//! The record of float samples, stale markers included.
//!
//! ```text
//! body = n_ts varint | first t zigzag varint | (n_ts - 1) deltas zigzag varint
//!      | runs: (ts index - previous index) zigzag varint, count varint; counts sum to n
//!      | n series numbers, each as zigzag varint difference to the previous
//!      | codes: 2 bits per sample, first sample in the lowest bits
//!      | payload
//!
//! code 0  the series' last value again        no payload
//!      1  zigzag difference of scaled integers  1 byte
//!      2  the same                              2 bytes
//!      3  a tag byte: 0       stale marker      no more
//!                     3..=7   zigzag difference  that many bytes
//!                     8       the value's bits   8 bytes
//! ```
//!
//! A commit of one scrape has one timestamp, so one run, and ascending numbers: one
//! byte for the series, two bits and zero to two bytes for the value.

use super::format::MAX_SERIES;
use super::lanes::{Lanes, NoBase, Step};
use crate::codec::{CodecError, varint};
use crate::model::{STALE_NAN_BITS, stale_marker};

/// Most samples in one frame: its count is a u16.
pub(super) const MAX_SAMPLES: usize = u16::MAX as usize;

/// New timestamps are looked for among so many last ones before one is added: a
/// commit has one, or a few that take turns.
const TABLE_SEARCH: usize = 8;

const TAG_STALE: u8 = 0;
const TAG_RAW: u8 = 8;

/// Collects the samples of one frame, column by column.
#[derive(Debug, Default)]
pub(super) struct FloatsEncoder {
    table: Vec<i64>,
    runs: Vec<Run>,
    ids: Vec<u8>,
    codes: Vec<u8>,
    payload: Vec<u8>,
    n: usize,
    last_id: u32,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    t_ms: i64,
    index: usize,
    count: u64,
}

impl FloatsEncoder {
    /// Returns the number of samples collected.
    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Adds a sample; `lanes` moves on. The caller checked `id` and the room.
    #[inline]
    pub(super) fn push(&mut self, lanes: &mut Lanes, id: u32, t_ms: i64, value: f64) {
        match self.runs.last_mut() {
            Some(run) if run.t_ms == t_ms => run.count += 1,
            _ => self.begin_run(t_ms),
        }
        varint::write_i64(&mut self.ids, i64::from(id) - i64::from(self.last_id));
        self.last_id = id;
        lanes.ensure(id);
        let code = if value.to_bits() == STALE_NAN_BITS {
            self.payload.push(TAG_STALE);
            3
        } else {
            match lanes.step(id, value) {
                Step::Same => 0,
                Step::Delta(delta) => self.push_delta(delta),
                Step::Raw => {
                    self.payload.push(TAG_RAW);
                    self.payload
                        .extend_from_slice(&value.to_bits().to_le_bytes());
                    3
                }
            }
        };
        let shift = 2 * (self.n % 4);
        match self.codes.last_mut() {
            Some(last) if shift > 0 => *last |= code << shift,
            _ => self.codes.push(code),
        }
        self.n += 1;
    }

    #[inline]
    fn push_delta(&mut self, delta: u64) -> u8 {
        let bytes = delta.to_le_bytes();
        if delta < 1 << 8 {
            self.payload.push(bytes[0]);
            1
        } else if delta < 1 << 16 {
            self.payload.extend_from_slice(&bytes[..2]);
            2
        } else {
            // Scaled integers are within 2^53, so their zigzag difference is below 2^56.
            let width = 8 - delta.leading_zeros() as usize / 8;
            self.payload.push(width as u8);
            self.payload.extend_from_slice(&bytes[..width]);
            3
        }
    }

    #[cold]
    fn begin_run(&mut self, t_ms: i64) {
        let recent = self.table.len().saturating_sub(TABLE_SEARCH);
        let known = self.table.iter().skip(recent).position(|&t| t == t_ms);
        let index = known.map_or(self.table.len(), |i| recent + i);
        if known.is_none() {
            self.table.push(t_ms);
        }
        self.runs.push(Run {
            t_ms,
            index,
            count: 1,
        });
    }

    /// Appends the body to `out` and starts over.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        varint::write_u64(out, self.table.len() as u64);
        let mut previous = 0i64;
        for &t_ms in &self.table {
            varint::write_i64(out, t_ms.wrapping_sub(previous));
            previous = t_ms;
        }
        let mut previous = 0i64;
        for run in &self.runs {
            varint::write_i64(out, run.index as i64 - previous);
            varint::write_u64(out, run.count);
            previous = run.index as i64;
        }
        out.extend_from_slice(&self.ids);
        out.extend_from_slice(&self.codes);
        out.extend_from_slice(&self.payload);
        self.clear();
    }

    /// Drops what was collected.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.runs.clear();
        self.ids.clear();
        self.codes.clear();
        self.payload.clear();
        self.n = 0;
        self.last_id = 0;
    }
}

/// The samples of one frame, column by column, as decoded.
#[derive(Debug, Default)]
pub(super) struct FloatsDecoder {
    table: Vec<i64>,
    pub(super) ids: Vec<u32>,
    pub(super) t_ms: Vec<i64>,
    pub(super) values: Vec<f64>,
}

impl FloatsDecoder {
    /// Decodes a body of `n` samples; `lanes` moves on as the writer's did.
    pub(super) fn decode(
        &mut self,
        mut body: &[u8],
        n: usize,
        lanes: &mut Lanes,
    ) -> Result<(), CodecError> {
        self.decode_times(&mut body, n)?;
        self.decode_ids(&mut body, n)?;
        let codes = body
            .split_off(..n.div_ceil(4))
            .ok_or(CodecError::Truncated("value codes"))?;
        if let Some(&highest) = self.ids.iter().max() {
            lanes.ensure(highest);
        }
        self.values.clear();
        self.values.reserve(n);
        for (i, &id) in self.ids.iter().enumerate() {
            let value = match codes[i / 4] >> (2 * (i % 4)) & 3 {
                0 => lanes.same(id),
                1 => {
                    let (&byte, rest) = body.split_first().ok_or(SHORT)?;
                    body = rest;
                    lanes.delta(id, u64::from(byte))
                }
                2 => {
                    let (bytes, rest) = body.split_first_chunk().ok_or(SHORT)?;
                    body = rest;
                    lanes.delta(id, u64::from(u16::from_le_bytes(*bytes)))
                }
                _ => decode_tagged(&mut body, id, lanes)?,
            };
            self.values
                .push(value.map_err(|NoBase| CodecError::Invalid("value without a base"))?);
        }
        if body.is_empty() {
            Ok(())
        } else {
            Err(CodecError::Invalid("end of the samples"))
        }
    }

    fn decode_times(&mut self, body: &mut &[u8], n: usize) -> Result<(), CodecError> {
        let n_times = varint::read_u64(body)?;
        if n_times > n as u64 {
            return Err(CodecError::TooMany {
                found: n_times,
                limit: n as u64,
            });
        }
        self.table.clear();
        let mut t_ms = 0i64;
        for _ in 0..n_times {
            t_ms = t_ms.wrapping_add(varint::read_i64(body)?);
            self.table.push(t_ms);
        }
        self.t_ms.clear();
        let mut index = 0i64;
        while self.t_ms.len() < n {
            index = index.wrapping_add(varint::read_i64(body)?);
            let count = varint::read_u64(body)?;
            let left = (n - self.t_ms.len()) as u64;
            let t_ms = usize::try_from(index).ok().and_then(|i| self.table.get(i));
            match t_ms {
                Some(&t_ms) if (1..=left).contains(&count) => {
                    self.t_ms.resize(self.t_ms.len() + count as usize, t_ms);
                }
                _ => return Err(CodecError::Invalid("run of timestamps")),
            }
        }
        Ok(())
    }

    fn decode_ids(&mut self, body: &mut &[u8], n: usize) -> Result<(), CodecError> {
        self.ids.clear();
        self.ids.reserve(n);
        let mut id = 0i64;
        for _ in 0..n {
            id = id.wrapping_add(varint::read_i64(body)?);
            match u32::try_from(id) {
                Ok(id) if id < MAX_SERIES => self.ids.push(id),
                _ => return Err(CodecError::Invalid("series number")),
            }
        }
        Ok(())
    }
}

/// Returns the first timestamp of a body.
pub(super) fn first_ms(mut body: &[u8]) -> Option<i64> {
    varint::read_u64(&mut body).ok()?;
    varint::read_i64(&mut body).ok()
}

const SHORT: CodecError = CodecError::Truncated("values");

fn decode_tagged(
    body: &mut &[u8],
    id: u32,
    lanes: &mut Lanes,
) -> Result<Result<f64, NoBase>, CodecError> {
    let &tag = body.split_off_first().ok_or(SHORT)?;
    match tag {
        TAG_STALE => Ok(Ok(stale_marker())),
        3..=7 => {
            let bytes = body.split_off(..usize::from(tag)).ok_or(SHORT)?;
            let mut delta = [0; 8];
            delta[..bytes.len()].copy_from_slice(bytes);
            Ok(lanes.delta(id, u64::from_le_bytes(delta)))
        }
        TAG_RAW => {
            let (bytes, rest) = body.split_first_chunk().ok_or(SHORT)?;
            *body = rest;
            let value = f64::from_bits(u64::from_le_bytes(*bytes));
            lanes.raw(id, value);
            Ok(Ok(value))
        }
        _ => Err(CodecError::Invalid("tag of a value")),
    }
}
