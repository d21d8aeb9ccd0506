//! The chunk at rest: the same values in the fewest bytes, decoded at a nanosecond each.
//!
//! ```text
//! chunk   = codec u8 | body                            the number of values is the owner's
//! CONST   = bits u64
//! XOR     = the stream of `xor`
//! RAW     = n x u64
//! others  = head u8 | [stale] | [exceptions] | [factor varint] | integers
//! head    = exponent in bits 0..5, then flags: 5 stale, 6 exceptions, 7 factor
//! stale   = count varint | count x gap varint          positions of stale markers
//! exceptions = the same | count x bits u64             values that are no decimals
//! FOR     = least | packed(value - least)
//! DELTA   = first | least delta | packed(delta - least)
//! DELTAZZ = first | packed(zigzag delta)
//! SPARSE  = first | changes varint | least delta | packed(gaps) | packed(delta - least)
//! ```
//!
//! Integers are the values scaled to a common exponent (`decimal`), differences divided
//! by `factor`. `first` and `least` are zigzag varints, packed is `packed`. Stale
//! markers and exceptions stand in the list of integers, too, as numbers that fit between
//! their neighbours, so that they never widen a block.
//!
//! Which codec is shortest is computed, not guessed: the lengths follow from the widths
//! without encoding anything.

use super::decimal::{self, common_exponent};
use super::varint::{self, unzigzag, zigzag};
use super::{CodecError, packed, xor};
use crate::model::{is_stale_marker, stale_marker};

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
    /// Eight bytes each.
    Raw = 9,
}

// Reserved: 1 is the open chunk of `open`, 7 and 8 are pco.
const CODECS: [Codec; 7] = [
    Codec::Const,
    Codec::Xor,
    Codec::For,
    Codec::Delta,
    Codec::DeltaZigzag,
    Codec::Sparse,
    Codec::Raw,
];

const EXPONENT_MASK: u8 = 0x1f;
const HAS_STALE: u8 = 0x20;
const HAS_EXCEPTIONS: u8 = 0x40;
const HAS_FACTOR: u8 = 0x80;

/// Buffers that a caller keeps between chunks.
#[derive(Debug, Default)]
pub struct Scratch {
    integers: Vec<i64>,
    words: Vec<u64>,
    gaps: Vec<u64>,
    stale: Vec<usize>,
    exceptions: Vec<usize>,
}

/// Appends the shortest form of `values` to `out`; at most [`MAX_VALUES`] of them.
/// `hint` is an exponent that may fit and only saves a search.
pub fn seal(values: &[f64], hint: Option<u8>, scratch: &mut Scratch, out: &mut Vec<u8>) -> Codec {
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
        xor::encoded_len(values)
    } else {
        usize::MAX
    };
    let codec = match layout {
        Some(layout) if shortest <= xor_bytes.saturating_add(xor_bytes / 16) => {
            scratch.write(&layout, values, out);
            return layout.codec;
        }
        _ if xor_bytes < values.len() * 8 => Codec::Xor,
        _ => Codec::Raw,
    };
    out.push(codec as u8);
    match codec {
        Codec::Xor => xor::encode(values, out),
        _ => out.extend(
            values
                .iter()
                .flat_map(|value| value.to_bits().to_le_bytes()),
        ),
    }
    codec
}

/// A choice among the integer codecs, with what it takes to write it.
#[derive(Debug, Clone, Copy)]
struct Layout {
    codec: Codec,
    exponent: u8,
    factor: u64,
    least: i64,
    least_delta: i64,
    changes: usize,
    len_bytes: usize,
}

impl Scratch {
    /// Fills `integers`, `stale` and `exceptions`; returns the exponent, or `None` when
    /// too few of the values are decimals.
    fn recover(&mut self, values: &[f64], hint: Option<u8>) -> Option<u8> {
        let mut exponent = common_exponent(values, hint)?;
        loop {
            self.scale_all(values, exponent);
            // The few values looked at may have been short ones by chance.
            let larger = self.exceptions.iter().take(4).filter_map(|&at| {
                let found = decimal::exponent_of(values[at])?;
                (found > exponent).then_some(found)
            });
            match larger.max() {
                Some(larger) if self.exceptions.len() * 20 > values.len() => exponent = larger,
                _ => break,
            }
        }
        let decimals = values.len() - self.stale.len() - self.exceptions.len();
        if decimals == 0 {
            return None;
        }
        if decimals < values.len() {
            self.fill_holes();
        }
        Some(exponent)
    }

    /// Gives stale markers and exceptions integers that cost nothing. They repeat the
    /// one before, which is right for all but series that always rise or always fall:
    /// there a difference of 0 would lower the least one, so those go on in step.
    fn fill_holes(&mut self) {
        let mut holes = self.stale.clone();
        holes.extend_from_slice(&self.exceptions);
        holes.sort_unstable();
        let mut is_hole = holes.iter().copied().peekable();
        let mut kept = |at: &usize| is_hole.next_if_eq(at).is_none();
        let (mut least, mut greatest) = (i64::MAX, i64::MIN);
        let mut last = None;
        for at in (0..self.integers.len()).filter(&mut kept) {
            let integer = self.integers[at];
            if let Some(last) = last.replace(integer) {
                least = least.min(integer - last);
                greatest = greatest.max(integer - last);
            }
        }
        let in_step = match (least, greatest) {
            (i64::MAX, _) => return,
            (1.., _) => least,
            (_, ..=-1) => greatest,
            _ => return,
        };
        let integers = &mut self.integers[..];
        for run in holes.chunk_by(|a, b| a + 1 == *b) {
            let (start, end) = (run[0], run[0] + run.len());
            let after = integers.get(end).copied();
            let steps = run.len() as i64 + 1;
            let (before, step) = match (start.checked_sub(1).map(|at| integers[at]), after) {
                (Some(before), Some(after)) => (before, (after - before) / steps),
                (Some(before), None) => (before, in_step),
                (None, Some(after)) => (after - in_step * steps, in_step),
                (None, None) => return,
            };
            for (integer, i) in integers[start..end].iter_mut().zip(1..) {
                *integer = before + step * i;
            }
        }
    }

    fn scale_all(&mut self, values: &[f64], exponent: u8) {
        self.integers.clear();
        self.stale.clear();
        self.exceptions.clear();
        let mut last = None;
        for (at, &value) in values.iter().enumerate() {
            match decimal::scale(value, exponent) {
                Some(integer) => {
                    if last.is_none() {
                        // Positions before the first integer repeat it instead.
                        self.integers.fill(integer);
                    }
                    last = Some(integer);
                }
                None if is_stale_marker(value) => self.stale.push(at),
                None => self.exceptions.push(at),
            }
            self.integers.push(last.unwrap_or(0));
        }
    }

    /// Computes the length of every integer codec and returns the shortest.
    fn lay_out(&mut self, exponent: u8) -> Layout {
        let integers = &self.integers[..];
        let first = integers[0];
        let deltas = || integers.windows(2).map(|pair| pair[1] - pair[0]);
        let least = integers.iter().copied().min().unwrap_or(0);
        let least_delta = deltas().min().unwrap_or(0);
        let mut factor = 0;
        let (mut changes, mut least_change) = (0, i64::MAX);
        for delta in deltas().filter(|&delta| delta != 0) {
            changes += 1;
            least_change = least_change.min(delta);
            if factor != 1 {
                factor = gcd(factor, delta.unsigned_abs());
            }
        }
        let factor = factor.max(1);
        let divisor = factor as i64;

        let mut head = 2 + if factor > 1 { varint_len(factor) } else { 0 };
        for positions in [&self.stale, &self.exceptions] {
            head += positions_len(positions);
        }
        head += 8 * self.exceptions.len();
        let mut best = Layout {
            codec: Codec::For,
            exponent,
            factor,
            least,
            least_delta: 0,
            changes,
            len_bytes: 0,
        };
        let words = &mut self.words;
        let mut length = |fixed: usize, values: &mut dyn Iterator<Item = u64>| {
            words.clear();
            words.extend(values);
            fixed + packed::packed_len(words)
        };

        let fixed = head + varint_len(zigzag(least));
        best.len_bytes = length(
            fixed,
            &mut integers.iter().map(|v| quotient(v - least, divisor) as u64),
        );
        let mut consider = |codec, len_bytes, least_delta| {
            if len_bytes < best.len_bytes {
                best = Layout {
                    codec,
                    len_bytes,
                    least_delta,
                    ..best
                };
            }
        };
        let fixed = head + varint_len(zigzag(first));
        let base = least_delta / divisor;
        let mut offsets = deltas().map(|delta| (quotient(delta, divisor) - base) as u64);
        let len_bytes = length(fixed + varint_len(zigzag(base)), &mut offsets);
        consider(Codec::Delta, len_bytes, base);
        let mut zigzags = deltas().map(|delta| zigzag(quotient(delta, divisor)));
        consider(Codec::DeltaZigzag, length(fixed, &mut zigzags), 0);
        // Below a change in four this can win; the lengths decide.
        if changes > 0 && changes * 4 < integers.len() {
            let base = least_change / divisor;
            let changed = deltas().filter(|&delta| delta != 0);
            let mut offsets = changed.map(|delta| (quotient(delta, divisor) - base) as u64);
            let fixed = fixed + varint_len(changes as u64) + varint_len(zigzag(base));
            let mut len_bytes = length(fixed, &mut offsets);
            change_gaps(integers, &mut self.gaps);
            len_bytes += packed::packed_len(&self.gaps);
            consider(Codec::Sparse, len_bytes, base);
        }
        best
    }

    fn write(&mut self, layout: &Layout, values: &[f64], out: &mut Vec<u8>) {
        let start = out.len();
        let flag = |set: bool, flag| if set { flag } else { 0 };
        out.push(layout.codec as u8);
        out.push(
            layout.exponent
                | flag(!self.stale.is_empty(), HAS_STALE)
                | flag(!self.exceptions.is_empty(), HAS_EXCEPTIONS)
                | flag(layout.factor > 1, HAS_FACTOR),
        );
        write_positions(&self.stale, out);
        write_positions(&self.exceptions, out);
        for &at in &self.exceptions {
            out.extend_from_slice(&values[at].to_bits().to_le_bytes());
        }
        if layout.factor > 1 {
            varint::write_u64(out, layout.factor);
        }
        let integers = &self.integers[..];
        let divisor = layout.factor as i64;
        let deltas = integers
            .windows(2)
            .map(|pair| quotient(pair[1] - pair[0], divisor));
        let words = &mut self.words;
        words.clear();
        let base = layout.least_delta;
        match layout.codec {
            Codec::Delta | Codec::DeltaZigzag | Codec::Sparse => {
                varint::write_i64(out, integers[0]);
            }
            _ => varint::write_i64(out, layout.least),
        }
        match layout.codec {
            Codec::Delta => {
                varint::write_i64(out, base);
                words.extend(deltas.map(|delta| (delta - base) as u64));
            }
            Codec::DeltaZigzag => words.extend(deltas.map(zigzag)),
            Codec::Sparse => {
                varint::write_u64(out, layout.changes as u64);
                varint::write_i64(out, base);
                change_gaps(integers, &mut self.gaps);
                packed::pack(&self.gaps, out);
                let changed = deltas.filter(|&delta| delta != 0);
                words.extend(changed.map(|delta| (delta - base) as u64));
            }
            _ => words.extend(
                integers
                    .iter()
                    .map(|v| quotient(v - layout.least, divisor) as u64),
            ),
        }
        packed::pack(words, out);
        debug_assert_eq!(
            out.len() - start,
            layout.len_bytes,
            "lengths are computed exactly"
        );
    }
}

/// Divides without a division by 1, which is by far the most common divisor.
#[inline]
fn quotient(dividend: i64, divisor: i64) -> i64 {
    if divisor == 1 {
        dividend
    } else {
        dividend / divisor
    }
}

/// Unchanged values before each change, the first value not counted.
fn change_gaps(integers: &[i64], gaps: &mut Vec<u64>) {
    gaps.clear();
    let mut gap = 0;
    for pair in integers.windows(2) {
        if pair[0] == pair[1] {
            gap += 1;
        } else {
            gaps.push(gap);
            gap = 0;
        }
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn varint_len(value: u64) -> usize {
    super::bits::width(value).div_ceil(7).max(1) as usize
}

fn gaps_of(positions: &[usize]) -> impl Iterator<Item = u64> {
    let before = std::iter::once(0).chain(positions.iter().map(|at| at + 1));
    positions
        .iter()
        .zip(before)
        .map(|(at, before)| (at - before) as u64)
}

fn positions_len(positions: &[usize]) -> usize {
    if positions.is_empty() {
        return 0;
    }
    varint_len(positions.len() as u64) + gaps_of(positions).map(varint_len).sum::<usize>()
}

fn write_positions(positions: &[usize], out: &mut Vec<u8>) {
    if !positions.is_empty() {
        varint::write_u64(out, positions.len() as u64);
        gaps_of(positions).for_each(|gap| varint::write_u64(out, gap));
    }
}

/// Takes positions below `n`, in ascending order.
fn read_positions(bytes: &mut &[u8], n: usize, out: &mut Vec<usize>) -> Result<(), CodecError> {
    let count = varint::read_u64(bytes)?;
    if count > n as u64 {
        return Err(CodecError::TooMany {
            found: count,
            limit: n as u64,
        });
    }
    let mut next = 0u64;
    for _ in 0..count {
        let at = next.saturating_add(varint::read_u64(bytes)?);
        if at >= n as u64 {
            return Err(CodecError::Invalid("position in a chunk"));
        }
        out.push(at as usize);
        next = at + 1;
    }
    Ok(())
}

/// Appends the `n` values of a sealed chunk to `out`.
///
/// # Errors
/// [`CodecError`] when `bytes` is not a chunk of `n` values; `out` may then have grown
/// by up to `n`.
pub fn decode(
    mut bytes: &[u8],
    n: usize,
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    const SHORT: CodecError = CodecError::Truncated("chunk");
    if n > MAX_VALUES {
        return Err(CodecError::TooMany {
            found: n as u64,
            limit: MAX_VALUES as u64,
        });
    }
    let &codec = bytes.split_off_first().ok_or(SHORT)?;
    let codec = CODECS.into_iter().find(|&known| known as u8 == codec);
    match codec.ok_or(CodecError::Invalid("codec of a chunk"))? {
        Codec::Const => {
            let bits = u64::from_le_bytes(*bytes.first_chunk().ok_or(SHORT)?);
            out.resize(out.len() + n, f64::from_bits(bits));
            Ok(())
        }
        Codec::Xor => xor::decode(bytes, n, out),
        Codec::Raw => {
            let bytes = bytes.get(..n * 8).ok_or(SHORT)?;
            let (words, _) = bytes.as_chunks::<8>();
            out.extend(
                words
                    .iter()
                    .map(|word| f64::from_bits(u64::from_le_bytes(*word))),
            );
            Ok(())
        }
        _ if n == 0 => Ok(()),
        codec => scratch.decode_integers(codec, bytes, n, out),
    }
}

impl Scratch {
    fn decode_integers(
        &mut self,
        codec: Codec,
        mut bytes: &[u8],
        n: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), CodecError> {
        let rest = &mut bytes;
        let &head = rest
            .split_off_first()
            .ok_or(CodecError::Truncated("chunk"))?;
        self.stale.clear();
        self.exceptions.clear();
        if head & HAS_STALE != 0 {
            read_positions(rest, n, &mut self.stale)?;
        }
        let mut exception_bits: &[[u8; 8]] = &[];
        if head & HAS_EXCEPTIONS != 0 {
            read_positions(rest, n, &mut self.exceptions)?;
            let raw = rest.split_off(..8 * self.exceptions.len());
            exception_bits = raw
                .ok_or(CodecError::Truncated("exceptions"))?
                .as_chunks()
                .0;
        }
        let factor = if head & HAS_FACTOR != 0 {
            varint::read_u64(rest)? as i64
        } else {
            1
        };
        let power = decimal::power(head & EXPONENT_MASK);
        let start = out.len();
        let mut value = varint::read_i64(rest)?;
        self.words.clear();
        let words = &mut self.words;
        // Arithmetic wraps: damaged bytes give wrong integers, never a panic.
        let mut step = |delta: i64| {
            value = value.wrapping_add(delta.wrapping_mul(factor));
            value as f64 / power
        };
        match codec {
            Codec::Delta => {
                let least = varint::read_i64(rest)?;
                packed::unpack(rest, n - 1, words)?;
                out.reserve(n);
                out.push(step(0));
                out.extend(
                    words
                        .iter()
                        .map(|&word| step(least.wrapping_add(word as i64))),
                );
            }
            Codec::DeltaZigzag => {
                packed::unpack(rest, n - 1, words)?;
                out.reserve(n);
                out.push(step(0));
                out.extend(words.iter().map(|&word| step(unzigzag(word))));
            }
            Codec::Sparse => {
                let changes = varint::read_u64(rest)?;
                let least = varint::read_i64(rest)?;
                if changes >= n as u64 {
                    return Err(CodecError::TooMany {
                        found: changes,
                        limit: n as u64 - 1,
                    });
                }
                self.gaps.clear();
                packed::unpack(rest, changes as usize, &mut self.gaps)?;
                packed::unpack(rest, changes as usize, words)?;
                let mut current = step(0);
                let mut end = start + 1;
                for (&gap, &word) in self.gaps.iter().zip(words.iter()) {
                    end = usize::try_from(gap).map_or(usize::MAX, |gap| end.saturating_add(gap));
                    if end >= start + n {
                        return Err(CodecError::Invalid("position of a change"));
                    }
                    out.resize(end, current);
                    current = step(least.wrapping_add(word as i64));
                    out.push(current);
                    end += 1;
                }
                out.resize(start + n, current);
            }
            _ => {
                let base = value;
                packed::unpack(rest, n, words)?;
                let integer = |word: u64| base.wrapping_add((word as i64).wrapping_mul(factor));
                out.extend(words.iter().map(|&word| integer(word) as f64 / power));
            }
        }
        let values = &mut out[start..];
        for &at in &self.stale {
            values[at] = stale_marker();
        }
        for (&at, bits) in self.exceptions.iter().zip(exception_bits) {
            values[at] = f64::from_bits(u64::from_le_bytes(*bits));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
