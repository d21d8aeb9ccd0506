//! Ten thousand rules over a hundred thousand series, every fifteen seconds.
//!
//! VictoriaMetrics has a second program for rules, vmalert: both are counted.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use super::client::Client;
use super::dataset::{self, BenchSeries, Random};
use super::report::{Row, Table, Unit};
use super::system::{Running, System, cpu_seconds_of, installed};
use super::{SERIES_PER_REQUEST, wire};

const SERIES: usize = 100_000;
const GROUPS: usize = 100;
const RULES_PER_GROUP: usize = 100;
const INTERVAL: Duration = Duration::from_secs(15);

/// Rounds of samples before the system is measured, so that `[5m]` is full.
const ROUNDS_BEFORE: i64 = 21;

/// Rounds that are not counted, and those that are.
const WARM_ROUNDS: usize = 3;
const COUNTED_ROUNDS: usize = 6;

/// Measures one system.
pub(super) fn measure(
    system: System,
    program: &Path,
    dir: &Path,
    table: &mut Table,
) -> anyhow::Result<()> {
    let vmalert = if system == System::VictoriaMetrics {
        let found = installed("vmalert");
        if found.is_none() {
            eprintln!("vmalert is not installed: {} is left out", system.name());
            return Ok(());
        }
        found
    } else {
        None
    };
    fs::create_dir_all(dir)?;
    let mut series = dataset::shaped_series(SERIES);
    fs::write(
        dir.join("rules.yml"),
        rule_file(series.len() / dataset::SHAPED_PER_HOST),
    )?;
    let mut running = Running::start(system, program, dir)?;
    let mut random = Random::new(42);
    let interval_ms = INTERVAL.as_millis() as i64;
    let now_ms = now_ms()?;
    for round in (1..=ROUNDS_BEFORE).rev() {
        let t_ms = now_ms - round * interval_ms;
        send_round(&mut running, &mut series, &mut random, t_ms)?;
    }
    let evaluator = match vmalert {
        Some(program) => Some(VmAlert::start(&program, dir, &running)?),
        None => None,
    };
    let mut cpu_before = 0.0;
    let mut durations = Vec::new();
    for round in 0..WARM_ROUNDS + COUNTED_ROUNDS {
        let began = Instant::now();
        send_round(&mut running, &mut series, &mut random, self::now_ms()?)?;
        std::thread::sleep(INTERVAL.saturating_sub(began.elapsed()));
        if round + 1 == WARM_ROUNDS {
            cpu_before = cpu(&running, evaluator.as_ref())?;
        } else if round >= WARM_ROUNDS {
            durations.push(figures(&mut running, evaluator.as_ref())?.duration_s);
        }
    }
    let spent = cpu(&running, evaluator.as_ref())? - cpu_before;
    let missed = figures(&mut running, evaluator.as_ref())?.missed;
    let mut add = |text: &str, unit, value| {
        let text = format!("10,000 rules over 100 k series: {text}");
        table.set(Row { text, unit }, system.name(), value);
    };
    let per_round = spent * 1e3 / COUNTED_ROUNDS as f64;
    add(
        "CPU per interval of 15 s, writes included",
        Unit::Milliseconds,
        per_round,
    );
    if let Some(mean) = mean(&durations) {
        add(
            "all groups' evaluation together",
            Unit::Milliseconds,
            mean * 1e3,
        );
    }
    add("missed iterations", Unit::Plain, missed);
    add(
        "peak resident memory",
        Unit::Megabytes,
        running.peak_rss_bytes()? as f64 / 1e6,
    );
    Ok(())
}

/// Writes rules of the usual kinds, each over one host.
fn rule_file(hosts: usize) -> String {
    let mut text = String::from("groups:\n");
    for group in 0..GROUPS {
        let _ = writeln!(text, "- name: group-{group}\n  interval: 15s\n  rules:");
        for rule in 0..RULES_PER_GROUP {
            let number = group * RULES_PER_GROUP + rule;
            let host = dataset::instance(number % hosts);
            let (what, expr) = match number % 5 {
                0 => (
                    "record: r:cpu",
                    format!("sum by (mode) (rate(cpu{{instance=\"{host}\"}}[5m]))"),
                ),
                1 => (
                    "record: r:p95",
                    format!(
                        "histogram_quantile(0.95, sum by (le) (rate(b{{instance=\"{host}\"}}[5m])))"
                    ),
                ),
                2 => ("record: r:avg", format!("avg(x{{instance=\"{host}\"}})")),
                3 => (
                    "alert: Hot",
                    format!("max by (instance) (x{{instance=\"{host}\"}}) > 149"),
                ),
                _ => (
                    "record: r:other",
                    format!(
                        "rate(other_metric_{}{{instance=\"{host}\"}}[5m])",
                        number % 72
                    ),
                ),
            };
            let _ = writeln!(text, "  - {what}\n    expr: '{expr}'");
            let _ = writeln!(text, "    labels: {{number: '{number}'}}");
            if what.starts_with("alert") {
                text.push_str(
                    "    annotations: {summary: '{{ $labels.instance }} at {{ $value }}'}\n",
                );
            }
        }
    }
    text
}

fn send_round(
    running: &mut Running,
    series: &mut [BenchSeries],
    random: &mut Random,
    t_ms: i64,
) -> anyhow::Result<()> {
    let mut encoder = snap::raw::Encoder::new();
    let (mut message, mut body) = (Vec::new(), Vec::new());
    for batch in series.chunks_mut(SERIES_PER_REQUEST) {
        message.clear();
        for one in batch.iter_mut() {
            let value = one.step(random);
            wire::push_series(&mut message, &one.label_bytes, t_ms, value);
        }
        body.resize(snap::raw::max_compress_len(message.len()), 0);
        let len = encoder.compress(&message, &mut body)?;
        let answer = running.client.write("/api/v1/write", &body[..len])?;
        if answer.status / 100 != 2 {
            bail!("write answered {}", answer.status);
        }
    }
    Ok(())
}

fn now_ms() -> anyhow::Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
    )?)
}

fn cpu(running: &Running, evaluator: Option<&VmAlert>) -> anyhow::Result<f64> {
    let own = running.cpu_seconds()?;
    Ok(own + evaluator.map_or(Ok(0.0), |one| cpu_seconds_of(one.child.id()))?)
}

/// What the evaluator says of itself.
struct Figures {
    /// Time of one evaluation, of all groups together.
    duration_s: f64,
    missed: f64,
}

fn figures(running: &mut Running, evaluator: Option<&VmAlert>) -> anyhow::Result<Figures> {
    let mut client = match evaluator {
        Some(one) => Client::new(one.port),
        None => running.new_client(),
    };
    let answer = client.get("/metrics")?;
    let text = String::from_utf8(answer.body)?;
    let mut sums: HashMap<&str, f64> = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let value = line
            .rsplit(' ')
            .next()
            .and_then(|value| value.parse::<f64>().ok());
        *sums.entry(name).or_default() += value.unwrap_or_default();
    }
    let get = |name: &str| sums.get(name).copied().unwrap_or_default();
    Ok(match evaluator {
        None => Figures {
            duration_s: get("prometheus_rule_group_last_duration_seconds"),
            missed: get("prometheus_rule_group_iterations_missed_total"),
        },
        Some(_) => Figures {
            duration_s: GROUPS as f64 * get("vmalert_iteration_duration_seconds_sum")
                / get("vmalert_iteration_duration_seconds_count"),
            missed: get("vmalert_iteration_missed_total"),
        },
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    (!values.is_empty()).then(|| sum / values.len() as f64)
}

/// A started vmalert, killed when dropped.
struct VmAlert {
    child: Child,
    port: u16,
}

impl VmAlert {
    fn start(program: &Path, dir: &Path, running: &Running) -> anyhow::Result<VmAlert> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let store = running.url();
        let log = fs::File::create(dir.join("vmalert.log"))?;
        let child = Command::new(program)
            .arg(format!("-rule={}", dir.join("rules.yml").display()))
            .arg(format!("-datasource.url={store}"))
            .arg(format!("-remoteWrite.url={store}"))
            // Nobody listens there: what is measured is evaluation.
            .arg("-notifier.url=http://127.0.0.1:9")
            .arg("-evaluationInterval=15s")
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(VmAlert { child, port })
    }
}

impl Drop for VmAlert {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
