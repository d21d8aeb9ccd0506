//! The zero from which a counter, a summary or a histogram began to count.
//!
//! Some sources say since when a series counts. A sample of nothing at that time lets
//! `rate` see the first increase, which it would miss otherwise. Nobody measured it, so
//! it is left out wherever it does not fit: a series that has samples already has begun.

use super::{Appender, Pending};
use crate::model::histogram::{CounterResetHint, FloatHistogram, Histogram, IntegerHistogram};

use super::super::shard::Checked;

impl Appender<'_> {
    /// Adds a zero at `start_ms` in front of a sample at `t_ms`, which the caller appends
    /// next: a float, or a histogram with the layout of `histogram`. It is left out,
    /// without a word, unless it is the newest sample of its series and older than the
    /// sample it stands in front of.
    pub fn append_start(
        &mut self,
        series: super::SeriesRef,
        start_ms: i64,
        t_ms: i64,
        histogram: Option<&Histogram>,
    ) {
        let bounds = self.bounds(t_ms);
        if start_ms >= t_ms || start_ms < bounds.valid_from_ms {
            return;
        }
        let layout = self.store.layout;
        let (shard, slot) = (layout.shard(series.id()), layout.slot(series.id()));
        let Some(found) = self.store.shards.get(shard) else {
            return;
        };
        // Late or not depends on the time alone, so a float is asked for either kind.
        let born = Some(series.born());
        let checked = found.lock().check(slot, born, start_ms, 0.0, &bounds);
        let Ok(Checked::InOrder(born)) = checked else {
            return;
        };
        match histogram {
            None => self.scratch.pending[shard].push(Pending {
                slot,
                born,
                t_ms: start_ms,
                value: 0.0,
            }),
            // It was found to fit, so it is only refused where the next one is, too.
            Some(histogram) => drop(self.append_histogram(series, start_ms, &zero_of(histogram))),
        }
    }
}

/// Returns a histogram without observations that goes into one chunk with another.
fn zero_of(histogram: &Histogram) -> Histogram {
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
