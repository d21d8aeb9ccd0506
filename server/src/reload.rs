//! The configuration in force, and how it is replaced.
//!
//! A file is read and checked whole before anything of it is applied; a file with a
//! mistake changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::{error, info, warn};

use crate::clock;
use crate::config::{self, Config, ConfigError};
use crate::observe::metrics::ReloadMetrics;

/// Where the configuration comes from and what it says.
#[derive(Debug)]
pub(crate) struct Configured {
    file: Option<PathBuf>,
    /// A file of Promtail, and whether variables of the environment stand in it.
    promtail: Option<(PathBuf, bool)>,
    current: ArcSwap<Config>,
    /// Held while a reload is under way; a second one waits.
    turn: tokio::sync::Mutex<()>,
}

impl Configured {
    /// Reads the configuration for the first time; without a file, the built-in one.
    ///
    /// # Errors
    /// The file cannot be read or has a mistake.
    pub(crate) fn load(
        file: Option<&Path>,
        promtail: Option<(&Path, bool)>,
    ) -> Result<Configured, ConfigError> {
        let promtail = promtail.map(|(file, expand)| (file.to_owned(), expand));
        let config = read(file, promtail.as_ref())?;
        log_warnings(&config);
        Ok(Configured {
            file: file.map(Path::to_owned),
            promtail,
            current: ArcSwap::from_pointee(config),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// Returns the configuration in force.
    pub(crate) fn current(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Tells whether there is no file.
    pub(crate) fn is_built_in(&self) -> bool {
        self.file.is_none()
    }

    /// Reads the file again and hands it to `apply`, which changes all or nothing.
    ///
    /// # Errors
    /// Something in it or of it cannot be used; the configuration in force stays. The text
    /// is Prometheus'.
    pub(crate) async fn reload(
        &self,
        metrics: &ReloadMetrics,
        apply: impl AsyncFnOnce(&Config) -> Result<(), String>,
    ) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let named = self.file.as_ref();
        let Some(file) = named.or(self.promtail.as_ref().map(|(file, _)| file)) else {
            info!("nothing to reload: there is no --config.file");
            return Ok(());
        };
        let outcome = match read(self.file.as_deref(), self.promtail.as_ref()) {
            Ok(config) => {
                log_warnings(&config);
                let applied = apply(&config).await.map_err(|problem| {
                    format!(
                        "one or more errors occurred while applying the new configuration \
                         (--config.file={:?}): {problem}",
                        file.display().to_string()
                    )
                });
                if applied.is_ok() {
                    self.current.store(Arc::new(config));
                }
                applied
            }
            Err(problem) => Err(problem.to_string()),
        };
        match &outcome {
            Ok(()) => {
                metrics.succeeded(clock::now_ms());
                info!(file = %file.display(), "configuration reloaded");
            }
            Err(problem) => {
                metrics.failed();
                error!(problem, "configuration not reloaded");
            }
        }
        outcome
    }
}

/// Reads all files that make the configuration.
fn read(file: Option<&Path>, promtail: Option<&(PathBuf, bool)>) -> Result<Config, ConfigError> {
    let mut config = match file {
        Some(file) => config::load(file)?,
        None => config::parse(BUILT_IN, Path::new(""))?,
    };
    if let Some((promtail, expand)) = promtail {
        config::add_promtail(&mut config, promtail, *expand)?;
    }
    Ok(config)
}

/// What is in force without a file: every target is one of Kymo's own.
const BUILT_IN: &str = "global:\n  scrape_interval: 10s\n";

fn log_warnings(config: &Config) {
    for warning in &config.warnings {
        warn!(warning, "configuration");
    }
}
