//! Logs that OpenTelemetry pushes, walked in their own bytes, as Loki translates them.
//!
//! Some attributes of a resource are the labels of its stream; all else is structured
//! metadata of each entry, under names that labels may have, those of maps within maps with
//! an underscore in between. The body is the line.
//!
//! Texts that are not in the body as they are stored, names above all, are written to one
//! piece of memory once per resource, scope or record, and shared by all its entries.

pub(crate) mod schema;
pub(crate) mod settings;

use std::borrow::Cow;

use hashbrown::HashMap;
use kymo_storage::model::Metadata;

use self::settings::{AttributeAction, LogAttributes, action};
use super::attributes::{self, Attribute, MAX_ATTRIBUTES};
use super::error::DecodeError;
use super::names::sanitized_label_name;
use super::schema::pass;
use super::view::{fixed, id, messages, text_field, varint};
use crate::loki::{Admission, Pairs, PushError, StreamId};
use crate::wire::{BYTES, FIXED32, Reader, VARINT};

/// A name and a value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Hands the records of an encoded request to `admission`. Texts are written to `scratch`
/// as far as it goes.
pub(crate) fn read<'a>(
    bytes: &'a [u8],
    scratch: &'a mut [u8],
    settings: &LogAttributes,
    admission: &mut Admission<'a, '_>,
) -> Result<(), PushError> {
    let mut walk = Walk {
        settings,
        scratch,
        streams: HashMap::new(),
        key: Vec::new(),
    };
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag("ExportLogsServiceRequest")? {
        match tag.field {
            1 => {
                tag.expect(BYTES, "ResourceLogs")?;
                walk.resource(reader.bytes()?, admission)?;
            }
            _ => pass(&mut reader, tag, &schema::REQUEST)?,
        }
    }
    Ok(())
}

struct Walk<'a, 's> {
    settings: &'s LogAttributes,
    /// What is not used of it yet.
    scratch: &'a mut [u8],
    /// Streams of which records have labels of their own, by all their labels.
    streams: HashMap<Vec<u8>, StreamId>,
    key: Vec<u8>,
}

/// What all records of a resource have.
#[derive(Default)]
struct Resource<'a> {
    labels: Vec<Pair<'a>>,
    metadata: Vec<Pair<'a>>,
}

/// Attributes sorted by what becomes of them.
struct Sorted<'l, 'a> {
    labels: &'l mut Vec<Pair<'a>>,
    metadata: &'l mut Vec<Pair<'a>>,
}

impl<'a> Walk<'a, '_> {
    fn resource(
        &mut self,
        bytes: &'a [u8],
        admission: &mut Admission<'a, '_>,
    ) -> Result<(), PushError> {
        let mut resource = Resource::default();
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("ResourceLogs")? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Resource")?;
                    self.attributes_of_resource(reader.bytes()?, &mut resource)?;
                }
                2 => reader.skip(tag)?,
                _ => pass(&mut reader, tag, &schema::RESOURCE_LOGS)?,
            }
        }
        let mut labels: Pairs<'_> = resource.labels.clone();
        unique(&mut labels);
        let stream = admission.stream(&mut labels, 0)?;
        for scope in messages(bytes, "ResourceLogs", 2, "ScopeLogs") {
            self.scope(scope?, &resource, stream, admission)?;
        }
        Ok(())
    }

    fn attributes_of_resource(
        &mut self,
        bytes: &'a [u8],
        resource: &mut Resource<'a>,
    ) -> Result<(), PushError> {
        for one in messages(bytes, "Resource", 1, "Attributes") {
            let attribute = Attribute::read(one?)?;
            let action = action(&self.settings.resource, attribute.key);
            let mut sorted = Sorted {
                labels: &mut resource.labels,
                metadata: &mut resource.metadata,
            };
            self.sort(attribute, "", action, 0, &mut sorted)?;
        }
        super::schema::check(bytes, &super::schema::RESOURCE)?;
        Ok(())
    }

    fn scope(
        &mut self,
        bytes: &'a [u8],
        resource: &Resource<'a>,
        stream: StreamId,
        admission: &mut Admission<'a, '_>,
    ) -> Result<(), PushError> {
        // Metadata of the resource and of the scope, which each entry has.
        let mut shared = resource.metadata.clone();
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("ScopeLogs")? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Scope")?;
                    self.attributes_of_scope(reader.bytes()?, &mut shared)?;
                }
                2 => reader.skip(tag)?,
                _ => pass(&mut reader, tag, &schema::SCOPE_LOGS)?,
            }
        }
        for record in messages(bytes, "ScopeLogs", 2, "LogRecords") {
            self.record(record?, resource, &shared, stream, admission)?;
        }
        Ok(())
    }

    fn attributes_of_scope(
        &mut self,
        bytes: &'a [u8],
        shared: &mut Vec<Pair<'a>>,
    ) -> Result<(), PushError> {
        let (mut name, mut version, mut n_dropped) = ("", "", 0);
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("InstrumentationScope")? {
            match tag.field {
                1 => name = text_field(&mut reader, tag, "Name")?,
                2 => version = text_field(&mut reader, tag, "Version")?,
                3 => {
                    tag.expect(BYTES, "Attributes")?;
                    let attribute = Attribute::read(reader.bytes()?)?;
                    let action = match action(&self.settings.scope, attribute.key) {
                        // There are no labels of scopes.
                        AttributeAction::IndexLabel => AttributeAction::Drop,
                        action => action,
                    };
                    let mut sorted = Sorted {
                        labels: &mut Vec::new(),
                        metadata: shared,
                    };
                    self.sort(attribute, "", action, 0, &mut sorted)?;
                }
                4 => n_dropped = varint(&mut reader, tag, "DroppedAttributesCount")? as u32,
                _ => pass(&mut reader, tag, &super::schema::SCOPE)?,
            }
        }
        let texts = [("scope_name", name), ("scope_version", version)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        shared.extend(texts.map(|(name, text)| (name.into(), text.into())));
        if n_dropped > 0 {
            let count = self.keep(n_dropped.to_string());
            shared.push(("scope_dropped_attributes_count".into(), count));
        }
        Ok(())
    }

    fn record(
        &mut self,
        bytes: &'a [u8],
        resource: &Resource<'a>,
        shared: &[Pair<'a>],
        stream: StreamId,
        admission: &mut Admission<'a, '_>,
    ) -> Result<(), PushError> {
        let record = Record::read(bytes)?;
        let (mut labels, mut metadata) = (Vec::new(), Vec::new());
        for one in messages(bytes, "LogRecord", 6, "Attributes") {
            let attribute = Attribute::read(one?)?;
            // The field of this name goes before an attribute.
            if attribute.key == EVENT_NAME && !record.event_name.is_empty() {
                continue;
            }
            let action = action(&self.settings.log, attribute.key);
            let mut sorted = Sorted {
                labels: &mut labels,
                metadata: &mut metadata,
            };
            self.sort(attribute, "", action, 0, &mut sorted)?;
        }
        self.fields_of_record(&record, &mut metadata);
        if self.settings.severity_text_as_label && !record.severity_text.is_empty() {
            labels.push((SEVERITY_TEXT.into(), record.severity_text.into()));
        }
        let t_ns = match (record.t_ns, record.observed_ns) {
            (0, 0) => admission.now_ns(),
            (0, observed_ns) => observed_ns.cast_signed(),
            (t_ns, _) => t_ns.cast_signed(),
        };
        let stream = match labels.is_empty() {
            true => stream,
            false => self.stream(resource, labels, admission)?,
        };
        let n_pairs = metadata.len() + shared.len();
        let mut all = Metadata::new();
        if n_pairs > all.inline_size() {
            admission.take_memory(n_pairs * size_of::<Pair<'_>>())?;
            all.reserve_exact(n_pairs + 1);
        }
        all.extend(metadata);
        all.extend(shared.iter().cloned());
        admission.entry(stream, t_ns, record.line, all)
    }

    fn fields_of_record(&mut self, record: &Record<'a>, metadata: &mut Vec<Pair<'a>>) {
        let numbers = [
            (
                "observed_timestamp",
                record.observed_ns.cast_signed(),
                record.t_ns != 0,
            ),
            ("severity_number", record.severity_number, true),
            (
                "dropped_attributes_count",
                i64::from(record.n_dropped),
                true,
            ),
            ("flags", i64::from(record.flags), true),
        ];
        for (name, number, told) in numbers {
            if told && number != 0 {
                metadata.push((name.into(), self.keep(number.to_string())));
            }
        }
        for (name, id) in [("trace_id", record.trace_id), ("span_id", record.span_id)] {
            if !id.is_empty() {
                metadata.push((name.into(), self.keep(hex(id))));
            }
        }
        let texts = [
            (SEVERITY_TEXT, record.severity_text),
            (EVENT_NAME, record.event_name),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        metadata.extend(texts.map(|(name, text)| (name.into(), text.into())));
    }

    /// Returns the stream of a record that has labels of its own.
    fn stream(
        &mut self,
        resource: &Resource<'a>,
        labels: Vec<Pair<'a>>,
        admission: &mut Admission<'a, '_>,
    ) -> Result<StreamId, PushError> {
        let mut all: Pairs<'_> = resource.labels.iter().cloned().chain(labels).collect();
        unique(&mut all);
        self.key.clear();
        for text in all.iter().flat_map(|(name, value)| [name, value]) {
            self.key
                .extend_from_slice(&(text.len() as u64).to_le_bytes());
            self.key.extend_from_slice(text.as_bytes());
        }
        if let Some(id) = self.streams.get(&self.key) {
            return Ok(*id);
        }
        admission.take_memory(2 * self.key.len() + size_of::<(Vec<u8>, StreamId)>())?;
        let id = admission.stream(&mut all, 0)?;
        self.streams.insert(self.key.clone(), id);
        Ok(id)
    }

    /// Puts an attribute where it belongs, a map field by field.
    fn sort(
        &mut self,
        attribute: Attribute<'a>,
        prefix: &str,
        action: AttributeAction,
        depth: usize,
        sorted: &mut Sorted<'_, 'a>,
    ) -> Result<(), PushError> {
        if action == AttributeAction::Drop {
            return Ok(());
        }
        if sorted.labels.len() + sorted.metadata.len() >= MAX_ATTRIBUTES {
            let (what, limit) = ("attributes", MAX_ATTRIBUTES);
            return Err(DecodeError::TooMany { what, limit }.into());
        }
        if depth >= super::schema::MAX_DEPTH {
            return Err(DecodeError::TooDeep.into());
        }
        let name = match prefix {
            "" => sanitized_label_name(attribute.key),
            _ => sanitized_label_name(&format!("{prefix}_{}", attribute.key)),
        };
        let name = name.map_err(PushError::Parameter)?;
        if let Some(entries) = attribute.entries() {
            for one in entries {
                self.sort(Attribute::read(one?)?, &name, action, depth + 1, sorted)?;
            }
            return Ok(());
        }
        let value = match attribute.value_text()? {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => self.keep(text),
        };
        let name = match name == attribute.key {
            true => attribute.key.into(),
            false => self.keep(name),
        };
        match action {
            AttributeAction::IndexLabel => sorted.labels.push((name, value)),
            _ => sorted.metadata.push((name, value)),
        }
        Ok(())
    }

    /// Writes a text to the scratch, where it fits, so that copies of it cost nothing.
    fn keep(&mut self, text: String) -> Cow<'a, str> {
        if text.len() > self.scratch.len() {
            return text.into();
        }
        let (kept, rest) = std::mem::take(&mut self.scratch).split_at_mut(text.len());
        self.scratch = rest;
        kept.copy_from_slice(text.as_bytes());
        match std::str::from_utf8(kept) {
            Ok(kept) => kept.into(),
            Err(_) => text.into(),
        }
    }
}

const EVENT_NAME: &str = "event_name";
const SEVERITY_TEXT: &str = "severity_text";

/// Of several labels with one name the last one holds.
fn unique(labels: &mut Pairs<'_>) {
    labels.reverse();
    let mut at = 0;
    while at < labels.len() {
        let (before, rest) = labels.split_at(at);
        match before.iter().any(|(name, _)| *name == rest[0].0) {
            true => {
                labels.remove(at);
            }
            false => at += 1,
        }
    }
}

/// A record without its attributes.
#[derive(Default)]
struct Record<'a> {
    t_ns: u64,
    observed_ns: u64,
    severity_number: i64,
    severity_text: &'a str,
    line: Cow<'a, [u8]>,
    n_dropped: u32,
    flags: u32,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    event_name: &'a str,
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Result<Record<'a>, DecodeError> {
        let mut record = Record::default();
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("LogRecord")? {
            match tag.field {
                1 => record.t_ns = fixed(&mut reader, tag, "TimeUnixNano")?,
                2 => {
                    tag.expect(VARINT, "SeverityNumber")?;
                    record.severity_number = i64::from((reader.varint()? as u32).cast_signed());
                }
                3 => record.severity_text = text_field(&mut reader, tag, "SeverityText")?,
                5 => {
                    tag.expect(BYTES, "Body")?;
                    record.line = match attributes::text_of_value(reader.bytes()?)? {
                        Cow::Borrowed(text) => text.as_bytes().into(),
                        Cow::Owned(text) => text.into_bytes().into(),
                    };
                }
                6 => {
                    tag.expect(BYTES, "Attributes")?;
                    reader.bytes()?;
                }
                7 => record.n_dropped = varint(&mut reader, tag, "DroppedAttributesCount")? as u32,
                8 => {
                    tag.expect(FIXED32, "Flags")?;
                    record.flags = reader.fixed32()?;
                }
                9 => record.trace_id = id(&mut reader, tag, "TraceId", 16)?,
                10 => record.span_id = id(&mut reader, tag, "SpanId", 8)?,
                11 => record.observed_ns = fixed(&mut reader, tag, "ObservedTimeUnixNano")?,
                12 => record.event_name = text_field(&mut reader, tag, "EventName")?,
                _ => pass(&mut reader, tag, &schema::LOG_RECORD)?,
            }
        }
        Ok(record)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests;
