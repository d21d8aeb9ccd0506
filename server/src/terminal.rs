//! What commands print. Nobody is left to tell when the terminal itself is gone.

use std::io::{self, Write};

/// Prints to standard output.
pub(crate) fn say(text: &str) {
    let _gone = io::stdout().write_all(text.as_bytes());
}

/// Prints to standard error.
pub(crate) fn complain(text: &str) {
    let _gone = io::stderr().write_all(text.as_bytes());
}

/// Prints bytes to standard output.
pub(crate) fn say_bytes(bytes: &[u8]) {
    let _gone = io::stdout().write_all(bytes);
}
