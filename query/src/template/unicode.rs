//! The two classes of characters that Go's identifiers are made of.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// Tells whether a character is a letter (category L).
pub(crate) fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    contains(&LETTERS, c)
}

/// Tells whether a character is a decimal digit (category Nd).
pub(crate) fn is_digit(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_digit();
    }
    contains(&DIGITS, c)
}

static LETTERS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"\pL"));
static DIGITS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"\p{Nd}"));

fn ranges(class: &str) -> Vec<(char, char)> {
    match regex_syntax::parse(class).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class
            .iter()
            .map(|range| (range.start(), range.end()))
            .collect(),
        _ => Vec::new(),
    }
}

fn contains(ranges: &[(char, char)], c: char) -> bool {
    ranges
        .binary_search_by(|&(first, last)| {
            if last < c {
                std::cmp::Ordering::Less
            } else if first > c {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_are_told_apart() {
        for c in ['a', 'Z', 'é', '日', 'ß'] {
            assert!(is_letter(c) && !is_digit(c), "{c}");
        }
        for c in ['0', '9', '٣'] {
            assert!(is_digit(c) && !is_letter(c), "{c}");
        }
        for c in ['_', ' ', '½', '😀', 'Ⅷ', '\u{301}'] {
            assert!(!is_letter(c) && !is_digit(c), "{c}");
        }
    }
}
