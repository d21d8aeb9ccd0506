//! The `alerting` section: where alerts would be sent.
//!
//! This version evaluates no rules (`rule_files` is refused), so there is nothing to
//! send, and the section can be taken without changing what a file means. It is
//! checked and shown in full, because most files have one.

use std::path::Path;
use std::time::Duration;

use kymo_ingest::http::ClientOptions;
use kymo_ingest::scrape::TargetGroup;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::RelabelRule;

use super::fields::{Fields, Problems};
use super::yaml::Node;
use super::{discovery, global, http_client, relabel};

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
    /// Its addresses.
    pub static_configs: Vec<TargetGroup>,
}

impl Alerting {
    /// Tells whether there is anybody to send alerts to.
    pub fn has_receivers(&self) -> bool {
        let groups = self.alertmanagers.iter().flat_map(|a| &a.static_configs);
        groups.into_iter().any(|group| !group.targets.is_empty())
    }
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
        alert_relabel: rules(&mut fields, "alert_relabel_configs", names, problems),
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
    let or = |text: String, default: &str| match text.is_empty() {
        true => default.to_owned(),
        false => text,
    };
    let version = or(fields.string("api_version", problems), "v2");
    if version != "v2" {
        let at = fields.position_of("api_version");
        let text = format!("expected Alertmanager api version to be one of [v2] but got {version}");
        problems.value(at, text);
    }
    let timeout = global::duration(&mut fields, "timeout", problems);
    let entry = Alertmanager {
        client: http_client::take(&mut fields, dir, problems),
        scheme: or(fields.string("scheme", problems), "http"),
        path_prefix: fields.string("path_prefix", problems),
        timeout: match timeout.is_zero() {
            true => Duration::from_secs(10),
            false => timeout,
        },
        relabel: rules(&mut fields, "relabel_configs", names, problems),
        alert_relabel: rules(&mut fields, "alert_relabel_configs", names, problems),
        static_configs: discovery::take_static(&mut fields, problems),
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
    names: NameValidation,
    problems: &mut Problems,
) -> Vec<RelabelRule> {
    let what = match name {
        "relabel_configs" => "Alertmanager target relabeling rule",
        _ => "alert relabeling rule",
    };
    match fields.take(name) {
        Some(node) => relabel::read(node, what, names, problems),
        None => Vec::new(),
    }
}
