//! Targets that files list: `file_sd_configs`.
//!
//! Files are read when something changes in their directories and, because not every
//! file system tells of changes, at an interval too. What changes is only a hint: all
//! files are read again, as replacing a file shows in many ways.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ReadYaml;
use super::config::FileConfig;
use super::glob::glob;
use super::group::{self, Group, TargetGroup};
use super::source::{Reports, Source};
use super::stats::SourceStats;

const PATH: &str = "__meta_filepath";

/// Largest file: a million targets stay below it.
const MAX_BYTES: u64 = 256 << 20;

/// How long changes may go on before files are read, so that one that is being written
/// is mostly read once and whole.
const SETTLE: Duration = Duration::from_millis(50);

/// Reads files of targets.
pub(super) struct Files {
    patterns: Vec<String>,
    interval: Duration,
    read_yaml: ReadYaml,
    /// Files of the last reading, and how many groups each had.
    before: BTreeMap<String, usize>,
    /// Directories that cannot be watched, so that it is said once.
    unwatched: BTreeMap<PathBuf, String>,
}

/// What one reading of all files came to.
#[derive(Default)]
struct Reading {
    groups: Vec<Group>,
    counts: BTreeMap<String, usize>,
    times: BTreeMap<String, i64>,
    /// Files that could not be read, and why.
    failures: Vec<(String, String)>,
}

impl Files {
    /// Makes the source.
    pub(super) fn new(config: &FileConfig, read_yaml: ReadYaml) -> Files {
        Files {
            patterns: config.files.clone(),
            interval: config.refresh_interval,
            read_yaml,
            before: BTreeMap::new(),
            unwatched: BTreeMap::new(),
        }
    }

    /// Reads all files, reports what they hold and watches their directories.
    async fn refresh(&mut self, watcher: Option<&mut RecommendedWatcher>, reports: &Reports) {
        let began = Instant::now();
        // Watched before it is read, so that no change falls in between.
        if let Some(watcher) = watcher {
            self.watch(watcher, reports);
        }
        let patterns = self.patterns.clone();
        let before = std::mem::take(&mut self.before);
        let kept = before.clone();
        let read_yaml = self.read_yaml;
        let reading =
            tokio::task::spawn_blocking(move || Reading::of(&patterns, &before, read_yaml));
        let reading = match reading.await {
            Ok(reading) => reading,
            Err(error) => {
                tracing::error!(%error, "reading files of targets broke off");
                self.before = kept;
                reports.tried();
                return;
            }
        };
        for (path, error) in &reading.failures {
            SourceStats::bump(&reports.stats.file_read_errors);
            let config = &reports.set;
            tracing::error!(
                discovery = "file",
                config,
                path,
                error,
                "error reading file"
            );
        }
        self.before = reading.counts;
        {
            let mut found = reports.found.lock();
            let known = &self.before;
            found.files.retain(|path, _| known.contains_key(path));
            found.files.extend(reading.times);
        }
        reports.update(reading.groups);
        reports.stats.scanned(began.elapsed());
    }

    fn watch(&mut self, watcher: &mut RecommendedWatcher, reports: &Reports) {
        let mut unwatched = BTreeMap::new();
        for pattern in &self.patterns {
            let dir = match pattern.rfind('/') {
                Some(at) => Path::new(&pattern[..=at]),
                None => Path::new("./"),
            };
            if let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive) {
                unwatched.insert(dir.to_owned(), error.to_string());
            }
        }
        for (dir, error) in &unwatched {
            if self.unwatched.get(dir) != Some(error) {
                tracing::error!(
                    config = reports.set,
                    path = %dir.display(),
                    error,
                    "error adding file watch"
                );
            }
        }
        self.unwatched = unwatched;
    }
}

impl Source for Files {
    async fn run(mut self, reports: Reports) {
        let hint = Arc::new(Notify::new());
        let changed = Arc::clone(&hint);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.as_ref().is_ok_and(is_harmless) {
                return;
            }
            changed.notify_one();
        });
        let mut watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                // The interval still finds changes.
                SourceStats::bump(&reports.stats.file_watch_errors);
                tracing::error!(config = reports.set, %error, "error adding file watcher");
                None
            }
        };
        loop {
            self.refresh(watcher.as_mut(), &reports).await;
            tokio::select! {
                () = hint.notified() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }
}

/// Reading a file, ours included, and changes of its permissions and times tell nothing.
fn is_harmless(event: &Event) -> bool {
    use notify::event::ModifyKind;
    matches!(
        event.kind,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_))
    )
}

impl Reading {
    fn of(patterns: &[String], before: &BTreeMap<String, usize>, read_yaml: ReadYaml) -> Reading {
        let mut reading = Reading::default();
        for pattern in patterns {
            match glob(pattern) {
                Ok(paths) => {
                    for path in paths {
                        reading.add(&path, before, read_yaml);
                    }
                }
                Err(error) => reading.failures.push((pattern.clone(), error.to_string())),
            }
        }
        for (path, count) in before {
            if !reading.counts.contains_key(path) {
                let gone = group::numbered(path, Vec::new(), *count, PATH);
                reading.groups.extend(gone);
            }
        }
        reading
    }

    fn add(&mut self, path: &Path, before: &BTreeMap<String, usize>, read_yaml: ReadYaml) {
        let name = path.display().to_string();
        if self.counts.contains_key(&name) {
            return;
        }
        let count = before.get(&name).copied().unwrap_or(0);
        match read(path, read_yaml) {
            Ok((groups, changed_s)) => {
                self.counts.insert(name.clone(), groups.len());
                let groups = group::numbered(&name, groups, count, PATH);
                self.groups.extend(groups);
                self.times.insert(name, changed_s);
            }
            Err(error) => {
                // What the file held before stays.
                self.counts.insert(name.clone(), count);
                self.failures.push((name, error));
            }
        }
    }
}

fn read(path: &Path, read_yaml: ReadYaml) -> Result<(Vec<TargetGroup>, i64), String> {
    let failed = |error: std::io::Error| error.to_string();
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("the file is larger than {MAX_BYTES} bytes"));
    }
    let is_json = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let groups = if is_json {
        TargetGroup::read_json(&text)?
    } else {
        let text = std::str::from_utf8(&text).map_err(|error| error.to_string())?;
        read_yaml(text)?
    };
    let changed = metadata.modified().map_err(failed)?;
    let changed_s = match changed.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(_before) => 0,
    };
    Ok((groups, changed_s))
}
