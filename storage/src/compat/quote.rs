//! Go's quoted strings (`%q`, `strconv.Quote`) and the reading of string literals.

use std::fmt::Write;
use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// Quotes text as Go's `strconv.Quote` and `%q` do.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Appends text quoted as Go's `strconv.Quote` does.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

/// Quotes bytes as Go's `strconv.Quote` does: what is not UTF-8 becomes `\xhh`.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        push_escaped(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            push_hex(&mut out, *byte);
        }
    }
    out.push('"');
    out
}

fn push_escaped(out: &mut String, text: &str) {
    // Plain runs are copied whole; most texts are one.
    let mut plain_from = 0;
    for (at, c) in text.char_indices() {
        if c != '"' && c != '\\' && is_print(c) {
            continue;
        }
        out.push_str(&text[plain_from..at]);
        plain_from = at + c.len_utf8();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if c < ' ' || c == '\x7f' => push_hex(out, c as u8),
            // Writing to a String cannot fail.
            c if u32::from(c) < 0x10000 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push_str(&text[plain_from..]);
}

fn push_hex(out: &mut String, byte: u8) {
    let _ = write!(out, "\\x{byte:02x}");
}

/// Quotes text as Go's `time` package does in its errors: everything that is not
/// printable ASCII becomes the hex of its bytes.
pub(super) fn quote_for_time(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=0x7f => out.push(char::from(byte)),
            _ => push_hex(&mut out, byte),
        }
    }
    out.push('"');
    out
}

/// Tells whether Go prints a character as it is: letters, marks, numbers,
/// punctuation, symbols and the ASCII space.
pub fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    PRINTABLE
        .binary_search_by(|&(first, last)| {
            if last < c {
                std::cmp::Ordering::Less
            } else if first > c {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

/// The ranges of printable characters, sorted; from the tables of the regex parser.
static PRINTABLE: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let class = regex_syntax::parse(r"[\pL\pM\pN\pP\pS]").map(regex_syntax::hir::Hir::into_kind);
    match class {
        Ok(HirKind::Class(Class::Unicode(class))) => class
            .iter()
            .map(|range| (range.start(), range.end()))
            .collect(),
        _ => Vec::new(),
    }
});

/// Text that is no string literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid syntax")]
pub struct UnquoteError;

/// Reads a string literal of the query languages: in double or single quotes with
/// Go's escapes, or in backquotes without any. Returns bytes, for `\xff` need not be
/// UTF-8.
///
/// # Errors
/// The quotes do not match, a quoted text holds a line end or its own quote, or an
/// escape is unknown.
pub fn unquote(literal: &str) -> Result<Vec<u8>, UnquoteError> {
    let mark = literal.chars().next().ok_or(UnquoteError)?;
    if literal.len() < 2 || !matches!(mark, '"' | '\'' | '`') {
        return Err(UnquoteError);
    }
    let text = literal[1..].strip_suffix(mark).ok_or(UnquoteError)?;
    if mark == '`' {
        return match text.contains('`') {
            true => Err(UnquoteError),
            false => Ok(text.as_bytes().to_vec()),
        };
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n', mark]) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        if !rest[at..].starts_with('\\') {
            return Err(UnquoteError);
        }
        rest = unescape(&rest[at + 1..], mark, &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Appends what the escape behind a backslash stands for; returns the text behind it.
fn unescape<'a>(text: &'a str, mark: char, out: &mut Vec<u8>) -> Result<&'a str, UnquoteError> {
    let kind = text.chars().next().ok_or(UnquoteError)?;
    let rest = &text[kind.len_utf8()..];
    let byte = match kind {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '\'' | '"' if kind == mark => kind as u8,
        'x' => {
            let (value, rest) = digits(rest, 2, 16)?;
            out.push(value as u8);
            return Ok(rest);
        }
        'u' | 'U' => {
            let (value, rest) = digits(rest, if kind == 'u' { 4 } else { 8 }, 16)?;
            if value > 0x10_ffff {
                return Err(UnquoteError);
            }
            // Go writes a lone surrogate as the replacement character.
            let c = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(rest);
        }
        '0'..='7' => {
            let (value, rest) = digits(text, 3, 8)?;
            out.push(u8::try_from(value).map_err(|_| UnquoteError)?);
            return Ok(rest);
        }
        _ => return Err(UnquoteError),
    };
    out.push(byte);
    Ok(rest)
}

fn digits(text: &str, count: usize, radix: u32) -> Result<(u32, &str), UnquoteError> {
    let digits = text.get(..count).ok_or(UnquoteError)?;
    let mut value = 0u32;
    for c in digits.chars() {
        let digit = c.to_digit(radix).ok_or(UnquoteError)?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    Ok((value, &text[count..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unprintable_characters_are_escaped_as_go_does() {
        for (text, quoted) in [
            ("plain é日😀", "\"plain é日😀\""),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1f\x7f", r#""\x00\x1f\x7f""#),
            ("\u{a0}\u{ad}\u{2028}", r#""\u00a0\u00ad\u2028""#),
            ("\u{e0001}\u{10ffff}", r#""\U000e0001\U0010ffff""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote_bytes(b"a\xffb"), r#""a\xffb""#);
    }

    #[test]
    fn literals_are_read_with_their_escapes() {
        assert_eq!(
            unquote(r#""a\x41\101\u00e9\U0001F600""#).unwrap(),
            "aAAé😀".as_bytes()
        );
        assert_eq!(unquote(r"'it\'s'").unwrap(), b"it's");
        assert_eq!(unquote("`a\\n\"`").unwrap(), b"a\\n\"");
        assert_eq!(unquote(r#""\xff""#).unwrap(), b"\xff");
        for wrong in [
            "",
            "\"",
            "a",
            "\"a",
            "\"a'",
            "\"a\"b\"",
            "\"a\nb\"",
            r#""\'""#,
            r#"'\"'"#,
            r#""\q""#,
            r#""\x4""#,
            r#""\400""#,
            r#""\U00110000""#,
            r#""\""#,
            "`a`b`",
        ] {
            assert_eq!(unquote(wrong), Err(UnquoteError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn quoted_text_reads_back(text in any::<String>()) {
            prop_assert_eq!(unquote(&quote(&text)).unwrap(), text.into_bytes());
        }

        #[test]
        fn quoted_bytes_read_back(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(unquote(&quote_bytes(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn reading_never_panics(text in "[\"'`](\\\\[abxuU0-9]|.){0,12}[\"'`]") {
            let _ = unquote(&text);
        }
    }
}
