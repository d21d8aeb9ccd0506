//! Zeros at the times since when counters count.
//!
//! A sender tells with a sample since when it counts. A zero stored at that time lets
//! queries see the increase up to the first sample. Most senders repeat the time with
//! every sample, so that all zeros but the first come too late; that is no mistake.

use super::super::histograms::PendingHistogram;
use super::super::shard::Checked;
use super::{Appender, Pending, SeriesRef};
use crate::codec::flat::Flat;
use crate::model::histogram::{CounterResetHint, FloatHistogram, Histogram, IntegerHistogram};

impl Appender<'_> {
    /// Adds a zero at `start_ms` before a sample at `t_ms`, if the series has nothing that
    /// late and the store takes samples of that time. Otherwise nothing happens, and
    /// nothing is counted.
    pub fn append_start(&mut self, series: SeriesRef, start_ms: i64, t_ms: i64) {
        let bounds = self.bounds(t_ms);
        if start_ms >= t_ms || start_ms < bounds.valid_from_ms {
            return;
        }
        let layout = self.store.layout;
        let (shard, slot) = (layout.shard(series.id()), layout.slot(series.id()));
        let Some(found) = self.store.shards.get(shard) else {
            return;
        };
        let checked = found
            .lock()
            .check(slot, Some(series.born()), start_ms, 0.0, &bounds);
        if let Ok(Checked::InOrder(born)) = checked {
            self.scratch.pending[shard].push(Pending {
                slot,
                born,
                t_ms: start_ms,
                value: 0.0,
            });
        }
    }

    /// As [`Appender::append_start`], before a histogram: adds an empty one of its kind
    /// and layout, at which the counter was reset.
    pub fn append_start_histogram(
        &mut self,
        series: SeriesRef,
        start_ms: i64,
        t_ms: i64,
        histogram: &Histogram,
    ) {
        let bounds = self.bounds(t_ms);
        if start_ms >= t_ms || start_ms < bounds.valid_from_ms {
            return;
        }
        let empty = empty_like(histogram);
        if empty.validate().is_err() {
            // The histogram itself will be refused, and told why.
            return;
        }
        let Ok(flat) = Flat::of(&empty) else {
            return;
        };
        let layout = self.store.layout;
        let (shard, slot) = (layout.shard(series.id()), layout.slot(series.id()));
        let Some(found) = self.store.shards.get(shard) else {
            return;
        };
        let born = series.born();
        let checked = found
            .lock()
            .check_histogram(slot, born, start_ms, &flat, &bounds);
        if let Ok(Checked::InOrder(born)) = checked {
            self.side.histograms.push(PendingHistogram {
                shard,
                slot,
                born,
                t_ms: start_ms,
                is_late: false,
                flat,
            });
        }
    }
}

fn empty_like(histogram: &Histogram) -> Histogram {
    match histogram {
        Histogram::Integer(like) => Histogram::Integer(IntegerHistogram {
            counter_reset_hint: CounterResetHint::Reset,
            schema: like.schema,
            zero_threshold: like.zero_threshold,
            custom_bounds: like.custom_bounds.clone(),
            ..IntegerHistogram::default()
        }),
        Histogram::Float(like) => Histogram::Float(FloatHistogram {
            counter_reset_hint: CounterResetHint::Reset,
            schema: like.schema,
            zero_threshold: like.zero_threshold,
            custom_bounds: like.custom_bounds.clone(),
            ..FloatHistogram::default()
        }),
    }
}
