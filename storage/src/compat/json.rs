//! JSON strings as Go's `encoding/json` writes them: with the two JavaScript line
//! separators escaped, and the characters of HTML unless that is switched off.

use super::TextSink;

const HEX: [&str; 16] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f",
];

/// Appends `text` as a JSON string with its quotes.
pub fn push_string(out: &mut impl TextSink, text: &str) {
    push(out, text, true);
}

/// As [`push_string`], with the characters of HTML as they are.
pub fn push_plain_string(out: &mut impl TextSink, text: &str) {
    push(out, text, false);
}

fn push(out: &mut impl TextSink, text: &str, escapes_html: bool) {
    out.push_text("\"");
    let bytes = text.as_bytes();
    // Runs that need no escape are copied whole; most texts are one.
    let mut plain_from = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (escape, width) = match byte {
            b'"' => ("\\\"", 1),
            b'\\' => ("\\\\", 1),
            b'\n' => ("\\n", 1),
            b'\r' => ("\\r", 1),
            b'\t' => ("\\t", 1),
            0x08 => ("\\b", 1),
            0x0c => ("\\f", 1),
            0..0x20 => ("", 1),
            b'<' | b'>' | b'&' if escapes_html => ("", 1),
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa8") => ("\\u2028", 3),
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa9") => ("\\u2029", 3),
            _ => {
                at += 1;
                continue;
            }
        };
        out.push_text(&text[plain_from..at]);
        if escape.is_empty() {
            out.push_text("\\u00");
            out.push_text(HEX[usize::from(byte >> 4)]);
            out.push_text(HEX[usize::from(byte & 0xf)]);
        } else {
            out.push_text(escape);
        }
        at += width;
        plain_from = at;
    }
    out.push_text(&text[plain_from..]);
    out.push_text("\"");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str) -> String {
        let mut out = String::new();
        push_string(&mut out, text);
        out
    }

    #[test]
    fn html_may_stay_as_it_is() {
        let mut out = String::new();
        push_plain_string(&mut out, "<a>&\u{2029}\"");
        assert_eq!(out, "\"<a>&\\u2029\\\"\"");
    }

    #[test]
    fn html_and_line_separators_are_escaped() {
        assert_eq!(string("a<b>&\u{2028}é"), r#""a\u003cb\u003e\u0026\u2028é""#);
        assert_eq!(
            string("\n\t\u{8}\u{1f}\u{7f}\"\\"),
            "\"\\n\\t\\b\\u001f\u{7f}\\\"\\\\\""
        );
    }

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
        }
    }
}
