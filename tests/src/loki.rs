//! A Loki that a variable of the environment names, as a child process.
//!
//! It is one process with everything in it, keeps its files in a directory of its own,
//! has limits that no test meets, keeps entries of any age in memory, and neither splits,
//! shards nor caches queries.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::http::Client;
use crate::server::wait_until;

/// The variable that says where the program is.
pub const LOKI_VARIABLE: &str = "KYMO_LOKI";
/// How long it may take to be ready, on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running Loki. Dropping it kills it.
#[derive(Debug)]
pub struct Loki {
    child: Child,
    client: Client,
    _dir: tempfile::TempDir,
}

impl Drop for Loki {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Loki {
    /// Starts the program that [`LOKI_VARIABLE`] names and waits until it takes entries;
    /// `None`, with a word about it, where there is no such variable.
    pub fn start() -> Option<Loki> {
        Loki::start_with("")
    }

    /// Starts it with further lines of `limits_config`, each indented by two spaces.
    pub fn start_with(limits: &str) -> Option<Loki> {
        let Some(program) = std::env::var_os(LOKI_VARIABLE) else {
            #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
            {
                println!("skipped: {LOKI_VARIABLE} does not name a Loki");
            }
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        // Both listeners are held until both ports are known, so that they differ.
        let free = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [http, grpc] = [0, 1].map(|n| free[n].local_addr().unwrap());
        drop(free);
        let config = dir.path().join("loki.yaml");
        std::fs::write(&config, configuration(dir.path(), http, grpc, limits)).unwrap();
        let child = Command::new(&program)
            .arg(format!("-config.file={}", config.display()))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let loki = Loki {
            child,
            client: Client::new(http),
            _dir: dir,
        };
        wait_until("Loki", START_LIMIT, || {
            let answer = loki.client.try_call("GET", "/ready", &[], b"");
            answer.is_ok_and(|answer| answer.status == 200)
        });
        Some(loki)
    }

    /// Returns the client for its address.
    pub fn client(&self) -> Client {
        self.client
    }
}

fn configuration(dir: &Path, http: SocketAddr, grpc: SocketAddr, limits: &str) -> String {
    let dir = dir.display();
    let (http, grpc) = (http.port(), grpc.port());
    format!(
        "auth_enabled: false
analytics:
  reporting_enabled: false
server:
  http_listen_address: 127.0.0.1
  http_listen_port: {http}
  grpc_listen_address: 127.0.0.1
  grpc_listen_port: {grpc}
  log_level: error
common:
  instance_addr: 127.0.0.1
  path_prefix: {dir}
  replication_factor: 1
  storage:
    filesystem:
      chunks_directory: {dir}/chunks
      rules_directory: {dir}/rules
  ring:
    kvstore:
      store: inmemory
schema_config:
  configs:
    - from: 2020-01-01
      store: tsdb
      object_store: filesystem
      schema: v13
      index:
        prefix: index_
        period: 24h
ingester:
  query_store_max_look_back_period: -1ns
  chunk_idle_period: 200000h
  max_chunk_age: 200000h
  lifecycler:
    min_ready_duration: 0s
    final_sleep: 0s
  wal:
    enabled: false
frontend:
  encoding: protobuf
query_range:
  align_queries_with_step: false
  cache_results: false
  max_retries: 1
  parallelise_shardable_queries: false
limits_config:
  split_queries_by_interval: 0
  split_instant_metric_queries_by_interval: 0
  reject_old_samples: false
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 1GB
  max_query_length: 0
  max_query_series: 100000
{limits}"
    )
}
