//! The same bytes to every system, one system after the other.

pub(crate) mod client;
mod dataset;
mod disk;
mod growth;
mod histograms;
pub(crate) mod report;
mod rules;
mod shapes;
pub(crate) mod system;
mod wire;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Args;

use dataset::{BenchSeries, Random};
use report::{Table, Unit};
use system::{Running, System};

/// Series of one remote-write request, one sample each, as Prometheus sends them.
const SERIES_PER_REQUEST: usize = 2_000;

/// Least time of a round while blocks are to be written: it takes minutes until a system
/// looks at what is due.
const ROUND_WITH_BLOCKS: Duration = Duration::from_millis(60);

/// What to measure and with what.
#[derive(Args)]
pub(crate) struct CompareArgs {
    /// Workloads to run, in order.
    #[arg(long, value_delimiter = ',', default_values = ["new", "steady", "query"])]
    workloads: Vec<Workload>,
    /// Systems to run; one that is not installed is left out with a notice.
    #[arg(long, value_delimiter = ',', default_values = ["kymo", "prometheus", "victoria-metrics"])]
    systems: Vec<String>,
    /// Binary of Kymo to measure; built in release mode when not given.
    #[arg(long)]
    kymo: Option<PathBuf>,
    /// Folder for the systems' data, on a real disk.
    #[arg(long, default_value = "target/compare")]
    dir: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Workload {
    /// 87,000 series never seen before, 60 samples each.
    New,
    /// 12,000 series, 480 samples each; the first 20 rounds are not counted.
    Steady,
    /// 1,000,000 series, 6 samples each: creation dominates.
    Million,
    /// 11,640 series over 8 h, then queries, kill -9 and restart; the same queries again
    /// when all that is due has gone to blocks.
    Query,
    /// 12,000 series over 10 h, slow enough that blocks are written meanwhile.
    Blocks,
    /// 1,000,000 series over 4 h, the older half of which goes to a block.
    Wide,
    /// Bytes per sample by kind of data, 26 h of each.
    Disk,
    /// 0.1, 0.3, 1 and 3 million series: what each costs, and how that grows.
    Growth,
    /// Many kinds of queries over 2, 12 and 100 thousand series, alone, by several clients,
    /// while samples come in, and with caches.
    Shapes,
    /// 10,000 rules over 100,000 series, every 15 s.
    Rules,
    /// 1,000 histograms over 8 h, native and classic, and a quantile of them.
    Histograms,
}

impl Workload {
    /// Tells whether it starts and stops the systems by itself.
    fn starts_its_own(self) -> bool {
        use Workload::{Disk, Growth, Histograms, Rules, Shapes};
        matches!(self, Disk | Growth | Histograms | Rules | Shapes)
    }
}

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let kymo = match &args.kymo {
        // The systems run in folders of their own.
        Some(path) => std::path::absolute(path)?,
        None => build_kymo()?,
    };
    let systems = installed_systems(&args.systems, &kymo);
    let end_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()).collect());
    for workload in &args.workloads {
        for (system, program) in &systems {
            eprintln!("{} ...", system.name());
            // The systems run inside it.
            let dir = std::path::absolute(&args.dir)?.join(system.name());
            if dir.exists() {
                std::fs::remove_dir_all(&dir)?;
            }
            match workload {
                Workload::Disk => disk::measure(*system, program, &dir, end_ms, &mut table)
                    .with_context(|| format!("measure {}", system.name()))?,
                Workload::Growth => growth::measure(*system, program, &dir, end_ms, &mut table)
                    .with_context(|| format!("measure {}", system.name()))?,
                Workload::Shapes => shapes::measure(*system, program, &dir, end_ms, &mut table)
                    .with_context(|| format!("measure {}", system.name()))?,
                Workload::Rules => rules::measure(*system, program, &dir, &mut table)
                    .with_context(|| format!("measure {}", system.name()))?,
                Workload::Histograms => {
                    histograms::measure(*system, program, &dir, end_ms, &mut table)
                        .with_context(|| format!("measure {}", system.name()))?;
                }
                _ => {}
            }
            if workload.starts_its_own() {
                std::fs::remove_dir_all(&dir)?;
                continue;
            }
            let mut running = Running::start(*system, program, &dir)?;
            measure(*workload, &mut running, end_ms, &mut table)
                .with_context(|| format!("measure {}", system.name()))?;
            drop(running);
            std::fs::remove_dir_all(&dir)?;
        }
    }
    println!("{}", table.markdown());
    Ok(())
}

/// Returns the systems of these names with their programs; one that is not installed is
/// left out with a notice.
pub(crate) fn installed_systems(names: &[String], kymo: &Path) -> Vec<(System, PathBuf)> {
    let wanted = System::ALL
        .into_iter()
        .filter(|system| names.iter().any(|name| name == system.name()));
    let found = wanted.filter_map(|system| {
        let program = system.program(kymo);
        if program.is_none() {
            eprintln!("{} is not installed: left out", system.name());
        }
        Some((system, program?))
    });
    found.collect()
}

/// Builds the binary that users run, with the cargo that runs this program.
pub(crate) fn build_kymo() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "-p", "kymo"])
        .status()?;
    if !status.success() {
        bail!("building kymo failed: {status}");
    }
    let own = std::env::current_exe()?;
    let binary = own.parent().unwrap_or(Path::new(".")).join("kymo");
    if !binary.is_file() {
        bail!("no binary at {}: name one with --kymo", binary.display());
    }
    Ok(binary)
}

fn measure(
    workload: Workload,
    running: &mut Running,
    end_ms: i64,
    table: &mut Table,
) -> anyhow::Result<()> {
    match workload {
        Workload::New => {
            let series = dataset::node_series(87_000);
            let sent = send(running, series, 60, 0, 15_000, end_ms)?;
            write_rows("87 k series first seen x 60", running, &sent, table)
        }
        Workload::Steady => {
            let series = dataset::node_series(12_000);
            let what = "12 k series steady x 480";
            let sent = send(running, series, 500, 20, 15_000, end_ms)?;
            write_rows(what, running, &sent, table)?;
            restart_rows(what, running, table)
        }
        Workload::Million => {
            let series = dataset::node_series(1_000_000);
            let sent = send(running, series, 6, 0, 15_000, end_ms)?;
            write_rows("1 M series x 6", running, &sent, table)?;
            restart_rows("1 M series x 6", running, table)
        }
        Workload::Query => {
            send(running, dataset::query_series(), 480, 0, 60_000, end_ms)?;
            query_rows("", running, end_ms, table)?;
            restart_rows("11,640 series x 480", running, table)?;
            disk::wait_until_quiet([running.data().as_path()])?;
            query_rows(", after compaction", running, end_ms, table)
        }
        Workload::Blocks => {
            let what = "12 k series over 10 h";
            let series = dataset::node_series(12_000);
            let pattern = Pattern {
                rounds: 2_400,
                uncounted: 20,
                interval_ms: 15_000,
                jitter_ms: 0,
                end_ms,
                round_takes: ROUND_WITH_BLOCKS,
            };
            let sent = send_pattern(running, series, pattern)?;
            let p99 = percentile(&sent.latencies_with_blocks, 99);
            if let Some(p99) = p99 {
                let row = format!("{what}: p99 of a write while a block is written");
                running.set(table, row, Unit::Milliseconds, p99.as_secs_f64() * 1e3);
            }
            disk::wait_until_quiet([running.data().as_path()])?;
            write_rows(what, running, &sent, table)?;
            restart_rows(what, running, table)
        }
        Workload::Wide => {
            let what = "1 M series over 4 h x 6";
            let series = dataset::node_series(1_000_000);
            let sent = send(running, series, 6, 0, 45 * 60_000, end_ms)?;
            disk::wait_until_quiet([running.data().as_path()])?;
            write_rows(what, running, &sent, table)?;
            restart_rows(what, running, table)
        }
        Workload::Disk
        | Workload::Growth
        | Workload::Histograms
        | Workload::Rules
        | Workload::Shapes => Ok(()),
    }
}

/// What sending cost.
struct Sent {
    samples: usize,
    cpu_seconds: f64,
    wall: Duration,
    /// Latency of each request, ascending.
    latencies: Vec<Duration>,
    /// Of those that began while a block was being written, ascending.
    latencies_with_blocks: Vec<Duration>,
}

/// When samples are sent.
#[derive(Clone, Copy)]
struct Pattern {
    /// Samples of every series.
    rounds: usize,
    /// So many of them warm up.
    uncounted: usize,
    interval_ms: i64,
    /// Every request is late by less than this.
    jitter_ms: u64,
    /// Time of the last round.
    end_ms: i64,
    /// Least time that a round takes.
    round_takes: Duration,
}

fn send(
    running: &mut Running,
    series: Vec<BenchSeries>,
    rounds: usize,
    uncounted: usize,
    interval_ms: i64,
    end_ms: i64,
) -> anyhow::Result<Sent> {
    let pattern = Pattern {
        rounds,
        uncounted,
        interval_ms,
        jitter_ms: 0,
        end_ms,
        round_takes: Duration::ZERO,
    };
    send_pattern(running, series, pattern)
}

/// Sends samples of every series and counts server CPU until the system is idle again.
fn send_pattern(
    running: &mut Running,
    mut series: Vec<BenchSeries>,
    pattern: Pattern,
) -> anyhow::Result<Sent> {
    let Pattern {
        rounds,
        uncounted,
        interval_ms,
        jitter_ms,
        end_ms,
        round_takes,
    } = pattern;
    let mut random = Random::new(42);
    let mut encoder = snap::raw::Encoder::new();
    let (mut message, mut body) = (Vec::new(), Vec::new());
    let (mut latencies, mut latencies_with_blocks) = (Vec::new(), Vec::new());
    let (mut start_cpu, mut samples) = (running.cpu_seconds()?, 0);
    let mut wall = Duration::ZERO;
    for round in 0..rounds {
        if round == uncounted && uncounted > 0 {
            running.settle()?;
            start_cpu = running.cpu_seconds()?;
            (samples, wall) = (0, Duration::ZERO);
            latencies.clear();
        }
        let t_ms = end_ms - (rounds - 1 - round) as i64 * interval_ms;
        let began = Instant::now();
        for batch in series.chunks_mut(SERIES_PER_REQUEST) {
            message.clear();
            let late_ms = random.next().checked_rem(jitter_ms).unwrap_or(0) as i64;
            let t_ms = t_ms + late_ms;
            for one in batch.iter_mut() {
                let value = one.step(&mut random);
                wire::push_series(&mut message, &one.label_bytes, t_ms, value);
            }
            body.resize(snap::raw::max_compress_len(message.len()), 0);
            let len = encoder.compress(&message, &mut body)?;
            let with_block = !round_takes.is_zero() && running.writes_block();
            let start = Instant::now();
            let answer = running.client.write("/api/v1/write", &body[..len])?;
            let took = start.elapsed();
            if answer.status / 100 != 2 {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                bail!("write answered {}: {text}", answer.status);
            }
            latencies.push(took);
            if with_block {
                latencies_with_blocks.push(took);
            }
            wall += took;
            samples += batch.len();
        }
        std::thread::sleep(round_takes.saturating_sub(began.elapsed()));
    }
    running.settle()?;
    let cpu_seconds = running.cpu_seconds()? - start_cpu;
    latencies.sort_unstable();
    latencies_with_blocks.sort_unstable();
    Ok(Sent {
        samples,
        cpu_seconds,
        wall,
        latencies,
        latencies_with_blocks,
    })
}

/// Returns the latency that so many of a hundred do not exceed.
fn percentile(ascending: &[Duration], percent: usize) -> Option<Duration> {
    let last = ascending.len().checked_sub(1)?;
    Some(ascending[last * percent / 100])
}

fn write_rows(
    what: &str,
    running: &mut Running,
    sent: &Sent,
    table: &mut Table,
) -> anyhow::Result<()> {
    if running.system == System::VictoriaMetrics {
        // What it holds in memory is to count, too.
        running.client.get("/internal/force_flush")?;
    }
    let mut add = |row: &str, unit, value| {
        running.set(table, format!("{what}: {row}"), unit, value);
    };
    add(
        "samples per server CPU-second",
        Unit::PerSecond,
        sent.samples as f64 / sent.cpu_seconds,
    );
    add(
        "samples per second",
        Unit::PerSecond,
        sent.samples as f64 / sent.wall.as_secs_f64(),
    );
    let p99 = percentile(&sent.latencies, 99).unwrap_or_default();
    add(
        "p99 of a write",
        Unit::Milliseconds,
        p99.as_secs_f64() * 1e3,
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
    add(
        "bytes on disk per sample",
        Unit::Bytes,
        running.disk_bytes()? as f64 / sent.samples as f64,
    );
    Ok(())
}

fn query_rows(
    when: &str,
    running: &mut Running,
    end_ms: i64,
    table: &mut Table,
) -> anyhow::Result<()> {
    const RANGES: [&str; 4] = [
        "sum by (mode) (rate(cpu[5m]))",
        "histogram_quantile(0.95, sum by (le, endpoint) (rate(b[5m])))",
        "quantile_over_time(0.9, x[10m])",
        "rate(cpu{mode=\"user\"}[5m])",
    ];
    let end = end_ms / 1000;
    let start = end - 8 * 3600;
    for query in RANGES {
        let path = format!(
            "/api/v1/query_range?query={}&start={start}&end={end}&step=60&nocache=1",
            form_encode(query)
        );
        let what = format!("`{query}`, 8 h, step 60 s{when}");
        latency_row(running, &what, &path, table)?;
    }
    let instant = "count by (__name__) ({__name__=~\".+\"})";
    let path = format!(
        "/api/v1/query?query={}&time={end}&nocache=1",
        form_encode(instant)
    );
    let what = format!("`{instant}`, instant{when}");
    latency_row(running, &what, &path, table)
}

/// Median of seven runs after one that warms up.
fn latency_row(
    running: &mut Running,
    what: &str,
    path: &str,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..8 {
        let start = Instant::now();
        let answer = running.client.get(path)?;
        times.push(start.elapsed());
        bytes = answer.body.len();
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            bail!("{path} answered {}: {text}", answer.status);
        }
    }
    times.remove(0);
    times.sort_unstable();
    let median_ms = times[times.len() / 2].as_secs_f64() * 1e3;
    running.set(table, what.to_owned(), Unit::Milliseconds, median_ms);
    let system = running.system.name();
    eprintln!("{system}: {what}: {median_ms:.1} ms, {bytes} bytes");
    Ok(())
}

/// Notes how long restarts take, and the CPU seconds in it: where others want the
/// processors, too, only those say something.
fn restart_rows(what: &str, running: &mut Running, table: &mut Table) -> anyhow::Result<()> {
    for (how, clean) in [("kill -9", false), ("a clean stop", true)] {
        let took = match clean {
            true => running.stop_and_restart()?,
            false => running.kill_and_restart()?,
        };
        let cpu_ms = running.cpu_seconds()? * 1e3;
        let mut add = |row: &str, ms| {
            let text = format!("{what}: {row} after {how}");
            running.set(table, text, Unit::Milliseconds, ms);
        };
        add("ready again", took.as_secs_f64() * 1e3);
        add("CPU until ready", cpu_ms);
    }
    Ok(())
}

pub(crate) fn form_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
