//! Following logs: files, the journal, syslog, what is pushed to a job. What Promtail does,
//! in the same process as the store.
//!
//! ```text
//! patterns --> files --> lines --> pipeline --> positions (what is about to be stored)
//!                                     |             |
//!                                     +------> sink (the store) --> positions
//! ```
//!
//! A file is known by what it is and not by its name (`identity`), so that rotation, by any
//! way, ends nothing and repeats nothing. `positions` tells how a kill neither loses a line
//! nor stores one twice. Each job has a thread (`follow`) that stores what it read before
//! it reads more: a slow store slows reading down, and nothing is dropped.
//!
//! Upstream behaviour: Promtail 3.7, which had positions by path, saved every few seconds.
//!
//! Invariant: a position on disk is never ahead of what the store has on disk.

mod arrivals;
mod compressed;
mod config;
mod file;
mod follow;
mod found;
mod glob;
mod identity;
mod journal;
mod lines;
mod outlet;
mod positions;
mod push;
mod sink;
mod stats;
mod syslog;
mod tailer;
mod targets;
#[cfg(test)]
mod tests;
mod watch;

pub use compressed::Compression;
pub use config::{
    FilesConfig, JournalConfig, LogJob, LogSourceConfig, PushConfig, RateLimit, StartAt,
    SyslogConfig, SyslogFormat, SyslogProtocol, TailOptions,
};
pub use glob::{Found, Glob};
pub use lines::{Line, LineOptions, Lines, LongLines, encoding_by_name};
pub use push::Inlet;
pub use sink::{LogSink, Pushed, SinkError, SinkStats};
pub use stats::FileCounts;
pub use tailer::{JobStatus, PreparedJobs, TailSetup, Tailer};
pub use targets::{Dropped, sample_labels};
