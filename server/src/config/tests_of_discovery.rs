//! Sources of targets that are containers or objects of a cluster.

use std::path::Path;
use std::time::Duration;

use kymo_ingest::discovery::{KubernetesRole, SourceConfig};

use super::*;

fn read(text: &str) -> Result<Config, String> {
    let text = format!("scrape_configs:\n- job_name: a\n  {text}\n");
    parse(&text, Path::new("/etc/kymo")).map_err(|error| error.to_string())
}

fn source(text: &str) -> SourceConfig {
    read(text).unwrap().scrape_configs[0].discovery[0].clone()
}

#[test]
fn containers_have_prometheus_defaults() {
    let SourceConfig::Docker(docker) = source("docker_sd_configs: [{host: 'unix:///x.sock'}]")
    else {
        panic!("not of Docker");
    };
    assert_eq!((docker.host.as_str(), docker.port), ("unix:///x.sock", 80));
    assert_eq!(docker.host_networking_host, "localhost");
    assert_eq!(docker.refresh_interval, Duration::from_secs(60));
    assert!(docker.match_first_network && docker.filters.is_empty());
}

#[test]
fn containers_and_clusters_are_shown_as_prometheus_shows_them() {
    let text = "docker_sd_configs:
  - host: http://h:2375
    basic_auth: {username: u, password: hidden}
    port: 9100
    filters: [{name: label, values: [a, b]}]
    match_first_network: false
  kubernetes_sd_configs:
  - role: endpointslice
    api_server: https://api:6443
    authorization: {credentials_file: token}
    namespaces: {names: [one]}
    selectors: [{role: pod, label: 'a in (b, c)', field: 'spec.nodeName!=n'}]
    attach_metadata: {node: true}";
    let shown = read(text).unwrap().job_yaml("a").unwrap();
    let expected = "docker_sd_configs:
- basic_auth:
    username: u
    password: <secret>
  follow_redirects: true
  enable_http2: true
  host: http://h:2375
  port: 9100
  filters:
  - name: label
    values:
    - a
    - b
  host_networking_host: localhost
  refresh_interval: 1m
  match_first_network: false
kubernetes_sd_configs:
- api_server: https://api:6443
  role: endpointslice
  kubeconfig_file: \"\"
  authorization:
    type: Bearer
    credentials_file: /etc/kymo/token
  follow_redirects: true
  enable_http2: true
  namespaces:
    own_namespace: false
    names:
    - one
  selectors:
  - role: pod
    label: a in (b, c)
    field: spec.nodeName!=n
  attach_metadata:
    node: true
    namespace: false
    deployment: false
    job: false
    cronjob: false
";
    assert!(shown.ends_with(expected), "{shown}");
}

#[test]
fn a_pod_needs_to_say_its_role_only() {
    for role in KubernetesRole::ALL {
        let text = format!("kubernetes_sd_configs: [{{role: {}}}]", role.name());
        let SourceConfig::Kubernetes(found) = source(&text) else {
            panic!("not of Kubernetes");
        };
        assert_eq!((found.role, found.api_server), (role, None));
        assert!(found.namespaces.is_empty() && found.selectors.is_empty());
    }
}

#[test]
fn a_file_of_kubectl_is_beside_the_configuration() {
    let text = "kubernetes_sd_configs: [{role: pod, kubeconfig_file: kube/config}]";
    let SourceConfig::Kubernetes(found) = source(text) else {
        panic!("not of Kubernetes");
    };
    let path = found.kubeconfig.as_deref();
    assert_eq!(path, Some(Path::new("/etc/kymo/kube/config")));
    let shown = read(text).unwrap().job_yaml("a").unwrap();
    assert!(
        shown.contains("kubeconfig_file: /etc/kymo/kube/config\n"),
        "{shown}"
    );
}

#[test]
fn mistakes_are_told_as_prometheus_tells_them() {
    let kubernetes = |text: &str| format!("kubernetes_sd_configs: [{{{text}}}]");
    for (text, complaint) in [
        ("docker_sd_configs: [{}]".to_owned(), "host missing"),
        (
            "docker_sd_configs: [{host: h, filters: [{x: 1}]}]".to_owned(),
            "field x not found in type moby.Filter",
        ),
        (
            kubernetes("api_server: 'http://h'"),
            "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)",
        ),
        (kubernetes("role: ~"), "role missing (one of: "),
        (
            kubernetes("role: vacation"),
            "unknown Kubernetes SD role \"vacation\"",
        ),
        (
            kubernetes("role: pod, authorization: {credentials: x}"),
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        ),
        (
            kubernetes("role: pod, api_server: 'http://h', namespaces: {own_namespace: true}"),
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            kubernetes("role: pod, api_server: 'http://h', kubeconfig_file: f"),
            "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
        ),
        (
            kubernetes("role: pod, kubeconfig_file: f, namespaces: {own_namespace: true}"),
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            kubernetes("role: pod, kubeconfig_file: f, basic_auth: {username: u}"),
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
        ),
        (
            kubernetes("role: pod, namespaces: {foo: bar}"),
            "field foo not found in type kubernetes.plain",
        ),
        (
            kubernetes("role: endpoints, selectors: [{role: node, label: a=b}]"),
            "endpoints role supports only pod, service, endpoints selectors",
        ),
        (
            kubernetes("role: pod, selectors: [{role: service}]"),
            "pod role supports only pod, node selectors",
        ),
        (
            kubernetes("role: pod, selectors: [{role: pod}, {role: pod}]"),
            "duplicated selector role: pod",
        ),
        (
            kubernetes("role: pod, selectors: [{role: pod, field: 'a=b,metadata.status-Running'}]"),
            "invalid selector: 'a=b,metadata.status-Running'; can't understand 'metadata.status-Running'",
        ),
    ] {
        let found = read(&text).unwrap_err();
        assert!(found.contains(complaint), "{text}: {found}");
    }
}
