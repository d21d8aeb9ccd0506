//! Cutting a line into tokens.
//!
//! Three forms are told apart: an object of JSON, of which the message is looked at; pairs
//! of logfmt, cut between key and value; anything else, cut at spaces and punctuation.
//! Tokens and the spaces between them give the text back as it was.

use memchr::memmem;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::HOLE;

/// Longest line that is looked at.
const MAX_LINE_BYTES: usize = 3000;
/// Fewest and most tokens of a line.
const TOKENS: std::ops::RangeInclusive<usize> = 4..=80;
/// Where the message of an object is.
const MESSAGE_FIELDS: [&str; 6] = ["log", "message", "msg", "msg_", "_msg", "content"];
/// Keys of logfmt whose values are never alike.
const TIME_KEYS: [&str; 4] = ["ts", "time", "timestamp", "traceid"];

/// A line in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens<'a> {
    pub(super) texts: Vec<&'a str>,
    /// Spaces behind each.
    pub(super) spaces: Vec<u32>,
    /// Lines of other keys are never of one kind.
    pub(super) shape: u64,
    /// Whether this is a part from within the line.
    pub(super) inner: bool,
}

impl<'a> Tokens<'a> {
    fn push(&mut self, text: &'a str) {
        self.texts.push(text);
        self.spaces.push(0);
    }

    fn space(&mut self) {
        match self.spaces.last_mut() {
            Some(spaces) => *spaces += 1,
            None => {
                self.push("");
                self.space();
            }
        }
    }
}

/// Cuts a line; `None` where it is not fit for a pattern.
pub(super) fn tokenize(line: &str) -> Option<Tokens<'_>> {
    if line.len() > MAX_LINE_BYTES {
        return None;
    }
    let tokens = if line.starts_with('{') && line.ends_with('}') {
        let mut tokens = text(message(line)?);
        tokens.inner = true;
        tokens
    } else {
        logfmt(line).unwrap_or_else(|| text(line))
    };
    TOKENS.contains(&tokens.texts.len()).then_some(tokens)
}

/// Cuts a text at spaces and punctuation, which is a token of its own; a few signs that are
/// found within words and numbers do not cut.
fn text(line: &str) -> Tokens<'_> {
    let mut tokens = Tokens::default();
    let mut start = 0;
    for (at, c) in line.char_indices() {
        if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/') {
            continue;
        }
        let is_cut = c == ' ' || c == '=' || c.is_ascii_punctuation() && !is_symbol(c);
        if !is_cut {
            continue;
        }
        if at > start {
            tokens.push(&line[start..at]);
        }
        let end = at + c.len_utf8();
        match c {
            ' ' => tokens.space(),
            _ => tokens.push(&line[at..end]),
        }
        start = end;
        if tokens.texts.len() > *TOKENS.end() {
            return tokens;
        }
    }
    if start < line.len() {
        tokens.push(&line[start..]);
    }
    tokens
}

/// Tells whether Unicode counts a character as a symbol and not as punctuation.
fn is_symbol(c: char) -> bool {
    matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
}

/// Cuts pairs that have one space between them; `None` where the line is something else.
fn logfmt(line: &str) -> Option<Tokens<'_>> {
    let mut tokens = Tokens::default();
    // Not that of a text.
    let mut shape = 1;
    let mut pairs = 0;
    let mut rest = line;
    while !rest.is_empty() {
        let is_key = |c: char| c > ' ' && c != '=' && c != '"' && c != '\u{7f}';
        let key_end = rest.find(|c| !is_key(c)).unwrap_or(rest.len());
        if key_end == 0 {
            return None;
        }
        let key = &rest[..key_end];
        shape = xxh3_64_with_seed(key.as_bytes(), shape);
        if rest[key_end..].starts_with('=') {
            pairs += 1;
            tokens.push(&rest[..=key_end]);
            rest = &rest[key_end + 1..];
            let value = &rest[..value_end(rest)?];
            rest = &rest[value.len()..];
            let is_time = key == "t" || TIME_KEYS.iter().any(|name| name.eq_ignore_ascii_case(key));
            tokens.push(if is_time && !value.is_empty() {
                HOLE
            } else {
                value
            });
        } else {
            tokens.push(key);
            tokens.push("");
            rest = &rest[key_end..];
        }
        if rest.is_empty() {
            break;
        }
        rest = rest.strip_prefix(' ')?;
        tokens.space();
        if tokens.texts.len() > *TOKENS.end() {
            return Some(tokens);
        }
    }
    tokens.shape = shape;
    (pairs >= 2 && pairs * 4 >= tokens.texts.len()).then_some(tokens)
}

/// Returns where a value ends; `None` where its quote does not.
fn value_end(text: &str) -> Option<usize> {
    if !text.starts_with('"') {
        return Some(text.find(' ').unwrap_or(text.len()));
    }
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Returns the message of an object, as it is written there.
fn message(line: &str) -> Option<&str> {
    MESSAGE_FIELDS.iter().find_map(|name| {
        let key = format!("\"{name}\"");
        let at = memmem::find(line.as_bytes(), key.as_bytes())?;
        let rest = line[at + key.len()..].trim_start().strip_prefix(':')?;
        let rest = rest.trim_start();
        let end = rest.starts_with('"').then(|| value_end(rest))??;
        Some(&rest[1..end - 1])
    })
}
