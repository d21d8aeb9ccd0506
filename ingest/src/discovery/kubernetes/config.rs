//! An entry of `kubernetes_sd_configs`.

use std::path::PathBuf;

use crate::http::ClientOptions;

/// Which objects of a cluster are targets, and how to ask for them.
#[derive(Debug, Clone, PartialEq)]
pub struct KubernetesConfig {
    /// The URL of the API; `None` inside of the cluster, where a pod knows it.
    pub api_server: Option<String>,
    /// A file of `kubectl` that says it, read when the source is made.
    pub kubeconfig: Option<PathBuf>,
    /// How to reach it, where its URL is given.
    pub client: ClientOptions,
    /// What is a target.
    pub role: KubernetesRole,
    /// The namespaces to look in; all where there are none.
    pub namespaces: Vec<String>,
    /// Whether the namespace of the pod that this runs in is one of them.
    pub own_namespace: bool,
    /// Which objects are looked at.
    pub selectors: Vec<KubernetesSelector>,
    /// What else targets are labelled with.
    pub attach: AttachMetadata,
}

/// What is a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KubernetesRole {
    /// Each node.
    Node,
    /// Each port of each container.
    Pod,
    /// Each port of each service.
    Service,
    /// Each address of each service, as objects that are deprecated list them.
    Endpoints,
    /// Each address of each service.
    EndpointSlice,
    /// Each path of each ingress.
    Ingress,
}

impl KubernetesRole {
    /// All of them, in the order that complaints have.
    pub const ALL: [KubernetesRole; 6] = [
        KubernetesRole::Pod,
        KubernetesRole::Service,
        KubernetesRole::Endpoints,
        KubernetesRole::EndpointSlice,
        KubernetesRole::Node,
        KubernetesRole::Ingress,
    ];

    /// Returns the name that the configuration and labels have.
    pub fn name(self) -> &'static str {
        match self {
            KubernetesRole::Node => "node",
            KubernetesRole::Pod => "pod",
            KubernetesRole::Service => "service",
            KubernetesRole::Endpoints => "endpoints",
            KubernetesRole::EndpointSlice => "endpointslice",
            KubernetesRole::Ingress => "ingress",
        }
    }

    /// Finds a role by its name.
    pub fn by_name(name: &str) -> Option<KubernetesRole> {
        KubernetesRole::ALL
            .into_iter()
            .find(|role| role.name() == name)
    }

    /// Returns the roles whose objects can be selected where this is the role.
    pub fn selectable(self) -> &'static [KubernetesRole] {
        use KubernetesRole::{EndpointSlice, Endpoints, Ingress, Node, Pod, Service};
        match self {
            Pod => &[Pod, Node],
            Service => &[Service],
            EndpointSlice => &[Pod, Service, EndpointSlice],
            Endpoints => &[Pod, Service, Endpoints],
            Node => &[Node],
            Ingress => &[Ingress],
        }
    }
}

/// Which objects of a role are looked at, in the API's own language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSelector {
    /// Whose objects.
    pub role: KubernetesRole,
    /// By their labels.
    pub label: String,
    /// By their fields.
    pub field: String,
}

/// What else targets are labelled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachMetadata {
    /// Labels and annotations of their node.
    pub node: bool,
    /// Labels and annotations of their namespace.
    pub namespace: bool,
    /// The deployment of their pod.
    pub deployment: bool,
    /// The job of their pod.
    pub job: bool,
    /// What started the job of their pod.
    pub cronjob: bool,
}
