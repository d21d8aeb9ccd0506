//! What is shown of lines on their way.

use clap::Parser;
use serde_json::Value;

use super::*;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: PipelineArgs,
}

fn run(args: &[&str], lines: &str) -> Result<String, String> {
    let mut line = CommandLine::parse_from(["x"].iter().chain(args));
    if line.args.color == Color::Auto {
        line.args.color = Color::Never;
    }
    let mut out = String::new();
    let ran = line
        .args
        .run(&mut lines.as_bytes(), &mut |text| out += text);
    ran.map(|()| out).map_err(|exit| exit.message)
}

/// Runs lines through a job of stages.
fn run_job(stages: &str, args: &[&str], lines: &str) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("promtail.yaml");
    let text = format!(
        "scrape_configs:\n- job_name: a\n  static_configs:\n  - labels: {{job: a, __path__: /x}}\n  pipeline_stages:\n{stages}"
    );
    std::fs::write(&path, text).unwrap();
    let flag = format!("--logs.promtail-config={}", path.display());
    let args: Vec<&str> = [flag.as_str()]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let ran = run(&args, lines);
    ran.map_err(|error| error.replace(&dir.path().display().to_string(), "DIR"))
}

const STAGES: &str = "  - logfmt: {mapping: {level: , msg: , at: }}
  - timestamp: {source: at, format: RFC3339}
  - labels: {level: }
  - match:
      selector: '{level=\"debug\"}'
      action: drop
      drop_counter_reason: debug
  - structured_metadata: {at: }
  - labeldrop: [level]
  - metrics: {seen: {type: Counter, config: {match_all: true, action: inc}}}
  - output: {source: msg}
  - scrub: {kinds: [email], dry_run: true}
";

#[test]
fn each_stage_shows_what_it_changes() {
    let lines =
        "at=2026-01-02T03:04:05Z level=warn msg=\"to a@b.cc\"\nlevel=debug msg=x\nlevel=warn msg=y";
    let shown = run_job(STAGES, &[], lines).unwrap();
    let expected = r#"line 1  at=2026-01-02T03:04:05Z level=warn msg="to a@b.cc"
  logfmt       + value at="2026-01-02T03:04:05Z"
               + value level="warn"
               + value msg="to a@b.cc"
  timestamp    + time 2026-01-02T03:04:05Z
  labels       + label level="warn"
  match        no change
  structured_metadata + metadata at="2026-01-02T03:04:05Z"
  labeldrop    - label level="warn"
  metrics      no change
  output       - at=2026-01-02T03:04:05Z level=warn msg="to a@b.cc"
               + to a@b.cc
  scrub        - to a@b.cc
               + to <email>
  = {job="a"} to <email>  metadata {at="2026-01-02T03:04:05Z"}  time 2026-01-02T03:04:05Z
line 2  level=debug msg=x
  logfmt       + value level="debug"
               + value msg="x"
"#;
    assert!(shown.starts_with(expected), "{shown}");
    let end = r#"  match        dropped
line 3"#;
    assert!(shown.contains(end), "{shown}");
    let totals = "lines: 3, entries: 2, dropped: 1 (debug)\nscrubbed: email 1\n# HELP promtail_custom_seen \n";
    assert!(shown.contains(totals), "{shown}");
    assert!(
        shown.ends_with("promtail_custom_seen{job=\"a\"} 2\n"),
        "{shown}"
    );
}

#[test]
fn only_lines_that_chosen_stages_change_are_shown_where_some_are_chosen() {
    let lines = "level=warn msg=\"to a@b.cc\"\nlevel=warn msg=plain\n";
    let shown = run_job(STAGES, &["--only=scrub"], lines).unwrap();
    let expected = "line 1  level=warn msg=\"to a@b.cc\"\n  scrub        - to a@b.cc\n               + to <email>\nlines: 2, entries: 2\n";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn lines_that_become_one_are_told_and_stages_within_a_stage_stand_below_it() {
    let stages = "  - match:\n      selector: '{job=\"a\"}'\n      stages:\n      - multiline: {firstline: '^at'}\n      - replace: {expression: '(x)', replace: 'y'}\n";
    let shown = run_job(
        stages,
        &["--label=job=a", "--label=app=b"],
        "at 1\n  x\nat 2",
    )
    .unwrap();
    let expected = r#"line 1  at 1
  match
    multiline    held back
line 2    x
  match
    multiline    held back
line 3  at 2
  match
    multiline    gives at 1\n  x
                 held back
    replace of line 1 - at 1\n  x
                      + at 1\n  y
  = {app="b", job="a"} at 1\n  y
at the end
  match
    multiline    gives at 2
    replace of line 3 no change
  = {app="b", job="a"} at 2
lines: 3, entries: 2
"#;
    assert_eq!(shown, expected);
}

#[test]
fn programs_get_an_object_a_line_and_one_of_totals() {
    let lines = "level=warn msg=\"to a@b.cc\"\nlevel=debug\n";
    let shown = run_job(STAGES, &["--format=json"], lines).unwrap();
    let shown: Vec<Value> = shown
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let [first, second, totals] = shown.as_slice() else {
        panic!("{shown:?}");
    };
    assert_eq!(first["line"], 1);
    assert_eq!(first["text"], "level=warn msg=\"to a@b.cc\"");
    assert_eq!(
        first["stages"][0]["values"]["level"],
        serde_json::json!([null, "warn"])
    );
    let scrub = first["stages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        *scrub,
        serde_json::json!({"stage": "scrub", "outcome": "on", "text": ["to a@b.cc", "to <email>"]})
    );
    assert_eq!(first["entries"][0]["text"], "to <email>");
    assert_eq!(
        first["entries"][0]["labels"],
        serde_json::json!({"job": "a"})
    );
    assert_eq!(second["entries"], serde_json::json!([]));
    assert_eq!(
        second["stages"].as_array().unwrap().last().unwrap()["outcome"],
        "dropped"
    );
    assert_eq!(
        totals["totals"],
        serde_json::json!({"lines": 2, "entries": 1, "dropped": {"debug": 1}, "scrubbed": {"email": 1},
            "metrics": ["promtail_custom_seen{job=\"a\"} 1"]})
    );
}

#[test]
fn a_scrub_stage_needs_no_configuration() {
    let shown = run(
        &["--scrub=all", "--json-key=user"],
        "{\"user\":1} from 1.2.3.4\nplain",
    );
    let expected = "line 1  {\"user\":1} from 1.2.3.4\n  scrub        - {\"user\":1} from 1.2.3.4\n               + {\"user\":\"<json_key>\"} from <ipv4>\n  = {} {\"user\":\"<json_key>\"} from <ipv4>\nline 2  plain\n  scrub        no change\n  = {} plain\nlines: 2, entries: 2\nscrubbed: ipv4 1\nscrubbed: json_key 1\n";
    assert_eq!(shown.unwrap(), expected);
    assert_eq!(
        run(&["--scrub=names"], "").unwrap_err(),
        "--scrub: \"names\" is no kind; there are email, ipv4, ipv6, card, token and all\n"
    );
}

#[test]
fn what_is_on_a_terminal_stays_harmless_and_colours_mark_changes() {
    let shown = run(&["--scrub=email", "--color=always"], "a@b.cc \x1b[2J\n");
    let shown = shown.unwrap();
    assert!(
        shown.contains("\x1b[31m- a@b.cc \\u{1b}[2J\x1b[0m\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\x1b[32m+ <email> \\u{1b}[2J\x1b[0m\n"),
        "{shown}"
    );
    assert!(!shown.contains("\x1b[2J"), "{shown}");
}

#[test]
fn mistakes_have_their_place() {
    let wrong = run_job("  - scrub: {kinds: [names]}\n", &[], "").unwrap_err();
    assert!(wrong.contains("DIR/promtail.yaml:6:21"), "{wrong}");
    assert!(
        wrong.contains("\"names\" is no kind of the scrub stage"),
        "{wrong}"
    );
    let wrong = run_job(STAGES, &["--job=b"], "").unwrap_err();
    assert_eq!(wrong, "Job b not found. Select one of:\n\ta\n");
    let wrong = run(&[], "").unwrap_err();
    assert!(
        wrong.starts_with("name a configuration with --config.file"),
        "{wrong}"
    );
}
