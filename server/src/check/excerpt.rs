//! The line of a file that a mistake stands in, with a marker under the place.

use std::fmt::Write as _;

use crate::config::yaml::Position;

/// Most characters of a line that are shown; the part around the place.
const WIDTH: usize = 100;

/// Words in keys whose values are not shown.
const SECRET_WORDS: [&str; 7] = [
    "password",
    "secret",
    "credentials",
    "token",
    "access_key",
    "hash_key",
    "private",
];

/// What stands in place of a value that is not shown.
const HIDDEN: &str = "<secret>";

/// Shows the place `at` of `text`, which is that of `file`, with a remedy below where there
/// is one. Empty where the text has no such place.
pub(crate) fn excerpt(file: &str, text: &str, at: Position, remedy: Option<&str>) -> String {
    let line = at.line.checked_sub(1).and_then(|n| text.lines().nth(n));
    let Some(line) = line else {
        return String::new();
    };
    let line = without_secret(line);
    let characters: Vec<char> = line.chars().map(printable).collect();
    let place = at.column.saturating_sub(1).min(characters.len());
    let from = match characters.len() > WIDTH {
        true => place.saturating_sub(WIDTH / 2),
        false => 0,
    };
    let to = characters.len().min(from + WIDTH);
    let shown: String = characters
        .get(from..to)
        .unwrap_or_default()
        .iter()
        .collect();
    let word = characters.get(place..to).unwrap_or_default();
    let length = word
        .iter()
        .take_while(|c| !c.is_whitespace() && !matches!(c, ':' | ',' | ']' | '}'))
        .count();
    let number = at.line.to_string();
    let margin = " ".repeat(number.len());
    let (before, marker) = (" ".repeat(place - from), "^".repeat(length.max(1)));
    let mut out = String::new();
    let _ = writeln!(out, "  {margin}--> {file}:{}:{}", at.line, at.column);
    let _ = writeln!(out, "  {number} | {}", shown.trim_end());
    let _ = writeln!(out, "  {margin} | {before}{marker}");
    if let Some(remedy) = remedy {
        let _ = writeln!(out, "  {margin} = {remedy}");
    }
    out
}

/// Keeps a marker under its place, whatever the line holds.
fn printable(c: char) -> char {
    match c.is_control() {
        true => ' ',
        false => c,
    }
}

/// Hides what stands behind a key that may hold a secret.
fn without_secret(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    for (at, _) in lower.match_indices(':') {
        let before = lower[..at].trim_end_matches(['"', '\'', ' ']);
        let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let key = before.rsplit(ends).next().unwrap_or_default();
        let is_secret = SECRET_WORDS.iter().any(|word| key.contains(word));
        let has_value = !line[at + 1..].trim().is_empty();
        if is_secret && has_value && !key.ends_with("_file") {
            return format!("{}: {HIDDEN}", &line[..at]);
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    #[test]
    fn the_marker_stands_under_the_word() {
        let text = "global:\n  scrape_intervall: 15s\n";
        assert_eq!(
            excerpt("a.yml", text, at(2, 3), Some("remove it")),
            "   --> a.yml:2:3\n  \
             2 |   scrape_intervall: 15s\n    \
             |   ^^^^^^^^^^^^^^^^\n    \
             = remove it\n"
        );
        assert_eq!(excerpt("a.yml", text, at(0, 0), None), "");
        assert_eq!(excerpt("a.yml", text, at(9, 1), None), "");
        let behind = excerpt("a.yml", text, at(1, 900), None);
        assert!(behind.ends_with("|        ^\n"), "{behind}");
    }

    #[test]
    fn long_lines_are_cut_around_the_place_and_secrets_are_not_shown() {
        let text = format!("{}é: wrong{}", "x".repeat(400), "y".repeat(400));
        let shown = excerpt("a.yml", &text, at(1, 404), None);
        assert!(shown.contains("wrong") && shown.len() < 400, "{shown}");
        let shown = excerpt("a.yml", "  password: hunter2", at(1, 3), None);
        assert!(!shown.contains("hunter2"), "{shown}");
        let line = "  basic_auth: {username: a, 'password': hunter2}";
        let shown = excerpt("a.yml", line, at(1, 3), None);
        assert!(!shown.contains("hunter2"), "{shown}");
        let shown = excerpt("a.yml", "  password_file: a.txt", at(1, 3), None);
        assert!(shown.contains("a.txt"), "{shown}");
    }
}
