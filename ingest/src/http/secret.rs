//! Values that must never reach a log, an error text or an API answer.

use std::fmt;
use std::path::{Path, PathBuf};

/// What stands in place of a secret wherever it would be shown.
pub const HIDDEN: &str = "<secret>";

/// A text that only [`Secret::expose`] gives out; `Debug` and `Display` print `<secret>`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Returns the text itself; for sending it, never for showing it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Tells whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Where a secret comes from. Files are read again for every request, so that a
/// rotated token works without a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Written in the configuration.
    Inline(Secret),
    /// The file that holds it; white space around the content is not part of it.
    File(PathBuf),
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// The text of a file that cannot be read, in the words of Go's `os.Open`.
    pub fn fetch(&self) -> Result<Secret, String> {
        match self {
            SecretSource::Inline(secret) => Ok(secret.clone()),
            SecretSource::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Secret::new(text.trim())),
                Err(source) => Err(unreadable(path, &source)),
            },
        }
    }

    /// Returns the file, where the secret is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            SecretSource::Inline(_) => None,
            SecretSource::File(path) => Some(path),
        }
    }
}

/// Returns Go's text for a file that cannot be read.
pub(super) fn unreadable(path: &Path, source: &std::io::Error) -> String {
    let reason = super::error::errno_text(source);
    format!("unable to read file {}: open {0}: {reason}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let source = SecretSource::Inline(Secret::new("hidden-word"));
        assert_eq!(format!("{source:?}"), "Inline(<secret>)");
        assert_eq!(Secret::new("hidden-word").to_string(), "<secret>");
    }

    #[test]
    fn a_file_is_read_at_each_fetch_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let source = SecretSource::File(path.clone());
        let refused = source.fetch().unwrap_err();
        assert!(refused.ends_with("no such file or directory"), "{refused}");
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(source.fetch().unwrap().expose(), "one");
        std::fs::write(&path, " two").unwrap();
        assert_eq!(source.fetch().unwrap().expose(), "two");
    }
}
