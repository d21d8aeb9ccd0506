//! Columns of values over the steps of a query.
//!
//! A [`Row`] is one series: labels, and one value for each step of a span of steps.
//! Steps without a value inside the span are marked in a bitmap, which rows without
//! holes do not have; most rows have none, so that operators run over plain slices.
//! Labels are looked at once per row, never per step.
//!
//! Native histograms are a second column beside the values, see [`HistogramColumn`].
//! Rows without any have none: whoever works on values never meets it.

use std::sync::Arc;

use std::ops::Range;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use kymo_storage::model::histogram::FloatHistogram;
use kymo_storage::model::{Labels, METRIC_NAME};
use smallvec::SmallVec;

pub(crate) use super::bits::Bits;
use super::histogram_column::HistogramColumn;
use crate::error::QueryError;
use crate::promql::value::Series;
use crate::source::{SampleBuf, Times};

/// The steps at which a query is evaluated, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    pub(crate) step_ms: i64,
    /// Number of steps; 0 where nothing is evaluated, and `usize::MAX` where there are
    /// more than can be counted.
    pub(crate) steps: usize,
}

impl Grid {
    /// Returns the grid of one step.
    pub(crate) fn instant(t_ms: i64) -> Grid {
        Grid {
            start_ms: t_ms,
            step_ms: 1,
            steps: 1,
        }
    }

    /// Returns the steps from `start_ms` up to and including `end_ms`; none where the
    /// end is before the start. `step_ms` is positive.
    pub(crate) fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Grid {
        let steps = match end_ms < start_ms {
            true => 0,
            false => usize::try_from(end_ms.abs_diff(start_ms) / step_ms.unsigned_abs())
                .unwrap_or(usize::MAX)
                .saturating_add(1),
        };
        Grid {
            start_ms,
            step_ms,
            steps,
        }
    }

    /// Returns the time of a step.
    pub(crate) fn time(&self, step: usize) -> i64 {
        self.start_ms + self.step_ms * step as i64
    }

    /// Returns the time of the last step.
    pub(crate) fn last(&self) -> i64 {
        self.time(self.steps.saturating_sub(1))
    }

    /// Tells whether this is one step, where order is kept and shown.
    pub(crate) fn is_instant(&self) -> bool {
        self.steps == 1
    }
}

/// The values of one row while they are computed, step by step in any order.
#[derive(Debug, Clone)]
pub(crate) struct RowBuilder {
    values: Vec<f64>,
    /// The steps set one after the other, from the first one that was set; the bitmap
    /// is needed only beyond them.
    first: usize,
    behind: usize,
    present: Bits,
    any_beyond: bool,
    histograms: HistogramColumn,
}

impl RowBuilder {
    pub(crate) fn new(steps: usize) -> RowBuilder {
        RowBuilder {
            values: vec![0.0; steps],
            first: 0,
            behind: 0,
            present: Bits::default(),
            any_beyond: false,
            histograms: HistogramColumn::default(),
        }
    }

    /// Returns how many steps there are.
    pub(crate) fn steps(&self) -> usize {
        self.values.len()
    }

    /// Sets the value of a step, once per step.
    #[inline]
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        if step == self.behind && !self.any_beyond {
            self.behind += 1;
        } else {
            self.set_beyond(step);
        }
    }

    /// Sets the histogram of a step that has no value, later than those before.
    pub(crate) fn set_histogram(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        self.histograms.push(step, histogram);
    }

    fn set_beyond(&mut self, step: usize) {
        if !self.any_beyond {
            if self.first == self.behind {
                (self.first, self.behind) = (step, step + 1);
                return;
            }
            self.any_beyond = true;
            self.present = Bits::new(self.values.len());
            self.present.set_range(self.first, self.behind);
        }
        self.present.set(step);
    }

    /// Sets `len` steps from `first` on, of a row that has none yet, and returns their
    /// values for the caller to write.
    pub(crate) fn set_run(&mut self, first: usize, len: usize) -> &mut [f64] {
        (self.first, self.behind) = (first, first + len);
        &mut self.values[first..first + len]
    }

    /// Forgets all values and keeps the memory.
    pub(crate) fn clear(&mut self) {
        (self.first, self.behind) = (0, 0);
        self.any_beyond = false;
        self.histograms.clear();
    }

    /// Builds the row and begins anew; `None` where no step was set.
    pub(crate) fn take(&mut self, labels: impl FnOnce() -> Labels) -> Option<Row> {
        if self.histograms.is_empty() {
            return self.take_values(labels);
        }
        let histograms = std::mem::take(&mut self.histograms);
        let labels = labels();
        let values = self.take_values(|| labels.clone());
        Some(Row {
            histograms: Some(Box::new(histograms)),
            ..values.unwrap_or_else(|| Row::full(labels, []))
        })
    }

    fn take_values(&mut self, labels: impl FnOnce() -> Labels) -> Option<Row> {
        let row = if !self.any_beyond {
            (self.first < self.behind).then(|| Row {
                histograms: None,
                labels: labels(),
                drop_name: false,
                first: self.first,
                values: SmallVec::from_slice(&self.values[self.first..self.behind]),
                holes: None,
            })
        } else {
            self.span().map(|(first, last)| {
                let count = self.present.count();
                let len = last - first + 1;
                let holes = (count < len).then(|| Box::new(self.present.part(first, len)));
                Row {
                    histograms: None,
                    labels: labels(),
                    drop_name: false,
                    first,
                    values: SmallVec::from_slice(&self.values[first..=last]),
                    holes,
                }
            })
        };
        self.clear();
        row
    }

    fn span(&self) -> Option<(usize, usize)> {
        Some((self.present.first()?, self.present.last()?))
    }
}

/// One series over the steps of a grid. It has at least one value or histogram.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    /// Whether the metric's name goes at the end of the evaluation.
    pub(crate) drop_name: bool,
    /// Step of the first value.
    first: usize,
    /// Values from the first step on that has one to the last.
    values: SmallVec<[f64; 2]>,
    /// Which of `values` hold; `None` where all do.
    holes: Option<Box<Bits>>,
    /// Histograms, at steps without a value.
    pub(super) histograms: Option<Box<HistogramColumn>>,
}

impl Row {
    /// Returns a row with one value at every step.
    pub(crate) fn constant(labels: Labels, value: f64, steps: usize) -> Row {
        Row {
            labels,
            drop_name: false,
            first: 0,
            values: SmallVec::from_elem(value, steps),
            holes: None,
            histograms: None,
        }
    }

    /// Returns a row with the given values, one at every step.
    pub(crate) fn full(labels: Labels, values: impl IntoIterator<Item = f64>) -> Row {
        Row {
            labels,
            drop_name: false,
            first: 0,
            values: values.into_iter().collect(),
            holes: None,
            histograms: None,
        }
    }

    /// Returns a row with those of the values whose steps are in `held`; `None` where
    /// there are none.
    pub(crate) fn of_column(labels: Labels, mut values: Vec<f64>, held: &Bits) -> Option<Row> {
        let (first, last) = (held.first()?, held.last()?);
        let len = last - first + 1;
        values.truncate(last + 1);
        if first > 0 {
            values.drain(..first);
        }
        Some(Row {
            histograms: None,
            labels,
            drop_name: false,
            first,
            values: SmallVec::from_vec(values),
            holes: (held.count() < len).then(|| Box::new(held.part(first, len))),
        })
    }

    /// Returns a row with the given values, one at every step from `first` on; `None`
    /// where there are none.
    pub(crate) fn of_run(labels: Labels, first: usize, values: Vec<f64>) -> Option<Row> {
        (!values.is_empty()).then(|| Row {
            histograms: None,
            labels,
            drop_name: false,
            first,
            values: SmallVec::from_vec(values),
            holes: None,
        })
    }

    /// Returns the steps of a row without holes or histograms.
    pub(crate) fn run(&self) -> Option<Range<usize>> {
        match self.holes {
            _ if self.histograms.is_some() => None,
            None => Some(self.first..self.first + self.values.len()),
            Some(_) => None,
        }
    }

    /// Returns the values at steps of a row without holes, which must all be its own.
    pub(crate) fn slice(&self, steps: Range<usize>) -> &[f64] {
        &self.values[steps.start - self.first..steps.end - self.first]
    }

    /// Returns how much memory the row holds, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let values = match self.values.spilled() {
            true => self.values.capacity() * size_of::<f64>(),
            false => 0,
        };
        let holes = self.holes.as_ref().map_or(0, |held| held.memory_bytes());
        let histograms = self.histograms.as_ref().map_or(0, |h| h.memory_bytes());
        size_of::<Row>() + self.labels.memory_bytes() + values + holes + histograms
    }

    /// Returns the value at a step.
    pub(crate) fn get(&self, step: usize) -> Option<f64> {
        let at = step.checked_sub(self.first)?;
        let value = *self.values.get(at)?;
        match &self.holes {
            Some(held) if !held.get(at) => None,
            _ => Some(value),
        }
    }

    /// Returns how many samples the row counts as: one for each step with a value, more
    /// for each histogram.
    pub(crate) fn count(&self) -> usize {
        let values = match &self.holes {
            Some(held) => held.count(),
            None => self.values.len(),
        };
        match &self.histograms {
            None => values,
            Some(histograms) => values + histograms.sample_size(),
        }
    }

    /// Tells whether there is a value at any step.
    pub(crate) fn has_values(&self) -> bool {
        !self.values.is_empty()
    }

    /// Returns the first step with a value, the values from there on, and which hold.
    pub(crate) fn columns(&self) -> (usize, &[f64], Option<&Bits>) {
        (self.first, &self.values, self.holes.as_deref())
    }

    /// Calls `each` with every step that has a value, in order.
    #[inline]
    pub(crate) fn for_each(&self, mut each: impl FnMut(usize, f64)) {
        match &self.holes {
            None => {
                for (at, &value) in self.values.iter().enumerate() {
                    each(self.first + at, value);
                }
            }
            Some(held) => {
                for (at, &value) in self.values.iter().enumerate() {
                    if held.get(at) {
                        each(self.first + at, value);
                    }
                }
            }
        }
    }

    /// Replaces every value.
    pub(crate) fn map(&mut self, map: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            *value = map(*value);
        }
    }

    /// Replaces every value by what comes of it and the value of `other` at the same
    /// step, which is NaN where there is none.
    pub(crate) fn map_with(&mut self, other: Option<&Row>, map: impl Fn(f64, f64) -> f64) {
        let first = self.first;
        let steps = first..first + self.values.len();
        match other {
            Some(other)
                if other
                    .run()
                    .is_some_and(|run| run.start <= steps.start && steps.end <= run.end) =>
            {
                for (value, &other) in self.values.iter_mut().zip(other.slice(steps)) {
                    *value = map(*value, other);
                }
            }
            other => {
                for (at, value) in self.values.iter_mut().enumerate() {
                    let other = other.and_then(|row| row.get(first + at));
                    *value = map(*value, other.unwrap_or(f64::NAN));
                }
            }
        }
    }

    /// Keeps the steps for which `keep` returns a value, and that value.
    pub(crate) fn filter_map(
        self,
        scratch: &mut RowBuilder,
        mut keep: impl FnMut(usize, f64) -> Option<f64>,
    ) -> Option<Row> {
        scratch.clear();
        self.for_each(|step, value| {
            if let Some(value) = keep(step, value) {
                scratch.set(step, value);
            }
        });
        let drop_name = self.drop_name;
        let mut row = scratch.take(|| self.labels)?;
        row.drop_name = drop_name;
        Some(row)
    }

    /// Adds the steps that have a value or histogram to a set.
    pub(crate) fn add_to(&self, steps: &mut Bits) {
        if let Some(histograms) = &self.histograms {
            histograms.iter().for_each(|(step, _)| steps.set(step));
        }
        self.add_values_to(steps);
    }

    /// Adds the steps that have a value to a set.
    pub(crate) fn add_values_to(&self, steps: &mut Bits) {
        if self.holes.is_none() {
            steps.set_range(self.first, self.first + self.values.len());
        } else {
            self.for_each(|step, _| steps.set(step));
        }
    }

    /// Repeats the value or histogram of a row of one step over `steps` steps.
    pub(crate) fn repeat(&mut self, steps: usize) {
        if let Some(histograms) = &mut self.histograms {
            histograms.repeat(steps);
            return;
        }
        let value = self.values.first().copied().unwrap_or(f64::NAN);
        self.values = SmallVec::from_elem(value, steps);
    }

    /// Replaces `into` by the row's values as samples at the grid's times. `before` is
    /// the row that is in `into`; tells whether the times are the same.
    pub(crate) fn to_samples(
        &self,
        grid: &Grid,
        before: Option<&Row>,
        into: &mut SampleBuf,
    ) -> Times {
        into.values.clear();
        into.start_times.clear();
        into.histograms.clear();
        if let Some(histograms) = &self.histograms {
            histograms.to_samples(grid, &mut into.histograms);
        }
        if self.holes.is_none() {
            into.values.extend_from_slice(&self.values);
            let len = self.values.len();
            let is_same = |before: &Row| {
                before.holes.is_none() && (before.first, before.values.len()) == (self.first, len)
            };
            if before.is_some_and(is_same) {
                return Times::Same;
            }
            into.timestamps.clear();
            let steps = self.first..self.first + len;
            into.timestamps.extend(steps.map(|step| grid.time(step)));
        } else {
            into.timestamps.clear();
            self.for_each(|step, value| into.push(grid.time(step), value));
        }
        Times::New
    }

    /// Turns the row into samples at the grid's times.
    fn into_samples(self, grid: &Grid) -> (Labels, SampleBuf) {
        let mut samples = SampleBuf::default();
        if self.holes.is_none() {
            let steps = self.first..self.first + self.values.len();
            samples.timestamps = steps.map(|step| grid.time(step)).collect();
            samples.values = self.values.into_vec();
        } else {
            let count = self.holes.as_ref().map_or(0, |held| held.count());
            samples.timestamps.reserve_exact(count);
            samples.values.reserve_exact(count);
            self.for_each(|step, value| samples.push(grid.time(step), value));
        }
        if let Some(histograms) = &self.histograms {
            histograms.to_samples(grid, &mut samples.histograms);
        }
        (self.labels, samples)
    }
}

/// Turns rows into public series sorted by labels.
pub(crate) fn into_series(mut rows: Vec<Row>, grid: &Grid) -> Vec<Series> {
    rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    rows.into_iter()
        .map(|row| {
            let (labels, mut floats) = row.into_samples(grid);
            Series {
                labels,
                histograms: std::mem::take(&mut floats.histograms),
                floats,
            }
        })
        .collect()
}

/// The labels that belong to the metric, and go when its meaning changes.
pub(crate) const METADATA_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Tells whether a label belongs to the metric.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    METADATA_LABELS.contains(&name)
}

/// Returns labels without the metric's name, type and unit.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if labels.iter().any(|(name, _)| is_metadata_label(name)) {
        Labels::from_sorted(labels.iter().filter(|(name, _)| !is_metadata_label(name)))
    } else {
        labels.clone()
    }
}

/// The error of two elements with equal labels at one time.
pub(crate) fn same_labelset() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// Tells whether two rows have equal labels.
pub(crate) fn has_equal_labels(rows: &[Row]) -> bool {
    let mut seen = hashbrown::HashSet::with_capacity(rows.len());
    rows.len() > 1 && rows.iter().any(|row| !seen.insert(&row.labels))
}

/// Joins rows of equal labels, each at the place of the first.
///
/// # Errors
/// Two of them have a value at the same step.
pub(crate) fn merge_equal_labels(rows: Vec<Row>, steps: usize) -> Result<Vec<Row>, QueryError> {
    if !has_equal_labels(&rows) {
        return Ok(rows);
    }
    let mut first_at: HashMap<Labels, usize> = HashMap::with_capacity(rows.len());
    let mut groups: Vec<Vec<Row>> = Vec::with_capacity(rows.len());
    for row in rows {
        match first_at.entry(row.labels.clone()) {
            Entry::Occupied(at) => groups[*at.get()].push(row),
            Entry::Vacant(at) => {
                at.insert(groups.len());
                groups.push(vec![row]);
            }
        }
    }
    let mut builder = RowBuilder::new(steps);
    let mut merged = Vec::with_capacity(groups.len());
    for mut group in groups {
        if group.len() > 1 {
            merged.extend(join(&group, &mut builder)?);
        } else {
            merged.append(&mut group);
        }
    }
    Ok(merged)
}

fn join(group: &[Row], builder: &mut RowBuilder) -> Result<Option<Row>, QueryError> {
    let steps = builder.values.len();
    let mut elements = vec![None; steps];
    for row in group {
        let mut clash = false;
        row.for_each_element(|step, element| clash |= elements[step].replace(element).is_some());
        if clash {
            return Err(same_labelset());
        }
    }
    builder.clear();
    for (step, element) in elements.into_iter().enumerate() {
        if let Some(element) = element {
            element.set(builder, step);
        }
    }
    let drop_name = group.first().is_some_and(|row| row.drop_name);
    let labels = group
        .first()
        .map_or_else(Labels::empty, |row| row.labels.clone());
    Ok(builder.take(|| labels).map(|mut row| {
        row.drop_name = drop_name;
        row
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[(usize, f64)], steps: usize) -> Option<Row> {
        let mut builder = RowBuilder::new(steps);
        for &(step, value) in values {
            builder.set(step, value);
        }
        builder.take(Labels::empty)
    }

    fn points(row: &Row) -> Vec<(usize, f64)> {
        let mut points = Vec::new();
        row.for_each(|step, value| points.push((step, value)));
        points
    }

    #[test]
    fn rows_keep_exactly_what_was_set() {
        let cases: &[&[(usize, f64)]] = &[
            &[(0, 1.0), (1, 2.0), (2, 3.0)],
            &[(3, 1.0), (4, 2.0)],
            &[(0, 1.0), (2, 2.0), (130, 3.0)],
            &[(64, 1.0)],
            &[(199, 1.0)],
        ];
        for &case in cases {
            let row = row(case, 200).unwrap();
            assert_eq!(points(&row), case);
            assert_eq!(row.count(), case.len());
            for step in 0..200 {
                let expected = case.iter().find(|p| p.0 == step).map(|p| p.1);
                assert_eq!(row.get(step), expected, "step {step}");
            }
        }
        assert!(row(&[], 200).is_none());
    }

    #[test]
    fn rows_of_equal_labels_are_joined_unless_they_meet() {
        let a = row(&[(0, 1.0), (3, 2.0)], 5).unwrap();
        let b = row(&[(1, 5.0)], 5).unwrap();
        let merged = merge_equal_labels(vec![a.clone(), b], 5).unwrap();
        assert_eq!(points(&merged[0]), [(0, 1.0), (1, 5.0), (3, 2.0)]);
        assert!(merge_equal_labels(vec![a.clone(), a], 5).is_err());
    }
}
