//! What a transaction carries beside its floats: histograms, exemplars and metadata.
//!
//! Histograms and exemplars are logged with their series; metadata belongs to no series and goes
//! into the log of the first shard.

use super::appender::{Appender, SeriesRef, touch};
use super::exemplars::{Exemplars, PendingExemplar};
use super::histograms::PendingHistogram;
use super::metadata::PendingMetadata;
use super::store::MetricStore;
use crate::error::AppendError;
use crate::index::Row;
use crate::model::{Exemplar, Labels, MetricMetadata};
use crate::wal::Wal;

/// The shard whose log has the metadata.
const METADATA_SHARD: usize = 0;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// In order of shard, once they are sorted.
    pub(super) histograms: Vec<PendingHistogram>,
    /// In order of shard, once they are numbered.
    exemplars: Vec<PendingExemplar>,
    /// Number of the first exemplar.
    first: u64,
    metadata: Vec<PendingMetadata>,
}

impl Side {
    /// Tells whether anything belongs into the log of a shard.
    pub(super) fn is_in(&self, shard: usize) -> bool {
        (shard == METADATA_SHARD && !self.metadata.is_empty())
            || self.exemplars.iter().any(|pending| pending.shard == shard)
            || !self.histograms_of(shard).is_empty()
    }

    /// Sorts everything by shard, and numbers the exemplars.
    pub(super) fn sort(&mut self, exemplars: &Exemplars) {
        self.histograms.sort_by_key(|pending| pending.shard);
        self.number(exemplars);
    }

    /// Returns the histograms of a shard, once they are sorted.
    pub(super) fn histograms_of(&self, shard: usize) -> &[PendingHistogram] {
        let all = &self.histograms;
        let begin = all.partition_point(|pending| pending.shard < shard);
        let end = all.partition_point(|pending| pending.shard <= shard);
        &all[begin..end]
    }

    /// Numbers the exemplars, those of a shard one after the other.
    fn number(&mut self, exemplars: &Exemplars) {
        if !self.exemplars.is_empty() {
            self.exemplars.sort_by_key(|pending| pending.shard);
            self.first = exemplars.number(self.exemplars.len());
        }
    }

    /// Returns number, slot and content of the exemplars of a shard.
    pub(super) fn exemplars_of(&self, shard: usize) -> impl Iterator<Item = (u64, u32, &Exemplar)> {
        let numbered = (self.first..).zip(&self.exemplars);
        let of_shard = numbered.filter(move |(_, pending)| pending.shard == shard);
        of_shard.map(|(number, pending)| (number, pending.slot, &pending.exemplar))
    }

    /// Collects the records for the log of a shard.
    pub(super) fn log(&self, shard: usize, wal: &mut Wal) {
        wal.histograms(
            self.histograms_of(shard)
                .iter()
                .map(PendingHistogram::logged),
        );
        let mut exemplars = self.exemplars_of(shard).peekable();
        if let Some(&(first, ..)) = exemplars.peek() {
            wal.exemplars(first, exemplars.map(|(_, slot, exemplar)| (slot, exemplar)));
        }
        if shard == METADATA_SHARD {
            wal.metadata(self.metadata.iter().map(PendingMetadata::logged));
        }
    }

    /// Stores everything.
    pub(super) fn apply(self, store: &MetricStore) {
        if !self.exemplars.is_empty() {
            store.exemplars.apply(&self.exemplars);
        }
        if !self.metadata.is_empty() {
            store.metadata.apply(self.metadata);
        }
    }
}

impl Appender<'_> {
    /// Adds an exemplar to the transaction. One that is there already, or any where the
    /// store keeps none, changes nothing. Exemplars of one series come in the order of
    /// [`Exemplar::order`].
    ///
    /// # Errors
    /// The exemplar is too old or has too long labels. The transaction goes on without
    /// it.
    pub fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let store = self.store;
        if !store.exemplars.is_on() {
            return Ok(());
        }
        let labels = {
            // A series cannot be removed while its index is held.
            let index = store.index.read();
            let alive = touch(store, series.id()) == Some(series);
            let row = index.row(series.id()).filter(|_| alive);
            let row = row.ok_or(AppendError::UnknownSeries)?;
            let dictionary = index.dictionary();
            let dictionary = dictionary.read();
            Labels::from_sorted(Row::pairs(row).map(|pair| dictionary.pair_text(pair)))
        };
        if store.exemplars.check(&labels, exemplar)? {
            self.side.exemplars.push(PendingExemplar {
                shard: store.layout.shard(series.id()),
                slot: store.layout.slot(series.id()),
                labels,
                exemplar: exemplar.clone(),
            });
        }
        Ok(())
    }

    /// Makes the metadata of a metric known with the transaction; what is known already
    /// costs one look. What there is no room for is dropped and counted in
    /// [`MetadataStats`](super::MetadataStats).
    pub fn set_metadata(&mut self, name: &str, metadata: &MetricMetadata) {
        let change = self.store.metadata.change(name, metadata);
        self.side.metadata.extend(change);
    }
}
