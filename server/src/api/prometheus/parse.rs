//! Calls that read a query without evaluating it.

use kymo_query::promql::ast::Expr;
use kymo_query::promql::{expr_json, parse_expr, pretty};

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

fn parsed(call: &Call) -> Result<Expr, ApiError> {
    let features = call.app.flags.promql_features();
    parse_expr(call.params.get("query"), &features)
        .map_err(|error| ApiError::parameter("query", error))
}
