//! Calls that read a query without evaluating it.

use kymo_query::promql::ast::{Expr, ExprKind};
use kymo_query::promql::{expr_json, parse_expr, pretty};

use super::bounds::time_or;
use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;

/// `/api/v1/format_query`: the query in its canonical form, over several lines
/// where it is long.
pub(crate) async fn format_query(call: Call) -> ApiResult {
    Answer::value(&pretty(&parsed(&call)?))
}

/// `/api/v1/parse_query`: the query's tree.
pub(crate) async fn parse_query(call: Call) -> ApiResult {
    Answer::value(&expr_json(&parsed(&call)?))
}

/// `/api/v1/query_exemplars`: exemplars of the series that a query selects. None
/// are stored, so a query with selectors finds none.
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
    if has_selector(&expr) {
        Answer::value(&[(); 0])
    } else {
        Ok(Answer::nothing())
    }
}

fn parsed(call: &Call) -> Result<Expr, ApiError> {
    let features = call.app.flags.promql_features();
    parse_expr(call.params.get("query"), &features)
        .map_err(|error| ApiError::parameter("query", error))
}

fn has_selector(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => false,
        ExprKind::VectorSelector(_) | ExprKind::MatrixSelector(_) => true,
        ExprKind::Paren(inner) => has_selector(inner),
        ExprKind::Unary(unary) => has_selector(&unary.expr),
        ExprKind::Binary(binary) => has_selector(&binary.lhs) || has_selector(&binary.rhs),
        ExprKind::Aggregate(aggregate) => {
            has_selector(&aggregate.expr) || aggregate.param.as_ref().is_some_and(has_selector)
        }
        ExprKind::Call(call) => call.args.iter().any(has_selector),
        ExprKind::Subquery(subquery) => has_selector(&subquery.expr),
    }
}

#[cfg(test)]
mod tests {
    use kymo_query::promql::Features;

    use super::*;

    #[test]
    fn selectors_are_found_wherever_they_stand() {
        for (query, expected) in [
            ("1 + 2", false),
            ("vector(time())", false),
            ("-(up)", true),
            ("topk(scalar(a), vector(1))", true),
            ("1 + sum(rate(a[5m]))", true),
            ("vector(1)[5m:1m]", false),
        ] {
            let expr = parse_expr(query, &Features::default()).unwrap();
            assert_eq!(has_selector(&expr), expected, "{query}");
        }
    }
}
