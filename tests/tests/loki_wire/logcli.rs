//! The real logcli against both: it prints the same. `KYMO_LOGCLI` names it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Pair;
use crate::compare::Report;
use crate::json::cut;
use crate::reads::fill;

const KEPT: &[(&str, &str)] = &[
    ("volume {app=\"web\"}", "bytes are exact"),
    ("volume_range {app=\"web\"}", "bytes are exact"),
];

/// Starts logcli in UTC, with nothing in its environment that says where to ask.
fn command(program: &str, address: std::net::SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("TZ", "UTC")
        .env("HOME", std::env::temp_dir())
        .arg(format!("--addr=http://{address}"))
        .arg("--timezone=UTC")
        .args(args)
        .stdin(Stdio::null());
    command
}

/// What it prints that may be compared: without addresses, figures and times of its own.
fn shown(program: &str, address: std::net::SocketAddr, args: &[&str]) -> String {
    let output = command(program, address, args).output().unwrap();
    let mut lines = vec![format!("{}", output.status)];
    for text in [&output.stdout, &output.stderr] {
        for line in String::from_utf8_lossy(text).lines() {
            let line = line.replace(&address.to_string(), "ADDRESS");
            lines.extend(without_figures(&line, args));
        }
    }
    // Labels that as many streams have stand in any order.
    if args.contains(&"--analyze-labels") {
        lines.sort();
    }
    lines.join("\n")
}

fn without_figures(line: &str, args: &[&str]) -> Option<String> {
    // The range of `--since` ends when it is asked.
    if line.contains("http://") && args.iter().any(|arg| arg.starts_with("--since")) {
        return None;
    }
    let is_log_line = line.starts_with("20") && line.as_bytes().get(4) == Some(&b'/');
    if is_log_line {
        // Its own messages have the time in front.
        return Some(line.get(20..).unwrap_or("").to_owned());
    }
    let is_figure = args.contains(&"--stats") && line.contains("\t");
    let line = match is_figure {
        true => line.split('\t').next().unwrap_or("").trim_end().to_owned(),
        false => line.to_owned(),
    };
    Some(line)
}

fn asked(pair: &Pair) -> Vec<Vec<String>> {
    let time = |seconds: i64| {
        let instant = kymo_storage::compat::time::Instant {
            unix_s: pair.now_s + seconds,
            nanos: 0,
        };
        instant.rfc3339_nano()
    };
    let (from, to) = (
        format!("--from={}", time(-700)),
        format!("--to={}", time(60)),
    );
    let mut all = Vec::new();
    let mut ask = |args: &[&str]| {
        all.push(
            args.iter()
                .map(|arg| (*arg).to_owned())
                .collect::<Vec<String>>(),
        );
    };
    let web = "{app=\"web\",env=\"prod\"}";
    for extra in [
        &[][..],
        &["--limit=5"],
        &["--limit=5", "--forward"],
        &["--limit=0", "--batch=7"],
        &["--limit=23", "--batch=10"],
        &["--limit=23", "--batch=10", "--forward"],
        &["--limit=5", "--output=raw"],
        &["--limit=5", "--output=jsonl"],
        &["--limit=5", "--no-labels"],
        &["--limit=5", "--include-label=pod"],
        &["--limit=5", "--exclude-label=pod"],
        &["--limit=5", "--include-common-labels"],
        &["--limit=5", "--labels-length=40"],
        &["--limit=5", "--output-timestamp-format=rfc3339nano"],
        &["--limit=5", "--stats", "--quiet"],
        &[
            "--limit=0",
            "--quiet",
            "--parallel-duration=5m",
            "--parallel-max-workers=2",
            "--merge-parts",
            "--part-path-prefix=/tmp/none",
        ],
    ] {
        let mut args = vec!["query", web, from.as_str(), to.as_str()];
        if extra.iter().any(|arg| arg.starts_with("--parallel")) {
            continue;
        }
        args.extend(extra);
        ask(&args);
    }
    for query in [
        "{app=\"web\"} | json | status=200 | line_format \"{{.took}}\"",
        "{app=\"none\"}",
        "{",
        "sum by (env) (count_over_time({app=\"web\"}[1m]))",
        "sum by (env) (rate({app=\"web\"}[0s]))",
        "vector(1)",
        "1",
    ] {
        ask(&["query", query, &from, &to, "--limit=3", "--step=60s"]);
        ask(&["instant-query", query, &format!("--now={}", time(-100))]);
    }
    ask(&["query", web, "--since=5m", "--limit=2", "--quiet"]);
    ask(&["query", web, &to, &from]);
    ask(&["query", web, "--from=yesterday"]);
    ask(&["labels", &from, &to]);
    ask(&["labels", "app", &from, &to]);
    ask(&["labels", "none", &from, &to]);
    ask(&["labels", "--since=1h"]);
    ask(&["series", "{}", &from, &to, "--analyze-labels"]);
    ask(&["series", web, &from, &to]);
    ask(&["series", "{", &from, &to]);
    ask(&["series", "{app=\"none\"}", &from, &to]);
    ask(&["fmt"]);
    ask(&["stats", "{", &from, &to]);
    ask(&["stats", "{app=\"none\"}", &from, &to]);
    for call in ["volume", "volume_range"] {
        ask(&[call, "{", &from, &to]);
        ask(&[call, "{app=\"none\"}", &from, &to]);
        ask(&[
            call,
            "{app=\"web\"}",
            &from,
            &to,
            "--aggregateByLabels",
            "--limit=1",
        ]);
    }
    ask(&["detected-fields", web, &from, &to]);
    ask(&[
        "detected-fields",
        web,
        &from,
        &to,
        "--field-limit=3",
        "--line-limit=5",
    ]);
    ask(&["detected-fields", web, "status", &from, &to]);
    ask(&["delete", "list"]);
    ask(&["delete", "create", "{app=\"none\"}", &from, &to]);
    ask(&["delete", "create", "{", &from, &to]);
    ask(&["delete", "cancel", "zz"]);
    all
}

#[test]
fn logcli_prints_the_same() {
    let Ok(program) = std::env::var("KYMO_LOGCLI") else {
        println!("skipped: KYMO_LOGCLI names no logcli");
        return;
    };
    let Some(pair) = Pair::start(&[]) else {
        return;
    };
    fill(&pair);
    pair.loki.flush();
    let mut report = Report::default();
    for args in asked(&pair) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let theirs = shown(&program, pair.loki.address(), &args);
        let ours = shown(&program, pair.kymo.address(), &args);
        let difference =
            (theirs != ours).then(|| format!("\n  loki {}\n  kymo {}", cut(&theirs), cut(&ours)));
        report.note(&args.join(" "), difference);
    }
    report.check(KEPT);
}

#[test]
fn logcli_follows() {
    let Ok(program) = std::env::var("KYMO_LOGCLI") else {
        println!("skipped: KYMO_LOGCLI names no logcli");
        return;
    };
    let kymo = kymo_tests::Kymo::start(&[]);
    let mut child = command(
        &program,
        kymo.address(),
        &[
            "query",
            "{app=\"live\"}",
            "--tail",
            "--output=raw",
            "--quiet",
        ],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::BufRead as _;
        for line in std::io::BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
        {
            let _gone = sender.send(line);
        }
    });
    // It says nothing when it begins to listen: lines come until one is heard.
    let end = Instant::now() + Duration::from_secs(60);
    let mut n = 0;
    let heard = loop {
        assert!(Instant::now() < end, "no line was heard");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let body = serde_json::json!({"streams": [{"stream": {"app": "live"}, "values": [
            [now.unwrap().as_nanos().to_string(), format!("line {n}")],
        ]}]})
        .to_string();
        n += 1;
        let headers = [("Content-Type", "application/json")];
        let answer = kymo
            .client()
            .call("POST", "/loki/api/v1/push", &headers, body.as_bytes());
        assert_eq!(answer.status, 204);
        if let Ok(line) = lines.recv_timeout(Duration::from_millis(300)) {
            break line;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(heard.starts_with("line "), "{heard}");
}
