//! Where a job's targets come from: `static_configs`, and the kinds of discovery that
//! this version has. The others are known by name, so that a file which uses one is told
//! so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kymo_ingest::discovery::{
    DnsConfig, DnsRecord, DockerConfig, DockerFilter, FileConfig, HttpConfig, SourceConfig,
};
use kymo_ingest::scrape::TargetGroup;
use kymo_storage::compat::quote::quote;
use url::Url;

use super::error::ConfigError;
use super::fields::{self, Fields, Problems};
use super::yaml::{self, Node};
use super::{http_client, kubernetes, units};

/// Name that complaints about keys of a group give it, as Go prints its nameless type.
const GO_TYPE: &str = "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }";

/// The kinds of discovery that this version has, `static_configs` among them.
pub(crate) const KINDS: [&str; 6] = ["dns", "docker", "file", "http", "kubernetes", "static"];

/// Prometheus' discovery mechanisms that this version does not have.
const OTHERS: [&str; 31] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "ecs_sd_configs",
    "elasticache_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "ionos_sd_configs",
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

/// Reads groups from a text of its own, such as a file of targets.
///
/// # Errors
/// Everything that is wrong with it, in the words of the configuration's reader.
pub fn parse_groups(text: &str) -> Result<Vec<TargetGroup>, String> {
    let document = yaml::parse(text).map_err(|error| ConfigError::from(error).to_string())?;
    let mut problems = Problems::default();
    let mut groups = Vec::new();
    for node in fields::list(&document.root, "[]*targetgroup.Group", &mut problems) {
        if node.is_null() {
            problems.value(node.at, "nil target group item found");
        } else {
            groups.push(group(node, &mut problems));
        }
    }
    let groups = problems.settle(groups);
    groups.map_err(|error| error.to_string())
}

/// Takes the kinds of discovery that this version has. Paths are relative to `dir`.
pub(super) fn take_sources(
    fields: &mut Fields<'_>,
    dir: &Path,
    problems: &mut Problems,
) -> Vec<SourceConfig> {
    type Read = fn(&Node, &Path, &mut Problems) -> SourceConfig;
    let kinds: [(&'static str, &'static str, Read); 5] = [
        ("dns_sd_configs", "[]*dns.SDConfig", dns),
        ("docker_sd_configs", "[]*moby.DockerSDConfig", docker),
        ("file_sd_configs", "[]*file.SDConfig", file),
        ("http_sd_configs", "[]*http.SDConfig", http),
        (
            "kubernetes_sd_configs",
            "[]*kubernetes.SDConfig",
            kubernetes::read,
        ),
    ];
    let mut sources = Vec::new();
    for (name, go_type, read) in kinds {
        for node in fields.list(name, go_type, problems) {
            if node.is_null() {
                problems.value(node.at, format!("empty or null section in {name}"));
            } else {
                sources.push(read(node, dir, problems));
            }
        }
    }
    sources
}

/// Takes the kinds of discovery that find files of logs. Paths are relative to `dir`.
pub(super) fn take_sources_of_files(
    fields: &mut Fields<'_>,
    dir: &Path,
    problems: &mut Problems,
) -> Vec<SourceConfig> {
    let mut sources = Vec::new();
    for node in fields.list("file_sd_configs", "[]*file.SDConfig", problems) {
        sources.push(file(node, dir, problems));
    }
    for node in fields.list("kubernetes_sd_configs", "[]*kubernetes.SDConfig", problems) {
        sources.push(kubernetes::read(node, dir, problems));
    }
    sources
}

fn dns(node: &Node, _dir: &Path, problems: &mut Problems) -> SourceConfig {
    let mut fields = Fields::open(node, "dns.plain", problems);
    let names = names(&mut fields, "names", problems);
    let record_text = fields.string_or("type", "SRV", problems);
    let port = match fields.take("port") {
        Some(node) => fields::int(node, problems).unwrap_or(1),
        None => 0,
    };
    let interval = interval(&mut fields, DnsConfig::DEFAULT_INTERVAL, problems);
    if names.is_empty() {
        let text = "DNS-SD config must contain at least one SRV record name";
        problems.value(node.at, text);
    }
    let record = DnsRecord::by_name(&record_text);
    if record.is_none() {
        let text = format!("invalid DNS-SD records type {record_text}");
        problems.value(fields.position_of("type"), text);
    } else if record != Some(DnsRecord::Srv) && port == 0 {
        let text = "a port is required in DNS-SD configs for all record types except SRV";
        problems.value(node.at, text);
    }
    fields.finish(problems);
    SourceConfig::Dns(DnsConfig {
        names,
        record: record.unwrap_or(DnsRecord::Srv),
        record_text,
        port,
        refresh_interval: interval,
    })
}

fn docker(node: &Node, dir: &Path, problems: &mut Problems) -> SourceConfig {
    let mut fields = Fields::open(node, "moby.plain", problems);
    let client = http_client::take(&mut fields, dir, problems);
    let host = fields.string("host", problems);
    let port = match fields.take_with_null("port") {
        Some(node) if node.is_null() => 0,
        Some(node) => fields::int(node, problems).unwrap_or(DockerConfig::DEFAULT_PORT),
        None => DockerConfig::DEFAULT_PORT,
    };
    let filters = fields.list("filters", "[]moby.Filter", problems);
    let config = DockerConfig {
        host,
        client,
        port,
        filters: filters.iter().map(|f| filter(f, problems)).collect(),
        host_networking_host: fields.string_or("host_networking_host", "localhost", problems),
        refresh_interval: interval(&mut fields, DockerConfig::DEFAULT_INTERVAL, problems),
        match_first_network: fields.bool_or("match_first_network", true, problems),
    };
    if config.host.is_empty() {
        problems.value(node.at, "host missing");
    }
    fields.finish(problems);
    SourceConfig::Docker(Box::new(config))
}

fn filter(node: &Node, problems: &mut Problems) -> DockerFilter {
    let mut fields = Fields::open(node, "moby.Filter", problems);
    let filter = DockerFilter {
        name: fields.string("name", problems),
        values: names(&mut fields, "values", problems),
    };
    fields.finish(problems);
    filter
}

fn file(node: &Node, dir: &Path, problems: &mut Problems) -> SourceConfig {
    let mut fields = Fields::open(node, "file.plain", problems);
    let files = names(&mut fields, "files", problems);
    let interval = interval(&mut fields, FileConfig::DEFAULT_INTERVAL, problems);
    if files.is_empty() {
        let text = "file service discovery config must contain at least one path name";
        problems.value(node.at, text);
    }
    for file in files.iter().filter(|file| !FileConfig::is_pattern(file)) {
        let quoted = quote(file);
        let text = format!("path name {quoted} is not valid for file discovery");
        problems.value(fields.position_of("files"), text);
    }
    fields.finish(problems);
    let joined = files.iter().map(|file| http_client::join_dir(dir, file));
    SourceConfig::File(FileConfig {
        files: joined.map(|path| path.display().to_string()).collect(),
        refresh_interval: interval,
    })
}

fn http(node: &Node, dir: &Path, problems: &mut Problems) -> SourceConfig {
    let mut fields = Fields::open(node, "http.plain", problems);
    let client = http_client::take(&mut fields, dir, problems);
    let interval = interval(&mut fields, HttpConfig::DEFAULT_INTERVAL, problems);
    let url = fields.string("url", problems);
    if let Err(text) = check_url(&url) {
        let at = match url.is_empty() {
            true => node.at,
            false => fields.position_of("url"),
        };
        problems.value(at, text);
    }
    fields.finish(problems);
    SourceConfig::Http(Box::new(HttpConfig {
        url,
        client,
        refresh_interval: interval,
    }))
}

fn check_url(url: &str) -> Result<(), String> {
    if url.is_empty() {
        return Err("URL is missing".to_owned());
    }
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    let scheme = scheme.unwrap_or_default().to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err("URL scheme must be 'http' or 'https'".to_owned());
    }
    let behind = url.get(scheme.len() + 1..).unwrap_or_default();
    let host = behind.strip_prefix("//").unwrap_or_default();
    if host.is_empty() || host.starts_with(['/', '?', '#']) {
        return Err("host is missing in URL".to_owned());
    }
    match Url::parse(url) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("parse {}: {error}", quote(url))),
    }
}

fn names(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Vec<String> {
    match fields.take(name) {
        Some(node) => fields::strings(node, problems),
        None => Vec::new(),
    }
}

fn interval(fields: &mut Fields<'_>, default: Duration, problems: &mut Problems) -> Duration {
    const NAME: &str = "refresh_interval";
    let Some(node) = fields.take_with_null(NAME) else {
        return default;
    };
    let interval = match node.is_null() {
        true => Some(Duration::ZERO),
        false => fields.parsed(NAME, problems, units::parse_duration),
    };
    if interval == Some(Duration::ZERO) {
        let text = "refresh_interval must be longer than 0";
        problems.value(fields.position_of(NAME), text);
    }
    interval.unwrap_or(default)
}

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
    let remedy = "list the targets under static_configs, or use file_sd_configs, dns_sd_configs, \
                  http_sd_configs, docker_sd_configs or kubernetes_sd_configs";
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
