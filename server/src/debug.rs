//! `kymo debug`: what a server says of itself, in one file for a report.
//!
//! Profiles of a Go program do not exist here, so that `pprof` is refused in words and
//! `all` has what there is.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::client::{HttpFlags, Server};
use crate::clock;
use crate::commands::{Call, PromqlFlags};
use crate::flags::Exit;
use crate::terminal::say;

/// Longest time to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The file that is written, as by promtool.
const ARCHIVE: &str = "debug.tar.gz";

/// A block of a tar archive.
const BLOCK: usize = 512;

/// The command line behind `kymo debug`.
#[derive(Debug, Parser)]
#[command(
    about = "Collect what a server says of itself, in debug.tar.gz",
    max_term_width = 100,
    after_help = "EXAMPLE:\n    kymo debug all http://localhost:9090"
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    http: HttpFlags,

    #[command(flatten)]
    _promql: PromqlFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Profiles of Prometheus; Kymo has none.
    Pprof {
        /// The server.
        #[arg(value_name = "SERVER")]
        server: String,
    },
    /// The server's own metrics.
    Metrics {
        /// The server.
        #[arg(value_name = "SERVER")]
        server: String,
    },
    /// Metrics, flags, build, and the state of the store.
    All {
        /// The server.
        #[arg(value_name = "SERVER")]
        server: String,
    },
}

/// What is asked for, and the name of its file.
const METRICS: (&str, &str) = ("/metrics", "metrics.txt");
const OTHERS: [(&str, &str); 5] = [
    ("/api/v1/status/buildinfo", "buildinfo.json"),
    ("/api/v1/status/runtimeinfo", "runtimeinfo.json"),
    ("/api/v1/status/flags", "flags.json"),
    ("/api/v1/status/tsdb", "tsdb.json"),
    ("/api/v1/targets", "targets.json"),
];

/// Runs a command.
///
/// # Errors
/// Help was asked for, the command line is wrong, or the server does not answer.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let line: CommandLine = call.read()?;
    let done = match &line.command {
        Command::Pprof { .. } => Err(anyhow::anyhow!(
            "pprof: there are no profiles, as Kymo is no Go program; collect metrics with \
             debug metrics, or profile the process with perf"
        )),
        Command::Metrics { server } => collect(server, &line.http, &[METRICS]),
        Command::All { server } => {
            let all: Vec<(&str, &str)> = std::iter::once(METRICS).chain(OTHERS).collect();
            collect(server, &line.http, &all)
        }
    };
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Exit {
            code: 1,
            message: format!("error completing debug command: {error:#}\n"),
        }),
    }
}

fn collect(server: &str, http: &HttpFlags, wanted: &[(&str, &str)]) -> anyhow::Result<()> {
    let server = Server::new(server, http, &[]).map_err(anyhow::Error::msg)?;
    let mut tar = Vec::new();
    for (path, name) in wanted {
        say(&format!("collecting: {}{path}\n", server.url()));
        let reply = server.get(path, TIMEOUT);
        let reply =
            reply.map_err(|error| anyhow::anyhow!("error executing HTTP request: {error}"))?;
        if reply.status != 200 {
            bail!("{path}: {}", reply.status_text);
        }
        push_file(&mut tar, name, &reply.body, clock::now_ms() / 1000);
    }
    // The end of an archive.
    tar.resize(tar.len() + 2 * BLOCK, 0);
    let file = std::fs::File::create(ARCHIVE).with_context(|| format!("create {ARCHIVE}"))?;
    let mut out = GzEncoder::new(file, Compression::default());
    out.write_all(&tar)?;
    out.finish()?;
    say(&format!(
        "Compiling debug information complete, all files written in {ARCHIVE:?}.\n"
    ));
    Ok(())
}

/// Appends a file to a tar archive in the format of POSIX (ustar).
fn push_file(tar: &mut Vec<u8>, name: &str, content: &[u8], t_s: i64) {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        let bytes = text.as_bytes();
        header[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, &format!("{:011o}\0", t_s.max(0)));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    header[148..156].copy_from_slice(sum.as_bytes());
    tar.extend_from_slice(&header);
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_have_whole_blocks_and_right_sums() {
        let mut tar = Vec::new();
        push_file(&mut tar, "a.txt", b"hello", 1_600_000_000);
        assert_eq!(tar.len(), 2 * BLOCK);
        assert_eq!(&tar[124..136], b"00000000005\0");
        assert_eq!(&tar[BLOCK..BLOCK + 5], b"hello");
        let written: u32 = std::str::from_utf8(&tar[148..154])
            .map(|sum| u32::from_str_radix(sum, 8).unwrap())
            .unwrap();
        let sum: u32 = tar[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
        let of_sum: u32 = tar[148..156].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(written, sum - of_sum + 8 * u32::from(b' '));
    }
}
