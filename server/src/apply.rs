//! Putting a configuration in force, in two steps: everything that may fail is made first,
//! beside what runs; only then everything changes. So a mistake in any file, of rules, of
//! jobs, of certificates, changes nothing.

use std::path::Path;

use tracing::error;

use crate::app::{App, Core};
use crate::config::Config;
use crate::forward::Clients;
use crate::notify::Sections;
use crate::rules::files::FileGroup;
use crate::scraping::{self, Jobs};
use crate::tailing;
use crate::work::query_log::LogFile;

/// A configuration that is ready to be put in force. A part that could not be made is
/// `None`: what is in force of it stays.
#[derive(Debug)]
pub(crate) struct Ready {
    query_log: Option<Option<LogFile>>,
    sections: Option<Sections>,
    receivers: Option<Clients>,
    jobs: Jobs,
    rules: Option<Vec<FileGroup>>,
    logs: Option<tailing::Ready>,
}

impl Core {
    /// Makes everything that a configuration needs, and changes nothing.
    ///
    /// # Errors
    /// All parts that could not be made.
    pub(crate) async fn prepare(&self, app: &App, config: &Config) -> (Ready, Result<(), String>) {
        let mut mistakes = Vec::new();
        let mut noted = |mistake: String| {
            error!(
                problem = mistake,
                "part of the configuration cannot be used"
            );
            mistakes.push(mistake);
        };
        let (jobs, outcome) = scraping::prepare(app, self, config).await;
        let _unmade = outcome.map_err(&mut noted);
        let sections = self.notifier.prepare(config).map_err(&mut noted).ok();
        let receivers = self.forwarder.prepare(config).map_err(&mut noted).ok();
        let rules = self.rules.prepare(config).await.map_err(&mut noted).ok();
        let logs = self.tailing.prepare(config).map_err(&mut noted).ok();
        let log = open_query_log(&config.global.query_log_file);
        let ready = Ready {
            query_log: log.map_err(&mut noted).ok(),
            sections,
            receivers,
            jobs,
            rules,
            logs,
        };
        match mistakes.is_empty() {
            true => (ready, Ok(())),
            false => (ready, Err(mistakes.join("; "))),
        }
    }

    /// Logs queries, scrapes, sends alerts, evaluates rules, keeps samples and hands them on
    /// as a configuration says from now on.
    pub(crate) async fn commit(&self, app: &App, config: &Config, ready: Ready) {
        let storage = &config.storage;
        app.logs.receiver.set_limits(config.logs.limits.clone());
        let max = app.flags.max_exemplars(storage.max_exemplars);
        self.store.set_max_exemplars(max);
        let window_ms = storage.out_of_order_window_ms();
        self.store.set_out_of_order_window_ms(window_ms);
        if let Some(log) = ready.query_log {
            app.query_log.set(log);
        }
        // Before there is anything new to be handed on.
        if let Some(receivers) = ready.receivers {
            self.forwarder.commit(config, receivers).await;
        }
        // Where alerts go is known before there are any.
        if let Some(sections) = ready.sections {
            self.notifier.commit(config, sections);
        }
        scraping::commit(self, ready.jobs).await;
        if let Some(rules) = ready.rules {
            self.rules.commit(config, rules).await;
        }
        if let Some(logs) = ready.logs
            && let Err(problem) = self.tailing.commit(logs).await
        {
            error!(problem, "some logs are not followed");
        }
    }
}

fn open_query_log(path: &Path) -> Result<Option<LogFile>, String> {
    match path.as_os_str().is_empty() {
        true => Ok(None),
        false => LogFile::open(path).map(Some),
    }
}
