//! What is known of a cluster, and the groups that follow from it.

use super::super::group::{Group, GroupId};
use super::config::{AttachMetadata, KubernetesRole};
use super::objects::{Pod, TargetRef};
use super::store::{Changed, Event, Kind, News, Object, Store};
use super::{endpoints, targets};

/// The objects that matter for a role.
#[derive(Debug)]
pub(super) struct World {
    role: KubernetesRole,
    attach: AttachMetadata,
    store: Store,
    changed: Changed,
}

impl World {
    /// Returns a world where nothing is known.
    pub(super) fn new(role: KubernetesRole, attach: AttachMetadata) -> World {
        World {
            role,
            attach,
            store: Store::default(),
            changed: Changed::default(),
        }
    }

    /// Takes news of a kind in, and tells of each event.
    pub(super) fn take(&mut self, kind: Kind, news: News, tell: impl FnMut(Event)) {
        self.store.take(kind, news, &mut self.changed, tell);
    }

    /// Returns the groups that may be others since the last call, empty those that are
    /// no more.
    pub(super) fn groups(&mut self) -> Vec<Group> {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return Vec::new();
        }
        let kind = primary(self.role);
        let mut groups = Vec::new();
        for (namespace, name) in changed.of(kind) {
            match self.store.get(kind, namespace, name) {
                Some(object) => groups.extend(self.group(object)),
                None => groups.push(Group::gone(id(origin(self.role), namespace, name))),
            }
        }
        if changed.has_others(kind) {
            let others = self.store.of(kind).filter(|object| {
                let meta = object.meta();
                !changed.has(kind, &meta.namespace, &meta.name) && self.is_touched(object, &changed)
            });
            groups.extend(others.filter_map(|object| self.group(object)));
        }
        groups
    }

    fn group(&self, object: &Object) -> Option<Group> {
        let (attach, store) = (self.attach, &self.store);
        match object {
            Object::Pod(pod) => Some(targets::pod(pod, attach, store)),
            Object::Service(service) => Some(targets::service(service, attach, store)),
            Object::Endpoints(object) => Some(endpoints::endpoints(object, attach, store)),
            Object::EndpointSlice(slice) => Some(endpoints::slice(slice, attach, store)),
            Object::Node(node) => targets::node(node),
            Object::Ingress(ingress) => Some(targets::ingress(ingress, attach, store)),
            Object::Plain(_) => None,
        }
    }

    /// Tells whether the group of an object shows something of those that changed.
    fn is_touched(&self, object: &Object, changed: &Changed) -> bool {
        let meta = object.meta();
        if changed.has(Kind::Namespace, "", &meta.namespace) {
            return true;
        }
        let node = |name: &Option<String>| {
            let name = name.as_deref();
            name.is_some_and(|name| changed.has(Kind::Node, "", name))
        };
        match object {
            Object::Pod(pod) => {
                changed.has(Kind::Node, "", &pod.spec.node_name) || is_pod_touched(pod, changed)
            }
            Object::Endpoints(endpoints) => {
                let addresses = endpoints.subsets.iter();
                let mut addresses =
                    addresses.flat_map(|s| s.addresses.iter().chain(&s.not_ready_addresses));
                changed.has(Kind::Service, &meta.namespace, &meta.name)
                    || addresses.any(|address| {
                        node(&address.node_name) || self.is_behind(&address.target_ref, changed)
                    })
            }
            Object::EndpointSlice(slice) => {
                let service = slice.service();
                service.is_some_and(|name| changed.has(Kind::Service, &meta.namespace, name))
                    || slice.endpoints.iter().any(|endpoint| {
                        node(&endpoint.node_name) || self.is_behind(&endpoint.target_ref, changed)
                    })
            }
            _ => false,
        }
    }

    fn is_behind(&self, target: &Option<TargetRef>, changed: &Changed) -> bool {
        let Some(target) = target else {
            return false;
        };
        match target.kind.as_str() {
            "Node" => changed.has(Kind::Node, "", &target.name),
            "Pod" => {
                let (namespace, name) = (&target.namespace, &target.name);
                let pod = self.store.pod(namespace, name);
                changed.has(Kind::Pod, namespace, name)
                    || pod.is_some_and(|pod| is_pod_touched(pod, changed))
            }
            _ => false,
        }
    }
}

fn is_pod_touched(pod: &Pod, changed: &Changed) -> bool {
    let meta = &pod.metadata;
    let Some(controller) = meta.controller() else {
        return false;
    };
    let kind = match controller.kind.as_str() {
        "ReplicaSet" => Kind::ReplicaSet,
        "Job" => Kind::Job,
        _ => return false,
    };
    changed.has(kind, &meta.namespace, &controller.name)
}

/// Returns the kind whose objects are the groups of a role.
pub(super) fn primary(role: KubernetesRole) -> Kind {
    match role {
        KubernetesRole::Node => Kind::Node,
        KubernetesRole::Pod => Kind::Pod,
        KubernetesRole::Service => Kind::Service,
        KubernetesRole::Endpoints => Kind::Endpoints,
        KubernetesRole::EndpointSlice => Kind::EndpointSlice,
        KubernetesRole::Ingress => Kind::Ingress,
    }
}

fn origin(role: KubernetesRole) -> &'static str {
    match role {
        KubernetesRole::Service => "svc",
        other => other.name(),
    }
}

/// Returns the id of an object's group; nodes are in no namespace.
pub(super) fn id(origin: &str, namespace: &str, name: &str) -> GroupId {
    GroupId {
        origin: match namespace {
            "" => format!("{origin}/{name}"),
            _ => format!("{origin}/{namespace}/{name}"),
        },
        index: None,
    }
}
