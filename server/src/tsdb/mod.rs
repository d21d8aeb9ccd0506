//! `kymo tsdb`: looking into a data directory without a server, and moving in and out.
//!
//! The commands answer as those of `promtool tsdb` do, so that scripts keep working.
//! They open the directory as a server does, with its lock and the replay of its log,
//! and so refuse one that a server has open.

mod analyze;
mod create_blocks;
mod dump;
mod export;
mod import;
mod list;
mod openmetrics;
mod scrub;

use std::ffi::OsString;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use kymo_query::promql::{Features, parse_selector};
use kymo_storage::metrics::{Damage, MetricStore};
use kymo_storage::model::{Matcher, TimeRange};
use kymo_storage::{StorageError, StoreOptions, SyncPolicy};

use crate::commands::{Call, PromqlFlags};
use crate::flags::Exit;

pub(crate) use list::readable_time;

/// The command line behind `kymo tsdb`.
#[derive(Debug, Parser)]
#[command(
    about = "Look into the data directory of a stopped server, and move data in and out",
    long_about = "Look into the data directory of a stopped server, and move data in and \
        out.\n\n\
        PATH is the directory given as --storage.path, ./data unless told otherwise. A \
        server that runs holds it: stop the server first, or ask it over its API \
        (/api/v1/status/tsdb, /api/v1/query).",
    max_term_width = 100
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    promql: PromqlFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the blocks: their times, and what they hold.
    List(ListArgs),
    /// Show which labels have most values and series, and which change most.
    #[command(after_help = "EXAMPLE:\n    \
        kymo tsdb analyze --limit=5 ./data\n    \
        kymo tsdb analyze ./data head\n\n\
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
    /// Import from elsewhere: blocks of a Prometheus, OpenMetrics, an export of
    /// VictoriaMetrics.
    #[command(
        long_about = "Import from elsewhere: the blocks of a Prometheus (all of a data \
            directory, or one block), text in OpenMetrics whose samples have timestamps, or \
            the JSON lines of VictoriaMetrics' /api/v1/export. Text may be plain, gzip or \
            zstd. FROM is only read, and a Prometheus may run on it; what is in PATH stays.\n\n\
            Samples may be of any age and come in any order. Text is sorted in pieces of a \
            bounded size, in files without a name in PATH; nothing is stored before all of it \
            is read. Of two samples of a series at one time the first stays.",
        override_usage = "kymo tsdb import [--format=FORMAT] FROM [PATH]\n       \
            kymo tsdb import [--format=FORMAT] FROM... PATH",
        after_help = "EXAMPLE:\n    \
            kymo tsdb import /var/lib/prometheus ./data\n    \
            kymo tsdb import history-1.om.gz history-2.om.zst ./data\n    \
            curl -sg 'http://victoria:8428/api/v1/export?match[]={job=\"api\"}' |\n        \
            kymo tsdb import - ./data\n\n\
            An import of text that was interrupted goes on when it is run again with the same \
            input: what is stored already is counted as repeated and not stored twice.\n\n\
            The exit code is 1 where a line was refused. Everything else is stored then."
    )]
    Import(import::ImportArgs),
    /// Make blocks of something else.
    #[command(subcommand)]
    CreateBlocksFrom(CreateBlocksFrom),
    /// Export to blocks that Prometheus reads.
    #[command(after_help = "EXAMPLE:\n    \
        kymo tsdb export ./exported ./data\n    \
        promtool tsdb list ./exported")]
    Export(ExportArgs),
    /// Benchmarks of promtool, which do not exist here.
    #[command(hide = true)]
    Bench {
        /// What promtool takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Check every stored byte against its checksum.
    #[command(
        long_about = "Check every stored byte against its checksum. A damaged block is set \
            aside: its directory gets the end .damaged, and is not read any more."
    )]
    Scrub(Place),
}

#[derive(Debug, Subcommand)]
enum CreateBlocksFrom {
    /// Backfill: store what recording rules would have recorded.
    #[command(after_help = "EXAMPLE:\n    \
        kymo tsdb create-blocks-from rules --start=-7d rules/*.yml\n\n\
        Rules of a group see what the rules before them record. What the store already has \
        under the recorded names is not read; of two samples of a series at one time the \
        older block's stays.")]
    Rules(create_blocks::RulesArgs),
    /// Store the samples of a file in OpenMetrics, all of which have times.
    #[command(after_help = "EXAMPLE:\n    \
        kymo tsdb create-blocks-from openmetrics history.om ./data")]
    Openmetrics(openmetrics::OpenMetricsArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print times and sizes as people read them.
    #[arg(short = 'r', long)]
    human_readable: bool,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The directory that the blocks are written to; it is created if absent.
    #[arg(value_name = "TO")]
    to: PathBuf,

    #[command(flatten)]
    times: Times,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct AnalyzeArgs {
    /// How many entries each list has.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// What promtool shows of chunks, which have another form here.
    #[arg(long, hide = true)]
    extended: bool,

    /// Analyse only the series of this selector.
    #[arg(long = "match", value_name = "SELECTOR", value_parser = parse_matchers)]
    matchers: Option<Matchers>,

    #[command(flatten)]
    place: Place,

    /// The block, or the word head; default: the newest block.
    #[arg(value_name = "BLOCK")]
    block: Option<String>,
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
    /// Where promtool works; nothing is needed here.
    #[arg(long, value_name = "DIR", hide = true)]
    sandbox_dir_root: Option<PathBuf>,

    #[command(flatten)]
    times: Times,

    /// Series selector; may be given several times, for more series.
    #[arg(long = "match", value_name = "SELECTOR", value_parser = parse_matchers,
          default_value = "{__name__=~'(?s:.*)'}", hide_default_value = true)]
    matchers: Vec<Matchers>,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Times {
    /// Oldest time, milliseconds since 1970.
    #[arg(long, value_name = "MS", default_value_t = i64::MIN, hide_default_value = true,
          allow_negative_numbers = true)]
    min_time: i64,

    /// Newest time, milliseconds since 1970.
    #[arg(long, value_name = "MS", default_value_t = i64::MAX, hide_default_value = true,
          allow_negative_numbers = true)]
    max_time: i64,
}

impl Times {
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

/// Runs a command.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let line: CommandLine = call.read()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let done = execute(&line, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Exit {
            code: 1,
            message: format!("kymo tsdb: {error:#}\n"),
        }),
    }
}

fn execute(line: &CommandLine, out: &mut dyn Write) -> anyhow::Result<()> {
    match &line.command {
        Command::List(args) => {
            let numbers = match args.human_readable {
                true => list::Numbers::Readable,
                false => list::Numbers::Plain,
            };
            Ok(list::list(&open(&args.place.path)?, numbers, out)?)
        }
        Command::Analyze(args) => {
            if args.extended {
                bail!("--extended shows the chunks of Prometheus; leave it out");
            }
            let store = open(&args.place.path)?;
            let all = Matchers(Vec::new());
            let matchers = &args.matchers.as_ref().unwrap_or(&all).0;
            analyze::analyze(&store, args.block.as_deref(), matchers, args.limit, out)
        }
        Command::Dump(args) => {
            let select = &args.select;
            dump::dump(&open(&select.place.path)?, select, args.format, out)
        }
        Command::DumpOpenmetrics(select) => {
            let format = dump::Format::OpenMetrics;
            dump::dump(&open(&select.place.path)?, select, format, out)
        }
        Command::Import(args) => {
            let (sources, path) = args.sources_and_path()?;
            import::import(&open_or_create(path)?, path, sources, args.format, out)
        }
        Command::CreateBlocksFrom(CreateBlocksFrom::Rules(args)) => {
            create_blocks::from_rules(open(&args.path)?, args, &line.promql, out)
        }
        Command::CreateBlocksFrom(CreateBlocksFrom::Openmetrics(args)) => {
            openmetrics::import(&open_or_create(&args.path)?, args, out)
        }
        Command::Bench { .. } => bail!(
            "bench: Kymo has no benchmark of its log in the program; benches/ in its sources \
             measures the store"
        ),
        Command::Export(args) => {
            let store = open(&args.place.path)?;
            export::export(&store, args.times.range(), &args.to, out)
        }
        Command::Scrub(place) => {
            let (store, damages) = open_damaged(&place.path)?;
            scrub::scrub(&store, damages, out)
        }
    }
}

/// Opens the store in a directory, or makes one of a directory that is empty or absent.
fn open_or_create(path: &Path) -> anyhow::Result<MetricStore> {
    let is_empty = std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
    match is_empty {
        true => Ok(MetricStore::open(&StoreOptions::new(path))?.0),
        false => open(path),
    }
}

/// Opens the store in a directory that has one, and names what of it cannot be read.
pub(crate) fn open(path: &Path) -> anyhow::Result<MetricStore> {
    let (store, damages) = open_damaged(path)?;
    for damage in damages {
        // What can be read is worth more than none of it, but it is not all.
        writeln!(
            io::stderr(),
            "kymo tsdb: {} is damaged at byte {}: {}",
            damage.path.display(),
            damage.offset,
            damage.detail
        )?;
    }
    Ok(store)
}

/// Opens the store in a directory that has one, with what of it cannot be read.
fn open_damaged(path: &Path) -> anyhow::Result<(MetricStore, Vec<Damage>)> {
    // Opening creates what is not there, which nobody wants who mistyped a path.
    std::fs::metadata(path).with_context(|| format!("opening the data directory {path:?}"))?;
    if !path.join("VERSION").is_file() {
        let foreign = path.join("chunks_head").is_dir() || path.join("wal/00000000").is_file();
        let whose = match foreign {
            true => "it looks like one of Prometheus; see kymo tsdb import --help",
            false => "name the one given to the server as --storage.path",
        };
        bail!("{path:?} is no data directory of Kymo: there is no file VERSION in it; {whose}");
    }
    let mut options = StoreOptions::new(path);
    options.wal_sync = SyncPolicy::Never;
    match MetricStore::open(&options) {
        Ok((store, recovery)) => Ok((store, recovery.damages)),
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
