//! Bodies unpacked within bounds.
//!
//! **Invariant:** memory is asked for before it is taken, step by step, and never for
//! more than the limit: a body of a few bytes can say that it unpacks to anything.

use std::io::Read;

/// Bytes that are asked for at least.
const STEP_BYTES: usize = 64 << 10;

/// Asks whoever counts memory for so many more bytes; `false` where there are none.
pub type Reserve<'r> = &'r mut dyn FnMut(usize) -> bool;

/// Why a body was not unpacked.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// It is not packed as it should be.
    Broken(String),
    /// It is larger than the limit.
    TooLarge,
    /// There is no memory for it.
    Busy,
}

/// Reads everything of `packed`, as at most `limit_bytes`.
pub(crate) fn read_all(
    packed: &mut dyn Read,
    limit_bytes: usize,
    reserve: Reserve<'_>,
) -> Result<Vec<u8>, UnpackError> {
    let mut out = Vec::new();
    let mut reserved = 0;
    loop {
        if out.len() == reserved {
            let step = reserved.max(STEP_BYTES).min(limit_bytes - reserved);
            // One byte more tells whether there is more than the limit.
            if step > 0 {
                if !reserve(step) {
                    return Err(UnpackError::Busy);
                }
                reserved += step;
                out.reserve_exact(step);
            } else {
                let mut more = [0];
                return match read(packed, &mut more)? {
                    0 => Ok(out),
                    _ => Err(UnpackError::TooLarge),
                };
            }
        }
        let start = out.len();
        out.resize(reserved, 0);
        let n_read = read(packed, &mut out[start..]);
        out.truncate(start + *n_read.as_ref().unwrap_or(&0));
        if n_read? == 0 {
            return Ok(out);
        }
    }
}

fn read(packed: &mut dyn Read, out: &mut [u8]) -> Result<usize, UnpackError> {
    packed
        .read(out)
        .map_err(|error| UnpackError::Broken(error.to_string()))
}
