//! Patterns of the `pattern` parser and of the filters `|>` and `!>`: text with
//! `<name>` and `<_>` in it.
//!
//! What looks like a capture but is none, such as `<a b>`, is text.

use thiserror::Error;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text that has to be there.
    Literal(String),
    /// Anything; `None` where it is not kept.
    Capture(Option<String>),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum PatternError {
    #[error(
        "parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL"
    )]
    Empty,
    #[error("at least one capture is required")]
    NoCapture,
    #[error("found consecutive capture '{0}': invalid expression")]
    Consecutive(String),
    #[error("duplicate capture name ({0}): invalid expression")]
    Duplicate(String),
    #[error("named captures are not allowed: found '<{0}>'")]
    Named(String),
}

/// Reads a pattern of the `pattern` parser. Text and captures take turns.
pub(crate) fn parse_captures(text: &str) -> Result<Vec<Piece>, PatternError> {
    let pieces = pieces(text);
    if pieces.is_empty() {
        return Err(PatternError::Empty);
    }
    let names: Vec<&String> = pieces.iter().filter_map(name).collect();
    if names.is_empty() {
        return Err(PatternError::NoCapture);
    }
    check_consecutive(&pieces)?;
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(PatternError::Duplicate((*name).clone()));
        }
    }
    Ok(pieces)
}

/// Reads a pattern of a line filter; the empty one has no pieces.
pub(crate) fn parse_line_filter(text: &str) -> Result<Vec<Piece>, PatternError> {
    let pieces = pieces(text);
    check_consecutive(&pieces)?;
    match pieces.iter().find_map(name) {
        Some(name) => Err(PatternError::Named(name.clone())),
        None => Ok(pieces),
    }
}

fn name(piece: &Piece) -> Option<&String> {
    match piece {
        Piece::Capture(name) => name.as_ref(),
        Piece::Literal(_) => None,
    }
}

fn check_consecutive(pieces: &[Piece]) -> Result<(), PatternError> {
    let written = |name: &Option<String>| format!("<{}>", name.as_deref().unwrap_or("_"));
    for pair in pieces.windows(2) {
        if let [Piece::Capture(first), Piece::Capture(second)] = pair {
            let both = written(first) + &written(second);
            return Err(PatternError::Consecutive(both));
        }
    }
    Ok(())
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        match capture_len(rest) {
            Some(len) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                let name = &rest[1..len - 1];
                pieces.push(Piece::Capture((name != "_").then(|| name.to_owned())));
                rest = &rest[len..];
            }
            None => {
                literal.push('<');
                rest = &rest[1..];
            }
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    pieces
}

/// Returns the length of the capture that a text begins with, brackets included.
fn capture_len(text: &str) -> Option<usize> {
    let name = text.strip_prefix('<')?;
    let end = name.find('>')?;
    let mut bytes = name[..end].bytes();
    let begins = bytes
        .next()
        .is_some_and(|b| b == b'_' || b.is_ascii_alphabetic());
    let goes_on = bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric());
    (begins && goes_on).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.to_owned())
    }

    fn capture(name: &str) -> Piece {
        Piece::Capture(Some(name.to_owned()))
    }

    #[test]
    fn text_and_captures_are_told_apart() {
        let pieces = parse_captures("<ip> - <_> [<a b> <<_ts1>]<9> é<").unwrap();
        let hole = Piece::Capture(None);
        let want = [
            capture("ip"),
            literal(" - "),
            hole,
            literal(" [<a b> <"),
            capture("_ts1"),
            literal("]<9> é<"),
        ];
        assert_eq!(pieces, want);
    }

    #[test]
    fn patterns_without_sense_are_refused() {
        let error = |text| parse_captures(text).unwrap_err().to_string();
        assert!(error("").ends_with("expecting IDENTIFIER or LITERAL"));
        assert_eq!(error("text"), "at least one capture is required");
        assert_eq!(error("<_> x <_>"), "at least one capture is required");
        assert_eq!(
            error("<a><_>"),
            "found consecutive capture '<a><_>': invalid expression"
        );
        assert_eq!(
            error("<a> <b> <a>"),
            "duplicate capture name (a): invalid expression"
        );
    }

    #[test]
    fn line_filters_have_holes_only() {
        assert_eq!(parse_line_filter("").unwrap(), []);
        assert!(parse_line_filter("<_> x").is_ok());
        assert_eq!(
            parse_line_filter("a <b>").unwrap_err().to_string(),
            "named captures are not allowed: found '<b>'"
        );
        assert!(parse_line_filter("<_><_>").is_err());
    }
}
