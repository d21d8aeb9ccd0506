//! Flags of Prometheus that mean nothing here.

use clap::Arg;
use clap::builder::ArgAction;

/// Flags that set Prometheus up in ways that do not exist here. They are taken, so that
/// its command lines and container images start, and each is named in a warning.
#[rustfmt::skip]
pub(super) const IGNORED: [(&str, Takes, &str); 25] = [
    ("storage.tsdb.no-lockfile", Takes::Switch, "the data directory is always locked; the lock goes with the process"),
    ("storage.tsdb.min-block-duration", Takes::Value, "blocks begin with 2h"),
    ("storage.tsdb.max-block-duration", Takes::Value, "blocks grow to 24h"),
    ("storage.tsdb.max-block-chunk-segment-size", Takes::Value, "the data of a block is one file"),
    ("storage.tsdb.allow-overlapping-blocks", Takes::Switch, "overlapping blocks are always allowed"),
    ("storage.tsdb.allow-overlapping-compaction", Takes::Switch, "overlapping blocks are always merged"),
    ("storage.tsdb.wal-compression", Takes::Switch, "the log is written in a compact form of its own"),
    ("storage.tsdb.wal-compression-type", Takes::Value, "the log is written in a compact form of its own"),
    ("storage.tsdb.wal-segment-size", Takes::Value, "segments of the log have a fixed size"),
    ("storage.tsdb.head-chunks-write-queue-size", Takes::Value, "there is no such queue"),
    ("storage.tsdb.samples-per-chunk", Takes::Value, "the length of chunks follows from the data"),
    ("storage.tsdb.block-reload-interval", Takes::Value, "blocks are known as soon as they are written"),
    ("storage.tsdb.delay-compact-file.path", Takes::Value, "nothing waits for uploads of blocks"),
    ("storage.tsdb.delayed-compaction.max-percent", Takes::Value, "blocks are merged one at a time, beside queries"),
    ("scrape.adjust-timestamps", Takes::Switch, "times of scrapes are always aligned, by 2ms at most"),
    ("scrape.timestamp-tolerance", Takes::Value, "times of scrapes are always aligned, by 2ms at most"),
    ("alertmanager.timeout", Takes::Value, "set timeout of the Alertmanager in the configuration, as in Prometheus 3"),
    ("web.console.templates", Takes::Value, "there are no consoles"),
    ("web.console.libraries", Takes::Value, "there are no consoles"),
    ("web.user-assets", Takes::Value, "there is no web interface"),
    ("web.page-title", Takes::Value, "there is no web interface"),
    ("auto-gomaxprocs", Takes::Switch, "there are as many threads as cores that the process may use"),
    ("auto-gomemlimit", Takes::Switch, "memory is bounded by --memory.limit"),
    ("auto-gomemlimit.refresh-interval", Takes::Value, "memory is bounded by --memory.limit"),
    ("auto-gomemlimit.ratio", Takes::Value, "memory is bounded by --memory.limit"),
];

/// What stands behind an ignored flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, or `=true` and `=false`.
    Switch,
    /// Anything.
    Value,
}

/// Adds the flags that are ignored to a command line. Help does not show them.
pub(super) fn with_ignored(command: clap::Command) -> clap::Command {
    let flags = IGNORED.iter();
    flags.fold(command, |command, &(name, takes, _)| {
        command.arg(argument(name, takes).hide(true))
    })
}

/// Returns the argument of a flag whose value nobody reads.
pub(super) fn argument(name: &'static str, takes: Takes) -> Arg {
    let arg = Arg::new(name).long(name).action(ArgAction::Set);
    match takes {
        Takes::Value => arg.value_name("VALUE"),
        Takes::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .value_parser(["true", "false"])
            .default_value("false")
            .default_missing_value("true"),
    }
}
