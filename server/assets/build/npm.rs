//! Builds the page with npm and Vite.
//!
//! Nothing is written among the sources but `node_modules`, and a copy of the lock file
//! in it that tells which packages are there. A lock keeps two builds apart.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The oldest versions of Node that Vite runs on, by their first number.
const OLDEST_NODE: [(u32, u32); 2] = [(20, 19), (22, 12)];
/// Most lines of a program's complaint that are shown.
const SHOWN_LINES: usize = 12;

/// Why there is no page.
pub(crate) enum Failure {
    /// Something that builds it is not there.
    Missing(String),
    /// It has a mistake.
    Broken(String),
}

/// Builds the page and returns the folder it is in.
pub(crate) fn build(ui: &Path, out: &Path) -> Result<PathBuf, Failure> {
    check_node().map_err(Failure::Missing)?;
    let locked = File::create(out.join("npm.lock")).and_then(|file| file.lock().map(|()| file));
    let _lock =
        locked.map_err(|error| Failure::Broken(format!("lock {}: {error}", out.display())))?;
    install(ui).map_err(Failure::Missing)?;
    let folder = out.join("ui");
    let mut vite = Command::new("node");
    vite.current_dir(ui)
        .arg("node_modules/vite/bin/vite.js")
        .args(["build", "--emptyOutDir", "--logLevel", "warn", "--outDir"])
        .arg(&folder);
    match vite.output() {
        Ok(output) if output.status.success() => Ok(folder),
        Ok(output) => Err(Failure::Broken(complaint("vite build", &output))),
        Err(error) => Err(Failure::Broken(format!("node: {error}"))),
    }
}

fn check_node() -> Result<(), String> {
    let remedy = "Install Node.js 22 with npm (https://nodejs.org, or your system's packages) \
                  and build again, or set UI_DIST to a folder with a built page.";
    let output = match Command::new("node").arg("--version").output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("Node.js, which builds it, was not found. {remedy}"));
        }
        Err(error) => {
            return Err(format!(
                "Node.js, which builds it, does not run: {error}. {remedy}"
            ));
        }
    };
    let version = String::from_utf8_lossy(&output.stdout);
    let version = version.trim();
    if new_enough(version) {
        return Ok(());
    }
    Err(format!(
        "Node.js, which builds it, is too old: {version} was found. {remedy}"
    ))
}

/// Tells whether Vite runs on a version that is written like `v20.19.1`.
fn new_enough(version: &str) -> bool {
    let mut numbers = version
        .trim_start_matches('v')
        .split('.')
        .map_while(|n| n.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        return false;
    };
    let newest = OLDEST_NODE.last().is_some_and(|(n, _)| major > *n);
    newest
        || OLDEST_NODE
            .iter()
            .any(|(n, least)| major == *n && minor >= *least)
}

/// Brings the packages, unless those of the lock file are there.
fn install(ui: &Path) -> Result<(), String> {
    let wanted = fs::read(ui.join("package-lock.json")).unwrap_or_default();
    let stamp = ui.join("node_modules/.kymo-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let remedy = "npm must reach its registry once; or set UI_DIST to a folder with a built page.";
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(npm)
        .current_dir(ui)
        .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
        .args(["ci", "--no-audit", "--no-fund", "--loglevel", "error"])
        .output()
        .map_err(|error| {
            format!("npm, which fetches its parts, does not run: {error}. {remedy}")
        })?;
    if !output.status.success() {
        return Err(format!(
            "its parts could not be fetched. {remedy} {}",
            complaint("npm ci", &output)
        ));
    }
    fs::write(&stamp, wanted).map_err(|error| format!("write {}: {error}", stamp.display()))
}

/// Returns what a program said before it failed, on one line.
fn complaint(name: &str, output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    format!("{name}: {}: {}", output.status, shown.join(" | "))
}
