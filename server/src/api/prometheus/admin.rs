//! Calls for administrators. They are off unless `--web.enable-admin-api` is given,
//! and what they ask for is not there yet.

use crate::api::call::Call;
use crate::http::answer::ApiResult;
use crate::http::error::{ApiError, ErrorKind};

/// `/api/v1/admin/tsdb/delete_series`
pub(crate) async fn delete_series(call: Call) -> ApiResult {
    refuse(&call, "deleting series")
}

/// `/api/v1/admin/tsdb/clean_tombstones`
pub(crate) async fn clean_tombstones(call: Call) -> ApiResult {
    refuse(&call, "deleting series")
}

/// `/api/v1/admin/tsdb/snapshot`
pub(crate) async fn snapshot(call: Call) -> ApiResult {
    refuse(&call, "taking a snapshot")
}

fn refuse(call: &Call, what: &str) -> ApiResult {
    let message = if call.app.flags.enable_admin_api {
        format!("{what} is not supported yet")
    } else {
        "admin APIs disabled".to_owned()
    };
    Err(ApiError::new(ErrorKind::Unavailable, message))
}
