//! The `alerting` section: where alerts are sent.

use std::path::Path;
use std::time::Duration;

use kymo_ingest::discovery::SourceConfig;
use kymo_ingest::http::ClientOptions;
use kymo_ingest::scrape::TargetGroup;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::RelabelRule;

use super::fields::{Fields, Problems};
use super::yaml::Node;
use super::{discovery, global, http_client, relabel};

/// Longest request to a receiver that sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The validated section.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alerting {
    /// Rules for the labels of all alerts.
    pub alert_relabel: Vec<RelabelRule>,
    /// The receivers.
    pub alertmanagers: Vec<Alertmanager>,
}

/// One entry of `alertmanagers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alertmanager {
    /// How to reach it.
    pub client: ClientOptions,
    /// `http` or `https`.
    pub scheme: String,
    /// What stands before the path of the API.
    pub path_prefix: String,
    /// Longest request.
    pub timeout: Duration,
    /// Rules for the labels of its addresses.
    pub relabel: Vec<RelabelRule>,
    /// Rules for the labels of alerts sent to it.
    pub alert_relabel: Vec<RelabelRule>,
    /// Addresses that the configuration lists.
    pub static_configs: Vec<TargetGroup>,
    /// Where others are found.
    pub discovery: Vec<SourceConfig>,
}

/// Reads the section. Paths in it are relative to `dir`.
pub(super) fn read(
    node: &Node,
    names: NameValidation,
    dir: &Path,
    problems: &mut Problems,
) -> Alerting {
    let mut fields = Fields::open(node, "config.plain", problems);
    let mut alerting = Alerting {
        alert_relabel: rules(
            &mut fields,
            "alert_relabel_configs",
            "alert relabeling rule",
            names,
            problems,
        ),
        alertmanagers: Vec::new(),
    };
    let go_type = "config.AlertmanagerConfigs";
    for node in fields.list("alertmanagers", go_type, problems) {
        if !node.is_null() {
            let entry = alertmanager(node, names, dir, problems);
            alerting.alertmanagers.push(entry);
        }
    }
    fields.finish(problems);
    alerting
}

fn alertmanager(
    node: &Node,
    names: NameValidation,
    dir: &Path,
    problems: &mut Problems,
) -> Alertmanager {
    let mut fields = Fields::open(node, "config.AlertmanagerConfig", problems);
    let check_version = |version: &str| match version {
        "v2" => Ok(()),
        _ => Err(format!(
            "expected Alertmanager api version to be one of [v2] but got {version}"
        )),
    };
    fields.parsed("api_version", problems, check_version);
    let timeout = match fields.take_with_null("timeout") {
        Some(_) => global::duration(&mut fields, "timeout", problems),
        None => DEFAULT_TIMEOUT,
    };
    let entry = Alertmanager {
        client: http_client::take(&mut fields, dir, problems),
        scheme: fields.string_or("scheme", "http", problems),
        path_prefix: fields.string("path_prefix", problems),
        timeout,
        relabel: rules(
            &mut fields,
            "relabel_configs",
            "Alertmanager target relabeling rule",
            names,
            problems,
        ),
        alert_relabel: rules(
            &mut fields,
            "alert_relabel_configs",
            "Alertmanager alert relabeling rule",
            names,
            problems,
        ),
        static_configs: discovery::take_static(&mut fields, problems),
        discovery: discovery::take_sources(&mut fields, dir, problems),
    };
    if entry.relabel.is_empty() {
        for target in entry.static_configs.iter().flat_map(|group| &group.targets) {
            if target.contains('/') {
                let at = fields.position_of("static_configs");
                problems.value(at, format!("{} is not a valid hostname", quote(target)));
            }
        }
    }
    discovery::refuse_others(&mut fields, problems);
    fields.unsupported(&["sigv4"], "use basic_auth or authorization", problems);
    fields.finish(problems);
    entry
}

fn rules(
    fields: &mut Fields<'_>,
    name: &'static str,
    what: &str,
    names: NameValidation,
    problems: &mut Problems,
) -> Vec<RelabelRule> {
    match fields.take(name) {
        Some(node) => relabel::read(node, what, names, problems),
        None => Vec::new(),
    }
}
