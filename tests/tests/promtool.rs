//! Debian's `promtool` asks Kymo. Its version, 2.42, has no `check healthy` and
//! `check ready` yet; those of Kymo's own command line are tested beside it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the whole target is a test, its helper functions too"
)]

use std::process::Command;

use kymo_tests::{Kymo, WriteBody};

const T_MS: i64 = 1_700_000_000_000;

/// What a run of promtool came to.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

/// Runs promtool; `None`, with a word about it, where it is not installed.
fn promtool(args: &[&str]) -> Option<Run> {
    let dir = tempfile::tempdir().unwrap();
    let Ok(output) = Command::new("promtool")
        .current_dir(dir.path())
        .args(args)
        .output()
    else {
        #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
        {
            println!("skipped: promtool is not installed");
        }
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Run {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    })
}

fn server() -> (Kymo, String) {
    let kymo = Kymo::start(&[]);
    let mut body = WriteBody::new();
    for host in ["a", "b"] {
        let samples: Vec<(i64, f64)> = (0..5).map(|i| (T_MS + i * 60_000, i as f64)).collect();
        body.push_series(&[("__name__", "m"), ("host", host)], &samples);
    }
    assert_eq!(kymo.write(&body).status, 204);
    let url = format!("http://{}", kymo.address());
    (kymo, url)
}

#[test]
fn queries_are_answered() {
    let (_kymo, url) = server();
    let good = |args: &[&str], expected: &str| {
        if let Some(run) = promtool(args) {
            assert_eq!((run.code, run.out.as_str()), (0, expected), "{run:?}");
        }
    };
    let time = "--time=1700000240";
    good(
        &["query", "instant", &url, "m", time],
        "m{host=\"a\"} => 4 @[1700000240]\nm{host=\"b\"} => 4 @[1700000240]\n",
    );
    good(
        &["query", "instant", "-o", "json", &url, "sum(m)", time],
        "[{\"metric\":{},\"value\":[1700000240,\"8\"]}]\n",
    );
    good(
        &["query", "instant", &url, "1 + 1", time],
        "scalar: 2 @[1700000240]\n",
    );
    let range = ["--start=1700000000", "--end=1700000120", "--step=60s"];
    let args = [&["query", "range"][..], &range, &[&url, "sum(m)"]].concat();
    good(
        &args,
        "{} =>\n0 @[1700000000]\n2 @[1700000060]\n4 @[1700000120]\n",
    );
    let span = ["--start=1700000000", "--end=1700000240"];
    let args = [&["query", "series", "--match=m"][..], &span, &[&url]].concat();
    good(
        &args,
        "{__name__=\"m\", host=\"a\"}\n{__name__=\"m\", host=\"b\"}\n",
    );
    let args = [&["query", "labels"][..], &span, &[&url, "host"]].concat();
    good(&args, "a\nb\n");
}

#[test]
fn mistakes_are_told_as_prometheus_tells_them() {
    let (_kymo, url) = server();
    if let Some(run) = promtool(&["query", "instant", &url, "sum("]) {
        assert_eq!(run.code, 1, "{run:?}");
        let text = "query error: bad_data: invalid parameter \"query\": 1:5: parse error: \
                    unclosed left parenthesis";
        assert!(run.err.contains(text), "{run:?}");
    }
    let args = ["query", "series", "--match={", &url];
    if let Some(run) = promtool(&args) {
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.err.contains("bad_data"), "{run:?}");
    }
}

#[test]
fn its_own_metrics_can_be_fetched_and_profiles_are_not_there() {
    let (_kymo, url) = server();
    if let Some(run) = promtool(&["debug", "metrics", &url]) {
        assert_eq!(run.code, 0, "{run:?}");
    }
    // Profiles are those of Go's runtime; what is found in their place is none.
    if let Some(run) = promtool(&["debug", "pprof", &url]) {
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.err.contains("unrecognized profile format"), "{run:?}");
    }
}
