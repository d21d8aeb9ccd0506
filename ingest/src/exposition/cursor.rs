//! A place in an exposition body, and the scanning loops both text grammars share.
//!
//! Upstream's lexers are table-driven machines with two habits that show in what
//! they accept: a NUL byte ends a token like the end of input does, and in some
//! states NUL bytes are passed over while advancing. [`Cursor::bump`] and
//! [`Cursor::bump_past_nul`] are those two ways to advance.

/// Bytes that may stand inside a metric name after its first byte.
pub(super) const NAME: u8 = 1;
/// Bytes that may begin a metric name.
pub(super) const NAME_START: u8 = 2;
/// Bytes that may stand inside an unquoted label name after its first byte.
const LABEL: u8 = 4;
/// Bytes that may begin an unquoted label name.
pub(super) const LABEL_START: u8 = 8;
/// Bytes at which the scan of a quoted string has to look closer.
const QUOTED_STOP: u8 = 16;
/// Bytes that end a value in the text format.
const TEXT_VALUE_END: u8 = 32;
/// Bytes that end a value or timestamp in OpenMetrics.
const WORD_END: u8 = 64;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphabetic() || b == b'_' {
            class |= NAME | NAME_START | LABEL | LABEL_START;
        }
        if b.is_ascii_digit() {
            class |= NAME | LABEL;
        }
        if b == b':' {
            class |= NAME | NAME_START;
        }
        if matches!(b, b'"' | b'\\' | b'\n' | 0) {
            class |= QUOTED_STOP;
        }
        if matches!(b, b' ' | b'\t' | b'\n' | b'{' | 0) {
            class |= TEXT_VALUE_END;
        }
        if matches!(b, b' ' | b'\n' | 0) {
            class |= WORD_END;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

/// Tells whether a byte is in one of the classes of `mask`.
#[inline]
pub(super) fn is(byte: u8, mask: u8) -> bool {
    CLASS[usize::from(byte)] & mask != 0
}

/// A position in a body. `start` is where the current token begins, `line` where
/// the current entry does.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    body: &'a [u8],
    /// Length the grammar sees: the text format reads one newline more than is there.
    end: usize,
    pub(super) pos: usize,
    pub(super) start: usize,
    pub(super) line: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8]) -> Cursor<'a> {
        Cursor {
            body,
            end: body.len(),
            pos: 0,
            start: 0,
            line: 0,
        }
    }

    /// Reads the body as if one more newline stood at its end.
    pub(super) fn with_final_newline(body: &'a [u8]) -> Cursor<'a> {
        Cursor {
            end: body.len() + 1,
            ..Cursor::new(body)
        }
    }

    #[inline]
    pub(super) fn at_end(&self) -> bool {
        self.pos >= self.end
    }

    /// Returns the byte at the position, NUL at the end.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        match self.body.get(self.pos) {
            Some(&byte) => byte,
            None if self.pos < self.end => b'\n',
            None => 0,
        }
    }

    #[inline]
    pub(super) fn bump(&mut self) {
        self.pos += 1;
    }

    /// Advances by one byte and over the NUL bytes that follow it.
    #[inline]
    pub(super) fn bump_past_nul(&mut self) {
        self.pos += 1;
        while self.body.get(self.pos) == Some(&0) {
            self.pos += 1;
        }
    }

    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.body.get(self.pos), Some(b' ' | b'\t')) {
            self.pos += 1;
        }
    }

    #[inline]
    fn skip_class(&mut self, mask: u8) {
        while let Some(&byte) = self.body.get(self.pos) {
            if !is(byte, mask) {
                break;
            }
            self.pos += 1;
        }
    }

    #[inline]
    fn skip_until(&mut self, mask: u8) {
        while let Some(&byte) = self.body.get(self.pos) {
            if is(byte, mask) {
                break;
            }
            self.pos += 1;
        }
    }

    /// Advances over the bytes of a metric name.
    #[inline]
    pub(super) fn metric_name(&mut self) {
        self.skip_class(NAME);
    }

    /// Advances over the bytes of an unquoted label name.
    #[inline]
    pub(super) fn label_name(&mut self) {
        self.skip_class(LABEL);
    }

    /// Advances over a value of the text format.
    #[inline]
    pub(super) fn text_value(&mut self) {
        self.skip_until(TEXT_VALUE_END);
    }

    /// Advances to the next space, newline or NUL.
    #[inline]
    pub(super) fn word(&mut self) {
        self.skip_until(WORD_END);
    }

    #[inline]
    pub(super) fn digits(&mut self) {
        while matches!(self.body.get(self.pos), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
    }

    /// Advances over a quoted string that begins here, and tells whether it closed.
    /// Where it did not, the position is the byte that could not be taken.
    #[inline]
    pub(super) fn quoted(&mut self, rule: Quoted) -> bool {
        let past_nul = rule == Quoted::Value || rule == Quoted::LineValue;
        let one_line = rule == Quoted::LineValue || rule == Quoted::LineString;
        let step = |cursor: &mut Self| {
            if past_nul {
                cursor.bump_past_nul();
            } else {
                cursor.bump();
            }
        };
        step(self);
        loop {
            self.skip_until(QUOTED_STOP);
            match self.peek() {
                b'"' => {
                    step(self);
                    return true;
                }
                b'\\' => {
                    step(self);
                    if matches!(self.peek(), b'\n' | 0) {
                        return false;
                    }
                    step(self);
                }
                b'\n' if one_line => return false,
                0 => return false,
                _ => step(self),
            }
        }
    }

    /// Advances to the next newline, or to the end where there is none.
    pub(super) fn skip_line(&mut self) {
        let rest = self.body.get(self.pos..).unwrap_or_default();
        self.pos = match memchr::memchr(b'\n', rest) {
            Some(at) => self.pos + at,
            None => self.body.len().max(self.pos),
        };
    }

    /// Returns the bytes of a range, as far as they are there.
    #[inline]
    pub(super) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        let to = to.min(self.body.len());
        self.body.get(from..to).unwrap_or_default()
    }

    /// Returns the bytes of the current token.
    #[inline]
    pub(super) fn token(&self) -> &'a [u8] {
        self.slice(self.start, self.pos)
    }

    /// Returns what an error quotes as the token: it and the byte after it.
    pub(super) fn quote_token(&self) -> Vec<u8> {
        self.quote_range(self.start, self.pos + 1)
    }

    /// Returns what an error quotes as the entry, up to the byte after the token.
    pub(super) fn quote_entry(&self) -> Vec<u8> {
        self.quote_range(self.line, self.pos + 1)
    }

    /// Returns the entry up to the end of the token.
    pub(super) fn quote_read(&self) -> Vec<u8> {
        self.quote_range(self.line, self.pos)
    }

    fn quote_range(&self, from: usize, to: usize) -> Vec<u8> {
        let to = to.min(self.end);
        let mut bytes = self.slice(from, to).to_vec();
        if to > self.body.len() && from < to {
            bytes.push(b'\n');
        }
        bytes
    }
}

/// What a quoted string may hold, by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoted {
    /// A name: newlines are taken, NUL ends it.
    Name,
    /// A label value of the text format: newlines and NUL are taken.
    Value,
    /// A label value of OpenMetrics: NUL is taken, a newline ends it.
    LineValue,
    /// Names and values of an exemplar: a newline or NUL ends them.
    LineString,
}
