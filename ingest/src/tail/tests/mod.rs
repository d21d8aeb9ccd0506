//! Files that are written, rotated, cut and compressed while a tailer is killed again and
//! again: every line is stored, and once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kymo_storage::model::StreamBatch;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::identity::{FileId, Print};
use super::positions::{Key, Positions, Record};
use super::*;
use crate::discovery::TargetGroup;
use crate::pipeline::{
    Languages, MultilineConfig, Pipeline, Selector, StageConfig, TextTemplate, TimeLayout, Tools,
};

mod arriving;
mod files;
mod kills;

struct NoLanguages;

impl Languages for NoLanguages {
    fn template(&self, _: &str) -> Result<Box<dyn TextTemplate>, String> {
        Err("no templates".to_owned())
    }

    fn selector(&self, _: &str) -> Result<Box<dyn Selector>, String> {
        Err("no selectors".to_owned())
    }

    fn layout(&self, _: &str, _: Option<&str>) -> Result<Box<dyn TimeLayout>, String> {
        Err("no layouts".to_owned())
    }
}

/// Returns a pipeline without stages.
pub(super) fn pipeline() -> Pipeline {
    let tools = Tools::new(Arc::new(NoLanguages), Arc::new(now_ns));
    Pipeline::new(&[], &tools).unwrap()
}

/// A store that looks for equal entries only where it is told that there may be some.
#[derive(Default)]
struct Memory {
    entries: Mutex<Vec<(String, i64, Vec<u8>)>>,
    /// What the next pushes come to.
    fate: Mutex<Fate>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Fate {
    #[default]
    Stores,
    /// It was killed before it stored anything.
    Dead,
    /// It is killed as soon as it has stored something.
    DiesAfter,
}

impl LogSink for Memory {
    fn push(&self, batches: &[StreamBatch<'_>]) -> Result<Pushed, SinkError> {
        self.store(batches, false)
    }
    fn push_again(&self, batches: &[StreamBatch<'_>]) -> Result<Pushed, SinkError> {
        self.store(batches, true)
    }

    fn sync(&self) -> Result<(), SinkError> {
        match *self.fate.lock() {
            Fate::Dead => Err(SinkError("dead".to_owned())),
            _ => Ok(()),
        }
    }
}

impl Memory {
    fn store(&self, batches: &[StreamBatch<'_>], again: bool) -> Result<Pushed, SinkError> {
        let mut fate = self.fate.lock();
        if *fate == Fate::Dead {
            return Err(SinkError("dead".to_owned()));
        }
        let mut entries = self.entries.lock();
        for batch in batches {
            let stream = batch.labels.to_metric_string();
            for entry in &batch.entries {
                let entry = (stream.clone(), entry.t_ns, entry.line.to_vec());
                if !again || !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
        }
        if *fate == Fate::DiesAfter {
            *fate = Fate::Dead;
            return Err(SinkError("died".to_owned()));
        }
        Ok(Pushed::default())
    }

    /// Returns how often each line is there.
    fn lines(&self) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        for (_, _, line) in self.entries.lock().iter() {
            *lines
                .entry(String::from_utf8_lossy(line).into_owned())
                .or_default() += 1;
        }
        lines
    }

    fn streams(&self) -> BTreeSet<String> {
        self.entries
            .lock()
            .iter()
            .map(|(stream, ..)| stream.clone())
            .collect()
    }
}

struct World {
    dir: tempfile::TempDir,
    sink: Arc<Memory>,
    job: LogJob,
    options: TailOptions,
    tailer: Option<Tailer>,
}

fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_nanos()).unwrap()
}

/// Waits until something is so, for long.
fn wait_for(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "it is never so");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl World {
    fn new(pattern: &str, stages: Vec<StageConfig>) -> World {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs").join(pattern);
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        let labels = [
            ("job", "app".to_owned()),
            ("__path__", path.display().to_string()),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value));
        let files = FilesConfig {
            static_configs: vec![TargetGroup {
                targets: vec!["localhost".to_owned()],
                labels: BTreeMap::from(labels),
            }],
            ..FilesConfig::default()
        };
        World {
            dir,
            sink: Arc::default(),
            job: LogJob {
                job_name: "j".to_owned(),
                source: LogSourceConfig::Files(Box::new(files)),
                relabel: Vec::new(),
                stages,
            },
            options: TailOptions {
                sync_period: Duration::from_millis(50),
                min_poll: Duration::from_millis(2),
                max_poll: Duration::from_millis(10),
                grace: Duration::from_millis(150),
                ..TailOptions::default()
            },
            tailer: None,
        }
    }

    fn files(&mut self) -> &mut FilesConfig {
        match &mut self.job.source {
            LogSourceConfig::Files(files) => files,
            _ => unreachable!("the world is made of files"),
        }
    }

    fn start(&mut self) {
        if self.tailer.is_some() {
            return;
        }
        *self.sink.fate.lock() = Fate::Stores;
        let tailer = Tailer::new(self.setup());
        let jobs = tailer.prepare(std::slice::from_ref(&self.job), &self.options);
        tailer.commit(jobs.unwrap()).unwrap();
        self.tailer = Some(tailer);
    }

    fn setup(&self) -> TailSetup {
        TailSetup {
            dir: self.dir.path().join("tail"),
            sink: Arc::clone(&self.sink) as Arc<dyn LogSink>,
            languages: Arc::new(NoLanguages),
            clock: Arc::new(now_ns),
            host: "here".to_owned(),
            journalctl: self.dir.path().join("journalctl"),
        }
    }

    /// Stops as a kill does: nothing is noted any more, whatever was stored.
    fn kill(&mut self, fate: Fate) {
        if let Some(tailer) = self.tailer.take() {
            *self.sink.fate.lock() = fate;
            if fate == Fate::DiesAfter {
                // It dies at its next push, if there is one soon.
                std::thread::sleep(Duration::from_millis(15));
            }
            *self.sink.fate.lock() = Fate::Dead;
            drop(tailer);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the store has what is expected, or for long.
    fn wait(&mut self, expected: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
        self.start();
        let began = Instant::now();
        loop {
            let lines = self.sink.lines();
            let all = expected.keys().all(|line| lines.contains_key(line));
            if all || began.elapsed() > Duration::from_secs(30) {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the job tells of these paths that they cannot be read, and of no others.
    fn wait_told(&self, paths: &[&PathBuf]) {
        let tailer = self.tailer.as_ref().unwrap();
        wait_for(|| tailer.status()[0].failures.keys().collect::<Vec<_>>() == paths);
    }

    /// Checks that the store has these lines, each once, and goes on having them.
    fn check(&mut self, lines: &[&str]) {
        let expected: BTreeMap<String, usize> =
            lines.iter().map(|l| ((*l).to_owned(), 1)).collect();
        assert_eq!(self.wait(&expected), expected);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(self.sink.lines(), expected);
    }
}
