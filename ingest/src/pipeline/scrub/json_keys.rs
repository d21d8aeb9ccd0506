//! Finds the values of chosen keys in JSON, wherever in a text it stands.

use memchr::memmem;

use super::{Finding, Kind};

/// Deepest value that is followed to its end.
const MAX_DEPTH: usize = 128;

/// Finds values of keys; of a value that is found nothing within is looked at.
pub(super) fn find(text: &[u8], keys: &[String], out: &mut Vec<Finding>) {
    for key in keys {
        let Ok(name) = serde_json::to_vec(key) else {
            continue;
        };
        for at in memmem::find_iter(text, &name) {
            // An escaped quote begins no name.
            if at > 0 && text[at - 1] == b'\\' {
                continue;
            }
            let Some(start) = value_start(text, at + name.len()) else {
                continue;
            };
            if let Some(end) = value_end(text, start) {
                out.push(Finding {
                    range: start..end,
                    kind: Kind::JsonKey,
                    quoted: true,
                });
            }
        }
    }
}

/// Returns where a value starts behind a name and its colon.
fn value_start(text: &[u8], behind_name: usize) -> Option<usize> {
    let space = |at: usize| {
        let rest = text.get(at..)?;
        Some(at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count())
    };
    let colon = space(behind_name)?;
    if text.get(colon) != Some(&b':') {
        return None;
    }
    let start = space(colon + 1)?;
    (start < text.len()).then_some(start)
}

/// Returns where the value that starts at `at` ends; a cut one ends with the text.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => Some(string_end(text, at)),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut end = at;
            while let Some(byte) = text.get(end) {
                match byte {
                    b'"' => {
                        end = string_end(text, end);
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

/// Returns where the string that starts at `at` ends, behind its quote.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        match byte {
            b'"' => return end + 1,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    text.len()
}
