//! Deleting entries: asking for it, listing what was asked for, taking it back.
//!
//! What is deleted is out of sight at once; its space is freed by and by. There is no time
//! to wait before, and a request that nothing was done for yet can be taken back.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode};
use kymo_storage::compat::float;
use kymo_storage::compat::time;
use kymo_storage::logs::{Cancelled, DeleteProgress, DeleteRequest, DeleteStatus};
use kymo_storage::model::NanoRange;
use serde_json::{Value, json};
use tracing::info;

use super::error::{LokiError, LokiResult};
use super::status::plain_json;
use super::{logs, lookup};
use crate::api::call::Call;
use crate::clock;
use crate::http::params::Params;
use crate::logs::filter;

const NS_PER_MS: i64 = 1_000_000;

/// `/loki/api/v1/delete`
pub(crate) async fn delete(method: Method, call: Call) -> LokiResult {
    if !call.app.flags.web.enable_admin_api {
        return Err(LokiError::new(
            StatusCode::NOT_FOUND,
            "deleting is switched off; start with --web.enable-admin-api",
        ));
    }
    let outcome = match method {
        Method::GET => list(&call).await,
        Method::DELETE => cancel(&call).await,
        _ => add(&call).await,
    };
    outcome.map_err(LokiError::with_line_end)
}

async fn add(call: &Call) -> LokiResult {
    let request = read(&call.params, clock::now_ms())?;
    info!(query = request.query, "entries are to be deleted");
    let store = logs(call)?;
    let number = lookup(call, move || store.delete(request)).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(id) = HeaderValue::from_str(&id(number)) {
        response.headers_mut().insert("x-delete-request-id", id);
    }
    Ok(response)
}

/// Reads what is to be deleted.
fn read(params: &Params, now_ms: i64) -> Result<DeleteRequest, LokiError> {
    let query = params.get("query");
    if query.is_empty() {
        return Err(LokiError::bad("query not set"));
    }
    let (matchers, filter) =
        filter::parse(query).map_err(|_| LokiError::bad("invalid query expression"))?;
    let start_ms = match params.get("start") {
        "" => return Err(LokiError::bad("start time not set")),
        text => time_ms(text).ok_or_else(|| wrong_time("start"))?,
    };
    let end_ms = match params.get("end") {
        "" => now_ms,
        text => time_ms(text).ok_or_else(|| wrong_time("end"))?,
    };
    if end_ms > now_ms {
        return Err(LokiError::bad("deletes in the future are not allowed"));
    }
    if start_ms >= end_ms {
        return Err(LokiError::bad(
            "start time can't be greater than or equal to end time",
        ));
    }
    Ok(DeleteRequest {
        matchers,
        range: NanoRange {
            start_ns: start_ms.saturating_mul(NS_PER_MS),
            // The millisecond of the end belongs to it.
            end_ns: end_ms.saturating_add(1).saturating_mul(NS_PER_MS),
        },
        query: query.to_owned(),
        filter,
        created_ns: now_ms.saturating_mul(NS_PER_MS),
    })
}

fn wrong_time(name: &str) -> LokiError {
    LokiError::bad(format!(
        "invalid {name} time: require unix seconds or RFC3339 format"
    ))
}

/// Reads a date, or ten digits of seconds.
fn time_ms(text: &str) -> Option<i64> {
    let is_seconds = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_seconds && (!text.contains('T') || float::parse(text).is_ok()) {
        return None;
    }
    time::parse_api(text).ok().map(time::Instant::ms)
}

async fn list(call: &Call) -> LokiResult {
    let store = logs(call)?;
    let found = lookup(call, move || Ok(store.deletions())).await?;
    let mut list: Vec<Value> = Vec::new();
    list.extend(found.iter().map(entry));
    plain_json(&list)
}

/// Returns a request as the list has it.
fn entry(status: &DeleteStatus) -> Value {
    let seconds = |ns: i64| json!(ns.div_euclid(NS_PER_MS) as f64 / 1000.0);
    let progress = match status.progress {
        DeleteProgress::Received => "received".to_owned(),
        DeleteProgress::Percent(percent) => format!("{percent}% Complete"),
        DeleteProgress::Processed => "processed".to_owned(),
        DeleteProgress::Failed => "failed".to_owned(),
    };
    json!({
        "request_id": id(status.number),
        "start_time": seconds(status.range.start_ns),
        "end_time": seconds(status.range.end_ns.saturating_sub(1)),
        "query": status.query,
        "status": progress,
        "created_at": seconds(status.created_ns),
        "user_id": "",
    })
}

/// Writes a number as Loki's are written: eight digits.
fn id(number: u64) -> String {
    format!("{number:08x}")
}

async fn cancel(call: &Call) -> LokiResult {
    let number = u64::from_str_radix(call.params.get("request_id"), 16);
    let force = call.params.get("force") == "true";
    let unknown = || {
        LokiError::new(
            StatusCode::NOT_FOUND,
            "could not find delete request with given id",
        )
    };
    let number = number.map_err(|_no_id| unknown())?;
    let store = logs(call)?;
    match lookup(call, move || store.cancel_deletion(number, force)).await? {
        Cancelled::Done => Ok(StatusCode::NO_CONTENT.into_response() as Response),
        Cancelled::Unknown => Err(unknown()),
        Cancelled::Processed => Err(LokiError::bad(
            "deletion of request which is in process or already processed is not allowed",
        )),
        _ => Err(LokiError::bad(
            "Cancellation of partially completed delete request is not allowed. \
             To force, use the ?force query parameter",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn request(query: &str) -> Result<DeleteRequest, LokiError> {
        read(&Params::decode(Some(query), None), NOW_MS)
    }

    #[test]
    fn a_request_has_a_query_and_times_in_the_past() {
        let query = "query=%7Ba%3D%22b%22%7D+%7C%3D+%22x%22";
        let read = request(&format!("{query}&start=1700000000&end=1700000001")).unwrap();
        assert_eq!(read.range.start_ns, 1_700_000_000_000_000_000);
        assert_eq!(read.range.end_ns, 1_700_000_001_001_000_000);
        assert!(read.filter.is_some());
        assert_eq!(read.query, r#"{a="b"} |= "x""#);
        let dated = request(&format!("{query}&start=2026-11-22T05:00:00Z")).unwrap();
        assert_eq!(dated.range.start_ns, 1_795_323_600_000_000_000);
        assert_eq!(dated.range.end_ns, (NOW_MS + 1) * NS_PER_MS);
        for (text, wrong) in [
            ("start=1700000000", "query not set"),
            ("query=x&start=1700000000", "invalid query expression"),
            (query, "start time not set"),
            (
                &format!("{query}&start=1700000000000"),
                "invalid start time: require unix seconds or RFC3339 format",
            ),
            (
                &format!("{query}&start=1700000000&end=x"),
                "invalid end time: require unix seconds or RFC3339 format",
            ),
            (
                &format!("{query}&start=1700000000&end=1800000001"),
                "deletes in the future are not allowed",
            ),
            (
                &format!("{query}&start=1700000001&end=1700000000"),
                "start time can't be greater than or equal to end time",
            ),
        ] {
            assert_eq!(request(text).unwrap_err(), LokiError::bad(wrong), "{text}");
        }
    }
}
