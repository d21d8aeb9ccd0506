//! Files, right and wrong, given to promtool and to Kymo under its name: both end with the
//! same code. What is known to differ stands with the file and has to differ.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const PROMTOOL: &str = "promtool";

/// At least so many files are right, and as many wrong.
const LEAST: usize = 60;

const RULES: &str = "groups:
- name: a
  rules:
  - {record: 'job:up:sum', expr: sum by (job) (up)}
  - alert: Down
    expr: up == 0
    for: 5m
    labels: {severity: page}
    annotations: {summary: '{{ $labels.instance }} is down'}
";

/// One file and what has to become of it.
#[derive(Debug)]
struct Case {
    kind: String,
    code: i32,
    flags: Vec<String>,
    name: String,
    content: String,
    /// Why Debian's promtool ends otherwise.
    difference: Option<String>,
}

fn cases() -> Vec<Case> {
    let text = include_str!("promtool/cases.txt");
    let mut cases: Vec<Case> = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("=== ") {
            if let Some(case) = cases.last_mut() {
                case.content = lines.join("\n");
            }
            lines.clear();
            cases.push(Case::begin(head));
        } else if let Some(words) = line.strip_prefix("!!! ") {
            cases.last_mut().unwrap().difference = Some(words.to_owned());
        } else {
            lines.push(if line == ".." { "" } else { line });
        }
    }
    cases.last_mut().unwrap().content = lines.join("\n");
    cases
}

impl Case {
    fn begin(head: &str) -> Case {
        let mut words = head.split(' ');
        let kind = words.next().unwrap().to_owned();
        let code = words.next().unwrap().parse().unwrap();
        let (flags, name): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with("--"));
        Case {
            kind,
            code,
            flags: flags.into_iter().map(str::to_owned).collect(),
            name: name.join(" "),
            content: String::new(),
            difference: None,
        }
    }

    /// Runs a program on the file, and returns its exit code and what it printed.
    fn run(&self, program: &str, front: &[&str], dir: &Path, file: &str) -> Option<(i32, String)> {
        let words: &[&str] = match self.kind.as_str() {
            "rules" => &["check", "rules"],
            "config" => &["check", "config"],
            "test" => &["test", "rules"],
            "web" => &["check", "web-config"],
            _ => &["check", "metrics"],
        };
        let reads_input = self.kind == "metrics";
        let child = Command::new(program)
            .current_dir(dir)
            .args(front)
            .args(words)
            .args(&self.flags)
            .args((!reads_input).then_some(file))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.ok()?;
        let mut stdin = child.stdin.take().unwrap();
        if reads_input {
            stdin.write_all(self.content.as_bytes()).unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        Some((output.status.code().unwrap(), printed))
    }
}

fn write_neighbours(dir: &Path) {
    let write = |name: &str, content: &str| std::fs::write(dir.join(name), content).unwrap();
    write("rules.yml", RULES);
    write(
        "targets.json",
        r#"[{"targets": ["a:1"], "labels": {"x": "y"}}]"#,
    );
    write("targets.yml", "- targets: [a:1]\n");
    write("token", "t");
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write("cert.pem", &pair.cert.pem());
    write("key.pem", &pair.signing_key.serialize_pem());
}

/// Checks one case and returns what is wrong with it.
fn check(case: &Case, number: usize, dir: &Path) -> Option<String> {
    let file = format!("case{number}.yml");
    std::fs::write(dir.join(&file), &case.content).unwrap();
    let kymo = env!("CARGO_BIN_EXE_kymo-e2e");
    let (code, printed) = case.run(kymo, &["promtool"], dir, &file).unwrap();
    let name = format!("{} {}", case.kind, case.name);
    if code != case.code {
        return Some(format!("{name}: Kymo ends with {code}:\n{printed}"));
    }
    let (code, printed) = case.run(PROMTOOL, &[], dir, &file)?;
    let agrees = code == case.code;
    match (&case.difference, agrees) {
        (None, false) => Some(format!("{name}: promtool ends with {code}:\n{printed}")),
        (Some(words), true) => Some(format!("{name}: promtool agrees, although {words}")),
        _ => None,
    }
}

#[test]
fn promtool_and_kymo_end_with_the_same_codes() {
    if Command::new(PROMTOOL).arg("--version").output().is_err() {
        println!("promtool_cases: {PROMTOOL} is not installed, only Kymo is asked");
    }
    let dir = tempfile::tempdir().unwrap();
    write_neighbours(dir.path());
    let cases = cases();
    let right = cases.iter().filter(|case| case.code == 0).count();
    assert!(right >= LEAST, "{right} files are right");
    let wrong = cases.len() - right;
    assert!(wrong >= LEAST, "{wrong} files are wrong");
    let next = AtomicUsize::new(0);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match cases.get(number) {
                    Some(case) => failures.extend(check(case, number, dir.path())),
                    None => return failures,
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        let threads = threads.into_iter();
        threads.flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
