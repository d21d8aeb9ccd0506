//! Integers and doubles in pages of up to 1,024, by the crate `pco`.
//!
//! ```text
//! column = length varint, of all pages but the last | metadata | pages
//! ```
//!
//! Metadata and pages are those of pco's wrapped format, version 4.1; the two bytes
//! that say so are not repeated in each column. A page is read with the metadata and
//! nothing else. How many values it has follows from their number: pages are equal but
//! for the last, and whole batches of 256.
//!
//! pco finds the distribution of the values and codes each with near to its entropy; a
//! table for that is built for each column that is read. It pays for long chunks and
//! for doubles that are no decimals.
//!
//! This module is also the guard in front of that crate. Of its modes and delta codes
//! only those are let through that need no more memory than the tables, at most some
//! hundred KiB: a dictionary or a window of look-backs is sized by bytes read.

use std::ops::Range;

use pco::data_types::Number;
use pco::errors::PcoError;
use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DecompressorScratch, DeltaSpec, FULL_BATCH_N, ModeSpec, PagingSpec};

use super::bits::varint_len;
use super::{CodecError, varint};

/// Most values of a page.
pub const MAX_PAGE_LEN: usize = 1024;

/// The version of the format that is written and read.
const PCO_VERSION: [u8; 2] = [4, 1];

const SHORT: CodecError = CodecError::Truncated("pages");
const INVALID: CodecError = CodecError::Invalid("a column of pages");

/// What is known of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The values themselves are to be coded.
    Plain,
    /// The differences of neighbours are.
    Differences,
}

/// Buffers that a reader keeps between columns.
#[derive(Debug, Default)]
pub struct Scratch {
    pco: DecompressorScratch,
    lens: Vec<usize>,
    shorts: Vec<u16>,
    longs: Vec<u32>,
}

/// Returns how many values the pages of a column of `n` have; the last may have fewer.
pub fn page_len(n: usize) -> usize {
    let n_pages = n.div_ceil(MAX_PAGE_LEN).max(1);
    n.div_ceil(n_pages).next_multiple_of(FULL_BATCH_N)
}

fn encode<T: Number>(values: &[T], config: ChunkConfig) -> Result<Vec<u8>, PcoError> {
    let sizes = values.chunks(page_len(values.len())).map(<[T]>::len);
    let config = config.with_paging_spec(PagingSpec::Exact(sizes.collect()));
    let mut column = FileCompressor::default().chunk_compressor(values, &config)?;
    let mut body = column.write_meta(Vec::new())?;
    let mut lens = Vec::new();
    for page in 0..column.n_per_page().len() {
        let start = body.len();
        body = column.write_page(page, body)?;
        lens.push((body.len() - start) as u64);
    }
    lens.pop();
    let head = lens.iter().map(|&len| varint_len(len)).sum::<usize>();
    let mut bytes = Vec::with_capacity(head + body.len());
    lens.iter()
        .for_each(|&len| varint::write_u64(&mut bytes, len));
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Returns a column of integers in the given number of bytes each, 2, 4 or 8; or `None`
/// where the crate refuses.
pub fn encode_words(words: &[u64], word_bytes: u8) -> Option<Vec<u8>> {
    // Differences were taken and divisors found before. Of the levels this is the one
    // beyond which a third more time gives a thousandth.
    let config = ChunkConfig::default()
        .with_compression_level(6)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(DeltaSpec::NoOp);
    let column = match word_bytes {
        2 => encode(&words.iter().map(|&w| w as u16).collect::<Vec<_>>(), config),
        4 => encode(&words.iter().map(|&w| w as u32).collect::<Vec<_>>(), config),
        _ => encode(words, config),
    };
    column.ok()
}

/// Returns a column of finite doubles, exact to the bit; or `None` where the crate
/// refuses. With `thorough`, multiples of a common base with rounding errors are looked
/// for, too, which takes three times as long.
pub fn encode_doubles(values: &[f64], shape: Shape, thorough: bool) -> Option<Vec<u8>> {
    let (level, mode) = if thorough {
        (8, ModeSpec::Auto)
    } else {
        (6, ModeSpec::Classic)
    };
    let config = |mode| {
        ChunkConfig::default()
            .with_compression_level(level)
            .with_mode_spec(mode)
            .with_delta_spec(match shape {
                Shape::Plain => DeltaSpec::NoOp,
                Shape::Differences => DeltaSpec::TryConsecutive(1),
            })
    };
    let column = encode(values, config(mode)).ok()?;
    // The classic mode maps bits to bits. The others compute with floats, so what they
    // promise is put to the test.
    if !thorough || is_exact(&column, values) {
        return Some(column);
    }
    encode(values, config(ModeSpec::Classic)).ok()
}

fn is_exact(column: &[u8], values: &[f64]) -> bool {
    let mut back = Vec::new();
    let n = values.len();
    decode_doubles(column, n, 0..n, &mut Scratch::default(), &mut back).is_ok()
        && back
            .iter()
            .map(|v| v.to_bits())
            .eq(values.iter().map(|v| v.to_bits()))
}

/// Appends those of the `n` integers of a column whose positions are in `range`.
///
/// # Errors
/// [`CodecError`] when `bytes` is no such column.
pub fn decode_words(
    bytes: &[u8],
    n: usize,
    word_bytes: u8,
    range: Range<usize>,
    scratch: &mut Scratch,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    let Scratch {
        pco,
        lens,
        shorts,
        longs,
    } = scratch;
    match word_bytes {
        2 => {
            shorts.clear();
            decode(bytes, n, range, pco, lens, shorts)?;
            out.extend(shorts.iter().map(|&word| u64::from(word)));
            Ok(())
        }
        4 => {
            longs.clear();
            decode(bytes, n, range, pco, lens, longs)?;
            out.extend(longs.iter().map(|&word| u64::from(word)));
            Ok(())
        }
        8 => decode(bytes, n, range, pco, lens, out),
        _ => Err(CodecError::Invalid("width of a column of pages")),
    }
}

/// Appends those of the `n` doubles of a column whose positions are in `range`.
///
/// # Errors
/// [`CodecError`] when `bytes` is no such column.
pub fn decode_doubles(
    bytes: &[u8],
    n: usize,
    range: Range<usize>,
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    decode(bytes, n, range, &mut scratch.pco, &mut scratch.lens, out)
}

fn decode<T: Number + Default>(
    mut bytes: &[u8],
    n: usize,
    range: Range<usize>,
    scratch: &mut DecompressorScratch,
    lens: &mut Vec<usize>,
    out: &mut Vec<T>,
) -> Result<(), CodecError> {
    let end = range.end.min(n);
    if range.start >= end {
        return Ok(());
    }
    let page_len = page_len(n);
    let n_pages = n.div_ceil(page_len);
    if n_pages > bytes.len() {
        return Err(SHORT);
    }
    lens.clear();
    for _ in 1..n_pages {
        let len = varint::read_u64(&mut bytes)?;
        lens.push(usize::try_from(len).map_err(|_| SHORT)?);
    }
    check_metadata(bytes)?;
    let (file, _) = FileDecompressor::new(&PCO_VERSION[..]).map_err(|_| INVALID)?;
    let (column, mut pages): (ChunkDecompressor<T>, &[u8]) =
        file.chunk_decompressor(bytes).map_err(|_| INVALID)?;
    let first = range.start / page_len;
    for &len in lens.iter().take(first) {
        pages.split_off(..len).ok_or(SHORT)?;
    }
    let mut at = out.len();
    let start = at;
    let first_value = first * page_len;
    out.resize(
        at + (end.next_multiple_of(page_len).min(n) - first_value),
        T::default(),
    );
    for page in first..end.div_ceil(page_len) {
        let len = page_len.min(n - page * page_len);
        // What follows the page may be looked at but is not part of it.
        let mut reader = column
            .page_decompressor_with_scratch(pages, len, scratch)
            .map_err(|_| INVALID)?;
        let values = out.get_mut(at..at + len).ok_or(INVALID)?;
        reader.read(values).map_err(|_| INVALID)?;
        at += len;
        if let Some(&len) = lens.get(page) {
            pages.split_off(..len).ok_or(SHORT)?;
        }
    }
    out.truncate(start + (end - first_value));
    out.drain(start..start + (range.start - first_value));
    Ok(())
}

/// Refuses metadata that [`encode`] does not write: modes with a dictionary, delta
/// codes with a window or weights.
fn check_metadata(bytes: &[u8]) -> Result<(), CodecError> {
    let at = |i: usize| bytes.get(i).copied().ok_or(SHORT);
    // Bits go from the lowest up: four of the mode, its parameter, four of the delta.
    let delta = match at(0)? & 15 {
        0 => at(0)? >> 4,
        // A base of 64 bits; only doubles are multiplied.
        2 => at(8)? >> 4,
        // A number of bits, in eight.
        3 => at(1)? >> 4,
        _ => return Err(INVALID),
    };
    match delta {
        0 | 1 => Ok(()),
        _ => Err(INVALID),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The version is not in the bytes, so a new one needs a new number of a codec.
    #[test]
    fn the_version_of_the_format_is_the_known_one() {
        let header = FileCompressor::default().write_header(Vec::new()).unwrap();
        assert_eq!(header, PCO_VERSION);
    }

    #[test]
    fn pages_are_equal_and_of_whole_batches() {
        for (n, expected) in [
            (1, 256),
            (480, 512),
            (1024, 1024),
            (1025, 768),
            (5760, 1024),
            (8192, 1024),
        ] {
            assert_eq!(page_len(n), expected, "{n}");
        }
    }

    #[test]
    fn dictionaries_and_windows_are_refused() {
        let values: Vec<f64> = (0..600).map(|i| f64::from(i % 7) * 0.1).collect();
        let config = ChunkConfig::default().with_mode_spec(ModeSpec::TryDict);
        let dictionary = encode(&values, config).unwrap();
        let config = ChunkConfig::default()
            .with_mode_spec(ModeSpec::Classic)
            .with_delta_spec(DeltaSpec::TryLookback);
        let window = encode(&values, config).unwrap();
        for column in [dictionary, window] {
            let mut out = Vec::new();
            let found = decode_doubles(&column, 600, 0..600, &mut Scratch::default(), &mut out);
            assert_eq!(found, Err(INVALID));
        }
    }

    fn doubles() -> impl Strategy<Value = Vec<f64>> {
        let n = 1..2200usize;
        prop_oneof![
            prop::collection::vec(any::<u64>().prop_map(f64::from_bits), n.clone()),
            // Sums of decimals, with their rounding errors.
            prop::collection::vec(0u8..30, n.clone()).prop_map(|steps| {
                let add = |total: &mut f64, step: u8| {
                    *total += f64::from(step) * 0.1;
                    Some(*total)
                };
                steps.into_iter().scan(0.0, add).collect()
            }),
            // Singles widened to doubles.
            prop::collection::vec(any::<f32>().prop_map(f64::from), n),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_bit_pattern_comes_back(
            values in doubles(),
            thorough: bool,
            differences: bool,
            ends: (prop::sample::Index, prop::sample::Index),
        ) {
            let shape = if differences { Shape::Differences } else { Shape::Plain };
            let n = values.len();
            let column = encode_doubles(&values, shape, thorough).unwrap();
            let mut scratch = Scratch::default();
            let [a, b] = [ends.0, ends.1].map(|end| end.index(n + 1));
            for range in [0..n, a.min(b)..a.max(b)] {
                let mut out = vec![1.0];
                decode_doubles(&column, n, range.clone(), &mut scratch, &mut out).unwrap();
                let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&out[1..]), bits(&values[range]));
            }
        }

        #[test]
        fn words_of_every_width_come_back(
            words in prop::collection::vec((any::<u64>(), 0u32..64), 1..2200),
            word_bytes in prop::sample::select(vec![2u8, 4, 8]),
            ends: (prop::sample::Index, prop::sample::Index),
        ) {
            let mask = u64::MAX >> (64 - 8 * u32::from(word_bytes));
            let words: Vec<u64> = words.iter().map(|(w, shift)| w >> shift & mask).collect();
            let n = words.len();
            let column = encode_words(&words, word_bytes).unwrap();
            let mut scratch = Scratch::default();
            let [a, b] = [ends.0, ends.1].map(|end| end.index(n + 1));
            for range in [0..n, a.min(b)..a.max(b)] {
                let mut out = vec![1];
                decode_words(&column, n, word_bytes, range.clone(), &mut scratch, &mut out)
                    .unwrap();
                prop_assert_eq!(&out[1..], &words[range]);
            }
        }

        #[test]
        fn damaged_columns_never_panic(
            values in doubles(),
            at: prop::sample::Index,
            bits: u8,
            word_bytes in prop::sample::select(vec![2u8, 4, 8]),
        ) {
            let mut column = encode_doubles(&values, Shape::Differences, true).unwrap();
            let at = at.index(column.len().min(64));
            column[at] ^= bits;
            let n = values.len();
            let (mut scratch, mut out) = (Scratch::default(), Vec::new());
            let _ = decode_doubles(&column, n, 0..n, &mut scratch, &mut out);
            let _ = decode_words(&column, n, word_bytes, 0..n, &mut scratch, &mut Vec::new());
            column.truncate(at);
            let _ = decode_doubles(&column, n, 0..n, &mut scratch, &mut out);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            n in 0usize..3000,
            word_bytes in prop::sample::select(vec![2u8, 4, 8]),
        ) {
            let (mut scratch, mut out) = (Scratch::default(), Vec::new());
            let _ = decode_doubles(&bytes, n, 0..n, &mut scratch, &mut out);
            prop_assert!(out.len() <= n);
            let _ = decode_words(&bytes, n, word_bytes, 0..n, &mut scratch, &mut Vec::new());
        }
    }
}
