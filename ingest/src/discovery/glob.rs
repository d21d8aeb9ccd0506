//! Patterns of paths as Go's `filepath.Glob` takes them: `*`, `?`, `[a-z]`, `[^a]` and
//! `\` within one part of a path.

use std::path::{Path, PathBuf};

/// A pattern that cannot be used, such as one with an open bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Returns the paths that exist and fit a pattern, in order. Directories that cannot be
/// read hold nothing.
///
/// # Errors
/// The pattern is malformed.
pub fn glob(pattern: &str) -> Result<Vec<PathBuf>, BadPattern> {
    matches(pattern, "")?;
    let mut found = Vec::new();
    expand(pattern, &mut found)?;
    Ok(found)
}

fn expand(pattern: &str, found: &mut Vec<PathBuf>) -> Result<(), BadPattern> {
    if !has_meta(pattern) {
        if std::fs::symlink_metadata(pattern).is_ok() {
            found.push(PathBuf::from(pattern));
        }
        return Ok(());
    }
    let (dir, last) = match pattern.rfind('/') {
        Some(at) => pattern.split_at(at + 1),
        None => ("", pattern),
    };
    let parent = match dir {
        "" => ".",
        "/" => "/",
        dir => dir.trim_end_matches('/'),
    };
    let mut dirs = Vec::new();
    match has_meta(parent) {
        true => expand(parent, &mut dirs)?,
        false => dirs.push(PathBuf::from(parent)),
    }
    for parent in dirs {
        list(&parent, dir.is_empty(), last, found)?;
    }
    Ok(())
}

fn list(
    parent: &Path,
    bare: bool,
    pattern: &str,
    found: &mut Vec<PathBuf>,
) -> Result<(), BadPattern> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Ok(());
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    // A name that is no text fits no pattern that is one.
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort_unstable();
    for name in names {
        if matches(pattern, &name)? {
            found.push(match bare {
                true => PathBuf::from(name),
                false => parent.join(name),
            });
        }
    }
    Ok(())
}

fn has_meta(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '\\'])
}

/// Tells whether a name fits one part of a pattern. The time it takes grows with the
/// product of both lengths at most.
pub(crate) fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let tokens = parse(pattern)?;
    let name: Vec<char> = name.chars().collect();
    // Which beginnings of the pattern fit the name so far.
    let mut fits = vec![false; tokens.len() + 1];
    fits[0] = true;
    skip_stars(&tokens, &mut fits);
    for c in name {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate() {
            if !fits[at] || c == '/' && !matches!(token, Token::One('/')) {
                continue;
            }
            match token {
                Token::Star => next[at] = true,
                token if token.takes(c) => next[at + 1] = true,
                _ => {}
            }
        }
        skip_stars(&tokens, &mut next);
        fits = next;
    }
    Ok(fits[tokens.len()])
}

/// A star may stand for nothing.
fn skip_stars(tokens: &[Token], fits: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if fits[at] && matches!(token, Token::Star) {
            fits[at + 1] = true;
        }
    }
}

#[derive(Debug)]
enum Token {
    Star,
    Any,
    One(char),
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Token::Star => true,
            Token::Any => true,
            Token::One(wanted) => c == *wanted,
            Token::Class { ranges, negated } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn parse(pattern: &str) -> Result<Vec<Token>, BadPattern> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::One(chars.next().ok_or(BadPattern)?),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
                        break;
                    }
                    let low = class_char(&mut chars)?;
                    let high = match chars.next_if_eq(&'-') {
                        Some(_) => class_char(&mut chars)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                Token::Class { ranges, negated }
            }
            c => Token::One(c),
        });
    }
    Ok(tokens)
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    match chars.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => chars.next().ok_or(BadPattern),
        Some(c) => Ok(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Matches by trying everything, which is slow and plainly right.
    fn slow(tokens: &[Token], name: &[char]) -> bool {
        match (tokens.split_first(), name.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Token::Star, rest)), _) => {
                let ends = (0..=name.len()).take_while(|end| !name[..*end].contains(&'/'));
                ends.into_iter().any(|end| slow(rest, &name[end..]))
            }
            (Some(_), None) => false,
            (Some((token, rest)), Some((c, behind))) => {
                let takes = token.takes(*c) && (*c != '/' || matches!(token, Token::One('/')));
                takes && slow(rest, behind)
            }
        }
    }

    proptest! {
        #[test]
        fn names_fit_where_some_way_to_take_them_does(
            pattern in "[ab*?\\[\\]^/-]{0,8}",
            name in "[ab/-]{0,6}",
        ) {
            let chars: Vec<char> = name.chars().collect();
            let expected = parse(&pattern).map(|tokens| slow(&tokens, &chars));
            prop_assert_eq!(matches(&pattern, &name), expected);
        }
    }

    #[test]
    fn names_fit_as_in_go() {
        for (pattern, name, fits) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "a/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("*x", "xxx", true),
        ] {
            assert_eq!(matches(pattern, name), Ok(fits), "{pattern} {name}");
        }
        for pattern in [
            "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "a[",
        ] {
            assert_eq!(matches(pattern, "a"), Err(BadPattern), "{pattern}");
        }
    }

    #[test]
    fn paths_are_found_in_order_and_directories_expand_too() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b/2.json", "b/1.json", "a/3.json", "a/x.yml"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| {
            let pattern = format!("{}/{pattern}", dir.path().display());
            let paths = glob(&pattern).unwrap();
            let relative = paths
                .iter()
                .map(|path| path.strip_prefix(dir.path()).unwrap());
            relative
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("b/*.json"), ["b/1.json", "b/2.json"]);
        assert_eq!(found("?/[1-3].json"), ["a/3.json", "b/1.json", "b/2.json"]);
        assert_eq!(found("a/x.yml"), ["a/x.yml"]);
        assert!(found("a/none.yml").is_empty() && found("none/*.yml").is_empty());
        assert_eq!(glob("a/[.json"), Err(BadPattern));
    }
}
