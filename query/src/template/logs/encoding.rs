//! Base64 and URLs.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{bytes, string};
use crate::template::builtins::query_escape;
use crate::template::value::Value;

type Outcome = Result<Value, String>;

pub(super) fn base64_encode(a: &[Value]) -> Outcome {
    Ok(BASE64_STANDARD.encode(bytes(&a[0])).into())
}

/// Decodes; what is no base64 becomes the text of the error, as upstream has it.
pub(super) fn base64_decode(a: &[Value]) -> Outcome {
    let mut text = bytes(&a[0]).to_vec();
    // Missing padding is forgiven.
    if let rest @ (2 | 3) = text.len() % 4 {
        text.extend(std::iter::repeat_n(b'=', 4 - rest));
    }
    Ok(match decode_base64(&text) {
        Ok(bytes) => bytes.into(),
        Err(at) => format!("illegal base64 data at input byte {at}").into(),
    })
}

/// Decodes as Go's standard encoding does: line ends are skipped, padding must be
/// there, and the error is where the decoder notices it.
fn decode_base64(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut at = 0;
    loop {
        let mut group = [0u8; 4];
        let mut filled = 0;
        while filled < 4 {
            let Some(&byte) = text.get(at) else {
                return match filled {
                    0 => Ok(out),
                    _ => Err(at - filled),
                };
            };
            at += 1;
            match byte {
                b'\n' | b'\r' => continue,
                b'=' => {
                    end_of_base64(text, at, filled)?;
                    push_group(&mut out, group, filled);
                    return Ok(out);
                }
                _ => {}
            }
            group[filled] = sextet(byte).ok_or(at - 1)?;
            filled += 1;
        }
        push_group(&mut out, group, 4);
    }
}

/// Checks what stands behind the first padding character.
fn end_of_base64(text: &[u8], mut at: usize, filled: usize) -> Result<(), usize> {
    let skip = |mut at: usize| {
        while matches!(text.get(at), Some(b'\n' | b'\r')) {
            at += 1;
        }
        at
    };
    match filled {
        0 | 1 => return Err(at - 1),
        2 => {
            at = skip(at);
            match text.get(at) {
                None => return Err(text.len()),
                Some(b'=') => at += 1,
                Some(_) => return Err(at - 1),
            }
        }
        _ => {}
    }
    at = skip(at);
    match at < text.len() {
        true => Err(at),
        false => Ok(()),
    }
}

fn push_group(out: &mut Vec<u8>, group: [u8; 4], filled: usize) {
    let bits = group
        .iter()
        .fold(0u32, |bits, part| bits << 6 | u32::from(*part));
    let decoded = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
    out.extend_from_slice(&decoded[..filled.saturating_sub(1)]);
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

pub(super) fn url_encode(a: &[Value]) -> Outcome {
    Ok(query_escape(bytes(&a[0])).into())
}

pub(super) fn url_decode(a: &[Value]) -> Outcome {
    let text = bytes(&a[0]);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = behind
                    .get(..2)
                    .and_then(|digits| str::from_utf8(digits).ok());
                let hex = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(value) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
                    let escape = [b"%".as_slice(), &behind[..behind.len().min(2)]].concat();
                    let escape = kymo_storage::compat::quote::quote_bytes(&escape);
                    return Err(format!("invalid URL escape {escape}"));
                };
                out.push(value);
                rest = &behind[2..];
            }
            other => out.push(*other),
        }
    }
    Ok(out.into())
}

/// Reads JSON; what is none is nil.
pub(super) fn from_json(a: &[Value]) -> Outcome {
    super::json::read(&string(&a[0]))
}
