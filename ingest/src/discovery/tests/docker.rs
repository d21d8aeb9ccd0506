//! Containers of a small daemon, on a Unix socket and over TCP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use parking_lot::Mutex;

use super::super::{DockerConfig, DockerFilter};
use super::{Found, SourceConfig};
use crate::http::ClientOptions;
use crate::http::test_server::{Answered, TestServer, answer};

/// What a daemon says, and what it was asked.
#[derive(Default)]
struct Daemon {
    containers: String,
    networks: String,
    version: String,
    status: u16,
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Daemon>>;

fn daemon(containers: &str) -> Shared {
    Arc::new(Mutex::new(Daemon {
        containers: containers.to_owned(),
        networks: NETWORKS.to_owned(),
        version: "1.44".to_owned(),
        status: 200,
        asked: Vec::new(),
    }))
}

fn handler(daemon: &Shared) -> impl Fn(http::Request<Incoming>) -> Answered + use<> {
    let daemon = Arc::clone(daemon);
    move |request| {
        let mut daemon = daemon.lock();
        let uri = request.uri();
        daemon.asked.push(uri.path_and_query().unwrap().to_string());
        let prefix = match daemon.version.as_str() {
            "" => String::new(),
            version => format!("/v{version}"),
        };
        let json = [("content-type", "application/json")];
        let path = uri.path();
        if path == "/_ping" {
            let headers = [("api-version", daemon.version.as_str())];
            return answer(200, &headers, "OK");
        }
        match path.strip_prefix(&prefix) {
            Some("/containers/json") => answer(daemon.status, &json, daemon.containers.clone()),
            Some("/networks") => answer(200, &json, daemon.networks.clone()),
            _ => answer(404, &json, r#"{"message":"page not found"}"#),
        }
    }
}

fn at(host: &str) -> DockerConfig {
    DockerConfig {
        host: host.to_owned(),
        client: ClientOptions::default(),
        port: DockerConfig::DEFAULT_PORT,
        filters: Vec::new(),
        host_networking_host: "localhost".to_owned(),
        refresh_interval: Duration::from_millis(100),
        match_first_network: true,
    }
}

fn source(config: DockerConfig) -> SourceConfig {
    SourceConfig::Docker(Box::new(config))
}

const NETWORKS: &str = r#"[
  {"Id": "n1", "Name": "front", "Scope": "local", "Internal": false, "Ingress": true,
   "Labels": {"com.example/team": "web"}},
  {"Id": "n2", "Name": "back", "Scope": "global", "Internal": true, "Ingress": false, "Labels": null}
]"#;

/// One of each kind: two networks with two ports, one network without ports, the host's
/// network, the network of another container, none at all.
const CONTAINERS: &str = r#"[
  {"Id": "c1", "Names": ["/web", "/also"], "Image": "nginx:1", "ImageID": "sha256:1",
   "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
             {"PrivatePort": 443, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}],
   "Labels": {"prometheus-job": "web"}, "HostConfig": {"NetworkMode": "front"},
   "NetworkSettings": {"Networks": {
     "front": {"NetworkID": "n1", "IPAddress": "172.18.0.2", "GlobalIPv6Address": ""},
     "back": {"NetworkID": "n2", "IPAddress": "", "GlobalIPv6Address": "fd00::2"},
     "absent": null}}},
  {"Id": "c2", "Names": ["/quiet"], "Image": "", "ImageID": "", "Ports": null, "Labels": null,
   "HostConfig": {"NetworkMode": "front"},
   "NetworkSettings": {"Networks": {"front": {"NetworkID": "n1", "IPAddress": "172.18.0.3"}}}},
  {"Id": "c3", "Names": ["/host"], "HostConfig": {"NetworkMode": "host"},
   "NetworkSettings": {"Networks": {"host": {"NetworkID": "n9", "IPAddress": ""}}}},
  {"Id": "c4", "Names": ["/sidecar"], "HostConfig": {"NetworkMode": "container:c5"},
   "Ports": [], "NetworkSettings": {"Networks": {}}},
  {"Id": "c5", "Names": ["/between"], "HostConfig": {"NetworkMode": "container:c2"}},
  {"Id": "c6", "Names": ["/ring"], "HostConfig": {"NetworkMode": "container:c6"}},
  {"Id": "c7", "Names": [], "NetworkSettings": {"Networks": {"front": {"NetworkID": "n1"}}}}
]"#;

fn labels(found: &Found, address: &str) -> BTreeMap<String, String> {
    let groups = found.last["a"].iter();
    let targets = groups.flat_map(|group| group.targets.iter());
    let mut at = targets.filter(|t| t["__address__"] == address);
    at.next().unwrap().clone()
}

fn table(address: &str, metas: &[(&str, &str)]) -> BTreeMap<String, String> {
    let metas = metas.iter();
    let mut table: BTreeMap<_, _> = metas
        .map(|(name, value)| (format!("__meta_docker_{name}"), (*value).to_owned()))
        .collect();
    table.insert("__address__".to_owned(), address.to_owned());
    table
}

#[tokio::test]
async fn containers_on_a_socket_are_targets_with_all_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let daemon = daemon(CONTAINERS);
    TestServer::start_on_socket(&path, handler(&daemon));
    let mut config = at(&format!("unix://{}", path.display()));
    config.match_first_network = false;
    config.host_networking_host = "the-host".to_owned();
    let mut found = Found::new();
    found.run(source(config));
    found
        .wait_for(&[
            "172.18.0.2:443",
            "172.18.0.2:80",
            "172.18.0.3:80",
            "172.18.0.3:80",
            "172.18.0.3:80",
            "[fd00::2]:443",
            "[fd00::2]:80",
            "the-host",
        ])
        .await;
    let front = [
        ("network_id", "n1"),
        ("network_name", "front"),
        ("network_scope", "local"),
        ("network_internal", "false"),
        ("network_ingress", "true"),
        ("network_label_com_example_team", "web"),
        ("network_ip", "172.18.0.2"),
    ];
    let web = [
        ("container_id", "c1"),
        ("container_name", "/web"),
        ("container_network_mode", "front"),
        ("container_image", "nginx:1"),
        ("container_image_id", "sha256:1"),
        ("container_label_prometheus_job", "web"),
    ];
    let published = [
        ("port_private", "80"),
        ("port_public", "8080"),
        ("port_public_ip", "0.0.0.0"),
    ];
    let all = [&web[..], &front, &published].concat();
    assert_eq!(
        labels(&found, "172.18.0.2:80"),
        table("172.18.0.2:80", &all)
    );
    let all = [&web[..], &front, &[("port_private", "443")]].concat();
    assert_eq!(
        labels(&found, "172.18.0.2:443"),
        table("172.18.0.2:443", &all)
    );
    let back = [
        ("network_id", "n2"),
        ("network_name", "back"),
        ("network_scope", "global"),
        ("network_internal", "true"),
        ("network_ingress", "false"),
        ("network_ip", "fd00::2"),
        ("port_private", "443"),
    ];
    let all = [&web[..], &back].concat();
    assert_eq!(
        labels(&found, "[fd00::2]:443"),
        table("[fd00::2]:443", &all)
    );
    let host = [
        ("container_id", "c3"),
        ("container_name", "/host"),
        ("container_network_mode", "host"),
        ("network_ip", ""),
    ];
    assert_eq!(labels(&found, "the-host"), table("the-host", &host));
    let asked = daemon.lock().asked.clone();
    let pings = asked.iter().filter(|path| *path == "/_ping").count();
    assert_eq!(pings, 1, "{asked:?}");
    assert!(asked.contains(&"/v1.44/containers/json".to_owned()));
}

#[tokio::test]
async fn a_daemon_that_fails_changes_nothing_and_filters_reach_it() {
    let daemon = daemon(CONTAINERS);
    let server = TestServer::start(handler(&daemon)).await;
    let mut config = at(&format!("tcp://{}", server.address));
    config.port = 9000;
    config.filters = vec![DockerFilter {
        name: "label".to_owned(),
        values: vec!["b=1".to_owned(), "a".to_owned()],
    }];
    let mut found = Found::new();
    found.run(source(config));
    // The networks are in order of name: the first of `back` and `front`.
    let all = [
        "172.18.0.3:9000",
        "172.18.0.3:9000",
        "172.18.0.3:9000",
        "[fd00::2]:443",
        "[fd00::2]:80",
        "localhost",
    ];
    found.wait_for(&all).await;
    let filter = "/v1.44/containers/json?filters=%7B%22label%22%3A%7B%22a%22%3Atrue%2C%22b%3D1%22%3Atrue%7D%7D";
    assert!(daemon.lock().asked.contains(&filter.to_owned()));
    let bad_address =
        r#"[{"Names": ["/x"], "NetworkSettings": {"Networks": {"n": {"IPAddress": "x"}}}}]"#;
    for (status, body) in [
        (500, r#"{"message": "out of order"}"#),
        (200, "{"),
        (200, "{}"),
        (200, bad_address),
    ] {
        let failures = found.stats.snapshot().refreshes[0].failures;
        (daemon.lock().status, daemon.lock().containers) = (status, body.to_owned());
        found
            .wait_for_stats(|stats| stats.refreshes[0].failures >= failures + 2)
            .await;
    }
    assert_eq!(super::addresses(&found.last, "a"), all);
    // Another version after an upgrade is asked for anew, none is fine as well.
    {
        let mut daemon = daemon.lock();
        daemon.version = String::new();
        (daemon.status, daemon.containers) = (200, "null".to_owned());
    }
    found.wait_for(&[]).await;
}
