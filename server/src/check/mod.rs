//! `kymo check`: whether files are right, before a server reads them, and whether a server
//! is well.
//!
//! Output and exit codes are those of `promtool check`: what succeeded goes to standard
//! output, what failed to standard error; 0 where all is right, 1 where a file is wrong,
//! 3 where `--lint-fatal` is given and something is only suspicious. Below a mistake
//! stands the line of the file with a marker under the place; `--format=json` has the same
//! for machines.

mod config;
pub(crate) mod excerpt;
mod expression;
mod lint;
mod metrics;
mod pipeline;
pub(crate) mod references;
mod report;
mod rules;
mod server;
mod service_discovery;
mod web_config;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::commands::{Call, PromqlFlags};
use crate::flags::{Exit, parse_duration};

/// The command line behind `kymo check`.
#[derive(Debug, Parser)]
#[command(
    about = "Check files before a server reads them, and servers that run",
    max_term_width = 100
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    /// How far the server's queries look back for the newest sample; intervals of scrapes
    /// that are longer are suspicious.
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = parse_duration,
        global = true
    )]
    lookback: Duration,

    #[command(flatten)]
    promql: PromqlFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check configuration files, and the files that they name.
    #[command(after_help = "EXAMPLES:\n    \
        kymo check config prometheus.yml\n    \
        kymo check config --lint=all --lint-fatal --format=json prometheus.yml\n\n\
        Rule files, files of targets, certificates, keys and credentials that a \
        configuration names are checked, too. Exit code 1: a file is wrong; 3: a lint found \
        something, with --lint-fatal.")]
    Config(config::ConfigArgs),
    /// Check rule files; without FILE, standard input.
    #[command(after_help = "EXAMPLE:\n    \
        kymo check rules rules/*.yml\n    \
        kymo check rules --lint=all --format=json rules/*.yml\n\n\
        Lints: duplicate-rules (two rules with one name and equal labels), raw-counter (a \
        counter compared or alerted on without rate or increase), unused-label (a template \
        reads a label that the expression takes away), no-for (an alert fires on one bad \
        sample). Exit code 1: a file is wrong; 3: a lint found something, with --lint-fatal.")]
    Rules(rules::RulesArgs),
    /// Check web configuration files: TLS, passwords, headers.
    #[command(after_help = "EXAMPLE:\n    \
        kymo check web-config web.yml")]
    WebConfig(web_config::WebConfigArgs),
    /// Check the style of metrics in standard input.
    #[command(after_help = "EXAMPLES:\n    \
        curl -s http://localhost:9100/metrics | kymo check metrics\n    \
        curl -s http://localhost:9100/metrics | kymo check metrics --extended --lint=none\n\n\
        Exit code 1: the text cannot be read; 3: something is bad style.")]
    Metrics(metrics::MetricsArgs),
    /// Check whether a server lives.
    #[command(after_help = "EXAMPLE:\n    \
        kymo check healthy --url=http://localhost:9090")]
    Healthy(server::ServerArgs),
    /// Check whether a server answers queries.
    #[command(after_help = "EXAMPLE:\n    \
        kymo check ready --url=http://localhost:9090")]
    Ready(server::ServerArgs),
    /// Run lines through the stages of a job that follows logs, and show what each does.
    #[command(after_help = "EXAMPLES:\n    \
        kymo check pipeline --config.file=kymo.yml --job=app app.log\n    \
        tail -n 100 app.log | kymo check pipeline --logs.promtail-config=promtail.yaml \
        --job=app --only=scrub\n    \
        kymo check pipeline --scrub=email,card --json-key=user app.log\n\n\
        Nothing is stored. Lines that begin with + and - show what a stage adds and removes; \
        what leaves the pipeline follows =. Counters and metrics of stages stand at the end.")]
    Pipeline(pipeline::PipelineArgs),
    /// Find the targets of a job, and show their labels before and after relabelling.
    #[command(after_help = "EXAMPLE:\n    \
        kymo check service-discovery prometheus.yml node")]
    ServiceDiscovery(service_discovery::DiscoveryArgs),
}

/// Runs a command.
///
/// # Errors
/// Help was asked for, the command line is wrong, or there is nothing to check.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let program = call.program;
    let line: CommandLine = call.read()?;
    let promql = &line.promql;
    match &line.command {
        Command::Config(args) => config::check(args, line.lookback, program, promql),
        Command::Rules(args) => Ok(rules::check(args, program, promql)),
        Command::WebConfig(args) => Ok(web_config::check(args)),
        Command::Metrics(args) => metrics::check(args),
        Command::Pipeline(args) => pipeline::check(args),
        Command::Healthy(args) => server::check(args, "/-/healthy"),
        Command::Ready(args) => server::check(args, "/-/ready"),
        Command::ServiceDiscovery(args) => service_discovery::check(args),
    }
}
