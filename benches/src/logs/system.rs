//! The systems that take logs: how each is started, asked and measured.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::queries::Asked;
use crate::compare::client::Client;
use crate::compare::system::{cpu_seconds_of, folder_bytes};

/// A system that takes logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LogSystem {
    Kymo,
    VictoriaLogs,
    Loki,
}

/// Accepts what is old: the lines are of one day, whenever they are pushed.
const KYMO_CONFIG: &str = "limits_config:\n  reject_old_samples: false\n";

const LOKI_CONFIG: &str = "auth_enabled: false
server: {http_listen_address: 127.0.0.1, http_listen_port: PORT, grpc_listen_port: 0, log_level: warn}
common:
  path_prefix: DIR/data
  replication_factor: 1
  ring: {instance_addr: 127.0.0.1, kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: DIR/data/chunks, rules_directory: DIR/data/rules}}
schema_config:
  configs:
    - {from: 2020-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: i_, period: 24h}}
limits_config:
  reject_old_samples: false
  ingestion_rate_mb: 10000
  ingestion_burst_size_mb: 10000
  per_stream_rate_limit: 10GB
  per_stream_rate_limit_burst: 10GB
  max_query_series: 10000
  query_timeout: 5m
querier: {query_ingesters_within: 0}
ingester: {query_store_max_look_back_period: -1ns}
analytics: {reporting_enabled: false}
";

impl LogSystem {
    pub(super) fn name(self) -> &'static str {
        match self {
            LogSystem::Kymo => "kymo",
            LogSystem::VictoriaLogs => "victoria-logs",
            LogSystem::Loki => "loki",
        }
    }

    fn ready_path(self) -> &'static str {
        match self {
            LogSystem::Kymo => "/-/ready",
            LogSystem::VictoriaLogs => "/health",
            LogSystem::Loki => "/ready",
        }
    }

    pub(super) fn push_path(self) -> &'static str {
        match self {
            LogSystem::VictoriaLogs => "/insert/loki/api/v1/push",
            LogSystem::Kymo | LogSystem::Loki => "/loki/api/v1/push",
        }
    }

    /// Returns what is asked for a query.
    pub(super) fn target(self, asked: &Asked) -> String {
        let (start, end) = (asked.start_ns, asked.end_ns);
        if self != LogSystem::VictoriaLogs {
            let query = encoded(&asked.logql);
            return format!(
                "/loki/api/v1/query_range?query={query}&start={start}&end={end}&step=60&limit=1000"
            );
        }
        let query = encoded(asked.logsql.as_deref().unwrap_or("*"));
        match asked.counts {
            true => format!(
                "/select/logsql/stats_query_range?query={query}&start={start}&end={end}&step=1m"
            ),
            false => {
                format!("/select/logsql/query?query={query}&start={start}&end={end}&limit=1000")
            }
        }
    }

    fn command(self, program: &Path, dir: &Path, port: u16) -> anyhow::Result<Command> {
        let mut command = Command::new(program);
        let data = dir.join("data");
        match self {
            LogSystem::Kymo => {
                let config = dir.join("kymo.yml");
                fs::write(&config, KYMO_CONFIG)?;
                command
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.path={}", data.display()))
                    .arg("--storage.logs.retention.time=0")
                    .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            }
            LogSystem::VictoriaLogs => {
                command
                    .arg(format!("-storageDataPath={}", data.display()))
                    .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                    .arg("-retentionPeriod=100y");
            }
            LogSystem::Loki => {
                let config = dir.join("loki.yml");
                let text = LOKI_CONFIG.replace("PORT", &port.to_string());
                fs::write(&config, text.replace("DIR", &dir.display().to_string()))?;
                command.arg(format!("-config.file={}", config.display()));
            }
        }
        Ok(command)
    }
}

/// Returns text as a parameter has it.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A started system. It is killed when dropped.
pub(super) struct RunningLogs {
    pub(super) system: LogSystem,
    pub(super) client: Client,
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    child: Child,
}

impl RunningLogs {
    /// Starts a system in a folder of its own and waits until it is ready.
    pub(super) fn start(
        system: LogSystem,
        program: &Path,
        dir: &Path,
    ) -> anyhow::Result<RunningLogs> {
        fs::create_dir_all(dir)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut running = RunningLogs {
            system,
            client: Client::new(port),
            program: program.to_owned(),
            dir: dir.to_owned(),
            port,
            child: spawn(system, program, dir, port)?,
        };
        running.wait_ready()?;
        Ok(running)
    }

    fn wait_ready(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(120) {
            self.client = Client::new(self.port);
            if let Ok(answer) = self.client.get(self.system.ready_path())
                && answer.status == 200
            {
                return Ok(began.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = self.dir.join("log");
                bail!("it stopped with {status}, see {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("it was not ready within two minutes")
    }

    /// Kills with SIGKILL, starts again on the same data, and returns the time until ready.
    pub(super) fn kill_and_restart(&mut self) -> anyhow::Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(self.system, &self.program, &self.dir, self.port)?;
        self.wait_ready()
    }

    /// Has everything written to files of the last form, where the system can be asked to.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        match self.system {
            LogSystem::VictoriaLogs => self.client.get("/internal/force_merge")?,
            LogSystem::Kymo | LogSystem::Loki => self.client.write("/flush", b"")?,
        };
        Ok(())
    }

    /// Waits until the system has used less than 20 ms of CPU in half a second; 30 s at most.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        let mut before = self.cpu_seconds()?;
        for _ in 0..60 {
            std::thread::sleep(Duration::from_millis(500));
            let now = self.cpu_seconds()?;
            if now - before < 0.02 {
                return Ok(());
            }
            before = now;
        }
        Ok(())
    }

    /// Returns the CPU seconds used so far, user and system.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds_of(self.child.id())
    }

    /// Returns the anonymous memory held now, in bytes.
    pub(super) fn anonymous_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("RssAnon:")
    }

    /// Returns the peak of resident memory in bytes.
    pub(super) fn peak_rss_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        let kib = kib.with_context(|| format!("no {name} in the status"))?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Returns the bytes that its data take on disk.
    pub(super) fn disk_bytes(&self) -> anyhow::Result<u64> {
        folder_bytes(&self.dir.join("data"))
    }
}

impl Drop for RunningLogs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(system: LogSystem, program: &Path, dir: &Path, port: u16) -> anyhow::Result<Child> {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))?;
    system
        .command(program, dir, port)?
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", program.display()))
}
