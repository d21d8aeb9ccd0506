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
    visit(root, Above::default());
}

fn visit(node: &mut Node, above: Above) {
    match &mut node.kind {
        NodeKind::Number(_) | NodeKind::String(_) => {}
        NodeKind::Plus(inner) | NodeKind::Minus(inner) | NodeKind::Invariant(inner) => {
            visit(inner, above);
        }
        NodeKind::Binary(binary) => {
            let trims = matches!(binary.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
            let above = Above {
                buckets: above.buckets || trims,
                ..above
            };
            visit(&mut binary.lhs, above);
            visit(&mut binary.rhs, above);
        }
        NodeKind::Aggregate(aggregate) => {
            visit(&mut aggregate.expr, above);
            if let Some(param) = &mut aggregate.param {
                visit(param, above);
            }
        }
        NodeKind::Call(call) => {
            let stats = matches!(
                call.func,
                "histogram_count" | "histogram_sum" | "histogram_avg"
            );
            let buckets = matches!(
                call.func,
                "histogram_quantile" | "histogram_quantiles" | "histogram_fraction"
            );
            let above = Above {
                stats: above.stats || stats,
                buckets: above.buckets || buckets,
            };
            call.args.iter_mut().for_each(|arg| visit(arg, above));
        }
        NodeKind::Vector(selector) => selector.stats_only = above.stats && !above.buckets,
        NodeKind::Matrix(matrix) => {
            matrix.selector.stats_only = above.stats && !above.buckets;
        }
        NodeKind::Subquery(subquery) => {
            let above = Above {
                buckets: true,
                ..above
            };
            visit(&mut subquery.expr, above);
        }
    }
}

/// Leaves count and sum of the histograms of a series, and says of each whether the
/// counter began anew.
pub(crate) fn strip(samples: &mut SampleBuf) {
    let mut last: Option<Arc<FloatHistogram>> = None;
    for HistogramSample { histogram, .. } in &mut samples.histograms {
        let mut hint = histogram.counter_reset_hint;
        if !histogram.is_stale_marker() {
            if let Some(last) = last.replace(Arc::clone(histogram))
                && hint == CounterResetHint::Unknown
            {
                hint = match detect_reset(histogram, &last) {
                    true => CounterResetHint::Reset,
                    false => CounterResetHint::NotReset,
                };
            }
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
