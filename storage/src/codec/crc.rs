//! The checksum of our own formats: CRC-32 with the IEEE polynomial, as in zlib.
//!
//! Foreign formats that want CRC-32C (Castagnoli) name it explicitly and do not use
//! this module.

/// Returns the checksum of the concatenation of `parts`.
pub fn ieee(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_the_published_check_value() {
        assert_eq!(super::ieee(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(super::ieee(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
    }
}
