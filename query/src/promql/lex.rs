//! Splits a text into tokens.
//!
//! The lexer is a machine of [`Mode`]s, because the meaning of a character depends
//! on what is open: inside braces nothing is a keyword, inside brackets only
//! durations stand, and the series lines of unit tests have a language of their
//! own. It works on bytes, so that a text that is not UTF-8 gets an error with a
//! place and not a refusal without one. An error ends the text.

mod escape;
mod number;
mod series;

use crate::promql::ast::Span;
use crate::promql::grammar::Symbol;
use crate::promql::literal::quote_char;
use crate::promql::token::{self, Token};

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Queries, selectors, label sets.
    Query,
    /// The series lines of unit tests.
    Series,
}

/// What the lexer reads next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Statements,
    InsideBraces,
    DurationExpr,
    ValueSequence,
    Histogram,
    Buckets,
    /// Nothing but a number.
    Number,
    /// Behind an error that leaves the text to be read no further.
    Done,
}

/// Where in a histogram of a series line the lexer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InHistogram {
    No,
    Open,
    /// Behind it, before the sign that repeats or changes it.
    Sign(Symbol),
}

/// One step of the lexer: a token or an error where there is one, and what is read
/// next.
struct Step {
    mode: Mode,
    token: Option<Result<Symbol, String>>,
}

fn go(mode: Mode) -> Step {
    Step { mode, token: None }
}

fn emit(symbol: Symbol, mode: Mode) -> Step {
    Step {
        mode,
        token: Some(Ok(symbol)),
    }
}

fn fail(message: impl Into<String>) -> Step {
    Step {
        mode: Mode::Done,
        token: Some(Err(message.into())),
    }
}

/// A text that cannot be split further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LexError {
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// Reads tokens off a text.
pub(crate) struct Lexer<'a> {
    input: &'a [u8],
    dialect: Dialect,
    mode: Mode,
    /// Offset of the next byte.
    pos: usize,
    /// Offset at which the current token begins.
    start: usize,
    /// Offset at which the last token began.
    last_start: usize,
    paren_depth: i64,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
    histogram: InHistogram,
}

impl<'a> Lexer<'a> {
    /// Begins a text.
    pub(crate) fn new(input: &'a [u8], dialect: Dialect) -> Lexer<'a> {
        Lexer {
            input,
            dialect,
            mode: Mode::Statements,
            pos: 0,
            start: 0,
            last_start: 0,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            histogram: InHistogram::No,
        }
    }

    /// Reads the next token; at the end it is [`Symbol::Eof`], again and again.
    pub(crate) fn next_token(&mut self) -> Result<Token, LexError> {
        let found = loop {
            let step = match self.mode {
                Mode::Statements => self.statements(),
                Mode::InsideBraces => self.inside_braces(),
                Mode::DurationExpr => self.duration_expr(),
                Mode::ValueSequence => self.value_sequence(),
                Mode::Histogram => self.histogram(),
                Mode::Buckets => self.buckets(),
                Mode::Number => self.number(Mode::Statements),
                Mode::Done => emit(Symbol::Eof, Mode::Done),
            };
            self.mode = step.mode;
            if let Some(found) = step.token {
                break found;
            }
        };
        self.last_start = self.start;
        match found {
            Ok(symbol) => {
                let span = Span {
                    start: self.start,
                    end: self.pos,
                };
                self.start = self.pos;
                if symbol == Symbol::Space {
                    // A run of space is one token, as long as its first character.
                    self.spaces();
                }
                Ok(Token { symbol, span })
            }
            Err(message) => Err(LexError {
                span: Span {
                    start: self.start,
                    end: self.input.len(),
                },
                message,
            }),
        }
    }

    /// Finds the end of the parenthesis before the one that was read last.
    ///
    /// The parser has to read one token ahead to know that an aggregation is
    /// complete; where that was another closing parenthesis, `fallback` lies
    /// behind the wrong one.
    pub(crate) fn previous_right_paren(&self, fallback: usize) -> usize {
        if fallback == 0 || self.last_start == 0 || self.input.get(self.last_start) != Some(&b')') {
            return fallback;
        }
        let before = self.input.get(1..self.last_start).unwrap_or_default();
        match before.iter().rposition(|b| !is_space(char::from(*b))) {
            Some(at) if before[at] == b')' => at + 2,
            _ => fallback,
        }
    }

    fn peek(&self) -> Option<char> {
        decode(self.input.get(self.pos..).unwrap_or_default()).map(|(c, _)| c)
    }

    fn bump(&mut self) -> Option<char> {
        let (c, len) = decode(self.input.get(self.pos..).unwrap_or_default())?;
        self.pos += len;
        Some(c)
    }

    /// Takes the next character if it is one of a set.
    fn accept(&mut self, set: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| set.contains(c));
        if accepted {
            self.bump();
        }
        accepted
    }

    fn accept_while(&mut self, belongs: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&belongs) {
            self.bump();
        }
    }

    /// Returns what was read of the current token.
    fn word(&self) -> &'a [u8] {
        &self.input[self.start..self.pos]
    }

    fn word_lossy(&self) -> String {
        String::from_utf8_lossy(self.word()).into_owned()
    }

    /// Drops space; the current character was one.
    fn spaces(&mut self) {
        self.accept_while(is_space);
        self.start = self.pos;
    }

    fn unexpected(what: &str, c: Option<char>) -> Step {
        fail(format!("{what}: {}", quote_char(c)))
    }

    fn comment(&mut self) -> Step {
        self.accept_while(|c| c != '\n' && c != '\r');
        // Dropped here: nothing behind the lexer wants to see comments.
        self.start = self.pos;
        go(Mode::Statements)
    }

    fn statements(&mut self) -> Step {
        use Symbol::*;
        if self.histogram != InHistogram::No {
            return go(Mode::Histogram);
        }
        if self.brace_open {
            return go(Mode::InsideBraces);
        }
        if self.peek() == Some('#') {
            return self.comment();
        }
        let Some(c) = self.bump() else {
            return if self.paren_depth != 0 {
                fail("unclosed left parenthesis")
            } else if self.bracket_open {
                fail("unclosed left bracket")
            } else {
                emit(Eof, Mode::Done)
            };
        };
        let symbol = match c {
            ',' => Comma,
            '*' => Mul,
            '/' => Div,
            '%' => Mod,
            '+' => Add,
            '-' => Sub,
            '^' => Pow,
            '@' => At,
            '=' => match self.peek() {
                Some('=') => self.take(Eqlc),
                Some('~') => return Self::unexpected("unexpected character after '='", Some('~')),
                _ => Eql,
            },
            '!' => match self.bump() {
                Some('=') => Neq,
                other => return Self::unexpected("unexpected character after '!'", other),
            },
            '<' => match self.peek() {
                Some('=') => self.take(Lte),
                Some('/') => self.take(TrimUpper),
                _ => Lss,
            },
            '>' => match self.peek() {
                Some('=') => self.take(Gte),
                Some('/') => self.take(TrimLower),
                _ => Gtr,
            },
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '(' => {
                self.paren_depth += 1;
                LeftParen
            }
            ')' => return self.right_paren(Mode::Statements),
            '{' => {
                self.brace_open = true;
                return emit(LeftBrace, Mode::InsideBraces);
            }
            '[' if self.bracket_open => {
                return Self::unexpected_bare("unexpected left bracket", c);
            }
            '[' => {
                self.got_colon = false;
                self.bracket_open = true;
                return emit(LeftBracket, Mode::DurationExpr);
            }
            ']' if !self.bracket_open => {
                return Self::unexpected_bare("unexpected right bracket", c);
            }
            ']' => {
                self.bracket_open = false;
                RightBracket
            }
            _ if is_space(c) => {
                self.spaces();
                return go(Mode::Statements);
            }
            _ if self.begins_number(c) => {
                self.pos -= 1;
                return self.number_or_duration();
            }
            _ if (is_alpha(c) || c == ':') && self.bracket_open => return self.in_bracket(c),
            _ if is_alpha(c) || c == ':' => return self.keyword_or_identifier(),
            _ => return Self::unexpected("unexpected character", Some(c)),
        };
        emit(symbol, Mode::Statements)
    }

    fn unexpected_bare(what: &str, c: char) -> Step {
        fail(format!("{what} {}", quote_char(Some(c))))
    }

    fn take(&mut self, symbol: Symbol) -> Symbol {
        self.bump();
        symbol
    }

    fn begins_number(&self, c: char) -> bool {
        is_digit(c) || (c == '.' && self.peek().is_some_and(is_digit))
    }

    fn right_paren(&mut self, mode: Mode) -> Step {
        self.paren_depth -= 1;
        if self.paren_depth < 0 {
            // The error stands behind the parenthesis.
            self.start = self.pos;
            return Self::unexpected_bare("unexpected right parenthesis", ')');
        }
        emit(Symbol::RightParen, mode)
    }

    /// Reads on inside brackets behind the first operand of a duration.
    fn in_bracket(&mut self, c: char) -> Step {
        if c == ':' {
            if self.got_colon {
                return Self::unexpected_bare("unexpected colon", c);
            }
            self.got_colon = true;
            return emit(Symbol::Colon, Mode::Statements);
        }
        if let Some(symbol) = self.scan_duration_keyword(c) {
            return emit(symbol, Mode::Statements);
        }
        fail(format!(
            "unexpected character: {}, expected ':'",
            quote_char(Some(c))
        ))
    }

    fn scan_duration_keyword(&mut self, first: char) -> Option<Symbol> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.accept_while(is_alpha);
        token::duration_keyword(self.word())
    }

    fn duration_expr(&mut self) -> Step {
        use Symbol::*;
        let Some(c) = self.bump() else {
            return fail("unexpected end of input in duration expression");
        };
        let symbol = match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                return emit(RightBracket, Mode::Statements);
            }
            ':' => {
                self.start = self.pos;
                if !self.got_duration {
                    return fail("unexpected colon before duration in duration expression");
                }
                if self.got_colon {
                    return fail("unexpected repeated colon in duration expression");
                }
                self.start = self.pos - 1;
                self.got_colon = true;
                Colon
            }
            '(' => {
                self.paren_depth += 1;
                LeftParen
            }
            ')' => return self.right_paren(Mode::DurationExpr),
            '+' => Add,
            '-' => Sub,
            '*' => Mul,
            '/' => Div,
            '%' => Mod,
            '^' => Pow,
            ',' => Comma,
            _ if is_space(c) => {
                self.spaces();
                return go(Mode::DurationExpr);
            }
            _ if self.begins_number(c) => {
                self.pos -= 1;
                self.got_duration = true;
                return self.number_or_duration();
            }
            _ => match self.scan_duration_keyword(c) {
                Some(symbol) => symbol,
                None => {
                    let what = "unexpected character in duration expression";
                    return Self::unexpected(what, Some(c));
                }
            },
        };
        emit(symbol, Mode::DurationExpr)
    }

    fn inside_braces(&mut self) -> Step {
        use Symbol::*;
        if self.peek() == Some('#') {
            return self.comment();
        }
        let Some(c) = self.bump() else {
            return fail("unexpected end of input inside braces");
        };
        let symbol = match c {
            ',' => Comma,
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '=' if self.peek() == Some('~') => self.take(EqlRegex),
            '=' => Eql,
            '!' => match self.bump() {
                Some('~') => NeqRegex,
                Some('=') => Neq,
                other => {
                    let what = "unexpected character after '!' inside braces";
                    return Self::unexpected(what, other);
                }
            },
            '{' => return Self::unexpected_bare("unexpected left brace", c),
            '}' => {
                self.brace_open = false;
                let mode = match self.dialect {
                    Dialect::Series => Mode::ValueSequence,
                    Dialect::Query => Mode::Statements,
                };
                return emit(RightBrace, mode);
            }
            _ if is_space(c) => {
                self.spaces();
                return go(Mode::InsideBraces);
            }
            _ if is_alpha(c) => {
                self.accept_while(is_alphanumeric);
                Identifier
            }
            _ => return Self::unexpected("unexpected character inside braces", Some(c)),
        };
        emit(symbol, Mode::InsideBraces)
    }

    /// Reads a word of which the first character was read.
    fn keyword_or_identifier(&mut self) -> Step {
        self.accept_while(|c| is_alphanumeric(c) || c == ':');
        let word = self.word();
        let symbol = match token::keyword(word) {
            // Metrics may be called `fill`; only `fill(` is the modifier.
            Some(Symbol::Fill | Symbol::FillLeft | Symbol::FillRight) if !self.paren_follows() => {
                Symbol::Identifier
            }
            Some(keyword) => keyword,
            None if word.contains(&b':') => Symbol::MetricIdentifier,
            None => Symbol::Identifier,
        };
        if self.dialect == Dialect::Series && self.peek() != Some('{') {
            return emit(symbol, Mode::ValueSequence);
        }
        emit(symbol, Mode::Statements)
    }

    fn paren_follows(&self) -> bool {
        let mut rest = self.input[self.pos..].iter().map(|b| char::from(*b));
        rest.find(|c| !is_space(*c)) == Some('(')
    }
}

/// Decodes the first character; a byte that begins none counts as U+FFFD.
fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let &first = bytes.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    let first = valid.chars().next();
    Some(first.map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8())))
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || is_digit(c)
}
