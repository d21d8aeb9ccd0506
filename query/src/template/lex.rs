//! Cuts a template into tokens: text between actions, and what stands inside them.
//!
//! The whole text is cut at once. A text that cannot be cut ends with a token that
//! holds the complaint, for the parser decides whether it gets that far. Lines are
//! those where a token starts.

use kymo_storage::compat::quote;

pub(super) const LEFT: &str = "{{";
pub(super) const RIGHT: &str = "}}";
const COMMENT_START: &str = "/*";
const COMMENT_END: &str = "*/";

/// Bytes of a trim marker with the space that must stand beside it.
const MARKER_LEN: usize = 2;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text cannot be cut further; the token's text says why.
    Error,
    Bool,
    /// A printable ASCII character without meaning of its own, such as a comma.
    Char,
    CharConstant,
    Complex,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    Eof,
    /// An identifier behind a point.
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Kind {
    fn is_keyword(self) -> bool {
        matches!(
            self,
            Kind::Block
                | Kind::Break
                | Kind::Continue
                | Kind::Dot
                | Kind::Define
                | Kind::Else
                | Kind::End
                | Kind::If
                | Kind::Nil
                | Kind::Range
                | Kind::Template
                | Kind::With
        )
    }
}

/// One token: where it starts, on which line, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) pos: usize,
    pub(super) line: usize,
    pub(super) text: std::borrow::Cow<'t, str>,
}

impl Token<'_> {
    /// Returns the token as errors name it.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.to_string(),
            kind if kind.is_keyword() => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let cut: String = self.text.chars().take(10).collect();
                format!("{}...", quote::quote(&cut))
            }
            _ => quote::quote(&self.text),
        }
    }
}

/// Cuts a text. The last token is `Eof` or `Error`.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        text,
        pos: 0,
        start: 0,
        line: 1,
        counted_to: 0,
        parens: 0,
        tokens: Vec::new(),
    };
    let mut state = State::Text;
    while state != State::Done {
        state = match state {
            State::Text => lexer.text(),
            State::Action => lexer.action(),
            State::Done => State::Done,
        };
    }
    lexer.tokens
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Action,
    Done,
}

struct Lexer<'t> {
    text: &'t str,
    pos: usize,
    start: usize,
    /// The line of `counted_to`.
    line: usize,
    counted_to: usize,
    parens: usize,
    tokens: Vec<Token<'t>>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    /// Returns the line of `start`, which never moves back.
    fn start_line(&mut self) -> usize {
        let skipped = &self.text.as_bytes()[self.counted_to..self.start];
        self.line += skipped.iter().filter(|&&byte| byte == b'\n').count();
        self.counted_to = self.start;
        self.line
    }

    fn emit(&mut self, kind: Kind) -> State {
        let line = self.start_line();
        self.tokens.push(Token {
            kind,
            pos: self.start,
            line,
            text: self.text[self.start..self.pos].into(),
        });
        self.start = self.pos;
        State::Action
    }

    fn error(&mut self, message: impl Into<String>) -> State {
        let line = self.start_line();
        self.tokens.push(Token {
            kind: Kind::Error,
            pos: self.start,
            line,
            text: message.into().into(),
        });
        State::Done
    }

    fn text(&mut self) -> State {
        let Some(at) = self.rest().find(LEFT) else {
            self.pos = self.text.len();
            if self.pos > self.start {
                self.emit(Kind::Text);
            }
            self.emit(Kind::Eof);
            return State::Done;
        };
        let delim = self.pos + at;
        let inside = delim + LEFT.len();
        let trims = starts_with_left_marker(&self.text[inside..]);
        let text = &self.text[self.start..delim];
        let kept = if trims {
            text.trim_end_matches(is_space).len()
        } else {
            text.len()
        };
        self.pos = self.start + kept;
        if kept > 0 {
            self.emit(Kind::Text);
        }
        self.pos = delim;
        self.start = delim;
        self.left_delim(trims)
    }

    fn left_delim(&mut self, trims: bool) -> State {
        self.pos += LEFT.len();
        let marker = if trims { MARKER_LEN } else { 0 };
        if self.text[self.pos + marker..].starts_with(COMMENT_START) {
            self.pos += marker;
            self.start = self.pos;
            return self.comment();
        }
        self.emit(Kind::LeftDelim);
        self.pos += marker;
        self.start = self.pos;
        self.parens = 0;
        State::Action
    }

    fn comment(&mut self) -> State {
        self.pos += COMMENT_START.len();
        let Some(end) = self.rest().find(COMMENT_END) else {
            return self.error("unclosed comment");
        };
        self.pos += end + COMMENT_END.len();
        let Some(trims) = self.right_delim_ahead() else {
            return self.error("comment ends before closing delimiter");
        };
        self.skip_right_delim(trims);
        self.start = self.pos;
        State::Text
    }

    /// Returns whether a closing delimiter that stands here trims, `None` where none
    /// stands here.
    fn right_delim_ahead(&self) -> Option<bool> {
        let rest = self.rest();
        if starts_with_right_marker(rest) && rest[MARKER_LEN..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn skip_right_delim(&mut self, trims: bool) {
        self.pos += RIGHT.len();
        if trims {
            self.pos += MARKER_LEN;
            self.skip_spaces();
        }
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start_matches(is_space).len();
    }

    fn right_delim(&mut self, trims: bool) -> State {
        if trims {
            self.pos += MARKER_LEN;
            self.start = self.pos;
        }
        self.pos += RIGHT.len();
        self.emit(Kind::RightDelim);
        if trims {
            self.skip_spaces();
            self.start = self.pos;
        }
        State::Text
    }

    fn action(&mut self) -> State {
        if let Some(trims) = self.right_delim_ahead() {
            if self.parens == 0 {
                return self.right_delim(trims);
            }
            return self.error("unclosed left paren");
        }
        let Some(c) = self.next() else {
            return self.error("unclosed action");
        };
        match c {
            c if is_space(c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return self.error("expected :=");
                }
                self.emit(Kind::Declare)
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', "unterminated quoted string", Kind::String),
            '`' => self.raw_string(),
            '\'' => self.quoted('\'', "unterminated character constant", Kind::CharConstant),
            '$' => self.field_or_variable(Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit())
                && self.pos < self.text.len() =>
            {
                self.field_or_variable(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos = self.start;
                self.number()
            }
            c if is_alphanumeric(c) => self.identifier(),
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen)
            }
            ')' => {
                if self.parens == 0 {
                    return self.error("unexpected right paren");
                }
                self.parens -= 1;
                self.emit(Kind::RightParen)
            }
            ' '..='~' => self.emit(Kind::Char),
            c => self.error(format!(
                "unrecognized character in action: {}",
                code_point(c)
            )),
        }
    }

    /// Takes a run of spaces. The last one may belong to a trim marker.
    fn space(&mut self) -> State {
        let mut last = self.start;
        while self.peek().is_some_and(is_space) {
            last = self.pos;
            self.pos += 1;
        }
        let before_marker = &self.text[last..];
        if starts_with_right_marker(before_marker) && before_marker[MARKER_LEN..].starts_with(RIGHT)
        {
            self.pos = last;
            if last == self.start {
                return self.right_delim(true);
            }
        }
        self.emit(Kind::Space)
    }

    fn identifier(&mut self) -> State {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.text[self.start..self.pos] {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "range" => Kind::Range,
            "nil" => Kind::Nil,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind)
    }

    /// Takes what follows a point or a dollar sign.
    fn field_or_variable(&mut self, kind: Kind) -> State {
        if self.at_terminator() {
            return self.emit(match kind {
                Kind::Variable => Kind::Variable,
                _ => Kind::Dot,
            });
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.emit(kind)
    }

    fn bad_character(&mut self) -> State {
        // At the end of the text every identifier is terminated.
        let c = self.peek().unwrap_or(char::REPLACEMENT_CHARACTER);
        self.error(format!("bad character {}", code_point(c)))
    }

    /// Tells whether what stands here may end an identifier.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with(RIGHT),
        }
    }

    fn quoted(&mut self, mark: char, unterminated: &str, kind: Kind) -> State {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return self.error(unterminated);
                    }
                }
                None | Some('\n') => return self.error(unterminated),
                Some(c) if c == mark => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> State {
        match self.rest().find('`') {
            Some(end) => {
                self.pos += end + 1;
                self.emit(Kind::RawString)
            }
            None => {
                self.pos = self.text.len();
                self.error("unterminated raw quoted string")
            }
        }
    }

    fn number(&mut self) -> State {
        if !self.scan_number() {
            return self.bad_number();
        }
        if !matches!(self.peek(), Some('+' | '-')) {
            return self.emit(Kind::Number);
        }
        // A complex constant: no spaces, and an `i` at its end.
        if !self.scan_number() || !self.text[..self.pos].ends_with('i') {
            return self.bad_number();
        }
        self.emit(Kind::Complex)
    }

    fn bad_number(&mut self) -> State {
        let text = quote::quote(&self.text[self.start..self.pos]);
        self.error(format!("bad number syntax: {text}"))
    }

    /// Takes what looks like a number; whether it is one is seen later.
    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        let mut exponent = "eE";
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponent) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponent) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponent) = ("01_", "");
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        // What follows must not make it a word.
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.pos += 1;
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }
}

fn starts_with_left_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn starts_with_right_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(is_space) && chars.next() == Some('-')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || super::unicode::is_letter(c) || super::unicode::is_digit(c)
}

/// Returns a character as Go's `%#U` prints it.
fn code_point(c: char) -> String {
    let number = u32::from(c);
    if quote::is_print(c) {
        format!("U+{number:04X} '{c}'")
    } else {
        format!("U+{number:04X}")
    }
}
