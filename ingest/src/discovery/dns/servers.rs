//! Which servers are asked, and for which names: `resolv.conf` and what follows from it.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Record, RecordType};

use super::DnsServers;
use super::exchange;

const PORT: u16 = 53;

/// Most dots that a name may need to be tried before the search list.
const MAX_NDOTS: usize = 15;

/// Servers and search list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// Dots that make a name be tried as it is first.
    ndots: usize,
}

impl Resolver {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn read(servers: &DnsServers) -> Result<Resolver, String> {
        let path = &servers.resolv_conf;
        let mut resolver = match tokio::fs::read(path).await {
            Ok(text) => Resolver::parse(&String::from_utf8_lossy(&text)),
            Err(_) if servers.server.is_some() => Resolver::parse(""),
            Err(error) => {
                let path = path.display();
                return Err(format!("could not load resolv.conf: open {path}: {error}"));
            }
        };
        if let Some(server) = servers.server {
            resolver.servers = vec![server];
        }
        Ok(resolver)
    }

    fn parse(text: &str) -> Resolver {
        let mut resolver = Resolver {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    let server = address.map(|address| SocketAddr::new(address, PORT));
                    resolver.servers.extend(server);
                }
                Some("domain") => {
                    resolver.search = words.take(1).map(str::to_owned).collect();
                }
                Some("search") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    for option in words {
                        let number = option.strip_prefix("ndots:");
                        if let Some(ndots) = number.and_then(|text| text.parse::<i64>().ok()) {
                            resolver.ndots = usize::try_from(ndots).unwrap_or(0).min(MAX_NDOTS);
                        }
                    }
                }
                _ => {}
            }
        }
        resolver
    }

    /// Returns the names to try for a name, each with a dot at its end.
    fn names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let labels = name.split('.').filter(|label| !label.is_empty()).count();
        let whole = format!("{name}.");
        let searched = self.search.iter().map(|suffix| {
            let suffix = suffix.trim_end_matches('.');
            match suffix.is_empty() {
                true => whole.clone(),
                false => format!("{name}.{suffix}."),
            }
        });
        let mut names: Vec<String> = searched.collect();
        match labels > self.ndots {
            true => names.insert(0, whole),
            false => names.push(whole),
        }
        names
    }

    /// Returns the records of the first name to try that exists; none where all servers
    /// agree that there is no such name.
    ///
    /// # Errors
    /// No server could tell, for at least one of the names.
    pub(super) async fn lookup(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> Result<Vec<Record>, String> {
        let mut all_told = true;
        for full in self.names(name) {
            match self.ask_any(&full, record_type).await {
                Some(Answer::Records(records)) => return Ok(records),
                Some(Answer::NoSuchName) => {}
                None => all_told = false,
            }
        }
        if all_told {
            return Ok(Vec::new());
        }
        Err(format!(
            "could not resolve {name:?}: all servers responded with errors to at least one search domain"
        ))
    }

    /// Asks one server after the other until one can tell.
    async fn ask_any(&self, name: &str, record_type: RecordType) -> Option<Answer> {
        for server in &self.servers {
            match exchange::ask(*server, name, record_type).await {
                Ok(message) => match message.metadata.response_code {
                    ResponseCode::NoError => return Some(Answer::Records(message.answers)),
                    ResponseCode::NXDomain => return Some(Answer::NoSuchName),
                    code => {
                        let code = code.to_str();
                        tracing::warn!(%server, name, code, "DNS resolution failed");
                    }
                },
                Err(error) => tracing::warn!(%server, name, error, "DNS resolution failed"),
            }
        }
        None
    }
}

enum Answer {
    Records(Vec<Record>),
    NoSuchName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_servers_search_list_and_dots() {
        let text = "# comment\nnameserver 10.0.0.1\nnameserver ::1\nnameserver nonsense\n\
                    domain x.org\nsearch a.org b.org.\noptions timeout:1 ndots:2\n";
        let resolver = Resolver::parse(text);
        let servers: Vec<String> = resolver.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[::1]:53"]);
        assert_eq!(resolver.names("h"), ["h.a.org.", "h.b.org.", "h."]);
        assert_eq!(resolver.names("h.c"), ["h.c.a.org.", "h.c.b.org.", "h.c."]);
        assert_eq!(
            resolver.names("h.c.d"),
            ["h.c.d.", "h.c.d.a.org.", "h.c.d.b.org."]
        );
        assert_eq!(resolver.names("h."), ["h."]);
        assert_eq!(Resolver::parse("").names("h"), ["h."]);
        assert_eq!(Resolver::parse("options ndots:-1").ndots, 0);
        assert_eq!(Resolver::parse("options ndots:99").ndots, 15);
    }
}
