//! Functions of one number, and of the samples of a window.

use super::model::{Kahan, Samples, mean, quantile};

/// A function of one number.
pub(crate) fn of_number(name: &str, v: f64) -> Option<f64> {
    Some(match name {
        "abs" => v.abs(),
        "ceil" => v.ceil(),
        "floor" => v.floor(),
        "sqrt" => v.sqrt(),
        "exp" => v.exp(),
        "deg" => v * 180.0 / std::f64::consts::PI,
        "rad" => v * std::f64::consts::PI / 180.0,
        "sgn" if v > 0.0 => 1.0,
        "sgn" if v < 0.0 => -1.0,
        "sgn" => v,
        _ => return None,
    })
}

/// The window that a function looks at.
pub(crate) struct Window<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) range_ms: i64,
    /// When it ends, offset included.
    pub(crate) end_ms: i64,
    /// When the query is evaluated.
    pub(crate) now_ms: i64,
    /// The numbers among the arguments.
    pub(crate) numbers: &'a [f64],
}

/// A function of a window; `None` where it has no result.
pub(crate) fn of_window(name: &str, window: &Window<'_>) -> Option<f64> {
    let samples = window.samples;
    let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
    let (&first, &last) = (samples.first()?, samples.last()?);
    let number = |at: usize| window.numbers.get(at).copied().unwrap_or(f64::NAN);
    let pairs = || values.windows(2).map(|pair| (pair[0], pair[1]));
    // NaN only if there is nothing else.
    let extreme = |better: fn(f64, f64) -> bool| {
        let mut best = values[0];
        for &value in &values {
            if better(value, best) || best.is_nan() {
                best = value;
            }
        }
        best
    };
    let seconds = |t_ms: i64| t_ms as f64 / 1000.0;
    Some(match name {
        "rate" | "increase" | "delta" => return extrapolated(name, window),
        "irate" | "idelta" => return last_two(name, samples),
        "count_over_time" => values.len() as f64,
        "present_over_time" => 1.0,
        "last_over_time" => last.1,
        "first_over_time" => first.1,
        "sum_over_time" => values
            .iter()
            .fold(Kahan::new(0.0), |k, &v| k.add(v))
            .total(),
        "avg_over_time" => mean(&values),
        "min_over_time" => extreme(|value, best| value < best),
        "max_over_time" => extreme(|value, best| value > best),
        "stdvar_over_time" => variance(&values),
        "stddev_over_time" => variance(&values).sqrt(),
        "quantile_over_time" => quantile(number(0), &values),
        "mad_over_time" if values.iter().any(|v| v.is_nan()) => f64::NAN,
        "mad_over_time" => {
            let median = quantile(0.5, &values);
            let distances: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
            quantile(0.5, &distances)
        }
        "changes" => {
            let changes = |&(a, b): &(f64, f64)| a != b && !(a.is_nan() && b.is_nan());
            pairs().filter(changes).count() as f64
        }
        "resets" => pairs().filter(|(a, b)| b < a).count() as f64,
        "deriv" => {
            if samples.len() < 2 {
                return None;
            }
            regression(samples, first.0).0
        }
        "predict_linear" => {
            if samples.len() < 2 {
                return None;
            }
            let (slope, intercept) = regression(samples, window.now_ms);
            slope * number(0) + intercept
        }
        "ts_of_first_over_time" => seconds(first.0),
        "ts_of_last_over_time" => seconds(last.0),
        "ts_of_min_over_time" => seconds(latest(samples, |value, best| value <= best)),
        "ts_of_max_over_time" => seconds(latest(samples, |value, best| value >= best)),
        _ => panic!("unknown function {name}"),
    })
}

/// When the best value was seen, the latest of equal ones.
fn latest(samples: &Samples, better: fn(f64, f64) -> bool) -> i64 {
    let mut best = samples[0];
    for &(t_ms, value) in samples {
        if better(value, best.1) || best.1.is_nan() {
            best = (t_ms, value);
        }
    }
    best.0
}

fn extrapolated(name: &str, window: &Window<'_>) -> Option<f64> {
    let samples = window.samples;
    if samples.len() < 2 {
        return None;
    }
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let is_counter = name != "delta";
    let mut result = last.1 - first.1;
    if is_counter {
        for pair in samples.windows(2) {
            if pair[1].1 < pair[0].1 {
                result += pair[0].1;
            }
        }
    }
    let start_ms = window.end_ms - window.range_ms;
    let mut to_start = (first.0 - start_ms) as f64 / 1000.0;
    let mut to_end = (window.end_ms - last.0) as f64 / 1000.0;
    let sampled = (last.0 - first.0) as f64 / 1000.0;
    let average = sampled / (samples.len() as f64 - 1.0);
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if is_counter && result > 0.0 && first.1 >= 0.0 {
        let to_zero = sampled * (first.1 / result);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if name == "rate" {
        factor /= window.range_ms as f64 / 1000.0;
    }
    Some(result * factor)
}

fn last_two(name: &str, samples: &Samples) -> Option<f64> {
    let [.., before, last] = samples.as_slice() else {
        return None;
    };
    if name == "idelta" {
        return Some(last.1 - before.1);
    }
    let risen = if last.1 < before.1 {
        last.1
    } else {
        last.1 - before.1
    };
    Some(risen / ((last.0 - before.0) as f64 / 1000.0))
}

fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, Kahan::new(0.0), Kahan::new(0.0));
    for &value in values {
        count += 1.0;
        let delta = value - (mean.sum + mean.rest);
        mean = mean.add(delta / count);
        squares = squares.add(delta * (value - (mean.sum + mean.rest)));
    }
    (squares.sum + squares.rest) / count
}

/// Slope of the straight line through the samples, and where it is at a time.
fn regression(samples: &Samples, at_ms: i64) -> (f64, f64) {
    let first = samples[0].1;
    if samples.iter().all(|s| s.1 == first) {
        return match first.is_infinite() {
            true => (f64::NAN, f64::NAN),
            false => (0.0, first),
        };
    }
    let zero = Kahan::new(0.0);
    let (mut x, mut y, mut xy, mut xx) = (zero, zero, zero, zero);
    for &(t_ms, value) in samples {
        let at = (t_ms - at_ms) as f64 / 1000.0;
        x = x.add(at);
        y = y.add(value);
        xy = xy.add(at * value);
        xx = xx.add(at * at);
    }
    let total = |k: Kahan| k.sum + k.rest;
    let (n, x, y, xy, xx) = (
        samples.len() as f64,
        total(x),
        total(y),
        total(xy),
        total(xx),
    );
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}
