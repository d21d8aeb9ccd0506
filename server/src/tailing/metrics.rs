//! Metrics of followed logs: Promtail's names, where dashboards ask for them, and the
//! metrics that stages make.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use kymo_ingest::pipeline::metrics::{FamilyKind, LogMetrics};
use kymo_ingest::tail::{FileCounts, JobStatus};

use super::Tailing;
use crate::clock;
use crate::observe::exposition::{Kind, TextWriter};

/// Takes one figure of a file.
type Value = fn(&FileCounts) -> u64;

/// Writes what following logs counts.
pub(crate) fn write(writer: &mut TextWriter, tailing: &Tailing) {
    let status = tailing.tailer.status();
    if !status.is_empty() {
        write_files(writer, &status);
        write_jobs(writer, &status);
    }
    let sent = tailing.tailer.sent();
    #[rustfmt::skip]
    let counters = [
        ("promtail_sent_entries_total", "Number of log entries stored.", &sent.sent_entries),
        ("promtail_sent_bytes_total", "Number of bytes of lines stored.", &sent.sent_bytes),
        ("kymo_tail_push_retries_total", "Batches of followed logs that the store did not take at once.", &sent.retries),
    ];
    for (name, help, counter) in counters {
        writer.counter(name, help, counter.load(Ordering::Relaxed));
    }
    let counts = tailing.tailer.pipelines().counts();
    let name = "logentry_dropped_lines_total";
    let help = "A count of all log lines dropped as a result of a pipeline stage";
    writer.family(name, Kind::Counter, help);
    for (reason, count) in &counts.dropped {
        writer.sample(name, &[("reason", reason)], *count as f64);
    }
    let name = "kymo_scrub_findings_total";
    let help =
        "Personal data and secrets found in log entries, by kind and what was done with them.";
    writer.family(name, Kind::Counter, help);
    for (action, kinds) in [
        ("replaced", &counts.scrubbed),
        ("counted", &counts.would_scrub),
    ] {
        for (kind, count) in kinds {
            writer.sample(
                name,
                &[("action", action), ("kind", kind.name())],
                *count as f64,
            );
        }
    }
    write_stage_metrics(writer, tailing.tailer.metrics());
}

fn write_files(writer: &mut TextWriter, status: &[JobStatus]) {
    // A path that several jobs follow, or that was followed before, has one sum.
    let mut sums: BTreeMap<String, FileCounts> = BTreeMap::new();
    for file in status
        .iter()
        .flat_map(|job| job.files.iter().chain(&job.past))
    {
        let sum = sums.entry(file.path.display().to_string()).or_default();
        sum.size += file.size;
        sum.read_bytes += file.read_bytes;
        sum.lines += file.lines;
        sum.too_long += file.too_long;
        sum.cuts += file.cuts;
        sum.cut_bytes += file.cut_bytes;
    }
    #[rustfmt::skip]
    let families: [(&str, Kind, &str, Value); 6] = [
        ("promtail_read_bytes_total", Kind::Gauge, "Number of bytes read.", |f| f.read_bytes),
        ("promtail_file_bytes_total", Kind::Gauge, "Number of bytes total.", |f| f.size),
        ("promtail_read_lines_total", Kind::Counter, "Number of lines read.", |f| f.lines),
        ("kymo_tail_long_lines_total", Kind::Counter, "Lines that were too long and left out.", |f| f.too_long),
        ("kymo_tail_cuts_total", Kind::Counter, "How often a file was cut and began anew.", |f| f.cuts),
        ("kymo_tail_cut_bytes_total", Kind::Counter, "Bytes of unfinished lines that were gone when a file was cut.", |f| f.cut_bytes),
    ];
    for (name, kind, help, value) in families {
        writer.family(name, kind, help);
        for (path, sum) in &sums {
            writer.sample(name, &[("path", path)], value(sum) as f64);
        }
    }
}

fn write_jobs(writer: &mut TextWriter, status: &[JobStatus]) {
    let files: usize = status.iter().map(|job| job.files.len()).sum();
    let help = "Number of active files.";
    writer.gauge("promtail_files_active_total", help, files as f64);
    let name = "promtail_targets_active_total";
    writer.family(name, Kind::Gauge, "Number of active total.");
    for job in status {
        let count = match job.kind {
            "file" => job.targets.len(),
            _ => 1,
        };
        writer.sample(name, &[("job", &job.job), ("type", job.kind)], count as f64);
    }
    let name = "promtail_targets_failed_total";
    writer.family(name, Kind::Gauge, "Files of a job that cannot be read.");
    for job in status {
        writer.sample(name, &[("job", &job.job)], job.failures.len() as f64);
    }
}

/// Writes the metrics that stages make.
pub(crate) fn write_stage_metrics(writer: &mut TextWriter, metrics: &LogMetrics) {
    for family in metrics.snapshot(clock::now_ns()) {
        let kind = match &family.kind {
            FamilyKind::Counter => Kind::Counter,
            FamilyKind::Gauge => Kind::Gauge,
            FamilyKind::Histogram(_) => Kind::Histogram,
        };
        let name = family.name.as_str();
        writer.family(name, kind, &family.help);
        for series in &family.series {
            let labels: Vec<(&str, &str)> =
                series.labels.iter().map(|(n, v)| (&**n, &**v)).collect();
            let FamilyKind::Histogram(bounds) = &family.kind else {
                writer.sample(name, &labels, series.value);
                continue;
            };
            let mut count = 0;
            let ends = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (end, bucket) in ends.zip(&series.buckets) {
                count += bucket;
                let mut labels = labels.clone();
                labels.push(("le", &end));
                writer.sample(&format!("{name}_bucket"), &labels, count as f64);
            }
            writer.sample(&format!("{name}_sum"), &labels, series.value);
            writer.sample(&format!("{name}_count"), &labels, count as f64);
        }
    }
}
