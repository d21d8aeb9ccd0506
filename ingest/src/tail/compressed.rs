//! Compressed files, which are read once from their start.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `gzip`, any number of members.
    Gzip,
    /// `zlib`.
    Zlib,
    /// `bzip2`.
    Bzip2,
    /// `zstd`.
    Zstd,
    /// `xz`.
    Xz,
}

/// Most memory that a stream of xz may ask for, in KiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;

impl Compression {
    /// Returns the kind of a name, as a configuration has it.
    pub fn by_name(name: &str) -> Option<Compression> {
        Some(match name {
            "gz" => Compression::Gzip,
            "z" => Compression::Zlib,
            "bz2" => Compression::Bzip2,
            "zst" | "zstd" => Compression::Zstd,
            "xz" => Compression::Xz,
            _ => return None,
        })
    }

    /// Returns the kind that the name of a file ends with.
    pub(super) fn of_path(path: &Path) -> Option<Compression> {
        let ending = path.extension()?.to_str()?;
        // `.z` is as often something else.
        Compression::by_name(ending).filter(|kind| *kind != Compression::Zlib)
    }

    /// Returns what the file holds.
    pub(super) fn open(self, file: File) -> io::Result<Box<dyn Read + Send>> {
        let file = BufReader::with_capacity(64 << 10, file);
        Ok(match self {
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Compression::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(file)),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
                decoder.window_log_max(27)?;
                Box::new(decoder)
            }
            Compression::Xz => {
                let reader = lzma_rust2::XzReader::new_mem_limit(file, true, XZ_MEMORY_KIB);
                Box::new(reader)
            }
        })
    }
}
