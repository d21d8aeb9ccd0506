//! The configuration of a Prometheus, the files that it names, and its data directory.

use std::path::Path;

use super::flags::Given;
use super::report::{Item, Report, Verdict};
use crate::check::{excerpt, references};
use crate::config::yaml::Position;
use crate::config::{self, Config, ConfigError, ProblemKind};
use crate::rules::file::{self, Accepted, read_bounded};

/// Checks the files that the flags name.
pub(super) fn check(given: &[Given], report: &mut Report) {
    let value = |name: &str| {
        let mut given = given.iter().rev();
        let found = given.find(|flag| flag.name == name);
        found.and_then(|flag| flag.value.as_deref())
    };
    if let Some(path) = value("storage.tsdb.path").or_else(|| value("storage.path")) {
        data(Path::new(path), report);
    }
    let Some(name) = value("config.file").filter(|name| !name.is_empty()) else {
        return;
    };
    match config::load(Path::new(name)) {
        Err(error) => mistakes(name, &error, report),
        Ok(config) => accepted(name, &config, report),
    }
}

/// A data directory of Prometheus is not one of Kymo.
fn data(path: &Path, report: &mut Report) {
    let has_blocks =
        || kymo_storage::prometheus_block::block_names(path).is_ok_and(|n| !n.is_empty());
    let is_foreign = path.join("chunks_head").is_dir() || path.join("wal/00000000").is_file();
    if path.join("VERSION").is_file() || !(is_foreign || has_blocks()) {
        return;
    }
    let from = path.display();
    let item = Item::new(Verdict::Missing, format!("data in {from}"));
    report.add(
        item.text("this is a data directory of Prometheus, and Kymo has a format of its own")
            .remedy(format!(
                "give Kymo a directory of its own and import the data: kymo tsdb import {from} \
                 DIR"
            )),
    );
}

fn mistakes(name: &str, error: &ConfigError, report: &mut Report) {
    let file = error.place().unwrap_or(Path::new(name));
    let shown = file.display().to_string();
    if error.problems().is_empty() {
        let item = Item::new(Verdict::Missing, "configuration");
        return report.add(
            item.in_file(&shown, Position::default())
                .text(error.of_file()),
        );
    }
    let bytes = read_bounded(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    for problem in error.problems() {
        let what = match problem.kind {
            ProblemKind::Unsupported => "configuration",
            _ => "mistake in the configuration",
        };
        let mut item = Item::new(Verdict::Missing, what)
            .in_file(&shown, problem.at)
            .text(&problem.message);
        item.remedy.clone_from(&problem.remedy);
        item.excerpt = excerpt::excerpt(&shown, &text, problem.at, None);
        report.add(item);
    }
}

fn accepted(name: &str, config: &Config, report: &mut Report) {
    let whole = |verdict| Item::new(verdict, "configuration").in_file(name, Position::default());
    let jobs = config.jobs().count();
    let sections = config.alerting.alertmanagers.len();
    report.add(
        whole(Verdict::Works).text(format!("{jobs} jobs, {sections} sections of Alertmanagers")),
    );
    for warning in &config.warnings {
        report.add(whole(Verdict::Differs).text(warning));
    }
    let found = references::check(config);
    for warning in found.warnings {
        report.add(whole(Verdict::Differs).text(warning));
    }
    for mistake in found.mistakes {
        report.add(whole(Verdict::Missing).text(mistake));
    }
    for rules in found.rule_files {
        let accepted = Accepted {
            names: config.global.name_validation,
            ..Accepted::default()
        };
        rule_file(&rules, &accepted, report);
    }
}

fn rule_file(name: &str, accepted: &Accepted, report: &mut Report) {
    match file::load(name, accepted) {
        Ok(read) => {
            let rules: usize = read.groups.iter().map(|group| group.rules.len()).sum();
            let item = Item::new(Verdict::Works, "rules").in_file(name, Position::default());
            report.add(item.text(format!("{rules} rules")));
        }
        Err(error) => {
            let bytes = read_bounded(Path::new(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            for problem in &error.problems {
                let mut item = Item::new(Verdict::Missing, "mistake in rules")
                    .in_file(name, problem.at)
                    .text(&problem.message);
                item.excerpt = excerpt::excerpt(name, &text, problem.at, None);
                report.add(item);
            }
        }
    }
}
