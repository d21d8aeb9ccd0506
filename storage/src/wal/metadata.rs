//! The record of metric metadata.
//!
//! ```text
//! body   = n x (name text, metadata)
//! metadata = type: 1 byte | help text | unit text
//! text   = len varint, bytes
//! ```
//!
//! Types are numbered as in remote write 1.0, see `MetricType::ALL`.

use super::format::FrameKind;
use super::writer::{FRAME_TARGET_BYTES, Wal};
use crate::codec::{CodecError, text};
use crate::model::MetricType;

/// Most records in one frame.
const MAX_PER_FRAME: usize = 1 << 14;

/// Fewest bytes of a record: three lengths and the type.
const MIN_BYTES: usize = 4;

/// Metadata of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedMetadata<'a> {
    /// Name of the metric family.
    pub name: &'a str,
    /// Its type.
    pub kind: MetricType,
    /// Its help text.
    pub help: &'a str,
    /// Its unit.
    pub unit: &'a str,
}

/// Appends the metadata of a metric.
pub fn encode_metadata(out: &mut Vec<u8>, metadata: LoggedMetadata<'_>) {
    text::write(out, metadata.name);
    out.push(metadata.kind.number());
    text::write(out, metadata.help);
    text::write(out, metadata.unit);
}

/// Takes the metadata of a metric from the front of `bytes`, as [`encode_metadata`]
/// wrote it.
///
/// # Errors
/// [`CodecError`] for bytes that it cannot have written.
pub fn decode_metadata<'a>(bytes: &mut &'a [u8]) -> Result<LoggedMetadata<'a>, CodecError> {
    let name = text::read(bytes)?;
    let kind = bytes.split_off_first();
    let kind = kind.ok_or(CodecError::Truncated("metadata"))?;
    let kind = MetricType::from_number(u64::from(*kind));
    Ok(LoggedMetadata {
        name,
        kind: kind.ok_or(CodecError::Invalid("type of a metric"))?,
        help: text::read(bytes)?,
        unit: text::read(bytes)?,
    })
}

/// Decodes a body of `n` records.
pub(super) fn decode(mut body: &[u8], n: usize) -> Result<Vec<LoggedMetadata<'_>>, CodecError> {
    let mut found = Vec::with_capacity(n.min(body.len() / MIN_BYTES));
    for _ in 0..n {
        found.push(decode_metadata(&mut body)?);
    }
    if body.is_empty() {
        Ok(found)
    } else {
        Err(CodecError::Invalid("end of the metadata"))
    }
}

impl Wal {
    /// Collects the metadata of metrics.
    ///
    /// What is too large is refused by [`Wal::commit`].
    pub fn metadata<'a>(&mut self, metadata: impl Iterator<Item = LoggedMetadata<'a>>) {
        let mut metadata = metadata.peekable();
        while metadata.peek().is_some() {
            let (mut body, mut n) = (Vec::new(), 0);
            while n < MAX_PER_FRAME && body.len() < FRAME_TARGET_BYTES {
                let Some(one) = metadata.next() else { break };
                encode_metadata(&mut body, one);
                n += 1;
            }
            self.record(FrameKind::Metadata, n as u16, &body);
        }
    }
}
