//! The configuration in force, as text.

use serde::Serialize;

use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;

#[derive(Serialize)]
struct Yaml {
    yaml: String,
}

/// `/api/v1/status/config`: all of it, defaults filled in, secrets hidden.
pub(crate) async fn config(call: Call) -> ApiResult {
    let app = &call.app;
    Answer::value(&Yaml {
        yaml: app.config.current().yaml(&app.retention()),
    })
}

/// `/api/v1/scrape_pools/config`: one job of it.
pub(crate) async fn scrape_pool(call: Call) -> ApiResult {
    let name = match call.params.get("scrapePool") {
        "" => return Err(ApiError::bad_data("no scrapePool parameter provided")),
        name => name,
    };
    match call.app.config.current().job_yaml(name) {
        Some(yaml) => Answer::value(&Yaml { yaml }),
        None => {
            let quoted = kymo_storage::compat::quote::quote(name);
            Err(ApiError::bad_data(format!(
                "error retrieving scrape config: scrape pool {quoted} not found"
            )))
        }
    }
}
