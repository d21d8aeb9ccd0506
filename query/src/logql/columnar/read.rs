//! Reads the entries of a row group, as much of them as a query looks at.

use kymo_storage::logs::part::{Form, Group, Kind, Origin, Page, PartError, RowFilter};
use kymo_storage::model::Labels;

use super::condition::Verdicts;
use super::plan::Lines;
use super::{ColumnGroup, Plan};
use crate::logql::source::{EntryBatch, EntryRef, LogSet};

/// Labels that mean something whatever a query names.
pub(super) const SPECIAL: &str = "__";

/// Ending of the names of labels that gave way to others.
const EXTRACTED: &str = "_extracted";

/// Returns the columns of structured metadata of a group that can have an influence on the
/// answer.
pub(super) fn metadata_that_matters(group: &Group<'_>, plan: &Plan) -> Vec<u32> {
    let matters = |column: &u32| {
        let key = group.key(*column);
        key.origin == Origin::Metadata && plan.looks_at(&key.name)
    };
    (0..group.n_columns() as u32).filter(matters).collect()
}

impl Plan {
    /// Tells whether structured metadata of a name can have an influence on the answer.
    pub(in crate::logql) fn looks_at(&self, name: &str) -> bool {
        let is_it =
            |wanted: &String| wanted == name || wanted.strip_suffix(EXTRACTED) == Some(name);
        let names = self.names.as_ref();
        names.is_none_or(|names| name.starts_with(SPECIAL) || names.iter().any(is_it))
    }

    /// Replaces the content of a batch by the entries of a group of a selection that the
    /// query may want; false where the group has no columns, or they are damaged: then its
    /// entries are to be read, and who does that tells of the damage.
    pub(in crate::logql) fn read_columns(
        &self,
        set: &dyn LogSet,
        index: usize,
        into: &mut EntryBatch,
    ) -> bool {
        let columns = set.columns(index);
        columns.is_some_and(|columns| self.read(&columns, set.streams(), into).is_ok())
    }

    /// Replaces the content of a batch by the entries of a group that the query may want.
    /// `streams` are those of the selection.
    ///
    /// # Errors
    /// The group is damaged.
    fn read(
        &self,
        of: &ColumnGroup<'_>,
        streams: &[Labels],
        into: &mut EntryBatch,
    ) -> Result<(), PartError> {
        into.clear();
        let group = of.part.group(of.group)?;
        let narrow = Narrow::new(&group, &self.lines);
        let metadata = self.names.is_none() || !metadata_that_matters(&group, self).is_empty();
        let mut texts = Texts::default();
        self.pages(of, &group, streams, |page, wanted| {
            for &(row, stream) in wanted {
                let at = of
                    .streams
                    .binary_search_by_key(&stream, |(number, _)| *number);
                if let Ok(at) = at {
                    let stream = of.streams[at].1;
                    texts.push(page, row as usize, stream, &narrow, metadata, into)?;
                }
            }
            Ok::<(), PartError>(())
        })
    }

    /// Calls `visit` with the pages of a group and the rows that the query may want, each
    /// with the number of its stream in the part.
    pub(super) fn pages<E: From<PartError>>(
        &self,
        of: &ColumnGroup<'_>,
        group: &Group<'_>,
        streams: &[Labels],
        mut visit: impl FnMut(&Page<'_, '_>, &[(u32, u32)]) -> Result<(), E>,
    ) -> Result<(), E> {
        let numbers = numbers_of(of);
        let filter = self.row_filter(of, &numbers);
        let is_taken = |name: &str| is_taken(of, streams, name);
        let mut verdicts = Verdicts::new();
        let mut wanted: Vec<(u32, u32)> = Vec::new();
        group.pages(&filter, |page, selected| {
            if self.conditions.is_empty() {
                return visit(page, selected);
            }
            wanted.clear();
            wanted.extend_from_slice(selected);
            for condition in &self.conditions {
                let may = condition.may_hold(page, &is_taken, &mut verdicts)?;
                wanted.retain(|(row, _)| may[*row as usize]);
                if wanted.is_empty() {
                    return Ok(());
                }
            }
            visit(page, &wanted)
        })
    }
}

/// Returns the numbers of the selected streams of a group.
fn numbers_of(of: &ColumnGroup<'_>) -> Vec<u32> {
    of.streams.iter().map(|(number, _)| *number).collect()
}

/// Entries of a group, each of which is built when it is asked for.
pub(in crate::logql) struct Rows<'g, 'p> {
    pages: Vec<Page<'g, 'p>>,
    /// For each entry its stream in the selection and its time, then page and row.
    rows: Vec<(u32, i64, u32, u32)>,
    narrow: &'g Narrow<'g>,
    metadata: bool,
    texts: Texts,
    batch: EntryBatch,
}

impl Rows<'_, '_> {
    /// Returns how many there are.
    pub(in crate::logql) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns stream and time of one of them.
    pub(in crate::logql) fn head(&self, index: usize) -> (u32, i64) {
        let (stream, t_ns, ..) = self.rows[index];
        (stream, t_ns)
    }

    /// Builds one of them.
    pub(in crate::logql) fn entry(&mut self, index: usize) -> Result<EntryRef<'_>, PartError> {
        let (stream, _, page, row) = self.rows[index];
        self.batch.clear();
        let (page, row) = (&self.pages[page as usize], row as usize);
        self.texts.push(
            page,
            row,
            stream,
            self.narrow,
            self.metadata,
            &mut self.batch,
        )?;
        Ok(self.batch.entry(0))
    }
}

impl Plan {
    fn row_filter<'a>(&'a self, of: &ColumnGroup<'_>, numbers: &'a [u32]) -> RowFilter<'a> {
        RowFilter {
            streams: Some(numbers),
            range: of.range,
            needles: &self.needles,
            ..RowFilter::all()
        }
    }

    /// Hands over the entries of a group that the query may want, in the order of the group.
    /// `streams` are those of the selection.
    ///
    /// # Errors
    /// The group is damaged, or `take` fails.
    pub(in crate::logql) fn rows<T, E: From<PartError>>(
        &self,
        of: &ColumnGroup<'_>,
        streams: &[Labels],
        take: impl FnOnce(&mut Rows<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let group = of.part.group(of.group)?;
        let narrow = Narrow::new(&group, &self.lines);
        let metadata = self.names.is_none() || !metadata_that_matters(&group, self).is_empty();
        let numbers = numbers_of(of);
        let is_taken = |name: &str| is_taken(of, streams, name);
        let mut verdicts = Verdicts::new();
        let mut rows = Rows {
            pages: Vec::new(),
            rows: Vec::new(),
            narrow: &narrow,
            metadata,
            texts: Texts::default(),
            batch: EntryBatch::default(),
        };
        for (page, mut wanted) in group.selected(&self.row_filter(of, &numbers))? {
            for condition in &self.conditions {
                if !wanted.is_empty() {
                    let may = condition.may_hold(&page, &is_taken, &mut verdicts)?;
                    wanted.retain(|(row, _)| may[*row as usize]);
                }
            }
            if wanted.is_empty() {
                continue;
            }
            let number = rows.pages.len() as u32;
            let times = page.times()?;
            rows.rows.extend(wanted.iter().filter_map(|&(row, stream)| {
                let at = numbers.binary_search(&stream).ok()?;
                Some((of.streams[at].1, times[row as usize], number, row))
            }));
            rows.pages.push(page);
        }
        take(&mut rows)
    }
}

/// Tells whether a stream that is selected of a group has a label of a name; `streams` are
/// those of the selection.
pub(super) fn is_taken(of: &ColumnGroup<'_>, streams: &[Labels], name: &str) -> bool {
    let mut selected = of.streams.iter();
    selected.any(|(_, at)| {
        let labels = streams.get(*at as usize);
        labels.is_some_and(|labels| labels.get(name).is_some())
    })
}

/// Memory for what of one row is read.
#[derive(Default)]
pub(super) struct Texts {
    line: Vec<u8>,
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Appends the entry of a row to a batch, with its metadata where that is wanted.
    pub(super) fn push(
        &mut self,
        page: &Page<'_, '_>,
        row: usize,
        stream: u32,
        narrow: &Narrow<'_>,
        metadata: bool,
        into: &mut EntryBatch,
    ) -> Result<(), PartError> {
        self.line.clear();
        narrow.write(page, row, &mut self.line)?;
        self.text.clear();
        self.ends.clear();
        if metadata {
            page.metadata_text(row, &mut self.text, &mut self.ends)?;
        }
        let pairs = page.pairs(row, &self.text, &self.ends)?;
        let t_ns = page.times()?[row];
        into.push(stream, t_ns, &self.line, pairs.iter().copied());
        Ok(())
    }
}

/// How lines of a group are made shorter.
pub(super) struct Narrow<'l> {
    lines: &'l Lines,
    /// For each skeleton the columns that are wanted; `None` where lines stay whole.
    columns: Vec<Option<Vec<u32>>>,
}

impl<'l> Narrow<'l> {
    pub(super) fn new(group: &Group<'_>, lines: &'l Lines) -> Narrow<'l> {
        let columns = group.skeletons().iter().map(|skeleton| match lines {
            Lines::Fields(kind, names) if skeleton.is_clean && skeleton.kind == Some(*kind) => {
                let is_wanted = |column: &&u32| {
                    let key = group.key(**column);
                    key.form != Form::Opaque && names.contains(&key.name)
                };
                Some(skeleton.columns.iter().filter(is_wanted).copied().collect())
            }
            _ => None,
        });
        Narrow {
            lines,
            columns: columns.collect(),
        }
    }

    /// Returns the columns that the lines of a skeleton are made of; `None` where lines stay
    /// whole.
    pub(super) fn columns_of(&self, skeleton: usize) -> Option<&[u32]> {
        match self.lines {
            Lines::Whole => None,
            Lines::Constant(_) => Some(&[]),
            Lines::Fields(..) => self.columns.get(skeleton)?.as_deref(),
        }
    }

    /// Writes what is to be known of the line of a row.
    fn write(&self, page: &Page<'_, '_>, row: usize, out: &mut Vec<u8>) -> Result<(), PartError> {
        let kind = match self.lines {
            Lines::Whole => return page.line(row, out),
            Lines::Constant(line) => {
                out.extend_from_slice(line);
                return Ok(());
            }
            Lines::Fields(kind, _) => *kind,
        };
        let group = page.group();
        let skeleton = page.skeletons()?[row];
        let Some(columns) = &self.columns[skeleton as usize] else {
            return page.line(row, out);
        };
        let t_ns = page.times()?[row];
        let (before, between) = match kind {
            Kind::Json => (&b"{\""[..], &b",\""[..]),
            Kind::Logfmt | Kind::Plain => (&b""[..], &b" "[..]),
        };
        for (i, &column) in columns.iter().enumerate() {
            if group.column(column)?.has_marks(page.number()) {
                out.clear();
                return page.line(row, out);
            }
            let key = group.key(column);
            out.extend_from_slice(if i == 0 { before } else { between });
            out.extend_from_slice(key.name.as_bytes());
            out.extend_from_slice(if kind == Kind::Json { b"\":" } else { b"=" });
            let quotes = if key.form == Form::Quoted {
                &b"\""[..]
            } else {
                b""
            };
            out.extend_from_slice(quotes);
            let values = page.part(column)?;
            let index = values.index(row).unwrap_or(usize::MAX);
            values
                .values
                .write(index, group.dictionary(column)?, t_ns, out);
            out.extend_from_slice(quotes);
        }
        if kind == Kind::Json {
            out.extend_from_slice(if columns.is_empty() { b"{}" } else { b"}" });
        }
        Ok(())
    }
}
