//! A real Alertmanager, where Debian's is installed.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::http::Client;
use crate::server::wait_until;

const PROGRAM: &str = "prometheus-alertmanager";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running Alertmanager that sends nothing to anybody. Dropping it ends it.
#[derive(Debug)]
pub struct Alertmanager {
    child: Child,
    client: Client,
    _dir: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts one on a free port of the loopback interface; `None`, with a word about
    /// it, where it is not installed.
    pub fn start() -> Option<Alertmanager> {
        let alertmanager = Alertmanager::spawn(None)?;
        wait_until(PROGRAM, START_LIMIT, || {
            let answer = alertmanager.client.try_call("GET", "/-/ready", &[], b"");
            answer.is_ok_and(|answer| answer.status == 200)
        });
        Some(alertmanager)
    }

    /// Starts one with the text of a web configuration, and waits until it listens.
    /// Files that the text names are written beside it.
    pub fn start_with(web_config: &str, files: &[(&str, &str)]) -> Option<Alertmanager> {
        let alertmanager = Alertmanager::spawn(Some((web_config, files)))?;
        wait_until(PROGRAM, START_LIMIT, || {
            std::net::TcpStream::connect(alertmanager.client.address()).is_ok()
        });
        Some(alertmanager)
    }

    fn spawn(web: Option<(&str, &[(&str, &str)])>) -> Option<Alertmanager> {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "am.yml",
            "route: {receiver: none}\nreceivers: [{name: none}]\n",
        );
        let address = free_address();
        let mut command = Command::new(PROGRAM);
        command
            .current_dir(dir.path())
            .arg("--config.file=am.yml")
            .arg("--storage.path=data")
            .arg("--cluster.listen-address=")
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((web_config, files)) = web {
            write("web.yml", web_config);
            for (name, text) in files {
                write(name, text);
            }
            command.arg("--web.config.file=web.yml");
        }
        match command.spawn() {
            Ok(child) => Some(Alertmanager {
                child,
                client: Client::new(address),
                _dir: dir,
            }),
            Err(_) => {
                #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
                {
                    println!("skipped: {PROGRAM} is not installed");
                }
                None
            }
        }
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// Returns the alerts that it holds active.
    pub fn alerts(&self) -> Vec<Value> {
        let answer = self.client.get("/api/v2/alerts").json();
        answer.as_array().unwrap().clone()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}
