//! Queries of LogQL, written from bytes: each byte is one choice, and when they are used
//! up the first choice is taken, which ends every expression. Leaving bytes out gives
//! smaller queries.
//!
//! Some of them are wrong on purpose, or become so by a letter more or less: what both
//! sides say about them is compared as well.

/// What a query gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Entries.
    Entries,
    /// Numbers.
    Numbers,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its text.
    pub text: String,
    /// What it gives, unless it is wrong.
    pub kind: Kind,
}

/// The order of series in the answer of an instant query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// That of their labels.
    Labels,
    /// That of their values; equal ones in any order.
    Values,
    /// None.
    Any,
}

impl Query {
    /// Returns the order of the answer. A function within that sorts takes it all order.
    pub fn order(&self) -> Order {
        let text = self.text.to_lowercase();
        match text.contains("sort") {
            true if text.starts_with("sort") && text.matches("sort").count() == 1 => Order::Values,
            true => Order::Any,
            false => Order::Labels,
        }
    }
}

/// Writes a query.
pub fn query(bytes: &[u8]) -> Query {
    let mut writer = Writer {
        bytes,
        text: String::new(),
    };
    let is_mutant = writer.once_in(16);
    let kind = match writer.choose(2) {
        0 => {
            writer.entries();
            Kind::Entries
        }
        _ => {
            writer.vector(0);
            Kind::Numbers
        }
    };
    if is_mutant {
        writer.mutate();
    } else if writer.once_in(40) {
        writer.text = writer
            .text
            .replace(" | ", " # of a pipe |\n\t| ")
            .replace("sum", "SuM");
    }
    Query {
        text: writer.text,
        kind,
    }
}

/// What has been written, and the choices that are left.
pub(super) struct Writer<'a> {
    bytes: &'a [u8],
    pub(super) text: String,
}

/// Labels that entries have, get or lack.
const LABELS: &[&str] = &[
    "app",
    "level",
    "status",
    "dur",
    "size",
    "n",
    "msg",
    "ip",
    "env",
    "user",
    "a",
    "b",
    "trace_id",
    "detected_level",
    "nested_a",
    "a_b",
    "app_extracted",
    "status_extracted",
    "pod",
    "missing",
    "__error__",
    "__error_details__",
    "service_name",
    "v",
    "kind",
    "method",
    "path",
    "c",
    "A",
    "_1st",
    "dur_extracted",
    "x",
    "nested_a_b",
    "level_extracted",
    "nested",
    "list",
];

const SELECTORS: &[&str] = &[
    r#"{app="json"}"#,
    r#"{app="logfmt"}"#,
    r#"{app="num"}"#,
    r#"{app=~".+"}"#,
    r#"{app="plain"}"#,
    r#"{app="nginx"}"#,
    r#"{app="packed"}"#,
    r#"{app="odd"}"#,
    r#"{app=~"json|logfmt"}"#,
    r#"{app=~"j.*|num", env!="dev"}"#,
    r#"{env="prod"}"#,
    r#"{env="prod", level=""}"#,
    r#"{app!~"json|odd", env=~"p.+"}"#,
    r#"{service_name="json"}"#,
    r#"{app="none"}"#,
    r#"{app="json", app!="logfmt"}"#,
    r#"{detected_level="error"}"#,
];

const ODD_SELECTORS: &[&str] = &[
    r#"{app=~".*"}"#,
    "{}",
    r#"{app="json",}"#,
    r#"{"app"="json"}"#,
];

impl Writer<'_> {
    pub(super) fn choose(&mut self, among: usize) -> usize {
        match self.bytes.split_first() {
            Some((&byte, rest)) => {
                self.bytes = rest;
                usize::from(byte) % among
            }
            None => 0,
        }
    }

    /// Tells whether a thing happens that happens once in `n` times, and never when there
    /// are no choices left.
    pub(super) fn once_in(&mut self, n: usize) -> bool {
        self.choose(n) == n - 1
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn put(&mut self, from: &[&str]) {
        let piece = from[self.choose(from.len())];
        self.text.push_str(piece);
    }

    /// Returns one of the usual pieces, seldom one of the odd ones, which may be wrong.
    pub(super) fn pick<'p>(&mut self, usual: &[&'p str], odd: &[&'p str]) -> &'p str {
        match self.once_in(25) {
            true => odd[self.choose(odd.len())],
            false => usual[self.choose(usual.len())],
        }
    }

    pub(super) fn put_or(&mut self, usual: &[&str], odd: &[&str]) {
        let piece = self.pick(usual, odd);
        self.push(piece);
    }

    pub(super) fn label(&mut self) {
        self.put(LABELS);
    }

    /// Writes a label that a stage sets. Beside an error of its own Loki would have two
    /// labels of one name, in the order of an unstable sort.
    pub(super) fn target(&mut self) {
        let label = LABELS[self.choose(LABELS.len())];
        self.push(match label.starts_with("__") {
            true => "x",
            false => label,
        });
    }

    /// Writes a text as a string of one of the three kinds.
    pub(super) fn string(&mut self, text: &str) {
        match self.choose(6) {
            1 if !text.contains('`') => self.text.push_str(&format!("`{text}`")),
            2 if text.is_ascii() => {
                let escape = |byte: u8| match byte {
                    b'a'..=b'z' | b' ' => char::from(byte).to_string(),
                    b'A'..=b'M' => format!("\\u{byte:04x}"),
                    b'N'..=b'Z' => format!("\\{byte:03o}"),
                    _ => format!("\\x{byte:02X}"),
                };
                let text: String = text.bytes().map(escape).collect();
                self.text.push_str(&format!("\"{text}\""));
            }
            _ => {
                let text = text
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n")
                    .replace('\u{1b}', "\\x1b");
                self.text.push_str(&format!("\"{text}\""));
            }
        }
    }

    pub(super) fn selector(&mut self) {
        self.put_or(SELECTORS, ODD_SELECTORS);
    }

    fn entries(&mut self) {
        let parenthesised = self.once_in(16);
        if parenthesised {
            self.push("(");
        }
        self.selector();
        self.stages(6);
        if parenthesised {
            self.push(")");
        }
    }

    /// Does something to the text that may take its meaning.
    fn mutate(&mut self) {
        let mut chars: Vec<char> = self.text.chars().collect();
        for _ in 0..1 + self.choose(3) {
            let at = (self.choose(256) * 256 + self.choose(256)) % (chars.len() + 1);
            let until = (at + 1 + self.choose(6)).min(chars.len());
            match self.choose(6) {
                0 | 1 if at < chars.len() => {
                    chars.remove(at);
                }
                2 => drop(chars.drain(at..until)),
                3 => {
                    let again: Vec<char> = chars[at..until].to_vec();
                    chars.splice(at..at, again);
                }
                4 => chars.truncate(at),
                _ => {
                    let pieces = [
                        "\"", "{", "}", "(", ")", "|", "=", ",", "`", "[", "]", "1", " ", "\n",
                        "#", ".", "-", "by ", " or ", " and ", "é", "\\", "~", "!", " json ",
                        " unwrap ", "1kb", "1.5h", "'", "0x1", "$", "<", ">",
                    ];
                    let piece = pieces[self.choose(pieces.len())];
                    chars.splice(at..at, piece.chars());
                }
            }
        }
        self.text = chars.into_iter().collect();
    }
}
