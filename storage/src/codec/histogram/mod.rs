//! Runs of native histograms of a series, column by column.
//!
//! The buckets of a run are laid out once. What changes from histogram to histogram are
//! columns, one for each bucket, so that what hardly changes hardly costs anything, and a
//! query reads them as it computes.
//!
//! ```text
//! run     = len of the times varint | times (`timestamps`) | values
//! values  = flags u8 | live varint | schema zigzag | [threshold] | positive | negative
//!         | [bounds] | sum | zero count | [count] | positive columns | negative columns
//! flags   = bit 0 float, bits 1-2 reset before (0 unknown, 1 reset, 2 none, 3 gauge),
//!           bits 3-4 threshold (0: it is 0, 1: u8, its exponent + 243, 2: u64, its bits),
//!           bit 5 bounds, bit 6 the count is the sum of its buckets
//! positive, negative = runs varint | runs x (gap varint, the first zigzag | length varint)
//! bounds  = number varint | columns of at most 65,535 each
//! columns = those of `column`, with the values of the first `live` histograms
//! ```
//!
//! The first `live` histograms are such, the others stale markers: nothing else fits
//! behind one. Count and zero count are columns as well; that of whole counts holds the
//! count without the observations in buckets, which is 0 as a rule.
//!
//! Every bit survives but for what no query sees: a stale marker has no buckets, and a
//! histogram gets the empty buckets that others of its run have. Its hint follows from its
//! place in the run, as in Prometheus.

#![cfg_attr(
    not(any(test, feature = "internals")),
    allow(
        dead_code,
        unused_imports,
        reason = "the format is whole and tested; the store uses a part of it"
    )
)]

use std::borrow::Cow;
use std::sync::Arc;

use super::sealed::{Effort, MAX_VALUES};
use super::varint::{read_i64, read_u64, write_i64, write_u64};
use super::{CodecError, timestamps};
use crate::model::histogram::{
    Buckets, CounterResetHint, Histogram, HistogramPoint, indexes_of, spans_of,
};
use crate::model::is_stale_marker;

mod column;
mod read;
mod run;
#[cfg(test)]
mod tests;

pub use read::Values;
pub use run::{Cutter, Layout, Run, cut};

/// Most buckets of all histograms of a run together, which bounds what reading one takes.
/// A single histogram with more cannot be stored.
pub const MAX_CELLS: usize = 1 << 20;

/// Buffers that a caller keeps between runs.
#[derive(Debug, Default)]
pub struct Scratch {
    columns: column::Scratch,
    whole: Vec<i64>,
    real: Vec<f64>,
    whole_row: Vec<i64>,
    real_row: Vec<f64>,
    whole_column: Vec<i64>,
    real_column: Vec<f64>,
    count_columns: [Vec<f64>; 3],
}

const IS_FLOAT: u8 = 1;
const BEFORE_SHIFT: u8 = 1;
const THRESHOLD_SHIFT: u8 = 3;
const HAS_BOUNDS: u8 = 1 << 5;
const COUNT_IS_SUM: u8 = 1 << 6;

const BEFORE: [CounterResetHint; 4] = [
    CounterResetHint::Unknown,
    CounterResetHint::Reset,
    CounterResetHint::NotReset,
    CounterResetHint::Gauge,
];

/// Appends histograms of one run with their times.
///
/// # Errors
/// As [`encode_values`].
pub fn encode(
    points: &[HistogramPoint],
    layout: &Layout,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let t_ms: Vec<i64> = points.iter().map(|point| point.t_ms).collect();
    let mut times = Vec::new();
    timestamps::encode(&t_ms, &mut times);
    write_u64(out, times.len() as u64);
    out.extend_from_slice(&times);
    let histograms = points.iter().map(|point| &point.histogram);
    encode_values(histograms, layout, effort, scratch, out)
}

/// Appends the histograms of a run, which are at most [`MAX_VALUES`].
///
/// # Errors
/// They are not of this layout; `out` is as before then.
pub fn encode_values<'a>(
    histograms: impl ExactSizeIterator<Item = &'a Histogram>,
    layout: &Layout,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    if histograms.len() > MAX_VALUES {
        return Err(CodecError::TooMany {
            found: histograms.len() as u64,
            limit: MAX_VALUES as u64,
        });
    }
    let start = out.len();
    let written = match layout.is_float {
        true => real_columns(histograms, layout, effort, scratch, out),
        false => whole_columns(histograms, layout, effort, scratch, out),
    };
    if written.is_err() {
        out.truncate(start);
    }
    written
}

const NO_FIT: CodecError = CodecError::Invalid("layout of histograms");

fn whole_columns<'a>(
    histograms: impl Iterator<Item = &'a Histogram>,
    layout: &Layout,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let (n_positive, n_negative) = (layout.positive.len(), layout.negative.len());
    let width = n_positive + n_negative;
    scratch.whole.clear();
    scratch.real.clear();
    let (mut zeros, mut counts) = (Vec::new(), Vec::new());
    let mut n_stale = 0;
    for histogram in histograms {
        let Histogram::Integer(histogram) = histogram else {
            return Err(NO_FIT);
        };
        if is_stale_marker(histogram.sum) {
            n_stale += 1;
            continue;
        }
        if n_stale > 0 {
            return Err(NO_FIT);
        }
        let begin = scratch.whole.len();
        for (spans, deltas, layout) in [
            (
                &histogram.positive_spans,
                &histogram.positive_deltas,
                &layout.positive,
            ),
            (
                &histogram.negative_spans,
                &histogram.negative_deltas,
                &layout.negative,
            ),
        ] {
            let indexes = indexes_of(spans, deltas.len()).map_err(|_| NO_FIT)?;
            check_within(&indexes, layout)?;
            let own: Vec<i64> = run::absolute(deltas).collect();
            run::spread(&indexes, &own, layout, &mut scratch.whole_row);
            scratch.whole.extend_from_slice(&scratch.whole_row);
        }
        let in_buckets = scratch.whole[begin..]
            .iter()
            .fold(histogram.zero_count as i64, |all, count| {
                all.wrapping_add(*count)
            });
        zeros.push(histogram.zero_count as i64);
        counts.push((histogram.count as i64).wrapping_sub(in_buckets));
        scratch.real.push(histogram.sum);
    }
    let n_live = zeros.len();
    write_head(layout, n_live, 0, scratch, out);
    if n_live == 0 {
        return Ok(());
    }
    let columns = &mut scratch.columns;
    columns.write_doubles(&scratch.real, effort, out);
    columns.write_integers(&zeros, effort, out);
    columns.write_integers(&counts, effort, out);
    for bucket in 0..width {
        let column = scratch.whole.iter().skip(bucket).step_by(width);
        scratch.whole_column.clear();
        scratch.whole_column.extend(column);
        columns.write_integers(&scratch.whole_column, effort, out);
    }
    Ok(())
}

fn real_columns<'a>(
    histograms: impl Iterator<Item = &'a Histogram>,
    layout: &Layout,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let width = layout.positive.len() + layout.negative.len();
    scratch.real.clear();
    let (mut sums, mut zeros, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut n_stale, mut count_is_sum) = (0, true);
    for histogram in histograms {
        let Histogram::Float(histogram) = histogram else {
            return Err(NO_FIT);
        };
        if histogram.is_stale_marker() {
            n_stale += 1;
            continue;
        }
        if n_stale > 0 {
            return Err(NO_FIT);
        }
        let begin = scratch.real.len();
        for (buckets, layout) in [
            (&histogram.positive, &layout.positive),
            (&histogram.negative, &layout.negative),
        ] {
            check_within(buckets.layout(), layout)?;
            let row = &mut scratch.real_row;
            run::spread(buckets.layout(), buckets.counts(), layout, row);
            scratch.real.extend_from_slice(row);
        }
        let in_buckets = observations(histogram.zero_count, &scratch.real[begin..]);
        count_is_sum &= in_buckets.to_bits() == histogram.count.to_bits();
        sums.push(histogram.sum);
        zeros.push(histogram.zero_count);
        counts.push(histogram.count);
    }
    let n_live = sums.len();
    let count_is_sum = count_is_sum && n_live > 0;
    let flag = if count_is_sum { COUNT_IS_SUM } else { 0 };
    write_head(layout, n_live, flag, scratch, out);
    if n_live == 0 {
        return Ok(());
    }
    let columns = &mut scratch.columns;
    columns.write_doubles(&sums, effort, out);
    columns.write_doubles(&zeros, effort, out);
    if !count_is_sum {
        columns.write_doubles(&counts, effort, out);
    }
    for bucket in 0..width {
        let column = scratch.real.iter().skip(bucket).step_by(width);
        scratch.real_column.clear();
        scratch.real_column.extend(column);
        columns.write_doubles(&scratch.real_column, effort, out);
    }
    Ok(())
}

/// Returns a histogram with the layout of a run that it belongs to: with empty buckets
/// where others of the run have some.
///
/// # Errors
/// It is not of this layout.
pub fn widened<'a>(
    histogram: &'a Histogram,
    layout: &Layout,
) -> Result<Cow<'a, Histogram>, CodecError> {
    if histogram.is_stale_marker() {
        return Ok(Cow::Borrowed(histogram));
    }
    match histogram {
        Histogram::Integer(histogram) if !layout.is_float => {
            let mut wider = histogram.clone();
            for (spans, deltas, layout) in [
                (
                    &mut wider.positive_spans,
                    &mut wider.positive_deltas,
                    &layout.positive,
                ),
                (
                    &mut wider.negative_spans,
                    &mut wider.negative_deltas,
                    &layout.negative,
                ),
            ] {
                let indexes = indexes_of(spans, deltas.len()).map_err(|_| NO_FIT)?;
                check_within(&indexes, layout)?;
                let own: Vec<i64> = run::absolute(deltas).collect();
                let (mut counts, mut last) = (Vec::new(), 0);
                run::spread(&indexes, &own, layout, &mut counts);
                let delta = |count: &i64| count.wrapping_sub(std::mem::replace(&mut last, *count));
                *deltas = counts.iter().map(delta).collect();
                *spans = spans_of(layout);
            }
            Ok(Cow::Owned(Histogram::Integer(wider)))
        }
        Histogram::Float(own) if layout.is_float => {
            let mut wider = own.clone();
            for (buckets, layout) in [
                (&mut wider.positive, &layout.positive),
                (&mut wider.negative, &layout.negative),
            ] {
                check_within(buckets.layout(), layout)?;
                let mut counts = Vec::new();
                run::spread(buckets.layout(), buckets.counts(), layout, &mut counts);
                *buckets = Buckets::from_layout(Arc::clone(layout), counts).ok_or(NO_FIT)?;
            }
            Ok(Cow::Owned(Histogram::Float(wider)))
        }
        _ => Err(NO_FIT),
    }
}

/// Adds up what is in buckets, always in the same order.
fn observations(zero_count: f64, counts: &[f64]) -> f64 {
    counts.iter().fold(zero_count, |all, count| all + count)
}

/// Checks that all of `indexes` are in a layout.
fn check_within(indexes: &[i32], layout: &[i32]) -> Result<(), CodecError> {
    if indexes == layout {
        return Ok(());
    }
    let mut rest = layout.iter();
    let all_found = indexes.iter().all(|index| rest.any(|other| other == index));
    if all_found { Ok(()) } else { Err(NO_FIT) }
}

fn write_head(layout: &Layout, n_live: usize, flags: u8, scratch: &mut Scratch, out: &mut Vec<u8>) {
    let before = BEFORE.iter().position(|hint| *hint == layout.before);
    let before = before.unwrap_or(0) as u8;
    let exponent = power_of_two(layout.zero_threshold);
    let threshold = match exponent {
        _ if layout.zero_threshold.to_bits() == 0 => 0,
        Some(_) => 1,
        None => 2,
    };
    let has_bounds = !layout.custom_bounds.is_empty();
    out.push(
        flags
            | (u8::from(layout.is_float) * IS_FLOAT)
            | (before << BEFORE_SHIFT)
            | (threshold << THRESHOLD_SHIFT)
            | (u8::from(has_bounds) * HAS_BOUNDS),
    );
    write_u64(out, n_live as u64);
    write_i64(out, i64::from(layout.schema));
    match (threshold, exponent) {
        (1, Some(exponent)) => out.push(exponent),
        (2, _) => out.extend_from_slice(&layout.zero_threshold.to_bits().to_le_bytes()),
        _ => {}
    }
    write_indexes(&layout.positive, out);
    write_indexes(&layout.negative, out);
    if has_bounds {
        write_u64(out, layout.custom_bounds.len() as u64);
        for bounds in layout.custom_bounds.chunks(MAX_VALUES) {
            scratch.columns.write_doubles(bounds, Effort::Quick, out);
        }
    }
}

/// Returns the exponent of a power of two plus 243, if it is from 1 to 254: clients
/// choose such zero thresholds.
fn power_of_two(value: f64) -> Option<u8> {
    let bits = value.to_bits();
    // 0.5 has the exponent 0 here, as in Go.
    let exponent = (bits >> 52) as i64 - 1022 + 243;
    let is_power = bits << 12 == 0 && bits >> 63 == 0;
    u8::try_from(exponent)
        .ok()
        .filter(|exponent| is_power && (1..255).contains(exponent))
}

/// Returns the power of two of an exponent as it is written.
fn power_of(exponent: u8) -> f64 {
    f64::from_bits((u64::from(exponent) + 1022 - 243) << 52)
}

/// Appends ascending indexes.
fn write_indexes(indexes: &[i32], out: &mut Vec<u8>) {
    let runs = indexes.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    write_u64(out, runs.clone().count() as u64);
    let mut end = None;
    for run in runs {
        let first = i64::from(run[0]);
        match end {
            None => write_i64(out, first),
            Some(end) => write_u64(out, (first - end) as u64),
        }
        write_u64(out, run.len() as u64);
        end = Some(first + run.len() as i64);
    }
}

/// Takes indexes, of which there are at most `limit`.
fn read_indexes(bytes: &mut &[u8], limit: usize) -> Result<Arc<[i32]>, CodecError> {
    const INVALID: CodecError = CodecError::Invalid("buckets of histograms");
    let n_runs = read_u64(bytes)?;
    let mut indexes = Vec::new();
    let mut end = 0i64;
    for run in 0..n_runs {
        let first = match run {
            0 => read_i64(bytes)?,
            _ => {
                let gap = read_u64(bytes)?;
                // Without a gap they would be one run.
                let first = end.checked_add_unsigned(gap).filter(|_| gap > 0);
                first.ok_or(INVALID)?
            }
        };
        let len = read_u64(bytes)?;
        let found = len.saturating_add(indexes.len() as u64);
        if found > limit as u64 {
            let limit = limit as u64;
            return Err(CodecError::TooMany { found, limit });
        }
        let last = first.checked_add_unsigned(len).ok_or(INVALID)?;
        for index in first..last {
            indexes.push(i32::try_from(index).map_err(|_| INVALID)?);
        }
        if len == 0 {
            return Err(INVALID);
        }
        end = last;
    }
    Ok(indexes.into())
}

/// Returns all indexes that are in one or the other list; both ascend.
fn merged(one: &[i32], other: &[i32]) -> Vec<i32> {
    let mut all = Vec::with_capacity(one.len().max(other.len()));
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    loop {
        let next = match (one.peek(), other.peek()) {
            (Some(&&a), Some(&&b)) => a.min(b),
            (Some(&&a), None) => a,
            (None, Some(&&b)) => b,
            (None, None) => return all,
        };
        one.next_if(|index| **index == next);
        other.next_if(|index| **index == next);
        all.push(next);
    }
}

/// Takes the run at the front of `bytes`, of at most `limit` histograms that nothing
/// follows, and appends those histograms to `out`.
///
/// # Errors
/// [`CodecError`] when the bytes are not such a run; `out` is as before then.
pub fn decode(
    mut bytes: &[u8],
    limit: usize,
    scratch: &mut Scratch,
    out: &mut Vec<HistogramPoint>,
) -> Result<(), CodecError> {
    let rest = &mut bytes;
    let len = usize::try_from(read_u64(rest)?).ok();
    let times = len.and_then(|len| rest.split_off(..len));
    let mut t_ms = Vec::new();
    let times = times.ok_or(CodecError::Truncated("run of histograms"))?;
    let n = timestamps::decode(times, limit.min(MAX_VALUES), &mut t_ms)?;
    let values = Values::read(rest, n)?;
    let start = out.len();
    let mut t_ms = t_ms.into_iter();
    values.histograms(0..n, scratch, |histogram| {
        if let Some(t_ms) = t_ms.next() {
            out.push(HistogramPoint { t_ms, histogram });
        }
    })?;
    debug_assert_eq!(out.len() - start, n, "a histogram for each time");
    Ok(())
}
