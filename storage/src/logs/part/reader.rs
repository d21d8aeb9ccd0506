//! A part on disk, mapped.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::PartError;
use super::counts::Counts;
use super::head::{Head, Place};
use super::layout::{self, Footer, GroupInfo};
use super::writer::PartMeta;
use super::zstd::Inflater;
use crate::codec::{CodecError, crc};
use crate::fs::{Dir, FileMap, RealDir};
use crate::model::Labels;

/// A part, read through a map of its file. Every section is checked when it is touched for
/// the first time.
///
/// Memory: labels of the streams, some words for each row group, and what is known of
/// the groups that were read, until [`PartReader::release`].
#[derive(Debug)]
pub struct PartReader {
    path: PathBuf,
    file: FileMap,
    footer: Footer,
    groups: Vec<Mutex<Option<Arc<KnownGroup>>>>,
}

/// What is known of a row group once it was read.
#[derive(Debug)]
pub(super) struct KnownGroup {
    pub(super) head: Head,
    /// Which sections have been checked: columns, then three of rows, counts, filters.
    checked: Box<[AtomicBool]>,
}

/// Sections of a group that are no column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Section {
    Times,
    SkeletonCodes,
    ShapeCodes,
    Filters,
}

const N_SECTIONS: usize = Section::Filters as usize + 1;

impl PartReader {
    /// Opens the file `name` of a directory.
    ///
    /// # Errors
    /// The disk refuses, the file is damaged, or of a newer version.
    pub fn open(dir: &Arc<dyn Dir>, name: &str) -> Result<PartReader, PartError> {
        let len = dir.len_bytes(name)?;
        let file = dir.map(name, 0..len)?;
        let path = dir.path().join(name);
        let footer = layout::open(&path, &file)?;
        let groups = footer.groups.iter().map(|_| Mutex::new(None)).collect();
        Ok(PartReader {
            path,
            file,
            footer,
            groups,
        })
    }

    /// Opens a part outside of a store.
    ///
    /// # Errors
    /// As [`PartReader::open`].
    pub fn open_path(path: &Path) -> Result<PartReader, PartError> {
        let (dir, name) = split_path(path)?;
        PartReader::open(&dir, &name)
    }

    /// Returns what the part holds.
    pub fn meta(&self) -> PartMeta {
        PartMeta::of(&self.footer, self.file.len() as u64)
    }

    /// Returns the labels of the streams, by their numbers.
    pub fn streams(&self) -> &[Labels] {
        &self.footer.streams
    }

    /// Returns the row groups.
    pub fn groups(&self) -> &[GroupInfo] {
        &self.footer.groups
    }

    /// Tells whether its filters are those that are written now.
    pub(super) fn has_filters(&self) -> bool {
        self.footer.version == layout::VERSION
    }

    /// Returns where the part is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets what is known of row groups, which is read again when it is needed.
    pub fn release(&self) {
        for group in &self.groups {
            *group.lock() = None;
        }
    }

    /// Returns how many entries each stream has in each minute of a row group.
    ///
    /// # Errors
    /// There is no such group, or it is damaged.
    pub fn counts(&self, group: usize) -> Result<Counts, PartError> {
        let info = self.info(group)?;
        let bytes = self.checked(info, info.counts)?;
        let (n_streams, minutes) = (self.footer.streams.len(), self.footer.minutes());
        let counts = Counts::decode(bytes, n_streams, minutes);
        counts.map_err(|error| self.corrupt(info, info.counts, error))
    }

    pub(super) fn info(&self, group: usize) -> Result<&GroupInfo, PartError> {
        self.footer
            .groups
            .get(group)
            .ok_or_else(|| PartError::Input {
                path: self.path.clone(),
                what: format!("a question about row group {group}"),
            })
    }

    /// Returns what a row group is.
    pub(super) fn known(&self, group: usize) -> Result<Arc<KnownGroup>, PartError> {
        let info = self.info(group)?;
        if let Some(known) = &*self.groups[group].lock() {
            return Ok(Arc::clone(known));
        }
        let stored = self.checked(info, info.head)?;
        let bytes = Inflater::default().take(&mut &stored[..], info.head_len);
        let head = bytes.and_then(|bytes| Head::decode(&bytes, self.footer.streams.len()));
        let head = head.map_err(|error| self.corrupt(info, info.head, error))?;
        if head.rows() != info.rows {
            let error = CodecError::Invalid("rows of a row group");
            return Err(self.corrupt(info, info.head, error));
        }
        let n = head.columns.len() + N_SECTIONS;
        let known = Arc::new(KnownGroup {
            head,
            checked: (0..n).map(|_| AtomicBool::new(false)).collect(),
        });
        *self.groups[group].lock() = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Returns the bytes of a column, checked where nobody has yet.
    pub(super) fn column(
        &self,
        info: &GroupInfo,
        known: &KnownGroup,
        column: usize,
    ) -> Result<&[u8], PartError> {
        let place = known
            .head
            .columns
            .get(column)
            .map_or(Place::default(), |(_, place)| *place);
        self.checked_once(info, place, known.checked.get(column + N_SECTIONS))
    }

    /// Returns the bytes of another section, checked where nobody has yet.
    pub(super) fn section(
        &self,
        info: &GroupInfo,
        known: &KnownGroup,
        section: Section,
    ) -> Result<&[u8], PartError> {
        let place = section_place(info, &known.head, section);
        self.checked_once(info, place, known.checked.get(section as usize))
    }

    fn checked_once(
        &self,
        info: &GroupInfo,
        place: Place,
        mark: Option<&AtomicBool>,
    ) -> Result<&[u8], PartError> {
        // Relaxed is enough: the bytes do not change, so that at worst two threads check.
        if mark.is_some_and(|mark| mark.load(Ordering::Relaxed)) {
            return self.bytes(info, place);
        }
        let bytes = self.checked(info, place)?;
        if let Some(mark) = mark {
            mark.store(true, Ordering::Relaxed);
        }
        Ok(bytes)
    }

    fn checked(&self, info: &GroupInfo, place: Place) -> Result<&[u8], PartError> {
        let bytes = self.bytes(info, place)?;
        let found = crc::ieee(&[bytes]);
        if found != place.crc {
            let detail = format!("checksum {found:08x} where {:08x} was written", place.crc);
            let at = info.at.saturating_add(place.at as u64);
            return Err(PartError::corrupt(&self.path, at, detail));
        }
        Ok(bytes)
    }

    fn bytes(&self, info: &GroupInfo, place: Place) -> Result<&[u8], PartError> {
        let range = || -> Option<Range<usize>> {
            let end = place
                .at
                .checked_add(place.len)
                .filter(|&end| end <= info.len)?;
            let start = usize::try_from(info.at).ok()?;
            Some(start.checked_add(place.at)?..start.checked_add(end)?)
        };
        range()
            .and_then(|range| self.file.get(range))
            .ok_or_else(|| self.corrupt(info, place, CodecError::Truncated("a row group")))
    }

    pub(super) fn corrupt(&self, info: &GroupInfo, place: Place, error: CodecError) -> PartError {
        let at = info.at.saturating_add(place.at as u64);
        PartError::corrupt(&self.path, at, error.to_string())
    }
}

/// Returns the directory of a path, and the name in it.
pub(super) fn split_path(path: &Path) -> Result<(Arc<dyn Dir>, String), PartError> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let dir: Arc<dyn Dir> = Arc::new(RealDir::open(parent.unwrap_or(Path::new(".")))?);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok((dir, name.into_owned()))
}

/// Returns where a section is.
pub(super) fn section_place(info: &GroupInfo, head: &Head, section: Section) -> Place {
    match section {
        Section::Times => head.times,
        Section::SkeletonCodes => head.skeleton_codes,
        Section::ShapeCodes => head.shape_codes,
        Section::Filters => info.filters,
    }
}
