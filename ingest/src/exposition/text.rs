//! The text format 0.0.4 (and 1.0.0, which differs only in the names that are
//! quoted): tokens and entries.
//!
//! The body is read as if one more newline stood at its end. A NUL byte where a line
//! begins ends the body without an error, as upstream has it.

use kymo_storage::compat::quote::quote_bytes;

use super::cursor::{Cursor, LABEL_START, NAME_START, Quoted, is};
use super::error::ExpositionError;
use super::series::{Form, Series};
use super::token::Token;
use super::{
    Entry, Escapes, Family, HelpText, MetricType, ParserOptions, Sample, canonical, number,
};

type Result<T> = std::result::Result<T, ExpositionError>;

/// Parser of the text format. See [`super::Parser`].
#[derive(Debug)]
pub(super) struct TextParser<'a> {
    cursor: Cursor<'a>,
    family: Family<'a>,
    /// The whole body is UTF-8, so no value has to be checked by itself.
    is_utf8: bool,
    done: bool,
}

impl<'a> TextParser<'a> {
    pub(super) fn new(body: &'a [u8], options: ParserOptions) -> TextParser<'a> {
        TextParser {
            cursor: Cursor::with_final_newline(body),
            family: Family {
                as_labels: options.type_and_unit_labels,
                ..Family::default()
            },
            is_utf8: std::str::from_utf8(body).is_ok(),
            done: false,
        }
    }

    #[inline]
    pub(super) fn next_entry(&mut self) -> Option<Result<Entry<'a>>> {
        if self.done {
            return None;
        }
        let entry = self.read_entry().transpose();
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }

    #[inline]
    fn read_entry(&mut self) -> Result<Option<Entry<'a>>> {
        loop {
            self.cursor.line = self.cursor.pos;
            return match self.line_token() {
                Token::Eof => Ok(None),
                Token::Linebreak => continue,
                Token::MetricName => {
                    let mut end = self.cursor.pos;
                    let mut token = self.value_token();
                    if token == Token::BraceOpen {
                        self.labels(true)?;
                        end = self.cursor.pos;
                        token = self.value_token();
                    }
                    self.sample(end, token).map(Some)
                }
                Token::BraceOpen => {
                    let has_name = self.labels(false)?;
                    let end = self.cursor.pos;
                    let token = self.value_token();
                    if !has_name {
                        return Err(self.invalid("metric name not set".to_owned()));
                    }
                    self.sample(end, token).map(Some)
                }
                token @ (Token::Help | Token::Type) => self.metadata(token).map(Some),
                Token::Comment => {
                    let text = self.cursor.token();
                    match self.line_token() {
                        Token::Linebreak => Ok(Some(Entry::Comment(text))),
                        token => Err(self.unexpected("linebreak expected after comment", token)),
                    }
                }
                token => Err(self.unexpected("expected a valid start token", token)),
            };
        }
    }

    fn metadata(&mut self, line: Token) -> Result<Entry<'a>> {
        let token = self.family_token();
        if token != Token::MetricName {
            let expected = format!("expected metric name after {}", line.name());
            return Err(self.unexpected(&expected, token));
        }
        let name = unquoted(self.cursor.token());
        self.text_token();
        let text = self.cursor.token();
        let text = text.get(1..).unwrap_or_default();
        let entry = if line == Token::Type {
            let kind = match text {
                b"counter" => MetricType::Counter,
                b"gauge" => MetricType::Gauge,
                b"histogram" => MetricType::Histogram,
                b"summary" => MetricType::Summary,
                b"untyped" => MetricType::Unknown,
                _ => return Err(invalid_type(text)),
            };
            self.family.kind = kind;
            Entry::Type { name, kind }
        } else {
            let help = help_text(text, Escapes::Help)?;
            Entry::Help { name, help }
        };
        match self.line_token() {
            Token::Linebreak => Ok(entry),
            token => Err(self.unexpected("linebreak expected after metadata", token)),
        }
    }

    /// Reads what is between braces, and tells whether the series has a name.
    #[inline]
    fn labels(&mut self, mut has_name: bool) -> Result<bool> {
        let mut token = self.label_token();
        loop {
            match token {
                Token::BraceClose => return Ok(has_name),
                Token::LabelName | Token::Quoted => {}
                _ => return Err(self.unexpected("expected label name", token)),
            }
            let was_quoted = token == Token::Quoted;
            token = self.label_token();
            if was_quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if has_name {
                    return Err(self.invalid("metric name already set".to_owned()));
                }
                has_name = true;
                if token == Token::BraceClose {
                    return Ok(has_name);
                }
                token = self.label_token();
                continue;
            }
            if token != Token::Equal {
                return Err(self.unexpected("expected equal", token));
            }
            self.label_value()?;
            token = self.label_token();
            if token == Token::Comma {
                token = self.label_token();
            }
        }
    }

    #[inline]
    fn label_value(&mut self) -> Result<()> {
        let cursor = &mut self.cursor;
        cursor.skip_blanks();
        cursor.start = cursor.pos;
        if cursor.peek() != b'"' || !cursor.quoted(Quoted::Value) {
            return Err(self.unexpected("expected label value", Token::Invalid));
        }
        if !self.is_utf8 {
            check_label_value(self.cursor.token())?;
        }
        Ok(())
    }

    /// Reads value, timestamp and end of a sample whose series ends at `end`.
    #[inline]
    fn sample(&mut self, end: usize, token: Token) -> Result<Entry<'a>> {
        if token != Token::Value {
            return Err(self.unexpected("expected value after metric", token));
        }
        let value = match number::parse_value(self.cursor.token()) {
            Ok(value) => canonical(value),
            Err(reason) => return Err(self.invalid(reason)),
        };
        let mut timestamp_ms = None;
        match self.timestamp_token() {
            Token::Linebreak => {}
            Token::Timestamp => {
                match number::parse_timestamp(self.cursor.token()) {
                    Ok(t_ms) => timestamp_ms = Some(t_ms),
                    Err(reason) => return Err(self.invalid(reason)),
                }
                let token = self.timestamp_token();
                if token != Token::Linebreak {
                    return Err(self.unexpected("expected next entry after timestamp", token));
                }
            }
            token => return Err(self.unexpected("expected timestamp or new record", token)),
        }
        Ok(Entry::Sample(Sample {
            series: Series {
                form: Form::Line(self.cursor.slice(self.cursor.line, end)),
                family: self.family,
            },
            value,
            timestamp_ms,
            exemplar: None,
        }))
    }

    /// Reads the token that begins a line.
    #[inline]
    fn line_token(&mut self) -> Token {
        let cursor = &mut self.cursor;
        cursor.skip_blanks();
        if cursor.at_end() {
            return Token::Eof;
        }
        cursor.start = cursor.pos;
        match cursor.peek() {
            byte if is(byte, NAME_START) => {
                cursor.metric_name();
                Token::MetricName
            }
            b'\n' => {
                cursor.bump();
                Token::Linebreak
            }
            b'{' => {
                cursor.bump();
                Token::BraceOpen
            }
            b'#' => self.hash_token(),
            0 => {
                cursor.bump();
                Token::Eof
            }
            _ => Token::Invalid,
        }
    }

    /// Reads a HELP or TYPE word after `#`, or a comment.
    fn hash_token(&mut self) -> Token {
        let cursor = &mut self.cursor;
        cursor.bump();
        if !matches!(cursor.peek(), b' ' | b'\t') {
            return self.comment_to(|cursor| cursor.bump());
        }
        cursor.skip_blanks();
        let (word, token) = match cursor.peek() {
            b'H' => (b"HELP", Token::Help),
            b'T' => (b"TYPE", Token::Type),
            _ => return self.comment_to(|cursor| cursor.bump_past_nul()),
        };
        for &byte in word {
            if cursor.peek() != byte {
                return self.comment_to(|cursor| cursor.bump_past_nul());
            }
            cursor.bump_past_nul();
        }
        if !matches!(cursor.peek(), b' ' | b'\t') {
            return self.comment_to(|cursor| cursor.bump_past_nul());
        }
        while matches!(cursor.peek(), b' ' | b'\t') {
            cursor.bump_past_nul();
        }
        token
    }

    /// Takes the rest of a line. A NUL byte that `advance` does not pass over ends
    /// the body.
    fn comment_to(&mut self, advance: impl Fn(&mut Cursor<'a>)) -> Token {
        loop {
            match self.cursor.peek() {
                0 => return Token::Eof,
                b'\n' => return Token::Comment,
                _ => advance(&mut self.cursor),
            }
        }
    }

    /// Reads the name of a family after HELP or TYPE.
    fn family_token(&mut self) -> Token {
        let cursor = &mut self.cursor;
        cursor.skip_blanks();
        cursor.start = cursor.pos;
        match cursor.peek() {
            b'"' if cursor.quoted(Quoted::Name) => Token::MetricName,
            byte if is(byte, NAME_START) => {
                cursor.metric_name();
                Token::MetricName
            }
            _ => Token::Invalid,
        }
    }

    /// Reads the text of a metadata line: the rest of it, blanks in front included
    /// unless there is nothing else.
    fn text_token(&mut self) {
        let cursor = &mut self.cursor;
        cursor.start = cursor.pos;
        while matches!(cursor.peek(), b' ' | b'\t') {
            cursor.bump_past_nul();
        }
        match cursor.peek() {
            b'\n' => cursor.start = cursor.pos,
            0 => {}
            _ => cursor.skip_line(),
        }
    }

    #[inline]
    fn label_token(&mut self) -> Token {
        let cursor = &mut self.cursor;
        cursor.skip_blanks();
        cursor.start = cursor.pos;
        let token = match cursor.peek() {
            byte if is(byte, LABEL_START) => {
                cursor.label_name();
                return Token::LabelName;
            }
            b'"' => {
                let closed = cursor.quoted(Quoted::Name);
                return if closed {
                    Token::Quoted
                } else {
                    Token::Invalid
                };
            }
            b'=' => Token::Equal,
            b',' => Token::Comma,
            b'}' => Token::BraceClose,
            _ => return Token::Invalid,
        };
        cursor.bump();
        token
    }

    #[inline]
    fn value_token(&mut self) -> Token {
        let cursor = &mut self.cursor;
        cursor.skip_blanks();
        cursor.start = cursor.pos;
        match cursor.peek() {
            b'{' => {
                cursor.bump();
                Token::BraceOpen
            }
            b'\n' | 0 => Token::Invalid,
            _ => {
                cursor.text_value();
                Token::Value
            }
        }
    }

    #[inline]
    fn timestamp_token(&mut self) -> Token {
        let cursor = &mut self.cursor;
        cursor.skip_blanks();
        cursor.start = cursor.pos;
        match cursor.peek() {
            b'\n' => {
                cursor.bump();
                Token::Linebreak
            }
            b'0'..=b'9' => {
                cursor.digits();
                Token::Timestamp
            }
            _ => Token::Invalid,
        }
    }

    #[cold]
    fn unexpected(&self, expected: &str, token: Token) -> ExpositionError {
        unexpected(&self.cursor, expected, token)
    }

    #[cold]
    fn invalid(&self, reason: String) -> ExpositionError {
        ExpositionError::Invalid {
            reason,
            entry: quote_bytes(&self.cursor.quote_read()),
        }
    }
}

/// Reports a token where another was due.
#[cold]
pub(super) fn unexpected(cursor: &Cursor<'_>, expected: &str, token: Token) -> ExpositionError {
    ExpositionError::Unexpected {
        expected: expected.to_owned(),
        got: quote_bytes(&cursor.quote_token()),
        token: quote_bytes(token.name().as_bytes()),
        entry: quote_bytes(&cursor.quote_entry()),
    }
}

/// Takes the quotes off a name that has them.
pub(super) fn unquoted(name: &[u8]) -> &[u8] {
    match name {
        [b'"', inner @ .., b'"'] => inner,
        _ => name,
    }
}

/// Refuses a type no format knows.
pub(super) fn invalid_type(text: &[u8]) -> ExpositionError {
    ExpositionError::Content(format!("invalid metric type {}", quote_bytes(text)))
}

/// Refuses a label value, given with its quotes, that is not UTF-8.
pub(super) fn check_label_value(quoted: &[u8]) -> Result<()> {
    match std::str::from_utf8(quoted) {
        Ok(_) => Ok(()),
        Err(_) => Err(ExpositionError::Content(format!(
            "invalid UTF-8 label value: {}",
            quote_bytes(quoted)
        ))),
    }
}

/// Takes a help text, which has to be UTF-8.
pub(super) fn help_text(text: &[u8], escapes: Escapes) -> Result<HelpText<'_>> {
    match std::str::from_utf8(text) {
        Ok(raw) => Ok(HelpText { raw, escapes }),
        Err(_) => Err(ExpositionError::Content(format!(
            "help text {} is not a valid utf8 string",
            quote_bytes(text)
        ))),
    }
}
