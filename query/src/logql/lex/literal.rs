//! Numbers, durations, sizes and strings.
//!
//! A number that letters follow is tried as a duration, then as a size. What is neither
//! stays a number, and the letters become the next token. A number that is written wrongly is
//! a number all the same: reading goes on, and what is found wrong with its value counts more.

use kymo_storage::compat::duration;
use kymo_storage::compat::quote::{quote, unquote};

use super::{LexError, Lexer, Payload, Token};
use crate::logql::grammar::Symbol;
use crate::logql::size;

impl Lexer<'_> {
    pub(super) fn number(&mut self) -> Token {
        let defect = self.scan_number();
        let number = self.text().to_owned();
        let token = if let Some(ns) = self.duration() {
            self.token_without_line(Symbol::Duration, Payload::Duration(ns))
        } else if let Some(bytes) = self.size() {
            self.token_without_line(Symbol::Bytes, Payload::Bytes(bytes))
        } else {
            self.token_with(Symbol::Number, Payload::Text(number))
        };
        Token { defect, ..token }
    }

    /// Reads on if that makes a duration of what was read: Prometheus' form, else Go's.
    pub(super) fn duration(&mut self) -> Option<i64> {
        let is_unit = |c| matches!(c, 'n' | 'u' | 'µ' | 'm' | 's' | 'h' | 'd' | 'w' | 'y');
        self.read_on(is_unit, |text| {
            let prometheus = duration::parse_prometheus(text);
            prometheus.or_else(|_| duration::parse_go(text)).ok()
        })
    }

    /// Reads on if that makes a size of what was read.
    fn size(&mut self) -> Option<u64> {
        let is_unit = |c| matches!(c, 'B' | 'i' | 'k' | 'K' | 'M' | 'G' | 'T' | 'P');
        self.read_on(is_unit, size::parse)
    }

    fn read_on<T>(
        &mut self,
        is_unit: impl Fn(char) -> bool,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let mut ahead = *self;
        ahead.accept_while(|c| is_unit(c) || c.is_numeric() || c == '.');
        if ahead.pos == self.pos {
            return None;
        }
        let read = read(ahead.text())?;
        *self = ahead;
        Some(read)
    }

    /// Reads a number in one of Go's notations; returns the first thing that is wrong with it.
    /// Whether it is one that stands for a value here is looked at when the value is asked for.
    fn scan_number(&mut self) -> Option<String> {
        let rest = self.rest().as_bytes();
        let lower = |at: usize| rest.get(at).map(u8::to_ascii_lowercase);
        let (base, name) = match (lower(0), lower(1)) {
            (Some(b'0'), Some(b'x')) => (16, "hexadecimal literal"),
            (Some(b'0'), Some(b'o')) => (8, "octal literal"),
            // Loki looks at the character before the number where it means the one behind `0b`.
            // A `0B` is a size here.
            (Some(b'0'), Some(b'b')) if rest.get(1) == Some(&b'b') && self.is_spaced() => {
                self.bump();
                return Some("decimal literal has no digits".to_owned());
            }
            (Some(b'0'), Some(b'b'))
                if rest.get(1) == Some(&b'b') || matches!(lower(2), Some(b'0' | b'1')) =>
            {
                (2, "binary literal")
            }
            (Some(b'0'), _) => (10, "octal literal"),
            _ => (10, "decimal literal"),
        };
        let has_prefix = base != 10;
        if has_prefix {
            self.pos += 2;
        }
        let mut defect = None;
        let mut digits = self.digits(base);
        let mut is_float = false;
        if self.peek() == Some('.') {
            self.bump();
            is_float = true;
            if has_prefix && base != 16 {
                note(&mut defect, format!("invalid radix point in {name}"));
            }
            digits += self.digits(base);
        }
        if digits == 0 {
            note(&mut defect, format!("{name} has no digits"));
        }
        match self.peek() {
            Some(c @ ('e' | 'E')) => {
                if has_prefix {
                    let message = format!("'{c}' exponent requires decimal mantissa");
                    note(&mut defect, message);
                }
                is_float = true;
                self.exponent(&mut defect);
            }
            Some('p' | 'P') if base == 16 => {
                is_float = true;
                self.exponent(&mut defect);
            }
            _ if base == 16 && is_float => {
                let message = "hexadecimal mantissa requires a 'p' exponent";
                note(&mut defect, message.to_owned());
            }
            _ => {}
        }
        let invalid = |c: &char| match base {
            2 => *c > '1',
            _ => *c > '7',
        };
        if !is_float && (has_prefix && base != 16 || rest.first() == Some(&b'0')) {
            let number = self.text().chars().skip(if has_prefix { 2 } else { 0 });
            if let Some(c) = number.filter(char::is_ascii_digit).find(invalid) {
                note(&mut defect, format!("invalid digit '{c}' in {name}"));
            }
        }
        if is_badly_separated(self.text()) {
            note(
                &mut defect,
                "'_' must separate successive digits".to_owned(),
            );
        }
        defect
    }

    /// Tells whether a space stands before the token.
    fn is_spaced(&self) -> bool {
        self.input[..self.start].ends_with(char::is_whitespace)
    }

    /// Reads digits and the underscores between them; returns how many digits.
    fn digits(&mut self, base: u32) -> usize {
        // Digits beyond a smaller base are read, too, and refused later.
        let base = base.max(10);
        let from = self.pos;
        self.accept_while(|c| c == '_' || c.is_digit(base));
        let read = &self.input[from..self.pos];
        read.len() - read.matches('_').count()
    }

    fn exponent(&mut self, defect: &mut Option<String>) {
        self.bump();
        if matches!(self.peek(), Some('+' | '-')) {
            self.bump();
        }
        if self.digits(10) == 0 {
            note(defect, "exponent has no digits".to_owned());
        }
    }

    /// Reads `[5m]`.
    pub(super) fn range(&mut self) -> Result<Token, LexError> {
        self.bump();
        let without_line = |message: String| LexError {
            start: self.start,
            has_line: false,
            message,
        };
        let Some(len) = self.rest().find(']') else {
            return Err(without_line("missing closing ']' in duration".to_owned()));
        };
        let ns = duration::parse_prometheus(&self.rest()[..len])
            .map_err(|error| without_line(error.to_string()))?;
        self.pos += len + 1;
        Ok(self.token_without_line(Symbol::Range, Payload::Duration(ns)))
    }

    pub(super) fn string(&mut self) -> Result<Token, LexError> {
        self.scan_quoted('"')?;
        self.unquoted()
    }

    pub(super) fn raw_string(&mut self) -> Result<Token, LexError> {
        self.bump();
        let Some(len) = self.rest().find('`') else {
            return Err(self.error("literal not terminated"));
        };
        self.pos += len + 1;
        self.unquoted()
    }

    /// Reads `'x'`, which Go has for characters; here it is a name that nothing has.
    pub(super) fn character(&mut self) -> Result<Token, LexError> {
        let defect = match self.scan_quoted('\'')? {
            1 => None,
            _ => Some("invalid char literal".to_owned()),
        };
        Ok(Token {
            defect,
            ..self.identifier()
        })
    }

    /// Reads up to the closing mark; returns how many characters stand between.
    fn scan_quoted(&mut self, mark: char) -> Result<usize, LexError> {
        self.bump();
        let mut len = 0;
        loop {
            match self.bump() {
                Some(c) if c == mark => return Ok(len),
                None | Some('\n') => return Err(self.error("literal not terminated")),
                Some('\\') => self.escape(mark)?,
                Some(_) => {}
            }
            len += 1;
        }
    }

    fn escape(&mut self, mark: char) -> Result<(), LexError> {
        let (base, digits) = match self.peek() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => {
                self.bump();
                return Ok(());
            }
            Some(c) if c == mark => {
                self.bump();
                return Ok(());
            }
            Some('0'..='7') => (8, 3),
            Some('x') => (16, 2),
            Some('u') => (16, 4),
            Some('U') => (16, 8),
            _ => return Err(self.error("invalid char escape")),
        };
        if base == 16 {
            self.bump();
        }
        for _ in 0..digits {
            if !self.bump().is_some_and(|c| c.is_digit(base)) {
                return Err(self.error("invalid char escape"));
            }
        }
        Ok(())
    }

    fn unquoted(&self) -> Result<Token, LexError> {
        let bytes = unquote(self.text()).map_err(|error| self.error(error.to_string()))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(self.token_with(Symbol::Text, Payload::Text(text))),
            // Loki takes such texts; ours are UTF-8, and another text would lie.
            Err(_) => Err(self.error(format!(
                "string {} is not valid UTF-8, which is not supported",
                quote(self.text())
            ))),
        }
    }
}

/// Keeps the first of several defects.
fn note(defect: &mut Option<String>, message: String) {
    defect.get_or_insert(message);
}

/// Tells whether an underscore stands anywhere but between digits. A prefix such as `0x`
/// counts as a digit.
fn is_badly_separated(number: &str) -> bool {
    let lower = number.to_ascii_lowercase();
    let (has_prefix, digits) = match ["0x", "0o", "0b"]
        .iter()
        .find_map(|p| lower.strip_prefix(p))
    {
        Some(digits) => (true, digits),
        None => (false, lower.as_str()),
    };
    let is_hex = lower.starts_with("0x");
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_digit(if is_hex { 16 } else { 10 }));
    let mut before = has_prefix.then_some('0');
    let mut chars = digits.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '_' && !(is_digit(before) && is_digit(chars.peek().copied())) {
            return true;
        }
        before = Some(c);
    }
    false
}
