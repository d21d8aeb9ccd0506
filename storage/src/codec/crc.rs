//! Checksums: CRC-32 with the IEEE polynomial, as in zlib, for our own formats;
//! CRC-32C (Castagnoli) for Prometheus'.

/// Returns the checksum of the concatenation of `parts`.
pub fn ieee(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Returns the Castagnoli checksum of the concatenation of `parts`.
pub fn castagnoli(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |sum, part| castagnoli_on(sum, part))
}

/// Returns the Castagnoli checksum of what has the checksum `sum`, with `part` behind.
pub fn castagnoli_on(sum: u32, part: &[u8]) -> u32 {
    crc32c::crc32c_append(sum, part)
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_the_published_check_value() {
        assert_eq!(super::ieee(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(super::ieee(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
        assert_eq!(super::castagnoli(&[b"123456789"]), 0xe306_9283);
        assert_eq!(super::castagnoli(&[b"1234", b"", b"56789"]), 0xe306_9283);
    }
}
