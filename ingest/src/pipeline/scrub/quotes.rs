//! Strings of JSON, also within strings of JSON: that is how what a program printed as JSON
//! looks in the line of a container, or a request in the line of a server.
//!
//! ```text
//! depth 0   "password": "x"
//! depth 1   \"password\": \"x\"
//! depth 2   \\\"password\\\": \\\"x\\\"
//! ```
//!
//! Each depth doubles the backslashes of the one before and adds one, so at depth n there are
//! 2^n - 1 in front of a quote that belongs to it, and those of escaped quotes within its
//! strings come in steps of 2^(n+1) on top (RFC 8259, section 7, applied n times).

use std::ops::Range;

/// A string in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quoted {
    /// What is in it.
    pub(super) content: Range<usize>,
    /// Where it ends, behind its quote where it has one.
    pub(super) end: usize,
    /// The backslashes in front of its quotes.
    pub(super) escapes: usize,
}

/// Counts the backslashes right in front of `at`.
pub(super) fn escapes_before(text: &[u8], at: usize) -> usize {
    let back = text[..at].iter().rev();
    back.take_while(|byte| **byte == b'\\').count()
}

/// Returns the string that starts at `at`, with the backslashes of its quote or the quote
/// itself, one of `marks`. One that is cut ends with the text, or with a string around it.
pub(super) fn string(text: &[u8], at: usize, marks: &[u8]) -> Option<Quoted> {
    let rest = text.get(at..)?;
    let escapes = rest.iter().take_while(|byte| **byte == b'\\').count();
    let mark = *rest.get(escapes)?;
    if !marks.contains(&mark) {
        return None;
    }
    let start = at + escapes + 1;
    let (content_end, end) = closing(text, start, mark, escapes);
    Some(Quoted {
        content: start..content_end,
        end,
        escapes,
    })
}

/// Finds where a string ends that begins at `start`: what is in it, and its quote.
fn closing(text: &[u8], start: usize, mark: u8, escapes: usize) -> (usize, usize) {
    for found in memchr::memchr_iter(mark, &text[start..]) {
        let quote = start + found;
        let in_front = escapes_before(&text[start..], found);
        match in_front.checked_sub(escapes) {
            // It ends a string around this one.
            None => return (quote - in_front, quote - in_front),
            Some(own) if own % (2 * (escapes + 1)) == 0 => return (quote - escapes, quote + 1),
            Some(_) => {}
        }
    }
    (text.len(), text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_found_at_any_depth(
            value in "[a\\\\\" ]{0,6}",
            rest in "[a:, ]{0,3}",
            depth in 0usize..4,
        ) {
            let mut text = format!("{}{rest}", serde_json::to_string(&value).unwrap());
            let mut content = serde_json::to_string(&value).unwrap();
            content = content[1..content.len() - 1].to_owned();
            for _ in 0..depth {
                for text in [&mut text, &mut content] {
                    let whole = serde_json::to_string(text).unwrap();
                    *text = whole[1..whole.len() - 1].to_owned();
                }
            }
            let found = string(text.as_bytes(), 0, b"\"").unwrap();
            prop_assert_eq!(&text[found.content.clone()], content);
            prop_assert_eq!(&text[found.end..], rest);
            prop_assert_eq!(found.escapes + 1, 1 << depth);
        }

        #[test]
        fn no_bytes_make_it_leave_the_text(text in "[a\\\\\"']{0,12}", at in 0usize..13) {
            if let Some(found) = string(text.as_bytes(), at, b"\"'") {
                prop_assert!(found.content.start <= found.content.end);
                prop_assert!(found.content.end <= found.end && found.end <= text.len());
            }
        }
    }

    #[test]
    fn a_cut_string_ends_with_the_one_around_it() {
        let text = br#"\"secret", next"#;
        let found = string(text, 0, b"\"").unwrap();
        assert_eq!((&text[found.content], found.end), (&b"secret"[..], 8));
        let found = string(b"'open", 0, b"\"'").unwrap();
        assert_eq!((found.content, found.end), (1..5, 5));
    }
}
