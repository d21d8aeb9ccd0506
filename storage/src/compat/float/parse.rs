//! Reading a float as Go's `strconv.ParseFloat` does.
//!
//! Decimal text is read by the standard library (both round correctly); Go's extras
//! are here: hexadecimal floats, underscores between digits, its spellings of
//! infinity and NaN, and its errors.

use super::GO_NAN_BITS;
use crate::compat::quote;

/// Text that Go's `ParseFloat` refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("strconv.ParseFloat: parsing {}: {reason}", quote::quote(input))]
pub struct ParseFloatError {
    /// The text as given.
    pub input: String,
    /// Why it is refused.
    pub reason: ParseFloatReason,
}

/// Why a float was refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ParseFloatReason {
    /// The text is no number.
    #[error("invalid syntax")]
    Syntax,
    /// The number is too large; the infinity of its sign is given.
    #[error("value out of range")]
    Range(f64),
}

/// Reads a float.
///
/// # Errors
/// The text is not in Go's float syntax, or its magnitude is beyond the largest float.
pub fn parse(text: &str) -> Result<f64, ParseFloatError> {
    let outcome = if text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        decimal(text)
    } else {
        extended(text)
    };
    outcome.map_err(|reason| ParseFloatError {
        input: text.to_owned(),
        reason,
    })
}

fn decimal(text: &str) -> Result<f64, ParseFloatReason> {
    let value: f64 = text.parse().map_err(|_| ParseFloatReason::Syntax)?;
    in_range(value)
}

fn in_range(value: f64) -> Result<f64, ParseFloatReason> {
    if value.is_infinite() {
        Err(ParseFloatReason::Range(value))
    } else {
        Ok(value)
    }
}

/// Reads what the plain decimal alphabet does not cover.
fn extended(text: &str) -> Result<f64, ParseFloatReason> {
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::from_bits(GO_NAN_BITS));
    }
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        return Ok(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    if unsigned.contains('_') && !underscores_separate_digits(unsigned.as_bytes()) {
        return Err(ParseFloatReason::Syntax);
    }
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    let bytes = unsigned.as_bytes();
    if bytes.len() > 2 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x') {
        let start = plain.find(['x', 'X']).map_or(plain.len(), |at| at + 1);
        return hexadecimal(&plain.as_bytes()[start..], negative);
    }
    if plain
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return decimal(&plain);
    }
    Err(ParseFloatReason::Syntax)
}

/// Tells whether each underscore stands between digits, or between a base prefix and
/// a digit. `text` has no sign.
fn underscores_separate_digits(text: &[u8]) -> bool {
    let hex = text.len() >= 2 && text[0] == b'0' && text[1].eq_ignore_ascii_case(&b'x');
    let (mut after_digit, mut after_underscore) = (hex, false);
    for &byte in &text[if hex { 2 } else { 0 }..] {
        let digit = byte.is_ascii_digit() || (hex && byte.is_ascii_hexdigit());
        if byte == b'_' {
            if !after_digit {
                return false;
            }
        } else if after_underscore && !digit {
            return false;
        }
        after_digit = digit;
        after_underscore = byte == b'_';
    }
    !after_underscore
}

/// Reads `1.8p-3` (the part behind `0x`), rounding to nearest, ties to even.
fn hexadecimal(text: &[u8], negative: bool) -> Result<f64, ParseFloatReason> {
    let (mut mantissa, mut exponent, mut sticky) = (0u64, 0i64, false);
    let (mut seen_point, mut seen_digit, mut at) = (false, false, 0);
    while let Some(&byte) = text.get(at) {
        if byte == b'.' && !seen_point {
            seen_point = true;
        } else if let Some(digit) = char::from(byte).to_digit(16) {
            seen_digit = true;
            if mantissa >> 60 == 0 {
                mantissa = mantissa << 4 | u64::from(digit);
                exponent -= i64::from(seen_point) * 4;
            } else {
                sticky |= digit != 0;
                exponent += i64::from(!seen_point) * 4;
            }
        } else {
            break;
        }
        at += 1;
    }
    if !seen_digit || !matches!(text.get(at), Some(b'p' | b'P')) {
        return Err(ParseFloatReason::Syntax);
    }
    let (sign, digits) = match text.get(at + 1) {
        Some(b'-') => (-1, &text[at + 2..]),
        Some(b'+') => (1, &text[at + 2..]),
        _ => (1, &text[at + 1..]),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ParseFloatReason::Syntax);
    }
    let mut power = 0i64;
    for &digit in digits {
        if power < 10_000 {
            power = power * 10 + i64::from(digit - b'0');
        }
    }
    let magnitude = compose(mantissa, exponent + sign * power, sticky);
    in_range(if negative { -magnitude } else { magnitude })
}

/// Returns the float nearest to `mantissa * 2^exponent`; `sticky` says that bits
/// below the mantissa were not all zero.
fn compose(mantissa: u64, exponent: i64, sticky: bool) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let shift = mantissa.leading_zeros();
    let normal = mantissa << shift;
    // The value is normal * 2^binary with the top bit of `normal` set.
    let binary = exponent.saturating_sub(i64::from(shift));
    // Exponent of the leading bit; below -1022 the float keeps fewer bits.
    let leading = binary.saturating_add(63);
    if leading > 1023 {
        return f64::INFINITY;
    }
    let lost = if leading < -1022 {
        11 + (-1022 - leading)
    } else {
        11
    };
    if lost > 64 {
        // Less than half of the smallest float.
        return 0.0;
    }
    let kept = normal.checked_shr(lost as u32).unwrap_or(0);
    let rest = u128::from(normal) << 64 << (64 - lost);
    let half = 1u128 << 127;
    let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
    let kept = kept + u64::from(up);
    if leading < -1022 {
        // Subnormal bits are the count of the smallest float; a carry into the
        // exponent field is the right next float by itself.
        return f64::from_bits(kept);
    }
    let bits = ((leading + 1022) as u64)
        .checked_shl(52)
        .and_then(|field| field.checked_add(kept));
    bits.map_or(f64::INFINITY, f64::from_bits)
}
