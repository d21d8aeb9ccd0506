//! Texts of failures, in the words of Go's `net/http`.

use std::io;

/// Returns the operating system's short text of an error as Go prints an errno:
/// the same words as Rust's, without the number and without the capital.
pub(super) fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
