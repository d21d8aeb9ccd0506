//! The labels of each role against tables, from objects as the API writes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::ClusterAccess;
use super::super::group::{Group, LabelMap};
use super::access::Cluster;
use super::config::{AttachMetadata, KubernetesConfig, KubernetesRole};
use super::store::{Kind, News, Object};
use super::world::World;
use super::{KubernetesTargets, check};
use crate::http::ClientOptions;

const NONE: AttachMetadata = AttachMetadata {
    node: false,
    namespace: false,
    deployment: false,
    job: false,
    cronjob: false,
};

const ALL: AttachMetadata = AttachMetadata {
    node: true,
    namespace: true,
    deployment: true,
    job: true,
    cronjob: true,
};

fn object(kind: Kind, value: Value) -> Object {
    match kind {
        Kind::Pod => Object::Pod(serde_json::from_value(value).unwrap()),
        Kind::Service => Object::Service(serde_json::from_value(value).unwrap()),
        Kind::Endpoints => Object::Endpoints(serde_json::from_value(value).unwrap()),
        Kind::EndpointSlice => Object::EndpointSlice(serde_json::from_value(value).unwrap()),
        Kind::Node => Object::Node(serde_json::from_value(value).unwrap()),
        Kind::Ingress => Object::Ingress(serde_json::from_value(value).unwrap()),
        Kind::Namespace | Kind::ReplicaSet | Kind::Job => {
            Object::Plain(serde_json::from_value(value).unwrap())
        }
    }
}

/// Returns the groups of a role where these objects are known.
fn groups<const N: usize>(
    role: KubernetesRole,
    attach: AttachMetadata,
    objects: [(Kind, Value); N],
) -> Vec<Group> {
    let mut world = World::new(role, attach);
    for (kind, value) in objects {
        world.take(kind, News::Is(object(kind, value)), |_| {});
    }
    world.groups()
}

fn table(address: Option<&str>, metas: &[(&str, &str)]) -> LabelMap {
    let metas = metas.iter();
    let named =
        metas.map(|(name, value)| (format!("__meta_kubernetes_{name}"), (*value).to_owned()));
    let mut table: BTreeMap<_, _> = named.collect();
    if let Some(address) = address {
        table.insert("__address__".to_owned(), address.to_owned());
    }
    table
}

fn assert_group(group: &Group, id: &str, labels: &[(&str, &str)], targets: &[LabelMap]) {
    assert_eq!(group.id.to_string(), id);
    assert_eq!(group.labels, table(None, labels));
    assert_eq!(group.targets, targets);
}

/// A pod of a deployment, with one container that prepares and two that run.
fn pod() -> Value {
    json!({
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "u1",
            "labels": {"app.kubernetes.io/name": "web"},
            "annotations": {"prometheus.io/scrape": "yes"},
            "ownerReferences": [
                {"kind": "Other", "name": "x"},
                {"kind": "ReplicaSet", "name": "web-7f", "controller": true},
            ],
        },
        "spec": {
            "nodeName": "n1",
            "initContainers": [{"name": "migrate", "image": "m:1"}],
            "containers": [
                {"name": "web", "image": "w:2", "ports": [
                    {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                    {"containerPort": 9000, "protocol": "UDP"},
                ]},
                {"name": "helper", "image": "h:3", "ports": null},
            ],
        },
        "status": {
            "phase": "Running", "podIP": "10.1.0.7", "hostIP": "192.0.2.4",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "containerID": "containerd://w"}],
            "initContainerStatuses": [{"name": "migrate", "containerID": "containerd://m"}],
        },
    })
}

const POD: [(&str, &str); 14] = [
    ("pod_name", "web-1"),
    ("pod_ip", "10.1.0.7"),
    ("pod_ready", "true"),
    ("pod_phase", "Running"),
    ("pod_node_name", "n1"),
    ("pod_host_ip", "192.0.2.4"),
    ("pod_uid", "u1"),
    ("pod_controller_kind", "ReplicaSet"),
    ("pod_controller_name", "web-7f"),
    ("pod_label_app_kubernetes_io_name", "web"),
    ("pod_labelpresent_app_kubernetes_io_name", "true"),
    ("pod_annotation_prometheus_io_scrape", "yes"),
    ("pod_annotationpresent_prometheus_io_scrape", "true"),
    ("namespace", "shop"),
];

fn owned_by(kind: &str, name: &str, meta: Value) -> Value {
    let mut object = json!({"metadata": meta});
    let owner = json!([{"kind": kind, "name": name, "controller": true}]);
    object["metadata"]["ownerReferences"] = owner;
    object
}

#[test]
fn a_pod_is_a_target_for_each_port_and_each_container_without() {
    let found = groups(KubernetesRole::Pod, NONE, [(Kind::Pod, pod())]);
    let web = [
        ("pod_container_name", "web"),
        ("pod_container_image", "w:2"),
        ("pod_container_id", "containerd://w"),
        ("pod_container_init", "false"),
    ];
    let port = |name, number| {
        [
            ("pod_container_port_name", name),
            ("pod_container_port_number", number),
        ]
    };
    let tcp = [("pod_container_port_protocol", "TCP")];
    let udp = [("pod_container_port_protocol", "UDP")];
    let targets = [
        table(
            Some("10.1.0.7:8080"),
            &[&web[..], &port("http", "8080"), &tcp].concat(),
        ),
        table(
            Some("10.1.0.7:9000"),
            &[&web[..], &port("", "9000"), &udp].concat(),
        ),
        table(
            Some("10.1.0.7"),
            &[
                ("pod_container_name", "helper"),
                ("pod_container_image", "h:3"),
                ("pod_container_id", ""),
                ("pod_container_init", "false"),
            ],
        ),
        table(
            Some("10.1.0.7"),
            &[
                ("pod_container_name", "migrate"),
                ("pod_container_image", "m:1"),
                ("pod_container_id", "containerd://m"),
                ("pod_container_init", "true"),
            ],
        ),
    ];
    assert_eq!(found.len(), 1);
    assert_group(&found[0], "pod/shop/web-1", &POD, &targets);
}

#[test]
fn a_pod_shows_what_is_attached_and_needs_its_node_then() {
    let known = [
        (Kind::Pod, pod()),
        (
            Kind::Node,
            json!({"metadata": {"name": "n1", "labels": {"zone": "eu"}}}),
        ),
        (
            Kind::Namespace,
            json!({"metadata": {"name": "shop", "annotations": {"team": "a"}}}),
        ),
        (
            Kind::ReplicaSet,
            owned_by(
                "Deployment",
                "web",
                json!({"name": "web-7f", "namespace": "shop"}),
            ),
        ),
    ];
    let found = groups(KubernetesRole::Pod, ALL, known);
    let attached = [
        ("pod_deployment_name", "web"),
        ("node_name", "n1"),
        ("node_label_zone", "eu"),
        ("node_labelpresent_zone", "true"),
        ("namespace_annotation_team", "a"),
        ("namespace_annotationpresent_team", "true"),
    ];
    assert_eq!(
        found[0].labels,
        table(None, &[&POD[..], &attached].concat())
    );
    let alone = groups(KubernetesRole::Pod, ALL, [(Kind::Pod, pod())]);
    assert!(alone[0].targets.is_empty());
    let mut starting = pod();
    starting["status"]["podIP"] = Value::Null;
    let starting = groups(KubernetesRole::Pod, NONE, [(Kind::Pod, starting)]);
    assert!(starting[0].targets.is_empty());
}

#[test]
fn a_pod_of_a_job_names_it_and_what_started_it() {
    let meta = json!({"name": "p", "namespace": "shop"});
    let mut worker = owned_by("Job", "backup-1", meta);
    worker["status"] = json!({"podIP": "10.1.0.8"});
    let job = owned_by(
        "CronJob",
        "backup",
        json!({"name": "backup-1", "namespace": "shop"}),
    );
    let attach = AttachMetadata { node: false, ..ALL };
    let found = groups(
        KubernetesRole::Pod,
        attach,
        [(Kind::Pod, worker), (Kind::Job, job)],
    );
    let labels = &found[0].labels;
    assert_eq!(labels["__meta_kubernetes_pod_job_name"], "backup-1");
    assert_eq!(labels["__meta_kubernetes_pod_cronjob_name"], "backup");
    assert_eq!(labels["__meta_kubernetes_pod_ready"], "unknown");
}

#[test]
fn a_service_is_a_target_for_each_port() {
    let service = |kind: &str| {
        json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "b"}},
            "spec": {
                "type": kind, "clusterIP": "10.9.0.1", "externalName": "web.example.com",
                "loadBalancerIP": "192.0.2.9",
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "x"}, {"ip": "192.0.2.8"}]}},
        })
    };
    let group_labels = [
        ("namespace", "shop"),
        ("service_name", "web"),
        ("service_label_a", "b"),
        ("service_labelpresent_a", "true"),
    ];
    let port = [
        ("service_port_name", "http"),
        ("service_port_number", "80"),
        ("service_port_protocol", "TCP"),
    ];
    let cluster = ("service_cluster_ip", "10.9.0.1");
    for (kind, others) in [
        ("ClusterIP", vec![cluster]),
        (
            "ExternalName",
            vec![("service_external_name", "web.example.com")],
        ),
        (
            "LoadBalancer",
            vec![cluster, ("service_loadbalancer_ip", "192.0.2.7,192.0.2.8")],
        ),
    ] {
        let found = groups(
            KubernetesRole::Service,
            NONE,
            [(Kind::Service, service(kind))],
        );
        let target = [&port[..], &others, &[("service_type", kind)]].concat();
        let targets = [table(Some("web.shop.svc:80"), &target)];
        assert_group(&found[0], "svc/shop/web", &group_labels, &targets);
    }
    let mut wanted = service("LoadBalancer");
    wanted["status"] = Value::Null;
    let found = groups(KubernetesRole::Service, NONE, [(Kind::Service, wanted)]);
    let target = &found[0].targets[0];
    assert_eq!(
        target["__meta_kubernetes_service_loadbalancer_ip"],
        "192.0.2.9"
    );
}

#[test]
fn a_node_is_its_kubelet() {
    let node = |addresses: Value| {
        json!({
            "metadata": {"name": "n1", "labels": {"a": "b"}},
            "spec": {"providerID": "cloud://n1"},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "Unknown"}],
                "addresses": addresses,
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
        })
    };
    let addresses = json!([
        {"type": "Hostname", "address": "host1"},
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "InternalIP", "address": "10.0.0.2"},
        {"type": "ExternalIP", "address": "192.0.2.1"},
    ]);
    let found = groups(KubernetesRole::Node, NONE, [(Kind::Node, node(addresses))]);
    let mut target = table(
        Some("10.0.0.1:10250"),
        &[
            ("node_address_Hostname", "host1"),
            ("node_address_InternalIP", "10.0.0.1"),
            ("node_address_ExternalIP", "192.0.2.1"),
        ],
    );
    target.insert("instance".to_owned(), "n1".to_owned());
    let labels = [
        ("node_name", "n1"),
        ("node_provider_id", "cloud://n1"),
        ("node_condition_ready", "true"),
        ("node_condition_diskpressure", "unknown"),
        ("node_label_a", "b"),
        ("node_labelpresent_a", "true"),
    ];
    assert_group(&found[0], "node/n1", &labels, &[target]);
    let nameless = groups(KubernetesRole::Node, NONE, [(Kind::Node, node(json!([])))]);
    assert!(nameless.is_empty());
}

#[test]
fn an_ingress_is_a_target_for_each_path() {
    let ingress = json!({
        "metadata": {"name": "in", "namespace": "shop"},
        "spec": {
            "ingressClassName": "fast",
            "tls": [{"hosts": ["*.example.com"]}],
            "rules": [
                {"host": "a.example.com", "http": {"paths": [{"path": "/x"}, {}]}},
                {"host": "example.org"},
            ],
        },
    });
    let found = groups(KubernetesRole::Ingress, NONE, [(Kind::Ingress, ingress)]);
    let target = |scheme, host, path| {
        table(
            Some(host),
            &[
                ("ingress_scheme", scheme),
                ("ingress_host", host),
                ("ingress_path", path),
            ],
        )
    };
    let targets = [
        target("https", "a.example.com", "/x"),
        target("https", "a.example.com", "/"),
        target("http", "example.org", "/"),
    ];
    let labels = [
        ("namespace", "shop"),
        ("ingress_name", "in"),
        ("ingress_class_name", "fast"),
    ];
    assert_group(&found[0], "ingress/shop/in", &labels, &targets);
}

fn without_namespace() -> Vec<(&'static str, &'static str)> {
    POD[..POD.len() - 1].to_vec()
}

/// The port of the pod that no address names.
fn other_port() -> LabelMap {
    let port = [
        ("pod_container_name", "web"),
        ("pod_container_image", "w:2"),
        ("pod_container_init", "false"),
        ("pod_container_port_name", ""),
        ("pod_container_port_number", "9000"),
        ("pod_container_port_protocol", "UDP"),
    ];
    table(
        Some("10.1.0.7:9000"),
        &[&port[..], &without_namespace()].concat(),
    )
}

const CONTAINER: [(&str, &str); 5] = [
    ("pod_container_name", "web"),
    ("pod_container_image", "w:2"),
    ("pod_container_init", "false"),
    ("pod_container_port_name", "http"),
    ("pod_container_port_number", "8080"),
];

#[test]
fn endpoints_are_targets_with_the_labels_of_pods_and_services() {
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "subsets": [{
            "addresses": [
                {"ip": "10.1.0.7", "nodeName": "n1", "hostname": "h",
                 "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1"}},
            ],
            "notReadyAddresses": [{"ip": "10.1.0.9"}],
            "ports": [{"name": "http", "port": 8080, "protocol": "SCTP"}],
        }],
    });
    let service = json!({"metadata": {"name": "web", "namespace": "shop"}});
    let known = [
        (Kind::Endpoints, object),
        (Kind::Pod, pod()),
        (Kind::Service, service),
    ];
    let found = groups(KubernetesRole::Endpoints, NONE, known);
    let port = |ready| {
        [
            ("endpoint_port_name", "http"),
            ("endpoint_port_protocol", "SCTP"),
            ("endpoint_ready", ready),
        ]
    };
    let address = [
        ("endpoint_address_target_kind", "Pod"),
        ("endpoint_address_target_name", "web-1"),
        ("endpoint_node_name", "n1"),
        ("endpoint_hostname", "h"),
        // The one of the address, not of the container.
        ("pod_container_port_protocol", "SCTP"),
    ];
    let all = [
        &port("true")[..],
        &address,
        &CONTAINER,
        &without_namespace(),
    ]
    .concat();
    let targets = [
        table(Some("10.1.0.7:8080"), &all),
        table(Some("10.1.0.9:8080"), &port("false")),
        other_port(),
    ];
    let labels = [
        ("namespace", "shop"),
        ("endpoints_name", "web"),
        ("service_name", "web"),
    ];
    assert_group(&found[0], "endpoints/shop/web", &labels, &targets);
}

fn slice(address_type: &str) -> Value {
    json!({
        "metadata": {"name": "web-x", "namespace": "shop",
                     "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": address_type,
        "endpoints": [
            {"addresses": ["10.1.0.7"], "conditions": {"ready": true, "serving": true, "terminating": false},
             "hostname": "h", "nodeName": "n1", "zone": "eu",
             "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1"},
             "deprecatedTopology": {"topology.kubernetes.io/region": "r"}},
            {"addresses": ["10.1.0.9"], "targetRef": {"kind": "Node", "name": "n2"}},
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "h2c"}],
    })
}

#[test]
fn slices_are_targets_with_the_labels_of_pods_and_services() {
    let service = json!({"metadata": {"name": "web", "namespace": "shop"}});
    let known = [
        (Kind::EndpointSlice, slice("IPv4")),
        (Kind::Pod, pod()),
        (Kind::Service, service),
        (Kind::Node, json!({"metadata": {"name": "n2"}})),
    ];
    let attach = AttachMetadata { node: true, ..NONE };
    let found = groups(KubernetesRole::EndpointSlice, attach, known);
    let port = [
        ("endpointslice_port_name", "http"),
        ("endpointslice_port", "8080"),
        ("endpointslice_port_protocol", "TCP"),
        ("endpointslice_port_app_protocol", "h2c"),
    ];
    let endpoint = [
        ("endpointslice_endpoint_conditions_ready", "true"),
        ("endpointslice_endpoint_conditions_serving", "true"),
        ("endpointslice_endpoint_conditions_terminating", "false"),
        ("endpointslice_endpoint_hostname", "h"),
        ("endpointslice_endpoint_node_name", "n1"),
        ("endpointslice_endpoint_zone", "eu"),
        ("endpointslice_address_target_kind", "Pod"),
        ("endpointslice_address_target_name", "web-1"),
        (
            "endpointslice_endpoint_topology_topology_kubernetes_io_region",
            "r",
        ),
        (
            "endpointslice_endpoint_topology_present_topology_kubernetes_io_region",
            "true",
        ),
        ("pod_container_port_protocol", "TCP"),
    ];
    let node = [
        ("endpointslice_address_target_kind", "Node"),
        ("endpointslice_address_target_name", "n2"),
        ("node_name", "n2"),
    ];
    let all = [&port[..], &endpoint, &CONTAINER, &without_namespace()].concat();
    let targets = [
        table(Some("10.1.0.7:8080"), &all),
        table(Some("10.1.0.9:8080"), &[&port[..], &node].concat()),
        other_port(),
    ];
    let labels = [
        ("namespace", "shop"),
        ("endpointslice_address_type", "IPv4"),
        ("endpointslice_name", "web-x"),
        ("endpointslice_label_kubernetes_io_service_name", "web"),
        (
            "endpointslice_labelpresent_kubernetes_io_service_name",
            "true",
        ),
        ("service_name", "web"),
    ];
    assert_group(&found[0], "endpointslice/shop/web-x", &labels, &targets);
}

#[test]
fn the_second_family_of_a_service_is_no_target_again() {
    for (policy, address_type, n_targets) in [
        ("PreferDualStack", "IPv6", 0),
        ("RequireDualStack", "IPv6", 0),
        ("PreferDualStack", "IPv4", 2),
        ("SingleStack", "IPv6", 2),
    ] {
        let service = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"ipFamilyPolicy": policy, "ipFamilies": ["IPv4", "IPv6"]},
        });
        let known = [
            (Kind::EndpointSlice, slice(address_type)),
            (Kind::Service, service),
        ];
        let found = groups(KubernetesRole::EndpointSlice, NONE, known);
        assert_eq!(found[0].targets.len(), n_targets, "{policy} {address_type}");
    }
}

fn read_nothing(_: &str, _: &std::path::Path) -> Result<ClusterAccess, String> {
    Err("nothing to read".to_owned())
}

#[test]
fn a_pod_of_a_cluster_uses_its_account() {
    let config = KubernetesConfig {
        api_server: None,
        kubeconfig: None,
        client: ClientOptions::default(),
        role: KubernetesRole::Pod,
        namespaces: vec!["one".to_owned()],
        own_namespace: true,
        selectors: Vec::new(),
        attach: NONE,
    };
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster {
        server: None,
        account: PathBuf::from(dir.path()),
    };
    let within = |cluster: &Cluster| KubernetesTargets::within(&config, read_nothing, cluster);
    check(&config).unwrap();
    let complaint = within(&cluster).unwrap_err();
    assert!(complaint.starts_with("unable to load in-cluster configuration"));
    cluster.server = Some(("fd00::1".to_owned(), "443".to_owned()));
    assert!(within(&cluster).unwrap_err().contains("token"));
    std::fs::write(dir.path().join("token"), "t\n").unwrap();
    assert!(within(&cluster).unwrap_err().contains("pod's namespace"));
    std::fs::write(dir.path().join("namespace"), "mine\n").unwrap();
    let targets = within(&cluster).unwrap();
    let namespaces: Vec<_> = targets
        .feeds
        .iter()
        .map(|feed| feed.namespace.as_str())
        .collect();
    assert_eq!(namespaces, ["mine", "one"]);
    assert!(format!("{:?}", targets.api).contains("https://[fd00::1]:443"));
}
