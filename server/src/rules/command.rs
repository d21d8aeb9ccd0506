//! `kymo rules eval`: what rules would have done over stored data, as a table.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kymo_query::rules::{AlertState, Group, GroupSettings};
use kymo_query::{Engine, EngineOptions};
use kymo_storage::compat::duration::{format_prometheus, parse_prometheus};
use kymo_storage::compat::float::g;
use kymo_storage::compat::time;
use kymo_storage::model::{Labels, LabelsBuilder, TimeRange};
use serde::Serialize;

use super::dry_run::DryRun;
use super::file::Accepted;
use crate::clock;
use crate::commands::{Call, PromqlFlags};
use crate::flags::Exit;
use crate::tsdb;

const NS_PER_MS: i64 = 1_000_000;
const DAY_MS: i64 = 86_400_000;

/// The command line behind `kymo rules`.
#[derive(Debug, Parser)]
#[command(about = "Try rules out on stored data", max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    promql: PromqlFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which alerts would have fired, and since when and until when.
    #[command(after_help = "EXAMPLE:\n    \
        kymo rules eval rules/*.yml --from=-24h\n    \
        kymo rules eval rules/*.yml --at=2026-11-20T08:00:00Z\n\n\
        Times are RFC 3339, seconds since 1970, now, or a duration before now (-24h). The \
        directory must not be in use: stop the server, or name a snapshot of it \
        (POST /api/v1/admin/tsdb/snapshot). Nothing in it is changed; what rules record is \
        kept in memory and read by the rules behind them.")]
    Eval(EvalArgs),
}

#[derive(Debug, Args)]
struct EvalArgs {
    /// Rule files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,

    /// The data directory.
    #[arg(
        long = "storage.path",
        visible_alias = "storage.tsdb.path",
        value_name = "DIR",
        default_value = "./data"
    )]
    path: PathBuf,

    /// Show the alerts of one moment.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with_all = ["from", "to"],
          allow_hyphen_values = true)]
    at: Option<Time>,

    /// Where the range begins.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "-24h",
          allow_hyphen_values = true)]
    from: Time,

    /// Where the range ends.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "now",
          allow_hyphen_values = true)]
    to: Time,

    /// Time between evaluations of groups that do not say.
    #[arg(long, value_name = "DURATION", value_parser = parse_ms, default_value = "1m")]
    eval_interval: i64,

    /// Show alerts that were only pending, too.
    #[arg(long)]
    pending: bool,

    /// How to print.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// A time on the command line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Time {
    /// Milliseconds since the epoch.
    At(i64),
    /// Milliseconds before now.
    Before(i64),
}

impl Time {
    pub(crate) fn ms(self, now_ms: i64) -> i64 {
        match self {
            Time::At(ms) => ms,
            Time::Before(ms) => now_ms.saturating_sub(ms),
        }
    }
}

pub(crate) fn parse_time(text: &str) -> Result<Time, String> {
    if text == "now" {
        return Ok(Time::Before(0));
    }
    // A number is seconds since the epoch, and durations have a unit.
    if let Ok(instant) = time::parse_api(text) {
        return Ok(Time::At(instant.ms()));
    }
    let before = text.strip_prefix('-').map(parse_prometheus);
    match before {
        Some(Ok(ns)) => Ok(Time::Before(ns / NS_PER_MS)),
        _ => Err(
            "a time is RFC 3339, seconds since 1970, now, or a duration before now such \
                  as -24h"
                .to_owned(),
        ),
    }
}

pub(crate) fn parse_ms(text: &str) -> Result<i64, String> {
    let ms = parse_prometheus(text).map_err(|error| error.to_string())? / NS_PER_MS;
    match ms {
        0 => Err("1ms or more".to_owned()),
        ms => Ok(ms),
    }
}

/// Runs a command.
///
/// # Errors
/// Help was asked for, the command line is wrong, or the rules or the data cannot be read.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let CommandLine { command, promql } = call.read()?;
    let Command::Eval(args) = command;
    let failed = |message: String| Exit {
        code: 1,
        message: format!("kymo rules eval: {message}\n"),
    };
    let store = tsdb::open(&args.path).map_err(|error| failed(format!("{error:#}")))?;
    let features = promql.features();
    let accepted = Accepted {
        promql: features,
        ..Accepted::default()
    };
    let defaults = GroupSettings {
        interval_ms: args.eval_interval,
        ..GroupSettings::default()
    };
    let engine = Engine::new(EngineOptions {
        enable: features,
        ..EngineOptions::default()
    });
    let dry_run = DryRun::new(&args.files, &accepted, &defaults, engine, store)
        .map_err(|mistakes| failed(mistakes.join("\n")))?;
    let now_ms = clock::now_ms();
    let (from_ms, to_ms) = match args.at {
        Some(at) => {
            let at_ms = at.ms(now_ms);
            (at_ms, at_ms)
        }
        None => (args.from.ms(now_ms), args.to.ms(now_ms)),
    };
    if to_ms < from_ms {
        return Err(failed("--to is before --from".to_owned()));
    }
    let report = evaluate(&dry_run, from_ms, to_ms, args.at.is_some());
    let text = match args.format {
        Format::Table => report.table(args.pending),
        Format::Json => {
            serde_json::to_string_pretty(&report).map_err(|error| failed(error.to_string()))? + "\n"
        }
    };
    // Nobody is left to tell when the terminal itself is gone.
    let _gone = io::stdout().write_all(text.as_bytes());
    Ok(match report.failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What the rules would have done.
#[derive(Debug, Default, Serialize)]
struct Report {
    from_ms: i64,
    to_ms: i64,
    evaluations: u64,
    recorded_samples: u64,
    alerts: Vec<Episode>,
    /// What failed, and how often.
    failures: BTreeMap<String, u64>,
}

/// One time that an alert was active.
#[derive(Debug, Clone, Serialize)]
struct Episode {
    alert: String,
    labels: String,
    since_ms: i64,
    /// When it began to fire, if it did.
    fired_ms: Option<i64>,
    /// When it was over, if it was before the end of the range.
    until_ms: Option<i64>,
    value: f64,
    annotations: BTreeMap<String, String>,
}

/// Evaluates the groups. A moment is the end of a range that is long enough for alerts to
/// be as they were; of it only what is active at its end is told.
fn evaluate(dry_run: &DryRun, from_ms: i64, to_ms: i64, is_moment: bool) -> Report {
    let warm_up_ms = match is_moment {
        true => dry_run.memory_ms().saturating_add(DAY_MS / 24),
        false => 0,
    };
    let mut report = Report {
        from_ms,
        to_ms,
        ..Report::default()
    };
    let range = TimeRange::new(from_ms.saturating_sub(warm_up_ms), to_ms);
    let mut active: BTreeMap<(usize, usize, Labels), Episode> = BTreeMap::new();
    dry_run.run(range, |at, t_ms, outcomes| {
        let Some(group) = dry_run.groups().get(at) else {
            return;
        };
        report.evaluations += outcomes.len() as u64;
        for (rule, outcome) in group.rules().iter().zip(&outcomes) {
            match outcome {
                Ok(samples) if rule.alert_settings().is_none() => {
                    report.recorded_samples += *samples as u64;
                }
                Ok(_) => {}
                Err(error) => {
                    let text = format!("{}: rule {}: {error}", group.file(), rule.name());
                    *report.failures.entry(text).or_default() += 1;
                }
            }
        }
        note_alerts(at, group, t_ms, &mut active, &mut report.alerts);
    });
    if is_moment {
        report.alerts.clear();
    }
    report.alerts.extend(active.into_values());
    let order = |episode: &Episode| {
        (
            episode.since_ms,
            episode.alert.clone(),
            episode.labels.clone(),
        )
    };
    report.alerts.sort_by_key(order);
    report
}

/// Compares the alerts of a group with those of the evaluation before.
fn note_alerts(
    at: usize,
    group: &Group,
    t_ms: i64,
    active: &mut BTreeMap<(usize, usize, Labels), Episode>,
    over: &mut Vec<Episode>,
) {
    let mut seen = BTreeMap::new();
    for (number, rule) in group.rules().iter().enumerate() {
        for alert in rule.active_alerts() {
            let fired = (alert.state == AlertState::Firing).then_some(alert.fired_at_ns);
            let episode = Episode {
                alert: rule.name().to_owned(),
                labels: shown_labels(&alert.labels),
                since_ms: alert.active_at_ns / NS_PER_MS,
                fired_ms: fired.flatten().map(|ns| ns / NS_PER_MS),
                until_ms: None,
                value: alert.value,
                annotations: alert.annotations.iter().cloned().collect(),
            };
            seen.insert((at, number, alert.labels), episode);
        }
    }
    active.retain(|key, episode| {
        let goes_on = key.0 != at
            || seen
                .get(key)
                .is_some_and(|now| now.since_ms == episode.since_ms);
        if !goes_on {
            let mut done = episode.clone();
            done.until_ms = Some(t_ms);
            over.push(done);
        }
        goes_on
    });
    active.extend(seen);
}

/// Prints labels without the name of the alert, which has a column of its own.
fn shown_labels(labels: &Labels) -> String {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.remove("alertname");
    builder.labels().to_string()
}

impl Report {
    fn table(&self, with_pending: bool) -> String {
        let fired = |episode: &&Episode| episode.fired_ms.is_some();
        let n_fired = self.alerts.iter().filter(fired).count();
        let n_pending = self.alerts.len() - n_fired;
        let mut rows =
            vec![["ALERT", "STATE", "SINCE", "UNTIL", "FOR", "VALUE", "LABELS"].map(str::to_owned)];
        let shown = self
            .alerts
            .iter()
            .filter(|one| with_pending || one.fired_ms.is_some());
        rows.extend(shown.map(|episode| {
            let since_ms = episode.fired_ms.unwrap_or(episode.since_ms);
            let until_ms = episode.until_ms.unwrap_or(self.to_ms);
            let lasted = until_ms.saturating_sub(since_ms).saturating_mul(NS_PER_MS);
            [
                episode.alert.clone(),
                match episode.fired_ms {
                    Some(_) => "firing".to_owned(),
                    None => "pending".to_owned(),
                },
                tsdb::readable_time(since_ms),
                match episode.until_ms {
                    Some(ms) => tsdb::readable_time(ms),
                    None => "still".to_owned(),
                },
                format_prometheus(lasted),
                g(episode.value),
                episode.labels.clone(),
            ]
        }));
        let mut text = String::new();
        if rows.len() > 1 {
            let widths: Vec<usize> = (0..7)
                .map(|column| {
                    rows.iter()
                        .map(|row| row[column].chars().count())
                        .max()
                        .unwrap_or(0)
                })
                .collect();
            for row in &rows {
                let mut line = String::new();
                for (cell, width) in row.iter().zip(&widths) {
                    line.push_str(&format!("{cell:<width$}  "));
                }
                text.push_str(line.trim_end());
                text.push('\n');
            }
            text.push('\n');
        }
        let hint = match n_pending > 0 && !with_pending {
            true => " (--pending shows them)",
            false => "",
        };
        text.push_str(&format!(
            "{n_fired} alerts fired, {n_pending} were only pending{hint}; {} samples recorded in \
             {} evaluations of rules from {} to {}.\n",
            self.recorded_samples,
            self.evaluations,
            tsdb::readable_time(self.from_ms),
            tsdb::readable_time(self.to_ms)
        ));
        for (failure, times) in &self.failures {
            text.push_str(&format!("FAILED {times} times: {failure}\n"));
        }
        text
    }
}
