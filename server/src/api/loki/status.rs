//! What is running, and with which limits.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kymo_storage::StorageError;
use kymo_storage::compat::duration::format_prometheus;
use serde_json::{Value, json};

use super::answer;
use super::error::LokiResult;
use crate::api::call::Call;
use crate::app::App;
use crate::http::error::plain;
use crate::observe::build;

/// The version of Loki whose behaviour is followed. Clients decide by it what they may ask.
const LOKI_VERSION: &str = "3.8.0";

/// `/loki/api/v1/status/buildinfo`
pub(crate) async fn buildinfo(_call: Call) -> LokiResult {
    plain_json(&build::info().of_version(LOKI_VERSION))
}

/// `/loki/api/v1/drilldown-limits`
pub(crate) async fn drilldown_limits(call: Call) -> LokiResult {
    plain_json(&json!({
        "limits": limits(&call.app),
        "pattern_ingester_enabled": true,
        "version": LOKI_VERSION,
    }))
}

/// Answers with JSON that says nothing of its characters, as these calls do.
pub(super) fn plain_json<T: serde::Serialize>(value: &T) -> LokiResult {
    let mut response = answer::bare(value)?;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// `/ready`: whether pushes and queries are taken.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.core() {
        Ok(core) => match core.logs.poisoned() {
            Some(reason) => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("Service Unavailable: {}", StorageError::Poisoned { reason }),
            ),
            None => plain(StatusCode::OK, "ready"),
        },
        Err(not_ready) => not_ready.into_response(),
    }
}

/// `/config/tenant/v1/limits`: the same as YAML.
pub(crate) async fn tenant_limits(call: Call) -> Response {
    let mut text = String::new();
    if let Value::Object(limits) = limits(&call.app) {
        // A value of JSON is one of YAML, too.
        text.extend(
            limits
                .iter()
                .map(|(name, value)| format!("{name}: {value}\n")),
        );
    }
    let mut response = text.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/yaml; charset=utf-8"),
    );
    response
}

fn limits(app: &App) -> Value {
    let flags = &app.flags.log_queries;
    let pushed = &app.config.current().logs.limits;
    let text = |limit: std::time::Duration| {
        format_prometheus(i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX))
    };
    let kept = app.config.current().logs.retention;
    let kept = kept.unwrap_or(app.flags.logs.logs_retention_time);
    json!({
        "discover_log_levels": pushed.discover_log_levels,
        "discover_service_name": pushed.discover_service_name,
        "log_level_fields": pushed.log_level_fields,
        "max_entries_limit_per_query": flags.max_entries,
        "max_line_size_truncate": pushed.max_line_size_truncate,
        "max_query_bytes_read": "0B",
        "max_query_length": text(flags.max_length),
        "max_query_lookback": text(flags.max_lookback),
        "max_query_range": text(flags.max_window),
        "max_query_series": flags.max_log_series,
        "metric_aggregation_enabled": false,
        "otlp_config": {},
        "pattern_persistence_enabled": false,
        "query_timeout": text(app.flags.query.timeout),
        "retention_period": text(kept),
        "volume_enabled": true,
        "volume_max_series": flags.max_volume_series,
    })
}
