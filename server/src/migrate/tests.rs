//! Reports on flags and files.

use super::report::{Item, Verdict};
use super::*;

fn report(args: &[&str]) -> Report {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let given = flags::split(&args);
    let mut report = Report::default();
    flags::check(&given, &args, &mut report);
    files::check(&given, &mut report);
    report
}

fn item<'a>(report: &'a Report, what: &str) -> &'a Item {
    let found = report.items.iter().find(|item| item.what.starts_with(what));
    found.unwrap_or_else(|| unreachable!("{what}: {}", report.text()))
}

#[test]
fn flags_work_differ_or_are_missing() {
    let report = report(&[
        "--web.enable-lifecycle",
        "--storage.tsdb.retention.time",
        "15d",
        "--storage.tsdb.wal-compression",
        "--no-storage.tsdb.no-lockfile",
        "--enable-feature=exemplar-storage,old-ui,exemplar-storag",
    ]);
    for (what, verdict) in [
        ("--web.enable-lifecycle", Verdict::Works),
        ("--storage.tsdb.retention.time", Verdict::Works),
        ("--storage.tsdb.wal-compression", Verdict::Differs),
        ("--no-storage.tsdb.no-lockfile", Verdict::Differs),
        ("--web.listen-address (not given)", Verdict::Differs),
        ("feature exemplar-storage", Verdict::Works),
        ("feature old-ui", Verdict::Missing),
    ] {
        assert_eq!(item(&report, what).verdict, verdict, "{what}");
    }
    let typo = report
        .items
        .iter()
        .find(|item| item.what == "feature exemplar-storag");
    let remedy = typo.and_then(|item| item.remedy.as_deref());
    assert_eq!(remedy, Some("did you mean exemplar-storage?"));
    assert!(report.has_missing());
}

#[test]
fn wrong_flags_are_told() {
    for (args, what) in [
        (["--agent"].as_slice(), "--agent"),
        (&["--storage.agent.path=x"], "--storage.agent.path"),
        (&["--storage.tsdb.retention=1d"], "--storage.tsdb.retention"),
        (&["--nosuch"], "--nosuch"),
        (&["extra"], "extra"),
        (&["--query.timeout=1x"], "flags"),
    ] {
        let report = report(args);
        assert_eq!(item(&report, what).verdict, Verdict::Missing, "{what}");
    }
}

#[test]
fn files_are_read_and_places_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(
        path("rules.yml"),
        "groups: [{name: a, rules: [{record: b, expr: 1}]}]",
    )
    .unwrap();
    std::fs::write(path("good.yml"), "rule_files: [rules.yml]\n").unwrap();
    std::fs::write(path("bad.yml"), "global:\n  nosuch: 1\n").unwrap();
    let flag = format!("--config.file={}", path("good.yml"));
    let good = report(&[&flag]);
    assert!(!good.has_missing(), "{}", good.text());
    assert_eq!(item(&good, "rules").text, "1 rules");
    let bad = report(&["--config.file", &path("bad.yml")]);
    let mistake = item(&bad, "mistake in the configuration");
    assert_eq!((mistake.line, mistake.column), (Some(2), Some(3)));
    assert!(bad.text().contains("  nosuch: 1"), "{}", bad.text());
    let json: serde_json::Value = serde_json::from_str(&bad.json()).unwrap();
    assert!(
        json["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["line"] == 2)
    );
}

#[test]
fn data_of_prometheus_is_not_data_of_kymo() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("chunks_head")).unwrap();
    let flag = format!("--storage.tsdb.path={}", dir.path().display());
    let report = report(&[&flag]);
    let item = item(&report, "data in");
    assert!(item.remedy.as_deref().unwrap().contains("kymo tsdb import"));
}
