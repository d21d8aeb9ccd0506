//! `create-blocks-from openmetrics`: as promtool's, an import that stores all or nothing.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use kymo_storage::metrics::MetricStore;

use super::import;
use super::list::{self, Numbers};
use crate::client::parse_pair;

#[derive(Debug, Args)]
pub(super) struct OpenMetricsArgs {
    /// The file, or - for standard input; all its samples have times, and it ends with
    /// # EOF.
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

/// Reads the file of `args` into the store.
pub(super) fn import(
    store: &MetricStore,
    args: &OpenMetricsArgs,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let blocks = import::import_open_metrics(store, &args.path, &args.input, &args.label)
        .context("block creation")?;
    if !args.quiet {
        let numbers = match args.human_readable {
            true => Numbers::Readable,
            false => Numbers::Plain,
        };
        list::blocks(&blocks, numbers, out)?;
    }
    Ok(())
}
