//! Integers of one width after the other, and integers of any width in bits.

/// Returns how many bytes numbers up to `largest` need; at least one.
pub(super) fn byte_width(largest: u64) -> usize {
    (64 - largest.leading_zeros()).div_ceil(8).max(1) as usize
}

/// Returns how many bits numbers up to `largest` need; 0 for 0.
pub(super) fn bit_width(largest: u64) -> u32 {
    64 - largest.leading_zeros()
}

/// Appends `value` in `width` bytes.
pub(super) fn write(out: &mut Vec<u8>, value: u64, width: usize) {
    out.extend_from_slice(&value.to_le_bytes()[..width]);
}

/// Reads up to eight bytes, lowest first.
#[inline]
pub(super) fn read(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*word);
    }
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Reads up to sixteen bytes, lowest first.
#[inline]
pub(super) fn read_wide(bytes: &[u8]) -> u128 {
    let mut word = [0; 16];
    let len = bytes.len().min(16);
    word[..len].copy_from_slice(&bytes[..len]);
    u128::from_le_bytes(word)
}

/// Appends bits, lowest first.
#[derive(Debug, Default)]
pub(super) struct BitPacker {
    word: u64,
    have: u32,
}

impl BitPacker {
    /// Appends the low `width` bits of `value`, which has no others; at most 32.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, value: u32, width: u32) {
        self.word |= u64::from(value) << self.have;
        self.have += width;
        while self.have >= 8 {
            out.push(self.word as u8);
            self.word >>= 8;
            self.have -= 8;
        }
    }

    /// Fills the last byte.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        if self.have > 0 {
            out.push(self.word as u8);
        }
    }
}

/// Reads `width` bits, at most 32, from bit `at` on; bits past the end are 0.
#[inline]
pub(super) fn bits(bytes: &[u8], at: usize, width: u32) -> u32 {
    let rest = bytes.get(at / 8..).unwrap_or_default();
    let word = if let Some(word) = rest.first_chunk::<8>() {
        u64::from_le_bytes(*word)
    } else {
        read(rest)
    };
    (word >> (at % 8)) as u32 & (u64::from(u32::MAX) >> (32 - width.min(32))) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_come_back(parts in prop::collection::vec((any::<u32>(), 0u32..=32), 0..60)) {
            let mut out = Vec::new();
            let mut packer = BitPacker::default();
            let cut = |value: u32, width: u32| (u64::from(value) & ((1 << width) - 1)) as u32;
            for &(value, width) in &parts {
                packer.push(&mut out, cut(value, width), width);
            }
            packer.finish(&mut out);
            prop_assert_eq!(out.len() as u32, parts.iter().map(|p| p.1).sum::<u32>().div_ceil(8));
            let mut at = 0;
            for &(value, width) in &parts {
                prop_assert_eq!(bits(&out, at, width), cut(value, width));
                at += width as usize;
            }
        }

        #[test]
        fn numbers_come_back(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            write(&mut out, value, byte_width(value));
            prop_assert_eq!(read(&out), value);
            prop_assert_eq!(read_wide(&out), u128::from(value));
            prop_assert_eq!(bit_width(value).div_ceil(8).max(1) as usize, out.len());
        }
    }
}
