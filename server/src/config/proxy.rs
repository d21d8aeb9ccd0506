//! Who stands between: the keys about proxies.

use kymo_ingest::http::{ProxyOptions, ProxyUrl, Secret};

use super::fields::{self, Fields, Problems};
use super::yaml::Node;

/// Takes the keys out of `fields`.
pub(super) fn take(fields: &mut Fields<'_>, problems: &mut Problems) -> ProxyOptions {
    let is_named = fields.take("proxy_url").is_some();
    let url = fields.parsed("proxy_url", problems, |text| match text {
        "" => Ok(None),
        text => ProxyUrl::parse(text).map(Some),
    });
    let headers = fields.take("proxy_connect_header");
    let options = ProxyOptions {
        url: url.flatten(),
        no_proxy: fields.string("no_proxy", problems),
        from_environment: fields.bool_or("proxy_from_environment", false, problems),
        connect_headers: headers.map_or_else(Vec::new, |node| connect_headers(node, problems)),
    };
    let has_url = fields
        .take("proxy_url")
        .is_some_and(|node| node.text() != Some(""));
    for (is_wrong, name, text) in [
        (
            !options.connect_headers.is_empty() && !options.from_environment && !has_url,
            "proxy_connect_header",
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        ),
        (
            options.from_environment && has_url,
            "proxy_from_environment",
            "if proxy_from_environment is configured, proxy_url must not be configured",
        ),
        (
            options.from_environment && !options.no_proxy.is_empty(),
            "proxy_from_environment",
            "if proxy_from_environment is configured, no_proxy must not be configured",
        ),
        (
            !is_named && !options.from_environment && !options.no_proxy.is_empty(),
            "no_proxy",
            "if no_proxy is configured, proxy_url must also be configured",
        ),
    ] {
        if is_wrong {
            problems.value(fields.position_of(name), text);
        }
    }
    options
}

fn connect_headers(node: &Node, problems: &mut Problems) -> Vec<(String, Vec<Secret>)> {
    let mut headers = Vec::new();
    for (at, name, values) in fields::pairs(node, "config.ProxyHeader", problems) {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.value(at, format!("{name:?} is not a valid header name"));
        }
        let values = fields::strings(values, problems);
        headers.push((name, values.into_iter().map(Secret::new).collect()));
    }
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    headers
}
