//! Pairs of a logfmt line, as far as finding a level needs them.

use super::level::level_of;
use super::scan;

/// Reads `key=value` pairs off a line up to the first mistake.
#[derive(Debug)]
pub(super) struct Pairs<'l> {
    line: &'l [u8],
    at: usize,
}

/// The value of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PairValue<'l> {
    /// As it stands in the line; empty where there is none.
    Plain(&'l [u8]),
    /// Of a quoted value with escapes, what stands between the quotes.
    Escaped(&'l [u8]),
}

impl PairValue<'_> {
    /// Returns the level that the value names.
    pub(super) fn level(self) -> Option<&'static str> {
        match self {
            PairValue::Plain(value) => level_of(value),
            PairValue::Escaped(raw) => level_of(&scan::text(raw, true).ok()?),
        }
    }
}

impl<'l> Pairs<'l> {
    pub(super) fn new(line: &'l [u8]) -> Pairs<'l> {
        Pairs { line, at: 0 }
    }

    /// Returns the next key and value, `None` at the end and at the first mistake.
    #[inline]
    pub(super) fn next_pair(&mut self) -> Option<(&'l [u8], PairValue<'l>)> {
        let line = self.line;
        let start = self.at + line.get(self.at..)?.iter().position(|byte| *byte > b' ')?;
        let rest = &line[start..];
        let stops = |byte: &u8| *byte == b'=' || *byte == b'"' || *byte <= b' ';
        let key_end = start + rest.iter().position(stops).unwrap_or(rest.len());
        let key = &line[start..key_end];
        if !key.is_ascii() && is_no_key(key) {
            return None;
        }
        self.at = key_end;
        let none = PairValue::Plain(&[]);
        match line.get(key_end) {
            Some(b'"') => return None,
            Some(b'=') if key.is_empty() => return None,
            Some(b'=') => {}
            _ => return Some((key, none)),
        }
        let from = key_end + 1;
        self.at = from;
        match line.get(from) {
            Some(b'"') => self.quoted(from + 1).map(|value| (key, value)),
            Some(byte) if *byte > b' ' => {
                let rest = &line[from..];
                let end = from + rest.iter().position(stops).unwrap_or(rest.len());
                self.at = end;
                match line.get(end) {
                    Some(b'=' | b'"') => None,
                    _ => Some((key, PairValue::Plain(&line[from..end]))),
                }
            }
            _ => Some((key, none)),
        }
    }

    fn quoted(&mut self, from: usize) -> Option<PairValue<'l>> {
        let (end, escapes) = scan::string_end(self.line, from)?;
        self.at = end + 1;
        let raw = &self.line[from..end];
        match escapes {
            false => Some(PairValue::Plain(raw)),
            // A value that cannot be read ends the reading.
            true => scan::text(raw, true).ok().map(|_| PairValue::Escaped(raw)),
        }
    }
}

fn is_no_key(key: &[u8]) -> bool {
    std::str::from_utf8(key).map_or(true, |key| key.contains(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Vec<(String, String)> {
        let mut pairs = Pairs::new(line.as_bytes());
        let mut found = Vec::new();
        while let Some((key, value)) = pairs.next_pair() {
            let (PairValue::Plain(value) | PairValue::Escaped(value)) = value;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.push((text(key), text(value)));
        }
        found
    }

    #[test]
    fn pairs_are_read_up_to_the_first_mistake() {
        let of = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
            owned.collect()
        };
        assert_eq!(
            pairs(" a=1 b  c= d=\"x y\" "),
            of(&[("a", "1"), ("b", ""), ("c", ""), ("d", "x y")])
        );
        assert_eq!(
            pairs(r#"a="q\"x" b=2"#),
            of(&[("a", r#"q\"x"#), ("b", "2")])
        );
        assert_eq!(pairs("a=1 =2 b=3"), of(&[("a", "1")]));
        assert_eq!(pairs("a=1 b=x=y c=3"), of(&[("a", "1")]));
        assert_eq!(pairs(r#"a=1 b="open c=3"#), of(&[("a", "1")]));
        assert_eq!(pairs(r#"a="\q" b=1"#), of(&[]));
        assert_eq!(pairs("\u{fffd}=1 b=1"), of(&[]));
        assert_eq!(pairs("é=1"), of(&[("é", "1")]));
    }
}
