//! The request of a remote reader: queries, and how it wants them answered.

use kymo_ingest::wire::{Reader, WireError};
use kymo_storage::model::{Labels, MatchOp, Matcher, TimeRange};

/// Most bytes of a request, packed and unpacked; Prometheus' limit.
pub(super) const MAX_REQUEST_BYTES: usize = 32 << 20;

/// Why a request is wrong; the texts are Prometheus'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    /// The body is not snappy.
    #[error("snappy: corrupt input")]
    Snappy,
    /// The body unpacks to too much.
    #[error("snappy: decoded length {0} exceeds limit {MAX_REQUEST_BYTES}")]
    TooLarge(usize),
    /// What was unpacked is no request.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// The reader takes no answer that can be given.
    #[error(
        "server does not support any of the requested response types: [{0}]; supported: \
         map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]"
    )]
    ResponseTypes(String),
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseType {
    /// All samples in one message.
    Samples,
    /// Encoded chunks, a few in each message.
    Chunks,
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReadRequest {
    pub(super) queries: Vec<Query>,
    /// What the reader takes, best first.
    pub(super) accepted: Vec<u64>,
}

/// What to select.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Query {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) matchers: Vec<WireMatcher>,
    pub(super) hints: Option<Hints>,
}

/// A matcher as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WireMatcher {
    pub(super) kind: u64,
    pub(super) name: String,
    pub(super) value: String,
}

/// What the reader means to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) function: String,
}

/// Unpacks a body; returns how many bytes that takes first.
pub(super) fn unpacked_len(body: &[u8]) -> Result<usize, RequestError> {
    let len = snap::raw::decompress_len(body).map_err(|_| RequestError::Snappy)?;
    // Go's decoder does not take nothing for an empty message.
    if body.is_empty() {
        return Err(RequestError::Snappy);
    }
    match len {
        len if len > MAX_REQUEST_BYTES => Err(RequestError::TooLarge(len)),
        len => Ok(len),
    }
}

/// Unpacks a body.
pub(super) fn unpack(body: &[u8]) -> Result<Vec<u8>, RequestError> {
    let mut decoder = snap::raw::Decoder::new();
    decoder
        .decompress_vec(body)
        .map_err(|_| RequestError::Snappy)
}

impl ReadRequest {
    /// Reads a request.
    pub(super) fn read(bytes: &[u8]) -> Result<ReadRequest, RequestError> {
        let mut request = ReadRequest {
            queries: Vec::new(),
            accepted: Vec::new(),
        };
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag("ReadRequest")? {
            match tag.field {
                1 => request
                    .queries
                    .push(query(reader.message(tag, "Queries")?)?),
                2 => reader.numbers(tag, "AcceptedResponseTypes", &mut request.accepted)?,
                _ => reader.skip(tag)?,
            }
        }
        Ok(request)
    }

    /// Chooses the first way to answer that there is; samples where the reader names none.
    pub(super) fn response_type(&self) -> Result<ResponseType, RequestError> {
        let known = |kind: &u64| match kind {
            0 => Some(ResponseType::Samples),
            1 => Some(ResponseType::Chunks),
            _ => None,
        };
        if self.accepted.is_empty() {
            return Ok(ResponseType::Samples);
        }
        self.accepted.iter().find_map(known).ok_or_else(|| {
            let asked: Vec<String> = self.accepted.iter().map(u64::to_string).collect();
            RequestError::ResponseTypes(asked.join(" "))
        })
    }
}

fn query(mut reader: Reader<'_>) -> Result<Query, WireError> {
    let mut query = Query::default();
    while let Some(tag) = reader.tag("Query")? {
        match tag.field {
            1 => query.start_ms = reader.int(tag, "StartTimestampMs")?,
            2 => query.end_ms = reader.int(tag, "EndTimestampMs")?,
            3 => query
                .matchers
                .push(matcher(reader.message(tag, "Matchers")?)?),
            4 => query.hints = Some(hints(reader.message(tag, "Hints")?)?),
            _ => reader.skip(tag)?,
        }
    }
    Ok(query)
}

fn matcher(mut reader: Reader<'_>) -> Result<WireMatcher, WireError> {
    let mut matcher = WireMatcher::default();
    while let Some(tag) = reader.tag("LabelMatcher")? {
        match tag.field {
            1 => matcher.kind = reader.int(tag, "Type")?.cast_unsigned(),
            2 => matcher.name = reader.text(tag, "Name")?,
            3 => matcher.value = reader.text(tag, "Value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(matcher)
}

fn hints(mut reader: Reader<'_>) -> Result<Hints, WireError> {
    let mut hints = Hints::default();
    while let Some(tag) = reader.tag("ReadHints")? {
        match tag.field {
            2 => hints.function = reader.text(tag, "Func")?,
            3 => hints.start_ms = reader.int(tag, "StartMs")?,
            4 => hints.end_ms = reader.int(tag, "EndMs")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(hints)
}

/// A query with its matchers made.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) matchers: Vec<Matcher>,
    pub(super) range: TimeRange,
    /// Only the labels of series are of interest.
    pub(super) labels_only: bool,
}

impl Query {
    /// Makes what is to be selected. A matcher that wants what an external label is wants
    /// no such label: series in the store do not have it.
    ///
    /// # Errors
    /// A matcher is wrong, in Prometheus' words.
    pub(super) fn wanted(&self, external: &Labels) -> Result<Wanted, String> {
        let matchers = self.matchers.iter().map(|sent| {
            let op = match sent.kind {
                0 => MatchOp::Equal,
                1 => MatchOp::NotEqual,
                2 => MatchOp::Regex,
                3 => MatchOp::NotRegex,
                _ => return Err("invalid matcher type".to_owned()),
            };
            let known = external.get(&sent.name);
            let value = match op {
                MatchOp::Equal if known == Some(&*sent.value) => "",
                _ => &sent.value,
            };
            Matcher::new(op, sent.name.as_str(), value).map_err(|error| error.to_string())
        });
        // Hints say which part of the range is looked at; there are readers that say nothing
        // in them.
        let (mut start_ms, mut end_ms) = (self.start_ms, self.end_ms);
        if let Some(hints) = &self.hints
            && (hints.start_ms, hints.end_ms) != (0, 0)
        {
            start_ms = start_ms.max(hints.start_ms);
            end_ms = end_ms.min(hints.end_ms);
        }
        Ok(Wanted {
            matchers: matchers.collect::<Result<_, _>>()?,
            range: TimeRange::new(start_ms, end_ms),
            labels_only: self.hints.as_ref().is_some_and(|h| h.function == "series"),
        })
    }
}

#[cfg(test)]
mod tests;
