//! Selectors of whose histograms only count and sum matter.
//!
//! Prometheus reads them without buckets and tells resets while reading, so that their
//! hints are known: two histograms of a sum may then contradict each other where the
//! hints of whole histograms would not. A subquery on the way would need the buckets to
//! tell resets between its steps, quantiles and trims need them anyway.

use std::sync::Arc;

use kymo_storage::model::histogram::{CounterResetHint, FloatHistogram};

use super::ast::BinaryOp;
use super::plan::{Node, NodeKind};
use crate::histogram::detect_reset;
use crate::source::{HistogramSample, SampleBuf};

/// What stands above a node.
#[derive(Clone, Copy, Default)]
struct Above {
    stats: bool,
    buckets: bool,
}

/// Marks the selectors of a plan.
pub(crate) fn mark(root: &mut Node) {
    // A list and no recursion: a plan may be deeper than the stack.
    let mut open = vec![(root, Above::default())];
    while let Some((node, mut above)) = open.pop() {
        match &mut node.kind {
            NodeKind::Number(_) | NodeKind::String(_) => {}
            NodeKind::Plus(inner) | NodeKind::Minus(inner) | NodeKind::Invariant(inner) => {
                open.push((inner, above));
            }
            NodeKind::Binary(binary) => {
                let op = binary.op;
                above.buckets |= matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
                open.push((&mut binary.lhs, above));
                open.push((&mut binary.rhs, above));
            }
            NodeKind::Aggregate(aggregate) => {
                open.push((&mut aggregate.expr, above));
                open.extend(aggregate.param.as_mut().map(|param| (param, above)));
            }
            NodeKind::Call(call) => {
                match call.func {
                    "histogram_count" | "histogram_sum" | "histogram_avg" => above.stats = true,
                    "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                        above.buckets = true;
                    }
                    _ => {}
                }
                open.extend(call.args.iter_mut().map(|arg| (arg, above)));
            }
            NodeKind::Vector(selector) => selector.stats_only = above.stats && !above.buckets,
            NodeKind::Matrix(matrix) => {
                matrix.selector.stats_only = above.stats && !above.buckets;
            }
            NodeKind::Subquery(subquery) => {
                above.buckets = true;
                open.push((&mut subquery.expr, above));
            }
        }
    }
}

/// Leaves count and sum of the histograms of a series, and says of each whether the
/// counter began anew.
pub(crate) fn strip(samples: &mut SampleBuf) {
    let mut last: Option<Arc<FloatHistogram>> = None;
    for HistogramSample { histogram, .. } in &mut samples.histograms {
        let mut hint = histogram.counter_reset_hint;
        if !histogram.is_stale_marker()
            && let Some(last) = last.replace(Arc::clone(histogram))
            && hint == CounterResetHint::Unknown
        {
            hint = match detect_reset(histogram, &last) {
                true => CounterResetHint::Reset,
                false => CounterResetHint::NotReset,
            };
        }
        *histogram = Arc::new(FloatHistogram {
            counter_reset_hint: hint,
            schema: histogram.schema,
            count: histogram.count,
            sum: histogram.sum,
            ..FloatHistogram::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::features::Features;
    use crate::promql::parse_expr;
    use crate::promql::plan::{Bounds, Plan};

    #[track_caller]
    fn check(query: &str, expected: &[bool]) {
        let expr = parse_expr(query, &Features::ALL).unwrap();
        let bounds = Bounds {
            start_ms: 0,
            end_ms: 0,
            step_ms: 0,
        };
        let plan = Plan::new(&expr, bounds).unwrap();
        let (mut open, mut found) = (vec![&plan.root], Vec::new());
        while let Some(node) = open.pop() {
            match &node.kind {
                NodeKind::Vector(selector) => found.push(selector.stats_only),
                NodeKind::Matrix(matrix) => found.push(matrix.selector.stats_only),
                NodeKind::Plus(inner) | NodeKind::Minus(inner) | NodeKind::Invariant(inner) => {
                    open.push(inner);
                }
                NodeKind::Binary(binary) => open.extend([&binary.rhs, &binary.lhs]),
                NodeKind::Aggregate(aggregate) => open.push(&aggregate.expr),
                NodeKind::Call(call) => open.extend(call.args.iter().rev()),
                NodeKind::Subquery(subquery) => open.push(&subquery.expr),
                NodeKind::Number(_) | NodeKind::String(_) => {}
            }
        }
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn buckets_are_left_out_where_nobody_looks_at_them() {
        check("h", &[false]);
        check("histogram_count(sum(rate(h[5m])))", &[true]);
        check(
            "histogram_sum(h) / histogram_quantile(0.5, h)",
            &[true, false],
        );
        check(
            "histogram_quantile(scalar(histogram_count(h)), g)",
            &[false, false],
        );
        check("histogram_avg(rate(h[5m:1m]))", &[false]);
        check("histogram_count(h </ 5)", &[false]);
        check("histogram_count(h offset 5m) + h", &[true, false]);
    }

    #[test]
    fn resets_are_told_from_the_buckets_that_go() {
        use kymo_storage::model::histogram::Buckets;
        let mut samples = SampleBuf::default();
        for (t_ms, counts) in [(0, [1.0, 2.0]), (1, [2.0, 2.0]), (2, [5.0, 1.0])] {
            let histogram = FloatHistogram {
                count: 5.0 + t_ms as f64,
                sum: 1.5,
                positive: Buckets::from_layout([0, 1].into(), counts.to_vec()).unwrap(),
                ..FloatHistogram::default()
            };
            samples.histograms.push(HistogramSample {
                t_ms,
                start_ms: 0,
                histogram: Arc::new(histogram),
            });
        }
        strip(&mut samples);
        let stripped = samples.histograms.iter().map(|sample| &sample.histogram);
        use CounterResetHint::{NotReset, Reset, Unknown};
        let hints: Vec<_> = stripped.clone().map(|h| h.counter_reset_hint).collect();
        assert_eq!(hints, [Unknown, NotReset, Reset]);
        assert!(
            stripped
                .clone()
                .all(|h| h.positive.is_empty() && h.sum == 1.5)
        );
        assert_eq!(stripped.map(|h| h.count).sum::<f64>(), 18.0);
    }
}
