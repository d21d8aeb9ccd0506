//! What is followed, as a configuration has it.

use std::path::PathBuf;
use std::time::Duration;

use kymo_storage::model::RelabelRule;

use super::compressed::Compression;
use super::lines::LineOptions;
use crate::discovery::{SourceConfig, TargetGroup};
use crate::http::TlsOptions;
use crate::pipeline::StageConfig;

/// A job: where entries come from, and what is done with them.
#[derive(Debug, Clone, PartialEq)]
pub struct LogJob {
    /// Its name, which is unique.
    pub job_name: String,
    /// Where entries come from.
    pub source: LogSourceConfig,
    /// Rules for the labels of targets; of sources without targets, for those of entries.
    pub relabel: Vec<RelabelRule>,
    /// What is done with entries.
    pub stages: Vec<StageConfig>,
}

/// Where entries come from.
#[derive(Debug, Clone, PartialEq)]
pub enum LogSourceConfig {
    /// Files.
    Files(Box<FilesConfig>),
    /// The journal of systemd.
    Journal(JournalConfig),
    /// Senders of syslog.
    Syslog(SyslogConfig),
    /// Whoever pushes as to a Loki.
    Push(PushConfig),
}

/// Which files, and how they are read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FilesConfig {
    /// Targets that the configuration lists; `__path__` among the labels has the pattern.
    pub static_configs: Vec<TargetGroup>,
    /// Where others are found.
    pub discovery: Vec<SourceConfig>,
    /// How lines are read.
    pub lines: LineOptions,
    /// How files are compressed whose names do not tell.
    pub compression: Option<Compression>,
    /// How long a compressed file is left alone after it was found.
    pub initial_delay: Duration,
    /// Where reading starts in files that were there before the job.
    pub start: StartAt,
}

/// Where reading starts in a file of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// At its first line.
    #[default]
    Beginning,
    /// Behind its last line, where it was there before the job began.
    End,
}

/// How the journal is read.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalConfig {
    /// Labels of all entries.
    pub labels: Vec<(String, String)>,
    /// Age of the oldest entries that are read at the first start.
    pub max_age: Duration,
    /// Directory of the journal's files; empty for the system's.
    pub path: PathBuf,
    /// Conditions, as `journalctl` takes them.
    pub matches: Vec<String>,
    /// Whether the line is all fields as JSON.
    pub json: bool,
}

/// How syslog is received.
#[derive(Debug, Clone, PartialEq)]
pub struct SyslogConfig {
    /// Address and port.
    pub listen_address: String,
    /// How messages come.
    pub protocol: SyslogProtocol,
    /// How messages are written.
    pub format: SyslogFormat,
    /// Labels of all entries.
    pub labels: Vec<(String, String)>,
    /// How long a connection may be silent.
    pub idle_timeout: Duration,
    /// Longest message in bytes.
    pub max_message_bytes: usize,
    /// The certificate that is shown, and who signs those of senders; over connections only.
    pub tls: Option<TlsOptions>,
    /// Whether structured data become labels.
    pub label_structured_data: bool,
    /// Whether entries get the time of their message.
    pub use_incoming_timestamp: bool,
    /// Whether the line is the whole message, as RFC 5424 writes it.
    pub use_rfc5424_message: bool,
}

/// How a job is pushed to.
#[derive(Debug, Clone, PartialEq)]
pub struct PushConfig {
    /// Address and port.
    pub listen_address: String,
    /// The certificate that is shown, and who signs those of senders.
    pub tls: Option<TlsOptions>,
    /// Labels of all entries.
    pub labels: Vec<(String, String)>,
    /// Whether entries keep the time that they came with.
    pub use_incoming_timestamp: bool,
}

/// How messages of syslog come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogProtocol {
    /// Over connections.
    Tcp,
    /// One in a datagram.
    Udp,
}

/// How messages of syslog are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogFormat {
    /// RFC 5424.
    Rfc5424,
    /// RFC 3164.
    Rfc3164,
}

/// What all jobs share.
#[derive(Debug, Clone, PartialEq)]
pub struct TailOptions {
    /// How often patterns are compared with the files that are there.
    pub sync_period: Duration,
    /// How often a file that grows is looked at.
    pub min_poll: Duration,
    /// How often a file that does not grow is looked at.
    pub max_poll: Duration,
    /// How long a file that no pattern finds any more is still read.
    pub grace: Duration,
    /// Lines a second of all jobs together.
    pub rate: Option<RateLimit>,
    /// A file of positions of Promtail, which are taken over for files of which nothing is
    /// known.
    pub promtail_positions: Option<PathBuf>,
}

/// Most lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// In a second.
    pub lines: f64,
    /// At one moment.
    pub burst: u64,
    /// Whether more are dropped; else they wait.
    pub drop: bool,
}

impl Default for TailOptions {
    fn default() -> TailOptions {
        TailOptions {
            sync_period: Duration::from_secs(10),
            min_poll: Duration::from_millis(250),
            max_poll: Duration::from_millis(250),
            grace: Duration::from_secs(5),
            rate: None,
            promtail_positions: None,
        }
    }
}
