//! What the index says of a chunk: its times, and its values or where they are.
//!
//! ```text
//! entry   = kinds u8 | times | values
//! kinds   = times in bits 0..2, values in bits 2..4, histograms in bit 4
//! times 0 = vector varint                                          all of a shared vector
//!       1 = vector | start varint | len varint                     a slice of one
//!       2 = vector | start | len | presence                        a slice without some
//!       3 = first varint | span varint | n varint | bytes varint   its own, in `data`
//! values 0 = len varint       a sealed chunk, or a run of histograms, in `data`
//!       1 = len varint, bytes a short one right here
//!       2 = zigzag varint     the same integer throughout
//!       3 = bits u64          the same value throughout
//! ```
//!
//! `first` counts from the first millisecond of the block, `span` from `first`; `presence`
//! is the codec's, of the slice. What is in `data` are the times, then the values. The
//! first entry of a series that has something there is followed by its offset (varint);
//! the next one lies right behind.

use crate::codec::CodecError;
use crate::codec::presence::Presence;
use crate::codec::varint::{read_i64, read_u64, write_i64, write_u64};

const TIMES_WHOLE: u8 = 0;
const TIMES_SLICE: u8 = 1;
const TIMES_SOME: u8 = 2;
const TIMES_OWN: u8 = 3;
const VALUES_IN_DATA: u8 = 0;
const VALUES_INLINE: u8 = 1;
const VALUES_INTEGER: u8 = 2;
const VALUES_BITS: u8 = 3;

const HISTOGRAMS: u8 = 1 << 4;

/// Longest sealed chunk that is kept in the entry: about what the reference would take.
pub(super) const MAX_INLINE: usize = 12;

/// Where the times of a chunk come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Times {
    /// All of a shared vector.
    Whole { vector: u32 },
    /// `len` times of a shared vector from `start` on, or some of them.
    Slice {
        vector: u32,
        start: u32,
        len: u32,
        presence: Option<Presence>,
    },
    /// `n` times of its own, `len_bytes` of `data`.
    Own {
        first: u64,
        span: u64,
        n: u32,
        len_bytes: u64,
    },
}

/// The values of a chunk, or where they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Values<'a> {
    /// `len_bytes` of `data`.
    InData { len_bytes: u64 },
    /// These bytes.
    Inline(&'a [u8]),
    /// The same value throughout. Not of histograms.
    Constant(f64),
}

/// One chunk of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) times: Times,
    pub(super) values: Values<'a>,
    /// Whether the values are a run of histograms, and not a sealed chunk of floats.
    pub(super) is_histograms: bool,
}

impl Entry<'_> {
    /// Returns how many bytes of `data` belong to the chunk.
    pub(super) fn data_bytes(&self) -> u64 {
        let times = match self.times {
            Times::Own { len_bytes, .. } => len_bytes,
            _ => 0,
        };
        let values = match self.values {
            Values::InData { len_bytes } => len_bytes,
            _ => 0,
        };
        times.saturating_add(values)
    }

    /// Appends the entry. `data_at` is where its bytes are in `data`, if it is the first
    /// of its series that has some.
    pub(super) fn encode(&self, data_at: Option<u64>, out: &mut Vec<u8>) {
        let head = out.len();
        out.push(0);
        let times = match &self.times {
            &Times::Whole { vector } => {
                write_u64(out, u64::from(vector));
                TIMES_WHOLE
            }
            Times::Slice {
                vector,
                start,
                len,
                presence,
            } => {
                for &word in [vector, start, len] {
                    write_u64(out, u64::from(word));
                }
                match presence {
                    None => TIMES_SLICE,
                    Some(presence) => {
                        presence.encode(out);
                        TIMES_SOME
                    }
                }
            }
            &Times::Own {
                first,
                span,
                n,
                len_bytes,
            } => {
                for word in [first, span, u64::from(n), len_bytes] {
                    write_u64(out, word);
                }
                TIMES_OWN
            }
        };
        let values = match self.values {
            Values::InData { len_bytes } => {
                write_u64(out, len_bytes);
                VALUES_IN_DATA
            }
            Values::Inline(bytes) => {
                write_u64(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
                VALUES_INLINE
            }
            Values::Constant(value) => {
                let integer = value as i64;
                let is_short = integer.unsigned_abs() < 1 << 40;
                if is_short && (integer as f64).to_bits() == value.to_bits() {
                    write_i64(out, integer);
                    VALUES_INTEGER
                } else {
                    out.extend_from_slice(&value.to_bits().to_le_bytes());
                    VALUES_BITS
                }
            }
        };
        if self.data_bytes() > 0
            && let Some(at) = data_at
        {
            write_u64(out, at);
        }
        let histograms = if self.is_histograms { HISTOGRAMS } else { 0 };
        out[head] = times | (values << 2) | histograms;
    }
}

/// The chunks of a series, in order of time.
#[derive(Debug, Clone)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
    /// Where the next bytes of `data` are, once that is known.
    data_at: Option<u64>,
}

impl<'a> Entries<'a> {
    /// Reads the entries of one series.
    pub(super) fn new(bytes: &'a [u8]) -> Entries<'a> {
        Entries {
            rest: bytes,
            data_at: None,
        }
    }

    /// Returns the next chunk and where its bytes in `data` begin.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(Entry<'a>, u64)>, CodecError> {
        let Some(&kinds) = self.rest.split_off_first() else {
            return Ok(None);
        };
        let is_histograms = kinds & HISTOGRAMS != 0;
        let kinds = kinds & !HISTOGRAMS;
        if kinds >> 4 != 0 || (is_histograms && kinds >> 2 > VALUES_INLINE) {
            return Err(CodecError::Invalid("kind of a chunk entry"));
        }
        let rest = &mut self.rest;
        let times = match kinds & 3 {
            TIMES_WHOLE => Times::Whole {
                vector: read_u32(rest)?,
            },
            TIMES_OWN => Times::Own {
                first: read_u64(rest)?,
                span: read_u64(rest)?,
                n: read_u32(rest)?,
                len_bytes: read_u64(rest)?,
            },
            kind => {
                let (vector, start, len) = (read_u32(rest)?, read_u32(rest)?, read_u32(rest)?);
                let presence = match kind {
                    TIMES_SOME => Some(Presence::decode(rest, len as usize)?),
                    _ => None,
                };
                Times::Slice {
                    vector,
                    start,
                    len,
                    presence,
                }
            }
        };
        let values = match kinds >> 2 {
            VALUES_IN_DATA => Values::InData {
                len_bytes: read_u64(rest)?,
            },
            VALUES_INLINE => {
                let len = usize::try_from(read_u64(rest)?).ok();
                let bytes = len.and_then(|len| rest.split_off(..len));
                Values::Inline(bytes.ok_or(SHORT)?)
            }
            VALUES_INTEGER => Values::Constant(read_i64(rest)? as f64),
            _ => {
                let bits = rest.split_off(..8).and_then(|bits| bits.first_chunk());
                Values::Constant(f64::from_bits(u64::from_le_bytes(*bits.ok_or(SHORT)?)))
            }
        };
        let entry = Entry {
            times,
            values,
            is_histograms,
        };
        let len_bytes = entry.data_bytes();
        let mut at = 0;
        if len_bytes > 0 {
            at = match self.data_at {
                Some(at) => at,
                None => read_u64(rest)?,
            };
            let end = at.checked_add(len_bytes);
            self.data_at = Some(end.ok_or(CodecError::Invalid("place of a chunk"))?);
        }
        Ok(Some((entry, at)))
    }
}

const SHORT: CodecError = CodecError::Truncated("chunk entry");

fn read_u32(bytes: &mut &[u8]) -> Result<u32, CodecError> {
    u32::try_from(read_u64(bytes)?).map_err(|_| CodecError::Invalid("number in a chunk entry"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(entries: &[Entry<'_>], data_at: u64) -> usize {
        let mut out = Vec::new();
        let (mut first, mut at) = (Some(data_at), data_at);
        let mut expected = Vec::new();
        for entry in entries {
            entry.encode(first, &mut out);
            if entry.data_bytes() > 0 {
                first = None;
                expected.push(at);
                at += entry.data_bytes();
            } else {
                expected.push(0);
            }
        }
        let mut read = Entries::new(&out);
        for (entry, at) in entries.iter().zip(expected) {
            let (found, found_at) = read.next().unwrap().unwrap();
            assert_eq!(format!("{found:?}"), format!("{entry:?}"));
            assert_eq!(found_at, at);
        }
        assert_eq!(read.next(), Ok(None));
        out.len()
    }

    #[test]
    fn entries_come_back_and_usual_ones_are_short() {
        let whole = Times::Whole { vector: 1000 };
        let all: Vec<i64> = (0..470).collect();
        let some: Vec<i64> = (0..470).filter(|t| ![7, 8, 200].contains(t)).collect();
        let slice = Times::Slice {
            vector: 3,
            start: 10,
            len: 470,
            presence: Presence::of(&all, &some),
        };
        let own = Times::Own {
            first: 5,
            span: 7_000_000,
            n: 480,
            len_bytes: 300,
        };
        let in_data = Values::InData { len_bytes: 400 };
        for value in [-0.0, 0.5, f64::NAN, f64::INFINITY, 1e300, 1e15] {
            let entry = Entry {
                times: whole.clone(),
                values: Values::Constant(value),
                is_histograms: false,
            };
            assert_eq!(round_trip(&[entry], 0), 3 + 8, "{value}");
        }
        for (value, len) in [(0.0, 1), (1.0, 1), (-64.0, 1), (1e6, 3), (1e12, 6)] {
            let entry = Entry {
                times: whole.clone(),
                values: Values::Constant(value),
                is_histograms: false,
            };
            assert_eq!(round_trip(&[entry], 0), 3 + len, "{value}");
        }
        let entry = |times: &Times, values| Entry {
            times: times.clone(),
            values,
            is_histograms: false,
        };
        assert_eq!(
            round_trip(&[entry(&whole, in_data)], 100_000_000),
            3 + 2 + 4
        );
        let histograms = |times, values| Entry {
            is_histograms: true,
            ..entry(times, values)
        };
        let all = [
            entry(&whole, in_data),
            histograms(&slice, in_data),
            histograms(&whole, Values::Inline(b"abc")),
            entry(&slice, Values::Inline(b"abc")),
            entry(&own, Values::Constant(2.0)),
            entry(&own, in_data),
            entry(&slice, Values::Constant(0.25)),
        ];
        round_trip(&all, 1 << 40);
        round_trip(&all[1..], 77);
    }

    #[test]
    fn histograms_have_no_constants() {
        for kinds in [2 << 2, 3 << 2] {
            let bytes = [HISTOGRAMS | kinds, 1, 0, 0, 0, 0, 0, 0, 0, 0];
            assert!(Entries::new(&bytes).next().is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut entries = Entries::new(&bytes);
            while let Ok(Some((entry, _))) = entries.next() {
                if let Times::Slice { presence: Some(presence), len, .. } = entry.times {
                    prop_assert!(presence.n_present() <= len as usize);
                }
            }
        }
    }
}
