//! The steps of a query, and the windows of a function at them.
//!
//! The bounds of all windows cut time into segments, such that each window is a run of
//! whole segments. A sample is added to its segment once, however many windows hold it.

use std::ops::Range;

use crate::logql::LogQlError;

/// Times at which a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first time, in nanoseconds since the epoch.
    pub(crate) start_ns: i64,
    /// Distance of the times.
    pub(crate) step_ns: i64,
    /// How many there are.
    pub(crate) n: usize,
}

impl Steps {
    /// More are not evaluated at once.
    const MAX: i64 = 1 << 24;

    /// Returns the times from `start_ns` to `end_ns`, both included.
    pub(crate) fn new(start_ns: i64, end_ns: i64, step_ns: i64) -> Result<Steps, LogQlError> {
        if step_ns <= 0 {
            return Err(LogQlError::Invalid(
                "zero or negative query resolution step widths are not accepted. \
                 Try a positive integer"
                    .to_owned(),
            ));
        }
        let span = end_ns.checked_sub(start_ns).filter(|span| *span >= 0);
        let Some(span) = span else {
            return Err(LogQlError::Invalid(
                "the end of the query is before its start".to_owned(),
            ));
        };
        match span / step_ns {
            n if n < Steps::MAX => Ok(Steps {
                start_ns,
                step_ns,
                n: n as usize + 1,
            }),
            _ => Err(LogQlError::Invalid(
                "the query has too many steps; increase the step".to_owned(),
            )),
        }
    }

    /// Returns one time.
    pub(crate) fn instant(t_ns: i64) -> Steps {
        Steps {
            start_ns: t_ns,
            step_ns: 1,
            n: 1,
        }
    }

    /// Returns the time of a step in milliseconds.
    pub(crate) fn t_ms(&self, step: usize) -> i64 {
        (self.start_ns + self.step_ns * step as i64).div_euclid(1_000_000)
    }
}

/// The windows `(t - range, t]` of a function, one for each step, shifted by its offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    /// End of the first window.
    first_end: i64,
    step: i64,
    n: i64,
    range: i64,
    /// Whether windows have no length, so that nothing is in them.
    is_empty: bool,
    shape: Shape,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Windows are at most as long as all steps: each step is one segment, or two where the
    /// range is not a multiple of the step.
    Cells { base: i64, whole: i64, rest: i64 },
    /// They are longer: what they all share is one segment.
    Shared,
}

impl Windows {
    /// Returns the windows of a range.
    pub(crate) fn new(steps: &Steps, range_ns: i64, offset_ns: i64) -> Result<Windows, LogQlError> {
        let out_of_time =
            || LogQlError::Invalid("the windows of the query reach beyond all times".to_owned());
        let n = steps.n as i64;
        let range = range_ns.max(1);
        // A single window is a single step of its length.
        let step = if n == 1 { range } else { steps.step_ns };
        let first_end = steps
            .start_ns
            .checked_sub(offset_ns)
            .ok_or_else(out_of_time)?;
        let last_end = step
            .checked_mul(n - 1)
            .and_then(|span| first_end.checked_add(span));
        let reach = range.checked_add(step);
        let base = reach.and_then(|reach| first_end.checked_sub(reach));
        let span = last_end
            .zip(base)
            .and_then(|(end, base)| end.checked_sub(base));
        if span.is_none() || last_end == Some(i64::MAX) {
            return Err(out_of_time());
        }
        let (whole, rest) = (range / step, range % step);
        let shape = match whole <= n {
            true => Shape::Cells {
                base: first_end - (whole + i64::from(rest > 0)) * step,
                whole,
                rest,
            },
            false => Shape::Shared,
        };
        Ok(Windows {
            first_end,
            step,
            n,
            range,
            is_empty: range_ns <= 0,
            shape,
        })
    }

    /// Returns the first time that is in a window, and the first behind them all.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        let first = self.first_end - self.range + 1;
        (first, self.end(self.n as usize - 1) + 1)
    }

    /// Returns how many windows there are.
    pub(crate) fn len(&self) -> usize {
        self.n as usize
    }

    /// Returns the last time of a window.
    pub(crate) fn end(&self, window: usize) -> i64 {
        self.first_end + self.step * window as i64
    }

    /// Returns how long windows are, in nanoseconds.
    pub(crate) fn range_ns(&self) -> i64 {
        self.range
    }

    /// Returns how long windows are, in seconds.
    pub(crate) fn range_seconds(&self) -> f64 {
        let (seconds, rest) = (self.range / 1_000_000_000, self.range % 1_000_000_000);
        seconds as f64 + rest as f64 / 1e9
    }

    /// Returns the segment of a time, `None` where it is in no window.
    #[inline]
    pub(crate) fn segment(&self, t_ns: i64) -> Option<u32> {
        self.stretch(t_ns).0
    }

    /// Returns the segment of a time, `None` where it is in no window, and the last time of
    /// which the same is true without a break.
    #[inline]
    pub(crate) fn stretch(&self, t_ns: i64) -> (Option<u32>, i64) {
        let (first, behind) = self.bounds();
        if t_ns < first {
            return (None, first - 1);
        }
        if behind <= t_ns || self.is_empty {
            return (None, i64::MAX);
        }
        let (segment, last) = match self.shape {
            Shape::Cells { base, rest, .. } => {
                let distance = t_ns - base - 1;
                let (cell, place) = (distance / self.step, distance % self.step + 1);
                let end = t_ns - place + self.step;
                let middle = end - rest;
                match rest {
                    0 => (cell, end),
                    _ if place > self.step - rest => (cell * 2 + 1, end),
                    // Between windows that do not touch there are times of none.
                    _ if self.range < self.step => return (None, middle),
                    _ => (cell * 2, middle),
                }
            }
            Shape::Shared => {
                let (low, high) = (self.first_end - self.range, self.first_end);
                let last_low = low + (self.n - 1) * self.step;
                if t_ns <= last_low {
                    let segment = (t_ns - low - 1) / self.step;
                    (segment, low + (segment + 1) * self.step)
                } else if t_ns <= high {
                    (self.n - 1, high)
                } else {
                    let above = (t_ns - high - 1) / self.step;
                    (self.n + above, high + (above + 1) * self.step)
                }
            }
        };
        (Some(segment as u32), last)
    }

    /// Returns the segments of a window.
    pub(crate) fn segments(&self, window: usize) -> Range<u32> {
        let window = window as i64;
        let (start, end) = match self.shape {
            Shape::Cells { whole, rest: 0, .. } => (window, window + whole),
            Shape::Cells { whole, .. } => (window * 2 + 1, (window + whole + 1) * 2),
            Shape::Shared => (window, self.n + window),
        };
        start as u32..end as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_in_a_window_without_length() {
        let windows = Windows::new(&Steps::new(0, 30, 10).unwrap(), 0, 0).unwrap();
        for t_ns in -1..31 {
            assert_eq!(windows.segment(t_ns), None, "{t_ns}");
        }
    }

    #[test]
    fn steps_go_to_the_end_and_include_it() {
        assert_eq!(Steps::new(5, 25, 10).unwrap().n, 3);
        assert_eq!(Steps::new(5, 24, 10).unwrap().n, 2);
        assert_eq!(Steps::new(5, 5, 10).unwrap().n, 1);
        assert!(Steps::new(5, 4, 10).is_err());
        assert!(Steps::new(5, 6, 0).is_err());
        assert!(Steps::new(i64::MIN, i64::MAX, 1).is_err());
        assert!(Windows::new(&Steps::instant(i64::MIN), 1, 0).is_err());
        assert!(Windows::new(&Steps::instant(0), i64::MAX, 0).is_err());
    }

    proptest! {
        #[test]
        fn a_window_is_a_run_of_segments(
            start in -50i64..50, step in 1i64..20, n in 1i64..12, range in 1i64..150,
            offset in -30i64..30,
        ) {
            let steps = Steps::new(start, start + step * (n - 1), step).unwrap();
            let windows = Windows::new(&steps, range, offset).unwrap();
            for t in -300..300 {
                let (segment, last) = windows.stretch(t);
                prop_assert!(last >= t);
                for within in t..last.min(300) {
                    prop_assert_eq!(windows.segment(within), segment);
                }
                prop_assert!(last > 300 || windows.segment(last + 1) != segment || segment.is_none());
                let mut is_in_any = false;
                for window in 0..windows.len() {
                    let end = start + step * window as i64 - offset;
                    let is_in = end - range < t && t <= end;
                    is_in_any |= is_in;
                    let found = segment.is_some_and(|s| windows.segments(window).contains(&s));
                    prop_assert_eq!(found, is_in, "t {} window {}", t, window);
                }
                prop_assert!(segment.is_some() || !is_in_any);
            }
        }
    }
}
