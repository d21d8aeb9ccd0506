//! Moving in: what others keep becomes blocks of a store.
//!
//! Blocks of a Prometheus are taken as they are. Text, which may come in any order, is
//! sorted within bounds first, and then written window by window. What the store has
//! already is not stored again, so that an import can be repeated.
//!
//! Invariant: every sample that was read is stored, repeated, or in a line that was
//! refused; the counts at the end are compared.

mod blocks;
mod input;
mod loader;
mod open_metrics;
mod run;
mod sorter;
mod tally;
mod victoria;

use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use kymo_storage::metrics::{BlockInfo, MetricStore};

use self::input::Input;
use self::loader::{Loaded, Loader};
use self::sorter::{BUDGET_BYTES, Sorter};
use self::tally::{Mistakes, Tally};
use super::list::readable_time;

/// Times that are taken: so far from the ends that windows around them have ends.
const TIMES: RangeInclusive<i64> = i64::MIN / 4..=i64::MAX / 4;

/// Where data goes where nothing is said.
const DEFAULT_PATH: &str = "data/";

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// What FROM is; told by its content where it is left out.
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,

    /// The data directory of a Prometheus, a block, or a file of text; - is standard input.
    /// The last of several words is PATH, the data directory, which is made where there is
    /// none [default: data/].
    #[arg(value_name = "FROM", required = true)]
    words: Vec<PathBuf>,
}

impl ImportArgs {
    /// Returns what is imported, and the data directory.
    pub(super) fn sources_and_path(&self) -> anyhow::Result<(&[PathBuf], &Path)> {
        match self.words.as_slice() {
            [_] => Ok((&self.words, Path::new(DEFAULT_PATH))),
            [sources @ .., path] => {
                if path.is_file() || path.as_os_str() == input::STDIN {
                    bail!("{path:?} is no data directory; name that behind the files");
                }
                Ok((sources, path))
            }
            [] => bail!("name what is to be imported"),
        }
    }
}

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Blocks of a Prometheus.
    Prometheus,
    /// OpenMetrics with timestamps.
    #[value(name = "openmetrics")]
    OpenMetrics,
    /// JSON lines of VictoriaMetrics' /api/v1/export.
    #[value(name = "victoriametrics")]
    VictoriaMetrics,
}

/// Imports `sources` into the store in the directory `path`.
pub(super) fn import(
    store: &MetricStore,
    path: &Path,
    sources: &[PathBuf],
    format: Option<Format>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut sorter = Sorter::new(path.to_owned(), store.import_window_ms(), BUDGET_BYTES);
    let mut tally = Tally::new(Mistakes::Counted);
    let mut n_texts = 0;
    for source in sources {
        match format {
            Some(Format::Prometheus) => blocks::import(store, source, out)?,
            None if source.is_dir() => blocks::import(store, source, out)?,
            _ => {
                let input = Input::open(source)?;
                let is_export = match format {
                    Some(format) => format == Format::VictoriaMetrics,
                    None => victoria::begins_like_it(&input.beginning),
                };
                n_texts += 1;
                match is_export {
                    true => victoria::read(input, &mut sorter, &mut tally)?,
                    false => open_metrics::read(input, &[], &mut sorter, &mut tally)?,
                }
            }
        }
    }
    match n_texts {
        0 => Ok(()),
        _ => report(&load(store, sorter, &mut tally)?, &tally, out),
    }
}

/// Stores the samples of one input in OpenMetrics, all or none, with the labels `extra`
/// for all its series. Returns the blocks.
pub(super) fn import_open_metrics(
    store: &MetricStore,
    path: &Path,
    source: &Path,
    extra: &[(String, String)],
) -> anyhow::Result<Vec<BlockInfo>> {
    let mut sorter = Sorter::new(path.to_owned(), store.import_window_ms(), BUDGET_BYTES);
    let mut tally = Tally::new(Mistakes::End);
    open_metrics::read(Input::open(source)?, extra, &mut sorter, &mut tally)?;
    Ok(load(store, sorter, &mut tally)?.blocks)
}

/// Stores what was sorted, and compares the counts.
fn load(store: &MetricStore, sorter: Sorter, tally: &mut Tally) -> anyhow::Result<Loaded> {
    let Some(extent) = sorter.extent() else {
        return Ok(Loaded::default());
    };
    let mut loader = Loader::new(store, extent);
    let repeated = sorter.finish(|piece| {
        tally.tell(|| {
            let start_ms = piece.points.first().map_or(0, |(t_ms, _)| *t_ms);
            format!("storing {}", readable_time(start_ms))
        });
        loader.piece(&piece)
    })?;
    let mut loaded = loader.finish()?;
    loaded.repeated += repeated;
    let (read, stored, repeated) = (tally.read(), loaded.stored, loaded.repeated);
    if read != stored + repeated {
        bail!("of {read} samples {stored} were stored and {repeated} repeated; please report this");
    }
    Ok(loaded)
}

fn report(loaded: &Loaded, tally: &Tally, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "{} samples read: {} stored in {} blocks, {} repeated; {} lines refused",
        tally.read(),
        loaded.stored,
        loaded.blocks.len(),
        loaded.repeated,
        tally.refused()
    )?;
    tally.write_refused(out)?;
    if let Some(oldest_ms) = loaded.blocks.iter().map(|block| block.min_t_ms).min() {
        writeln!(
            out,
            "The oldest sample is of {}. A server drops what is older than its \
             --storage.retention.time.",
            readable_time(oldest_ms)
        )?;
    }
    out.flush()?;
    match tally.refused() {
        0 => Ok(()),
        n_lines => bail!("{n_lines} lines were refused; everything else is stored"),
    }
}

#[cfg(test)]
mod tests;
