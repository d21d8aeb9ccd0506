//! Moving in: a file in OpenMetrics becomes blocks of a store.
//!
//! The text is read once for its times, and then once for each block, so that no more than
//! the samples of one block are held beside it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use kymo_ingest::exposition::{Entry, Format, Parser, ParserOptions, Sample};
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Labels, LabelsBuilder, TimeRange};

use super::list::{self, Numbers};
use crate::client::parse_pair;

#[derive(Debug, Args)]
pub(super) struct OpenMetricsArgs {
    /// The file; all its samples have times, and it ends with # EOF.
    #[arg(value_name = "INPUT")]
    input: PathBuf,

    /// The data directory; it is made where there is none.
    #[arg(value_name = "PATH", default_value = "data/")]
    pub(super) path: PathBuf,

    /// Label for all series, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "LABEL", value_parser = parse_pair)]
    label: Vec<(String, String)>,

    /// Print times and sizes as people read them.
    #[arg(short = 'r', long)]
    human_readable: bool,

    /// Do not print the blocks.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Times and values of a series, as the file has them.
type Points = Vec<(i64, f64)>;

/// Reads the file of `args` into the store.
pub(super) fn import(
    store: &MetricStore,
    args: &OpenMetricsArgs,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let name = args.input.display();
    let text = std::fs::read(&args.input).with_context(|| format!("open {name}"))?;
    let range = range(&text).context("getting min and max timestamp")?;
    let mut blocks = Vec::new();
    for window in range.map_or_else(Vec::new, |range| store.import_windows(range)) {
        blocks.extend(import_window(store, &text, window, &args.label)?);
    }
    if !args.quiet {
        let numbers = match args.human_readable {
            true => Numbers::Readable,
            false => Numbers::Plain,
        };
        list::blocks(&blocks, numbers, out)?;
    }
    Ok(())
}

/// Calls `each` for every sample, with its time.
fn samples(
    text: &[u8],
    mut each: impl FnMut(i64, &Sample<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for entry in Parser::new(Format::OpenMetrics, text, ParserOptions::default()) {
        if let Entry::Sample(sample) = entry.context("next")? {
            let t_ms = sample.timestamp_ms;
            let t_ms = t_ms.ok_or_else(|| anyhow!("expected timestamp for series got none"))?;
            each(t_ms, &sample)?;
        }
    }
    Ok(())
}

/// Returns the times of the oldest and the newest sample.
fn range(text: &[u8]) -> anyhow::Result<Option<TimeRange>> {
    let mut range: Option<TimeRange> = None;
    samples(text, |t_ms, _| {
        range = Some(match range {
            Some(range) => TimeRange::new(range.start_ms.min(t_ms), range.end_ms.max(t_ms)),
            None => TimeRange::new(t_ms, t_ms),
        });
        Ok(())
    })?;
    Ok(range)
}

fn import_window(
    store: &MetricStore,
    text: &[u8],
    window: TimeRange,
    extra: &[(String, String)],
) -> anyhow::Result<Option<kymo_storage::metrics::BlockInfo>> {
    let mut found: BTreeMap<Labels, Points> = BTreeMap::new();
    samples(text, |t_ms, sample| {
        if (window.start_ms..=window.end_ms).contains(&t_ms) {
            let labels = labels(sample, extra)?;
            found.entry(labels).or_default().push((t_ms, sample.value));
        }
        Ok(())
    })?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut import = store.import(window)?;
    for (labels, points) in &mut found {
        // Of two samples at one time the first stays.
        points.sort_by_key(|(t_ms, _)| *t_ms);
        points.dedup_by_key(|(t_ms, _)| *t_ms);
        let (times, values): (Vec<i64>, Vec<f64>) = points.iter().copied().unzip();
        import.series(labels.iter(), &times, &values)?;
    }
    Ok(import.finish()?)
}

/// Returns the labels of a sample with those of the command line, which stand above them.
fn labels(sample: &Sample<'_>, extra: &[(String, String)]) -> anyhow::Result<Labels> {
    let mut labels = LabelsBuilder::new();
    let read = sample.series.decode_labels(&mut labels);
    read.map_err(|error| anyhow!("{error}"))?;
    for (name, value) in extra {
        labels.set(name, value);
    }
    Ok(labels.labels())
}
