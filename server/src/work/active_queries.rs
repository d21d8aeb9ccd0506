//! Which queries run now, in a file that outlives a crash.
//!
//! The file `queries.active` in the data directory has a place of a thousand bytes for
//! each query that may run at one time, in the form of Prometheus':
//!
//! ```text
//! [ | {"query":"..","timestamp_sec":..} 0 0 .. , | 0 0 0 .. | ...
//! ```
//!
//! A query is written down before it runs and wiped afterwards, with one write each that
//! nobody waits for the disk with. What is there at the start did not finish in the last
//! run: when a query took the process down, it is among them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use kymo_storage::compat::json;
use parking_lot::Mutex;
use tracing::{info, warn};

/// Name of the file in the data directory.
const FILE: &str = "queries.active";

/// Bytes of a place.
const PLACE_BYTES: usize = 1000;

/// Most bytes that are read of what the last run has left.
const MAX_LEFT_BYTES: u64 = 1 << 20;

/// The places and who has them.
#[derive(Debug)]
pub(crate) struct ActiveQueries {
    /// `None` where it could not be made; queries run all the same.
    file: Option<File>,
    free: Mutex<Vec<usize>>,
}

impl ActiveQueries {
    /// Tells what the last run has left and begins anew. The caller has the directory for
    /// itself.
    pub(crate) fn open(dir: &Path, concurrency: usize) -> ActiveQueries {
        let path = dir.join(FILE);
        if let Some(queries) = left_by(&path) {
            info!(queries, "these queries did not finish in the last run");
        }
        let file = create(&path, concurrency);
        if let Err(error) = &file {
            let file = path.display().to_string();
            warn!(%error, file, "running queries are not written down");
        }
        ActiveQueries {
            file: file.ok(),
            free: Mutex::new((0..concurrency).rev().collect()),
        }
    }

    /// Writes a query down until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<ActiveQueries>, query: &str, now_ms: i64) -> Entered {
        let place = self.free.lock().pop();
        if let Some(place) = place {
            self.write(place, &entry(query, now_ms));
        }
        Entered {
            queries: Arc::clone(self),
            place,
        }
    }

    fn write(&self, place: usize, bytes: &[u8; PLACE_BYTES]) {
        if let Some(file) = &self.file {
            // A full disk or a file that somebody removed must not stop queries.
            let _ = file.write_all_at(bytes, (1 + place * PLACE_BYTES) as u64);
        }
    }
}

/// A query that is written down.
#[derive(Debug)]
pub(crate) struct Entered {
    queries: Arc<ActiveQueries>,
    place: Option<usize>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.queries.write(place, &[0; PLACE_BYTES]);
            self.queries.free.lock().push(place);
        }
    }
}

fn create(path: &Path, concurrency: usize) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).open(path)?;
    file.set_len((1 + concurrency * PLACE_BYTES) as u64)?;
    file.write_all_at(b"[", 0)?;
    Ok(file)
}

/// Returns the queries in the file as JSON, if there are any.
fn left_by(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_LEFT_BYTES).read_to_end(&mut bytes).ok()?;
    bytes.retain(|&byte| byte != 0);
    let text = String::from_utf8_lossy(&bytes);
    let queries = text.strip_prefix('[')?.trim_end_matches(',');
    (!queries.is_empty()).then(|| format!("[{queries}]"))
}

/// Returns what stands in a query's place. A long query is cut.
fn entry(query: &str, now_ms: i64) -> [u8; PLACE_BYTES] {
    let tail = format!(",\"timestamp_sec\":{}}}", now_ms.div_euclid(1000));
    let room = PLACE_BYTES - 1 - tail.len() - "{\"query\":".len();
    let mut text = String::new();
    let mut end = query.floor_char_boundary(room);
    loop {
        text.clear();
        json::push_string(&mut text, &query[..end]);
        // Escapes are longer than what they stand for.
        let Some(over) = text.len().checked_sub(room).filter(|&over| over > 0) else {
            break;
        };
        end = query.floor_char_boundary(end.saturating_sub(over.div_ceil(6)));
    }
    let mut place = [0; PLACE_BYTES];
    let parts = ["{\"query\":", &text, &tail].concat();
    place[..parts.len()].copy_from_slice(parts.as_bytes());
    place[PLACE_BYTES - 1] = b',';
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(left: &str) -> Vec<String> {
        let entries: serde_json::Value = serde_json::from_str(left).unwrap();
        let entries = entries.as_array().unwrap().iter();
        entries
            .map(|entry| entry["query"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_did_not_finish_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(left_by(&path), None);
        let running = Arc::new(ActiveQueries::open(dir.path(), 3));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3001);
        assert_eq!(left_by(&path), None);
        let first = running.enter("up", 1_700_000_000_999);
        let second = running.enter("sum(\"ü\")", 0);
        let left = left_by(&path).unwrap();
        assert_eq!(queries(&left), ["up", "sum(\"ü\")"]);
        assert!(left.contains("\"timestamp_sec\":1700000000"), "{left}");
        drop(first);
        assert_eq!(queries(&left_by(&path).unwrap()), ["sum(\"ü\")"]);
        // As a process that is killed now would.
        std::mem::drop(ActiveQueries::open(dir.path(), 2));
        assert_eq!(left_by(&path), None);
        drop(second);
        let many: Vec<Entered> = (0..5).map(|_| running.enter("many", 0)).collect();
        assert_eq!(queries(&left_by(&path).unwrap()).len(), 3);
        drop(many);
        assert_eq!(left_by(&path), None);
    }

    #[test]
    fn long_queries_are_cut_and_stay_json() {
        for query in ["x".repeat(5000), "ü".repeat(900), "\u{1}\"<".repeat(700)] {
            let place = entry(&query, 1_700_000_000_000);
            let text: Vec<u8> = place.iter().copied().filter(|&byte| byte != 0).collect();
            let text = String::from_utf8(text).unwrap();
            let left = format!("[{}]", text.trim_end_matches(','));
            let cut = &queries(&left)[0];
            assert!(
                query.starts_with(cut.as_str()) && text.len() > 900,
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_of_something_else_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for bytes in [&b""[..], b"[", b"x", b"\xff\xfe", b"[\xff,"] {
            std::fs::write(&path, bytes).unwrap();
            let _left = left_by(&path);
            let running = Arc::new(ActiveQueries::open(dir.path(), 1));
            drop(running.enter("up", 0));
        }
        // Nor does a directory that is not there.
        let nowhere = Arc::new(ActiveQueries::open(&dir.path().join("no"), 1));
        drop(nowhere.enter("up", 0));
    }
}
