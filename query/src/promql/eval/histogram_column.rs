//! The histograms of a row, and elements of a vector that may be either kind.
//!
//! Histograms stand at few steps of few series, so they are a list with their steps.
//! What is computed of them is computed step by step, unlike columns of values.

use std::sync::Arc;

use kymo_storage::model::histogram::FloatHistogram;

use super::row::{Grid, Row, RowBuilder};
use crate::histogram::sample_size;
use crate::source::HistogramSample;

/// Histograms at steps, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistogramColumn {
    steps: Vec<(usize, Arc<FloatHistogram>)>,
}

impl HistogramColumn {
    /// Adds the histogram of a step. Steps may come in any order, each once.
    pub(super) fn push(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        let at = match self.steps.last() {
            Some(last) if last.0 >= step => self.steps.partition_point(|held| held.0 < step),
            _ => self.steps.len(),
        };
        self.steps.insert(at, (step, histogram));
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.steps.clear();
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Walks steps and histograms in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> {
        self.steps
            .iter()
            .map(|(step, histogram)| (*step, histogram))
    }

    pub(super) fn get(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        let at = self.steps.binary_search_by_key(&step, |held| held.0).ok()?;
        self.steps.get(at).map(|held| &held.1)
    }

    /// Changes every histogram.
    pub(super) fn change(&mut self, mut change: impl FnMut(&mut FloatHistogram)) {
        for (_, histogram) in &mut self.steps {
            change(Arc::make_mut(histogram));
        }
    }

    /// Repeats the only histogram over `steps` steps.
    pub(super) fn repeat(&mut self, steps: usize) {
        if let Some((_, histogram)) = self.steps.first().cloned() {
            self.steps = (0..steps).map(|step| (step, histogram.clone())).collect();
        }
    }

    pub(super) fn to_samples(&self, grid: &Grid, into: &mut Vec<HistogramSample>) {
        into.extend(self.iter().map(|(step, histogram)| HistogramSample {
            t_ms: grid.time(step),
            start_ms: 0,
            histogram: Arc::clone(histogram),
        }));
    }

    /// Returns as how many samples the histograms count.
    pub(super) fn sample_size(&self) -> usize {
        self.iter()
            .map(|(_, histogram)| sample_size(histogram))
            .sum()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let each = self.iter().map(|(_, histogram)| histogram.memory_bytes());
        size_of::<HistogramColumn>() + self.steps.len() * 16 + each.sum::<usize>()
    }
}

/// An element of a vector at one step.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Element {
    /// Sets the element of a step.
    pub(super) fn set(self, builder: &mut RowBuilder, step: usize) {
        match self {
            Element::Float(value) => builder.set(step, value),
            Element::Histogram(histogram) => builder.set_histogram(step, histogram),
        }
    }

    /// Returns how the kind of element is called.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Element::Float(_) => "float",
            Element::Histogram(_) => "histogram",
        }
    }
}

impl Row {
    /// Tells whether there is neither a value nor a histogram.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_values() && self.histograms.is_none()
    }

    /// Returns the histogram at a step.
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.histograms.as_ref()?.get(step)
    }

    /// Returns the value or histogram at a step.
    pub(crate) fn element(&self, step: usize) -> Option<Element> {
        match self.get(step) {
            Some(value) => Some(Element::Float(value)),
            None => self.histogram(step).cloned().map(Element::Histogram),
        }
    }

    /// Calls `each` with every step that has a histogram, in order.
    pub(super) fn for_each_histogram(&self, mut each: impl FnMut(usize, &Arc<FloatHistogram>)) {
        if let Some(histograms) = &self.histograms {
            histograms.iter().for_each(|(step, h)| each(step, h));
        }
    }

    /// Calls `each` with every step that has a value or histogram: those with values
    /// first.
    pub(super) fn for_each_element(&self, mut each: impl FnMut(usize, Element)) {
        self.for_each(|step, value| each(step, Element::Float(value)));
        self.for_each_histogram(|step, h| each(step, Element::Histogram(Arc::clone(h))));
    }

    /// Returns a copy without histograms; `None` where no value is left.
    pub(super) fn only_values(&self) -> Option<Row> {
        if self.histograms.is_none() {
            return Some(self.clone());
        }
        let mut row = self.clone();
        row.histograms = None;
        row.has_values().then_some(row)
    }

    /// Keeps the values and histograms of some steps.
    pub(super) fn filter_steps(
        &self,
        scratch: &mut RowBuilder,
        keep: impl Fn(usize) -> bool,
    ) -> Option<Row> {
        if self.histograms.is_none() {
            return self
                .clone()
                .filter_map(scratch, |step, value| keep(step).then_some(value));
        }
        scratch.clear();
        self.for_each_element(|step, element| {
            if keep(step) {
                element.set(scratch, step);
            }
        });
        let mut row = scratch.take(|| self.labels.clone())?;
        row.drop_name = self.drop_name;
        Some(row)
    }

    /// Returns a row of the first step with one element.
    pub(super) fn of_element(labels: kymo_storage::model::Labels, element: Element) -> Row {
        match element {
            Element::Float(value) => Row::constant(labels, value, 1),
            Element::Histogram(histogram) => {
                let mut column = HistogramColumn::default();
                column.push(0, histogram);
                let mut row = Row::full(labels, []);
                row.histograms = Some(Box::new(column));
                row
            }
        }
    }
}
