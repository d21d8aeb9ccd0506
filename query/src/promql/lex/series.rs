//! The values of the series lines of unit tests: `foo 1+2x5 _ stale {{sum:1}}x3`.

use super::{InHistogram, Lexer, Mode, Step, emit, fail, go, is_alpha, is_digit, is_space};
use crate::promql::grammar::Symbol;
use crate::promql::literal::quote_char;
use crate::promql::token;
use kymo_storage::compat::quote::quote;

impl Lexer<'_> {
    /// Reads values behind the label set.
    pub(super) fn value_sequence(&mut self) -> Step {
        use Symbol::*;
        if self.histogram != InHistogram::No {
            return go(Mode::Histogram);
        }
        let Some(c) = self.bump() else {
            return go(Mode::Statements);
        };
        let symbol = match c {
            '{' if self.peek() == Some('{') => {
                self.bump();
                self.histogram = InHistogram::Open;
                return emit(OpenHist, Mode::Histogram);
            }
            '+' => Add,
            '-' => Sub,
            'x' => Times,
            '_' => Blank,
            _ if is_space(c) => return emit(Space, Mode::ValueSequence),
            _ if self.begins_number(c) => {
                self.pos -= 1;
                return self.number(Mode::ValueSequence);
            }
            _ if is_alpha(c) => return self.keyword_or_identifier(),
            _ => return Self::unexpected("unexpected character in series sequence", Some(c)),
        };
        emit(symbol, Mode::ValueSequence)
    }

    /// Reads inside `{{` and `}}`, and the sign behind them.
    pub(super) fn histogram(&mut self) -> Step {
        use Symbol::*;
        if let InHistogram::Sign(symbol) = self.histogram {
            self.histogram = InHistogram::No;
            self.bump();
            return emit(symbol, Mode::ValueSequence);
        }
        if self.bracket_open {
            return go(Mode::Buckets);
        }
        let c = self.bump();
        match c {
            Some(c) if is_space(c) => emit(Space, Mode::Statements),
            Some(c) if is_alpha(c) => self.histogram_word(),
            Some(':') => emit(Colon, Mode::Histogram),
            Some('-') => emit(Sub, Mode::Histogram),
            Some(c) if is_digit(c) => {
                self.pos -= 1;
                self.number(Mode::Statements)
            }
            Some('[') => {
                self.bracket_open = true;
                self.got_colon = false;
                self.got_duration = false;
                emit(LeftBracket, Mode::Buckets)
            }
            Some('}') if self.peek() == Some('}') => {
                self.bump();
                let sign = match self.peek() {
                    Some('x') => Some(Times),
                    Some('+') => Some(Add),
                    Some('-') => Some(Sub),
                    _ => None,
                };
                let Some(sign) = sign else {
                    self.histogram = InHistogram::No;
                    return emit(CloseHist, Mode::ValueSequence);
                };
                self.histogram = InHistogram::Sign(sign);
                emit(CloseHist, Mode::Histogram)
            }
            _ => fail(format!(
                "histogram description incomplete unexpected: {}",
                quote_char(c)
            )),
        }
    }

    fn histogram_word(&mut self) -> Step {
        self.accept_while(is_alpha);
        let word = self.word();
        if let Some(key) = token::histogram_key(word) {
            return match self.peek() {
                Some(':') => emit(key, Mode::Histogram),
                _ => fail("missing `:` for histogram descriptor"),
            };
        }
        if token::keyword(word) == Some(Symbol::Number) {
            return emit(Symbol::Number, Mode::Histogram);
        }
        if let Some(hint) = token::counter_reset_hint(word) {
            return emit(hint, Mode::Histogram);
        }
        let word = quote(&self.word_lossy());
        fail(format!("bad histogram descriptor found: {word}"))
    }

    /// Reads the numbers of a list of buckets.
    pub(super) fn buckets(&mut self) -> Step {
        use Symbol::*;
        let c = self.bump();
        match c {
            Some(c) if is_space(c) => emit(Space, Mode::Statements),
            Some('-') => emit(Sub, Mode::Number),
            Some(c) if is_digit(c) => {
                self.pos -= 1;
                self.number(Mode::Statements)
            }
            Some(']') => {
                self.bracket_open = false;
                emit(RightBracket, Mode::Histogram)
            }
            Some(c) if is_alpha(c) => {
                if token::keyword(self.word()) == Some(Number) {
                    return emit(Number, Mode::Statements);
                }
                go(Mode::Buckets)
            }
            _ => fail(format!(
                "invalid character in buckets description: {}",
                quote_char(c)
            )),
        }
    }
}
