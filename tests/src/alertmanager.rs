//! A real Alertmanager, where Debian's is installed.

use std::net::SocketAddr;

use serde_json::Value;

use crate::peer::Peer;

const PROGRAM: &str = "prometheus-alertmanager";

/// A running Alertmanager that sends nothing to anybody. Dropping it ends it.
#[derive(Debug)]
pub struct Alertmanager {
    peer: Peer,
    _dir: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts one; `None` where it is not installed.
    pub fn start() -> Option<Alertmanager> {
        let alertmanager = Alertmanager::spawn(&[], &[])?;
        alertmanager.peer.wait_ready();
        Some(alertmanager)
    }

    /// Starts one with the text of a web configuration. Files that the text names are
    /// written beside it.
    pub fn start_with(web_config: &str, files: &[(&str, &str)]) -> Option<Alertmanager> {
        let mut all = vec![("web.yml", web_config)];
        all.extend_from_slice(files);
        Alertmanager::spawn(&all, &["--web.config.file=web.yml"])
    }

    fn spawn(files: &[(&str, &str)], args: &[&str]) -> Option<Alertmanager> {
        let dir = tempfile::tempdir().unwrap();
        let config = "route: {receiver: none}\nreceivers: [{name: none}]\n";
        for (name, text) in [("am.yml", config)].iter().chain(files) {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mut all = vec![
            "--config.file=am.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
        ];
        all.extend_from_slice(args);
        Some(Alertmanager {
            peer: Peer::start(PROGRAM, dir.path(), &all)?,
            _dir: dir,
        })
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.peer.address()
    }

    /// Returns the alerts that it holds active.
    pub fn alerts(&self) -> Vec<Value> {
        let answer = self.peer.client().get("/api/v2/alerts").json();
        answer.as_array().unwrap().clone()
    }
}
