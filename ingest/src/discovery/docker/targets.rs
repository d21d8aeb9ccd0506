//! What a daemon says of its containers and networks, and the targets made of it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde::Deserialize;

use super::super::group::{Group, GroupId, LabelMap};
use super::super::json::or_default;
use super::super::naming::{join_host_port, sanitized};
use super::config::DockerConfig;

/// The group that all containers of a daemon are in.
const ORIGIN: &str = "Docker";

/// A container that runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    #[serde(deserialize_with = "or_default")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    image: String,
    #[serde(rename = "ImageID", deserialize_with = "or_default")]
    image_id: String,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<Port>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    host_config: HostConfig,
    #[serde(deserialize_with = "or_default")]
    network_settings: NetworkSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    #[serde(deserialize_with = "or_default")]
    network_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP", deserialize_with = "or_default")]
    ip: String,
    #[serde(deserialize_with = "or_default")]
    private_port: u16,
    #[serde(deserialize_with = "or_default")]
    public_port: u16,
    #[serde(rename = "Type", deserialize_with = "or_default")]
    protocol: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    networks: Networks,
}

/// A container's networks by name.
type Networks = BTreeMap<String, Option<Endpoint>>;

/// A container's place in a network.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    network_id: String,
    #[serde(rename = "IPAddress", deserialize_with = "or_default")]
    ipv4: String,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "or_default")]
    ipv6: String,
}

impl Endpoint {
    fn address(&self) -> Result<String, String> {
        match address(&self.ipv4)? {
            ipv4 if ipv4.is_empty() => address(&self.ipv6),
            ipv4 => Ok(ipv4),
        }
    }
}

/// A network of the daemon.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    #[serde(deserialize_with = "or_default")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    scope: String,
    #[serde(deserialize_with = "or_default")]
    internal: bool,
    #[serde(deserialize_with = "or_default")]
    ingress: bool,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

/// Makes the group: a target for each TCP port of a container in each of its networks,
/// or one for the network where there is no such port.
///
/// # Errors
/// An address of a container is none.
pub(super) fn group(
    config: &DockerConfig,
    containers: &[Container],
    networks: &[Network],
) -> Result<Group, String> {
    let by_id = containers.iter().map(|c| (c.id.as_str(), c)).collect();
    let networks = networks.iter().map(|n| (n.id.as_str(), n)).collect();
    let mut targets = Vec::new();
    for container in containers {
        if !container.names.is_empty() {
            push_targets(&mut targets, config, container, &by_id, &networks)?;
        }
    }
    Ok(Group {
        id: GroupId {
            origin: ORIGIN.to_owned(),
            index: None,
        },
        targets,
        labels: LabelMap::new(),
    })
}

fn push_targets(
    targets: &mut Vec<LabelMap>,
    config: &DockerConfig,
    container: &Container,
    by_id: &HashMap<&str, &Container>,
    networks: &HashMap<&str, &Network>,
) -> Result<(), String> {
    let common = labels_of(container);
    let joined = networks_of(container, by_id).values().flatten();
    // A container in several networks is otherwise as many targets.
    let taken = match config.match_first_network {
        true => 1,
        false => usize::MAX,
    };
    for endpoint in joined.take(taken) {
        let ip = endpoint.address()?;
        let mut labels = common.clone();
        if let Some(network) = networks.get(endpoint.network_id.as_str()) {
            add_network(&mut labels, network);
        }
        put(&mut labels, "network_ip", &ip);
        let before = targets.len();
        for port in container.ports.iter().filter(|port| port.protocol == "tcp") {
            let mut labels = labels.clone();
            put(&mut labels, "port_private", &port.private_port.to_string());
            if port.public_port > 0 {
                put(&mut labels, "port_public", &port.public_port.to_string());
                put(&mut labels, "port_public_ip", &address(&port.ip)?);
            }
            set_address(&mut labels, join_host_port(&ip, port.private_port));
            targets.push(labels);
        }
        if targets.len() == before {
            // Containers in the network of the host have no ports of their own.
            let address = match container.host_config.network_mode.as_str() {
                "host" => config.host_networking_host.clone(),
                _ => join_host_port(&ip, config.port),
            };
            set_address(&mut labels, address);
            targets.push(labels);
        }
    }
    Ok(())
}

fn labels_of(container: &Container) -> LabelMap {
    let mut labels = LabelMap::new();
    put(&mut labels, "container_id", &container.id);
    if let Some(name) = container.names.first() {
        put(&mut labels, "container_name", name);
    }
    let mode = &container.host_config.network_mode;
    put(&mut labels, "container_network_mode", mode);
    if !container.image.is_empty() {
        put(&mut labels, "container_image", &container.image);
    }
    if !container.image_id.is_empty() {
        put(&mut labels, "container_image_id", &container.image_id);
    }
    for (name, value) in &container.labels {
        let name = format!("container_label_{}", sanitized(name));
        put(&mut labels, &name, value);
    }
    labels
}

fn add_network(labels: &mut LabelMap, network: &Network) {
    put(labels, "network_id", &network.id);
    put(labels, "network_name", &network.name);
    put(labels, "network_scope", &network.scope);
    put(labels, "network_internal", &network.internal.to_string());
    put(labels, "network_ingress", &network.ingress.to_string());
    for (name, value) in &network.labels {
        let name = format!("network_label_{}", sanitized(name));
        put(labels, &name, value);
    }
}

/// Returns the networks a container is in: its own, or those of the container whose
/// network it shares, however many steps away.
fn networks_of<'a>(container: &'a Container, by_id: &HashMap<&str, &'a Container>) -> &'a Networks {
    let mut at = container;
    // A ring of containers ends after a round.
    for _ in 0..=by_id.len() {
        let networks = &at.network_settings.networks;
        if !networks.is_empty() {
            return networks;
        }
        let shared = at.host_config.network_mode.strip_prefix("container:");
        match shared.and_then(|id| by_id.get(id)) {
            Some(next) => at = next,
            None => break,
        }
    }
    &container.network_settings.networks
}

fn address(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => Err(format!("ParseAddr({text:?}): unable to parse IP")),
    }
}

fn put(labels: &mut LabelMap, name: &str, value: &str) {
    labels.insert(format!("__meta_docker_{name}"), value.to_owned());
}

fn set_address(labels: &mut LabelMap, address: String) {
    labels.insert("__address__".to_owned(), address);
}
