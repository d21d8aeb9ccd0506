//! Numbers and durations. What is read here may still be no valid number or
//! duration; that is found when its value is taken.

use super::{Dialect, Lexer, Mode, Step, emit, fail, is_alphanumeric};
use crate::promql::grammar::Symbol;
use kymo_storage::compat::quote::quote;

impl Lexer<'_> {
    /// Reads a number where only a number can stand.
    pub(super) fn number(&mut self, mode: Mode) -> Step {
        if self.scan_number() {
            return emit(Symbol::Number, mode);
        }
        fail(format!("bad number syntax: {}", quote(&self.word_lossy())))
    }

    /// Reads a number or a duration.
    pub(super) fn number_or_duration(&mut self) -> Step {
        if self.scan_number() {
            return emit(Symbol::Number, Mode::Statements);
        }
        if self.scan_rest_of_duration() {
            return emit(Symbol::Duration, Mode::Statements);
        }
        let word = quote(&self.word_lossy());
        fail(format!("bad number or duration syntax: {word}"))
    }

    /// Takes the units and further parts of a duration behind its first digits.
    fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        // For `ms`; nonsense like `hs` is found when the value is taken.
        self.accept("s");
        while self.accept("0123456789") {
            self.accept_while(|c| c.is_ascii_digit());
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            // The error text shows the character that spoils it.
            self.bump();
            return false;
        }
        true
    }

    /// Takes the characters of a number: `[.][digits][digits . _ e]*`. Where it
    /// fails, what was taken so far shows in the error text.
    fn scan_number(&mut self) -> bool {
        let at_start = self.pos;
        let mut digits = "0123456789";
        // `0x` would be zero repeated in a series line.
        let is_hex = self.dialect == Dialect::Query && self.accept("0") && self.accept("xX");
        if is_hex {
            self.accept("_");
            digits = "0123456789abcdefABCDEF";
        }
        self.accept(".");
        self.accept(digits);
        let (mut has_dot, mut has_exponent) = (false, false);
        while let Some(c) = self.peek() {
            if !digits.contains(c) && !matches!(c, '.' | '_' | 'e' | 'E') {
                break;
            }
            if c == '.' && has_dot {
                self.bump();
                return false;
            }
            if matches!(c, 'e' | 'E') && has_exponent {
                self.bump();
                return false;
            }
            if self.accept(".") {
                has_dot = true;
                if self.accept("_.") || is_hex {
                    return false;
                }
            } else if self.accept("eE") {
                has_exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                self.accept_while(|c| digits.contains(c));
            }
        }
        if self.pos == at_start {
            return false;
        }
        match self.peek() {
            Some('x') if self.dialect == Dialect::Series => true,
            Some(c) => !is_alphanumeric(c),
            None => true,
        }
    }
}
