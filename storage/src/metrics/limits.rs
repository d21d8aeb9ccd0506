//! Limits on new series: of the store, of one metric, of one target.
//!
//! They are checked while nobody else can create a series, so none is ever exceeded,
//! not even by one. Series that are found in logs are not refused. The series of a
//! metric are the postings of its name; those of a target are counted here, because
//! two sets of postings would have to be compared for every new series.

use std::hash::BuildHasher;
use std::sync::atomic::Ordering;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::store::MetricStore;
use crate::error::AppendError;
use crate::index::Index;
use crate::model::METRIC_NAME;

const JOB: &str = "job";
const INSTANCE: &str = "instance";

/// How many series each target has. Nothing is counted without a limit.
#[derive(Debug)]
pub(super) struct Targets {
    limit: usize,
    counts: Mutex<HashTable<Count>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Count {
    job: Box<str>,
    instance: Box<str>,
    n: usize,
}

impl Targets {
    /// Counts the series of an index; a `limit` of 0 is none.
    pub(super) fn new(limit: usize, index: &Index) -> Targets {
        let targets = Targets {
            limit,
            counts: Mutex::default(),
            hasher: RandomState::default(),
        };
        if limit > 0 {
            index.for_each_labels(|labels| targets.add(labels));
        }
        targets
    }

    /// Tells whether the target of these labels is at the limit.
    fn check<'l>(
        &self,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
    ) -> Result<(), AppendError> {
        let Some((job, instance)) = self.target(labels) else {
            return Ok(());
        };
        let hash = self.hasher.hash_one((job, instance));
        let counts = self.counts.lock();
        match counts.find(hash, |count| count.is_of(job, instance)) {
            Some(count) if count.n >= self.limit => Err(AppendError::TargetSeriesLimit {
                limit: self.limit,
                job: job.to_owned(),
                instance: instance.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Counts a new series with these labels.
    pub(super) fn add<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>) {
        let Some((job, instance)) = self.target(labels) else {
            return;
        };
        let hash = self.hasher.hash_one((job, instance));
        let mut counts = self.counts.lock();
        let hash_of = |count: &Count| self.hasher.hash_one((&*count.job, &*count.instance));
        counts
            .entry(hash, |count| count.is_of(job, instance), hash_of)
            .or_insert_with(|| Count {
                job: job.into(),
                instance: instance.into(),
                n: 0,
            })
            .get_mut()
            .n += 1;
    }

    /// Takes series off that are about to be removed from the index.
    pub(super) fn remove(&self, dead: &RoaringBitmap, index: &Index) {
        if self.limit == 0 {
            return;
        }
        let dictionary = index.dictionary();
        let dictionary = dictionary.read();
        let mut counts = self.counts.lock();
        for row in dead.iter().filter_map(|id| index.row(id)) {
            let labels = row.pairs().map(|pair| dictionary.pair_text(pair));
            let Some((job, instance)) = self.target(labels) else {
                continue;
            };
            let hash = self.hasher.hash_one((job, instance));
            let found = counts.find_entry(hash, |count| count.is_of(job, instance));
            if let Ok(mut found) = found {
                found.get_mut().n -= 1;
                if found.get().n == 0 {
                    found.remove();
                }
            }
        }
    }

    fn target<'l>(
        &self,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
    ) -> Option<(&'l str, &'l str)> {
        if self.limit == 0 {
            return None;
        }
        let (mut job, mut instance) = (None, None);
        for (name, value) in labels {
            match name {
                JOB => job = Some(value),
                INSTANCE => instance = Some(value),
                _ => {}
            }
        }
        job.zip(instance)
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        let counts = self.counts.lock();
        let texts = counts.iter().map(|c| c.job.len() + c.instance.len());
        counts.allocation_size() + texts.sum::<usize>()
    }
}

impl Count {
    fn is_of(&self, job: &str, instance: &str) -> bool {
        *self.job == *job && *self.instance == *instance
    }
}

/// Tells whether a series with these labels, which is not there, may be created. The
/// caller keeps others from creating one meanwhile.
pub(super) fn check<'l>(
    store: &MetricStore,
    index: &Index,
    labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
) -> Result<(), AppendError> {
    let options = &store.options;
    let counters = &store.counters;
    if options.max_series > 0 && index.len() >= options.max_series {
        counters.series_limit.fetch_add(1, Ordering::Relaxed);
        let limit = options.max_series;
        return Err(AppendError::SeriesLimit { limit });
    }
    let limit = options.max_series_per_metric;
    if limit > 0
        && let Some((_, metric)) = labels.clone().find(|(name, _)| *name == METRIC_NAME)
        && index.n_series_of(METRIC_NAME, metric) >= limit as u64
    {
        counters.metric_series_limit.fetch_add(1, Ordering::Relaxed);
        let metric = metric.to_owned();
        return Err(AppendError::MetricSeriesLimit { limit, metric });
    }
    store.targets.check(labels).inspect_err(|_| {
        counters.target_series_limit.fetch_add(1, Ordering::Relaxed);
    })
}
