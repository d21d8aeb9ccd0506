//! Scrapes of bodies at hand, without a target or a network: what benches and tests
//! measure.

use std::sync::Arc;
use std::time::Duration;

use kymo_storage::metrics::MetricStore;
use kymo_storage::model::Labels;
use parking_lot::Mutex;

use super::ScrapeFeatures;
use super::append::Intake;
use super::cache::ScrapeCache;
use super::config::ScrapeConfig;
use super::fitting::Fitting;
use super::metadata::MetadataCache;
use super::stats::Counters;
use super::target::HistogramSwitches;

/// One target's bodies on their way into a store.
pub struct Rehearsal {
    store: Arc<MetricStore>,
    config: ScrapeConfig,
    features: ScrapeFeatures,
    target: Labels,
    cache: ScrapeCache,
    metadata: Mutex<MetadataCache>,
    counters: Counters,
}

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal").finish_non_exhaustive()
    }
}

impl Rehearsal {
    /// Returns a target that was never scraped, of a job that `change` makes.
    pub fn new(store: Arc<MetricStore>, change: impl FnOnce(&mut ScrapeConfig)) -> Rehearsal {
        let (interval, timeout) = (Duration::from_secs(15), Duration::from_secs(10));
        let mut config = ScrapeConfig::new("rehearsal", interval, timeout);
        change(&mut config);
        Rehearsal {
            store,
            config,
            features: ScrapeFeatures::default(),
            target: Labels::from_pairs([("instance", "i"), ("job", "rehearsal")]),
            cache: ScrapeCache::new(),
            metadata: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Does what it is asked to differently.
    pub fn set_features(&mut self, features: ScrapeFeatures) {
        self.features = features;
    }

    /// Stores a body as scraped at `t_ms`, and returns how many samples it brought.
    ///
    /// # Errors
    ///
    /// The text of what fails the scrape. Nothing of the body is stored then.
    pub fn scrape(&mut self, content_type: &str, body: &[u8], t_ms: i64) -> Result<u64, String> {
        let mut appender = self.store.appender();
        let mut intake = Intake {
            store: &self.store,
            config: &self.config,
            histograms: HistogramSwitches {
                native: self.config.native_histograms,
                always_classic: self.config.always_classic_histograms,
                convert_classic: self.config.convert_classic_histograms,
            },
            fitting: Fitting::of(&self.config),
            features: self.features,
            target: &self.target,
            cache: &mut self.cache,
            metadata: &self.metadata,
            counters: &self.counters,
            t_ms,
            now_ms: t_ms,
        };
        let (tally, result) = intake.append(&mut appender, content_type, body);
        if let Err(refusal) = result {
            appender.rollback();
            let mut appender = self.store.appender();
            let ended = intake.end_series(&mut appender);
            let committed = ended.map(|()| appender.commit());
            return Err(match committed {
                Ok(Ok(_)) => refusal.to_string(),
                other => format!("{refusal}; {other:?}"),
            });
        }
        appender.commit().map_err(|error| error.to_string())?;
        Ok(tally.scraped)
    }
}
