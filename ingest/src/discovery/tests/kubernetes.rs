//! Objects of a small cluster, followed while they come, change and go.

use serde_json::{Value, json};

use super::super::{AttachMetadata, KubernetesConfig, KubernetesRole, KubernetesSelector};
use super::api_server::ApiServer;
use super::{Found, SourceConfig};
use crate::http::ClientOptions;

fn config(server: &ApiServer, role: KubernetesRole) -> KubernetesConfig {
    KubernetesConfig {
        api_server: Some(format!("http://{}/", server.address)),
        kubeconfig: None,
        client: ClientOptions::default(),
        role,
        namespaces: Vec::new(),
        own_namespace: false,
        selectors: Vec::new(),
        attach: AttachMetadata::default(),
    }
}

fn run(config: KubernetesConfig) -> Found {
    let found = Found::new();
    found.run(SourceConfig::Kubernetes(Box::new(config)));
    found
}

fn pod(namespace: &str, name: &str, ip: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}")},
        "spec": {"nodeName": "n1", "containers": [
            {"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 80, "protocol": "TCP"}]}
        ]},
        "status": {"podIP": ip, "phase": "Running"},
    })
}

fn event(found: &Found, role: &str, event: &str) -> u64 {
    let events = found.stats.snapshot().kubernetes_events;
    let mut row = events.iter().filter(|(r, e, _)| (*r, *e) == (role, event));
    row.next().unwrap().2
}

#[tokio::test]
async fn pods_are_followed_as_they_come_change_and_go() {
    let server = ApiServer::start().await;
    for (name, ip) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")] {
        server.put("pods", pod("one", name, ip));
    }
    server.put("pods", pod("two", "d", ""));
    let mut found = run(config(&server, KubernetesRole::Pod));
    found
        .wait_for(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"])
        .await;
    // The list had two pages.
    assert!(
        server.asked()[..2]
            == [
                "/api/v1/pods?limit=500",
                "/api/v1/pods?limit=500&continue=2"
            ]
    );
    server.put("pods", pod("two", "d", "10.0.0.4"));
    server.put("pods", pod("one", "e", "fd00::5"));
    server.delete("pods", "one", "b");
    found
        .wait_for(&["10.0.0.1:80", "10.0.0.3:80", "10.0.0.4:80", "[fd00::5]:80"])
        .await;
    assert!(
        found
            .group("pod/two/d")
            .contains("\"__meta_kubernetes_pod_phase\": \"Running\"")
    );
    assert_eq!(event(&found, "pod", "add"), 5);
    assert_eq!(event(&found, "pod", "update"), 1);
    assert_eq!(event(&found, "pod", "delete"), 1);
    assert_eq!(found.stats.snapshot().kubernetes_failures, 0);
}

#[tokio::test]
async fn a_watch_that_breaks_goes_on_where_it_was() {
    let server = ApiServer::start().await;
    server.put("pods", pod("one", "a", "10.0.0.1"));
    let mut found = run(config(&server, KubernetesRole::Pod));
    found.wait_for(&["10.0.0.1:80"]).await;
    // A version that only a bookmark told.
    server.put(
        "services",
        json!({"metadata": {"namespace": "one", "name": "s"}}),
    );
    server.bookmark("pods");
    server.wait_for("resourceVersion=1&").await;
    server.cut();
    server.wait_for("resourceVersion=3&").await;
    server.put("pods", pod("one", "b", "10.0.0.2"));
    found.wait_for(&["10.0.0.1:80", "10.0.0.2:80"]).await;
    let asked = server.asked();
    let lists = asked.iter().filter(|path| !path.contains("watch")).count();
    assert_eq!(lists, 1, "{asked:?}");
    assert!(found.stats.snapshot().kubernetes_failures >= 1);
}

#[tokio::test]
async fn a_forgotten_version_leads_to_a_new_list_and_a_failure_keeps_all() {
    let server = ApiServer::start().await;
    server.put("pods", pod("one", "a", "10.0.0.1"));
    server.put("pods", pod("one", "b", "10.0.0.2"));
    let mut found = run(config(&server, KubernetesRole::Pod));
    found.wait_for(&["10.0.0.1:80", "10.0.0.2:80"]).await;
    for refusal in [500, 403, 410] {
        let failures = found.stats.snapshot().kubernetes_failures;
        server.refuse(Some(refusal));
        server.cut();
        found
            .wait_for_stats(|stats| stats.kubernetes_failures > failures)
            .await;
    }
    assert_eq!(
        super::addresses(&found.last, "a"),
        ["10.0.0.1:80", "10.0.0.2:80"]
    );
    // What went meanwhile is not in the new list.
    server.delete("pods", "one", "a");
    server.put("pods", pod("one", "c", "10.0.0.3"));
    server.compact();
    server.refuse(None);
    found.wait_for(&["10.0.0.2:80", "10.0.0.3:80"]).await;
    assert_eq!(event(&found, "pod", "delete"), 1);
}

#[tokio::test]
async fn an_expired_watch_is_told_in_the_stream_as_well() {
    let server = ApiServer::start().await;
    server.put("pods", pod("one", "a", "10.0.0.1"));
    let mut found = run(config(&server, KubernetesRole::Pod));
    found.wait_for(&["10.0.0.1:80"]).await;
    // Another resource moves the version on, and the change of the pod is forgotten.
    server.put("nodes", json!({"metadata": {"name": "n1"}}));
    server.compact();
    server.cut();
    server.put("pods", pod("one", "a", "10.0.0.9"));
    server.compact();
    found.wait_for(&["10.0.0.9:80"]).await;
}

#[tokio::test]
async fn only_chosen_namespaces_and_objects_are_asked_for() {
    let server = ApiServer::start().await;
    server.put("pods", pod("one", "a", "10.0.0.1"));
    server.put("pods", pod("two", "b", "10.0.0.2"));
    server.put("pods", pod("three", "c", "10.0.0.3"));
    let mut chosen = config(&server, KubernetesRole::Pod);
    chosen.namespaces = vec!["two".to_owned(), "one".to_owned(), "one".to_owned()];
    chosen.selectors = vec![KubernetesSelector {
        role: KubernetesRole::Pod,
        label: "app=web,tier!=db".to_owned(),
        field: "status.phase=Running".to_owned(),
    }];
    let mut found = run(chosen);
    found.wait_for(&["10.0.0.1:80", "10.0.0.2:80"]).await;
    let selection = "labelSelector=app%3Dweb%2Ctier%21%3Ddb&fieldSelector=status.phase%3DRunning";
    let asked = server.asked();
    for namespace in ["one", "two"] {
        let list = format!("/api/v1/namespaces/{namespace}/pods?{selection}&limit=500");
        assert_eq!(
            asked.iter().filter(|path| **path == list).count(),
            1,
            "{asked:?}"
        );
    }
    assert!(asked.iter().all(|path| !path.contains("three")));
}

#[tokio::test]
async fn addresses_of_services_show_changes_of_pods_nodes_and_services() {
    let server = ApiServer::start().await;
    let labelled = |value: &str| json!({"name": "n1", "labels": {"zone": value}});
    server.put("nodes", json!({"metadata": labelled("a")}));
    server.put("pods", pod("one", "a", "10.0.0.1"));
    server.put(
        "endpointslices",
        json!({
            "metadata": {"namespace": "one", "name": "s-1",
                         "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n1",
                           "targetRef": {"kind": "Pod", "namespace": "one", "name": "a"}}],
            "ports": [{"name": "web", "port": 80, "protocol": "TCP"}],
        }),
    );
    let mut attached = config(&server, KubernetesRole::EndpointSlice);
    attached.attach.node = true;
    let mut found = run(attached);
    found.wait_for(&["10.0.0.1:80"]).await;
    let has = |found: &mut Found, name: &'static str, value: &'static str| {
        let wanted = format!("\"__meta_kubernetes_{name}\": \"{value}\"");
        (
            found.group("endpointslice/one/s-1").contains(&wanted),
            wanted,
        )
    };
    assert!(has(&mut found, "pod_phase", "Running").0);
    assert!(has(&mut found, "node_label_zone", "a").0);
    server.put("nodes", json!({"metadata": labelled("b")}));
    let mut done = pod("one", "a", "10.0.0.1");
    done["status"]["phase"] = json!("Succeeded");
    server.put("pods", done);
    let service = json!({"metadata": {"namespace": "one", "name": "s", "labels": {"team": "x"}}});
    server.put("services", service);
    for (name, value) in [
        ("node_label_zone", "b"),
        ("pod_phase", "Succeeded"),
        ("service_label_team", "x"),
    ] {
        let wanted = has(&mut found, name, value).1;
        found
            .wait_until(&wanted, |last| format!("{:?}", last["a"]).contains(&wanted))
            .await;
    }
    server.delete("endpointslices", "one", "s-1");
    found.wait_for(&[]).await;
}

#[tokio::test]
async fn a_file_says_where_the_cluster_is() {
    let server = ApiServer::start().await;
    server.put("pods", pod("one", "a", "10.0.0.1"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut named = config(&server, KubernetesRole::Pod);
    named.kubeconfig = Some(file.path().to_owned());
    let url = named.api_server.take().unwrap();
    let wrong = run(named.clone());
    assert_eq!(wrong.discovery.stats().failed_configs, 1);
    std::fs::write(file.path(), url).unwrap();
    run(named).wait_for(&["10.0.0.1:80"]).await;
}

#[tokio::test]
async fn outside_of_a_cluster_its_server_must_be_named() {
    let server = ApiServer::start().await;
    let mut inside = config(&server, KubernetesRole::Node);
    inside.api_server = None;
    let found = run(inside);
    assert_eq!(found.discovery.stats().failed_configs, 1);
}
