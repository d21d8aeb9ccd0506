//! Reads a format and writes its arguments (`fmt.Sprintf`).
//!
//! A format is bytes: only verbs are characters. Whatever is wrong with it or does not
//! fit an argument is written into the text, as `%!verb(...)`.

use super::{Flags, Printer};
use crate::template::value::Value;

/// The largest width, precision or argument number.
const MAX_NUMBER: i64 = 1_000_000;

/// Returns the arguments in a format; `None` beyond the limit.
pub(crate) fn sprintf(format: &[u8], arguments: &[Value], limit: usize) -> Option<Vec<u8>> {
    let mut formatter = Formatter {
        printer: Printer::new(limit),
        format,
        at: 0,
        arguments,
        next: 0,
        reordered: false,
        good_number: true,
        after_index: false,
    };
    formatter.run();
    formatter.printer.finish()
}

struct Formatter<'a> {
    printer: Printer,
    format: &'a [u8],
    at: usize,
    arguments: &'a [Value],
    /// The next argument.
    next: usize,
    /// Whether the format chose an argument by its number.
    reordered: bool,
    /// Whether the numbers of the verb at hand made sense.
    good_number: bool,
    /// Whether a number like `[3]` was read just now.
    after_index: bool,
}

impl Formatter<'_> {
    fn byte(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn run(&mut self) {
        while self.at < self.format.len() && !self.printer.over {
            let rest = &self.format[self.at..];
            let text = rest
                .iter()
                .position(|&byte| byte == b'%')
                .unwrap_or(rest.len());
            self.printer.write(&rest[..text]);
            self.at += text;
            if self.at < self.format.len() {
                self.at += 1;
                self.verb();
            }
        }
        if !self.reordered && self.next < self.arguments.len() {
            self.extra();
        }
    }

    fn verb(&mut self) {
        self.printer.flags = Flags::default();
        self.good_number = true;
        self.after_index = false;
        self.flags();
        self.argument_number();
        self.width();
        self.precision();
        if !self.after_index {
            self.argument_number();
        }
        let Some(verb) = self.take_char() else {
            self.printer.write_str("%!(NOVERB)");
            return;
        };
        if verb == '%' {
            self.printer.write_str("%");
        } else if !self.good_number {
            self.wrong(verb, "BADINDEX");
        } else if self.next >= self.arguments.len() {
            self.wrong(verb, "MISSING");
        } else {
            if verb == 'v' {
                let flags = &mut self.printer.flags;
                flags.sharp_v = std::mem::take(&mut flags.sharp);
                flags.plus_v = std::mem::take(&mut flags.plus);
            }
            let argument = &self.arguments[self.next];
            self.next += 1;
            match verb {
                // Only for errors that wrap one.
                'w' => self.printer.bad_verb(argument, verb),
                _ => self.printer.argument(argument, verb),
            }
        }
    }

    fn wrong(&mut self, verb: char, what: &str) {
        self.printer.write_str("%!");
        self.printer.write_char(verb);
        self.printer.write_str(&format!("({what})"));
    }

    fn flags(&mut self) {
        while let Some(byte) = self.byte() {
            let flags = &mut self.printer.flags;
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    /// Reads `[3]`, which chooses the next argument.
    fn argument_number(&mut self) {
        self.after_index = false;
        if self.byte() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let close = rest.iter().position(|&byte| byte == b']');
        let (number, len) = match close {
            Some(close) if rest.len() >= 3 => (whole_number(&rest[1..close]), close + 1),
            _ => (None, 1),
        };
        self.at += len;
        self.after_index = number.is_some();
        let index = number.and_then(|number| usize::try_from(number - 1).ok());
        match index.filter(|&index| index < self.arguments.len()) {
            Some(index) => self.next = index,
            None => self.good_number = false,
        }
    }

    fn width(&mut self) {
        if self.byte() != Some(b'*') {
            self.printer.flags.width = self.number();
            if self.after_index && self.printer.flags.width.is_some() {
                self.good_number = false;
            }
            return;
        }
        self.at += 1;
        self.after_index = false;
        let Some(width) = self.number_argument() else {
            self.printer.write_str("%!(BADWIDTH)");
            return;
        };
        if width < 0 {
            self.printer.flags.minus = true;
        }
        self.printer.flags.width = usize::try_from(width.abs()).ok();
    }

    fn precision(&mut self) {
        // A point at the very end is the verb.
        if self.byte() != Some(b'.') || self.at + 1 >= self.format.len() {
            return;
        }
        self.at += 1;
        if self.after_index {
            self.good_number = false;
        }
        self.argument_number();
        if self.byte() != Some(b'*') {
            self.printer.flags.precision = Some(self.number().unwrap_or(0));
            return;
        }
        self.at += 1;
        self.after_index = false;
        let precision = self.number_argument().unwrap_or(-1);
        self.printer.flags.precision = usize::try_from(precision).ok();
        if precision < 0 {
            self.printer.write_str("%!(BADPREC)");
        }
    }

    /// Takes an argument that is a width or a precision.
    fn number_argument(&mut self) -> Option<i64> {
        let argument = self.arguments.get(self.next)?;
        self.next += 1;
        let number = match argument {
            Value::Int(number, _) | Value::Number(number, _) => *number,
            Value::Uint(number, _) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        (-MAX_NUMBER..=MAX_NUMBER)
            .contains(&number)
            .then_some(number)
    }

    /// Takes the digits that stand here. A number that is too large takes all the rest.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.byte().filter(u8::is_ascii_digit) {
            let so_far = number.unwrap_or(0);
            if so_far > MAX_NUMBER {
                self.at = self.format.len();
                return None;
            }
            number = Some(so_far * 10 + i64::from(digit - b'0'));
            self.at += 1;
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    fn take_char(&mut self) -> Option<char> {
        let rest = &self.format[self.at..];
        if rest.is_empty() {
            return None;
        }
        let head = &rest[..rest.len().min(4)];
        let valid = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let c = valid.chars().next();
        self.at += c.map_or(1, char::len_utf8);
        Some(c.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn extra(&mut self) {
        self.printer.flags = Flags::default();
        self.printer.write_str("%!(EXTRA ");
        for (index, argument) in self.arguments[self.next..].iter().enumerate() {
            if index > 0 {
                self.printer.write_str(", ");
            }
            match argument {
                Value::Invalid | Value::Nil(crate::template::value::Type::Any) => {
                    self.printer.write_str("<nil>");
                }
                _ => {
                    self.printer.write_str(&argument.type_name());
                    self.printer.write_str("=");
                    self.printer.argument(argument, 'v');
                }
            }
        }
        self.printer.write_str(")");
    }
}

/// Reads a number that is nothing but digits.
fn whole_number(digits: &[u8]) -> Option<i64> {
    let mut number = 0;
    if digits.is_empty() {
        return None;
    }
    for digit in digits {
        if !digit.is_ascii_digit() || number > MAX_NUMBER {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::value::UintType;

    fn check(format: &str, arguments: &[Value], want: &str) {
        let got = sprintf(format.as_bytes(), arguments, 1 << 20).unwrap();
        assert_eq!(
            String::from_utf8(got).unwrap(),
            want,
            "{format} {arguments:?}"
        );
    }

    #[test]
    fn integers_have_bases_signs_and_zeros() {
        let n = [Value::int(42)];
        for (format, want) in [
            ("%d", "42"),
            ("%5d|", "   42|"),
            ("%-5d|", "42   |"),
            ("%05d", "00042"),
            ("%+d", "+42"),
            ("% d", " 42"),
            ("%.5d", "00042"),
            ("%8.5d", "   00042"),
            ("%x", "2a"),
            ("%#X", "0X2A"),
            ("%o", "52"),
            ("%#o", "052"),
            ("%O", "0o52"),
            ("%b", "101010"),
            ("%c", "*"),
            ("%q", "'*'"),
            ("%U", "U+002A"),
            ("%#U", "U+002A '*'"),
            ("%s", "%!s(int=42)"),
            ("%-05d|", "42   |"),
            ("%+05d", "+0042"),
        ] {
            check(format, &n, want);
        }
        check("%d", &[Value::int(i64::MIN)], "-9223372036854775808");
        check("%x", &[Value::int(-255)], "-ff");
        check("%.0d|", &[Value::int(0)], "|");
        check("%#v", &[Value::Uint(10, UintType::Uint8)], "0xa");
    }

    #[test]
    fn floats_are_rounded_padded_and_signed() {
        for (format, value, want) in [
            ("%f", 2.71, "2.710000"),
            ("%.2f", 2.675, "2.67"),
            ("%8.3f|", 2.3456, "   2.346|"),
            ("%08.3f", -2.3456, "-002.346"),
            ("%-8.1f|", 2.55, "2.5     |"),
            ("%+.1f", 2.0, "+2.0"),
            ("%e", 123456.789, "1.234568e+05"),
            ("%.0e", 15.0, "2e+01"),
            ("%g", 1e21, "1e+21"),
            ("%g", 123456.0, "123456"),
            ("%G", 1e-7, "1E-07"),
            ("%.3g", 1234.5678, "1.23e+03"),
            ("%#g", 1.0, "1.00000"),
            ("%#.3x", 1.0, "0x1.000p+00"),
            ("%x", 1.5, "0x1.8p+00"),
            ("%X", -0.1, "-0X1.999999999999AP-04"),
            ("%b", 1.0, "4503599627370496p-52"),
            ("%v", f64::INFINITY, "+Inf"),
            ("%5v|", f64::NAN, "  NaN|"),
            ("%05v|", f64::NEG_INFINITY, " -Inf|"),
            ("%+v", f64::NAN, "NaN"),
            ("%+f", f64::NAN, "+NaN"),
            ("% f", 1.0, " 1.000000"),
            ("%d", 1.5, "%!d(float64=1.5)"),
        ] {
            check(format, &[Value::Float(value)], want);
        }
        check("%v", &[Value::Complex(1.0, -2.5)], "(1-2.5i)");
    }

    #[test]
    fn strings_are_cut_padded_and_quoted() {
        let s = [Value::from("héllo")];
        for (format, want) in [
            ("%s", "héllo"),
            ("%8s|", "   héllo|"),
            ("%-8s|", "héllo   |"),
            ("%.2s", "hé"),
            ("%08s", "000héllo"),
            ("%q", "\"héllo\""),
            ("%+q", "\"h\\u00e9llo\""),
            ("%#q", "`héllo`"),
            ("%x", "68c3a96c6c6f"),
            ("% X", "68 C3 A9 6C 6C 6F"),
            ("%# x", "0x68 0xc3 0xa9 0x6c 0x6c 0x6f"),
            ("%.2x", "68c3"),
            ("%T", "string"),
            ("%#v", "\"héllo\""),
            ("%d", "%!d(string=héllo)"),
            ("%t", "%!t(string=héllo)"),
            ("%w", "%!w(string=héllo)"),
        ] {
            check(format, &s, want);
        }
    }

    #[test]
    fn wrong_formats_say_what_is_wrong() {
        let (one, two) = (Value::int(1), Value::int(2));
        for (format, arguments, want) in [
            ("%", vec![], "%!(NOVERB)"),
            ("%d", vec![], "%!d(MISSING)"),
            ("x", vec![one.clone()], "x%!(EXTRA int=1)"),
            ("%[2]d %[1]d", vec![one.clone(), two.clone()], "2 1"),
            ("%[3]d", vec![one.clone()], "%!d(BADINDEX)"),
            ("%[x]d", vec![one.clone()], "%!d(BADINDEX)"),
            ("%[1]5d", vec![one.clone()], "%!d(BADINDEX)"),
            ("%*d", vec![Value::int(4), two.clone()], "   2"),
            ("%*d|", vec![Value::int(-4), two.clone()], "2   |"),
            ("%.*f", vec![Value::int(1), Value::Float(2.25)], "2.2"),
            ("%*d", vec![Value::from("a"), two.clone()], "%!(BADWIDTH)2"),
            ("%.*d", vec![Value::int(-1), two.clone()], "%!(BADPREC)2"),
            ("%é", vec![one.clone()], "%!é(int=1)"),
            (
                "%100000010d",
                vec![one.clone()],
                "%!(NOVERB)%!(EXTRA int=1)",
            ),
            ("%%", vec![], "%"),
            ("%v", vec![Value::Invalid], "<nil>"),
            ("%s", vec![Value::Invalid], "%!s(<nil>)"),
        ] {
            check(format, &arguments, want);
        }
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        assert_eq!(sprintf(b"%100d", &[Value::int(1)], 99), None);
        assert_eq!(sprintf(b"%s", &[Value::from("abc")], 2), None);
    }
}
