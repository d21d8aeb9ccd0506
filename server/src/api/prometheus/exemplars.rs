//! Examples of what the samples of a query counted.

use std::sync::Arc;

use kymo_query::promql::ast::{Expr, ExprKind};
use kymo_query::promql::parse_expr;
use kymo_storage::StorageError;
use kymo_storage::compat::{float, time};
use kymo_storage::metrics::SeriesExemplars;
use kymo_storage::model::{Exemplar, Matcher, TimeRange};

use super::bounds::time_or;
use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;
use crate::http::json::push_labels;

/// `/api/v1/query_exemplars`: exemplars of the series that a query selects.
pub(crate) async fn query_exemplars(call: Call) -> ApiResult {
    let start_ms = time_or(&call.params, "start", i64::MIN)?;
    let end_ms = time_or(&call.params, "end", i64::MAX)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let features = call.app.flags.promql_features();
    let expr = parse_expr(call.params.get("query"), &features)
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let mut sets = Vec::new();
    push_selectors(&expr, &mut sets);
    if sets.is_empty() {
        return Ok(Answer::nothing());
    }
    let range = TimeRange { start_ms, end_ms };
    let store = Arc::clone(&call.core()?.store);
    let memory = Arc::clone(&call.app.memory);
    let answer = call
        .lookup(move || {
            let found = store.exemplars(&sets, range);
            let memory = memory.for_answer(memory_bytes(&found));
            Ok::<_, StorageError>(memory.map(|memory| Answer::json(json(&found)).holding(memory)))
        })
        .await?;
    answer.ok_or_else(ApiError::no_memory)
}

/// Returns how many bytes exemplars take, about.
fn memory_bytes(found: &[SeriesExemplars]) -> usize {
    let each = |series: &SeriesExemplars| {
        let exemplars = series.exemplars.iter();
        let exemplars = exemplars.map(|e| e.labels.memory_bytes() + size_of::<Exemplar>());
        series.labels.memory_bytes() + exemplars.sum::<usize>()
    };
    found.iter().map(each).sum()
}

/// Adds the matchers of every selector of an expression.
fn push_selectors(expr: &Expr, sets: &mut Vec<Vec<Matcher>>) {
    expr.walk(&mut |part| match &part.kind {
        ExprKind::VectorSelector(selector) => sets.push(selector.matchers.clone()),
        ExprKind::MatrixSelector(matrix) => sets.push(matrix.selector.matchers.clone()),
        _ => {}
    });
}

fn json(found: &[SeriesExemplars]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (at, series) in found.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"seriesLabels\":");
        push_labels(&mut out, &series.labels);
        out.extend_from_slice(b",\"exemplars\":[");
        for (at, exemplar) in series.exemplars.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            push_exemplar(&mut out, exemplar);
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    out
}

fn push_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    out.extend_from_slice(b"{\"labels\":");
    push_labels(out, &exemplar.labels);
    out.extend_from_slice(b",\"value\":\"");
    float::push_api(out, exemplar.value);
    out.extend_from_slice(b"\",\"timestamp\":");
    time::push_api(out, exemplar.t_ms);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use kymo_query::promql::Features;
    use kymo_storage::model::Labels;

    use super::*;

    #[test]
    fn selectors_are_found_wherever_they_stand() {
        for (query, expected) in [
            ("1 + 2", vec![]),
            ("vector(time())", vec![]),
            ("-(up)", vec![r#"__name__="up""#]),
            ("topk(scalar(a), vector(1))", vec![r#"__name__="a""#]),
            (
                "b{c!=\"d\"} + sum(rate(a[5m]))",
                vec![r#"c!="d" __name__="b""#, r#"__name__="a""#],
            ),
            ("vector(1)[5m:1m]", vec![]),
            ("max_over_time(a[5m:1m])", vec![r#"__name__="a""#]),
        ] {
            let mut sets = Vec::new();
            push_selectors(&parse_expr(query, &Features::default()).unwrap(), &mut sets);
            let texts = sets.iter().map(|set| {
                let texts: Vec<String> = set.iter().map(ToString::to_string).collect();
                texts.join(" ")
            });
            assert_eq!(texts.collect::<Vec<_>>(), expected, "{query}");
        }
    }

    #[test]
    fn numbers_are_written_as_in_results() {
        let exemplar = |t_ms, value| Exemplar {
            labels: Labels::from_pairs([("trace_id", "<a>")]),
            value,
            t_ms,
            timed: true,
        };
        let found = [SeriesExemplars {
            labels: Labels::from_pairs([("__name__", "m")]),
            exemplars: vec![exemplar(1_500, 6.0), exemplar(-1, f64::INFINITY)],
        }];
        assert_eq!(
            String::from_utf8(json(&found)).unwrap(),
            r#"[{"seriesLabels":{"__name__":"m"},"exemplars":[{"labels":{"trace_id":"<a>"},"value":"6","timestamp":1.500},{"labels":{"trace_id":"<a>"},"value":"+Inf","timestamp":-0.001}]}]"#
        );
        assert_eq!(json(&[]), b"[]");
    }
}
