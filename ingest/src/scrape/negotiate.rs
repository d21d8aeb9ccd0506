//! What a scrape asks for: formats in order of preference, packing, time left.

use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use kymo_storage::compat::float;

use super::config::{ScrapeConfig, ScrapeProtocol};
use crate::exposition::Format;

const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Returns the headers of a job's requests.
pub(super) fn headers(config: &ScrapeConfig, timeout: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let seconds = float::f(timeout.as_secs_f64());
    let pairs = [
        (ACCEPT, accept(config)),
        (
            ACCEPT_ENCODING,
            if config.compression {
                "gzip"
            } else {
                "identity"
            }
            .to_owned(),
        ),
        (TIMEOUT_HEADER, seconds),
    ];
    for (name, value) in pairs {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Returns the format to read an answer in that does not name one.
pub(super) fn fallback(config: &ScrapeConfig) -> Option<Format> {
    config.fallback_protocol.map(|protocol| match protocol {
        ScrapeProtocol::PrometheusProto => Format::Protobuf,
        ScrapeProtocol::PrometheusText004 | ScrapeProtocol::PrometheusText100 => Format::Text,
        ScrapeProtocol::OpenMetricsText001 | ScrapeProtocol::OpenMetricsText100 => {
            Format::OpenMetrics
        }
    })
}

/// Weights fall by a tenth from one more than there are formats, as in Prometheus.
fn accept(config: &ScrapeConfig) -> String {
    let mut weight = ScrapeProtocol::ALL.len() + 1;
    let mut out = String::new();
    for protocol in &config.protocols {
        out.push_str(protocol.media_type());
        if protocol.has_escaping() {
            out.push_str(";escaping=");
            out.push_str(config.name_escaping.as_str());
        }
        out.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    out.push_str(&format!("*/*;q=0.{weight}"));
    out
}

#[cfg(test)]
mod tests {
    use kymo_storage::compat::name::EscapingScheme;

    use super::*;

    #[test]
    fn the_headers_are_those_of_prometheus() {
        let timeout = Duration::from_millis(1_500);
        let config = ScrapeConfig::new("a", Duration::from_secs(15), timeout);
        let headers = headers(&config, timeout);
        assert_eq!(
            headers[ACCEPT],
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
             */*;q=0.2"
        );
        assert_eq!(headers[ACCEPT_ENCODING], "gzip");
        assert_eq!(headers[TIMEOUT_HEADER], "1.5");
    }

    #[test]
    fn formats_are_asked_for_in_the_order_of_the_job() {
        let mut config = ScrapeConfig::new("a", Duration::from_secs(15), Duration::from_secs(1));
        config.protocols = vec![
            ScrapeProtocol::PrometheusProto,
            ScrapeProtocol::PrometheusText100,
            ScrapeProtocol::PrometheusText004,
        ];
        config.name_escaping = EscapingScheme::Dots;
        config.compression = false;
        let headers = headers(&config, Duration::from_secs(10));
        assert_eq!(
            headers[ACCEPT],
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.6,text/plain;version=1.0.0;escaping=dots;q=0.5,\
             text/plain;version=0.0.4;q=0.4,*/*;q=0.3"
        );
        assert_eq!(headers[ACCEPT_ENCODING], "identity");
        assert_eq!(headers[TIMEOUT_HEADER], "10");
    }
}
