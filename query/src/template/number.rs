//! Number constants of a template, and the reading of whole numbers as Go does it.
//!
//! A constant is kept under every type that can hold its value, as Go's untyped
//! constants are: what it becomes depends on where it stands.

use kymo_storage::compat::{float, quote};

/// A number constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    /// As it was written.
    pub(super) text: String,
    pub(super) int: Option<i64>,
    pub(super) uint: Option<u64>,
    pub(super) float: Option<f64>,
    pub(super) complex: Option<(f64, f64)>,
}

impl Number {
    /// Reads a number without sign in its middle.
    pub(super) fn parse(text: &str) -> Result<Number, String> {
        let mut number = Number::empty(text);
        // An imaginary constant is complex only, unless it is zero.
        if let Some(imaginary) = text.strip_suffix('i')
            && let Ok(imaginary) = float::parse(imaginary)
        {
            number.set_complex(0.0, imaginary);
            return Ok(number);
        }
        let unsigned = parse_uint(text);
        number.uint = unsigned;
        number.int = parse_int(text);
        if number.int == Some(0) {
            number.uint = Some(0);
        }
        if let Some(int) = number.int {
            number.float = Some(int as f64);
        } else if let Some(uint) = number.uint {
            number.float = Some(uint as f64);
        } else if let Ok(value) = float::parse(text) {
            // Looks whole and fits no integer.
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote::quote(text)));
            }
            number.float = Some(value);
            number.int = whole_int(value);
            number.uint = whole_uint(value);
        } else {
            return Err(format!("illegal number syntax: {}", quote::quote(text)));
        }
        Ok(number)
    }

    /// Reads a constant such as `1+2i`.
    pub(super) fn parse_complex(text: &str) -> Result<Number, String> {
        const WRONG: &str = "syntax error scanning complex number";
        let pair = text.strip_suffix('i').ok_or(WRONG)?;
        let bytes = pair.as_bytes();
        let sign = (1..bytes.len())
            .find(|&at| {
                matches!(bytes[at], b'+' | b'-')
                    && !matches!(bytes[at - 1], b'e' | b'E' | b'p' | b'P')
            })
            .ok_or(WRONG)?;
        let real = float::parse(&pair[..sign]).map_err(|_| WRONG)?;
        let imaginary = float::parse(&pair[sign..]).map_err(|_| WRONG)?;
        let mut number = Number::empty(text);
        number.set_complex(real, imaginary);
        Ok(number)
    }

    /// Reads a character in single quotes: its code point.
    pub(super) fn parse_char(text: &str) -> Result<Number, String> {
        let inside = text.strip_prefix('\'').unwrap_or(text);
        let mut chars = inside.chars();
        let len = match chars.next() {
            Some('\\') => escape_len(inside),
            Some('\'') | None => return Err("invalid syntax".to_owned()),
            Some(c) => c.len_utf8(),
        };
        let (Some(one), Some(tail)) = (inside.get(..len), inside.get(len..)) else {
            return Err("invalid syntax".to_owned());
        };
        let code = code_point(one).ok_or("invalid syntax")?;
        if tail != "'" {
            return Err(format!("malformed character constant: {text}"));
        }
        let mut number = Number::empty(text);
        number.int = Some(i64::from(code));
        number.uint = Some(u64::from(code));
        number.float = Some(f64::from(code));
        Ok(number)
    }

    fn empty(text: &str) -> Number {
        Number {
            text: text.to_owned(),
            int: None,
            uint: None,
            float: None,
            complex: None,
        }
    }

    fn set_complex(&mut self, real: f64, imaginary: f64) {
        self.complex = Some((real, imaginary));
        if imaginary == 0.0 {
            self.float = Some(real);
            self.int = whole_int(real);
            self.uint = whole_uint(real);
        }
    }

    /// Tells whether the text asks for a floating point number.
    pub(super) fn looks_like_float(&self) -> bool {
        let hex = self.text.len() > 2
            && (self.text.starts_with("0x") || self.text.starts_with("0X"))
            && !self.text.contains(['p', 'P']);
        !hex && !self.text.starts_with('\'') && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

/// Returns the bytes of the escape that a text starts with.
fn escape_len(text: &str) -> usize {
    match text.as_bytes().get(1) {
        Some(b'x') => 4,
        Some(b'u') => 6,
        Some(b'U') => 10,
        Some(b'0'..=b'7') => 4,
        Some(_) => 1 + text[1..].chars().next().map_or(1, char::len_utf8),
        None => 1,
    }
}

/// Returns the code point of a character or of an escape.
fn code_point(one: &str) -> Option<u32> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
    match one.strip_prefix('\\') {
        // The number of a byte stands for the character of that number.
        Some(escape) if escape.starts_with('x') => number(&escape[1..], 16),
        Some(escape) if escape.starts_with(|c: char| c.is_digit(8)) => {
            number(escape, 8).filter(|&code| code < 256)
        }
        Some(escape) if escape.starts_with(['u', 'U']) => {
            number(&escape[1..], 16).filter(|&code| char::from_u32(code).is_some())
        }
        // The other quote cannot be escaped.
        Some("\"") => None,
        Some(_) => {
            let read = quote::unquote(&format!("'{one}'")).ok()?;
            str::from_utf8(&read).ok()?.chars().next().map(u32::from)
        }
        None => one.chars().next().map(u32::from),
    }
}

/// Converts as Go does on 64-bit x86: what does not fit becomes the smallest integer.
pub(super) fn float_to_int(value: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

fn whole_int(value: f64) -> Option<i64> {
    let int = float_to_int(value);
    (int as f64 == value).then_some(int)
}

fn whole_uint(value: f64) -> Option<u64> {
    let fits = (0.0..18_446_744_073_709_551_616.0).contains(&value);
    (fits && value.fract() == 0.0).then_some(value as u64)
}

/// Reads a whole number with the base that its prefix names (`strconv.ParseUint` with
/// base 0).
pub(super) fn parse_uint(text: &str) -> Option<u64> {
    let (radix, digits) = split_base(text)?;
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(&digits, radix).ok()
}

/// Reads a whole number with sign and the base that its prefix names
/// (`strconv.ParseInt` with base 0).
pub(super) fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = i128::from(parse_uint(digits)?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Splits the base off a number; `None` where underscores stand in wrong places.
fn split_base(text: &str) -> Option<(u32, &str)> {
    let lower = text.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, &text[2..]),
        Some("0o") => (8, &text[2..]),
        Some("0b") => (2, &text[2..]),
        Some(_) if text.starts_with('0') => (8, &text[1..]),
        _ => (10, text),
    };
    // An underscore separates two digits, of which a prefix counts as one.
    let first_may_be_underscore = radix != 10;
    let wrong = digits.contains("__")
        || digits.ends_with('_')
        || (digits.starts_with('_') && !first_may_be_underscore);
    (!wrong).then_some((radix, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_have_every_type_that_holds_them() {
        let number = Number::parse("0x1F").unwrap();
        assert_eq!(
            (number.int, number.uint, number.float),
            (Some(31), Some(31), Some(31.0))
        );
        let number = Number::parse("-1").unwrap();
        assert_eq!((number.int, number.uint), (Some(-1), None));
        let number = Number::parse("1e3").unwrap();
        assert_eq!((number.int, number.float), (Some(1000), Some(1000.0)));
        assert!(number.looks_like_float());
        let number = Number::parse("1.5").unwrap();
        assert_eq!(
            (number.int, number.uint, number.float),
            (None, None, Some(1.5))
        );
        assert_eq!(Number::parse("2i").unwrap().complex, Some((0.0, 2.0)));
        assert_eq!(
            Number::parse_complex("1-2e1i").unwrap().complex,
            Some((1.0, -20.0))
        );
        assert_eq!(Number::parse("1_000").unwrap().int, Some(1000));
        assert_eq!(
            Number::parse("18446744073709551615").unwrap().uint,
            Some(u64::MAX)
        );
    }

    #[test]
    fn wrong_constants_are_refused_with_the_words_of_go() {
        for (text, error) in [
            ("08", "integer overflow: \"08\""),
            (
                "18446744073709551616",
                "integer overflow: \"18446744073709551616\"",
            ),
            ("-", "illegal number syntax: \"-\""),
            ("1__0", "illegal number syntax: \"1__0\""),
        ] {
            assert_eq!(Number::parse(text).unwrap_err(), error);
        }
        assert_eq!(
            Number::parse_char("'ab'").unwrap_err(),
            "malformed character constant: 'ab'"
        );
        assert_eq!(Number::parse_char("'\\n'").unwrap().int, Some(10));
        assert_eq!(Number::parse_char("'\\''").unwrap().int, Some(39));
        assert_eq!(Number::parse_char("'\\xff'").unwrap().int, Some(255));
        assert_eq!(Number::parse_char("'é'").unwrap().int, Some(233));
        assert!(Number::parse_char("''").is_err());
        assert!(Number::parse_char("'\\\"'").is_err());
    }
}
