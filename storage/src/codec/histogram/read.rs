//! Columns back to histograms.

use std::ops::Range;
use std::sync::Arc;

use super::super::CodecError;
use super::super::varint::{read_i64, read_u64};
use super::{
    BEFORE, BEFORE_SHIFT, COUNT_IS_SUM, HAS_BOUNDS, IS_FLOAT, Layout, MAX_CELLS, Scratch,
    THRESHOLD_SHIFT, column, observations, power_of, read_indexes,
};
use crate::codec::sealed::MAX_VALUES;
use crate::model::histogram::{
    Buckets, CounterResetHint, FloatHistogram, Histogram, IntegerHistogram, spans_of,
};
use crate::model::stale_marker;

const SHORT: CodecError = CodecError::Truncated("run of histograms");
const INVALID: CodecError = CodecError::Invalid("run of histograms");

/// Counts of positive and of negative buckets.
type Sides = (Vec<f64>, Vec<f64>);

/// The values of a run of which the head is read.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    /// What its histograms have in common.
    pub layout: Layout,
    n: usize,
    n_live: usize,
    count_is_sum: bool,
    columns: &'a [u8],
}

impl<'a> Values<'a> {
    /// Reads the head of a run of `n` histograms.
    ///
    /// # Errors
    /// [`CodecError`] when `bytes` do not begin as a run of `n` histograms does.
    pub fn read(mut bytes: &'a [u8], n: usize) -> Result<Values<'a>, CodecError> {
        let rest = &mut bytes;
        let &flags = rest.split_off_first().ok_or(SHORT)?;
        let n_live = read_u64(rest)?;
        if flags >> 7 != 0 || n > MAX_VALUES || n_live > n as u64 {
            return Err(INVALID);
        }
        let n_live = n_live as usize;
        let schema = i32::try_from(read_i64(rest)?).map_err(|_| INVALID)?;
        let zero_threshold = match flags >> THRESHOLD_SHIFT & 3 {
            0 => 0.0,
            1 => power_of(*rest.split_off_first().ok_or(SHORT)?),
            2 => {
                let bits = rest.split_off(..8).and_then(|bits| bits.first_chunk());
                f64::from_bits(u64::from_le_bytes(*bits.ok_or(SHORT)?))
            }
            _ => return Err(INVALID),
        };
        // A column takes a byte at least.
        let limit = if n_live > 0 { rest.len() } else { 0 };
        let positive = read_indexes(rest, limit)?;
        let negative = read_indexes(rest, limit)?;
        let n_cells = n_live.saturating_mul(positive.len() + negative.len());
        if n_cells > MAX_CELLS {
            return Err(CodecError::TooMany {
                found: n_cells as u64,
                limit: MAX_CELLS as u64,
            });
        }
        let mut custom_bounds = Arc::from(&[][..]);
        if flags & HAS_BOUNDS != 0 {
            custom_bounds = read_bounds(rest)?.into();
        }
        Ok(Values {
            layout: Layout {
                is_float: flags & IS_FLOAT != 0,
                before: BEFORE[usize::from(flags >> BEFORE_SHIFT & 3)],
                schema,
                zero_threshold,
                custom_bounds,
                positive,
                negative,
            },
            n,
            n_live,
            count_is_sum: flags & COUNT_IS_SUM != 0,
            columns: rest,
        })
    }

    /// Returns the hint of the histogram at a position.
    fn hint(&self, at: usize) -> CounterResetHint {
        match self.layout.before {
            CounterResetHint::Gauge => CounterResetHint::Gauge,
            _ if at > 0 => CounterResetHint::NotReset,
            // Whether the run before still exists, and is not followed by a late one,
            // nobody knows.
            _ => CounterResetHint::Unknown,
        }
    }

    /// Checks a range; returns those of it that are no stale markers, and their number.
    fn parts(&self, range: &Range<usize>) -> Result<(Range<usize>, usize), CodecError> {
        if range.start > range.end || range.end > self.n {
            return Err(CodecError::Invalid("range of histograms"));
        }
        let live = range.start.min(self.n_live)..range.end.min(self.n_live);
        let n_stale = range.len() - live.len();
        Ok((live, n_stale))
    }

    /// Hands out the histograms whose positions are in `range`, as queries take them.
    ///
    /// # Errors
    /// [`CodecError`] when `range` goes beyond the run, or the bytes are not valid; none
    /// was handed out then.
    pub fn float_histograms(
        &self,
        range: Range<usize>,
        scratch: &mut Scratch,
        mut take: impl FnMut(FloatHistogram),
    ) -> Result<(), CodecError> {
        let (live, n_stale) = self.parts(&range)?;
        let (n_positive, n_negative) = (self.layout.positive.len(), self.layout.negative.len());
        let mut sides: Vec<Sides> = Vec::new();
        sides.resize_with(live.len(), || {
            let positive = Vec::with_capacity(n_positive);
            (positive, Vec::with_capacity(n_negative))
        });
        if !live.is_empty() {
            scratch.count_columns.iter_mut().for_each(Vec::clear);
            match self.layout.is_float {
                true => self.read_real(&live, scratch, &mut sides)?,
                false => self.read_whole(&live, scratch, &mut sides)?,
            }
        }
        let [sums, zeros, counts] = &scratch.count_columns;
        // Indexes ascend, and there is a column for each.
        let buckets = |layout: &Arc<[i32]>, counts| {
            Buckets::from_layout(Arc::clone(layout), counts).unwrap_or_default()
        };
        for (at, (positive, negative)) in sides.into_iter().enumerate() {
            take(FloatHistogram {
                counter_reset_hint: self.hint(live.start + at),
                schema: self.layout.schema,
                zero_threshold: self.layout.zero_threshold,
                zero_count: zeros[at],
                count: counts[at],
                sum: sums[at],
                positive: buckets(&self.layout.positive, positive),
                negative: buckets(&self.layout.negative, negative),
                custom_bounds: Arc::clone(&self.layout.custom_bounds),
            });
        }
        for at in range.end - n_stale..range.end {
            take(FloatHistogram {
                counter_reset_hint: self.hint(at),
                sum: stale_marker(),
                ..FloatHistogram::default()
            });
        }
        Ok(())
    }

    /// Reads columns of doubles.
    fn read_real(
        &self,
        live: &Range<usize>,
        scratch: &mut Scratch,
        sides: &mut [Sides],
    ) -> Result<(), CodecError> {
        let (columns, column) = (&mut scratch.columns, &mut scratch.real_column);
        let [sums, zeros, counts] = &mut scratch.count_columns;
        let (bytes, n) = (&mut { self.columns }, self.n_live);
        columns.read_doubles(bytes, n, live.clone(), sums)?;
        columns.read_doubles(bytes, n, live.clone(), zeros)?;
        if !self.count_is_sum {
            columns.read_doubles(bytes, n, live.clone(), counts)?;
        }
        for is_positive in self.columns_of_buckets() {
            column.clear();
            columns.read_doubles(bytes, n, live.clone(), column)?;
            push_column(sides, column, is_positive);
        }
        if self.count_is_sum {
            let all = sides.iter().zip(zeros.iter());
            counts.extend(all.map(|((positive, negative), zero)| {
                observations(observations(*zero, positive), negative)
            }));
        }
        Ok(())
    }

    /// Reads columns of whole numbers.
    fn read_whole(
        &self,
        live: &Range<usize>,
        scratch: &mut Scratch,
        sides: &mut [Sides],
    ) -> Result<(), CodecError> {
        let (columns, column) = (&mut scratch.columns, &mut scratch.real_column);
        let [sums, zeros, counts] = &mut scratch.count_columns;
        let (bytes, n) = (&mut { self.columns }, self.n_live);
        columns.read_doubles(bytes, n, live.clone(), sums)?;
        // The count is the sum of integers, which doubles may not hold.
        let (all, others) = (&mut scratch.whole_column, &mut scratch.whole_row);
        all.clear();
        columns.read_integers(bytes, n, live.clone(), all)?;
        zeros.extend(all.iter().map(|zero| *zero as u64 as f64));
        others.clear();
        columns.read_integers(bytes, n, live.clone(), others)?;
        for (count, other) in all.iter_mut().zip(others) {
            *count = count.wrapping_add(*other);
        }
        for is_positive in self.columns_of_buckets() {
            column.clear();
            columns.read_summed(bytes, n, live.clone(), column, all)?;
            push_column(sides, column, is_positive);
        }
        counts.extend(all.iter().map(|count| *count as u64 as f64));
        Ok(())
    }

    /// Tells of each column of buckets whether these are positive.
    fn columns_of_buckets(&self) -> impl Iterator<Item = bool> {
        let positive = std::iter::repeat_n(true, self.layout.positive.len());
        positive.chain(std::iter::repeat_n(false, self.layout.negative.len()))
    }

    /// Hands out the histograms whose positions are in `range`, with the counts that they
    /// came with.
    ///
    /// # Errors
    /// As [`Values::float_histograms`].
    pub fn histograms(
        &self,
        range: Range<usize>,
        scratch: &mut Scratch,
        mut take: impl FnMut(Histogram),
    ) -> Result<(), CodecError> {
        if self.layout.is_float {
            let take = |histogram| take(Histogram::Float(histogram));
            return self.float_histograms(range, scratch, take);
        }
        let (live, n_stale) = self.parts(&range)?;
        let n = live.len();
        let bytes = &mut { self.columns };
        let width = self.layout.positive.len() + self.layout.negative.len();
        let (mut sums, mut zeros, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let cells = &mut scratch.whole;
        cells.clear();
        if n > 0 {
            let columns = &mut scratch.columns;
            columns.read_doubles(bytes, self.n_live, live.clone(), &mut sums)?;
            columns.read_integers(bytes, self.n_live, live.clone(), &mut zeros)?;
            columns.read_integers(bytes, self.n_live, live.clone(), &mut counts)?;
            for _ in 0..width {
                columns.read_integers(bytes, self.n_live, live.clone(), cells)?;
            }
        }
        let positive_spans = spans_of(&self.layout.positive);
        let negative_spans = spans_of(&self.layout.negative);
        for at in 0..n {
            let mut count = (counts[at] as u64).wrapping_add(zeros[at] as u64);
            let mut deltas = |buckets: Range<usize>| {
                let mut last = 0i64;
                let deltas = buckets.map(|bucket| {
                    let own = cells[bucket * n + at];
                    count = count.wrapping_add(own as u64);
                    own.wrapping_sub(std::mem::replace(&mut last, own))
                });
                deltas.collect()
            };
            let positive_deltas = deltas(0..self.layout.positive.len());
            let negative_deltas = deltas(self.layout.positive.len()..width);
            take(Histogram::Integer(IntegerHistogram {
                counter_reset_hint: self.hint(live.start + at),
                schema: self.layout.schema,
                zero_threshold: self.layout.zero_threshold,
                zero_count: zeros[at] as u64,
                count,
                sum: sums[at],
                positive_spans: positive_spans.clone(),
                positive_deltas,
                negative_spans: negative_spans.clone(),
                negative_deltas,
                custom_bounds: Arc::clone(&self.layout.custom_bounds),
            }));
        }
        for at in range.end - n_stale..range.end {
            take(Histogram::Integer(IntegerHistogram {
                counter_reset_hint: self.hint(at),
                sum: stale_marker(),
                ..IntegerHistogram::default()
            }));
        }
        Ok(())
    }
}

/// Adds the counts of a bucket to those of each histogram.
fn push_column(sides: &mut [Sides], column: &[f64], is_positive: bool) {
    for ((positive, negative), count) in sides.iter_mut().zip(column) {
        match is_positive {
            true => positive.push(*count),
            false => negative.push(*count),
        }
    }
}

/// Takes custom bounds.
fn read_bounds(bytes: &mut &[u8]) -> Result<Vec<f64>, CodecError> {
    let found = read_u64(bytes)?;
    let limit = MAX_CELLS as u64;
    if found > limit {
        return Err(CodecError::TooMany { found, limit });
    }
    let mut columns = column::Scratch::default();
    let (mut left, mut bounds) = (found as usize, Vec::new());
    while left > 0 {
        let n = left.min(MAX_VALUES);
        columns.read_doubles(bytes, n, 0..n, &mut bounds)?;
        left -= n;
    }
    Ok(bounds)
}
