//! The directory of the operating system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AppendFile, Dir, DirLock, FileMap, FsError, check_name, copy, lock};

/// A directory on disk.
#[derive(Debug, Clone)]
pub struct RealDir {
    path: PathBuf,
}

impl RealDir {
    /// Opens `path`, creating it and its parents when missing.
    ///
    /// # Errors
    /// [`FsError::Io`] when it cannot be created or is not a directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<RealDir, FsError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|e| FsError::io("create directory", &path, e))?;
        Ok(RealDir { path })
    }

    /// Opens `path`, which has to be there.
    ///
    /// # Errors
    /// [`FsError::Io`] when there is no such directory.
    pub fn existing(path: impl Into<PathBuf>) -> Result<RealDir, FsError> {
        let path = path.into();
        fs::read_dir(&path).map_err(|e| FsError::io("open directory", &path, e))?;
        Ok(RealDir { path })
    }

    fn join(&self, name: &str) -> Result<PathBuf, FsError> {
        check_name(name)?;
        Ok(self.path.join(name))
    }

    fn names(&self, wanted: impl Fn(&fs::FileType) -> bool) -> Result<Vec<String>, FsError> {
        let err = |e| FsError::io("list", &self.path, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(err)? {
            let entry = entry.map_err(err)?;
            if !wanted(&entry.file_type().map_err(err)?) {
                continue;
            }
            // All names we write are ASCII; a foreign one cannot be ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Dir for RealDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn files(&self) -> Result<Vec<String>, FsError> {
        self.names(fs::FileType::is_file)
    }

    fn dirs(&self) -> Result<Vec<String>, FsError> {
        self.names(fs::FileType::is_dir)
    }

    fn subdir(&self, name: &str) -> Result<Arc<dyn Dir>, FsError> {
        let path = self.join(name)?;
        match fs::create_dir(&path) {
            Ok(()) => self.sync()?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) => return Err(FsError::io("create directory", &path, e)),
        }
        Ok(Arc::new(RealDir { path }))
    }

    fn remove_dir(&self, name: &str) -> Result<(), FsError> {
        let path = self.join(name)?;
        fs::remove_dir(&path).map_err(|e| FsError::io("remove directory", &path, e))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn AppendFile>, FsError> {
        let path = self.join(name)?;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| FsError::io("create", &path, e))?;
        Ok(Arc::new(RealFile { path, file }))
    }

    fn open_append(&self, name: &str) -> Result<Arc<dyn AppendFile>, FsError> {
        let path = self.join(name)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|e| FsError::io("open", &path, e))?;
        Ok(Arc::new(RealFile { path, file }))
    }

    fn read(&self, name: &str, limit_bytes: u64) -> Result<Vec<u8>, FsError> {
        let path = self.join(name)?;
        let err = |e| FsError::io("read", &path, e);
        let file = File::open(&path).map_err(err)?;
        let len_bytes = file.metadata().map_err(err)?.len();
        let capacity = usize::try_from(len_bytes)
            .ok()
            .filter(|_| len_bytes <= limit_bytes);
        let Some(capacity) = capacity else {
            return Err(FsError::TooLong {
                path,
                len_bytes,
                limit_bytes,
            });
        };
        let mut bytes = Vec::with_capacity(capacity);
        // The file may grow meanwhile; the limit holds for what is read, too.
        file.take(limit_bytes)
            .read_to_end(&mut bytes)
            .map_err(err)?;
        Ok(bytes)
    }

    fn map(&self, name: &str, range: Range<u64>) -> Result<FileMap, FsError> {
        let path = self.join(name)?;
        let file = File::open(&path).map_err(|e| FsError::io("open", &path, e))?;
        FileMap::of_file(&file, &path, &range)
    }

    fn len_bytes(&self, name: &str) -> Result<u64, FsError> {
        let path = self.join(name)?;
        let meta = fs::metadata(&path).map_err(|e| FsError::io("stat", &path, e))?;
        Ok(meta.len())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        let (from, to) = (self.join(from)?, self.join(to)?);
        fs::rename(&from, &to).map_err(|e| FsError::io("rename", &from, e))
    }

    fn rename_dir(&self, from: &str, to: &str) -> Result<(), FsError> {
        let (from, to) = (self.join(from)?, self.join(to)?);
        if to.exists() {
            // The system would replace an empty directory.
            let e = io::ErrorKind::AlreadyExists.into();
            return Err(FsError::io("rename a directory to", &to, e));
        }
        fs::rename(&from, &to).map_err(|e| FsError::io("rename", &from, e))
    }

    fn link(&self, name: &str, to: &dyn Dir) -> Result<(), FsError> {
        let path = self.join(name)?;
        match fs::hard_link(&path, to.path().join(name)) {
            Ok(()) => Ok(()),
            // Another file system, or one without links.
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => copy(self, name, to),
            Err(e) => Err(FsError::io("link", &path, e)),
        }
    }

    fn remove(&self, name: &str) -> Result<(), FsError> {
        let path = self.join(name)?;
        fs::remove_file(&path).map_err(|e| FsError::io("remove", &path, e))
    }

    fn sync(&self) -> Result<(), FsError> {
        File::open(&self.path)
            .and_then(|dir| dir.sync_all())
            .map_err(|e| FsError::io("sync directory", &self.path, e))
    }

    fn lock(&self) -> Result<DirLock, FsError> {
        lock::lock_file(&self.path)
    }
}

#[derive(Debug)]
struct RealFile {
    path: PathBuf,
    file: File,
}

impl AppendFile for RealFile {
    fn append(&self, bytes: &[u8]) -> Result<(), FsError> {
        (&self.file)
            .write_all(bytes)
            .map_err(|e| FsError::io("write", &self.path, e))
    }

    fn len_bytes(&self) -> Result<u64, FsError> {
        let meta = self
            .file
            .metadata()
            .map_err(|e| FsError::io("stat", &self.path, e))?;
        Ok(meta.len())
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), FsError> {
        self.file
            .set_len(len_bytes)
            .map_err(|e| FsError::io("truncate", &self.path, e))
    }

    fn sync(&self) -> Result<(), FsError> {
        self.file
            .sync_data()
            .map_err(|e| FsError::io("sync", &self.path, e))
    }
}
