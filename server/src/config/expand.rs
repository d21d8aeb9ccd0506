//! Environment variables in external labels: `$NAME`, `${NAME}`, `$$`.

/// Replaces variables as Go's `os.Expand` does; `lookup` gives the value of a name,
/// `None` becoming an empty text.
pub(super) fn expand_env(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, len) = variable(after);
        match name {
            Some("$") => out.push('$'),
            Some(name) => out.push_str(&lookup(name).unwrap_or_default()),
            // A dollar without a name stays; a broken `${` is swallowed.
            None if len == 0 => out.push('$'),
            None => {}
        }
        rest = &after[len..];
    }
    out.push_str(rest);
    out
}

/// Returns the name behind a dollar and the bytes it takes.
fn variable(text: &str) -> (Option<&str>, usize) {
    let special = |b: u8| b"*#$@!?-".contains(&b) || b.is_ascii_digit();
    match text.as_bytes() {
        [] => (None, 0),
        [b'{', b, b'}', ..] if special(*b) => (Some(&text[1..2]), 3),
        [b'{', ..] => match text.find('}') {
            None => (None, 1),
            Some(1) => (None, 2),
            Some(end) => (Some(&text[1..end]), end + 1),
        },
        [b, ..] if special(*b) => (Some(&text[..1]), 1),
        bytes => {
            let word = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
            let len = bytes.iter().take_while(word).count();
            ((len > 0).then(|| &text[..len]), len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_a_shell() {
        let lookup = |name: &str| (name == "ZONE").then(|| "a".to_owned());
        for (text, expected) in [
            ("plain", "plain"),
            ("$ZONE", "a"),
            ("x${ZONE}y", "xay"),
            ("$ZONEX", ""),
            ("$$ZONE", "$ZONE"),
            ("5 $ each", "5 $ each"),
            ("end$", "end$"),
            ("${", ""),
            ("${}x", "x"),
            ("é$ZONE€", "éa€"),
        ] {
            assert_eq!(expand_env(text, lookup), expected, "{text}");
        }
    }
}
