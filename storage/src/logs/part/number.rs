//! Numbers as they are written in lines: exactly, or not at all.

/// Most digits of a number that is kept as an integer.
const MAX_DIGITS: usize = 18;

/// How the numbers of a page are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spelling {
    /// Digits behind the point that an integer stands for.
    pub scale: u8,
    /// Digits behind the point that are written even where they are zero.
    pub least: u8,
}

/// A number of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    digits: i64,
    /// Digits behind the point.
    fraction: u8,
}

/// Reads a number in the one spelling that it can have: no zeros in front, no plus, no
/// exponent, no minus in front of nothing but zeros.
fn parse(text: &[u8]) -> Option<Written> {
    let (negative, rest) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    if rest.len() > MAX_DIGITS + 1 {
        return None;
    }
    let (mut digits, mut point) = (0i64, None);
    for (i, &byte) in rest.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits = digits
                    .checked_mul(10)?
                    .checked_add(i64::from(byte - b'0'))?
            }
            b'.' if point.is_none() && i > 0 => point = Some(i),
            _ => return None,
        }
    }
    let whole = point.unwrap_or(rest.len());
    let fraction = match point {
        Some(i) => rest.len() - i - 1,
        None => 0,
    };
    let zeros = whole > 1 && rest[0] == b'0';
    let dangling = point.is_some() && fraction == 0;
    if whole == 0 || zeros || dangling || (negative && digits == 0) {
        return None;
    }
    Some(Written {
        digits: if negative { -digits } else { digits },
        fraction: fraction as u8,
    })
}

/// Reads all values as numbers of one spelling; `None` where one of them is no such number.
pub(super) fn parse_all(values: &[&[u8]], out: &mut Vec<i64>) -> Option<Spelling> {
    out.clear();
    let mut written = Vec::with_capacity(values.len());
    let mut spelling = Spelling {
        scale: 0,
        least: u8::MAX,
    };
    for value in values {
        let number = parse(value)?;
        spelling.scale = spelling.scale.max(number.fraction);
        spelling.least = spelling.least.min(number.fraction);
        written.push(number);
    }
    if written.is_empty() {
        return None;
    }
    for (number, value) in written.iter().zip(values) {
        let ends_in_zero = value.last() == Some(&b'0');
        if number.fraction > spelling.least && ends_in_zero {
            return None;
        }
        let power = 10i64.checked_pow(u32::from(spelling.scale - number.fraction))?;
        let scaled = number.digits.checked_mul(power)?;
        // Differences of two of them fit an integer, too.
        if scaled.unsigned_abs() >= 1 << 62 {
            return None;
        }
        out.push(scaled);
    }
    Some(spelling)
}

/// Appends a number as it was written.
pub(super) fn write(number: i64, spelling: Spelling, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    if spelling.scale == 0 {
        out.extend_from_slice(buffer.format(number).as_bytes());
        return;
    }
    if number < 0 {
        out.push(b'-');
    }
    let power = 10u64.pow(u32::from(spelling.scale));
    let (whole, mut fraction) = (number.unsigned_abs() / power, number.unsigned_abs() % power);
    out.extend_from_slice(buffer.format(whole).as_bytes());
    let mut digits = spelling.scale;
    while digits > spelling.least && fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    if digits == 0 {
        return;
    }
    out.push(b'.');
    let start = out.len();
    out.resize(start + usize::from(digits), b'0');
    for byte in out[start..].iter_mut().rev() {
        *byte = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
}

/// Tells whether numbers from `least` to `most` may have a text in them.
pub(super) fn may_write(spelling: Spelling, (least, most): (i64, i64), text: &[u8]) -> bool {
    // Most texts are told by their first byte.
    let may_be = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    if !text.iter().all(may_be) {
        return false;
    }
    let Some(power) = 10u64.checked_pow(u32::from(spelling.scale)) else {
        return true;
    };
    let largest = least.unsigned_abs().max(most.unsigned_abs());
    let n_whole = (largest / power).checked_ilog10().unwrap_or(0) as usize + 1;
    let n_fraction = usize::from(spelling.scale);
    let unsigned = match text.split_first() {
        Some((b'-', rest)) if least < 0 => rest,
        _ => text,
    };
    let mut parts = unsigned.split(|&byte| byte == b'.');
    let (Some(first), second, None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let mut digits = first.iter().chain(second.unwrap_or_default());
    if !digits.all(u8::is_ascii_digit) {
        return false;
    }
    match second {
        Some(second) => n_fraction > 0 && first.len() <= n_whole && second.len() <= n_fraction,
        None if unsigned.len() < text.len() => first.len() <= n_whole,
        // All digits of a number there are: it is one of these.
        None if n_fraction == 0 && least >= 0 && first.len() == n_whole => {
            parse(first).is_some_and(|found| (least..=most).contains(&found.digits))
        }
        None => first.len() <= n_whole.max(n_fraction),
    }
}

/// Returns how many bytes [`write`] appends.
pub(super) fn len(number: i64, spelling: Spelling) -> usize {
    let sign = usize::from(number < 0);
    if spelling.scale == 0 {
        return sign + digits(number.unsigned_abs());
    }
    let power = 10u64.pow(u32::from(spelling.scale));
    let (whole, mut fraction) = (number.unsigned_abs() / power, number.unsigned_abs() % power);
    let mut behind = spelling.scale;
    while behind > spelling.least && fraction.is_multiple_of(10) {
        fraction /= 10;
        behind -= 1;
    }
    sign + digits(whole) + usize::from(behind) + usize::from(behind > 0)
}

/// Counts the digits of an integer.
pub(super) fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Largest scale that a file may say.
pub(super) const MAX_SCALE: u8 = MAX_DIGITS as u8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(texts: &[&str]) -> Option<Spelling> {
        let values: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let mut numbers = Vec::new();
        let spelling = parse_all(&values, &mut numbers)?;
        for (&number, value) in numbers.iter().zip(values) {
            let mut out = Vec::new();
            write(number, spelling, &mut out);
            assert_eq!(out, value);
            assert_eq!(len(number, spelling), value.len());
        }
        Some(spelling)
    }

    #[test]
    fn keeps_one_spelling_of_a_number() {
        for text in [
            "0",
            "7",
            "-7",
            "0.5",
            "-0.05",
            "1.50",
            "123456789012345678",
            "0.0",
        ] {
            assert!(round_trip(&[text]).is_some(), "{text}");
        }
        for text in [
            "",
            "-",
            "00",
            "01",
            "-0",
            "-0.0",
            "1.",
            ".5",
            "+1",
            "1e5",
            "1.0e5",
            "1.2.3",
            "a",
            "5000000000000000000",
            "9223372036854775808",
            "1 ",
        ] {
            assert_eq!(round_trip(&[text]), None, "{text}");
        }
    }

    #[test]
    fn several_numbers_share_a_spelling_where_zeros_allow() {
        let shortest = round_trip(&["1", "2.5", "10", "0.125", "-3.75"]);
        assert_eq!(shortest, Some(Spelling { scale: 3, least: 0 }));
        let fixed = round_trip(&["1.00", "2.50", "0.12"]);
        assert_eq!(fixed, Some(Spelling { scale: 2, least: 2 }));
        let one = round_trip(&["1.0", "2.5", "0.25"]);
        assert_eq!(one, Some(Spelling { scale: 2, least: 1 }));
        assert_eq!(round_trip(&["1.5", "2.50"]), None);
        assert_eq!(round_trip(&["100000000000000000", "0.00001"]), None);
    }

    #[test]
    fn what_no_number_has_is_known() {
        let may = |scale, least, most, text: &str| {
            may_write(Spelling { scale, least: 0 }, (least, most), text.as_bytes())
        };
        assert!(may(0, 200, 599, "50") && may(0, 200, 599, "503") && may(0, 0, 7, ""));
        assert!(!may(0, 200, 599, "600") && !may(0, 200, 599, "5030") && !may(0, 200, 599, "5."));
        assert!(!may(0, 200, 599, "-5") && may(0, -7, 599, "-5") && !may(0, -7, 599, "5-"));
        assert!(may(3, 800, 40_000, "0.8") && may(3, 800, 40_000, "40.000"));
        assert!(!may(3, 800, 40_000, "140.0") && !may(3, 800, 40_000, "1.0001"));
        assert!(may(3, 800, 40_000, "123") && !may(3, 800, 40_000, "1234"));
        assert!(may(3, 800, 40_000, ".") && !may(0, 0, 9, ".") && !may(3, 0, 9, "0.0.0"));
        assert!(may(200, 0, 9, "1"));
        assert!(!may(0, 100, 999, "012") && may(0, 100, 9999, "012"));
    }

    proptest! {
        #[test]
        fn a_part_of_a_number_is_never_denied(
            texts in prop::collection::vec("-?[0-9]{1,4}(\\.[0-9]{1,3})?", 1..4),
            part: (prop::sample::Index, prop::sample::Index, prop::sample::Index),
        ) {
            let values: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
            let mut numbers = Vec::new();
            if let Some(spelling) = parse_all(&values, &mut numbers) {
                let bounds = (*numbers.iter().min().unwrap(), *numbers.iter().max().unwrap());
                let value = part.0.get(&values);
                let [a, b] = [part.1, part.2].map(|i| i.index(value.len() + 1));
                prop_assert!(may_write(spelling, bounds, &value[a.min(b)..a.max(b)]));
            }
        }

        #[test]
        fn what_is_read_is_written_again(texts in prop::collection::vec("-?[0-9]{1,3}(\\.[0-9]{0,3})?", 1..5)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            round_trip(&texts);
        }
    }
}
