//! One histogram as a row of numbers, and its bytes: alone, or after another one of its
//! series.
//!
//! ```text
//! record = flags u8 | shape, unless the flags say that of the record before
//!        | sum | count | zero count | a count per bucket: the positive ones, the negative ones
//! shape  = kind u8 | schema zigzag varint | zero threshold | layout | layout
//!        | n bounds varint | n x 8 bytes
//! kind   = 1 whole counts | hint << 1: 0 unknown, 1 reset, 2 not reset, 3 gauge
//! zero threshold = 0: none | 1: 2^-128 | 2: 8 bytes
//! layout = n varint | n x (gap zigzag varint, length varint)
//! ```
//!
//! Numbers are differences to those of the record before, where it has the same shape, else
//! to 0: whole ones zigzag, doubles (the sum always is one) as the exclusive or of their
//! bits, bytes turned round, so that the zeros at the end of most doubles cost nothing.
//!
//! Buckets are where their index says and no longer know in which spans they came: spans
//! that touch are one.

use std::sync::Arc;

use super::{CodecError, varint};
use crate::model::STALE_NAN_BITS;
use crate::model::histogram::{
    Buckets, CounterResetHint, FloatHistogram, Histogram, HistogramError, IntegerHistogram,
    indexes_of, spans_of,
};

/// The shape is that of the record before.
const SAME_SHAPE: u8 = 1;

/// A zero threshold that most clients have, 2^-128.
const USUAL_THRESHOLD: u64 = 0x37f0_0000_0000_0000;

const INVALID: CodecError = CodecError::Invalid("histogram");
const SHORT: CodecError = CodecError::Truncated("histogram");

/// What the histograms of a series have in common, as a rule.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Counts are whole.
    pub is_integer: bool,
    /// What is known of a reset before it.
    pub hint: CounterResetHint,
    /// Resolution; -53 stands for custom buckets.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Indexes of positive buckets, ascending.
    pub positive: Arc<[i32]>,
    /// Indexes of negative buckets, ascending.
    pub negative: Arc<[i32]>,
    /// Upper bounds of custom buckets.
    pub custom_bounds: Arc<[f64]>,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Shape) -> bool {
        self.hint == other.hint && self.is_like(other) && self.has_layout_of(other)
    }
}

impl Shape {
    /// Tells whether only layout and hint may differ.
    pub fn is_like(&self, other: &Shape) -> bool {
        self.is_integer == other.is_integer
            && self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && same_bounds(&self.custom_bounds, &other.custom_bounds)
    }

    /// Tells whether both have the same buckets.
    pub fn has_layout_of(&self, other: &Shape) -> bool {
        same_layout(&self.positive, &other.positive) && same_layout(&self.negative, &other.negative)
    }

    /// Returns how many buckets there are.
    pub fn n_buckets(&self) -> usize {
        self.positive.len() + self.negative.len()
    }

    /// Returns the bytes of memory held; what is shared counts in full.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Shape>() + self.n_buckets() * 4 + self.custom_bounds.len() * 8
    }
}

/// Tells whether two layouts are the same, which they are without a look if they are shared.
pub fn same_layout(one: &Arc<[i32]>, other: &Arc<[i32]>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

fn same_bounds(one: &Arc<[f64]>, other: &Arc<[f64]>) -> bool {
    let bits = |bounds: &[f64]| bounds.iter().map(|b| b.to_bits()).collect::<Vec<_>>();
    Arc::ptr_eq(one, other) || (one.len() == other.len() && bits(one) == bits(other))
}

/// A histogram; see the module's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flat {
    /// What it is like.
    pub shape: Arc<Shape>,
    /// Bits of the sum.
    pub sum: u64,
    /// All observations: a whole number or the bits of a double, as all counts.
    pub count: u64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Observations in the positive buckets, then in the negative ones; not differences.
    pub counts: Vec<u64>,
}

impl Flat {
    /// Returns a histogram as numbers.
    ///
    /// # Errors
    /// The spans do not fit the buckets.
    pub fn of(histogram: &Histogram) -> Result<Flat, HistogramError> {
        match histogram {
            Histogram::Integer(histogram) => Flat::of_integer(histogram),
            Histogram::Float(histogram) => Ok(Flat::of_float(histogram)),
        }
    }

    fn of_integer(histogram: &IntegerHistogram) -> Result<Flat, HistogramError> {
        let positive = indexes_of(&histogram.positive_spans, histogram.positive_deltas.len())?;
        let negative = indexes_of(&histogram.negative_spans, histogram.negative_deltas.len())?;
        let mut counts = Vec::with_capacity(positive.len() + negative.len());
        for deltas in [&histogram.positive_deltas, &histogram.negative_deltas] {
            let mut count = 0i64;
            counts.extend(deltas.iter().map(|delta| {
                count = count.wrapping_add(*delta);
                count as u64
            }));
        }
        Ok(Flat {
            shape: Arc::new(Shape {
                is_integer: true,
                hint: histogram.counter_reset_hint,
                schema: histogram.schema,
                zero_threshold: histogram.zero_threshold,
                positive: positive.into(),
                negative: negative.into(),
                custom_bounds: Arc::clone(&histogram.custom_bounds),
            }),
            sum: histogram.sum.to_bits(),
            count: histogram.count,
            zero_count: histogram.zero_count,
            counts,
        })
    }

    fn of_float(histogram: &FloatHistogram) -> Flat {
        let (positive, negative) = (&histogram.positive, &histogram.negative);
        let counts = positive.counts().iter().chain(negative.counts());
        Flat {
            shape: Arc::new(Shape {
                is_integer: false,
                hint: histogram.counter_reset_hint,
                schema: histogram.schema,
                zero_threshold: histogram.zero_threshold,
                positive: Arc::clone(positive.layout()),
                negative: Arc::clone(negative.layout()),
                custom_bounds: Arc::clone(&histogram.custom_bounds),
            }),
            sum: histogram.sum.to_bits(),
            count: histogram.count.to_bits(),
            zero_count: histogram.zero_count.to_bits(),
            counts: counts.map(|count| count.to_bits()).collect(),
        }
    }

    /// Returns the mark that a series ended, of the kind of its histograms.
    pub fn stale_marker(is_integer: bool) -> Flat {
        Flat {
            shape: Arc::new(Shape {
                is_integer,
                ..Shape::default()
            }),
            sum: STALE_NAN_BITS,
            ..Flat::default()
        }
    }

    /// Tells whether this is no histogram but the mark that its series ended.
    pub fn is_stale_marker(&self) -> bool {
        self.sum == STALE_NAN_BITS
    }

    /// Tells whether both are the same data, whatever their hints say.
    pub fn is_same_data(&self, other: &Flat) -> bool {
        self.sum == other.sum
            && self.count == other.count
            && self.zero_count == other.zero_count
            && self.shape.is_like(&other.shape)
            && self.shape.has_layout_of(&other.shape)
            && self.counts == other.counts
    }

    /// Returns a count as a double.
    pub fn double(&self, count: u64) -> f64 {
        match self.shape.is_integer {
            true => count as f64,
            false => f64::from_bits(count),
        }
    }

    /// Returns the histogram that queries compute with.
    pub fn to_float(&self, hint: CounterResetHint) -> FloatHistogram {
        let shape = &*self.shape;
        let (positive, negative) = self.sides();
        let buckets = |layout: &Arc<[i32]>, counts: &[u64]| {
            let counts = counts.iter().map(|count| self.double(*count)).collect();
            Buckets::from_layout(Arc::clone(layout), counts).unwrap_or_default()
        };
        FloatHistogram {
            counter_reset_hint: hint,
            schema: shape.schema,
            zero_threshold: shape.zero_threshold,
            zero_count: self.double(self.zero_count),
            count: self.double(self.count),
            sum: f64::from_bits(self.sum),
            positive: buckets(&shape.positive, positive),
            negative: buckets(&shape.negative, negative),
            custom_bounds: Arc::clone(&shape.custom_bounds),
        }
    }

    /// Returns the histogram in the form in which it came.
    pub fn to_histogram(&self, hint: CounterResetHint) -> Histogram {
        let shape = &*self.shape;
        if !shape.is_integer {
            return Histogram::Float(self.to_float(hint));
        }
        let (positive, negative) = self.sides();
        let deltas = |counts: &[u64]| {
            let mut before = 0u64;
            let differences = counts.iter().map(|count| {
                let delta = count.wrapping_sub(before) as i64;
                before = *count;
                delta
            });
            differences.collect()
        };
        Histogram::Integer(IntegerHistogram {
            counter_reset_hint: hint,
            schema: shape.schema,
            zero_threshold: shape.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: f64::from_bits(self.sum),
            positive_spans: spans_of(&shape.positive),
            positive_deltas: deltas(positive),
            negative_spans: spans_of(&shape.negative),
            negative_deltas: deltas(negative),
            custom_bounds: Arc::clone(&shape.custom_bounds),
        })
    }

    /// Returns the counts of the positive and of the negative buckets.
    pub fn sides(&self) -> (&[u64], &[u64]) {
        let n_positive = self.shape.positive.len().min(self.counts.len());
        self.counts.split_at(n_positive)
    }

    /// Returns the bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Flat>() + self.shape.memory_bytes() + self.counts.capacity() * 8
    }

    /// Appends the histogram as a record; `before` is what a reader has read before it.
    pub fn encode(&self, before: Option<&Flat>, out: &mut Vec<u8>) {
        let shape = &*self.shape;
        let base = before.filter(|before| {
            Arc::ptr_eq(&before.shape, &self.shape) || *before.shape == *self.shape
        });
        match base {
            Some(_) => out.push(SAME_SHAPE),
            None => {
                out.push(0);
                encode_shape(shape, out);
            }
        }
        write_double(out, self.sum, base.map_or(0, |base| base.sum));
        let write = match shape.is_integer {
            true => write_whole,
            false => write_double,
        };
        write(out, self.count, base.map_or(0, |base| base.count));
        write(out, self.zero_count, base.map_or(0, |base| base.zero_count));
        let none = Vec::new();
        let bases = base.map_or(&none, |base| &base.counts).iter().copied();
        for (count, base) in self.counts.iter().zip(bases.chain(std::iter::repeat(0))) {
            write(out, *count, base);
        }
    }

    /// Takes a record from the front of `bytes`, as [`Flat::encode`] wrote it.
    ///
    /// # Errors
    /// [`CodecError`] for bytes that it cannot have written.
    pub fn decode(bytes: &mut &[u8], before: Option<&Flat>) -> Result<Flat, CodecError> {
        let (&flags, rest) = bytes.split_first().ok_or(SHORT)?;
        *bytes = rest;
        let (shape, base) = match flags {
            SAME_SHAPE => {
                let before = before.ok_or(INVALID)?;
                (Arc::clone(&before.shape), Some(before))
            }
            0 => (Arc::new(decode_shape(bytes)?), None),
            _ => return Err(INVALID),
        };
        let sum = read_double(bytes, base.map_or(0, |base| base.sum))?;
        let read = match shape.is_integer {
            true => read_whole,
            false => read_double,
        };
        let count = read(bytes, base.map_or(0, |base| base.count))?;
        let zero_count = read(bytes, base.map_or(0, |base| base.zero_count))?;
        let n_buckets = shape.n_buckets();
        // Each takes a byte at least.
        if n_buckets > bytes.len() {
            return Err(SHORT);
        }
        let mut counts = Vec::with_capacity(n_buckets);
        match base {
            Some(base) => {
                for base in &base.counts {
                    counts.push(read(bytes, *base)?);
                }
            }
            None => {
                for _ in 0..n_buckets {
                    counts.push(read(bytes, 0)?);
                }
            }
        }
        Ok(Flat {
            shape,
            sum,
            count,
            zero_count,
            counts,
        })
    }
}

fn write_whole(out: &mut Vec<u8>, value: u64, base: u64) {
    varint::write_i64(out, value.wrapping_sub(base) as i64);
}

fn read_whole(bytes: &mut &[u8], base: u64) -> Result<u64, CodecError> {
    Ok(base.wrapping_add(varint::read_i64(bytes)? as u64))
}

fn write_double(out: &mut Vec<u8>, value: u64, base: u64) {
    varint::write_u64(out, (value ^ base).swap_bytes());
}

fn read_double(bytes: &mut &[u8], base: u64) -> Result<u64, CodecError> {
    Ok(base ^ varint::read_u64(bytes)?.swap_bytes())
}

fn encode_shape(shape: &Shape, out: &mut Vec<u8>) {
    let hint = match shape.hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    out.push(u8::from(shape.is_integer) | hint << 1);
    varint::write_i64(out, i64::from(shape.schema));
    match shape.zero_threshold.to_bits() {
        0 => out.push(0),
        USUAL_THRESHOLD => out.push(1),
        bits => {
            out.push(2);
            out.extend_from_slice(&bits.to_le_bytes());
        }
    }
    for layout in [&shape.positive, &shape.negative] {
        let spans = spans_of(layout);
        varint::write_u64(out, spans.len() as u64);
        for span in spans {
            varint::write_i64(out, i64::from(span.offset));
            varint::write_u64(out, u64::from(span.length));
        }
    }
    varint::write_u64(out, shape.custom_bounds.len() as u64);
    for bound in shape.custom_bounds.iter() {
        out.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
}

fn decode_shape(bytes: &mut &[u8]) -> Result<Shape, CodecError> {
    let &kind = bytes.split_off_first().ok_or(SHORT)?;
    if kind > 7 {
        return Err(INVALID);
    }
    let hint = match kind >> 1 {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        _ => CounterResetHint::Gauge,
    };
    let schema = i32::try_from(varint::read_i64(bytes)?).map_err(|_| INVALID)?;
    let zero_threshold = match *bytes.split_off_first().ok_or(SHORT)? {
        0 => 0,
        1 => USUAL_THRESHOLD,
        2 => read_8(bytes)?,
        _ => return Err(INVALID),
    };
    let positive = decode_layout(bytes)?;
    let negative = decode_layout(bytes)?;
    let n_bounds = varint::read_u64(bytes)?;
    if n_bounds > bytes.len() as u64 / 8 {
        return Err(SHORT);
    }
    let mut bounds = Vec::with_capacity(n_bounds as usize);
    for _ in 0..n_bounds {
        bounds.push(f64::from_bits(read_8(bytes)?));
    }
    Ok(Shape {
        is_integer: kind & 1 != 0,
        hint,
        schema,
        zero_threshold: f64::from_bits(zero_threshold),
        positive,
        negative,
        custom_bounds: bounds.into(),
    })
}

fn decode_layout(bytes: &mut &[u8]) -> Result<Arc<[i32]>, CodecError> {
    let n_spans = varint::read_u64(bytes)?;
    let (mut indexes, mut next) = (Vec::new(), 0i64);
    for at in 0..n_spans {
        let gap = varint::read_i64(bytes)?;
        let length = varint::read_u64(bytes)?;
        // Its counts follow, each a byte at least.
        if length == 0 || length > (bytes.len().saturating_sub(indexes.len())) as u64 {
            return Err(SHORT);
        }
        if at > 0 && gap < 1 {
            return Err(INVALID);
        }
        let first = next.checked_add(gap).ok_or(INVALID)?;
        next = first.checked_add(length as i64).ok_or(INVALID)?;
        for index in first..next {
            indexes.push(i32::try_from(index).map_err(|_| INVALID)?);
        }
    }
    Ok(indexes.into())
}

fn read_8(bytes: &mut &[u8]) -> Result<u64, CodecError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(SHORT)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::histogram::Span;

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        prop::collection::vec((-300i32..300, 1u32..5), 0..5).prop_map(|spans| {
            let spans = spans.into_iter().enumerate();
            let span = |(at, (offset, length)): (usize, (i32, u32))| Span {
                offset: if at == 0 { offset } else { offset.abs() + 1 },
                length,
            };
            spans.map(span).collect()
        })
    }

    fn integer() -> impl Strategy<Value = Histogram> {
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), -4i32..9, 0u64..3);
        (spans(), spans(), numbers, any::<u64>()).prop_map(|(positive, negative, n, seed)| {
            let deltas = |spans: &[Span]| {
                let n_buckets = spans.iter().map(|span| span.length).sum::<u32>();
                let delta = |at: u32| seed.rotate_left(at * 7) as i64 >> (at % 60);
                (0..n_buckets).map(delta).collect()
            };
            Histogram::Integer(IntegerHistogram {
                counter_reset_hint: CounterResetHint::Gauge,
                schema: n.3,
                zero_threshold: f64::from_bits(n.4 * USUAL_THRESHOLD),
                zero_count: n.0,
                count: n.1,
                sum: f64::from_bits(n.2),
                positive_deltas: deltas(&positive),
                positive_spans: positive,
                negative_deltas: deltas(&negative),
                negative_spans: negative,
                custom_bounds: vec![1.5, 2.0].into(),
            })
        })
    }

    fn bits(histogram: &Histogram) -> String {
        // Debug tells -0.0 from 0.0; NaNs are compared as numbers.
        format!("{histogram:?} {}", histogram.sum().to_bits())
    }

    proptest! {
        #[test]
        fn histograms_survive(all in prop::collection::vec(integer(), 1..6), float: bool) {
            let all: Vec<Histogram> = all.into_iter().map(|histogram| match float {
                true => Histogram::Float(histogram.to_float().unwrap()),
                false => histogram,
            }).collect();
            let (mut bytes, mut before) = (Vec::new(), None);
            for histogram in &all {
                let flat = Flat::of(histogram).unwrap();
                for _ in 0..2 {
                    flat.encode(before.as_ref(), &mut bytes);
                    before = Some(flat.clone());
                }
            }
            let (mut rest, mut before) = (&bytes[..], None);
            for histogram in &all {
                for _ in 0..2 {
                    let flat = Flat::decode(&mut rest, before.as_ref()).unwrap();
                    let found = flat.to_histogram(flat.shape.hint);
                    prop_assert_eq!(bits(&found), bits(histogram));
                    prop_assert!(flat.is_same_data(&Flat::of(histogram).unwrap()));
                    before = Some(flat);
                }
            }
            prop_assert!(rest.is_empty());
            for len in 0..bytes.len().min(60) {
                let (mut rest, mut before) = (&bytes[..len], None);
                while let Ok(flat) = Flat::decode(&mut rest, before.as_ref()) {
                    before = Some(flat);
                }
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            if let Ok(flat) = Flat::decode(&mut rest, None) {
                let mut again = Vec::new();
                flat.encode(None, &mut again);
                let read = Flat::decode(&mut &again[..], None).unwrap();
                prop_assert!(read.is_same_data(&flat));
                let _ = flat.to_histogram(CounterResetHint::Unknown);
            }
        }
    }

    #[test]
    fn an_announced_layout_takes_no_memory() {
        let mut bytes = vec![0, 1, 0, 0];
        varint::write_u64(&mut bytes, 1);
        varint::write_i64(&mut bytes, 0);
        varint::write_u64(&mut bytes, u64::from(u32::MAX));
        assert_eq!(Flat::decode(&mut &bytes[..], None), Err(SHORT));
    }

    #[test]
    fn a_histogram_that_hardly_changes_takes_a_byte_a_bucket() {
        let histogram = |add: i64| {
            Histogram::Integer(IntegerHistogram {
                schema: 3,
                zero_threshold: f64::from_bits(USUAL_THRESHOLD),
                count: 20_000 + add as u64,
                sum: 1000.5 + add as f64,
                positive_spans: vec![Span {
                    offset: -3,
                    length: 20,
                }],
                positive_deltas: std::iter::once(1000 + add).chain(vec![0; 19]).collect(),
                ..IntegerHistogram::default()
            })
        };
        let mut bytes = Vec::new();
        let one = Flat::of(&histogram(0)).unwrap();
        Flat::of(&histogram(7))
            .unwrap()
            .encode(Some(&one), &mut bytes);
        assert!(bytes.len() < 32, "{} bytes", bytes.len());
    }
}
