//! Reading `key=value` pairs.
//!
//! Upstream source: `pkg/logql/log/logfmt` of Loki, which follows `go-logfmt`.

use memchr::memchr2;

use super::json::has_invalid;

/// What is wrong with a line, and at which byte, from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logfmt syntax error at pos {pos} : {what}")]
pub(super) struct LogfmtError {
    pub(super) pos: usize,
    what: Defect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Defect {
    #[error("unexpected '='")]
    Equals,
    #[error("unexpected '\"'")]
    Quote,
    #[error("invalid key")]
    Key,
    #[error("unterminated quoted value")]
    Unterminated,
    #[error("invalid quoted value")]
    Quoted,
}

/// Takes one pair after another off a line.
#[derive(Debug)]
pub(super) struct Pairs<'l, 'b> {
    line: &'l [u8],
    at: usize,
    /// Holds a value whose escapes were resolved.
    buffer: &'b mut Vec<u8>,
    /// The last defect.
    pub(super) error: Option<LogfmtError>,
}

/// A key and where its value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair<'l> {
    pub(super) key: &'l [u8],
    value: PairValue<'l>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PairValue<'l> {
    /// As it stands in the line.
    Plain(&'l [u8]),
    /// In the buffer.
    Unescaped,
}

impl<'l, 'b> Pairs<'l, 'b> {
    /// Returns the pairs of a line.
    pub(super) fn new(line: &'l [u8], buffer: &'b mut Vec<u8>) -> Pairs<'l, 'b> {
        Pairs {
            line,
            at: 0,
            buffer,
            error: None,
        }
    }

    /// Tells whether the line is at its end.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.line.len()
    }

    /// Returns the value of the pair that was taken last.
    pub(super) fn value<'v>(&'v self, pair: &Pair<'l>) -> &'v [u8]
    where
        'l: 'v,
    {
        match pair.value {
            PairValue::Plain(text) => text,
            PairValue::Unescaped => self.buffer,
        }
    }

    /// Takes a pair; `None` where there is none, or a bad one.
    pub(super) fn take(&mut self) -> Option<Pair<'l>> {
        let line = self.line;
        self.at += line[self.at..]
            .iter()
            .position(|c| *c > b' ')
            .unwrap_or(line.len() - self.at);
        if self.is_at_end() {
            return None;
        }
        let start = self.at;
        let len = line[start..]
            .iter()
            .position(|c| *c <= b' ' || matches!(c, b'=' | b'"'));
        self.at = len.map_or(line.len(), |len| start + len);
        let key = &line[start..self.at];
        let is_bad = !key.is_ascii() && has_invalid(key);
        let bare = Pair {
            key,
            value: PairValue::Plain(b""),
        };
        match line.get(self.at) {
            Some(b'"') => return self.skip(Defect::Quote),
            Some(b'=') if key.is_empty() => return self.skip(Defect::Equals),
            Some(b'=') if is_bad => return self.skip(Defect::Key),
            _ if is_bad => {
                self.fail(Defect::Key);
                return None;
            }
            Some(b'=') => self.at += 1,
            _ => return Some(bare),
        }
        match line.get(self.at) {
            None | Some(..=b' ') => Some(bare),
            Some(b'"') => self.quoted(key),
            Some(_) => {
                let start = self.at;
                let ends = |c: &u8| *c <= b' ' || matches!(c, b'=' | b'"');
                let len = line[start..].iter().position(ends);
                self.at = len.map_or(line.len(), |len| start + len);
                match line.get(self.at) {
                    Some(b'=') => self.skip(Defect::Equals),
                    Some(b'"') => self.skip(Defect::Quote),
                    _ => Some(Pair {
                        key,
                        value: PairValue::Plain(&line[start..self.at]),
                    }),
                }
            }
        }
    }

    fn quoted(&mut self, key: &'l [u8]) -> Option<Pair<'l>> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            let rest = self.line.get(at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                self.at = self.line.len();
                self.fail(Defect::Unterminated);
                return None;
            };
            at += found;
            if self.line[at] == b'"' {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        let text = &self.line[start..at];
        if !escaped {
            return Some(Pair {
                key,
                value: PairValue::Plain(text),
            });
        }
        self.buffer.clear();
        if !unquote(text, self.buffer) {
            self.fail(Defect::Quoted);
            return None;
        }
        Some(Pair {
            key,
            value: PairValue::Unescaped,
        })
    }

    fn fail(&mut self, what: Defect) {
        self.error = Some(LogfmtError {
            pos: self.at + 1,
            what,
        });
    }

    /// Notes a defect and goes on behind the next space.
    fn skip(&mut self, what: Defect) -> Option<Pair<'l>> {
        self.fail(what);
        let len = self.line[self.at..].iter().position(|c| *c <= b' ');
        self.at = len.map_or(self.line.len(), |len| self.at + len);
        None
    }
}

/// Appends a quoted text with its escapes resolved, as Go's JSON does; `false` where one is
/// none.
fn unquote(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = text;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        push_valid(&rest[..found], out);
        let (plain, len) = match rest.get(found + 1) {
            Some(c @ (b'"' | b'\\' | b'/' | b'\'')) => (*c, 2),
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0c, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'u') => {
                let Some((c, len)) = unicode_escape(&rest[found..]) else {
                    return false;
                };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[found + len..];
                continue;
            }
            _ => return false,
        };
        out.push(plain);
        rest = &rest[found + len..];
    }
    push_valid(rest, out);
    true
}

fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let first = hex4(text)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 6));
    }
    let second = text.get(6..).and_then(hex4);
    let pair = second.map(|second| [first as u16, second as u16]);
    let decoded = pair.and_then(|pair| char::decode_utf16(pair).next()?.ok());
    match decoded {
        Some(c) => Some((c, 12)),
        None => Some((char::REPLACEMENT_CHARACTER, 6)),
    }
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |number, digit| {
        Some(number * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// Appends text with a replacement character for each byte that is not UTF-8.
fn push_valid(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &[u8]) -> (Vec<(String, String)>, Option<String>) {
        let mut buffer = Vec::new();
        let mut pairs = Pairs::new(line, &mut buffer);
        let mut seen = Vec::new();
        while !pairs.is_at_end() {
            if let Some(pair) = pairs.take() {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                seen.push((text(pair.key), text(pairs.value(&pair))));
            }
        }
        (seen, pairs.error.map(|error| error.to_string()))
    }

    #[test]
    fn pairs_are_taken_and_bad_ones_left_out() {
        let (seen, error) = read(b" a=1 b=\"x \\\"y\\\"\\u00e4\"  flag c= d=\"\" e");
        let expected = [
            ("a", "1"),
            ("b", "x \"y\"\u{e4}"),
            ("flag", ""),
            ("c", ""),
            ("d", ""),
            ("e", ""),
        ];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!((seen.as_slice(), error), (&expected[..], None));

        let cases: [(&[u8], &str, usize); 7] = [
            (
                b"=x a=1",
                "logfmt syntax error at pos 1 : unexpected '='",
                1,
            ),
            (
                b"a=1=2 b=2",
                "logfmt syntax error at pos 4 : unexpected '='",
                1,
            ),
            (
                b"a=1\"2 b=2",
                "logfmt syntax error at pos 4 : unexpected '\"'",
                1,
            ),
            (
                b"\"a\" b=2",
                "logfmt syntax error at pos 1 : unexpected '\"'",
                1,
            ),
            (
                b"b=2 a=\"x",
                "logfmt syntax error at pos 9 : unterminated quoted value",
                1,
            ),
            (
                b"b=2 a=\"\\x\"",
                "logfmt syntax error at pos 11 : invalid quoted value",
                1,
            ),
            (
                b"k\xff=1 b=2",
                "logfmt syntax error at pos 3 : invalid key",
                1,
            ),
        ];
        for (line, error, n) in cases {
            let (seen, got) = read(line);
            assert_eq!((seen.len(), got.as_deref()), (n, Some(error)), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&line);
        }

        #[test]
        fn any_pieces_come_to_an_end(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["a", "=", "\"", "\\", " ", "\\u", "00e4", "\u{e4}"]),
                0..60,
            )
        ) {
            let _ = read(pieces.concat().as_bytes());
        }
    }
}
