//! `kymo query`: asking a server that runs, with the arguments and the output of
//! `promtool query`.

mod analyze;
mod data;
mod print;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use kymo_storage::compat::time::parse_api;

use crate::client::{ApiError, HttpFlags, Server, form, parse_pair};
use crate::clock;
use crate::commands::{Call, PromqlFlags};
use crate::flags::{Exit, parse_duration};
use crate::log_client;
use crate::terminal::{complain, say};
use data::Data;
use print::Format;

/// How far `query series` and `query labels` look where no time is given, as promtool does.
const FAR_MS: i64 = 9999 * 3_600_000;

/// Steps of a range where no step is given.
const STEPS: i64 = 250;

/// The command line behind `kymo query`.
#[derive(Debug, Parser)]
#[command(
    about = "Ask a server that runs",
    max_term_width = 100,
    after_help = "EXAMPLES:\n    \
        kymo query instant http://localhost:9090 'sum by (job) (up)'\n    \
        kymo query range --start=1700000000 --step=1m http://localhost:9090 up\n    \
        kymo query -o json series --match='up{job=\"api\"}' http://localhost:9090\n\n\
        Times are RFC 3339 or seconds since 1970. SERVER may hold a name and password \
        (http://name:password@host:9090); --http.config.file has all else."
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    /// Form of the output.
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        default_value = "promql",
        global = true
    )]
    format: Format,

    #[command(flatten)]
    http: HttpFlags,

    #[command(flatten)]
    _promql: PromqlFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Evaluate an expression at a time.
    Instant(InstantArgs),
    /// Evaluate an expression over a range of time.
    Range(RangeArgs),
    /// Show the series that selectors select.
    Series(SeriesArgs),
    /// Show the values of a label.
    Labels(LabelsArgs),
    /// Show how many buckets the histograms of selectors use.
    Analyze(analyze::AnalyzeArgs),
    /// Show entries of logs, or numbers made of them.
    Logs(Box<log_client::LogsArgs>),
}

#[derive(Debug, Args)]
struct InstantArgs {
    /// The server.
    #[arg(value_name = "SERVER")]
    server: String,

    /// The expression.
    #[arg(value_name = "EXPR")]
    expr: String,

    /// The time; default: now.
    #[arg(long, value_name = "TIME")]
    time: Option<String>,

    /// Header for the request, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "HEADER", value_parser = parse_pair)]
    header: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct RangeArgs {
    /// The server.
    #[arg(value_name = "SERVER")]
    server: String,

    /// The expression.
    #[arg(value_name = "EXPR")]
    expr: String,

    /// Where the range begins; default: five minutes before its end.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,

    /// Where the range ends; default: now.
    #[arg(long, value_name = "TIME")]
    end: Option<String>,

    /// Distance of steps; default: about 250 steps.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    step: Option<Duration>,

    /// Header for the request, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "HEADER", value_parser = parse_pair)]
    header: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct SeriesArgs {
    /// The server.
    #[arg(value_name = "SERVER")]
    server: String,

    /// Selector; may be given several times.
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    matchers: Vec<String>,

    #[command(flatten)]
    times: Times,
}

#[derive(Debug, Args)]
struct LabelsArgs {
    /// The server.
    #[arg(value_name = "SERVER")]
    server: String,

    /// The label.
    #[arg(value_name = "NAME")]
    name: String,

    /// Selector; may be given several times.
    #[arg(long = "match", value_name = "SELECTOR")]
    matchers: Vec<String>,

    #[command(flatten)]
    times: Times,
}

#[derive(Debug, Args)]
struct Times {
    /// Oldest time.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,

    /// Newest time.
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
}

/// Runs a command.
///
/// # Errors
/// Help was asked for, the command line is wrong, or the query failed.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let line: CommandLine = call.read()?;
    let done = match &line.command {
        Command::Instant(args) => instant(args, &line),
        Command::Range(args) => range(args, &line),
        Command::Series(args) => series(args, &line),
        Command::Labels(args) => labels(args, &line),
        Command::Analyze(args) => analyze::run(args, &line.http),
        Command::Logs(args) => log_client::query(args, &line.http),
    };
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(message) => Err(Exit {
            code: 1,
            message: format!("{message}\n"),
        }),
    }
}

fn instant(args: &InstantArgs, line: &CommandLine) -> Result<(), String> {
    let server = connect(&args.server, line, &args.header)?;
    let at_ms = time_or(args.time.as_deref(), "evaluation", clock::now_ms())?;
    let params = [("query", args.expr.clone()), ("time", seconds(at_ms))];
    let reply = server.call("/api/v1/query", &params).map_err(query_error)?;
    say(&line.format.value(&Data::read(reply.data)?));
    Ok(())
}

fn range(args: &RangeArgs, line: &CommandLine) -> Result<(), String> {
    let server = connect(&args.server, line, &args.header)?;
    let end_ms = time_or(args.end.as_deref(), "end", clock::now_ms())?;
    let five_minutes = 300_000;
    let start_ms = time_or(args.start.as_deref(), "start", end_ms - five_minutes)?;
    if start_ms >= end_ms {
        return Err("start time is not before end time".to_owned());
    }
    let step_ms = match args.step {
        Some(step) if !step.is_zero() => i64::try_from(step.as_millis()).unwrap_or(i64::MAX),
        _ => ((end_ms - start_ms) / 1000 / STEPS).max(1) * 1000,
    };
    let params = [
        ("query", args.expr.clone()),
        ("start", seconds(start_ms)),
        ("end", seconds(end_ms)),
        ("step", seconds(step_ms)),
    ];
    let reply = server.call("/api/v1/query_range", &params);
    let reply = reply.map_err(query_error)?;
    say(&line.format.value(&Data::read(reply.data)?));
    Ok(())
}

fn series(args: &SeriesArgs, line: &CommandLine) -> Result<(), String> {
    let server = connect(&args.server, line, &[])?;
    let params = args.times.params(&args.matchers)?;
    let reply = server.call("/api/v1/series", &params);
    say(&line.format.series(reply.map_err(query_error)?.data)?);
    Ok(())
}

fn labels(args: &LabelsArgs, line: &CommandLine) -> Result<(), String> {
    let server = connect(&args.server, line, &[])?;
    let params = args.times.params(&args.matchers)?;
    let name = form(&[("", args.name.clone())]).replace('+', "%20");
    let path = format!("/api/v1/label/{}/values", name.trim_start_matches('='));
    let reply = server.call_by_url(&path, &form(&params));
    let reply = reply.map_err(query_error)?;
    for warning in &reply.warnings {
        complain(&format!("query warning: {warning}\n"));
    }
    say(&line.format.values(reply.data)?);
    Ok(())
}

impl Times {
    fn params(&self, matchers: &[String]) -> Result<Vec<(&'static str, String)>, String> {
        let now_ms = clock::now_ms();
        let start_ms = time_or(self.start.as_deref(), "start", now_ms - FAR_MS)?;
        let end_ms = time_or(self.end.as_deref(), "end", now_ms + FAR_MS)?;
        let mut params = vec![("start", seconds(start_ms)), ("end", seconds(end_ms))];
        params.extend(matchers.iter().map(|matcher| ("match[]", matcher.clone())));
        Ok(params)
    }
}

fn connect(url: &str, line: &CommandLine, headers: &[(String, String)]) -> Result<Server, String> {
    Server::new(url, &line.http, headers)
        .map_err(|error| format!("error creating API client: {error}"))
}

fn query_error(error: ApiError) -> String {
    format!("query error: {error}")
}

/// Reads a time, or takes `default` where none is given.
fn time_or(text: Option<&str>, what: &str, default: i64) -> Result<i64, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(default);
    };
    match parse_api(text) {
        Ok(instant) => Ok(instant.ms()),
        Err(_) => Err(format!(
            "error parsing {what} time: cannot parse {text:?} to a valid timestamp"
        )),
    }
}

/// Writes milliseconds as the API reads them.
fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_api() {
        assert_eq!(seconds(1_500), "1.500");
        assert_eq!(seconds(-1_500), "-1.500");
        assert_eq!(time_or(None, "end", 7), Ok(7));
        assert_eq!(time_or(Some("1.5"), "end", 7), Ok(1_500));
        assert_eq!(time_or(Some("1970-01-01T00:00:02Z"), "end", 7), Ok(2_000));
        let error = time_or(Some("x"), "end", 7).unwrap_err();
        assert_eq!(
            error,
            "error parsing end time: cannot parse \"x\" to a valid timestamp"
        );
    }
}
