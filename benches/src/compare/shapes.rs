//! Kinds of queries, over few and many series, alone and with others.
//!
//! Each system gets the same series; then every kind of query is asked in four ways:
//! by one client, by eight at a time, by one while samples come in, and as a dashboard
//! asks that is refreshed: the range moves on by a step from call to call, and result
//! caches may work. In the first three every call says `nocache=1`, which Kymo and
//! VictoriaMetrics both know.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::client::Client;
use super::dataset::{self, BenchSeries, Random};
use super::report::{Row, Table, Unit};
use super::system::{Running, System};
use super::{SERIES_PER_REQUEST, form_encode, send, wire};

/// Series, samples of each, a minute apart, and how they are called.
const SIZES: [(usize, usize, &str); 3] = [
    (2_000, 480, "2 k series, 8 h"),
    (12_000, 480, "12 k series, 8 h"),
    (100_000, 120, "100 k series, 2 h"),
];

/// Distance of samples and of steps.
const STEP_S: i64 = 60;

/// Clients that ask at one time.
const CLIENTS: usize = 8;

/// A query is asked at least so often and for so long, whichever comes first counts
/// from the second on.
const LEAST_CALLS: usize = 3;
const MOST_CALLS: usize = 9;
const LEAST_TIME: Duration = Duration::from_millis(400);

/// Samples that come in per second while queries run.
const SAMPLES_PER_SECOND: usize = 50_000;

/// What is asked.
#[derive(Clone, Copy)]
enum Ask {
    /// `/api/v1/query_range` over all of the data.
    Range(&'static str),
    /// `/api/v1/query` at its end.
    Instant(&'static str),
    /// A call with `start` and `end`.
    Api(&'static str),
}

const SHAPES: [Ask; 24] = [
    Ask::Range("x{instance=\"10.0.0.3:9100\"}"),
    Ask::Range("x"),
    Ask::Range("rate(cpu{mode=\"user\"}[5m])"),
    Ask::Range("sum(rate(cpu[5m]))"),
    Ask::Range("sum by (mode) (rate(cpu[5m]))"),
    Ask::Range("sum by (instance) ({__name__=~\"other_metric_1.*\"})"),
    Ask::Range("topk(5, sum by (instance) (rate(cpu{mode!=\"idle\"}[5m])))"),
    Ask::Range("quantile(0.9, x)"),
    Ask::Range("stddev by (mode) (cpu)"),
    Ask::Range("avg_over_time(x[1h])"),
    Ask::Range("max_over_time(x[1h])"),
    Ask::Range("quantile_over_time(0.9, x[10m])"),
    Ask::Range("histogram_quantile(0.95, sum by (le, endpoint) (rate(b[5m])))"),
    Ask::Range(
        "sum by (instance) (rate(cpu{mode=\"user\"}[5m])) / sum by (instance) (rate(cpu[5m]))",
    ),
    Ask::Range("x * on (instance) group_left (release) host_info"),
    Ask::Range("x unless x > 100 or x > 140"),
    Ask::Range("max_over_time(sum by (mode) (rate(cpu[5m]))[30m:1m])"),
    Ask::Range("count_values(\"ten\", floor(x / 10))"),
    Ask::Range("label_replace(x, \"host\", \"$1\", \"node\", \"worker-(.*)[.].*[.].*\")"),
    Ask::Instant("count by (__name__) ({__name__=~\".+\"})"),
    Ask::Instant("sum by (mode) (rate(cpu[5m]))"),
    Ask::Instant("topk(10, x)"),
    Ask::Api("/api/v1/series?match[]=cpu%7Bmode%3D%22user%22%7D"),
    Ask::Api("/api/v1/label/instance/values?match[]=x"),
];

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Alone,
    Together,
    WhileWriting,
    Refreshed,
}

impl Way {
    const ALL: [Way; 4] = [Way::Alone, Way::Together, Way::WhileWriting, Way::Refreshed];

    fn name(self) -> &'static str {
        match self {
            Way::Alone => "one client",
            Way::Together => "eight clients",
            Way::WhileWriting => "one client, 50 k samples a second come in",
            Way::Refreshed => "refreshed every step, caches on",
        }
    }
}

impl Ask {
    fn text(self) -> String {
        match self {
            Ask::Range(query) => format!("`{query}`"),
            Ask::Instant(query) => format!("`{query}`, instant"),
            Ask::Api(path) => {
                let shown = path.replace("%7B", "{").replace("%7D", "}");
                format!("`{}`", shown.replace("%3D", "=").replace("%22", "\""))
            }
        }
    }

    /// Returns the path of a call; `back` is how many steps it ends before the data.
    fn path(self, end_s: i64, minutes: usize, back: i64, cached: bool) -> String {
        let end = end_s - back * STEP_S;
        let start = end_s - (minutes as i64 - 1) * STEP_S - back * STEP_S;
        let mut path = match self {
            Ask::Range(query) => format!(
                "/api/v1/query_range?query={}&start={start}&end={end}&step={STEP_S}",
                form_encode(query)
            ),
            Ask::Instant(query) => {
                format!("/api/v1/query?query={}&time={end}", form_encode(query))
            }
            Ask::Api(path) => format!("{path}&start={start}&end={end}"),
        };
        if !cached {
            path.push_str("&nocache=1");
        }
        path
    }
}

/// Measures one system with every number of series.
pub(super) fn measure(
    system: System,
    program: &Path,
    dir: &Path,
    end_ms: i64,
    table: &mut Table,
) -> anyhow::Result<()> {
    let end_s = end_ms / 1000;
    for (count, minutes, name) in SIZES {
        let dir = dir.join(count.to_string());
        let mut running = Running::start(system, program, &dir)?;
        let series = dataset::shaped_series(count);
        send(
            &mut running,
            series,
            minutes,
            0,
            STEP_S * 1000,
            end_s * 1000,
        )?;
        if system == System::VictoriaMetrics {
            running.client.get("/internal/force_flush")?;
        }
        for way in Way::ALL {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| -> anyhow::Result<()> {
                let writer = (way == Way::WhileWriting).then(|| {
                    let client = running.new_client();
                    scope.spawn(|| write_on(client, end_s, &stop))
                });
                let asked = SHAPES.iter().try_for_each(|ask| {
                    let spent = ask_it(&mut running, *ask, way, end_s, minutes)
                        .with_context(|| format!("{}, {name}", ask.text()))?;
                    let row = |what: &str| Row {
                        text: format!("{name}, {}, {what}: {}", way.name(), ask.text()),
                        unit: Unit::Milliseconds,
                    };
                    table.set(row("time"), system.name(), spent.wall_ms);
                    table.set(row("CPU"), system.name(), spent.cpu_ms);
                    Ok(())
                });
                stop.store(true, Ordering::Relaxed);
                if let Some(writer) = writer {
                    writer
                        .join()
                        .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
                }
                asked
            })?;
            eprintln!("{}: {name}, {} done", system.name(), way.name());
        }
        drop(running);
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

/// What a call costs, in milliseconds. With several clients the time is that until all
/// have their answer, divided by their number.
struct Spent {
    wall_ms: f64,
    cpu_ms: f64,
}

fn ask_it(
    running: &mut Running,
    ask: Ask,
    way: Way,
    end_s: i64,
    minutes: usize,
) -> anyhow::Result<Spent> {
    let cached = way == Way::Refreshed;
    // A refreshed range moves towards the end of the data.
    let path = |call: usize| {
        let back = if cached {
            (MOST_CALLS - call) as i64
        } else {
            0
        };
        ask.path(end_s, minutes, back, cached)
    };
    call(&mut running.client, &path(0))?;
    let (cpu_before, began) = (running.cpu_seconds()?, Instant::now());
    let mut times = Vec::new();
    // Eight clients are eight calls.
    let least = if way == Way::Together { 1 } else { LEAST_CALLS };
    while times.len() < least || (began.elapsed() < LEAST_TIME && times.len() + 1 < MOST_CALLS) {
        let path = path(times.len() + 1);
        let start = Instant::now();
        if way == Way::Together {
            std::thread::scope(|scope| {
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|_| {
                        let (mut client, path) = (running.new_client(), &path);
                        scope.spawn(move || call(&mut client, path))
                    })
                    .collect();
                clients.into_iter().try_for_each(|client| {
                    client
                        .join()
                        .map_err(|_| anyhow::anyhow!("a client panicked"))?
                })
            })?;
            times.push(start.elapsed() / CLIENTS as u32);
        } else {
            call(&mut running.client, &path)?;
            times.push(start.elapsed());
        }
    }
    let per_call = if way == Way::Together { CLIENTS } else { 1 };
    let calls = times.len() * per_call;
    let cpu_ms = (running.cpu_seconds()? - cpu_before) * 1e3 / calls as f64;
    times.sort_unstable();
    Ok(Spent {
        wall_ms: times[times.len() / 2].as_secs_f64() * 1e3,
        cpu_ms,
    })
}

fn call(client: &mut Client, path: &str) -> anyhow::Result<()> {
    let answer = client.get(path)?;
    if answer.status != 200 {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        bail!("{path} answered {}: {text}", answer.status);
    }
    Ok(())
}

/// Writes other series, at the pace of a busy system, until told to stop.
fn write_on(mut client: Client, end_s: i64, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut series: Vec<BenchSeries> = dataset::node_series(SAMPLES_PER_SECOND);
    let mut random = Random::new(7);
    let mut encoder = snap::raw::Encoder::new();
    let (mut message, mut body) = (Vec::new(), Vec::new());
    let batches = SAMPLES_PER_SECOND.div_ceil(SERIES_PER_REQUEST);
    let pause = Duration::from_secs(1) / u32::try_from(batches)?;
    for second in 1.. {
        for batch in series.chunks_mut(SERIES_PER_REQUEST) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let began = Instant::now();
            message.clear();
            for one in batch.iter_mut() {
                let value = one.step(&mut random);
                wire::push_series(
                    &mut message,
                    &one.label_bytes,
                    (end_s + second) * 1000,
                    value,
                );
            }
            body.resize(snap::raw::max_compress_len(message.len()), 0);
            let len = encoder.compress(&message, &mut body)?;
            let answer = client.write("/api/v1/write", &body[..len])?;
            if answer.status / 100 != 2 {
                bail!("write answered {}", answer.status);
            }
            std::thread::sleep(pause.saturating_sub(began.elapsed()));
        }
    }
    Ok(())
}
