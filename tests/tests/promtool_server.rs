//! Commands that ask a server: what Debian's promtool prints of a Kymo is what Kymo prints
//! under its name, byte for byte.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use kymo_tests::{Kymo, WriteBody, wait_until};

const PROMTOOL: &str = "promtool";
const KYMO: &str = env!("CARGO_BIN_EXE_kymo-e2e");
const LIMIT: Duration = Duration::from_secs(60);

fn run(program: &str, dir: &Path, args: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command.current_dir(dir).args(args).output().ok()
}

fn kymo(dir: &Path, args: &[&str]) -> (i32, String, String) {
    texts(&run(KYMO, dir, args).unwrap())
}

fn texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap();
    (code, text(&output.stdout), text(&output.stderr))
}

#[test]
fn promtool_and_kymo_print_the_same_of_a_server() {
    let server = Kymo::start(&[]);
    let mut body = WriteBody::new();
    for (job, value) in [("a", 1.0), ("b\"c", 1e21), ("d", f64::NAN)] {
        let labels = [("__name__", "m"), ("job", job)];
        let samples: Vec<(i64, f64)> = (0..5)
            .map(|k| (1_600_000_000_000 + k * 15_000, value * k as f64))
            .collect();
        body.push_series(&labels, &samples);
    }
    assert_eq!(server.write(&body).status, 204);
    let url = format!("http://{}", server.address());
    let times = ["--start=1600000000", "--end=1600000060"];
    let instant = |query: &'static str| vec!["instant", "--time=1600000060.5", &url, query];
    let range = |query: &'static str, step: &'static str| {
        vec!["range", times[0], times[1], step, &url, query]
    };
    let lines = [
        instant("m"),
        instant("sum(m)"),
        instant("scalar(m{job=\"a\"})"),
        instant("1 / 0"),
        instant("nosuch"),
        instant("m{"),
        instant("rate(m)"),
        vec!["instant", "-o", "json", "--time=1600000060", &url, "m"],
        vec!["instant", "--time=2020-09-13T12:27:40Z", &url, "m"],
        vec!["instant", "--time=soon", &url, "m"],
        range("m", "--step=15s"),
        range("m{job=\"a\"}", "--step=1m"),
        range("nosuch", "--step=15s"),
        vec!["range", "--start=1600000060", "--end=1600000000", &url, "m"],
        vec!["series", "--match=m", times[0], times[1], &url],
        vec!["series", "--match=nosuch", &url],
        vec!["series", "--match={", &url],
        vec!["labels", times[0], times[1], &url, "job"],
        vec!["labels", &url, "nosuch"],
    ];
    let dir = tempfile::tempdir().unwrap();
    for line in lines {
        let args: Vec<&str> = std::iter::once("query").chain(line).collect();
        let ours: Vec<&str> = std::iter::once("promtool").chain(args.clone()).collect();
        let ours = kymo(dir.path(), &ours);
        match run(PROMTOOL, dir.path(), &args) {
            Some(theirs) => assert_eq!(ours, texts(&theirs), "{args:?}"),
            None => println!("promtool_server: skipped, {PROMTOOL} is not installed"),
        }
    }
    for what in ["healthy", "ready"] {
        let (code, out, err) = kymo(dir.path(), &["check", what, "--url", &url]);
        assert_eq!((code, out.as_str()), (0, ""));
        assert!(
            err.starts_with("  SUCCESS:  Prometheus Server is "),
            "{err}"
        );
        let wrong = format!("{url}/nosuch");
        let (code, _, err) = kymo(dir.path(), &["check", what, "--url", &wrong]);
        let text = format!("check failed: URL={wrong}, status=404\n");
        assert_eq!((code, err), (1, text));
    }
}

#[test]
fn metrics_are_pushed_and_state_is_collected() {
    let server = Kymo::start(&[]);
    let url = format!("http://{}", server.address());
    let dir = tempfile::tempdir().unwrap();
    let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 3\nh_count 2\nm{job=\"x\"} 5\n";
    std::fs::write(dir.path().join("m.prom"), text).unwrap();
    std::fs::write(dir.path().join("bad.prom"), "m 1").unwrap();
    let push = |files: &[&str]| {
        let args = ["push", "metrics", "--label=job=test", &url];
        let args: Vec<&str> = args.into_iter().chain(files.iter().copied()).collect();
        kymo(dir.path(), &args)
    };
    let (code, out, err) = push(&["m.prom"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "Parsing metrics file m.prom\n  SUCCESS: metrics file m.prom pushed to remote write.\n"
    );
    let series = server.series(&["{job=\"test\"}"]);
    // Two buckets, sum, count, and the metric whose own job is another label now.
    assert_eq!(series["data"].as_array().unwrap().len(), 5, "{series}");
    let (code, _, err) = push(&["bad.prom", "m.prom"]);
    assert_eq!(code, 1);
    assert!(err.contains("unexpected end of input stream"), "{err}");

    let (code, out, err) = kymo(dir.path(), &["debug", "all", &url]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(dir.path().join("debug.tar.gz").is_file());
    let (code, _, err) = kymo(dir.path(), &["debug", "pprof", &url]);
    assert!(code == 1 && err.contains("no profiles"), "{err}");
}

#[test]
fn files_in_openmetrics_become_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let text = "# TYPE a counter\na_total{b=\"c\"} 1 1600000000\na_total{b=\"c\"} 2 1600000015\n\
                a_total{b=\"c\"} 3 1610000000\n# EOF\n";
    std::fs::write(dir.path().join("a.om"), text).unwrap();
    std::fs::write(dir.path().join("bad.om"), "a 1\n# EOF\n").unwrap();
    let import = ["tsdb", "create-blocks-from", "openmetrics", "--label=x=y"];
    let with = |file: &'static str| {
        let args: Vec<&str> = import.into_iter().chain([file, "db"]).collect();
        kymo(dir.path(), &args)
    };
    let (code, out, err) = with("a.om");
    assert_eq!(code, 0, "{err}");
    assert!(
        out.starts_with("BLOCK ULID") && out.lines().count() == 3,
        "{out}"
    );
    let (_, out, _) = kymo(dir.path(), &["tsdb", "dump", "db"]);
    assert_eq!(out.lines().count(), 3, "{out}");
    let first = "{__name__=\"a_total\", b=\"c\", x=\"y\"} 1 1600000000000";
    assert!(out.starts_with(first), "{out}");
    let (code, _, err) = with("bad.om");
    assert!(
        code == 1 && err.contains("expected timestamp for series got none"),
        "{err}"
    );
}

#[test]
fn a_configuration_that_changes_is_loaded_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(dir.path().join("main.yml"), text).unwrap();
    write("global: {scrape_interval: 11s}\n");
    let flags = [
        "--config.file=main.yml",
        "--config.auto-reload",
        "--config.auto-reload-interval=1s",
    ];
    let server = Kymo::start_in(dir.path(), &flags);
    let shows = |text: &str| {
        let config = server.get("/api/v1/status/config").json();
        config["data"]["yaml"].as_str().unwrap().contains(text)
    };
    assert!(shows("scrape_interval: 11s"));
    wait_until("the first look", LIMIT, || {
        write("global: {scrape_interval: 12s}\n");
        shows("scrape_interval: 12s")
    });
}
