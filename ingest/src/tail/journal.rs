//! The journal of systemd, read by its own tool: `journalctl --follow --output=json`.
//!
//! The tool knows every format that journals have had, and asks nobody for a library. It is
//! told where to go on by the cursor of the last entry that the store has, which is kept in
//! a file of its own; entries that come again after a kill have the same time and line, and
//! count once.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::arrivals::Arrival;
use super::config::JournalConfig;
use super::outlet::Signal;
use crate::pipeline::PipelineStats;

/// Longest entry of the journal, all its fields as JSON, in bytes.
const MAX_ENTRY_BYTES: u64 = 8 << 20;
/// Reasons that entries are counted under which are longer, or no JSON.
const LONG_REASON: &str = "journal_entry_too_long";
const BAD_REASON: &str = "journal_parsing_error";
/// Longest line of a complaint of the tool, in bytes.
const MAX_COMPLAINT_BYTES: u64 = 1 << 10;
/// How long it is waited before the tool is started again.
const RESTART: Duration = Duration::from_secs(5);
/// Names of priorities, from the most urgent.
const PRIORITIES: [&str; 8] = [
    "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug",
];

/// Reads the journal.
pub(super) struct Journal {
    pub(super) config: JournalConfig,
    pub(super) job: String,
    /// The tool.
    pub(super) program: PathBuf,
    pub(super) cursor: Arc<Cursor>,
    pub(super) queue: SyncSender<Arrival>,
    pub(super) signal: Arc<Signal>,
    pub(super) dropped: Arc<PipelineStats>,
    /// The tool at work, so that it can be ended.
    pub(super) child: Arc<Mutex<Option<Child>>>,
}

/// The place in the journal up to which the store has everything.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    current: Mutex<Option<String>>,
}

impl Cursor {
    /// Reads what is kept of a job.
    ///
    /// # Errors
    /// It cannot be read: without it entries would come twice, or not at all.
    pub(super) fn open(dir: &Path, job: &str) -> Result<Cursor, String> {
        let name = format!(
            "journal-{:016x}",
            xxhash_rust::xxh3::xxh3_64(job.as_bytes())
        );
        let path = dir.join(name);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| {
                format!(
                    "the place in the journal in {} cannot be read: {error}; remove it to begin anew",
                    path.display()
                )
            })?,
        };
        let current = Some(text.trim().to_owned());
        Ok(Cursor {
            path,
            current: Mutex::new(current.filter(|cursor| !cursor.is_empty())),
        })
    }

    fn get(&self) -> Option<String> {
        self.current.lock().clone()
    }

    /// Keeps a place.
    pub(super) fn set(&self, cursor: &str) -> std::io::Result<()> {
        *self.current.lock() = Some(cursor.to_owned());
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, format!("{cursor}\n"))?;
        std::fs::rename(&beside, &self.path)
    }
}

impl Journal {
    /// Reads until it is stopped, and starts the tool again where it ends.
    pub(super) fn run(self) {
        let mut told = false;
        while !self.signal.is_stopped() {
            if let Err(error) = self.follow()
                && !self.signal.is_stopped()
                && !std::mem::replace(&mut told, true)
            {
                let program = self.program.display();
                tracing::error!(job = self.job, %program, error, "the journal cannot be read");
            }
            self.signal.sleep(RESTART);
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args([
            "--follow",
            "--output=json",
            "--all",
            "--no-pager",
            "--no-tail",
            "--quiet",
        ]);
        if !self.config.path.as_os_str().is_empty() {
            command.arg("--directory").arg(&self.config.path);
        }
        match self.cursor.get() {
            Some(cursor) => command.arg(format!("--after-cursor={cursor}")),
            None => command.arg(format!("--since=-{}s", self.config.max_age.as_secs())),
        };
        command.args(&self.config.matches);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        command
    }

    fn follow(&self) -> Result<(), String> {
        let mut child = self.command().spawn().map_err(|error| error.to_string())?;
        let (Some(output), Some(complaints)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("it has no output".to_owned());
        };
        let complaints = std::thread::spawn(move || last_line(complaints));
        *self.child.lock() = Some(child);
        // It may have been stopped in between.
        if self.signal.is_stopped() {
            end(&self.child);
            return Ok(());
        }
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        let outcome = loop {
            line.clear();
            let read = output
                .by_ref()
                .take(MAX_ENTRY_BYTES)
                .read_until(b'\n', &mut line);
            match read {
                Ok(0) => {
                    end(&self.child);
                    let reason = complaints.join().unwrap_or_default();
                    return Err(match reason.is_empty() {
                        true => "the tool ended".to_owned(),
                        false => format!("the tool ended: {reason}"),
                    });
                }
                Ok(_) => {}
                Err(error) => break Err(error.to_string()),
            }
            if line.len() as u64 == MAX_ENTRY_BYTES && line.last() != Some(&b'\n') {
                self.dropped.dropped(LONG_REASON);
                match output.skip_until(b'\n') {
                    Ok(_) => continue,
                    Err(error) => break Err(error.to_string()),
                }
            }
            if let Some(arrival) = self.arrival(&line)
                && self.queue.send(arrival).is_err()
            {
                break Ok(());
            }
        };
        end(&self.child);
        outcome
    }

    /// Makes an entry of one of the journal; `None` for one that says nothing.
    fn arrival(&self, line: &[u8]) -> Option<Arrival> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(line) else {
            self.dropped.dropped(BAD_REASON);
            return None;
        };
        let get = |name: &str| fields.get(name).and_then(text);
        let message = get("MESSAGE")?;
        let mut labels = self.config.labels.clone();
        for (name, value) in &fields {
            if let Some(value) = text(value)
                && name != "MESSAGE"
            {
                labels.push((format!("__journal_{}", name.to_lowercase()), value));
            }
        }
        let priority = get("PRIORITY").and_then(|text| text.parse::<usize>().ok());
        if let Some(keyword) = priority.and_then(|priority| PRIORITIES.get(priority)) {
            let name = "__journal_priority_keyword".to_owned();
            labels.push((name, (*keyword).to_owned()));
        }
        let micros = get("__REALTIME_TIMESTAMP").and_then(|text| text.parse::<i64>().ok());
        let line = match self.config.json {
            true => trimmed(line).to_vec(),
            false => message.into_bytes(),
        };
        Some(Arrival {
            t_ns: micros.and_then(|micros| micros.checked_mul(1000)),
            line,
            labels: Arc::new(labels),
            mark: get("__CURSOR"),
            ..Arrival::default()
        })
    }
}

/// Ends the tool where it is at work.
pub(super) fn end(child: &Mutex<Option<Child>>) {
    if let Some(mut child) = child.lock().take() {
        // It may have ended by itself.
        let _ended = child.kill();
        let _status = child.wait();
    }
}

/// Reads what a tool complains of until it ends, so that it is never held up by it, and
/// returns the last line.
fn last_line(complaints: impl Read) -> String {
    let mut complaints = BufReader::new(complaints);
    let (mut line, mut last) = (Vec::new(), String::new());
    loop {
        line.clear();
        let some = &mut complaints.by_ref().take(MAX_COMPLAINT_BYTES);
        match some.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            text.trim().clone_into(&mut last);
        }
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Returns the text of a field: a text, bytes that are no text, or the first of several.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let bytes: Option<Vec<u8>> = items
                .iter()
                .map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok()))
                .collect();
            match bytes {
                Some(bytes) if !bytes.is_empty() => {
                    Some(String::from_utf8_lossy(&bytes).into_owned())
                }
                _ => items.first().and_then(text),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_ends_has_said_why() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("journalctl");
        let follow = |script: &str| {
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let (queue, _arrivals) = std::sync::mpsc::sync_channel(1);
            let journal = Journal {
                config: JournalConfig {
                    labels: Vec::new(),
                    max_age: Duration::from_secs(1),
                    path: PathBuf::new(),
                    matches: Vec::new(),
                    json: false,
                },
                job: "journal".to_owned(),
                program: program.clone(),
                cursor: Arc::new(Cursor::open(dir.path(), "journal").unwrap()),
                queue,
                signal: Arc::default(),
                dropped: Arc::default(),
                child: Arc::default(),
            };
            // Another test that starts a program just then holds the file open for a moment.
            let mut outcome = journal.follow();
            while outcome.as_ref().is_err_and(|error| error.contains("busy")) {
                outcome = journal.follow();
            }
            outcome.unwrap_err()
        };
        let complaint = "echo first >&2; printf 'no journal\\n\\n' >&2; exit 1";
        assert_eq!(follow(complaint), "the tool ended: no journal");
        // However much is said, the tool is not held up.
        let much = "head -c 200000 /dev/zero >&2; exit 1";
        assert!(follow(much).starts_with("the tool ended: "));
        assert_eq!(follow("exit 0"), "the tool ended");
    }
}
