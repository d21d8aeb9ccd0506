//! All rule files of a configuration.

use kymo_ingest::discovery::glob;
use kymo_query::promql::Features;
use kymo_query::rules::{GroupDefinition, Language};
use kymo_storage::compat::quote::quote;
use tracing::warn;

use super::file::{self, Accepted};
use crate::config::Config;

/// A group and the file it stands in, as the patterns name it.
pub(crate) type FileGroup = (String, GroupDefinition);

/// Reads all rule files of a configuration: those over metrics, then those over logs.
/// Blocks on the disk.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(crate) fn of_config(config: &Config, promql: Features) -> Result<Vec<FileGroup>, Vec<String>> {
    let accepted = Accepted {
        names: config.global.name_validation,
        promql,
        ..Accepted::default()
    };
    let over_logs = Accepted {
        language: Language::LogQl,
        ..accepted.clone()
    };
    let metrics = read(&config.rule_files, &accepted);
    let logs = read(&config.log_rule_files, &over_logs);
    match (metrics, logs) {
        (Ok(mut groups), Ok(more)) => {
            groups.extend(more);
            Ok(groups)
        }
        (Err(mut mistakes), Err(more)) => {
            mistakes.extend(more);
            Err(mistakes)
        }
        (Err(mistakes), Ok(_)) | (Ok(_), Err(mistakes)) => Err(mistakes),
    }
}

/// Reads the files that fit the patterns, each pattern's files in order of name. Blocks
/// on the disk.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(crate) fn read(
    patterns: &[String],
    accepted: &Accepted,
) -> Result<Vec<FileGroup>, Vec<String>> {
    let (mut groups, mut mistakes) = (Vec::new(), Vec::new());
    let mut seen = std::collections::HashSet::new();
    for pattern in patterns {
        let paths = match glob(pattern) {
            Ok(paths) => paths,
            Err(error) => {
                let pattern = quote(pattern);
                mistakes.push(format!(
                    "failed retrieving rule files for {pattern}: {error}"
                ));
                continue;
            }
        };
        for path in paths {
            let path = path.display().to_string();
            if !seen.insert(path.clone()) {
                continue;
            }
            match file::load(&path, accepted) {
                Ok(read) => {
                    for warning in read.warnings {
                        warn!(file = path, warning, "rule file");
                    }
                    let named = read.groups.into_iter().map(|group| (path.clone(), group));
                    groups.extend(named);
                }
                Err(error) => mistakes.extend(error.texts()),
            }
        }
    }
    match mistakes.is_empty() {
        true => Ok(groups),
        false => Err(mistakes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_order_of_patterns_and_names_each_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yml", "c.yaml"] {
            let text = format!("groups:\n  - name: {name}\n");
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let pattern = |text: &str| format!("{}/{text}", dir.path().display());
        let patterns = [
            pattern("c.*"),
            pattern("*.yml"),
            pattern("a.yml"),
            pattern("no.yml"),
        ];
        let read = read(&patterns, &Accepted::default()).unwrap();
        let names: Vec<&str> = read.iter().map(|(_, group)| group.name.as_str()).collect();
        assert_eq!(names, ["c.yaml", "a.yml", "b.yml"]);
        assert_eq!(read[1].0, pattern("a.yml"));
    }

    #[test]
    fn mistakes_of_all_files_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.yml", "b.yml"] {
            std::fs::write(dir.path().join(name), "groups:\n  - rules: []\n").unwrap();
        }
        let pattern = format!("{}/*.yml", dir.path().display());
        let mistakes = read(&[pattern, "[".to_owned()], &Accepted::default()).unwrap_err();
        let ends = [
            "a.yml: 2:5: Groupname must not be empty",
            "b.yml: 2:5: Groupname must not be empty",
            "failed retrieving rule files for \"[\": syntax error in pattern",
        ];
        assert_eq!(mistakes.len(), ends.len(), "{mistakes:?}");
        for (mistake, end) in mistakes.iter().zip(ends) {
            assert!(mistake.ends_with(end), "{mistake}");
        }
    }
}
