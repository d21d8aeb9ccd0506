//! Finds the values in a line, so that what stands between them is the same in many lines.
//!
//! A splitter names places of a line and nothing else: whatever it finds, the line is the
//! text between the values with the values put back in. So a line comes back byte for byte
//! even where a splitter misunderstands it. What the names and forms mean is relied on only
//! for lines that the strict grammar of a splitter takes.

mod json;
mod logfmt;
mod plain;

/// What the values of a column are in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Characters between quotes, escapes as they are written.
    Quoted,
    /// A number, `true` or `false`; in logfmt any value without quotes.
    Bare,
    /// Something that is no label: a list, or a part of a line without names.
    Opaque,
}

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A JSON object.
    Json,
    /// Pairs of logfmt.
    Logfmt,
    /// Any text.
    Plain,
}

/// Where a value stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) form: Form,
    /// Number of the key, see [`Split::name`].
    key: u32,
}

/// A key and the object that it is in.
#[derive(Debug, Clone, Copy)]
struct Key {
    start: u32,
    end: u32,
    /// One more than the number of the key of the object, 0 at the top.
    parent: u32,
}

/// The values of one line; reused between lines.
#[derive(Debug, Default)]
pub(super) struct Split {
    pub(super) places: Vec<Place>,
    keys: Vec<Key>,
}

/// Longest line that is split. Longer ones are kept as they are.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Most values of a line.
const MAX_VALUES: usize = 256;

impl Split {
    /// Finds the values of a line.
    pub(super) fn split(&mut self, line: &[u8]) -> Option<Kind> {
        if line.is_empty() || line.len() > MAX_LINE_BYTES {
            return None;
        }
        if line[0] == b'{' {
            self.clear();
            if json::split(line, self) {
                return Some(Kind::Json);
            }
        }
        self.clear();
        if logfmt::split(line, self) {
            return Some(Kind::Logfmt);
        }
        self.clear();
        plain::split(line, self).then_some(Kind::Plain)
    }

    fn clear(&mut self) {
        self.places.clear();
        self.keys.clear();
    }

    fn key(&mut self, start: usize, end: usize, parent: u32) -> u32 {
        self.keys.push(Key {
            start: start as u32,
            end: end as u32,
            parent,
        });
        self.keys.len() as u32
    }

    /// Adds a value; false where there are too many.
    fn value(&mut self, start: usize, end: usize, form: Form, key: u32) -> bool {
        self.places.push(Place {
            start: start as u32,
            end: end as u32,
            form,
            key,
        });
        self.places.len() <= MAX_VALUES
    }

    /// Returns the name that a parser of LogQL gives a value: names of objects in front,
    /// joined by `_`, with `_` for whatever a label name does not have. `None` for a key
    /// that parsers treat in a way of their own.
    pub(super) fn name(&self, line: &[u8], place: Place) -> Option<String> {
        let mut path = Vec::new();
        let mut key = place.key;
        while let Some(found) = (key as usize).checked_sub(1).and_then(|i| self.keys.get(i)) {
            path.push(line.get(found.start as usize..found.end as usize)?);
            key = found.parent;
        }
        let mut name = String::new();
        for part in path.iter().rev() {
            if !name.is_empty() {
                name.push('_');
            }
            if part.is_empty() {
                return None;
            }
            for &byte in *part {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'_' => name.push(char::from(byte)),
                    b'0'..=b'9' if name.is_empty() => {
                        name.push('_');
                        name.push(char::from(byte));
                    }
                    b'0'..=b'9' => name.push(char::from(byte)),
                    b'-' | b'.' | b'/' | b' ' | b'@' | b':' => name.push('_'),
                    _ => return None,
                }
            }
        }
        (!name.is_empty()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> Option<(Kind, Vec<(String, String)>)> {
        let mut split = Split::default();
        let kind = split.split(line.as_bytes())?;
        let values = split.places.iter().map(|&place| {
            let name = split.name(line.as_bytes(), place).unwrap_or_default();
            let value = &line[place.start as usize..place.end as usize];
            (name, value.to_owned())
        });
        Some((kind, values.collect()))
    }

    fn check(line: &str, kind: Kind, expected: &[(&str, &str)]) {
        let expected = expected
            .iter()
            .map(|&(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        assert_eq!(parts(line), Some((kind, expected)), "{line}");
    }

    #[test]
    fn finds_the_values_of_json() {
        check(
            r#"{"a":"x", "b" : -1.5e3,"c":{"d":true,"e":{}},"n":null,"l":[1,"]"],"1x.y":""}"#,
            Kind::Json,
            &[
                ("a", "x"),
                ("b", "-1.5e3"),
                ("c_d", "true"),
                ("l", r#"[1,"]"]"#),
                ("_1x_y", ""),
            ],
        );
        check(r#"{"a":"\"\\"}"#, Kind::Json, &[("a", r#"\"\\"#)]);
    }

    #[test]
    fn takes_for_json_only_what_the_grammar_takes() {
        for line in [
            r#"{"a":01}"#,
            r#"{"a":1}x"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{"a":tru}"#,
            r#"{"a":1"#,
            r#"{"a":"x}"#,
            r#"{a:1}"#,
            r#"{"a":+1}"#,
            r#"{"a":1.}"#,
        ] {
            assert!(!matches!(parts(line), Some((Kind::Json, _))), "{line}");
        }
    }

    #[test]
    fn finds_the_values_of_logfmt() {
        check(
            r#"level=info msg="a b" t=1.5s"#,
            Kind::Logfmt,
            &[("level", "info"), ("msg", "a b"), ("t", "1.5s")],
        );
        for line in ["level=info alone", r#"a=b c="d"e"#, "a=b =c", r#"a=b c="d"#] {
            assert!(!matches!(parts(line), Some((Kind::Logfmt, _))), "{line}");
        }
    }

    #[test]
    fn finds_what_varies_in_text() {
        check(
            r#"1.2.3.4 - - [x1] "GET / HTTP" done in 15 ms"#,
            Kind::Plain,
            &[("", "1.2.3.4"), ("", "x1"), ("", "GET / HTTP"), ("", "15")],
        );
    }
}
