//! Finds the values of chosen keys in JSON, wherever in a text it stands, also where that is
//! a string of JSON.

use memchr::memmem;

use super::quotes::{self, escapes_before};
use super::{Finding, Kind};

/// Deepest value that is followed to its end.
const MAX_DEPTH: usize = 128;

/// Finds values of keys; of a value that is found nothing within is looked at.
pub(super) fn find(text: &[u8], keys: &[String], out: &mut Vec<Finding>) {
    for key in keys {
        let Ok(name) = serde_json::to_string(key) else {
            continue;
        };
        // Its first quote and those in front of it tell how deep it stands.
        let Some(name) = name.strip_suffix('"') else {
            continue;
        };
        let mut found_to = 0;
        for at in memmem::find_iter(text, name) {
            if at < found_to {
                continue;
            }
            let escapes = escapes_before(text, at);
            let Some(start) = value_start(text, at + name.len(), escapes) else {
                continue;
            };
            if let Some(end) = value_end(text, start, escapes) {
                found_to = end;
                out.push(Finding {
                    range: start..end,
                    kind: Kind::JsonKey,
                    quote: Some(escapes),
                });
            }
        }
    }
}

/// Returns where a value starts behind a name, its quote and its colon.
fn value_start(text: &[u8], behind_name: usize, escapes: usize) -> Option<usize> {
    let space = |at: usize| {
        let rest = text.get(at..)?;
        Some(at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count())
    };
    let quote = behind_name + escapes;
    let is_closed = text.get(quote) == Some(&b'"')
        && text[behind_name..quote].iter().all(|byte| *byte == b'\\');
    if !is_closed {
        return None;
    }
    let colon = space(quote + 1)?;
    if text.get(colon) != Some(&b':') {
        return None;
    }
    let start = space(colon + 1)?;
    (start < text.len()).then_some(start)
}

/// Returns where the value that starts at `at` ends, in JSON whose quotes have so many
/// backslashes; a cut one ends with the text, or with the string that it stands in.
pub(super) fn value_end(text: &[u8], at: usize, escapes: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' | b'\\' => Some(quotes::string(text, at, b"\"")?.end),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut end = at;
            while let Some(byte) = text.get(end) {
                match byte {
                    b'"' => {
                        let in_front = escapes_before(&text[at..], end - at);
                        if in_front < escapes {
                            return Some(end - in_front);
                        }
                        end = quotes::string(text, end - escapes, b"\"")?.end;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                end += 1;
                if depth == 0 {
                    return Some(end);
                }
                if depth > MAX_DEPTH {
                    break;
                }
            }
            Some(text.len())
        }
        byte if byte.is_ascii_alphanumeric() || *byte == b'-' => {
            let rest = text[at..].iter();
            let word = |b: &&u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
            Some(at + rest.take_while(word).count())
        }
        _ => None,
    }
}
