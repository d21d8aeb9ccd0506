//! Writes a part, entry by entry.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::PartError;
use super::layout::{self, Footer, GroupInfo};
use super::reader::split_path;
use super::rows::Rows;
use super::seal::{self, Sealed};
use super::zstd::Deflater;
use crate::fs::{AppendFile, Dir};
use crate::model::Labels;

/// Ending of the names of parts that are not whole yet.
pub const WRITING: &str = ".tmp";

/// Rows of a group, and the bytes of its entries, that it is sealed with.
const GROUP_ROWS: usize = 1 << 16;
pub(in crate::logs) const GROUP_BYTES: usize = 16 << 20;

/// Names of structured metadata that a group is sealed with.
const GROUP_NAMES: usize = 1024;

/// Longest entry, structured metadata included.
const MAX_ENTRY_BYTES: usize = 64 << 20;

/// How much work goes into few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// Little: for a part that is merged soon.
    #[default]
    Flush,
    /// More: for a part that stays.
    Merge,
}

/// What a part holds. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartMeta {
    /// Time of the oldest entry.
    pub first_ns: i64,
    /// Time of the newest one.
    pub last_ns: i64,
    /// How many entries there are.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// How many streams there are.
    pub streams: u32,
    /// How many row groups.
    pub groups: u32,
}

impl PartMeta {
    pub(super) fn of(footer: &Footer, file_bytes: u64) -> PartMeta {
        let groups = &footer.groups;
        PartMeta {
            first_ns: groups.iter().map(|group| group.first_ns).min().unwrap_or(0),
            last_ns: groups.iter().map(|group| group.last_ns).max().unwrap_or(0),
            rows: groups.iter().map(|group| group.rows as u64).sum(),
            line_bytes: groups.iter().map(|group| group.line_bytes).sum(),
            file_bytes,
            streams: footer.streams.len() as u32,
            groups: groups.len() as u32,
        }
    }
}

/// The memory of a writer that has ended, for the next one.
#[derive(Debug, Default)]
pub struct WriterMemory {
    rows: Rows,
    scratch: seal::Scratch,
}

impl WriterMemory {
    /// Returns the bytes that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.rows.allocated_bytes() + self.scratch.allocated_bytes()
    }
}

/// A part that is being written, in a file with the ending [`WRITING`]. Dropped unfinished
/// it leaves nothing.
///
/// Memory: the entries of one row group twice, and a few bytes for each group before it.
pub struct PartWriter {
    dir: Arc<dyn Dir>,
    name: String,
    /// Taken at the end.
    file: Option<Arc<dyn AppendFile>>,
    at: u64,
    footer: Footer,
    numbers: HashMap<Labels, u32>,
    /// Time of the newest entry of each stream.
    newest: Vec<i64>,
    rows: Rows,
    scratch: seal::Scratch,
    deflater: Deflater,
}

impl std::fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PartWriter({}, {} bytes)", self.name, self.at)
    }
}

impl PartWriter {
    /// Begins a part that will be the file `name` of a directory.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn create(dir: &Arc<dyn Dir>, name: &str, effort: Effort) -> Result<PartWriter, PartError> {
        PartWriter::create_with(dir, name, effort, WriterMemory::default())
    }

    /// Begins a part with the memory of a writer that has ended.
    ///
    /// # Errors
    /// As [`PartWriter::create`].
    pub fn create_with(
        dir: &Arc<dyn Dir>,
        name: &str,
        effort: Effort,
        memory: WriterMemory,
    ) -> Result<PartWriter, PartError> {
        let WriterMemory { mut rows, scratch } = memory;
        rows.clear();
        rows.make_room(GROUP_BYTES, GROUP_ROWS / 4);
        let writing = format!("{name}{WRITING}");
        if dir.files()?.contains(&writing) {
            dir.remove(&writing)?;
        }
        let file = dir.create(&writing)?;
        let mut writer = PartWriter {
            dir: Arc::clone(dir),
            name: name.to_owned(),
            file: Some(file),
            at: 0,
            footer: Footer::default(),
            numbers: HashMap::new(),
            newest: Vec::new(),
            rows,
            scratch,
            deflater: Deflater::new(match effort {
                Effort::Flush => 1,
                Effort::Merge => 5,
            }),
        };
        writer.append(&layout::header())?;
        Ok(writer)
    }

    /// Begins a part outside of a store.
    ///
    /// # Errors
    /// As [`PartWriter::create`].
    pub fn create_path(path: &Path, effort: Effort) -> Result<PartWriter, PartError> {
        let (dir, name) = split_path(path)?;
        PartWriter::create(&dir, &name, effort)
    }

    /// Returns the number of a stream in this part. Numbers are given in order of asking.
    pub fn stream(&mut self, labels: &Labels) -> u32 {
        if let Some(&number) = self.numbers.get(labels) {
            return number;
        }
        let number = self.footer.streams.len() as u32;
        self.footer.streams.push(labels.clone());
        self.numbers.insert(labels.clone(), number);
        self.newest.push(i64::MIN);
        number
    }

    /// Adds an entry. Those of one stream come in order of time; those of one time come
    /// back in the order of these calls. A row group covers a short time only where the
    /// entries of all streams together come about in order of time. Metadata is in order
    /// of the names, no name twice.
    ///
    /// # Errors
    /// [`PartError::Input`] where a rule is broken, or the disk refuses; the part is to be
    /// dropped then.
    pub fn push<'p>(
        &mut self,
        stream: u32,
        t_ns: i64,
        line: &[u8],
        metadata: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<(), PartError> {
        let Some(newest) = self.newest.get_mut(stream as usize) else {
            return Err(self.refuse(format!(
                "an entry of stream {stream}, which it has no labels of"
            )));
        };
        if t_ns < *newest {
            let newest = *newest;
            let what =
                format!("an entry of {t_ns} behind one of {newest}; times of a stream ascend");
            return Err(self.refuse(what));
        }
        *newest = t_ns;
        let before = self.rows.len_bytes();
        if before + line.len() > GROUP_BYTES && before > 0 {
            self.seal()?;
        }
        let before = self.rows.len_bytes();
        self.rows.push(stream, t_ns, line, metadata);
        let len = self.rows.len_bytes() - before;
        if len > MAX_ENTRY_BYTES {
            return Err(self.refuse(format!(
                "an entry of {len} bytes, more than {MAX_ENTRY_BYTES}"
            )));
        }
        if self.rows.names.len() > 2 * GROUP_NAMES {
            let what =
                format!("an entry with more than {GROUP_NAMES} names of structured metadata");
            return Err(self.refuse(what));
        }
        let full = self.rows.rows.len() >= GROUP_ROWS
            || self.rows.len_bytes() >= GROUP_BYTES
            || self.rows.names.len() >= GROUP_NAMES;
        if full { self.seal() } else { Ok(()) }
    }

    /// Returns the bytes of memory that the writer holds.
    pub fn memory_bytes(&self) -> usize {
        2 * self.rows.len_bytes() + self.rows.rows.len() * 64
    }

    /// Makes the part durable and gives it its name. `None` when it has no entries; there
    /// is no file then.
    ///
    /// # Errors
    /// The disk refuses; there is no part then.
    pub fn finish(self) -> Result<Option<PartMeta>, PartError> {
        Ok(self.finish_with()?.0)
    }

    /// Does what [`PartWriter::finish`] does, and returns the memory for the next writer.
    ///
    /// # Errors
    /// As [`PartWriter::finish`].
    pub fn finish_with(mut self) -> Result<(Option<PartMeta>, WriterMemory), PartError> {
        let meta = self.end()?;
        let memory = WriterMemory {
            rows: std::mem::take(&mut self.rows),
            scratch: std::mem::take(&mut self.scratch),
        };
        Ok((meta, memory))
    }

    fn end(&mut self) -> Result<Option<PartMeta>, PartError> {
        if !self.rows.is_empty() {
            self.seal()?;
        }
        if self.footer.groups.is_empty() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.footer.encode(&mut bytes);
        if bytes.len() > layout::MAX_FOOTER_BYTES {
            let what = format!(
                "{} streams: their labels are too long",
                self.footer.streams.len()
            );
            return Err(self.refuse(what));
        }
        let mut stored = Vec::new();
        self.deflater.append(&bytes, &mut stored);
        let trailer = layout::trailer(self.at, &stored, bytes.len());
        self.append(&stored)?;
        self.append(&trailer)?;
        let Some(file) = &self.file else {
            return Ok(None);
        };
        file.sync()?;
        self.dir
            .rename(&format!("{}{WRITING}", self.name), &self.name)?;
        self.file = None;
        if let Err(error) = self.dir.sync() {
            // Nothing is known of the name now; its owner takes it for not there.
            let _ = self.dir.remove(&self.name);
            return Err(error.into());
        }
        Ok(Some(PartMeta::of(&self.footer, self.at)))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), PartError> {
        if let Some(file) = &self.file {
            file.append(bytes)?;
            self.at += bytes.len() as u64;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), PartError> {
        let sealed = seal::seal(&self.rows, &mut self.scratch, &mut self.deflater);
        let Sealed {
            bytes,
            head,
            head_len,
            counts,
            filters,
            rows,
            first_ns,
            last_ns,
            line_bytes,
            streams,
        } = sealed;
        self.footer.groups.push(GroupInfo {
            at: self.at,
            len: bytes.len(),
            head,
            head_len,
            counts,
            filters,
            rows,
            first_ns,
            last_ns,
            line_bytes,
            streams,
        });
        self.append(&bytes)?;
        self.rows.clear();
        Ok(())
    }

    fn refuse(&self, what: String) -> PartError {
        let path: PathBuf = self.dir.path().join(&self.name);
        PartError::Input { path, what }
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What cannot be removed now is removed at the next start.
            let _ = self.dir.remove(&format!("{}{WRITING}", self.name));
        }
    }
}
