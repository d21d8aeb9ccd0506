//! The log store as a source of log queries.

use kymo_storage::StorageError;
use kymo_storage::logs::{EntryGroup, EntryHead, LogStore, SelectOptions, Selection};
use kymo_storage::model::Labels;

use super::columnar::ColumnGroup;
use super::source::{EntryBatch, LineNeedles, LogGroup, LogSelection, LogSet, LogSource};
use crate::source::SourceError;

impl LogSource for LogStore {
    fn select(&self, selection: &LogSelection<'_>) -> Result<Box<dyn LogSet>, SourceError> {
        let needles = selection.needles.iter();
        let needles = needles.map(LineNeedles::searches);
        let options = SelectOptions {
            needles: needles.collect(),
            lines: selection.lines,
            metadata: selection.metadata,
        };
        let selected = self.select_with(selection.matchers, selection.range, options);
        let selected = selected.map_err(|error| source_error(&error))?;
        Ok(Box::new(StoreSet {
            groups: selected.groups().iter().map(group).collect(),
            selected,
            lines: selection.lines,
            metadata: selection.metadata,
        }))
    }
}

/// A selection of a store, as a query wants it.
struct StoreSet {
    selected: Selection,
    groups: Vec<LogGroup>,
    lines: bool,
    metadata: bool,
}

fn group(group: &EntryGroup) -> LogGroup {
    LogGroup {
        first_ns: group.first_ns,
        last_ns: group.last_ns,
        entries: group.entries,
        line_bytes: group.line_bytes,
    }
}

impl LogSet for StoreSet {
    fn streams(&self) -> &[Labels] {
        self.selected.streams()
    }

    fn groups(&self) -> &[LogGroup] {
        &self.groups
    }

    fn read(&self, index: usize, into: &mut EntryBatch) -> Result<(), SourceError> {
        into.clear();
        let (lines, metadata) = (self.lines, self.metadata);
        let read = self.selected.read(index, &mut |entry| {
            let line = if lines { entry.line } else { &[] };
            let pairs = if metadata { entry.metadata } else { &[] };
            into.push(entry.stream, entry.t_ns, line, pairs.iter().copied());
        });
        read.map_err(|error: StorageError| source_error(&error))
    }

    fn columns(&self, index: usize) -> Option<ColumnGroup<'_>> {
        let group = self.selected.part_group(index)?;
        Some(ColumnGroup {
            part: group.part,
            group: group.group,
            streams: group.streams,
            range: group.range,
        })
    }

    fn heads(&self, index: usize, each: &mut dyn FnMut(EntryHead<'_>)) -> bool {
        self.selected.heads(index, each)
    }

    fn memory_bytes(&self) -> usize {
        self.selected.memory_bytes() + self.groups.capacity() * size_of::<LogGroup>()
    }
}

fn source_error(error: &dyn std::error::Error) -> SourceError {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    SourceError { message }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use kymo_storage::logs::LogStoreOptions;
    use kymo_storage::model::{LogEntry, NanoRange, StreamBatch};

    use super::*;
    use crate::logql::LineNeedle;

    #[test]
    fn a_store_is_read_as_a_source_of_entries() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = LogStore::open(&LogStoreOptions::new(dir.path())).unwrap();
        let labels = Labels::from_pairs([("app", "a")]);
        let entry = |t_ns, line: &'static str| LogEntry {
            t_ns,
            line: line.as_bytes().into(),
            metadata: [("k".into(), "v".into())].into_iter().collect(),
        };
        let batch = StreamBatch {
            labels: labels.clone(),
            entries: vec![entry(2, "two"), entry(1, "one"), entry(9, "nine")],
        };
        store.push(&[batch]).unwrap();
        let range = NanoRange {
            start_ns: 0,
            end_ns: 9,
        };
        let source: &dyn LogSource = &store;
        let set = source.select(&LogSelection::new(&[], range)).unwrap();
        assert_eq!(set.streams(), [labels]);
        let mut batch = EntryBatch::default();
        set.read(0, &mut batch).unwrap();
        let lines: Vec<_> = batch.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [b"one", b"two"]);
        assert_eq!(batch.entry(0).metadata.get("k"), Some("v"));
        let without = LogSelection {
            lines: false,
            metadata: false,
            ..LogSelection::new(&[], range)
        };
        let set = source.select(&without).unwrap();
        set.read(0, &mut batch).unwrap();
        assert!(batch.entry(0).line.is_empty() && batch.entry(0).metadata.is_empty());
        // The same from a part, and only what has one of the texts.
        store.flush(&mut || ControlFlow::Continue(())).unwrap();
        let any_of = ["tw", "absent"].map(|text| LineNeedle::exact(text.as_bytes()));
        let needles = [LineNeedles {
            any_of: any_of.to_vec(),
        }];
        let selection = LogSelection {
            needles: &needles,
            ..LogSelection::new(&[], range)
        };
        let set = source.select(&selection).unwrap();
        set.read(0, &mut batch).unwrap();
        let lines: Vec<_> = batch.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [b"two"]);
    }
}
