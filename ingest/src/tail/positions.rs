//! How far files are read: a file of records, the last one of each file counts.
//!
//! A record is written *before* the entries that it is about are given to the store: it
//! names the place up to which the store has everything on disk, and the pieces read behind
//! it, with the time that each was read at. After a kill these pieces are read again, and
//! their lines get the very same times; what the store has of them is known by that and is
//! not stored again ([`LogSink::push_again`](super::LogSink::push_again)). So nothing is
//! lost and nothing comes twice.
//!
//! Each line of the file is a checksum and a JSON object. A line that is cut or damaged ends
//! the file; it is cut off there. When most lines are out of date, a new file takes the
//! place of the old one in one step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::identity::{FileId, Print};

/// Size from which it may pay to write the file anew.
const LEAST_REWRITE_BYTES: u64 = 1 << 20;
/// Longest file that is read at the start.
const MAX_BYTES: u64 = 1 << 30;
/// How long a record is kept that nobody asks for: its job is gone.
const KEEP_NS: i64 = 90 * 24 * 3_600_000_000_000;

/// A part of a file that was read at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Where it starts.
    pub(super) from: u64,
    /// Where what follows it starts.
    pub(super) to: u64,
    /// When it was read. A line gets this, and a nanosecond for each byte in front of it.
    pub(super) read_ns: i64,
    /// Whether what stages held back was given behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) flushed: bool,
}

/// What a record is about: a file, as one job reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) job: String,
    #[serde(flatten)]
    pub(super) id: FileId,
    /// Counts how often the file was cut and began anew, where an older part is still of
    /// interest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<u64>,
}

/// How far a file is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) key: Key,
    pub(super) path: PathBuf,
    /// What the file begins with.
    pub(super) head: Print,
    /// The bytes right in front of `at`.
    pub(super) tail: Print,
    /// Up to here the store has everything.
    pub(super) at: u64,
    /// What was read behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pieces: Vec<Piece>,
    /// When the file was last seen.
    pub(super) seen_ns: i64,
    /// Whether the record is to be forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
}

impl Record {
    /// Returns up to where the file was read.
    pub(super) fn end(&self) -> u64 {
        self.pieces.last().map_or(self.at, |piece| piece.to)
    }

    /// Tells whether it can be one of a file: the bytes in front of `at` lie within it.
    fn is_sound(&self) -> bool {
        self.tail.len as u64 <= self.at
    }
}

/// All records, in memory and on disk.
#[derive(Debug)]
pub(super) struct Positions {
    path: PathBuf,
    file: File,
    records: BTreeMap<Key, Record>,
    len_bytes: u64,
    /// Bytes that the live records take.
    live_bytes: u64,
    /// Jobs that exist; records of others may be taken over.
    jobs: BTreeSet<String>,
}

impl Positions {
    /// Opens the file, or begins one.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(super) fn open(path: &Path, now_ns: i64) -> io::Result<Positions> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        if file.metadata()?.len() > MAX_BYTES {
            return Err(io::Error::other("the file of positions is too large"));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let mut records = BTreeMap::new();
        let good = read(&text, &mut records);
        if good < text.len() {
            tracing::warn!(
                path = %path.display(),
                bytes = text.len() - good,
                "positions of log files end in a line that is not whole"
            );
            file.set_len(good as u64)?;
        }
        records.retain(|_, record| record.seen_ns >= now_ns.saturating_sub(KEEP_NS));
        Ok(Positions {
            path: path.to_owned(),
            file,
            records,
            len_bytes: good as u64,
            live_bytes: 0,
            jobs: BTreeSet::new(),
        })
    }

    /// Returns the records.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Returns the record of a file.
    pub(super) fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key)
    }

    /// Says which jobs exist.
    pub(super) fn set_jobs(&mut self, jobs: BTreeSet<String>) {
        self.jobs = jobs;
    }

    /// Returns the record of a file under a job that does not exist any more: jobs may get
    /// another name.
    pub(super) fn orphan(&self, id: FileId) -> Option<&Record> {
        self.records.values().find(|record| {
            record.key.id == id
                && record.key.before.is_none()
                && !self.jobs.contains(&record.key.job)
        })
    }

    /// Writes records in one piece.
    ///
    /// # Errors
    /// The disk did not take them; the same records may be written again.
    pub(super) fn write(&mut self, records: Vec<Record>) -> io::Result<()> {
        let mut text = Vec::new();
        for record in &records {
            push(record, &mut text)?;
        }
        if let Err(error) = self.file.write_all(&text) {
            // A part of it may be there, which would hide what follows.
            self.file.set_len(self.len_bytes)?;
            return Err(error);
        }
        self.len_bytes += text.len() as u64;
        for record in records {
            match record.gone {
                true => self.records.remove(&record.key),
                false => self.records.insert(record.key.clone(), record),
            };
        }
        if self.len_bytes > LEAST_REWRITE_BYTES && self.len_bytes > 4 * self.live_bytes {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Writes a new file of the live records alone.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        for record in self.records.values() {
            push(record, &mut text)?;
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&beside, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.len_bytes = text.len() as u64;
        self.live_bytes = self.len_bytes;
        Ok(())
    }
}

fn push(record: &Record, text: &mut Vec<u8>) -> io::Result<()> {
    let json = serde_json::to_vec(record)?;
    text.extend_from_slice(format!("{:016x} ", xxh3_64(&json)).as_bytes());
    text.extend_from_slice(&json);
    text.push(b'\n');
    Ok(())
}

/// Reads records, and returns how many bytes are whole and good.
fn read(text: &[u8], records: &mut BTreeMap<Key, Record>) -> usize {
    let mut good = 0;
    while let Some(len) = memchr::memchr(b'\n', &text[good..]) {
        let Some(record) = parse(&text[good..good + len]) else {
            break;
        };
        good += len + 1;
        match record.gone {
            true => records.remove(&record.key),
            false => records.insert(record.key.clone(), record),
        };
    }
    good
}

fn parse(line: &[u8]) -> Option<Record> {
    let (sum, json) = line.split_at_checked(17)?;
    let sum = std::str::from_utf8(sum.get(..16)?).ok()?;
    let sum = u64::from_str_radix(sum, 16).ok()?;
    if xxh3_64(json) != sum {
        return None;
    }
    let record: Option<Record> = serde_json::from_slice(json).ok();
    record.filter(Record::is_sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ino: u64, at: u64) -> Record {
        Record {
            key: Key {
                job: "j".to_owned(),
                id: FileId { dev: 1, ino },
                before: None,
            },
            path: PathBuf::from("/x"),
            head: Print::of(b"head"),
            tail: Print::default(),
            at,
            pieces: vec![Piece {
                from: at,
                to: at + 3,
                read_ns: 7,
                flushed: ino == 2,
            }],
            seen_ns: 100,
            gone: false,
        }
    }

    #[test]
    fn the_last_record_of_a_file_counts_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tail/positions");
        let mut positions = Positions::open(&path, 0).unwrap();
        positions.write(vec![record(1, 5), record(2, 6)]).unwrap();
        positions.write(vec![record(1, 9)]).unwrap();
        let mut gone = record(3, 1);
        positions.write(vec![gone.clone()]).unwrap();
        gone.gone = true;
        positions.write(vec![gone]).unwrap();
        drop(positions);
        let positions = Positions::open(&path, 0).unwrap();
        assert_eq!(
            positions.records().cloned().collect::<Vec<_>>(),
            [record(1, 9), record(2, 6)]
        );
        let later = Positions::open(&path, 101 + KEEP_NS).unwrap();
        assert_eq!(
            later.records().count(),
            0,
            "files that are gone for long are forgotten"
        );
    }

    #[test]
    fn a_cut_or_damaged_line_ends_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("positions");
        let mut positions = Positions::open(&path, 0).unwrap();
        positions.write(vec![record(1, 5)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        positions.write(vec![record(1, 9)]).unwrap();
        drop(positions);
        let both = std::fs::read(&path).unwrap();
        for end in whole.len()..both.len() {
            std::fs::write(&path, &both[..end]).unwrap();
            let mut positions = Positions::open(&path, 0).unwrap();
            assert_eq!(positions.get(&record(1, 0).key).unwrap().at, 5);
            positions.write(vec![record(1, 7)]).unwrap();
            drop(positions);
            let positions = Positions::open(&path, 0).unwrap();
            assert_eq!(positions.get(&record(1, 0).key).unwrap().at, 7);
        }
        let mut damaged = both.clone();
        damaged[whole.len() + 20] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let positions = Positions::open(&path, 0).unwrap();
        assert_eq!(positions.get(&record(1, 0).key).unwrap().at, 5);
    }

    #[test]
    fn a_record_that_no_file_can_have_ends_the_file() {
        let good = record(1, 5);
        let mut unsound = record(2, 5);
        unsound.tail.len = 6;
        let mut text = Vec::new();
        push(&good, &mut text).unwrap();
        let len = text.len();
        push(&unsound, &mut text).unwrap();
        let mut records = BTreeMap::new();
        assert_eq!(read(&text, &mut records), len);
        assert_eq!(records.into_values().collect::<Vec<_>>(), [good]);
    }

    #[test]
    fn old_records_are_left_behind_now_and_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("positions");
        let mut positions = Positions::open(&path, 0).unwrap();
        for at in 0..10_000 {
            positions.write(vec![record(at % 3, at)]).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() < LEAST_REWRITE_BYTES + 1000);
        drop(positions);
        let positions = Positions::open(&path, 0).unwrap();
        let ats: Vec<u64> = positions.records().map(|record| record.at).collect();
        assert_eq!(ats, [9999, 9997, 9998]);
    }
}
