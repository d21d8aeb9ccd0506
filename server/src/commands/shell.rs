//! `kymo completions` and `kymo man`: what shells and readers of manuals need.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap_complete::Shell;

use super::{Call, Program, tree};
use crate::flags::Exit;
use crate::terminal::{say, say_bytes};

/// The command line behind `kymo completions`.
#[derive(Debug, Parser)]
#[command(
    about = "Print completions for a shell",
    max_term_width = 100,
    after_help = "EXAMPLES:\n    \
        kymo completions bash > /etc/bash_completion.d/kymo\n    \
        kymo completions zsh > \"${fpath[1]}/_kymo\"\n    \
        kymo completions fish > ~/.config/fish/completions/kymo.fish"
)]
pub(super) struct CompletionsLine {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// The command line behind `kymo man`.
#[derive(Debug, Parser)]
#[command(
    about = "Print the manual page",
    max_term_width = 100,
    after_help = "EXAMPLES:\n    \
        kymo man | man -l -\n    \
        kymo man --dir=/usr/share/man/man1"
)]
pub(super) struct ManLine {
    /// Write the pages of the program and of all its commands to this directory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints completions.
pub(super) fn completions(call: Call) -> Result<ExitCode, Exit> {
    let line: CompletionsLine = call.read()?;
    say_bytes(&script(line.shell));
    Ok(ExitCode::SUCCESS)
}

/// Returns the script that completes command lines in a shell.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut tree(Program::Kymo), "kymo", &mut text);
    text
}

/// Prints or writes manual pages.
pub(super) fn man(call: Call) -> Result<ExitCode, Exit> {
    let line: ManLine = call.read()?;
    let failed = |error: io::Error| Exit {
        code: 1,
        message: format!("kymo man: {error}\n"),
    };
    let tree = tree(Program::Kymo);
    match &line.dir {
        None => {
            let mut text = Vec::new();
            let page = clap_mangen::Man::new(tree);
            page.render(&mut text).map_err(failed)?;
            say_bytes(&text);
        }
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(failed)?;
            clap_mangen::generate_to(tree, dir).map_err(failed)?;
            say(&format!("the pages are in {}\n", dir.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
