//! A directory that can fail on demand, and that knows what a crash would leave.
//!
//! Every change is recorded. [`CrashDir::image`] rebuilds the directory as it may be
//! found after a crash at any of them, within what the contract of
//! [`Dir`](super::Dir) promises: what was synced is there, of the rest any part may be.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::memory::MemoryDir;
use super::{AppendFile, Dir, DirLock, FileMap, FsError};

/// A recording directory in memory; clones are the same directory.
#[derive(Debug, Clone)]
pub struct CrashDir {
    inner: MemoryDir,
    disk: Arc<Mutex<Disk>>,
}

/// What a crash takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The process dies: the system still writes everything back.
    Process,
    /// The power fails and nothing that was not synced made it.
    Everything,
    /// The power fails and chance decides: names per directory up to some change,
    /// bytes per file up to some write, that one torn, with a hole now and then.
    Chance(u64),
}

/// Where a crash happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Changes that were made.
    pub ops: usize,
    /// Bytes that the next change, a write, had put down.
    pub partial_bytes: usize,
}

#[derive(Debug, Default)]
struct Disk {
    ops: Vec<Op>,
    files: HashMap<(PathBuf, String), usize>,
    created: usize,
    faults: Faults,
    written_bytes: u64,
}

/// What is to go wrong; everything stays in force until it is changed.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    /// Writes let so many bytes in all pass, then answer "disk full".
    pub capacity_bytes: Option<u64>,
    /// Writes put down this much of their bytes, then answer "I/O error".
    pub short_write: Option<usize>,
    /// Syncs of files and directories fail.
    pub syncs: bool,
    /// Truncations fail.
    pub truncates: bool,
    /// Creating a file fails for want of space.
    pub creates: bool,
    /// Renaming files and directories fails.
    pub renames: bool,
    /// Every write and sync takes so long.
    pub delay: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Op {
    Create {
        dir: PathBuf,
        name: String,
        file: usize,
    },
    Write {
        file: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: usize,
        len: usize,
    },
    SyncFile {
        file: usize,
    },
    Rename {
        dir: PathBuf,
        from: String,
        to: String,
    },
    RenameDir {
        dir: PathBuf,
        from: String,
        to: String,
    },
    Remove {
        dir: PathBuf,
        name: String,
    },
    SyncDir {
        dir: PathBuf,
    },
}

impl CrashDir {
    /// Returns an empty directory that calls itself `path`.
    pub fn new(path: impl Into<PathBuf>) -> CrashDir {
        CrashDir {
            inner: MemoryDir::new(path),
            disk: Arc::default(),
        }
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.disk.lock().faults = faults;
    }

    /// Returns how many changes were recorded.
    pub fn ops(&self) -> usize {
        self.disk.lock().ops.len()
    }

    /// Returns the bytes that change number `op` writes, 0 if it is no write.
    pub fn write_len(&self, op: usize) -> usize {
        match self.disk.lock().ops.get(op) {
            Some(Op::Write { bytes, .. }) => bytes.len(),
            _ => 0,
        }
    }

    /// Returns how many bytes writes put down since the beginning.
    pub fn written_bytes(&self) -> u64 {
        self.disk.lock().written_bytes
    }

    /// Rebuilds this directory, with those below it, as a crash at `cut` leaves it.
    pub fn image(&self, cut: Cut, loss: Loss) -> MemoryDir {
        let disk = self.disk.lock();
        let mut ops = disk.ops[..cut.ops].to_vec();
        if let Some(Op::Write { file, bytes }) = disk.ops.get(cut.ops) {
            let bytes = bytes[..cut.partial_bytes.min(bytes.len())].to_vec();
            ops.push(Op::Write { file: *file, bytes });
        }
        let mut survivors = Survivors::new(&ops, loss);
        let mut contents: HashMap<usize, Vec<u8>> = HashMap::new();
        let mut names: BTreeMap<(PathBuf, String), usize> = BTreeMap::new();
        for (i, op) in ops.iter().enumerate() {
            match op {
                Op::Write { file, bytes } => {
                    let content = contents.entry(*file).or_default();
                    let kept = survivors.kept_bytes(i, *file, bytes.len());
                    content.extend_from_slice(&bytes[..kept.len]);
                    let start = content.len() - kept.len;
                    content[start..][kept.hole].fill(0);
                }
                Op::Truncate { file, len } if survivors.is_data_kept(i, *file) => {
                    contents.entry(*file).or_default().truncate(*len);
                }
                Op::Create { dir, name, file } if survivors.is_name_kept(i, dir) => {
                    names.insert((dir.clone(), name.clone()), *file);
                }
                Op::Rename { dir, from, to } if survivors.is_name_kept(i, dir) => {
                    if let Some(file) = names.remove(&(dir.clone(), from.clone())) {
                        names.insert((dir.clone(), to.clone()), file);
                    }
                }
                Op::RenameDir { dir, from, to } if survivors.is_name_kept(i, dir) => {
                    names = std::mem::take(&mut names)
                        .into_iter()
                        .map(|((at, name), file)| ((moved(&at, dir, from, to), name), file))
                        .collect();
                }
                Op::Remove { dir, name } if survivors.is_name_kept(i, dir) => {
                    names.remove(&(dir.clone(), name.clone()));
                }
                _ => {}
            }
        }
        let root = self.inner.path();
        let image = MemoryDir::new(root);
        for ((dir, name), file) in names {
            let Ok(below) = dir.strip_prefix(root) else {
                continue;
            };
            let target = below.components().fold(image.clone(), |image, component| {
                image.child(&component.as_os_str().to_string_lossy())
            });
            target.put(&name, contents.get(&file).cloned().unwrap_or_default());
        }
        image
    }

    fn check_renames(&self, from: &str) -> Result<(), FsError> {
        if self.disk.lock().faults.renames {
            let path = self.inner.path().join(from);
            return Err(FsError::io("rename", &path, io::Error::other("broken")));
        }
        Ok(())
    }

    /// Waits as long as faults say, without holding the disk.
    fn delay(disk: &Mutex<Disk>) {
        let delay = disk.lock().faults.delay;
        if let Some(delay) = delay {
            std::thread::sleep(delay);
        }
    }

    fn record(&self, op: Op) {
        self.disk.lock().ops.push(op);
    }

    fn key(&self, name: &str) -> (PathBuf, String) {
        (self.inner.path().to_path_buf(), name.to_owned())
    }

    fn file(&self, inner: Arc<dyn AppendFile>, name: &str, id: usize) -> Arc<dyn AppendFile> {
        let path = self.inner.path().join(name);
        Arc::new(CrashFile {
            inner,
            id,
            path,
            disk: self.disk.clone(),
        })
    }
}

/// Returns where `path` is after `from` in `dir` was renamed to `to`.
fn moved(path: &Path, dir: &Path, from: &str, to: &str) -> PathBuf {
    match path.strip_prefix(dir.join(from)) {
        Ok(below) if below.as_os_str().is_empty() => dir.join(to),
        Ok(below) => dir.join(to).join(below),
        Err(_) => path.to_path_buf(),
    }
}

/// Which changes a crash leaves.
struct Survivors {
    /// Per directory: changes of names from this index on are lost.
    names_end: HashMap<PathBuf, usize>,
    /// Per file: the write at this index is torn, later ones are lost.
    data_end: HashMap<usize, usize>,
    loss: Loss,
    random: u64,
}

struct KeptBytes {
    len: usize,
    hole: std::ops::Range<usize>,
}

impl Survivors {
    fn new(ops: &[Op], loss: Loss) -> Survivors {
        let seed = if let Loss::Chance(seed) = loss {
            seed
        } else {
            0
        };
        let mut survivors = Survivors {
            names_end: HashMap::new(),
            data_end: HashMap::new(),
            loss,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        };
        for (i, op) in ops.iter().enumerate() {
            match op {
                Op::SyncFile { file } => {
                    survivors.data_end.insert(*file, i);
                }
                Op::SyncDir { dir } => {
                    survivors.names_end.insert(dir.clone(), i);
                }
                _ => {}
            }
        }
        // Chance moves every end from the last sync to somewhere behind it.
        if let Loss::Chance(_) = loss {
            for op in ops {
                match op {
                    Op::Create { dir, file, .. } => {
                        survivors.names_end.entry(dir.clone()).or_insert(0);
                        survivors.data_end.entry(*file).or_insert(0);
                    }
                    Op::Rename { dir, .. } | Op::RenameDir { dir, .. } | Op::Remove { dir, .. } => {
                        survivors.names_end.entry(dir.clone()).or_insert(0);
                    }
                    _ => {}
                }
            }
            let mut random = survivors.random;
            let mut later = |end: &mut usize| {
                *end += next_random(&mut random) as usize % (ops.len() - *end + 1);
            };
            // In a fixed order, so that a seed always means the same image.
            let mut dirs: Vec<_> = survivors.names_end.iter_mut().collect();
            dirs.sort();
            dirs.into_iter().for_each(|(_, end)| later(end));
            let mut files: Vec<_> = survivors.data_end.iter_mut().collect();
            files.sort();
            files.into_iter().for_each(|(_, end)| later(end));
            survivors.random = random;
        }
        survivors
    }

    fn is_name_kept(&self, i: usize, dir: &Path) -> bool {
        self.loss == Loss::Process || self.names_end.get(dir).is_some_and(|&end| i < end)
    }

    fn is_data_kept(&self, i: usize, file: usize) -> bool {
        self.loss == Loss::Process || self.data_end.get(&file).is_some_and(|&end| i < end)
    }

    fn kept_bytes(&mut self, i: usize, file: usize, len: usize) -> KeptBytes {
        if self.is_data_kept(i, file) {
            return KeptBytes { len, hole: 0..0 };
        }
        if !matches!(self.loss, Loss::Chance(_)) || self.data_end.get(&file) != Some(&i) {
            return KeptBytes { len: 0, hole: 0..0 };
        }
        let len = next_random(&mut self.random) as usize % (len + 1);
        let hole_start = next_random(&mut self.random) as usize % (len + 1);
        let has_hole = next_random(&mut self.random).is_multiple_of(4);
        KeptBytes {
            len,
            hole: if has_hole { hole_start..len } else { 0..0 },
        }
    }
}

/// Steps an xorshift generator; tests repeat exactly.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}

impl Dir for CrashDir {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn files(&self) -> Result<Vec<String>, FsError> {
        self.inner.files()
    }

    fn dirs(&self) -> Result<Vec<String>, FsError> {
        self.inner.dirs()
    }

    fn subdir(&self, name: &str) -> Result<Arc<dyn Dir>, FsError> {
        self.inner.subdir(name)?;
        Ok(Arc::new(CrashDir {
            inner: self.inner.child(name),
            disk: self.disk.clone(),
        }))
    }

    fn remove_dir(&self, name: &str) -> Result<(), FsError> {
        self.inner.remove_dir(name)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn AppendFile>, FsError> {
        if self.disk.lock().faults.creates {
            let path = self.path().join(name);
            return Err(FsError::io(
                "create",
                &path,
                io::ErrorKind::StorageFull.into(),
            ));
        }
        let inner = self.inner.create(name)?;
        let mut disk = self.disk.lock();
        let file = disk.created;
        disk.created += 1;
        disk.files.insert(self.key(name), file);
        let dir = self.inner.path().to_path_buf();
        disk.ops.push(Op::Create {
            dir,
            name: name.to_owned(),
            file,
        });
        drop(disk);
        Ok(self.file(inner, name, file))
    }

    fn open_append(&self, name: &str) -> Result<Arc<dyn AppendFile>, FsError> {
        let inner = self.inner.open_append(name)?;
        let id = self.disk.lock().files.get(&self.key(name)).copied();
        let id = id.ok_or_else(|| {
            FsError::io(
                "open",
                &self.path().join(name),
                io::ErrorKind::NotFound.into(),
            )
        })?;
        Ok(self.file(inner, name, id))
    }

    fn read(&self, name: &str, limit_bytes: u64) -> Result<Vec<u8>, FsError> {
        self.inner.read(name, limit_bytes)
    }

    fn map(&self, name: &str, range: Range<u64>) -> Result<FileMap, FsError> {
        self.inner.map(name, range)
    }

    fn len_bytes(&self, name: &str) -> Result<u64, FsError> {
        self.inner.len_bytes(name)
    }

    fn rename_dir(&self, from: &str, to: &str) -> Result<(), FsError> {
        self.check_renames(from)?;
        self.inner.rename_dir(from, to)?;
        let mut disk = self.disk.lock();
        let dir = self.inner.path().to_path_buf();
        disk.files = std::mem::take(&mut disk.files)
            .into_iter()
            .map(|((at, name), file)| ((moved(&at, &dir, from, to), name), file))
            .collect();
        disk.ops.push(Op::RenameDir {
            dir,
            from: from.to_owned(),
            to: to.to_owned(),
        });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        self.check_renames(from)?;
        self.inner.rename(from, to)?;
        let mut disk = self.disk.lock();
        if let Some(file) = disk.files.remove(&self.key(from)) {
            disk.files.insert(self.key(to), file);
        }
        let dir = self.inner.path().to_path_buf();
        disk.ops.push(Op::Rename {
            dir,
            from: from.to_owned(),
            to: to.to_owned(),
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), FsError> {
        self.inner.remove(name)?;
        self.disk.lock().files.remove(&self.key(name));
        let dir = self.inner.path().to_path_buf();
        self.record(Op::Remove {
            dir,
            name: name.to_owned(),
        });
        Ok(())
    }

    fn sync(&self) -> Result<(), FsError> {
        if self.disk.lock().faults.syncs {
            return Err(FsError::io(
                "sync directory",
                self.path(),
                io::Error::other("broken"),
            ));
        }
        self.record(Op::SyncDir {
            dir: self.inner.path().to_path_buf(),
        });
        Ok(())
    }

    fn lock(&self) -> Result<DirLock, FsError> {
        self.inner.lock()
    }
}

#[derive(Debug)]
struct CrashFile {
    inner: Arc<dyn AppendFile>,
    id: usize,
    path: PathBuf,
    disk: Arc<Mutex<Disk>>,
}

impl AppendFile for CrashFile {
    fn append(&self, bytes: &[u8]) -> Result<(), FsError> {
        CrashDir::delay(&self.disk);
        let mut disk = self.disk.lock();
        let mut kept = bytes;
        let mut failure = None;
        if let Some(len) = disk.faults.short_write {
            kept = &bytes[..len.min(bytes.len())];
            failure = Some(io::Error::other("broken"));
        }
        if let Some(capacity) = disk.faults.capacity_bytes {
            let left = usize::try_from(capacity.saturating_sub(disk.written_bytes));
            let left = left.unwrap_or(usize::MAX);
            if left < kept.len() {
                kept = &kept[..left];
                failure = Some(io::ErrorKind::StorageFull.into());
            }
        }
        self.inner.append(kept)?;
        disk.written_bytes += kept.len() as u64;
        disk.ops.push(Op::Write {
            file: self.id,
            bytes: kept.to_vec(),
        });
        match failure {
            Some(source) => Err(FsError::io("write", &self.path, source)),
            None => Ok(()),
        }
    }

    fn len_bytes(&self) -> Result<u64, FsError> {
        self.inner.len_bytes()
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), FsError> {
        let mut disk = self.disk.lock();
        if disk.faults.truncates {
            return Err(FsError::io(
                "truncate",
                &self.path,
                io::Error::other("broken"),
            ));
        }
        self.inner.truncate(len_bytes)?;
        disk.ops.push(Op::Truncate {
            file: self.id,
            len: len_bytes as usize,
        });
        Ok(())
    }

    fn sync(&self) -> Result<(), FsError> {
        CrashDir::delay(&self.disk);
        let mut disk = self.disk.lock();
        if disk.faults.syncs {
            return Err(FsError::io("sync", &self.path, io::Error::other("broken")));
        }
        disk.ops.push(Op::SyncFile { file: self.id });
        Ok(())
    }
}
