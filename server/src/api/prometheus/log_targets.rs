//! `/api/v1/log_targets`: which logs are followed, and how far.

use std::collections::BTreeMap;

use kymo_ingest::tail::{FileCounts, JobStatus};
use serde::Serialize;

use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogTargets {
    jobs: Vec<Job>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    job: String,
    /// `file`, `journal`, `syslog` or `push`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    targets: Vec<Target>,
    dropped_targets: Vec<DroppedTarget>,
    files: Vec<File>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    path: String,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DroppedTarget {
    discovered_labels: BTreeMap<String, String>,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    path: String,
    size_bytes: u64,
    position_bytes: u64,
    read_bytes: u64,
    lines: u64,
    last_error: String,
}

/// Answers with all jobs, their targets and files.
pub(crate) async fn log_targets(call: Call) -> ApiResult {
    let status = call.core()?.tailing.status();
    Answer::value(&LogTargets {
        jobs: status.into_iter().map(job).collect(),
    })
}

fn job(status: JobStatus) -> Job {
    let mut failures = status.failures;
    let mut files: Vec<File> = status
        .files
        .iter()
        .map(|counts| {
            let error = failures.remove(&counts.path).unwrap_or_default();
            file(counts, error)
        })
        .collect();
    // Files that could not even be opened.
    files.extend(failures.into_iter().map(|(path, error)| {
        let counts = FileCounts {
            path,
            ..FileCounts::default()
        };
        file(&counts, error)
    }));
    Job {
        job: status.job,
        kind: status.kind,
        address: status.address.map(|address| address.to_string()),
        targets: status
            .targets
            .into_iter()
            .map(|(path, labels)| Target {
                path,
                labels: labels.into_iter().collect(),
            })
            .collect(),
        dropped_targets: status
            .dropped
            .into_iter()
            .map(|dropped| DroppedTarget {
                discovered_labels: dropped.labels.into_iter().collect(),
                reason: dropped.reason,
            })
            .collect(),
        files,
    }
}

fn file(counts: &FileCounts, last_error: String) -> File {
    File {
        path: counts.path.display().to_string(),
        size_bytes: counts.size,
        position_bytes: counts.position,
        read_bytes: counts.read_bytes,
        lines: counts.lines,
        last_error,
    }
}
