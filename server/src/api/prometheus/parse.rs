//! Calls that read a query without evaluating it.

use std::sync::Arc;

use kymo_query::promql::ast::Expr;
use kymo_query::promql::{Features, expr_json, parse_expr, pretty, pretty_len};

use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;
use crate::http::json::{self, Escape};

/// Longest text of a formatted query, in bytes. A query is far shorter, but each level of
/// depth indents all lines within it: ten thousand parentheses make 200 million bytes.
const MAX_FORMATTED_BYTES: usize = 256 << 20;

/// `/api/v1/format_query`: the query in its canonical form, over several lines
/// where it is long.
pub(crate) async fn format_query(call: Call) -> ApiResult {
    let memory = Arc::clone(&call.app.memory);
    with_tree(call, move |expr| {
        let bytes = pretty_len(expr);
        if bytes > MAX_FORMATTED_BYTES {
            return Err(ApiError::parameter(
                "query",
                format!(
                    "query is nested too deeply to be formatted: its lines would take {bytes} \
                     bytes, at most {MAX_FORMATTED_BYTES} are allowed"
                ),
            ));
        }
        let memory = memory.for_answer(bytes).ok_or_else(ApiError::no_memory)?;
        let mut data = Vec::with_capacity(bytes);
        json::push_string(&mut data, &pretty(expr), Escape::Html);
        Ok(Answer::json(data).holding(memory))
    })
    .await
}

/// `/api/v1/parse_query`: the query's tree.
pub(crate) async fn parse_query(call: Call) -> ApiResult {
    let memory = Arc::clone(&call.app.memory);
    with_tree(call, move |expr| {
        let text = expr_json(expr);
        let memory = memory.for_answer(text.len());
        let memory = memory.ok_or_else(ApiError::no_memory)?;
        Ok(Answer::json(json::escape_html(text.as_bytes())).holding(memory))
    })
    .await
}

/// Answers from a query's tree, which may be too deep for a connection's thread.
async fn with_tree(
    call: Call,
    answer: impl FnOnce(&Expr) -> ApiResult + Send + 'static,
) -> ApiResult {
    let features: Features = call.app.flags.promql_features();
    let query = call.params.get("query").to_owned();
    call.lookup(move || {
        Ok(match parse_expr(&query, &features) {
            Ok(expr) => answer(&expr),
            Err(error) => Err(ApiError::parameter("query", error)),
        })
    })
    .await?
}
