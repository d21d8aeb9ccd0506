//! A line of JSON for each scrape that fails, as Prometheus writes it, in the file that
//! `scrape_failure_log_file` names. Jobs that name one file share it.
//!
//! The file is opened anew with every configuration, so that it can be rotated. A line is
//! one write; one that fails is lost, and the scrape counts all the same.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kymo_storage::compat::time::Instant;
use parking_lot::Mutex;

/// An open file.
#[derive(Debug)]
pub(super) struct FailureLog {
    path: PathBuf,
    file: File,
    has_failed: Mutex<bool>,
}

/// The files of all jobs, by path.
pub(super) type FailureLogs = HashMap<PathBuf, Arc<FailureLog>>;

impl FailureLog {
    /// Opens a file to write behind what it holds.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn open(path: &Path) -> Result<FailureLog, String> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|error| {
            let place = path.display();
            format!("scrape_failure_log_file: can't create json log file: open {place}: {error}")
        })?;
        Ok(FailureLog {
            path: path.to_owned(),
            file,
            has_failed: Mutex::new(false),
        })
    }

    /// Writes a line. Blocks while the system takes it.
    pub(super) fn write(&self, now_ns: i64, job: &str, target: &str, error: &str) {
        let line = line(now_ns, job, target, error);
        let written = (&self.file).write_all(line.as_bytes());
        let mut has_failed = self.has_failed.lock();
        if let Err(problem) = &written
            && !*has_failed
        {
            let file = self.path.display().to_string();
            tracing::error!(error = %problem, file, "cannot write to the log of failed scrapes");
        }
        *has_failed = written.is_err();
    }
}

fn line(now_ns: i64, job: &str, target: &str, error: &str) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let now = Instant::from_ms(now_ns.div_euclid(1_000_000)).rfc3339_nano();
    format!(
        "{{\"time\":{},\"level\":\"ERROR\",\"source\":\"scrape.go\",\"msg\":{},\"job_name\":{},\
         \"target\":{}}}\n",
        text(&now),
        text(error),
        text(job),
        text(target)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_that_of_prometheus() {
        assert_eq!(
            line(1_700_000_000_123_000_000, "a", "http://h/", "say \"no\"\n"),
            "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"ERROR\",\"source\":\"scrape.go\",\
             \"msg\":\"say \\\"no\\\"\\n\",\"job_name\":\"a\",\"target\":\"http://h/\"}\n"
        );
    }

    #[test]
    fn lines_stand_behind_what_a_file_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "before\n").unwrap();
        FailureLog::open(&path).unwrap().write(0, "a", "t", "e");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("before\n{\"time\":\"1970-"), "{text}");
        let refused = FailureLog::open(dir.path()).unwrap_err();
        assert!(
            refused.contains("can't create json log file: open "),
            "{refused}"
        );
    }
}
