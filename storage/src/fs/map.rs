//! Bytes of a file, read when they are touched.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};

use super::{FsError, MAP_ALIGN_BYTES};

/// A part of a file that does not change any more; clones share it. Nothing about the
/// alignment of the bytes is promised.
#[derive(Clone)]
pub struct FileMap(Bytes);

#[derive(Clone)]
enum Bytes {
    Mapped(Arc<Mmap>),
    Owned(Arc<[u8]>),
}

impl FileMap {
    /// Returns a map of bytes that are in memory already.
    pub fn from_bytes(bytes: &[u8]) -> FileMap {
        FileMap(Bytes::Owned(bytes.into()))
    }

    /// Maps a range of an open file.
    pub(super) fn of_file(
        file: &File,
        path: &Path,
        range: &Range<u64>,
    ) -> Result<FileMap, FsError> {
        let err = |e| FsError::io("map", path, e);
        let len_bytes = file.metadata().map_err(err)?.len();
        let len = checked_len(range, len_bytes).map_err(err)?;
        if len == 0 {
            // The system refuses empty maps.
            return Ok(FileMap::from_bytes(&[]));
        }
        // SAFETY: the bytes of the map must not change or be cut off while it lives.
        // Rule 6 of the module promises that for whatever is mapped, and `LOCK` keeps
        // other processes of ours out of the directory. Somebody else who cuts a file of
        // a running store ends the process with SIGBUS, but no wrong reference is made:
        // a map is bytes only.
        #[allow(unsafe_code)]
        let map = unsafe { MmapOptions::new().offset(range.start).len(len).map(file) };
        Ok(FileMap(Bytes::Mapped(Arc::new(map.map_err(err)?))))
    }
}

/// Returns the length of a range that lies in a file of `len_bytes` and is aligned.
pub(super) fn checked_len(range: &Range<u64>, len_bytes: u64) -> io::Result<usize> {
    let refused = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    if !range.start.is_multiple_of(MAP_ALIGN_BYTES) {
        return Err(refused(format!("offset {} is not aligned", range.start)));
    }
    if range.start > range.end || range.end > len_bytes {
        let Range { start, end } = range;
        return Err(refused(format!(
            "bytes {start} to {end} of a file of {len_bytes} bytes"
        )));
    }
    usize::try_from(range.end - range.start).map_err(|_| refused("too long".to_owned()))
}

impl Deref for FileMap {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for FileMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Bytes::Mapped(_) => "mapped",
            Bytes::Owned(_) => "owned",
        };
        write!(f, "FileMap({kind}, {} bytes)", self.len())
    }
}
