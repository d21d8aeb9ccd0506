//! Writing YAML the way Go's packages do: block style, quotes only where a plain text would
//! mean something else. Version 2, which writes configurations, leaves a list at the column
//! of its key; version 3, which writes rules over logs, indents by four and keeps the lines
//! of a text.

use super::fields::{yaml_bool, yaml_float, yaml_int};

/// A value to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Yaml {
    /// Written as it is: a number, a boolean, a text known to need no quotes.
    Plain(String),
    /// A text, quoted where needed.
    Text(String),
    /// A list in one line.
    Flow(Vec<String>),
    /// A list, one item a line.
    List(Vec<Yaml>),
    /// Pairs in this order.
    Map(Vec<(String, Yaml)>),
}

/// Whose form a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Version2,
    Version3,
}

impl Form {
    /// Returns the column of a map below a key at a column.
    fn map_below(self, indent: usize) -> usize {
        match self {
            Form::Version2 => indent + 2,
            // The next multiple of four, wherever a list has put the key.
            Form::Version3 => (indent + 4) / 4 * 4,
        }
    }

    /// Returns the column of a list below a key at a column.
    fn list_below(self, indent: usize) -> usize {
        match self {
            Form::Version2 => indent,
            Form::Version3 => self.map_below(indent),
        }
    }
}

impl Yaml {
    /// Returns the document in the form of version 2, each line ended.
    pub(crate) fn document(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, Form::Version2);
        out
    }

    /// Returns the document in the form of version 3, each line ended.
    pub(crate) fn document_of_version_3(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, Form::Version3);
        out
    }

    fn write(&self, out: &mut String, indent: usize, form: Form) {
        match self {
            Yaml::Map(pairs) => {
                for (index, (key, value)) in pairs.iter().enumerate() {
                    if index > 0 {
                        out.push_str(&" ".repeat(indent));
                    }
                    out.push_str(&scalar(key));
                    out.push(':');
                    value.write_below(out, indent, form);
                }
            }
            Yaml::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(&" ".repeat(indent));
                    }
                    out.push_str("- ");
                    item.write(out, indent + 2, form);
                }
            }
            _ => {
                out.push_str(&self.inline());
                out.push('\n');
            }
        }
    }

    fn write_below(&self, out: &mut String, indent: usize, form: Form) {
        let below = match self {
            Yaml::Map(pairs) if !pairs.is_empty() => form.map_below(indent),
            Yaml::List(items) if !items.is_empty() => form.list_below(indent),
            Yaml::Text(text) if form == Form::Version3 && may_be_literal(text) => {
                return literal(out, text, form.map_below(indent));
            }
            _ => {
                out.push(' ');
                out.push_str(&self.inline());
                out.push('\n');
                return;
            }
        };
        out.push('\n');
        out.push_str(&" ".repeat(below));
        self.write(out, below, form);
    }

    fn inline(&self) -> String {
        match self {
            Yaml::Plain(text) => text.clone(),
            Yaml::Text(text) => scalar(text),
            Yaml::Flow(items) => {
                let items: Vec<_> = items.iter().map(|item| flow_scalar(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Yaml::List(_) => "[]".to_owned(),
            Yaml::Map(_) => "{}".to_owned(),
        }
    }
}

/// Collects the pairs of a map, leaving out what says nothing, as Go's `omitempty`.
#[derive(Debug, Default)]
pub(crate) struct MapWriter(Vec<(String, Yaml)>);

impl MapWriter {
    /// Adds a pair whatever it says.
    pub(crate) fn put(&mut self, key: &str, value: Yaml) -> &mut MapWriter {
        self.0.push((key.to_owned(), value));
        self
    }

    /// Adds a boolean.
    pub(crate) fn flag(&mut self, key: &str, on: bool) -> &mut MapWriter {
        self.put(key, Yaml::Plain(on.to_string()))
    }

    /// Adds a text that is not empty.
    pub(crate) fn text(&mut self, key: &str, text: &str) -> &mut MapWriter {
        if !text.is_empty() {
            self.put(key, Yaml::Text(text.to_owned()));
        }
        self
    }

    /// Adds a number that is not 0.
    pub(crate) fn number(&mut self, key: &str, number: u64) -> &mut MapWriter {
        if number != 0 {
            self.put(key, Yaml::Plain(number.to_string()));
        }
        self
    }

    /// Adds a list that is not empty.
    pub(crate) fn list(&mut self, key: &str, items: Vec<Yaml>) -> &mut MapWriter {
        if !items.is_empty() {
            self.put(key, Yaml::List(items));
        }
        self
    }

    /// Adds a map that is not empty.
    pub(crate) fn map(&mut self, key: &str, map: MapWriter) -> &mut MapWriter {
        if !map.0.is_empty() {
            self.put(key, map.done());
        }
        self
    }

    /// Returns the map.
    pub(crate) fn done(self) -> Yaml {
        Yaml::Map(self.0)
    }
}

/// Tells whether a text of several lines can stand as these lines. One that begins with a
/// blank would need its column told, and Go tells a wrong one.
fn may_be_literal(text: &str) -> bool {
    let is_odd = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.ends_with(' ')
        && !text.contains(" \n")
        && !text.contains(is_odd)
}

fn literal(out: &mut String, text: &str, indent: usize) {
    let end = match text.strip_suffix('\n') {
        None => " |-\n",
        Some(before) if before.ends_with('\n') => " |+\n",
        Some(_) => " |\n",
    };
    out.push_str(end);
    for line in text.lines() {
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn scalar(text: &str) -> String {
    if text.is_empty() || means_something_else(text) {
        return double_quoted(text);
    }
    if text.chars().any(|c| c.is_control() || c == '\u{feff}') {
        return double_quoted(text);
    }
    if is_plain(text) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// Between brackets commas and brackets mean something, too.
fn flow_scalar(text: &str) -> String {
    let written = scalar(text);
    let plain = written == text;
    if plain && text.contains([',', '[', ']', '{', '}', '?']) {
        return format!("'{text}'");
    }
    written
}

/// Tells whether a plain scalar would be read as another type than text.
fn means_something_else(text: &str) -> bool {
    matches!(text, "~" | "null" | "Null" | "NULL" | "<<" | "=")
        || yaml_bool(text).is_some()
        || yaml_int(text).is_some()
        || yaml_float(text).is_some()
        || is_date(text)
        || is_base_60(text)
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[5..]
            .iter()
            .all(|b| b.is_ascii_digit() || b"-:TtZz. +".contains(b))
}

/// YAML 1.1 reads `1:30` as a number; Go quotes it for others' sake.
fn is_base_60(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    body.contains(':')
        && body.starts_with(|c: char| c.is_ascii_digit())
        && body
            .bytes()
            .all(|b| b.is_ascii_digit() || b"_.:".contains(&b))
        && body.split(':').skip(1).all(|part| {
            let whole = part.split('.').next().unwrap_or_default();
            matches!(whole.len(), 1 | 2) && whole.parse::<u32>().is_ok_and(|n| n < 60)
        })
}

fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return false;
    };
    let second_is_blank = chars.next().is_none_or(char::is_whitespace);
    let starts_badly = "#,[]{}&*!|>'\"%@`".contains(first)
        || (matches!(first, '-' | '?' | ':') && second_is_blank)
        || text.starts_with("---")
        || text.starts_with("...");
    let ends_badly = text.ends_with([' ', ':']);
    !starts_badly && !ends_badly && first != ' ' && !text.contains(": ") && !text.contains(" #")
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{feff}' => out.push_str("\\uFEFF"),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::yaml::{self, Value};

    #[test]
    fn texts_are_quoted_only_where_needed() {
        for (text, written) in [
            ("plain", "plain"),
            ("127.0.0.1:9100", "127.0.0.1:9100"),
            ("<secret>", "<secret>"),
            ("$1", "$1"),
            (";", ";"),
            (".*:29492", ".*:29492"),
            ("(.*)", "(.*)"),
            ("", "\"\""),
            ("true", "\"true\""),
            ("15", "\"15\""),
            ("1e3", "\"1e3\""),
            ("null", "\"null\""),
            ("2020-01-02", "\"2020-01-02\""),
            ("*", "'*'"),
            ("a: b", "'a: b'"),
            ("it's #1 ", "'it''s #1 '"),
            ("a\nb", "\"a\\nb\""),
            ("-", "'-'"),
            ("-x", "-x"),
        ] {
            assert_eq!(scalar(text), written, "{text:?}");
        }
    }

    #[test]
    fn structures_are_indented_as_in_go() {
        let mut inner = MapWriter::default();
        inner.text("b", "x").list("c", vec![Yaml::Text("z".into())]);
        let mut empty = MapWriter::default();
        empty.text("nothing", "");
        let mut outer = MapWriter::default();
        outer
            .list("a", vec![inner.done()])
            .map("left_out", empty)
            .put("f", Yaml::Flow(vec!["p".into(), "q,r".into()]));
        assert_eq!(
            outer.done().document(),
            "a:\n- b: x\n  c:\n  - z\nf: [p, 'q,r']\n"
        );
    }

    #[test]
    fn version_3_indents_by_four_and_keeps_lines() {
        let text = |text: &str| Yaml::Text(text.to_owned());
        let mut labels = MapWriter::default();
        labels.text("l", "1").text("m", "a\n\n b");
        let mut inner = MapWriter::default();
        inner
            .text("b", "x: y\n")
            .list("c", vec![text("z"), Yaml::List(vec![text("u"), text("v")])])
            .map("d", labels);
        let mut outer = MapWriter::default();
        outer
            .list("a", vec![inner.done(), text("w")])
            .text("e", "p\nq\n\n")
            .text("f", " p\nq")
            .text("g", "p \nq")
            .put("h", Yaml::List(Vec::new()));
        let expected = "\
a:
    - b: |
        x: y
      c:
        - z
        - - u
          - v
      d:
        l: \"1\"
        m: |-
            a

             b
    - w
e: |+
    p
    q

f: \" p\\nq\"
g: \"p \\nq\"
h: []
";
        assert_eq!(outer.done().document_of_version_3(), expected);
    }

    proptest! {
        #[test]
        fn a_text_is_read_back_as_it_was(text in "[ -~\n\té€]{0,20}") {
            let mut map = MapWriter::default();
            map.put("k", Yaml::Text(text.clone()));
            let map = map.done();
            for document in [map.document(), map.document_of_version_3()] {
                let tree = yaml::parse(&document).unwrap();
                let read = tree.root.get("k").unwrap();
                let is_text = matches!(&read.value, Value::Scalar { text: t, .. } if *t == text);
                prop_assert!(is_text, "{document:?} is {read:?}");
            }
        }
    }
}
