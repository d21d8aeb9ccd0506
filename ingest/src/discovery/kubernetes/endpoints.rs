//! Addresses of services as targets: one object with all of them, or slices.
//!
//! Where a pod stands behind an address, the target has its labels, too, and the ports
//! of its containers that no service names are targets as well.

use std::collections::BTreeMap;

use super::super::group::{Group, LabelMap};
use super::super::naming::{join_host_port, sanitized};
use super::config::AttachMetadata;
use super::labels::{
    containers, put, put_address, put_container, put_container_port, put_meta, put_namespace,
    put_node, put_pod,
};
use super::objects::{
    Endpoint, EndpointSlice, Endpoints, Pod, Service, ServicePort, SlicePort, SubsetAddress,
    TargetRef,
};
use super::store::Store;
use super::targets::put_service;
use super::world::id;

/// Makes a target of each port at each address, and of the other ports of its pods.
pub(super) fn endpoints(endpoints: &Endpoints, attach: AttachMetadata, store: &Store) -> Group {
    let meta = &endpoints.metadata;
    let mut group = Group::gone(id("endpoints", &meta.namespace, &meta.name));
    put(&mut group.labels, "namespace", &meta.namespace);
    if let Some(service) = store.service(&meta.namespace, &meta.name) {
        put_service(&mut group.labels, service);
    }
    put_meta(&mut group.labels, "endpoints", meta);
    put_namespace(&mut group.labels, &meta.namespace, attach, store);
    if let Some(state) = meta.labels.get("endpoints.kubernetes.io/over-capacity") {
        tracing::warn!(
            endpoints = meta.name,
            state,
            "an Endpoints object has more than 1000 addresses, use \"role: endpointslice\" instead"
        );
    }
    let mut pods = Pods::new(attach, store);
    for subset in &endpoints.subsets {
        for port in &subset.ports {
            let ready = subset.addresses.iter().map(|address| (address, "true"));
            let others = subset.not_ready_addresses.iter();
            for (address, ready) in ready.chain(others.map(|address| (address, "false"))) {
                let mut labels = address_labels(address, port, ready);
                let node = address.node_name.as_deref();
                let node = node.or_else(|| referred(address.target_ref.as_ref(), "Node"));
                if let Some(node) = node {
                    put_node(&mut labels, node, attach, store);
                }
                let protocol = Some(port.protocol.as_str());
                let target_ref = address.target_ref.as_ref();
                pods.add(&mut labels, target_ref, Some(port.port), protocol);
                group.targets.push(labels);
            }
        }
    }
    pods.push_others(&mut group.targets);
    group
}

fn address_labels(address: &SubsetAddress, port: &ServicePort, ready: &str) -> LabelMap {
    let mut labels = LabelMap::new();
    put_address(&mut labels, join_host_port(&address.ip, port.port));
    put(&mut labels, "endpoint_port_name", &port.name);
    put(&mut labels, "endpoint_port_protocol", &port.protocol);
    put(&mut labels, "endpoint_ready", ready);
    if let Some(target) = &address.target_ref {
        put(&mut labels, "endpoint_address_target_kind", &target.kind);
        put(&mut labels, "endpoint_address_target_name", &target.name);
    }
    if let Some(node) = &address.node_name {
        put(&mut labels, "endpoint_node_name", node);
    }
    if !address.hostname.is_empty() {
        put(&mut labels, "endpoint_hostname", &address.hostname);
    }
    labels
}

/// Makes a target of each port at each address, and of the other ports of its pods. The
/// second family of addresses of a service would be the same targets again.
pub(super) fn slice(slice: &EndpointSlice, attach: AttachMetadata, store: &Store) -> Group {
    let meta = &slice.metadata;
    let mut group = Group::gone(id("endpointslice", &meta.namespace, &meta.name));
    put(&mut group.labels, "namespace", &meta.namespace);
    put(
        &mut group.labels,
        "endpointslice_address_type",
        &slice.address_type,
    );
    put_meta(&mut group.labels, "endpointslice", meta);
    let service = slice.service();
    let service = service.and_then(|name| store.service(&meta.namespace, name));
    if let Some(service) = service {
        put_service(&mut group.labels, service);
    }
    put_namespace(&mut group.labels, &meta.namespace, attach, store);
    if service.is_some_and(|service| is_second_family(service, slice)) {
        return group;
    }
    let mut pods = Pods::new(attach, store);
    for endpoint in &slice.endpoints {
        for port in &slice.ports {
            for address in &endpoint.addresses {
                let mut labels = endpoint_labels(endpoint, address, port);
                let node = referred(endpoint.target_ref.as_ref(), "Node");
                if let Some(node) = node.or(endpoint.node_name.as_deref()) {
                    put_node(&mut labels, node, attach, store);
                }
                pods.add(&mut labels, endpoint.target_ref.as_ref(), port.port, None);
                group.targets.push(labels);
            }
        }
    }
    pods.push_others(&mut group.targets);
    group
}

fn is_second_family(service: &Service, slice: &EndpointSlice) -> bool {
    let policy = service.spec.ip_family_policy.as_deref();
    let is_dual = matches!(policy, Some("PreferDualStack" | "RequireDualStack"));
    let first = service.spec.ip_families.first();
    is_dual && first.is_some_and(|first| *first != slice.address_type)
}

fn endpoint_labels(endpoint: &Endpoint, address: &str, port: &SlicePort) -> LabelMap {
    let mut labels = LabelMap::new();
    let at = match port.port {
        Some(port) => join_host_port(address, port),
        None => address.to_owned(),
    };
    put_address(&mut labels, at);
    let conditions = &endpoint.conditions;
    let flag = |on: Option<bool>| on.map(|on| on.to_string());
    let target = endpoint.target_ref.as_ref();
    for (name, value) in [
        ("port_name", port.name.clone()),
        ("port_protocol", port.protocol.clone()),
        ("port", port.port.map(|port| port.to_string())),
        ("port_app_protocol", port.app_protocol.clone()),
        ("endpoint_conditions_ready", flag(conditions.ready)),
        ("endpoint_conditions_serving", flag(conditions.serving)),
        (
            "endpoint_conditions_terminating",
            flag(conditions.terminating),
        ),
        ("endpoint_hostname", endpoint.hostname.clone()),
        (
            "address_target_kind",
            target.map(|target| target.kind.clone()),
        ),
        (
            "address_target_name",
            target.map(|target| target.name.clone()),
        ),
        ("endpoint_node_name", endpoint.node_name.clone()),
        ("endpoint_zone", endpoint.zone.clone()),
    ] {
        if let Some(value) = value {
            put(&mut labels, &format!("endpointslice_{name}"), value);
        }
    }
    for (name, value) in &endpoint.deprecated_topology {
        let name = sanitized(name);
        let prefix = "endpointslice_endpoint_topology";
        put(&mut labels, &format!("{prefix}_{name}"), value);
        put(&mut labels, &format!("{prefix}_present_{name}"), "true");
    }
    labels
}

/// Returns the name of what is referred to, where it is of this kind.
fn referred<'a>(target: Option<&'a TargetRef>, kind: &str) -> Option<&'a str> {
    let target = target.filter(|target| target.kind == kind);
    target.map(|target| target.name.as_str())
}

/// The pods behind addresses, with the ports of each that are targets already.
struct Pods<'a> {
    attach: AttachMetadata,
    store: &'a Store,
    seen: BTreeMap<(&'a str, &'a str), (&'a Pod, Vec<i32>)>,
}

impl<'a> Pods<'a> {
    fn new(attach: AttachMetadata, store: &'a Store) -> Pods<'a> {
        Pods {
            attach,
            store,
            seen: BTreeMap::new(),
        }
    }

    /// Adds the labels of the pod behind an address, where there is one. `protocol` is
    /// shown in place of the one that the container names.
    fn add(
        &mut self,
        labels: &mut LabelMap,
        target: Option<&TargetRef>,
        port: Option<i32>,
        protocol: Option<&str>,
    ) {
        let target = target.filter(|target| target.kind == "Pod");
        let pod = target.and_then(|target| self.store.pod(&target.namespace, &target.name));
        let Some(pod) = pod else {
            return;
        };
        put_pod(labels, pod, self.attach, self.store);
        let key = (pod.metadata.namespace.as_str(), pod.metadata.name.as_str());
        let (_, ports) = self.seen.entry(key).or_insert((pod, Vec::new()));
        let Some(port) = port else {
            return;
        };
        ports.push(port);
        for (container, is_init) in containers(pod) {
            let mut declared = container.ports.iter();
            if let Some(found) = declared.find(|found| found.container_port == port) {
                put_container(labels, container, is_init);
                let protocol = protocol.unwrap_or(&found.protocol);
                put_container_port(labels, &found.name, port, protocol);
            }
        }
    }

    /// Makes targets of the ports that no address had.
    fn push_others(self, targets: &mut Vec<LabelMap>) {
        for (pod, ports) in self.seen.into_values() {
            let ip = &pod.status.pod_ip;
            if ip.is_empty() {
                continue;
            }
            for (container, is_init) in containers(pod) {
                for port in &container.ports {
                    let number = port.container_port;
                    if ports.contains(&number) {
                        continue;
                    }
                    let mut labels = LabelMap::new();
                    put_address(&mut labels, join_host_port(ip, number));
                    put_container(&mut labels, container, is_init);
                    put_container_port(&mut labels, &port.name, number, &port.protocol);
                    put_pod(&mut labels, pod, self.attach, self.store);
                    targets.push(labels);
                }
            }
        }
    }
}
