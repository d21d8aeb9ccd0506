//! Logs for measuring, and the measurement: the same pushes to every system, one after the
//! other.

mod bodies;
mod found;
pub(crate) mod lines;
mod queries;
mod system;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use crate::compare::build_kymo;
use crate::compare::report::{Row, Table, Unit};
use bodies::Bodies;
use found::Found;
use lines::LineKind;
use system::{LogSystem, RunningLogs};

/// How often a query is asked; the median counts.
const ASKED: usize = 5;

/// How long a system may take to bring its files into their last form.
const MERGE_LIMIT: Duration = Duration::from_secs(180);

/// Share of the lines that may be lost with answers still worth a comparison.
const MOST_LOST: f64 = 0.1;

/// What to measure and with what.
#[derive(Args)]
pub(crate) struct LogsArgs {
    /// Lines to push of each kind.
    #[arg(long, default_value_t = 2_000_000)]
    lines: u64,
    /// Kinds of lines, in order.
    #[arg(long, value_delimiter = ',', default_values = ["json", "logfmt", "nginx", "plain"])]
    kinds: Vec<LineKind>,
    /// Lines of one push.
    #[arg(long, default_value_t = 2_000)]
    lines_per_push: u64,
    /// Binary of Kymo; built in release mode when not given.
    #[arg(long)]
    kymo: Option<PathBuf>,
    /// Binary of VictoriaLogs, to be measured beside it.
    #[arg(long)]
    victoria_logs: Option<PathBuf>,
    /// Binary of Loki, to be measured beside it.
    #[arg(long)]
    loki: Option<PathBuf>,
    /// Folder for the systems' data, on a real disk.
    #[arg(long, default_value = "target/compare-logs")]
    dir: PathBuf,
}

pub(crate) fn run(args: &LogsArgs) -> anyhow::Result<()> {
    let kymo = match &args.kymo {
        Some(path) => std::path::absolute(path)?,
        None => build_kymo()?,
    };
    let mut systems = vec![(LogSystem::Kymo, kymo)];
    let peers = [
        (LogSystem::VictoriaLogs, &args.victoria_logs),
        (LogSystem::Loki, &args.loki),
    ];
    for (system, path) in peers {
        if let Some(path) = path {
            systems.push((system, std::path::absolute(path)?));
        }
    }
    let mut answers: Vec<Answer> = Vec::new();
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()).collect());
    for &kind in &args.kinds {
        for (system, program) in &systems {
            eprintln!("{} lines to {} ...", kind.name(), system.name());
            let dir = std::path::absolute(&args.dir)?.join(system.name());
            if dir.exists() {
                std::fs::remove_dir_all(&dir)?;
            }
            let mut running = RunningLogs::start(*system, program, &dir)?;
            measure(args, kind, &mut running, &mut table, &mut answers)
                .with_context(|| format!("measure {}", system.name()))?;
            drop(running);
            std::fs::remove_dir_all(&dir)?;
        }
    }
    println!("{}", table.markdown());
    differing(&answers)
}

/// What a system found before it was killed.
struct Answer {
    query: String,
    system: &'static str,
    found: Found,
}

/// # Errors
/// Two systems found different things, so that their times say nothing of each other.
fn differing(answers: &[Answer]) -> anyhow::Result<()> {
    let mut differ = Vec::new();
    for (at, answer) in answers.iter().enumerate() {
        let first = answers[..at].iter().find(|one| one.query == answer.query);
        if let Some(first) = first
            && !first.found.agrees(answer.found)
        {
            differ.push(format!(
                "{}: {:?} from {}, {:?} from {}",
                answer.query, first.found, first.system, answer.found, answer.system
            ));
        }
    }
    if !differ.is_empty() {
        bail!("the answers differ:\n{}", differ.join("\n"));
    }
    Ok(())
}

fn measure(
    args: &LogsArgs,
    kind: LineKind,
    running: &mut RunningLogs,
    table: &mut Table,
    answers: &mut Vec<Answer>,
) -> anyhow::Result<()> {
    let name = running.system.name();
    let of_kind = |text: &str| format!("{}: {text}", kind.name());
    let mut set = |text: String, unit: Unit, value: f64| {
        let text = of_kind(&text);
        table.set(Row { text, unit }, name, value);
    };
    let before = running.cpu_seconds()?;
    let began = Instant::now();
    let mut bodies = Bodies::new(kind, args.lines, args.lines_per_push);
    let mut line_bytes = 0;
    while let Some(body) = bodies.next_body() {
        line_bytes += body.line_bytes;
        let path = running.system.push_path();
        let answer = running.client.write(path, &body.bytes)?;
        if answer.status / 100 != 2 {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            bail!("a push was answered with {}: {text}", answer.status);
        }
    }
    let took = began.elapsed();
    let pushed = running.cpu_seconds()? - before;
    running.settle()?;
    let settled = running.cpu_seconds()? - before;
    eprintln!(
        "{} lines, {} MB, in {took:.1?}; {pushed:.2} CPU-seconds, {settled:.2} with what was put off",
        args.lines,
        line_bytes / 1_000_000
    );
    let lines = args.lines as f64;
    set(
        "pushed, lines per CPU-second".to_owned(),
        Unit::PerSecond,
        lines / pushed,
    );
    set(
        "the same with work put off".to_owned(),
        Unit::PerSecond,
        lines / settled,
    );
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    set(
        "memory at the end".to_owned(),
        Unit::Megabytes,
        megabytes(running.anonymous_bytes()?),
    );
    set(
        "memory at its peak".to_owned(),
        Unit::Megabytes,
        megabytes(running.peak_rss_bytes()?),
    );
    let queries = queries::of(kind, args.lines);
    let mut all = Found::Nothing;
    for query in &queries {
        match ask(running, query) {
            Ok((took, found)) => {
                set(query.text.to_owned(), Unit::Milliseconds, took);
                answers.push(Answer {
                    query: of_kind(query.text),
                    system: name,
                    found,
                });
                if query.text == queries::ALL {
                    all = found;
                }
            }
            Err(error) => eprintln!("{name}: {}: {error:#}", query.text),
        }
    }
    let restarted = running.kill_and_restart()?;
    set(
        "ready again after kill -9".to_owned(),
        Unit::Milliseconds,
        restarted.as_secs_f64() * 1e3,
    );
    let mut lost = 0.0;
    if let Some(query) = queries.iter().find(|query| query.text == queries::ALL) {
        lost = all.lost(ask(running, query)?.1);
    }
    set(
        "lines lost by kill -9, %".to_owned(),
        Unit::Plain,
        lost * 100.0,
    );
    if lost > MOST_LOST {
        eprintln!("{name}: most lines are gone, the rest is not measured");
        return Ok(());
    }
    set(
        "disk after merges".to_owned(),
        Unit::Megabytes,
        megabytes(merged_bytes(running)?),
    );
    for query in &queries {
        if let Ok((took, _)) = ask(running, query) {
            let text = format!("{}, from disk", query.text);
            set(text, Unit::Milliseconds, took);
        }
    }
    Ok(())
}

/// Returns the median time of a query in milliseconds, and what it found.
fn ask(running: &mut RunningLogs, query: &queries::Asked) -> anyhow::Result<(f64, Found)> {
    let target = running.system.target(query);
    let mut found = Found::Nothing;
    let mut times = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let began = Instant::now();
        let answer = running.client.get(&target)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            bail!("status {}: {text}", answer.status);
        }
        found = Found::read(query, &answer.body)?;
    }
    times.sort_by(f64::total_cmp);
    Ok((times[ASKED / 2], found))
}

/// Waits until the data on disk stay as they are, and returns their bytes.
fn merged_bytes(running: &mut RunningLogs) -> anyhow::Result<u64> {
    running.flush()?;
    let began = Instant::now();
    let (mut bytes, mut since) = (running.disk_bytes()?, Instant::now());
    while since.elapsed() < Duration::from_secs(25) && began.elapsed() < MERGE_LIMIT {
        std::thread::sleep(Duration::from_millis(500));
        let now = running.disk_bytes()?;
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
    }
    Ok(bytes)
}
