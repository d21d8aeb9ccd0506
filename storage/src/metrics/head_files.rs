//! The files of one shard that hold its full pages.
//!
//! ```text
//! head/0003-00000017.chunks = page*       each 256 KiB, see `page`
//! ```
//!
//! A file is written by the process that created it, and only grows. A page counts once
//! a snapshot names its place; one that was stored later is stored again after a
//! restart, because the log still has its samples. So the end of a file can be torn
//! without harm, and a restart begins a new one. A file is removed when neither a page
//! of now nor a kept snapshot needs it or any before it.

use std::sync::Arc;

use super::page::{FilePlace, PAGE_BYTES, Page, PageInfo};
use crate::fs::{AppendFile, Dir, FsError};

/// Pages of a file.
const MAX_PAGES: u32 = 64;

const SUFFIX: &str = ".chunks";

/// Returns the name of a head file.
pub(super) fn name(shard: usize, file: u64) -> String {
    format!("{shard:04}-{file:08}{SUFFIX}")
}

/// Returns shard and number in `name` if it names a head file.
pub(super) fn parse(file_name: &str) -> Option<(usize, u64)> {
    let (shard, file) = file_name.strip_suffix(SUFFIX)?.split_once('-')?;
    let parsed = (shard.parse().ok()?, file.parse().ok()?);
    // One spelling per number, so that two files never claim the same.
    (name(parsed.0, parsed.1) == file_name).then_some(parsed)
}

/// The head files of one shard.
#[derive(Debug)]
pub(super) struct HeadFiles {
    dir: Arc<dyn Dir>,
    shard: usize,
    /// The file that is written, and its pages.
    current: Option<(u64, Arc<dyn AppendFile>, u32)>,
    /// Number of the next file.
    next: u64,
    /// No file has a lower number.
    first: u64,
}

/// A page that is stored now.
pub(super) struct Stored {
    /// The number it has in the shard.
    pub(super) number: usize,
    pub(super) page: Page,
    pub(super) place: FilePlace,
}

impl HeadFiles {
    /// Goes on behind the files `first..next`.
    pub(super) fn new(dir: Arc<dyn Dir>, shard: usize, first: u64, next: u64) -> HeadFiles {
        HeadFiles {
            dir,
            shard,
            current: None,
            next,
            first,
        }
    }

    /// Stores full pages, which are durable when this returns. On an error those that
    /// are in `stored` are, too.
    pub(super) fn store(
        &mut self,
        pages: &[(usize, Page, PageInfo)],
        stored: &mut Vec<Stored>,
    ) -> Result<(), FsError> {
        let mut rest = pages;
        while !rest.is_empty() {
            let room = match self.current {
                Some((_, _, n_pages)) => (MAX_PAGES - n_pages) as usize,
                None => MAX_PAGES as usize,
            };
            let (now, later) = rest.split_at(room.min(rest.len()));
            rest = later;
            self.store_in_one(now, stored)?;
        }
        Ok(())
    }

    /// Stores pages for which the current file has room.
    fn store_in_one(
        &mut self,
        pages: &[(usize, Page, PageInfo)],
        stored: &mut Vec<Stored>,
    ) -> Result<(), FsError> {
        let (file, opened, before) = self.open()?;
        let written = self.write(&*opened, pages, before == 0);
        if let Err(error) = written {
            // What stands behind the last good page is of no use, and may be cut short.
            // Nobody reads it if that fails, too.
            self.current = None;
            let _ = match before {
                0 => self.dir.remove(&name(self.shard, file)),
                _ => opened.truncate(u64::from(before) * PAGE_BYTES as u64),
            };
            return Err(error);
        }
        let end = before + pages.len() as u32;
        self.current = (end < MAX_PAGES).then_some((file, opened, end));
        for (slot, (number, page, info)) in (before..).zip(pages) {
            let start = u64::from(slot) * PAGE_BYTES as u64;
            let range = start..start + u64::from(info.len);
            let map = self.dir.map(&name(self.shard, file), range)?;
            stored.push(Stored {
                number: *number,
                page: Page::mapped(self.shard as u32, page.serial, map),
                place: FilePlace { file, slot },
            });
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(u64, Arc<dyn AppendFile>, u32), FsError> {
        if let Some((file, opened, n_pages)) = &self.current {
            return Ok((*file, opened.clone(), *n_pages));
        }
        let file = self.next;
        let opened = self.dir.create(&name(self.shard, file))?;
        self.next += 1;
        Ok((file, opened, 0))
    }

    fn write(
        &self,
        file: &dyn AppendFile,
        pages: &[(usize, Page, PageInfo)],
        is_new: bool,
    ) -> Result<(), FsError> {
        for (_, page, info) in pages {
            // A page that waits is in memory.
            let mut bytes = page.stored(self.shard as u32, info).unwrap_or_default();
            bytes.resize(PAGE_BYTES, 0);
            file.append(&bytes)?;
        }
        file.sync()?;
        if is_new { self.dir.sync() } else { Ok(()) }
    }

    /// Begins a new file with the next page, so that the present one can be removed
    /// once its pages are gone.
    pub(super) fn roll(&mut self) {
        self.current = None;
    }

    /// Returns the lowest number of a file that pages may still come to.
    pub(super) fn lowest_open(&self) -> u64 {
        self.current.as_ref().map_or(self.next, |(file, ..)| *file)
    }

    /// Returns the number of the next file that is begun.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Removes the files with numbers below `first`.
    pub(super) fn remove_before(&mut self, first: u64) -> Result<(), FsError> {
        while self.first < first.min(self.next) {
            match self.dir.remove(&name(self.shard, self.first)) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => self.first += 1,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        assert_eq!(name(3, 17), "0003-00000017.chunks");
        assert_eq!(parse("0003-00000017.chunks"), Some((3, 17)));
        for other in ["3-17.chunks", "0003-00000017.snap", "0003.chunks", ""] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
