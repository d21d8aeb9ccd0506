//! The values of one column in one row group, page by page.
//!
//! ```text
//! chunk = mark u8 | n pages | for each page: head | [dictionary] | bytes of the pages
//! head  = encoding u8, bit 7: has marks | n values | n bytes | least zigzag | most - least
//! ```
//!
//! A column whose values repeat has a dictionary and pages of codes; another one chooses
//! for each page what its values allow, down to compressed text.

use hashbrown::HashMap;

use super::error::Decoded;
use super::filter::FilterMaker;
use super::moment::Layout;
use super::number;
use super::pattern::Pattern;
use super::texts::Texts;
use super::values::{Encoding, Values, decode_texts, encode_texts, read_hex};
use super::wire::{put, put_bytes, take, take_byte, take_count, take_slice};
use super::zstd::{Deflater, Inflater};
use crate::codec::{CodecError, packed, varint};

const HAS_DICTIONARY: u8 = 1;
const DICTIONARY_HAS_MARKS: u8 = 2;
const PAGE_HAS_MARKS: u8 = 0x80;

/// Most texts of a dictionary.
const MAX_DICTIONARY: usize = 1 << 15;

/// Most bytes of the texts of a dictionary.
const MAX_DICTIONARY_BYTES: usize = 1 << 20;

/// Rows of a page, at most: what its arrays are bounded by.
pub(super) const MAX_PAGE_ROWS: usize = 1 << 14;

/// Encodes a column. `page_ends` are positions in `values`; `times` are those of the
/// entries. Appends to `filters` whether its pages have some, and these.
pub(super) fn encode(
    values: &[&[u8]],
    times: &[i64],
    page_ends: &[usize],
    (deflater, maker): (&mut Deflater, &mut FilterMaker),
    out: &mut Vec<u8>,
    filters: &mut Vec<u8>,
) {
    let (mut heads, mut bodies) = (Vec::new(), Vec::new());
    let mut mark = 0;
    let mut dictionary_bytes = Vec::new();
    let mut start = 0;
    if let Some((dictionary, codes)) = dictionary(values) {
        mark = HAS_DICTIONARY;
        if dictionary.iter().any(|text| has_marks(text)) {
            mark |= DICTIONARY_HAS_MARKS;
        }
        put(&mut dictionary_bytes, dictionary.len());
        encode_texts(dictionary.iter().copied(), deflater, &mut dictionary_bytes);
        maker.of_dictionary(&dictionary, dictionary_bytes.len(), filters);
        for &end in page_ends {
            let codes = &codes[start..end];
            let least = codes.iter().copied().min().unwrap_or(0);
            let most = codes.iter().copied().max().unwrap_or(0);
            let above: Vec<u64> = codes.iter().map(|code| code - least).collect();
            let at = bodies.len();
            packed::pack(&above, &mut bodies);
            let len = bodies.len() - at;
            head(
                Encoding::Codes,
                false,
                end - start,
                len,
                (least as i64, most as i64),
                &mut heads,
            );
            start = end;
        }
    } else {
        let mut pages = Vec::with_capacity(page_ends.len());
        for &end in page_ends {
            let page = &values[start..end];
            let at = bodies.len();
            let (encoding, bounds) = encode_page(page, &times[start..end], deflater, &mut bodies);
            let marks = encoding == Encoding::Texts && page.iter().any(|text| has_marks(text));
            head(
                encoding,
                marks,
                page.len(),
                bodies.len() - at,
                bounds,
                &mut heads,
            );
            pages.push((encoding, page, bodies.len() - at));
            start = end;
        }
        encode_filters(&pages, maker, filters);
    }
    out.push(mark);
    put(out, page_ends.len());
    out.extend_from_slice(&heads);
    put_bytes(out, &dictionary_bytes);
    out.extend_from_slice(&bodies);
}

/// Appends the filters of a column, of whose pages encodings, values and lengths are given.
fn encode_filters(
    pages: &[(Encoding, &[&[u8]], usize)],
    maker: &mut FilterMaker,
    filters: &mut Vec<u8>,
) {
    let mut pages_with_values = pages.iter().filter(|(_, values, _)| !values.is_empty());
    let is_of_digits = |encoding| matches!(encoding, Encoding::Hex | Encoding::Uuid);
    let mut encodings = pages_with_values.clone().map(|(encoding, ..)| *encoding);
    if encodings.all(is_of_digits) {
        let values = pages_with_values.flat_map(|(_, values, _)| values.iter().copied());
        maker.of_column(values, filters);
    } else if pages_with_values.any(|(encoding, ..)| *encoding == Encoding::Texts) {
        FilterMaker::of_pages(filters);
        for &(encoding, values, stored) in pages {
            match encoding {
                Encoding::Texts => maker.of_page(values, stored, filters),
                _ => maker.of_page(&[], 0, filters),
            }
        }
    } else {
        FilterMaker::none(filters);
    }
}

fn head(
    encoding: Encoding,
    marks: bool,
    n: usize,
    len: usize,
    bounds: (i64, i64),
    out: &mut Vec<u8>,
) {
    out.push(encoding as u8 | if marks { PAGE_HAS_MARKS } else { 0 });
    put(out, n);
    put(out, len);
    varint::write_i64(out, bounds.0);
    varint::write_u64(out, bounds.1.wrapping_sub(bounds.0).cast_unsigned());
}

/// Tells whether a value is not what a parser makes of it: it has escapes, bytes that are
/// no characters, or the mark that stands for such.
pub(super) fn has_marks(text: &[u8]) -> bool {
    let ascii = text
        .iter()
        .all(|&byte| (0x20..0x7f).contains(&byte) && byte != b'\\');
    !ascii
        && std::str::from_utf8(text).map_or(true, |text| {
            let odd = |c: char| c < ' ' || matches!(c, '\\' | '\x7f' | '\u{fffd}');
            text.contains(odd)
        })
}

/// Finds the texts of a column whose values repeat, the frequent ones first, and the code
/// of each value.
fn dictionary<'a>(values: &[&'a [u8]]) -> Option<(Vec<&'a [u8]>, Vec<u64>)> {
    let mut numbers: HashMap<&[u8], u32, foldhash::fast::FixedState> = HashMap::default();
    let mut texts: Vec<(&[u8], u32)> = Vec::new();
    let mut codes = Vec::with_capacity(values.len());
    let mut len_bytes = 0;
    for (i, &value) in values.iter().enumerate() {
        let code = *numbers.entry(value).or_insert_with(|| {
            len_bytes += value.len();
            texts.push((value, 0));
            texts.len() as u32 - 1
        });
        texts[code as usize].1 += 1;
        codes.push(u64::from(code));
        let many = texts.len() > 16 + i / 6 && i > 256;
        if many || texts.len() > MAX_DICTIONARY || len_bytes > MAX_DICTIONARY_BYTES {
            return None;
        }
    }
    if texts.len() > 1 + values.len() / 4 {
        return None;
    }
    let mut order: Vec<u32> = (0..texts.len() as u32).collect();
    order.sort_by_key(|&code| std::cmp::Reverse(texts[code as usize].1));
    let mut renamed = vec![0u64; texts.len()];
    for (new, &old) in order.iter().enumerate() {
        renamed[old as usize] = new as u64;
    }
    codes
        .iter_mut()
        .for_each(|code| *code = renamed[*code as usize]);
    let sorted = order.iter().map(|&code| texts[code as usize].0).collect();
    Some((sorted, codes))
}

fn bounds(numbers: &[i64]) -> (i64, i64) {
    let least = numbers.iter().copied().min().unwrap_or(0);
    (least, numbers.iter().copied().max().unwrap_or(0))
}

/// Appends integers above the least of them and returns the least and the most.
fn pack_above(numbers: &[i64], out: &mut Vec<u8>) -> (i64, i64) {
    let bounds = bounds(numbers);
    let above = numbers
        .iter()
        .map(|n| n.wrapping_sub(bounds.0).cast_unsigned());
    packed::pack(&above.collect::<Vec<_>>(), out);
    bounds
}

fn encode_page(
    values: &[&[u8]],
    times: &[i64],
    deflater: &mut Deflater,
    out: &mut Vec<u8>,
) -> (Encoding, (i64, i64)) {
    let Some(first) = values.first() else {
        encode_texts(std::iter::empty(), deflater, out);
        return (Encoding::Texts, (0, 0));
    };
    if let Some(layout) = Layout::guess(first, times[0]) {
        let distances = values
            .iter()
            .zip(times)
            .map(|(v, &t)| layout.distance(v, t));
        if let Some(distances) = distances.collect::<Option<Vec<i64>>>() {
            out.extend(layout.encode());
            return (Encoding::Moments, pack_above(&distances, out));
        }
    }
    let mut numbers = Vec::new();
    if let Some(spelling) = number::parse_all(values, &mut numbers) {
        out.extend([spelling.scale, spelling.least]);
        return (Encoding::Numbers, pack_above(&numbers, out));
    }
    if encode_uuids(values, out) {
        return (Encoding::Uuid, (0, 0));
    }
    if encode_hex(values, out) {
        return (Encoding::Hex, (0, 0));
    }
    if let Some(pattern) = Pattern::of(values) {
        pattern.encode(out);
        return (Encoding::Patterns, (0, pattern.most_digits() as i64));
    }
    encode_texts(values.iter().copied(), deflater, out);
    (Encoding::Texts, (0, 0))
}

fn encode_uuids(values: &[&[u8]], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let right = values.iter().all(|value| {
        let marks = [8, 13, 18, 23].iter().all(|&i| value.get(i) == Some(&b'-'));
        value.len() == 36
            && marks
            && [0..8, 9..13, 14..18, 19..23, 24..36]
                .into_iter()
                .all(|part| read_hex(&value[part], out))
    });
    if !right {
        out.truncate(start);
    }
    right
}

/// Fewest digits of a value that are worth bytes of their own.
const MIN_HEX_DIGITS: usize = 8;

fn encode_hex(values: &[&[u8]], out: &mut Vec<u8>) -> bool {
    let (first, last) = (values[0], values[values.len() - 1]);
    if values.iter().any(|value| value.len() != first.len()) {
        return false;
    }
    // What all have in front and is no digit anyway.
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = first.iter().rev().take_while(|byte| is_digit(byte)).count();
    let digits = digits.min(last.iter().rev().take_while(|byte| is_digit(byte)).count()) / 2 * 2;
    let prefix = &first[..first.len() - digits];
    if digits < MIN_HEX_DIGITS {
        return false;
    }
    let start = out.len();
    put_bytes(out, prefix);
    put(out, digits / 2);
    let right = values
        .iter()
        .all(|value| value.starts_with(prefix) && read_hex(&value[prefix.len()..], out));
    if !right {
        out.truncate(start);
    }
    right
}

/// What a page of a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHead {
    /// How its values are stored.
    pub encoding: Encoding,
    /// Whether a value may be written otherwise than a parser gives it.
    pub has_marks: bool,
    /// How many values it has.
    pub n: usize,
    /// The least code or number of the page.
    pub least: i64,
    /// The most; of a pattern the most digits of a run, 0 where that is not known.
    pub most: i64,
    at: usize,
    len: usize,
}

/// A column of a row group, whose pages are decoded one by one.
#[derive(Debug)]
pub struct Column<'a> {
    bytes: &'a [u8],
    pages: Vec<PageHead>,
    /// The texts that codes stand for.
    pub dictionary: Texts,
    /// Whether it has a dictionary.
    pub has_dictionary: bool,
    dictionary_has_marks: bool,
}

impl<'a> Column<'a> {
    /// Reads what a chunk says of its pages, of which there are `n_pages`.
    pub(super) fn decode(
        bytes: &'a [u8],
        n_pages: usize,
        inflater: &mut Inflater,
    ) -> Decoded<Column<'a>> {
        let rest = &mut &bytes[..];
        let mark = take_byte(rest)?;
        if take_count(rest)? != n_pages {
            return Err(CodecError::Invalid("pages of a column"));
        }
        let mut pages = Vec::with_capacity(n_pages);
        let mut at = 0usize;
        for _ in 0..n_pages {
            let byte = take_byte(rest)?;
            let n = take(rest, MAX_PAGE_ROWS)?;
            let len = take(rest, bytes.len())?;
            let least = varint::read_i64(rest)?;
            let most = least.wrapping_add(varint::read_u64(rest)?.cast_signed());
            pages.push(PageHead {
                encoding: Encoding::decode(byte & !PAGE_HAS_MARKS)?,
                has_marks: byte & PAGE_HAS_MARKS != 0,
                n,
                least,
                most,
                at,
                len,
            });
            at = at.saturating_add(len);
        }
        let len = take_count(rest)?;
        let mut texts = take_slice(rest, len)?;
        let mut dictionary = Texts::default();
        if mark & HAS_DICTIONARY != 0 {
            let n = take(&mut texts, MAX_DICTIONARY)?;
            dictionary = decode_texts(&mut texts, n, inflater)?;
        }
        if at != rest.len() {
            return Err(CodecError::Invalid("length of the pages of a column"));
        }
        Ok(Column {
            bytes: rest,
            pages,
            dictionary,
            has_dictionary: mark & HAS_DICTIONARY != 0,
            dictionary_has_marks: mark & DICTIONARY_HAS_MARKS != 0,
        })
    }

    /// Returns what the pages are.
    pub fn pages(&self) -> &[PageHead] {
        &self.pages
    }

    /// Tells whether a value of a page may be written otherwise than a parser gives it.
    pub fn has_marks(&self, page: usize) -> bool {
        match self.pages.get(page) {
            Some(head) if head.encoding == Encoding::Codes => self.dictionary_has_marks,
            Some(head) => head.has_marks,
            None => true,
        }
    }

    /// Returns the bytes of a page as they are stored.
    pub(super) fn bytes_of(&self, page: usize) -> &'a [u8] {
        let head = self.pages.get(page);
        let bytes = head.and_then(|head| self.bytes.get(head.at..head.at + head.len));
        bytes.unwrap_or_default()
    }

    /// Decodes a page.
    pub(super) fn values(&self, page: usize, inflater: &mut Inflater) -> Decoded<Values> {
        let head = self.pages.get(page);
        let head = head.ok_or(CodecError::Invalid("number of a page"))?;
        let bytes = self.bytes.get(head.at..head.at + head.len);
        let bytes = bytes.ok_or(CodecError::Truncated("a page"))?;
        let values = Values::decode(head.encoding, head.least, head.n, bytes, inflater)?;
        // A code that stands for nothing would read as an empty text.
        if let Values::Codes(codes) = &values
            && codes
                .iter()
                .any(|&code| code >= self.dictionary.len() as u64)
        {
            return Err(CodecError::Invalid("code of a text"));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodes values in pages of three, and returns the encodings.
    fn round_trip(values: &[&[u8]]) -> Vec<Encoding> {
        let times: Vec<i64> = (0..values.len() as i64)
            .map(|i| 1_785_578_400_000_000_000 + i * 999)
            .collect();
        let mut ends: Vec<usize> = (3..values.len()).step_by(3).collect();
        ends.push(values.len());
        let (mut bytes, mut filters) = (Vec::new(), Vec::new());
        encode(
            values,
            &times,
            &ends,
            (&mut Deflater::new(1), &mut FilterMaker::default()),
            &mut bytes,
            &mut filters,
        );
        let inflater = &mut Inflater::default();
        let column = Column::decode(&bytes, ends.len(), inflater).unwrap();
        let mut i = 0;
        for page in 0..ends.len() {
            let decoded = column.values(page, inflater).unwrap();
            let mut lens = Vec::new();
            let first = i;
            decoded.each_len(
                &column.dictionary,
                |index, len| lens.push((index, len)),
                |index| times[first + index],
            );
            assert_eq!(lens.len(), column.pages()[page].n);
            for (index, len) in lens {
                let mut out = Vec::new();
                decoded.write(index, &column.dictionary, times[i], &mut out);
                assert_eq!(out, values[i]);
                assert_eq!(len, out.len());
                i += 1;
            }
        }
        assert_eq!(i, values.len());
        column.pages().iter().map(|page| page.encoding).collect()
    }

    fn check(values: &[&str], expected: Encoding) {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        assert_eq!(round_trip(&values)[0], expected, "{values:?}");
    }

    #[test]
    fn each_kind_of_values_has_its_encoding() {
        check(&["a", "a", "a", "a", "a"], Encoding::Codes);
        check(&["1", "-25", "12345"], Encoding::Numbers);
        check(&["1.25", "0.5", "12"], Encoding::Numbers);
        check(
            &[
                "2026-08-01T10:00:00Z",
                "2026-08-01T10:00:01Z",
                "2026-08-01T09:00:00Z",
            ],
            Encoding::Moments,
        );
        check(&["00ff00ff", "a1b2c3d4", "deadbeef"], Encoding::Hex);
        check(
            &["req-00ff00ff", "req-a1b2c3d4", "req-deadbeef"],
            Encoding::Hex,
        );
        check(
            &[
                "0123e567-e89b-12d3-a456-426614174000",
                "f123e567-e89b-12d3-a456-426614174009",
            ],
            Encoding::Uuid,
        );
        check(&["dev-1", "dev-22", "dev-0"], Encoding::Patterns);
        check(&["one", "two", "three"], Encoding::Texts);
        check(&["1e5", "1", "x"], Encoding::Texts);
    }

    #[test]
    fn a_code_that_stands_for_nothing_is_no_empty_text() {
        let values: Vec<&[u8]> = vec![b"a", b"b", b"a", b"b", b"a"];
        let (mut bytes, mut filters) = (Vec::new(), Vec::new());
        let tools = (&mut Deflater::new(1), &mut FilterMaker::default());
        encode(&values, &[0; 5], &[5], tools, &mut bytes, &mut filters);
        let inflater = &mut Inflater::default();
        let mut column = Column::decode(&bytes, 1, inflater).unwrap();
        assert!(column.values(0, inflater).is_ok());
        let mut one = Texts::default();
        one.push(b"a");
        column.dictionary = one;
        let error = column.values(0, inflater).unwrap_err();
        assert_eq!(error, CodecError::Invalid("code of a text"));
    }

    #[test]
    fn marks_are_what_parsers_change() {
        for text in [
            &b"a\\n"[..],
            b"a\x01",
            b"\xff",
            "\u{fffd}".as_bytes(),
            b"\x7f",
        ] {
            assert!(has_marks(text));
        }
        for text in ["", "plain text", "grün", "日本"] {
            assert!(!has_marks(text.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..12),
            "-?[0-9]{1,3}(\\.[0-9]{1,2})?".prop_map(String::into_bytes),
            "[0-9a-f]{8}".prop_map(String::into_bytes),
            "2026-08-01T10:00:0[0-9](\\.[0-9]{3})?Z".prop_map(String::into_bytes),
        ], 1..12)) {
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            round_trip(&values);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>, n in 0usize..5) {
            let inflater = &mut Inflater::default();
            if let Ok(column) = Column::decode(&bytes, n, inflater) {
                for page in 0..n {
                    if let Ok(values) = column.values(page, inflater) {
                        values.write(0, &column.dictionary, i64::MIN, &mut Vec::new());
                    }
                }
            }
        }
    }
}
