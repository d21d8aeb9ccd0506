//! The server as the end-to-end tests start it.
//!
//! Cargo builds the binaries of a package before its tests, but not those of other
//! packages; this one makes `cargo test -p kymo-tests` work alone.

fn main() -> std::process::ExitCode {
    kymo::run(std::env::args_os())
}
