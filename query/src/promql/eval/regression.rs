//! Straight lines and smoothing through the samples of a window.

use super::column::add_one;
use super::window::Window;

/// A line: its slope per second, and its value at the time it was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) slope: f64,
    pub(super) intercept: f64,
}

/// Fits a line by least squares.
pub(super) fn least_squares(window: &Window<'_>, intercept_ms: i64) -> Line {
    let first = window.values[0];
    let constant = window.values[1..].iter().all(|&value| value == first);
    if constant {
        return match first.is_infinite() {
            true => Line {
                slope: f64::NAN,
                intercept: f64::NAN,
            },
            false => Line {
                slope: 0.0,
                intercept: first,
            },
        };
    }
    // Of x, y, xy and xx; side by side, since none waits for another.
    let (mut sums, mut lost) = ([0.0; 4], [0.0; 4]);
    for (&t_ms, &y) in window.timestamps.iter().zip(window.values) {
        // A pinned range may be ages away; the difference wraps as Go's integers do.
        let x = t_ms.wrapping_sub(intercept_ms) as f64 / 1e3;
        let values = [x, y, x * y, x * x];
        for at in 0..4 {
            add_one(&mut sums[at], &mut lost[at], values[at]);
        }
    }
    let n = window.values.len() as f64;
    let [x, y, xy, xx] = [0, 1, 2, 3].map(|at| sums[at] + lost[at]);
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    Line {
        slope,
        intercept: y / n - slope * x / n,
    }
}

/// Smooths at least two values with a smoothing and a trend factor.
pub(super) fn double_smoothing(values: &[f64], smoothing: f64, trend_factor: f64) -> f64 {
    let mut before = 0.0;
    let mut smoothed = values[0];
    let mut trend = values[1] - values[0];
    for (at, &value) in values.iter().enumerate().skip(1) {
        if at > 1 {
            trend = trend_factor * (smoothed - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (smoothed + trend);
        before = smoothed;
        smoothed = next;
    }
    smoothed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let window = Window {
            timestamps: &[0, 10_000, 20_000],
            values: &[1.0, 3.0, 5.0],
            step: 0,
        };
        let line = least_squares(&window, 20_000);
        assert!((line.slope - 0.2).abs() < 1e-12 && (line.intercept - 5.0).abs() < 1e-12);
        let flat = least_squares(
            &Window {
                values: &[2.0; 3],
                ..window
            },
            0,
        );
        assert_eq!((flat.slope, flat.intercept), (0.0, 2.0));
    }

    #[test]
    fn smoothing_follows_a_straight_line() {
        assert_eq!(double_smoothing(&[1.0, 2.0, 3.0, 4.0], 0.5, 0.5), 4.0);
    }
}
