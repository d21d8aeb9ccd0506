//! A real Loki as a child process, where `KYMO_LOKI` names its program.
//!
//! It is one process with all its parts: entries in files below a directory of its own,
//! one tenant, deletion and patterns switched on. Nothing of it leaves the loopback
//! interface.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Client;

/// How long it may take to be ready, on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running Loki without data. Dropping it kills it.
#[derive(Debug)]
pub struct Loki {
    child: Child,
    client: Client,
    dir: tempfile::TempDir,
}

impl Drop for Loki {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Loki {
    /// Starts the program that `KYMO_LOKI` names, with limits as `limits_config` has
    /// them, and waits until it takes entries; `None`, with a word about it, where there is
    /// no such variable.
    pub fn start(limits: &[(&str, &str)]) -> Option<Loki> {
        Loki::start_with(limits, &[])
    }

    /// Does the same with flags of the program, which come before its file.
    pub fn start_with(limits: &[(&str, &str)], flags: &[&str]) -> Option<Loki> {
        let Ok(program) = std::env::var("KYMO_LOKI") else {
            #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
            {
                println!("skipped: KYMO_LOKI names no Loki");
            }
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let (address, grpc) = free_addresses();
        let config = dir.path().join("loki.yml");
        std::fs::write(&config, configuration(&dir, address, grpc, limits)).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(&program)
            .current_dir(dir.path())
            .arg(format!("-config.file={}", config.display()))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let mut loki = Loki {
            child,
            client: Client::new(address),
            dir,
        };
        loki.wait_ready();
        Some(loki)
    }

    fn wait_ready(&mut self) {
        let end = Instant::now() + START_LIMIT;
        let ready = |client: Client| client.try_call("GET", "/ready", &[], b"");
        while !ready(self.client).is_ok_and(|answer| answer.status == 200) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "loki has ended: {}", self.log());
            assert!(Instant::now() < end, "loki is not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the client for its address.
    pub fn client(&self) -> Client {
        self.client
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// Returns what it has logged: what went wrong.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Writes what it holds in memory to its files, so that its index knows of it.
    pub fn flush(&self) {
        let answer = self.client.call("POST", "/flush", &[], b"");
        assert_eq!(answer.status, 204, "{answer:?}");
    }
}

/// Returns two addresses that nobody listens on. Both are held until both are known.
fn free_addresses() -> (SocketAddr, SocketAddr) {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (first, second) = (listen(), listen());
    (first.local_addr().unwrap(), second.local_addr().unwrap())
}

fn configuration(
    dir: &tempfile::TempDir,
    address: SocketAddr,
    grpc: SocketAddr,
    limits: &[(&str, &str)],
) -> String {
    let limits: Vec<String> = limits
        .iter()
        .map(|(name, value)| format!("  {name}: {value}"))
        .collect();
    format!(
        "auth_enabled: false
server:
  http_listen_address: 127.0.0.1
  http_listen_port: {http_port}
  grpc_listen_address: 127.0.0.1
  grpc_listen_port: {grpc_port}
  log_level: error
common:
  instance_addr: 127.0.0.1
  path_prefix: {dir}
  replication_factor: 1
  ring: {{kvstore: {{store: inmemory}}}}
  storage:
    filesystem:
      chunks_directory: {dir}/chunks
      rules_directory: {dir}/rules
schema_config:
  configs:
    - from: 2020-10-24
      store: tsdb
      object_store: filesystem
      schema: v13
      index: {{prefix: index_, period: 24h}}
ingester:
  lifecycler: {{min_ready_duration: 0s, final_sleep: 0s}}
pattern_ingester:
  enabled: true
  lifecycler: {{min_ready_duration: 0s, final_sleep: 0s}}
compactor:
  retention_enabled: true
  delete_request_store: filesystem
storage_config:
  use_thanos_objstore: true
  object_store: {{filesystem: {{dir: {dir}/chunks}}}}
ruler:
  enable_api: true
  rule_path: {dir}/rules-temp
ruler_storage:
  backend: filesystem
  filesystem: {{dir: {dir}/log-rules}}
analytics:
  reporting_enabled: false
limits_config:
  allow_deletes: true
{limits}
",
        http_port = address.port(),
        grpc_port = grpc.port(),
        dir = dir.path().display(),
        limits = limits.join("\n"),
    )
}
