//! Kymo side by side with its peers.
//!
//! `cargo run --release -p kymo-benches -- compare` builds the release binary of
//! Kymo, generates one body of remote-write requests, sends the same bytes to Kymo
//! and to every installed peer, one system after the other, and prints server
//! CPU-seconds, memory, disk, query latencies and restart times with their ratios.
//! `cargo run --release -p kymo-benches -- scrape` lets them scrape the same targets, and
//! `cargo run --release -p kymo-benches -- logs` pushes logs.
//!
//! Benches of single parts are criterion targets under `benches/`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program whose output is the point

mod compare;
mod logs;
mod scrape;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "kymo-benches",
    about = "Measures Kymo, alone and beside its peers"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends the same data to Kymo and to the installed peers and prints a table.
    Compare(compare::CompareArgs),
    /// Pushes the same logs to Kymo and to peers that are given, and prints a table.
    Logs(logs::LogsArgs),
    /// Lets Kymo and the installed peers scrape the same targets and prints a table.
    Scrape(scrape::ScrapeArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Compare(args) => compare::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Scrape(args) => scrape::run(&args),
    }
}
