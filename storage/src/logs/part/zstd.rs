//! Compressed bytes behind a mark that tells whether they are.

use super::error::Decoded;
use super::wire::{put_bytes, take_byte, take_bytes, take_slice};
use crate::codec::CodecError;

const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;

/// Most bytes that are made of `len` compressed ones: what is not there in some form is
/// not allocated, whatever a damaged file says.
fn most_inflated(len: usize) -> usize {
    (1 << 16) + (len << 10)
}

/// Compresses with one level; its memory is reused.
pub(super) struct Deflater {
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl Deflater {
    pub(super) fn new(level: i32) -> Deflater {
        let compressor = zstd::bulk::Compressor::new(level);
        Deflater {
            compressor: compressor.ok(),
        }
    }

    /// Appends bytes, in fewer of them where that works.
    pub(super) fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let compressed = match &mut self.compressor {
            Some(compressor) if bytes.len() >= 32 => compressor.compress(bytes).ok(),
            _ => None,
        };
        match compressed {
            Some(compressed)
                if compressed.len() + 4 < bytes.len()
                    && bytes.len() <= most_inflated(compressed.len()) =>
            {
                out.push(DEFLATED);
                put_bytes(out, &compressed);
            }
            _ => {
                out.push(PLAIN);
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// Decompresses; its memory is reused.
#[derive(Default)]
pub(super) struct Inflater {
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
}

impl Inflater {
    /// Takes what was `len` bytes before a [`Deflater`] appended it.
    pub(super) fn take(&mut self, bytes: &mut &[u8], len: usize) -> Decoded<Vec<u8>> {
        match take_byte(bytes)? {
            PLAIN => Ok(take_slice(bytes, len)?.to_vec()),
            DEFLATED => {
                let compressed = take_bytes(bytes)?;
                const BROKEN: CodecError = CodecError::Invalid("compressed bytes");
                if len > most_inflated(compressed.len()) {
                    return Err(BROKEN);
                }
                if self.decompressor.is_none() {
                    self.decompressor = zstd::bulk::Decompressor::new().ok();
                }
                let decompressor = self.decompressor.as_mut().ok_or(BROKEN)?;
                let inflated = decompressor
                    .decompress(compressed, len)
                    .map_err(|_| BROKEN)?;
                (inflated.len() == len).then_some(inflated).ok_or(BROKEN)
            }
            _ => Err(CodecError::Invalid("mark of compressed bytes")),
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inflater")
    }
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deflater")
    }
}
