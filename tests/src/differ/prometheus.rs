//! The installed Prometheus as a child process.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::data::Data;
use crate::Client;

/// How long it may take to be ready, on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A Prometheus with some data. Dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    client: Client,
    _dir: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts `program` and stores the data; `None` where there is no such program.
    pub fn start(program: &str, data: &Data) -> Option<Prometheus> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let address: SocketAddr = address.unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-remote-write-receiver")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("{program} does not start: {error}"),
        };
        let prometheus = Prometheus {
            child,
            client: Client::new(address),
            _dir: dir,
        };
        prometheus.wait_ready();
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
        ];
        let body = data.write_body().encode();
        let written = prometheus
            .client
            .call("POST", "/api/v1/write", &headers, &body);
        assert_eq!(written.status, 204, "{written:?}");
        Some(prometheus)
    }

    fn wait_ready(&self) {
        let end = Instant::now() + START_LIMIT;
        let ready = || self.client.try_call("GET", "/-/ready", &[], b"");
        while !ready().is_ok_and(|answer| answer.status == 200) {
            assert!(Instant::now() < end, "prometheus is not ready");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the client for its address.
    pub fn client(&self) -> Client {
        self.client
    }
}
