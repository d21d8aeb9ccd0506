//! How far a reader of the log is done, in a file of its own.
//!
//! The file is a journal. A *mark* is written before anything behind the one before it
//! is handed out, so that a reader that comes back after a kill finds the same pieces of
//! the log again, each with a word of its owner. A *done* says that nothing before it
//! need be read again. When the journal grows, it is written anew under another name.
//!
//! ```text
//! file   = magic KYMOCURS | version u16 | n_shards u16 | name text (u16 length) | records
//! record = kind u8 | word u32 | n_shards x (segment u32, offset u32) | crc u32
//! kind   = 1 done, 2 mark
//! ```
//!
//! Without a sync a record survives the death of the process. After a power loss an
//! older state may be found, and more is read again.

use std::sync::Arc;

use crate::codec::crc;
use crate::fs::{AppendFile, Dir, FsError};
use crate::wal::Position;

const MAGIC: &[u8; 8] = b"KYMOCURS";
const VERSION: u16 = 1;
/// Size at which the journal is written anew.
const MAX_BYTES: u64 = 64 << 10;
/// Longest file that is read; records are short and few.
const MAX_READ_BYTES: u64 = 16 << 20;
const DONE: u8 = 1;
const MARK: u8 = 2;

/// Positions of all logs, by shard.
pub(super) type Positions = Vec<Position>;

/// A mark: everything up to these positions belongs to the pieces so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) end: Positions,
    pub(super) word: u32,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) done: Positions,
    /// Marks that are not done, in order.
    pub(super) marks: Vec<Mark>,
}

/// A cursor, open for writing.
#[derive(Debug)]
pub(super) struct CursorFile {
    dir: Arc<dyn Dir>,
    file_name: String,
    found: Found,
    file: Arc<dyn AppendFile>,
    len_bytes: u64,
    dirty: bool,
}

impl CursorFile {
    /// Writes a new file, or an old one anew.
    pub(super) fn create(
        dir: Arc<dyn Dir>,
        file_name: String,
        found: Found,
    ) -> Result<CursorFile, FsError> {
        let (file, len_bytes) = write_anew(&*dir, &file_name, &found)?;
        Ok(CursorFile {
            dir,
            file_name,
            found,
            file,
            len_bytes,
            dirty: false,
        })
    }

    /// Returns what nobody need read again.
    pub(super) fn done(&self) -> &Positions {
        &self.found.done
    }

    /// Writes a mark.
    pub(super) fn mark(&mut self, mark: Mark) -> Result<(), FsError> {
        let bytes = record(MARK, mark.word, &mark.end);
        self.found.marks.push(mark);
        self.append(&bytes)
    }

    /// Writes that everything before `end` is done.
    pub(super) fn done_until(&mut self, end: &Positions) -> Result<(), FsError> {
        let at = self.found.marks.iter().position(|mark| mark.end == *end);
        self.found.marks.drain(..at.map_or(0, |at| at + 1));
        self.found.done.clone_from(end);
        self.append(&record(DONE, 0, end))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        if self.len_bytes + bytes.len() as u64 > MAX_BYTES {
            let (file, len_bytes) = write_anew(&*self.dir, &self.file_name, &self.found)?;
            self.file = file;
            self.len_bytes = len_bytes;
            self.dirty = false;
            return Ok(());
        }
        if let Err(error) = self.file.append(bytes) {
            // A part of the record may be there, and what stands behind it is not read.
            self.file.truncate(self.len_bytes)?;
            return Err(error);
        }
        self.len_bytes += bytes.len() as u64;
        self.dirty = true;
        Ok(())
    }

    /// Makes what was written survive a power loss.
    pub(super) fn sync(&mut self) -> Result<(), FsError> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync()?;
        }
        Ok(())
    }
}

fn write_anew(
    dir: &dyn Dir,
    file_name: &str,
    found: &Found,
) -> Result<(Arc<dyn AppendFile>, u64), FsError> {
    let temporary = format!("{file_name}.part");
    match dir.remove(&temporary) {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(found.done.len() as u16).to_le_bytes());
    let name = &found.name[..found.name.floor_char_boundary(usize::from(u16::MAX))];
    bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&record(DONE, 0, &found.done));
    for mark in &found.marks {
        bytes.extend_from_slice(&record(MARK, mark.word, &mark.end));
    }
    let file = dir.create(&temporary)?;
    file.append(&bytes)?;
    file.sync()?;
    dir.rename(&temporary, file_name)?;
    dir.sync()?;
    Ok((file, bytes.len() as u64))
}

fn record(kind: u8, word: u32, positions: &Positions) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&word.to_le_bytes());
    for position in positions {
        out.extend_from_slice(&(position.seq as u32).to_le_bytes());
        out.extend_from_slice(&(position.offset as u32).to_le_bytes());
    }
    let sum = crc::ieee(&[&out]);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// Reads a file up to the first record that is not whole; `None` where not even a first
/// position can be read.
pub(super) fn read(
    dir: &dyn Dir,
    file_name: &str,
    n_shards: usize,
) -> Result<Option<Found>, FsError> {
    let bytes = dir.read(file_name, MAX_READ_BYTES)?;
    Ok(decode(&bytes, n_shards))
}

fn decode(bytes: &[u8], n_shards: usize) -> Option<Found> {
    let mut rest = bytes;
    let mut take = |n: usize| rest.split_off(..n);
    let is_ours = take(8)? == MAGIC
        && take(2)? == VERSION.to_le_bytes()
        && take(2)? == (n_shards as u16).to_le_bytes();
    let name_len = u16::from_le_bytes(*take(2)?.first_chunk()?);
    let name = str::from_utf8(take(usize::from(name_len))?)
        .ok()?
        .to_owned();
    if !is_ours {
        return None;
    }
    let mut found: Option<Found> = None;
    for record in rest.chunks_exact(1 + 4 + n_shards * 8 + 4) {
        let (body, sum) = record.split_last_chunk()?;
        if crc::ieee(&[body]) != u32::from_le_bytes(*sum) {
            break;
        }
        let (head, positions) = body.split_first_chunk::<5>()?;
        let end: Positions = positions.as_chunks::<8>().0.iter().map(position).collect();
        match (head[0], &mut found) {
            (DONE, None) => {
                found = Some(Found {
                    name: name.clone(),
                    done: end,
                    marks: Vec::new(),
                });
            }
            (DONE, Some(found)) => {
                let at = found.marks.iter().position(|mark| mark.end == end);
                found.marks.drain(..at.map_or(0, |at| at + 1));
                found.done = end;
            }
            (MARK, Some(found)) => {
                let word = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
                found.marks.push(Mark { end, word });
            }
            _ => break,
        }
    }
    found
}

fn position(bytes: &[u8; 8]) -> Position {
    let [a, b, c, d, e, f, g, h] = *bytes;
    Position {
        seq: u64::from(u32::from_le_bytes([a, b, c, d])),
        offset: u64::from(u32::from_le_bytes([e, f, g, h])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryDir;

    fn at(offset: u64) -> Positions {
        vec![Position { seq: 3, offset }, Position { seq: 4, offset: 9 }]
    }

    fn mark(offset: u64) -> Mark {
        Mark {
            end: at(offset),
            word: offset as u32 + 1,
        }
    }

    fn fresh() -> Found {
        Found {
            name: "far away".to_owned(),
            done: at(40),
            marks: Vec::new(),
        }
    }

    #[test]
    fn a_reader_finds_what_was_done_and_what_was_marked() {
        let dir = MemoryDir::new("data").subdir("cursors").unwrap();
        let mut cursor = CursorFile::create(dir.clone(), "a.cursor".into(), fresh()).unwrap();
        for offset in [50, 60, 70] {
            cursor.mark(mark(offset)).unwrap();
        }
        cursor.done_until(&at(60)).unwrap();
        cursor.sync().unwrap();
        let found = read(&*dir, "a.cursor", 2).unwrap().unwrap();
        let want = Found {
            done: at(60),
            marks: vec![mark(70)],
            ..fresh()
        };
        assert_eq!(found, want);
        assert_eq!(read(&*dir, "a.cursor", 3).unwrap(), None, "other shards");
    }

    #[test]
    fn a_cut_journal_is_read_up_to_the_cut() {
        let dir = MemoryDir::new("data").subdir("cursors").unwrap();
        let mut cursor = CursorFile::create(dir.clone(), "a.cursor".into(), fresh()).unwrap();
        let start = cursor.len_bytes as usize;
        cursor.mark(mark(50)).unwrap();
        let marked = cursor.len_bytes as usize;
        cursor.done_until(&at(50)).unwrap();
        let whole = dir.read("a.cursor", 1 << 20).unwrap();
        for len in 0..=whole.len() {
            let found = decode(&whole[..len], 2);
            let done = found.as_ref().map(|found| found.done.clone());
            let want = match len {
                _ if len < start => None,
                _ if len < whole.len() => Some(at(40)),
                _ => Some(at(50)),
            };
            assert_eq!(done, want, "{len}");
            let marks = found.map_or(0, |found| found.marks.len());
            assert_eq!(marks == 1, (marked..whole.len()).contains(&len));
        }
    }

    #[test]
    fn the_journal_stays_short() {
        let dir = MemoryDir::new("data").subdir("cursors").unwrap();
        let mut cursor = CursorFile::create(dir.clone(), "a.cursor".into(), fresh()).unwrap();
        for offset in 100..20_000 {
            cursor.mark(mark(offset)).unwrap();
            cursor.done_until(&at(offset)).unwrap();
            assert!(dir.len_bytes("a.cursor").unwrap() <= MAX_BYTES);
        }
        let found = read(&*dir, "a.cursor", 2).unwrap().unwrap();
        assert_eq!(found.done, at(19_999));
        assert_eq!(dir.files().unwrap(), ["a.cursor"]);
    }
}
