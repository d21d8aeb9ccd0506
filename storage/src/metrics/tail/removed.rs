//! Labels of series that left memory while somebody may still read samples of them in
//! the log.
//!
//! The log names series by number, and tells the labels of a number once. Whoever reads
//! far behind asks here first: of the series that had a number, the one that left first
//! at or after the place that is read is the one that is meant there. Where none left,
//! the index has it.
//!
//! What leaves is written to a file before the next snapshot, which does not know it any
//! more; until then it is in memory. Files go when every reader is behind them. They
//! are looked up through maps, so that a long absence of a receiver costs the disk and
//! not memory.
//!
//! ```text
//! file    = magic KYMOGONE | version u16 | n_shards u16 | n u32
//!         | n_shards x (newest segment u64) | n x (series u32, offset u32)
//!         | n x record | crc u32 of everything before
//! record  = segment varint | n_labels varint | n_labels x (name text, value text)
//! ```
//!
//! Rows are sorted by series, then by segment; a segment is the one that was written
//! when the series left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::super::stats::Damage;
use super::super::store::Layout;
use crate::codec::{CodecError, crc, text, varint};
use crate::fs::{Dir, FileMap, FsError};

const MAGIC: &[u8; 8] = b"KYMOGONE";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;
const ROW_BYTES: usize = 8;
const SUFFIX: &str = ".gone";
/// Series of one file, so that offsets are far from their limit.
const MAX_ROWS: usize = 1 << 18;

/// The labels of a series, by name.
pub(super) type OwnedLabels = Vec<(Box<str>, Box<str>)>;

/// Takes the labels of a series.
type Found<'a> = dyn FnMut(&[(&str, &str)]) + 'a;

/// A series that left.
#[derive(Debug, Clone)]
struct Gone {
    id: u32,
    /// The segment that was written then.
    seq: u64,
    labels: OwnedLabels,
}

/// See the module's text.
#[derive(Debug)]
pub(in super::super) struct Removed {
    dir: Arc<dyn Dir>,
    layout: Layout,
    /// Somebody reads the log.
    is_on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Gone>,
    /// Oldest first.
    files: Vec<File>,
    next: u64,
}

#[derive(Debug)]
struct File {
    number: u64,
    bytes: FileMap,
    n_rows: usize,
    /// By shard, the newest segment of its series.
    newest: Vec<u64>,
}

impl Removed {
    /// Opens what there is; a file that is not what was written is named and left aside.
    pub(in super::super) fn open(
        dir: Arc<dyn Dir>,
        n_shards: usize,
        damages: &mut Vec<Damage>,
    ) -> Result<Removed, FsError> {
        let mut state = State::default();
        for name in dir.files()? {
            let Some(number) = name.strip_suffix(SUFFIX).and_then(|n| n.parse().ok()) else {
                continue;
            };
            state.next = state.next.max(number + 1);
            let bytes = dir.map(&name, 0..dir.len_bytes(&name)?)?;
            match File::read(number, bytes, n_shards) {
                Ok(file) => state.files.push(file),
                Err(error) => damages.push(Damage {
                    path: dir.path().join(&name),
                    offset: 0,
                    lost_bytes: dir.len_bytes(&name)?,
                    detail: format!("labels of series that left memory are lost: {error}"),
                }),
            }
        }
        state.files.sort_by_key(|file| file.number);
        Ok(Removed {
            dir,
            layout: Layout::new(n_shards),
            is_on: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// Begins or ends to keep what leaves.
    pub(super) fn set_on(&self, on: bool) {
        self.is_on.store(on, Ordering::Release);
    }

    /// Tells whether what leaves has to be kept.
    pub(in super::super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Keeps the labels of a series that leaves now, while `seq` is written.
    pub(in super::super) fn add<'l>(
        &self,
        id: u32,
        seq: u64,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
    ) {
        let labels = labels.map(|(name, value)| (name.into(), value.into()));
        let labels = labels.collect();
        self.state.lock().waiting.push(Gone { id, seq, labels });
    }

    /// Writes what waits. To be called before a snapshot is taken.
    ///
    /// # Errors
    /// The disk refused; what was not written still waits.
    pub(in super::super) fn flush(&self) -> Result<(), FsError> {
        loop {
            let (number, gone) = {
                let mut state = self.state.lock();
                if state.waiting.is_empty() {
                    return Ok(());
                }
                let n = state.waiting.len().min(MAX_ROWS);
                state.next = state.next.max(1);
                let number = state.next;
                state.next += 1;
                (number, state.waiting[..n].to_vec())
            };
            let n_rows = gone.len();
            let bytes = encode(gone, self.layout);
            let name = name_of(number);
            let file = self.dir.create(&name)?;
            let written = file.append(&bytes).and_then(|()| file.sync());
            if let Err(error) = written.and_then(|()| self.dir.sync()) {
                // Half a file would be named as damage at the next opening.
                let _ = self.dir.remove(&name);
                return Err(error);
            }
            let bytes = self.dir.map(&name, 0..bytes.len() as u64)?;
            let mut state = self.state.lock();
            let n_shards = self.layout.n_shards();
            state.files.extend(File::read(number, bytes, n_shards));
            state.waiting.drain(..n_rows);
        }
    }

    /// Removes the files that no reader needs: all of them stand behind `holds`, by shard.
    ///
    /// # Errors
    /// The disk refused; the next call tries again.
    pub(super) fn release(&self, holds: &[u64]) -> Result<(), FsError> {
        let mut state = self.state.lock();
        while let Some(file) = state.files.first() {
            let needed = file
                .newest
                .iter()
                .zip(holds)
                .any(|(newest, hold)| newest >= hold);
            if needed {
                break;
            }
            self.dir.remove(&name_of(file.number))?;
            state.files.remove(0);
        }
        Ok(())
    }

    /// Removes everything, where nobody reads any more.
    pub(super) fn clear(&self) -> Result<(), FsError> {
        let mut state = self.state.lock();
        state.waiting.clear();
        for file in std::mem::take(&mut state.files) {
            self.dir.remove(&name_of(file.number))?;
        }
        Ok(())
    }

    /// Hands the labels of the series to `found` that had this number in segment `seq`,
    /// if it has left; tells whether it has.
    pub(super) fn find(&self, id: u32, seq: u64, found: &mut Found<'_>) -> bool {
        let state = self.state.lock();
        let shard = self.layout.shard(id);
        for file in &state.files {
            if file.newest.get(shard).is_some_and(|&newest| newest >= seq)
                && file.find(id, seq, found)
            {
                return true;
            }
        }
        let waiting = state.waiting.iter();
        let gone = waiting.filter(|gone| gone.id == id && gone.seq >= seq);
        let Some(gone) = gone.min_by_key(|gone| gone.seq) else {
            return false;
        };
        let labels = gone.labels.iter().map(|(name, value)| (&**name, &**value));
        found(&labels.collect::<Vec<_>>());
        true
    }

    /// Tells whether nothing has left, so that nothing need be looked for.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.files.is_empty() && state.waiting.is_empty()
    }
}

fn name_of(number: u64) -> String {
    format!("{number:08}{SUFFIX}")
}

fn encode(mut gone: Vec<Gone>, layout: Layout) -> Vec<u8> {
    gone.sort_by_key(|gone| (gone.id, gone.seq));
    let mut newest = vec![0u64; layout.n_shards()];
    let (mut rows, mut records) = (Vec::new(), Vec::new());
    let base = HEADER_BYTES + newest.len() * 8 + gone.len() * ROW_BYTES;
    for gone in &gone {
        if let Some(newest) = newest.get_mut(layout.shard(gone.id)) {
            *newest = gone.seq.max(*newest);
        }
        rows.extend_from_slice(&gone.id.to_le_bytes());
        rows.extend_from_slice(&((base + records.len()) as u32).to_le_bytes());
        varint::write_u64(&mut records, gone.seq);
        varint::write_u64(&mut records, gone.labels.len() as u64);
        for (name, value) in &gone.labels {
            text::write(&mut records, name);
            text::write(&mut records, value);
        }
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(newest.len() as u16).to_le_bytes());
    out.extend_from_slice(&(gone.len() as u32).to_le_bytes());
    for newest in newest {
        out.extend_from_slice(&newest.to_le_bytes());
    }
    out.append(&mut rows);
    out.append(&mut records);
    let sum = crc::ieee(&[&out]);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

impl File {
    /// Checks the bytes of a file.
    fn read(number: u64, bytes: FileMap, n_shards: usize) -> Result<File, CodecError> {
        let wrong = CodecError::Invalid;
        let (body, sum) = bytes.split_last_chunk().ok_or(wrong("length"))?;
        if crc::ieee(&[body]) != u32::from_le_bytes(*sum) {
            return Err(wrong("checksum"));
        }
        let mut rest = body;
        let mut take = |n: usize| rest.split_off(..n).ok_or(CodecError::Truncated("header"));
        if take(8)? != MAGIC {
            return Err(wrong("magic"));
        }
        let version = take(2)?;
        if version != VERSION.to_le_bytes() {
            return Err(wrong("version"));
        }
        if take(2)? != (n_shards as u16).to_le_bytes() {
            return Err(wrong("number of shards"));
        }
        let n_rows = take(4)?;
        let n_rows = n_rows.first_chunk().map_or(0, |n| u32::from_le_bytes(*n));
        let newest = take(n_shards * 8)?.as_chunks().0;
        let newest = newest.iter().map(|seq| u64::from_le_bytes(*seq)).collect();
        let n_rows = n_rows as usize;
        take(n_rows.saturating_mul(ROW_BYTES))?;
        Ok(File {
            number,
            n_rows,
            newest,
            bytes,
        })
    }

    fn row(&self, at: usize) -> Option<(u32, u32)> {
        let start = HEADER_BYTES + self.newest.len() * 8 + at * ROW_BYTES;
        let row: &[u8; ROW_BYTES] = self.bytes.get(start..)?.first_chunk()?;
        let (id, offset) = row.split_first_chunk()?;
        Some((
            u32::from_le_bytes(*id),
            u32::from_le_bytes(*offset.first_chunk()?),
        ))
    }

    fn find(&self, id: u32, seq: u64, found: &mut Found<'_>) -> bool {
        let (mut low, mut high) = (0, self.n_rows);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.row(middle) {
                Some((at, _)) if at < id => low = middle + 1,
                _ => high = middle,
            }
        }
        while let Some((_, offset)) = self
            .row(low)
            .filter(|&(at, _)| at == id && low < self.n_rows)
        {
            if self.record(offset, seq, found).unwrap_or(false) {
                return true;
            }
            low += 1;
        }
        false
    }

    fn record(&self, offset: u32, seq: u64, found: &mut Found<'_>) -> Result<bool, CodecError> {
        let mut bytes = self.bytes.get(offset as usize..).unwrap_or_default();
        if varint::read_u64(&mut bytes)? < seq {
            return Ok(false);
        }
        let mut labels = Vec::new();
        for _ in 0..varint::read_u64(&mut bytes)? {
            let name = text::read(&mut bytes)?;
            labels.push((name, text::read(&mut bytes)?));
        }
        found(&labels);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryDir;

    fn found(removed: &Removed, id: u32, seq: u64) -> Option<String> {
        let mut name = None;
        let hit = removed.find(id, seq, &mut |labels| name = Some(labels[0].1.to_owned()));
        assert_eq!(hit, name.is_some());
        name
    }

    fn add(removed: &Removed, id: u32, seq: u64, name: &str) {
        removed.add(id, seq, [("__name__", name)].into_iter());
    }

    #[test]
    fn the_first_that_left_behind_a_place_is_meant_there() {
        let root = MemoryDir::new("data");
        let open = || Removed::open(root.subdir("cursors").unwrap(), 2, &mut Vec::new()).unwrap();
        let removed = open();
        add(&removed, 4, 10, "a");
        add(&removed, 4, 20, "b");
        add(&removed, 7, 12, "c");
        let check = |removed: &Removed| {
            for (id, seq, name) in [
                (4, 3, Some("a")),
                (4, 10, Some("a")),
                (4, 11, Some("b")),
                (5, 1, None),
                (7, 12, Some("c")),
                (7, 13, None),
            ] {
                assert_eq!(found(removed, id, seq).as_deref(), name, "{id} at {seq}");
            }
        };
        check(&removed);
        assert_eq!(found(&removed, 4, 21), None);
        removed.flush().unwrap();
        check(&removed);
        drop(removed);
        let removed = open();
        check(&removed);
        add(&removed, 4, 30, "d");
        assert_eq!(found(&removed, 4, 25).as_deref(), Some("d"));
        removed.flush().unwrap();
        // Series 4 is of the first shard, 7 of the second.
        removed.release(&[20, 50]).unwrap();
        check(&removed);
        removed.release(&[21, 50]).unwrap();
        assert_eq!(found(&removed, 4, 3).as_deref(), Some("d"));
        removed.release(&[31, 50]).unwrap();
        assert!(removed.is_empty());
        assert!(open().is_empty());
    }

    #[test]
    fn damage_is_named_and_no_damaged_file_is_believed() {
        let root = MemoryDir::new("data");
        let dir = root.subdir("cursors").unwrap();
        let removed = Removed::open(dir.clone(), 2, &mut Vec::new()).unwrap();
        add(&removed, 4, 10, "a");
        removed.flush().unwrap();
        let whole = dir.read("00000001.gone", 1 << 20).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            let map = FileMap::from_bytes(&bytes);
            assert!(File::read(1, map, 2).is_err(), "byte {at}");
            let map = FileMap::from_bytes(&whole[..at]);
            assert!(File::read(1, map, 2).is_err(), "length {at}");
        }
        dir.remove("00000001.gone").unwrap();
        dir.create("00000001.gone")
            .unwrap()
            .append(&whole[..9])
            .unwrap();
        let mut damages = Vec::new();
        let removed = Removed::open(dir, 2, &mut damages).unwrap();
        assert_eq!(damages.len(), 1);
        assert_eq!(found(&removed, 4, 1), None);
    }
}
