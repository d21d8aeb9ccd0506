//! Data, values and the arithmetic that the language prescribes to the bit.

use std::collections::BTreeMap;

use kymo_storage::model::is_stale_marker;

/// Labels in order of their names.
pub(crate) type Labels = BTreeMap<String, String>;

/// Samples of a series: milliseconds and value.
pub(crate) type Samples = Vec<(i64, f64)>;

/// All series, in the order in which they are stored.
pub(crate) type Data = Vec<(Labels, Samples)>;

/// The value of an expression at one time.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(f64),
    Text(String),
    Vector(Vec<(Labels, f64)>),
    Matrix(Vec<(Labels, Samples)>),
}

/// Returns labels without the name of the metric.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    for name in ["__name__", "__type__", "__unit__"] {
        labels.remove(name);
    }
    labels
}

/// Sets a label, or removes it where the value is empty.
pub(crate) fn set(labels: &mut Labels, name: &str, value: &str) {
    if value.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), value.to_owned());
    }
}

/// The newest sample of `(end - lookback, end]`, unless it is a stale marker.
pub(crate) fn newest(samples: &Samples, lookback_ms: i64, end_ms: i64) -> Option<(i64, f64)> {
    let inside = |t_ms: i64| t_ms > end_ms - lookback_ms && t_ms <= end_ms;
    let (t_ms, value) = samples
        .iter()
        .rev()
        .copied()
        .find(|&(t_ms, _)| inside(t_ms))?;
    (!is_stale_marker(value)).then_some((t_ms, value))
}

/// The samples of `(end - range, end]` without stale markers.
pub(crate) fn window(samples: &Samples, range_ms: i64, end_ms: i64) -> Samples {
    let inside = |t_ms: i64| t_ms > end_ms - range_ms && t_ms <= end_ms;
    let samples = samples.iter().copied();
    samples
        .filter(|&(t_ms, value)| inside(t_ms) && !is_stale_marker(value))
        .collect()
}

/// A sum that keeps what rounding took away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kahan {
    pub(crate) sum: f64,
    pub(crate) rest: f64,
}

impl Kahan {
    pub(crate) fn new(sum: f64) -> Kahan {
        Kahan { sum, rest: 0.0 }
    }

    pub(crate) fn add(self, value: f64) -> Kahan {
        let sum = self.sum + value;
        let rest = if sum.is_infinite() {
            0.0
        } else if self.sum.abs() >= value.abs() {
            self.rest + ((self.sum - sum) + value)
        } else {
            self.rest + ((value - sum) + self.sum)
        };
        Kahan { sum, rest }
    }

    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() {
            return self.sum;
        }
        self.sum + self.rest
    }
}

/// The mean of at least one value: the sum divided, and where the sum would be infinite
/// a mean that moves with each value.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let mut sum = Kahan::new(values[0]);
    let mut moving: Option<Kahan> = None;
    for (at, &value) in values.iter().enumerate().skip(1) {
        let count = (at + 1) as f64;
        let before = match moving {
            Some(mean) => mean,
            None => {
                let more = sum.add(value);
                if !more.sum.is_infinite() {
                    sum = more;
                    continue;
                }
                Kahan {
                    sum: sum.sum / (count - 1.0),
                    rest: sum.rest / (count - 1.0),
                }
            }
        };
        let kept = (count - 1.0) / count;
        let scaled = Kahan {
            sum: before.sum * kept,
            rest: before.rest * kept,
        };
        moving = Some(scaled.add(value / count));
    }
    match moving {
        Some(mean) => mean.sum + mean.rest,
        None => {
            let count = values.len() as f64;
            sum.sum / count + sum.rest / count
        }
    }
}

/// The value between ranks at `q`.
pub(crate) fn quantile(q: f64, values: &[f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let mut sorted = values.to_vec();
    // What is no number is less than all that is.
    sorted.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.partial_cmp(b).unwrap(),
    });
    let rank = q * (sorted.len() as f64 - 1.0);
    let lower = rank.floor().max(0.0) as usize;
    let upper = (lower + 1).min(sorted.len() - 1);
    let weight = rank - rank.floor();
    sorted[lower] * (1.0 - weight) + sorted[upper] * weight
}
