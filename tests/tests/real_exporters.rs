//! Exporters of Debian with the real servers behind them, scraped by Kymo and by a real
//! Prometheus side by side: what was done to a server is what its series say, both have the
//! same series, and both see it when the server dies.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Client, Kymo, Peer, wait_until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// A server that ends with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // A word first: a database that is killed leaves its helpers to find out.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn is_there(program: &Path) -> bool {
    let there = program.is_file();
    if !there {
        println!("skipped: {} is not installed", program.display());
    }
    there
}

fn spawn(command: &mut Command, port: u16) -> Server {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let server = Server {
        child: quiet.spawn().unwrap(),
        port,
    };
    wait_until("the server listens", LIMIT, || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    server
}

fn redis(dir: &Path) -> Option<Server> {
    let program = Path::new("/usr/bin/redis-server");
    if !is_there(program) {
        return None;
    }
    let port = free_port();
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .args(["--bind", "127.0.0.1", "--save", ""]);
    command.args(["--port", &port.to_string()]);
    Some(spawn(&mut command, port))
}

/// Sends commands to a Redis server, and reads an answer of one line to each.
fn tell_redis(server: &Server, commands: &[&str]) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    for command in commands {
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(!answer.starts_with(b"-"), "{command}");
    }
}

/// Finds the programs of the newest PostgreSQL that is installed.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("postgres").is_file())
        .collect();
    found.sort();
    if found.is_empty() {
        println!("skipped: postgresql is not installed");
    }
    found.pop()
}

/// PostgreSQL does not run as root: root starts it as the user that Debian has for it.
fn unprivileged(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let id = |flag| {
            let output = Command::new("id")
                .args([flag, "postgres"])
                .output()
                .unwrap();
            String::from_utf8(output.stdout)
                .unwrap()
                .trim()
                .parse()
                .unwrap()
        };
        let (user, group): (u32, u32) = (id("-u"), id("-g"));
        chown(dir, Some(user), Some(group)).unwrap();
        command.uid(user).gid(group);
    }
    command
}

fn postgres(programs: &Path, dir: &Path) -> Server {
    let made = unprivileged(&programs.join("initdb"), dir)
        .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D", "data"])
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let port = free_port();
    let mut command = unprivileged(&programs.join("postgres"), dir);
    command.args(["-D", "data", "-p", &port.to_string()]);
    for setting in [
        "fsync=off",
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
    ] {
        command.args(["-c", setting]);
    }
    spawn(&mut command, port)
}

fn tell_postgres(programs: &Path, server: &Server, statement: &str) {
    let port = server.port.to_string();
    let told = || {
        let args = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-c",
            statement,
        ];
        let output = Command::new(programs.join("psql")).args(args).output();
        output.unwrap().status.success()
    };
    // It listens before it is through with starting.
    wait_until(statement, LIMIT, told);
}

fn now_s() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64()
}

/// Evaluates a query, and returns labels and value of each series.
fn vector(client: Client, query: &str, time_s: f64) -> Vec<(String, f64)> {
    let params = [("query", query), ("time", &time_s.to_string())];
    let answer = client.post_form("/api/v1/query", &params).json();
    let Some(result) = answer["data"]["result"].as_array() else {
        panic!("{query}: {answer}");
    };
    let value = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
    result
        .iter()
        .map(|sample| (sample["metric"].to_string(), value(sample)))
        .collect()
}

fn value(client: Client, query: &str) -> Option<f64> {
    let found = vector(client, query, now_s());
    found.first().map(|(_, value)| *value)
}

/// Kymo and Prometheus, which scrape the same exporter as job `exporter`.
struct Both {
    kymo: Kymo,
    prometheus: Peer,
    _dir: tempfile::TempDir,
}

impl Both {
    fn start(exporter: SocketAddr) -> Option<Both> {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
             - job_name: exporter\n  static_configs: [{{targets: ['{exporter}']}}]\n"
        );
        std::fs::write(path("prometheus.yml"), text).unwrap();
        let config = format!("--config.file={}", path("prometheus.yml"));
        let data = format!("--storage.tsdb.path={}", path("theirs"));
        let prometheus = Peer::start("prometheus", dir.path(), &[&config, &data])?;
        prometheus.wait_ready();
        Some(Both {
            kymo: Kymo::start_in(dir.path(), &[&config]),
            prometheus,
            _dir: dir,
        })
    }

    /// Waits until a query gives the same value on both, which is `expected`.
    fn wait_for(&self, query: &str, expected: f64) {
        wait_until(query, LIMIT, || {
            let clients = [self.kymo.client(), self.prometheus.client()];
            clients
                .iter()
                .all(|client| value(*client, query) == Some(expected))
        });
    }

    /// Waits until both have the same series. Those of summaries and histograms are left
    /// out: newer releases of Prometheus write the numbers in their labels in one form.
    fn wait_for_the_same_series(&self, least: usize) {
        let query = "{job=\"exporter\",quantile=\"\",le=\"\"}";
        wait_until("the same series", LIMIT, || {
            let time_s = now_s();
            let labels = |client| {
                let series = vector(client, query, time_s).into_iter();
                series.map(|(labels, _)| labels).collect::<BTreeSet<_>>()
            };
            let ours = labels(self.kymo.client());
            ours.len() >= least && ours == labels(self.prometheus.client())
        });
    }
}

#[test]
fn a_redis_server_is_seen_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = redis(dir.path()) else {
        return;
    };
    let address = format!("--redis.addr=redis://127.0.0.1:{}", server.port);
    let Some(exporter) = Peer::start("prometheus-redis-exporter", dir.path(), &[&address]) else {
        return;
    };
    let Some(both) = Both::start(exporter.address()) else {
        return;
    };
    both.wait_for("redis_up", 1.0);
    tell_redis(
        &server,
        &["SET a 1", "SET b 2", "INCR b", "SELECT 3", "SET c 3"],
    );
    both.wait_for("redis_db_keys{db=\"db0\"}", 2.0);
    both.wait_for("redis_db_keys{db=\"db3\"}", 1.0);
    both.wait_for("redis_commands_total{cmd=\"set\"}", 3.0);
    both.wait_for_the_same_series(150);
    drop(server);
    both.wait_for("redis_up", 0.0);
    both.wait_for("up{job=\"exporter\"}", 1.0);
    drop(exporter);
    both.wait_for("up{job=\"exporter\"}", 0.0);
    assert!(both.kymo.terminate().success());
}

#[test]
fn a_postgresql_server_is_seen_as_it_is() {
    let Some(programs) = postgres_programs() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    // Another user has to come to its own folder.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let own = dir.path().join("postgres");
    std::fs::create_dir(&own).unwrap();
    let server = postgres(&programs, &own);
    tell_postgres(&programs, &server, "create database shop");
    let source = format!(
        "postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable",
        server.port
    );
    let variables = [("DATA_SOURCE_NAME", source.as_str())];
    let program = "prometheus-postgres-exporter";
    let Some(exporter) = Peer::start_with(program, dir.path(), &[], &variables) else {
        return;
    };
    let Some(both) = Both::start(exporter.address()) else {
        return;
    };
    both.wait_for("pg_up", 1.0);
    both.wait_for("count(pg_database_size_bytes{datname=\"shop\"} > 0)", 1.0);
    tell_postgres(&programs, &server, "alter system set work_mem = '7MB'");
    tell_postgres(&programs, &server, "select pg_reload_conf()");
    both.wait_for("pg_settings_work_mem_bytes", 7.0 * 1024.0 * 1024.0);
    both.wait_for_the_same_series(300);
    drop(server);
    // The exporter either says so or tries for longer than a scrape may take.
    both.wait_for("max(pg_up) or vector(0)", 0.0);
    assert!(both.kymo.terminate().success());
}
