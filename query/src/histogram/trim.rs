//! The observations above or below a value: the operators `</` and `>/`.
//!
//! A bucket that the value cuts keeps its share, and the sum is estimated anew from the
//! middles of what is left.

use kymo_storage::model::histogram::{Bucket, FloatHistogram};

use super::quantile::share_below;

/// Which side of a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What is at most the value.
    Below,
    /// What is at least the value.
    Above,
}

/// What is left of a bucket.
struct Kept {
    count: f64,
    middle: f64,
}

/// Removes the observations on the other side of a value. Where nothing is removed, the
/// histogram stays exactly what it was.
pub fn trim(histogram: &mut FloatHistogram, value: f64, keep: Keep) {
    let cut = Cut {
        value,
        keep,
        is_linear: histogram.uses_custom_buckets(),
    };
    let mut changed = false;
    let (mut count, mut sum) = (0.0, 0.0);
    let mut has_side = [false, false];
    let positive: Vec<Bucket> = histogram.positive_buckets().collect();
    let negative: Vec<Bucket> = histogram.negative_buckets().collect();
    for (at, buckets) in [positive, negative].into_iter().enumerate() {
        let is_positive = at == 0;
        let counts = if is_positive {
            histogram.positive.counts_mut()
        } else {
            histogram.negative.counts_mut()
        };
        for (own, bucket) in counts.iter_mut().zip(buckets) {
            if bucket.count == 0.0 {
                continue;
            }
            has_side[at] = true;
            match cut.kept(&bucket, is_positive) {
                Some(kept) => {
                    count += kept.count;
                    sum += kept.middle * kept.count;
                    if *own != kept.count {
                        *own = kept.count;
                        changed = true;
                    }
                }
                None => {
                    *own = 0.0;
                    changed = true;
                }
            }
        }
    }
    if histogram.zero_count > 0.0 {
        let [has_positive, has_negative] = has_side;
        let kept = cut.kept_of_zero(&histogram.zero_bucket(), has_positive, has_negative);
        if histogram.zero_count != kept.count {
            histogram.zero_count = kept.count;
            changed = true;
        }
        sum += kept.middle * kept.count;
        count += kept.count;
    }
    if changed {
        histogram.count = count;
        histogram.sum = sum;
        histogram.compact(0);
    }
}

struct Cut {
    value: f64,
    keep: Keep,
    is_linear: bool,
}

impl Cut {
    /// Returns what is left of a bucket, `None` if it lies on the other side.
    fn kept(&self, bucket: &Bucket, is_positive: bool) -> Option<Kept> {
        let (is_whole, is_cut) = match self.keep {
            Keep::Below => (bucket.upper <= self.value, bucket.lower < self.value),
            Keep::Above => (bucket.lower >= self.value, bucket.upper > self.value),
        };
        if is_whole {
            return Some(Kept {
                count: bucket.count,
                middle: self.middle(bucket.lower, bucket.upper, is_positive),
            });
        }
        if !is_cut {
            return None;
        }
        if bucket.lower == f64::NEG_INFINITY {
            return Some(self.kept_of_lowest(bucket));
        }
        if bucket.upper == f64::INFINITY {
            return Some(self.kept_of_highest(bucket));
        }
        let below = if self.value <= bucket.lower {
            0.0
        } else if self.value >= bucket.upper {
            bucket.count
        } else {
            bucket.count * share_below(bucket, self.value, self.is_linear)
        };
        Some(match self.keep {
            Keep::Below => Kept {
                count: below,
                middle: self.middle(bucket.lower, self.value, is_positive),
            },
            Keep::Above => Kept {
                count: bucket.count - below,
                middle: self.middle(self.value, bucket.upper, is_positive),
            },
        })
    }

    /// Of a bucket that begins at -Inf: as if it began at zero where it ends above.
    fn kept_of_lowest(&self, bucket: &Bucket) -> Kept {
        let (value, upper) = (self.value, bucket.upper);
        let nothing = Kept {
            count: 0.0,
            middle: if upper.is_infinite() { 0.0 } else { upper },
        };
        match self.keep {
            Keep::Below if value >= upper => Kept {
                count: bucket.count,
                middle: 0.0,
            },
            Keep::Below if value > 0.0 && upper > 0.0 && upper != f64::INFINITY => Kept {
                count: bucket.count * value / upper,
                middle: value / 2.0,
            },
            Keep::Below if upper <= 0.0 => Kept {
                count: bucket.count,
                middle: value,
            },
            Keep::Above if value <= bucket.lower => Kept {
                count: bucket.count,
                middle: 0.0,
            },
            Keep::Above if value >= 0.0 && upper > value && upper != f64::INFINITY => Kept {
                count: bucket.count * (1.0 - value / upper),
                middle: (value + upper) / 2.0,
            },
            _ => nothing,
        }
    }

    /// Of a bucket that ends at +Inf: nobody knows how far its observations reach.
    fn kept_of_highest(&self, bucket: &Bucket) -> Kept {
        if self.keep == Keep::Above && self.value >= bucket.lower {
            return Kept {
                count: bucket.count,
                middle: self.value,
            };
        }
        let lower = bucket.lower;
        Kept {
            count: 0.0,
            middle: if lower.is_infinite() { 0.0 } else { lower },
        }
    }

    fn kept_of_zero(&self, zero: &Bucket, has_positive: bool, has_negative: bool) -> Kept {
        let (mut lower, mut upper) = (zero.lower, zero.upper);
        if has_negative && !has_positive {
            upper = 0.0;
        }
        if has_positive && !has_negative {
            lower = 0.0;
        }
        let whole = Kept {
            count: zero.count,
            middle: (lower + upper) / 2.0,
        };
        let nothing = Kept {
            count: 0.0,
            middle: 0.0,
        };
        let value = self.value;
        match self.keep {
            Keep::Below if value <= lower => nothing,
            Keep::Below if value >= upper => whole,
            Keep::Below => Kept {
                count: zero.count * ((value - lower) / (upper - lower)),
                middle: (lower + value) / 2.0,
            },
            Keep::Above if value <= lower => whole,
            Keep::Above if value >= upper => nothing,
            Keep::Above => Kept {
                count: zero.count * ((upper - value) / (upper - lower)),
                middle: (value + upper) / 2.0,
            },
        }
    }

    fn middle(&self, lower: f64, upper: f64, is_positive: bool) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => return 0.0,
            (true, false) if upper > 0.0 => return upper / 2.0,
            (true, false) => return upper,
            (false, true) => return lower,
            (false, false) => {}
        }
        if self.is_linear {
            return (lower + upper) / 2.0;
        }
        let middle = (lower * upper).abs().sqrt();
        if is_positive { middle } else { -middle }
    }
}
