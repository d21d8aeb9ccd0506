//! Reads entries of a row group.

use super::PartError;
use super::group::Group;
use super::needle::Needle;
use super::page::Page;
use super::search::Search;
use crate::model::NanoRange;

/// Which entries are read, and how much of them.
#[derive(Debug, Clone, Copy)]
pub struct RowFilter<'a> {
    /// Numbers of the wanted streams in the part, in order; `None` for all.
    pub streams: Option<&'a [u32]>,
    /// Times of the wanted entries.
    pub range: NanoRange,
    /// Sets of texts: a wanted line contains one of each set at least.
    pub needles: &'a [Vec<Needle>],
    /// Whether lines are read; without, they are empty.
    pub lines: bool,
    /// Whether structured metadata is read; without, there is none.
    pub metadata: bool,
}

impl RowFilter<'_> {
    /// Returns a filter that takes all entries.
    pub fn all() -> RowFilter<'static> {
        RowFilter {
            streams: None,
            range: NanoRange::ALL,
            needles: &[],
            lines: true,
            metadata: true,
        }
    }
}

/// An entry that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// Number of the stream in the part.
    pub stream: u32,
    /// When it happened, in nanoseconds since the epoch.
    pub t_ns: i64,
    /// The line, any bytes.
    pub line: &'a [u8],
    /// Structured metadata in order of the names.
    pub metadata: &'a [(&'a str, &'a str)],
}

impl Group<'_> {
    /// Calls `row` for the entries that a filter takes: stream by stream, those of a stream
    /// in order of time, those of one time in order of arrival. Pages without such entries
    /// are not decoded.
    ///
    /// # Errors
    /// The group is damaged, or `row` fails.
    pub fn read<E: From<PartError>>(
        &self,
        filter: &RowFilter<'_>,
        mut row: impl FnMut(RowRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut scratch = Scratch::default();
        self.pages(filter, |page, selected| {
            visit(page, selected, filter, &mut scratch, &mut row)
        })
    }

    /// Calls `visit` for the pages with entries that a filter takes, with the rows of these,
    /// each with its stream; rows are counted from the start of the page. What the filter
    /// says of lines and metadata is the caller's business.
    ///
    /// # Errors
    /// The group is damaged, or `visit` fails.
    pub fn pages<E: From<PartError>>(
        &self,
        filter: &RowFilter<'_>,
        mut visit: impl FnMut(&Page<'_, '_>, &[(u32, u32)]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut selected = Vec::new();
        let Some(searches) = self.searches(filter)? else {
            return Ok(());
        };
        for number in 0..self.n_pages() {
            let page = Page::new(self, number);
            if select(&page, filter, &searches, &mut selected)? {
                visit(&page, &selected)?;
            }
        }
        Ok(())
    }

    /// Begins the searches for the needles of a filter; none where no entry of the group can
    /// be taken.
    fn searches<'f>(
        &self,
        filter: &RowFilter<'f>,
    ) -> Result<Option<Vec<Vec<Search<'f>>>>, PartError> {
        let info = self.info();
        if !filter.range.overlaps(info.first_ns, info.last_ns) {
            return Ok(None);
        }
        let mut searches = Vec::with_capacity(filter.needles.len());
        for needles in filter.needles {
            let of_group = needles.iter().map(|needle| needle.search(self));
            let mut of_group = of_group.collect::<Result<Vec<_>, _>>()?;
            of_group.retain(|search| !search.is_hopeless());
            if of_group.is_empty() {
                return Ok(None);
            }
            searches.push(of_group);
        }
        Ok(Some(searches))
    }
}

/// Rows of a page, counted from its start, each with its stream.
pub type SelectedRows = Vec<(u32, u32)>;

impl<'p> Group<'p> {
    /// Returns the pages with entries that a filter takes, with the rows of these. What the
    /// filter says of lines and metadata is the caller's business.
    ///
    /// # Errors
    /// The group is damaged.
    pub fn selected<'g>(
        &'g self,
        filter: &RowFilter<'_>,
    ) -> Result<Vec<(Page<'g, 'p>, SelectedRows)>, PartError> {
        let mut pages = Vec::new();
        let Some(searches) = self.searches(filter)? else {
            return Ok(pages);
        };
        for number in 0..self.n_pages() {
            let page = Page::new(self, number);
            let mut selected = Vec::new();
            if select(&page, filter, &searches, &mut selected)? {
                pages.push((page, selected));
            }
        }
        Ok(pages)
    }
}

#[derive(Default)]
struct Scratch {
    line: Vec<u8>,
    text: String,
    ends: Vec<usize>,
}

/// Tells whether some filter takes a stream.
fn takes(filter: &RowFilter<'_>, stream: u32) -> bool {
    let streams = filter.streams;
    streams.is_none_or(|streams| streams.binary_search(&stream).is_ok())
}

/// Finds the rows of a page that a filter takes, with their streams; false for none.
fn select(
    page: &Page<'_, '_>,
    filter: &RowFilter<'_>,
    searches: &[Vec<Search<'_>>],
    selected: &mut Vec<(u32, u32)>,
) -> Result<bool, PartError> {
    selected.clear();
    let rows = page.rows();
    let info = page.group().info();
    let runs = page.group().runs_of(rows.clone());
    if !runs.iter().any(|run| takes(filter, run.stream)) {
        return Ok(false);
    }
    let mut marks: Option<Vec<bool>> = None;
    for any_of in searches {
        let mut found = vec![false; rows.len()];
        for search in any_of {
            search.mark(page, &mut found)?;
        }
        if let Some(marks) = &marks {
            found
                .iter_mut()
                .zip(marks)
                .for_each(|(found, mark)| *found &= mark);
        }
        if !found.contains(&true) {
            return Ok(false);
        }
        marks = Some(found);
    }
    let whole = filter.range.contains(info.first_ns) && filter.range.contains(info.last_ns);
    for run in runs.iter().filter(|run| takes(filter, run.stream)) {
        let of_page = run.start.max(rows.start)..run.end.min(rows.end);
        let mut of_page = of_page.start - rows.start..of_page.end - rows.start;
        if !whole {
            // Times of a stream ascend.
            let times = &page.times()?[of_page.clone()];
            let first = times.partition_point(|&t| t < filter.range.start_ns);
            let end = times.partition_point(|&t| t < filter.range.end_ns);
            of_page = of_page.start + first..of_page.start + end.max(first);
        }
        let is_marked = |row: &usize| marks.as_ref().is_none_or(|marks| marks[*row]);
        let rows = of_page.filter(is_marked);
        selected.extend(rows.map(|row| (row as u32, run.stream)));
    }
    Ok(!selected.is_empty())
}

/// Calls `row` for selected rows of a page.
fn visit<E: From<PartError>>(
    page: &Page<'_, '_>,
    selected: &[(u32, u32)],
    filter: &RowFilter<'_>,
    scratch: &mut Scratch,
    row: &mut impl FnMut(RowRef<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let times = page.times()?;
    for &(index, stream) in selected {
        let index = index as usize;
        scratch.line.clear();
        if filter.lines {
            page.line(index, &mut scratch.line)?;
        }
        scratch.text.clear();
        scratch.ends.clear();
        if filter.metadata {
            page.metadata_text(index, &mut scratch.text, &mut scratch.ends)?;
        }
        let metadata = page.pairs(index, &scratch.text, &scratch.ends)?;
        row(RowRef {
            stream,
            t_ns: times[index],
            line: &scratch.line,
            metadata: &metadata,
        })?;
    }
    Ok(())
}
