//! Smaller forms of a histogram as it arrives: without its empty buckets, and with
//! coarser ones.
//!
//! Buckets come as spans beside counts here, and whole counts as differences, as senders
//! and targets write them. A layout that does not fit its counts is left as it is by
//! [`compact_spans`], which cannot fail, and refused by the rest.

use super::buckets::indexes_of;
use super::{Buckets, FloatHistogram, HistogramError, IntegerHistogram, Span};

/// Removes buckets without observations, except runs of at most `max_empty` of them
/// between others, which are written out. `counts` are the buckets' own.
pub fn compact_spans<T>(spans: &mut Vec<Span>, counts: &mut Vec<T>, max_empty: u32)
where
    T: Copy + Default + PartialEq,
{
    let spanned: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if spanned != counts.len() as u64 {
        return;
    }
    let empty = T::default();
    let needless = |span: &Span| span.length == 0 || i64::from(span.offset) <= max_empty.into();
    if !counts.contains(&empty)
        && spans.first().is_none_or(|span| span.length > 0)
        && !spans.iter().skip(1).any(needless)
    {
        return;
    }
    let mut kept_spans: Vec<Span> = Vec::with_capacity(spans.len());
    let mut kept_counts = Vec::with_capacity(counts.len());
    // Where the bucket behind the last one kept is.
    let mut end = 0i64;
    let mut index = 0i64;
    let mut rest = counts.iter();
    for span in spans.iter() {
        index += i64::from(span.offset);
        for &count in rest.by_ref().take(span.length as usize) {
            let gap = index - end;
            index += 1;
            if count == empty {
                continue;
            }
            match kept_spans.last_mut() {
                Some(last) if (0..=i64::from(max_empty)).contains(&gap) => {
                    last.length += gap as u32 + 1;
                    kept_counts.resize(kept_counts.len() + gap as usize, empty);
                }
                _ => kept_spans.push(Span {
                    offset: gap as i32,
                    length: 1,
                }),
            }
            kept_counts.push(count);
            end = index;
        }
    }
    *spans = kept_spans;
    *counts = kept_counts;
}

/// As [`compact_spans`], for counts that are written as differences.
fn compact_deltas(spans: &mut Vec<Span>, deltas: &mut Vec<i64>, max_empty: u32) {
    sum_up(deltas);
    compact_spans(spans, deltas, max_empty);
    take_differences(deltas);
}

/// Turns differences into counts.
fn sum_up(deltas: &mut [i64]) {
    let mut count = 0i64;
    for delta in deltas {
        count = count.wrapping_add(*delta);
        *delta = count;
    }
}

/// Turns counts into differences.
fn take_differences(counts: &mut [i64]) {
    let mut last = 0i64;
    for count in counts {
        let delta = count.wrapping_sub(last);
        last = *count;
        *count = delta;
    }
}

/// Returns the bucket that takes in bucket `index` where the schema is `steps` coarser.
fn coarser_index(index: i32, steps: u32) -> i32 {
    // Beyond this all buckets of a side are the two around 1.
    (index.wrapping_sub(1) >> steps.min(31)).wrapping_add(1)
}

/// Puts buckets together that are one in a schema that is `steps` coarser.
fn merged<T>(
    indexes: &[i32],
    counts: &[T],
    steps: u32,
    add: impl Fn(T, T) -> T,
) -> (Vec<i32>, Vec<T>)
where
    T: Copy,
{
    let (mut to_indexes, mut to_counts) = (Vec::new(), Vec::new());
    for (index, count) in indexes.iter().zip(counts) {
        let index = coarser_index(*index, steps);
        match (to_indexes.last(), to_counts.last_mut()) {
            (Some(last), Some(sum)) if *last == index => *sum = add(*sum, *count),
            _ => {
                to_indexes.push(index);
                to_counts.push(*count);
            }
        }
    }
    (to_indexes, to_counts)
}

impl IntegerHistogram {
    /// Removes buckets without observations, except runs of at most `max_empty` of them
    /// between others, which are written out.
    pub fn compact(&mut self, max_empty: u32) {
        compact_deltas(
            &mut self.positive_spans,
            &mut self.positive_deltas,
            max_empty,
        );
        compact_deltas(
            &mut self.negative_spans,
            &mut self.negative_deltas,
            max_empty,
        );
    }

    /// Returns how many buckets there are on both sides, the zero bucket left out.
    pub fn n_buckets(&self) -> usize {
        self.positive_deltas.len() + self.negative_deltas.len()
    }

    /// Makes the buckets those of a coarser exponential schema; nothing where `schema`
    /// is not coarser. Only for exponential schemas.
    ///
    /// # Errors
    /// The spans do not fit the buckets. The histogram is then of no use.
    pub fn coarsen(&mut self, schema: i32) -> Result<(), HistogramError> {
        let Some(steps) = steps(self.schema, schema) else {
            return Ok(());
        };
        for (spans, deltas) in [
            (&mut self.positive_spans, &mut self.positive_deltas),
            (&mut self.negative_spans, &mut self.negative_deltas),
        ] {
            let indexes = indexes_of(spans, deltas.len())?;
            sum_up(deltas);
            let (indexes, counts) = merged(&indexes, deltas, steps, i64::wrapping_add);
            *spans = super::buckets::spans_of(&indexes);
            *deltas = counts;
            take_differences(deltas);
        }
        self.schema = schema;
        Ok(())
    }
}

impl FloatHistogram {
    /// Returns how many buckets there are on both sides, the zero bucket left out.
    pub fn n_buckets(&self) -> usize {
        self.positive.len() + self.negative.len()
    }

    /// Makes the buckets those of a coarser exponential schema; nothing where `schema`
    /// is not coarser. Only for exponential schemas.
    pub fn coarsen(&mut self, schema: i32) {
        let Some(steps) = steps(self.schema, schema) else {
            return;
        };
        for side in [&mut self.positive, &mut self.negative] {
            let (indexes, counts) = merged(side.layout(), side.counts(), steps, |a, b| a + b);
            // Indexes that ascend do so in a coarser schema, too.
            if let Some(coarser) = Buckets::from_layout(indexes.into(), counts) {
                *side = coarser;
            }
        }
        self.schema = schema;
    }
}

/// Returns how much coarser a schema is, if it is.
fn steps(from: i32, to: i32) -> Option<u32> {
    let steps = i64::from(from) - i64::from(to);
    u32::try_from(steps).ok().filter(|steps| *steps > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
        let span = |&(offset, length)| Span { offset, length };
        pairs.iter().map(span).collect()
    }

    fn compacted(layout: &[(i32, u32)], counts: &[i64], max_empty: u32) -> (Vec<Span>, Vec<i64>) {
        let mut spans = spans(layout);
        let mut counts = counts.to_vec();
        compact_spans(&mut spans, &mut counts, max_empty);
        (spans, counts)
    }

    #[test]
    fn empty_buckets_and_needless_spans_go() {
        type Side = (&'static [(i32, u32)], &'static [i64]);
        let cases: [(Side, Side); 6] = [
            ((&[(0, 3)], &[1, 0, 2]), (&[(0, 1), (1, 1)], &[1, 2])),
            ((&[(5, 2), (0, 1)], &[1, 2, 3]), (&[(5, 3)], &[1, 2, 3])),
            ((&[(0, 0)], &[]), (&[], &[])),
            ((&[(2, 2), (3, 1)], &[0, 0, 7]), (&[(7, 1)], &[7])),
            ((&[(-3, 0), (1, 1)], &[4]), (&[(-2, 1)], &[4])),
            ((&[(0, 2)], &[0, 0]), (&[], &[])),
        ];
        for ((layout, counts), (to_layout, to_counts)) in cases {
            let expected = (spans(to_layout), to_counts.to_vec());
            assert_eq!(compacted(layout, counts, 0), expected, "{layout:?}");
        }
    }

    #[test]
    fn short_gaps_are_written_out_where_asked() {
        assert_eq!(
            compacted(&[(1, 4), (2, 1)], &[1, 0, 0, 2, 3], 2),
            (spans(&[(1, 7)]), vec![1, 0, 0, 2, 0, 0, 3])
        );
        assert_eq!(
            compacted(&[(1, 5)], &[1, 0, 0, 0, 2], 2),
            (spans(&[(1, 1), (3, 1)]), vec![1, 2])
        );
    }

    #[test]
    fn a_layout_that_does_not_fit_is_left_alone() {
        let layout = [(0, u32::MAX), (0, u32::MAX)];
        assert_eq!(compacted(&layout, &[0], 0), (spans(&layout), vec![0]));
    }

    fn integer(layout: &[(i32, u32)], deltas: &[i64]) -> IntegerHistogram {
        IntegerHistogram {
            schema: 3,
            positive_spans: spans(layout),
            positive_deltas: deltas.to_vec(),
            ..IntegerHistogram::default()
        }
    }

    #[test]
    fn two_neighbours_become_one_per_step() {
        // Buckets 1 and 2 become 1, 3 becomes 2, 9 becomes 5.
        let mut histogram = integer(&[(1, 3), (5, 1)], &[1, 1, 1, 1]);
        histogram.coarsen(2).unwrap();
        assert_eq!(histogram.schema, 2);
        assert_eq!(histogram.positive_spans, spans(&[(1, 2), (2, 1)]));
        assert_eq!(histogram.positive_deltas, [3, 0, 1]);
        histogram.coarsen(2).unwrap();
        histogram.coarsen(8).unwrap();
        assert_eq!(histogram.schema, 2);
        assert!(integer(&[(1, 2)], &[1]).coarsen(0).is_err());
    }

    fn layouts() -> impl Strategy<Value = (Vec<(i32, u32)>, Vec<i64>)> {
        proptest::collection::vec((0i32..6, 0u32..5), 0..6).prop_flat_map(|layout| {
            let len = layout.iter().map(|(_, length)| *length as usize).sum();
            let counts = proptest::collection::vec(0i64..3, len..=len);
            (Just(layout), counts)
        })
    }

    proptest! {
        /// Both forms of a histogram agree on what is left of it.
        #[test]
        fn whole_and_float_counts_agree((layout, counts) in layouts(), schema in -4i32..=3) {
            let mut deltas = counts;
            take_differences(&mut deltas);
            let mut whole = integer(&layout, &deltas);
            let mut float = whole.to_float().unwrap();
            whole.coarsen(schema).unwrap();
            float.coarsen(schema);
            prop_assert_eq!(&whole.to_float().unwrap(), &float);
            whole.compact(0);
            float.compact(0);
            prop_assert_eq!(whole.to_float().unwrap().positive, float.positive);
        }

        /// What is written out stays short, and nothing is lost.
        #[test]
        fn compaction_keeps_observations((layout, counts) in layouts(), max_empty in 0u32..4) {
            let (to_layout, to_counts) = compacted(&layout, &counts, max_empty);
            let full = |layout: &[Span], counts: &[i64]| -> Vec<(i32, i64)> {
                let indexes = indexes_of(layout, counts.len()).unwrap();
                let pairs = indexes.into_iter().zip(counts.iter().copied());
                pairs.filter(|(_, count)| *count != 0).collect()
            };
            prop_assert_eq!(full(&to_layout, &to_counts), full(&spans(&layout), &counts));
            prop_assert!(to_layout.iter().skip(1).all(|span| span.offset as u32 > max_empty));
            let again = {
                let (mut spans, mut counts) = (to_layout.clone(), to_counts.clone());
                compact_spans(&mut spans, &mut counts, max_empty);
                (spans, counts)
            };
            prop_assert_eq!(again, (to_layout, to_counts));
        }
    }
}
