//! Bodies unpacked: gzip, and JSON made protobuf.
//!
//! **Invariant:** memory is asked for before it is taken, step by step, and never for
//! more than the limit: a body of a few bytes can say that it unpacks to anything.

use flate2::bufread::MultiGzDecoder;

use super::error::{DecodeError, PushError};
use super::json;
use crate::unpack::{Reserve, UnpackError, read_all};

/// Bytes that are asked for at least.
const STEP_BYTES: usize = 64 << 10;

/// Unpacks gzip, all members of it.
///
/// # Errors
///
/// It is no gzip, unpacks to more than `limit_bytes`, or there is no memory for it.
pub fn gunzip(body: &[u8], limit_bytes: usize, reserve: Reserve<'_>) -> Result<Vec<u8>, PushError> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Err(PushError::Gzip("invalid header".to_owned()));
    }
    let unpacked = read_all(&mut MultiGzDecoder::new(body), limit_bytes, reserve);
    unpacked.map_err(|error| match error {
        UnpackError::Broken(text) => PushError::Gzip(text),
        UnpackError::TooLarge => DecodeError::TooLarge { limit_bytes }.into(),
        UnpackError::Busy => PushError::Busy,
    })
}

/// Turns a request from JSON into protobuf.
///
/// # Errors
///
/// It is no request, takes more than `limit_bytes` as protobuf, or there is no memory for
/// it.
pub fn from_json(
    body: &[u8],
    limit_bytes: usize,
    reserve: Reserve<'_>,
) -> Result<Vec<u8>, PushError> {
    let Some(most) = reserve_for_json(body, limit_bytes, reserve) else {
        return Err(PushError::Busy);
    };
    let mut out = Vec::new();
    json::transcode(body, &super::schema::REQUEST, &mut out, most)?;
    Ok(out)
}

/// Turns a request of logs from JSON into protobuf; `None` where there is no memory for it.
///
/// # Errors
///
/// It is no request, or takes more than `limit_bytes` as protobuf.
pub(crate) fn logs_from_json(
    body: &[u8],
    limit_bytes: usize,
    reserve: Reserve<'_>,
) -> Result<Option<Vec<u8>>, DecodeError> {
    let Some(most) = reserve_for_json(body, limit_bytes, reserve) else {
        return Ok(None);
    };
    let mut out = Vec::new();
    json::transcode(body, &super::logs::schema::REQUEST, &mut out, most)?;
    Ok(Some(out))
}

/// Asks for memory for what JSON becomes, and returns how much.
fn reserve_for_json(body: &[u8], limit_bytes: usize, reserve: Reserve<'_>) -> Option<usize> {
    // What is written of a message is hardly ever longer than its JSON; lists of short
    // numbers are.
    let most = body.len().saturating_mul(2).saturating_add(STEP_BYTES);
    let most = most.min(limit_bytes);
    reserve(most).then_some(most)
}
