//! The calls as they were before there was a version: `/api/prom/...`.

use http::HeaderMap;
use kymo_query::logql::ast::{Expr, LineFilter, LineOp, LineOperand, Stage};
use kymo_query::logql::{LogValue, parse};

use super::answer::finished;
use super::error::{LokiError, LokiResult};
use super::query::{Asked, run};
use super::stats;
use super::tail::push_legacy_stream;
use crate::api::call::Call;
use crate::http::params::Params;

/// `/api/prom/query`: entries.
pub(crate) async fn query(headers: HeaderMap, call: Call) -> LokiResult {
    let expr = || match with_regexp(&call.params)? {
        Expr::Metric(_) => Err(LokiError::bad(
            "legacy endpoints only support streams result type",
        )),
        log => Ok(log),
    };
    let asked = Asked::range_of(&call, &headers, expr)?;
    let (result, cost) = run(&call, asked).await?;
    let mut out = b"{\"streams\":[".to_vec();
    if let LogValue::Streams(streams) = &result.value {
        for (i, stream) in streams.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_legacy_stream(&mut out, &stream.labels, &stream.entries);
        }
    }
    out.extend_from_slice(b"],\"stats\":");
    stats::push(&mut out, &cost);
    out.push(b'}');
    Ok(finished(out, Some(result.memory)))
}

/// Reads a query to which `regexp` adds what lines have to match.
pub(super) fn with_regexp(params: &Params) -> Result<Expr, LokiError> {
    let mut expr = parse(params.get("query"))?;
    let pattern = params.get("regexp");
    if pattern.is_empty() {
        return Ok(expr);
    }
    let Expr::Log(log) = &mut expr else {
        return Err(kymo_query::logql::LogQlError::OnlyEntries.into());
    };
    log.stages.push(Stage::LineFilter(LineFilter {
        op: LineOp::Matches,
        operands: vec![LineOperand::Text(pattern.to_owned())],
    }));
    // As it would be written, so that it is checked as all others are.
    Ok(parse(&expr.to_string())?)
}
