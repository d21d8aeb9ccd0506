//! The values of a column in one page, decoded.

use std::ops::Range;

use super::error::Decoded;
use super::moment::Layout;
use super::number::{self, Spelling};
use super::pattern::Pattern;
use super::texts::Texts;
use super::wire::{put, put_bytes, take, take_byte, take_bytes, take_slice};
use super::zstd::Inflater;
use crate::codec::{CodecError, packed, varint};

/// How the values of a page are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Numbers of texts in the dictionary of the column.
    Codes,
    /// Numbers in one spelling.
    Numbers,
    /// Times near those of the entries.
    Moments,
    /// Bytes written as two digits each.
    Hex,
    /// Sixteen bytes written as a UUID.
    Uuid,
    /// Texts that differ in digits.
    Patterns,
    /// Texts one after the other, compressed.
    Texts,
}

impl Encoding {
    pub(super) fn decode(byte: u8) -> Decoded<Encoding> {
        Ok(match byte {
            0 => Encoding::Codes,
            1 => Encoding::Numbers,
            2 => Encoding::Moments,
            3 => Encoding::Hex,
            4 => Encoding::Uuid,
            5 => Encoding::Patterns,
            6 => Encoding::Texts,
            _ => return Err(CodecError::Invalid("encoding of a page")),
        })
    }
}

/// Most bytes of the texts of a page.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 28;

/// Decoded values of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Numbers of texts in the dictionary of the column.
    Codes(Vec<u64>),
    /// Numbers, as integers of the unit that the spelling says.
    Numbers {
        /// The integers.
        numbers: Vec<i64>,
        /// How they are written.
        spelling: Spelling,
    },
    /// How far times are in front of those of their entries.
    Moments {
        /// In units of the layout.
        distances: Vec<i64>,
        /// How they are written.
        layout: Layout,
    },
    /// Bytes written as two digits each, behind a common text.
    Hex {
        /// The text in front.
        prefix: Vec<u8>,
        /// Bytes of each value.
        width: usize,
        /// The bytes of all.
        bytes: Vec<u8>,
    },
    /// Sixteen bytes each.
    Uuid(Vec<u8>),
    /// Texts that differ in digits.
    Patterns(Pattern),
    /// Texts as they are.
    Texts(Texts),
}

impl Values {
    /// Reads the `n` values of a page; `base` is the least of its codes or numbers.
    pub(super) fn decode(
        encoding: Encoding,
        base: i64,
        n: usize,
        bytes: &[u8],
        inflater: &mut Inflater,
    ) -> Decoded<Values> {
        let rest = &mut &bytes[..];
        Ok(match encoding {
            Encoding::Codes => {
                let mut codes = Vec::new();
                packed::unpack(rest, n, &mut codes)?;
                let base = base.cast_unsigned();
                if base > 0 {
                    codes
                        .iter_mut()
                        .for_each(|code| *code = code.wrapping_add(base));
                }
                Values::Codes(codes)
            }
            Encoding::Numbers => {
                let spelling = Spelling {
                    scale: take_byte(rest)?,
                    least: take_byte(rest)?,
                };
                if spelling.scale > number::MAX_SCALE || spelling.least > spelling.scale {
                    return Err(CodecError::Invalid("spelling of numbers"));
                }
                let numbers = above(rest, n, base)?;
                Values::Numbers { numbers, spelling }
            }
            Encoding::Moments => {
                let layout = take_slice(rest, 5)?.first_chunk().copied();
                let layout = layout.and_then(Layout::decode);
                let layout = layout.ok_or(CodecError::Invalid("layout of times"))?;
                let distances = above(rest, n, base)?;
                Values::Moments { distances, layout }
            }
            Encoding::Hex => {
                let prefix = take_bytes(rest)?.to_vec();
                let width = take(rest, bytes.len())?;
                let len = n.checked_mul(width);
                let len = len.ok_or(CodecError::Invalid("width of hexadecimal digits"))?;
                let bytes = take_slice(rest, len)?.to_vec();
                Values::Hex {
                    prefix,
                    width,
                    bytes,
                }
            }
            Encoding::Uuid => Values::Uuid(take_slice(rest, n.saturating_mul(16))?.to_vec()),
            Encoding::Patterns => Values::Patterns(Pattern::decode(rest, n)?),
            Encoding::Texts => Values::Texts(decode_texts(rest, n, inflater)?),
        })
    }

    /// Appends a value as it was written; `dictionary` is that of the column, `t_ns` the
    /// time of the entry. One that is not there is empty.
    #[inline]
    pub fn write(&self, index: usize, dictionary: &Texts, t_ns: i64, out: &mut Vec<u8>) {
        match self {
            Values::Codes(codes) => {
                let code = codes.get(index).copied().unwrap_or(u64::MAX);
                out.extend_from_slice(dictionary.get(usize::try_from(code).unwrap_or(usize::MAX)));
            }
            Values::Numbers { numbers, spelling } => {
                if let Some(&number) = numbers.get(index) {
                    number::write(number, *spelling, out);
                }
            }
            Values::Moments { distances, layout } => {
                if let Some(&distance) = distances.get(index) {
                    layout.write(t_ns, distance, out);
                }
            }
            Values::Hex {
                prefix,
                width,
                bytes,
            } => {
                out.extend_from_slice(prefix);
                if let Some(bytes) = bytes.get(places(index, *width)) {
                    write_hex(bytes, out);
                }
            }
            Values::Uuid(bytes) => {
                if let Some(bytes) = bytes.get(places(index, 16)) {
                    for (i, part) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
                        if i > 0 {
                            out.push(b'-');
                        }
                        write_hex(&bytes[part], out);
                    }
                }
            }
            Values::Patterns(pattern) => pattern.write(index, out),
            Values::Texts(texts) => out.extend_from_slice(texts.get(index)),
        }
    }
}

impl Values {
    /// Calls `each` with the values, as numbers, and how many bytes [`Values::write`] would
    /// append for them; `t_ns` tells the times of their entries.
    pub fn each_len(
        &self,
        dictionary: &Texts,
        mut each: impl FnMut(usize, usize),
        t_ns: impl Fn(usize) -> i64,
    ) {
        let mut text = Vec::new();
        match self {
            Values::Codes(codes) => {
                let lens: Vec<usize> = dictionary.iter().map(<[u8]>::len).collect();
                for (index, &code) in codes.iter().enumerate() {
                    let len = usize::try_from(code).ok().and_then(|code| lens.get(code));
                    each(index, len.copied().unwrap_or(0));
                }
            }
            Values::Hex {
                prefix,
                width,
                bytes,
            } => {
                let n = bytes.len().checked_div(*width).unwrap_or(0);
                (0..n).for_each(|index| each(index, prefix.len() + 2 * width));
            }
            Values::Uuid(bytes) => (0..bytes.len() / 16).for_each(|index| each(index, 36)),
            Values::Texts(texts) => {
                (0..texts.len()).for_each(|index| each(index, texts.get(index).len()));
            }
            Values::Numbers { numbers, spelling } => {
                for (index, &number) in numbers.iter().enumerate() {
                    each(index, number::len(number, *spelling));
                }
            }
            Values::Patterns(pattern) => pattern.each_len(each),
            Values::Moments { distances, layout } => {
                for (index, &distance) in distances.iter().enumerate() {
                    let len = layout.len().unwrap_or_else(|| {
                        text.clear();
                        layout.write(t_ns(index), distance, &mut text);
                        text.len()
                    });
                    each(index, len);
                }
            }
        }
    }
}

/// Returns where a value of a width is; one that is not there is nowhere.
fn places(index: usize, width: usize) -> Range<usize> {
    let start = index.saturating_mul(width);
    start..start.saturating_add(width)
}

/// Reads packed numbers above a least one.
fn above(bytes: &mut &[u8], n: usize, base: i64) -> Decoded<Vec<i64>> {
    let mut values = Vec::new();
    packed::unpack(bytes, n, &mut values)?;
    let numbers = values
        .into_iter()
        .map(|value| base.wrapping_add(value.cast_signed()));
    Ok(numbers.collect())
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Reads lower-case digits; false where there are others.
pub(super) fn read_hex(text: &[u8], out: &mut Vec<u8>) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    for &[high, low] in pairs {
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return false;
        };
        out.push(high << 4 | low);
    }
    rest.is_empty()
}

/// Appends texts: lengths, then the bytes, compressed where that is shorter.
pub(super) fn encode_texts<'a>(
    texts: impl Iterator<Item = &'a [u8]>,
    deflate: &mut super::zstd::Deflater,
    out: &mut Vec<u8>,
) {
    let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
    for text in texts {
        lengths.push(text.len() as u64);
        bytes.extend_from_slice(text);
    }
    let least = lengths.iter().copied().min().unwrap_or(0);
    varint::write_u64(out, least);
    lengths.iter_mut().for_each(|len| *len -= least);
    let mut packed_lengths = Vec::new();
    packed::pack(&lengths, &mut packed_lengths);
    put_bytes(out, &packed_lengths);
    put(out, bytes.len());
    deflate.append(&bytes, out);
}

/// Reads `n` texts.
pub(super) fn decode_texts(bytes: &mut &[u8], n: usize, inflater: &mut Inflater) -> Decoded<Texts> {
    let least = varint::read_u64(bytes)?;
    let mut lengths = take_bytes(bytes)?;
    let mut values = Vec::new();
    packed::unpack(&mut lengths, n, &mut values)?;
    let len = take(bytes, MAX_TEXT_BYTES)?;
    let mut texts = Texts {
        bytes: Vec::new(),
        ends: Vec::with_capacity(n),
    };
    let mut end = 0u64;
    for value in values {
        end = end.saturating_add(value).saturating_add(least);
        if end > len as u64 {
            return Err(CodecError::Invalid("length of a text"));
        }
        texts.ends.push(end as u32);
    }
    if end != len as u64 {
        return Err(CodecError::Invalid("length of a text"));
    }
    texts.bytes = inflater.take(bytes, len)?;
    Ok(texts)
}
