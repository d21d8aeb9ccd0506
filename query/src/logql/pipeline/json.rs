//! Reading JSON on the way through a line, without a tree.
//!
//! The reader takes what is in front of it: values are skipped by their ends, numbers are not
//! checked, what follows the last brace is not looked at. Where it stops, and with which
//! words, is that of the parser that Loki uses, because users see which labels a broken line
//! still has, and its error.
//!
//! Upstream source: `github.com/buger/jsonparser` as Loki uses it.

use memchr::{memchr2, memchr3};

use super::names::trim_space;

/// Objects within objects beyond which what is inside is not looked at: the time to find
/// their ends grows with the square of the depth.
const MAX_DEPTH: usize = 64;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonError {
    #[error("Malformed JSON error")]
    Malformed,
    #[error("Value is string, but can't find closing '\"' symbol")]
    String,
    #[error("Value is array, but can't find closing ']' symbol")]
    Array,
    #[error("Value looks like object, but can't find closing '}}' symbol")]
    Object,
    #[error("Unknown value type")]
    UnknownType,
    #[error("Encountered an invalid escape sequence in a string")]
    Escape,
}

/// A value as it stands in the text; a string without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonValue<'a> {
    String(&'a [u8]),
    Number(&'a [u8]),
    Bool(&'a [u8]),
    Null,
    Object(&'a [u8]),
    Array(&'a [u8]),
}

/// Whether the reader goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next member.
    On,
    /// No more: all is known.
    Stop,
    /// No more: the line is not wanted.
    Refuse,
}

/// Calls `member` with each key and value of an object. Keys come unescaped.
pub(super) fn members<'a>(
    text: &'a [u8],
    buffer: &mut Vec<u8>,
    mut member: impl FnMut(&[u8], JsonValue<'a>) -> Flow,
) -> Result<Flow, JsonError> {
    let mut at = match next_token(text, 0) {
        Some(at) if text[at] == b'{' => at + 1,
        _ => return Err(JsonError::Object),
    };
    at = next_token(text, at).ok_or(JsonError::Malformed)?;
    loop {
        match text[at] {
            b'"' => at += 1,
            b'}' => return Ok(Flow::On),
            _ => return Err(JsonError::Object),
        }
        let (end, escaped) = string_end(text, at).ok_or(JsonError::Malformed)?;
        let mut key = &text[at..end - 1];
        if escaped {
            buffer.clear();
            if !unescape(key, buffer) {
                return Err(JsonError::Escape);
            }
            key = buffer.as_slice();
        }
        at = match next_token(text, end) {
            Some(at) if text[at] == b':' => at + 1,
            _ => return Err(JsonError::Malformed),
        };
        let (value, end) = value(text, at)?;
        match member(key, value) {
            Flow::On => {}
            other => return Ok(other),
        }
        at = next_token(text, end).ok_or(JsonError::Array)?;
        match text[at] {
            b'}' => return Ok(Flow::On),
            b',' => at += 1,
            _ => return Err(JsonError::Object),
        }
        at = next_token(text, at).ok_or(JsonError::Array)?;
    }
}

/// Calls `item` with each item of an array, as far as it is well formed.
pub(super) fn items<'a>(text: &'a [u8], mut item: impl FnMut(JsonValue<'a>) -> Flow) {
    let Some(start) = next_token(text, 0) else {
        return;
    };
    let mut at = start + 1;
    match next_token(text, at) {
        None => return,
        Some(first) if text[first] == b']' => return,
        Some(_) => {}
    }
    loop {
        let Ok((value, end)) = value(text, at) else {
            return;
        };
        if item(value) != Flow::On {
            return;
        }
        match next_token(text, end) {
            Some(comma) if text[comma] == b',' => at = comma + 1,
            _ => return,
        }
    }
}

/// Reads the value at a place; returns it and where it ends.
pub(super) fn value(text: &[u8], at: usize) -> Result<(JsonValue<'_>, usize), JsonError> {
    let at = next_token(text, at).ok_or(JsonError::Malformed)?;
    match text[at] {
        b'"' => {
            let (end, _) = string_end(text, at + 1).ok_or(JsonError::String)?;
            Ok((JsonValue::String(&text[at + 1..end - 1]), end))
        }
        b'[' => {
            let end = block_end(text, at, b'[', b']').ok_or(JsonError::Array)?;
            Ok((JsonValue::Array(&text[at..end]), end))
        }
        b'{' => {
            let end = block_end(text, at, b'{', b'}').ok_or(JsonError::Object)?;
            Ok((JsonValue::Object(&text[at..end]), end))
        }
        first => {
            let ends = |c: &u8| matches!(c, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']');
            let len = text[at..].iter().position(ends);
            let end = len.map_or(text.len(), |len| at + len);
            let word = &text[at..end];
            let value = match first {
                b't' | b'f' if word == b"true" || word == b"false" => JsonValue::Bool(word),
                b'n' if word == b"null" => JsonValue::Null,
                b'0'..=b'9' | b'-' => JsonValue::Number(word),
                _ => return Err(JsonError::UnknownType),
            };
            Ok((value, end))
        }
    }
}

/// Finds what is not space.
#[inline]
pub(super) fn next_token(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let space = |c: &u8| matches!(c, b' ' | b'\n' | b'\r' | b'\t');
    rest.iter().position(|c| !space(c)).map(|found| at + found)
}

/// Finds the end of a string that begins at `at`, behind its quote, and tells whether
/// something in it is escaped.
#[inline]
pub(super) fn string_end(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        let found = at + memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[found] == b'"' {
            return Some((found + 1, escaped));
        }
        escaped = true;
        at = found + 2;
    }
}

/// Finds the end of an object or array that begins at `at`.
fn block_end(text: &[u8], mut at: usize, open: u8, close: u8) -> Option<usize> {
    let mut level = 0usize;
    loop {
        let found = at + memchr3(b'"', open, close, text.get(at..)?)?;
        at = found + 1;
        match text[found] {
            b'"' => at = string_end(text, at)?.0,
            c if c == open => level += 1,
            _ => {
                level = level.saturating_sub(1);
                if level == 0 {
                    return Some(at);
                }
            }
        }
    }
}

/// Appends a string with its escapes resolved; `false` where one is none.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = text;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..found]);
        rest = &rest[found..];
        let plain = match rest.get(1) {
            Some(c @ (b'"' | b'\\' | b'/')) => *c,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let Some((c, len)) = unicode_escape(rest) else {
                    return false;
                };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[len..];
                continue;
            }
            _ => return false,
        };
        out.push(plain);
        rest = &rest[2..];
    }
    out.extend_from_slice(rest);
    true
}

/// Reads `\uXXXX`, or two of them that are one character.
fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let first = hex4(text)?;
    if !(0xd800..=0xdfff).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = hex4(text.get(6..)?).filter(|second| *second >= 0xdc00)?;
    // What is no pair gives a number that no character has.
    let combined = 0x10000u32
        .wrapping_add(first.wrapping_sub(0xd800) << 10)
        .wrapping_add(second - 0xdc00);
    let c = char::from_u32(combined).unwrap_or(char::REPLACEMENT_CHARACTER);
    Some((c, 12))
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |number, digit| {
        Some(number * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// Appends a string as the value of a label: escapes resolved, and a space for what is no
/// character. A bad escape makes it empty.
pub(super) fn push_string(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if !unescape(text, out) {
        out.truncate(start);
        return;
    }
    blank_invalid(out, start);
}

/// Puts a space for each replacement character and each byte that is not UTF-8, from a place
/// on.
pub(super) fn blank_invalid(out: &mut Vec<u8>, start: usize) {
    let written = &out[start..];
    if written.is_ascii() || !has_invalid(written) {
        return;
    }
    let written = out.split_off(start);
    for chunk in written.utf8_chunks() {
        let mut parts = chunk.valid().split(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            out.push(b' ');
            out.extend_from_slice(part.as_bytes());
        }
        out.extend(chunk.invalid().iter().map(|_| b' '));
    }
}

/// Tells whether a text has replacement characters or bytes that are not UTF-8.
pub(super) fn has_invalid(text: &[u8]) -> bool {
    match str::from_utf8(text) {
        Ok(text) => !text.is_ascii() && text.contains(char::REPLACEMENT_CHARACTER),
        Err(_) => true,
    }
}

/// Tells whether a key has nothing but space.
pub(super) fn is_blank(key: &[u8]) -> bool {
    trim_space(key).is_empty()
}

/// Tells whether objects of this depth are looked into.
pub(super) fn is_too_deep(depth: usize) -> bool {
    depth >= MAX_DEPTH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Vec<String>, Result<Flow, JsonError>) {
        let mut seen = Vec::new();
        let outcome = members(text.as_bytes(), &mut Vec::new(), |key, value| {
            let key = String::from_utf8_lossy(key).into_owned();
            seen.push(format!("{key}={value:?}").replace(' ', ""));
            Flow::On
        });
        (
            seen.into_iter()
                .map(|s| s.split('(').next().unwrap_or("").to_owned())
                .collect(),
            outcome,
        )
    }

    #[test]
    fn members_are_read_as_far_as_the_line_is_well_formed() {
        let ok = Ok(Flow::On);
        let cases: [(&str, &[&str], Result<Flow, JsonError>); 12] = [
            (
                r#" {"a": 1, "b":"x\"y" , "c":[1,"]"], "d":{"e":"}"}, "f":null,}"#,
                &["a=Number", "b=String", "c=Array", "d=Object", "f=Null"],
                ok,
            ),
            ("{}", &[], ok),
            (r#"{"a":1} rest"#, &["a=Number"], ok),
            ("plain", &[], Err(JsonError::Object)),
            ("", &[], Err(JsonError::Object)),
            ("{", &[], Err(JsonError::Malformed)),
            (r#"{"a" 1}"#, &[], Err(JsonError::Malformed)),
            (r#"{"a":1"#, &["a=Number"], Err(JsonError::Array)),
            (r#"{"a":1,"b":"x"#, &["a=Number"], Err(JsonError::String)),
            (r#"{"a":truely}"#, &[], Err(JsonError::UnknownType)),
            (r#"{"a":{"b":1"#, &[], Err(JsonError::Object)),
            (r#"{"\x":1}"#, &[], Err(JsonError::Escape)),
        ];
        for (text, keys, outcome) in cases {
            let (seen, got) = read(text);
            assert_eq!(
                (seen.as_slice(), got),
                (
                    &*keys.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>(),
                    outcome
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn strings_are_unescaped_and_made_valid() {
        let string = |text: &[u8]| {
            let mut out = b"=".to_vec();
            push_string(text, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(string(br"a\n\u00e4\ud83d\ude00\/"), "=a\n\u{e4}\u{1f600}/");
        assert_eq!(string(br"a\x"), "=");
        assert_eq!(string(br"\ud83d"), "=");
        assert_eq!(string(b"a\xff\xefb"), "=a  b");
        assert_eq!(string("x\u{fffd}y".as_bytes()), "=x y");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = members(&text, &mut Vec::new(), |_, _| Flow::On);
            items(&text, |_| Flow::On);
            let mut out = Vec::new();
            push_string(&text, &mut out);
            prop_assert!(str::from_utf8(&out).is_ok());
        }

        #[test]
        fn any_pieces_of_json_are_read(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", "\"", "\\", ":", ",", "1", "true", "null", " ", "a", "\\u00",
                ]),
                0..60,
            )
        ) {
            let text = pieces.concat();
            let _ = members(text.as_bytes(), &mut Vec::new(), |_, value| {
                if let JsonValue::Array(text) = value {
                    items(text, |_| Flow::On);
                }
                Flow::On
            });
        }
    }
}
