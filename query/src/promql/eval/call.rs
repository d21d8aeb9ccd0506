//! Function calls: which operator does what.

use kymo_storage::model::Labels;

use super::elementwise::{self, Math};
use super::labels;
use super::order::{Direction, sort_by_label, sort_by_value};
use super::row::{Bits, Grid, Row, RowBuilder};
use super::selector::Answer;
use super::{Evaluator, Outcome, counts_per_step};
use crate::error::QueryError;
use crate::promql::annotations::Annotations;
use crate::promql::ast::Span;
use crate::promql::plan::{Call, Edges, Node, NodeKind, Selector, Shift, go_max, go_min};
use crate::promql::time::{Civil, seconds_of};

impl Evaluator<'_> {
    /// Evaluates a function call.
    pub(super) fn call(&mut self, call: &Call, span: Span, grid: &Grid) -> Outcome {
        if let Some(at) = call.args.iter().position(Node::is_matrix) {
            return self.range_function(call, at, grid);
        }
        let args = call.args.as_slice();
        match (call.func, args) {
            ("label_replace", _) => self.label_replace(args, grid),
            ("label_join", _) => self.label_join(args, grid),
            ("info", _) => self.info(args, grid),
            ("histogram_quantile" | "histogram_quantiles" | "histogram_fraction", _) => {
                self.histogram_estimate(call, grid)
            }
            ("timestamp", [arg]) => self.timestamp(arg, grid),
            ("start_timestamp", [arg]) => self.start_timestamp(arg, grid),
            ("sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc", _) => {
                self.sort(call, span, grid)
            }
            ("absent", [arg]) => self.absent(arg, grid),
            ("scalar", [arg]) => self.scalar(arg, grid),
            ("vector", [arg]) => {
                let before = self.budget.held();
                let (rows, annotations) = self.eval(arg, grid)?;
                let gathered = counts_per_step(&[&rows], grid.steps);
                let made = self.settle_counted(before, &gathered, rows, grid)?;
                Ok((made, annotations))
            }
            ("time", []) => self.generated(grid, |t_ms| t_ms as f64 / 1000.0),
            ("pi", []) => self.generated(grid, |_| std::f64::consts::PI),
            ("max_of", [a, b]) => self.two_scalars(a, b, go_max, grid),
            ("min_of", [a, b]) => self.two_scalars(a, b, go_min, grid),
            ("clamp" | "clamp_min" | "clamp_max", [vector, ..]) => {
                self.clamp(call.func, vector, &args[1..], grid)
            }
            ("round", [vector, to @ ..]) => self.round(vector, to.first(), grid),
            (func, _) if elementwise::date_part(func).is_some() => self.date(func, args, grid),
            (
                "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev"
                | "histogram_stdvar",
                [vector],
            ) => self.native_function(call.func, vector, grid),
            (func, [vector]) => match elementwise::math(func) {
                Some(math) => self.math(math, vector, grid),
                None => Err(unsupported(func)),
            },
            (func, _) => Err(unsupported(func)),
        }
    }

    fn generated(&mut self, grid: &Grid, value: impl Fn(i64) -> f64) -> Outcome {
        let values = (0..grid.steps).map(|step| value(grid.time(step)));
        self.budget.hold(grid.steps)?;
        let row = Row::full(Labels::empty(), values);
        self.budget.hold_bytes(row.memory_bytes())?;
        Ok((vec![row], Annotations::default()))
    }

    fn two_scalars(
        &mut self,
        a: &Node,
        b: &Node,
        choose: impl Fn(f64, f64) -> f64,
        grid: &Grid,
    ) -> Outcome {
        let before = self.budget.held();
        let (a, mut annotations) = self.eval(a, grid)?;
        let (b, notes) = self.eval(b, grid)?;
        annotations.merge(&notes);
        let values = (0..grid.steps).map(|step| choose(at(&a, step), at(&b, step)));
        let made = vec![Row::full(Labels::empty(), values)];
        let made = self.settle(before, &[&a, &b], made, grid)?;
        Ok((made, annotations))
    }

    /// Replaces every value of a vector, whose metric then means something else.
    fn each_value(
        &mut self,
        vector: &Node,
        params: &[Node],
        grid: &Grid,
        change: impl Fn(&[Vec<Row>], usize, f64) -> Option<f64>,
    ) -> Outcome {
        let before = self.budget.held();
        let (rows, mut annotations) = self.eval(vector, grid)?;
        let mut values = Vec::with_capacity(params.len());
        for param in params {
            let (rows, notes) = self.eval(param, grid)?;
            annotations.merge(&notes);
            values.push(rows);
        }
        let mut operands: Vec<&[Row]> = vec![&rows];
        operands.extend(values.iter().map(Vec::as_slice));
        let gathered = counts_per_step(&operands, grid.steps);
        let mut builder = RowBuilder::new(grid.steps);
        let mut made = Vec::with_capacity(rows.len());
        for row in rows {
            let changed = row.filter_map(&mut builder, |step, value| change(&values, step, value));
            if let Some(mut row) = changed {
                self.drop_metadata(&mut row);
                made.push(row);
            }
        }
        let made = self.settle_counted(before, &gathered, made, grid)?;
        Ok((made, annotations))
    }

    fn math(&mut self, math: Math, vector: &Node, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (rows, annotations) = self.eval(vector, grid)?;
        let gathered = counts_per_step(&[&rows], grid.steps);
        let mut made = Vec::with_capacity(rows.len());
        for mut row in rows {
            row.histograms = None;
            if row.has_values() {
                row.map(math);
                self.drop_metadata(&mut row);
                made.push(row);
            }
        }
        let made = self.settle_counted(before, &gathered, made, grid)?;
        Ok((made, annotations))
    }

    fn clamp(&mut self, func: &str, vector: &Node, limits: &[Node], grid: &Grid) -> Outcome {
        let infinity = f64::INFINITY;
        self.each_value(vector, limits, grid, |limits, step, value| {
            let limit = |index: usize| limits.get(index).map_or(f64::NAN, |rows| at(rows, step));
            let (min, max) = match func {
                "clamp_min" => (limit(0), infinity),
                "clamp_max" => (-infinity, limit(0)),
                _ => (limit(0), limit(1)),
            };
            let empty = max < min;
            (!empty).then(|| go_max(min, go_min(max, value)))
        })
    }

    fn round(&mut self, vector: &Node, to: Option<&Node>, grid: &Grid) -> Outcome {
        let params = to.map_or(&[][..], std::slice::from_ref);
        self.each_value(vector, params, grid, |to, step, value| {
            let to = to.first().map_or(1.0, |rows| at(rows, step));
            // Inverted, since that loses less than dividing.
            let inverse = 1.0 / to;
            Some((value * inverse + 0.5).floor() / inverse)
        })
    }

    fn date(&mut self, func: &str, args: &[Node], grid: &Grid) -> Outcome {
        let Some(part) = elementwise::date_part(func) else {
            return Err(unsupported(func));
        };
        match args.first() {
            None => self.generated(grid, |t_ms| {
                part(&Civil::from_unix(seconds_of(t_ms))) as f64
            }),
            Some(vector) => self.each_value(vector, &[], grid, |_, _, value| {
                Some(part(&Civil::from_unix(elementwise::go_int(value))) as f64)
            }),
        }
    }

    fn timestamp(&mut self, arg: &Node, grid: &Grid) -> Outcome {
        if let NodeKind::Vector(selector) = &arg.kind
            && selector.edges == Edges::Plain
        {
            let before = self.budget.held();
            let mut rows = self.timestamps(selector, arg.span, Answer::Timestamp, grid)?;
            rows.iter_mut().for_each(|row| self.drop_metadata(row));
            let rows = self.settle(before, &[], rows, grid)?;
            return Ok((rows, Annotations::default()));
        }
        let before = self.budget.held();
        let (rows, annotations) = self.eval(arg, grid)?;
        let mut builder = RowBuilder::new(grid.steps);
        let mut made = Vec::with_capacity(rows.len());
        for row in &rows {
            let time = |step: usize| grid.time(step) as f64 / 1000.0;
            row.for_each(|step, _| builder.set(step, time(step)));
            row.for_each_histogram(|step, _| builder.set(step, time(step)));
            if let Some(mut timed) = builder.take(|| row.labels.clone()) {
                timed.drop_name = row.drop_name;
                self.drop_metadata(&mut timed);
                made.push(timed);
            }
        }
        let made = self.settle(before, &[&rows], made, grid)?;
        Ok((made, annotations))
    }

    /// Answers since when the samples of a selector have counted. Of anything else that
    /// is lost.
    fn start_timestamp(&mut self, arg: &Node, grid: &Grid) -> Outcome {
        match &arg.kind {
            NodeKind::Vector(selector)
                if self.options.use_start_timestamps && selector.edges == Edges::Plain =>
            {
                let before = self.budget.held();
                let mut rows = self.timestamps(selector, arg.span, Answer::StartTime, grid)?;
                rows.iter_mut().for_each(|row| self.drop_metadata(row));
                let rows = self.settle(before, &[], rows, grid)?;
                Ok((rows, Annotations::default()))
            }
            _ => self.nothing_of(arg, grid),
        }
    }

    /// Evaluates a vector of which a function has nothing to answer.
    fn nothing_of(&mut self, vector: &Node, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (rows, annotations) = self.eval(vector, grid)?;
        let made = self.settle(before, &[&rows], Vec::new(), grid)?;
        Ok((made, annotations))
    }

    /// Returns when the selected samples were taken. Where both `@` and `offset` are
    /// given Prometheus looks back from the time alone, in samples that it has selected
    /// with the offset: what is seen is what both windows have.
    fn timestamps(
        &mut self,
        selector: &Selector,
        span: Span,
        answer: Answer,
        grid: &Grid,
    ) -> Result<Vec<Row>, QueryError> {
        let offset_ms = selector.shift.offset_ms;
        if selector.shift.at_ms.is_none() || offset_ms == 0 {
            return Ok(self.selected((selector, span), answer, grid)?.0);
        }
        let common = Selector {
            matchers: selector.matchers.clone(),
            shift: Shift {
                offset_ms: offset_ms.max(0),
                ..selector.shift
            },
            edges: selector.edges,
            stats_only: selector.stats_only,
        };
        let lookback_ms = self.lookback_ms;
        self.lookback_ms = lookback_ms
            .saturating_sub(offset_ms.saturating_abs())
            .max(0);
        let selected = self.selected((&common, span), answer, grid);
        self.lookback_ms = lookback_ms;
        Ok(selected?.0)
    }

    fn absent(&mut self, arg: &Node, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (rows, annotations) = self.eval(arg, grid)?;
        let mut present = Bits::new(grid.steps);
        rows.iter().for_each(|row| row.add_to(&mut present));
        let mut builder = RowBuilder::new(grid.steps);
        for step in 0..grid.steps {
            if !present.get(step) {
                builder.set(step, 1.0);
            }
        }
        let made = builder.take(|| labels::absent(arg)).into_iter().collect();
        let made = self.settle(before, &[&rows], made, grid)?;
        Ok((made, annotations))
    }

    fn scalar(&mut self, arg: &Node, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (rows, annotations) = self.eval(arg, grid)?;
        let mut found = vec![(0usize, f64::NAN); grid.steps];
        for row in &rows {
            row.for_each(|step, value| found[step] = (found[step].0 + 1, value));
        }
        let values = found
            .into_iter()
            .map(|(count, value)| if count == 1 { value } else { f64::NAN });
        let made = vec![Row::full(Labels::empty(), values)];
        let made = self.settle(before, &[&rows], made, grid)?;
        Ok((made, annotations))
    }

    fn sort(&mut self, call: &Call, span: Span, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (rows, notes) = self.eval(&call.args[0], grid)?;
        let mut annotations = Annotations::default();
        if !grid.is_instant() {
            let text = "sort is ineffective for range queries since results are always ordered \
                        by labels";
            annotations.warn(text.to_owned(), span);
        }
        annotations.merge(&notes);
        let names: Vec<&str> = call.args[1..].iter().filter_map(Node::string).collect();
        let mut made = match call.func {
            // Histograms have no rank.
            "sort" | "sort_desc" => rows.iter().filter_map(Row::only_values).collect(),
            _ => rows.clone(),
        };
        if grid.is_instant() {
            match call.func {
                "sort" => sort_by_value(&mut made, Direction::Ascending),
                "sort_desc" => sort_by_value(&mut made, Direction::Descending),
                "sort_by_label" => made = sort_by_label(made, &names, Direction::Ascending),
                _ => made = sort_by_label(made, &names, Direction::Descending),
            }
        }
        let made = self.settle(before, &[&rows], made, grid)?;
        Ok((made, annotations))
    }
}

/// Returns a scalar's value at a step.
fn at(rows: &[Row], step: usize) -> f64 {
    rows.first()
        .and_then(|row| row.get(step))
        .unwrap_or(f64::NAN)
}

fn unsupported(func: &str) -> QueryError {
    QueryError::Unsupported(format!("the function {func} is"))
}
