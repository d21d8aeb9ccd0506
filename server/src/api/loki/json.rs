//! Pieces of JSON as Loki writes them: all strings are escaped for HTML.

use std::borrow::Cow;

use crate::http::json::{Escape, push_string};

/// Appends a time in seconds, with as many digits behind the point as it needs.
pub(super) fn push_seconds(out: &mut Vec<u8>, t_ms: i64) {
    let sign = if t_ms < 0 { "-" } else { "" };
    let (seconds, ms) = (t_ms.unsigned_abs() / 1000, t_ms.unsigned_abs() % 1000);
    let text = match ms {
        0 => format!("{sign}{seconds}"),
        ms => {
            let text = format!("{sign}{seconds}.{ms:03}");
            text.trim_end_matches('0').to_owned()
        }
    };
    out.extend_from_slice(text.as_bytes());
}

/// Appends a line as a string; what is no text becomes U+FFFD.
pub(super) fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    match kymo_query::logql::text_of(line) {
        Cow::Borrowed(text) => push_string(out, text, Escape::Html),
        Cow::Owned(text) => push_string(out, &text, Escape::Html),
    }
}

/// Appends `{..}` of labels, in their order.
pub(super) fn push_labels<'a>(
    out: &mut Vec<u8>,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    out.push(b'{');
    for (i, (name, value)) in labels.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(out, name, Escape::Html);
        out.push(b':');
        push_string(out, value, Escape::Html);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_no_digit_too_many() {
        for (t_ms, expected) in [
            (0, "0"),
            (1_795_329_565_500, "1795329565.5"),
            (1_795_329_565_000, "1795329565"),
            (1_795_329_565_010, "1795329565.01"),
            (1_795_329_565_123, "1795329565.123"),
            (-1_500, "-1.5"),
        ] {
            let mut out = Vec::new();
            push_seconds(&mut out, t_ms);
            assert_eq!(out, expected.as_bytes());
        }
    }

    #[test]
    fn lines_of_any_bytes_are_strings() {
        let mut out = Vec::new();
        push_line(&mut out, b"a<b \xff \"q\"");
        assert_eq!(out, "\"a\\u003cb \u{fffd} \\\"q\\\"\"".as_bytes());
        let mut out = Vec::new();
        push_labels(&mut out, [("a", "x&y"), ("b", "")]);
        assert_eq!(out, br#"{"a":"x\u0026y","b":""}"#);
    }
}
