//! Native histograms beside the same observations as classic buckets: what they take on
//! disk, what storing them costs, and a quantile over all of them.
//!
//! VictoriaMetrics gets the classic ones only.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::dataset::{self, Random};
use super::report::{Row, Table, Unit};
use super::system::{Running, System};
use super::{SERIES_PER_REQUEST, disk, form_encode, latency_row, wire};

/// Histograms, and how often each is sent: eight hours, a minute apart.
const COUNT: usize = 1_000;
const ROUNDS: usize = 480;
const STEP_S: i64 = 60;

/// Every eighth of a power of two has a bucket; those from 2^-4 to 2^-1 are in use.
const SCHEMA: i64 = 3;
const FIRST_BUCKET: i64 = -32;
const BUCKETS: usize = 24;

/// Native buckets that a classic one takes in.
const PER_CLASSIC: usize = 2;

/// Both forms of the histograms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Native,
    Classic,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::Native => "native",
            Form::Classic => "classic",
        }
    }

    fn query(self) -> &'static str {
        match self {
            Form::Native => "histogram_quantile(0.99, sum(rate(h[5m])))",
            Form::Classic => "histogram_quantile(0.99, sum by (le) (rate(h_bucket[5m])))",
        }
    }

    /// Samples that a histogram is: one, or a bucket each, the last one, sum and count.
    fn samples(self) -> usize {
        match self {
            Form::Native => 1,
            Form::Classic => BUCKETS / PER_CLASSIC + 3,
        }
    }
}

/// A histogram of latencies and what it has counted.
struct Histogram {
    /// Labels of each series that it is in its form.
    series: Vec<Vec<u8>>,
    counts: [u64; BUCKETS],
    sum: f64,
}

impl Histogram {
    fn new(number: usize, form: Form) -> Histogram {
        let labels = |name: &str, le: Option<String>| {
            let mut labels = vec![
                ("__name__", name.to_owned()),
                ("instance", dataset::instance(number / 10)),
                ("job", "monitoring/api".to_owned()),
                ("path", format!("/api/v1/things/{}", number % 10)),
            ];
            labels.extend(le.map(|le| ("le", le)));
            labels.sort();
            let mut bytes = Vec::new();
            for (name, value) in &labels {
                wire::push_label(&mut bytes, name, value);
            }
            bytes
        };
        let series = match form {
            Form::Native => vec![labels("h", None)],
            Form::Classic => {
                let buckets = (1..=BUCKETS / PER_CLASSIC).map(|bucket| {
                    let index = FIRST_BUCKET + (bucket * PER_CLASSIC) as i64 - 1;
                    let bound = (index as f64 / f64::from(1 << SCHEMA)).exp2();
                    labels("h_bucket", Some(format!("{bound:.6}")))
                });
                let rest = [
                    labels("h_bucket", Some("+Inf".to_owned())),
                    labels("h_sum", None),
                    labels("h_count", None),
                ];
                buckets.chain(rest).collect()
            }
        };
        Histogram {
            series,
            counts: [0; BUCKETS],
            sum: 0.0,
        }
    }

    /// Counts the observations of a minute: most of them in the middle.
    fn step(&mut self, random: &mut Random) {
        for (bucket, count) in self.counts.iter_mut().enumerate() {
            let distance = bucket.abs_diff(BUCKETS / 3);
            let most = (60 >> (distance / 2)) + 1;
            let observed = random.next() % (most + 1);
            *count += observed;
            let index = FIRST_BUCKET + bucket as i64;
            let bound = (index as f64 / f64::from(1 << SCHEMA)).exp2();
            self.sum += observed as f64 * bound * (0.9 + 0.1 * random.unit());
        }
    }

    fn push(&self, form: Form, message: &mut Vec<u8>, t_ms: i64) {
        if form == Form::Native {
            let native = wire::NativeHistogram {
                schema: SCHEMA,
                first_bucket: FIRST_BUCKET,
                counts: &self.counts,
                sum: self.sum,
            };
            wire::push_histogram(message, &self.series[0], t_ms, &native);
            return;
        }
        let mut below = 0;
        let buckets = self.counts.chunks(PER_CLASSIC).map(|counts| {
            below += counts.iter().sum::<u64>();
            below as f64
        });
        let mut values: Vec<f64> = buckets.collect();
        let count = below as f64;
        values.extend([count, self.sum, count]);
        for (labels, value) in self.series.iter().zip(values) {
            wire::push_series(message, labels, t_ms, value);
        }
    }
}

/// Measures one system with both forms.
pub(super) fn measure(
    system: System,
    program: &Path,
    dir: &Path,
    end_ms: i64,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut instances = Vec::new();
    for form in [Form::Native, Form::Classic] {
        if form == Form::Native && system == System::VictoriaMetrics {
            continue;
        }
        let mut running = Running::start(system, program, &dir.join(form.name()))?;
        let cpu_seconds = send(&mut running, form, end_ms)?;
        let text = format!("1,000 {} histograms x 480", form.name());
        let stored = (COUNT * ROUNDS) as f64;
        table.set(
            Row {
                text: format!("{text}: histograms per server CPU-second"),
                unit: Unit::PerSecond,
            },
            system.name(),
            stored / cpu_seconds,
        );
        instances.push((form, running, text));
    }
    let dirs: Vec<PathBuf> = instances.iter().map(|one| one.1.data()).collect();
    disk::wait_until_quiet(dirs.iter().map(PathBuf::as_path))?;
    let (start_s, end_s) = (end_ms / 1000 - 8 * 3600, end_ms / 1000);
    for (form, running, text) in &mut instances {
        if let Some(per_sample) = disk::bytes_per_sample(&running.data())? {
            let per_histogram = per_sample * form.samples() as f64;
            let row = format!("{text}: bytes per histogram in blocks");
            running.set(table, row, Unit::SmallBytes, per_histogram);
        }
        let query = form.query();
        let path = format!(
            "/api/v1/query_range?query={}&start={start_s}&end={end_s}&step={STEP_S}&nocache=1",
            form_encode(query)
        );
        check_answer(running, &path)?;
        latency_row(
            running,
            &format!("{text}: `{query}`, 8 h, step 60 s"),
            &path,
            table,
        )?;
    }
    Ok(())
}

/// Sends all rounds; returns the CPU seconds that took.
fn send(running: &mut Running, form: Form, end_ms: i64) -> anyhow::Result<f64> {
    let mut histograms: Vec<Histogram> = (0..COUNT)
        .map(|number| Histogram::new(number, form))
        .collect();
    let mut random = Random::new(42);
    let mut encoder = snap::raw::Encoder::new();
    let (mut message, mut body) = (Vec::new(), Vec::new());
    let before = running.cpu_seconds()?;
    for round in (0..ROUNDS).rev() {
        let t_ms = end_ms - round as i64 * STEP_S * 1000;
        for batch in histograms.chunks_mut(SERIES_PER_REQUEST / form.samples()) {
            message.clear();
            for histogram in batch {
                histogram.step(&mut random);
                histogram.push(form, &mut message, t_ms);
            }
            body.resize(snap::raw::max_compress_len(message.len()), 0);
            let len = encoder.compress(&message, &mut body)?;
            let answer = running.client.write("/api/v1/write", &body[..len])?;
            if answer.status / 100 != 2 {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                bail!("write answered {}: {text}", answer.status);
            }
        }
    }
    running.settle()?;
    Ok(running.cpu_seconds()? - before)
}

/// Checks that there is an answer worth its time: as many points as steps, about.
fn check_answer(running: &mut Running, path: &str) -> anyhow::Result<()> {
    let answer = running.client.get(path)?;
    let found: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let points = found["data"]["result"][0]["values"].as_array();
    let n = points.map_or(0, Vec::len);
    if n < ROUNDS - 10 {
        bail!("{path} has {n} points");
    }
    Ok(())
}
