//! Rules over logs: what they are, and changing them.
//!
//! Rules are read and written as YAML, a group at a time, in namespaces that are the files
//! of the configuration or those that clients name; the former can only be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::error::{LokiError, LokiResult};
use crate::api::call::Call;
use crate::api::routes::Admin;
use crate::app::App;
use crate::http::answer::json_response;
use crate::rules::{NamespaceError, Running, print_group, print_namespaces};

/// Bytes of a group in YAML.
const MAX_GROUP_BYTES: usize = 4 << 20;

impl From<NamespaceError> for LokiError {
    fn from(error: NamespaceError) -> LokiError {
        let status = match &error {
            NamespaceError::NoGroup | NamespaceError::NoNamespace => StatusCode::NOT_FOUND,
            NamespaceError::Invalid(_) | NamespaceError::ReadOnly { .. } => StatusCode::BAD_REQUEST,
            NamespaceError::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        LokiError::new(status, error.to_string()).with_line_end()
    }
}

/// `/loki/api/v1/rules`: all groups.
pub(crate) async fn all(call: Call) -> LokiResult {
    namespaces(&call.core()?.rules.log_namespaces())
}

/// `/loki/api/v1/rules/{namespace}`: the groups of one.
pub(crate) async fn namespace(Path(name): Path<String>, call: Call) -> LokiResult {
    let mut found = call.core()?.rules.log_namespaces();
    found.retain(|namespace, _| *namespace == name);
    namespaces(&found)
}

fn namespaces(found: &BTreeMap<String, Vec<Arc<Running>>>) -> LokiResult {
    if found.is_empty() {
        return Err(NamespaceError::NoNamespace.into());
    }
    let groups = found.iter().map(|(namespace, groups)| {
        let groups = groups.iter().map(|running| running.group().definition());
        (namespace.as_str(), groups.collect())
    });
    Ok(yaml(print_namespaces(groups)))
}

/// `/loki/api/v1/rules/{namespace}/{group}`: one group.
pub(crate) async fn group(Path((name, group)): Path<(String, String)>, call: Call) -> LokiResult {
    let found = call.core()?.rules.log_namespaces();
    let mut groups = found.get(&name).into_iter().flatten();
    let running = groups.find(|running| running.group().name() == group);
    let running = running.ok_or(NamespaceError::NoGroup)?;
    Ok(yaml(print_group(running.group().definition())))
}

/// Puts a group into a namespace.
pub(crate) async fn put(
    _admin: Admin,
    Path(name): Path<String>,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let put = async {
        let read = app.bodies.read(&headers, body, MAX_GROUP_BYTES).await;
        let read = read.map_err(|error| LokiError::bad(error.to_string()))?;
        let text = std::str::from_utf8(&read)
            .map_err(|_| LokiError::bad("the group of rules is not UTF-8"))?
            .to_owned();
        let core = app.core().map_err(|_| LokiError::internal("not ready"))?;
        core.rules.put_log_group(&name, text).await?;
        accepted()
    };
    put.await.into_response()
}

/// Deletes a namespace.
pub(crate) async fn delete_namespace(
    _admin: Admin,
    Path(name): Path<String>,
    call: Call,
) -> LokiResult {
    match call.core()?.rules.delete_log_namespace(&name).await {
        Ok(()) => accepted(),
        Err(NamespaceError::NoNamespace) => Err(LokiError::new(
            StatusCode::NOT_FOUND,
            "group namespace does not exist\n",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Deletes a group.
pub(crate) async fn delete_group(
    _admin: Admin,
    Path((name, group)): Path<(String, String)>,
    call: Call,
) -> LokiResult {
    match call.core()?.rules.delete_log_group(&name, &group).await {
        // Who wants a group gone has it.
        Ok(()) | Err(NamespaceError::NoGroup | NamespaceError::NoNamespace) => accepted(),
        Err(error) => Err(error.into()),
    }
}

fn accepted() -> LokiResult {
    let body = r#"{"status":"success","data":null,"errorType":"","error":""}"#;
    let mut response = json_response(Body::from(body));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

fn yaml(text: String) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/yaml"),
    );
    response
}
