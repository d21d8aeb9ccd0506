//! `kymo check pipeline`: what the stages of a job do to lines, stage by stage, before a
//! server does it. What Promtail has as `--dry-run --inspect --stdin`.
//!
//! Nothing is stored and no file is followed: lines come from standard input or from a file,
//! and get the labels of the job's first target.

mod effects;
mod show;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use kymo_ingest::pipeline::scrub::{HashKey, Kind, ScrubConfig};
use kymo_ingest::pipeline::{Entry, LabelSet, MatchAction, Pipeline, StageConfig, Tools, Watcher};
use kymo_ingest::tail::{LineOptions, Lines, LogJob, LogSourceConfig, sample_labels};

use super::report::{self, Format};
use crate::app::hostname;
use crate::clock;
use crate::config::{self, Config, ConfigError};
use crate::flags::{Exit, TailingFlags};
use crate::observe::exposition::{Format as MetricsFormat, TextWriter};
use crate::rules::file::read_bounded;
use crate::tailing::{OwnLanguages, write_stage_metrics};
use crate::terminal::{Color, complain, say};
use effects::Effects;
use show::{Fate, Text, Totals};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct PipelineArgs {
    /// The file of lines; without, standard input.
    #[arg(value_name = "FILE")]
    file: Option<String>,

    /// The configuration file with the job under log_configs.
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<String>,

    #[command(flatten)]
    tailing: TailingFlags,

    /// The job; may be left out where there is only one.
    #[arg(long, value_name = "NAME")]
    job: Option<String>,

    /// A label of the lines, in place of those of the job; may be given several times.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = read_label)]
    labels: Vec<(String, String)>,

    /// Show only lines that these stages change or drop, and nothing of the others.
    #[arg(long, value_name = "STAGES", value_delimiter = ',')]
    only: Vec<String>,

    /// Without a configuration: what a scrub stage looks for, of email, ipv4, ipv6, card,
    /// token and all.
    #[arg(long, value_name = "KINDS", value_delimiter = ',',
          conflicts_with_all = ["config_file", "promtail_config", "job"])]
    scrub: Vec<String>,

    /// Without a configuration: a key of JSON whose values a scrub stage takes out; may be
    /// given several times.
    #[arg(long = "json-key", value_name = "KEY",
          conflicts_with_all = ["config_file", "promtail_config", "job"])]
    json_keys: Vec<String>,

    /// When to print colours.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,

    /// How to print: as text, or as JSON, one object for each line and one of totals.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

fn read_label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=');
    let (name, value) = pair.ok_or_else(|| format!("\"{text}\" is no NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What lines go through.
struct Plan {
    stages: Vec<StageConfig>,
    labels: LabelSet,
    lines: LineOptions,
}

/// Runs lines through the stages and returns the exit code.
///
/// # Errors
/// The configuration is wrong or has no such job, or the lines cannot be read.
pub(super) fn check(args: &PipelineArgs) -> Result<ExitCode, Exit> {
    match &args.file {
        Some(name) => {
            let file = File::open(name);
            let mut file = file.map_err(|error| unreadable(name, &error))?;
            args.run(&mut file, &mut say)?;
        }
        None => args.run(&mut std::io::stdin().lock(), &mut say)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(text: &str) -> Exit {
    Exit {
        code: 1,
        message: format!("{text}\n"),
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Exit {
    failed(&format!("read {name}: {}", config::os_text(error)))
}

impl PipelineArgs {
    /// Runs what can be read through the stages, and says what they do.
    fn run(&self, input: &mut dyn Read, say: &mut dyn FnMut(&str)) -> Result<(), Exit> {
        let mut plan = self.plan()?;
        if arm(&mut plan.stages) {
            complain("dry_run is passed over: what a scrub stage would take out is shown\n");
        }
        if !self.labels.is_empty() {
            plan.labels = LabelSet::from_pairs(self.labels.iter().map(|(n, v)| (n, v)));
        }
        let effects = Arc::new(Effects::default());
        let tools = Tools {
            watcher: Some(Arc::clone(&effects) as Arc<dyn Watcher>),
            ..Tools::new(Arc::new(OwnLanguages), Arc::new(clock::now_ns))
        };
        let pipeline = Pipeline::new(&plan.stages, &tools);
        let mut run = Run {
            args: self,
            labels: &plan.labels,
            pipeline: pipeline.map_err(|error| failed(&error.to_string()))?,
            effects: &effects,
            lines: 0,
            entries: 0,
            say,
        };
        let name = self.file.as_deref().unwrap_or("<stdin>");
        let read = run.read(input, &plan.lines);
        read.map_err(|error| unreadable(name, &error))?;
        let mut metrics = TextWriter::new(MetricsFormat::Text);
        write_stage_metrics(&mut metrics, &tools.metrics);
        let totals = Totals {
            lines: run.lines,
            entries: run.entries,
            counts: tools.stats.counts(),
            metrics: metrics.finish(),
        };
        match self.format {
            Format::Text => say(&self.text().totals(&totals)),
            Format::Json => say(&format!("{}\n", show::totals(&totals))),
        }
        Ok(())
    }

    fn plan(&self) -> Result<Plan, Exit> {
        if !self.scrub.is_empty() || !self.json_keys.is_empty() {
            return Ok(Plan {
                stages: vec![StageConfig::Scrub(self.scrub_config()?)],
                labels: LabelSet::default(),
                lines: LineOptions::default(),
            });
        }
        let config = self.config()?;
        let job = self.chosen(&config)?;
        Ok(Plan {
            stages: job.stages.clone(),
            labels: sample_labels(job, &hostname()),
            lines: match &job.source {
                LogSourceConfig::Files(files) => files.lines.clone(),
                _ => LineOptions::default(),
            },
        })
    }

    fn scrub_config(&self) -> Result<ScrubConfig, Exit> {
        let listed = || Kind::ALL.into_iter().filter(|kind| *kind != Kind::JsonKey);
        let mut kinds = Vec::new();
        for name in &self.scrub {
            match Kind::by_name(name) {
                Some(kind) => kinds.push(kind),
                None if name == "all" => kinds.extend(listed()),
                None => {
                    let known: Vec<&str> = listed().map(Kind::name).collect();
                    let known = known.join(", ");
                    return Err(failed(&format!(
                        "--scrub: \"{name}\" is no kind; there are {known} and all"
                    )));
                }
            }
        }
        Ok(ScrubConfig {
            kinds,
            json_keys: self.json_keys.clone(),
            source: None,
            hash_key: None::<HashKey>,
            dry_run: false,
        })
    }

    fn config(&self) -> Result<Config, Exit> {
        let promtail = self.tailing.promtail();
        if self.config_file.is_none() && promtail.is_none() {
            return Err(failed(
                "name a configuration with --config.file or --logs.promtail-config, or what to \
                 look for with --scrub or --json-key",
            ));
        }
        let mut config = match &self.config_file {
            Some(file) => config::load(Path::new(file)).map_err(|error| refused(&error))?,
            None => Config::default(),
        };
        if let Some((file, expand)) = promtail {
            let added = config::add_promtail(&mut config, file, expand);
            added.map_err(|error| refused(&error))?;
        }
        Ok(config)
    }

    fn chosen<'c>(&self, config: &'c Config) -> Result<&'c LogJob, Exit> {
        let jobs = &config.log_configs;
        let found = match (&self.job, jobs.as_slice()) {
            (Some(name), jobs) => jobs.iter().find(|job| job.job_name == *name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.ok_or_else(|| {
            let names: String = jobs
                .iter()
                .map(|job| format!("\n\t{}", job.job_name))
                .collect();
            failed(&match (&self.job, jobs.is_empty()) {
                (_, true) => "the configuration has no job under log_configs; that of Promtail is \
                              named with --logs.promtail-config"
                    .to_owned(),
                (Some(name), _) => format!("Job {name} not found. Select one of:{names}"),
                (None, _) => format!("there are several jobs; choose with --job one of:{names}"),
            })
        })
    }

    fn text(&self) -> Text {
        Text {
            colors: self.color.is_on(),
            partial: !self.only.is_empty(),
        }
    }
}

/// Returns the text of a configuration that cannot be used, with the places of mistakes.
fn refused(error: &ConfigError) -> Exit {
    let mut message = format!("Cannot load config {}\n", error.of_file());
    if let Some(file) = error.place() {
        let bytes = read_bounded(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let name = file.display().to_string();
        message += &report::places(&name, &text, error.problems());
    }
    Exit { code: 1, message }
}

/// Makes `scrub` stages take out what they only count; tells whether there was one.
fn arm(stages: &mut [StageConfig]) -> bool {
    let mut was_dry = false;
    for stage in stages {
        was_dry |= match stage {
            StageConfig::Scrub(config) => std::mem::take(&mut config.dry_run),
            StageConfig::Pipeline(stages) => arm(stages),
            StageConfig::Match(config) => match &mut config.action {
                MatchAction::Keep(stages) => arm(stages),
                MatchAction::Drop(_) => false,
            },
            _ => false,
        };
    }
    was_dry
}

/// Lines on their way.
struct Run<'a> {
    args: &'a PipelineArgs,
    labels: &'a LabelSet,
    pipeline: Pipeline,
    effects: &'a Effects,
    lines: u64,
    entries: u64,
    say: &'a mut dyn FnMut(&str),
}

impl Run<'_> {
    fn read(&mut self, input: &mut dyn Read, options: &LineOptions) -> std::io::Result<()> {
        let mut lines = Lines::new(options, 0);
        let mut buffer = vec![0; READ_BYTES];
        let mut found = Vec::new();
        loop {
            let len = match input.read(&mut buffer) {
                Ok(len) => len,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match len {
                0 => lines.finish(&mut found),
                len => lines.push(&buffer[..len], &mut found),
            }
            for line in found.drain(..) {
                self.line(line.bytes);
            }
            if len == 0 {
                break;
            }
        }
        let mut entries = Vec::new();
        self.pipeline.flush(&mut entries);
        self.show(None, None, &entries);
        Ok(())
    }

    fn line(&mut self, bytes: Option<Vec<u8>>) {
        self.lines += 1;
        let mut entries = Vec::new();
        if let Some(bytes) = &bytes {
            let mut entry = Entry::new(clock::now_ns(), bytes.clone(), self.labels.clone());
            // Numbers of lines, by which an entry is known again.
            entry.from = self.lines;
            entry.to = self.lines + 1;
            self.pipeline.process(entry, &mut entries);
        }
        self.show(Some(self.lines), bytes.as_deref(), &entries);
    }

    fn show(&mut self, number: Option<u64>, text: Option<&[u8]>, entries: &[Entry]) {
        self.entries += entries.len() as u64;
        let mut effects = self.effects.take();
        let only = &self.args.only;
        if !only.is_empty() {
            effects.retain_mut(|effect| effect.keep_only(only));
            if effects.is_empty() {
                return;
            }
        }
        if number.is_none() && effects.is_empty() && entries.is_empty() {
            return;
        }
        let fate = Fate {
            number,
            text,
            effects: &effects,
            entries,
        };
        match self.args.format {
            Format::Text => (self.say)(&self.args.text().fate(&fate)),
            Format::Json => (self.say)(&format!("{}\n", show::fate(&fate))),
        }
    }
}

#[cfg(test)]
mod tests;
