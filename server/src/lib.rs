//! Kymo the server: HTTP APIs, configuration, scraping and storage in one process.
//!
//! The crate holds no algorithm, only wiring, protocols and policy. `app` builds
//! the objects and starts and stops them in order; `http` is the listener and what
//! surrounds every call; `api` are the calls; `observe` is what Kymo says of
//! itself; [`clock`] is the only clock of the program.
//!
//! [`run`] is the program `kymo`; [`Server`] is the same server inside another program.

pub mod clock;
pub mod config;

mod access;
mod api;
mod app;
mod apply;
mod check;
mod client;
mod commands;
mod debug;
mod embedded;
mod flags;
mod forward;
mod grafana;
mod http;
mod log_client;
mod logs;
mod migrate;
mod notices;
mod notify;
mod observe;
mod promql;
mod push;
mod query;
mod reload;
mod rules;
mod scraping;
mod tailing;
mod terminal;
mod text_format;
mod tsdb;
mod unit_test;
mod urls;
mod work;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

pub use embedded::{Server, ServerError};

use flags::{Exit, Flags};

/// Runs the program `kymo` with a command line, the program's name first, until it is
/// told to stop or has done what it was asked for.
///
/// Returns 0 after a clean stop, 1 when it could not run, 2 when a flag's value or
/// the configuration is wrong.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = commands::run(args.into_iter().collect(), serve);
    done.unwrap_or_else(|exit| {
        // Nobody is left to tell when the terminal itself is gone.
        let _gone = match exit.code {
            0 => std::io::stdout().write_all(exit.message.as_bytes()),
            _ => std::io::stderr().write_all(exit.message.as_bytes()),
        };
        ExitCode::from(exit.code)
    })
}

fn serve(args: Vec<OsString>) -> Result<ExitCode, Exit> {
    choose_tls_provider();
    let flags = Flags::parse_from(args)?;
    observe::logs::start(flags.log_level, flags.log_format);
    Ok(app::run(flags))
}

/// Makes the choice for libraries that ask the process. A second call finds it in place.
fn choose_tls_provider() {
    let _in_place = rustls::crypto::ring::default_provider().install_default();
}
