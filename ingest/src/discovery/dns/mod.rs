//! Targets that records of names list: `dns_sd_configs`.
//!
//! Names are asked for as `resolv.conf` says, search list included. An answer that there
//! are no such records is an answer; a server that cannot tell is none, and then the
//! targets stay. Answers are not kept: the refresh interval says how often to ask.

mod exchange;
mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::task::JoinSet;

use super::config::{DnsConfig, DnsRecord};
use super::group::{Group, GroupId, LabelMap};
use super::source::Refresh;
use super::stats::SourceStats;
use servers::Resolver;

/// Which servers are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsServers {
    /// The file that lists servers and the search list.
    pub resolv_conf: PathBuf,
    /// Asked in place of the servers of the file, which then only gives the search list.
    pub server: Option<SocketAddr>,
}

impl Default for DnsServers {
    fn default() -> DnsServers {
        DnsServers {
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            server: None,
        }
    }
}

/// Asks for the records of names.
pub(super) struct Dns {
    names: Vec<String>,
    record: DnsRecord,
    port: i64,
    servers: DnsServers,
    stats: Arc<SourceStats>,
}

impl Dns {
    /// Makes the source.
    pub(super) fn new(config: &DnsConfig, servers: DnsServers, stats: Arc<SourceStats>) -> Dns {
        Dns {
            names: config.names.clone(),
            record: config.record,
            port: config.port,
            servers,
            stats,
        }
    }
}

impl Refresh for Dns {
    const MECHANISM: &'static str = "dns";

    /// A name that cannot be asked for is left out, the others are answered all the same.
    async fn refresh(&mut self) -> Result<Vec<Group>, String> {
        let mut asked = JoinSet::new();
        for name in self.names.clone() {
            let servers = self.servers.clone();
            let record_type = record_type(self.record);
            asked.spawn(async move {
                let result = lookup(&servers, &name, record_type).await;
                (name, result)
            });
        }
        let mut groups = Vec::with_capacity(self.names.len());
        while let Some(joined) = asked.join_next().await {
            let Ok((name, result)) = joined else {
                continue;
            };
            SourceStats::bump(&self.stats.dns_lookups);
            match result {
                Ok(records) => groups.push(group(name, self.port, &records)),
                Err(error) => {
                    SourceStats::bump(&self.stats.dns_failures);
                    tracing::error!(discovery = "dns", error, "error refreshing DNS targets");
                }
            }
        }
        Ok(groups)
    }
}

async fn lookup(
    servers: &DnsServers,
    name: &str,
    record_type: RecordType,
) -> Result<Vec<Record>, String> {
    // The file may change at any time.
    let resolver = Resolver::read(servers).await?;
    resolver.lookup(name, record_type).await
}

fn record_type(record: DnsRecord) -> RecordType {
    match record {
        DnsRecord::Srv => RecordType::SRV,
        DnsRecord::A => RecordType::A,
        DnsRecord::Aaaa => RecordType::AAAA,
        DnsRecord::Mx => RecordType::MX,
        DnsRecord::Ns => RecordType::NS,
    }
}

fn group(name: String, port: i64, records: &[Record]) -> Group {
    let mut targets = Vec::with_capacity(records.len());
    for record in records {
        let mut labels = LabelMap::new();
        let mut add = |label: &str, value: String| {
            labels.insert(label.to_owned(), value);
        };
        let address = match &record.data {
            RData::SRV(srv) => {
                add("__meta_dns_srv_record_target", srv.target.to_ascii());
                add("__meta_dns_srv_record_port", srv.port.to_string());
                host_port(&without_dot(&srv.target), i64::from(srv.port))
            }
            RData::MX(mx) => {
                add("__meta_dns_mx_record_target", mx.exchange.to_ascii());
                host_port(&without_dot(&mx.exchange), port)
            }
            RData::NS(ns) => {
                add("__meta_dns_ns_record_target", ns.0.to_ascii());
                host_port(&without_dot(&ns.0), port)
            }
            RData::A(a) => host_port(&a.0.to_string(), port),
            RData::AAAA(aaaa) => host_port(&aaaa.0.to_string(), port),
            // The way to an address may lead over other names.
            RData::CNAME(_) => continue,
            other => {
                let kind = other.record_type().to_string();
                tracing::warn!(name, kind, "a DNS record makes no target");
                continue;
            }
        };
        add("__meta_dns_name", name.clone());
        add("__address__", address);
        targets.push(labels);
    }
    Group {
        id: GroupId {
            origin: name,
            index: None,
        },
        targets,
        labels: LabelMap::new(),
    }
}

fn without_dot(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn host_port(host: &str, port: i64) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
