//! Splits a query into tokens.
//!
//! Loki's lexer stands on the scanner of Go's own language, which shows: comments may be
//! Go's, besides those from `#`, numbers may be in Go's notations, and a text in single
//! quotes is a character and no string. A sign or word that means nothing is an
//! identifier, and the grammar says that it cannot stand there. Words that name functions
//! do so only where a parenthesis follows, or a `by (...)`.

mod literal;
mod words;

use crate::logql::grammar::Symbol;
use crate::template::{is_digit, is_letter};

/// A token's value, where it has one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Payload {
    #[default]
    None,
    /// A name, number or flag as written, or what a string says.
    Text(String),
    /// Nanoseconds.
    Duration(i64),
    Bytes(u64),
}

/// What a text consists of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) symbol: Symbol,
    pub(crate) payload: Payload,
    /// Where it begins.
    pub(crate) start: usize,
    /// Whether Loki still knows its line once it has read it.
    pub(crate) has_line: bool,
    /// What is wrong with it, though it can be read on.
    pub(crate) defect: Option<String>,
}

/// A text that cannot be split further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LexError {
    pub(crate) start: usize,
    pub(crate) has_line: bool,
    pub(crate) message: String,
}

/// Reads tokens off a text. A copy of it looks ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexer<'a> {
    input: &'a str,
    /// Offset of the next character.
    pos: usize,
    /// Offset at which the current token begins.
    start: usize,
}

impl<'a> Lexer<'a> {
    /// Begins a text.
    pub(crate) fn new(input: &'a str) -> Lexer<'a> {
        let pos = input.len() - input.trim_start_matches('\u{feff}').len();
        // Only one byte order mark is one.
        let pos = pos.min('\u{feff}'.len_utf8());
        Lexer {
            input,
            pos,
            start: pos,
        }
    }

    /// Returns line and column of an offset, both from 1; columns count characters. An empty
    /// text has no places.
    pub(crate) fn place(&self, offset: usize) -> (usize, usize) {
        if self.input.is_empty() {
            return (0, 0);
        }
        let before = self.input.get(..offset).unwrap_or(self.input);
        let line = 1 + before.matches('\n').count();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, 1 + before[line_start..].chars().count())
    }

    /// Reads the next token; at the end it is [`Symbol::End`], again and again.
    pub(crate) fn next_token(&mut self) -> Result<Token, LexError> {
        self.skip_space_and_comments()?;
        self.start = self.pos;
        let Some(c) = self.peek() else {
            return Ok(self.token(Symbol::End));
        };
        match c {
            '0'..='9' => Ok(self.number()),
            '.' if self.peek_second().is_some_and(|c| c.is_ascii_digit()) => Ok(self.number()),
            '"' => self.string(),
            '`' => self.raw_string(),
            '\'' => self.character(),
            '[' => self.range(),
            '-' => self.minus(),
            _ if c == '_' || is_letter(c) => Ok(self.word()),
            _ => Ok(self.sign()),
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept_while(&mut self, belongs: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&belongs) {
            self.bump();
        }
    }

    /// Returns what was read of the current token.
    fn text(&self) -> &'a str {
        &self.input[self.start..self.pos]
    }

    fn token(&self, symbol: Symbol) -> Token {
        self.token_with(symbol, Payload::None)
    }

    fn token_with(&self, symbol: Symbol, payload: Payload) -> Token {
        Token {
            symbol,
            payload,
            start: self.start,
            has_line: true,
            defect: None,
        }
    }

    fn token_without_line(&self, symbol: Symbol, payload: Payload) -> Token {
        Token {
            has_line: false,
            ..self.token_with(symbol, payload)
        }
    }

    fn error(&self, message: impl Into<String>) -> LexError {
        LexError {
            start: self.start,
            has_line: true,
            message: message.into(),
        }
    }

    fn skip_space_and_comments(&mut self) -> Result<(), LexError> {
        loop {
            self.accept_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            self.start = self.pos;
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.pos += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(len) = comment.find("*/") else {
                    return Err(self.error("comment not terminated"));
                };
                self.pos += "/*".len() + len + "*/".len();
            } else {
                return Ok(());
            }
        }
    }

    /// Reads a sign of one or two characters.
    fn sign(&mut self) -> Token {
        let first = self.bump();
        if let (Some(first), Some(second)) = (first, self.peek())
            && let Some(symbol) = words::sign_of_two(first, second)
        {
            self.bump();
            return self.token_without_line(symbol, Payload::None);
        }
        match first.and_then(words::sign) {
            Some(symbol) => self.token(symbol),
            None => self.identifier(),
        }
    }

    fn identifier(&self) -> Token {
        self.token_with(Symbol::Identifier, Payload::Text(self.text().to_owned()))
    }

    fn minus(&mut self) -> Result<Token, LexError> {
        for flag in ["--strict", "--keep-empty"] {
            // A flag ends where no more letters follow.
            let Some(behind) = self.rest().strip_prefix(flag) else {
                continue;
            };
            if !behind.starts_with(|c| c == '-' || is_letter(c)) {
                self.pos += flag.len();
                let payload = Payload::Text(flag.to_owned());
                return Ok(self.token_without_line(Symbol::Flag, payload));
            }
        }
        self.bump();
        match self.duration() {
            Some(ns) => Ok(self.token_without_line(Symbol::Duration, Payload::Duration(ns))),
            None => Ok(self.token(Symbol::Sub)),
        }
    }

    fn word(&mut self) -> Token {
        self.accept_while(|c| c == '_' || is_letter(c) || is_digit(c));
        let word = self.text().to_lowercase();
        match words::function(&word) {
            Some(symbol) if self.is_called() => self.token(symbol),
            Some(_) => self.identifier(),
            None => match words::keyword(&word) {
                Some(symbol) => self.token(symbol),
                None => self.identifier(),
            },
        }
    }

    /// Tells whether a parenthesis follows, or a grouping.
    fn is_called(&self) -> bool {
        let rest = self.rest().trim_start();
        let behind_word = |word: &str| {
            let (head, tail) = rest.split_at_checked(word.len())?;
            head.eq_ignore_ascii_case(word).then_some(tail)
        };
        let behind = behind_word("by").or_else(|| behind_word("without"));
        behind.map_or(rest, str::trim_start).starts_with('(')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(input: &str) -> Vec<Symbol> {
        let mut lexer = Lexer::new(input);
        let mut symbols = Vec::new();
        loop {
            let token = lexer.next_token().unwrap();
            if token.symbol == Symbol::End {
                return symbols;
            }
            symbols.push(token.symbol);
        }
    }

    #[test]
    fn functions_are_words_that_are_called() {
        use Symbol::*;
        assert_eq!(
            symbols("rate(rate)"),
            [Rate, OpenParen, Identifier, CloseParen]
        );
        assert_eq!(
            symbols("SUM\n By (x)"),
            [Sum, By, OpenParen, Identifier, CloseParen]
        );
        assert_eq!(symbols("sum bypass (x)")[0], Identifier);
        assert_eq!(symbols("ip = ip (`x`)")[..3], [Identifier, Eq, Ip]);
        assert_eq!(symbols("label_replace"), [Identifier]);
    }

    #[test]
    fn comments_are_of_two_languages() {
        use Symbol::*;
        assert_eq!(
            symbols("1 # x\n/2 // y\n*/* z */3"),
            [Number, Div, Number, Mul, Number]
        );
        assert_eq!(symbols("#"), []);
        let error = Lexer::new("1 /* 2").next_token().and_then(|_| {
            let mut lexer = Lexer::new(" /* 2");
            lexer.next_token()
        });
        assert_eq!(error.unwrap_err().message, "comment not terminated");
    }

    #[test]
    fn flags_are_exactly_two() {
        use Symbol::*;
        assert_eq!(symbols("--strict --keep-empty"), [Flag, Flag]);
        assert_eq!(symbols("--strictly"), [Sub, Sub, Identifier]);
        assert_eq!(symbols("--KEEP")[..2], [Sub, Sub]);
    }

    #[test]
    fn places_count_lines_and_characters() {
        let lexer = Lexer::new("é\nab\n");
        assert_eq!(lexer.place(0), (1, 1));
        assert_eq!(lexer.place(2), (1, 2));
        assert_eq!(lexer.place(4), (2, 2));
        assert_eq!(lexer.place(6), (3, 1));
    }
}
