//! Pods, services, nodes and ingresses as targets. Addresses of services are in
//! `endpoints`.

use super::super::group::{Group, LabelMap};
use super::super::naming::{join_host_port, sanitized};
use super::config::AttachMetadata;
use super::labels::{
    containers, put, put_address, put_container, put_container_port, put_meta, put_namespace,
    put_node, put_pod,
};
use super::objects::{Ingress, IngressRule, Node, Pod, Service};
use super::store::{Kind, Store};
use super::world::id;

/// Makes a target of each port of each container, and of each container without one.
pub(super) fn pod(pod: &Pod, attach: AttachMetadata, store: &Store) -> Group {
    let (meta, ip) = (&pod.metadata, &pod.status.pod_ip);
    let mut group = Group::gone(id("pod", &meta.namespace, &meta.name));
    // A pod that starts or was evicted has no address. One on a node that is not
    // selected is no target.
    let is_off = attach.node && store.get(Kind::Node, "", &pod.spec.node_name).is_none();
    if ip.is_empty() || is_off {
        return group;
    }
    put_pod(&mut group.labels, pod, attach, store);
    put(&mut group.labels, "namespace", &meta.namespace);
    put_node(&mut group.labels, &pod.spec.node_name, attach, store);
    put_namespace(&mut group.labels, &meta.namespace, attach, store);
    for (container, is_init) in containers(pod) {
        let statuses = match is_init {
            true => &pod.status.init_container_statuses,
            false => &pod.status.container_statuses,
        };
        let status = statuses.iter().find(|s| s.name == container.name);
        let mut labels = LabelMap::new();
        put_container(&mut labels, container, is_init);
        let running = status.map_or("", |status| &status.container_id);
        put(&mut labels, "pod_container_id", running);
        if container.ports.is_empty() {
            put_address(&mut labels, ip.clone());
            group.targets.push(labels);
            continue;
        }
        for port in &container.ports {
            let mut labels = labels.clone();
            put_container_port(&mut labels, &port.name, port.container_port, &port.protocol);
            put_address(&mut labels, join_host_port(ip, port.container_port));
            group.targets.push(labels);
        }
    }
    group
}

/// Makes a target of each port.
pub(super) fn service(service: &Service, attach: AttachMetadata, store: &Store) -> Group {
    let (meta, spec) = (&service.metadata, &service.spec);
    let mut group = Group::gone(id("svc", &meta.namespace, &meta.name));
    put_service(&mut group.labels, service);
    put_namespace(&mut group.labels, &meta.namespace, attach, store);
    let host = format!("{}.{}.svc", meta.name, meta.namespace);
    for port in &spec.ports {
        let mut labels = LabelMap::new();
        put_address(&mut labels, join_host_port(&host, port.port));
        put(&mut labels, "service_port_name", &port.name);
        put(&mut labels, "service_port_number", port.port.to_string());
        put(&mut labels, "service_port_protocol", &port.protocol);
        put(&mut labels, "service_type", &spec.kind);
        match spec.kind.as_str() {
            "ExternalName" => put(&mut labels, "service_external_name", &spec.external_name),
            _ => put(&mut labels, "service_cluster_ip", &spec.cluster_ip),
        }
        if spec.kind == "LoadBalancer" {
            put(&mut labels, "service_loadbalancer_ip", balancers(service));
        }
        group.targets.push(labels);
    }
    group
}

/// Sets what a service says of itself.
pub(super) fn put_service(labels: &mut LabelMap, service: &Service) {
    put(labels, "namespace", &service.metadata.namespace);
    put_meta(labels, "service", &service.metadata);
}

/// Returns the addresses of load balancers that are there, or the one that is wanted.
fn balancers(service: &Service) -> String {
    let there = service.status.load_balancer.ingress.iter();
    let there: Vec<&str> = there
        .map(|at| at.ip.as_str())
        .filter(|ip| !ip.is_empty())
        .collect();
    match there.is_empty() {
        true => service.spec.load_balancer_ip.clone(),
        false => there.join(","),
    }
}

/// Makes a target of the kubelet; `None` where the node has no address yet.
pub(super) fn node(node: &Node) -> Option<Group> {
    const PREFERENCE: [&str; 6] = [
        "InternalIP",
        "InternalDNS",
        "ExternalIP",
        "ExternalDNS",
        "LegacyHostIP",
        "Hostname",
    ];
    let (meta, status) = (&node.metadata, &node.status);
    let first = |kind: &str| status.addresses.iter().find(|address| address.kind == kind);
    let Some(address) = PREFERENCE.into_iter().find_map(first) else {
        tracing::warn!(node = meta.name, "no node address found");
        return None;
    };
    let mut group = Group::gone(id("node", "", &meta.name));
    put(
        &mut group.labels,
        "node_provider_id",
        &node.spec.provider_id,
    );
    for condition in &status.conditions {
        let name = sanitized(&condition.kind.to_lowercase());
        let value = condition.status.to_lowercase();
        put(&mut group.labels, &format!("node_condition_{name}"), value);
    }
    put_meta(&mut group.labels, "node", meta);
    let mut labels = LabelMap::new();
    let port = status.daemon_endpoints.kubelet_endpoint.port;
    put_address(&mut labels, join_host_port(&address.address, port));
    labels.insert("instance".to_owned(), meta.name.clone());
    // The first of each kind counts.
    for address in status.addresses.iter().rev() {
        let name = sanitized(&format!("node_address_{}", address.kind));
        put(&mut labels, &name, &address.address);
    }
    group.targets.push(labels);
    Some(group)
}

/// Makes a target of each path of each host.
pub(super) fn ingress(ingress: &Ingress, attach: AttachMetadata, store: &Store) -> Group {
    let (meta, spec) = (&ingress.metadata, &ingress.spec);
    let mut group = Group::gone(id("ingress", &meta.namespace, &meta.name));
    put(&mut group.labels, "namespace", &meta.namespace);
    if let Some(class) = &spec.ingress_class_name {
        put(&mut group.labels, "ingress_class_name", class);
    }
    put_meta(&mut group.labels, "ingress", meta);
    put_namespace(&mut group.labels, &meta.namespace, attach, store);
    for rule in &spec.rules {
        let mut secured = spec.tls.iter().flat_map(|tls| &tls.hosts);
        let scheme = match secured.any(|pattern| is_host_of(pattern, &rule.host)) {
            true => "https",
            false => "http",
        };
        for path in paths(rule) {
            let mut labels = LabelMap::new();
            put_address(&mut labels, rule.host.clone());
            put(&mut labels, "ingress_scheme", scheme);
            put(&mut labels, "ingress_host", &rule.host);
            put(&mut labels, "ingress_path", path);
            group.targets.push(labels);
        }
    }
    group
}

fn paths(rule: &IngressRule) -> Vec<&str> {
    let Some(http) = &rule.http else {
        return vec!["/"];
    };
    let paths = http.paths.iter().map(|path| path.path.as_str());
    paths
        .map(|path| if path.is_empty() { "/" } else { path })
        .collect()
}

/// Tells whether a pattern is the host, or its domain behind a star for the first part.
fn is_host_of(pattern: &str, host: &str) -> bool {
    let split = |name| str::split_once(name, '.').map_or((name, None), |(a, b)| (a, Some(b)));
    let ((first, behind), (_, domain)) = (split(pattern), split(host));
    pattern == host || (first == "*" && behind == domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_part() {
        for (pattern, host, matches) in [
            ("a.example.com", "a.example.com", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.b.*.com", "a.b.c.com", false),
            ("*", "com", true),
            ("*", "a.com", false),
        ] {
            assert_eq!(is_host_of(pattern, host), matches, "{pattern} {host}");
        }
    }
}
