//! Rules over logs that clients write: kept in the data directory, one file for each
//! namespace.
//!
//! ```text
//! DATA/log_rules/NAMESPACE.yml    a rule file like any other, with expressions in LogQL
//! ```
//!
//! The name of a file is that of the namespace; bytes that are no letters, digits, `-` or
//! `_` are written as `%` and two digits. A file is replaced as a whole, so that there is
//! always one that can be read. Whoever changes files holds a lock over it: see
//! `Evaluator`.

use std::io::Write;
use std::path::{Path, PathBuf};

use kymo_query::rules::{
    AlertSettings, GroupDefinition, Pairs, RuleDefinition, RuleExpr, RuleKind,
};
use kymo_storage::compat::duration::format_prometheus;
use tracing::error;

use super::file::{self, Accepted};
use super::files::FileGroup;
use crate::config::emit::{MapWriter, Yaml};
use crate::config::os_text;

/// The folder below the data directory.
const FOLDER: &str = "log_rules";

const NS_PER_MS: i64 = 1_000_000;

/// The longest name of a namespace: its file may need three bytes for each, and file
/// systems allow 255.
const MAX_NAME_BYTES: usize = 80;

/// Why rules that a client writes are not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NamespaceError {
    /// What the client sent is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is no such group.
    #[error("group does not exist")]
    NoGroup,
    /// There is no such namespace.
    #[error("no rule groups found")]
    NoNamespace,
    /// The rules stand in a file of the configuration.
    #[error("the rules of namespace {namespace} come from {file}, which is changed on disk only")]
    ReadOnly {
        /// The namespace.
        namespace: String,
        /// A file of the configuration.
        file: String,
    },
    /// The file could not be read or written.
    #[error("{0}")]
    Storage(String),
}

/// The folder of the rules.
#[derive(Debug, Clone)]
pub(crate) struct Namespaces {
    folder: PathBuf,
}

impl Namespaces {
    /// Returns the rules below a data directory. Nothing is read or made yet.
    pub(crate) fn below(data: &Path) -> Namespaces {
        Namespaces {
            folder: data.join(FOLDER),
        }
    }

    /// Returns the namespace that a file stands for, if it is one of these.
    pub(crate) fn of_file(&self, file: &str) -> Option<String> {
        let path = Path::new(file);
        let name = path.file_stem()?.to_str()?;
        (path.parent() == Some(&self.folder)).then(|| decoded(name))?
    }

    /// Returns the file of a namespace.
    pub(crate) fn file(&self, namespace: &str) -> PathBuf {
        self.folder.join(format!("{}.yml", encoded(namespace)))
    }

    /// Reads all groups. A file that cannot be read is told to the log and passed over, so
    /// that it stops nothing but its own rules.
    pub(crate) fn read(&self, accepted: &Accepted) -> Vec<FileGroup> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            // It is made with the first group.
            return Vec::new();
        };
        let mut files: Vec<String> = entries
            .flatten()
            .map(|entry| entry.path().display().to_string())
            .filter(|file| file.ends_with(".yml"))
            .collect();
        files.sort();
        let mut groups = Vec::new();
        for file in files {
            match file::load(&file, accepted) {
                Ok(read) => {
                    groups.extend(read.groups.into_iter().map(|group| (file.clone(), group)));
                }
                Err(error) => error!(file, %error, "rules that a client wrote cannot be read"),
            }
        }
        groups
    }

    /// Puts a group into a namespace, in the place of the one of its name if there is one.
    ///
    /// # Errors
    /// The namespace has no good name, or its file cannot be read or written.
    pub(crate) fn put(
        &self,
        namespace: &str,
        group: GroupDefinition,
        accepted: &Accepted,
    ) -> Result<(), NamespaceError> {
        if namespace.is_empty() || namespace.len() > MAX_NAME_BYTES {
            return Err(NamespaceError::Invalid(format!(
                "invalid namespace: a name has 1 to {MAX_NAME_BYTES} bytes"
            )));
        }
        let mut groups = self.groups(namespace, accepted)?;
        match groups.iter_mut().find(|known| known.name == group.name) {
            Some(known) => *known = group,
            None => groups.push(group),
        }
        self.write(namespace, &groups)
    }

    /// Takes a group out of a namespace; without any the namespace is gone.
    ///
    /// # Errors
    /// There is no such group, or the file cannot be read or written.
    pub(crate) fn delete_group(
        &self,
        namespace: &str,
        group: &str,
        accepted: &Accepted,
    ) -> Result<(), NamespaceError> {
        let mut groups = self.groups(namespace, accepted)?;
        let n_before = groups.len();
        groups.retain(|known| known.name != group);
        match groups.len() {
            n if n == n_before => Err(NamespaceError::NoGroup),
            0 => self.delete(namespace),
            _ => self.write(namespace, &groups),
        }
    }

    /// Deletes a namespace with all its groups.
    ///
    /// # Errors
    /// There is no such namespace, or its file cannot be deleted.
    pub(crate) fn delete(&self, namespace: &str) -> Result<(), NamespaceError> {
        let file = self.file(namespace);
        std::fs::remove_file(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => NamespaceError::NoNamespace,
            _ => storage("remove", &file, &error),
        })
    }

    fn groups(
        &self,
        namespace: &str,
        accepted: &Accepted,
    ) -> Result<Vec<GroupDefinition>, NamespaceError> {
        let file = self.file(namespace);
        if !file.exists() {
            return Ok(Vec::new());
        }
        let read = file::load(&file.display().to_string(), accepted);
        let read = read.map_err(|error| NamespaceError::Storage(error.to_string()))?;
        Ok(read.groups)
    }

    fn write(&self, namespace: &str, groups: &[GroupDefinition]) -> Result<(), NamespaceError> {
        let made = std::fs::create_dir_all(&self.folder);
        made.map_err(|error| storage("make", &self.folder, &error))?;
        let mut file = MapWriter::default();
        file.put(
            "groups",
            Yaml::List(groups.iter().map(group_yaml).collect()),
        );
        let path = self.file(namespace);
        let written = tempfile::NamedTempFile::new_in(&self.folder).and_then(|mut new| {
            new.write_all(file.done().document().as_bytes())?;
            new.as_file().sync_all()?;
            new.persist(&path).map_err(|error| error.error)
        });
        written.map_err(|error| storage("write", &path, &error))?;
        // The name, too, has to outlive a crash.
        std::fs::File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| storage("sync", &self.folder, &error))
    }
}

fn storage(what: &str, path: &Path, error: &std::io::Error) -> NamespaceError {
    NamespaceError::Storage(format!("{what} {}: {}", path.display(), os_text(error)))
}

/// Returns a group as YAML, as clients write it and in Loki's form.
pub(crate) fn print_group(group: &GroupDefinition) -> String {
    group_yaml(group).document_of_version_3()
}

/// Returns namespaces with their groups as YAML: a map of lists.
pub(crate) fn print_namespaces<'a>(
    namespaces: impl IntoIterator<Item = (&'a str, Vec<&'a GroupDefinition>)>,
) -> String {
    let mut map = MapWriter::default();
    for (namespace, groups) in namespaces {
        let groups = groups.into_iter().map(group_yaml).collect();
        map.put(namespace, Yaml::List(groups));
    }
    map.done().document_of_version_3()
}

fn group_yaml(group: &GroupDefinition) -> Yaml {
    let mut map = MapWriter::default();
    map.put("name", Yaml::Text(group.name.clone()));
    for (key, ms) in [
        ("interval", group.interval_ms),
        ("query_offset", group.query_offset_ms),
    ] {
        if let Some(ms) = ms {
            map.put(key, duration(ms));
        }
    }
    if group.limit != 0 {
        map.put("limit", Yaml::Plain(group.limit.to_string()));
    }
    map.put(
        "rules",
        Yaml::List(group.rules.iter().map(rule_yaml).collect()),
    );
    put_pairs(&mut map, "labels", &group.labels);
    map.done()
}

fn rule_yaml(rule: &RuleDefinition) -> Yaml {
    let mut map = MapWriter::default();
    let key = if rule.is_alerting() {
        "alert"
    } else {
        "record"
    };
    let expr = match &rule.expr {
        RuleExpr::Metrics(expr) => expr.to_string(),
        RuleExpr::Logs(logs) => logs.text().to_owned(),
    };
    map.put(key, Yaml::Text(rule.name.clone()));
    map.put("expr", Yaml::Text(expr));
    if let RuleKind::Alerting(AlertSettings {
        for_ms,
        keep_firing_for_ms,
        ..
    }) = rule.kind
    {
        for (key, ms) in [("for", for_ms), ("keep_firing_for", keep_firing_for_ms)] {
            if ms != 0 {
                map.put(key, duration(ms));
            }
        }
    }
    put_pairs(&mut map, "labels", &rule.labels);
    if let RuleKind::Alerting(settings) = &rule.kind {
        put_pairs(&mut map, "annotations", &settings.annotations);
    }
    map.done()
}

fn duration(ms: i64) -> Yaml {
    Yaml::Plain(format_prometheus(ms.saturating_mul(NS_PER_MS)))
}

fn put_pairs(map: &mut MapWriter, key: &str, pairs: &Pairs) {
    let mut inner = MapWriter::default();
    for (name, value) in pairs {
        inner.put(name, Yaml::Text(value.clone()));
    }
    if !pairs.is_empty() {
        map.put(key, inner.done());
    }
}

fn encoded(namespace: &str) -> String {
    let mut name = String::new();
    for byte in namespace.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if c == '%' {
            bytes.push(u8::from_str_radix(rest.get(1..3)?, 16).ok()?);
            rest = rest.get(3..)?;
        } else {
            let len = c.len_utf8();
            bytes.extend_from_slice(&rest.as_bytes()[..len]);
            rest = &rest[len..];
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use kymo_query::rules::Language;

    use super::*;

    const GROUP: &str = "\
name: 'shop: \"north\"'
interval: 1m30s
limit: 5
labels:
  team: shop
rules:
- alert: Many
  expr: |-
    sum by (app) (
      rate({app=~\"a|b\"} |= `error` [5m])  # per second
    ) > 0.5
  for: 10m
  keep_firing_for: 5m
  labels:
    severity: '{{ $value }}'
  annotations:
    summary: \"see: {{ $line }}\"
- record: app:lines:rate1m
  expr: sum(rate({app=\"a\"}[1m]))
";

    fn accepted() -> Accepted {
        Accepted {
            language: Language::LogQl,
            ..Accepted::default()
        }
    }

    fn group(text: &str) -> GroupDefinition {
        file::parse_group("group", text, &accepted()).unwrap()
    }

    #[test]
    fn groups_are_read_as_they_were_written() {
        let one = group(GROUP);
        assert_eq!(group(&print_group(&one)), one);
        let dir = tempfile::tempdir().unwrap();
        let namespaces = Namespaces::below(dir.path());
        assert!(namespaces.read(&accepted()).is_empty());
        let name = "../team a/é.yml";
        namespaces.put(name, one.clone(), &accepted()).unwrap();
        let other = GroupDefinition {
            name: "z".to_owned(),
            ..one.clone()
        };
        namespaces.put(name, other.clone(), &accepted()).unwrap();
        let changed = GroupDefinition {
            limit: 6,
            ..one.clone()
        };
        namespaces.put(name, changed.clone(), &accepted()).unwrap();
        let read = namespaces.read(&accepted());
        assert_eq!(read.len(), 2);
        assert_eq!((&read[0].1, &read[1].1), (&changed, &other));
        assert_eq!(namespaces.of_file(&read[0].0).as_deref(), Some(name));
        assert_eq!(namespaces.of_file("rules/a.yml"), None);
        assert!(!dir.path().join("team a").exists());
    }

    #[test]
    fn groups_and_namespaces_can_be_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let namespaces = Namespaces::below(dir.path());
        namespaces.put("a", group(GROUP), &accepted()).unwrap();
        let gone = namespaces.delete_group("a", "no", &accepted());
        assert_eq!(gone, Err(NamespaceError::NoGroup));
        let name = "shop: \"north\"";
        namespaces.delete_group("a", name, &accepted()).unwrap();
        assert_eq!(namespaces.delete("a"), Err(NamespaceError::NoNamespace));
        assert!(!namespaces.file("a").exists());
    }

    #[test]
    fn a_file_with_mistakes_is_passed_over_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let namespaces = Namespaces::below(dir.path());
        namespaces.put("good", group(GROUP), &accepted()).unwrap();
        let bad = namespaces.file("bad");
        std::fs::write(&bad, "groups: [{}]\n").unwrap();
        assert_eq!(namespaces.read(&accepted()).len(), 1);
        let refused = namespaces.put("bad", group(GROUP), &accepted());
        assert!(
            matches!(refused, Err(NamespaceError::Storage(_))),
            "{refused:?}"
        );
        assert_eq!(std::fs::read_to_string(&bad).unwrap(), "groups: [{}]\n");
        for name in ["", &"x".repeat(81)] {
            let refused = namespaces.put(name, group(GROUP), &accepted());
            assert!(matches!(refused, Err(NamespaceError::Invalid(_))));
        }
    }
}
