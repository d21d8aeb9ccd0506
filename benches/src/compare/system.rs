//! The systems under test: how each is started, what it is asked, what it costs.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::client::Client;
use super::report::{Row, Table, Unit};

/// A system that can be measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Kymo,
    Prometheus,
    VictoriaMetrics,
}

impl System {
    pub(crate) const ALL: [System; 3] = [System::Kymo, System::Prometheus, System::VictoriaMetrics];

    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Kymo => "kymo",
            System::Prometheus => "prometheus",
            System::VictoriaMetrics => "victoria-metrics",
        }
    }

    fn ready_path(self) -> &'static str {
        match self {
            System::Kymo | System::Prometheus => "/-/ready",
            System::VictoriaMetrics => "/health",
        }
    }

    fn command(self, program: &Path, dir: &Path, port: u16) -> anyhow::Result<Command> {
        let listen = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        match self {
            System::Kymo => {
                let config = dir.join("kymo.yml");
                fs::write(&config, configuration(dir))?;
                command
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.path={}", dir.join("data").display()))
                    .arg(format!("--web.listen-address={listen}"));
            }
            System::Prometheus => {
                let config = dir.join("prometheus.yml");
                fs::write(&config, configuration(dir))?;
                command
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!(
                        "--storage.tsdb.path={}",
                        dir.join("data").display()
                    ))
                    .arg(format!("--web.listen-address={listen}"))
                    .arg("--storage.tsdb.retention.time=200h")
                    .arg("--web.enable-remote-write-receiver")
                    .arg("--enable-feature=native-histograms");
            }
            System::VictoriaMetrics => {
                command
                    .arg(format!("-storageDataPath={}", dir.join("data").display()))
                    .arg(format!("-httpListenAddr={listen}"))
                    .arg("-retentionPeriod=200h")
                    .arg("-search.latencyOffset=0s");
                let jobs = dir.join("jobs.yml");
                if jobs.is_file() {
                    command.arg(format!("-promscrape.config={}", jobs.display()));
                }
            }
        }
        Ok(command)
    }

    /// Finds the program of a peer; `None` where it is not installed.
    pub(crate) fn program(self, kymo: &Path) -> Option<PathBuf> {
        if self == System::Kymo {
            return Some(kymo.to_owned());
        }
        installed(self.name())
    }
}

/// Finds a program; `None` where it is not installed.
pub(super) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// No targets, so that nothing but the load is measured, unless the folder has jobs; rules
/// where it has some.
fn configuration(dir: &Path) -> String {
    if let Ok(jobs) = fs::read_to_string(dir.join("jobs.yml")) {
        return jobs;
    }
    let rules = match dir.join("rules.yml").is_file() {
        true => "rule_files: [rules.yml]\n",
        false => "",
    };
    format!("scrape_configs: []\n{rules}")
}

/// A started system. It is killed when dropped.
pub(crate) struct Running {
    pub(crate) system: System,
    pub(crate) client: Client,
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    child: Child,
}

impl Running {
    /// Starts a system on a free port and an own folder and waits until it is ready.
    pub(crate) fn start(system: System, program: &Path, dir: &Path) -> anyhow::Result<Running> {
        fs::create_dir_all(dir)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = spawn(system, program, dir, port)?;
        let mut running = Running {
            system,
            client: Client::new(port),
            program: program.to_owned(),
            dir: dir.to_owned(),
            port,
            child,
        };
        running.wait_ready()?;
        Ok(running)
    }

    /// Returns a client on a connection of its own.
    pub(crate) fn new_client(&self) -> Client {
        Client::new(self.port)
    }

    fn wait_ready(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(120) {
            self.client = Client::new(self.port);
            if let Ok(answer) = self.client.get(self.system.ready_path())
                && answer.status == 200
            {
                return Ok(start.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = self.dir.join("log");
                bail!(
                    "{} stopped with {status}, see {}",
                    self.system.name(),
                    log.display()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("{} was not ready within two minutes", self.system.name())
    }

    /// Kills with SIGKILL, starts again on the same data, and returns the time until ready.
    pub(crate) fn kill_and_restart(&mut self) -> anyhow::Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(self.system, &self.program, &self.dir, self.port)?;
        self.wait_ready()
    }

    /// Stops with SIGTERM, starts again on the same data, and returns the time until ready.
    pub(crate) fn stop_and_restart(&mut self) -> anyhow::Result<Duration> {
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        self.child = spawn(self.system, &self.program, &self.dir, self.port)?;
        self.wait_ready()
    }

    /// Returns the anonymous memory held now, in bytes.
    pub(crate) fn anonymous_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("RssAnon:")
    }

    /// Returns the CPU seconds used so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds_of(self.child.id())
    }

    /// Returns where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until the system has used less than 20 ms of CPU in half a second,
    /// so that work it put off is counted too; 20 s at most.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        let mut before = self.cpu_seconds()?;
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(500));
            let now = self.cpu_seconds()?;
            if now - before < 0.02 {
                return Ok(());
            }
            before = now;
        }
        Ok(())
    }

    /// Returns the peak of resident memory in bytes.
    pub(crate) fn peak_rss_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        let kib = kib.with_context(|| format!("no {name} in the status"))?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Returns the folder of its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Returns the bytes that its data take on disk.
    pub(crate) fn disk_bytes(&self) -> anyhow::Result<u64> {
        folder_bytes(&self.data())
    }

    /// Tells whether a block is being written now: there is a folder with a temporary name.
    pub(crate) fn writes_block(&self) -> bool {
        let is_temporary =
            |name: &str| name.ends_with(".tmp") || name.contains(".tmp-for-creation");
        ["", "blocks"].iter().any(|below| {
            let entries = fs::read_dir(self.data().join(below)).into_iter().flatten();
            let mut names = entries.flatten().map(|entry| entry.file_name());
            names.any(|name| name.to_str().is_some_and(is_temporary))
        })
    }

    /// Notes a value of this system.
    pub(crate) fn set(&self, table: &mut Table, text: String, unit: Unit, value: f64) {
        table.set(Row { text, unit }, self.system.name(), value);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(system: System, program: &Path, dir: &Path, port: u16) -> anyhow::Result<Child> {
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

/// Returns the CPU seconds that a process has used so far, user and system.
pub(crate) fn cpu_seconds_of(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').context("no name in stat")?.1;
    let mut ticks = 0u64;
    for field in after_name.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u64>()?;
    }
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Adds up allocated blocks, not lengths: files may be preallocated or sparse.
pub(crate) fn folder_bytes(dir: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(meta) = entry.metadata() else { continue };
        sum += if meta.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            meta.blocks() * 512
        };
    }
    Ok(sum)
}
