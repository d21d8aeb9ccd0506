//! Metrics that stages make of entries: counters, gauges and histograms, one series for
//! each set of labels.
//!
//! A series that no entry has touched for its idle time is forgotten. Stages of one metric
//! name write the same series, whichever source they run for, and go on where a changed
//! configuration keeps the metric as it was.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::entry::LabelSet;

/// Most series of one metric: labels that are made of lines have no bound of their own.
const MAX_SERIES: usize = 10_000;

/// Bounds of histograms that name none.
pub const DEFAULT_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Prefix of metrics that set none.
pub const DEFAULT_PREFIX: &str = "promtail_custom_";

/// One metric of a `metrics` stage.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricConfig {
    /// Its whole name, prefix included.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The extracted value that it is made of.
    pub source: String,
    /// How long a series stays that no entry touches, in seconds.
    pub max_idle_seconds: u64,
    /// Only entries whose value is this count.
    pub value: Option<String>,
    /// What it is.
    pub kind: MetricKind,
}

/// What a metric is, and what an entry does to it.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricKind {
    /// Counts.
    Counter {
        /// What is counted.
        action: CounterAction,
        /// Whether entries without the value count too.
        match_all: bool,
    },
    /// Goes up and down.
    Gauge(GaugeAction),
    /// Distributes values over these upper bounds, which rise.
    Histogram(Vec<f64>),
}

/// What an entry does to a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterAction {
    /// Adds one.
    Inc,
    /// Adds the value.
    Add,
    /// Adds the bytes of the line.
    AddBytes,
}

/// What an entry does to a gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaugeAction {
    /// Sets it to the value.
    Set,
    /// Adds one.
    Inc,
    /// Takes one away.
    Dec,
    /// Adds the value.
    Add,
    /// Takes the value away.
    Sub,
}

/// All metrics of stages.
#[derive(Debug, Default)]
pub struct LogMetrics {
    families: Mutex<BTreeMap<String, Family>>,
}

#[derive(Debug)]
struct Family {
    kind: FamilyKind,
    help: String,
    max_idle_seconds: u64,
    series: BTreeMap<LabelSet, Series>,
}

/// What the samples of a family mean.
#[derive(Debug, Clone, PartialEq)]
pub enum FamilyKind {
    /// They only rise.
    Counter,
    /// They go up and down.
    Gauge,
    /// Each bucket has one, up to these bounds.
    Histogram(Vec<f64>),
}

#[derive(Debug)]
struct Series {
    /// The value; the sum of a histogram.
    value: f64,
    /// Observations by bucket, the one without bound last.
    buckets: Vec<u64>,
    touched_ns: i64,
}

/// A family at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilySnapshot {
    /// The name of the metric.
    pub name: String,
    /// What it is about.
    pub help: String,
    /// What its samples mean.
    pub kind: FamilyKind,
    /// Its series.
    pub series: Vec<SeriesSnapshot>,
}

/// A series at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSnapshot {
    /// Its labels.
    pub labels: LabelSet,
    /// The value; the sum of a histogram.
    pub value: f64,
    /// Observations by bucket, the one without bound last; empty but for a histogram.
    pub buckets: Vec<u64>,
}

/// What is done to a series.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Add(f64),
    Set(f64),
    Observe(f64),
}

impl LogMetrics {
    /// Makes a family known, or leaves it as it is where it is the same.
    ///
    /// # Errors
    /// Another metric has the name.
    pub(super) fn register(&self, config: &MetricConfig) -> Result<(), String> {
        let kind = match &config.kind {
            MetricKind::Counter { .. } => FamilyKind::Counter,
            MetricKind::Gauge(_) => FamilyKind::Gauge,
            MetricKind::Histogram(bounds) => FamilyKind::Histogram(bounds.clone()),
        };
        let mut families = self.families.lock();
        if let Some(known) = families.get_mut(&config.name) {
            // The metric as it is from now on; what was counted otherwise is no part of it.
            if known.kind != kind {
                known.series.clear();
                known.kind = kind;
            }
            known.help.clone_from(&config.description);
            known.max_idle_seconds = config.max_idle_seconds;
            return Ok(());
        }
        let family = Family {
            kind,
            help: config.description.clone(),
            max_idle_seconds: config.max_idle_seconds,
            series: BTreeMap::new(),
        };
        families.insert(config.name.clone(), family);
        Ok(())
    }

    pub(super) fn change(&self, name: &str, labels: &LabelSet, change: Change, now_ns: i64) {
        let mut families = self.families.lock();
        let Some(family) = families.get_mut(name) else {
            return;
        };
        let mut labels = labels.clone();
        labels.retain(|name| !name.starts_with("__"));
        if !family.series.contains_key(&labels) && family.series.len() >= MAX_SERIES {
            return;
        }
        let bounds = match &family.kind {
            FamilyKind::Histogram(bounds) => bounds.as_slice(),
            _ => &[],
        };
        let series = family.series.entry(labels).or_insert_with(|| Series {
            value: 0.0,
            buckets: Vec::new(),
            touched_ns: now_ns,
        });
        series.touched_ns = now_ns;
        match change {
            Change::Add(by) => series.value += by,
            Change::Set(to) => series.value = to,
            Change::Observe(value) => {
                series.buckets.resize(bounds.len() + 1, 0);
                series.value += value;
                let at = bounds.iter().position(|bound| value <= *bound);
                series.buckets[at.unwrap_or(bounds.len())] += 1;
            }
        }
    }

    /// Returns all metrics, and forgets series that nothing has touched for long.
    pub fn snapshot(&self, now_ns: i64) -> Vec<FamilySnapshot> {
        let mut families = self.families.lock();
        let mut out = Vec::with_capacity(families.len());
        for (name, family) in families.iter_mut() {
            let idle_ns = i64::try_from(family.max_idle_seconds)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000_000);
            let oldest_ns = now_ns.saturating_sub(idle_ns);
            family
                .series
                .retain(|_, series| series.touched_ns >= oldest_ns);
            let series = family.series.iter().map(|(labels, series)| SeriesSnapshot {
                labels: labels.clone(),
                value: series.value,
                buckets: series.buckets.clone(),
            });
            out.push(FamilySnapshot {
                name: name.clone(),
                help: family.help.clone(),
                kind: family.kind.clone(),
                series: series.collect(),
            });
        }
        out
    }
}
