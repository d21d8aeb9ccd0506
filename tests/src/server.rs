//! Starting, asking, stopping and killing the real server.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::http::{Answer, Client, encode};
use crate::write::WriteBody;

/// How long a server may take to be ready, on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end when it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A running server process. Dropping it kills it.
#[derive(Debug)]
pub struct Kymo {
    child: Child,
    client: Client,
    data: PathBuf,
    log: Arc<Mutex<String>>,
    /// Held so that the directory lives as long as the server.
    _owned: Option<tempfile::TempDir>,
}

impl Kymo {
    /// Starts a server with an empty data directory of its own, on a free port of
    /// the loopback interface, and waits until it is ready. Unless `args` has a
    /// `--config.file`, nothing is scraped.
    pub fn start(args: &[&str]) -> Kymo {
        let owned = tempfile::tempdir().unwrap();
        let mut kymo = Kymo::start_in(owned.path(), args);
        kymo._owned = Some(owned);
        kymo
    }

    /// Starts a server whose working directory is `dir` and whose data is in
    /// `dir/data`; both stay when it ends.
    pub fn start_in(dir: &Path, args: &[&str]) -> Kymo {
        let mut kymo = Kymo::spawn_in(dir, args);
        kymo.wait_ready();
        kymo
    }

    /// Starts a server as [`Kymo::start_in`], but waits only until it listens.
    pub fn spawn_in(dir: &Path, args: &[&str]) -> Kymo {
        let data = dir.join("data");
        let mut command = Command::new(program());
        command
            .current_dir(dir)
            .arg("--web.listen-address=127.0.0.1:0")
            .arg(format!("--storage.path={}", data.display()))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if !args.iter().any(|arg| arg.starts_with("--config.file")) {
            let empty = dir.join("empty.yml");
            std::fs::write(&empty, "").unwrap();
            command.arg(format!("--config.file={}", empty.display()));
        }
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, receiver) = std::sync::mpsc::channel();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some(address) = listening(&line) {
                    let _ = sender.send(address);
                }
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let Ok(address) = receiver.recv_timeout(START_LIMIT) else {
            let _ = child.kill();
            panic!("the server did not start: {}", log.lock().unwrap());
        };
        Kymo {
            child,
            client: Client::new(address),
            data,
            log,
            _owned: None,
        }
    }

    /// Waits until the server answers that it is ready.
    pub fn wait_ready(&mut self) {
        let end = Instant::now() + START_LIMIT;
        loop {
            let answer = self.client.try_call("GET", "/-/ready", &[], b"");
            if answer.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", self.log());
            }
            assert!(Instant::now() < end, "not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the client for the server's address.
    pub fn client(&self) -> Client {
        self.client
    }

    /// Returns the address the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// Returns the data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the server has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Asks with GET.
    pub fn get(&self, target: &str) -> Answer {
        self.client.get(target)
    }

    /// Evaluates a query at a time in seconds and returns the whole answer.
    pub fn instant(&self, query: &str, time_s: f64) -> serde_json::Value {
        let params = [("query", query), ("time", &time_s.to_string())];
        self.client.post_form("/api/v1/query", &params).json()
    }

    /// Evaluates a query over a range, all in seconds, and returns the whole answer.
    pub fn range(&self, query: &str, start_s: f64, end_s: f64, step_s: f64) -> serde_json::Value {
        let params = [
            ("query", query),
            ("start", &start_s.to_string()),
            ("end", &end_s.to_string()),
            ("step", &step_s.to_string()),
        ];
        self.client.post_form("/api/v1/query_range", &params).json()
    }

    /// Returns the label sets that satisfy selectors, as `/api/v1/series` answers.
    pub fn series(&self, selectors: &[&str]) -> serde_json::Value {
        let params: Vec<(&str, &str)> = selectors.iter().map(|s| ("match[]", *s)).collect();
        self.get(&format!("/api/v1/series?{}", encode(&params)))
            .json()
    }

    /// Sends a remote-write 1.0 request.
    pub fn write(&self, body: &WriteBody) -> Answer {
        self.write_bytes(&body.encode())
    }

    /// Sends bytes as a remote-write 1.0 request.
    pub fn write_bytes(&self, body: &[u8]) -> Answer {
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ];
        self.client.call("POST", "/api/v1/write", &headers, body)
    }

    /// Sends a signal by name, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "kill -{name}: {status}");
    }

    /// Asks the server to stop and waits for it.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until the server has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + STOP_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the server as a crash would: nothing is flushed or closed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Kymo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4000);
            let tail = (tail..=log.len()).find(|at| log.is_char_boundary(*at));
            #[allow(clippy::print_stderr, reason = "only a failing test comes here")]
            {
                eprintln!("log of the server:\n{}", &log[tail.unwrap_or(0)..]);
            }
        }
    }
}

/// Waits until `condition` holds, for at most `limit`; panics with `what` else.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the program, which lies beside the folder of the running test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test
        .ancestors()
        .find(|folder| folder.join("kymo-e2e").is_file());
    match folder {
        Some(folder) => folder.join("kymo-e2e"),
        None => panic!(
            "kymo-e2e is not beside {}; run the tests with cargo test -p kymo-tests",
            test.display()
        ),
    }
}

fn listening(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("msg=listening address=")?;
    address.split(' ').next()?.parse().ok()
}
