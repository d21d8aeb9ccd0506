//! The decimal digits of a finite value, and Go's ways to lay them out.

use super::TextSink;

/// Room for the shortest digits (17) or a requested precision.
const INLINE: usize = 24;

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A finite value as decimal digits: `0.d1d2d3... * 10^point`.
///
/// Zero has the single digit 0 and the point behind it. Digits carry no trailing
/// zeros unless there is only one digit.
pub(super) struct Digits {
    negative: bool,
    inline: [u8; INLINE],
    len: usize,
    /// Digits beyond `INLINE`, for large requested precisions only.
    spill: String,
    point: i32,
}

impl Digits {
    /// Returns the fewest digits that read back as `value`, which must be finite.
    pub(super) fn shortest(value: f64) -> Digits {
        let mut buffer = zmij::Buffer::new();
        Digits::from_text(buffer.format_finite(value))
    }

    /// Reads the digits of a printed float such as `-12.5`, `0.001`, `1e21`, `4.9e-5`.
    pub(super) fn from_text(text: &str) -> Digits {
        let mut digits = Digits {
            negative: false,
            inline: [b'0'; INLINE],
            len: 0,
            spill: String::new(),
            point: 0,
        };
        let mut bytes = text.as_bytes().iter().copied().enumerate();
        let (mut seen_point, mut pending_zeros) = (false, 0);
        for (at, byte) in bytes.by_ref() {
            match byte {
                b'-' => digits.negative = true,
                b'.' => seen_point = true,
                b'e' => {
                    let exponent: i32 = text[at + 1..].parse().unwrap_or(0);
                    digits.point += exponent;
                    break;
                }
                b'0' if digits.len == 0 => {
                    // A leading zero behind the point moves the point left.
                    digits.point -= i32::from(seen_point);
                }
                _ => {
                    digits.point += i32::from(!seen_point);
                    if byte == b'0' {
                        pending_zeros += 1;
                        continue;
                    }
                    for _ in 0..pending_zeros {
                        digits.push(b'0');
                    }
                    pending_zeros = 0;
                    digits.push(byte);
                }
            }
        }
        if digits.len == 0 {
            digits.push(b'0');
            digits.point = 1;
        }
        digits
    }

    fn push(&mut self, digit: u8) {
        if self.len < INLINE {
            self.inline[self.len] = digit;
        } else {
            self.spill.push(char::from(digit));
        }
        self.len += 1;
    }

    fn push_range(&self, out: &mut impl TextSink, from: usize, to: usize) {
        let inline_to = to.min(INLINE);
        if from < inline_to {
            // Only ASCII digits are ever stored.
            out.push_text(str::from_utf8(&self.inline[from..inline_to]).unwrap_or_default());
        }
        if to > INLINE {
            out.push_text(&self.spill[from.max(INLINE) - INLINE..to - INLINE]);
        }
    }

    /// Appends the digits without an exponent.
    pub(super) fn push_plain(&self, out: &mut impl TextSink) {
        if self.negative {
            out.push_text("-");
        }
        if self.point <= 0 {
            out.push_text("0.");
            push_zeros(out, self.point.unsigned_abs() as usize);
            self.push_range(out, 0, self.len);
            return;
        }
        let point = self.point as usize;
        if point >= self.len {
            self.push_range(out, 0, self.len);
            push_zeros(out, point - self.len);
        } else {
            self.push_range(out, 0, point);
            out.push_text(".");
            self.push_range(out, point, self.len);
        }
    }

    /// Appends the digits with an exponent: `1.25e+07`.
    pub(super) fn push_exponent(&self, out: &mut impl TextSink) {
        if self.negative {
            out.push_text("-");
        }
        self.push_range(out, 0, 1);
        if self.len > 1 {
            out.push_text(".");
            self.push_range(out, 1, self.len);
        }
        let zero = self.len == 1 && self.inline[0] == b'0';
        push_exponent(out, if zero { 0 } else { self.point - 1 });
    }

    /// Appends the digits in Go's general form for the shortest digits: with an
    /// exponent below -4 or from `limit` on. Tells whether a whole number was
    /// written plainly.
    pub(super) fn push_general(&self, out: &mut impl TextSink, limit: i32) -> bool {
        let exponent = self.point - 1;
        if exponent < -4 || exponent >= limit {
            self.push_exponent(out);
            return false;
        }
        self.push_plain(out);
        self.point > 0 && self.point as usize >= self.len
    }

    /// Appends the digits in Go's general form for a given precision.
    pub(super) fn push_general_precision(&self, out: &mut impl TextSink, precision: usize) {
        let mut limit = precision;
        if limit > self.len && self.point > 0 && self.len >= self.point as usize {
            limit = self.len;
        }
        let exponent = self.point - 1;
        if exponent < -4 || (exponent >= 0 && exponent as usize >= limit) {
            self.push_exponent(out);
        } else {
            self.push_plain(out);
        }
    }
}

/// Appends text such as Rust's `1.5e-7` with Go's exponent.
pub(super) fn push_rust_exponent(out: &mut impl TextSink, text: &str) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    out.push_text(mantissa);
    push_exponent(out, exponent.parse().unwrap_or(0));
}

/// Appends a sign and at least two digits.
fn push_exponent(out: &mut impl TextSink, exponent: i32) {
    out.push_text(if exponent < 0 { "e-" } else { "e+" });
    let magnitude = exponent.unsigned_abs();
    if magnitude < 10 {
        out.push_text("0");
    }
    out.push_text(itoa::Buffer::new().format(magnitude));
}

fn push_zeros(out: &mut impl TextSink, mut count: usize) {
    while count > 0 {
        let some = count.min(ZEROS.len());
        out.push_text(&ZEROS[..some]);
        count -= some;
    }
}
