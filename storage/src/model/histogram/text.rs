//! Histograms as people read them.

use std::fmt::{self, Display, Write};

use super::{Bucket, CounterResetHint, FloatHistogram};
use crate::compat::float;

/// Writes `{count:22, sum:3, [-0.001,0.001]:2, (0.5,1]:5}`: the buckets with observations
/// upwards, in the brackets of intervals. `count_values` and templates show it.
impl Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{count:{}, sum:{}",
            float::g(self.count),
            float::g(self.sum)
        )?;
        // Not all_buckets: bounds inside the zero bucket are shown, and a zero bucket
        // that counts backwards too.
        let zero = (self.zero_count != 0.0).then(|| self.zero_bucket());
        let below = self.negative_buckets().rev();
        let buckets = below.chain(zero).chain(self.positive_buckets());
        for bucket in buckets.filter(|bucket| bucket.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_char('}')
    }
}

impl Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(float::g);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

impl FloatHistogram {
    /// Writes the histogram in the notation of unit tests,
    /// `{{schema:1 sum:2 count:3 buckets:[1 2]}}`, without what is zero. Gaps between
    /// buckets are filled.
    pub fn to_test_notation(&self) -> String {
        let mut parts = Vec::new();
        if self.schema != 0 {
            parts.push(format!("schema:{}", self.schema));
        }
        let numbers = [
            ("count", self.count),
            ("sum", self.sum),
            ("z_bucket", self.zero_count),
            ("z_bucket_w", self.zero_threshold),
        ];
        for (key, number) in numbers {
            if number != 0.0 {
                parts.push(format!("{key}:{}", float::g(number)));
            }
        }
        if self.uses_custom_buckets() {
            parts.push(format!("custom_values:{}", list(&self.custom_bounds)));
        }
        match self.counter_reset_hint {
            CounterResetHint::Unknown => {}
            CounterResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
            CounterResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
            CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        let sides = [
            ("offset", "buckets", &self.positive),
            ("n_offset", "n_buckets", &self.negative),
        ];
        for (offset_key, buckets_key, buckets) in sides {
            let mut filled = buckets.clone();
            filled.compact(MAX_FILLED);
            let Some(first) = filled.layout().first() else {
                continue;
            };
            if *first != 0 {
                parts.push(format!("{offset_key}:{first}"));
            }
            parts.push(format!("{buckets_key}:{}", list(filled.counts())));
        }
        format!("{{{{{}}}}}", parts.join(" "))
    }
}

/// Wider gaps are not filled: somebody would have to read the zeros.
const MAX_FILLED: u32 = 10_000;

fn list(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|n| float::g(*n)).collect();
    format!("[{}]", numbers.join(" "))
}
