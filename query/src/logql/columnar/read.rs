//! Reads the entries of a row group, as much of them as a query looks at.

use kymo_storage::logs::part::{Form, Group, Kind, Origin, Page, PartError, RowFilter};
use kymo_storage::model::Labels;

use super::condition::Verdicts;
use super::plan::Lines;
use super::{ColumnGroup, Plan};
use crate::logql::source::{EntryBatch, LogSet};

/// Labels that mean something whatever a query names.
const SPECIAL: &str = "__";

/// Ending of the names of labels that gave way to others.
const EXTRACTED: &str = "_extracted";

/// Tells whether structured metadata of a group can have an influence on the answer.
pub(super) fn metadata_matters(group: &Group<'_>, plan: &Plan) -> bool {
    let Some(names) = &plan.names else {
        return true;
    };
    (0..group.n_columns() as u32).any(|column| {
        let key = group.key(column);
        key.origin == Origin::Metadata
            && (key.name.starts_with(SPECIAL)
                || names.iter().any(|name| {
                    *name == key.name || name.strip_suffix(EXTRACTED) == Some(&key.name)
                }))
    })
}

impl Plan {
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
        let numbers: Vec<u32> = of.streams.iter().map(|(number, _)| *number).collect();
        let filter = RowFilter {
            streams: Some(&numbers),
            range: of.range,
            needles: &self.needles,
            ..RowFilter::all()
        };
        let is_taken = |name: &str| {
            let mut selected = of.streams.iter();
            selected.any(|(_, at)| {
                streams
                    .get(*at as usize)
                    .is_some_and(|labels| labels.get(name).is_some())
            })
        };
        let narrow = Narrow::new(&group, &self.lines);
        let metadata = metadata_matters(&group, self);
        let mut verdicts = Verdicts::new();
        let mut wanted: Vec<(u32, u32)> = Vec::new();
        let (mut line, mut text, mut ends) = (Vec::new(), String::new(), Vec::new());
        group.pages(&filter, |page, selected| {
            wanted.clear();
            wanted.extend_from_slice(selected);
            for condition in &self.conditions {
                let may = condition.may_hold(page, &is_taken, &mut verdicts)?;
                wanted.retain(|(row, _)| may[*row as usize]);
                if wanted.is_empty() {
                    return Ok(());
                }
            }
            let times = page.times()?;
            for &(row, stream) in &wanted {
                let row = row as usize;
                let Ok(at) = of
                    .streams
                    .binary_search_by_key(&stream, |(number, _)| *number)
                else {
                    continue;
                };
                line.clear();
                narrow.write(page, row, &mut line)?;
                text.clear();
                ends.clear();
                if metadata {
                    page.metadata_text(row, &mut text, &mut ends)?;
                }
                let pairs = page.pairs(row, &text, &ends)?;
                into.push(of.streams[at].1, times[row], &line, pairs.iter().copied());
            }
            Ok::<(), PartError>(())
        })
    }
}

/// How lines of a group are made shorter.
struct Narrow<'l> {
    lines: &'l Lines,
    /// For each skeleton the columns that are wanted; `None` where lines stay whole.
    columns: Vec<Option<Vec<u32>>>,
}

impl<'l> Narrow<'l> {
    fn new(group: &Group<'_>, lines: &'l Lines) -> Narrow<'l> {
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
