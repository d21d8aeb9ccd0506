//! Reading JSON for `fromJson`, as Go's library does.
//!
//! A text is JSON as a whole or nothing. Half of a character (`\ud83d`) is U+FFFD, and a
//! number beyond a double is 0.
//!
//! Upstream source: `encoding/json` of Go.

use std::sync::Arc;

use crate::template::value::{ANY_LIST, ANY_MAP, List, Map, Text, Type, Value};

/// Arrays and objects within each other beyond which a text is not read.
const MAX_DEPTH: usize = 150;

/// Why reading ended.
enum Stop {
    /// The text is no JSON.
    NotJson,
    /// The value is larger than one may be.
    TooLarge(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Stop {
        Stop::TooLarge(reason)
    }
}

/// Reads a text; what is no JSON is nil.
///
/// # Errors
/// The value is larger than a template's may be.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0).and_then(|value| {
        reader.skip_space();
        match reader.peek() {
            None => Ok(value),
            Some(_) => Err(Stop::NotJson),
        }
    });
    match value {
        Ok(value) => Ok(value),
        Err(Stop::NotJson) => Ok(Value::Nil(Type::Any)),
        Err(Stop::TooLarge(reason)) => Err(reason),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes a byte if it comes next, after space.
    fn accepts(&mut self, byte: u8) -> bool {
        self.skip_space();
        let comes = self.peek() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        match self.accepts(byte) {
            true => Ok(()),
            false => Err(Stop::NotJson),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        if depth > MAX_DEPTH {
            let reason = format!("JSON nests deeper than {MAX_DEPTH}");
            return Err(Stop::TooLarge(reason));
        }
        self.skip_space();
        match self.peek().ok_or(Stop::NotJson)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Ok(self.string()?.into()),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Nil(Type::Any)),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Stop> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Stop::NotJson);
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value, Stop> {
        self.at += 1;
        let mut entries = Vec::new();
        if !self.accepts(b'}') {
            loop {
                self.skip_space();
                if self.peek() != Some(b'"') {
                    return Err(Stop::NotJson);
                }
                let name = self.string()?;
                self.expect(b':')?;
                let value = self.value(depth + 1)?;
                entries.push((Text::from(name), value));
                if self.accepts(b'}') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        // Of equal names the last one counts.
        entries.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
        entries.reverse();
        entries.dedup_by(|(a, _), (b, _)| a.as_bytes() == b.as_bytes());
        entries.reverse();
        Ok(Value::Map(Arc::new(Map::new(&ANY_MAP, entries)?)))
    }

    fn array(&mut self, depth: usize) -> Result<Value, Stop> {
        self.at += 1;
        let mut items = Vec::new();
        if !self.accepts(b']') {
            loop {
                items.push(self.value(depth + 1)?);
                if self.accepts(b']') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        Ok(Value::List(Arc::new(List::new(&ANY_LIST, items)?)))
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<Value, Stop> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let starts_with_zero = self.peek() == Some(b'0');
        match self.digits() {
            0 => return Err(Stop::NotJson),
            n if n > 1 && starts_with_zero => return Err(Stop::NotJson),
            _ => {}
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(Stop::NotJson);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(Stop::NotJson);
            }
        }
        let number = self.text[from..self.at].parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite());
        Ok(Value::Float(number.unwrap_or(0.0)))
    }

    fn string(&mut self) -> Result<String, Stop> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let special = |c: char| c == '"' || c == '\\' || c < ' ';
            let found = rest.find(special).ok_or(Stop::NotJson)?;
            out.push_str(&rest[..found]);
            self.at += found + 1;
            match rest.as_bytes().get(found) {
                Some(b'"') => return Ok(out),
                Some(b'\\') => self.escape(&mut out)?,
                _ => return Err(Stop::NotJson),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), Stop> {
        let c = self.peek().ok_or(Stop::NotJson)?;
        self.at += 1;
        out.push(match c {
            b'"' | b'\\' | b'/' => char::from(c),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                self.character(first)?
            }
            _ => return Err(Stop::NotJson),
        });
        Ok(())
    }

    /// Reads the second half of a character, where `first` is the first one.
    fn character(&mut self, first: u32) -> Result<char, Stop> {
        let before = self.at;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let combined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(combined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // What follows is a character of its own.
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Stop::NotJson)?;
        if !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(Stop::NotJson);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Stop::NotJson)
    }
}

#[cfg(test)]
mod tests {
    use crate::template::logs::{Line, labels};
    use crate::template::{Functions, Limits, MissingKey, Template};

    fn shown(text: &str) -> String {
        result(text).unwrap()
    }

    fn result(text: &str) -> Result<String, String> {
        let source = "{{fromJson __line__}}";
        let template = Template::parse("line", source, Functions::LOGS).unwrap();
        let line = Line {
            line: text.as_bytes(),
            timestamp_ns: 0,
            now_ns: 0,
        };
        let data = labels(std::iter::empty::<(&str, &str)>());
        let (limits, missing) = (Limits::default(), MissingKey::Zero);
        let out = template.execute(data, &line, missing, limits);
        let out = out.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn json_is_read_as_in_go() {
        assert_eq!(
            shown(r#" {"b":[1,2.5,null,true],"a":{"b":"x"}} "#),
            "map[a:map[b:x] b:[1 2.5 <nil> true]]"
        );
        assert_eq!(shown(r#"{"a":1,"a":2}"#), "map[a:2]");
        assert_eq!(
            shown(r#"["\ud83d","\ud83d\ude00","\ud83dx"]"#),
            "[\u{fffd} 😀 \u{fffd}x]"
        );
        assert_eq!(
            shown(r#"["\ud83d\u0041","\u00e9\n\/"]"#),
            "[\u{fffd}A é\n/]"
        );
        assert_eq!(
            shown(r#"{"a":1e400,"b":-0.5E1,"c":-0}"#),
            "map[a:0 b:-5 c:-0]"
        );
        for text in [
            "",
            "{",
            "{}x",
            "[1,]",
            "{\"a\"}",
            "01",
            "1.",
            "-",
            "\"\u{1}\"",
            "nul",
            "'a'",
            "+1",
            "\"\\x\"",
            "[1 2]",
            "\"\\ud8\"",
            "{a:1}",
            "{\"a\":1,}",
            ".5",
            "1e",
        ] {
            assert_eq!(shown(text), "<no value>", "{text}");
        }
        let error = result(&"[".repeat(100_000)).unwrap_err();
        assert!(error.contains("JSON nests deeper than 150"), "{error}");
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(shown(&deep), deep);
    }
}
