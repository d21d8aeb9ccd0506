//! Quoted texts. Here they are only checked; `quote` takes their escapes apart.

use super::{Lexer, Mode, Step, emit, fail};
use crate::promql::grammar::Symbol;
use crate::promql::literal::code_point;

impl Lexer<'_> {
    /// Reads a text behind its opening quote.
    pub(super) fn string(&mut self, quote: char) -> Step {
        loop {
            match self.bump() {
                None | Some('\n') => return fail("unterminated quoted string"),
                Some(char::REPLACEMENT_CHARACTER) => return fail("invalid UTF-8 rune"),
                Some('\\') => {
                    if let Err(message) = self.escape(quote) {
                        return fail(message);
                    }
                }
                Some(c) if c == quote => return emit(Symbol::Text, Mode::Statements),
                Some(_) => {}
            }
        }
    }

    /// Reads a text without escapes behind its opening backquote.
    pub(super) fn raw_string(&mut self) -> Step {
        loop {
            match self.bump() {
                None => return fail("unterminated raw string"),
                Some(char::REPLACEMENT_CHARACTER) => return fail("invalid UTF-8 rune"),
                Some('`') => return emit(Symbol::Text, Mode::Statements),
                Some(_) => {}
            }
        }
    }

    /// Checks an escape sequence behind its backslash.
    fn escape(&mut self, quote: char) -> Result<(), String> {
        let not_terminated = || "escape sequence not terminated".to_owned();
        let c = self.bump().ok_or_else(not_terminated)?;
        let (n_digits, base, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if c == quote => return Ok(()),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            _ => return Err(format!("unknown escape sequence {}", code_point(c))),
        };
        let mut value = 0u32;
        for n in 0..n_digits {
            // The first octal digit is the character behind the backslash.
            let digit = if base == 8 && n == 0 {
                c
            } else {
                self.bump().ok_or_else(not_terminated)?
            };
            let digit = digit.to_digit(base).ok_or_else(|| {
                format!("illegal character {} in escape sequence", code_point(digit))
            })?;
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}
