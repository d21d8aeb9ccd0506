//! JSON that keeps the order of its members, and what of it is not compared.

use std::fmt::Write as _;

/// A value; texts and numbers stay as they are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    Scalar(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text; `None` where it is no JSON.
    pub fn read(text: &str) -> Option<Json> {
        serde_json::from_str::<serde_json::Value>(text).ok()?;
        let mut reader = Reader { text, at: 0 };
        reader.value()
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Scalar(text) => out.push_str(text),
            Json::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    let _ = write!(out, "{}{name}:", if i > 0 { "," } else { "" });
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    fn without_values(&mut self) {
        match self {
            Json::Scalar(text) => {
                *text = match text.as_bytes().first() {
                    Some(b'"') => "\"text\"".to_owned(),
                    Some(b'-' | b'0'..=b'9') => "0".to_owned(),
                    Some(b't') => "false".to_owned(),
                    _ => std::mem::take(text),
                };
            }
            Json::List(items) => items.iter_mut().for_each(Json::without_values),
            Json::Object(members) => members.iter_mut().for_each(|(_, v)| v.without_values()),
        }
    }

    /// Tells whether nothing is in it but empty lists and a limit, which are left out.
    fn is_empty(&self) -> bool {
        let Json::Object(members) = self else {
            return false;
        };
        let is_empty = |value: &Json| *value == Json::List(Vec::new());
        let mut members = members.iter();
        members.all(|(name, value)| name == "\"limit\"" || is_empty(value))
    }

    /// Keeps what a query's costs are called, and leaves out what is zero as often as not.
    fn as_stats(&mut self) {
        self.without_values();
        self.without_members(&["\"recvWaitTime\"", "\"estimatedQueryBytes\""]);
    }

    fn without_members(&mut self, names: &[&str]) {
        if let Json::Object(members) = self {
            members.retain(|(name, _)| !names.contains(&name.as_str()));
            members
                .iter_mut()
                .for_each(|(_, value)| value.without_members(names));
        }
    }

    fn masked(&mut self, mask: &Mask) {
        match self {
            Json::Scalar(_) => {}
            Json::List(items) => {
                items.iter_mut().for_each(|item| item.masked(mask));
                if mask.unordered {
                    items.sort();
                }
            }
            Json::Object(members) => {
                if mask.unordered && !members.iter().any(|(name, _)| name == "\"status\"") {
                    members.sort();
                }
                for (name, value) in members {
                    match name.as_str() {
                        "\"stats\"" => value.as_stats(),
                        _ => value.masked(mask),
                    }
                }
            }
        }
    }
}

/// Reads a text that is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn value(&mut self) -> Option<Json> {
        match self.peek()? {
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                while self.peek()? != b']' {
                    if self.peek()? == b',' {
                        self.at += 1;
                    }
                    items.push(self.value()?);
                }
                self.at += 1;
                Some(Json::List(items))
            }
            b'{' => {
                let mut members = Vec::new();
                self.at += 1;
                while self.peek()? != b'}' {
                    if self.peek()? == b',' {
                        self.at += 1;
                    }
                    let Json::Scalar(name) = self.value()? else {
                        return None;
                    };
                    self.peek()?;
                    self.at += 1;
                    members.push((name, self.value()?));
                }
                self.at += 1;
                Some(Json::Object(members))
            }
            b'"' => {
                let start = self.at;
                self.at += 1;
                while self.text.as_bytes().get(self.at)? != &b'"' {
                    let escaped = self.text.as_bytes().get(self.at)? == &b'\\';
                    self.at += if escaped { 2 } else { 1 };
                }
                self.at += 1;
                // The same text may be escaped in several ways.
                let literal = self.text.get(start..self.at)?;
                let text: String = serde_json::from_str(literal).ok()?;
                Some(Json::Scalar(serde_json::to_string(&text).ok()?))
            }
            _ => {
                let start = self.at;
                let rest = self.text.get(start..)?;
                let ends = |c: char| matches!(c, ',' | ']' | '}') || c.is_whitespace();
                self.at += rest.find(ends).unwrap_or(rest.len());
                Some(Json::Scalar(self.text.get(start..self.at)?.to_owned()))
            }
        }
    }
}

/// What of a body does not count. Numbers in `stats`, and times that follow from the clock,
/// never do.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    pub unordered: bool,
    pub shape: bool,
}

/// Texts behind which stands a time that follows from the clock.
const CLOCKS: [&str; 2] = [
    "oldest acceptable timestamp is: ",
    "newest acceptable timestamp: ",
];

impl Mask {
    pub fn apply(&self, body: &str) -> String {
        let Some(mut json) = Json::read(body) else {
            return without_clocks(body);
        };
        if json
            == Json::Object(vec![(
                "\"status\"".to_owned(),
                Json::Scalar("\"success\"".to_owned()),
            )])
        {
            // An empty list, which is left out.
            return "{\"status\":\"success\",\"data\":[]}".to_owned();
        }
        if json.is_empty() {
            return "{}".to_owned();
        }
        if self.shape {
            json.without_values();
        }
        json.masked(self);
        let mut out = String::new();
        json.write(&mut out);
        out
    }
}

/// Returns what of two bodies is not in the other.
pub fn apart(one: &str, other: &str) -> (String, String) {
    let text = |json: &Json| {
        let mut out = String::new();
        json.write(&mut out);
        cut(&out)
    };
    match (Json::read(one), Json::read(other)) {
        (Some(one), Some(other)) if one != other => {
            let (path, one, other) = deepest(&one, &other);
            match (one, other) {
                (Json::List(ones), Json::List(others)) => {
                    let only = |these: &[Json], those: &[Json]| {
                        let found = these.iter().filter(|item| !those.contains(item));
                        let found: Vec<String> = found.map(text).collect();
                        format!(
                            "{path}: {} of {}: {}",
                            found.len(),
                            these.len(),
                            found.join(" ")
                        )
                    };
                    (only(ones, others), only(others, ones))
                }
                (one, other) => (
                    format!("{path}: {}", text(one)),
                    format!("{path}: {}", text(other)),
                ),
            }
        }
        _ => (cut(&format!("{one:?}")), cut(&format!("{other:?}"))),
    }
}

/// Follows members as long as one alone differs.
fn deepest<'a>(one: &'a Json, other: &'a Json) -> (String, &'a Json, &'a Json) {
    if let (Json::Object(ones), Json::Object(others)) = (one, other)
        && ones
            .iter()
            .map(|(name, _)| name)
            .eq(others.iter().map(|(name, _)| name))
    {
        let mut members = ones.iter().zip(others).filter(|(one, other)| one != other);
        if let (Some(((name, one), (_, other))), None) = (members.next(), members.next()) {
            let (path, one, other) = deepest(one, other);
            return (format!("{name}/{path}"), one, other);
        }
    }
    (String::new(), one, other)
}

/// Shortens what is long.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(900) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

fn without_clocks(text: &str) -> String {
    let mut out = text.trim_end().to_owned();
    // Kymo says which flag a limit is of.
    if let Some((before, flag)) = out.rsplit_once(" (--")
        && flag.ends_with(')')
    {
        out = before.to_owned();
    }
    if out.contains(" errors like: ") {
        // Several errors are told in no order.
        let mut parts: Vec<&str> = text.trim_end().split("; ").collect();
        parts.sort_unstable();
        out = parts.join("; ");
    }
    for before in CLOCKS {
        let mut parts = out.split(before);
        let mut masked = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_time = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T' | 'Z');
            masked.push_str(before);
            masked.push_str("<time>");
            masked.push_str(part.trim_start_matches(is_time));
        }
        out = masked;
    }
    out
}

#[test]
fn values_keep_their_order_and_stats_lose_their_numbers() {
    let text = r#"{"b":[1, "a\"]"],"a":{"stats":{"x":5,"y":"z"}}, "c":null}"#;
    let expected = r#"{"b":[1,"a\"]"],"a":{"stats":{"x":0,"y":"text"}},"c":null}"#;
    assert_eq!(Mask::default().apply(text), expected);
    let unordered = Mask {
        unordered: true,
        ..Mask::default()
    };
    assert_eq!(unordered.apply("[[2,1],[0]]\n"), "[[0],[1,2]]");
    let told = "x oldest acceptable timestamp is: 2026-11-27T00:00:00.5Z, y";
    let expected = "x oldest acceptable timestamp is: <time>, y";
    assert_eq!(Mask::default().apply(told), expected);
}
