//! Fields off the front of a file's bytes, and where the first bad one stands.

use std::path::Path;

use super::{PrometheusBlockError, Result};
use crate::codec::varint;
use crate::codec::{CodecError, crc};

/// Bytes of the checksum behind a section.
const SUM_BYTES: usize = 4;

/// Takes fields from a part of a file; every error names the file and the offset.
#[derive(Debug, Clone)]
pub(super) struct Scan<'a> {
    path: &'a Path,
    /// The file up to the end of the part.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// Starts at `offset` of a file.
    pub(super) fn at(path: &'a Path, file: &'a [u8], offset: u64) -> Result<Scan<'a>> {
        let scan = Scan {
            path,
            bytes: file,
            at: 0,
        };
        match usize::try_from(offset) {
            Ok(at) if at <= file.len() => Ok(Scan { at, ..scan }),
            _ => Err(PrometheusBlockError::corrupt(
                path,
                file.len() as u64,
                format!("the file ends here, a section should start at byte {offset}"),
            )),
        }
    }

    /// Starts in the section at `offset`: a length of four bytes, the content that is
    /// scanned, and its checksum, which is verified.
    pub(super) fn section(
        path: &'a Path,
        file: &'a [u8],
        offset: u64,
        what: &str,
    ) -> Result<Scan<'a>> {
        let mut scan = Scan::at(path, file, offset)?;
        let len = scan.be32(what)? as usize;
        scan.checked(len, true, what)
    }

    /// Takes `len` bytes of content and the checksum behind it, and starts in the
    /// content. The checksum is verified when `verify` is set.
    pub(super) fn checked(&mut self, len: usize, verify: bool, what: &str) -> Result<Scan<'a>> {
        let start = self.at;
        let content = self.take(len, what)?;
        let sum = self.be32(what)?;
        if verify && crc::castagnoli(&[content]) != sum {
            self.at = start;
            return Err(self.error(format!("the checksum of {what} is wrong")));
        }
        Ok(Scan {
            path: self.path,
            bytes: &self.bytes[..start + len],
            at: start,
        })
    }

    /// Returns the offset in the file.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Tells whether the part ends here.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Returns an error at this place.
    pub(super) fn error(&self, detail: impl Into<String>) -> PrometheusBlockError {
        PrometheusBlockError::corrupt(self.path, self.at as u64, detail)
    }

    /// Takes `len` bytes.
    pub(super) fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or_else(|| {
            self.error(format!(
                "{what} is cut short: {len} bytes expected, {} left",
                rest.len()
            ))
        })?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let taken = self.take(N, what)?;
        taken
            .try_into()
            .map_err(|_| self.error(format!("{what} is cut short")))
    }

    pub(super) fn byte(&mut self, what: &str) -> Result<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn be32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn be64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(super) fn uvarint(&mut self, what: &str) -> Result<u64> {
        self.varint_with(varint::read_u64, what)
    }

    pub(super) fn varint(&mut self, what: &str) -> Result<i64> {
        self.varint_with(varint::read_i64, what)
    }

    /// Takes a length or count that is not larger than the bytes that are left, since
    /// each of what it counts takes a byte at least.
    pub(super) fn count(&mut self, what: &str) -> Result<usize> {
        let start = self.at;
        let count = self.uvarint(what)?;
        let left = self.bytes.len() - self.at;
        match usize::try_from(count) {
            Ok(count) if count <= left => Ok(count),
            _ => {
                self.at = start;
                Err(self.error(format!("{what} is {count}, but only {left} bytes are left")))
            }
        }
    }

    fn varint_with<T>(
        &mut self,
        read: impl FnOnce(&mut &'a [u8]) -> std::result::Result<T, CodecError>,
        what: &str,
    ) -> Result<T> {
        let mut rest = &self.bytes[self.at..];
        let before = rest.len();
        let value = read(&mut rest)
            .map_err(|error| self.error(format!("{what} cannot be read: {error}")))?;
        self.at += before - rest.len();
        Ok(value)
    }
}

/// Returns how many bytes [`Scan::checked`] takes for `len` bytes of content.
pub(super) fn checked_len(len: u64) -> u64 {
    len.saturating_add(SUM_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_the_place_and_the_field() {
        let path = Path::new("block/index");
        let mut scan = Scan::at(path, &[0, 0, 0, 9, 0xff], 3).unwrap();
        assert_eq!(scan.byte("count").unwrap(), 9);
        let error = scan.uvarint("length").unwrap_err().to_string();
        assert!(
            error.starts_with("block/index is damaged at byte 4: length cannot be read"),
            "{error}"
        );
        assert!(Scan::at(path, &[0], 2).is_err());
    }

    #[test]
    fn a_section_ends_where_it_says_and_is_verified() {
        let path = Path::new("index");
        let mut file = b"..\0\0\0\x03abc".to_vec();
        file.extend(crc::castagnoli(&[b"abc"]).to_be_bytes());
        file.extend(b"more");
        let mut scan = Scan::section(path, &file, 2, "table").unwrap();
        assert_eq!(scan.take(3, "text").unwrap(), b"abc");
        assert!(scan.is_at_end() && scan.byte("more").is_err());
        file[7] ^= 1;
        let error = Scan::section(path, &file, 2, "table").unwrap_err();
        assert!(error.to_string().contains("at byte 6"), "{error}");
        assert_eq!(checked_len(3), 7);
    }
}
