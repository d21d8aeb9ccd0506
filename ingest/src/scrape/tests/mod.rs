//! Scrapes from the answer of a target to what can be selected afterwards.

mod cache;
mod formats;
mod histograms;
mod pools;
mod rounds;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kymo_storage::StoreOptions;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{MatchOp, Matcher, TimeRange, is_stale_marker};

use super::Clock;

/// A store in a directory that goes away with it.
pub(super) struct Stored {
    pub(super) store: Arc<MetricStore>,
    _dir: tempfile::TempDir,
}

impl Stored {
    pub(super) fn new() -> Stored {
        Stored::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut StoreOptions)) -> Stored {
        let dir = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(dir.path());
        change(&mut options);
        let (store, _) = MetricStore::open(&options).unwrap();
        Stored {
            store: Arc::new(store),
            _dir: dir,
        }
    }

    /// Returns all samples of series whose name matches, one text per series, in
    /// order: the labels, then `seconds=value` for each sample.
    pub(super) fn samples(&self, name: &str) -> Vec<String> {
        let matcher = Matcher::new(MatchOp::Regex, "__name__", name).unwrap();
        let range = TimeRange {
            start_ms: i64::MIN / 2,
            end_ms: i64::MAX / 2,
        };
        let selection = self.store.select(&[matcher], range).unwrap();
        let mut series: Vec<String> = (0..selection.len())
            .map(|index| {
                let (mut times, mut values) = (Vec::new(), Vec::new());
                selection.read(index, &mut times, &mut values).unwrap();
                let samples = times.iter().zip(&values).map(|(t_ms, value)| {
                    let value = match is_stale_marker(*value) {
                        true => "stale".to_owned(),
                        false => value.to_string(),
                    };
                    format!(" {}={value}", *t_ms as f64 / 1e3)
                });
                let labels = selection.labels(index).to_metric_string();
                labels + &samples.collect::<String>()
            })
            .collect();
        series.sort();
        series
    }
}

/// A clock that is set by hand.
#[derive(Clone, Default)]
pub(super) struct SetClock(Arc<AtomicI64>);

impl SetClock {
    pub(super) fn set_s(&self, seconds: f64) {
        self.0.store((seconds * 1e9) as i64, Ordering::SeqCst);
    }

    pub(super) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Arc::new(move || now.load(Ordering::SeqCst))
    }
}
