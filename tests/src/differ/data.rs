//! Series by chance: gaps, resets, stale markers, NaN and infinities, scrapes that come
//! early or late.
//!
//! What Prometheus 2.42 and 3.14 see differently is avoided here and in `grammar`, by
//! times that lie on no edge of a window: samples have no whole or half second, and what
//! is asked for begins at half seconds and goes on by whole ones.

use kymo_query::MemorySource;
use kymo_storage::model::{Labels, stale_marker};

use super::random::Random;
use crate::WriteBody;

/// Time of the first scrape in milliseconds.
pub const START_MS: i64 = 1_700_000_000_000;
/// Distance of the scrapes.
pub const SCRAPE_MS: i64 = 15_000;
/// Number of scrapes.
pub const SCRAPES: i64 = 100;

/// Labels in order, and samples as time and value.
#[derive(Debug, Clone)]
pub struct Series {
    /// Names and values, sorted by name.
    pub labels: Vec<(String, String)>,
    /// Milliseconds since the epoch and value, in order of time.
    pub samples: Vec<(i64, f64)>,
}

/// What a query is asked about.
#[derive(Debug, Clone)]
pub struct Data {
    /// The series in the order in which they are stored.
    pub series: Vec<Series>,
}

/// How the values of a metric come about.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Rises from far above zero and never falls.
    Counter,
    /// As a counter, but below zero and with resets.
    NegativeCounter,
    /// Rises from zero and falls back to it.
    Resetting,
    /// Quarters, and what is no number.
    Gauge,
    /// Any numbers.
    Decimals,
    /// Always 1.
    One,
}

impl Data {
    /// Makes data that a seed repeats.
    pub fn new(seed: u64) -> Data {
        let mut data = Data { series: Vec::new() };
        let mut random = Random::new(seed ^ 0xda7a);
        let metrics = [
            ("c_total", Kind::Counter),
            ("neg_total", Kind::NegativeCounter),
            ("r_total", Kind::Resetting),
            ("g", Kind::Gauge),
            ("x", Kind::Decimals),
        ];
        for (name, kind) in metrics {
            for a in ["p", "q", "r"] {
                for b in ["1", "2", ""] {
                    if random.once_in(8) {
                        continue;
                    }
                    let mut labels = vec![("__name__", name), ("a", a)];
                    if !b.is_empty() {
                        labels.push(("b", b));
                    }
                    let job = random.pick(&["j", "k"]);
                    labels.push(("job", job));
                    data.push(&mut random, &labels, kind);
                }
            }
        }
        for (a, b, zone) in [("p", "1", "z1"), ("q", "1", "z2"), ("r", "2", "z1")] {
            let labels = [("__name__", "meta"), ("a", a), ("b", b), ("zone", zone)];
            data.push(&mut random, &labels, Kind::One);
        }
        data.push(&mut random, &[("__name__", "single")], Kind::Decimals);
        for a in ["p", "q"] {
            data.push_buckets(&mut random, a);
        }
        data
    }

    fn push(&mut self, random: &mut Random, labels: &[(&str, &str)], kind: Kind) {
        let phase = random.below(SCRAPE_MS as u64) as i64;
        let jitter = random.pick(&[0, 0, 40, 2_000]);
        let mut value = match kind {
            Kind::Counter => 1_000_000.0 + random.below(1_000) as f64,
            Kind::NegativeCounter => -1_000_000.0 - random.below(1_000) as f64,
            _ => 0.0,
        };
        let mut samples = Vec::new();
        let (gap, stale) = (random.pick(&[4, 20, 1_000]), random.pick(&[12, 60, 1_000]));
        let life = 20 + random.below(2 * SCRAPES as u64) as i64;
        let mut missing = 0u64;
        for scrape in 0..SCRAPES.min(life) {
            value = next_value(random, kind, value);
            if missing > 0 {
                missing -= 1;
                continue;
            }
            if random.once_in(gap) {
                missing = random.below(30);
                continue;
            }
            let is_stale = random.once_in(stale);
            let late = random.below(jitter + 1) as i64;
            let t_ms = off_edges(START_MS + scrape * SCRAPE_MS + phase + late);
            if samples.last().is_some_and(|&(last_ms, _)| last_ms >= t_ms) {
                continue;
            }
            samples.push((t_ms, if is_stale { stale_marker() } else { value }));
        }
        let labels = labels
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        self.series.push(Series {
            labels: labels.collect(),
            samples,
        });
    }

    /// A histogram of cumulative buckets that are scraped together.
    fn push_buckets(&mut self, random: &mut Random, a: &str) {
        let bounds = ["0.25", "0.5", "1", "2.5", "+Inf"];
        let mut counts = [0u64; 5];
        let mut columns: [Vec<(i64, f64)>; 5] = Default::default();
        let phase = random.below(SCRAPE_MS as u64) as i64;
        for scrape in 0..SCRAPES {
            let mut sum = 0;
            let t_ms = off_edges(START_MS + scrape * SCRAPE_MS + phase);
            for (count, column) in counts.iter_mut().zip(&mut columns) {
                *count += random.below(9);
                sum += *count;
                column.push((t_ms, 1_000_000.0 + sum as f64));
            }
        }
        for (bound, samples) in bounds.iter().zip(columns) {
            let labels = [("__name__", "h_bucket"), ("a", a), ("le", bound)];
            let labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned()));
            self.series.push(Series {
                labels: labels.to_vec(),
                samples,
            });
        }
    }

    /// Returns the series as a source of queries.
    pub fn source(&self) -> MemorySource {
        let mut source = MemorySource::new();
        for series in &self.series {
            let pairs = series.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let labels = Labels::from_pairs(pairs);
            for &(t_ms, value) in &series.samples {
                source.push(&labels, t_ms, value);
            }
        }
        source
    }

    /// Returns the series as a request of remote write.
    pub fn write_body(&self) -> WriteBody {
        let mut body = WriteBody::new();
        for series in &self.series {
            body.push_series(&series.labels, &series.samples);
        }
        body
    }
}

/// Moves a time away from whole and half seconds.
fn off_edges(t_ms: i64) -> i64 {
    if t_ms % 500 == 0 { t_ms + 1 } else { t_ms }
}

fn next_value(random: &mut Random, kind: Kind, value: f64) -> f64 {
    let quarters = |random: &mut Random, n: u64| random.below(n) as f64 / 4.0;
    match kind {
        Kind::Counter => value + quarters(random, 400),
        Kind::NegativeCounter if random.once_in(15) => -1_000_000.0 - quarters(random, 400),
        Kind::NegativeCounter => value + quarters(random, 400),
        Kind::Resetting if random.once_in(12) => quarters(random, 20),
        Kind::Resetting => value + quarters(random, 40),
        Kind::Gauge => match random.below(40) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            4..10 => value,
            _ => quarters(random, 400) - 50.0,
        },
        Kind::Decimals => random.below(2_000_000) as f64 / 3_000.0 - 300.0,
        Kind::One => 1.0,
    }
}
