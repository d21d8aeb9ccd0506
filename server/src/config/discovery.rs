//! Where a job's targets come from. This version knows `static_configs`; the other
//! mechanisms are known by name, so that a file which uses one is told so.

use std::collections::BTreeMap;

use kymo_ingest::scrape::TargetGroup;
use kymo_storage::compat::quote::quote;

use super::fields::{self, Fields, Problems};
use super::yaml::Node;

/// Name that complaints about keys of a group give it, as Go prints its nameless type.
const GO_TYPE: &str = "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }";

/// Prometheus' discovery mechanisms besides `static_configs`.
const OTHERS: [&str; 36] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "ecs_sd_configs",
    "elasticache_sd_configs",
    "eureka_sd_configs",
    "file_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "msk_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "oci_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "rds_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

/// Takes `static_configs`.
pub(super) fn take_static(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<TargetGroup> {
    let nodes = fields.list("static_configs", "[]*targetgroup.Group", problems);
    let mut groups = Vec::with_capacity(nodes.len());
    for node in nodes {
        if node.is_null() {
            problems.value(node.at, "empty or null section in static_configs");
        } else {
            groups.push(group(node, problems));
        }
    }
    groups
}

/// Refuses the mechanisms this version does not have.
pub(super) fn refuse_others(fields: &mut Fields<'_>, problems: &mut Problems) {
    let remedy = "list the targets under static_configs";
    fields.unsupported(&OTHERS, remedy, problems);
}

/// Refuses addresses that are URLs, which only relabelling could make right.
pub(super) fn check_addresses(job: &Node, problems: &mut Problems) {
    let groups = job.get("static_configs").map(|node| &node.value);
    let Some(super::yaml::Value::List(groups)) = groups else {
        return;
    };
    for group in groups {
        let targets = group.get("targets").map(|node| &node.value);
        let Some(super::yaml::Value::List(targets)) = targets else {
            continue;
        };
        for target in targets {
            if let Some(text) = target.text()
                && text.contains('/')
            {
                problems.value(
                    target.at,
                    format!("{} is not a valid hostname", quote(text)),
                );
            }
        }
    }
}

fn group(node: &Node, problems: &mut Problems) -> TargetGroup {
    let mut fields = Fields::open(node, GO_TYPE, problems);
    let targets = match fields.take("targets") {
        Some(node) => fields::strings(node, problems),
        None => Vec::new(),
    };
    let labels = match fields.take("labels") {
        Some(node) => labels(node, problems),
        None => BTreeMap::new(),
    };
    fields.finish(problems);
    TargetGroup { targets, labels }
}

fn labels(node: &Node, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (at, name, value) in fields::pairs(node, "model.LabelSet", problems) {
        if name.is_empty() {
            problems.value(at, format!("{} is not a valid label name", quote(&name)));
        }
        if let Some(value) = fields::string(value, problems) {
            labels.insert(name, value);
        }
    }
    labels
}
