//! `loki_push_api`: where a job is pushed to. Of the section `server` counts what says where
//! and with which certificates; this listener has the limits of the server's own one.

use std::path::Path;

use kymo_ingest::http::{PemSource, SecretSource, TlsOptions};
use kymo_ingest::tail::PushConfig;

use super::super::fields::{Fields, Problems};
use super::super::yaml::Node;
use super::labels;

/// Keys of Promtail's `server` that have no effect.
const WITHOUT_EFFECT: [&str; 14] = [
    "graceful_shutdown_timeout",
    "grpc_listen_address",
    "grpc_listen_port",
    "grpc_server_max_concurrent_streams",
    "grpc_server_max_recv_msg_size",
    "grpc_server_max_send_msg_size",
    "http_listen_network",
    "http_server_idle_timeout",
    "http_server_read_timeout",
    "http_server_write_timeout",
    "log_format",
    "log_level",
    "register_instrumentation",
    "reload",
];

pub(super) fn read(node: &Node, dir: &Path, problems: &mut Problems) -> PushConfig {
    let mut fields = Fields::open(node, "scrapeconfig.PushTargetConfig", problems);
    let (address, tls) = match fields.take("server") {
        Some(node) => server(node, dir, problems),
        None => {
            problems.value(node.at, NO_PORT);
            (String::new(), None)
        }
    };
    let config = PushConfig {
        listen_address: address,
        tls,
        labels: labels(&mut fields, problems),
        use_incoming_timestamp: fields.bool_or("use_incoming_timestamp", false, problems),
    };
    fields.finish(problems);
    config
}

const NO_PORT: &str = "loki_push_api needs server with a http_listen_port, such as 3500";

fn server(node: &Node, dir: &Path, problems: &mut Problems) -> (String, Option<TlsOptions>) {
    let mut fields = Fields::open(node, "server.Config", problems);
    for name in WITHOUT_EFFECT {
        let _without_effect = fields.take(name);
    }
    let remedy = "push to the path without it";
    fields.unsupported(&["http_path_prefix"], remedy, problems);
    let host = fields.string("http_listen_address", problems);
    let before = problems.len();
    let port = fields.parsed("http_listen_port", problems, |text| {
        let port = text.parse::<u16>();
        port.map_err(|_| format!("\"{text}\" is no port"))
    });
    // One that is no number was told.
    if port.is_none() && problems.len() == before {
        problems.value(node.at, NO_PORT);
    }
    let tls = fields.take("http_tls_config");
    let tls = tls.and_then(|node| tls_options(node, dir, problems));
    fields.finish(problems);
    let port = port.unwrap_or(0);
    let address = match host.as_str() {
        // Promtail listens on all interfaces then; here nothing is open that was not asked for.
        "" => format!("127.0.0.1:{port}"),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    };
    (address, tls)
}

/// Reads what is called as in the configuration of a Prometheus' listener.
fn tls_options(node: &Node, dir: &Path, problems: &mut Problems) -> Option<TlsOptions> {
    let mut fields = Fields::open(node, "web.TLSConfig", problems);
    let mut file = |name: &'static str, problems: &mut Problems| {
        let path = fields.string(name, problems);
        (!path.is_empty()).then(|| dir.join(path))
    };
    let cert = file("cert_file", problems);
    let key = file("key_file", problems);
    let ca = file("client_ca_file", problems);
    let auth = fields.string("client_auth_type", problems);
    let auth_at = fields.position_of("client_auth_type");
    fields.finish(problems);
    match (auth.as_str(), ca.is_some()) {
        ("" | "NoClientCert", false) | ("RequireAndVerifyClientCert", true) => {}
        _ => problems.value(
            auth_at,
            "client_ca_file goes with client_auth_type: RequireAndVerifyClientCert, and other \
             types are not supported here",
        ),
    }
    if cert.is_none() && key.is_none() && ca.is_none() {
        return None;
    }
    if cert.is_none() || key.is_none() {
        problems.value(node.at, "certificate and key files are required");
    }
    Some(TlsOptions {
        ca: ca.map(PemSource::File),
        cert: cert.map(PemSource::File),
        key: key.map(SecretSource::File),
        ..TlsOptions::default()
    })
}
