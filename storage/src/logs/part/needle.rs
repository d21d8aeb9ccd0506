//! A text that is searched for in lines.

use memchr::memmem::Finder;

/// Bytes of the longest text that is searched for in values: the ways in which one can lie
/// across them grow with the square of its length.
pub(super) const MAX_IN_VALUES: usize = 512;

/// A text that is searched for in many groups.
#[derive(Debug, Clone)]
pub struct Needle {
    /// Small letters where the case does not matter.
    finder: Finder<'static>,
    is_folded: bool,
    /// The first [`MAX_IN_VALUES`] bytes of a longer text.
    start: Option<Box<Needle>>,
}

impl Needle {
    /// Returns a search for a text.
    pub fn new(text: &[u8]) -> Needle {
        Needle {
            finder: Finder::new(text).into_owned(),
            is_folded: false,
            start: start_of(text).map(|start| Box::new(Needle::new(start))),
        }
    }

    /// Returns a search for a text whose ASCII letters may be of either case.
    pub fn folded(text: &[u8]) -> Needle {
        Needle {
            finder: Finder::new(&text.to_ascii_lowercase()).into_owned(),
            is_folded: true,
            start: start_of(text).map(|start| Box::new(Needle::folded(start))),
        }
    }

    /// Returns what is searched for in values in place of a text that is too long for them.
    pub(super) fn start(&self) -> Option<&Needle> {
        self.start.as_deref()
    }

    /// Returns the text, in small letters where the case does not matter.
    pub fn text(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Tells whether ASCII letters may be of either case.
    pub fn is_folded(&self) -> bool {
        self.is_folded
    }

    /// Tells whether a text contains it.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.find(text).is_some()
    }

    /// Returns where it is in a text first.
    #[inline]
    pub(super) fn find(&self, text: &[u8]) -> Option<usize> {
        match self.is_folded {
            false => self.finder.find(text),
            true => find_folded(text, self.text()),
        }
    }

    /// Tells whether a part of it is as good as a text.
    #[inline]
    pub(super) fn is_same(&self, part: &[u8], text: &[u8]) -> bool {
        match self.is_folded {
            false => part == text,
            true => part.eq_ignore_ascii_case(text),
        }
    }

    /// Tells whether a text begins with a part of it.
    #[inline]
    pub(super) fn begins(&self, text: &[u8], part: &[u8]) -> bool {
        let start = text.get(..part.len());
        start.is_some_and(|start| self.is_same(part, start))
    }

    /// Tells whether a text ends with a part of it.
    #[inline]
    pub(super) fn ends(&self, text: &[u8], part: &[u8]) -> bool {
        let start = text.len().checked_sub(part.len());
        start.is_some_and(|start| self.is_same(part, &text[start..]))
    }
}

fn start_of(text: &[u8]) -> Option<&[u8]> {
    text.get(..MAX_IN_VALUES)
        .filter(|start| start.len() < text.len())
}

/// Finds small letters in any case.
fn find_folded(text: &[u8], needle: &[u8]) -> Option<usize> {
    let Some(&first) = needle.first() else {
        return Some(0);
    };
    let last_start = text.len().checked_sub(needle.len())?;
    let starts = &text[..=last_start];
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), starts)
        .find(|&at| text[at..at + needle.len()].eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_matters_where_it_is_to() {
        let (exact, folded) = (Needle::new(b"Ab1"), Needle::folded(b"Ab1"));
        assert!(exact.is_in(b"xAb1") && !exact.is_in(b"xab1"));
        for text in [&b"xAb1"[..], b"ab1", b"aab1", b"AB1."] {
            assert!(folded.is_in(text));
        }
        assert!(!folded.is_in(b"ab") && !folded.is_in(b"") && folded.text() == b"ab1");
        assert!(Needle::folded(b"").is_in(b"") && Needle::new(b"").is_in(b""));
        assert!(folded.begins(b"AB", b"a") && !exact.begins(b"aB", b"A"));
        assert!(folded.ends(b"AB", b"b") && !exact.ends(b"AB", b"b") && !folded.ends(b"", b"b"));
    }
}
