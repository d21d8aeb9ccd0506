//! Many targets scraped by Kymo and by its peers, one system after the other: samples a
//! CPU-second, memory, scrapes that were missed, and how evenly they fell.
//!
//! The soak that the documentation tells of is
//! `kymo-benches scrape --targets 1000 --series 1000 --interval-seconds 15 --rounds 40`.

mod targets;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::compare::report::{Table, Unit};
use crate::compare::system::{Running, System};
use crate::compare::{build_kymo, form_encode, installed_systems};
use targets::Targets;

/// Rounds before the counted ones: series are made in the first, and the others find them.
const WARM_ROUNDS: u32 = 3;

/// How many targets, how large and how often, and by whom.
#[derive(Args)]
pub(crate) struct ScrapeArgs {
    /// Targets, each at an address of its own on the loopback interface.
    #[arg(long, default_value_t = 100)]
    targets: u32,
    /// Series of each target.
    #[arg(long, default_value_t = 500)]
    series: u32,
    /// Time between two scrapes of a target.
    #[arg(long, default_value_t = 5)]
    interval_seconds: u32,
    /// Scrapes of each target that are counted.
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Systems to run; one that is not installed is left out with a notice.
    #[arg(long, value_delimiter = ',', default_values = ["kymo", "prometheus", "victoria-metrics"])]
    systems: Vec<String>,
    /// Binary of Kymo to measure; built in release mode when not given.
    #[arg(long)]
    kymo: Option<PathBuf>,
    /// Folder for the systems' data, on a real disk.
    #[arg(long, default_value = "target/scrape")]
    dir: PathBuf,
}

impl ScrapeArgs {
    fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.interval_seconds.max(1)))
    }
}

pub(crate) fn run(args: &ScrapeArgs) -> anyhow::Result<()> {
    let kymo = match &args.kymo {
        // The systems run in folders of their own.
        Some(path) => std::path::absolute(path)?,
        None => build_kymo()?,
    };
    let systems = installed_systems(&args.systems, &kymo);
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()).collect());
    let targets = Targets::start(args.series, args.interval())?;
    for (system, program) in &systems {
        eprintln!("{} ...", system.name());
        let dir = std::path::absolute(&args.dir)?.join(system.name());
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        measure(*system, program, &dir, args, &targets, &mut table)
            .with_context(|| format!("measure {}", system.name()))?;
        fs::remove_dir_all(&dir)?;
    }
    println!("{}", table.markdown());
    Ok(())
}

fn measure(
    system: System,
    program: &Path,
    dir: &Path,
    args: &ScrapeArgs,
    targets: &Targets,
    table: &mut Table,
) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("jobs.yml"), configuration(args, targets.port()))?;
    let mut running = Running::start(system, program, dir)?;
    std::thread::sleep(args.interval() * WARM_ROUNDS);
    targets.take_served();
    let cpu_before = running.cpu_seconds()?;
    std::thread::sleep(args.interval() * args.rounds);
    let cpu_seconds = running.cpu_seconds()? - cpu_before;
    let served = targets.take_served();

    let expected = f64::from(args.targets) * f64::from(args.rounds);
    let scrapes = served.len() as f64;
    let what = format!(
        "{} targets x {} series every {} s",
        args.targets, args.series, args.interval_seconds
    );
    let mut add = |row: &str, unit, value| {
        running.set(table, format!("{what}: {row}"), unit, value);
    };
    add(
        "samples per server CPU-second",
        Unit::PerSecond,
        scrapes * f64::from(args.series) / cpu_seconds,
    );
    add(
        "cores used",
        Unit::Plain,
        cpu_seconds / (args.interval() * args.rounds).as_secs_f64(),
    );
    add(
        "scrapes missed, per cent",
        Unit::Plain,
        ((expected - scrapes) / expected * 100.0).max(0.0),
    );
    add(
        "busiest tenth of an interval, times the mean",
        Unit::Plain,
        busiest(&served, args.interval()),
    );
    add(
        "peak resident memory",
        Unit::Megabytes,
        running.peak_rss_bytes()? as f64 / 1e6,
    );
    add(
        "anonymous memory at the end",
        Unit::Megabytes,
        running.anonymous_bytes()? as f64 / 1e6,
    );
    for (row, query) in [
        ("targets up", "sum(up{job=\"bench\"})"),
        ("series", "count({job=\"bench\",__name__=~\"bench_.*\"})"),
    ] {
        let found = value(&mut running, query)?;
        running.set(table, format!("{what}: {row}"), Unit::Plain, found);
    }
    let p99 = "quantile(0.99, scrape_duration_seconds{job=\"bench\"})";
    let p99_ms = value(&mut running, p99)? * 1e3;
    let row = format!("{what}: p99 of a scrape");
    running.set(table, row, Unit::Milliseconds, p99_ms);
    Ok(())
}

/// Every target is at another address, so that each has a connection as hosts do.
fn configuration(args: &ScrapeArgs, port: u16) -> String {
    let mut text = format!(
        "global: {{scrape_interval: {0}s, scrape_timeout: {0}s}}\nscrape_configs:\n\
         - job_name: bench\n  static_configs:\n  - targets:\n",
        args.interval_seconds.max(1)
    );
    for target in 0..args.targets {
        let [_, a, b, c] = (target + 1).to_be_bytes();
        let _ = writeln!(text, "    - '127.{a}.{b}.{c}:{port}'");
    }
    text
}

/// Returns by how much the fullest tenth of an interval exceeds the mean of all.
fn busiest(served: &[Duration], interval: Duration) -> f64 {
    let width = interval.as_nanos() / 10;
    let mut counts = std::collections::BTreeMap::<u128, u32>::new();
    for at in served {
        *counts.entry(at.as_nanos() / width).or_default() += 1;
    }
    // The first and the last are cut by the ends of the window.
    let inner: Vec<u32> = counts.into_values().skip(1).collect();
    let inner = &inner[..inner.len().saturating_sub(1)];
    let sum: u32 = inner.iter().sum();
    let most = inner.iter().copied().max().unwrap_or_default();
    f64::from(most) * inner.len() as f64 / f64::from(sum)
}

fn value(running: &mut Running, query: &str) -> anyhow::Result<f64> {
    let path = format!("/api/v1/query?query={}", form_encode(query));
    let answer = running.client.get(&path)?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let value = answer["data"]["result"][0]["value"][1].as_str();
    let value = value.with_context(|| format!("{query}: {answer}"))?;
    Ok(value.parse()?)
}
