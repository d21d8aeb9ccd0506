//! JSON text as Prometheus writes it, with its two ways to escape strings.

use kymo_storage::compat::json;

/// Which characters of a string are escaped beyond what JSON asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Nothing more: label sets of results and series.
    Plain,
    /// `<`, `>`, `&` and the two Unicode line separators too: all other strings.
    Html,
}

/// Appends a string with its quotes.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str, escape: Escape) {
    match escape {
        Escape::Html => json::push_string(out, text),
        Escape::Plain => {
            let written = serde_json::to_writer(&mut *out, text);
            debug_assert!(written.is_ok(), "a string into memory cannot fail");
        }
    }
}

/// Appends `[..]` of strings.
pub(crate) fn push_strings<S: AsRef<str>>(out: &mut Vec<u8>, texts: &[S], escape: Escape) {
    out.push(b'[');
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(out, text.as_ref(), escape);
    }
    out.push(b']');
}

/// Appends `{..}` of labels, in their order.
pub(crate) fn push_labels<'a>(
    out: &mut Vec<u8>,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    out.push(b'{');
    for (i, (name, value)) in labels.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(out, name, Escape::Plain);
        out.push(b':');
        push_string(out, value, Escape::Plain);
    }
    out.push(b'}');
}

/// Escapes `<`, `>`, `&` and line separators in finished JSON text, where they
/// can only stand inside strings.
pub(crate) fn escape_html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    push_html(&mut out, text);
    out
}

fn push_html(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(at) = rest.iter().position(|byte| html_escape(*byte)) {
        out.extend_from_slice(&rest[..at]);
        let taken = push_html_escape(out, &rest[at..]);
        rest = &rest[at + taken..];
    }
    out.extend_from_slice(rest);
}

/// Tells whether an HTML-safe string may need an escape at this byte; 0xe2
/// begins U+2028 and U+2029, and many harmless characters.
fn html_escape(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'&' | 0xe2)
}

/// Writes what stands at the start of `rest`, escaped if it must be, and
/// returns how many bytes of it are done.
fn push_html_escape(out: &mut Vec<u8>, rest: &[u8]) -> usize {
    if rest.starts_with("\u{2028}".as_bytes()) {
        out.extend_from_slice(b"\\u2028");
        return 3;
    }
    if rest.starts_with("\u{2029}".as_bytes()) {
        out.extend_from_slice(b"\\u2029");
        return 3;
    }
    if rest[0] == 0xe2 {
        out.push(0xe2);
        return 1;
    }
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.push(HEX[usize::from(rest[0] >> 4)]);
    out.push(HEX[usize::from(rest[0] & 0xf)]);
    1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str, escape: Escape) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text, escape);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn labels_keep_html_characters_and_other_strings_escape_them() {
        let text = "a<b>&\u{2028}\u{2029}…é\"\\\n\r\t\u{1}\u{7f}";
        assert_eq!(
            string(text, Escape::Plain),
            "\"a<b>&\u{2028}\u{2029}…é\\\"\\\\\\n\\r\\t\\u0001\u{7f}\""
        );
        assert_eq!(
            string(text, Escape::Html),
            "\"a\\u003cb\\u003e\\u0026\\u2028\\u2029…é\\\"\\\\\\n\\r\\t\\u0001\u{7f}\""
        );
    }

    proptest! {
        #[test]
        fn every_string_reads_back(text in any::<String>()) {
            for escape in [Escape::Plain, Escape::Html] {
                let json = string(&text, escape);
                prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), &text);
            }
            let serde = serde_json::to_vec(&text).unwrap();
            let safe = escape_html(&serde);
            prop_assert_eq!(serde_json::from_slice::<String>(&safe).unwrap(), text.clone());
        }
    }
}
