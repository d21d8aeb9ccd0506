//! Pairs of keys and values in a line, as the Go package `go-logfmt` reads them.

use std::borrow::Cow;

/// Hands each pair to `found`, up to the first place where the text is no logfmt. A key
/// without value has an empty one.
pub(super) fn walk<'t>(text: &'t str, mut found: impl FnMut(&str, Cow<'t, str>)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // Spaces, control characters and ends of records stand between pairs.
        if bytes[at] <= b' ' {
            at += 1;
            continue;
        }
        let from = at;
        while at < bytes.len() && bytes[at] > b' ' && bytes[at] != b'=' && bytes[at] != b'"' {
            at += 1;
        }
        let key = &text[from..at];
        if key.is_empty() || key.contains(char::REPLACEMENT_CHARACTER) {
            return;
        }
        match bytes.get(at) {
            Some(b'=') => at += 1,
            Some(b'"') => return,
            _ => {
                found(key, Cow::Borrowed(""));
                continue;
            }
        }
        let Some((value, behind)) = value(text, at) else {
            return;
        };
        found(key, value);
        at = behind;
    }
}

/// Reads the value that starts at `at`, and returns where it ends.
fn value(text: &str, at: usize) -> Option<(Cow<'_, str>, usize)> {
    let bytes = text.as_bytes();
    if bytes.get(at) == Some(&b'"') {
        return quoted(text, at);
    }
    let mut end = at;
    while end < bytes.len() && bytes[end] > b' ' {
        if matches!(bytes[end], b'=' | b'"') {
            return None;
        }
        end += 1;
    }
    Some((Cow::Borrowed(&text[at..end]), end))
}

fn quoted(text: &str, at: usize) -> Option<(Cow<'_, str>, usize)> {
    let bytes = text.as_bytes();
    let mut end = at + 1;
    let mut escaped = false;
    loop {
        match bytes.get(end)? {
            b'"' => break,
            b'\\' => {
                escaped = true;
                end += 2;
            }
            _ => end += 1,
        }
    }
    let value = match escaped {
        false => Cow::Borrowed(&text[at + 1..end]),
        // Escapes are those of JSON.
        true => Cow::Owned(serde_json::from_str::<String>(&text[at..=end]).ok()?),
    };
    // The next key may follow the quote without a space.
    Some((value, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> String {
        let mut out = Vec::new();
        walk(text, |key, value| out.push(format!("{key}:{value}")));
        out.join(",")
    }

    #[test]
    fn pairs_are_read_up_to_a_mistake() {
        for (text, expected) in [
            ("a=1 b=\"x y\" c", "a:1,b:x y,c:"),
            ("a= b=2", "a:,b:2"),
            ("a=\"q\\\"r\\u0041\"", "a:q\"rA"),
            ("a=1 =b c=2", "a:1"),
            ("a=1 b=c=d e=2", "a:1"),
            ("a=1 \"x\" b=2", "a:1"),
            ("a=\"open", ""),
            ("a=\"x\"y b=2", "a:x,y:,b:2"),
            ("a=\"x\"\"y\" b=2", "a:x"),
            ("a=1\nb=2", "a:1,b:2"),
            ("", ""),
        ] {
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }
}
