//! A piece of the log becomes requests.
//!
//! What is read is collected until there is enough for every shard, or the deadline of a
//! request is over. Then it is dealt out: a series belongs to one shard, so that its
//! samples arrive in order; the samples of a series in a request stand together. Which
//! request a sample is in depends on the piece and the number of shards only, not on when
//! it was read, so that after a kill the same requests are made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use kymo_ingest::wire::encode::{Counts, Packer, RequestBuilder, WriteRequestBuilder};
use kymo_storage::metrics::{MetricStore, TailSink};
use kymo_storage::model::histogram::Histogram;
use kymo_storage::model::{Exemplar, MetricMetadata};
use tokio::sync::Notify;

use super::metrics::{Dropped, QueueMetrics};
use super::series::SeriesTable;
use crate::config::{RemoteWrite, WriteMessage};

/// Kinds of what is sent; an index of [`Counts`].
pub(super) const SAMPLE: usize = 0;
pub(super) const EXEMPLAR: usize = 1;
pub(super) const HISTOGRAM: usize = 2;

/// Something of a series to be sent.
#[derive(Debug, Clone, Copy)]
struct Item {
    id: u32,
    what: What,
    t_ms: i64,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Sample(f64),
    Exemplar(u32),
    Histogram(u32),
}

impl What {
    fn kind(self) -> usize {
        match self {
            What::Sample(_) => SAMPLE,
            What::Exemplar(_) => EXEMPLAR,
            What::Histogram(_) => HISTOGRAM,
        }
    }
}

/// Collects what is read.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) table: SeriesTable,
    items: Vec<Item>,
    exemplars: Vec<Exemplar>,
    histograms: Vec<Histogram>,
    sends_exemplars: bool,
    sends_histograms: bool,
    message: WriteMessage,
    /// What is read is out of time, and only counted.
    pub(super) gives_up: bool,
    /// Records read since the piece began, those that are not sent included.
    pub(super) n_read: usize,
    metrics: Arc<QueueMetrics>,
}

impl Collector {
    /// Makes one for a section.
    pub(super) fn new(
        config: &RemoteWrite,
        table: SeriesTable,
        metrics: Arc<QueueMetrics>,
    ) -> Collector {
        Collector {
            table,
            items: Vec::new(),
            exemplars: Vec::new(),
            histograms: Vec::new(),
            sends_exemplars: config.exemplars,
            sends_histograms: config.native_histograms,
            message: config.message,
            gives_up: false,
            n_read: 0,
            metrics,
        }
    }

    /// Returns how much is to be sent.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Tells whether a series is sent, and counts what is not.
    fn takes(&self, id: u32, kind: usize) -> bool {
        if self.gives_up {
            self.metrics.dropped(Dropped::Retention, kind, 1);
            return false;
        }
        let is_sent = self.table.is_sent(id);
        if !is_sent {
            self.metrics.dropped(Dropped::Series, kind, 1);
        }
        is_sent
    }
}

impl TailSink for Collector {
    fn series(&mut self, id: u32, labels: &[(&str, &str)]) {
        self.table.learn(id, labels);
    }

    fn samples(&mut self, ids: &[u32], t_ms: &[i64], values: &[f64]) {
        self.n_read += ids.len();
        self.metrics.read(ids.len());
        if self.gives_up {
            self.metrics
                .dropped(Dropped::Retention, SAMPLE, ids.len() as u64);
            return;
        }
        let before = self.items.len();
        for ((&id, &t_ms), &value) in ids.iter().zip(t_ms).zip(values) {
            if self.table.is_sent(id) {
                let what = What::Sample(value);
                self.items.push(Item { id, what, t_ms });
            }
        }
        let n_dropped = ids.len() - (self.items.len() - before);
        self.metrics
            .dropped(Dropped::Series, SAMPLE, n_dropped as u64);
    }

    fn histogram(&mut self, id: u32, t_ms: i64, histogram: &Histogram) {
        self.n_read += 1;
        self.metrics.read(1);
        if !self.sends_histograms || !self.takes(id, HISTOGRAM) {
            return;
        }
        if self.message == WriteMessage::V1 && has_custom_bounds(histogram) {
            self.metrics.dropped(Dropped::CustomBounds, HISTOGRAM, 1);
            return;
        }
        let what = What::Histogram(self.histograms.len() as u32);
        self.histograms.push(histogram.clone());
        self.items.push(Item { id, what, t_ms });
    }

    fn exemplar(&mut self, id: u32, exemplar: &Exemplar) {
        self.n_read += 1;
        if !self.sends_exemplars || !self.takes(id, EXEMPLAR) {
            return;
        }
        self.metrics.read(1);
        let what = What::Exemplar(self.exemplars.len() as u32);
        self.exemplars.push(exemplar.clone());
        self.items.push(Item {
            id,
            what,
            t_ms: exemplar.t_ms,
        });
    }

    fn metadata(&mut self, _name: &str, _metadata: &MetricMetadata) {
        self.table.forget_metadata();
    }

    fn lost(&mut self, samples: u64) {
        self.metrics.dropped(Dropped::Unknown, SAMPLE, samples);
    }
}

fn has_custom_bounds(histogram: &Histogram) -> bool {
    match histogram {
        Histogram::Integer(found) => !found.custom_bounds.is_empty(),
        Histogram::Float(found) => !found.custom_bounds.is_empty(),
    }
}

/// How much of a piece is under way.
#[derive(Debug)]
pub(super) struct Progress {
    left: AtomicUsize,
    done: Arc<Notify>,
}

impl Progress {
    /// Of a piece of so many batches; `done` is told when all are through.
    pub(super) fn new(n_batches: usize, done: Arc<Notify>) -> Arc<Progress> {
        Arc::new(Progress {
            left: AtomicUsize::new(n_batches),
            done,
        })
    }

    /// One batch was taken, or given up.
    pub(super) fn finish_one(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    /// Tells whether all batches are through.
    pub(super) fn is_done(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }
}

/// A request, ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    /// The packed message.
    pub(super) body: Bytes,
    /// What is in it.
    pub(super) counts: Counts,
    /// Series that carry metadata.
    pub(super) n_metadata: u64,
    /// The oldest and the newest time in it.
    pub(super) oldest_ms: i64,
    pub(super) newest_ms: i64,
}

/// Makes requests of what was collected.
#[derive(Debug)]
pub(super) struct Maker {
    v1: WriteRequestBuilder,
    v2: RequestBuilder,
    packer: Packer,
    message: WriteMessage,
    max_samples: usize,
    sends_metadata: bool,
}

impl Maker {
    /// Makes one for a section.
    pub(super) fn new(config: &RemoteWrite) -> Maker {
        Maker {
            v1: WriteRequestBuilder::default(),
            v2: RequestBuilder::default(),
            packer: Packer::default(),
            message: config.message,
            max_samples: config.queue.max_samples_per_send.max(1),
            sends_metadata: config.metadata.send,
        }
    }

    /// Takes what was collected and is not older than `from_ms`, and returns requests by
    /// shard, in the order in which each shard has to send them.
    pub(super) fn make(
        &mut self,
        collector: &mut Collector,
        n_shards: usize,
        from_ms: Option<i64>,
        store: &MetricStore,
    ) -> Vec<(usize, Request)> {
        let mut items = std::mem::take(&mut collector.items);
        if let Some(from_ms) = from_ms {
            items.retain(|item| {
                let is_old = item.t_ms < from_ms;
                if is_old {
                    let kind = item.what.kind();
                    collector.metrics.dropped(Dropped::TooOld, kind, 1);
                }
                !is_old
            });
        }
        items.sort_by_key(|item| (shard_of(item.id, n_shards), item.id));
        let mut made = Vec::new();
        for part in
            items.chunk_by(|one, next| shard_of(one.id, n_shards) == shard_of(next.id, n_shards))
        {
            let shard = part.first().map_or(0, |item| shard_of(item.id, n_shards));
            // Requests of a shard are about equally long.
            let n_requests = part.len().div_ceil(self.max_samples);
            for chunk in part.chunks(part.len().div_ceil(n_requests)) {
                made.extend(self.request(chunk, collector, store).map(|r| (shard, r)));
            }
        }
        items.clear();
        collector.items = items;
        collector.exemplars.clear();
        collector.histograms.clear();
        collector.n_read = 0;
        made
    }

    fn request(
        &mut self,
        items: &[Item],
        collector: &mut Collector,
        store: &MetricStore,
    ) -> Option<Request> {
        let mut request = Request {
            body: Bytes::new(),
            counts: Counts::default(),
            n_metadata: 0,
            oldest_ms: i64::MAX,
            newest_ms: i64::MIN,
        };
        for run in items.chunk_by(|one, next| one.id == next.id) {
            for item in run {
                request.oldest_ms = request.oldest_ms.min(item.t_ms);
                request.newest_ms = request.newest_ms.max(item.t_ms);
                if let Some(count) = request.counts.get_mut(item.what.kind()) {
                    *count += 1;
                }
            }
            match self.message {
                WriteMessage::V1 => self.series_v1(run, collector),
                WriteMessage::V2 => {
                    let described = self.series_v2(run, collector, store);
                    request.n_metadata += u64::from(described);
                }
            }
        }
        let packer = &mut self.packer;
        let packed = match self.message {
            WriteMessage::V1 => self.v1.finish(|bytes| packer.pack(bytes)),
            WriteMessage::V2 => self.v2.finish(|bytes| packer.pack(bytes)),
        };
        match packed {
            Ok(packed) => {
                request.body = Bytes::from(packed);
                Some(request)
            }
            Err(error) => {
                tracing::error!(%error, "a request cannot be packed, its samples are lost");
                None
            }
        }
    }

    fn series_v1(&mut self, run: &[Item], collector: &Collector) {
        let id = run.first().map_or(0, |item| item.id);
        let Some(labels) = collector.table.labels(id) else {
            return;
        };
        self.v1.begin_series(labels, &collector.table.texts);
        for item in run {
            if let What::Sample(value) = item.what {
                self.v1.sample(item.t_ms, value);
            }
        }
        for exemplar in exemplars(run, collector) {
            self.v1.exemplar(exemplar);
        }
        for (t_ms, histogram) in histograms(run, collector) {
            self.v1.histogram(t_ms, histogram);
        }
        self.v1.end_series();
    }

    /// Tells whether the series carries metadata.
    fn series_v2(&mut self, run: &[Item], collector: &mut Collector, store: &MetricStore) -> bool {
        let id = run.first().map_or(0, |item| item.id);
        let described = match self.sends_metadata {
            true => collector.table.described(id, store),
            false => None,
        };
        let Some(labels) = collector.table.labels(id) else {
            return false;
        };
        let texts = &collector.table.texts;
        self.v2.begin_series(labels, texts);
        for item in run {
            if let What::Sample(value) = item.what {
                self.v2.sample(item.t_ms, value);
            }
        }
        for (t_ms, histogram) in histograms(run, collector) {
            self.v2.histogram(t_ms, histogram);
        }
        for exemplar in exemplars(run, collector) {
            self.v2.exemplar(exemplar);
        }
        if let Some(found) = described {
            self.v2.metadata(found.kind, found.help, found.unit, texts);
        }
        self.v2.end_series();
        described.is_some()
    }
}

fn exemplars<'a>(run: &'a [Item], collector: &'a Collector) -> impl Iterator<Item = &'a Exemplar> {
    run.iter().filter_map(|item| match item.what {
        What::Exemplar(at) => collector.exemplars.get(at as usize),
        _ => None,
    })
}

fn histograms<'a>(
    run: &'a [Item],
    collector: &'a Collector,
) -> impl Iterator<Item = (i64, &'a Histogram)> {
    run.iter().filter_map(|item| match item.what {
        What::Histogram(at) => Some((item.t_ms, collector.histograms.get(at as usize)?)),
        _ => None,
    })
}

/// Deals series out evenly: their numbers follow each other.
#[inline]
fn shard_of(id: u32, n_shards: usize) -> usize {
    let mixed = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed as usize) % n_shards.max(1)
}
