//! A row group that is being read: columns opened once, pages decoded where needed.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::PartError;
use super::codes;
use super::column::Column;
use super::filter::{Filter, Filters};
use super::head::{Place, Run};
use super::layout::GroupInfo;
use super::reader::{KnownGroup, PartReader, Section, section_place};
use super::skeleton::{ColumnKey, Origin, Skeleton};
use super::texts::Texts;
use super::values::Values;
use super::zstd::Inflater;
use crate::codec::CodecError;

/// A row group, for one thread and a short time: it keeps what it has opened.
#[derive(Debug)]
pub struct Group<'p> {
    part: &'p PartReader,
    info: &'p GroupInfo,
    known: Arc<KnownGroup>,
    columns: Vec<OnceCell<Column<'p>>>,
    times: OnceCell<Vec<&'p [u8]>>,
    skeletons: OnceCell<Vec<&'p [u8]>>,
    shapes: OnceCell<Vec<&'p [u8]>>,
    filters: OnceCell<Filters<'p>>,
    skeletons_with: OnceCell<KindsWith>,
    shapes_with: OnceCell<KindsWith>,
    inflater: RefCell<Inflater>,
}

/// For each column the kinds of rows that have it, in order.
type KindsWith = Vec<SmallVec<[u32; 4]>>;

fn kinds_with<'a>(n_columns: usize, kinds: impl Iterator<Item = &'a [u32]>) -> KindsWith {
    let mut with = vec![SmallVec::<[u32; 4]>::new(); n_columns];
    for (kind, columns) in kinds.enumerate() {
        let kind = kind as u32;
        for &column in columns {
            if let Some(with) = with.get_mut(column as usize)
                && with.last() != Some(&kind)
            {
                with.push(kind);
            }
        }
    }
    with
}

impl PartReader {
    /// Opens a row group.
    ///
    /// # Errors
    /// There is no such group, or what it says of itself is damaged.
    pub fn group(&self, number: usize) -> Result<Group<'_>, PartError> {
        let info = self.info(number)?;
        let known = self.known(number)?;
        let n = known.head.columns.len();
        Ok(Group {
            part: self,
            info,
            columns: (0..n).map(|_| OnceCell::new()).collect(),
            known,
            times: OnceCell::new(),
            skeletons: OnceCell::new(),
            shapes: OnceCell::new(),
            filters: OnceCell::new(),
            skeletons_with: OnceCell::new(),
            shapes_with: OnceCell::new(),
            inflater: RefCell::new(Inflater::default()),
        })
    }
}

impl<'p> Group<'p> {
    /// Returns the part that the group is of.
    pub fn part(&self) -> &'p PartReader {
        self.part
    }

    /// Returns what the footer says of the group.
    pub fn info(&self) -> &'p GroupInfo {
        self.info
    }

    /// Returns the streams of the rows.
    pub fn runs(&self) -> &[Run] {
        &self.known.head.runs
    }

    /// Returns the runs that have rows among some.
    pub fn runs_of(&self, rows: Range<usize>) -> &[Run] {
        let runs = self.runs();
        let first = runs.partition_point(|run| run.end <= rows.start);
        let end = runs.partition_point(|run| run.start < rows.end);
        runs.get(first..end).unwrap_or_default()
    }

    /// Returns how many pages there are.
    pub fn n_pages(&self) -> usize {
        self.known.head.page_ends.len()
    }

    /// Returns the rows of a page.
    pub fn page_rows(&self, page: usize) -> Range<usize> {
        self.known.head.page(page)
    }

    /// Returns the kinds of lines.
    pub fn skeletons(&self) -> &[Skeleton] {
        &self.known.head.skeletons
    }

    /// Returns the sets of columns of structured metadata that rows have, in order of the
    /// names.
    pub fn shapes(&self) -> &[Vec<u32>] {
        &self.known.head.shapes
    }

    /// Returns the kinds of lines that have a column.
    pub(super) fn skeletons_with(&self, column: u32) -> &[u32] {
        let with = self.skeletons_with.get_or_init(|| {
            let kinds = self.skeletons().iter();
            kinds_with(self.n_columns(), kinds.map(|kind| &kind.columns[..]))
        });
        with.get(column as usize).map_or(&[], |with| &with[..])
    }

    /// Returns the sets of columns of structured metadata that have a column.
    pub(super) fn shapes_with(&self, column: u32) -> &[u32] {
        let with = self.shapes_with.get_or_init(|| {
            let kinds = self.shapes().iter();
            kinds_with(self.n_columns(), kinds.map(|kind| &kind[..]))
        });
        with.get(column as usize).map_or(&[], |with| &with[..])
    }

    /// Returns how many columns there are.
    pub fn n_columns(&self) -> usize {
        self.columns.len()
    }

    /// Returns what a column is.
    pub fn key(&self, column: u32) -> &ColumnKey {
        &self.known.head.columns[column as usize].0
    }

    /// Returns a column.
    ///
    /// # Errors
    /// It is damaged.
    pub fn column(&self, column: u32) -> Result<&Column<'p>, PartError> {
        let Some(cell) = self.columns.get(column as usize) else {
            return Err(self.corrupt(self.info.head, CodecError::Invalid("number of a column")));
        };
        if let Some(column) = cell.get() {
            return Ok(column);
        }
        let bytes = self.part.column(self.info, &self.known, column as usize)?;
        let decoded = Column::decode(bytes, self.n_pages(), &mut self.inflater.borrow_mut());
        let decoded = decoded.map_err(|error| self.corrupt_column(column, error))?;
        Ok(cell.get_or_init(|| decoded))
    }

    /// Decodes the values of a column in a page; `n` rows of the page have one.
    ///
    /// # Errors
    /// They are damaged.
    pub fn values(&self, column: u32, page: usize, n: usize) -> Result<Values, PartError> {
        let opened = self.column(column)?;
        if opened.pages().get(page).map(|head| head.n) != Some(n) {
            let error = CodecError::Invalid("number of values of a page");
            return Err(self.corrupt_column(column, error));
        }
        let values = opened.values(page, &mut self.inflater.borrow_mut());
        values.map_err(|error| self.corrupt_column(column, error))
    }

    /// Returns the texts that the codes of a column stand for.
    ///
    /// # Errors
    /// They are damaged.
    pub fn dictionary(&self, column: u32) -> Result<&Texts, PartError> {
        Ok(&self.column(column)?.dictionary)
    }

    /// Decodes the times of the rows of a page.
    ///
    /// # Errors
    /// They are damaged.
    pub fn times(&self, page: usize, out: &mut Vec<i64>) -> Result<(), PartError> {
        let bytes = self.page_of(Section::Times, &self.times, page)?;
        let decoded = codes::decode_times(bytes, self.page_rows(page).len(), out);
        decoded.map_err(|error| self.corrupt(self.known.head.times, error))
    }

    /// Decodes the numbers of the skeletons of the rows of a page.
    ///
    /// # Errors
    /// They are damaged.
    pub fn skeleton_codes(&self, page: usize) -> Result<Vec<u64>, PartError> {
        let bytes = self.page_of(Section::SkeletonCodes, &self.skeletons, page)?;
        let (n, limit) = (self.page_rows(page).len(), self.skeletons().len());
        let codes = codes::decode_codes(bytes, n, limit);
        codes.map_err(|error| self.corrupt(self.known.head.skeleton_codes, error))
    }

    /// Decodes the numbers of the sets of metadata names of the rows of a page.
    ///
    /// # Errors
    /// They are damaged.
    pub fn shape_codes(&self, page: usize) -> Result<Vec<u64>, PartError> {
        let bytes = self.page_of(Section::ShapeCodes, &self.shapes, page)?;
        let (n, limit) = (self.page_rows(page).len(), self.shapes().len());
        let codes = codes::decode_codes(bytes, n, limit);
        codes.map_err(|error| self.corrupt(self.known.head.shape_codes, error))
    }

    fn page_of(
        &self,
        section: Section,
        cell: &OnceCell<Vec<&'p [u8]>>,
        page: usize,
    ) -> Result<&'p [u8], PartError> {
        if cell.get().is_none() {
            let bytes = self.part.section(self.info, &self.known, section)?;
            let pages = codes::pages(bytes, self.n_pages());
            let place = section_place(self.info, &self.known.head, section);
            let _ = cell.set(pages.map_err(|error| self.corrupt(place, error))?);
        }
        let page = cell.get().and_then(|pages| pages.get(page).copied());
        page.ok_or_else(|| self.corrupt(self.info.head, CodecError::Invalid("number of a page")))
    }

    /// Returns the filter of all values of a column, where there is one.
    pub(super) fn column_filter(&self, column: u32) -> Result<Option<Filter<'p>>, PartError> {
        Ok(self.filters()?.of_column(column))
    }

    /// Returns the filter of the values of a column in a page, where there is one.
    pub(super) fn page_filter(
        &self,
        column: u32,
        page: usize,
    ) -> Result<Option<Filter<'p>>, PartError> {
        Ok(self.filters()?.of_page(column, page))
    }

    pub(super) fn filters(&self) -> Result<&Filters<'p>, PartError> {
        if let Some(filters) = self.filters.get() {
            return Ok(filters);
        }
        let bytes = self
            .part
            .section(self.info, &self.known, Section::Filters)?;
        let filters = match self.part.has_filters() {
            true => Filters::decode(bytes, self.n_columns(), self.n_pages()),
            false => Ok(Filters::unknown()),
        };
        let filters = filters.map_err(|error| self.corrupt(self.info.filters, error))?;
        Ok(self.filters.get_or_init(|| filters))
    }

    /// Returns what takes how many bytes of the file, for measuring.
    pub fn sizes(&self) -> Vec<(String, usize)> {
        let head = &self.known.head;
        let of_columns = head.columns.iter().map(|(key, place)| {
            let origin = match key.origin {
                Origin::Line => "line",
                Origin::Metadata => "metadata",
                Origin::Part(_) => "part",
            };
            (format!("{origin} {}", key.name), place.len)
        });
        let others = [
            ("head", self.info.head),
            ("counts", self.info.counts),
            ("filters", self.info.filters),
            ("times", head.times),
            ("skeletons", head.skeleton_codes),
            ("shapes", head.shape_codes),
        ];
        let others = others.map(|(name, place)| (name.to_owned(), place.len));
        of_columns.chain(others).collect()
    }

    /// Returns the error of a column whose values are not what they should be.
    pub(super) fn damaged(&self, column: u32, what: &'static str) -> PartError {
        self.corrupt_column(column, CodecError::Invalid(what))
    }

    fn corrupt(&self, place: Place, error: CodecError) -> PartError {
        self.part.corrupt(self.info, place, error)
    }

    pub(super) fn corrupt_column(&self, column: u32, error: CodecError) -> PartError {
        let columns = &self.known.head.columns;
        let place = columns
            .get(column as usize)
            .map_or(self.info.head, |(_, place)| *place);
        self.corrupt(place, error)
    }
}
