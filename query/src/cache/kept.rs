//! Points of an answer as they are kept, and answers put together from parts.
//!
//! Series are kept in columns over the steps, sorted by labels, each label set once.

use kymo_storage::model::Labels;

use crate::promql::Series;
use crate::source::SampleBuf;

/// Some steps of an answer.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    step_ms: i64,
    rows: Vec<KeptRow>,
}

#[derive(Debug)]
struct KeptRow {
    labels: Labels,
    /// Step of the first value.
    first: u32,
    values: Box<[f64]>,
    /// A bit for each of `values` that holds; empty where all do.
    held: Box<[u64]>,
}

/// Steps of a [`Kept`], or of an answer that was computed.
pub(super) enum Part<'a> {
    Kept {
        kept: &'a Kept,
        first_ms: i64,
        last_ms: i64,
    },
    Made {
        series: &'a [Series],
        last_ms: i64,
    },
}

impl Part<'_> {
    fn len(&self) -> usize {
        match self {
            Part::Kept { kept, .. } => kept.rows.len(),
            Part::Made { series, .. } => series.len(),
        }
    }

    fn labels(&self, at: usize) -> Option<&Labels> {
        match self {
            Part::Kept { kept, .. } => kept.rows.get(at).map(|row| &row.labels),
            Part::Made { series, .. } => series.get(at).map(|series| &series.labels),
        }
    }

    /// Returns how many points a series may have.
    fn most_points(&self, at: usize) -> usize {
        match self {
            Part::Kept { kept, .. } => kept.rows[at].values.len(),
            Part::Made { series, .. } => series[at].floats.timestamps.len(),
        }
    }

    fn points(&self, at: usize, mut each: impl FnMut(i64, f64)) {
        match self {
            Part::Kept {
                kept,
                first_ms,
                last_ms,
            } => kept.points(&kept.rows[at], *first_ms, *last_ms, each),
            Part::Made { series, last_ms } => {
                // Answers with histograms do not come here.
                let SampleBuf {
                    timestamps, values, ..
                } = &series[at].floats;
                let n = timestamps.partition_point(|t_ms| t_ms <= last_ms);
                for (&t_ms, &value) in timestamps[..n].iter().zip(values) {
                    each(t_ms, value);
                }
            }
        }
    }
}

impl Kept {
    /// Keeps parts of one answer that follow each other, without gaps or overlaps.
    /// `None` where two series of a part have equal labels.
    pub(super) fn new(
        parts: &[Part<'_>],
        first_ms: i64,
        last_ms: i64,
        step_ms: i64,
    ) -> Option<Kept> {
        let steps = usize::try_from((last_ms - first_ms) / step_ms).ok()? + 1;
        let mut rows: Vec<KeptRow> = Vec::new();
        let mut column = vec![0.0; steps];
        let mut held = vec![0u64; steps.div_ceil(64)];
        let mut is_sorted = true;
        each_series(parts, |labels, places| {
            let (mut first, mut last, mut n) = (steps, 0, 0);
            held.fill(0);
            for (part, at) in places {
                part.points(*at, |t_ms, value| {
                    let step = ((t_ms - first_ms) / step_ms) as usize;
                    if let Some(place) = column.get_mut(step) {
                        *place = value;
                        held[step / 64] |= 1 << (step % 64);
                        (first, last) = (first.min(step), last.max(step));
                        n += 1;
                    }
                });
            }
            if n == 0 {
                return;
            }
            is_sorted &= rows.last().is_none_or(|row| row.labels < *labels);
            let len = last - first + 1;
            let mut holding = Vec::new();
            if n < len {
                holding.resize(len.div_ceil(64), 0u64);
                for at in
                    (0..len).filter(|at| held[(first + at) / 64] >> ((first + at) % 64) & 1 == 1)
                {
                    holding[at / 64] |= 1 << (at % 64);
                }
            }
            rows.push(KeptRow {
                labels: labels.clone(),
                first: first as u32,
                values: column[first..=last].into(),
                held: holding.into(),
            });
        });
        rows.shrink_to_fit();
        is_sorted.then_some(Kept {
            first_ms,
            last_ms,
            step_ms,
            rows,
        })
    }

    /// Returns how much memory is held, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        let each = self.rows.iter().map(|row| {
            size_of::<KeptRow>()
                + row.labels.memory_bytes()
                + (row.values.len() + row.held.len()) * size_of::<u64>()
        });
        (size_of::<Kept>() + each.sum::<usize>()) as u64
    }

    fn points(&self, row: &KeptRow, first_ms: i64, last_ms: i64, mut each: impl FnMut(i64, f64)) {
        let row_ms = self.first_ms + i64::from(row.first) * self.step_ms;
        let from = steps_before(row_ms, first_ms, self.step_ms).min(row.values.len());
        let to = steps_before(row_ms, last_ms + 1, self.step_ms).min(row.values.len());
        for at in from..to {
            if row.held.is_empty() || row.held[at / 64] >> (at % 64) & 1 == 1 {
                each(row_ms + at as i64 * self.step_ms, row.values[at]);
            }
        }
    }
}

/// Returns how many steps from `start_ms` on are before `t_ms`.
fn steps_before(start_ms: i64, t_ms: i64, step_ms: i64) -> usize {
    match t_ms > start_ms {
        true => usize::try_from((t_ms - start_ms - 1) / step_ms + 1).unwrap_or(usize::MAX),
        false => 0,
    }
}

/// Puts an answer together from parts that follow each other.
pub(super) fn join(parts: &[Part<'_>]) -> Vec<Series> {
    let most = parts.iter().map(Part::len).max().unwrap_or(0);
    let mut joined = Vec::with_capacity(most);
    each_series(parts, |labels, places| {
        let most: usize = places.iter().map(|(part, at)| part.most_points(*at)).sum();
        let mut floats = SampleBuf {
            timestamps: Vec::with_capacity(most),
            values: Vec::with_capacity(most),
            ..SampleBuf::default()
        };
        for (part, at) in places {
            part.points(*at, |t_ms, value| floats.push(t_ms, value));
        }
        if !floats.timestamps.is_empty() {
            joined.push(Series {
                labels: labels.clone(),
                floats,
                histograms: Vec::new(),
            });
        }
    });
    joined
}

/// Calls `each` with every label set of some sorted parts, in order, and the places where
/// it is.
fn each_series<'p, 'a>(
    parts: &'p [Part<'a>],
    mut each: impl FnMut(&Labels, &[(&'p Part<'a>, usize)]),
) {
    let mut next = vec![0; parts.len()];
    let mut places = Vec::with_capacity(parts.len());
    loop {
        let heads = parts.iter().zip(&next);
        let heads = heads.filter_map(|(part, &at)| part.labels(at));
        let Some(labels) = heads.min() else {
            return;
        };
        places.clear();
        for (part, next) in parts.iter().zip(&mut next) {
            if part.labels(*next) == Some(labels) {
                places.push((part, *next));
                *next += 1;
            }
        }
        each(labels, &places);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(columns: &[Vec<Option<i8>>]) -> Vec<Series> {
        let all = columns.iter().enumerate().map(|(name, column)| {
            let mut floats = SampleBuf::default();
            for (step, value) in column.iter().enumerate() {
                if let Some(value) = value {
                    floats.push(1000 + step as i64 * 10, f64::from(*value));
                }
            }
            let labels = Labels::from_pairs([("name", name.to_string())]);
            Series {
                labels,
                floats,
                histograms: Vec::new(),
            }
        });
        all.filter(|series| !series.floats.timestamps.is_empty())
            .collect()
    }

    fn between(all: &[Series], first_ms: i64, last_ms: i64) -> Vec<Series> {
        let cut = all.iter().filter_map(|series| {
            let mut floats = SampleBuf::default();
            let points = series.floats.timestamps.iter().zip(&series.floats.values);
            for (&t_ms, &value) in points.filter(|(t_ms, _)| (first_ms..=last_ms).contains(*t_ms)) {
                floats.push(t_ms, value);
            }
            let labels = series.labels.clone();
            (!floats.timestamps.is_empty()).then_some(Series {
                labels,
                floats,
                histograms: Vec::new(),
            })
        });
        cut.collect()
    }

    proptest! {
        #[test]
        fn an_answer_cut_and_joined_is_the_answer(
            columns in prop::collection::vec(
                prop::collection::vec(prop::option::weighted(0.7, any::<i8>()), 70), 0..5),
            cuts in (0i64..70, 0i64..70),
        ) {
            let all = series(&columns);
            let (one, other) = (cuts.0.min(cuts.1), cuts.0.max(cuts.1));
            let (first_ms, last_ms) = (1000 + one * 10, 1000 + other * 10);
            let part = Part::Made { series: &all, last_ms: i64::MAX };
            let kept = Kept::new(&[part], 1000, 1690, 10).unwrap();
            let head = between(&all, 0, first_ms - 1);
            let tail = between(&all, last_ms + 1, i64::MAX);
            let joined = join(&[
                Part::Made { series: &head, last_ms: i64::MAX },
                Part::Kept { kept: &kept, first_ms, last_ms },
                Part::Made { series: &tail, last_ms: i64::MAX },
            ]);
            prop_assert_eq!(&joined, &all);
            // A part that is kept again is that part.
            let part = [Part::Kept { kept: &kept, first_ms, last_ms }];
            let again = Kept::new(&part, first_ms, last_ms, 10).unwrap();
            let cut = [Part::Kept { kept: &again, first_ms, last_ms }];
            prop_assert_eq!(join(&cut), between(&all, first_ms, last_ms));
            let short = [Part::Made { series: &all, last_ms }];
            prop_assert_eq!(join(&short), between(&all, 0, last_ms));
        }
    }

    #[test]
    fn equal_labels_are_not_kept() {
        let mut all = series(&[vec![Some(1)], vec![Some(2)]]);
        all[1].labels = all[0].labels.clone();
        let parts = [Part::Made {
            series: &all,
            last_ms: i64::MAX,
        }];
        assert!(Kept::new(&parts, 1000, 1000, 10).is_none());
    }
}
