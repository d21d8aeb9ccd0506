//! A directory tree in memory, for tests, benches and fuzzing.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::map::checked_len;
use super::{AppendFile, Dir, DirLock, FileMap, FsError, check_name};

/// A directory in memory; clones are the same directory.
#[derive(Debug, Clone)]
pub struct MemoryDir {
    path: PathBuf,
    node: Arc<Node>,
}

#[derive(Debug, Default)]
struct Node {
    files: Mutex<BTreeMap<String, Content>>,
    dirs: Mutex<BTreeMap<String, Arc<Node>>>,
    locked: Arc<AtomicBool>,
}

type Content = Arc<Mutex<Vec<u8>>>;

impl MemoryDir {
    /// Returns an empty directory that calls itself `path` in messages.
    pub fn new(path: impl Into<PathBuf>) -> MemoryDir {
        MemoryDir {
            path: path.into(),
            node: Arc::default(),
        }
    }

    /// Replaces or creates a file, whatever the contract says: for tests that
    /// prepare or damage a directory.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.node
            .files
            .lock()
            .insert(name.to_owned(), Arc::new(Mutex::new(bytes)));
    }

    /// Opens a directory below, creating it, with its own type.
    pub fn child(&self, name: &str) -> MemoryDir {
        let node = self
            .node
            .dirs
            .lock()
            .entry(name.to_owned())
            .or_default()
            .clone();
        MemoryDir {
            path: self.path.join(name),
            node,
        }
    }

    fn content(&self, op: &'static str, name: &str) -> Result<Content, FsError> {
        check_name(name)?;
        match self.node.files.lock().get(name) {
            Some(content) => Ok(content.clone()),
            None => Err(FsError::io(
                op,
                &self.path.join(name),
                io::ErrorKind::NotFound.into(),
            )),
        }
    }
}

impl Dir for MemoryDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn files(&self) -> Result<Vec<String>, FsError> {
        Ok(self.node.files.lock().keys().cloned().collect())
    }

    fn dirs(&self) -> Result<Vec<String>, FsError> {
        Ok(self.node.dirs.lock().keys().cloned().collect())
    }

    fn subdir(&self, name: &str) -> Result<Arc<dyn Dir>, FsError> {
        check_name(name)?;
        Ok(Arc::new(self.child(name)))
    }

    fn remove_dir(&self, name: &str) -> Result<(), FsError> {
        check_name(name)?;
        match self.node.dirs.lock().remove(name) {
            Some(_) => Ok(()),
            None => {
                let path = self.path.join(name);
                Err(FsError::io(
                    "remove directory",
                    &path,
                    io::ErrorKind::NotFound.into(),
                ))
            }
        }
    }

    fn create(&self, name: &str) -> Result<Arc<dyn AppendFile>, FsError> {
        check_name(name)?;
        let path = self.path.join(name);
        let mut files = self.node.files.lock();
        if files.contains_key(name) {
            return Err(FsError::io(
                "create",
                &path,
                io::ErrorKind::AlreadyExists.into(),
            ));
        }
        let content = Content::default();
        files.insert(name.to_owned(), content.clone());
        Ok(Arc::new(MemoryFile { content }))
    }

    fn open_append(&self, name: &str) -> Result<Arc<dyn AppendFile>, FsError> {
        Ok(Arc::new(MemoryFile {
            content: self.content("open", name)?,
        }))
    }

    fn read(&self, name: &str, limit_bytes: u64) -> Result<Vec<u8>, FsError> {
        let content = self.content("read", name)?;
        let bytes = content.lock();
        let len_bytes = bytes.len() as u64;
        if len_bytes > limit_bytes {
            return Err(FsError::TooLong {
                path: self.path.join(name),
                len_bytes,
                limit_bytes,
            });
        }
        Ok(bytes.clone())
    }

    fn map(&self, name: &str, range: Range<u64>) -> Result<FileMap, FsError> {
        let content = self.content("map", name)?;
        let bytes = content.lock();
        let len = checked_len(&range, bytes.len() as u64)
            .map_err(|e| FsError::io("map", &self.path.join(name), e))?;
        let start = range.start as usize;
        Ok(FileMap::from_bytes(&bytes[start..start + len]))
    }

    fn len_bytes(&self, name: &str) -> Result<u64, FsError> {
        Ok(self.content("stat", name)?.lock().len() as u64)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        check_name(to)?;
        let content = self.content("rename", from)?;
        let mut files = self.node.files.lock();
        files.remove(from);
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn rename_dir(&self, from: &str, to: &str) -> Result<(), FsError> {
        check_name(from)?;
        check_name(to)?;
        let mut dirs = self.node.dirs.lock();
        let error = |kind: io::ErrorKind| {
            FsError::io("rename directory", &self.path.join(from), kind.into())
        };
        if dirs.contains_key(to) {
            return Err(error(io::ErrorKind::AlreadyExists));
        }
        let node = dirs.remove(from);
        dirs.insert(
            to.to_owned(),
            node.ok_or_else(|| error(io::ErrorKind::NotFound))?,
        );
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), FsError> {
        self.content("remove", name)?;
        self.node.files.lock().remove(name);
        Ok(())
    }

    fn sync(&self) -> Result<(), FsError> {
        Ok(())
    }

    fn lock(&self) -> Result<DirLock, FsError> {
        if self.node.locked.swap(true, Ordering::AcqRel) {
            return Err(FsError::Locked {
                path: self.path.clone(),
            });
        }
        Ok(DirLock::new(Unlock(self.node.locked.clone())))
    }
}

struct Unlock(Arc<AtomicBool>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[derive(Debug)]
struct MemoryFile {
    content: Content,
}

impl AppendFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> Result<(), FsError> {
        self.content.lock().extend_from_slice(bytes);
        Ok(())
    }

    fn len_bytes(&self) -> Result<u64, FsError> {
        Ok(self.content.lock().len() as u64)
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), FsError> {
        let len = usize::try_from(len_bytes).unwrap_or(usize::MAX);
        let mut content = self.content.lock();
        if len > content.len() {
            let e = io::ErrorKind::InvalidInput.into();
            return Err(FsError::io("truncate", Path::new("memory"), e));
        }
        content.truncate(len);
        Ok(())
    }

    fn sync(&self) -> Result<(), FsError> {
        Ok(())
    }
}
