//! Backfilling: what recording rules would have recorded in a range of time that is over
//! becomes blocks of the store.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use kymo_query::rules::{Group, GroupSettings};
use kymo_query::{Engine, EngineOptions, SampleBuf, SelectHints, Source};
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Labels, TimeRange};

use crate::clock;
use crate::commands::PromqlFlags;
use crate::rules::command::{Time, parse_ms, parse_time};
use crate::rules::dry_run::DryRun;
use crate::rules::file::Accepted;

#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    /// Rule files; alerting rules in them are passed over.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,

    /// Where the range begins: RFC 3339, seconds since 1970, or a duration before now (-7d).
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    start: Time,

    /// Where the range ends; the last three hours are what a server records itself.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "-3h",
          allow_hyphen_values = true)]
    end: Time,

    /// Time between evaluations of groups that do not say.
    #[arg(long, value_name = "DURATION", value_parser = parse_ms, default_value = "1m")]
    eval_interval: i64,

    /// The data directory.
    #[arg(
        long = "storage.path",
        visible_alias = "output-dir",
        value_name = "DIR",
        default_value = "./data"
    )]
    pub(super) path: std::path::PathBuf,
}

/// Evaluates the rules and imports what they recorded.
pub(super) fn from_rules(
    store: MetricStore,
    args: &RulesArgs,
    promql: &PromqlFlags,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
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
    let dry_run = match DryRun::recording_only(&args.files, &accepted, &defaults, engine, store) {
        Ok(dry_run) => dry_run,
        Err(mistakes) => bail!("{}", mistakes.join("\n")),
    };
    let now_ms = clock::now_ms();
    let range = TimeRange::new(args.start.ms(now_ms), args.end.ms(now_ms));
    if range.end_ms < range.start_ms {
        bail!("--end is before --start");
    }
    let mut failure = None;
    dry_run.run(range, |at, t_ms, outcomes| {
        let group = dry_run.groups().get(at).map_or("", Group::name);
        for error in outcomes.into_iter().filter_map(Result::err) {
            failure.get_or_insert_with(|| format!("group {group} at {t_ms} ms: {error}"));
        }
    });
    // Half of a history is worse than none: it cannot be told from data that is not there.
    if let Some(failure) = failure {
        bail!("nothing is stored, because a rule failed: {failure}");
    }
    let data = dry_run.data();
    let written = data.written.select(&[], range, &SelectHints::default())?;
    let mut order: Vec<(Labels, usize)> = (0..written.len())
        .map(|index| (written.labels(index), index))
        .collect();
    order.sort();
    let (mut samples, mut n_samples) = (SampleBuf::default(), 0);
    for window in data.store().import_windows(range) {
        let mut import = data.store().import(window)?;
        for (labels, index) in &order {
            written.read(*index, &mut samples)?;
            let from = samples.timestamps.partition_point(|&t| t < window.start_ms);
            let to = samples.timestamps.partition_point(|&t| t <= window.end_ms);
            if from < to {
                import.series(
                    labels.iter(),
                    &samples.timestamps[from..to],
                    &samples.values[from..to],
                )?;
                n_samples += to - from;
            }
        }
        import.finish()?;
    }
    writeln!(out, "{} series, {n_samples} samples", order.len())?;
    Ok(())
}
