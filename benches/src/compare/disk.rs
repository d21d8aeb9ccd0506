//! What a sample takes on disk, by kind of data: freshly written and after merges.
//!
//! Each kind goes to an instance of its own, all of a system at the same time, because
//! most of the time is spent waiting for systems to compact in their own rhythm.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::dataset::{self, BenchSeries};
use super::report::{Row, Table, Unit};
use super::system::{Running, System, folder_bytes};
use super::{Pattern, send_pattern};

/// Series of each kind.
const SERIES: usize = 500;
/// 26 hours at 15 seconds: what is older than a day is merged to the widest blocks.
const ROUNDS: usize = 26 * 240;
/// Compactions have ended when the files were quiet for so long.
const QUIET: Duration = Duration::from_secs(75);
const MOST: Duration = Duration::from_secs(300);

/// A kind of data.
struct Kind {
    name: &'static str,
    series: fn(usize) -> Vec<BenchSeries>,
    jitter_ms: u64,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "node-like mix",
        series: dataset::mixed_series,
        jitter_ms: 0,
    },
    Kind {
        name: "gauges of two decimals",
        series: dataset::gauge_series,
        jitter_ms: 0,
    },
    Kind {
        name: "full doubles",
        series: dataset::double_series,
        jitter_ms: 0,
    },
    Kind {
        name: "constants",
        series: dataset::constant_series,
        jitter_ms: 0,
    },
    Kind {
        name: "node-like mix, jittered times",
        series: dataset::mixed_series,
        jitter_ms: 100,
    },
];

/// Bytes of some blocks, and their samples.
#[derive(Default)]
struct Taken {
    data_bytes: u64,
    index_bytes: u64,
    samples: u64,
}

/// Measures one system.
pub(super) fn measure(
    system: System,
    program: &Path,
    dir: &Path,
    end_ms: i64,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut instances = Vec::new();
    for (number, kind) in KINDS.iter().enumerate() {
        let dir = dir.join(number.to_string());
        let mut running = Running::start(system, program, &dir)?;
        let pattern = Pattern {
            rounds: ROUNDS,
            uncounted: 0,
            interval_ms: 15_000,
            jitter_ms: kind.jitter_ms,
            end_ms,
            round_takes: Duration::ZERO,
        };
        let sent = send_pattern(&mut running, (kind.series)(SERIES), pattern)?;
        instances.push((kind, running, sent.samples as u64, dir.join("data")));
    }
    if system == System::VictoriaMetrics {
        for (_, running, ..) in &mut instances {
            running.client.get("/internal/force_flush")?;
            running.client.get("/internal/force_merge")?;
        }
    }
    wait_until_quiet(instances.iter().map(|(.., data)| data.as_path()))?;
    for (kind, _, samples, data) in &instances {
        let mut add = |what: &str, value: f64| {
            let text = format!("{}: {what}", kind.name);
            let unit = Unit::SmallBytes;
            table.set(Row { text, unit }, system.name(), value);
        };
        let per_sample = |bytes: u64, samples: u64| bytes as f64 / samples as f64;
        if system == System::VictoriaMetrics {
            let (data_bytes, index_bytes) = parts(data)?;
            let bytes = data_bytes + index_bytes;
            add("bytes per sample, merged", per_sample(bytes, *samples));
            let index = per_sample(index_bytes, *samples);
            add("of these the index, merged", index);
            continue;
        }
        for (what, levels) in [("2 h blocks", 1..=1), ("merged", 2..=u64::MAX)] {
            let taken = blocks(data, |level| levels.contains(&level))?;
            if taken.samples > 0 {
                let bytes = taken.data_bytes + taken.index_bytes;
                let text = format!("bytes per sample, {what}");
                add(&text, per_sample(bytes, taken.samples));
                let index = per_sample(taken.index_bytes, taken.samples);
                add(&format!("of these the index, {what}"), index);
            }
        }
    }
    Ok(())
}

/// Waits until no file changes any more.
pub(super) fn wait_until_quiet<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<()> {
    let dirs: Vec<PathBuf> = dirs.into_iter().map(Path::to_path_buf).collect();
    let sizes = || -> Vec<Option<u64>> { dirs.iter().map(|dir| folder_bytes(dir).ok()).collect() };
    let start = Instant::now();
    let (mut before, mut since) = (sizes(), Instant::now());
    while since.elapsed() < QUIET && start.elapsed() < MOST {
        std::thread::sleep(Duration::from_secs(1));
        let now = sizes();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Returns what a sample takes in the blocks of a system, all included; `None` where there
/// are no blocks.
pub(super) fn bytes_per_sample(data: &Path) -> anyhow::Result<Option<f64>> {
    let taken = blocks(data, |_| true)?;
    let bytes = (taken.data_bytes + taken.index_bytes) as f64;
    Ok((taken.samples > 0).then(|| bytes / taken.samples as f64))
}

/// Adds up blocks by what their `meta.json` says of them.
fn blocks(data: &Path, is_wanted: impl Fn(u64) -> bool) -> anyhow::Result<Taken> {
    let mut taken = Taken::default();
    let below = data.join("blocks");
    let dir = if below.is_dir() { &below } else { data };
    for entry in fs::read_dir(dir)? {
        let block = entry?.path();
        let Ok(meta) = fs::read(block.join("meta.json")) else {
            continue;
        };
        let meta: serde_json::Value = serde_json::from_slice(&meta)?;
        let level = meta["compaction"]["level"].as_u64().context("level")?;
        if is_wanted(level) {
            taken.samples += meta["stats"]["numSamples"].as_u64().context("samples")?;
            let index_bytes = fs::metadata(block.join("index"))?.len();
            taken.index_bytes += index_bytes;
            taken.data_bytes += folder_len(&block)? - index_bytes;
        }
    }
    Ok(taken)
}

/// Bytes of data and index of VictoriaMetrics.
fn parts(data: &Path) -> anyhow::Result<(u64, u64)> {
    let index_bytes = folder_len(&data.join("indexdb"))?;
    Ok((folder_len(&data.join("data"))?, index_bytes))
}

/// Adds up lengths, so that small files do not count as whole pages.
fn folder_len(dir: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() {
            folder_len(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(sum)
}
