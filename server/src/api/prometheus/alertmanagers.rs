//! `/api/v1/alertmanagers`: where alerts are sent.

use serde::Serialize;

use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alertmanagers {
    active_alertmanagers: Vec<Alertmanager>,
    dropped_alertmanagers: Vec<Alertmanager>,
}

#[derive(Serialize)]
struct Alertmanager {
    url: String,
}

/// Answers with the URLs that alerts are posted to, and with those that relabelling
/// dropped.
pub(crate) async fn alertmanagers(call: Call) -> ApiResult {
    let listed = call.core()?.notifier.alertmanagers();
    let entries = |urls: Vec<String>| urls.into_iter().map(|url| Alertmanager { url }).collect();
    Answer::value(&Alertmanagers {
        active_alertmanagers: entries(listed.active),
        dropped_alertmanagers: entries(listed.dropped),
    })
}
