//! Histograms of OTLP as native histograms.
//!
//! OpenTelemetry counts every bucket of a range; a native histogram has spans of buckets
//! and leaves out gaps of more than two. Its exponential buckets are open below and
//! closed above, with index 1 where OpenTelemetry has 0.

use std::sync::Arc;

use kymo_storage::compat::float;
use kymo_storage::model::histogram::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, EXPONENTIAL_SCHEMAS, IntegerHistogram, Span,
};
use kymo_storage::model::{STALE_NAN_BITS, stale_marker};

use super::view::{Point, Temporality};

/// Half the width of the zero bucket where none is known.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Makes a native histogram of an exponential one. The text beside it is a warning.
///
/// # Errors
///
/// The scale is coarser than any schema.
pub(super) fn exponential(
    point: &Point<'_>,
    temporality: Temporality,
) -> Result<(IntegerHistogram, Option<String>), String> {
    let (coarsest, finest) = (*EXPONENTIAL_SCHEMAS.start(), *EXPONENTIAL_SCHEMAS.end());
    if point.scale < coarsest {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {coarsest}, was {}",
            point.scale
        ));
    }
    // More than 31 halvings put any index into bucket 0 or -1, as 31 do.
    let halvings = point.scale.saturating_sub(finest).clamp(0, 31);
    let side = |side: &super::view::Side| layout(&side.counts, side.offset, halvings, true);
    let (positive_spans, positive_deltas) = side(&point.positive);
    let (negative_spans, negative_deltas) = side(&point.negative);
    let histogram = IntegerHistogram {
        counter_reset_hint: hint(temporality),
        schema: point.scale.min(finest),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: point.zero_count,
        positive_spans,
        positive_deltas,
        negative_spans,
        negative_deltas,
        ..IntegerHistogram::default()
    };
    Ok(with_totals(
        histogram,
        point,
        "exponential histogram data point",
    ))
}

/// Makes a native histogram with custom buckets of one with explicit bounds. The text
/// beside it is a warning.
pub(super) fn custom(
    point: &Point<'_>,
    temporality: Temporality,
) -> (IntegerHistogram, Option<String>) {
    let counts = &point.bucket_counts;
    let first = counts.iter().position(|count| *count != 0);
    let first = first.unwrap_or(counts.len());
    let offset = i32::try_from(first).unwrap_or(i32::MAX);
    let (positive_spans, positive_deltas) = layout(&counts[first..], offset, 0, false);
    let histogram = IntegerHistogram {
        counter_reset_hint: hint(temporality),
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans,
        positive_deltas,
        custom_bounds: Arc::from(point.bounds.as_slice()),
        ..IntegerHistogram::default()
    };
    with_totals(histogram, point, "histogram data point")
}

/// Nothing is known of resets: whether there was one is found by comparison. Deltas are
/// a gauge, for which that question is not asked.
fn hint(temporality: Temporality) -> CounterResetHint {
    match temporality {
        Temporality::Delta => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn with_totals(
    mut histogram: IntegerHistogram,
    point: &Point<'_>,
    what: &str,
) -> (IntegerHistogram, Option<String>) {
    if point.has_no_value() {
        histogram.sum = stale_marker();
        histogram.count = STALE_NAN_BITS;
        return (histogram, None);
    }
    histogram.sum = point.sum.unwrap_or(0.0);
    histogram.count = point.count;
    let mut warning = None;
    if point.count == 0 && histogram.sum != 0.0 {
        let mut text = format!("{what} has zero count, but non-zero sum: ");
        float::push_f_precision(&mut text, histogram.sum, 6);
        warning = Some(text);
    }
    (histogram, warning)
}

/// Puts counts of a range of buckets into spans and differences, `2^halvings` buckets
/// into one. Numbers wrap as they do in the original: what they then say is judged
/// with the histogram.
fn layout(
    counts: &[u64],
    offset: i32,
    halvings: i32,
    is_exponential: bool,
) -> (Vec<Span>, Vec<i64>) {
    if counts.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let index_of = |at: i32| (at.wrapping_add(offset) >> halvings).wrapping_add(1);
    let mut side = Layout {
        spans: vec![Span {
            offset: if is_exponential { index_of(0) } else { offset },
            length: 0,
        }],
        deltas: Vec::new(),
        before: 0,
    };
    let mut index = index_of(0);
    let mut sum = 0i64;
    let mut last_at = 0;
    for (at, &count) in (0i32..).zip(counts) {
        last_at = at;
        let next = index_of(at);
        if index == next {
            sum = sum.wrapping_add(count.cast_signed());
        } else if sum == 0 {
            // Buckets without observations are part of the gap.
            sum = count.cast_signed();
        } else {
            side.push(next.wrapping_sub(index).wrapping_sub(1), sum);
            sum = count.cast_signed();
            index = next;
        }
    }
    side.push(index_of(last_at).wrapping_sub(index), sum);
    (side.spans, side.deltas)
}

struct Layout {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    before: i64,
}

impl Layout {
    /// Adds a bucket behind a gap. Gaps of one or two are filled.
    fn push(&mut self, gap: i32, count: i64) {
        if gap > 2 {
            self.spans.push(Span {
                offset: gap,
                length: 0,
            });
        } else {
            for _ in 0..gap {
                self.add(0);
            }
        }
        self.add(count);
    }

    fn add(&mut self, count: i64) {
        if let Some(span) = self.spans.last_mut() {
            span.length += 1;
        }
        self.deltas.push(count.wrapping_sub(self.before));
        self.before = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[Span]) -> Vec<(i32, u32)> {
        spans.iter().map(|one| (one.offset, one.length)).collect()
    }

    #[test]
    fn gaps_of_more_than_two_begin_a_span() {
        let (found, deltas) = layout(&[4, 0, 0, 3, 0, 0, 0, 2], 2, 0, true);
        assert_eq!(spans(&found), [(3, 4), (3, 1)]);
        let mut count = 0;
        let counts: Vec<i64> = deltas
            .iter()
            .map(|delta| {
                count += delta;
                count
            })
            .collect();
        assert_eq!(counts, [4, 0, 0, 3, 2]);
    }

    #[test]
    fn a_finer_scale_is_halved() {
        let (found, deltas) = layout(&[1, 2, 3, 4], -1, 1, true);
        // Indexes -1 | 0 1 | 2 become 0, 1 and 2.
        assert_eq!(spans(&found), [(0, 3)]);
        assert_eq!(deltas, [1, 4, -1]);
    }

    #[test]
    fn any_offset_and_count_ends_somewhere() {
        for offset in [i32::MIN, -1, 0, 1, i32::MAX] {
            for halvings in [0, 1, 31] {
                let (_, deltas) = layout(&[u64::MAX, 0, 1, u64::MAX, 7], offset, halvings, true);
                assert!(!deltas.is_empty());
            }
        }
        assert!(layout(&[], 5, 0, true).0.is_empty());
    }
}
