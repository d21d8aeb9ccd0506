//! Bodies unpacked: gzip, and JSON made protobuf.
//!
//! **Invariant:** memory is asked for before it is taken, step by step, and never for
//! more than the limit: a body of a few bytes can say that it unpacks to anything.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

use super::error::{DecodeError, PushError};
use super::json;

/// Bytes that are asked for at least.
const STEP_BYTES: usize = 64 << 10;

/// Asks whoever counts memory for so many more bytes; `false` where there are none.
pub type Reserve<'r> = &'r mut dyn FnMut(usize) -> bool;

/// Unpacks gzip, all members of it.
///
/// # Errors
///
/// It is no gzip, unpacks to more than `limit_bytes`, or there is no memory for it.
pub fn gunzip(body: &[u8], limit_bytes: usize, reserve: Reserve<'_>) -> Result<Vec<u8>, PushError> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Err(PushError::Gzip("invalid header".to_owned()));
    }
    let mut decoder = MultiGzDecoder::new(body);
    let mut out = Vec::new();
    let mut reserved = 0;
    loop {
        if out.len() == reserved {
            let step = reserved.max(STEP_BYTES).min(limit_bytes - reserved);
            // One byte more tells whether there is more than the limit.
            if step > 0 {
                if !reserve(step) {
                    return Err(PushError::Busy);
                }
                reserved += step;
                out.reserve_exact(step);
            } else {
                let mut more = [0];
                return match read(&mut decoder, &mut more)? {
                    0 => Ok(out),
                    _ => Err(DecodeError::TooLarge { limit_bytes }.into()),
                };
            }
        }
        let start = out.len();
        out.resize(reserved, 0);
        let n_read = read(&mut decoder, &mut out[start..]);
        out.truncate(start + *n_read.as_ref().unwrap_or(&0));
        if n_read? == 0 {
            return Ok(out);
        }
    }
}

fn read(decoder: &mut impl Read, out: &mut [u8]) -> Result<usize, PushError> {
    decoder
        .read(out)
        .map_err(|error| PushError::Gzip(error.to_string()))
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
    // What is written of a message is hardly ever longer than its JSON; lists of short
    // numbers are.
    let most = body.len().saturating_mul(2).saturating_add(STEP_BYTES);
    let most = most.min(limit_bytes);
    if !reserve(most) {
        return Err(PushError::Busy);
    }
    let mut out = Vec::new();
    json::transcode(body, &mut out, most)?;
    Ok(out)
}
