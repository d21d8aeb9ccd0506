//! The stage `metrics`.

use std::sync::Arc;

use kymo_storage::compat::name::is_legacy_metric_name;

use super::super::metrics::{
    Change, CounterAction, GaugeAction, LogMetrics, MetricConfig, MetricKind,
};
use super::super::value::Value;
use super::super::{Entry, Stage, Step, Tools};

/// Counts and measures entries.
#[derive(Clone)]
pub(super) struct Metrics {
    configs: Arc<[MetricConfig]>,
    metrics: Arc<LogMetrics>,
}

impl Metrics {
    pub(super) fn new(configs: &[MetricConfig], tools: &Tools) -> Result<Metrics, String> {
        if configs.is_empty() {
            return Err("empty metric stage configuration".to_owned());
        }
        for config in configs {
            if !is_legacy_metric_name(&config.name) {
                return Err(format!("\"{}\" is no name of a metric", config.name));
            }
            if let MetricKind::Histogram(bounds) = &config.kind
                && !bounds.is_sorted_by(|a, b| a < b)
            {
                return Err(format!("the buckets of {} do not rise", config.name));
            }
        }
        for config in configs {
            tools.metrics.register(config)?;
        }
        Ok(Metrics {
            configs: configs.into(),
            metrics: Arc::clone(&tools.metrics),
        })
    }
}

/// Returns what an entry does to a metric; `None` where it is not concerned.
fn change(config: &MetricConfig, entry: &Entry) -> Option<Change> {
    let matches_all = matches!(
        config.kind,
        MetricKind::Counter {
            match_all: true,
            ..
        }
    );
    let value = entry.extracted.get(config.source.as_str());
    if !matches_all {
        let value = value?;
        if let Some(wanted) = &config.value
            && value.text()? != wanted.as_str()
        {
            return None;
        }
    }
    let number = || value.and_then(Value::number);
    Some(match &config.kind {
        MetricKind::Counter { action, .. } => match action {
            CounterAction::Inc => Change::Add(1.0),
            // One that counts all entries looks at no value.
            CounterAction::Add if matches_all => return None,
            // A counter never falls.
            CounterAction::Add => Change::Add(number().filter(|number| *number >= 0.0)?),
            CounterAction::AddBytes => Change::Add(entry.line.len() as f64),
        },
        MetricKind::Gauge(action) => match action {
            GaugeAction::Set => Change::Set(number()?),
            GaugeAction::Inc => Change::Add(1.0),
            GaugeAction::Dec => Change::Add(-1.0),
            GaugeAction::Add => Change::Add(number()?),
            GaugeAction::Sub => Change::Add(-number()?),
        },
        MetricKind::Histogram(_) => Change::Observe(number()?),
    })
}

impl Stage for Metrics {
    fn process(&mut self, entry: Entry) -> Step {
        for config in self.configs.iter() {
            if let Some(change) = change(config, &entry) {
                let now_ns = entry.read_ns;
                self.metrics
                    .change(&config.name, &entry.labels, change, now_ns);
            }
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
