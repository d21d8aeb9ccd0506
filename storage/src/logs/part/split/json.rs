//! The values of a line that is one JSON object.

use memchr::memchr2;

use super::{Form, Split};

/// Deepest nesting of objects and lists.
const MAX_DEPTH: usize = 32;

/// Finds the values; false where the line is not an object by the strict grammar.
pub(super) fn split(line: &[u8], into: &mut Split) -> bool {
    let mut reader = Reader { line, at: 0 };
    reader.object(into, 0, 0).is_some() && reader.at == line.len()
}

struct Reader<'a> {
    line: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn spaces(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over a string and returns where its characters are.
    #[inline]
    fn string(&mut self) -> Option<(usize, usize)> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            let at = self.at + memchr2(b'"', b'\\', self.line.get(self.at..)?)?;
            if self.line[at] == b'"' {
                self.at = at + 1;
                return Some((start, at));
            }
            self.at = at + 2;
        }
    }

    fn object(&mut self, into: &mut Split, parent: u32, depth: usize) -> Option<()> {
        self.expect(b'{')?;
        self.spaces();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.spaces();
            let (start, end) = self.string()?;
            let key = into.key(start, end, parent);
            self.spaces();
            self.expect(b':')?;
            self.spaces();
            self.value(into, key, depth)?;
            self.spaces();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn value(&mut self, into: &mut Split, key: u32, depth: usize) -> Option<()> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                let (start, end) = self.string()?;
                into.value(start, end, Form::Quoted, key).then_some(())
            }
            b'{' if depth < MAX_DEPTH => self.object(into, key, depth + 1),
            b'[' => {
                self.list(depth + 1)?;
                into.value(start, self.at, Form::Opaque, key).then_some(())
            }
            b'n' => self.word(b"null"),
            _ => {
                self.scalar()?;
                into.value(start, self.at, Form::Bare, key).then_some(())
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.line.get(self.at..)?.starts_with(word);
        found.then(|| self.at += word.len())
    }

    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            _ => self.number(),
        }
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Steps over a list with whatever is in it.
    fn list(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.expect(b'[')?;
        self.spaces();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.spaces();
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'[' => self.list(depth + 1)?,
                b'n' => self.word(b"null")?,
                b'{' => self.listed_object(depth + 1)?,
                _ => self.scalar()?,
            }
            self.spaces();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// An object in a list: its values are no labels.
    fn listed_object(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut unused = Split::default();
        self.object(&mut unused, 0, depth)
    }
}
