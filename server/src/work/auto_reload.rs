//! Loading the configuration again when its files change (`--config.auto-reload`).
//!
//! Files are read and compared by checksum, as Prometheus does it: that works on every
//! file system and however a file is replaced. Files are those of the configuration, of
//! rules, of jobs and of Promtail.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kymo_ingest::discovery::glob;
use ring::digest::{Context, SHA256};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::app::App;
use crate::config::{self, Config};
use crate::flags::Flags;

/// The checksum of all files.
type Checksum = [u8; 32];

/// Files that a command line names.
#[derive(Debug, Clone)]
struct Files {
    config: Option<PathBuf>,
    promtail: Option<PathBuf>,
}

/// The files of a configuration, as they were when it was last loaded.
#[derive(Debug)]
pub(crate) struct Watched {
    files: Files,
    interval: Duration,
    /// `None` where a look failed: then the next one is a change.
    known: Option<Checksum>,
}

impl Watched {
    /// Looks at the files before they are loaded for the first time; `None` where nobody
    /// wants them watched.
    pub(crate) fn new(flags: &Flags) -> Option<Watched> {
        let interval = flags.config.auto_reload()?;
        let files = Files {
            config: flags.config_file().map(Path::to_owned),
            promtail: flags.tailing.promtail().map(|(file, _)| file.to_owned()),
        };
        if files.config.is_none() && files.promtail.is_none() {
            return None;
        }
        Some(Watched {
            known: checksum(&files).ok(),
            files,
            interval,
        })
    }
}

/// Looks at the files again and again until `stop` becomes true.
pub(crate) async fn watch(watched: Watched, app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let Watched {
        files,
        interval,
        mut known,
    } = watched;
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let read = files.clone();
        let found = tokio::task::spawn_blocking(move || checksum(&read)).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                warn!(error, "the files of the configuration cannot be compared");
                continue;
            }
            Err(_stopping) => continue,
        };
        if known.replace(found) == Some(found) {
            continue;
        }
        info!("configuration file change detected, reloading the configuration");
        if app.reload().await.is_err() {
            // What failed is tried again: a file may be half written.
            known = None;
        }
    }
}

/// Returns the checksum of all files. Blocks on the disk.
fn checksum(files: &Files) -> Result<Checksum, String> {
    let mut context = Context::new(&SHA256);
    if let Some(file) = &files.config {
        add_config(&mut context, file)?;
    }
    if let Some(file) = &files.promtail {
        context.update(&read(file)?);
    }
    let mut sum = Checksum::default();
    sum.copy_from_slice(context.finish().as_ref());
    Ok(sum)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))
}

/// Adds a configuration and the files that it names.
fn add_config(context: &mut Context, file: &Path) -> Result<(), String> {
    let text = read(file)?;
    context.update(&text);
    let dir = file.parent().unwrap_or(Path::new(""));
    // A file with a mistake names nothing; the reload tells of the mistake.
    let config = config::parse(&String::from_utf8_lossy(&text), dir).unwrap_or_default();
    let Config {
        rule_files,
        log_rule_files,
        scrape_config_files,
        ..
    } = config;
    let all = [rule_files, log_rule_files, scrape_config_files];
    for pattern in all.iter().flatten() {
        for path in glob(pattern).map_err(|error| format!("{pattern}: {error}"))? {
            context.update(path.as_os_str().as_encoded_bytes());
            context.update(&read(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prometheus.yml");
        let mut files = Files {
            config: Some(file),
            promtail: None,
        };
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert!(checksum(&files).is_err());
        write("prometheus.yml", "rule_files: ['*.rules']\n");
        let mut sums = vec![checksum(&files).unwrap()];
        assert_eq!(checksum(&files).unwrap(), sums[0]);
        for (name, text) in [
            ("a.rules", "groups: []"),
            ("a.rules", "groups: [ ]"),
            ("b.rules", "groups: []"),
            ("prometheus.yml", "rule_files: ['*.rules', 'x']\n"),
            ("prometheus.yml", "rule_files: [\n"),
        ] {
            write(name, text);
            let sum = checksum(&files).unwrap();
            assert!(!sums.contains(&sum), "{name}: {text}");
            sums.push(sum);
        }
        // A file of Promtail counts beside one of the configuration, and alone.
        files.promtail = Some(dir.path().join("promtail.yaml"));
        assert!(checksum(&files).is_err());
        for text in ["scrape_configs: []", "scrape_configs: [ ]"] {
            write("promtail.yaml", text);
            for config in [files.config.clone(), None] {
                let promtail = files.promtail.clone();
                let sum = checksum(&Files { config, promtail }).unwrap();
                assert!(!sums.contains(&sum), "{text}");
                sums.push(sum);
            }
        }
    }
}
