//! Collects the figures of the parts of a store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shard::NEVER;
use super::stats::{Cardinality, HistogramStats, MemoryStats, StoreStats, WalStats};
use super::store::MetricStore;
use crate::error::StorageError;
use crate::model::METRIC_NAME;

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Fills [`StoreStats`]. Shards are looked at one after the other, so sums of a busy
/// store are of slightly different moments.
pub(super) fn stats(store: &MetricStore) -> StoreStats {
    let counters = &store.counters;
    let (next, oldest_open, n_open) = store.active();
    let mut stats = StoreStats {
        series_created_total: load(&counters.series_created),
        series_removed_total: load(&counters.series_removed),
        samples_appended_total: load(&counters.samples),
        histograms: HistogramStats {
            appended_total: load(&counters.of_histograms.samples),
            late_appended_total: load(&counters.of_histograms.late),
            out_of_order_total: load(&counters.of_histograms.out_of_order),
            too_old_total: load(&counters.of_histograms.too_old),
            out_of_bounds_total: load(&counters.of_histograms.out_of_bounds),
        },
        out_of_order_total: load(&counters.out_of_order),
        too_old_total: load(&counters.too_old),
        late_appended_total: load(&counters.late),
        delays: counters.delays.load(),
        duplicate_total: load(&counters.duplicate),
        out_of_bounds_total: load(&counters.out_of_bounds),
        series_not_found_total: load(&counters.not_found),
        series_limit_total: load(&counters.series_limit),
        metric_series_limit_total: load(&counters.metric_series_limit),
        target_series_limit_total: load(&counters.target_series_limit),
        exemplars: store.exemplars.stats(),
        metadata: store.metadata.stats(),
        truncations_total: load(&counters.truncations),
        min_time_ms: store.head_oldest_ms(),
        max_time_ms: newest_ms(store),
        active_appenders: n_open,
        newest_append_id: next,
        settled_append_id: oldest_open,
        blocks: store.blocks.stats(),
        poisoned: store.poisoned(),
        ..StoreStats::default()
    };
    for shard in &store.shards {
        let shard = shard.lock();
        let counts = shard.counts();
        stats.stale_series += shard.n_stale();
        stats.chunks += shard.n_chunks();
        stats.chunks_created_total += counts.chunks_created;
        stats.chunks_removed_total += counts.chunks_removed;
        stats.chunk_bytes += counts.open_bytes + shard.sealed().len_bytes();
        stats.chunk_bytes += shard.histograms.memory_bytes() as u64;
        stats.late_samples += shard.late.n_samples() + shard.histograms.n_late();
        for times in [shard.late_times()].into_iter().flatten() {
            let (first, last) = stats
                .late_times_ms
                .unwrap_or((times.start_ms, times.end_ms));
            stats.late_times_ms = Some((first.min(times.start_ms), last.max(times.end_ms)));
        }
        stats.tombstones += shard.tombstones.len();
        stats.head.pages_waiting += shard.sealed().n_waiting() as u64;
    }
    {
        let index = store.index.read();
        stats.series = index.len() as u64;
        stats.label_pairs = index.n_pairs() as u64;
        stats.symbol_bytes = index.text_bytes() as u64;
    }
    stats.memory = memory(store, Postings::Counted);
    stats.wal = wal(store);
    stats.head.snapshot_bytes = store.head.snapshot_bytes();
    stats.head.unsnapshotted_bytes = store.unsnapshotted_bytes();
    stats.head.snapshots_total = load(&store.head.snapshots);
    stats.head.failures_total = load(&store.head.failures);
    stats
}

impl MetricStore {
    /// Returns the bytes on disk of what is not in blocks.
    pub(super) fn head_disk_bytes(&self) -> Result<u64, StorageError> {
        let dir = &self.head.dir;
        let mut sum = wal(self).bytes;
        for name in dir.files()? {
            match dir.len_bytes(&name) {
                Ok(len_bytes) => sum += len_bytes,
                // A snapshot may have removed it meanwhile.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sum)
    }
}

/// How exactly the memory of the postings is to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Postings {
    /// By looking at every pair.
    Counted,
    /// From the rows of labels, which name each series as often as the postings do.
    Estimated,
}

/// Adds up where the memory is. With estimated postings this looks at a few thousand
/// pages at most, and no lock is held for longer than it takes to look at one shard.
pub(super) fn memory(store: &MetricStore, postings: Postings) -> MemoryStats {
    let mut memory = MemoryStats {
        aliases: store.aliases.memory_bytes() as u64,
        exemplars: store.exemplars.stats().memory_bytes,
        metadata: store.metadata.stats().memory_bytes,
        targets: store.targets.memory_bytes() as u64,
        ..MemoryStats::default()
    };
    for shard in &store.shards {
        let shard = shard.lock();
        let (rows, buffers) = shard.memory_bytes();
        memory.series += rows as u64;
        memory.open_chunks += buffers as u64;
        memory.sealed_chunks += shard.sealed().memory_bytes() as u64;
        memory.histograms += shard.histograms.memory_bytes() as u64;
        let late = shard.late.memory_bytes() + shard.tombstones.memory_bytes();
        memory.late += late as u64;
    }
    let index = store.index.read();
    memory.symbols = index.dictionary_bytes() as u64;
    memory.labels = index.label_bytes() as u64;
    memory.postings = match postings {
        Postings::Counted => index.postings_bytes() as u64,
        Postings::Estimated => index.postings_estimate_bytes() as u64,
    };
    memory
}

fn wal(store: &MetricStore) -> WalStats {
    let mut all = WalStats {
        corruptions_total: load(&store.counters.corruptions),
        ..WalStats::default()
    };
    for log in &store.logs {
        let (wal, counts) = log.lock().stats();
        all.segments += wal.segments;
        all.current_segment = all.current_segment.max(wal.current_seq);
        all.bytes += wal.len_bytes;
        all.written_bytes_total += wal.written_bytes;
        all.writes_total += wal.commits;
        all.syncs_total += counts.syncs;
        all.writes_failed_total += counts.failures;
        all.truncations_total += counts.truncations;
    }
    all
}

pub(super) fn newest_ms(store: &MetricStore) -> Option<i64> {
    let newest_ms = store.newest_ms.load(Ordering::Acquire);
    (newest_ms != NEVER).then_some(newest_ms)
}

/// Fills [`Cardinality`].
pub(super) fn cardinality(store: &MetricStore, top: usize) -> Cardinality {
    let mut names: HashMap<String, (u64, u64)> = HashMap::new();
    let (mut metrics, mut pairs) = (Vec::new(), Vec::new());
    let mut n_pairs = 0;
    let series = {
        let index = store.index.read();
        index.for_each_pair(|name, value, n_series| {
            if !names.contains_key(name) {
                names.insert(name.to_owned(), (0, 0));
            }
            if let Some((n_values, bytes)) = names.get_mut(name) {
                *n_values += 1;
                *bytes += value.len() as u64 * n_series;
            }
            n_pairs += 1;
            if name == METRIC_NAME {
                metrics.push((value.to_owned(), n_series));
                shorten(&mut metrics, top);
            }
            pairs.push((format!("{name}={value}"), n_series));
            shorten(&mut pairs, top);
        });
        index.len() as u64
    };
    let chunks = store.shards.iter().map(|shard| shard.lock().n_chunks());
    let by_name = |count: fn(&(u64, u64)) -> u64| {
        let counts = names
            .iter()
            .map(|(name, counts)| (name.clone(), count(counts)));
        largest(counts.collect(), top)
    };
    Cardinality {
        series,
        label_pairs: n_pairs,
        chunks: chunks.sum(),
        min_time_ms: store.head_oldest_ms(),
        max_time_ms: newest_ms(store),
        values_by_label_name: by_name(|counts| counts.0),
        bytes_by_label_name: by_name(|counts| counts.1),
        series_by_metric_name: largest(metrics, top),
        series_by_label_pair: largest(pairs, top),
    }
}

/// Keeps a list that only its largest entries are wanted of from growing.
fn shorten(counts: &mut Vec<(String, u64)>, top: usize) {
    if counts.len() >= top.saturating_mul(2).max(1024) {
        *counts = largest(std::mem::take(counts), top);
    }
}

fn largest(mut counts: Vec<(String, u64)>, top: usize) -> Vec<(String, u64)> {
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(top);
    counts
}
