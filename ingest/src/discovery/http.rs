//! Targets that a server lists: `http_sd_configs`.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use kymo_storage::compat::quote::quote;

use super::config::HttpConfig;
use super::group::{self, Group, TargetGroup};
use super::source::Refresh;
use super::stats::SourceStats;
use crate::http::HttpClient;

const URL: &str = "__meta_url";

/// Largest list, unpacked: a million targets stay below it.
const MAX_BYTES: u64 = 256 << 20;

/// Asks a server for its list.
#[derive(Debug)]
pub(super) struct HttpTargets {
    url: String,
    client: HttpClient,
    headers: HeaderMap,
    timeout: Duration,
    /// How many groups the last list had.
    before: usize,
    stats: Arc<SourceStats>,
}

impl HttpTargets {
    /// Makes the source.
    ///
    /// # Errors
    /// The options of its HTTP client cannot be used.
    pub(super) fn new(config: &HttpConfig, stats: Arc<SourceStats>) -> Result<HttpTargets, String> {
        let client = HttpClient::new(&config.client).map_err(|error| error.to_string())?;
        let interval = config.refresh_interval.as_secs_f64().to_string();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Ok(interval) = HeaderValue::from_str(&interval) {
            let name = HeaderName::from_static("x-prometheus-refresh-interval-seconds");
            headers.insert(name, interval);
        }
        Ok(HttpTargets {
            url: config.url.clone(),
            client,
            headers,
            timeout: config.refresh_interval,
            before: 0,
            stats,
        })
    }

    async fn ask(&self) -> Result<Vec<TargetGroup>, String> {
        let (url, headers) = (&self.url, &self.headers);
        let answer = self.client.get(url, headers, self.timeout, MAX_BYTES).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            let status = &answer.status_text;
            return Err(format!("server returned HTTP status {status}"));
        }
        if !is_json(&answer.content_type) {
            let found = quote(&answer.content_type);
            return Err(format!("unsupported content type {found}"));
        }
        let reading = tokio::task::spawn_blocking(move || {
            let body = answer.into_body().map_err(|error| error.to_string())?;
            TargetGroup::read_json(&body)
        });
        reading.await.map_err(|error| error.to_string())?
    }
}

impl Refresh for HttpTargets {
    const MECHANISM: &'static str = "http";

    async fn refresh(&mut self) -> Result<Vec<Group>, String> {
        let listed = self.ask().await.inspect_err(|_| {
            SourceStats::bump(&self.stats.http_failures);
        })?;
        let before = std::mem::replace(&mut self.before, listed.len());
        Ok(group::numbered(&self.url, listed, before, URL))
    }
}

/// JSON, in UTF-8 where it says so.
fn is_json(content_type: &str) -> bool {
    let text = content_type.trim().to_ascii_lowercase();
    let Some(rest) = text.strip_prefix("application/json") else {
        return false;
    };
    match rest.strip_prefix(';') {
        None => rest.is_empty(),
        Some(rest) => matches!(rest.trim_start(), "charset=utf-8" | "charset=\"utf-8\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_a_list() {
        for (text, good) in [
            ("application/json", true),
            (" application/JSON; charset=UTF-8 ", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/json; charset=utf-8; x=y", false),
            ("application/jsonx", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(text), good, "{text}");
        }
    }
}
