//! Tokens of OpenMetrics.
//!
//! Unlike in the text format, the state in which a token is read can outlive the
//! entry: what follows a value that is neither newline, timestamp nor exemplar is
//! taken as the begin of the next entry, still read as a timestamp would be.

use super::cursor::{Cursor, LABEL_START, NAME_START, Quoted, is};
use super::token::Token;

/// Where in an entry the next token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Start,
    Comment,
    FamilyName,
    FamilyText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    Exemplar,
    ExemplarValue,
    ExemplarTimestamp,
}

/// Reads tokens.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    pub(super) cursor: Cursor<'a>,
    state: State,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(body: &'a [u8]) -> Lexer<'a> {
        Lexer {
            cursor: Cursor::new(body),
            state: State::Start,
        }
    }

    /// Reads the next token. [`Token::Invalid`] where none can be read; the position
    /// is then the byte that did not fit.
    #[inline]
    pub(super) fn next(&mut self) -> Token {
        if self.cursor.at_end() {
            return Token::Eof;
        }
        self.cursor.start = self.cursor.pos;
        match self.state {
            State::Start => self.start(),
            State::Comment => self.keyword(),
            State::FamilyName => self.family_name(),
            State::FamilyText => self.family_text(),
            State::Labels => self.in_braces(Quoted::Name, State::LabelValue, State::Value),
            State::LabelValue => self.label_value(Quoted::LineValue, State::Labels),
            State::Value => match self.cursor.peek() {
                b'{' => self.single(Token::BraceOpen, State::Labels),
                _ => self.word(Token::Value, State::Timestamp),
            },
            State::Timestamp => self.timestamp(),
            State::Exemplar => self.in_braces(
                Quoted::LineString,
                State::ExemplarValue,
                State::ExemplarValue,
            ),
            State::ExemplarValue => match self.cursor.peek() {
                b'"' => self.label_value(Quoted::LineString, State::Exemplar),
                _ => self.word(Token::Value, State::ExemplarTimestamp),
            },
            State::ExemplarTimestamp => match self.cursor.peek() {
                b'\n' => self.single(Token::Linebreak, State::Start),
                _ => self.word(Token::Timestamp, State::ExemplarTimestamp),
            },
        }
    }

    #[inline]
    fn single(&mut self, token: Token, state: State) -> Token {
        self.cursor.bump();
        self.state = state;
        token
    }

    #[inline]
    fn start(&mut self) -> Token {
        match self.cursor.peek() {
            byte if is(byte, NAME_START) => {
                self.cursor.metric_name();
                self.state = State::Value;
                Token::MetricName
            }
            b'{' => self.single(Token::BraceOpen, State::Labels),
            b'#' => {
                self.cursor.bump();
                if self.cursor.peek() != b' ' {
                    return Token::Invalid;
                }
                self.cursor.bump();
                self.state = State::Comment;
                self.keyword()
            }
            _ => Token::Invalid,
        }
    }

    fn keyword(&mut self) -> Token {
        let (word, token): (&[u8], Token) = match self.cursor.peek() {
            b'E' => (b"EOF", Token::EofWord),
            b'H' => (b"HELP ", Token::Help),
            b'T' => (b"TYPE ", Token::Type),
            b'U' => (b"UNIT ", Token::Unit),
            _ => return Token::Invalid,
        };
        for &byte in word {
            if self.cursor.peek() != byte {
                return Token::Invalid;
            }
            self.cursor.bump_past_nul();
        }
        if token == Token::EofWord {
            if self.cursor.peek() == b'\n' {
                self.cursor.bump_past_nul();
            }
            self.state = State::Start;
        } else {
            self.state = State::FamilyName;
        }
        token
    }

    fn family_name(&mut self) -> Token {
        match self.cursor.peek() {
            b'"' if self.cursor.quoted(Quoted::Name) => {}
            byte if is(byte, NAME_START) => self.cursor.metric_name(),
            _ => return Token::Invalid,
        }
        self.state = State::FamilyText;
        Token::MetricName
    }

    fn family_text(&mut self) -> Token {
        if self.cursor.peek() != b' ' {
            return Token::Invalid;
        }
        self.cursor.skip_line();
        if self.cursor.at_end() {
            return Token::Invalid;
        }
        self.cursor.bump_past_nul();
        self.state = State::Start;
        Token::Text
    }

    #[inline]
    fn in_braces(&mut self, names: Quoted, after_equal: State, after_brace: State) -> Token {
        match self.cursor.peek() {
            byte if is(byte, LABEL_START) => {
                self.cursor.label_name();
                Token::LabelName
            }
            b'"' => {
                if self.cursor.quoted(names) {
                    Token::Quoted
                } else {
                    Token::Invalid
                }
            }
            b'=' => self.single(Token::Equal, after_equal),
            b',' => self.single(Token::Comma, self.state),
            b'}' => self.single(Token::BraceClose, after_brace),
            _ => Token::Invalid,
        }
    }

    #[inline]
    fn label_value(&mut self, rule: Quoted, after: State) -> Token {
        if self.cursor.peek() != b'"' || !self.cursor.quoted(rule) {
            return Token::Invalid;
        }
        self.state = after;
        Token::LabelValue
    }

    /// Reads one space and what follows it up to the next blank.
    #[inline]
    fn word(&mut self, token: Token, after: State) -> Token {
        if self.cursor.peek() != b' ' {
            return Token::Invalid;
        }
        self.cursor.bump();
        if matches!(self.cursor.peek(), b' ' | b'\n' | 0) {
            return Token::Invalid;
        }
        self.cursor.word();
        self.state = after;
        token
    }

    #[inline]
    fn timestamp(&mut self) -> Token {
        if self.cursor.peek() == b'\n' {
            return self.single(Token::Linebreak, State::Start);
        }
        let start = self.cursor.pos;
        let token = self.word(Token::Timestamp, State::Timestamp);
        let is_hash = self.cursor.slice(start, self.cursor.pos) == b" #";
        if token != Token::Timestamp || !is_hash || self.cursor.peek() != b' ' {
            return token;
        }
        self.cursor.bump();
        if self.cursor.peek() != b'{' {
            return Token::Invalid;
        }
        self.single(Token::Comment, State::Exemplar)
    }
}
