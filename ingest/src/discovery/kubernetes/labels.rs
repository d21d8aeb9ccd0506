//! The labels that several roles give.

use super::super::group::LabelMap;
use super::super::naming::sanitized;
use super::config::AttachMetadata;
use super::objects::{Container, Meta, Pod};
use super::store::{Kind, Store};

/// Sets `__meta_kubernetes_` with `name` behind it.
pub(super) fn put(labels: &mut LabelMap, name: &str, value: impl Into<String>) {
    labels.insert(format!("__meta_kubernetes_{name}"), value.into());
}

/// Sets the address of a target.
pub(super) fn put_address(labels: &mut LabelMap, address: String) {
    labels.insert("__address__".to_owned(), address);
}

/// Sets name, labels and annotations of an object of a role.
pub(super) fn put_meta(labels: &mut LabelMap, role: &str, meta: &Meta) {
    put(labels, &format!("{role}_name"), &meta.name);
    put_pairs(labels, role, meta);
}

fn put_pairs(labels: &mut LabelMap, role: &str, meta: &Meta) {
    for (what, pairs) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
        for (name, value) in pairs {
            let name = sanitized(name);
            put(labels, &format!("{role}_{what}_{name}"), value);
            put(labels, &format!("{role}_{what}present_{name}"), "true");
        }
    }
}

/// Sets labels and annotations of a namespace, where they are asked for and known.
pub(super) fn put_namespace(
    labels: &mut LabelMap,
    namespace: &str,
    attach: AttachMetadata,
    store: &Store,
) {
    if attach.namespace
        && let Some(object) = store.get(Kind::Namespace, "", namespace)
    {
        put_pairs(labels, "namespace", object.meta());
    }
}

/// Sets name, labels and annotations of a node, where they are asked for and known.
pub(super) fn put_node(labels: &mut LabelMap, name: &str, attach: AttachMetadata, store: &Store) {
    if attach.node
        && let Some(object) = store.get(Kind::Node, "", name)
    {
        put_meta(labels, "node", object.meta());
    }
}

/// Sets what a pod says of itself, and who it belongs to.
pub(super) fn put_pod(labels: &mut LabelMap, pod: &Pod, attach: AttachMetadata, store: &Store) {
    let (meta, status) = (&pod.metadata, &pod.status);
    let mut conditions = status.conditions.iter();
    let ready = conditions.find(|condition| condition.kind == "Ready");
    let ready = ready.map_or("unknown".to_owned(), |c| c.status.to_lowercase());
    put(labels, "pod_ip", &status.pod_ip);
    put(labels, "pod_ready", ready);
    put(labels, "pod_phase", &status.phase);
    put(labels, "pod_node_name", &pod.spec.node_name);
    put(labels, "pod_host_ip", &status.host_ip);
    put(labels, "pod_uid", &meta.uid);
    put_meta(labels, "pod", meta);
    let Some(controller) = meta.controller() else {
        return;
    };
    if !controller.kind.is_empty() {
        put(labels, "pod_controller_kind", &controller.kind);
    }
    if !controller.name.is_empty() {
        put(labels, "pod_controller_name", &controller.name);
    }
    // A deployment makes sets of replicas, and those the pods; jobs are made likewise.
    let above = |kind, wanted: &str| {
        let object = store.get(kind, &meta.namespace, &controller.name)?;
        let above = object.meta().controller()?;
        (above.kind == wanted).then(|| above.name.clone())
    };
    match controller.kind.as_str() {
        "ReplicaSet" if attach.deployment => {
            if let Some(name) = above(Kind::ReplicaSet, "Deployment") {
                put(labels, "pod_deployment_name", name);
            }
        }
        "Job" => {
            if attach.job {
                put(labels, "pod_job_name", &controller.name);
            }
            if attach.cronjob
                && let Some(name) = above(Kind::Job, "CronJob")
            {
                put(labels, "pod_cronjob_name", name);
            }
        }
        _ => {}
    }
}

/// Sets what a container is; whether one that only prepares the pod.
pub(super) fn put_container(labels: &mut LabelMap, container: &Container, is_init: bool) {
    put(labels, "pod_container_name", &container.name);
    put(labels, "pod_container_image", &container.image);
    put(labels, "pod_container_init", is_init.to_string());
}

/// Sets which port of a container a target is.
pub(super) fn put_container_port(labels: &mut LabelMap, name: &str, port: i32, protocol: &str) {
    put(labels, "pod_container_port_name", name);
    put(labels, "pod_container_port_number", port.to_string());
    put(labels, "pod_container_port_protocol", protocol);
}

/// Returns the containers of a pod, and which of them only prepare it.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let running = pod
        .spec
        .containers
        .iter()
        .map(|container| (container, false));
    let preparing = pod.spec.init_containers.iter();
    running.chain(preparing.map(|container| (container, true)))
}
