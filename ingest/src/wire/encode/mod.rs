//! Requests of remote write, written: what the views of the neighbours read.
//!
//! A message is put together series by series into one buffer that is used again. Labels
//! come as symbols, numbers of texts that the caller keeps for as long as it lives: 1.0
//! writes the texts, 2.0 numbers them anew in each request. What is written is what
//! Prometheus writes: fields in ascending order, values of zero left out, runs packed.

mod age;
mod histogram;
mod v1;
mod v2;

pub use age::{Counts, Version, drop_old};
pub use histogram::put as put_histogram;
pub use v1::WriteRequestBuilder;
pub use v2::RequestBuilder;

use kymo_storage::model::{Exemplar, MetricMetadata};

use super::writer::{put_bytes, put_double, put_number, put_varint, varint_len};

/// The field of samples, which both versions have.
const SAMPLE_TAG: u8 = 0x12;

/// Texts by number.
pub trait Symbols {
    /// Returns the text of a symbol; empty where there is none.
    fn text(&self, symbol: u32) -> &str;
}

/// Packs a request as the protocol wants it: one block of Snappy.
pub struct Packer(snap::raw::Encoder);

impl Default for Packer {
    fn default() -> Packer {
        Packer(snap::raw::Encoder::new())
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    /// Returns the packed bytes.
    ///
    /// # Errors
    /// There are more than 4 GiB.
    pub fn pack(&mut self, bytes: &[u8]) -> Result<Vec<u8>, snap::Error> {
        self.0.compress_vec(bytes)
    }
}

/// Undoes [`Packer::pack`]; what would be longer than `limit` is refused before memory is
/// taken.
///
/// # Errors
/// The bytes are none that were packed, or too many.
pub fn unpack(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let len = snap::raw::decompress_len(bytes).map_err(|error| error.to_string())?;
    if len > limit {
        return Err(format!("{len} bytes, more than {limit}"));
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(bytes);
    unpacked.map_err(|error| error.to_string())
}

/// Appends a text that is not empty.
fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, field, text.as_bytes());
    }
}

/// Appends a sample: its length is known from its parts.
#[inline]
fn put_sample(out: &mut Vec<u8>, t_ms: i64, value: f64) {
    let has_value = value.to_bits() != 0;
    let t = t_ms.cast_unsigned();
    let time_len = if t == 0 { 0 } else { 1 + varint_len(t) };
    out.push(SAMPLE_TAG);
    // A tag, eight bytes, a tag, at most ten bytes.
    out.push((if has_value { 9 } else { 0 } + time_len) as u8);
    put_double(out, 1, value);
    put_number(out, 2, t);
}

#[cfg(test)]
mod tests;
