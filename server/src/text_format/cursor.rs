//! The bytes of a text, one after the other, and the tokens of its lines.

use kymo_storage::compat::quote::quote_bytes;

use super::TextError;

/// Reads a text from its beginning to its end.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) line: usize,
    line_start: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor {
            bytes,
            at: 0,
            line: 0,
            line_start: 0,
        }
    }

    /// Begins a line; false where there is none any more.
    pub(super) fn begin_line(&mut self) -> bool {
        self.line += 1;
        self.line_start = self.at;
        self.skip_blanks();
        self.at < self.bytes.len()
    }

    /// Returns the error for what stands here.
    pub(super) fn error(&self, message: impl Into<String>) -> TextError {
        TextError {
            line: self.line,
            column: self.at.saturating_sub(self.line_start) + 1,
            message: message.into(),
        }
    }

    /// Returns the next byte and leaves it there.
    ///
    /// # Errors
    /// The text ends in the middle of a line.
    pub(super) fn peek(&self) -> Result<u8, TextError> {
        let byte = self.bytes.get(self.at).copied();
        byte.ok_or_else(|| self.error("unexpected end of input stream"))
    }

    /// Goes behind the next byte.
    pub(super) fn step(&mut self) {
        self.at += 1;
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(|&byte| is_blank(byte)) {
            self.at += 1;
        }
    }

    /// Goes behind the end of the line if only that is left.
    pub(super) fn ends_line(&mut self) -> Result<bool, TextError> {
        let ends = self.peek()? == b'\n';
        if ends {
            self.step();
        }
        Ok(ends)
    }

    /// Takes what stands before a blank or the end of the line.
    pub(super) fn word(&mut self) -> Result<&'a [u8], TextError> {
        let from = self.at;
        while !is_blank(self.peek()?) && self.peek()? != b'\n' {
            self.step();
        }
        Ok(self.since(from))
    }

    /// Takes the rest of the line and goes behind its end.
    pub(super) fn rest(&mut self) -> Result<&'a [u8], TextError> {
        let from = self.at;
        while self.peek()? != b'\n' {
            self.step();
        }
        let rest = self.since(from);
        self.step();
        Ok(rest)
    }

    /// Takes the rest of the line as text with escapes, and goes behind its end.
    pub(super) fn help(&mut self) -> Result<Vec<u8>, TextError> {
        let mut text = Vec::new();
        loop {
            match self.peek()? {
                b'\n' => {
                    self.step();
                    return Ok(text);
                }
                b'\\' => text.push(self.escape()?),
                byte => {
                    text.push(byte);
                    self.step();
                }
            }
        }
    }

    /// Takes a name, which may be quoted. It is empty where none begins here.
    pub(super) fn name(&mut self, what: &str, is_in: fn(u8) -> bool) -> Result<Vec<u8>, TextError> {
        let first = self.peek()?;
        if first == b'"' {
            self.step();
            return self.quoted(what);
        }
        let from = self.at;
        if first.is_ascii_digit() {
            return Ok(Vec::new());
        }
        while is_in(self.peek()?) {
            self.step();
        }
        Ok(self.since(from).to_vec())
    }

    /// Takes a text up to its closing quote; the opening one is behind.
    pub(super) fn quoted(&mut self, what: &str) -> Result<Vec<u8>, TextError> {
        let mut text = Vec::new();
        loop {
            match self.peek()? {
                b'"' => {
                    self.step();
                    return Ok(text);
                }
                b'\n' => {
                    let text = quote_bytes(&text);
                    return Err(self.error(format!("{what} {text} contains unescaped new-line")));
                }
                b'\\' => text.push(self.escape()?),
                byte => {
                    text.push(byte);
                    self.step();
                }
            }
        }
    }

    fn escape(&mut self) -> Result<u8, TextError> {
        self.step();
        let byte = match self.peek()? {
            b'n' => b'\n',
            byte @ (b'\\' | b'"') => byte,
            other => {
                let other = char::from(other);
                return Err(self.error(format!("invalid escape sequence '\\{other}'")));
            }
        };
        self.step();
        Ok(byte)
    }

    fn since(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.at).unwrap_or_default()
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(super) fn is_in_label_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(super) fn is_in_metric_name(byte: u8) -> bool {
    is_in_label_name(byte) || byte == b':'
}
