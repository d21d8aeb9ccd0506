//! The chunk at rest: the same values in the fewest bytes, decoded at a nanosecond each.
//!
//! ```text
//! chunk   = codec u8 | body                            the number of values is the owner's
//! CONST   = bits u64
//! XOR     = the stream of `xor`, its runs in chunks of more than 512 values
//! RAW     = n x u64
//! others  = head u8 | [stale] | [exceptions] | [factor varint] | integers
//! head    = exponent in bits 0..5, then flags: 5 stale, 6 exceptions, 7 factor
//! stale   = positions                                  of stale markers
//! exceptions = positions | count x bits u64            values that are no decimals
//! FOR     = least | packed(value - least)
//! DELTA   = first | least delta | anchors | packed(delta - least)
//! DELTAZZ = first | anchors | packed(zigzag delta)
//! SPARSE  = first | changes varint | least delta | packed(gaps) | packed(delta - least)
//! PCO-I   = word bytes u8 | least | pages(value - least)
//!         | word bytes + 128 u8 | first | least delta | anchors | pages(delta - least)
//! PCO-F   = head, stale and exceptions as above | pages(doubles)
//! anchors = (groups - 1) x zigzag varint               the value where a group begins,
//!                                                      less the one before
//! ```
//!
//! Integers are the values scaled to a common exponent (`decimal`), differences divided
//! by `factor`. `first` and `least` are zigzag varints, packed is `packed`, pages are
//! those of `pages`, of words of 2, 4 or 8 bytes. Stale markers and exceptions stand in
//! the list of integers, too, as numbers that fit between their neighbours, so that they
//! never widen a block. In PCO-F everything that is not finite is an exception.
//!
//! A range of positions is read without the rest: FOR steps over packed blocks; for
//! differences an anchor stands every 256 of them in chunks of more than 512 values, and
//! at each page; the changes of SPARSE are few.
//!
//! Which codec is shortest is computed, not guessed: the lengths follow from the widths
//! without encoding anything. pco is tried after that and has to earn its slower reading.

use super::{pages, xor};

mod layout;
mod read;
mod recover;

use layout::Layout;
#[cfg(any(test, feature = "internals"))]
pub use read::decode;
pub use read::decode_range;

/// Most values of a chunk.
pub const MAX_VALUES: usize = u16::MAX as usize;

/// How a sealed chunk is coded; the discriminant is its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// All values have the same bits.
    Const = 0,
    /// Gorilla bits.
    Xor = 2,
    /// Offsets from the least value.
    For = 3,
    /// Differences, offset from the least.
    Delta = 4,
    /// Differences of both signs.
    DeltaZigzag = 5,
    /// Positions and sizes of the few changes.
    Sparse = 6,
    /// Integers in pages of pco.
    PcoIntegers = 7,
    /// Doubles in pages of pco.
    PcoDoubles = 8,
    /// Eight bytes each.
    Raw = 9,
}

// Reserved: 1 is the open chunk of `open`.
const CODECS: [Codec; 9] = [
    Codec::Const,
    Codec::Xor,
    Codec::For,
    Codec::Delta,
    Codec::DeltaZigzag,
    Codec::Sparse,
    Codec::PcoIntegers,
    Codec::PcoDoubles,
    Codec::Raw,
];

const EXPONENT_MASK: u8 = 0x1f;
const HAS_STALE: u8 = 0x20;
const HAS_EXCEPTIONS: u8 = 0x40;
const HAS_FACTOR: u8 = 0x80;
/// In the word bytes of PCO-I: the words are differences.
const PAGED_DELTAS: u8 = 0x80;

/// Chunks of more values have anchors.
const ANCHORED_LEN: usize = 512;
/// Differences from one anchor to the next; whole packed blocks.
const GROUP_LEN: usize = 256;

/// How much time a chunk is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Some 20 ns a value, and read in a few. For chunks in memory.
    Quick,
    /// pco for doubles that are no decimals, where it saves a twentieth. Some 40 ns more
    /// for those. For blocks that will be merged soon.
    Block,
    /// pco also for integers, where it saves 15 of 100. For long chunks that stay.
    Cold,
}

/// Buffers that a caller keeps between chunks.
#[derive(Debug, Default)]
pub struct Scratch {
    integers: Vec<i64>,
    doubles: Vec<f64>,
    words: Vec<u64>,
    gaps: Vec<u64>,
    stale: Vec<usize>,
    exceptions: Vec<usize>,
    pages: pages::Scratch,
}

/// Appends the shortest form of `values` that is quick to make and to read, as
/// [`seal_with`] does with [`Effort::Quick`].
pub fn seal(values: &[f64], hint: Option<u8>, scratch: &mut Scratch, out: &mut Vec<u8>) -> Codec {
    seal_with(values, hint, Effort::Quick, scratch, out)
}

/// Appends the shortest form of `values` to `out`; at most [`MAX_VALUES`] of them.
/// `hint` is an exponent that may fit and only saves a search.
pub fn seal_with(
    values: &[f64],
    hint: Option<u8>,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Codec {
    if let Some((first, rest)) = values.split_first()
        && rest.iter().all(|value| value.to_bits() == first.to_bits())
    {
        out.push(Codec::Const as u8);
        out.extend_from_slice(&first.to_bits().to_le_bytes());
        return Codec::Const;
    }
    let layout = scratch
        .recover(values, hint)
        .map(|exponent| scratch.lay_out(exponent));
    let shortest = layout
        .as_ref()
        .map_or(usize::MAX, |layout| layout.len_bytes);
    // XOR takes a bit per value at least. It reads several times slower, so a draw and
    // a near draw go to the integers.
    let floor = 8 + values.len() / 8;
    let xor_bytes = if floor < shortest {
        1 + xor::runs_len(values)
    } else {
        usize::MAX
    };
    let raw_bytes = 1 + values.len() * 8;
    let codec = match layout {
        Some(layout) if shortest <= xor_bytes.saturating_add(xor_bytes / 16) => {
            return scratch.seal_integers(&layout, values, effort, out);
        }
        _ if xor_bytes < raw_bytes => Codec::Xor,
        _ => Codec::Raw,
    };
    let best = xor_bytes.min(raw_bytes);
    if effort != Effort::Quick && scratch.seal_doubles(values, best - best / 20, effort, out) {
        return Codec::PcoDoubles;
    }
    out.push(codec as u8);
    match codec {
        Codec::Xor => xor::encode_runs(values, out),
        _ => out.extend(
            values
                .iter()
                .flat_map(|value| value.to_bits().to_le_bytes()),
        ),
    }
    codec
}

impl Scratch {
    fn seal_integers(
        &mut self,
        layout: &Layout,
        values: &[f64],
        effort: Effort,
        out: &mut Vec<u8>,
    ) -> Codec {
        /// What pco needs for a table and the states of a page, about.
        const LEAST_PAGED: usize = 24;
        let limit = layout.len_bytes - layout.len_bytes * 15 / 100;
        if effort == Effort::Cold
            && limit > LEAST_PAGED
            && self.write_pages(layout, values, limit, out)
        {
            return Codec::PcoIntegers;
        }
        // With many exceptions these may be doubles after all.
        if effort != Effort::Quick && self.exceptions.len() * 20 > values.len() {
            let exceptions = (self.stale.clone(), self.exceptions.clone());
            if self.seal_doubles(values, limit, effort, out) {
                return Codec::PcoDoubles;
            }
            (self.stale, self.exceptions) = exceptions;
        }
        self.write(layout, values, out);
        layout.codec
    }

    /// Appends the values as doubles in pages where that takes at most `limit` bytes, and
    /// tells whether it did.
    fn seal_doubles(
        &mut self,
        values: &[f64],
        limit: usize,
        effort: Effort,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.part_doubles(values) {
            return false;
        }
        let shape = shape(&self.doubles);
        let column = pages::encode_doubles(&self.doubles, shape, effort == Effort::Cold);
        let Some(column) = column.filter(|column| column.len() < limit) else {
            return false;
        };
        let start = out.len();
        self.write_head(Codec::PcoDoubles, 0, 1, values, out);
        out.extend_from_slice(&column);
        if out.len() - start > limit {
            out.truncate(start);
            return false;
        }
        true
    }
}

/// Tells whether neighbours are closer to each other than all are to the least. Bits of
/// doubles that go up with their values, as pco sees them.
fn shape(values: &[f64]) -> pages::Shape {
    let ordered = |value: f64| {
        let bits = value.to_bits() as i64;
        (bits ^ ((bits >> 63) as u64 >> 1) as i64) as u64 ^ 1 << 63
    };
    let least = values.iter().map(|&v| ordered(v)).min().unwrap_or(0);
    let (mut plain, mut differences) = (0u64, 0u64);
    for pair in values.windows(2) {
        let (before, after) = (ordered(pair[0]), ordered(pair[1]));
        plain += u64::from(super::bits::width(after - least));
        // One more for the sign.
        differences += 1 + u64::from(super::bits::width(after.abs_diff(before)));
    }
    if plain < differences {
        pages::Shape::Plain
    } else {
        pages::Shape::Differences
    }
}

#[cfg(test)]
mod tests;
