//! Names of blocks: 48 bits of time in milliseconds, 80 bits of chance, written as 26
//! characters that sort as the numbers do (Crockford's base 32, as Prometheus' blocks).

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LEN: usize = 26;

/// The name of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

/// A text is not the name of a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a ULID: 26 characters of Crockford's base 32, the first at most 7")]
pub struct UlidError(String);

impl Ulid {
    /// Builds a name from the time of its making, of which the low 48 bits are used,
    /// and 80 bits of chance.
    pub fn new(time_ms: u64, chance: [u8; 10]) -> Ulid {
        let mut low = [0; 16];
        low[6..].copy_from_slice(&chance);
        Ulid(u128::from(time_ms & 0xffff_ffff_ffff) << 80 | u128::from_be_bytes(low))
    }

    /// Returns the name with these bits.
    pub fn from_bits(bits: u128) -> Ulid {
        Ulid(bits)
    }

    /// Returns the bits.
    pub fn bits(self) -> u128 {
        self.0
    }

    /// Returns the time in the name, in milliseconds since the epoch.
    pub fn time_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(LEN);
        for i in (0..LEN).rev() {
            text.push(char::from(ALPHABET[(self.0 >> (5 * i)) as usize & 31]));
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Ulid {
    type Err = UlidError;

    /// Reads the canonical form only, in capitals: the name is the name of a directory.
    fn from_str(text: &str) -> Result<Ulid, UlidError> {
        let error = || UlidError(text.chars().take(LEN + 10).collect());
        if text.len() != LEN || text.as_bytes()[0] > b'7' {
            return Err(error());
        }
        let mut bits = 0u128;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|&known| known == byte);
            bits = bits << 5 | digit.ok_or_else(error)? as u128;
        }
        Ok(Ulid(bits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_written_as_others_write_it() {
        let ulid = Ulid::from_str("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        assert_eq!(ulid.time_ms(), 1_469_922_850_259);
        assert_eq!(ulid.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        for bad in [
            "",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01arz3ndektsv4rrffq69g5fav",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "01ARZ3NDEKTSV4RRFFQ69G5F€",
        ] {
            assert!(Ulid::from_str(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn texts_sort_as_numbers_and_come_back(a: u128, b: u128, chance: [u8; 10], time in 0u64..1 << 48) {
            let (a, b) = (Ulid::from_bits(a), Ulid::from_bits(b));
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(Ulid::new(time, chance).time_ms(), time);
            prop_assert_eq!(&Ulid::new(time, chance).bits().to_be_bytes()[6..], &chance);
        }
    }
}
