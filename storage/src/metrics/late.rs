//! Samples that came late: older than the newest one of their series, and accepted
//! because they are inside the out-of-order window.
//!
//! ```text
//! column  = packed runs, disjoint and in order of time | plain samples, in order of time
//! section = n slots varint | per slot: difference to the slot before varint
//!         | n runs varint | per run: n samples varint | length varint | tokens
//! ```
//!
//! A column is a set: a time is in it once, and the first sample of a time stays. Its
//! first samples lie plain; when they are many they move into runs of tokens as those
//! of an open chunk, some bytes a sample. An insert touches one run at most, and runs
//! are split before they grow long, so its cost does not depend on what is there.
//!
//! Samples of the newest *epoch* are kept apart from all others, because one reader at
//! a time must not see them; see [`store`](super::store). The next epoch moves them
//! over.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::codec::open::{self, Edit, Malformed, OpenChunk};
use crate::codec::varint;
use crate::model::TimeRange;

/// Plain samples of a column; with more they are packed.
const MAX_PLAIN: usize = 32;
/// Samples of a run; with more it is split.
const MAX_RUN: usize = 240;

/// One sample; bits, because a value is never compared as a number here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LateSample {
    pub(super) t_ms: i64,
    pub(super) bits: u64,
}

impl LateSample {
    /// Returns time and value.
    pub(super) fn parts(&self) -> (i64, f64) {
        (self.t_ms, f64::from_bits(self.bits))
    }
}

/// Some samples in order of time, as tokens. Readers share them.
#[derive(Debug, Clone)]
struct Run {
    range: TimeRange,
    n: u16,
    tokens: Arc<[u8]>,
}

/// The late samples of one series, or those of it that a reader copied.
#[derive(Debug, Clone, Default)]
pub(super) struct LateColumn {
    runs: Vec<Run>,
    plain: Vec<LateSample>,
}

impl Run {
    /// Packs samples, which are not none and at most [`MAX_RUN`].
    fn pack(samples: &[LateSample]) -> Option<Run> {
        let range = TimeRange::new(samples.first()?.t_ms, samples.last()?.t_ms);
        let (mut chunk, mut tokens) = (OpenChunk::NEW, Vec::new());
        for sample in samples {
            let value = f64::from_bits(sample.bits);
            match chunk.append(sample.t_ms, value, &mut open::Scratch::default()) {
                Edit::Push(token) => tokens.extend_from_slice(token),
                Edit::Increment => {
                    if let Some(last) = tokens.last_mut() {
                        *last += 1;
                    }
                }
            }
        }
        Some(Run {
            range,
            n: chunk.n,
            tokens: tokens.into(),
        })
    }

    fn unpack(&self, into: &mut Vec<LateSample>) -> Result<(), Malformed> {
        open::decode(&self.tokens, self.n, |t_ms, value| {
            let bits = value.to_bits();
            into.push(LateSample { t_ms, bits });
            true
        })
    }

    fn contains(&self, t_ms: i64) -> bool {
        let mut found = false;
        let decoded = open::decode(&self.tokens, self.n, |at_ms, _| {
            found = at_ms == t_ms;
            at_ms < t_ms
        });
        decoded.is_ok() && found
    }
}

impl LateColumn {
    fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.plain.is_empty()
    }

    fn len(&self) -> usize {
        let packed = self.runs.iter().map(|run| usize::from(run.n));
        packed.sum::<usize>() + self.plain.len()
    }

    /// Returns the times of the oldest and the newest sample.
    fn bounds(&self) -> Option<TimeRange> {
        let first = [
            self.runs.first().map(|run| run.range.start_ms),
            self.plain.first().map(|sample| sample.t_ms),
        ];
        let last = [
            self.runs.last().map(|run| run.range.end_ms),
            self.plain.last().map(|sample| sample.t_ms),
        ];
        let first = first.into_iter().flatten().min()?;
        let last = last.into_iter().flatten().max()?;
        Some(TimeRange::new(first, last))
    }

    fn contains(&self, t_ms: i64) -> bool {
        let at = self.runs.partition_point(|run| run.range.end_ms < t_ms);
        let run = self.runs.get(at).filter(|run| run.range.contains(t_ms));
        run.is_some_and(|run| run.contains(t_ms))
            || self
                .plain
                .binary_search_by_key(&t_ms, |sample| sample.t_ms)
                .is_ok()
    }

    /// Adds a sample of a time that is not there.
    fn insert(&mut self, sample: LateSample) {
        let at = match self.plain.last() {
            Some(last) if last.t_ms > sample.t_ms => {
                self.plain.partition_point(|s| s.t_ms < sample.t_ms)
            }
            _ => self.plain.len(),
        };
        self.plain.insert(at, sample);
        if self.plain.len() >= MAX_PLAIN {
            self.pack();
        }
    }

    /// Adds the samples of another column, which has no time of this one.
    fn merge(&mut self, other: LateColumn) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let mut added = other.plain;
        for run in &other.runs {
            // What this module packed it can unpack.
            let _ = run.unpack(&mut added);
        }
        self.plain.append(&mut added);
        self.plain.sort_unstable_by_key(|sample| sample.t_ms);
        if self.plain.len() >= MAX_PLAIN {
            self.pack();
        }
    }

    /// Moves the plain samples into the runs: each into the one it falls into, or the
    /// one before the gap it falls into.
    fn pack(&mut self) {
        let plain = std::mem::take(&mut self.plain);
        let before = std::mem::take(&mut self.runs);
        let mut rest = plain.as_slice();
        let mut merged = Vec::new();
        for (at, run) in before.iter().enumerate() {
            let until = before.get(at + 1).map(|next| next.range.start_ms);
            let n = until.map_or(rest.len(), |until| {
                rest.partition_point(|sample| sample.t_ms < until)
            });
            let (here, later) = rest.split_at(n);
            rest = later;
            if here.is_empty() {
                self.runs.push(run.clone());
                continue;
            }
            merged.clear();
            let _ = run.unpack(&mut merged);
            merged.extend_from_slice(here);
            merged.sort_unstable_by_key(|sample| sample.t_ms);
            self.push_runs(&merged);
        }
        self.push_runs(rest);
    }

    /// Appends samples as runs of about equal length.
    fn push_runs(&mut self, samples: &[LateSample]) {
        let n_runs = samples.len().div_ceil(MAX_RUN);
        if n_runs > 0 {
            let runs = samples.chunks(samples.len().div_ceil(n_runs));
            self.runs.extend(runs.filter_map(Run::pack));
        }
    }

    /// Removes the samples in `range` that `keep` does not want.
    fn retain(&mut self, range: TimeRange, mut keep: impl FnMut(i64) -> bool) {
        let mut keep = |sample: &LateSample| !range.contains(sample.t_ms) || keep(sample.t_ms);
        if self.runs.iter().any(|run| run.range.overlaps(range)) {
            let mut samples = Vec::new();
            for run in std::mem::take(&mut self.runs) {
                samples.clear();
                if !run.range.overlaps(range) || run.unpack(&mut samples).is_err() {
                    self.runs.push(run);
                    continue;
                }
                samples.retain(&mut keep);
                self.push_runs(&samples);
            }
        }
        self.plain.retain(keep);
    }

    /// Copies what may lie in `range` behind what `into` has.
    fn copy(&self, range: TimeRange, into: &mut LateColumn) {
        let runs = self.runs.iter().filter(|run| run.range.overlaps(range));
        into.runs.extend(runs.cloned());
        let plain = self.plain.iter();
        into.plain
            .extend(plain.filter(|sample| range.contains(sample.t_ms)));
    }

    /// Replaces the content of `into` by the samples in `range`, in order of time.
    pub(super) fn read(
        &self,
        range: TimeRange,
        into: &mut Vec<LateSample>,
    ) -> Result<(), Malformed> {
        into.clear();
        for run in &self.runs {
            run.unpack(into)?;
        }
        into.extend_from_slice(&self.plain);
        into.retain(|sample| range.contains(sample.t_ms));
        into.sort_unstable_by_key(|sample| sample.t_ms);
        Ok(())
    }

    /// Tells whether a sample, or a whole run, lies outside of what `hidden` hides.
    pub(super) fn any_outside(&self, hidden: impl Fn(TimeRange) -> bool) -> bool {
        let plain = self.plain.iter();
        let mut plain = plain.map(|sample| TimeRange::new(sample.t_ms, sample.t_ms));
        plain.any(|at| !hidden(at)) || self.runs.iter().any(|run| !hidden(run.range))
    }

    fn memory_bytes(&self) -> usize {
        let tokens = self.runs.iter().map(|run| run.tokens.len() + 16);
        tokens.sum::<usize>()
            + self.runs.capacity() * size_of::<Run>()
            + self.plain.capacity() * size_of::<LateSample>()
    }
}

/// The late samples of a shard.
#[derive(Debug, Default)]
pub(super) struct LateBuffer {
    /// Of epochs that have ended.
    settled: HashMap<u32, LateColumn>,
    /// Of `fresh_epoch`.
    fresh: HashMap<u32, LateColumn>,
    fresh_epoch: u32,
    n_samples: u64,
}

impl LateBuffer {
    /// Adds a sample; tells whether its time was not there yet.
    pub(super) fn insert(&mut self, slot: u32, t_ms: i64, bits: u64, epoch: u32) -> bool {
        if self.fresh_epoch != epoch {
            self.settle();
            self.fresh_epoch = epoch;
        }
        let settled = self.settled.get(&slot);
        if settled.is_some_and(|column| column.contains(t_ms)) {
            return false;
        }
        let fresh = self.fresh.entry(slot).or_default();
        if fresh.contains(t_ms) {
            return false;
        }
        fresh.insert(LateSample { t_ms, bits });
        self.n_samples += 1;
        true
    }

    fn settle(&mut self) {
        for (slot, column) in self.fresh.drain() {
            self.settled.entry(slot).or_default().merge(column);
        }
        // One busy epoch must not hold memory in all later ones.
        self.fresh.shrink_to(MAX_PLAIN);
    }

    fn columns(&self, slot: u32) -> impl Iterator<Item = &LateColumn> {
        let both = [self.settled.get(&slot), self.fresh.get(&slot)];
        both.into_iter().flatten()
    }

    /// Tells whether a series has late samples.
    pub(super) fn has(&self, slot: u32) -> bool {
        self.columns(slot).any(|column| !column.is_empty())
    }

    /// Returns the times of the oldest and the newest sample of a series.
    pub(super) fn bounds(&self, slot: u32) -> Option<TimeRange> {
        let bounds = self.columns(slot).filter_map(LateColumn::bounds);
        bounds.reduce(hull)
    }

    /// Returns the times of the oldest and the newest sample.
    pub(super) fn bounds_of_all(&self) -> Option<TimeRange> {
        let columns = self.settled.values().chain(self.fresh.values());
        columns.filter_map(LateColumn::bounds).reduce(hull)
    }

    /// Copies the samples of a series in `range` that are not of `epoch`; `None` where
    /// there are none.
    pub(super) fn copy(
        &self,
        slot: u32,
        range: TimeRange,
        epoch: Option<u32>,
    ) -> Option<LateColumn> {
        let mut copy = LateColumn::default();
        if let Some(column) = self.settled.get(&slot) {
            column.copy(range, &mut copy);
        }
        if let Some(column) = self.fresh.get(&slot)
            && epoch != Some(self.fresh_epoch)
        {
            column.copy(range, &mut copy);
        }
        (!copy.is_empty()).then_some(copy)
    }

    /// Returns the series that have samples, in order.
    pub(super) fn slots(&self) -> Vec<u32> {
        let slots = self.settled.keys().chain(self.fresh.keys());
        let mut slots: Vec<u32> = slots.copied().collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Removes the samples of a series in `range` that `keep` does not want.
    pub(super) fn retain(
        &mut self,
        slot: u32,
        range: TimeRange,
        mut keep: impl FnMut(i64) -> bool,
    ) {
        for columns in [&mut self.settled, &mut self.fresh] {
            let Entry::Occupied(mut found) = columns.entry(slot) else {
                continue;
            };
            let column = found.get_mut();
            let before = column.len();
            column.retain(range, &mut keep);
            self.n_samples -= (before - column.len()) as u64;
            if column.is_empty() {
                found.remove();
            }
        }
    }

    /// Takes all samples of a series, in order of time.
    pub(super) fn remove(&mut self, slot: u32) -> Vec<LateSample> {
        let mut samples = Vec::new();
        if let Some(column) = self.copy(slot, TimeRange::ALL, None) {
            let _ = column.read(TimeRange::ALL, &mut samples);
            self.retain(slot, TimeRange::ALL, |_| false);
        }
        samples
    }

    /// Counts the samples.
    pub(super) fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        let entry = size_of::<(u32, LateColumn)>() + 1;
        let columns = self.settled.values().chain(self.fresh.values());
        (self.settled.capacity() + self.fresh.capacity()) * entry
            + columns.map(LateColumn::memory_bytes).sum::<usize>()
    }

    /// Appends all samples as a section.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let slots = self.slots();
        varint::write_u64(out, slots.len() as u64);
        let mut previous = 0;
        for slot in slots {
            varint::write_u64(out, u64::from(slot - previous));
            previous = slot;
            let mut column = self.copy(slot, TimeRange::ALL, None).unwrap_or_default();
            let mut plain = std::mem::take(&mut column.plain);
            plain.sort_unstable_by_key(|sample| sample.t_ms);
            column.push_runs(&plain);
            varint::write_u64(out, column.runs.len() as u64);
            for run in &column.runs {
                varint::write_u64(out, u64::from(run.n));
                varint::write_u64(out, run.tokens.len() as u64);
                out.extend_from_slice(&run.tokens);
            }
        }
    }
}

/// Reads a section and hands its samples to `each`, a run at a time, those of a run in
/// order of time.
pub(super) fn decode_section(
    mut bytes: &[u8],
    mut each: impl FnMut(u32, &[LateSample]),
) -> Result<(), Malformed> {
    let read = |rest: &mut &[u8]| varint::read_u64(rest).map_err(|_| Malformed);
    let n_slots = read(&mut bytes)?;
    let (mut slot, mut samples) = (0u32, Vec::new());
    for _ in 0..n_slots {
        let step = u32::try_from(read(&mut bytes)?).map_err(|_| Malformed)?;
        slot = slot.checked_add(step).ok_or(Malformed)?;
        for _ in 0..read(&mut bytes)? {
            let n = read(&mut bytes)?;
            let len = usize::try_from(read(&mut bytes)?).map_err(|_| Malformed)?;
            let tokens = bytes.split_off(..len).ok_or(Malformed)?;
            if n == 0 || n > MAX_RUN as u64 {
                return Err(Malformed);
            }
            samples.clear();
            open::decode(tokens, n as u16, |t_ms, value| {
                let bits = value.to_bits();
                samples.push(LateSample { t_ms, bits });
                true
            })?;
            if !samples.is_sorted_by(|one, next| one.t_ms < next.t_ms) {
                return Err(Malformed);
            }
            each(slot, &samples);
        }
    }
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

fn hull(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange::new(
        one.start_ms.min(other.start_ms),
        one.end_ms.max(other.end_ms),
    )
}

#[cfg(test)]
mod tests;
