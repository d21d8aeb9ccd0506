//! What commands print. Nobody is left to tell when the terminal itself is gone.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;

/// When colours are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, where `NO_COLOR` is not set.
    Auto,
    Always,
    Never,
}

impl Color {
    pub(crate) fn is_on(self) -> bool {
        match self {
            Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            Color::Always => true,
            Color::Never => false,
        }
    }
}

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
