//! `info()`: labels of info series joined to the series they describe.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use kymo_storage::model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use super::row::{Grid, Row, RowBuilder};
use super::selector::Answer;
use super::{Evaluator, Outcome};
use crate::error::QueryError;
use crate::promql::ast::Span;
use crate::promql::plan::{Edges, Node, NodeKind, Selector, Shift};

/// The labels by which info series are found.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

const TARGET_INFO: &str = "target_info";

impl Evaluator<'_> {
    /// Evaluates `info(vector, {matchers})`.
    pub(super) fn info(&mut self, args: &[Node], grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let shift = first_shift(&args[0]).unwrap_or_default();
        let (rows, annotations) = self.eval(&args[0], grid)?;
        let matchers = match args.get(1).map(|arg| &arg.kind) {
            Some(NodeKind::Vector(selector)) => selector.matchers.as_slice(),
            _ => &[],
        };
        let (names, data): (Vec<Matcher>, Vec<Matcher>) = matchers
            .iter()
            .cloned()
            .partition(|matcher| matcher.name() == METRIC_NAME);
        let names = info_names(names)?;
        let is_info = |row: &Row| {
            let name = row.labels.get(METRIC_NAME).unwrap_or("");
            names.iter().all(|matcher| matcher.matches(name))
        };
        let plain: Vec<&Row> = rows.iter().filter(|row| !is_info(row)).collect();
        let infos = self.info_series(&plain, &names, &data, shift, grid)?;
        let joined = Join::new(&infos, &data);
        let mut made = Vec::new();
        for row in &rows {
            self.check()?;
            if is_info(row) {
                made.push(row.clone());
            } else {
                made.extend(joined.enrich(row, grid)?);
            }
        }
        let made = self.settle(before, &[&rows, &infos], made, grid)?;
        Ok((made, annotations))
    }

    /// Selects the info series of the given rows: their values are the times of the
    /// samples in milliseconds.
    fn info_series(
        &mut self,
        rows: &[&Row],
        names: &[Matcher],
        data: &[Matcher],
        shift: Shift,
        grid: &Grid,
    ) -> Result<Vec<Row>, QueryError> {
        let mut matchers = Vec::new();
        for label in IDENTIFYING {
            let values: BTreeSet<String> = rows
                .iter()
                .filter_map(|row| row.labels.get(label))
                .map(escaped)
                .collect();
            if !values.is_empty() {
                let pattern = values.into_iter().collect::<Vec<_>>().join("|");
                matchers.push(matcher(MatchOp::Regex, label, &pattern)?);
            }
        }
        if matchers.is_empty() {
            return Ok(Vec::new());
        }
        matchers.extend_from_slice(data);
        matchers.extend_from_slice(names);
        let selector = Selector {
            matchers,
            shift,
            edges: Edges::Plain,
            stats_only: false,
        };
        let selector = (&selector, Span::default());
        let (infos, _) = self.selected(selector, Answer::TimestampMs, grid)?;
        match infos.iter().find(|row| row.histograms.is_some()) {
            None => Ok(infos),
            Some(_) => Err(QueryError::Execution(
                "info sample should be float".to_owned(),
            )),
        }
    }
}

/// Returns what an info metric must be called.
fn info_names(mut names: Vec<Matcher>) -> Result<Vec<Matcher>, QueryError> {
    if names.is_empty() {
        return Ok(vec![matcher(MatchOp::Equal, METRIC_NAME, TARGET_INFO)?]);
    }
    let positive = |m: &Matcher| matches!(m.op(), MatchOp::Equal | MatchOp::Regex);
    if !names.iter().any(positive) {
        names.insert(0, matcher(MatchOp::Regex, METRIC_NAME, ".+_info")?);
    }
    Ok(names)
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Result<Matcher, QueryError> {
    Matcher::new(op, name, value).map_err(|error| QueryError::Execution(error.to_string()))
}

/// Returns a pattern that matches a text alone, as Go's `regexp.QuoteMeta` does.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Returns when the first selector below a node looks at its data: offsets add up
/// outwards until a fixed time.
fn first_shift(node: &Node) -> Option<Shift> {
    let join = |inner: Shift, outer: Shift| match inner.at_ms {
        Some(_) => inner,
        None => Shift {
            offset_ms: inner.offset_ms + outer.offset_ms,
            at_ms: outer.at_ms,
        },
    };
    let mut waiting = vec![(node, Shift::default())];
    while let Some((node, outer)) = waiting.pop() {
        match &node.kind {
            NodeKind::Vector(selector) => return Some(join(selector.shift, outer)),
            NodeKind::Matrix(range) => return Some(join(range.selector.shift, outer)),
            NodeKind::Subquery(subquery) => {
                waiting.push((&subquery.expr, join(subquery.shift, outer)));
            }
            NodeKind::Plus(inner) | NodeKind::Minus(inner) | NodeKind::Invariant(inner) => {
                waiting.push((inner, outer));
            }
            NodeKind::Binary(binary) => {
                waiting.extend([(&binary.rhs, outer), (&binary.lhs, outer)]);
            }
            NodeKind::Aggregate(aggregate) => {
                waiting.extend(aggregate.param.iter().map(|param| (param, outer)));
                waiting.push((&aggregate.expr, outer));
            }
            NodeKind::Call(call) => {
                waiting.extend(call.args.iter().rev().map(|arg| (arg, outer)));
            }
            NodeKind::Number(_) | NodeKind::String(_) => {}
        }
    }
    None
}

/// Info series by name and identifying labels.
struct Join<'a> {
    data: &'a [Matcher],
    /// For each info metric: rows by the key of their identifying labels.
    metrics: BTreeMap<String, HashMap<Labels, Vec<&'a Row>>>,
}

impl<'a> Join<'a> {
    fn new(infos: &'a [Row], data: &'a [Matcher]) -> Join<'a> {
        let mut metrics: BTreeMap<String, HashMap<Labels, Vec<&'a Row>>> = BTreeMap::new();
        for info in infos {
            let name = info.labels.get(METRIC_NAME).unwrap_or("").to_owned();
            metrics
                .entry(name)
                .or_default()
                .entry(identity(&info.labels))
                .or_default()
                .push(info);
        }
        Join { data, metrics }
    }

    /// Returns the rows that a row becomes: one for each set of labels that it gets
    /// in the course of the steps.
    fn enrich(&self, row: &Row, grid: &Grid) -> Result<Vec<Row>, QueryError> {
        let identity = identity(&row.labels);
        let candidates: Vec<&Vec<&Row>> = self
            .metrics
            .values()
            .filter_map(|metric| metric.get(&identity))
            .collect();
        let mut made: Vec<(Labels, RowBuilder)> = Vec::new();
        let mut failure = None;
        row.for_each_element(|step, element| {
            if failure.is_some() {
                return;
            }
            match self.labels_at(row, &candidates, step) {
                Ok(Some(labels)) => {
                    let at = made
                        .iter()
                        .position(|(known, _)| *known == labels)
                        .unwrap_or_else(|| {
                            made.push((labels, RowBuilder::new(grid.steps)));
                            made.len() - 1
                        });
                    element.set(&mut made[at].1, step);
                }
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let rows = made.into_iter().filter_map(|(labels, mut builder)| {
            let mut made = builder.take(|| labels)?;
            made.drop_name = row.drop_name;
            Some(made)
        });
        Ok(rows.collect())
    }

    /// Returns the labels of an enriched series at a step, `None` where it goes.
    fn labels_at(
        &self,
        row: &Row,
        candidates: &[&Vec<&Row>],
        step: usize,
    ) -> Result<Option<Labels>, QueryError> {
        let mut added = LabelsBuilder::new();
        let mut found = false;
        for infos in candidates {
            let Some(info) = newest(infos, step)? else {
                continue;
            };
            found = true;
            for (name, value) in &info.labels {
                let asked = self.data.is_empty() || self.data.iter().any(|m| m.name() == name);
                if name == METRIC_NAME || !asked {
                    continue;
                }
                if added.get(name).is_some_and(|known| known != value) {
                    let text = format!("conflicting label: {name}");
                    return Err(QueryError::Execution(text));
                }
                if row.labels.get(name).is_none() {
                    added.set(name, value);
                }
            }
        }
        if !found && self.data.iter().any(|matcher| !matcher.matches_empty()) {
            return Ok(None);
        }
        let mut builder = LabelsBuilder::from_labels(&row.labels);
        for (name, value) in added.iter() {
            builder.set(name, value);
        }
        Ok(Some(builder.labels()))
    }
}

fn identity(labels: &Labels) -> Labels {
    Labels::from_sorted(labels.iter().filter(|(name, _)| IDENTIFYING.contains(name)))
}

/// Returns the info series with the newest sample at a step.
fn newest<'a>(infos: &[&'a Row], step: usize) -> Result<Option<&'a Row>, QueryError> {
    let mut newest: Option<(&Row, f64)> = None;
    for &info in infos {
        let Some(t_ms) = info.get(step) else {
            continue;
        };
        match newest {
            Some((known, known_ms)) if known_ms == t_ms => {
                return Err(QueryError::Execution(format!(
                    "found duplicate series for info metric: existing {} @ {known_ms}, new {} @ \
                     {t_ms}",
                    known.labels, info.labels
                )));
            }
            Some((_, known_ms)) if known_ms > t_ms => {}
            _ => newest = Some((info, t_ms)),
        }
    }
    Ok(newest.map(|(row, _)| row))
}
