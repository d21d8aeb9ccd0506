//! The commands that look into a data directory, as programs of their own.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use kymo_tests::{Client, Kymo, Peer, WriteBody, wait_until};

fn tsdb(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kymo-e2e"))
        .current_dir(dir)
        .arg("tsdb")
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_stopped_store_is_dumped_and_one_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::start_in(dir.path(), &[]);
    let labels = [("__name__", "m"), ("job", "a b")];
    let body = WriteBody::new().series(&labels, &[(1_700_000_000_000, 0.1)]);
    assert_eq!(kymo.write(&body).status, 204);

    let refused = tsdb(dir.path(), &["dump"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    assert!(
        error.contains("is in use by a server; stop the server first"),
        "{error}"
    );

    assert!(kymo.terminate().success());
    let dumped = tsdb(dir.path(), &["dump"]);
    assert_eq!(dumped.status.code(), Some(0), "{}", text(&dumped.stderr));
    let line = "{__name__=\"m\", job=\"a b\"} 0.1 1700000000000\n";
    assert_eq!(text(&dumped.stdout), line);
    // Looking changes nothing.
    let again = tsdb(dir.path(), &["dump", "data"]);
    assert_eq!(text(&again.stdout), line);
}

#[test]
fn wrong_command_lines_are_told_what_would_be_right() {
    let dir = tempfile::tempdir().unwrap();
    let help = tsdb(dir.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Print samples, one a line"));
    let typo = tsdb(dir.path(), &["dmp"]);
    assert_eq!(typo.status.code(), Some(1));
    assert!(
        text(&typo.stderr).contains("dump"),
        "{}",
        text(&typo.stderr)
    );
    let missing = tsdb(dir.path(), &["dump", "nowhere"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("nowhere"));
}

const PROMTOOL: &str = "promtool";

/// Runs promtool; `None` where it is not installed.
fn promtool(dir: &Path, args: &[&str]) -> Option<String> {
    match Command::new(PROMTOOL).current_dir(dir).args(args).output() {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{args:?}: {}",
                text(&output.stderr)
            );
            Some(text(&output.stdout))
        }
        Err(_) => {
            println!("tsdb: skipped, {PROMTOOL} is not installed");
            None
        }
    }
}

/// Lines in order, because promtool prints series in an order of its own.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Samples of three series over thirty hours, with values of all kinds.
fn openmetrics() -> String {
    let mut lines = String::new();
    for (series, every) in [("a{x=\"1\"}", 60), ("a{x=\"2\"}", 15), ("b_total", 600)] {
        for k in 0..(30 * 3600 / every) {
            let value = match k % 5 {
                0 => f64::from(k) * 0.1,
                1 => f64::from(k).sqrt(),
                2 => f64::INFINITY,
                3 => -0.0,
                _ => 1e-300,
            };
            let value = match value.is_infinite() {
                true => "+Inf".to_owned(),
                false => format!("{value:e}"),
            };
            lines.push_str(&format!("{series} {value} {}\n", 1_700_000_000 + k * every));
        }
    }
    lines + "# EOF\n"
}

#[test]
fn blocks_of_prometheus_come_in_and_go_out_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("in.om"), openmetrics()).unwrap();
    let create = [
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "in.om",
        "theirs",
    ];
    if promtool(at, &create).is_none() {
        return;
    }
    std::fs::create_dir(at.join("theirs/wal")).unwrap();
    let theirs = promtool(at, &["tsdb", "dump", "theirs"]).unwrap();
    assert_eq!(theirs.lines().count(), 1800 + 7200 + 180);

    let imported = tsdb(at, &["import", "theirs", "ours"]);
    let log = text(&imported.stdout);
    assert_eq!(
        imported.status.code(),
        Some(0),
        "{}",
        text(&imported.stderr)
    );
    assert!(log.contains("2023-11-14 22:13:20 +0000 UTC"), "{log}");
    assert!(log.contains("in no block yet"), "{log}");
    let ours = tsdb(at, &["dump", "ours"]);
    assert_eq!(sorted(&text(&ours.stdout)), sorted(&theirs));

    let listed = text(&tsdb(at, &["list", "ours"]).stdout);
    assert!(listed.starts_with("BLOCK ULID "), "{listed}");
    let newest = listed.lines().last().unwrap().split(' ').next().unwrap();
    let analysed = text(&tsdb(at, &["analyze", "ours", newest]).stdout);
    assert!(
        analysed.starts_with(&format!("Block ID: {newest}\nDuration: ")),
        "{analysed}"
    );
    assert!(analysed.contains("\nTotal Series: 3\n"), "{analysed}");
    let unknown = tsdb(at, &["analyze", "ours", "01BX5ZZKBKACTAV9WEVGEMMVRY"]);
    assert!(text(&unknown.stderr).contains("invalid block ID 01BX5ZZKBKACTAV9WEVGEMMVRY"));
    let sound = tsdb(at, &["scrub", "ours"]);
    assert_eq!(sound.status.code(), Some(0), "{}", text(&sound.stderr));
    assert!(
        text(&sound.stdout).starts_with("no damage in "),
        "{}",
        text(&sound.stdout)
    );

    let exported = tsdb(at, &["export", "back", "ours"]);
    assert_eq!(
        exported.status.code(),
        Some(0),
        "{}",
        text(&exported.stderr)
    );
    std::fs::create_dir(at.join("back/wal")).unwrap();
    let back = promtool(at, &["tsdb", "dump", "back"]).unwrap();
    assert_eq!(sorted(&back), sorted(&theirs));
    let listed = promtool(at, &["tsdb", "list", "back"]).unwrap();
    // A line of titles there, and one of advice here.
    assert_eq!(
        listed.lines().count(),
        text(&exported.stdout).lines().count()
    );
    served_by_prometheus(at, "back");
    let analysed = promtool(at, &["tsdb", "analyze", "back"]).unwrap();
    assert!(analysed.contains("Series: 3\n"), "{analysed}");
    let part = tsdb(
        at,
        &[
            "export",
            "part",
            "ours",
            "--min-time=1700000000000",
            "--max-time=1700000060000",
        ],
    );
    assert_eq!(part.status.code(), Some(0), "{}", text(&part.stderr));
    std::fs::create_dir(at.join("part/wal")).unwrap();
    let part = promtool(at, &["tsdb", "dump", "part"]).unwrap();
    assert_eq!(part.lines().count(), 2 + 5 + 1);
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets a real Prometheus serve exported blocks.
fn served_by_prometheus(dir: &Path, data: &str) {
    std::fs::write(dir.join("empty.yml"), "").unwrap();
    let data = format!("--storage.tsdb.path={data}");
    let args = ["--config.file=empty.yml", &data];
    let Some(prometheus) = Peer::start("prometheus", dir, &args) else {
        return;
    };
    prometheus.wait_ready();
    let client = prometheus.client();
    for (query, expected) in [
        ("count_over_time(a{x=\"2\"}[31h])", "7200"),
        ("count_over_time(b_total[31h])", "180"),
        ("a{x=\"1\"} @ 1700000180", "-0"),
    ] {
        let params = [("query", query), ("time", "1700109000")];
        let answer = client.post_form("/api/v1/query", &params).json();
        let value = &answer["data"]["result"][0]["value"][1];
        assert_eq!(value, expected, "{query}: {answer}");
    }
}

#[test]
fn scrub_names_a_damaged_block() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("in.om"), openmetrics()).unwrap();
    let create = [
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "in.om",
        "theirs",
    ];
    if promtool(at, &create).is_none() {
        return;
    }
    assert_eq!(
        tsdb(at, &["import", "theirs", "ours"]).status.code(),
        Some(0)
    );
    let blocks = at.join("ours/blocks");
    let block = std::fs::read_dir(&blocks).unwrap().next().unwrap().unwrap();
    let data = block.path().join("data");
    let mut bytes = std::fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let scrubbed = tsdb(at, &["scrub", "ours"]);
    assert_eq!(scrubbed.status.code(), Some(1));
    let name = block.file_name().into_string().unwrap();
    assert!(text(&scrubbed.stdout).contains(&format!("set aside as {name}.damaged")));
    assert!(text(&scrubbed.stderr).contains("one place is damaged"));
    assert!(blocks.join(format!("{name}.damaged")).is_dir());
    assert_eq!(tsdb(at, &["scrub", "ours"]).status.code(), Some(0));
}

/// Exports of a real VictoriaMetrics; `None` where it is not installed.
fn exported_by_victoriametrics(dir: &Path, text: &str, n_lines: usize) -> Option<Vec<u8>> {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let child = Command::new("victoria-metrics")
        .arg(format!("-httpListenAddr={address}"))
        .arg(format!("-storageDataPath={}", dir.join("vm").display()))
        .arg("-retentionPeriod=100y")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        println!("tsdb: skipped, victoria-metrics is not installed");
        return None;
    };
    let _process = Process(child);
    let client = Client::new(address);
    let limit = Duration::from_secs(60);
    wait_until("victoria-metrics is ready", limit, || {
        let health = client.try_call("GET", "/health", &[], b"");
        health.is_ok_and(|answer| answer.status == 200)
    });
    let target = "/api/v1/import/prometheus";
    assert_eq!(
        client.call("POST", target, &[], text.as_bytes()).status,
        204
    );
    let mut exported = Vec::new();
    wait_until("everything can be exported", limit, || {
        client.get("/internal/force_flush");
        let all = [("match[]", "{__name__!=\"\"}")];
        exported = client.post_form("/api/v1/export", &all).body;
        exported.iter().filter(|&&byte| byte == b'\n').count() == n_lines
    });
    Some(exported)
}

#[test]
fn an_export_of_victoriametrics_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let written = "b_total{job=\"a \\\"b\"} 1 1600000000000\n\
        b_total{job=\"a \\\"b\"} 2.5 1600000015000\n\
        a +Inf 1600000000001\na -Inf 1600000001000\nz 1e-300 1500000000000\n";
    let Some(exported) = exported_by_victoriametrics(at, written, 3) else {
        return;
    };
    let import = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kymo-e2e"))
            .current_dir(at)
            .args(["tsdb", "import", "-", "ours"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Dropped at the end of the statement, which ends the input.
        child.stdin.take().unwrap().write_all(&exported).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let first = import();
    assert!(
        first.starts_with("5 samples read: 5 stored in 2 blocks, 0 repeated; 0 lines refused"),
        "{first}"
    );
    let second = import();
    assert!(
        second.starts_with("5 samples read: 0 stored in 0 blocks, 5 repeated"),
        "{second}"
    );
    let dumped = tsdb(at, &["dump", "ours"]);
    let expected = "\
{__name__=\"a\"} +Inf 1600000000001
{__name__=\"a\"} -Inf 1600000001000
{__name__=\"b_total\", job=\"a \\\"b\"} 1 1600000000000
{__name__=\"b_total\", job=\"a \\\"b\"} 2.5 1600000015000
{__name__=\"z\"} 1e-300 1500000000000
";
    assert_eq!(text(&dumped.stdout), expected);

    let mut half = exported.clone();
    half.truncate(exported.len() - 10);
    std::fs::write(at.join("half.json"), half).unwrap();
    let refused = tsdb(at, &["import", "half.json", "ours"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stdout).contains("refused: 1 lines not in the format"),
        "{}",
        text(&refused.stdout)
    );
}
