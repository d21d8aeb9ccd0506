//! What a Content-Type says, read as Go's package `mime` reads it: with its mistakes, which
//! are told to whoever pushes.

/// Reads a Content-Type and returns the type, in small letters.
///
/// # Errors
/// What is wrong with it.
pub(super) fn media_type(content_type: &str) -> Result<String, &'static str> {
    let (base, parameters) = match content_type.find(';') {
        Some(at) => content_type.split_at(at),
        None => (content_type, ""),
    };
    let kind = base.trim().to_lowercase();
    check_kind(&kind)?;
    check_parameters(parameters)?;
    Ok(kind)
}

fn check_kind(kind: &str) -> Result<(), &'static str> {
    let (first, rest) = token(kind);
    if first.is_empty() {
        return Err("mime: no media type");
    }
    if rest.is_empty() {
        return Ok(());
    }
    let Some(rest) = rest.strip_prefix('/') else {
        return Err("mime: expected slash after first token");
    };
    match token(rest) {
        ("", _) => Err("mime: expected token after slash"),
        (_, "") => Ok(()),
        _ => Err("mime: unexpected content after media subtype"),
    }
}

fn check_parameters(text: &str) -> Result<(), &'static str> {
    let mut known: Vec<(String, &str)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((name, value, behind)) = parameter(rest) else {
            // One semicolon too many at the end does not count.
            return match rest.trim() {
                ";" => Ok(()),
                _ => Err("mime: invalid media parameter"),
            };
        };
        let name = name.to_lowercase();
        if known.iter().any(|(n, v)| *n == name && *v != value) {
            return Err("mime: duplicate parameter name");
        }
        known.push((name, value));
        rest = behind.trim_start();
    }
    Ok(())
}

/// Reads `; name=value`: name, value, and what stands behind.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = token(text.strip_prefix(';')?.trim_start());
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if !rest.starts_with('"') {
        let (value, behind) = token(rest);
        return (!value.is_empty()).then_some((name, value, behind));
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return Some((name, &rest[1..at], &rest[at + 1..])),
            '\r' | '\n' => return None,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    None
}

/// Splits off the token that a text begins with.
fn token(text: &str) -> (&str, &str) {
    let belongs = |c: char| {
        c.is_ascii_graphic()
            && !matches!(
                c,
                '(' | ')'
                    | '<'
                    | '>'
                    | '@'
                    | ','
                    | ';'
                    | ':'
                    | '\\'
                    | '"'
                    | '/'
                    | '['
                    | ']'
                    | '?'
                    | '='
            )
    };
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_with_what_is_wrong_with_them() {
        let read = |text| media_type(text);
        for (text, expected) in [
            ("application/json", "application/json"),
            (" Application/JSON ; charset=utf-8", "application/json"),
            ("application/json;", "application/json"),
            (
                "application/json; a=\"b;\\\"c\"; d=e ; ",
                "application/json",
            ),
            ("application", "application"),
            ("text/plain;a=b;a=b", "text/plain"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("", "mime: no media type"),
            (";a=b", "mime: no media type"),
            ("a b", "mime: expected slash after first token"),
            ("a/", "mime: expected token after slash"),
            ("a/b/c", "mime: unexpected content after media subtype"),
            ("a/b; charset", "mime: invalid media parameter"),
            ("a/b; =c", "mime: invalid media parameter"),
            ("a/b; c=\"d", "mime: invalid media parameter"),
            ("a/b; c=d; c=e", "mime: duplicate parameter name"),
        ] {
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }
}
