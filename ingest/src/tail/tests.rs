//! Files that are written, rotated, cut and compressed while a tailer is killed again and
//! again: every line is stored, and once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
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

use std::sync::Arc;

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

    /// Checks that the store has these lines, each once, and goes on having them.
    fn check(&mut self, lines: &[&str]) {
        let expected: BTreeMap<String, usize> =
            lines.iter().map(|l| ((*l).to_owned(), 1)).collect();
        assert_eq!(self.wait(&expected), expected);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(self.sink.lines(), expected);
    }
}

#[test]
fn lines_are_stored_with_the_labels_of_their_target_and_file() {
    let mut world = World::new("*.log", Vec::new());
    world.append("a.log", "one\ntwo\n\npart");
    world.check(&["one", "two", ""]);
    world.append("a.log", "ly\n");
    world.check(&["one", "two", "", "partly"]);
    let stream = world.sink.streams();
    let path = world.path("a.log");
    assert_eq!(
        stream.into_iter().collect::<Vec<_>>(),
        [format!("{{filename=\"{}\", job=\"app\"}}", path.display())]
    );
    let status = world.tailer.as_ref().unwrap().status();
    let file = &status[0].files[0];
    assert_eq!(
        (file.size, file.position, file.read_bytes, file.lines),
        (16, 16, 16, 4)
    );
    assert_eq!(
        world
            .tailer
            .as_ref()
            .unwrap()
            .sent()
            .sent_entries
            .load(std::sync::atomic::Ordering::Relaxed),
        4
    );
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut world = World::new("*.log", Vec::new());
    world.append("a.log", "one\n");
    world.check(&["one"]);
    world.tailer = None;
    world.append("a.log", "two\n");
    world.check(&["one", "two"]);
    // Another name of the job changes nothing.
    world.tailer = None;
    world.job.job_name = "other".to_owned();
    world.append("a.log", "three\n");
    world.check(&["one", "two", "three"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_even_after_a_restart() {
    let mut world = World::new("app.log", Vec::new());
    world.append("app.log", "one\n");
    world.check(&["one"]);
    world.append("app.log", "two\n");
    std::fs::rename(world.path("app.log"), world.path("app.log.1")).unwrap();
    world.append("app.log", "three\n");
    world.check(&["one", "two", "three"]);
    world.kill(Fate::Dead);
    world.append("app.log", "four\n");
    std::fs::rename(world.path("app.log"), world.path("app.log.2")).unwrap();
    world.append("app.log.2", "five without end");
    world.append("app.log", "six\n");
    world.check(&["one", "two", "three", "four", "five without end", "six"]);
}

#[test]
fn a_cut_file_begins_anew_and_its_copy_goes_on() {
    let line = |n: usize| format!("{n} is the number of a line that is long enough to know");
    let mut world = World::new("app.log*", Vec::new());
    let (a, b, c) = (line(1), line(2), line(3));
    world.append("app.log", &format!("{a}\n{b}\n"));
    world.check(&[&a, &b]);
    // What was written last is in the copy alone.
    world.kill(Fate::Dead);
    world.append("app.log", &format!("{c}\n"));
    std::fs::copy(world.path("app.log"), world.path("app.log.1")).unwrap();
    std::fs::write(world.path("app.log"), "").unwrap();
    world.check(&[&a, &b, &c]);
    let d = line(4) + " and the next one";
    world.append("app.log", &format!("{d}\n"));
    world.check(&[&a, &b, &c, &d]);
    // Cut and written on at once, while it is followed.
    std::fs::copy(world.path("app.log"), world.path("app.log.2")).unwrap();
    let e = line(50000);
    std::fs::write(world.path("app.log"), format!("{e}\n")).unwrap();
    world.check(&[&a, &b, &c, &d, &e]);
}

#[test]
fn a_file_that_is_compressed_is_not_read_again() {
    let line = |n: usize| format!("{n} is the number of a line that is long enough to know");
    let mut world = World::new("app.log*", Vec::new());
    let (a, b) = (line(1), line(2));
    world.append("app.log.1", &format!("{a}\n{b}\n"));
    world.check(&[&a, &b]);
    let file = std::fs::File::create(world.path("app.log.1.gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packed.write_all(format!("{a}\n{b}\n").as_bytes()).unwrap();
    packed.finish().unwrap();
    std::fs::remove_file(world.path("app.log.1")).unwrap();
    let file = std::fs::File::create(world.path("app.log.2.zst")).unwrap();
    let mut packed = zstd::stream::write::Encoder::new(file, 1).unwrap();
    packed.write_all(b"older\noldest").unwrap();
    packed.finish().unwrap();
    // The end of a compressed file ends its last line when the file goes.
    world.check(&[&a, &b, "older"]);
    std::thread::sleep(Duration::from_millis(400));
    world.check(&[&a, &b, "older"]);
    world.tailer = None;
    world.check(&[&a, &b, "older"]);
}

#[test]
fn deleted_and_created_files_are_others() {
    let mut world = World::new("*.log", Vec::new());
    world.append("a.log", "one\n");
    world.check(&["one"]);
    world.append("a.log", "two\n");
    world.check(&["one", "two"]);
    std::fs::remove_file(world.path("a.log")).unwrap();
    world.append("a.log", "three\n");
    world.check(&["one", "two", "three"]);
    world.tailer = None;
    std::fs::remove_file(world.path("a.log")).unwrap();
    world.append("a.log", "four\n");
    world.check(&["one", "two", "three", "four"]);
}

#[test]
fn a_job_may_begin_at_the_end_and_take_over_positions() {
    let mut world = World::new("*.log", Vec::new());
    world.files().start = StartAt::End;
    world.append("a.log", "old\n");
    let positions = world.dir.path().join("positions.yaml");
    world.append("b.log", "old b\nnew b\n");
    let b = world.path("b.log");
    std::fs::write(
        &positions,
        format!("positions:\n  {}: \"6\"\n", b.display()),
    )
    .unwrap();
    world.options.promtail_positions = Some(positions);
    world.check(&["new b"]);
    world.append("a.log", "new\n");
    world.check(&["new b", "new"]);
    world.append("c.log", "later\n");
    world.check(&["new b", "new", "later"]);
    world.tailer = None;
    world.append("d.log", "while down\n");
    world.check(&["new b", "new", "later", "while down"]);
}

#[test]
fn a_slow_store_slows_reading_and_drops_nothing() {
    let mut world = World::new("*.log", Vec::new());
    let lines: Vec<String> = (0..2000)
        .map(|n| format!("line {n} {}", "x".repeat(4000)))
        .collect();
    world.start();
    *world.sink.fate.lock() = Fate::Dead;
    world.append("a.log", &(lines.join("\n") + "\n"));
    std::thread::sleep(Duration::from_millis(100));
    let read = world.tailer.as_ref().unwrap().status()[0]
        .files
        .first()
        .map_or(0, |f| f.read_bytes);
    assert!(read < 3 << 20, "{read} bytes were read that nobody takes");
    *world.sink.fate.lock() = Fate::Stores;
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.check(&lines);
}

#[test]
fn what_is_wrong_is_told() {
    let mut world = World::new("*.log", Vec::new());
    world.job.stages = vec![StageConfig::Template {
        source: "a".to_owned(),
        template: "x".to_owned(),
    }];
    world.tailer = Some(Tailer::new(world.setup()));
    let tailer = world.tailer.as_ref().unwrap();
    let error = tailer
        .prepare(std::slice::from_ref(&world.job), &world.options)
        .unwrap_err();
    assert_eq!(
        error,
        "log job j: invalid template stage config: no templates"
    );
}

#[test]
fn what_was_kept_and_cannot_be_read_is_told_and_nothing_is_read_twice() {
    let mut world = World::new("*.log", Vec::new());
    world.append("a.log", "one\n");
    let commit = |world: &World| {
        let tailer = Tailer::new(world.setup());
        let jobs = tailer.prepare(std::slice::from_ref(&world.job), &world.options);
        let outcome = tailer.commit(jobs.unwrap());
        assert!(tailer.status().is_empty());
        outcome.unwrap_err()
    };
    let path = world.dir.path().join("positions.yaml");
    std::fs::create_dir(&path).unwrap();
    world.options.promtail_positions = Some(path.clone());
    let error = commit(&world);
    let start = format!(
        "positions of Promtail in {} cannot be read: ",
        path.display()
    );
    assert!(error.starts_with(&start), "{error}");

    world.options.promtail_positions = Some(path.join("none of Promtail"));
    world.job.source = LogSourceConfig::Journal(JournalConfig {
        labels: Vec::new(),
        max_age: Duration::from_secs(3600),
        path: PathBuf::new(),
        matches: Vec::new(),
        json: false,
    });
    std::fs::remove_dir(&path).unwrap();
    let hash = xxhash_rust::xxh3::xxh3_64(b"j");
    let path = world.dir.path().join(format!("tail/journal-{hash:016x}"));
    std::fs::create_dir_all(&path).unwrap();
    let error = commit(&world);
    let start = format!(
        "log job j: the place in the journal in {} cannot be read: ",
        path.display()
    );
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn a_renamed_file_that_cannot_be_read_after_a_start_is_told() {
    let mut world = World::new("app.log", Vec::new());
    // A directory can be opened, and gives no bytes.
    let place = world.path("app.log.1");
    std::fs::create_dir(&place).unwrap();
    let tail = world.dir.path().join("tail/positions");
    let record = Record {
        key: Key {
            job: "j".to_owned(),
            id: FileId::of(&std::fs::metadata(&place).unwrap()),
            before: None,
        },
        path: world.path("app.log"),
        head: Print::of(b"one"),
        tail: Print::default(),
        at: 3,
        pieces: Vec::new(),
        seen_ns: now_ns(),
        gone: false,
    };
    let mut positions = Positions::open(&tail, now_ns()).unwrap();
    positions.write(vec![record]).unwrap();
    drop(positions);
    world.append("app.log", "two\n");
    world.check(&["two"]);
    let status = world.tailer.as_ref().unwrap().status();
    let failures: Vec<&PathBuf> = status[0].failures.keys().collect();
    assert_eq!(failures, [&place]);
}

#[test]
fn a_directory_that_cannot_be_read_is_told_until_it_can() {
    let mut world = World::new("sub/*.log", Vec::new());
    let sub = world.path("sub");
    std::os::unix::fs::symlink(&sub, &sub).unwrap();
    world.start();
    let tailer = world.tailer.as_ref().unwrap();
    let began = Instant::now();
    let wait = |told: &[&PathBuf]| loop {
        let status = tailer.status();
        if status[0].failures.keys().collect::<Vec<_>>() == told {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{status:?}");
        std::thread::sleep(Duration::from_millis(2));
    };
    wait(&[&sub]);
    std::fs::remove_file(&sub).unwrap();
    wait(&[]);
}

/// Stands in for the tool of the journal: entries behind the cursor, or all.
const JOURNALCTL: &str = r#"#!/bin/sh
from=0
for word in "$@"; do
  case "$word" in
    --after-cursor=c*) from=${word#--after-cursor=c} ;;
    --since=-3600s) from=0 ;;
  esac
done
n=$((from + 1))
while [ $n -le 5 ]; do
  echo "{\"__CURSOR\":\"c$n\",\"__REALTIME_TIMESTAMP\":\"100000$n\",\"MESSAGE\":\"entry $n\",\"PRIORITY\":\"3\",\"_SYSTEMD_UNIT\":\"a.service\",\"X\":[\"y\",\"z\"]}"
  n=$((n + 1))
done
echo '{"__CURSOR":"c5","X":"no message"}'
echo 'no JSON'
head -c 20000000 /dev/zero | tr '\0' '{'
echo
echo 'no JSON'
exec sleep 60
"#;

#[test]
fn the_journal_is_read_from_where_it_was_left() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new("unused", Vec::new());
    let tool = world.dir.path().join("journalctl");
    std::fs::write(&tool, JOURNALCTL).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.job.source = LogSourceConfig::Journal(JournalConfig {
        labels: vec![("job".to_owned(), "journal".to_owned())],
        max_age: Duration::from_secs(3600),
        path: PathBuf::new(),
        matches: Vec::new(),
        json: false,
    });
    world.job.relabel = [
        "__journal__systemd_unit",
        "__journal_priority_keyword",
        "__journal_x",
    ]
    .into_iter()
    .map(|source| {
        let config = kymo_storage::model::RelabelConfig {
            source_labels: Some(vec![source.to_owned()]),
            target_label: source.rsplit('_').next().unwrap().to_owned(),
            ..kymo_storage::model::RelabelConfig::default()
        };
        kymo_storage::model::RelabelRule::new(config).unwrap()
    })
    .collect();
    world.check(&["entry 1", "entry 2", "entry 3", "entry 4", "entry 5"]);
    let streams: Vec<String> = world.sink.streams().into_iter().collect();
    assert_eq!(
        streams,
        ["{job=\"journal\", keyword=\"error\", unit=\"a.service\", x=\"y\"}"]
    );
    let first = world.sink.entries.lock().first().unwrap().1;
    assert_eq!(first, 1_000_001_000);
    let dropped = || world.tailer.as_ref().unwrap().pipelines().counts().dropped;
    let began = Instant::now();
    while dropped().get("journal_parsing_error") != Some(&2) {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", dropped());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(dropped()["journal_entry_too_long"], 1);
    world.tailer = None;
    world.sink.entries.lock().clear();
    world.start();
    std::thread::sleep(Duration::from_millis(200));
    assert!(world.sink.lines().is_empty(), "{:?}", world.sink.lines());
}

fn syslog(
    world: &mut World,
    protocol: SyslogProtocol,
    format: SyslogFormat,
) -> std::net::SocketAddr {
    world.job.source = LogSourceConfig::Syslog(SyslogConfig {
        listen_address: "127.0.0.1:0".to_owned(),
        protocol,
        format,
        labels: vec![("job".to_owned(), "syslog".to_owned())],
        idle_timeout: Duration::from_secs(60),
        max_message_bytes: 200,
        label_structured_data: true,
        use_incoming_timestamp: true,
        use_rfc5424_message: false,
    });
    let rule = |source: &str, target: &str| {
        let config = kymo_storage::model::RelabelConfig {
            source_labels: Some(vec![format!("__syslog_{source}")]),
            target_label: target.to_owned(),
            ..kymo_storage::model::RelabelConfig::default()
        };
        kymo_storage::model::RelabelRule::new(config).unwrap()
    };
    world.job.relabel = vec![
        rule("message_severity", "level"),
        rule("message_hostname", "host"),
        rule("message_sd_meta_1_seq", "seq"),
        rule("connection_ip_address", "peer"),
    ];
    world.start();
    world.tailer.as_ref().unwrap().status()[0].address.unwrap()
}

#[test]
fn syslog_is_received_over_connections_and_in_datagrams() {
    let mut world = World::new("unused", Vec::new());
    let address = syslog(&mut world, SyslogProtocol::Tcp, SyslogFormat::Rfc5424);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"<11>1 2026-01-02T03:04:05Z web app - - [meta@1 seq=\"7\"] one\n65 <11>1 2026-01-02T03:04:05Z web app - - [meta@1 seq=\"7\"] two\nlines<bad\n")
        .unwrap();
    drop(stream);
    world.check(&["one", "two\nlines"]);
    let streams: Vec<String> = world.sink.streams().into_iter().collect();
    assert_eq!(
        streams,
        ["{host=\"web\", job=\"syslog\", level=\"error\", peer=\"127.0.0.1\", seq=\"7\"}"]
    );
    assert_eq!(
        world.sink.entries.lock().first().unwrap().1,
        1_767_323_045_000_000_000
    );
    let dropped = world.tailer.as_ref().unwrap().pipelines().counts().dropped;
    assert_eq!(dropped["syslog_parsing_error"], 1);
    world.tailer = None;
    world.sink.entries.lock().clear();
    let address = syslog(&mut world, SyslogProtocol::Udp, SyslogFormat::Rfc3164);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .send_to(b"<13>Jan  2 03:04:05 db cron[7]: three\n", address)
        .unwrap();
    world.check(&["three"]);
}

#[derive(Debug, Clone)]
enum Act {
    /// Appends so many lines, of so many bytes about.
    Append(usize, usize),
    Rename,
    CopyTruncate,
    Kill,
    KillAfterPush,
    Stop,
    Start,
    Pause(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (1usize..30, 1usize..200).prop_map(|(n, len)| Act::Append(n, len)),
        1 => (1usize..400, 2000usize..9000).prop_map(|(n, len)| Act::Append(n, len)),
        2 => Just(Act::Rename),
        1 => Just(Act::CopyTruncate),
        2 => Just(Act::Kill),
        2 => Just(Act::KillAfterPush),
        1 => Just(Act::Stop),
        4 => Just(Act::Start),
        3 => (0u64..12).prop_map(Act::Pause),
    ];
    proptest::collection::vec(act, 1..25)
}

/// Does what is said, with lines that are all different, and checks that each is there once.
fn play(acts: &[Act], multiline: bool) -> Result<(), TestCaseError> {
    let stages = match multiline {
        false => Vec::new(),
        true => vec![StageConfig::Multiline(MultilineConfig {
            firstline: "^A".to_owned(),
            max_wait: Duration::from_millis(60),
            max_lines: 128,
        })],
    };
    let mut world = World::new("app.log*", stages);
    let mut expected = BTreeMap::new();
    let (mut lines, mut rotations) = (0, 0);
    for act in acts {
        match act {
            Act::Append(count, len) => {
                let mut text = String::new();
                for _ in 0..*count {
                    lines += 1;
                    let mut entry = format!("A{lines} {}", "y".repeat(*len));
                    if multiline {
                        for more in 0..lines % 3 {
                            entry.push_str(&format!("\n  {more} of {lines}"));
                        }
                    }
                    text.push_str(&entry);
                    text.push('\n');
                    expected.insert(entry, 1);
                }
                world.append("app.log", &text);
            }
            Act::Rename | Act::CopyTruncate if !world.path("app.log").exists() => {}
            Act::Rename => {
                rotations += 1;
                let to = world.path(&format!("app.log.{rotations}"));
                std::fs::rename(world.path("app.log"), to).unwrap();
            }
            Act::CopyTruncate => {
                // A shorter file is not known from others that begin like it.
                if std::fs::metadata(world.path("app.log")).unwrap().len() < 2000 {
                    continue;
                }
                rotations += 1;
                let to = world.path(&format!("app.log.{rotations}"));
                std::fs::copy(world.path("app.log"), to).unwrap();
                std::fs::write(world.path("app.log"), "").unwrap();
            }
            Act::Kill => world.kill(Fate::Dead),
            Act::KillAfterPush => world.kill(Fate::DiesAfter),
            Act::Stop => world.tailer = None,
            Act::Start => world.start(),
            Act::Pause(ms) => std::thread::sleep(Duration::from_millis(*ms)),
        }
    }
    let stored = world.wait(&expected);
    prop_assert_eq!(differences(&stored, &expected), Vec::<String>::new());
    std::thread::sleep(Duration::from_millis(20));
    prop_assert_eq!(
        differences(&world.sink.lines(), &expected),
        Vec::<String>::new()
    );
    Ok(())
}

fn differences(
    stored: &BTreeMap<String, usize>,
    expected: &BTreeMap<String, usize>,
) -> Vec<String> {
    let short = |line: &str| line.chars().take(30).collect::<String>();
    let mut out = Vec::new();
    for line in expected.keys().filter(|line| !stored.contains_key(*line)) {
        out.push(format!("missing {}", short(line)));
    }
    for (line, count) in stored {
        if expected.get(line) != Some(count) {
            out.push(format!("{count} times {}", short(line)));
        }
    }
    out.truncate(10);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_stored_once_whatever_happens(acts in acts()) {
        play(&acts, false)?;
    }

    #[test]
    fn every_block_of_lines_is_stored_once_whatever_happens(acts in acts()) {
        play(&acts, true)?;
    }
}
