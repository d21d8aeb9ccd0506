//! Single bits in and out of bytes, most significant first.

use super::CodecError;

/// Appends bits to a byte vector; the last byte is padded with zeroes.
#[derive(Debug)]
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Free bits in the last byte of `out`.
    free: u32,
}

impl<'a> BitWriter<'a> {
    /// Starts at the next whole byte of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> BitWriter<'a> {
        BitWriter { out, free: 0 }
    }

    /// Appends the low `count` bits of `value`; `count` is at most 64.
    #[inline]
    pub fn write(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.out.push(0);
                self.free = 8;
            }
            let take = left.min(self.free);
            let part = (value >> (left - take)) & low_mask(take);
            self.free -= take;
            if let Some(last) = self.out.last_mut() {
                *last |= (part << self.free) as u8;
            }
            left -= take;
        }
    }
}

/// Takes bits from the front of a byte slice.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    rest: &'a [u8],
    /// The next bits, left-aligned.
    word: u64,
    /// How many bits of `word` are valid.
    have: u32,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader {
            rest: bytes,
            word: 0,
            have: 0,
        }
    }

    #[inline]
    fn refill(&mut self) {
        if let Some((chunk, _)) = self.rest.split_first_chunk::<8>() {
            // Takes as many whole bytes as fit behind the valid bits.
            self.word |= u64::from_be_bytes(*chunk) >> self.have;
            let bytes = (63 - self.have) / 8;
            self.rest = &self.rest[bytes as usize..];
            self.have += 8 * bytes;
            // The bits past `have` are those of `rest` again; they are cleared so that
            // the next refill can be or-ed in.
            self.word &= !(u64::MAX >> self.have);
        } else {
            while self.have <= 56
                && let Some((&byte, rest)) = self.rest.split_first()
            {
                self.word |= u64::from(byte) << (56 - self.have);
                self.have += 8;
                self.rest = rest;
            }
        }
    }

    /// Returns the next bits, left-aligned, at least `count` of them (at most 56) where
    /// there are so many; zeroes follow the last one.
    #[inline]
    pub fn peek(&mut self, count: u32) -> u64 {
        if self.have < count {
            self.refill();
        }
        self.word
    }

    /// Passes over `count` bits that were looked at.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] when there are fewer.
    #[inline]
    pub fn skip(&mut self, count: u32) -> Result<(), CodecError> {
        if self.have < count {
            return Err(CodecError::Truncated("bits"));
        }
        self.word <<= count;
        self.have -= count;
        Ok(())
    }

    /// Takes `count` bits, at most 64, as the low bits of the result.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] when there are fewer.
    #[inline]
    pub fn read(&mut self, count: u32) -> Result<u64, CodecError> {
        /// A refill leaves so many bits.
        const AT_ONCE: u32 = 56;
        if count > AT_ONCE {
            let high = self.read_short(count - 32)?;
            return Ok(high << 32 | self.read_short(32)?);
        }
        self.read_short(count)
    }

    #[inline]
    fn read_short(&mut self, count: u32) -> Result<u64, CodecError> {
        let word = self.peek(count);
        self.skip(count)?;
        // In two steps, because `count` may be 0.
        Ok(word >> 1 >> (63 - count))
    }
}

/// Returns a mask of the low `count` bits; `count` is at most 64.
#[inline]
pub fn low_mask(count: u32) -> u64 {
    if count == 0 {
        0
    } else {
        u64::MAX >> (64 - count)
    }
}

/// Returns how many bits `value` needs; 0 for 0.
#[inline]
pub fn width(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Returns how many bytes `value` takes as a varint.
#[inline]
pub fn varint_len(value: u64) -> usize {
    width(value).div_ceil(7).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bits_are_written_most_significant_first() {
        let mut out = Vec::new();
        let mut bits = BitWriter::new(&mut out);
        bits.write(1, 1);
        bits.write(0, 2);
        bits.write(0b11, 2);
        bits.write(0x1ff, 9);
        assert_eq!(out, [0b1001_1111, 0b1111_1100]);
    }

    proptest! {
        #[test]
        fn round_trips(parts in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut out = Vec::new();
            let mut bits = BitWriter::new(&mut out);
            for &(value, count) in &parts {
                bits.write(value, count);
            }
            let total: u32 = parts.iter().map(|p| p.1).sum();
            prop_assert_eq!(out.len(), total.div_ceil(8) as usize);
            let mut reader = BitReader::new(&out);
            for &(value, count) in &parts {
                prop_assert_eq!(reader.read(count), Ok(value & low_mask(count)));
            }
            prop_assert!(reader.read(8).is_err());
        }
    }
}
