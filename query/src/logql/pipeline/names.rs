//! Names of labels as small numbers.
//!
//! A pipeline meets the same few names on every line. Each gets a number once, so that what
//! is done per line compares numbers. Names that lines bring are unbounded in a hostile log:
//! beyond a bound all of them are forgotten, those of the query excepted.

use hashbrown::HashMap;

/// Number of a name in a [`Names`].
pub(super) type NameId = u32;

/// `__error__`
pub(super) const ERROR: NameId = 0;
/// `__error_details__`
pub(super) const ERROR_DETAILS: NameId = 1;
/// `__preserve_error__`
pub(super) const PRESERVE_ERROR: NameId = 2;

/// Text of [`ERROR`].
pub(crate) const ERROR_NAME: &str = "__error__";
/// Text of [`ERROR_DETAILS`].
pub(crate) const ERROR_DETAILS_NAME: &str = "__error_details__";
/// Text of [`PRESERVE_ERROR`].
pub(crate) const PRESERVE_ERROR_NAME: &str = "__preserve_error__";

/// What a parsed label is called whose name is taken.
pub(super) const EXTRACTED: &str = "_extracted";

/// Names beyond which those of lines are forgotten.
const MAX_NAMES: usize = 16_384;

#[derive(Debug, Clone)]
struct Name {
    text: Box<str>,
    /// The name with [`EXTRACTED`] behind it, where it was asked for.
    extracted: Option<NameId>,
}

/// Numbered names.
#[derive(Debug, Clone)]
pub(super) struct Names {
    names: Vec<Name>,
    by_text: HashMap<Box<str>, NameId>,
    /// What keys of lines are called as labels; `None` for those that make none.
    by_key: HashMap<Box<[u8]>, Option<NameId>>,
    /// How many are never forgotten.
    fixed: usize,
    buffer: Vec<u8>,
}

impl Names {
    /// Returns the names that every pipeline knows.
    pub(super) fn new() -> Names {
        let mut names = Names {
            names: Vec::new(),
            by_text: HashMap::new(),
            by_key: HashMap::new(),
            fixed: 0,
            buffer: Vec::new(),
        };
        for name in [ERROR_NAME, ERROR_DETAILS_NAME, PRESERVE_ERROR_NAME] {
            names.fix(name);
        }
        names
    }

    /// Returns the number of a name that the query has.
    pub(super) fn fix(&mut self, name: &str) -> NameId {
        let id = self.id(name);
        self.fixed = self.fixed.max(id as usize + 1);
        id
    }

    /// Returns the number of a name.
    pub(super) fn id(&mut self, name: &str) -> NameId {
        if let Some(id) = self.by_text.get(name) {
            return *id;
        }
        let id = self.names.len() as NameId;
        self.names.push(Name {
            text: name.into(),
            extracted: None,
        });
        self.by_text.insert(name.into(), id);
        id
    }

    /// Returns the text of a name.
    pub(super) fn text(&self, id: NameId) -> &str {
        self.names.get(id as usize).map_or("", |name| &name.text)
    }

    /// Returns how many names there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns what a parsed label is called where its own name is taken.
    pub(super) fn extracted(&mut self, id: NameId) -> NameId {
        if let Some(extracted) = self.names.get(id as usize).and_then(|name| name.extracted) {
            return extracted;
        }
        let extracted = self.id(&format!("{}{EXTRACTED}", self.text(id)));
        if let Some(name) = self.names.get_mut(id as usize) {
            name.extracted = Some(extracted);
        }
        extracted
    }

    /// Returns the label that a key of a line makes: without space around it, and with `_`
    /// for what labels cannot have.
    pub(super) fn of_key(&mut self, key: &[u8]) -> Option<NameId> {
        if let Some(known) = self.by_key.get(key) {
            return *known;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        push_sanitized(&mut buffer, key);
        let id = match buffer.is_empty() {
            true => None,
            false => Some(self.of_sanitized(&buffer)),
        };
        self.buffer = buffer;
        self.by_key.insert(key.into(), id);
        id
    }

    /// Returns the number of a name that [`push_sanitized`] wrote.
    pub(super) fn of_sanitized(&mut self, name: &[u8]) -> NameId {
        // What was sanitized is ASCII.
        self.id(str::from_utf8(name).unwrap_or_default())
    }

    /// Returns the number of a name as a label has it.
    pub(super) fn sanitized(&mut self, id: NameId) -> NameId {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        push_sanitized(&mut buffer, self.text(id).as_bytes());
        let sanitized = match buffer == self.text(id).as_bytes() {
            true => id,
            false => self.of_sanitized(&buffer),
        };
        self.buffer = buffer;
        sanitized
    }

    /// Forgets the names of lines where there are too many; tells whether it did.
    pub(super) fn forget_if_many(&mut self) -> bool {
        if self.names.len() < MAX_NAMES && self.by_key.len() < MAX_NAMES {
            return false;
        }
        let fixed = self.fixed;
        self.names.truncate(fixed);
        for name in &mut self.names {
            name.extracted = name.extracted.filter(|id| (*id as usize) < fixed);
        }
        self.by_text.retain(|_, id| (*id as usize) < fixed);
        self.by_key.clear();
        true
    }
}

/// Appends a key as it is called as a label.
pub(super) fn push_sanitized(out: &mut Vec<u8>, key: &[u8]) {
    let push = |out: &mut Vec<u8>, c: u8| {
        out.push(match c {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => c,
            _ => b'_',
        });
    };
    let trimmed = trim_space(key);
    if out.is_empty() && trimmed.first().is_some_and(u8::is_ascii_digit) {
        out.push(b'_');
    }
    if trimmed.is_ascii() {
        trimmed.iter().for_each(|&c| push(out, c));
        return;
    }
    for chunk in trimmed.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(out, u8::try_from(c).unwrap_or(b' '));
        }
        out.extend(chunk.invalid().iter().map(|_| b'_'));
    }
}

/// Removes Unicode's space at both ends, as far as the text is UTF-8.
pub(super) fn trim_space(key: &[u8]) -> &[u8] {
    match str::from_utf8(key) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => key.trim_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_names() {
        let mut names = Names::new();
        let mut text = |key: &[u8]| {
            let id = names.of_key(key);
            id.map(|id| names.text(id).to_owned())
        };
        assert_eq!(text(b"a.b-c").as_deref(), Some("a_b_c"));
        assert_eq!(text(b" 9x ").as_deref(), Some("_9x"));
        assert_eq!(text("m\u{e9}t\u{20ac}".as_bytes()).as_deref(), Some("m_t_"));
        assert_eq!(text(b"\xff\xfe").as_deref(), Some("__"));
        assert_eq!(text(b"  "), None);
        assert_eq!(text(b""), None);
    }

    #[test]
    fn names_of_lines_are_forgotten_and_those_of_the_query_stay() {
        let mut names = Names::new();
        let status = names.fix("status");
        for i in 0..MAX_NAMES {
            names.of_key(format!("k{i}").as_bytes());
        }
        assert!(names.forget_if_many());
        assert_eq!(names.len(), 4);
        assert_eq!(names.of_key(b"status"), Some(status));
        let extracted = names.extracted(status);
        assert_eq!(names.text(extracted), "status_extracted");
        assert!(!names.forget_if_many());
    }
}
