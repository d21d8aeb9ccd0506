//! A page of finished chunks: in memory while it fills, then a part of a head file.
//!
//! ```text
//! 0        8         12      16       20    24         28   32      40    48   56    60
//! | magic  | version | shard | serial | len | n_chunks | 0  | start | end | 0  | crc | crc |
//! | KYMOPAGE | u32   | u32   | u32    | u32 | u32      | u32| i64   | i64 | u64| u32 | u32 |
//! 64 records, see `sealed`; zeros up to 256 KiB
//! ```
//!
//! The first crc covers bytes 64..len, the second one bytes 0..60. A serial is never
//! given twice, so it tells a page from another one that has its number later.
//!
//! A page in a file is checked when it is first touched: opening a store does not read
//! what nobody asks for.

use std::sync::{Arc, OnceLock};

use parking_lot::{RwLock, RwLockReadGuard};

use crate::codec::crc;
use crate::codec::open::Malformed;
use crate::fs::FileMap;
use crate::model::TimeRange;

/// Bytes of a page, header included.
#[cfg(not(test))]
pub(super) const PAGE_BYTES: usize = 1 << 18;
/// Small, so that tests have many.
#[cfg(test)]
pub(super) const PAGE_BYTES: usize = 1 << 13;
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"KYMOPAGE";
const VERSION: u32 = 1;

/// What is known of a page without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageInfo {
    pub(super) serial: u32,
    /// Bytes in use, header included.
    pub(super) len: u32,
    pub(super) n_chunks: u32,
    /// Times of its samples.
    pub(super) range: TimeRange,
    /// Where it is stored.
    pub(super) place: Option<FilePlace>,
}

/// Where a page is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FilePlace {
    /// The head file of the shard.
    pub(super) file: u64,
    /// Which of its pages.
    pub(super) slot: u32,
}

/// A page as readers hold it.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) serial: u32,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// Begins with room for the header.
    Memory(Arc<RwLock<Vec<u8>>>),
    Mapped(Arc<Mapped>),
}

#[derive(Debug)]
struct Mapped {
    map: FileMap,
    shard: u32,
    sound: OnceLock<bool>,
}

/// The bytes of a page, held for reading.
pub(super) enum PageBytes<'a> {
    Memory(RwLockReadGuard<'a, Vec<u8>>),
    Mapped(&'a [u8]),
}

impl std::ops::Deref for PageBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            PageBytes::Memory(bytes) => bytes,
            PageBytes::Mapped(bytes) => bytes,
        }
    }
}

impl Page {
    /// Begins an empty page.
    pub(super) fn new(serial: u32) -> Page {
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        bytes.resize(HEADER_BYTES, 0);
        Page::from_bytes(serial, bytes)
    }

    /// Returns a page that fills on; `bytes` begin with room for the header.
    pub(super) fn from_bytes(serial: u32, bytes: Vec<u8>) -> Page {
        Page {
            serial,
            content: Content::Memory(Arc::new(RwLock::new(bytes))),
        }
    }

    /// Returns a page that is stored.
    pub(super) fn mapped(shard: u32, serial: u32, map: FileMap) -> Page {
        let sound = OnceLock::new();
        Page {
            serial,
            content: Content::Mapped(Arc::new(Mapped { map, shard, sound })),
        }
    }

    /// Returns the bytes, header included.
    ///
    /// # Errors
    /// The stored page is not what was written.
    #[inline]
    pub(super) fn bytes(&self) -> Result<PageBytes<'_>, Malformed> {
        match &self.content {
            Content::Memory(bytes) => Ok(PageBytes::Memory(bytes.read())),
            Content::Mapped(page) => {
                let sound = || is_sound(&page.map, page.shard, self.serial);
                if *page.sound.get_or_init(sound) {
                    Ok(PageBytes::Mapped(&page.map))
                } else {
                    Err(Malformed)
                }
            }
        }
    }

    /// Adds bytes to a page in memory and returns where they begin, which is at a
    /// multiple of `align`.
    pub(super) fn push(&self, bytes: &[u8], align: usize) -> Option<usize> {
        let Content::Memory(page) = &self.content else {
            return None;
        };
        let mut page = page.write();
        let at = page.len().next_multiple_of(align);
        page.resize(at, 0);
        page.extend_from_slice(bytes);
        Some(at)
    }

    /// Tells whether `len` more bytes have room, with up to `align` for their start.
    pub(super) fn has_room(&self, len: usize, align: usize) -> bool {
        match &self.content {
            Content::Memory(page) => page.read().len() + align + len <= PAGE_BYTES,
            Content::Mapped(_) => false,
        }
    }

    /// Returns the bytes of memory held, of a page in memory only those in use.
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.content {
            Content::Memory(bytes) => bytes.read().len(),
            Content::Mapped(_) => 0,
        }
    }

    /// Tells whether the page is in memory.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.content, Content::Memory(_))
    }

    /// Returns the page in memory as it is stored, up to its last record.
    pub(super) fn stored(&self, shard: u32, info: &PageInfo) -> Option<Vec<u8>> {
        let Content::Memory(page) = &self.content else {
            return None;
        };
        let mut bytes = page.read().get(..info.len as usize)?.to_vec();
        finish(&mut bytes, shard, info);
        Some(bytes)
    }
}

/// Fills in the header of a page.
fn finish(bytes: &mut [u8], shard: u32, info: &PageInfo) {
    let sum = crc::ieee(&[&bytes[HEADER_BYTES..]]);
    let header = &mut bytes[..HEADER_BYTES];
    header.fill(0);
    header[..8].copy_from_slice(&MAGIC);
    for (at, word) in [VERSION, shard, info.serial, info.len, info.n_chunks]
        .into_iter()
        .enumerate()
    {
        header[8 + at * 4..][..4].copy_from_slice(&word.to_le_bytes());
    }
    header[32..40].copy_from_slice(&info.range.start_ms.to_le_bytes());
    header[40..48].copy_from_slice(&info.range.end_ms.to_le_bytes());
    header[56..60].copy_from_slice(&sum.to_le_bytes());
    let sum = crc::ieee(&[&header[..60]]);
    header[60..].copy_from_slice(&sum.to_le_bytes());
}

/// Reads the header of a stored page.
pub(super) fn read_header(bytes: &[u8], shard: u32) -> Option<PageInfo> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    let word = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
    let time = |at: usize| Some(i64::from_le_bytes(*header.get(at..)?.first_chunk()?));
    let ours = header[..8] == MAGIC
        && word(60)? == crc::ieee(&[&header[..60]])
        && word(8)? == VERSION
        && word(12)? == shard;
    let len = word(20)?;
    let possible = (HEADER_BYTES..=PAGE_BYTES).contains(&(len as usize));
    (ours && possible).then_some(PageInfo {
        serial: word(16)?,
        len,
        n_chunks: word(24)?,
        range: TimeRange::new(time(32)?, time(40)?),
        place: None,
    })
}

/// Tells whether `bytes` are the page with this serial, whole and as it was written.
fn is_sound(bytes: &[u8], shard: u32, serial: u32) -> bool {
    let info = read_header(bytes, shard).filter(|info| info.serial == serial);
    let records = info.and_then(|info| bytes.get(HEADER_BYTES..info.len as usize));
    let sum = bytes.get(56..60).and_then(|sum| sum.first_chunk());
    records.is_some_and(|records| {
        sum.is_some_and(|sum| u32::from_le_bytes(*sum) == crc::ieee(&[records]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_page_is_not_read() {
        let page = Page::new(7);
        assert_eq!(page.push(&[1; 99], 4), Some(64));
        assert_eq!(page.push(&[2; 50], 4), Some(164));
        let info = PageInfo {
            serial: 7,
            len: 214,
            n_chunks: 2,
            range: TimeRange::new(-5, 99),
            place: None,
        };
        let stored = page.stored(3, &info).unwrap();
        assert_eq!(read_header(&stored, 3), Some(info));
        let map = |bytes: &[u8]| Page::mapped(3, 7, FileMap::from_bytes(bytes));
        let mapped = map(&stored);
        assert_eq!(mapped.bytes().unwrap()[64..], page.bytes().unwrap()[64..]);
        for at in 0..stored.len() {
            let mut bytes = stored.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(map(&bytes).bytes().is_err(), "byte {at}");
            assert!(map(&stored[..at]).bytes().is_err(), "{at} bytes");
        }
        for (shard, serial) in [(2, 7), (3, 6)] {
            let other = Page::mapped(shard, serial, FileMap::from_bytes(&stored));
            assert!(other.bytes().is_err());
        }
    }
}
