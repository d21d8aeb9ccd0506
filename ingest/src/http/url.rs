//! Writing URLs from their parts, as Go's `net/url` does.

/// A part of a URL, which says what must be escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The path.
    Path,
    /// A name or value behind the question mark.
    Query,
}

/// Appends `scheme://host/path`.
pub fn push_origin(out: &mut String, scheme: &str, host: &str, path: &str) {
    if !scheme.is_empty() {
        out.push_str(scheme);
        out.push(':');
    }
    out.push_str("//");
    out.push_str(host);
    if !path.is_empty() && !path.starts_with('/') {
        out.push('/');
    }
    push_escaped(out, path, Part::Path);
}

/// Appends a text with what may not stand in this part escaped.
pub fn push_escaped(out: &mut String, text: &str, part: Part) {
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || b"-_.~".contains(&byte)
            || (part == Part::Path && b"$&+,/:;=@".contains(&byte));
        if plain {
            out.push(char::from(byte));
        } else if byte == b' ' && part == Part::Query {
            out.push('+');
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_escaped_as_in_go() {
        let mut url = String::new();
        push_origin(&mut url, "https", "h:1", "a b?/c");
        assert_eq!(url, "https://h:1/a%20b%3F/c");
        url.clear();
        push_origin(&mut url, "", "h", "/é");
        assert_eq!(url, "//h/%C3%A9");
        url.clear();
        push_escaped(&mut url, "a b&c", Part::Query);
        assert_eq!(url, "a+b%26c");
    }
}
