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

#[cfg(test)]
mod tests {
    use crate::metrics::MetricStore;
    use crate::model::histogram::{Histogram, IntegerHistogram};
    use crate::model::{Labels, MatchOp, Matcher, TimeRange};
    use crate::options::StoreOptions;

    #[test]
    fn a_zero_is_stored_at_the_start_once() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
        store.set_out_of_order_window_ms(1_000_000);
        let names = ["a", "h"].map(|name| Labels::from_pairs([("__name__", name)]));
        let histogram = Histogram::Integer(IntegerHistogram {
            count: 3,
            zero_count: 3,
            zero_threshold: 0.1,
            ..IntegerHistogram::default()
        });
        for (t_ms, start_ms) in [(2000, 1000), (3000, 1000), (4000, 5000), (6000, 4500)] {
            let mut appender = store.appender();
            let floats = appender.series(&names[0]).unwrap();
            appender.append_start(floats, start_ms, t_ms);
            appender.append(floats, t_ms, 7.0).unwrap();
            let histograms = appender.series(&names[1]).unwrap();
            appender.append_start_histogram(histograms, start_ms, t_ms, &histogram);
            appender
                .append_histogram(histograms, t_ms, &histogram)
                .unwrap();
            let committed = appender.commit().unwrap();
            assert_eq!((committed.late, committed.dropped), (0, 0));
        }
        let all = Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap();
        let selection = store
            .select(&[all], TimeRange::new(i64::MIN, i64::MAX))
            .unwrap();
        let mut found = Vec::new();
        for index in 0..selection.len() {
            let (mut times, mut values, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
            selection.read(index, &mut times, &mut values).unwrap();
            selection
                .read_histograms(index, &times, &mut histograms)
                .unwrap();
            let mut samples: Vec<(i64, f64)> = times.into_iter().zip(values).collect();
            samples.extend(histograms.iter().map(|one| (one.t_ms, one.histogram.count)));
            found.push(samples);
        }
        let expected = |value| {
            let times = [1000, 2000, 3000, 4000, 4500, 6000];
            let zeros = [1000, 4500];
            times
                .map(|t_ms| (t_ms, if zeros.contains(&t_ms) { 0.0 } else { value }))
                .to_vec()
        };
        assert_eq!(found, [expected(7.0), expected(3.0)]);
        let stats = store.stats();
        assert_eq!(stats.out_of_order_total, 0);
    }
}
