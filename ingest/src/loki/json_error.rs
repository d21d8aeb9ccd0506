//! What is said of a push whose JSON is not what it should be.
//!
//! Loki reads the request with one reader, and each stream with another one after the first
//! has found its end; both have words of their own. A body that was refused is walked once
//! more in that way, to find out what the first to stumble would say, and where.

use super::error::PushError;
use super::scan::JsonError;

const REQUEST: &str = "loghttp.PushRequest.";
const STREAMS: &str = "loghttp.PushRequest.Streams: []loghttp.LogProtoStream: ";
/// Values in each other that are followed; what lies deeper is told in plain words.
const MAX_DEPTH: usize = 100;
/// Bytes that are shown on both sides of the place, and of what is around it.
const NEAR: usize = 10;
const AROUND: usize = 50;

/// Returns the error for a body that was refused at a place for a reason.
#[cold]
pub(super) fn explain(bytes: &[u8], at: usize, reason: JsonError) -> PushError {
    if bytes.is_empty() {
        return PushError::Packed("EOF".to_owned());
    }
    let mut walk = Walk {
        bytes,
        head: 0,
        depth: 0,
        refused_at: at,
        reason,
    };
    let (told, head) = match walk.request() {
        Err(told) => (told, walk.head),
        // The walk has nothing to say against it.
        Ok(()) => (
            format!("{STREAMS}unmarshalerDecoder: {reason}"),
            at.min(bytes.len()),
        ),
    };
    let window = |size: usize| {
        let window = &bytes[head.saturating_sub(size)..bytes.len().min(head + size)];
        String::from_utf8_lossy(window).into_owned()
    };
    PushError::Json {
        told,
        offset: head.min(NEAR),
        near: window(NEAR),
        around: window(AROUND),
    }
}

type Step<T = ()> = Result<T, String>;

struct Walk<'a> {
    bytes: &'a [u8],
    head: usize,
    depth: usize,
    /// Where a stream was refused, and why.
    refused_at: usize,
    reason: JsonError,
}

/// Shows a byte as a character; the end is 0.
fn shown(byte: u8) -> String {
    String::from_utf8_lossy(&[byte]).into_owned()
}

impl Walk<'_> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.head).copied()
    }

    /// Returns the next byte that is no blank and moves behind it; 0, and no move, at the end.
    fn next(&mut self) -> u8 {
        let rest = &self.bytes[self.head..];
        let blanks = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\n' | b'\t' | b'\r'));
        let Some(blanks) = blanks else {
            return 0;
        };
        self.head += blanks + 1;
        rest[blanks]
    }

    fn request(&mut self) -> Step {
        match self.next() {
            b'{' => {}
            b'n' => return self.word(b"ull"),
            other => {
                let other = shown(other);
                return Err(format!(
                    "readObjectStart: expect {{ or n, but found {other}"
                ));
            }
        }
        let behind = self.head;
        if self.next() == b'}' {
            return Ok(());
        }
        self.head = behind;
        loop {
            let is_streams = self.field().map_err(|told| format!("{REQUEST}{told}"))?;
            match is_streams {
                true => self.streams().map_err(|told| format!("{STREAMS}{told}"))?,
                false => self.value().map_err(|told| format!("{REQUEST}{told}"))?,
            }
            let ends_text = self.head == self.bytes.len();
            match self.next() {
                b',' => {}
                b'}' => return Ok(()),
                other => {
                    let last = self.bytes.last().filter(|byte| byte.is_ascii_digit());
                    let other = last.filter(|_| ends_text).copied().unwrap_or(other);
                    let other = shown(other);
                    return Err(format!(
                        "{REQUEST}isObjectEnd: object ended prematurely, unexpected char {other}"
                    ));
                }
            }
        }
    }

    /// Reads a member's name, and tells whether it is that of the streams.
    fn field(&mut self) -> Step<bool> {
        match self.next() {
            b'"' => {}
            other => {
                let other = shown(other);
                return Err(format!("readFieldHash: expect \", but found {other}"));
            }
        }
        let rest = &self.bytes[self.head..];
        let mut escaped = false;
        let end = rest.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else {
            return Err("readFieldHash: incomplete field name".to_owned());
        };
        let is_streams = rest[..end].eq_ignore_ascii_case(b"streams");
        self.head += end + 1;
        match self.next() {
            b':' => Ok(is_streams),
            other => {
                let other = shown(other);
                Err(format!("readFieldHash: expect :, but found {other}"))
            }
        }
    }

    fn streams(&mut self) -> Step {
        match self.next() {
            b'[' => {}
            b'n' => return self.word(b"ull"),
            other => {
                let other = shown(other);
                return Err(format!("decode slice: expect [ or n, but found {other}"));
            }
        }
        let behind = self.head;
        if self.next() == b']' {
            return Ok(());
        }
        self.head = behind;
        loop {
            let start = self.head;
            self.value()?;
            if (start..self.head).contains(&self.refused_at) {
                return Err(format!("unmarshalerDecoder: {}", self.reason));
            }
            match self.next() {
                b',' => {}
                b']' => return Ok(()),
                other => {
                    let other = shown(other);
                    return Err(format!("decode slice: expect ], but found {other}"));
                }
            }
        }
    }

    /// Passes over a value.
    fn value(&mut self) -> Step {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::Depth.to_string());
        }
        self.depth += 1;
        let outcome = match self.next() {
            b'"' => self.text(),
            b'n' => self.word(b"ull"),
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            b'[' => self.array(),
            b'{' => self.object(),
            digit @ (b'0'..=b'9' | b'-') => self.number(digit),
            other => Err(format!("Skip: do not know how to skip: {other}")),
        };
        self.depth -= 1;
        outcome
    }

    /// Reads the rest of a word.
    fn word(&mut self, rest: &[u8]) -> Step {
        for wanted in rest {
            let found = self.byte();
            self.head += usize::from(found.is_some());
            if found != Some(*wanted) {
                let many = if rest.len() == 3 { "Three" } else { "Four" };
                let rest = String::from_utf8_lossy(rest);
                return Err(format!("skip{many}Bytes: expect {rest}"));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Step {
        let next_is_digit = self.byte().is_some_and(|byte| byte.is_ascii_digit());
        if first == b'0' && next_is_digit {
            self.head -= 1;
            return Err("readFloat32: leading zero is invalid".to_owned());
        }
        if first == b'-' && !next_is_digit {
            return Err("readNumberAsString: invalid number".to_owned());
        }
        let of_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let rest = &self.bytes[self.head..];
        let end = rest.iter().position(|byte| !of_number(byte));
        self.head += end.unwrap_or(rest.len());
        Ok(())
    }

    /// Reads a text behind its first quote.
    fn text(&mut self) -> Step {
        // Without an escape before it, a control character is not taken.
        let rest = &self.bytes[self.head..];
        let stop = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        if let Some(stop) = stop
            && rest[stop] < b' '
        {
            let byte = rest[stop];
            return Err(format!(
                "trySkipString: invalid control character found: {byte}"
            ));
        }
        loop {
            let Some(byte) = self.byte() else {
                return Err("readStringSlowPath: unexpected end of input".to_owned());
            };
            self.head += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Step {
        let kind = self.byte();
        self.head += usize::from(kind.is_some());
        match kind {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                for _ in 0..4 {
                    let digit = self.byte();
                    self.head += usize::from(digit.is_some());
                    if !digit.is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        let digit = shown(digit.unwrap_or(0));
                        return Err(format!("readU4: expects 0~9 or a~f, but found {digit}"));
                    }
                }
                Ok(())
            }
            _ => Err("readEscapedChar: invalid escape char after \\".to_owned()),
        }
    }

    fn array(&mut self) -> Step {
        let behind = self.head;
        if self.next() == b']' {
            return Ok(());
        }
        self.head = behind;
        loop {
            self.value()?;
            match self.next() {
                b',' => {}
                b']' => return Ok(()),
                other => {
                    let other = shown(other);
                    return Err(format!(
                        "ReadArrayCB: expect ] in the end, but found {other}"
                    ));
                }
            }
        }
    }

    fn object(&mut self) -> Step {
        match self.next() {
            b'}' => return Ok(()),
            b'"' => {}
            other => {
                let other = shown(other);
                return Err(format!(
                    "ReadObjectCB: expect \" after {{, but found {other}"
                ));
            }
        }
        loop {
            self.text()?;
            let colon = self.next();
            if colon != b':' {
                let colon = shown(colon);
                return Err(format!(
                    "ReadObject: expect : after object field, but found {colon}"
                ));
            }
            self.value()?;
            match self.next() {
                b'}' => return Ok(()),
                b',' => {}
                _ => return Err("ReadObjectCB: object not ended with }".to_owned()),
            }
            match self.next() {
                b'"' => {}
                other => {
                    let other = shown(other);
                    return Err(format!("ReadString: expects \" or n, but found {other}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(body: &str) -> String {
        let at = body.find('!').unwrap_or(0);
        let body = body.replace('!', "");
        explain(body.as_bytes(), at, JsonError::Object).to_string()
    }

    #[test]
    fn what_is_no_request_is_told_as_by_the_first_reader() {
        for (body, what, offset, near) in [
            (" ", "readObjectStart: expect { or n, but found \0", 0, " "),
            (
                "true",
                "readObjectStart: expect { or n, but found t",
                1,
                "true",
            ),
            (
                "[{}]",
                "readObjectStart: expect { or n, but found [",
                1,
                "[{}]",
            ),
            ("nul", "skipThreeBytes: expect ull", 3, "nul"),
            ("{x", "R.readFieldHash: expect \", but found x", 2, "{x"),
            ("{ ", "R.readFieldHash: expect \", but found \0", 1, "{ "),
            ("{\"", "R.readFieldHash: incomplete field name", 2, "{\""),
            (
                "{\"streams\"",
                "R.readFieldHash: expect :, but found \0",
                10,
                "{\"streams\"",
            ),
            (
                "{\"a\":1",
                "R.isObjectEnd: object ended prematurely, unexpected char 1",
                6,
                "{\"a\":1",
            ),
            (
                "{\"a\":1]",
                "R.isObjectEnd: object ended prematurely, unexpected char ]",
                7,
                "{\"a\":1]",
            ),
            (
                "{\"a\":1,}",
                "R.readFieldHash: expect \", but found }",
                8,
                "{\"a\":1,}",
            ),
            (
                "{\"a\":tru}",
                "R.skipThreeBytes: expect rue",
                9,
                "{\"a\":tru}",
            ),
            (
                "{\"a\":[1,}",
                "R.Skip: do not know how to skip: 125",
                9,
                "{\"a\":[1,}",
            ),
            (
                "{\"a\":{\"b\"}}",
                "R.ReadObject: expect : after object field, but found }",
                10,
                "{\"a\":{\"b\"}}",
            ),
            (
                "{\"a\":{5}}",
                "R.ReadObjectCB: expect \" after {, but found 5",
                7,
                "{\"a\":{5}}",
            ),
            (
                "{\"a\":{\"b\":1,}}",
                "R.ReadString: expects \" or n, but found }",
                10,
                "\":{\"b\":1,}}",
            ),
            (
                "{\"a\":{\"b\":1]}",
                "R.ReadObjectCB: object not ended with }",
                10,
                "a\":{\"b\":1]}",
            ),
            (
                "{\"a\":-}",
                "R.readNumberAsString: invalid number",
                6,
                "{\"a\":-}",
            ),
            (
                "{\"a\":01}",
                "R.readFloat32: leading zero is invalid",
                5,
                "{\"a\":01}",
            ),
            (
                "{\"streams\":5}",
                "S.decode slice: expect [ or n, but found 5",
                10,
                "streams\":5}",
            ),
            (
                "{\"streams\":[",
                "S.Skip: do not know how to skip: 0",
                10,
                "streams\":[",
            ),
            (
                "{\"streams\":[{}",
                "S.decode slice: expect ], but found \0",
                10,
                "reams\":[{}",
            ),
            (
                "{\"streams\":[{\"a\":\"\\x\"}]}",
                "S.readEscapedChar: invalid escape char after \\",
                10,
                "[{\"a\":\"\\x\"}]}",
            ),
            (
                "{\"streams\":[{\"a\":\"\\uz\"}]}",
                "S.readU4: expects 0~9 or a~f, but found z",
                10,
                "{\"a\":\"\\uz\"}]}",
            ),
            (
                "{\"streams\":[{\"a\":\"x]}",
                "S.readStringSlowPath: unexpected end of input",
                10,
                "{\"a\":\"x]}",
            ),
            (
                "{\"streams\":[{\"a\":\"x\ty\"}]}",
                "S.trySkipString: invalid control character found: 9",
                10,
                "\":[{\"a\":\"x\ty\"}]}",
            ),
        ] {
            let what = what.replace("R.", REQUEST).replace("S.", STREAMS);
            let expected = format!("{what}, error found in #{offset} byte of ...|");
            let found = told(body);
            assert!(found.starts_with(&expected), "{body}: {found}");
            assert!(found.contains(near), "{body}: {found}");
            assert!(
                found.ends_with(&format!("bigger context ...|{body}|...")),
                "{found}"
            );
        }
        assert_eq!(told(""), "EOF");
    }

    #[test]
    fn a_stream_is_told_at_its_end() {
        let found = told("{\"streams\":[{\"stream\":!5},{}]}");
        let expected = format!(
            "{STREAMS}unmarshalerDecoder: Value looks like object, but can't find closing '}}' \
             symbol, error found in #10 byte of ...|stream\":5}},{{}}]}}|..., bigger context \
             ...|{{\"streams\":[{{\"stream\":5}},{{}}]}}|..."
        );
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn any_body_is_explained(body in "[{}\\[\\]\":,a-c0-9\\\\un \t-]{0,40}", at in 0usize..50) {
            let told = explain(body.as_bytes(), at, JsonError::Array).to_string();
            prop_assert!(!told.is_empty());
        }
    }

    #[test]
    fn what_stands_behind_a_stream_is_not_of_it() {
        let found = told("{\"streams\":[{}!}");
        let expected = format!("{STREAMS}decode slice: expect ], but found }}, error found");
        assert!(found.starts_with(&expected), "{found}");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(told(&deep).contains("exceeded max depth"));
    }
}
