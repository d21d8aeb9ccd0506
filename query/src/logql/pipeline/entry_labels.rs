//! The labels of one entry on its way through a pipeline.
//!
//! Three categories: those of the stream, structured metadata, and what stages have parsed.
//! A name is in one category at a time: parsed wins over metadata, metadata over the stream.
//! Values are any bytes. All memory is reused from entry to entry.
//!
//! Upstream source: `pkg/logql/log/labels.go` of Loki.

use kymo_storage::model::Labels;
use smallvec::SmallVec;

use super::names::{ERROR, ERROR_DETAILS, NameId, Names};
use super::result::LineLabels;
use crate::logql::label_set::LabelSet;
use crate::logql::source::MetadataRef;
use crate::logql::text::text_of;

/// Streams whose labels are kept numbered.
const MAX_STREAMS: usize = 65_536;

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Category {
    Stream,
    Metadata,
    Parsed,
}

/// A label beside those of the stream.
#[derive(Debug, Clone, Copy)]
struct Slot {
    name: NameId,
    category: Category,
    value: (usize, usize),
    alive: bool,
}

/// What is known of a name in the current entry.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// The entry that `slot` is about.
    entry: u32,
    slot: u32,
    /// The entry in which the label was last parsed.
    extracted: u32,
}

/// Labels of a stream, numbered.
#[derive(Debug, Clone)]
struct Base {
    labels: Labels,
    names: Box<[NameId]>,
}

/// The labels of the current entry.
#[derive(Debug, Clone)]
pub(super) struct EntryLabels {
    pub(super) names: Names,
    bases: Vec<Option<Base>>,
    /// The stream of the entry.
    base: usize,
    slots: Vec<Slot>,
    values: Vec<u8>,
    marks: Vec<Mark>,
    /// Counts entries; 0 is none.
    entry: u32,
    deleted: SmallVec<[NameId; 8]>,
    /// How many slots are alive.
    alive: usize,
    error: String,
    details: String,
    /// Counts how often names were forgotten.
    epoch: u32,
}

impl EntryLabels {
    /// Returns labels of no entry.
    pub(super) fn new(names: Names) -> EntryLabels {
        EntryLabels {
            names,
            bases: Vec::new(),
            base: 0,
            slots: Vec::new(),
            values: Vec::new(),
            marks: Vec::new(),
            entry: 0,
            deleted: SmallVec::new(),
            alive: 0,
            error: String::new(),
            details: String::new(),
            epoch: 0,
        }
    }

    /// Begins an entry of a stream, which has a number of the caller's.
    pub(super) fn begin(&mut self, stream: usize, labels: &Labels) {
        if self.names.forget_if_many() {
            self.marks.clear();
            self.bases.clear();
            self.epoch = self.epoch.wrapping_add(1);
        }
        self.slots.clear();
        self.values.clear();
        self.deleted.clear();
        self.alive = 0;
        self.error.clear();
        self.details.clear();
        self.entry = self.entry.wrapping_add(1);
        if self.entry == 0 {
            self.marks.clear();
            self.entry = 1;
        }
        self.base = stream % MAX_STREAMS;
        if self.bases.len() <= self.base {
            self.bases.resize(self.base + 1, None);
        }
        let known = self.bases[self.base].as_ref();
        if known.is_none_or(|base| base.labels != *labels) {
            let names = labels.iter().map(|(name, _)| self.names.id(name)).collect();
            self.bases[self.base] = Some(Base {
                labels: labels.clone(),
                names,
            });
        }
    }

    /// Adds the structured metadata of the entry.
    pub(super) fn add_metadata(&mut self, metadata: MetadataRef<'_>) {
        for (name, value) in metadata.iter() {
            let mut id = self.names.id(name);
            if self.stream_has(id) {
                id = self.names.extracted(id);
            }
            match id {
                ERROR => value.clone_into(&mut self.error),
                ERROR_DETAILS => value.clone_into(&mut self.details),
                _ => self.set(Category::Metadata, id, value.as_bytes()),
            }
        }
    }

    /// Returns how often names were forgotten: numbers of before mean nothing any more.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    fn base(&self) -> Option<&Base> {
        self.bases.get(self.base)?.as_ref()
    }

    /// Tells whether the stream of the entry has a label, whatever stages did to it.
    #[inline]
    pub(super) fn stream_has(&self, name: NameId) -> bool {
        self.base().is_some_and(|base| base.names.contains(&name))
    }

    /// Tells whether a label that is parsed has to be called otherwise.
    #[inline]
    pub(super) fn clashes(&self, name: NameId) -> bool {
        self.stream_has(name)
            || self
                .slot(name)
                .is_some_and(|slot| slot.category == Category::Metadata)
    }

    #[inline]
    fn slot(&self, name: NameId) -> Option<&Slot> {
        let mark = self.marks.get(name as usize)?;
        let slot = self.slots.get(mark.slot as usize)?;
        (mark.entry == self.entry && slot.alive).then_some(slot)
    }

    fn mark(&mut self, name: NameId) -> &mut Mark {
        let at = name as usize;
        if self.marks.len() <= at {
            let len = self.names.len().max(at + 1);
            self.marks.resize(len, Mark::default());
        }
        &mut self.marks[at]
    }

    /// Returns a label. Errors are no labels here.
    #[inline]
    pub(super) fn get(&self, name: NameId) -> Option<&[u8]> {
        if let Some(slot) = self.slot(name) {
            return Some(&self.values[slot.value.0..slot.value.1]);
        }
        if self.deleted.contains(&name) {
            return None;
        }
        self.stream_value(name)
    }

    fn stream_value(&self, name: NameId) -> Option<&[u8]> {
        let base = self.base()?;
        let at = base.names.iter().position(|id| *id == name)?;
        base.labels
            .iter()
            .nth(at)
            .map(|(_, value)| value.as_bytes())
    }

    /// Returns what a condition on a label sees, which is nothing for details of errors.
    pub(super) fn condition_value(&self, name: NameId) -> &[u8] {
        match name {
            ERROR => self.error.as_bytes(),
            _ => self.get(name).unwrap_or_default(),
        }
    }

    /// Sets a label of metadata or a parsed one.
    pub(super) fn set(&mut self, category: Category, name: NameId, value: &[u8]) {
        let start = self.values.len();
        self.values.extend_from_slice(value);
        let value = (start, self.values.len());
        if let Some(slot) = self.slot(name) {
            let (before, at) = (slot.category, self.marks[name as usize].slot as usize);
            if before == category {
                self.slots[at].value = value;
                return;
            }
            if before == Category::Parsed {
                return;
            }
            self.kill(at);
        }
        let (entry, slot) = (self.entry, self.slots.len() as u32);
        self.slots.push(Slot {
            name,
            category,
            value,
            alive: true,
        });
        self.alive += 1;
        let mark = self.mark(name);
        (mark.entry, mark.slot) = (entry, slot);
        if category == Category::Parsed {
            mark.extracted = entry;
        }
    }

    /// Sets a parsed label.
    #[inline]
    pub(super) fn set_parsed(&mut self, name: NameId, value: &[u8]) {
        self.set(Category::Parsed, name, value);
    }

    fn kill(&mut self, slot: usize) {
        self.slots[slot].alive = false;
        self.alive -= 1;
    }

    /// Removes a label of any category.
    pub(super) fn delete(&mut self, name: NameId) {
        if self.slot(name).is_some() {
            self.kill(self.marks[name as usize].slot as usize);
        }
        self.deleted.push(name);
    }

    /// Tells whether a stage has parsed this label, also where it is gone again.
    #[inline]
    pub(super) fn is_extracted(&self, name: NameId) -> bool {
        self.marks
            .get(name as usize)
            .is_some_and(|mark| mark.extracted == self.entry)
    }

    /// Returns the kind of the error, empty where there is none.
    pub(super) fn error(&self) -> &str {
        &self.error
    }

    /// Returns what the error says.
    pub(super) fn details(&self) -> &str {
        &self.details
    }

    /// Sets the kind of the error, and what it says where that is known.
    pub(super) fn set_error(&mut self, kind: &str, details: Option<&str>) {
        kind.clone_into(&mut self.error);
        if let Some(details) = details {
            details.clone_into(&mut self.details);
        }
    }

    /// Forgets the kind of the error.
    pub(super) fn clear_error(&mut self) {
        self.error.clear();
    }

    /// Forgets what the error says.
    pub(super) fn clear_details(&mut self) {
        self.details.clear();
    }

    /// Tells whether the entry has the labels of its stream and no others.
    pub(super) fn is_unchanged(&self) -> bool {
        self.alive == 0 && self.deleted.is_empty()
    }

    /// Returns the labels, errors left out, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NameId, Category, &[u8])> {
        let base = self.base();
        let of_stream = base.into_iter().flat_map(|base| {
            let values = base.labels.iter().map(|(_, value)| value.as_bytes());
            base.names.iter().copied().zip(values)
        });
        let of_stream = of_stream
            .filter(|(name, _)| !self.deleted.contains(name) && self.slot(*name).is_none())
            .map(|(name, value)| (name, Category::Stream, value));
        let others = self.slots.iter().filter(|slot| slot.alive).map(|slot| {
            let value = &self.values[slot.value.0..slot.value.1];
            (slot.name, slot.category, value)
        });
        of_stream.chain(others)
    }

    /// Returns the error and its details, as labels of the entry.
    pub(super) fn errors(&self) -> impl Iterator<Item = (NameId, &[u8])> {
        let errors = [(ERROR, &self.error), (ERROR_DETAILS, &self.details)];
        // Details without an error are seen beside other changes only.
        let shown = !(self.error.is_empty() && self.is_unchanged());
        errors
            .into_iter()
            .filter(move |(_, text)| shown && !text.is_empty())
            .map(|(name, text)| (name, text.as_bytes()))
    }

    /// Tells whether a label was removed.
    pub(super) fn is_deleted(&self, name: NameId) -> bool {
        self.deleted.contains(&name)
    }

    /// Returns the labels of the entry for an answer.
    pub(super) fn to_line_labels(&self) -> LineLabels {
        let set = |wanted: Category| {
            let labels = self.iter().filter(|(_, category, _)| *category == wanted);
            let mut labels: Vec<(NameId, &[u8])> = labels.map(|(n, _, v)| (n, v)).collect();
            if wanted == Category::Parsed {
                labels.extend(self.errors());
            }
            self.to_set(&labels)
        };
        LineLabels {
            stream: match self.is_unchanged() {
                true => self
                    .base()
                    .map(|base| (&base.labels).into())
                    .unwrap_or_default(),
                false => set(Category::Stream),
            },
            metadata: set(Category::Metadata),
            parsed: set(Category::Parsed),
        }
    }

    /// Returns numbered labels for an answer. Bytes that are not UTF-8 are replaced.
    pub(super) fn to_set(&self, labels: &[(NameId, &[u8])]) -> LabelSet {
        let texts: Vec<_> = labels
            .iter()
            .map(|(name, value)| (self.names.text(*name), text_of(value)))
            .collect();
        LabelSet::from_pairs(texts.iter().map(|(name, value)| (*name, value.as_ref())))
    }
}
