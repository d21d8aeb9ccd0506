//! Upper and lower case as Go's `strings` package maps them: one character to one.

/// Returns text in lower case, character by character.
pub fn to_lower(text: &str) -> String {
    text.chars().map(char_to_lower).collect()
}

/// Returns text in upper case, character by character.
pub fn to_upper(text: &str) -> String {
    text.chars().map(char_to_upper).collect()
}

/// Returns the lower case of one character.
fn char_to_lower(c: char) -> char {
    if c == '\u{130}' {
        // The only character whose full lower case has several characters while its
        // simple one differs from itself.
        return 'i';
    }
    single(c.to_lowercase()).unwrap_or(c)
}

/// Returns the upper case of one character.
fn char_to_upper(c: char) -> char {
    single(c.to_uppercase()).unwrap_or(match c {
        // Greek letters with a subscript iota have one character in title case, which
        // is their simple upper case, and two in full upper case.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            char::from_u32(u32::from(c) + 8).unwrap_or(c)
        }
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(u32::from(c) + 9).unwrap_or(c),
        _ => c,
    })
}

fn single(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next()?;
    mapped.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_map_one_to_one() {
        assert_eq!(
            to_upper("aé\u{df}\u{fb01}\u{149}\u{1f80}\u{1fb3}"),
            "AÉ\u{df}\u{fb01}\u{149}\u{1f88}\u{1fbc}"
        );
        assert_eq!(to_lower("AÉ\u{130}ΑΣ"), "aéiασ");
    }
}
