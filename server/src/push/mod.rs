//! `kymo push metrics`: the metrics of a text, sent by remote write 1.0.
//!
//! What is sent is what `promtool push metrics` sends: metrics in order of their names,
//! quantiles and buckets before sums and counts, the time of now where a line has none.

mod request;

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Parser, Subcommand};
use http::HeaderName;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::client::{HttpFlags, Server, parse_pair};
use crate::clock;
use crate::commands::{Call, PromqlFlags};
use crate::flags::{Exit, parse_duration};
use crate::rules::file::MAX_FILE_BYTES;
use crate::terminal::{complain, say};
use crate::text_format;

const MESSAGE_1: &str = "prometheus.WriteRequest";
const MESSAGE_2: &str = "io.prometheus.write.v2.Request";

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// The command line behind `kymo push`.
#[derive(Debug, Parser)]
#[command(about = "Send metrics to a server", max_term_width = 100)]
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
    /// Send the metrics of files, or of standard input, by remote write.
    #[command(after_help = "EXAMPLES:\n    \
        echo 'backup_done_seconds 1.7e9' | kymo push metrics http://localhost:9090\n    \
        kymo push metrics --label=job=backup --label=host=a http://localhost:9090 backup.prom")]
    Metrics(MetricsArgs),
}

#[derive(Debug, Args)]
struct MetricsArgs {
    /// The server.
    #[arg(value_name = "SERVER")]
    server: String,

    /// Files with metrics; default: standard input.
    #[arg(value_name = "FILE")]
    files: Vec<String>,

    /// Label for all series, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "LABEL", value_parser = parse_pair, default_value = "job=promtool")]
    label: Vec<(String, String)>,

    /// Longest time for a request.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    timeout: Duration,

    /// Header for the requests, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "HEADER", value_parser = parse_pair)]
    header: Vec<(String, String)>,

    /// Message to send.
    #[arg(
        long = "protobuf_message",
        value_name = "MESSAGE",
        default_value = MESSAGE_1
    )]
    message: String,

    /// Path of the receiver below the URL of the server.
    #[arg(
        long = "remote-write.path",
        value_name = "PATH",
        default_value = "/api/v1/write"
    )]
    path: String,
}

/// Runs a command.
///
/// # Errors
/// Help was asked for, the command line is wrong, or a text was not sent.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let line: CommandLine = call.read()?;
    let Command::Metrics(args) = &line.command;
    let failed = |message: String| Exit {
        code: 1,
        message: format!("  FAILED: {message}\n"),
    };
    if args.message == MESSAGE_2 {
        return Err(failed(format!(
            "{MESSAGE_2}: what a text holds fits into {MESSAGE_1}, which every receiver takes; \
             leave --protobuf_message out"
        )));
    }
    if args.message != MESSAGE_1 {
        return Err(failed(format!(
            "invalid protobuf message {:?}, must be {MESSAGE_1} or {MESSAGE_2}",
            args.message
        )));
    }
    let server = Server::new(&args.server, &line.http, &args.header).map_err(failed)?;
    if args.files.is_empty() {
        say("Parsing standard input\n");
        let text = read(std::io::stdin().lock()).map_err(failed)?;
        push(&server, args, &text).map_err(failed)?;
        say("  SUCCESS: metrics pushed to remote write.\n");
        return Ok(ExitCode::SUCCESS);
    }
    let mut code = ExitCode::SUCCESS;
    for name in &args.files {
        let opened = std::fs::File::open(name);
        let text = opened
            .map_err(|error| format!("open {name}: {}", crate::config::os_text(&error)))
            .and_then(read);
        if text.is_ok() {
            say(&format!("Parsing metrics file {name}\n"));
        }
        match text.and_then(|text| push(&server, args, &text)) {
            Ok(()) => say(&format!(
                "  SUCCESS: metrics file {name} pushed to remote write.\n"
            )),
            Err(message) => {
                complain(&format!("  FAILED: {message}\n"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn read(input: impl Read) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let outcome = input.take(MAX_FILE_BYTES + 1).read_to_end(&mut text);
    outcome.map_err(|error| error.to_string())?;
    match text.len() as u64 > MAX_FILE_BYTES {
        true => Err(format!("there are more than {MAX_FILE_BYTES} bytes")),
        false => Ok(text),
    }
}

fn push(server: &Server, args: &MetricsArgs, text: &[u8]) -> Result<(), String> {
    let families = text_format::read(text).map_err(|error| error.to_string())?;
    let message = request::encode(&families, &args.label, clock::now_ms());
    let mut encoder = snap::raw::Encoder::new();
    let body = encoder
        .compress_vec(&message)
        .map_err(|error| error.to_string())?;
    let headers = [
        (CONTENT_TYPE, "application/x-protobuf"),
        (CONTENT_ENCODING, "snappy"),
        (VERSION, "0.1.0"),
    ];
    let reply = server.post(&args.path, &headers, Bytes::from(body), args.timeout)?;
    match reply.status / 100 {
        2 => Ok(()),
        _ => {
            let body = String::from_utf8_lossy(&reply.body);
            let line = body.lines().next().unwrap_or_default();
            let status = &reply.status_text;
            Err(format!("server returned HTTP status {status}: {line}"))
        }
    }
}
