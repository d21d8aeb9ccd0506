//! The command line: Prometheus' flag names, one table.
//!
//! `kymo` and `kymo serve` start the server; the other commands have command lines of
//! their own. Switches are written `--x`, `--no-x` or `--x=true|false`; everything else
//! is [`Flags`], which has one struct for each group of `--help`. A flag belongs to the
//! group whose code reads it.

mod agent;
mod config;
mod features;
mod ignored;
mod log_queries;
mod logs;
mod query;
mod remote_read;
mod rules;
mod scrape;
mod storage;
mod tailing;
mod values;
mod web;

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use kymo_ingest::remote_write::Extras;
use kymo_ingest::scrape::ScrapeFeatures;
use kymo_query::EngineOptions;
use kymo_query::promql::Features;

use crate::rules::RuleOptions;
use ignored::{IGNORED, with_ignored};

pub(crate) use features::{
    DELAYED_NAME_REMOVAL, Fate, closest as closest_feature, fate, has as has_feature,
    promql_features,
};
pub(crate) use log_queries::LogQueryFlags;
pub(crate) use storage::WalSync;
pub(crate) use tailing::TailingFlags;
pub(crate) use values::parse_duration;

/// Everything that can be set on the command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kymo",
    version,
    about = "Metrics in one binary: scrapes, receives, stores and queries like Prometheus",
    override_usage = "kymo [serve] [--FLAG=VALUE ...]\n       kymo COMMAND [--FLAG=VALUE ...] [ARGUMENT ...]",
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) config: config::ConfigFlags,

    #[command(flatten)]
    pub(crate) storage: storage::StorageFlags,

    #[command(flatten)]
    pub(crate) logs: logs::LogFlags,

    #[command(flatten)]
    pub(crate) web: web::WebFlags,

    #[command(flatten)]
    pub(crate) query: query::QueryFlags,

    #[command(flatten)]
    pub(crate) log_queries: LogQueryFlags,

    #[command(flatten)]
    pub(crate) tailing: tailing::TailingFlags,

    #[command(flatten)]
    pub(crate) remote_read: remote_read::RemoteReadFlags,

    #[command(flatten)]
    pub(crate) rules: rules::RuleFlags,

    #[command(flatten)]
    pub(crate) scrape: scrape::ScrapeFlags,

    /// Feature to switch on, or a list with commas; default: none (names: docs/compatibility.md).
    #[arg(
        long = "enable-feature",
        value_name = "FEATURE",
        value_delimiter = ',',
        help_heading = "Features and logs"
    )]
    pub(crate) features: Vec<String>,

    /// Least severe messages that are logged.
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "info",
        help_heading = "Features and logs"
    )]
    pub(crate) log_level: LogLevel,

    /// Form of log messages.
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        default_value = "logfmt",
        help_heading = "Features and logs"
    )]
    pub(crate) log_format: LogFormat,

    /// All flags with the values in force, sorted by name.
    #[arg(skip)]
    pub(crate) table: Vec<(String, String)>,

    /// Flags of Prometheus that were given and change nothing, with the reason.
    #[arg(skip)]
    pub(crate) ignored: Vec<(String, &'static str)>,
}

/// Values of `--log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Values of `--log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Logfmt,
    Json,
}

/// The program is to end before it did anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code: 0 help and version, 1 unknown flag, 2 wrong value, 3 agent mode.
    pub(crate) code: u8,
    /// What to print, to standard output with code 0 and standard error otherwise.
    pub(crate) message: String,
}

impl Flags {
    /// Reads the command line, program name first.
    ///
    /// # Errors
    /// Help was asked for, or a flag is unknown or has a wrong value.
    pub(crate) fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Flags, Exit> {
        let matches = command()
            .try_get_matches_from(normalise(args))
            .map_err(|error| exit(&error))?;
        agent::refuse(&matches)?;
        let mut flags = Flags::from_arg_matches(&matches).map_err(|error| exit(&error))?;
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        flags.table = table(&matches);
        flags.storage.has_retention_time = given("retention_time");
        flags.ignored = IGNORED
            .iter()
            .filter(|(name, ..)| given(name))
            .map(|&(name, _, reason)| (format!("--{name}"), reason))
            .collect();
        Ok(flags)
    }

    /// Returns the configuration file; an empty name is none.
    pub(crate) fn config_file(&self) -> Option<&Path> {
        self.config.file()
    }

    /// Returns how rules are evaluated.
    pub(crate) fn rule_options(&self) -> RuleOptions {
        let is_concurrent = has_feature(&self.features, features::CONCURRENT_RULES);
        RuleOptions {
            restore: self.rules.restore_options(),
            resend_delay_ms: self.rules.resend_delay_ms(),
            concurrency: is_concurrent.then_some(self.rules.max_concurrent_rules),
            query_timeout: self.query.timeout,
        }
    }

    /// Returns how many exemplars are kept where the configuration says `configured`.
    pub(crate) fn max_exemplars(&self, configured: u64) -> usize {
        match has_feature(&self.features, features::EXEMPLARS) {
            true => usize::try_from(configured).unwrap_or(usize::MAX),
            false => 0,
        }
    }

    /// Returns what scraping does differently.
    pub(crate) fn scrape_features(&self) -> ScrapeFeatures {
        ScrapeFeatures {
            start_zero_samples: has_feature(&self.features, features::START_ZEROS),
            type_and_unit_labels: has_feature(&self.features, features::TYPE_AND_UNIT_LABELS),
        }
    }

    /// Returns the parts of PromQL that are switched on.
    pub(crate) fn promql_features(&self) -> Features {
        promql_features(&self.features)
    }

    /// Tells whether samples are counted by step for clients that want that.
    pub(crate) fn counts_per_step(&self) -> bool {
        has_feature(&self.features, features::PER_STEP_STATS)
    }

    /// Tells whether delta values of OTLP are stored as they are.
    pub(crate) fn stores_deltas(&self) -> bool {
        has_feature(&self.features, features::NATIVE_DELTAS)
    }

    /// Returns what is made of pushed samples besides.
    pub(crate) fn push_extras(&self) -> Extras {
        Extras {
            start_zeros: has_feature(&self.features, features::START_ZEROS),
            type_and_unit_labels: has_feature(&self.features, features::TYPE_AND_UNIT_LABELS),
        }
    }

    /// Returns how queries are evaluated.
    pub(crate) fn engine_options(&self) -> EngineOptions {
        let lookback_ms = self.query.lookback_delta.as_millis();
        EngineOptions {
            lookback_delta_ms: i64::try_from(lookback_ms).unwrap_or(i64::MAX),
            max_samples: self.query.max_samples,
            enable: self.promql_features(),
            delayed_name_removal: has_feature(&self.features, DELAYED_NAME_REMOVAL),
            ..EngineOptions::default()
        }
    }

    /// Returns the features that were asked for with what becomes of each; `None` where
    /// nobody knows it.
    pub(crate) fn feature_fates(&self) -> impl Iterator<Item = (&str, Option<Fate>)> {
        let given = self.features.iter().filter(|name| !name.is_empty());
        given.map(|name| (name.as_str(), features::fate(name)))
    }
}

/// Returns why a flag of Prometheus, without its dashes, has no effect, where it has none.
pub(crate) fn ignored_reason(name: &str) -> Option<&'static str> {
    let found = IGNORED.iter().find(|(known, ..)| *known == name);
    found.map(|(.., reason)| *reason)
}

/// Tells whether a name behind `--enable-feature` is known.
pub(crate) fn is_feature(name: &str) -> bool {
    features::fate(name).is_some()
}

/// Returns the command line with the flags that are ignored.
pub(crate) fn command() -> clap::Command {
    agent::with_agent(with_ignored(Flags::command()))
}

/// Drops the word `serve` and turns `--no-x` of a switch into `--x=false`.
fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let command = command();
    let switches: Vec<&str> = command
        .get_arguments()
        .filter(|arg| arg.get_default_values().iter().any(is_bool))
        .filter_map(clap::Arg::get_long)
        .collect();
    let mut normal = Vec::new();
    for (i, arg) in args.into_iter().enumerate() {
        if i == 1 && arg == "serve" {
            continue;
        }
        let switched_off = arg
            .to_str()
            .and_then(|arg| arg.strip_prefix("--no-"))
            .filter(|name| switches.contains(name));
        match switched_off {
            Some(name) => normal.push(OsString::from(format!("--{name}=false"))),
            None => normal.push(arg),
        }
    }
    normal
}

fn is_bool(value: &clap::builder::OsStr) -> bool {
    *value == *"true" || *value == *"false"
}

fn table(matches: &clap::ArgMatches) -> Vec<(String, String)> {
    let mut table: Vec<(String, String)> = Flags::command()
        .get_arguments()
        .filter_map(|arg| {
            let name = arg.get_long()?;
            let values: Vec<String> = matches
                .try_get_raw(arg.get_id().as_str())
                .ok()?
                .into_iter()
                .flatten()
                .map(|value| value.to_string_lossy().into_owned())
                .collect();
            Some((name.to_owned(), values.join(",")))
        })
        .collect();
    table.sort();
    table
}

fn exit(error: &clap::Error) -> Exit {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => 1,
        _ => 2,
    };
    Exit {
        code,
        message: error.render().to_string(),
    }
}

#[cfg(test)]
mod tests;
