//! Numbers and texts with flags, width and precision.

use kymo_storage::compat::{float, quote};

use super::Printer;
use crate::template::value::Value;

impl Printer {
    /// Writes bytes in the width that is asked for.
    pub(super) fn pad(&mut self, bytes: &[u8]) {
        let width = self.flags.width.unwrap_or(0);
        // Nothing is narrower than it looks; only wide ones must be counted.
        let missing = match width {
            0 => 0,
            _ => width.saturating_sub(runes(bytes)),
        };
        if !self.flags.minus {
            self.padding(missing);
        }
        self.write(bytes);
        if self.flags.minus {
            self.padding(missing);
        }
    }

    fn padding(&mut self, count: usize) {
        // Zeros stand on the left only.
        let byte = if self.flags.zero && !self.flags.minus {
            b'0'
        } else {
            b' '
        };
        if self.out.len() + count > self.limit {
            self.over = true;
        } else {
            self.out.resize(self.out.len() + count, byte);
        }
    }

    fn pad_with_spaces(&mut self, bytes: &[u8]) {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        self.pad(bytes);
        self.flags.zero = zero;
    }

    /// Writes a string under one of the verbs for strings.
    pub(super) fn string(&mut self, bytes: &[u8], verb: char) {
        match verb {
            'x' => self.string_hex(bytes, "0123456789abcdefx"),
            'X' => self.string_hex(bytes, "0123456789ABCDEFX"),
            'q' => self.quoted(bytes),
            'v' if self.flags.sharp_v => self.quoted(bytes),
            _ => {
                let cut = self.truncated(bytes).to_vec();
                self.pad(&cut);
            }
        }
    }

    /// Returns as many characters as the precision allows.
    fn truncated<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(precision) = self.flags.precision else {
            return bytes;
        };
        let mut left = precision;
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if left == 0 {
                    return &bytes[..at];
                }
                left -= 1;
                at += c.len_utf8();
            }
            for _ in chunk.invalid() {
                if left == 0 {
                    return &bytes[..at];
                }
                left -= 1;
                at += 1;
            }
        }
        bytes
    }

    fn quoted(&mut self, bytes: &[u8]) {
        let bytes = self.truncated(bytes).to_vec();
        let text = str::from_utf8(&bytes);
        let quoted = match text {
            Ok(text) if self.flags.sharp && can_backquote(text) => format!("`{text}`"),
            _ if self.flags.plus => ascii_only(&quote::quote_bytes(&bytes)),
            _ => quote::quote_bytes(&bytes),
        };
        self.pad(quoted.as_bytes());
    }

    fn string_hex(&mut self, bytes: &[u8], digits: &str) {
        let len = self.flags.precision.unwrap_or(bytes.len()).min(bytes.len());
        let digits = digits.as_bytes();
        let prefix = [b'0', digits[16]];
        let mut out = Vec::with_capacity((len * 5).min(self.limit));
        for (index, byte) in bytes[..len].iter().enumerate() {
            if index > 0 && self.flags.space {
                out.push(b' ');
            }
            if self.flags.sharp && (index == 0 || self.flags.space) {
                out.extend_from_slice(&prefix);
            }
            out.push(digits[usize::from(byte >> 4)]);
            out.push(digits[usize::from(byte & 15)]);
        }
        self.pad(&out);
    }

    /// Writes a number in hexadecimal, with or without its prefix.
    pub(super) fn hex(&mut self, value: u64, prefix: bool) {
        let sharp = std::mem::replace(&mut self.flags.sharp, prefix);
        self.integer_in_base(value, false, 16, 'v', false);
        self.flags.sharp = sharp;
    }

    /// Writes an integer; a signed one is given as its bits.
    pub(super) fn integer(&mut self, value: &Value, bits: u64, signed: bool, verb: char) {
        match verb {
            'v' if self.flags.sharp_v && !signed => self.hex(bits, true),
            'v' | 'd' => self.integer_in_base(bits, signed, 10, verb, false),
            'b' => self.integer_in_base(bits, signed, 2, verb, false),
            'o' | 'O' => self.integer_in_base(bits, signed, 8, verb, false),
            'x' => self.integer_in_base(bits, signed, 16, verb, false),
            'X' => self.integer_in_base(bits, signed, 16, verb, true),
            'c' => {
                let c = char_of(bits);
                self.pad(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            'q' => {
                let text = quoted_char(char_of(bits), self.flags.plus);
                self.pad(text.as_bytes());
            }
            'U' => self.code_point(bits),
            _ => self.bad_verb(value, verb),
        }
    }

    fn code_point(&mut self, bits: u64) {
        let precision = self.flags.precision.unwrap_or(0).max(4);
        let mut text = format!("U+{bits:0precision$X}");
        let c = u32::try_from(bits).ok().and_then(char::from_u32);
        if let Some(c) = c.filter(|&c| self.flags.sharp && quote::is_print(c)) {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_with_spaces(text.as_bytes());
    }

    fn integer_in_base(&mut self, bits: u64, signed: bool, base: u32, verb: char, upper: bool) {
        let negative = signed && (bits as i64) < 0;
        let magnitude = if negative { bits.wrapping_neg() } else { bits };
        let flags = self.flags;
        // Leading zeros come from a precision, or from a width with the zero flag.
        let digits_wanted = match (flags.precision, flags.width) {
            (Some(0), _) if magnitude == 0 => {
                self.pad_with_spaces(b"");
                return;
            }
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero && !flags.minus => {
                width.saturating_sub(usize::from(negative || flags.plus || flags.space))
            }
            _ => 0,
        };
        let digits = match (base, upper) {
            (2, _) => format!("{magnitude:b}"),
            (8, _) => format!("{magnitude:o}"),
            (16, false) => format!("{magnitude:x}"),
            (16, true) => format!("{magnitude:X}"),
            _ => magnitude.to_string(),
        };
        let mut text = String::new();
        if negative {
            text.push('-');
        } else if flags.plus {
            text.push('+');
        } else if flags.space {
            text.push(' ');
        }
        if verb == 'O' {
            text.push_str("0o");
        }
        let zeros = digits_wanted.saturating_sub(digits.len());
        if flags.sharp {
            match base {
                2 => text.push_str("0b"),
                8 if zeros == 0 && !digits.starts_with('0') => text.push('0'),
                16 if upper => text.push_str("0X"),
                16 => text.push_str("0x"),
                _ => {}
            }
        }
        text.extend(std::iter::repeat_n('0', zeros));
        text.push_str(&digits);
        self.pad_with_spaces(text.as_bytes());
    }

    /// Writes a float; tells whether the verb is one for floats.
    pub(super) fn float(&mut self, value: f64, verb: char) -> bool {
        match verb {
            'v' => self.float_text(value, 'g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => self.float_text(value, verb, None),
            'f' | 'e' | 'E' => self.float_text(value, verb, Some(6)),
            'F' => self.float_text(value, 'f', Some(6)),
            _ => return false,
        }
        true
    }

    fn float_text(&mut self, value: f64, verb: char, precision: Option<usize>) {
        let flags = self.flags;
        let precision = flags.precision.or(precision);
        let digits = digits_of(value.abs(), verb, precision);
        let negative = value.is_sign_negative() && !value.is_nan();
        let mut sign = if negative { '-' } else { '+' };
        if flags.space && sign == '+' && !flags.plus {
            sign = ' ';
        }
        if !value.is_finite() {
            let digits = if value.is_nan() { "NaN" } else { "Inf" };
            // An infinity always shows its sign, what is no number only when asked.
            let shown = value.is_infinite() || flags.space || flags.plus;
            let text = if shown {
                format!("{sign}{digits}")
            } else {
                digits.to_owned()
            };
            self.pad_with_spaces(text.as_bytes());
            return;
        }
        let digits = if flags.sharp && verb != 'b' {
            with_point(&digits, verb, precision)
        } else {
            digits
        };
        if !flags.plus && sign == '+' {
            self.pad(digits.as_bytes());
            return;
        }
        let width = flags.width.unwrap_or(0);
        if flags.zero && !flags.minus && width > digits.len() + 1 {
            // The sign stands in front of the zeros.
            self.write_char(sign);
            self.padding(width - digits.len() - 1);
            self.write_str(&digits);
            return;
        }
        let text = format!("{sign}{digits}");
        self.pad(text.as_bytes());
    }

    pub(super) fn complex(&mut self, value: &Value, real: f64, imaginary: f64, verb: char) {
        if !matches!(
            verb,
            'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E'
        ) {
            self.bad_verb(value, verb);
            return;
        }
        let plus = self.flags.plus;
        self.write_str("(");
        self.float(real, verb);
        self.flags.plus = true;
        self.float(imaginary, verb);
        self.write_str("i)");
        self.flags.plus = plus;
    }
}

fn runes(bytes: &[u8]) -> usize {
    bytes
        .utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum()
}

fn char_of(bits: u64) -> char {
    let c = u32::try_from(bits).ok().and_then(char::from_u32);
    c.unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Quotes a character as Go's `%q` does.
fn quoted_char(c: char, ascii: bool) -> String {
    let inside = match c {
        '\'' => "\\'".to_owned(),
        '"' => "\"".to_owned(),
        c => {
            let quoted = quote::quote(c.encode_utf8(&mut [0; 4]));
            quoted[1..quoted.len() - 1].to_owned()
        }
    };
    let inside = if ascii { ascii_only(&inside) } else { inside };
    format!("'{inside}'")
}

/// Escapes what is not ASCII in a text that is quoted already.
fn ascii_only(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        match u32::from(c) {
            0..0x80 => out.push(c),
            code if code < 0x10000 => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// Tells whether a text can stand between backquotes.
fn can_backquote(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' => true,
        '\u{feff}' | '`' | '\u{7f}' => false,
        c => c >= ' ',
    })
}

/// Returns the digits of a float that is not negative.
fn digits_of(value: f64, verb: char, precision: Option<usize>) -> String {
    let mut out = String::new();
    match (verb, precision) {
        ('f', Some(precision)) => push_fixed(&mut out, value, precision),
        ('e' | 'E', Some(precision)) => push_exponent(&mut out, value, precision),
        ('g' | 'G', Some(precision)) => {
            // A float has no more digits than these.
            float::push_g_precision(&mut out, value, precision.min(1100));
        }
        ('b', _) => out = binary_digits(value),
        ('x' | 'X', precision) => out = hex_digits(value, precision),
        ('g' | 'G', None) => float::push_g(&mut out, value),
        (_, None) => float::push_f(&mut out, value),
        (_, Some(precision)) => push_fixed(&mut out, value, precision),
    }
    match verb {
        'E' | 'G' | 'X' => out.to_uppercase(),
        _ => out,
    }
}

/// No float has more digits behind the point than this.
const MAX_FRACTION: usize = 1100;

fn push_fixed(out: &mut String, value: f64, precision: usize) {
    float::push_f_precision(out, value, precision.min(MAX_FRACTION));
    if precision > MAX_FRACTION {
        out.extend(std::iter::repeat_n('0', precision - MAX_FRACTION));
    }
}

fn push_exponent(out: &mut String, value: f64, precision: usize) {
    let mut text = String::new();
    float::push_e_precision(&mut text, value, precision.min(MAX_FRACTION));
    let split = text.find('e').unwrap_or(text.len());
    out.push_str(&text[..split]);
    if precision > MAX_FRACTION {
        out.extend(std::iter::repeat_n('0', precision - MAX_FRACTION));
    }
    out.push_str(&text[split..]);
}

/// Returns mantissa and exponent of a finite float: `mantissa * 2^exponent`.
fn parts(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64;
    let mantissa = bits & ((1 << 52) - 1);
    match exponent {
        0 => (mantissa, -1074),
        _ => (mantissa | 1 << 52, exponent - 1075),
    }
}

fn binary_digits(value: f64) -> String {
    let (mantissa, exponent) = parts(value);
    format!("{mantissa}p{exponent:+}")
}

/// Returns `0x1.8p+01` and its like.
fn hex_digits(value: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // The leading one moves to bit 60, in front of fifteen digits.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent += 60 - i64::from(shift);
    }
    if let Some(precision) = precision.filter(|&precision| precision < 15) {
        let shift = (precision * 4) as u32;
        let extra = mantissa << shift & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        if extra | mantissa & 1 > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & 1 << 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    match precision {
        None => fraction.truncate(fraction.trim_end_matches('0').len()),
        Some(precision) if precision <= 15 => fraction.truncate(precision),
        Some(precision) => fraction.extend(std::iter::repeat_n('0', precision - 15)),
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    let lead = mantissa >> 60 & 1;
    format!("0x{lead}{point}{fraction}p{sign}{:02}", exponent.abs())
}

/// Returns digits with a point and the zeros that the sharp flag keeps.
fn with_point(digits: &str, verb: char, precision: Option<usize>) -> String {
    let mut wanted: i64 = match verb {
        'v' | 'g' | 'G' | 'x' => precision.map_or(6, |precision| precision as i64),
        _ => 0,
    };
    let hex = matches!(verb, 'x' | 'X');
    let split = digits
        .find(|c| matches!(c, 'p' | 'P') || (!hex && matches!(c, 'e' | 'E')))
        .unwrap_or(digits.len());
    let (number, tail) = digits.split_at(split);
    let mut seen_digit = false;
    for c in number.chars().filter(|&c| c != '.') {
        seen_digit |= c != '0';
        wanted -= i64::from(seen_digit);
    }
    let mut out = number.to_owned();
    if !number.contains('.') {
        if number == "0" {
            wanted -= 1;
        }
        out.push('.');
    }
    out.extend(std::iter::repeat_n('0', wanted.max(0) as usize));
    out.push_str(tail);
    out
}
