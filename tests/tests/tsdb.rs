//! The commands that look into a data directory, as programs of their own.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::path::Path;
use std::process::{Command, Output};

use kymo_tests::{Kymo, WriteBody};

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
