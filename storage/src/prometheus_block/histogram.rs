//! The payload of a chunk of histograms: encoding 2 with whole counts, 3 with floats; 5
//! and 6 are the same with start times.
//!
//! ```text
//! | n u16 | flags u8 | bits |                 encodings 2 and 3: reset in bits 7-6 of flags
//! | n u16 | start u8 | bits |                 5 and 6: reset in bits 15-14 of n
//!
//! layout       zero threshold | schema | positive | negative | bounds with schema -53
//! threshold    8 bits: 0 for 0, 255 and 64 bits, else exponent + 243 of a power of two
//! positive     n spans uint | n x (length uint | offset)       negative as well
//! bounds       n uint | n x (bound x 1000 + 1 uint, or 0 uint and 64 bits)
//!
//! encoding 2   count and zero count uint, buckets int
//! sample 0     t, count, zero count, sum in 64 bits, buckets as they are written
//! sample 1...  of t, count, zero count and each bucket the change of its difference,
//!              the sum, before the buckets, as in `codec::xor`
//! encoding 3   numbers in 64 bits
//! sample 0     t, count, zero count, sum, buckets
//! sample 1...  of t the change of its difference, the others as in `codec::xor`
//! ```
//!
//! `int` and `uint` are those of [`super::varbit`]. Behind the sum of a stale marker there
//! are no buckets. Buckets of whole counts are differences to the one before. Start times
//! follow each sample as in [`super::xor2`]; they are read over.

use std::sync::Arc;

use super::varbit::{read_int, read_uint, write_int, write_uint};
use super::xor::{read_n, read_varint};
use crate::codec::CodecError;
use crate::codec::bits::{BitReader, BitWriter};
use crate::codec::histogram::{Layout, widened};
use crate::codec::xor::XorState;
use crate::model::histogram::HistogramPoint;
use crate::model::histogram::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, EXPONENTIAL_SCHEMAS, FloatHistogram,
    Histogram, IntegerHistogram, Span, spans_of,
};
use crate::model::is_stale_marker;

/// Encoding of whole counts.
pub(super) const ENCODING_INTEGER: u8 = 2;
/// Encoding of floats.
pub(super) const ENCODING_FLOAT: u8 = 3;
/// The same two with start times.
pub(super) const ENCODING_INTEGER_STARTS: u8 = 5;
pub(super) const ENCODING_FLOAT_STARTS: u8 = 6;

/// What is read of a reset, by the two bits that tell of it.
const BEFORE: [CounterResetHint; 4] = [
    CounterResetHint::Unknown,
    CounterResetHint::NotReset,
    CounterResetHint::Reset,
    CounterResetHint::Gauge,
];

/// Encodings 5 and 6 have them in front of the number of samples.
const COUNT_WITH_STARTS: usize = 0x3fff;

/// Numbers of buckets of a chunk that are taken, all samples together: some hundred times
/// what Prometheus puts into one.
const MAX_CELLS: usize = 1 << 22;

const BUCKETS: CodecError = CodecError::Invalid("buckets of a chunk of histograms");

/// What a payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Histograms.
    pub(super) n: usize,
    /// Whether they said when they started.
    pub(super) has_starts: bool,
    /// The schema, where it is one that is not stored; nothing was read then.
    pub(super) unknown_schema: Option<i32>,
}

/// Appends histograms, which are one run of this layout and at most 65 535.
///
/// # Errors
/// They are not of this layout.
pub(super) fn encode(
    points: &[HistogramPoint],
    layout: &Layout,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let n = u16::try_from(points.len()).map_err(|_| CodecError::TooMany {
        found: points.len() as u64,
        limit: u16::MAX.into(),
    })?;
    out.extend_from_slice(&n.to_be_bytes());
    let before = BEFORE.iter().position(|hint| *hint == layout.before);
    out.push((before.unwrap_or(0) as u8) << 6);
    let mut bits = BitWriter::new(out);
    write_layout(&mut bits, layout);
    let n_buckets = layout.positive.len() + layout.negative.len();
    let mut state = State::new(n_buckets);
    for (at, point) in points.iter().enumerate() {
        match &*widened(&point.histogram, layout)? {
            Histogram::Integer(histogram) => {
                state.write_whole(&mut bits, at, point.t_ms, histogram);
            }
            Histogram::Float(histogram) => {
                state.write_real(&mut bits, at, point.t_ms, histogram);
            }
        }
    }
    Ok(())
}

fn write_layout(bits: &mut BitWriter<'_>, layout: &Layout) {
    let threshold = layout.zero_threshold;
    let raw = threshold.to_bits();
    // 0.5 has the exponent 0 here.
    let exponent = (raw >> 52) as i64 - 1022;
    if threshold == 0.0 {
        bits.write(0, 8);
    } else if raw << 12 == 0 && (-242..=11).contains(&exponent) {
        bits.write((exponent + 243) as u64, 8);
    } else {
        bits.write(255, 8);
        bits.write(raw, 64);
    }
    write_int(bits, i64::from(layout.schema));
    for indexes in [&layout.positive, &layout.negative] {
        let spans = spans_of(indexes);
        write_uint(bits, spans.len() as u64);
        for span in spans {
            write_uint(bits, u64::from(span.length));
            write_int(bits, i64::from(span.offset));
        }
    }
    if layout.schema == CUSTOM_BUCKETS_SCHEMA {
        write_uint(bits, layout.custom_bounds.len() as u64);
        for &bound in layout.custom_bounds.iter() {
            write_bound(bits, bound);
        }
    }
}

/// Largest bound in thousandths that is written as an integer.
const MAX_THOUSANDTHS: f64 = 33_554_430.0;

fn write_bound(bits: &mut BitWriter<'_>, bound: f64) {
    let thousandths = bound * 1000.0;
    let is_short = (0.0..=MAX_THOUSANDTHS).contains(&thousandths);
    let rounded = thousandths.round();
    // -0.0 is not among them: it would come back as 0.
    if is_short && (rounded / 1000.0).to_bits() == bound.to_bits() {
        write_uint(bits, rounded as u64 + 1);
    } else {
        bits.write(0, 1);
        bits.write(bound.to_bits(), 64);
    }
}

/// What is known between two samples, of either kind.
struct State {
    t_ms: i64,
    step_ms: i64,
    count: (i64, i64),
    zero_count: (i64, i64),
    /// Buckets and their differences.
    whole: Vec<(i64, i64)>,
    sum: XorState,
    real_count: XorState,
    real_zero_count: XorState,
    real: Vec<XorState>,
}

impl State {
    fn new(n_buckets: usize) -> State {
        State {
            t_ms: 0,
            step_ms: 0,
            count: (0, 0),
            zero_count: (0, 0),
            whole: vec![(0, 0); n_buckets],
            sum: XorState::default(),
            real_count: XorState::default(),
            real_zero_count: XorState::default(),
            real: vec![XorState::default(); n_buckets],
        }
    }

    fn write_time(&mut self, bits: &mut BitWriter<'_>, at: usize, t_ms: i64) {
        if at == 0 {
            write_int(bits, t_ms);
        } else {
            let step_ms = t_ms.wrapping_sub(self.t_ms);
            write_int(bits, step_ms.wrapping_sub(self.step_ms));
            self.step_ms = step_ms;
        }
        self.t_ms = t_ms;
    }

    fn write_whole(
        &mut self,
        bits: &mut BitWriter<'_>,
        at: usize,
        t_ms: i64,
        histogram: &IntegerHistogram,
    ) {
        self.write_time(bits, at, t_ms);
        let is_stale = is_stale_marker(histogram.sum);
        if at == 0 {
            write_uint(bits, histogram.count);
            write_uint(bits, histogram.zero_count);
            self.count.0 = histogram.count as i64;
            self.zero_count.0 = histogram.zero_count as i64;
            bits.write(histogram.sum.to_bits(), 64);
            self.sum = XorState::new(histogram.sum);
        } else {
            if is_stale {
                // Counts are read over.
                write_int(bits, 0);
                write_int(bits, 0);
            } else {
                write_change(bits, &mut self.count, histogram.count as i64);
                write_change(bits, &mut self.zero_count, histogram.zero_count as i64);
            }
            write_xor(bits, &mut self.sum, histogram.sum);
        }
        if is_stale {
            return;
        }
        let deltas = histogram.positive_deltas.iter();
        let deltas = deltas.chain(&histogram.negative_deltas);
        for (state, &delta) in self.whole.iter_mut().zip(deltas) {
            if at == 0 {
                write_int(bits, delta);
                *state = (delta, 0);
            } else {
                write_change(bits, state, delta);
            }
        }
    }

    fn write_real(
        &mut self,
        bits: &mut BitWriter<'_>,
        at: usize,
        t_ms: i64,
        histogram: &FloatHistogram,
    ) {
        self.write_time(bits, at, t_ms);
        let heads = [
            (&mut self.real_count, histogram.count),
            (&mut self.real_zero_count, histogram.zero_count),
            (&mut self.sum, histogram.sum),
        ];
        let positive = histogram.positive.counts().iter();
        let counts = positive.chain(histogram.negative.counts()).copied();
        let is_stale = histogram.is_stale_marker();
        let buckets = self.real.iter_mut().zip(counts).filter(|_| !is_stale);
        for (state, value) in heads.into_iter().chain(buckets) {
            if at == 0 {
                bits.write(value.to_bits(), 64);
                *state = XorState::new(value);
            } else {
                write_xor(bits, state, value);
            }
        }
    }

    fn read_time(&mut self, bits: &mut BitReader<'_>, at: usize) -> Result<i64, CodecError> {
        let read = read_int(bits)?;
        if at == 0 {
            self.t_ms = read;
        } else {
            self.step_ms = self.step_ms.wrapping_add(read);
            self.t_ms = self.t_ms.wrapping_add(self.step_ms);
        }
        Ok(self.t_ms)
    }

    /// Reads a histogram without its buckets.
    fn read_whole(
        &mut self,
        bits: &mut BitReader<'_>,
        at: usize,
    ) -> Result<IntegerHistogram, CodecError> {
        let sum = if at == 0 {
            self.count.0 = read_uint(bits)? as i64;
            self.zero_count.0 = read_uint(bits)? as i64;
            self.sum = first_xor(bits)?;
            f64::from_bits(self.sum.last)
        } else {
            read_change(bits, &mut self.count)?;
            read_change(bits, &mut self.zero_count)?;
            self.sum.read(bits)?
        };
        if is_stale_marker(sum) {
            return Ok(IntegerHistogram {
                sum,
                ..IntegerHistogram::default()
            });
        }
        for state in &mut self.whole {
            if at == 0 {
                *state = (read_int(bits)?, 0);
            } else {
                read_change(bits, state)?;
            }
        }
        Ok(IntegerHistogram {
            count: self.count.0 as u64,
            zero_count: self.zero_count.0 as u64,
            sum,
            ..IntegerHistogram::default()
        })
    }

    /// The same of floats.
    fn read_real(
        &mut self,
        bits: &mut BitReader<'_>,
        at: usize,
    ) -> Result<FloatHistogram, CodecError> {
        let mut read = |state: &mut XorState| {
            if at == 0 {
                *state = first_xor(bits)?;
                return Ok(f64::from_bits(state.last));
            }
            state.read(bits)
        };
        let count = read(&mut self.real_count)?;
        let zero_count = read(&mut self.real_zero_count)?;
        let sum = read(&mut self.sum)?;
        if is_stale_marker(sum) {
            return Ok(FloatHistogram {
                sum,
                ..FloatHistogram::default()
            });
        }
        for state in &mut self.real {
            read(state)?;
        }
        Ok(FloatHistogram {
            count,
            zero_count,
            sum,
            ..FloatHistogram::default()
        })
    }
}

fn write_change(bits: &mut BitWriter<'_>, (last, step): &mut (i64, i64), value: i64) {
    let next = value.wrapping_sub(*last);
    write_int(bits, next.wrapping_sub(*step));
    (*last, *step) = (value, next);
}

fn read_change(bits: &mut BitReader<'_>, (last, step): &mut (i64, i64)) -> Result<(), CodecError> {
    *step = step.wrapping_add(read_int(bits)?);
    *last = last.wrapping_add(*step);
    Ok(())
}

fn write_xor(bits: &mut BitWriter<'_>, state: &mut XorState, value: f64) {
    let (code, count) = state.step(value);
    bits.write((code >> 64) as u64, count.saturating_sub(64));
    bits.write(code as u64, count.min(64));
}

/// Reads a first number. As of floats, a window of all bits needs no announcement.
fn first_xor(bits: &mut BitReader<'_>) -> Result<XorState, CodecError> {
    Ok(XorState {
        significant: 64,
        ..XorState::new(f64::from_bits(bits.read(64)?))
    })
}

/// Appends the histograms of a payload of this encoding, one of the four, to `out`.
///
/// # Errors
/// [`CodecError`] when the bytes end early or are not valid.
pub(super) fn decode(
    encoding: u8,
    payload: &[u8],
    out: &mut Vec<HistogramPoint>,
) -> Result<Decoded, CodecError> {
    let (mut n, rest) = read_n(payload)?;
    let Some((&flags, rest)) = rest.split_first() else {
        return Err(CodecError::Truncated("flags of a chunk of histograms"));
    };
    let has_start_bits = matches!(encoding, ENCODING_INTEGER_STARTS | ENCODING_FLOAT_STARTS);
    let is_float = matches!(encoding, ENCODING_FLOAT | ENCODING_FLOAT_STARTS);
    let (before, mut starts) = match has_start_bits {
        true => {
            let before = n >> 14;
            n &= COUNT_WITH_STARTS;
            (before, Some(Starts::new(flags)))
        }
        false => (usize::from(flags >> 6), None),
    };
    let mut decoded = Decoded {
        n,
        has_starts: false,
        unknown_schema: None,
    };
    if n == 0 {
        return Ok(decoded);
    }
    let mut bits = BitReader::new(rest);
    let layout = read_layout(&mut bits, 8 * rest.len(), is_float, BEFORE[before])?;
    if layout.schema != CUSTOM_BUCKETS_SCHEMA && !EXPONENTIAL_SCHEMAS.contains(&layout.schema) {
        decoded.unknown_schema = Some(layout.schema);
        return Ok(decoded);
    }
    let n_buckets = layout.positive.len() + layout.negative.len();
    let n_cells = n.saturating_mul(n_buckets);
    if n_cells > MAX_CELLS {
        return Err(CodecError::TooMany {
            found: n_cells as u64,
            limit: MAX_CELLS as u64,
        });
    }
    let spans = [spans_of(&layout.positive), spans_of(&layout.negative)];
    let mut state = State::new(n_buckets);
    for at in 0..n {
        let last_ms = state.t_ms;
        let t_ms = state.read_time(&mut bits, at)?;
        let mut histogram = if is_float {
            let histogram = state.read_real(&mut bits, at)?;
            Histogram::Float(state.real_histogram(histogram, &layout))
        } else {
            let histogram = state.read_whole(&mut bits, at)?;
            Histogram::Integer(state.whole_histogram(histogram, &layout, &spans))
        };
        if let Some(starts) = &mut starts {
            decoded.has_starts |= starts.read(&mut bits, at, t_ms, last_ms)?;
        }
        let hint = match layout.before {
            CounterResetHint::Gauge => CounterResetHint::Gauge,
            _ if at > 0 => CounterResetHint::NotReset,
            before => before,
        };
        match &mut histogram {
            Histogram::Integer(histogram) => histogram.counter_reset_hint = hint,
            Histogram::Float(histogram) => histogram.counter_reset_hint = hint,
        }
        out.push(HistogramPoint { t_ms, histogram });
    }
    Ok(decoded)
}

impl State {
    fn whole_histogram(
        &self,
        histogram: IntegerHistogram,
        layout: &Layout,
        [positive_spans, negative_spans]: &[Vec<Span>; 2],
    ) -> IntegerHistogram {
        if is_stale_marker(histogram.sum) {
            return histogram;
        }
        let mut deltas = self.whole.iter().map(|state| state.0);
        IntegerHistogram {
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            positive_spans: positive_spans.clone(),
            positive_deltas: deltas.by_ref().take(layout.positive.len()).collect(),
            negative_spans: negative_spans.clone(),
            negative_deltas: deltas.collect(),
            custom_bounds: Arc::clone(&layout.custom_bounds),
            ..histogram
        }
    }

    fn real_histogram(&self, histogram: FloatHistogram, layout: &Layout) -> FloatHistogram {
        if histogram.is_stale_marker() {
            return histogram;
        }
        let mut counts = self.real.iter().map(|state| f64::from_bits(state.last));
        let mut side = |indexes: &Arc<[i32]>| {
            let counts = counts.by_ref().take(indexes.len()).collect();
            Buckets::from_layout(Arc::clone(indexes), counts).unwrap_or_default()
        };
        FloatHistogram {
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            positive: side(&layout.positive),
            negative: side(&layout.negative),
            custom_bounds: Arc::clone(&layout.custom_bounds),
            ..histogram
        }
    }
}

fn read_layout(
    bits: &mut BitReader<'_>,
    n_bits: usize,
    is_float: bool,
    before: CounterResetHint,
) -> Result<Layout, CodecError> {
    let zero_threshold = match bits.read(8)? {
        0 => 0.0,
        255 => f64::from_bits(bits.read(64)?),
        exponent => f64::from_bits((exponent + 1022 - 243) << 52),
    };
    let schema = i32::try_from(read_int(bits)?)
        .map_err(|_| CodecError::Invalid("schema of a chunk of histograms"))?;
    let positive = read_spans(bits, n_bits)?;
    let negative = read_spans(bits, n_bits)?;
    let mut custom_bounds = Vec::new();
    if schema == CUSTOM_BUCKETS_SCHEMA {
        for _ in 0..read_uint(bits)? {
            custom_bounds.push(match read_uint(bits)? {
                0 => f64::from_bits(bits.read(64)?),
                thousandths => (thousandths - 1) as f64 / 1000.0,
            });
        }
    }
    Ok(Layout {
        is_float,
        before,
        schema,
        zero_threshold,
        custom_bounds: custom_bounds.into(),
        positive,
        negative,
    })
}

/// Reads spans as the indexes of their buckets. Each of these takes a bit at least in what
/// follows.
fn read_spans(bits: &mut BitReader<'_>, n_bits: usize) -> Result<Arc<[i32]>, CodecError> {
    let mut indexes: Vec<i32> = Vec::new();
    let mut next = 0i64;
    for span in 0..read_uint(bits)? {
        let (length, offset) = (read_uint(bits)?, read_int(bits)?);
        if (span > 0 && offset < 0) || length > (n_bits - indexes.len().min(n_bits)) as u64 {
            return Err(BUCKETS);
        }
        next = next.checked_add(offset).ok_or(BUCKETS)?;
        for _ in 0..length {
            indexes.push(i32::try_from(next).map_err(|_| BUCKETS)?);
            next += 1;
        }
    }
    Ok(indexes.into())
}

/// Start times, which are read over.
struct Starts {
    has_first: bool,
    /// From which sample on one is written; 0 for never.
    from: usize,
    since: i64,
}

impl Starts {
    fn new(start: u8) -> Starts {
        Starts {
            has_first: start & 0x80 != 0,
            from: usize::from(start & 0x7f),
            since: 0,
        }
    }

    /// Reads what follows a sample, and tells whether it is a start.
    fn read(
        &mut self,
        bits: &mut BitReader<'_>,
        at: usize,
        t_ms: i64,
        last_ms: i64,
    ) -> Result<bool, CodecError> {
        if at == 0 {
            return Ok(self.has_first && read_varint(bits)? != t_ms);
        }
        if self.from == 0 || at < self.from {
            return Ok(false);
        }
        self.since = self.since.wrapping_add(read_int(bits)?);
        Ok(self.since != last_ms)
    }
}

#[cfg(test)]
mod tests;
