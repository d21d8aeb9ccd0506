//! The JSON of a push, in one pass over the body.
//!
//! ```text
//! {"streams": [{"stream": {"a": "b"}, "values": [["<ns>", "line", {"k": "v"}], ...]}]}
//! {"streams": [{"labels": "{a=\"b\"}", "entries": [{"ts": "<RFC 3339>", "line": ".."}]}]}
//! ```
//!
//! The second form is the older one. Strings without escapes are borrowed from the body;
//! what the others say is written to one piece of memory as long as the body, which is
//! enough: no escape says more bytes than it has.

use std::borrow::Cow;

use kymo_storage::model::Metadata;

use super::admission::{Admission, StreamId};
use super::error::PushError;
use super::scan::{self, JsonError, Value};
use super::{json_error, labels, metadata};

/// Hands the streams and entries of the JSON in `bytes` to `admission`. `scratch` is at
/// least as long. What stands behind the request is not looked at.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    scratch: &'a mut [u8],
    admission: &mut Admission<'a, '_>,
) -> Result<(), PushError> {
    let mut body = Body {
        bytes,
        at: 0,
        scratch,
    };
    match body.request(admission) {
        Ok(()) => Ok(()),
        Err(Failure::Json(error)) => Err(body.error(error)),
        Err(Failure::Push(error)) => Err(error),
    }
}

enum Failure {
    Json(JsonError),
    Push(PushError),
}

impl From<JsonError> for Failure {
    fn from(error: JsonError) -> Failure {
        Failure::Json(error)
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Failure {
        Failure::Push(error)
    }
}

/// Where entries of a stream are, in which form.
#[derive(Debug, Clone, Copy)]
enum Entries {
    /// `values`, at this place.
    Values(usize),
    /// `entries`, at this place.
    Legacy(usize),
}

struct Body<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What is not used of it yet.
    scratch: &'a mut [u8],
}

impl<'a> Body<'a> {
    #[cold]
    fn error(&self, error: JsonError) -> PushError {
        json_error::explain(self.bytes, self.at, error)
    }

    /// Moves to the next byte that is no blank and returns it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        self.at = scan::token(self.bytes, self.at);
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn expect(&mut self, wanted: u8, error: JsonError) -> Result<(), JsonError> {
        match self.take(wanted) {
            true => Ok(()),
            false => Err(error),
        }
    }

    fn null(&mut self) -> bool {
        self.peek();
        let found = self.bytes[self.at..].starts_with(b"null");
        if found {
            self.at += 4;
        }
        found
    }

    fn skip(&mut self) -> Result<Value<'a>, JsonError> {
        self.peek();
        let (value, end) = scan::value(self.bytes, self.at)?;
        self.at = end;
        Ok(value)
    }

    /// Reads a string.
    #[inline]
    fn string(&mut self) -> Result<&'a [u8], JsonError> {
        self.expect(b'"', JsonError::String)?;
        let start = self.at;
        let stop = scan::quote_or_escape(self.bytes, start);
        if self.bytes.get(stop) == Some(&b'"') {
            self.at = stop + 1;
            return Ok(&self.bytes[start..stop]);
        }
        self.escaped(start, stop)
    }

    /// Reads on a string that began at `start` and has its first escape at `stop`.
    fn escaped(&mut self, start: usize, stop: usize) -> Result<&'a [u8], JsonError> {
        let bytes = self.bytes;
        let (mut from, mut stop, mut len) = (start, stop, 0);
        loop {
            let plain = &bytes[from..stop];
            self.scratch[len..len + plain.len()].copy_from_slice(plain);
            len += plain.len();
            match bytes.get(stop) {
                Some(b'"') => break,
                Some(_) => from = scan::escape(bytes, stop, self.scratch, &mut len)?,
                None => return Err(JsonError::String),
            }
            stop = scan::quote_or_escape(bytes, from);
        }
        self.at = stop + 1;
        let (said, rest) = std::mem::take(&mut self.scratch).split_at_mut(len);
        self.scratch = rest;
        Ok(said)
    }

    /// Reads a key and the colon behind it, `None` at the end of the object.
    #[inline]
    fn key(&mut self, first: bool) -> Result<Option<&'a [u8]>, JsonError> {
        if self.take(b'}') {
            return Ok(None);
        }
        if !first {
            self.expect(b',', JsonError::Object)?;
        }
        let key = self.string().map_err(|_| JsonError::Object)?;
        self.expect(b':', JsonError::Malformed)?;
        Ok(Some(key))
    }

    /// Tells whether there is another element, and moves to it.
    #[inline]
    fn element(&mut self, first: bool) -> Result<bool, JsonError> {
        if self.take(b']') {
            return Ok(false);
        }
        if !first {
            self.expect(b',', JsonError::Array)?;
        }
        Ok(true)
    }

    fn request(&mut self, admission: &mut Admission<'a, '_>) -> Result<(), Failure> {
        if self.null() {
            return Ok(());
        }
        self.expect(b'{', JsonError::Object)?;
        let mut first = true;
        while let Some(key) = self.key(std::mem::take(&mut first))? {
            if !key.eq_ignore_ascii_case(b"streams") {
                self.skip()?;
            } else if !self.null() {
                self.streams(admission)?;
            }
        }
        Ok(())
    }

    fn streams(&mut self, admission: &mut Admission<'a, '_>) -> Result<(), Failure> {
        self.expect(b'[', JsonError::Array)?;
        let mut first = true;
        while self.element(std::mem::take(&mut first))? {
            self.stream(admission)?;
        }
        Ok(())
    }

    fn stream(&mut self, admission: &mut Admission<'a, '_>) -> Result<(), Failure> {
        self.expect(b'{', JsonError::Object)?;
        let mut id = None;
        let mut waiting = None;
        let mut first = true;
        while let Some(key) = self.key(std::mem::take(&mut first))? {
            match key {
                b"stream" => id = Some(self.labels(admission)?),
                b"labels" => {
                    let text = String::from_utf8_lossy(self.string()?);
                    let mut pairs = labels::parse(&text).map_err(PushError::Labels)?;
                    id = Some(admission.stream(&mut pairs, 0)?);
                }
                b"values" | b"entries" => {
                    self.peek();
                    let entries = match key {
                        b"values" => Entries::Values(self.at),
                        _ => Entries::Legacy(self.at),
                    };
                    match id {
                        Some(id) => self.entries(entries, id, admission)?,
                        // Read once it is known whose they are.
                        None => {
                            waiting = Some(entries);
                            self.skip()?;
                        }
                    }
                }
                _ => {
                    self.skip()?;
                }
            }
        }
        let id = match id {
            Some(id) => id,
            None => {
                let mut pairs = labels::parse("").map_err(PushError::Labels)?;
                admission.stream(&mut pairs, 0)?
            }
        };
        if let Some(entries) = waiting {
            let behind = self.at;
            self.entries(entries, id, admission)?;
            self.at = behind;
        }
        Ok(())
    }

    fn labels(&mut self, admission: &mut Admission<'a, '_>) -> Result<StreamId, Failure> {
        self.expect(b'{', JsonError::Object)?;
        let mut pairs = labels::Pairs::new();
        let mut first = true;
        while let Some(key) = self.key(std::mem::take(&mut first))? {
            let value = match self.peek() {
                Some(b'"') => self.string()?,
                _ => match self.skip()? {
                    Value::Number(text) | Value::Object(text) | Value::Array(text) => text,
                    Value::Bool(true) => b"true",
                    Value::Bool(false) => b"false",
                    _ => b"null",
                },
            };
            let (name, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
            // Of several with one name the last one holds, as in a map.
            match pairs.iter_mut().find(|(one, _)| *one == name) {
                Some(pair) => pair.1 = value,
                None => pairs.push((name, value)),
            }
        }
        let mut pairs = labels::named(pairs).map_err(PushError::Labels)?;
        Ok(admission.stream(&mut pairs, 0)?)
    }

    fn entries(
        &mut self,
        entries: Entries,
        id: StreamId,
        admission: &mut Admission<'a, '_>,
    ) -> Result<(), Failure> {
        let (Entries::Values(at) | Entries::Legacy(at)) = entries;
        self.at = at;
        if self.null() {
            return Ok(());
        }
        if !self.take(b'[') {
            return Err(self.no_entries(JsonError::Unknown).into());
        }
        let mut first = true;
        while self.element(std::mem::take(&mut first))? {
            if self.peek() == Some(b'n') && self.null() {
                continue;
            }
            match entries {
                Entries::Values(_) => self.entry(id, admission)?,
                Entries::Legacy(_) => self.legacy_entry(id, admission)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn entry(&mut self, id: StreamId, admission: &mut Admission<'a, '_>) -> Result<(), Failure> {
        if !self.take(b'[') {
            return Err(self.no_entries(JsonError::Scalar).into());
        }
        let (mut t_ns, mut line, mut all) = (0, &[][..], Metadata::new());
        let mut n_read = 0;
        while self.element(n_read == 0)? {
            match n_read {
                // Whatever is wrong with it, it is no number.
                0 => {
                    let text = self.string().map_err(|_| JsonError::Scalar)?;
                    t_ns = scan::integer(text).map_err(|_| JsonError::Scalar)?;
                }
                1 => line = self.string()?,
                2 => all = self.metadata(admission)?,
                _ => {
                    self.skip()?;
                }
            }
            n_read += 1;
        }
        Ok(admission.entry(id, t_ns, Cow::Borrowed(line), all)?)
    }

    /// Returns the reason for something in the place of a list of entries, or of an entry;
    /// `of_object` where it is an object.
    fn no_entries(&mut self, of_object: JsonError) -> JsonError {
        match self.peek() {
            Some(b'{') => of_object,
            Some(b't' | b'f') => JsonError::Unknown,
            _ => JsonError::Malformed,
        }
    }

    fn metadata(&mut self, admission: &mut Admission<'a, '_>) -> Result<Metadata<'a>, Failure> {
        self.expect(b'{', JsonError::Object)?;
        let mut all = Metadata::new();
        let mut first = true;
        while let Some(key) = self.key(std::mem::take(&mut first))? {
            let pair = (metadata::name(key), metadata::value(self.string()?));
            if all.len() == all.inline_size() {
                admission.take_memory(all.len() * 2 * size_of_val(&pair))?;
            }
            all.push(pair);
        }
        Ok(all)
    }

    fn legacy_entry(
        &mut self,
        id: StreamId,
        admission: &mut Admission<'a, '_>,
    ) -> Result<(), Failure> {
        self.expect(b'{', JsonError::Object)?;
        let (mut t_ns, mut line, mut all) = (0, &[][..], Metadata::new());
        let mut first = true;
        while let Some(key) = self.key(std::mem::take(&mut first))? {
            match key {
                b"ts" | b"timestamp" => {
                    let text = String::from_utf8_lossy(self.string()?);
                    t_ns = super::time::rfc3339(&text).ok_or_else(|| {
                        let text = kymo_storage::compat::quote::quote(&text);
                        PushError::Parameter(format!(
                            "parsing time {text}: it is no time of RFC 3339"
                        ))
                    })?;
                }
                b"line" => line = self.string()?,
                b"structuredMetadata" => all = self.metadata(admission)?,
                _ => {
                    self.skip()?;
                }
            }
        }
        Ok(admission.entry(id, t_ns, Cow::Borrowed(line), all)?)
    }
}
