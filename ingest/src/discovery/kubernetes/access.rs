//! Where the API of a cluster is, and what is asked there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue};

use super::super::{ClusterAccess, ReadKubeconfig};
use super::config::{KubernetesConfig, KubernetesRole};
use super::store::Kind;
use crate::http::{
    Answer, AnswerStream, Auth, ClientOptions, FetchError, HttpClient, Part, PemSource,
    SecretSource, TlsOptions, push_escaped,
};

/// Where a pod finds what its service account may know.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Objects in an answer to a list.
const PAGE: usize = 500;

/// Largest page of a list. A server may give more objects than were asked for.
const MAX_BYTES: u64 = 256 << 20;

/// How long a page of a list may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long changes are followed over one connection, in seconds; the server ends it.
const WATCH_SECS: u64 = 300;

/// How long the server may be late with that.
const WATCH_SLACK: Duration = Duration::from_secs(30);

/// What a pod knows of the cluster it runs in.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Host and port of the API.
    pub(super) server: Option<(String, String)>,
    /// Folder of the service account.
    pub(super) account: PathBuf,
}

impl Cluster {
    /// Returns what this process is told.
    pub(super) fn here() -> Cluster {
        let get = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let server = get("KUBERNETES_SERVICE_HOST").zip(get("KUBERNETES_SERVICE_PORT"));
        Cluster {
            server,
            account: PathBuf::from(ACCOUNT),
        }
    }

    /// Returns URL and options for a pod. The token is read for every request, since it
    /// is replaced before it ends.
    fn access(&self) -> Result<ClusterAccess, String> {
        let Some((host, port)) = &self.server else {
            return Err(
                "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and \
                 KUBERNETES_SERVICE_PORT must be defined; outside of a cluster set api_server"
                    .to_owned(),
            );
        };
        let token = SecretSource::File(self.account.join("token"));
        token.fetch()?;
        let authority = self.account.join("ca.crt");
        let ca = authority.exists().then_some(PemSource::File(authority));
        let client = ClientOptions {
            auth: Some(Auth::Scheme {
                scheme: "Bearer".to_owned(),
                credentials: Some(token),
            }),
            tls: TlsOptions {
                ca,
                ..TlsOptions::default()
            },
            ..ClientOptions::default()
        };
        let address = super::super::naming::join_host_port(host, port);
        Ok(ClusterAccess {
            url: format!("https://{address}"),
            client,
        })
    }

    fn namespace(&self) -> Result<String, String> {
        let path = self.account.join("namespace");
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| {
            let path = Path::display(&path);
            format!("could not determine the pod's namespace: {path}: {error}")
        })?;
        match text.trim() {
            "" => Err("could not read own namespace name (empty file)".to_owned()),
            name => Ok(name.to_owned()),
        }
    }
}

fn read_file(path: &Path, read: ReadKubeconfig) -> Result<ClusterAccess, String> {
    let shown = path.display();
    let failed = |error: String| format!("kubeconfig_file {shown}: {error}");
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    read(&text, dir).map_err(failed)
}

/// The objects that are followed together: of a kind, in a namespace or all, selected.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Feed {
    pub(super) kind: Kind,
    /// Empty for all.
    pub(super) namespace: String,
    pub(super) label: String,
    pub(super) field: String,
}

/// Asks the API.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: HttpClient,
    base: String,
    headers: HeaderMap,
}

impl Api {
    /// Returns the API, and the feeds that a role needs.
    ///
    /// # Errors
    /// The options of the HTTP client cannot be used, or inside of a cluster something
    /// is missing that a pod has.
    pub(super) fn open(
        config: &KubernetesConfig,
        read: ReadKubeconfig,
        cluster: &Cluster,
    ) -> Result<(Api, Vec<Feed>), String> {
        let access = match (&config.kubeconfig, &config.api_server) {
            (Some(path), _) => read_file(path, read)?,
            (None, Some(url)) => ClusterAccess {
                url: url.clone(),
                client: config.client.clone(),
            },
            (None, None) => cluster.access()?,
        };
        let mut namespaces = config.namespaces.clone();
        if config.own_namespace {
            namespaces.push(cluster.namespace()?);
        }
        if namespaces.is_empty() {
            namespaces.push(String::new());
        }
        namespaces.sort();
        namespaces.dedup();
        let client = HttpClient::new(&access.client).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let api = Api {
            client,
            base: access.url.trim_end_matches('/').to_owned(),
            headers,
        };
        Ok((api, feeds(config, &namespaces)))
    }

    /// Asks for a page of a list, the one after `next`.
    pub(super) async fn list(&self, feed: &Feed, next: &str) -> Result<Answer, FetchError> {
        let mut url = self.url(feed);
        push_pair(&mut url, "limit", &PAGE.to_string());
        push_pair(&mut url, "continue", next);
        let asked = self
            .client
            .get(&url, &self.headers, LIST_TIMEOUT, MAX_BYTES);
        asked.await
    }

    /// Asks for the changes since a version.
    pub(super) async fn watch(
        &self,
        feed: &Feed,
        version: &str,
    ) -> Result<AnswerStream, FetchError> {
        let mut url = self.url(feed);
        push_pair(&mut url, "watch", "true");
        push_pair(&mut url, "allowWatchBookmarks", "true");
        push_pair(&mut url, "resourceVersion", version);
        push_pair(&mut url, "timeoutSeconds", &WATCH_SECS.to_string());
        let timeout = Duration::from_secs(WATCH_SECS) + WATCH_SLACK;
        self.client.open(&url, &self.headers, timeout).await
    }

    fn url(&self, feed: &Feed) -> String {
        let (group, resource) = match feed.kind {
            Kind::Pod => ("api/v1", "pods"),
            Kind::Service => ("api/v1", "services"),
            Kind::Endpoints => ("api/v1", "endpoints"),
            Kind::Node => ("api/v1", "nodes"),
            Kind::Namespace => ("api/v1", "namespaces"),
            Kind::EndpointSlice => ("apis/discovery.k8s.io/v1", "endpointslices"),
            Kind::Ingress => ("apis/networking.k8s.io/v1", "ingresses"),
            Kind::ReplicaSet => ("apis/apps/v1", "replicasets"),
            Kind::Job => ("apis/batch/v1", "jobs"),
        };
        let mut url = format!("{}/{group}/", self.base);
        if !feed.namespace.is_empty() {
            url.push_str("namespaces/");
            push_escaped(&mut url, &feed.namespace.replace('/', "%2F"), Part::Path);
            url.push('/');
        }
        url.push_str(resource);
        push_pair(&mut url, "labelSelector", &feed.label);
        push_pair(&mut url, "fieldSelector", &feed.field);
        url
    }
}

/// Appends a parameter that is not empty.
fn push_pair(url: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(name);
        url.push('=');
        push_escaped(url, value, Part::Query);
    }
}

/// Returns what must be followed for a role: its objects, and those that they name.
fn feeds(config: &KubernetesConfig, namespaces: &[String]) -> Vec<Feed> {
    let (role, attach) = (config.role, config.attach);
    let mut within = vec![(super::world::primary(role), Some(role))];
    let mut everywhere = Vec::new();
    let is_address = matches!(
        role,
        KubernetesRole::Endpoints | KubernetesRole::EndpointSlice
    );
    let has_pods = is_address || role == KubernetesRole::Pod;
    if is_address {
        within.push((Kind::Service, Some(KubernetesRole::Service)));
        within.push((Kind::Pod, Some(KubernetesRole::Pod)));
    }
    if has_pods && attach.deployment {
        within.push((Kind::ReplicaSet, None));
    }
    if has_pods && (attach.job || attach.cronjob) {
        within.push((Kind::Job, None));
    }
    if has_pods && attach.node {
        everywhere.push((Kind::Node, Some(KubernetesRole::Node)));
    }
    if role == KubernetesRole::Node {
        // Nodes are in no namespace.
        everywhere.append(&mut within);
    } else if attach.namespace {
        everywhere.push((Kind::Namespace, None));
    }
    let feed = |(kind, role): (Kind, Option<KubernetesRole>), namespace: &str| {
        let mut selectors = config.selectors.iter();
        let selector = selectors.find(|selector| Some(selector.role) == role);
        Feed {
            kind,
            namespace: namespace.to_owned(),
            label: selector.map_or_else(String::new, |selector| selector.label.clone()),
            field: selector.map_or_else(String::new, |selector| selector.field.clone()),
        }
    };
    let mut feeds: Vec<Feed> = everywhere.iter().map(|kind| feed(*kind, "")).collect();
    for namespace in namespaces {
        feeds.extend(within.iter().map(|kind| feed(*kind, namespace)));
    }
    feeds
}
