//! Entries of `kubernetes_sd_configs`.

use std::path::Path;

use kymo_ingest::discovery::{
    AttachMetadata, KubernetesConfig, KubernetesRole, KubernetesSelector, SourceConfig,
};
use kymo_ingest::http::ClientOptions;
use kymo_storage::compat::quote::quote;
use url::Url;

use super::fields::{self, Fields, Problems};
use super::http_client;
use super::yaml::Node;

/// Reads an entry. Paths are relative to `dir`.
pub(super) fn read(node: &Node, dir: &Path, problems: &mut Problems) -> SourceConfig {
    let mut fields = Fields::open(node, "kubernetes.plain", problems);
    let client = http_client::take(&mut fields, dir, problems);
    let api_server = fields.parsed("api_server", problems, parse_url).flatten();
    let role = role(&mut fields, problems);
    if node.get("role").is_none_or(Node::is_null) {
        let text = "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)";
        problems.value(node.at, text);
    }
    let kubeconfig = fields.string("kubeconfig_file", problems);
    let (namespaces, own_namespace) = namespaces(&mut fields, problems);
    let role = role.unwrap_or(KubernetesRole::Pod);
    let config = KubernetesConfig {
        api_server,
        kubeconfig: (!kubeconfig.is_empty()).then(|| http_client::join_dir(dir, &kubeconfig)),
        client,
        role,
        namespaces,
        own_namespace,
        selectors: selectors(&mut fields, role, problems),
        attach: attach(&mut fields, problems),
    };
    for (is_wrong, text) in contradictions(&config) {
        if is_wrong {
            problems.value(node.at, text);
        }
    }
    fields.finish(problems);
    SourceConfig::Kubernetes(Box::new(config))
}

/// Returns what does not go together, each with the complaint about it.
fn contradictions(config: &KubernetesConfig) -> [(bool, &'static str); 5] {
    let has_kubeconfig = config.kubeconfig.is_some();
    let has_server = config.api_server.is_some();
    let has_client = config.client != ClientOptions::default();
    [
        (
            has_server && has_kubeconfig,
            "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
        ),
        (
            has_client && has_kubeconfig,
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
        ),
        (
            has_client && !has_server && !has_kubeconfig,
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        ),
        (
            has_server && config.own_namespace,
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            has_kubeconfig && config.own_namespace,
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
        ),
    ]
}

fn parse_url(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match Url::parse(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(error) => Err(format!("parse {}: {error}", quote(text))),
    }
}

fn role(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<KubernetesRole> {
    fields.parsed("role", problems, |name| {
        let unknown = || format!("unknown Kubernetes SD role {}", quote(name));
        KubernetesRole::by_name(name).ok_or_else(unknown)
    })
}

fn namespaces(fields: &mut Fields<'_>, problems: &mut Problems) -> (Vec<String>, bool) {
    let Some(node) = fields.take("namespaces") else {
        return (Vec::new(), false);
    };
    let mut fields = Fields::open(node, "kubernetes.plain", problems);
    let own = fields.bool_or("own_namespace", false, problems);
    let names = match fields.take("names") {
        Some(node) => fields::strings(node, problems),
        None => Vec::new(),
    };
    fields.finish(problems);
    (names, own)
}

fn selectors(
    fields: &mut Fields<'_>,
    of: KubernetesRole,
    problems: &mut Problems,
) -> Vec<KubernetesSelector> {
    let nodes = fields.list("selectors", "[]kubernetes.SelectorConfig", problems);
    let mut selectors: Vec<KubernetesSelector> = Vec::new();
    for node in nodes {
        let mut fields = Fields::open(node, "kubernetes.SelectorConfig", problems);
        let role = role(&mut fields, problems);
        let label = fields.string("label", problems);
        let field = fields.string("field", problems);
        if let Err(text) = check_field_selector(&field) {
            problems.value(fields.position_of("field"), text);
        }
        fields.finish(problems);
        let allowed = of.selectable();
        let Some(role) = role.filter(|role| allowed.contains(role)) else {
            let names: Vec<_> = allowed.iter().map(|role| role.name()).collect();
            let (of, names) = (of.name(), names.join(", "));
            problems.value(
                node.at,
                format!("{of} role supports only {names} selectors"),
            );
            continue;
        };
        if selectors.iter().any(|selector| selector.role == role) {
            let text = format!("duplicated selector role: {}", role.name());
            problems.value(node.at, text);
        }
        selectors.push(KubernetesSelector { role, label, field });
    }
    selectors
}

/// A field is compared with a value; terms stand between commas, and a backslash takes
/// the meaning from what is behind it.
fn check_field_selector(text: &str) -> Result<(), String> {
    let mut terms = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, terms.last_mut()) {
            ('\\', Some(term)) => term.extend(std::iter::once(c).chain(chars.next())),
            (',', _) => terms.push(String::new()),
            (_, Some(term)) => term.push(c),
            (_, None) => {}
        }
    }
    match terms
        .iter()
        .find(|term| !term.is_empty() && !term.contains('='))
    {
        Some(term) => Err(format!(
            "invalid selector: '{text}'; can't understand '{term}'"
        )),
        None => Ok(()),
    }
}

fn attach(fields: &mut Fields<'_>, problems: &mut Problems) -> AttachMetadata {
    let Some(node) = fields.take("attach_metadata") else {
        return AttachMetadata::default();
    };
    let mut fields = Fields::open(node, "kubernetes.AttachMetadataConfig", problems);
    let attach = AttachMetadata {
        node: fields.bool_or("node", false, problems),
        namespace: fields.bool_or("namespace", false, problems),
        deployment: fields.bool_or("deployment", false, problems),
        job: fields.bool_or("job", false, problems),
        cronjob: fields.bool_or("cronjob", false, problems),
    };
    fields.finish(problems);
    attach
}
