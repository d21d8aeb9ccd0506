//! From the records of a commit to a sink: numbers of shards become numbers of the store,
//! and the sink is told of every series before its first sample.

use super::TailSink;
use crate::index::Row;
use crate::metrics::MetricStore;
use crate::model::{Labels, MetricMetadata};
use crate::wal::{Entry, LoggedExemplar, LoggedHistogram, LoggedMetadata};

/// Series whose labels are looked up under one lock of the index.
const LOOKED_UP: usize = 512;

/// Buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    ids: Vec<u32>,
    unknown: Vec<u32>,
    times: Vec<i64>,
    values: Vec<f64>,
}

/// Hands the records of a commit to a sink.
pub(super) struct Handing<'a> {
    pub(super) store: &'a MetricStore,
    pub(super) shard: usize,
    /// The segment that is read.
    pub(super) seq: u64,
    pub(super) told: &'a mut Vec<u64>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) n_samples: usize,
    pub(super) sink: &'a mut dyn TailSink,
}

impl Handing<'_> {
    /// Hands a record on.
    pub(super) fn take(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Series(found) => {
                let mut labels = Vec::new();
                let text = |index: u32| found.strings().get(index as usize).copied();
                for (slot, pairs) in found.series() {
                    labels.clear();
                    let texts = pairs
                        .iter()
                        .map(|&(name, value)| text(name).zip(text(value)));
                    labels.extend(texts.flatten());
                    let id = self.store.layout.id(self.shard, slot);
                    self.tell(id, &labels);
                }
            }
            Entry::Floats { ids, t_ms, values } | Entry::Late { ids, t_ms, values } => {
                self.floats(ids, t_ms, values);
            }
            Entry::Histograms(found) => self.histograms(found),
            // What was sent cannot be taken back.
            Entry::Tombstones(_) => {}
            Entry::Exemplars(found) => self.exemplars(found),
            Entry::Metadata(found) => found.iter().for_each(|found| self.metadata(found)),
            // Only the log of a log store has them.
            Entry::Entries(_) | Entry::Deletion(_) => {}
        }
    }

    fn floats(&mut self, slots: &[u32], t_ms: &[i64], values: &[f64]) {
        let mut scratch = std::mem::take(self.scratch);
        scratch.ids.clear();
        let ids = slots
            .iter()
            .map(|&slot| self.store.layout.id(self.shard, slot));
        scratch.ids.extend(ids);
        self.n_samples += slots.len();
        if self.look_up(&mut scratch) {
            self.sink.samples(&scratch.ids, t_ms, values);
        } else {
            let known = |at: usize| is_in(self.told, scratch.ids[at]);
            let kept: Vec<usize> = (0..scratch.ids.len()).filter(|&at| known(at)).collect();
            self.sink.lost((scratch.ids.len() - kept.len()) as u64);
            scratch.times.clear();
            scratch.times.extend(kept.iter().map(|&at| t_ms[at]));
            scratch.values.clear();
            scratch.values.extend(kept.iter().map(|&at| values[at]));
            let ids: Vec<u32> = kept.iter().map(|&at| scratch.ids[at]).collect();
            self.sink.samples(&ids, &scratch.times, &scratch.values);
        }
        *self.scratch = scratch;
    }

    fn histograms(&mut self, found: &[LoggedHistogram]) {
        for logged in found {
            let id = self.store.layout.id(self.shard, logged.id);
            self.n_samples += 1;
            if !self.is_known(id) {
                self.sink.lost(1);
                continue;
            }
            let histogram = logged.flat.to_histogram(logged.flat.shape.hint);
            self.sink.histogram(id, logged.t_ms, &histogram);
        }
    }

    fn exemplars(&mut self, found: &[LoggedExemplar]) {
        for logged in found {
            let id = self.store.layout.id(self.shard, logged.id);
            self.n_samples += 1;
            match self.is_known(id) {
                true => self.sink.exemplar(id, &logged.exemplar),
                false => self.sink.lost(1),
            }
        }
    }

    fn metadata(&mut self, found: &LoggedMetadata<'_>) {
        let metadata = MetricMetadata {
            kind: found.kind,
            help: found.help.to_owned(),
            unit: found.unit.to_owned(),
        };
        self.sink.metadata(found.name, &metadata);
    }

    /// Tells the sink of a series unless it knows it; `false` where its labels are lost.
    fn is_known(&mut self, id: u32) -> bool {
        let mut scratch = std::mem::take(self.scratch);
        scratch.ids.clear();
        scratch.ids.push(id);
        let known = self.look_up(&mut scratch);
        *self.scratch = scratch;
        known
    }

    /// Tells the sink of those of the series that it does not know; `false` where the
    /// labels of some are lost.
    fn look_up(&mut self, scratch: &mut Scratch) -> bool {
        scratch.unknown.clear();
        let unknown = scratch.ids.iter().copied();
        scratch
            .unknown
            .extend(unknown.filter(|&id| !is_in(self.told, id)));
        if scratch.unknown.is_empty() {
            return true;
        }
        scratch.unknown.sort_unstable();
        scratch.unknown.dedup();
        for ids in scratch.unknown.chunks(LOOKED_UP) {
            let left = self.tell_removed(ids);
            let left = self.tell_live(&left);
            // One may have left between the two looks.
            self.tell_removed(&left);
        }
        scratch.unknown.iter().all(|&id| is_in(self.told, id))
    }

    /// Tells the sink of those series that have left, and returns the others.
    fn tell_removed(&mut self, ids: &[u32]) -> Vec<u32> {
        let store = self.store;
        if ids.is_empty() || store.tails.removed.is_empty() {
            return ids.to_vec();
        }
        let mut left = Vec::new();
        for &id in ids {
            let seq = self.seq;
            let mut tell = |labels: &[(&str, &str)]| self.tell(id, labels);
            if !store.tails.removed.find(id, seq, &mut tell) {
                left.push(id);
            }
        }
        left
    }

    /// Tells the sink of those series that are in the index, and returns the others.
    fn tell_live(&mut self, ids: &[u32]) -> Vec<u32> {
        let store = self.store;
        let mut left = Vec::new();
        let mut found: Vec<(u32, Labels)> = Vec::with_capacity(ids.len());
        {
            let index = store.index.read();
            let dictionary = index.dictionary();
            let dictionary = dictionary.read();
            for &id in ids {
                match index.row(id) {
                    Some(row) => {
                        let pairs = Row::pairs(row).map(|pair| dictionary.pair_text(pair));
                        found.push((id, Labels::from_sorted(pairs)));
                    }
                    None => left.push(id),
                }
            }
        }
        for (id, labels) in &found {
            let labels: Vec<_> = labels.iter().collect();
            self.tell(*id, &labels);
        }
        left
    }

    fn tell(&mut self, id: u32, labels: &[(&str, &str)]) {
        let word = id as usize / 64;
        if self.told.len() <= word {
            self.told.resize(word + 1, 0);
        }
        if let Some(word) = self.told.get_mut(word) {
            *word |= 1 << (id % 64);
        }
        self.sink.series(id, labels);
    }
}

fn is_in(told: &[u64], id: u32) -> bool {
    let word = told.get(id as usize / 64);
    word.is_some_and(|word| word & 1 << (id % 64) != 0)
}
