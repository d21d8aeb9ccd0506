//! How costs grow with the number of series.

use std::path::Path;
use std::time::Duration;

use super::report::{Row, Table, Unit};
use super::system::{Running, System};
use super::{dataset, send};

const SIZES: [(usize, &str); 4] = [
    (100_000, "0.1 M series"),
    (300_000, "0.3 M series"),
    (1_000_000, "1 M series"),
    (3_000_000, "3 M series"),
];

/// What a number of series costs.
struct Costs {
    ns_per_sample: f64,
    anonymous_bytes: f64,
    /// CPU of restarts.
    kill_ms: f64,
    stop_ms: f64,
}

/// Returns the CPU that a restart takes until the system is ready, in milliseconds.
fn cpu_ms(
    running: &mut Running,
    restart: fn(&mut Running) -> anyhow::Result<Duration>,
) -> anyhow::Result<f64> {
    restart(running)?;
    Ok(running.cpu_seconds()? * 1e3)
}

/// Measures one system at every size, six samples of each series.
pub(super) fn measure(
    system: System,
    program: &Path,
    dir: &Path,
    end_ms: i64,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut add = |text: String, unit, value| table.set(Row { text, unit }, system.name(), value);
    let mut costs = Vec::new();
    for (n_series, name) in SIZES {
        let dir = dir.join(n_series.to_string());
        let mut running = Running::start(system, program, &dir)?;
        let sent = send(
            &mut running,
            dataset::node_series(n_series),
            6,
            0,
            15_000,
            end_ms,
        )?;
        let cost = Costs {
            ns_per_sample: sent.cpu_seconds * 1e9 / sent.samples as f64,
            anonymous_bytes: running.anonymous_bytes()? as f64,
            kill_ms: cpu_ms(&mut running, Running::kill_and_restart)?,
            stop_ms: cpu_ms(&mut running, Running::stop_and_restart)?,
        };
        drop(running);
        std::fs::remove_dir_all(&dir)?;
        let per_sample = "server CPU per sample";
        add(
            format!("{name}: {per_sample}"),
            Unit::Nanoseconds,
            cost.ns_per_sample,
        );
        let per_series = cost.anonymous_bytes / n_series as f64;
        add(
            format!("{name}: anonymous memory per series"),
            Unit::Bytes,
            per_series,
        );
        add(
            format!("{name}: CPU until ready after kill -9"),
            Unit::Milliseconds,
            cost.kill_ms,
        );
        let text = format!("{name}: CPU until ready after a clean stop");
        add(text, Unit::Milliseconds, cost.stop_ms);
        costs.push((n_series as f64, cost));
    }
    let mut slope = |what: &str, total: fn(f64, &Costs) -> f64| {
        let (Some((n, first)), Some((m, last))) = (costs.first(), costs.last()) else {
            return;
        };
        let slope = (total(*m, last) / total(*n, first)).ln() / (m / n).ln();
        let text = format!("log-log slope of {what}, 0.1 M to 3 M series");
        add(text, Unit::Plain, slope);
    };
    slope("CPU", |n, cost| n * cost.ns_per_sample);
    slope("anonymous memory", |_, cost| cost.anonymous_bytes);
    slope("CPU of a restart after kill -9", |_, cost| cost.kill_ms);
    Ok(())
}
