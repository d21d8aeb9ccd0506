//! A file whose bytes are guarded by a checksum for each group of them.
//!
//! ```text
//! file   = content | crc u32 of each group of the content | footer
//! footer = content length u64 | a u64 of the owner | group bytes u32
//!        | crc u32 of the table and footer so far | magic 8
//! ```
//!
//! A group is checked when one of its bytes is asked for the first time, so that opening
//! costs nothing and no byte is used unchecked. The last group may be shorter.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::BlockError;
use crate::codec::crc;
use crate::fs::{AppendFile, Dir, FileMap};

const FOOTER_BYTES: usize = 32;
const FOOTER_MAGIC: &[u8; 8] = b"KYMOGRP\x01";

/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 1 << 18;

/// Writes such a file from front to back.
#[derive(Debug)]
pub(super) struct GroupWriter {
    file: Arc<dyn AppendFile>,
    group_bytes: usize,
    buffer: Vec<u8>,
    table: Vec<u8>,
    /// Bytes written before those of `buffer`.
    written: u64,
}

impl GroupWriter {
    /// Creates the file.
    pub(super) fn create(
        dir: &dyn Dir,
        name: &str,
        group_bytes: usize,
    ) -> Result<GroupWriter, BlockError> {
        Ok(GroupWriter {
            file: dir.create(name)?,
            group_bytes,
            buffer: Vec::with_capacity(WRITE_BYTES + group_bytes),
            table: Vec::new(),
            written: 0,
        })
    }

    /// Returns where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.buffer.extend_from_slice(bytes);
        self.drain(WRITE_BYTES)
    }

    /// Appends zeroes up to a multiple of eight.
    pub(super) fn align(&mut self) -> Result<(), BlockError> {
        let rest = self.position().next_multiple_of(8) - self.position();
        self.append(&[0; 8][..rest as usize])
    }

    /// Writes whole groups once there are `threshold` bytes.
    fn drain(&mut self, threshold: usize) -> Result<(), BlockError> {
        if self.buffer.len() < threshold.max(self.group_bytes) {
            return Ok(());
        }
        let len = self.buffer.len() / self.group_bytes * self.group_bytes;
        for group in self.buffer[..len].chunks(self.group_bytes) {
            self.table
                .extend_from_slice(&crc::ieee(&[group]).to_le_bytes());
        }
        self.file.append(&self.buffer[..len])?;
        self.buffer.drain(..len);
        self.written += len as u64;
        Ok(())
    }

    /// Writes the rest, the table and the footer with `word` in it, and makes the file
    /// durable. Returns its length.
    pub(super) fn finish(mut self, word: u64) -> Result<u64, BlockError> {
        self.drain(0)?;
        let content_len = self.position();
        if !self.buffer.is_empty() {
            self.table
                .extend_from_slice(&crc::ieee(&[&self.buffer]).to_le_bytes());
        }
        self.buffer.extend_from_slice(&self.table);
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        footer.extend_from_slice(&content_len.to_le_bytes());
        footer.extend_from_slice(&word.to_le_bytes());
        footer.extend_from_slice(&(self.group_bytes as u32).to_le_bytes());
        let sum = crc::ieee(&[&self.table, &footer]);
        footer.extend_from_slice(&sum.to_le_bytes());
        footer.extend_from_slice(FOOTER_MAGIC);
        self.buffer.extend_from_slice(&footer);
        self.file.append(&self.buffer)?;
        self.file.sync()?;
        Ok(self.written + self.buffer.len() as u64)
    }
}

/// Reads such a file through a map.
pub(super) struct GroupReader {
    path: PathBuf,
    map: FileMap,
    content_len: usize,
    group_shift: u32,
    word: u64,
    /// A bit for each group that was found good.
    checked: Box<[AtomicU64]>,
}

impl GroupReader {
    /// Opens a file that should have `len_bytes` bytes and groups of `group_bytes`, a
    /// power of two.
    pub(super) fn open(
        dir: &dyn Dir,
        name: &str,
        len_bytes: u64,
        group_bytes: usize,
    ) -> Result<GroupReader, BlockError> {
        let path = dir.path().join(name);
        let found = dir.len_bytes(name)?;
        if found != len_bytes {
            let detail = format!("it has {found} bytes, meta.json says {len_bytes}");
            return Err(BlockError::corrupt(&path, found.min(len_bytes), detail));
        }
        let map = dir.map(name, 0..len_bytes)?;
        GroupReader::new(path, map, group_bytes)
    }

    fn new(path: PathBuf, map: FileMap, group_bytes: usize) -> Result<GroupReader, BlockError> {
        let corrupt = |at: usize, detail: &str| BlockError::corrupt(&path, at as u64, detail);
        let footer_at = map.len().checked_sub(FOOTER_BYTES);
        let footer_at = footer_at.ok_or_else(|| corrupt(0, "it is too short for its footer"))?;
        let footer = &map[footer_at..];
        let (fields, magic) = footer.split_at(FOOTER_BYTES - FOOTER_MAGIC.len());
        if magic != FOOTER_MAGIC {
            return Err(corrupt(footer_at, "its footer does not end as footers do"));
        }
        let (fields, sum) = fields.split_at(20);
        let word = |at: usize| {
            let bytes = fields[at..].first_chunk().copied().unwrap_or_default();
            u64::from_le_bytes(bytes)
        };
        let content_len = usize::try_from(word(0)).unwrap_or(usize::MAX);
        let n_groups = content_len.div_ceil(group_bytes);
        let table = map.get(content_len..footer_at);
        let table = table.filter(|table| table.len() / 4 == n_groups && table.len() % 4 == 0);
        let table = table.ok_or_else(|| corrupt(footer_at, "its footer has a wrong length"))?;
        if fields[16..] != (group_bytes as u32).to_le_bytes() {
            return Err(corrupt(footer_at + 16, "its footer has another group size"));
        }
        if crc::ieee(&[table, fields]).to_le_bytes() != *sum {
            return Err(corrupt(
                content_len,
                "the checksum of its table of checksums does not fit",
            ));
        }
        Ok(GroupReader {
            content_len,
            group_shift: group_bytes.trailing_zeros(),
            word: word(8),
            checked: (0..n_groups.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            path,
            map,
        })
    }

    /// Returns where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number that was given at the end of writing.
    pub(super) fn word(&self) -> u64 {
        self.word
    }

    /// Returns the length of the content.
    pub(super) fn len(&self) -> usize {
        self.content_len
    }

    /// Says what is wrong at a place of the file.
    #[cold]
    pub(super) fn corrupt(&self, offset: usize, detail: impl Into<String>) -> BlockError {
        BlockError::corrupt(&self.path, offset as u64, detail)
    }

    /// Returns bytes of the content, checked.
    #[inline]
    pub(super) fn get(&self, range: Range<usize>) -> Result<&[u8], BlockError> {
        if range.end > self.content_len || range.start >= range.end {
            return self.empty(range);
        }
        let last = (range.end - 1) >> self.group_shift;
        for group in range.start >> self.group_shift..=last {
            let word = self.checked[group / 64].load(Ordering::Relaxed);
            if word & 1 << (group % 64) == 0 {
                self.check(group)?;
            }
        }
        Ok(&self.map[range])
    }

    /// Returns bytes of the content that were all asked for, and found good, before.
    #[inline]
    pub(super) fn get_checked(&self, range: Range<usize>) -> &[u8] {
        self.map.get(range).unwrap_or_default()
    }

    #[cold]
    fn empty(&self, range: Range<usize>) -> Result<&[u8], BlockError> {
        let Range { start, end } = range;
        if start == end && end <= self.content_len {
            return Ok(&[]);
        }
        let detail = format!("bytes {start} to {end} are asked of {}", self.content_len);
        Err(self.corrupt(start, detail))
    }

    /// Counts the groups.
    pub(super) fn n_groups(&self) -> usize {
        self.content_len.div_ceil(1 << self.group_shift)
    }

    /// Reads a group and compares its checksum, whether that was done before or not.
    #[cold]
    pub(super) fn check(&self, group: usize) -> Result<(), BlockError> {
        let start = group << self.group_shift;
        let end = (start + (1 << self.group_shift)).min(self.content_len);
        let stored = self.content_len + 4 * group;
        let stored = &self.map[stored..stored + 4];
        if crc::ieee(&[&self.map[start..end]]).to_le_bytes() != *stored {
            let detail = format!("the checksum of bytes {start} to {end} does not fit");
            return Err(self.corrupt(start, detail));
        }
        self.checked[group / 64].fetch_or(1 << (group % 64), Ordering::Relaxed);
        Ok(())
    }
}

impl std::fmt::Debug for GroupReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupReader")
            .field("path", &self.path)
            .field("content_len", &self.content_len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryDir;

    const GROUP: usize = 64;

    fn file(len: usize) -> (MemoryDir, u64, Vec<u8>) {
        let dir = MemoryDir::new("g");
        let content: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        let mut writer = GroupWriter::create(&dir, "f", GROUP).unwrap();
        for part in content.chunks(13) {
            writer.append(part).unwrap();
        }
        let len_bytes = writer.finish(99).unwrap();
        (dir, len_bytes, content)
    }

    #[test]
    fn comes_back_at_every_length() {
        for len in [0, 1, 63, 64, 65, 128, 1000] {
            let (dir, len_bytes, content) = file(len);
            let file = GroupReader::open(&dir, "f", len_bytes, GROUP).unwrap();
            assert_eq!((file.len(), file.word()), (len, 99));
            assert_eq!(file.get(0..len).unwrap(), content);
            assert_eq!(file.get(len..len).unwrap(), b"");
            assert!(file.get(0..len + 1).unwrap_err().is_corrupt());
            assert!(file.get(len + 1..len + 1).is_err());
            assert!(GroupReader::open(&dir, "f", len_bytes + 1, GROUP).is_err());
        }
    }

    #[test]
    fn every_changed_byte_and_every_missing_end_is_noticed() {
        let (dir, len_bytes, content) = file(300);
        let whole = dir.read("f", 10_000).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            dir.put("f", damaged);
            match GroupReader::open(&dir, "f", len_bytes, GROUP) {
                Ok(file) => {
                    let group = at / GROUP * GROUP..(at / GROUP * GROUP + GROUP).min(300);
                    let error = file.get(group.clone()).unwrap_err().to_string();
                    assert!(error.starts_with("g/f is damaged at byte"), "{error}");
                    let other = if group.start == 0 { 64..128 } else { 0..64 };
                    assert_eq!(file.get(other.clone()).unwrap(), &content[other]);
                }
                Err(error) => assert!(at >= 300 && error.is_corrupt(), "{at}"),
            }
            dir.put("f", whole[..at].to_vec());
            assert!(GroupReader::open(&dir, "f", at as u64, GROUP).is_err());
        }
    }
}
