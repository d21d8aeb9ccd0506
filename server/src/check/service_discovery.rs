//! `kymo check service-discovery`: what targets a job would have.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kymo_ingest::discovery::{Discovery, DnsServers, Group, SetConfig, SourceStats, Surroundings};
use kymo_ingest::scrape::{Preview, ScrapeConfig, preview};
use kymo_storage::model::Labels;
use serde::Serialize;

use crate::client::LabelMap;
use crate::flags::{Exit, parse_duration};
use crate::terminal::say;
use crate::{clock, config};

/// What is found is whole when nothing more came for so long.
const QUIET: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct DiscoveryArgs {
    /// The configuration file.
    #[arg(value_name = "CONFIG")]
    config: String,

    /// The job.
    #[arg(value_name = "JOB")]
    job: String,

    /// Longest time to wait for targets; less where they are all there.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

#[derive(Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Shown {
    discovered_labels: LabelMap,
    labels: LabelMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Finds the targets of a job and prints them.
///
/// # Errors
/// The configuration is wrong, or has no such job.
pub(super) fn check(args: &DiscoveryArgs) -> Result<ExitCode, Exit> {
    let failed = |message: String| Exit {
        code: 1,
        message: format!("{message}\n"),
    };
    let config = config::load(Path::new(&args.config))
        .map_err(|error| failed(format!("Cannot load config {}", error.of_file())))?;
    let Some(job) = config.jobs().find(|job| job.job_name == args.job) else {
        let names = config.jobs().map(|job| format!("\n\t{}", job.job_name));
        let names: String = names.collect();
        return Err(failed(format!(
            "Job {} not found. Select one of:{names}",
            args.job
        )));
    };
    let found = find(job, args.timeout).map_err(failed)?;
    let mut shown: Vec<Shown> = Vec::new();
    for preview in preview(job, &found) {
        let one = Shown::of(preview);
        if !shown.contains(&one) {
            shown.push(one);
        }
    }
    let text = serde_json::to_string_pretty(&shown).map_err(|error| failed(error.to_string()))?;
    say(&text);
    Ok(ExitCode::SUCCESS)
}

impl Shown {
    fn of(preview: Preview) -> Shown {
        let map = |labels: &Labels| {
            let pairs = labels.iter();
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            pairs.collect::<LabelMap>()
        };
        let (labels, error) = match preview.outcome {
            Ok(labels) => (labels.as_ref().map(map).unwrap_or_default(), None),
            Err(error) => (LabelMap::new(), Some(error)),
        };
        Shown {
            discovered_labels: map(&preview.discovered),
            labels,
            error,
        }
    }
}

/// Runs discovery until nothing more comes.
fn find(job: &ScrapeConfig, timeout: Duration) -> Result<Vec<Arc<Group>>, String> {
    if job.discovery.is_empty() {
        return Ok(Vec::new());
    }
    let _in_place = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("start the runtime: {error}"))?;
    let surroundings = Surroundings {
        read_yaml: config::parse_target_groups,
        read_kubeconfig: config::parse_kubeconfig,
        dns: DnsServers::default(),
        clock: Arc::new(clock::now_ns),
        stats: Arc::new(SourceStats::default()),
    };
    let found = runtime.block_on(async {
        let discovery = Discovery::new(surroundings, timeout);
        let set = SetConfig {
            sources: job.discovery.clone(),
            ..SetConfig::default()
        };
        discovery.apply(BTreeMap::from([(job.job_name.clone(), set)]));
        let mut changes = discovery.changes(Duration::ZERO);
        let end = tokio::time::Instant::now() + timeout;
        let mut found: Vec<Arc<Group>> = Vec::new();
        loop {
            let until = match found.is_empty() {
                true => end,
                false => end.min(tokio::time::Instant::now() + QUIET),
            };
            if tokio::time::timeout_at(until, changes.wait())
                .await
                .is_err()
            {
                break;
            }
            found = changes.take().remove(&job.job_name).unwrap_or_default();
        }
        discovery.stop();
        found
    });
    runtime.shutdown_background();
    Ok(found)
}
