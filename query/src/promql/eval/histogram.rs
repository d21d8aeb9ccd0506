//! Quantiles and fractions of histograms. Those of classic ones are computed here:
//! series per bucket, told apart by the label `le`.

use kymo_storage::compat::float;
use kymo_storage::model::{Labels, LabelsBuilder, METRIC_NAME};

use super::group::{Groups, Keep};
use super::histogram_notes::About;
use super::row::{Bits, Grid, Row, RowBuilder, without_metadata};
use super::{Evaluator, Outcome};
use crate::error::QueryError;
use crate::histogram as native;
use crate::promql::annotations::{Annotations, Monotonicity};
use crate::promql::ast::Span;
use crate::promql::plan::{Call, Node};

/// Differences of neighbours that are smaller than this share of their sum are taken
/// for rounding.
const TOLERANCE: f64 = 1e-12;

impl Evaluator<'_> {
    /// Evaluates `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`.
    pub(super) fn histogram_estimate(&mut self, call: &Call, grid: &Grid) -> Outcome {
        let (vector, params) = split(call)?;
        let before = self.budget.held();
        // Arguments are evaluated in the order in which they are written.
        let mut annotations = Annotations::default();
        let mut rows = Vec::new();
        let mut values = Vec::with_capacity(params.len());
        for arg in call.args.iter().filter(|arg| arg.string().is_none()) {
            let (evaluated, notes) = self.eval(arg, grid)?;
            annotations.merge(&notes);
            if std::ptr::eq(arg, vector) {
                rows = evaluated;
            } else {
                values.push(evaluated);
            }
        }
        let made = if call.func == "histogram_fraction" {
            let mut steps = StepNotes::new(grid);
            let mut histograms = self.histograms(&rows, vector.span, &mut steps);
            let natives = self.natives(&rows, &mut histograms, vector.span, grid, &mut steps);
            let mut builder = RowBuilder::new(grid.steps);
            let mut made = Vec::new();
            for native in &natives {
                let about = self.about(&native.row.labels, vector.span);
                native.each(|step, histogram| {
                    let (lower, upper) = (at(&values, 0, step), at(&values, 1, step));
                    let (share, note) = native::fraction(lower, upper, histogram);
                    if let Some(note) = note {
                        about.quantile(note, steps.at(step));
                    }
                    builder.set(step, share);
                });
                made.extend(self.histogram_row(&native.row.labels, None, &mut builder));
            }
            for histogram in &histograms {
                histogram.each(grid, |step, buckets| {
                    let (lower, upper) = (at(&values, 0, step), at(&values, 1, step));
                    builder.set(step, fraction(lower, upper, buckets));
                });
                made.extend(self.histogram_row(&histogram.labels, None, &mut builder));
            }
            steps.merge_into(&mut annotations);
            made
        } else {
            self.quantiles(
                call,
                vector,
                &params,
                &rows,
                &values,
                grid,
                &mut annotations,
            )?
        };
        let mut operands: Vec<&[Row]> = vec![&rows];
        operands.extend(values.iter().map(Vec::as_slice));
        let made = self.settle(before, &operands, made, grid)?;
        Ok((made, annotations))
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one call")]
    fn quantiles(
        &mut self,
        call: &Call,
        vector: &Node,
        params: &[&Node],
        rows: &[Row],
        values: &[Vec<Row>],
        grid: &Grid,
        annotations: &mut Annotations,
    ) -> Result<Vec<Row>, QueryError> {
        let label = call.args.iter().find_map(Node::string);
        let mut steps = StepNotes::new(grid);
        for (index, param) in params.iter().enumerate() {
            for step in 0..grid.steps {
                let q = at(values, index, step);
                if q.is_nan() || !(0.0..=1.0).contains(&q) {
                    steps.at(step).invalid_quantile(q, param.span);
                }
            }
        }
        let mut histograms = self.histograms(rows, vector.span, &mut steps);
        let natives = self.natives(rows, &mut histograms, vector.span, grid, &mut steps);
        let mut builder = RowBuilder::new(grid.steps);
        let mut made = Vec::new();
        for index in 0..params.len() {
            for native in &natives {
                self.check()?;
                let about = self.about(&native.row.labels, vector.span);
                let mut runs = Runs::new(label, &mut builder);
                native.each(|step, histogram| {
                    let q = at(values, index, step);
                    let (value, note) = native::quantile(q, histogram);
                    runs.set(step, q, value);
                    if let Some(note) = note {
                        about.quantile(note, steps.at(step));
                    }
                });
                runs.finish(|tag, run| {
                    made.extend(self.histogram_row(&native.row.labels, tag, run));
                });
            }
            for histogram in &histograms {
                self.check()?;
                let name = self.about(&histogram.labels, vector.span).name;
                let mut runs = Runs::new(label, &mut builder);
                histogram.each(grid, |step, buckets| {
                    let q = at(values, index, step);
                    let (value, fixed) = quantile(q, buckets);
                    runs.set(step, q, value);
                    if let Some(fixed) = fixed {
                        let t_ms = grid.time(step);
                        let fixed = Monotonicity {
                            t_min_ms: t_ms,
                            t_max_ms: t_ms,
                            ..fixed
                        };
                        steps.at(step).forced_monotonicity(name, fixed, vector.span);
                    }
                });
                runs.finish(|tag, run| {
                    made.extend(self.histogram_row(&histogram.labels, tag, run));
                });
            }
        }
        steps.merge_into(annotations);
        Ok(made)
    }

    /// Collects the buckets of each histogram among the rows.
    fn histograms<'r>(
        &self,
        rows: &'r [Row],
        span: Span,
        steps: &mut StepNotes,
    ) -> Vec<Histogram<'r>> {
        let le = ["le".to_owned()];
        let mut groups = Groups::new(Keep::AllBut(&le));
        let mut histograms: Vec<Histogram<'r>> = Vec::new();
        // Groups leave the metric's name aside, but histograms of two names are two.
        let mut names: hashbrown::HashMap<(usize, &str), usize> = hashbrown::HashMap::new();
        for row in rows.iter().filter(|row| row.has_values()) {
            let text = row.labels.get("le").unwrap_or("");
            let name = row.labels.get(METRIC_NAME).unwrap_or("");
            let Ok(bound) = float::parse(text) else {
                let told = match self.options.delayed_name_removal {
                    true => name,
                    false => "",
                };
                row.for_each(|step, _| steps.at(step).bad_bucket_label(told, text, span));
                continue;
            };
            let group = groups.number(&row.labels, |_| false);
            let number = *names.entry((group, name)).or_insert_with(|| {
                let labels = row.labels.iter().filter(|&(label, _)| label != "le");
                histograms.push(Histogram {
                    labels: Labels::from_sorted(labels),
                    buckets: Vec::new(),
                    hidden: None,
                });
                histograms.len() - 1
            });
            histograms[number].buckets.push((bound, row));
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|a, b| {
                let bounds = a.0.partial_cmp(&b.0);
                // Several texts may be one bound, as 1 and 1.0.
                let bounds = bounds.unwrap_or(std::cmp::Ordering::Equal);
                bounds.then_with(|| a.1.labels.cmp(&b.1.labels))
            });
        }
        histograms
    }

    /// Returns what annotations are about: with a name where it is still there.
    pub(super) fn about<'l>(&self, labels: &'l Labels, span: Span) -> About<'l> {
        let name = match self.options.delayed_name_removal {
            true => labels.get(METRIC_NAME).unwrap_or(""),
            false => "",
        };
        About { name, span }
    }

    fn histogram_row(
        &self,
        labels: &Labels,
        tag: Option<(&str, f64)>,
        builder: &mut RowBuilder,
    ) -> Option<Row> {
        let mut row = builder.take(|| match self.options.delayed_name_removal {
            true => labels.clone(),
            false => without_metadata(labels),
        })?;
        if let Some((label, q)) = tag {
            let mut builder = LabelsBuilder::from_labels(&row.labels);
            builder.set(label, &float::openmetrics(q));
            row.labels = builder.labels();
        }
        row.drop_name = true;
        Some(row)
    }
}

/// Returns the vector of a call, and its numbers in order.
fn split(call: &Call) -> Result<(&Node, Vec<&Node>), QueryError> {
    let args = call.args.as_slice();
    let split = match (call.func, args) {
        ("histogram_quantile", [q, vector]) => (vector, vec![q]),
        ("histogram_fraction", [lower, upper, vector]) => (vector, vec![lower, upper]),
        ("histogram_quantiles", [vector, _, qs @ ..]) => (vector, qs.iter().collect()),
        _ => {
            let text = format!("wrong number of arguments for {}", call.func);
            return Err(QueryError::Execution(text));
        }
    };
    Ok(split)
}

fn at(values: &[Vec<Row>], index: usize, step: usize) -> f64 {
    values
        .get(index)
        .and_then(|rows| rows.first())
        .and_then(|row| row.get(step))
        .unwrap_or(f64::NAN)
}

/// Annotations by step, merged at the end as the reference merges them: those of each
/// step into those of the call, and these once more into those of the operator.
pub(super) struct StepNotes {
    steps: Vec<Option<Annotations>>,
}

impl StepNotes {
    fn new(grid: &Grid) -> StepNotes {
        StepNotes {
            steps: vec![None; grid.steps],
        }
    }

    pub(super) fn at(&mut self, step: usize) -> &mut Annotations {
        self.steps[step].get_or_insert_default()
    }

    fn merge_into(self, annotations: &mut Annotations) {
        let mut of_call = Annotations::default();
        for step in self.steps {
            if let Some(step) = step {
                of_call.merge(&step);
            }
            annotations.merge(&of_call);
        }
    }
}

/// A row on its way, cut where the quantile changes: that makes a series per value.
struct Runs<'b> {
    label: Option<&'b str>,
    builder: &'b mut RowBuilder,
    current: Option<f64>,
    finished: Vec<(f64, RowBuilder)>,
}

impl<'b> Runs<'b> {
    fn new(label: Option<&'b str>, builder: &'b mut RowBuilder) -> Runs<'b> {
        Runs {
            label,
            builder,
            current: None,
            finished: Vec::new(),
        }
    }

    fn set(&mut self, step: usize, q: f64, value: f64) {
        if let (Some(_), Some(before)) = (self.label, self.current)
            && before.to_bits() != q.to_bits()
        {
            self.finished.push((before, self.builder.clone()));
            self.builder.clear();
        }
        self.current = Some(q);
        self.builder.set(step, value);
    }

    /// Hands over what was set, with label and quantile where these are told.
    fn finish(self, mut each: impl FnMut(Option<(&str, f64)>, &mut RowBuilder)) {
        for (q, mut builder) in self.finished {
            each(self.label.map(|label| (label, q)), &mut builder);
        }
        each(self.label.zip(self.current), self.builder);
    }
}

/// The buckets of one histogram, sorted by bound.
pub(super) struct Histogram<'r> {
    /// Without `le`.
    pub(super) labels: Labels,
    pub(super) buckets: Vec<(f64, &'r Row)>,
    /// Steps at which there is a native histogram of the same labels.
    pub(super) hidden: Option<Bits>,
}

impl Histogram<'_> {
    /// Calls `each` with the buckets present at each step, where there are any.
    fn each(&self, grid: &Grid, mut each: impl FnMut(usize, &mut Vec<Bucket>)) {
        let mut buckets = Vec::with_capacity(self.buckets.len());
        for step in 0..grid.steps {
            if self.hidden.as_ref().is_some_and(|hidden| hidden.get(step)) {
                continue;
            }
            buckets.clear();
            buckets.extend(self.buckets.iter().filter_map(|&(bound, row)| {
                Some(Bucket {
                    bound,
                    count: row.get(step)?,
                })
            }));
            if !buckets.is_empty() {
                each(step, &mut buckets);
            }
        }
    }
}

/// An upper bound and how many observations are not above it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// Returns the quantile of buckets sorted by bound, and how they had to be lifted.
fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Monotonicity>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets
        .last()
        .is_none_or(|last| last.bound != f64::INFINITY)
    {
        return (f64::NAN, None);
    }
    merge_equal_bounds(buckets);
    let fixed = make_monotonic(buckets);
    let n = buckets.len();
    if n < 2 || buckets[n - 1].count == 0.0 {
        return (f64::NAN, fixed);
    }
    let mut rank = q * buckets[n - 1].count;
    let reaches = |bucket: &Bucket| bucket.count >= rank;
    let found = buckets[..n - 1].partition_point(|bucket| !reaches(bucket));
    let value = if found == n - 1 {
        buckets[n - 2].bound
    } else if found == 0 && buckets[0].bound <= 0.0 {
        buckets[0].bound
    } else {
        let mut start = 0.0;
        let end = buckets[found].bound;
        let mut count = buckets[found].count;
        if found > 0 {
            start = buckets[found - 1].bound;
            count -= buckets[found - 1].count;
            rank -= buckets[found - 1].count;
        }
        start + (end - start) * (rank / count)
    };
    (value, fixed)
}

/// Returns the share of observations between two values.
fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets
        .last()
        .is_none_or(|last| last.bound != f64::INFINITY)
    {
        return f64::NAN;
    }
    merge_equal_bounds(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |value: f64| {
        let mut rank = 0.0;
        // Without negative buckets, observations are taken to begin at zero.
        let mut low = match buckets[0].bound <= 0.0 {
            true => f64::NEG_INFINITY,
            false => 0.0,
        };
        for bucket in buckets.iter() {
            if low >= value {
                return rank;
            }
            if bucket.bound > value {
                // In a bucket without end nothing can be told apart.
                return match low == f64::NEG_INFINITY {
                    true => bucket.count,
                    false => rank + (bucket.count - rank) * (value - low) / (bucket.bound - low),
                };
            }
            rank = bucket.count;
            low = bucket.bound;
        }
        count
    };
    let capped = |rank: f64| if rank > count { count } else { rank };
    (capped(rank_of(upper)) - capped(rank_of(lower))) / count
}

fn merge_equal_bounds(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let equal = next.bound == kept.bound;
        if equal {
            kept.count += next.count;
        }
        equal
    });
}

/// Lifts counts that are below the one before. Tells where, unless it was rounding.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Monotonicity> {
    let (first, rest) = buckets.split_first_mut()?;
    let mut before = first.count;
    let mut fixed: Option<Monotonicity> = None;
    for bucket in rest {
        let count = bucket.count;
        if count == before {
            continue;
        }
        if almost_equal(before, count) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let fixed = fixed.get_or_insert(Monotonicity {
                t_min_ms: 0,
                t_max_ms: 0,
                bucket_min: f64::INFINITY,
                bucket_max: f64::NEG_INFINITY,
                diff_max: 0.0,
                more: 0,
            });
            fixed.bucket_min = fixed.bucket_min.min(bucket.bound);
            fixed.bucket_max = fixed.bucket_max.max(bucket.bound);
            fixed.diff_max = fixed.diff_max.max(before - count);
        } else {
            before = count;
        }
    }
    fixed
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    // Mostly the counts are far apart, and the division can be spared.
    if difference > sum * (TOLERANCE * 2.0) && sum >= 1.0 {
        return false;
    }
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(of: &[(f64, f64)]) -> Vec<Bucket> {
        of.iter()
            .map(|&(bound, count)| Bucket { bound, count })
            .collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_interpolate_inside_buckets() {
        let plain = [(1.0, 10.0), (2.0, 20.0), (INF, 40.0)];
        type Case<'a> = (f64, &'a [(f64, f64)], f64);
        let cases: &[Case] = &[
            (0.25, &plain, 1.0),
            (0.125, &plain, 0.5),
            (0.375, &plain, 1.5),
            (0.9, &plain, 2.0),
            (-1.0, &plain, -INF),
            (2.0, &plain, INF),
            (0.1, &[(-1.0, 10.0), (INF, 10.0)], -1.0),
            (0.5, &[(1.0, 5.0), (1.0, 5.0), (INF, 10.0)], 0.5),
        ];
        for &(q, of, expected) in cases {
            assert_eq!(quantile(q, &mut buckets(of)).0, expected, "{q} of {of:?}");
        }
        for of in [&plain[..2], &[(INF, 5.0)], &[(1.0, 0.0), (INF, 0.0)]] {
            assert!(quantile(0.5, &mut buckets(of)).0.is_nan(), "{of:?}");
        }
    }

    #[test]
    fn falling_counts_are_lifted_and_told() {
        let mut falling = buckets(&[(1.0, 10.0), (2.0, 7.0), (4.0, 12.0), (INF, 11.0)]);
        let fixed = make_monotonic(&mut falling).unwrap();
        assert_eq!(
            (fixed.bucket_min, fixed.bucket_max, fixed.diff_max),
            (2.0, INF, 3.0)
        );
        let counts: Vec<f64> = falling.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [10.0, 10.0, 12.0, 12.0]);
        let mut rounding = buckets(&[(1.0, 1e6), (INF, 1e6 - 1e-8)]);
        assert!(make_monotonic(&mut rounding).is_none());
        assert_eq!(rounding[1].count, 1e6);
    }

    #[test]
    fn fractions_are_the_inverse_of_quantiles() {
        let of = [(1.0, 10.0), (2.0, 20.0), (INF, 40.0)];
        let cases = [
            (-INF, 1.0, 0.25),
            (0.0, 1.5, 0.375),
            (1.0, 2.0, 0.25),
            (-INF, INF, 1.0),
            (2.0, 1.0, 0.0),
        ];
        for (lower, upper, expected) in cases {
            let got = fraction(lower, upper, &mut buckets(&of));
            assert_eq!(got, expected, "{lower} to {upper}");
        }
    }
}
