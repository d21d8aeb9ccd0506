//! An entry of `docker_sd_configs`.

use std::path::PathBuf;
use std::time::Duration;

use crate::http::ClientOptions;

/// How to ask a Docker daemon, and what makes targets of its containers.
#[derive(Debug, Clone, PartialEq)]
pub struct DockerConfig {
    /// Where the daemon is, as it was written.
    pub host: String,
    /// How to reach it over HTTP; other ways do not use it.
    pub client: ClientOptions,
    /// Port of containers that expose none.
    pub port: i64,
    /// Which containers, as the daemon's API filters them.
    pub filters: Vec<DockerFilter>,
    /// Address of containers in the network of the host.
    pub host_networking_host: String,
    /// How often is asked; an answer may take as long.
    pub refresh_interval: Duration,
    /// Whether a container counts in the first of its networks only.
    pub match_first_network: bool,
}

/// A filter of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerFilter {
    /// What is looked at.
    pub name: String,
    /// What it may be.
    pub values: Vec<String>,
}

impl DockerConfig {
    /// How often is asked where the configuration does not say.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

    /// Port of containers that expose none where the configuration does not say.
    pub const DEFAULT_PORT: i64 = 80;

    /// Tells where the daemon is.
    ///
    /// # Errors
    /// The host is none that can be asked.
    pub(super) fn daemon(&self) -> Result<Daemon, String> {
        let host = &self.host;
        let Some((scheme, rest)) = host.split_once("://") else {
            return Err(format!("unable to parse docker host `{host}`"));
        };
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() {
            return Err(format!("unable to parse docker host `{host}`"));
        }
        match scheme {
            "unix" => Ok(Daemon {
                base: "http://localhost".to_owned(),
                socket: Some(PathBuf::from(rest)),
                client: ClientOptions::default(),
            }),
            // The options are for HTTP only, as in Prometheus.
            "tcp" => Ok(Daemon {
                base: format!("http://{rest}"),
                socket: None,
                client: ClientOptions::default(),
            }),
            "http" | "https" => Ok(Daemon {
                base: format!("{scheme}://{rest}"),
                socket: None,
                client: self.client.clone(),
            }),
            _ => Err(format!(
                "protocol not available: docker host `{host}`; use unix, tcp, http or https"
            )),
        }
    }
}

/// Where a daemon is.
#[derive(Debug, PartialEq)]
pub(super) struct Daemon {
    /// What stands before the paths of its API.
    pub(super) base: String,
    /// The socket it listens on.
    pub(super) socket: Option<PathBuf>,
    /// How to reach it.
    pub(super) client: ClientOptions,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_are_found_by_scheme() {
        for (host, base, socket) in [
            (
                "unix:///var/run/docker.sock",
                "http://localhost",
                Some("/var/run/docker.sock"),
            ),
            ("tcp://h:2375/", "http://h:2375", None),
            ("https://h:2376", "https://h:2376", None),
        ] {
            let daemon = at(host).daemon().unwrap();
            assert_eq!(
                (daemon.base.as_str(), daemon.socket),
                (base, socket.map(PathBuf::from))
            );
        }
        for (host, complaint) in [
            ("h:2375", "unable to parse docker host `h:2375`"),
            ("unix://", "unable to parse docker host `unix://`"),
            ("npipe:////./pipe/x", "protocol not available: "),
        ] {
            assert!(
                at(host).daemon().unwrap_err().starts_with(complaint),
                "{host}"
            );
        }
    }

    fn at(host: &str) -> DockerConfig {
        DockerConfig {
            host: host.to_owned(),
            client: ClientOptions::default(),
            port: DockerConfig::DEFAULT_PORT,
            filters: Vec::new(),
            host_networking_host: "localhost".to_owned(),
            refresh_interval: DockerConfig::DEFAULT_INTERVAL,
            match_first_network: true,
        }
    }
}
