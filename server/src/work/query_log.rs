//! The query log: a line of JSON for each query that was evaluated, as Prometheus 3.14
//! writes it, in the file that `query_log_file` names. The line of a query of logs is alike,
//! but for its message.
//!
//! The file is opened anew with every reload, so that it can be rotated. A line is one
//! write; one that fails is counted and lost, and the query is answered all the same.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kymo_query::rules::Language;
use kymo_storage::compat::time::Instant;
use parking_lot::Mutex;
use tracing::error;

use crate::http::json::{Escape, push_string};

/// The log, on or off.
#[derive(Debug, Default)]
pub(crate) struct QueryLog {
    open: Mutex<Option<Arc<LogFile>>>,
    failures: AtomicU64,
}

/// A file that queries are logged to.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    has_failed: Mutex<bool>,
}

impl LogFile {
    /// Opens a file to write behind what it holds.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<LogFile, String> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file =
            file.map_err(|error| format!("query_log_file: open {}: {error}", path.display()))?;
        Ok(LogFile {
            path: path.to_owned(),
            file,
            has_failed: Mutex::new(false),
        })
    }
}

/// A query that was evaluated.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) language: Language,
    pub(crate) query: String,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
    pub(crate) error: Option<String>,
    /// Finished JSON.
    pub(crate) stats: Vec<u8>,
    pub(crate) origin: Origin,
}

/// Who asked.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A client of the API.
    Http {
        client_ip: String,
        method: String,
        path: String,
        tags: QueryTags,
    },
    /// A rule.
    Rule { file: String, group: String },
}

/// What a client says of its query with the header `X-Query-Tags`: `name=value, name=value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct QueryTags(Vec<(String, String)>);

impl QueryTags {
    /// Reads the header as Loki does: names in lower case; characters that could mean
    /// something to whoever reads the log become underscores. Of one name the first counts.
    pub(crate) fn read(header: &[u8]) -> QueryTags {
        let mut tags: Vec<(String, String)> = Vec::new();
        let header = String::from_utf8_lossy(header);
        for tag in header.split(',') {
            let Some((name, value)) = tag.split_once('=') else {
                continue;
            };
            let (name, value) = (plain(name).to_ascii_lowercase(), plain(value));
            let known = tags.iter().any(|(known, _)| *known == name);
            if !known && !name.is_empty() && !value.is_empty() {
                tags.push((name, value));
            }
        }
        QueryTags(tags)
    }
}

fn plain(text: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || "-=.@ ".contains(c);
    let chars = text.trim().chars();
    chars.map(|c| if kept(c) { c } else { '_' }).collect()
}

impl QueryLog {
    /// Writes to another file from now on, or to none. What was open is closed once the
    /// last line to it is written.
    pub(crate) fn set(&self, file: Option<LogFile>) {
        *self.open.lock() = file.map(Arc::new);
    }

    /// Tells whether queries are logged.
    pub(crate) fn is_on(&self) -> bool {
        self.open.lock().is_some()
    }

    /// Returns how many lines were lost.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Writes a line. Blocks while the system takes it.
    pub(crate) fn write(&self, logged: &Logged, now_ms: i64) {
        let Some(log) = self.open.lock().clone() else {
            return;
        };
        let mut line = line(logged, now_ms);
        line.push(b'\n');
        let written = (&log.file).write_all(&line);
        if let Err(problem) = &written {
            self.failures.fetch_add(1, Ordering::Relaxed);
            if !*log.has_failed.lock() {
                let file = log.path.display().to_string();
                error!(error = %problem, file, "cannot write to the query log");
            }
        }
        *log.has_failed.lock() = written.is_err();
    }
}

fn line(logged: &Logged, now_ms: i64) -> Vec<u8> {
    let mut line = Vec::with_capacity(512 + logged.query.len());
    put(
        &mut line,
        "{\"time\":",
        &Instant::from_ms(now_ms).rfc3339_nano(),
    );
    put(&mut line, ",\"level\":", "INFO");
    put(&mut line, ",\"source\":", "query_log.rs");
    let message = match logged.language {
        Language::PromQl => "promql query logged",
        Language::LogQl => "logql query logged",
    };
    put(&mut line, ",\"msg\":", message);
    // Sorted, as Go writes a map.
    put(&mut line, ",\"params\":{\"end\":", &date(logged.end_ms));
    put(&mut line, ",\"query\":", &logged.query);
    put(&mut line, ",\"start\":", &date(logged.start_ms));
    line.extend_from_slice(format!(",\"step\":{}}}", logged.step_ms / 1000).as_bytes());
    if let Some(error) = &logged.error {
        put(&mut line, ",\"error\":", error);
    }
    line.extend_from_slice(b",\"stats\":");
    line.extend_from_slice(&logged.stats);
    // Nothing is traced, and Prometheus writes that so.
    put(&mut line, ",\"spanID\":", "0000000000000000");
    put(
        &mut line,
        ",\"traceID\":",
        "00000000000000000000000000000000",
    );
    match &logged.origin {
        Origin::Http {
            client_ip,
            method,
            path,
            tags: QueryTags(tags),
        } => {
            put(&mut line, ",\"httpRequest\":{\"clientIP\":", client_ip);
            put(&mut line, ",\"method\":", method);
            put(&mut line, ",\"path\":", path);
            for (index, (name, value)) in tags.iter().enumerate() {
                let before = if index == 0 { ",\"tags\":{" } else { "," };
                put(&mut line, before, name);
                put(&mut line, ":", value);
            }
            if !tags.is_empty() {
                line.push(b'}');
            }
        }
        Origin::Rule { file, group } => {
            put(&mut line, ",\"ruleGroup\":{\"file\":", file);
            put(&mut line, ",\"name\":", group);
        }
    }
    line.extend_from_slice(b"}}");
    line
}

/// Appends what stands in front of a text, and the text in quotes.
fn put(line: &mut Vec<u8>, name: &str, text: &str) {
    line.extend_from_slice(name.as_bytes());
    push_string(line, text, Escape::Plain);
}

/// Returns a time with three decimals.
fn date(t_ms: i64) -> String {
    let whole = Instant::from_ms(t_ms - t_ms.rem_euclid(1000)).rfc3339_nano();
    let whole = whole.trim_end_matches('Z');
    format!("{whole}.{:03}Z", t_ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(query: &str, error: Option<&str>) -> Logged {
        Logged {
            language: Language::PromQl,
            query: query.to_owned(),
            start_ms: 1_700_000_000_000,
            end_ms: 1_700_000_060_050,
            step_ms: 15_500,
            error: error.map(str::to_owned),
            stats: b"{\"timings\":{}}".to_vec(),
            origin: Origin::Http {
                client_ip: "127.0.0.1".to_owned(),
                method: "GET".to_owned(),
                path: "/api/v1/query_range".to_owned(),
                tags: QueryTags::default(),
            },
        }
    }

    #[test]
    fn tags_of_a_client_are_told() {
        let read = |header: &str| QueryTags::read(header.as_bytes()).0;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read("Source=grafana-lokiexplore-app, user = a@b.c ,,x,=y,z=, source=other"),
            [
                pair("source", "grafana-lokiexplore-app"),
                pair("user", "a@b.c")
            ]
        );
        assert_eq!(
            read("a=\"}\\\u{e9}\n,b=c=d"),
            [pair("a", "____"), pair("b", "c=d")]
        );
        assert_eq!(QueryTags::read(b"a=\xff").0, [pair("a", "_")]);
        let mut logged = logged("a", None);
        if let Origin::Http { tags, .. } = &mut logged.origin {
            *tags = QueryTags::read(b"Source=a,b=c");
        }
        let text = String::from_utf8(line(&logged, 0)).unwrap();
        assert!(
            text.ends_with(r#""path":"/api/v1/query_range","tags":{"source":"a","b":"c"}}}"#),
            "{text}"
        );
    }

    #[test]
    fn a_line_has_the_fields_of_prometheus_in_their_order() {
        let text = String::from_utf8(line(&logged("a < \"b\"", None), 1_700_000_100_120)).unwrap();
        let expected = r#"{"time":"2023-11-14T22:15:00.12Z","level":"INFO","source":"query_log.rs","msg":"promql query logged","params":{"end":"2023-11-14T22:14:20.050Z","query":"a < \"b\"","start":"2023-11-14T22:13:20.000Z","step":15},"stats":{"timings":{}},"spanID":"0000000000000000","traceID":"00000000000000000000000000000000","httpRequest":{"clientIP":"127.0.0.1","method":"GET","path":"/api/v1/query_range"}}"#;
        assert_eq!(text, expected);
        let mut of_rule = logged("a", None);
        of_rule.origin = Origin::Rule {
            file: "r.yml".to_owned(),
            group: "g".to_owned(),
        };
        let text = String::from_utf8(line(&of_rule, 0)).unwrap();
        assert!(
            text.ends_with(r#","ruleGroup":{"file":"r.yml","name":"g"}}"#),
            "{text}"
        );
        let mut of_logs = logged("{a=\"b\"}", None);
        of_logs.language = Language::LogQl;
        let text = String::from_utf8(line(&of_logs, 0)).unwrap();
        assert!(
            text.contains(r#","msg":"logql query logged","params""#),
            "{text}"
        );
        let text = line(&logged("a", Some("query timed out")), 0);
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains(r#"},"error":"query timed out","stats""#),
            "{text}"
        );
    }

    #[test]
    fn a_reload_opens_the_file_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queries.log");
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
        let log = QueryLog::default();
        log.write(&logged("off", None), 0);
        log.set(Some(LogFile::open(&path).unwrap()));
        log.write(&logged("one", None), 0);
        let moved = dir.path().join("queries.log.1");
        std::fs::rename(&path, &moved).unwrap();
        log.write(&logged("two", None), 0);
        log.set(Some(LogFile::open(&path).unwrap()));
        log.write(&logged("three", None), 0);
        assert_eq!((lines(&moved), lines(&path)), (2, 1));
        // A file that cannot be opened leaves things as they are.
        let error = LogFile::open(&dir.path().join("no/such")).unwrap_err();
        assert!(error.contains("no/such") && log.is_on(), "{error}");
        log.set(None);
        log.write(&logged("off", None), 0);
        assert_eq!((lines(&path), log.failures(), log.is_on()), (1, 0, false));
    }
}
