//! Where in a rule file the place of a mistake in an expression is.
//!
//! The message has a place within the expression (`3:7: parse error`), the problem the place
//! of the expression in the file. Together they are a place in the file where the expression
//! stands as it is written: on one line, quoted without escapes, or as a block of lines.

use crate::config::Problem;
use crate::config::yaml::Position;

/// What stands in front of the place within an expression.
const MARK: &str = "could not parse expression: ";

/// Returns the place of a mistake: that within its expression where it is known.
pub(super) fn place(text: &str, problem: &Problem) -> Position {
    let inner = inner(&problem.message);
    let found = inner.and_then(|inner| within(text, problem.at, inner));
    found.unwrap_or(problem.at)
}

/// Reads the place within the expression from a message.
fn inner(message: &str) -> Option<Position> {
    let (_, rest) = message.split_once(MARK)?;
    let (line, rest) = rest.split_once(':')?;
    let (column, _) = rest.split_once(':')?;
    Some(Position {
        line: line.parse().ok()?,
        column: column.parse().ok()?,
    })
}

fn within(text: &str, at: Position, inner: Position) -> Option<Position> {
    let line = |number: usize| text.lines().nth(number.checked_sub(1)?);
    let first = line(at.line)?;
    let before = at.column.checked_sub(1)?;
    let rest: String = first.chars().skip(before).collect();
    // The place of a block is that of its first line, behind the sign for it.
    let is_first = first.chars().take(before).all(|c| c == ' ');
    let sign = line(at.line - 1).filter(|_| is_first).map(|line| {
        let line = line.trim_end_matches(['-', '+', ' ']);
        line.chars().next_back()
    });
    match sign.flatten() {
        Some('|') => {
            let (number, column) = (at.line + inner.line - 1, before + inner.column);
            let is_there = line(number)?.chars().count() + 1 >= column;
            return is_there.then_some(Position {
                line: number,
                column,
            });
        }
        Some('>') => return None,
        _ if inner.line != 1 => return None,
        _ => {}
    }
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let front: String = rest.chars().skip(1).take(inner.column).collect();
    let is_escaped = quote.is_some_and(|quote| {
        let inside = front.chars().take(inner.column.saturating_sub(1));
        inside.clone().any(|c| c == quote || c == '\\')
    });
    let column = at.column + usize::from(quote.is_some()) + inner.column - 1;
    let is_there = first.chars().count() + 1 >= column;
    (is_there && !is_escaped).then_some(Position {
        line: at.line,
        column,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::file::{self, Accepted};

    fn shown(rule: &str) -> (usize, usize) {
        let text = format!("groups:\n- name: a\n  rules:\n  - record: 'a:b'\n{rule}\n");
        let error = file::parse("f", &text, &Accepted::default()).unwrap_err();
        let at = place(&text, &error.problems[0]);
        (at.line, at.column)
    }

    #[test]
    fn places_within_expressions_are_found_in_the_file() {
        assert_eq!(shown("    expr: sum(up) x"), (5, 19));
        assert_eq!(shown("    expr: 'sum(up) x'"), (5, 20));
        assert_eq!(shown("    expr: \"sum(up) x\""), (5, 20));
        assert_eq!(shown("    expr: |\n      sum(\n        up) x"), (7, 13));
        // What is not known is the place of the expression.
        assert_eq!(shown("    expr: \"up{a=\\\"b\\\"}}\""), (5, 11));
    }

    #[test]
    fn other_mistakes_keep_their_place() {
        for message in ["", "could not parse expression: x", "a: 1:2: parse error"] {
            assert_eq!(inner(message), None, "{message}");
        }
        let far = Position { line: 9, column: 9 };
        assert_eq!(within("a\n", far, far), None);
        let none = Position::default();
        assert_eq!(within("a\n", none, none), None);
    }
}
