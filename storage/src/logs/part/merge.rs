//! One part of several.

use std::ops::ControlFlow;

use super::PartError;
use super::read::{RowFilter, RowRef};
use super::reader::PartReader;
use super::rows::{Row, Rows};
use super::writer::PartWriter;

/// Entries between two questions to the caller.
const PACE_ROWS: usize = 4096;

/// Most room for lines that is made on the word of a file.
const MAX_ROOM: usize = 32 << 20;

/// Adds the entries of several parts to a new one, those that `keep` takes, in order of
/// time; entries of one stream and time in order of the parts. `pace` is asked every few
/// milliseconds of work and may wait, or break off.
///
/// Memory: one row group of each part that has entries of the same time, and the writer.
///
/// # Errors
/// [`PartError::Stopped`] where `pace` breaks off, a part is damaged, or the disk refuses;
/// the writer is to be dropped then.
pub fn merge(
    parts: &[&PartReader],
    writer: &mut PartWriter,
    mut keep: impl FnMut(&PartReader, RowRef<'_>) -> bool,
    pace: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<(), PartError> {
    let mut sources = Vec::new();
    for part in parts {
        let streams = part
            .streams()
            .iter()
            .map(|labels| writer.stream(labels))
            .collect();
        sources.push(Source::new(part, streams));
    }
    let mut n = 0;
    loop {
        // A group is opened when the first of its entries may be the next one.
        let next = loop {
            let least = |(number, source): (usize, &Source<'_>)| {
                source.next_ns().map(|t_ns| (t_ns, number))
            };
            let Some((_, number)) = sources.iter().enumerate().filter_map(least).min() else {
                return Ok(());
            };
            let source = &mut sources[number];
            if source.is_open() {
                break source;
            }
            source.open_next(&mut keep)?;
        };
        next.move_to(writer)?;
        n += 1;
        if n % PACE_ROWS == 0 && pace().is_break() {
            return Err(PartError::Stopped);
        }
    }
}

/// A part with the entries of the groups that are being merged.
struct Source<'a> {
    part: &'a PartReader,
    /// Numbers of its streams in the new part.
    streams: Vec<u32>,
    /// Groups that are not open yet, the next one last.
    groups: Vec<usize>,
    rows: Rows,
    /// The rows left, the next one last.
    order: Vec<Row>,
}

impl<'a> Source<'a> {
    fn new(part: &'a PartReader, streams: Vec<u32>) -> Source<'a> {
        let mut groups: Vec<usize> = (0..part.groups().len()).collect();
        // Of groups that begin at one time the first one comes first.
        groups.sort_by_key(|&group| (part.groups()[group].first_ns, group));
        groups.reverse();
        Source {
            part,
            streams,
            groups,
            rows: Rows::default(),
            order: Vec::new(),
        }
    }

    fn next_group_ns(&self) -> Option<i64> {
        let group = self.groups.last();
        group.map(|&group| self.part.groups()[group].first_ns)
    }

    /// Returns the time before which there is nothing left.
    fn next_ns(&self) -> Option<i64> {
        let row = self.order.last().map(|row| row.t_ns);
        match (row, self.next_group_ns()) {
            (Some(row), Some(group)) => Some(row.min(group)),
            (row, group) => row.or(group),
        }
    }

    /// Tells whether the next entry is known.
    fn is_open(&self) -> bool {
        self.order
            .last()
            .is_some_and(|row| self.next_group_ns().is_none_or(|t_ns| row.t_ns < t_ns))
    }

    /// Adds the entries of the next group to those that are left.
    fn open_next(
        &mut self,
        keep: &mut impl FnMut(&PartReader, RowRef<'_>) -> bool,
    ) -> Result<(), PartError> {
        let Some(group) = self.groups.pop() else {
            return Ok(());
        };
        let info = &self.part.groups()[group];
        let of_group = usize::try_from(info.line_bytes).unwrap_or(MAX_ROOM);
        let of_group = of_group.min(MAX_ROOM);
        if self.order.is_empty() {
            // Groups that follow each other in time, as most do, share one memory.
            self.rows.clear();
            self.rows.make_room(of_group, info.rows);
        } else {
            // What is left moves to memory of its own, so that the rest of it is free.
            let left = self.order.iter().map(|&row| self.rows.line(row).len());
            let left: usize = left.sum();
            let room = Rows::with_room(left + of_group, self.order.len() + info.rows);
            let old = std::mem::replace(&mut self.rows, room);
            for &row in self.order.iter().rev() {
                let metadata = metadata_of(&old, row);
                self.rows
                    .push(row.stream, row.t_ns, old.line(row), metadata);
            }
        }
        let Source { part, rows, .. } = self;
        part.group(group)?.read(&RowFilter::all(), |row| {
            if keep(part, row) {
                rows.push(row.stream, row.t_ns, row.line, row.metadata.iter().copied());
            }
            Ok::<(), PartError>(())
        })?;
        self.order.clone_from(&self.rows.rows);
        // Stable: of one time what was in the earlier group comes first.
        self.order.sort_by_key(|row| row.t_ns);
        self.order.reverse();
        Ok(())
    }

    /// Moves the next entry to the new part.
    fn move_to(&mut self, writer: &mut PartWriter) -> Result<(), PartError> {
        let Some(row) = self.order.pop() else {
            return Ok(());
        };
        let stream = self.streams[row.stream as usize];
        let metadata = metadata_of(&self.rows, row);
        writer.push(stream, row.t_ns, self.rows.line(row), metadata)?;
        if self.order.is_empty() && self.groups.is_empty() {
            // Parts that follow each other in time are not all in memory at once.
            self.rows = Rows::default();
            self.order = Vec::new();
        }
        Ok(())
    }
}

/// Returns names and values of the structured metadata of a row.
fn metadata_of(rows: &Rows, row: Row) -> impl Iterator<Item = (&str, &str)> {
    rows.pairs(row).iter().map(|&pair| {
        let name = rows.names[pair.name as usize].as_str();
        (name, rows.value(pair))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::writer::Effort;
    use super::*;
    use crate::fs::Dir;
    use crate::fs::memory::MemoryDir;
    use crate::model::Labels;

    /// Times, lines and names of metadata of a part.
    type Entries = Vec<(i64, String, String)>;

    /// Writes a part of several groups: many names of metadata end one.
    fn write(dir: &Arc<dyn Dir>, name: &str, entries: &Entries) -> PartReader {
        let mut writer = PartWriter::create(dir, name, Effort::Flush).unwrap();
        let stream = writer.stream(&Labels::from_pairs([("app", "a")]));
        for (t_ns, line, name) in entries {
            let metadata = [(&name[..], "x")];
            writer
                .push(stream, *t_ns, line.as_bytes(), metadata)
                .unwrap();
        }
        writer.finish().unwrap();
        PartReader::open(dir, name).unwrap()
    }

    fn read(part: &PartReader) -> Entries {
        let mut entries = Vec::new();
        for group in 0..part.groups().len() {
            let read = part.group(group).unwrap().read(&RowFilter::all(), |row| {
                let line = String::from_utf8_lossy(row.line).into_owned();
                entries.push((row.t_ns, line, row.metadata[0].0.to_owned()));
                Ok::<(), PartError>(())
            });
            read.unwrap();
        }
        entries
    }

    fn entries(times: std::ops::Range<i64>, of: &str) -> Entries {
        let entry = |t: i64| (t / 3, format!("{of} {t}"), format!("{of}{t}"));
        times.map(entry).collect()
    }

    #[test]
    fn groups_that_overlap_and_groups_that_follow_each_other_are_merged() {
        let dir: Arc<dyn Dir> = Arc::new(MemoryDir::new("logs"));
        let (first, second) = (entries(0..2500, "a"), entries(1200..3700, "b"));
        let parts = [write(&dir, "a", &first), write(&dir, "b", &second)];
        assert!(parts.iter().all(|part| part.groups().len() == 3));
        let mut writer = PartWriter::create(&dir, "c", Effort::Merge).unwrap();
        let readers: Vec<&PartReader> = parts.iter().collect();
        let pace = &mut || ControlFlow::Continue(());
        merge(&readers, &mut writer, |_, _| true, pace).unwrap();
        writer.finish().unwrap();
        let mut expected = [first, second].concat();
        expected.sort_by_key(|entry| entry.0);
        assert_eq!(read(&PartReader::open(&dir, "c").unwrap()), expected);
    }

    #[test]
    fn a_part_that_is_through_holds_no_entries() {
        let dir: Arc<dyn Dir> = Arc::new(MemoryDir::new("logs"));
        let part = write(&dir, "a", &entries(0..3000, "a"));
        let mut writer = PartWriter::create(&dir, "b", Effort::Merge).unwrap();
        let stream = writer.stream(&part.streams()[0]);
        let mut source = Source::new(&part, vec![stream]);
        let mut most = 0;
        while source.next_ns().is_some() {
            match source.is_open() {
                true => source.move_to(&mut writer).unwrap(),
                false => source.open_next(&mut |_, _| true).unwrap(),
            }
            most = most.max(source.rows.rows.len());
        }
        // One group after the other, and what was left of the one before.
        assert!(most < 1100, "{most}");
        assert_eq!(source.rows.allocated_bytes(), 0);
    }
}
