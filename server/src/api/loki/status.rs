//! What is running, and with which limits.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use kymo_storage::compat::duration::format_prometheus;
use serde_json::{Value, json};

use super::answer;
use super::error::LokiResult;
use crate::api::call::Call;
use crate::app::App;
use crate::observe::build;

/// The version of Loki whose behaviour is followed. Clients decide by it what they may ask.
const LOKI_VERSION: &str = "3.8.0";

/// `/loki/api/v1/status/buildinfo`
pub(crate) async fn buildinfo(_call: Call) -> LokiResult {
    let mut info = serde_json::to_value(build::info()).unwrap_or_default();
    info["version"] = json!(LOKI_VERSION);
    answer::bare(&info)
}

/// `/loki/api/v1/drilldown-limits`
pub(crate) async fn drilldown_limits(call: Call) -> LokiResult {
    answer::bare(&json!({
        "limits": limits(&call.app),
        "pattern_ingester_enabled": true,
        "version": LOKI_VERSION,
    }))
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
