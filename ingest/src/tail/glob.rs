//! Patterns of paths: those of Go's `filepath.Glob` within a part, `**` for any number of
//! directories, and `{a,b}` for one of several texts.

use std::io;
use std::path::{Path, PathBuf};

use crate::discovery::{BadPattern, fits_part};

/// Most patterns that alternatives may stand for.
const MAX_ALTERNATIVES: usize = 256;
/// Deepest directory that `**` goes down to, from where it stands.
const MAX_DEPTH: usize = 32;
/// Most paths of one pattern.
const MAX_PATHS: usize = 200_000;

/// A pattern that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// The alternatives, each cut at its slashes.
    alternatives: Vec<Vec<String>>,
    text: String,
}

impl Glob {
    /// Checks a pattern.
    ///
    /// # Errors
    /// It is malformed, or stands for too many.
    pub fn new(pattern: &str) -> Result<Glob, BadPattern> {
        let mut plain = Vec::new();
        expand_braces(pattern, &mut plain)?;
        let mut alternatives = Vec::with_capacity(plain.len());
        for pattern in plain {
            let parts: Vec<String> = pattern.split('/').map(str::to_owned).collect();
            for part in parts.iter().filter(|part| *part != "**") {
                fits_part(part, "")?;
            }
            alternatives.push(parts);
        }
        Ok(Glob {
            alternatives,
            text: pattern.to_owned(),
        })
    }

    /// Returns the pattern.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether a path fits.
    pub fn fits(&self, path: &Path) -> bool {
        let Some(path) = path.to_str() else {
            return false;
        };
        let parts: Vec<&str> = path.split('/').collect();
        let mut alternatives = self.alternatives.iter();
        alternatives.any(|pattern| fits_parts(pattern, &parts))
    }

    /// Returns the files that fit, in order, and the directories that were looked at.
    pub fn files(&self) -> Found {
        let mut found = Found::default();
        for parts in &self.alternatives {
            let (start, parts) = match parts.first().map(String::as_str) {
                Some("") => (PathBuf::from("/"), &parts[1..]),
                _ => (PathBuf::new(), parts.as_slice()),
            };
            walk(&start, parts, 0, &mut found);
        }
        found.files.sort();
        found.files.dedup();
        found.dirs.sort();
        found.dirs.dedup();
        found.failures.sort();
        found.failures.dedup();
        found
    }
}

/// What a pattern finds.
#[derive(Debug, Default)]
pub struct Found {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Directories in which others may appear.
    pub dirs: Vec<PathBuf>,
    /// Directories that cannot be read, with why.
    pub failures: Vec<(PathBuf, String)>,
}

fn expand_braces(pattern: &str, out: &mut Vec<String>) -> Result<(), BadPattern> {
    let Some((open, close, commas)) = braces(pattern)? else {
        out.push(pattern.to_owned());
        return match out.len() > MAX_ALTERNATIVES {
            true => Err(BadPattern),
            false => Ok(()),
        };
    };
    let mut from = open + 1;
    for end in commas.into_iter().chain([close]) {
        let (before, one, behind) = (&pattern[..open], &pattern[from..end], &pattern[close + 1..]);
        expand_braces(&format!("{before}{one}{behind}"), out)?;
        from = end + 1;
    }
    Ok(())
}

/// Returns where the first braces open and close, and the commas between.
fn braces(pattern: &str) -> Result<Option<(usize, usize, Vec<usize>)>, BadPattern> {
    let bytes = pattern.as_bytes();
    let (mut open, mut depth, mut commas, mut at) = (None, 0usize, Vec::new(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'{' => {
                open.get_or_insert(at);
                depth += 1;
            }
            b',' if depth == 1 => commas.push(at),
            b'}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return Ok(open.map(|open| (open, at, commas)));
                }
            }
            _ => {}
        }
        at += 1;
    }
    match open {
        Some(_) => Err(BadPattern),
        None => Ok(None),
    }
}

/// Compares part by part; the time grows with the product of both lengths at most.
fn fits_parts(pattern: &[String], path: &[&str]) -> bool {
    // Which beginnings of the path the pattern so far fits.
    let mut fits = vec![false; path.len() + 1];
    fits[0] = true;
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        if part == "**" {
            let mut open = false;
            for at in 0..=path.len() {
                open |= fits[at];
                next[at] = open;
            }
        } else {
            for at in 0..path.len() {
                next[at + 1] = fits[at] && fits_part(part, path[at]).unwrap_or(false);
            }
        }
        fits = next;
    }
    fits[path.len()]
}

fn walk(dir: &Path, parts: &[String], depth: usize, found: &mut Found) {
    let Some((part, rest)) = parts.split_first() else {
        return;
    };
    if found.files.len() >= MAX_PATHS {
        return;
    }
    if part == "**" {
        walk(dir, rest, 0, found);
        if depth >= MAX_DEPTH {
            return;
        }
        for (path, is_link) in list(dir, found) {
            // A link to a directory may lead back.
            if !is_link && path.is_dir() {
                walk(&path, parts, depth + 1, found);
            }
        }
        if rest.is_empty() {
            take_files(dir, "*", found);
        }
        return;
    }
    let literal = !part.contains(['*', '?', '[', '\\']);
    match (rest.is_empty(), literal) {
        (true, _) => take_files(dir, part, found),
        (false, true) => walk(&dir.join(part), rest, 0, found),
        (false, false) => {
            note(dir, found);
            for (path, _) in list(dir, found) {
                let name = path.file_name().and_then(|name| name.to_str());
                let fits = name.is_some_and(|name| fits_part(part, name).unwrap_or(false));
                if fits && path.is_dir() {
                    walk(&path, rest, 0, found);
                }
            }
        }
    }
}

/// Takes the files of a directory that fit a part.
fn take_files(dir: &Path, part: &str, found: &mut Found) {
    note(dir, found);
    if !part.contains(['*', '?', '[', '\\']) {
        let path = dir.join(part);
        if path.is_file() {
            found.files.push(path);
        }
        return;
    }
    for (path, _) in list(dir, found) {
        let name = path.file_name().and_then(|name| name.to_str());
        let fits = name.is_some_and(|name| fits_part(part, name).unwrap_or(false));
        if fits && path.is_file() {
            found.files.push(path);
        }
    }
}

/// Returns the name of a directory: the one at work has none.
fn named(dir: &Path) -> &Path {
    match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    }
}

fn note(dir: &Path, found: &mut Found) {
    found.dirs.push(named(dir).to_owned());
}

/// Returns what is in a directory, with whether it is a link. One that is not there, or is
/// none, has nothing.
fn list(dir: &Path, found: &mut Found) -> Vec<(PathBuf, bool)> {
    let mut paths = Vec::new();
    let read = std::fs::read_dir(named(dir)).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            paths.push((dir.join(entry.file_name()), is_link));
        }
        Ok(())
    });
    if let Err(error) = read
        && !matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    {
        let failure = (named(dir).to_owned(), error.to_string());
        found.failures.push(failure);
    }
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_across_directories() {
        for (pattern, path, fits) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/b/a.log", false),
            ("/var/log/**/*.log", "/var/log/a.log", true),
            ("/var/log/**/*.log", "/var/log/x/y/a.log", true),
            ("/var/log/**", "/var/log/x/y", true),
            ("/var/{log,tmp}/a{1,2}", "/var/tmp/a2", true),
            ("/var/{log,tmp}/a", "/var/run/a", false),
            ("/a/{b,c/{d,e}}/f", "/a/c/e/f", true),
            ("**/x", "a/b/x", true),
            ("/a/**/b/**/c", "/a/b/x/b/c", true),
            ("/a/**/b/**/c", "/a/x/c", false),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert_eq!(glob.fits(Path::new(path)), fits, "{pattern} {path}");
        }
        for pattern in ["/a/[", "/a/{b", &"{a,b}".repeat(20)] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn files_are_found_and_directories_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a.log", "x/b.log", "x/y/c.log", "x/y/c.txt"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("x/loop")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("a.log"), dir.path().join("x/link.log"))
            .unwrap();
        let found = |pattern: &str| {
            let glob = Glob::new(&format!("{}/{pattern}", dir.path().display())).unwrap();
            let found = glob.files();
            let names = found
                .files
                .iter()
                .map(|p| p.strip_prefix(dir.path()).unwrap());
            names.map(|p| p.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("*.log"), ["a.log"]);
        assert_eq!(
            found("**/*.log"),
            ["a.log", "x/b.log", "x/link.log", "x/y/c.log"]
        );
        assert_eq!(found("*/*/*"), ["x/loop/a.log", "x/y/c.log", "x/y/c.txt"]);
        assert_eq!(found("x/{b,y/c}.log"), ["x/b.log", "x/y/c.log"]);
        assert_eq!(found("none/*"), [""; 0]);
        let glob = Glob::new(&format!("{}/x/*.log", dir.path().display())).unwrap();
        assert_eq!(glob.files().dirs, [dir.path().join("x")]);
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("loop");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let failures = |pattern: &str| {
            let glob = Glob::new(&format!("{}/{pattern}", dir.path().display())).unwrap();
            let failures = glob.files().failures.into_iter();
            failures.map(|(dir, _)| dir).collect::<Vec<_>>()
        };
        assert_eq!(failures("loop/*.log"), [link.as_path()]);
        assert_eq!(
            failures("{loop/*,loop/a/*,loop/**}"),
            [link.as_path(), &link.join("a")]
        );
        // Where nothing is yet something may appear.
        assert_eq!(
            failures("{none/*,file/*,*/*,**/*}"),
            [""; 0].map(PathBuf::from)
        );
    }
}
