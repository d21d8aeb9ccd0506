//! The parts of a line of text that vary: what is between quotes, and words with a digit.

use memchr::memchr;

use super::{Form, Split};

/// Finds what varies; false where there is nothing, or too much of it.
pub(super) fn split(line: &[u8], into: &mut Split) -> bool {
    let mut at = 0;
    while at < line.len() {
        if line[at] == b'"'
            && let Some(len) = memchr(b'"', &line[at + 1..])
        {
            if !into.value(at + 1, at + 1 + len, Form::Opaque, 0) {
                return false;
            }
            at += len + 2;
            continue;
        }
        if is_end(line[at]) {
            at += 1;
            continue;
        }
        let start = at;
        let mut has_digit = false;
        while at < line.len() && !is_end(line[at]) {
            has_digit |= line[at].is_ascii_digit();
            at += 1;
        }
        // A mark behind a word is not part of it.
        let mut end = at;
        while end > start && matches!(line[end - 1], b':' | b'.' | b'!' | b'?') {
            end -= 1;
        }
        if has_digit && !into.value(start, end, Form::Opaque, 0) {
            return false;
        }
    }
    !into.places.is_empty()
}

fn is_end(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'
            | b'='
            | b','
            | b';'
            | b'('
            | b')'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'<'
            | b'>'
            | b'"'
            | b'\''
            | b'|'
            | b'#'
    )
}
