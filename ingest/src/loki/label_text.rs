//! Labels of a stream in all the forms in which PromQL reads a metric, and what is said of
//! those it does not read.
//!
//! Beside `{a="b"}` there may be a metric's name in front, names in quotes, comments, and
//! nothing at all. A mistake is told with its place and in the words of PromQL's parser, on
//! which senders look. [`super::labels::parse`] has read what is usual before.

use std::borrow::Cow;

use kymo_storage::compat::quote;
use kymo_storage::model::METRIC_NAME;

use super::labels::Pairs;

/// Words that are no names where no braces are.
const KEYWORDS: [&str; 9] = [
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "smoothed",
];
const WORD_OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];
const NUMBERS: [&str; 2] = ["inf", "nan"];

/// Reads labels.
///
/// # Errors
/// The place and what is wrong.
pub(super) fn read(text: &str) -> Result<Pairs<'_>, String> {
    let mut reader = Reader {
        text,
        at: 0,
        pairs: Pairs::new(),
    };
    let first = reader.at_next().is_some_and(is_metric_start);
    if first && let Some(name) = reader.metric_name() {
        reader.pairs.push((METRIC_NAME.into(), name.into()));
    }
    match reader.at_next() {
        None => return Ok(reader.pairs),
        Some('{') => reader.braces()?,
        Some(_) => return Err(reader.unexpected_outside()),
    }
    match reader.at_next() {
        None => Ok(reader.pairs),
        Some(_) => Err(reader.unexpected_outside()),
    }
}

fn is_metric_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    pairs: Pairs<'a>,
}

/// What stands inside of braces.
enum Token<'a> {
    Name(&'a str),
    /// As it is written, and where.
    Text(&'a str, usize),
    /// `=`, `,` or `}`.
    Mark(char),
    Operator(&'static str),
}

impl Token<'_> {
    fn shown(&self) -> String {
        match self {
            Token::Name(name) => format!("identifier {}", quote::quote(name)),
            Token::Text(literal, _) => format!("string {}", quote::quote(literal)),
            Token::Mark(mark) => format!("\"{mark}\""),
            Token::Operator(operator) => format!("<op:{operator}>"),
        }
    }
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Moves behind blanks and comments, and returns what stands there.
    fn at_next(&mut self) -> Option<char> {
        loop {
            let rest = self.rest();
            let found = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - found.len();
            if !found.starts_with('#') {
                return found.chars().next();
            }
            self.at += found.find('\n').unwrap_or(found.len());
        }
    }

    fn taken(&mut self, mut belongs: impl FnMut(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// Reads the name of a metric, if it is none of the words that mean something else.
    fn metric_name(&mut self) -> Option<&'a str> {
        let start = self.at;
        let name = self.taken(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        let word = name.to_ascii_lowercase();
        let is_other = |words: &[&str]| words.contains(&word.as_str());
        if is_other(&KEYWORDS) || is_other(&WORD_OPERATORS) || is_other(&NUMBERS) {
            self.at = start;
            return None;
        }
        Some(name)
    }

    fn braces(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            let at = self.begin();
            let (name, is_quoted) = match self.token()? {
                Token::Mark('}') => return Ok(()),
                Token::Name(name) => (Cow::Borrowed(name), false),
                Token::Text(literal, at) => (self.unquoted(literal, at)?, true),
                other => return Err(self.unexpected(at, &other, "identifier or \"}\"")),
            };
            let mut at = self.begin();
            let mut token = self.token()?;
            if matches!(token, Token::Mark('=')) {
                at = self.begin();
                let value = match self.token()? {
                    Token::Text(literal, at) => self.unquoted(literal, at)?,
                    other => return Err(self.unexpected(at, &other, "string")),
                };
                self.pairs.push((name, value));
                at = self.begin();
                token = self.token()?;
            } else if is_quoted {
                // A text alone is the name of a metric.
                self.pairs.push((METRIC_NAME.into(), name));
            } else {
                return Err(self.unexpected(at, &token, "\"=\""));
            }
            match token {
                Token::Mark('}') => return Ok(()),
                Token::Mark(',') => {}
                other => return Err(self.unexpected(at, &other, "\",\" or \"}\"")),
            }
        }
    }

    /// Moves to the next token and returns its place.
    fn begin(&mut self) -> usize {
        self.at_next();
        self.at
    }

    fn token(&mut self) -> Result<Token<'a>, String> {
        let Some(c) = self.at_next() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        let rest = self.rest();
        let mut mark = |token, len| {
            self.at += len;
            Ok(token)
        };
        match c {
            '}' | ',' => mark(Token::Mark(c), 1),
            '=' if rest.starts_with("=~") => mark(Token::Operator("=~"), 2),
            '=' => mark(Token::Mark('='), 1),
            '!' if rest.starts_with("!=") => mark(Token::Operator("!="), 2),
            '!' if rest.starts_with("!~") => mark(Token::Operator("!~"), 2),
            '!' => Err(self.error(&format!(
                "unexpected character after '!' inside braces: {}",
                quoted(rest.chars().nth(1))
            ))),
            '"' | '\'' | '`' => {
                let at = self.at;
                Ok(Token::Text(self.literal(c)?, at))
            }
            '{' => Err(self.error("unexpected left brace '{'")),
            c if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.taken(|c| c.is_ascii_alphanumeric() || c == '_');
                Ok(Token::Name(name))
            }
            c => Err(self.error(&format!(
                "unexpected character inside braces: {}",
                quoted(Some(c))
            ))),
        }
    }

    /// Reads a text up to the quote that ends it.
    fn literal(&mut self, opening: char) -> Result<&'a str, String> {
        let rest = self.rest();
        let is_raw = opening == '`';
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == opening => {
                    let literal = &rest[..=at];
                    self.at += literal.len();
                    return Ok(literal);
                }
                '\\' if !is_raw => {
                    let escaped = &rest[at + 1..];
                    escape(escaped, opening).map_err(|wrong| self.error(&wrong))?;
                    chars.next();
                }
                '\n' if !is_raw => break,
                _ => {}
            }
        }
        Err(self.error(match is_raw {
            true => "unterminated raw string",
            false => "unterminated quoted string",
        }))
    }

    fn unquoted(&self, literal: &'a str, at: usize) -> Result<Cow<'a, str>, String> {
        let inner = literal.get(1..literal.len() - 1).unwrap_or("");
        if literal.starts_with('`') || !inner.contains('\\') {
            return Ok(inner.into());
        }
        let said = quote::unquote(literal);
        let said = said.map_err(|error| self.error_at(at, &error.to_string()))?;
        Ok(String::from_utf8_lossy(&said).into_owned().into())
    }

    fn unexpected(&self, at: usize, token: &Token<'_>, expected: &str) -> String {
        let shown = token.shown();
        self.error_at(
            at,
            &format!("unexpected {shown} in label set, expected {expected}"),
        )
    }

    /// Says what stands where nothing should.
    fn unexpected_outside(&mut self) -> String {
        let at = self.begin();
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            return self.error("unexpected end of input");
        };
        let named = |kind: &str, text: &str| format!("unexpected {kind} {}", quote::quote(text));
        let what = match c {
            '"' | '\'' | '`' => match self.literal(c) {
                Ok(literal) => named("string", literal),
                Err(wrong) => return wrong,
            },
            '0'..='9' => {
                let text = self.taken(|c| c.is_ascii_alphanumeric() || c == '.');
                let is_duration = text.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
                named(if is_duration { "duration" } else { "number" }, text)
            }
            c if is_metric_start(c) => {
                let text = self.taken(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                let word = text.to_ascii_lowercase();
                let word = word.as_str();
                match () {
                    () if WORD_OPERATORS.contains(&word) => format!("unexpected <op:{word}>"),
                    () if KEYWORDS.contains(&word) => format!("unexpected <{word}>"),
                    () if NUMBERS.contains(&word) => named("number", text),
                    () if text.contains(':') => named("metric identifier", text),
                    () => named("identifier", text),
                }
            }
            '=' | '!' | '<' | '>' => {
                let two = ["==", "=~", "!=", "<=", ">="];
                match (two.iter().find(|two| rest.starts_with(**two)), c) {
                    (Some(operator), _) => format!("unexpected <op:{operator}>"),
                    (None, '=') => "unexpected \"=\"".to_owned(),
                    (None, '!') => {
                        let next = quoted(rest.chars().nth(1));
                        format!("unexpected character after '!': {next}")
                    }
                    (None, c) => format!("unexpected <op:{c}>"),
                }
            }
            '+' | '-' | '*' | '/' | '%' | '^' | '@' => format!("unexpected <op:{c}>"),
            '{' | '(' | '[' | ',' => format!("unexpected \"{c}\""),
            ']' => "unexpected right bracket ']'".to_owned(),
            ')' => "unexpected right parenthesis ')'".to_owned(),
            c => format!("unexpected character: {}", quoted(Some(c))),
        };
        self.error_at(at, &what)
    }

    fn error(&self, what: &str) -> String {
        self.error_at(self.at, what)
    }

    fn error_at(&self, at: usize, what: &str) -> String {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let begins = before.iter().rposition(|byte| *byte == b'\n');
        let column = at - begins.map_or(0, |newline| newline + 1) + 1;
        format!("{line}:{column}: parse error: {what}")
    }
}

/// Checks the escape that `text` begins with, which stands behind its backslash.
fn escape(text: &str, opening: char) -> Result<(), String> {
    let mut chars = text.chars();
    let unfinished = || "escape sequence not terminated".to_owned();
    let Some(first) = chars.next() else {
        return Err(unfinished());
    };
    let (mut digits, base, most) = match first {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
        c if c == opening => return Ok(()),
        '0'..='7' => (text[..].chars().take(3).collect::<Vec<_>>(), 8, 0xff),
        'x' => (chars.by_ref().take(2).collect(), 16, 0xff),
        'u' => (chars.by_ref().take(4).collect(), 16, 0x0010_ffff),
        'U' => (chars.by_ref().take(8).collect(), 16, 0x0010_ffff),
        c => return Err(format!("unknown escape sequence {}", named(c))),
    };
    let wanted = match first {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 3,
    };
    let mut value = 0u32;
    for digit in digits.drain(..) {
        let Some(digit) = digit.to_digit(base) else {
            return Err(format!(
                "illegal character {} in escape sequence",
                named(digit)
            ));
        };
        value = value.saturating_mul(base).saturating_add(digit);
    }
    // No further than that: there may be many of them in a long text.
    if text.chars().take(wanted).count() < wanted {
        return Err(unfinished());
    }
    match value > most || (0xd800..0xe000).contains(&value) {
        true => Err("escape sequence is an invalid Unicode code point".to_owned()),
        false => Ok(()),
    }
}

/// Writes a character with its number.
fn named(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}

/// Writes a character in quotes; none is that for what is no text.
fn quoted(c: Option<char>) -> String {
    match c.unwrap_or(char::REPLACEMENT_CHARACTER) {
        '\'' => "'\\''".to_owned(),
        '\\' => "'\\\\'".to_owned(),
        c => format!("'{c}'"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_forms_are_read() {
        for (text, expected) in [
            ("", ""),
            (" ", ""),
            (" {} ", ""),
            ("# c\n{a=\"b\"}\n", "a=b"),
            ("{a=\"b\" # c\n}", "a=b"),
            ("{a\n=\n\"b\",}", "a=b"),
            ("x", "__name__=x"),
            ("a:b{c=\"d\"}", "__name__=a:b c=d"),
            ("sum{a=\"b\"}", "__name__=sum a=b"),
            ("{\"a\"}", "__name__=a"),
            ("{\"a\", \"b c\"='d'}", "__name__=a b c=d"),
            ("{by=\"x\",inf=`y\\n\nz`}", "by=x inf=y\\n\nz"),
            ("{a=\"\\t\\u00e9\\x41\\101\"}", "a=\té\u{41}A"),
        ] {
            let pairs = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let shown: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
            assert_eq!(shown.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn many_escapes_take_no_longer_than_other_texts() {
        let n = 1 << 20;
        let text = format!("{{\"a\"=\"{}\"}}", "\\101".repeat(n));
        let begun = std::time::Instant::now();
        let pairs = read(&text).unwrap();
        assert_eq!(pairs[0].1.len(), n);
        // Minutes, if each looked at all of the rest.
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
    }

    #[test]
    fn mistakes_are_told_as_by_promql() {
        let braces = |at, what: &str| format!("1:{at}: parse error: {what}");
        for (text, at, what) in [
            ("{", 2, "unexpected end of input inside braces"),
            ("{a", 3, "unexpected end of input inside braces"),
            ("{a=", 4, "unexpected end of input inside braces"),
            ("{a=\"b", 4, "unterminated quoted string"),
            ("{a=\"\\\"}", 4, "unterminated quoted string"),
            ("{a=\"x\ny\"}", 4, "unterminated quoted string"),
            ("{a=`b", 4, "unterminated raw string"),
            ("{a=\"b\", # c", 12, "unexpected end of input inside braces"),
            ("}", 1, "unexpected character: '}'"),
            ("x y", 3, "unexpected identifier \"y\""),
            ("{a=\"b\"} 5", 9, "unexpected number \"5\""),
            ("{a=\"b\"} 1m", 9, "unexpected duration \"1m\""),
            ("{a=\"b\"} \"x\"", 9, "unexpected string \"\\\"x\\\"\""),
            ("{a=\"b\"}{c=\"d\"}", 8, "unexpected \"{\""),
            ("{a=\"b\"}, c", 8, "unexpected \",\""),
            ("{a=\"b\"}]", 8, "unexpected right bracket ']'"),
            ("{a=\"b\"} offset", 9, "unexpected <offset>"),
            ("{a=\"b\"} and", 9, "unexpected <op:and>"),
            ("{a=\"b\"} |= \"x\"", 9, "unexpected character: '|'"),
            ("{a=\"b\"}:", 8, "unexpected metric identifier \":\""),
            (
                "{a=\"b\"} !",
                9,
                "unexpected character after '!': '\u{fffd}'",
            ),
            ("{a=\"b\"} = 1", 9, "unexpected \"=\""),
            ("x-1", 2, "unexpected <op:->"),
            ("inf{a=\"b\"}", 1, "unexpected number \"inf\""),
            ("{a=5}", 4, "unexpected character inside braces: '5'"),
            ("{1a=\"b\"}", 2, "unexpected character inside braces: '1'"),
            ("{é=\"c\"}", 2, "unexpected character inside braces: 'é'"),
            (
                "{a=\"b\"\\}",
                7,
                "unexpected character inside braces: '\\\\'",
            ),
            (
                "{a!\"b\"}",
                3,
                "unexpected character after '!' inside braces: '\"'",
            ),
            ("{{a=\"b\"}", 2, "unexpected left brace '{'"),
            (
                "{a=b}",
                4,
                "unexpected identifier \"b\" in label set, expected string",
            ),
            (
                "{a=\"b\" c=\"d\"}",
                8,
                "unexpected identifier \"c\" in label set, expected \",\" or \"}\"",
            ),
            (
                "{a=\"b\" \"c\"}",
                8,
                "unexpected string \"\\\"c\\\"\" in label set, expected \",\" or \"}\"",
            ),
            (
                "{,}",
                2,
                "unexpected \",\" in label set, expected identifier or \"}\"",
            ),
            ("{a}", 3, "unexpected \"}\" in label set, expected \"=\""),
            (
                "{a=~\"b\"}",
                3,
                "unexpected <op:=~> in label set, expected \"=\"",
            ),
            (
                "{a==\"b\"}",
                4,
                "unexpected \"=\" in label set, expected string",
            ),
            ("{a=\"\\q\"}", 4, "unknown escape sequence U+0071 'q'"),
            (
                "{a=\"\\x\"}",
                4,
                "illegal character U+0022 '\"' in escape sequence",
            ),
            (
                "{a=\"\\400\"}",
                4,
                "escape sequence is an invalid Unicode code point",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), braces(at, what), "{text}");
        }
        let second = read("{a=\"b\",\n  5=\"c\"}").unwrap_err();
        let expected = "2:3: parse error: unexpected character inside braces: '5'";
        assert_eq!(second, expected);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[{}a=\"'`\\\\,éx0-9:! #|\n-]{0,24}") {
            let _ = read(&text);
        }
    }
}
