//! The program `kymo`: its allocator; all else is in the library.

use std::process::ExitCode;

// Without huge pages: a process of a few hundred megabytes, most of it in use, gains some
// percent of time from them and pays tens of megabytes for the rest of each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kymo::run(std::env::args_os())
}
