//! JSON lines: one object a line, of any shape.
//!
//! Parameters say which fields make the stream, which is the message and which the time.
//! Where there is a message it is the line, and all other fields are structured metadata,
//! those of objects within objects with the names in between (`a_b`). Where there is none
//! the object is the line, byte for byte as it came.
//!
//! The names of the parameters are those of VictoriaLogs.

use std::borrow::Cow;

use hashbrown::HashMap;
use kymo_storage::model::Metadata;

use super::admission::{Admission, StreamId};
use super::error::PushError;
use super::labels::Pairs;
use super::scan::{self, JsonError, Value};
use super::{labels, metadata, time};
use crate::otlp::sanitized_label_name;

/// Which fields mean what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFields {
    /// Fields that make the stream; their names become those of labels.
    pub stream: Vec<String>,
    /// Fields that are the message, of which the first that there is counts.
    pub message: Vec<String>,
    /// Fields that are the time, of which the first that there is counts. Without one it is
    /// now.
    pub time: Vec<String>,
    /// Fields that are left out.
    pub ignore: Vec<String>,
}

impl Default for LineFields {
    fn default() -> LineFields {
        LineFields {
            stream: Vec::new(),
            message: vec!["_msg".to_owned()],
            time: vec!["_time".to_owned()],
            ignore: Vec::new(),
        }
    }
}

impl LineFields {
    /// Names of the parameters, in the order of the fields.
    pub const PARAMETERS: [&'static str; 4] = [
        "_stream_fields",
        "_msg_field",
        "_time_field",
        "ignore_fields",
    ];

    /// Sets what a parameter says: names with commas between them. Returns whether there is
    /// such a parameter.
    pub fn set(&mut self, parameter: &str, names: &str) -> bool {
        let Some(place) = LineFields::PARAMETERS
            .iter()
            .position(|one| *one == parameter)
        else {
            return false;
        };
        let names = names.split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        let fields = [
            &mut self.stream,
            &mut self.message,
            &mut self.time,
            &mut self.ignore,
        ];
        if let Some(field) = fields.into_iter().nth(place) {
            *field = names.collect();
        }
        true
    }
}

/// How deep objects are taken apart; what lies deeper stays JSON.
const MAX_DEPTH: usize = 8;

/// Hands the objects in `bytes` to `admission`, one a line. `scratch` is at least as long.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    scratch: &'a mut [u8],
    fields: &LineFields,
    admission: &mut Admission<'a, '_>,
) -> Result<(), PushError> {
    let mut label_names = Vec::with_capacity(fields.stream.len());
    for field in &fields.stream {
        label_names.push(sanitized_label_name(field).map_err(PushError::Parameter)?);
    }
    let mut reader = LineReader {
        fields,
        label_names,
        scratch,
        streams: HashMap::new(),
        stream_values: Vec::new(),
        key: Vec::new(),
    };
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match reader.line(line, admission) {
            Ok(()) => {}
            Err(LineError::Push(error)) => return Err(error),
            Err(LineError::Text(text)) => {
                let line = number + 1;
                return Err(PushError::Line { line, text });
            }
        }
    }
    Ok(())
}

enum LineError {
    Push(PushError),
    Text(String),
}

impl From<JsonError> for LineError {
    fn from(error: JsonError) -> LineError {
        LineError::Text(error.to_string())
    }
}

impl From<PushError> for LineError {
    fn from(error: PushError) -> LineError {
        LineError::Push(error)
    }
}

struct LineReader<'a, 'f> {
    fields: &'f LineFields,
    /// Names that the fields of the stream have as labels.
    label_names: Vec<String>,
    scratch: &'a mut [u8],
    streams: HashMap<Vec<u8>, StreamId>,
    /// Values of the fields of the stream of this line.
    stream_values: Vec<Cow<'a, str>>,
    /// They, as a key of `streams`.
    key: Vec<u8>,
}

/// What a line says.
#[derive(Default)]
struct Found<'a> {
    t_ns: Option<(usize, i64)>,
    message: Option<(usize, &'a [u8])>,
    metadata: Metadata<'a>,
}

impl<'a> LineReader<'a, '_> {
    fn line(&mut self, line: &'a [u8], admission: &mut Admission<'a, '_>) -> Result<(), LineError> {
        self.stream_values.clear();
        let n_labels = self.label_names.len();
        self.stream_values.resize(n_labels, Cow::Borrowed(""));
        let mut found = Found::default();
        self.object(line, "", 0, &mut found, admission)?;
        let id = self.stream(admission)?;
        let t_ns = found.t_ns.map_or(admission.now_ns(), |(_, t_ns)| t_ns);
        let (text, metadata) = match found.message {
            Some((_, message)) => (message, found.metadata),
            None => (line, Metadata::new()),
        };
        Ok(admission.entry(id, t_ns, Cow::Borrowed(text), metadata)?)
    }

    /// Reads the fields of an object whose own name, and a dot, is `prefix`.
    fn object(
        &mut self,
        object: &'a [u8],
        prefix: &str,
        depth: usize,
        found: &mut Found<'a>,
        admission: &mut Admission<'a, '_>,
    ) -> Result<(), LineError> {
        let mut failure = None;
        scan::fields(object, |key, escapes, value| {
            let read = self.field(key, escapes, value, prefix, depth, found, admission);
            if let Err(error) = read {
                failure = Some(error);
            }
            Ok(failure.is_none())
        })?;
        failure.map_or(Ok(()), Err)
    }

    #[expect(clippy::too_many_arguments, reason = "a walk with its state")]
    fn field(
        &mut self,
        key: &'a [u8],
        escapes: bool,
        value: Value<'a>,
        prefix: &str,
        depth: usize,
        found: &mut Found<'a>,
        admission: &mut Admission<'a, '_>,
    ) -> Result<(), LineError> {
        let key = metadata::name(self.text(key, escapes)?);
        let name: Cow<'a, str> = match prefix {
            "" => key,
            _ => format!("{prefix}{key}").into(),
        };
        let place = |names: &[String]| names.iter().position(|one| *one == name);
        if place(&self.fields.ignore).is_some() {
            return Ok(());
        }
        let text = match value {
            Value::Null => return Ok(()),
            Value::String(raw, escapes) => self.text(raw, escapes)?,
            Value::Number(text) | Value::Array(text) => text,
            Value::Bool(true) => b"true",
            Value::Bool(false) => b"false",
            Value::Object(inner) if depth < MAX_DEPTH => {
                let prefix = format!("{name}.");
                return self.object(inner, &prefix, depth + 1, found, admission);
            }
            Value::Object(inner) => inner,
        };
        if let Some(place) = place(&self.fields.time) {
            if found.t_ns.is_none_or(|(before, _)| place < before) && !text.is_empty() {
                found.t_ns = read_time(text, admission.now_ns())?.map(|t_ns| (place, t_ns));
            }
        } else if let Some(place) = place(&self.fields.message) {
            if found.message.is_none_or(|(before, _)| place < before) {
                found.message = Some((place, text));
            }
        } else if let Some(place) = place(&self.fields.stream) {
            self.stream_values[place] = String::from_utf8_lossy(text);
        } else {
            let pair = (name, metadata::value(text));
            if found.metadata.len() == found.metadata.inline_size() {
                admission.take_memory(found.metadata.len() * 2 * size_of_val(&pair))?;
            }
            found.metadata.push(pair);
        }
        Ok(())
    }

    /// Returns what a string says.
    fn text(&mut self, raw: &'a [u8], escapes: bool) -> Result<&'a [u8], JsonError> {
        if !escapes {
            return Ok(raw);
        }
        let len = scan::unescape(raw, self.scratch)?;
        let (said, rest) = std::mem::take(&mut self.scratch).split_at_mut(len);
        self.scratch = rest;
        Ok(said)
    }

    /// Returns the stream of this line, and opens it where it is new.
    fn stream(&mut self, admission: &mut Admission<'a, '_>) -> Result<StreamId, PushError> {
        self.key.clear();
        for value in &self.stream_values {
            self.key
                .extend_from_slice(&(value.len() as u64).to_le_bytes());
            self.key.extend_from_slice(value.as_bytes());
        }
        if let Some(id) = self.streams.get(&self.key) {
            return Ok(*id);
        }
        admission.take_memory(2 * self.key.len() + size_of::<(Vec<u8>, StreamId)>())?;
        let names = self
            .label_names
            .iter()
            .map(|name| Cow::Borrowed(name.as_str()));
        let pairs: Pairs<'_> = names.zip(self.stream_values.iter().cloned()).collect();
        let mut pairs = labels::named(pairs).map_err(PushError::Labels)?;
        let id = admission.stream(&mut pairs, 0)?;
        self.streams.insert(self.key.clone(), id);
        Ok(id)
    }
}

/// Returns a time; one that is zero is none.
fn read_time(text: &[u8], now_ns: i64) -> Result<Option<i64>, LineError> {
    let text = String::from_utf8_lossy(text);
    match time::since_epoch(&text).or_else(|| time::rfc3339(&text)) {
        Some(0) => Ok(Some(now_ns)),
        Some(t_ns) => Ok(Some(t_ns)),
        None => Err(LineError::Text(format!(
            "the time {} is neither of RFC 3339 nor a number since the epoch",
            kymo_storage::compat::quote::quote(&text)
        ))),
    }
}
