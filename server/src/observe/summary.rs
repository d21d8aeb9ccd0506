//! Distributions of our own measurements: quantiles over the newest ones, and
//! counts in fixed buckets.

use std::time::Duration;

use parking_lot::Mutex;

use super::exposition::TextWriter;

/// Measurements that quantiles are taken of.
const KEPT: usize = 512;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Count, sum and the newest measurements, in seconds.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    state: Mutex<SummaryState>,
}

#[derive(Debug, Default)]
struct SummaryState {
    count: u64,
    sum: f64,
    newest: Vec<f64>,
}

impl Summary {
    /// Adds a measurement.
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut state = self.state.lock();
        let at = state.count as usize % KEPT;
        match state.newest.get_mut(at) {
            Some(oldest) => *oldest = seconds,
            None => state.newest.push(seconds),
        }
        state.count += 1;
        state.sum += seconds;
    }

    /// Writes the samples of a summary; quantiles are NaN before the first one.
    pub(crate) fn write(&self, writer: &mut TextWriter, name: &str, label: (&str, &str)) {
        self.write_with(writer, name, &[label], &QUANTILES);
    }

    /// Writes a summary without labels that has these quantiles.
    pub(crate) fn write_plain(&self, writer: &mut TextWriter, name: &str, quantiles: &[f64]) {
        self.write_with(writer, name, &[], quantiles);
    }

    fn write_with(
        &self,
        writer: &mut TextWriter,
        name: &str,
        labels: &[(&str, &str)],
        quantiles: &[f64],
    ) {
        let state = self.state.lock();
        let mut sorted = state.newest.clone();
        let (count, sum) = (state.count, state.sum);
        drop(state);
        sorted.sort_unstable_by(f64::total_cmp);
        for quantile in quantiles {
            let rank = (quantile * sorted.len() as f64).ceil() as usize;
            let value = sorted.get(rank.saturating_sub(1));
            let text = kymo_storage::compat::float::g(*quantile);
            let mut labels = labels.to_vec();
            labels.push(("quantile", &text));
            writer.sample(name, &labels, value.copied().unwrap_or(f64::NAN));
        }
        writer.sample(&format!("{name}_sum"), labels, sum);
        writer.sample(&format!("{name}_count"), labels, count as f64);
    }
}

/// Counts of measurements in buckets with fixed upper bounds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// Begins with empty buckets; `bounds` are ascending upper bounds.
    pub(crate) fn new(bounds: &'static [f64]) -> Histogram {
        Histogram {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    /// Adds a measurement.
    pub(crate) fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Returns how many measurements there are.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Writes the samples of a histogram that has these labels.
    pub(crate) fn write(&self, writer: &mut TextWriter, name: &str, labels: &[(&str, &str)]) {
        let bucket_name = format!("{name}_bucket");
        let mut total = 0;
        for (i, count) in self.counts.iter().enumerate() {
            total += count;
            let mut bound = String::new();
            let upper = self.bounds.get(i).copied().unwrap_or(f64::INFINITY);
            kymo_storage::compat::float::push_exposition(&mut bound, upper);
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            writer.sample(&bucket_name, &with_bound, total as f64);
        }
        writer.sample(&format!("{name}_sum"), labels, self.sum);
        writer.sample(&format!("{name}_count"), labels, total as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Format;
    use super::*;

    #[test]
    fn a_summary_takes_quantiles_of_the_newest_and_counts_all() {
        let summary = Summary::default();
        for i in 1..=1000_u64 {
            summary.observe(Duration::from_secs(i));
        }
        let mut writer = TextWriter::new(Format::Text);
        summary.write(&mut writer, "s", ("slice", "x"));
        assert_eq!(
            writer.finish(),
            "s{slice=\"x\",quantile=\"0.5\"} 744\ns{slice=\"x\",quantile=\"0.9\"} 949\n\
             s{slice=\"x\",quantile=\"0.99\"} 995\ns_sum{slice=\"x\"} 500500\n\
             s_count{slice=\"x\"} 1000\n"
        );
    }

    #[test]
    fn histogram_buckets_include_their_upper_bound_and_add_up() {
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        for value in [0.1, 0.5, 1.0, 7.0] {
            histogram.observe(value);
        }
        let mut writer = TextWriter::new(Format::Text);
        histogram.write(&mut writer, "h", &[("handler", "/")]);
        assert_eq!(
            writer.finish(),
            "h_bucket{handler=\"/\",le=\"0.1\"} 1\nh_bucket{handler=\"/\",le=\"1\"} 3\n\
             h_bucket{handler=\"/\",le=\"+Inf\"} 4\nh_sum{handler=\"/\"} 8.6\n\
             h_count{handler=\"/\"} 4\n"
        );
    }
}
