//! Paths of the `json` parser, `a.b[0]["odd key"]`, and keys of the `logfmt` parser.
//!
//! The errors are those of the grammars that Loki reads them with: what the reader of
//! characters finds is shown only where the path could end there.

use std::iter::Peekable;
use std::str::Chars;

/// A step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// To a member of an object.
    Key(String),
    /// To an element of an array.
    Index(usize),
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    End,
    Dot,
    Open,
    Close,
    Text(String),
    Name(String),
    Index(usize),
}

impl Token {
    /// Returns the token's name in the errors about JSON paths.
    fn name(&self) -> &'static str {
        match self {
            Token::End => "$end",
            Token::Dot => "DOT",
            Token::Open => "LSB",
            Token::Close => "RSB",
            Token::Text(_) => "STRING",
            Token::Name(_) => "FIELD",
            Token::Index(_) => "INDEX",
        }
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    /// What cannot be read; the text ends there.
    error: Option<String>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        Reader {
            rest: text.chars().peekable(),
            error: None,
        }
    }

    fn fail(&mut self, error: String) -> Token {
        self.error = Some(error);
        Token::End
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.rest.next_if(|c| belongs(*c)) {
            taken.push(c);
        }
        taken
    }

    /// Reads the next token; `.`, brackets and numbers are tokens of JSON paths only.
    fn next(&mut self, is_json: bool) -> Token {
        if self.error.is_some() {
            return Token::End;
        }
        self.take_while(|c| matches!(c, ' ' | '\t' | '\n'));
        match self.rest.peek().copied() {
            None | Some('\0') => Token::End,
            Some('a'..='z' | 'A'..='Z' | '_') => {
                Token::Name(self.take_while(|c| c == '_' || c.is_ascii_alphanumeric()))
            }
            Some('"') => {
                self.rest.next();
                // A bracket ends the text as well as a quote, with the bracket gone.
                let text = self.take_while(|c| !matches!(c, '"' | ']' | '\0'));
                self.rest.next();
                Token::Text(text)
            }
            Some('0'..='9') if is_json => self.index(),
            Some(c @ ('.' | '[' | ']')) if is_json => {
                self.rest.next();
                match c {
                    '.' => Token::Dot,
                    '[' => Token::Open,
                    _ => Token::Close,
                }
            }
            Some(c) => self.fail(format!("unexpected char {c}")),
        }
    }

    fn index(&mut self) -> Token {
        let digits = self.take_while(|c| c.is_ascii_digit());
        match self.rest.peek().copied() {
            Some('.') => self.fail("cannot use float as array index".to_owned()),
            Some(' ' | '\t' | '\n' | ']') => match digits.parse() {
                Ok(index) => Token::Index(index),
                Err(_) => self.fail(format!("index {digits} is too large")),
            },
            other => self.fail(format!("non-integer value: {}", other.unwrap_or('\0'))),
        }
    }

    fn unexpected<T>(&self, token: &Token, expected: &str) -> Result<T, String> {
        Err(format!(
            "syntax error: unexpected {}{expected}",
            token.name()
        ))
    }
}

/// Reads the path of a label that `json` extracts.
pub(crate) fn parse_json_path(text: &str) -> Result<Vec<Step>, String> {
    let mut reader = Reader::new(text);
    let mut steps = Vec::new();
    loop {
        match reader.next(true) {
            Token::Name(name) if steps.is_empty() => steps.push(Step::Key(name)),
            Token::Dot if !steps.is_empty() => match reader.next(true) {
                Token::Name(name) => steps.push(Step::Key(name)),
                other => return reader.unexpected(&other, ", expecting FIELD"),
            },
            Token::Open => {
                steps.push(match reader.next(true) {
                    Token::Text(text) => Step::Key(text),
                    Token::Index(index) => Step::Index(index),
                    other => return reader.unexpected(&other, ", expecting STRING or INDEX"),
                });
                match reader.next(true) {
                    Token::Close => {}
                    other => return reader.unexpected(&other, ", expecting RSB"),
                }
            }
            other if steps.is_empty() => {
                return reader.unexpected(&other, ", expecting LSB or FIELD");
            }
            Token::End => return reader.error.map_or(Ok(steps), Err),
            other => return reader.unexpected(&other, ""),
        }
    }
}

/// Reads the key of a label that `logfmt` extracts: a name or a quoted text, behind which
/// further quoted texts may stand.
pub(crate) fn parse_logfmt_key(text: &str) -> Result<Vec<String>, String> {
    let mut reader = Reader::new(text);
    let mut keys = match reader.next(false) {
        Token::Name(key) | Token::Text(key) => vec![key],
        other => return reader.unexpected(&other, ", expecting STRING or KEY"),
    };
    loop {
        match reader.next(false) {
            Token::Text(key) => keys.push(key),
            Token::End => return reader.error.map_or(Ok(keys), Err),
            _ => return Err("syntax error: unexpected KEY".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_into_objects_and_arrays() {
        let key = |text: &str| Step::Key(text.to_owned());
        let cases = [
            ("a", vec![key("a")]),
            ("a.b", vec![key("a"), key("b")]),
            ("a[0].b", vec![key("a"), Step::Index(0), key("b")]),
            (
                "[\"odd key\"] [ 12 ]",
                vec![key("odd key"), Step::Index(12)],
            ),
        ];
        for (text, want) in cases {
            assert_eq!(parse_json_path(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_paths_are_named() {
        let cases = [
            ("", "syntax error: unexpected $end, expecting LSB or FIELD"),
            ("a.", "syntax error: unexpected $end, expecting FIELD"),
            ("a b", "syntax error: unexpected FIELD"),
            (
                "a[",
                "syntax error: unexpected $end, expecting STRING or INDEX",
            ),
            ("a[\"b", "syntax error: unexpected $end, expecting RSB"),
            (
                "a[1.5]",
                "syntax error: unexpected $end, expecting STRING or INDEX",
            ),
            ("a-b", "unexpected char -"),
            ("-", "syntax error: unexpected $end, expecting LSB or FIELD"),
        ];
        for (text, want) in cases {
            assert_eq!(parse_json_path(text), Err(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn keys_are_names_or_texts() {
        assert_eq!(parse_logfmt_key("a"), Ok(vec!["a".to_owned()]));
        assert_eq!(parse_logfmt_key("\"a.b\""), Ok(vec!["a.b".to_owned()]));
        assert_eq!(parse_logfmt_key("a.b"), Err("unexpected char .".to_owned()));
        assert_eq!(
            parse_logfmt_key("a b"),
            Err("syntax error: unexpected KEY".to_owned())
        );
        assert_eq!(
            parse_logfmt_key(""),
            Err("syntax error: unexpected $end, expecting STRING or KEY".to_owned())
        );
    }
}
