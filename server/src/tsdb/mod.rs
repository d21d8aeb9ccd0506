//! `kymo tsdb`: looking into a data directory without a server.
//!
//! The commands answer as those of `promtool tsdb` do, so that scripts keep working.
//! They open the directory as a server does, with its lock and the replay of its log,
//! and so refuse one that a server has open.

mod analyze;
mod dump;

use std::ffi::OsString;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use kymo_query::promql::{Features, parse_selector};
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Matcher, TimeRange};
use kymo_storage::{StorageError, StoreOptions, SyncPolicy};

use crate::flags::{Exit, exit};

/// The command line behind `kymo tsdb`.
#[derive(Debug, Parser)]
#[command(
    name = "kymo tsdb",
    bin_name = "kymo tsdb",
    about = "Look into the data directory of a stopped server",
    long_about = "Look into the data directory of a stopped server.\n\n\
        PATH is the directory given as --storage.path, ./data unless told otherwise. A \
        server that runs holds it: stop the server first, or ask it over its API \
        (/api/v1/status/tsdb, /api/v1/query).",
    max_term_width = 100
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which labels have most values and series, and which change most.
    #[command(after_help = "EXAMPLE:\n    \
        kymo tsdb analyze --limit=5 ./data\n\n\
        A label pair is involved in churning as often as its series cover the whole time \
        not at all: two series that each cover half of it count as one.")]
    Analyze(AnalyzeArgs),
    /// Print samples, one a line: {labels} value milliseconds.
    #[command(after_help = "EXAMPLE:\n    \
        kymo tsdb dump --match='{job=\"api\"}' --min-time=1700000000000 ./data")]
    Dump(DumpArgs),
    /// Print samples in the format of OpenMetrics, which `promtool tsdb create-blocks-from
    /// openmetrics` reads.
    DumpOpenmetrics(SelectArgs),
}

#[derive(Debug, Args)]
struct AnalyzeArgs {
    /// How many entries each list has.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// Analyse only the series of this selector.
    #[arg(long = "match", value_name = "SELECTOR", value_parser = parse_matchers)]
    matchers: Option<Matchers>,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct DumpArgs {
    /// What is printed: samples (prom), or the labels of each series (seriesjson).
    #[arg(long, value_name = "FORMAT", default_value = "prom")]
    format: dump::Format,

    #[command(flatten)]
    select: SelectArgs,
}

#[derive(Debug, Args)]
struct SelectArgs {
    /// Oldest time, milliseconds since 1970.
    #[arg(long, value_name = "MS", default_value_t = i64::MIN, hide_default_value = true,
          allow_negative_numbers = true)]
    min_time: i64,

    /// Newest time, milliseconds since 1970.
    #[arg(long, value_name = "MS", default_value_t = i64::MAX, hide_default_value = true,
          allow_negative_numbers = true)]
    max_time: i64,

    /// Series selector; may be given several times, for more series.
    #[arg(long = "match", value_name = "SELECTOR", value_parser = parse_matchers,
          default_value = "{__name__=~'(?s:.*)'}", hide_default_value = true)]
    matchers: Vec<Matchers>,

    #[command(flatten)]
    place: Place,
}

impl SelectArgs {
    fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time, self.max_time)
    }
}

#[derive(Debug, Args)]
struct Place {
    /// The data directory.
    #[arg(value_name = "PATH", default_value = "data/")]
    path: PathBuf,
}

/// What a selector says; a type of its own, because a list means something else to clap.
#[derive(Debug, Clone)]
struct Matchers(Vec<Matcher>);

fn parse_matchers(text: &str) -> Result<Matchers, String> {
    let matchers = parse_selector(text, &Features::default());
    matchers.map(Matchers).map_err(|error| error.to_string())
}

/// Runs a command; `args` are what stands behind `kymo tsdb`.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Exit> {
    let args = std::iter::once(OsString::from("kymo tsdb")).chain(args);
    let CommandLine { command } =
        CommandLine::try_parse_from(args).map_err(|error| exit(&error))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let done = execute(&command, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Exit {
            code: 1,
            message: format!("kymo tsdb: {error:#}\n"),
        }),
    }
}

fn execute(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Analyze(args) => {
            let store = open(&args.place.path)?;
            let all = Matchers(Vec::new());
            let matchers = args.matchers.as_ref().unwrap_or(&all);
            analyze::head(&store, &matchers.0, args.limit, out)
        }
        Command::Dump(args) => {
            let select = &args.select;
            dump::dump(&open(&select.place.path)?, select, args.format, out)
        }
        Command::DumpOpenmetrics(select) => {
            let format = dump::Format::OpenMetrics;
            dump::dump(&open(&select.place.path)?, select, format, out)
        }
    }
}

/// Opens the store in a directory that has one.
fn open(path: &Path) -> anyhow::Result<MetricStore> {
    // Opening creates what is not there, which nobody wants who mistyped a path.
    std::fs::metadata(path).with_context(|| format!("opening the data directory {path:?}"))?;
    if !path.join("VERSION").is_file() {
        let foreign = path.join("chunks_head").is_dir() || path.join("wal/00000000").is_file();
        let whose = match foreign {
            true => "it looks like one of Prometheus; use promtool tsdb",
            false => "name the one given to the server as --storage.path",
        };
        bail!("{path:?} is no data directory of Kymo: there is no file VERSION in it; {whose}");
    }
    let mut options = StoreOptions::new(path);
    options.wal_sync = SyncPolicy::Never;
    match MetricStore::open(&options) {
        Ok((store, recovery)) => {
            for damage in recovery.damages {
                let (file, offset) = (damage.path.display(), damage.offset);
                let detail = damage.detail;
                // What can be read is worth more than none of it, but it is not all.
                writeln!(
                    io::stderr(),
                    "kymo tsdb: {file} is damaged at byte {offset}, {} bytes are left out: {detail}",
                    damage.lost_bytes
                )?;
            }
            Ok(store)
        }
        Err(StorageError::Locked { path }) => bail!(
            "the data directory {path:?} is in use by a server; stop the server first, or ask \
             it over its API"
        ),
        Err(error) => Err(anyhow::Error::new(error)),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
