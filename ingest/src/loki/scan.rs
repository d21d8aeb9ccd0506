//! JSON looked at without a tree: where strings and blocks end, and what strings say.
//!
//! Only as strict as finding the parts needs. What is inside a block that nobody asks for
//! is not checked, as in the reader that Loki uses.

/// Why a text is not the JSON it should be. Texts are those of Loki's reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// A string does not end, or something else stands where one should.
    #[error("Value is string, but can't find closing '\"' symbol")]
    String,
    /// An object does not end, or something else stands where one should.
    #[error("Value looks like object, but can't find closing '}}' symbol")]
    Object,
    /// An array does not end, or something else stands where one should.
    #[error("Value looks like array, but can't find closing ']' symbol")]
    Array,
    /// A number is none.
    #[error("Value looks like Number/Boolean/None, but can't find its end: ',' or '}}' symbol")]
    Scalar,
    /// A number is too large.
    #[error("Value is number, but overflowed while parsing")]
    Overflow,
    /// A backslash escapes nothing that is known.
    #[error("Encountered an invalid escape sequence in a string")]
    Escape,
    /// A value is of no kind that there is.
    #[error("Unknown value type")]
    Unknown,
    /// Something is missing between values.
    #[error("Malformed JSON error")]
    Malformed,
    /// Values lie in each other deeper than is followed.
    #[error("exceeded max depth")]
    Depth,
}

/// A value as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// What stands between the quotes, and whether there are escapes in it.
    String(&'a [u8], bool),
    /// An object with its braces.
    Object(&'a [u8]),
    /// An array with its brackets.
    Array(&'a [u8]),
    /// A number as it is written.
    Number(&'a [u8]),
    Bool(bool),
    Null,
}

/// Returns the first place from `at` on that is no blank.
#[inline]
pub(crate) fn token(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Returns a mark in each byte of `word` that is zero. Bytes behind the first one may be
/// marked wrongly.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// Returns the first place from `at` on with a quote or a backslash, or the length.
#[inline]
pub(crate) fn quote_or_escape(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let found = zeros(word ^ (LOW * b'"' as u64)) | zeros(word ^ (LOW * b'\\' as u64));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// Returns where the closing quote is of a string whose content begins at `at`, and
/// whether there are escapes in it.
#[inline]
pub(crate) fn string_end(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escapes = false;
    loop {
        at = quote_or_escape(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some((at, escapes)),
            _ => {
                escapes = true;
                at += 2;
            }
        }
    }
}

/// Returns the place behind a block that opens at `at`. Only brackets of its own kind are
/// counted.
fn block_end(bytes: &[u8], mut at: usize, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        if byte == b'"' {
            at = string_end(bytes, at)?.0 + 1;
        } else if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
}

/// Reads the value that begins at `at`, which is no blank. Returns it and the place behind.
#[inline]
pub(crate) fn value(bytes: &[u8], at: usize) -> Result<(Value<'_>, usize), JsonError> {
    match bytes.get(at) {
        Some(b'"') => {
            let (end, escapes) = string_end(bytes, at + 1).ok_or(JsonError::String)?;
            Ok((Value::String(&bytes[at + 1..end], escapes), end + 1))
        }
        Some(b'{') => {
            let end = block_end(bytes, at, b'{', b'}').ok_or(JsonError::Object)?;
            Ok((Value::Object(&bytes[at..end]), end))
        }
        Some(b'[') => {
            let end = block_end(bytes, at, b'[', b']').ok_or(JsonError::Array)?;
            Ok((Value::Array(&bytes[at..end]), end))
        }
        _ => scalar(bytes, at),
    }
}

fn scalar(bytes: &[u8], at: usize) -> Result<(Value<'_>, usize), JsonError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let ends = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']');
    let Some(len) = rest.iter().position(ends) else {
        return Err(JsonError::Scalar);
    };
    let text = &rest[..len];
    let found = match (text.first(), text) {
        (_, b"true") => Value::Bool(true),
        (_, b"false") => Value::Bool(false),
        (_, b"null") => Value::Null,
        (Some(b'0'..=b'9' | b'-'), _) => Value::Number(text),
        _ => return Err(JsonError::Unknown),
    };
    Ok((found, at + len))
}

/// Hands the fields of an object to `field`, which may end the walk with `false`. Keys come
/// as they stand in the text, with whether there are escapes in them.
///
/// # Errors
/// The first mistake; fields before it were handed on.
#[inline]
pub(crate) fn fields<'a>(
    bytes: &'a [u8],
    mut field: impl FnMut(&'a [u8], bool, Value<'a>) -> Result<bool, JsonError>,
) -> Result<(), JsonError> {
    let mut at = token(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return Err(JsonError::Object);
    }
    at = token(bytes, at + 1);
    loop {
        match bytes.get(at) {
            Some(b'"') => {}
            Some(b'}') => return Ok(()),
            _ => return Err(JsonError::Object),
        }
        let (end, escapes) = string_end(bytes, at + 1).ok_or(JsonError::Malformed)?;
        let key = &bytes[at + 1..end];
        at = token(bytes, end + 1);
        if bytes.get(at) != Some(&b':') {
            return Err(JsonError::Malformed);
        }
        let (value, end) = value(bytes, token(bytes, at + 1))?;
        if !field(key, escapes, value)? {
            return Ok(());
        }
        at = token(bytes, end);
        match bytes.get(at) {
            Some(b'}') => return Ok(()),
            Some(b',') => at = token(bytes, at + 1),
            _ => return Err(JsonError::Object),
        }
    }
}

/// Writes what a string without its quotes says to the front of `out`, which is at least
/// as long, and returns how many bytes that is. Halves of characters become U+FFFD.
///
/// # Errors
/// [`JsonError::Escape`].
pub(crate) fn unescape(raw: &[u8], out: &mut [u8]) -> Result<usize, JsonError> {
    let (mut at, mut len) = (0, 0);
    while at < raw.len() {
        let plain = memchr::memchr(b'\\', &raw[at..]).unwrap_or(raw.len() - at);
        out[len..len + plain].copy_from_slice(&raw[at..at + plain]);
        (at, len) = (at + plain, len + plain);
        if at < raw.len() {
            at = escape(raw, at, out, &mut len)?;
        }
    }
    Ok(len)
}

/// Reads the escape at `at`, appends what it says to the first `len` bytes of `out`, and
/// returns the place behind it. It never says more bytes than it has.
#[inline]
pub(crate) fn escape(
    raw: &[u8],
    at: usize,
    out: &mut [u8],
    len: &mut usize,
) -> Result<usize, JsonError> {
    let plain = match raw.get(at + 1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
        Some(b'u') => return unicode_escape(raw, at, out, len),
        _ => return Err(JsonError::Escape),
    };
    out[*len] = plain;
    *len += 1;
    Ok(at + 2)
}

fn unicode_escape(
    raw: &[u8],
    at: usize,
    out: &mut [u8],
    len: &mut usize,
) -> Result<usize, JsonError> {
    let first = hex4(raw, at + 2).ok_or(JsonError::Escape)?;
    let mut end = at + 6;
    let mut code = first;
    if (0xd800..0xdc00).contains(&first) && raw.get(end..end + 2) == Some(b"\\u") {
        let second = hex4(raw, end + 2).ok_or(JsonError::Escape)?;
        if (0xdc00..0xe000).contains(&second) {
            code = 0x10000 + ((first - 0xd800) << 10 | (second - 0xdc00));
            end += 6;
        }
    }
    let found = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    *len += found.encode_utf8(&mut out[*len..]).len();
    Ok(end)
}

fn hex4(raw: &[u8], at: usize) -> Option<u32> {
    let digits = raw.get(at..)?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |code, &digit| {
        Some(code << 4 | char::from(digit).to_digit(16)?)
    })
}

/// Returns what a string says.
///
/// # Errors
/// [`JsonError::Escape`].
pub(crate) fn text(raw: &[u8], escapes: bool) -> Result<std::borrow::Cow<'_, [u8]>, JsonError> {
    if !escapes {
        return Ok(raw.into());
    }
    let mut out = vec![0; raw.len()];
    let len = unescape(raw, &mut out)?;
    out.truncate(len);
    Ok(out.into())
}

/// Returns a whole number as Loki's reader reads it: digits with a sign in front.
///
/// # Errors
/// It is none, or too large.
pub(crate) fn integer(text: &[u8]) -> Result<i64, JsonError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(JsonError::Scalar);
    }
    let mut number = 0i64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(JsonError::Scalar);
        }
        // Counted below zero, where there is one number more.
        number = number
            .checked_mul(10)
            .and_then(|number| number.checked_sub(i64::from(digit - b'0')))
            .ok_or(JsonError::Overflow)?;
    }
    match negative {
        true => Ok(number),
        false => number.checked_neg().ok_or(JsonError::Overflow),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mistakes_have_the_names_of_lokis_reader() {
        let walk = |text: &str| fields(text.as_bytes(), |_, _, _| Ok(true));
        assert_eq!(walk(r#"{"a":1,"b":[1,2],"c":{"d":"}"}}"#), Ok(()));
        assert_eq!(walk("{}"), Ok(()));
        assert_eq!(walk("[]"), Err(JsonError::Object));
        assert_eq!(walk(r#"{"a" 1}"#), Err(JsonError::Malformed));
        assert_eq!(walk(r#"{"a":"x}"#), Err(JsonError::String));
        assert_eq!(walk(r#"{"a":[1}"#), Err(JsonError::Array));
        assert_eq!(walk(r#"{"a":{"b":1}"#), Err(JsonError::Object));
        assert_eq!(walk(r#"{"a":yes}"#), Err(JsonError::Unknown));
        assert_eq!(walk(r#"{"a":1"#), Err(JsonError::Scalar));
        assert_eq!(walk(r#"{"a":1 "b":2}"#), Err(JsonError::Object));
    }

    #[test]
    fn whole_numbers_end_where_their_type_ends() {
        assert_eq!(integer(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(integer(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer(b"9223372036854775808"), Err(JsonError::Overflow));
        assert_eq!(integer(b"-"), Err(JsonError::Scalar));
        assert_eq!(integer(b"1.5"), Err(JsonError::Scalar));
        assert_eq!(integer(b""), Err(JsonError::Scalar));
    }

    #[test]
    fn half_a_character_is_replaced_and_a_wrong_escape_refused() {
        let says = |raw: &str| text(raw.as_bytes(), true).map(std::borrow::Cow::into_owned);
        assert_eq!(says(r"\ud83d\ude00"), Ok("😀".into()));
        assert_eq!(says(r"\ud83dx"), Ok("\u{fffd}x".into()));
        assert_eq!(says(r"\ud83d\u0041"), Ok("\u{fffd}A".into()));
        assert_eq!(says(r"\x"), Err(JsonError::Escape));
        assert_eq!(says(r"\u12"), Err(JsonError::Escape));
        assert_eq!(says("\\"), Err(JsonError::Escape));
    }

    proptest! {
        #[test]
        fn strings_say_what_another_reader_reads(said in ".*") {
            let json = serde_json::to_vec(&said).unwrap();
            let (found, end) = value(&json, 0).unwrap();
            prop_assert_eq!(end, json.len());
            let Value::String(raw, escapes) = found else {
                return Err(TestCaseError::fail("no string"));
            };
            prop_assert_eq!(&*text(raw, escapes).unwrap(), said.as_bytes());
        }

        #[test]
        fn any_bytes_are_looked_at_without_a_panic(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b':')], 0..60,
        )) {
            let _ = fields(&bytes, |key, escapes, _| Ok(text(key, escapes).is_ok()));
            let _ = value(&bytes, 0);
        }

        #[test]
        fn a_quote_or_escape_is_found_wherever_it_is(plain in "[a-z\u{80}-\u{ff}]{0,40}", rest in ".*") {
            for found in ["\"", "\\"] {
                let text = format!("{plain}{found}{rest}");
                prop_assert_eq!(quote_or_escape(text.as_bytes(), 0), plain.len());
            }
            prop_assert_eq!(quote_or_escape(plain.as_bytes(), 0), plain.len());
        }
    }
}
