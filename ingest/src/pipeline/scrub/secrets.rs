//! Finds credentials: what follows `Bearer`, JWTs, keys of known services, and values of
//! names that say they are secret.

use memchr::{memchr_iter, memmem};

use super::{Finding, Kind};

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
    let mut add = |range: std::ops::Range<usize>| {
        if !range.is_empty() {
            out.push(Finding {
                range,
                kind: Kind::Token,
                quoted: false,
            });
        }
    };
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Basic ", "basic "] {
        for at in memmem::find_iter(text, scheme) {
            let start = at + scheme.len();
            let len = run(&text[start..], is_token_char);
            // "Basic usage" and "bearer of" are words.
            let long = match scheme.as_bytes()[0] {
                b'B' if scheme == "Bearer " => len >= 6,
                _ => len >= 12,
            };
            if long && starts_word(text, at) {
                let end = trimmed(text, start, start + len);
                add(start..end);
            }
        }
    }
    for at in memmem::find_iter(text, "eyJ") {
        let len = run(&text[at..], |b| is_key_char(b) || b == b'.');
        let end = trimmed(text, at, at + len);
        let parts: Vec<&[u8]> = text[at..end].split(|b| *b == b'.').collect();
        if parts.len() >= 3 && parts[..2].iter().all(|p| p.len() >= 4) && starts_word(text, at) {
            add(at..end);
        }
    }
    for (prefix, least) in PREFIXES {
        for at in memmem::find_iter(text, prefix) {
            let start = at + prefix.len();
            let len = run(&text[start..], is_key_char);
            if len >= least && starts_word(text, at) {
                add(at..start + len);
            }
        }
    }
    for at in memchr_iter(b'=', text).chain(memchr_iter(b':', text)) {
        if let Some(range) = named_value(text, at) {
            add(range);
        }
    }
}

/// Leaves out a point that ends a sentence.
fn trimmed(text: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && text[end - 1] == b'.' {
        end -= 1;
    }
    end
}

fn starts_word(text: &[u8], at: usize) -> bool {
    at == 0 || !text[at - 1].is_ascii_alphanumeric() && text[at - 1] != b'_'
}

/// Returns the value around the sign at `at`, where the name in front of it is secret.
fn named_value(text: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let mut front = &text[..at];
    while let [head @ .., b' ' | b'"' | b'\''] = front {
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
    let mut start = at + 1;
    start += run(&text[start..], |b| b == b' ');
    let end = match text.get(start)? {
        quote @ (b'"' | b'\'') => {
            start += 1;
            let mut end = start;
            loop {
                match text.get(end) {
                    None => break,
                    Some(byte) if byte == quote => break,
                    Some(b'\\') => end += 2,
                    Some(_) => end += 1,
                }
            }
            end.min(text.len())
        }
        _ => {
            start
                + run(&text[start..], |b| {
                    !b.is_ascii_whitespace() && !b"\"'&,;}<>)]".contains(&b)
                })
        }
    };
    // Names of schemes are no secret; what follows them is found by itself.
    let value = &text[start..end];
    let scheme = value.eq_ignore_ascii_case(b"bearer") || value.eq_ignore_ascii_case(b"basic");
    (!value.is_empty() && !scheme).then_some(start..end)
}
