//! How bodies are packed, and unpacking them.

use flate2::bufread::{DeflateDecoder, MultiGzDecoder};

use super::error::PushError;
use crate::unpack::{Reserve, UnpackError, read_all};

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`, without the header of zlib.
    Deflate,
    /// `snappy`, one block.
    Snappy,
    /// `zstd`.
    Zstd,
    /// `lz4`, frames.
    Lz4,
}

impl Encoding {
    /// Returns the encoding that a Content-Encoding names.
    ///
    /// # Errors
    /// [`PushError::Encoding`].
    pub fn from_content_encoding(content_encoding: Option<&str>) -> Result<Encoding, PushError> {
        match content_encoding.unwrap_or("") {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" => Ok(Encoding::Gzip),
            "deflate" => Ok(Encoding::Deflate),
            "snappy" => Ok(Encoding::Snappy),
            "zstd" => Ok(Encoding::Zstd),
            "lz4" => Ok(Encoding::Lz4),
            other => Err(PushError::Encoding(other.to_owned())),
        }
    }
}

/// How far back zstd may look, as a power of two: what the format recommends that every
/// reader can do.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Unpacks a body to at most `limit_bytes`.
///
/// # Errors
/// It is not packed as it should be, unpacks to more, or there is no memory for it.
pub(super) fn unpack(
    body: &[u8],
    encoding: Encoding,
    limit_bytes: usize,
    reserve: Reserve<'_>,
) -> Result<Vec<u8>, PushError> {
    let unpacked = match encoding {
        Encoding::Identity => return Ok(body.to_vec()),
        Encoding::Snappy => {
            let mut unpacked = Vec::new();
            let len = unsnap(body, limit_bytes, reserve, &mut unpacked)?;
            unpacked.truncate(len);
            return Ok(unpacked);
        }
        Encoding::Gzip => {
            // Its head has ten bytes.
            match body.len() {
                0 => return Err(PushError::Packed("EOF".to_owned())),
                1..10 => return Err(PushError::Packed("unexpected EOF".to_owned())),
                _ => {}
            }
            if !body.starts_with(&[0x1f, 0x8b]) {
                return Err(PushError::Packed("gzip: invalid header".to_owned()));
            }
            read_all(&mut MultiGzDecoder::new(body), limit_bytes, reserve)
        }
        Encoding::Deflate if body.is_empty() => {
            return Err(PushError::Packed("EOF".to_owned()));
        }
        Encoding::Deflate => read_all(&mut DeflateDecoder::new(body), limit_bytes, reserve),
        Encoding::Lz4 => {
            let mut decoder = lz4_flex::frame::FrameDecoder::new(body);
            read_all(&mut decoder, limit_bytes, reserve)
        }
        Encoding::Zstd => {
            let broken = |error: std::io::Error| PushError::Packed(error.to_string());
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
            if !reserve(1 << ZSTD_WINDOW_LOG) {
                return Err(PushError::Busy);
            }
            read_all(&mut decoder, limit_bytes, reserve)
        }
    };
    unpacked.map_err(|error| match error {
        UnpackError::Broken(text) => PushError::Packed(text),
        UnpackError::TooLarge => too_large(limit_bytes + 1, limit_bytes),
        UnpackError::Busy => PushError::Busy,
    })
}

/// Unpacks a block of snappy to the start of `into`, which grows where it is shorter;
/// returns how many bytes that are.
///
/// # Errors
/// As [`unpack`].
pub(super) fn unsnap(
    body: &[u8],
    limit_bytes: usize,
    reserve: Reserve<'_>,
    into: &mut Vec<u8>,
) -> Result<usize, PushError> {
    let corrupt = |_| PushError::Packed("snappy: corrupt input".to_owned());
    let len = snap::raw::decompress_len(body).map_err(corrupt)?;
    if len > limit_bytes {
        return Err(too_large(len, limit_bytes));
    }
    // No block says more than 64 bytes in three: one that announces more is broken, and
    // the memory need not be taken to see it.
    if len / 64 > body.len() {
        return Err(PushError::Packed("snappy: corrupt input".to_owned()));
    }
    if !reserve(len) {
        return Err(PushError::Busy);
    }
    if into.len() < len {
        into.resize(len, 0);
    }
    snap::raw::Decoder::new()
        .decompress(body, &mut into[..len])
        .map_err(corrupt)
}

fn too_large(found: usize, limit: usize) -> PushError {
    PushError::TooLarge {
        what: "decompressed message",
        found,
        limit,
    }
}
