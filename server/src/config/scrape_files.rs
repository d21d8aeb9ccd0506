//! Jobs in files of their own: `scrape_config_files`. A file holds `scrape_configs` and
//! nothing else; its jobs inherit from the main file, and paths in it are relative to the
//! file itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kymo_ingest::discovery::glob;
use kymo_ingest::scrape::ScrapeConfig;
use kymo_storage::compat::quote::quote;

use super::error::ConfigError;
use super::fields::{Fields, Problems};
use super::yaml::{self, Position};
use super::{Config, Global, os_text, read_jobs};

/// Reads the jobs of all files that the patterns fit. Blocks on the disk.
///
/// # Errors
/// The first file that cannot be read or has a mistake, by its whole path.
pub(super) fn read(config: &mut Config) -> Result<(), (PathBuf, ConfigError)> {
    // Where each job was found first.
    let mut found: HashMap<String, String> = config
        .scrape_configs
        .iter()
        .map(|job| (job.job_name.clone(), "main config file".to_owned()))
        .collect();
    for pattern in &config.scrape_config_files {
        let files = glob(pattern).map_err(|error| {
            let quoted = quote(pattern);
            let text = format!("error retrieving scrape config files for {quoted}: {error}");
            let mut problems = Problems::default();
            problems.value(Position::default(), text);
            (PathBuf::from(pattern), settled(problems))
        })?;
        for file in files {
            let whole = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
            let jobs = read_file(&file, &config.global, &mut found, &whole)
                .map_err(|error| (whole, error))?;
            config.file_jobs.extend(jobs);
        }
    }
    Ok(())
}

fn read_file(
    file: &Path,
    global: &Global,
    found: &mut HashMap<String, String>,
    whole: &Path,
) -> Result<Vec<ScrapeConfig>, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
        path: file.to_owned(),
        reason: os_text(&error),
    })?;
    let document = yaml::parse(&text)?;
    let mut problems = Problems::default();
    let mut fields = Fields::open(&document.root, "config.ScrapeConfigs", &mut problems);
    let dir = file.parent().unwrap_or(Path::new(""));
    let read = read_jobs(&mut fields, dir, global, &mut problems);
    fields.finish(&mut problems);
    let mut jobs = Vec::with_capacity(read.len());
    for (job, at) in read {
        let place = quote(&whole.display().to_string());
        if let Some(first) = found.insert(job.job_name.clone(), place) {
            let name = quote(&job.job_name);
            problems.value(
                at,
                format!(
                    "found multiple scrape configs with job name {name}, first found in {first}"
                ),
            );
        }
        jobs.push(job);
    }
    problems.settle(jobs)
}

fn settled(problems: Problems) -> ConfigError {
    ConfigError::Invalid {
        path: None,
        problems: problems.into_sorted(),
    }
}
