//! Finds credentials: what follows `Bearer`, JWTs, keys of known services, private keys,
//! passwords of URLs, and values of names that say they are secret.

use std::ops::Range;

use memchr::{memchr_iter, memmem};

use super::quotes::{self, escapes_before};
use super::{Finding, Kind, json_keys};

/// How keys of known services begin, and how many characters follow at least.
const PREFIXES: [(&str, usize); 18] = [
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghs_", 30),
    ("ghu_", 30),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxa-", 10),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("npm_", 30),
    ("sk-", 20),
    ("sk_live_", 10),
    ("rk_live_", 10),
    ("hvs.", 20),
    ("dop_v1_", 30),
];

/// Names whose values are secret, in lower case and without `_` and `-`.
const NAMES: [&str; 12] = [
    "apikey",
    "accesskey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "token",
    "secret",
    "clientsecret",
    "password",
    "passwd",
    "pwd",
    "privatekey",
];

fn is_key_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

/// Characters of bearer tokens, as their standard lists them.
fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

fn run(text: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| holds(**byte)).count()
}

/// Finds credentials.
pub(super) fn find(text: &[u8], out: &mut Vec<Finding>) {
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Basic ", "basic "] {
        // "Basic usage" and "bearer of" are words.
        let least = if scheme == "Bearer " { 6 } else { 12 };
        let look = |at| {
            let start = at + scheme.len();
            let len = run(&text[start..], is_token_char);
            let end = trimmed(text, start, start + len);
            (start + len, (len >= least).then(|| token(start..end, None)))
        };
        sweep(words(text, scheme), look, out);
    }
    let jwt = |at| {
        let len = run(&text[at..], |b| is_key_char(b) || b == b'.');
        let end = trimmed(text, at, at + len);
        let parts: Vec<&[u8]> = text[at..end].splitn(3, |b| *b == b'.').collect();
        let is_one = parts.len() == 3 && parts[..2].iter().all(|p| p.len() >= 4);
        (at + len, is_one.then(|| token(at..end, None)))
    };
    sweep(words(text, "eyJ"), jwt, out);
    for (prefix, least) in PREFIXES {
        let look = |at| {
            let start = at + prefix.len();
            let end = start + run(&text[start..], is_key_char);
            (end, (end >= start + least).then(|| token(at..end, None)))
        };
        sweep(words(text, prefix), look, out);
    }
    let url = |at| password_of_url(text, at + 3);
    sweep(memmem::find_iter(text, "://"), url, out);
    let key = |at| private_key(text, at);
    sweep(memmem::find_iter(text, "-----BEGIN "), key, out);
    for sign in [b'=', b':'] {
        let look = |at| {
            let found = named_value(text, at);
            (found.as_ref().map_or(at, |f| f.range.end), found)
        };
        sweep(memchr_iter(sign, text), look, out);
    }
}

/// Looks at places, which are in order, but not at those within what was looked at before: a
/// text costs what its length costs, however many places it has. `look` says up to where it
/// looked, and what it found.
fn sweep(
    places: impl Iterator<Item = usize>,
    look: impl Fn(usize) -> (usize, Option<Finding>),
    out: &mut Vec<Finding>,
) {
    let mut seen_to = 0;
    for at in places {
        if at >= seen_to {
            let (end, found) = look(at);
            seen_to = end;
            out.extend(found.filter(|found| !found.range.is_empty()));
        }
    }
}

/// Returns where words begin with `prefix`.
fn words<'t>(text: &'t [u8], prefix: &'t str) -> impl Iterator<Item = usize> + 't {
    let all = memmem::find_iter(text, prefix);
    all.filter(|&at| at == 0 || !text[at - 1].is_ascii_alphanumeric() && text[at - 1] != b'_')
}

fn token(range: Range<usize>, quote: Option<usize>) -> Finding {
    Finding {
        range,
        kind: Kind::Token,
        quote,
    }
}

/// Looks for the password of a URL whose scheme ends at `at`: `scheme://user:password@host`.
fn password_of_url(text: &[u8], at: usize) -> (usize, Option<Finding>) {
    let rest = &text[at..];
    let len = run(rest, |b| {
        !b.is_ascii_whitespace() && !b"/?#\"'<>\\".contains(&b)
    });
    // A password may have signs of its own, the host has none.
    let found = memchr::memrchr(b'@', &rest[..len]).and_then(|end| {
        let start = memchr::memchr(b':', &rest[..end])? + 1;
        Some(token(at + start..at + end, None))
    });
    (at + len, found)
}

/// Looks for a private key whose first line starts at `at`; it ends with its last line.
fn private_key(text: &[u8], at: usize) -> (usize, Option<Finding>) {
    const KIND: &[u8] = b"PRIVATE KEY-----";
    let line = &text[at..text.len().min(at + 64)];
    if memmem::find(line, KIND).is_none() {
        return (at, None);
    }
    let last = memmem::find(&text[at..], b"-----END ");
    let end = last.and_then(|last| {
        let closed = memmem::find(&text[at + last..], KIND)?;
        Some(at + last + closed + KIND.len())
    });
    let end = end.unwrap_or(text.len());
    (end, Some(token(at..end, None)))
}

/// Leaves out a point that ends a sentence.
fn trimmed(text: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && text[end - 1] == b'.' {
        end -= 1;
    }
    end
}

/// Finds the value behind the sign at `at`, where the name in front of it is secret.
fn named_value(text: &[u8], at: usize) -> Option<Finding> {
    let mut front = &text[..at];
    let mut in_json = None;
    while let [head @ .., last @ (b' ' | b'"' | b'\'' | b'\\')] = front {
        if *last == b'"' && text[at] == b':' {
            in_json = Some(escapes_before(text, head.len()));
        }
        front = head;
    }
    let len = front
        .iter()
        .rev()
        .take(40)
        .take_while(|byte| is_key_char(**byte))
        .count();
    let name: String = front[front.len() - len..]
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    if !NAMES.iter().any(|secret| {
        name == *secret
            || name.ends_with(secret) && name.len() > secret.len() + 1 && *secret != "pwd"
    }) {
        return None;
    }
    let start = at + 1 + run(&text[at + 1..], |b| b == b' ');
    if let Some(string) = quotes::string(text, start, b"\"'") {
        return (!string.content.is_empty()).then(|| token(string.content, None));
    }
    if let Some(escapes) = in_json {
        // Only a string fits in there.
        let end = json_keys::value_end(text, start, escapes)?;
        let says_nothing: [&[u8]; 3] = [b"null", b"true", b"false"];
        let is_value = !says_nothing.contains(&&text[start..end]);
        return is_value.then(|| token(start..end, Some(escapes)));
    }
    let len = bare_len(&text[start..]);
    // Names of schemes are no secret; what follows them is found by itself.
    let value = &text[start..start + len];
    let scheme = value.eq_ignore_ascii_case(b"bearer") || value.eq_ignore_ascii_case(b"basic");
    (!value.is_empty() && !scheme).then(|| token(start..start + len, None))
}

/// Returns the length of a value without quotes, up to what ends it.
fn bare_len(text: &[u8]) -> usize {
    let end = text
        .iter()
        .position(|b| b.is_ascii_whitespace() || b"\"'&,;}<>)]".contains(b))
        .unwrap_or(text.len());
    match text.get(end) {
        // Of the quote.
        Some(b'"' | b'\'') => end - escapes_before(text, end),
        _ => end,
    }
}
