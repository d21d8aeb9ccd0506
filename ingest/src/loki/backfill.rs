//! Entries that are pushed long after their time, in streams of their own.
//!
//! Whoever fills up names a shard in `X-Loki-Backfill-Shard`. Two labels keep such streams
//! apart from those of the present, and their entries may be of any age.

use super::error::PushError;
use super::labels::Pairs;

const LABEL: &str = "__backfill__";
const SHARD_LABEL: &str = "__backfill_shard__";
/// Bytes of the name of a shard.
const MAX_SHARD_BYTES: usize = 128;

/// Reads the header that names a shard; an empty one is none.
///
/// # Errors
/// It can be no label's value.
pub fn backfill_shard(header: &[u8]) -> Result<Option<&str>, PushError> {
    let wrong = |text: String| {
        let text = format!("invalid X-Loki-Backfill-Shard header{text}");
        Err(PushError::Parameter(text))
    };
    if header.is_empty() {
        return Ok(None);
    }
    if header.len() > MAX_SHARD_BYTES {
        let found = header.len();
        return wrong(format!(
            ": value length {found} exceeds limit of {MAX_SHARD_BYTES}"
        ));
    }
    match std::str::from_utf8(header) {
        Ok(shard) => Ok(Some(shard)),
        Err(_) => {
            let shown = kymo_storage::compat::quote::quote(&String::from_utf8_lossy(header));
            wrong(format!(" {shown}: must be a valid label value"))
        }
    }
}

/// Refuses streams that have the labels already.
pub(super) fn check_labels(pairs: &Pairs<'_>) -> Result<(), PushError> {
    let is_reserved = |name: &str| name == LABEL || name == SHARD_LABEL;
    match pairs.iter().any(|(name, _)| is_reserved(name)) {
        true => Err(PushError::Parameter(format!(
            "streams must not contain the reserved labels {LABEL} or {SHARD_LABEL}; set the \
             X-Loki-Backfill-Shard header to mark a push as backfill data"
        ))),
        false => Ok(()),
    }
}

/// Adds the labels of a shard.
pub(super) fn add_labels(pairs: &mut Pairs<'_>, shard: &str) {
    pairs.push((LABEL.into(), "true".into()));
    pairs.push((SHARD_LABEL.into(), shard.to_owned().into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_a_short_text() {
        let read = |header: &'static [u8]| backfill_shard(header);
        assert!(matches!(read(b""), Ok(None)));
        assert!(matches!(read(b"2026-06-10"), Ok(Some("2026-06-10"))));
        let long = [b'x'; 129];
        let error = backfill_shard(&long).unwrap_err().to_string();
        let expected =
            "invalid X-Loki-Backfill-Shard header: value length 129 exceeds limit of 128";
        assert_eq!(error, expected);
        let error = read(b"a\xff").unwrap_err().to_string();
        assert!(error.ends_with(": must be a valid label value"), "{error}");
    }
}
