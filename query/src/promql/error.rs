//! What the parser says of a text that is not PromQL, in Prometheus' words.

use std::fmt;

use crate::promql::ast::Span;

/// One thing that is wrong with a query, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The bytes that are meant. An error without a place of its own has `0..0`.
    pub span: Span,
    /// The start as `line:column`, both from 1, the column counted in bytes;
    /// `unknown position` in an empty text.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    /// Builds an error about `input[span]`.
    pub(crate) fn new(input: &[u8], span: Span, message: impl Into<String>) -> ParseError {
        ParseError {
            span,
            place: place(input, span.start),
            message: message.into(),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.place, self.message)
    }
}

impl std::error::Error for ParseError {}

/// How many errors are kept. Each has its place looked up from the beginning of the
/// text, so that a long text of nothing but errors would take minutes.
const MAX_ERRORS: usize = 100;

/// Adds an error about `input[span]` unless there are enough.
pub(crate) fn report(
    errors: &mut Vec<ParseError>,
    input: &[u8],
    span: Span,
    message: impl Into<String>,
) {
    if errors.len() < MAX_ERRORS {
        errors.push(ParseError::new(input, span, message));
    }
}

/// What is wrong with a query, in the order in which it was found: the first hundred
/// errors. Never empty; shown as its first error alone, as Prometheus does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseErrors {
    first: ParseError,
    rest: Vec<ParseError>,
}

impl ParseErrors {
    /// Takes the errors of a parse; `None` where there are none.
    pub(crate) fn collect(errors: Vec<ParseError>) -> Option<ParseErrors> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(ParseErrors {
            first,
            rest: errors.collect(),
        })
    }

    /// Returns the error that is shown.
    pub fn first(&self) -> &ParseError {
        &self.first
    }

    /// Iterates over all errors.
    pub fn iter(&self) -> impl Iterator<Item = &ParseError> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

impl From<ParseError> for ParseErrors {
    fn from(first: ParseError) -> ParseErrors {
        ParseErrors {
            first,
            rest: Vec::new(),
        }
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)
    }
}

impl std::error::Error for ParseErrors {}

/// Returns the line and column (in bytes) of an offset, both from 1.
pub(super) fn place(input: &[u8], offset: usize) -> String {
    if input.is_empty() {
        return "unknown position".to_owned();
    }
    let Some(before) = input.get(..offset) else {
        return "invalid position".to_owned();
    };
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    let line_start = before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    format!("{line}:{}", offset - line_start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_bytes_from_one() {
        let cases = [
            ("", 0, "unknown position"),
            ("up", 0, "1:1"),
            ("up", 2, "1:3"),
            ("up", 3, "invalid position"),
            ("a\nbc", 3, "2:2"),
            ("é+", 2, "1:3"),
        ];
        for (input, offset, expected) in cases {
            assert_eq!(
                place(input.as_bytes(), offset),
                expected,
                "{input:?} at {offset}"
            );
        }
    }
}
