//! The chunk a series is appending to, without an object per series.
//!
//! The owner keeps an [`OpenChunk`] of 16 bytes per series and short byte slabs in
//! arenas of its own. Appending writes into the last slab and never touches earlier
//! bytes but the slab's count, so a reader that copied slabs and a sample count can
//! decode that many samples at leisure.
//!
//! Decimal chunks, the common case, hold differences of scaled integers:
//!
//! ```text
//! slab   0       1                                              S-1
//!        | count | bytes of values ->    free    <- 2-bit codes |
//!
//! code 0  no byte     the last integer again
//!      1  1 byte      zigzag difference
//!      2  2 bytes     zigzag difference
//!      3  8 bytes     the value's bits; the base of the next difference if it scales
//! ```
//!
//! A slab is decodable but for the integer it starts from, and codes never straddle
//! two. XOR chunks are one bit stream as in [`xor`](super::xor), cut into slabs
//! anywhere: their values would waste the end of every slab.

use super::CodecError;
use super::bits::low_mask;
use super::decimal;
use super::varint::{unzigzag, zigzag};
use super::xor::{self, XorState};

/// Smallest slab in bytes.
pub const MIN_SLAB_BYTES: usize = 16;
/// Largest slab in bytes: its count is one byte, four samples to a byte of codes.
pub const MAX_SLAB_BYTES: usize = 64;

/// How the values of a chunk are coded; chosen when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Integers after scaling by ten to the power of this (`decimal`).
    Decimal(u8),
    /// XOR with the value before.
    Xor,
}

/// The state of a chunk being appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenChunk {
    /// Decimal: the last scaled integer. XOR: the bits of the last value.
    last: u64,
    len: u16,
    /// Decimal: escapes so far. XOR: leading zeroes and significant bits.
    detail: u16,
    /// Bytes in use at the front of the last slab.
    used: u8,
    /// Decimal: samples in the last slab. XOR: free bits in the last byte in use.
    slab_fill: u8,
    /// Decimal exponent, or [`XOR`].
    plan: u8,
}

const XOR: u8 = 0xff;

/// What did not fit the last slab; goes to the start of a new one.
#[derive(Debug)]
#[must_use = "the sample is lost unless the spill is written to a new slab"]
pub struct Spill {
    /// Decimal: the value. XOR: the bits that are left, right-aligned.
    bits: u128,
    count: u32,
}

impl OpenChunk {
    /// Starts an empty chunk. It has no slab yet: the first [`OpenChunk::push`] is
    /// given an empty one and spills.
    pub fn new(plan: Plan) -> OpenChunk {
        let plan = match plan {
            Plan::Decimal(exponent) => exponent.min(decimal::MAX_EXPONENT),
            Plan::Xor => XOR,
        };
        OpenChunk {
            last: 0,
            len: 0,
            detail: 0,
            used: 0,
            slab_fill: 0,
            plan,
        }
    }

    /// Returns the number of samples.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Tells whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how the values are coded.
    pub fn plan(&self) -> Plan {
        if self.plan == XOR {
            Plan::Xor
        } else {
            Plan::Decimal(self.plan)
        }
    }

    /// Tells whether the plan is a bad one: a quarter of the values did not follow it.
    /// The owner may decode a young chunk and append it again with [`plan_for`].
    pub fn is_misplanned(&self) -> bool {
        self.plan != XOR && self.detail >= 4 && self.detail > self.len / 4
    }

    /// Appends a value to the last slab; all slabs of a chunk are equally long.
    ///
    /// What does not fit is returned; it must be given to [`OpenChunk::push_spilled`]
    /// with a new slab before anything else. Chunks end at 65,535 samples; owners cut
    /// them long before.
    #[inline]
    pub fn push(&mut self, slab: &mut [u8], value: f64) -> Option<Spill> {
        if self.plan == XOR {
            self.push_xor(slab, value)
        } else {
            self.push_decimal(slab, value)
        }
    }

    #[inline]
    fn push_decimal(&mut self, slab: &mut [u8], value: f64) -> Option<Spill> {
        let scaled = decimal::scale(value, self.plan);
        let (bytes, width) = match scaled {
            Some(integer) => match zigzag(integer.wrapping_sub(self.last as i64)) {
                0 => (0, 0),
                delta @ 1..=0xff => (delta, 1),
                delta @ 0x100..=0xffff => (delta, 2),
                _ => (value.to_bits(), 8),
            },
            None => (value.to_bits(), 8),
        };
        let used = usize::from(self.used).max(1);
        let fill = usize::from(self.slab_fill);
        // The codes' bytes from the end, with this one's.
        let codes = fill / 4 + 1;
        if used + width + codes > slab.len() || self.is_empty() {
            return Some(Spill {
                bits: u128::from(value.to_bits()),
                count: 0,
            });
        }
        slab[used..used + width].copy_from_slice(&bytes.to_le_bytes()[..width]);
        let code = width.min(3) as u8;
        let at = slab.len() - codes;
        let shift = 2 * (fill % 4);
        slab[at] = if shift == 0 {
            code
        } else {
            slab[at] | code << shift
        };
        slab[0] = (fill + 1) as u8;
        if let Some(integer) = scaled {
            self.last = integer as u64;
        }
        self.detail += u16::from(width == 8);
        self.used = (used + width) as u8;
        self.slab_fill += 1;
        self.len = self.len.saturating_add(1);
        None
    }

    fn push_xor(&mut self, slab: &mut [u8], value: f64) -> Option<Spill> {
        let (bits, count) = if self.len == 0 {
            self.last = value.to_bits();
            (u128::from(self.last), 64)
        } else {
            let [leading, significant] = self.detail.to_be_bytes();
            let mut state = XorState {
                last: self.last,
                leading,
                significant,
            };
            let code = state.step(value);
            self.last = state.last;
            self.detail = u16::from_be_bytes([state.leading, state.significant]);
            code
        };
        self.len = self.len.saturating_add(1);
        self.write_bits(slab, bits, count)
    }

    /// Writes as many of the low `count` bits as fit, most significant first.
    fn write_bits(&mut self, slab: &mut [u8], bits: u128, mut count: u32) -> Option<Spill> {
        while count > 0 {
            if self.slab_fill == 0 {
                if usize::from(self.used) >= slab.len() {
                    return Some(Spill { bits, count });
                }
                slab[usize::from(self.used)] = 0;
                self.used += 1;
                self.slab_fill = 8;
            }
            let take = count.min(u32::from(self.slab_fill));
            count -= take;
            let part = (bits >> count) as u64 & low_mask(take);
            self.slab_fill -= take as u8;
            slab[usize::from(self.used) - 1] |= (part << self.slab_fill) as u8;
        }
        None
    }

    /// Completes [`OpenChunk::push`] in a new slab, whose content does not matter and
    /// whose length is within [`MIN_SLAB_BYTES`] and [`MAX_SLAB_BYTES`].
    pub fn push_spilled(&mut self, slab: &mut [u8], spill: Spill) {
        debug_assert!((MIN_SLAB_BYTES..=MAX_SLAB_BYTES).contains(&slab.len()));
        self.used = 0;
        self.slab_fill = 0;
        if self.plan == XOR {
            let rest = self.write_bits(slab, spill.bits, spill.count);
            debug_assert!(rest.is_none(), "a value is shorter than a slab");
            return;
        }
        self.used = 1;
        let value = f64::from_bits(spill.bits as u64);
        let first = self.len == 0;
        // An empty chunk always spills, so that it has a slab from its first sample.
        self.len += u16::from(first);
        let rest = self.push_decimal(slab, value);
        self.len -= u16::from(first);
        debug_assert!(rest.is_none(), "a value is shorter than a slab");
    }
}

/// Appends the first `n` values of a chunk to `out`. `slabs` are all of its slabs in
/// order, each whole but for the unused ones after the last value; `scratch` is kept
/// by the caller for its memory.
///
/// # Errors
/// [`CodecError`] when the slabs do not hold `n` values.
pub fn decode<'a>(
    plan: Plan,
    n: usize,
    slabs: impl Iterator<Item = &'a [u8]>,
    scratch: &mut Vec<u8>,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    match plan {
        Plan::Xor => {
            scratch.clear();
            slabs.for_each(|slab| scratch.extend_from_slice(slab));
            xor::decode(scratch, n, out)
        }
        Plan::Decimal(exponent) => {
            let mut left = n;
            let mut base = 0;
            for slab in slabs {
                if left == 0 {
                    break;
                }
                left -= decode_slab(slab, exponent, left, &mut base, out)?;
            }
            if left > 0 {
                Err(CodecError::Truncated("open chunk"))
            } else {
                Ok(())
            }
        }
    }
}

/// Decodes at most `limit` values of one slab and returns how many there were.
fn decode_slab(
    slab: &[u8],
    exponent: u8,
    limit: usize,
    base: &mut i64,
    out: &mut Vec<f64>,
) -> Result<usize, CodecError> {
    const SHORT: CodecError = CodecError::Truncated("slab");
    // A copy with room behind it, so that two bytes can be read at once anywhere.
    let mut data = [0u8; MAX_SLAB_BYTES + 8];
    let room = data
        .get_mut(..slab.len())
        .ok_or(CodecError::Invalid("length of a slab"))?;
    room.copy_from_slice(slab);
    let n = usize::from(*slab.first().ok_or(SHORT)?).min(limit);
    let codes = slab
        .get(slab.len().saturating_sub(n.div_ceil(4))..)
        .ok_or(SHORT)?;
    if n.div_ceil(4) >= slab.len() {
        return Err(SHORT);
    }
    let power = decimal::power(exponent);
    let mut at = 1;
    out.reserve(n);
    let mut left = n;
    for &byte in codes.iter().rev() {
        let mut byte = byte;
        for _ in 0..left.min(4) {
            let code = usize::from(byte & 3);
            byte >>= 2;
            if code == 3 {
                let bytes = data.get(at..).and_then(|d| d.first_chunk()).ok_or(SHORT)?;
                let value = f64::from_bits(u64::from_le_bytes(*bytes));
                at += 8;
                if let Some(integer) = decimal::scale(value, exponent) {
                    *base = integer;
                }
                out.push(value);
            } else {
                let bytes = data.get(at..).and_then(|d| d.first_chunk()).ok_or(SHORT)?;
                let mask = [0, 0xff, 0xffff, 0][code];
                *base = base.wrapping_add(unzigzag(u64::from(u16::from_le_bytes(*bytes) & mask)));
                at += code;
                out.push(*base as f64 / power);
            }
        }
        left = left.saturating_sub(4);
    }
    Ok(n)
}

/// Returns the plan for a chunk that goes on like `values`, as the smaller of both
/// codes would have been; `hint` is the plan they had.
pub fn plan_for(values: &[f64], hint: Option<Plan>) -> Plan {
    let hint = match hint {
        Some(Plan::Decimal(exponent)) => Some(exponent),
        _ => None,
    };
    let Some(exponent) = decimal::common_exponent(values, hint) else {
        return if values.is_empty() {
            Plan::Decimal(0)
        } else {
            Plan::Xor
        };
    };
    let mut last = 0;
    let mut decimal_bytes = values.len() / 4;
    for &value in values {
        let scaled = decimal::scale(value, exponent);
        decimal_bytes += match scaled.map(|integer| zigzag(integer - last)) {
            Some(0) => 0,
            Some(..=0xff) => 1,
            Some(..=0xffff) => 2,
            _ => 8,
        };
        last = scaled.unwrap_or(last);
    }
    // XOR costs several times as much to read, so it has to be worth it.
    let worth = decimal_bytes > values.len() * 2 && xor::encoded_len(values) < decimal_bytes;
    if worth {
        Plan::Xor
    } else {
        Plan::Decimal(exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::super::value_tests::{check_bits, values};
    use super::*;
    use proptest::prelude::*;

    struct Owner {
        chunk: OpenChunk,
        slabs: Vec<Vec<u8>>,
        slab_bytes: usize,
    }

    impl Owner {
        fn new(plan: Plan, slab_bytes: usize) -> Owner {
            Owner {
                chunk: OpenChunk::new(plan),
                slabs: Vec::new(),
                slab_bytes,
            }
        }

        fn push(&mut self, value: f64) {
            let last = self.slabs.last_mut().map_or(&mut [][..], |s| &mut s[..]);
            if let Some(spill) = self.chunk.push(last, value) {
                let mut slab = vec![0xa5; self.slab_bytes];
                self.chunk.push_spilled(&mut slab, spill);
                self.slabs.push(slab);
            }
        }

        fn decode(&self, n: usize) -> Vec<f64> {
            let mut out = Vec::new();
            let slabs = self.slabs.iter().map(|s| &s[..]);
            decode(self.chunk.plan(), n, slabs, &mut Vec::new(), &mut out).unwrap();
            out
        }
    }

    fn plans() -> impl Strategy<Value = Plan> {
        prop_oneof![(0u8..=18).prop_map(Plan::Decimal), Just(Plan::Xor)]
    }

    #[test]
    fn the_state_of_a_series_is_16_bytes() {
        assert_eq!(size_of::<OpenChunk>(), 16);
    }

    #[test]
    fn a_constant_series_takes_a_quarter_byte_per_sample() {
        let mut owner = Owner::new(Plan::Decimal(2), 32);
        for _ in 0..240 {
            owner.push(12.25);
        }
        // 31 usable bytes each: two for the first value, then only codes.
        assert_eq!(owner.slabs.len(), 2);
        assert_eq!(owner.decode(240), [12.25; 240]);
    }

    #[test]
    fn plans_follow_the_values() {
        let cents: Vec<f64> = (0..120).map(|i| f64::from(i * 37 % 1000) / 100.0).collect();
        assert_eq!(plan_for(&cents, None), Plan::Decimal(2));
        assert_eq!(
            plan_for(&[5.0; 100], Some(Plan::Decimal(3))),
            Plan::Decimal(0)
        );
        let roots: Vec<f64> = (2..120).map(|i| f64::from(i).sqrt().sin()).collect();
        assert_eq!(plan_for(&roots, Some(Plan::Decimal(2))), Plan::Xor);
        assert_eq!(plan_for(&[], None), Plan::Decimal(0));
    }

    #[test]
    fn a_wrong_plan_is_noticed_early() {
        let mut owner = Owner::new(Plan::Decimal(0), 32);
        for i in 0..8 {
            owner.push(f64::from(i) / 8.0);
        }
        assert!(owner.chunk.is_misplanned());
    }

    proptest! {
        #[test]
        fn round_trips_whatever_the_plan(
            values in values(400),
            plan in plans(),
            slab_bytes in MIN_SLAB_BYTES..=MAX_SLAB_BYTES,
        ) {
            let mut owner = Owner::new(plan, slab_bytes);
            for &value in &values {
                owner.push(value);
            }
            prop_assert_eq!(owner.chunk.len(), values.len());
            check_bits(&values, &owner.decode(values.len()));
            let half = values.len() / 2;
            check_bits(&values[..half], &owner.decode(half));
        }

        #[test]
        fn arbitrary_slabs_never_panic(
            slabs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=70), 0..20),
            plan in plans(),
            n in 0usize..2000,
        ) {
            let mut out = Vec::new();
            let slabs = slabs.iter().map(|s| &s[..]);
            let _ = decode(plan, n, slabs, &mut Vec::new(), &mut out);
        }
    }
}
