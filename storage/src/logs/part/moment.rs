//! Times that stand in a line, told by how far they are from the time of the entry.

use std::ops::Range;

use smallvec::SmallVec;

/// How the times of a page are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    style: Style,
    /// Digits of the fraction of a second, or of a second as an integer.
    digits: u8,
    suffix: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `2026-08-01T10:00:00.123`, with a mark between day and time, and one in front of
    /// the fraction.
    Iso { day_end: u8, point: u8 },
    /// `01/Aug/2026:10:00:00`.
    Clf,
    /// An integer of seconds, or parts of them.
    Epoch,
}

const SUFFIXES: [&[u8]; 4] = [b"", b"Z", b"+00:00", b"+0000"];
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const SECOND_NS: i64 = 1_000_000_000;

/// Bytes of `2026-08-01T10:00:00`.
const ISO_LEN: usize = 19;

/// Bytes of `01/Aug/2026:10:00:00`.
const CLF_LEN: usize = 20;

/// Furthest that a time may be from the one of the entry, in nanoseconds.
const MAX_AWAY_NS: i64 = 2 * 86_400 * SECOND_NS;

/// Years whose days are counted here; all times in 64 bits of nanoseconds are in them.
const YEARS: Range<i64> = 1700..2262;

impl Layout {
    /// Guesses the layout from one value of an entry.
    pub(super) fn guess(text: &[u8], t_ns: i64) -> Option<Layout> {
        let layout = if text.iter().all(u8::is_ascii_digit) {
            if !matches!(text.len(), 10 | 13 | 16 | 19) {
                return None;
            }
            Layout {
                style: Style::Epoch,
                digits: text.len() as u8 - 10,
                suffix: 0,
            }
        } else if text.len() == CLF_LEN && text[2] == b'/' {
            Layout {
                style: Style::Clf,
                digits: 0,
                suffix: 0,
            }
        } else {
            let rest = text.get(ISO_LEN..)?;
            let suffix = SUFFIXES.iter().rposition(|suffix| rest.ends_with(suffix))?;
            let fraction = &rest[..rest.len() - SUFFIXES[suffix].len()];
            let (point, digits) = match fraction.split_first() {
                None => (b'.', 0),
                Some((&point @ (b'.' | b','), digits)) if (1..=9).contains(&digits.len()) => {
                    (point, digits.len() as u8)
                }
                _ => return None,
            };
            let day_end = text[10];
            Layout {
                style: Style::Iso { day_end, point },
                digits,
                suffix: suffix as u8,
            }
        };
        layout.distance(text, t_ns).map(|_| layout)
    }

    /// Nanoseconds of the last digit.
    fn unit_ns(self) -> i64 {
        10i64.pow(9 - u32::from(self.digits.min(9)))
    }

    /// Returns how many units a time is behind the one of its entry, where it is written
    /// in this very layout.
    pub(super) fn distance(self, text: &[u8], t_ns: i64) -> Option<i64> {
        let units = self.parse(text)?;
        let distance = t_ns.div_euclid(self.unit_ns()).checked_sub(units)?;
        if distance.unsigned_abs() > (MAX_AWAY_NS / self.unit_ns()).unsigned_abs() {
            return None;
        }
        Some(distance)
    }

    /// Reads a time as units since the epoch; `None` for all but what [`Layout::write`]
    /// writes.
    fn parse(self, text: &[u8]) -> Option<i64> {
        let per_second = SECOND_NS / self.unit_ns();
        match self.style {
            Style::Epoch => {
                let right = text.len() == 10 + usize::from(self.digits) && text[0] != b'0';
                right.then(|| number(text)).flatten()
            }
            Style::Clf => {
                let marks = [2, 6, 11, 14, 17].map(|i| text.get(i).copied().unwrap_or(0));
                if text.len() != CLF_LEN || &marks != b"//:::" {
                    return None;
                }
                let month = MONTHS.chunks(3).position(|month| month == &text[3..6])?;
                let day = day_number(number(&text[7..11])?, month as i64 + 1, number(&text[..2])?)?;
                seconds(day, &text[12..20])
            }
            Style::Iso { day_end, point } => {
                let whole = text.get(..ISO_LEN)?;
                if whole[4] != b'-' || whole[7] != b'-' || whole[10] != day_end {
                    return None;
                }
                let parts = [&whole[..4], &whole[5..7], &whole[8..10]].map(number);
                let [Some(year), Some(month), Some(day)] = parts else {
                    return None;
                };
                let seconds = seconds(day_number(year, month, day)?, &whole[11..])?;
                let mut rest = &text[ISO_LEN..];
                let mut units = seconds.checked_mul(per_second)?;
                if self.digits > 0 {
                    let (&found, digits) = rest.split_first()?;
                    let digits_len = usize::from(self.digits);
                    if found != point || digits.len() < digits_len {
                        return None;
                    }
                    units = units.checked_add(number(&digits[..digits_len])?)?;
                    rest = &digits[digits_len..];
                }
                (rest == SUFFIXES[usize::from(self.suffix)]).then_some(units)
            }
        }
    }

    /// Appends the time that is `distance` units in front of that of its entry.
    pub(super) fn write(self, t_ns: i64, distance: i64, out: &mut Vec<u8>) {
        let units = t_ns.div_euclid(self.unit_ns()).wrapping_sub(distance);
        let per_second = SECOND_NS / self.unit_ns();
        if self.style == Style::Epoch {
            let mut buffer = itoa::Buffer::new();
            out.extend_from_slice(buffer.format(units).as_bytes());
            return;
        }
        self.write_second(units.div_euclid(per_second), out);
        self.write_rest(units.rem_euclid(per_second), out);
    }

    /// Appends a second.
    fn write_second(self, seconds: i64, out: &mut Vec<u8>) {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        match self.style {
            Style::Clf => {
                two(day, b'/', out);
                let at = (month as usize - 1).min(11) * 3;
                out.extend_from_slice(&MONTHS[at..at + 3]);
                out.push(b'/');
                two(year / 100, 0, out);
                two(year % 100, b':', out);
            }
            Style::Epoch => {}
            Style::Iso { day_end, .. } => {
                two(year / 100, 0, out);
                two(year % 100, b'-', out);
                two(month, b'-', out);
                two(day, day_end, out);
            }
        }
        two(hour, b':', out);
        two(minute, b':', out);
        two(second, 0, out);
    }

    /// Appends what follows a second.
    fn write_rest(self, mut fraction: i64, out: &mut Vec<u8>) {
        let Style::Iso { point, .. } = self.style else {
            return;
        };
        if self.digits > 0 {
            let mut digits = [b'0'; 10];
            let digits = &mut digits[..=usize::from(self.digits.min(9))];
            digits[0] = point;
            for byte in digits[1..].iter_mut().rev() {
                *byte = b'0' + (fraction % 10) as u8;
                fraction /= 10;
            }
            out.extend_from_slice(digits);
        }
        out.extend_from_slice(SUFFIXES[usize::from(self.suffix)]);
    }

    /// Calls `text` for what is around the runs of digits of all times and `width` for the
    /// digits of each, 0 for a number without zeros in front; `None` where there are letters
    /// that differ, or marks that are digits.
    pub(super) fn form(self, mut text: impl FnMut(&[u8]), mut width: impl FnMut(u8)) -> Option<()> {
        text(b"");
        match self.style {
            Style::Clf => return None,
            Style::Epoch => width(0),
            Style::Iso { day_end, point } => {
                if day_end.is_ascii_digit() || point.is_ascii_digit() {
                    return None;
                }
                width(4);
                for mark in [b'-', b'-', day_end, b':', b':'] {
                    text(&[mark]);
                    width(2);
                }
                if self.digits > 0 {
                    text(&[point]);
                    width(self.digits);
                }
            }
        }
        match (self.style, SUFFIXES[usize::from(self.suffix)]) {
            (Style::Epoch, _) => text(b""),
            (_, b"+00:00") => {
                text(b"+");
                width(2);
                text(b":");
                width(2);
                text(b"");
            }
            (_, b"+0000") => {
                text(b"+");
                width(4);
                text(b"");
            }
            (_, suffix) => text(suffix),
        }
        Some(())
    }

    /// Returns the units since the epoch of the time that is `distance` units in front of
    /// that of its entry.
    pub(super) fn units(self, t_ns: i64, distance: i64) -> i64 {
        t_ns.div_euclid(self.unit_ns()).wrapping_sub(distance)
    }

    /// Returns the number that a time, in units, has as one of the runs of [`Layout::form`].
    #[inline]
    pub(super) fn run(self, units: i64, run: usize) -> u64 {
        if self.style == Style::Epoch {
            return units.cast_unsigned();
        }
        let per_second = SECOND_NS / self.unit_ns();
        if run == 6 && self.digits > 0 {
            return units.rem_euclid(per_second).cast_unsigned();
        }
        let seconds = units.div_euclid(per_second);
        let of_day = seconds.rem_euclid(86_400);
        let number = match run {
            0 => date(seconds.div_euclid(86_400)).0,
            1 => date(seconds.div_euclid(86_400)).1,
            2 => date(seconds.div_euclid(86_400)).2,
            3 => of_day / 3600,
            4 => of_day / 60 % 60,
            5 => of_day % 60,
            // Of the suffix.
            _ => 0,
        };
        number.cast_unsigned()
    }

    /// Tells whether a time may have a text in it, in whatever case.
    pub(super) fn may_write(self, text: &[u8]) -> bool {
        // A 0 stands for any digit, an A for any letter.
        let mut form: SmallVec<[u8; 40]> = SmallVec::new();
        let digits = usize::from(self.digits);
        match self.style {
            Style::Epoch => return text.len() <= 20 && text.iter().all(u8::is_ascii_digit),
            Style::Clf => form.extend_from_slice(b"00/AAA/0000:00:00:00"),
            Style::Iso { day_end, point } => {
                form.extend_from_slice(b"0000-00-00");
                form.push(day_end);
                form.extend_from_slice(b"00:00:00");
                if digits > 0 {
                    form.push(point);
                    form.resize(form.len() + digits, b'0');
                }
                form.extend_from_slice(SUFFIXES[usize::from(self.suffix)]);
            }
        }
        let fits = |(form, byte): (&u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_alphabetic(),
            fixed => fixed.eq_ignore_ascii_case(byte),
        };
        text.is_empty()
            || form
                .windows(text.len())
                .any(|form| form.iter().zip(text).all(fits))
    }

    /// Returns how many bytes [`Layout::write`] appends, where that is always as many.
    pub(super) fn len(self) -> Option<usize> {
        match self.style {
            Style::Epoch => None,
            Style::Clf => Some(CLF_LEN),
            Style::Iso { .. } => {
                let fraction = usize::from(self.digits) + usize::from(self.digits > 0);
                Some(ISO_LEN + fraction + SUFFIXES[usize::from(self.suffix)].len())
            }
        }
    }

    /// Returns the layout in five bytes.
    pub(super) fn encode(self) -> [u8; 5] {
        let (style, day_end, point) = match self.style {
            Style::Iso { day_end, point } => (0, day_end, point),
            Style::Clf => (1, 0, 0),
            Style::Epoch => (2, 0, 0),
        };
        [style, day_end, point, self.digits, self.suffix]
    }

    /// Reads what [`Layout::encode`] gave.
    pub(super) fn decode([style, day_end, point, digits, suffix]: [u8; 5]) -> Option<Layout> {
        let style = match style {
            0 => Style::Iso { day_end, point },
            1 => Style::Clf,
            2 => Style::Epoch,
            _ => return None,
        };
        let right = digits <= 9 && usize::from(suffix) < SUFFIXES.len();
        right.then_some(Layout {
            style,
            digits,
            suffix,
        })
    }
}

/// Writes many times, of which several in a row are often of one second.
pub(super) struct Clock {
    layout: Layout,
    second: Option<i64>,
    /// The second as it is written.
    text: Vec<u8>,
}

impl Clock {
    pub(super) fn new(layout: Layout) -> Clock {
        Clock {
            layout,
            second: None,
            text: Vec::new(),
        }
    }

    /// As [`Layout::write`].
    pub(super) fn write(&mut self, t_ns: i64, distance: i64, out: &mut Vec<u8>) {
        if self.layout.style == Style::Epoch {
            return self.layout.write(t_ns, distance, out);
        }
        let unit_ns = self.layout.unit_ns();
        let units = t_ns.div_euclid(unit_ns).wrapping_sub(distance);
        let (second, fraction) = (
            units.div_euclid(SECOND_NS / unit_ns),
            units.rem_euclid(SECOND_NS / unit_ns),
        );
        if self.second.replace(second) != Some(second) {
            self.text.clear();
            self.layout.write_second(second, &mut self.text);
        }
        out.extend_from_slice(&self.text);
        self.layout.write_rest(fraction, out);
    }
}

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0i64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends two digits and a mark, where it is not 0.
fn two(value: i64, mark: u8, out: &mut Vec<u8>) {
    let value = value.rem_euclid(100) as u8;
    out.push(b'0' + value / 10);
    out.push(b'0' + value % 10);
    if mark != 0 {
        out.push(mark);
    }
}

/// Reads `10:00:00` behind a day.
fn seconds(day: i64, text: &[u8]) -> Option<i64> {
    if text.len() != 8 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (
        number(&text[..2])?,
        number(&text[3..5])?,
        number(&text[6..])?,
    );
    let right = hour < 24 && minute < 60 && second < 60;
    right.then(|| day * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Returns the days from the epoch to a date that exists.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    if !YEARS.contains(&year) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of them.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (date(days) == (year, month, day)).then_some(days)
}

/// Returns year, month and day of a number of days since the epoch.
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T_NS: i64 = 1_785_578_400_123_456_789;

    fn check(text: &str) {
        let layout = Layout::guess(text.as_bytes(), T_NS).unwrap_or_else(|| unreachable!("{text}"));
        let distance = layout.distance(text.as_bytes(), T_NS).unwrap();
        let layout = Layout::decode(layout.encode()).unwrap();
        let mut out = Vec::new();
        layout.write(T_NS, distance, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        for start in 0..text.len() {
            for end in start..=text.len() {
                assert!(layout.may_write(text[start..end].to_ascii_lowercase().as_bytes()));
            }
        }
        for absent in ["12345678901", "0::", "?", &format!("{text}0")] {
            let is_epoch = text.bytes().all(|byte| byte.is_ascii_digit());
            assert!(
                is_epoch || !layout.may_write(absent.as_bytes()),
                "{absent} in {text}"
            );
        }
    }

    #[test]
    fn a_clock_writes_the_same_times() {
        for text in [
            "2026-08-01T10:00:00.123Z",
            "01/Aug/2026:10:00:00",
            "1785578400123",
        ] {
            let layout = Layout::guess(text.as_bytes(), T_NS).unwrap();
            let mut clock = Clock::new(layout);
            for i in 0..2000 {
                let (t_ns, distance) = (T_NS + i * 7_654_321, i % 3 - 1);
                let (mut one, mut other) = (Vec::new(), Vec::new());
                layout.write(t_ns, distance, &mut one);
                clock.write(t_ns, distance, &mut other);
                assert_eq!(one, other);
            }
        }
    }

    #[test]
    fn times_come_back_as_they_are_written() {
        for text in [
            "2026-08-01T10:00:00.123456789Z",
            "2026-08-01T10:00:00Z",
            "2026-08-01 09:59:58,001",
            "2026-08-01T10:00:00.1+00:00",
            "2026-07-31T23:59:59.999+0000",
            "01/Aug/2026:10:00:00",
            "1785578400",
            "1785578400123",
            "1785578400123456",
            "1785578400123456789",
        ] {
            check(text);
        }
    }

    #[test]
    fn what_is_no_such_time_is_refused() {
        for text in [
            "2026-02-30T10:00:00Z",
            "2026-08-01T24:00:00Z",
            "2026-08-01T10:00:60Z",
            "2026-08-01T10:00:00.Z",
            "2026-08-01T10:00:00.1234567890Z",
            "2025-08-01T10:00:00Z",
            "31/Feb/2026:10:00:00",
            "0785578400",
            "",
            "2026",
        ] {
            assert_eq!(Layout::guess(text.as_bytes(), T_NS), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_day_has_its_number(days in -90_000i64..100_000) {
            let (year, month, day) = date(days);
            prop_assert_eq!(day_number(year, month, day), Some(days));
        }

        #[test]
        fn any_text_is_refused_or_written_again(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z?", away in -9_000_000_000_000i64..9_000_000_000_000) {
            if let Some(layout) = Layout::guess(text.as_bytes(), T_NS + away) {
                let distance = layout.distance(text.as_bytes(), T_NS + away).unwrap();
                let mut out = Vec::new();
                layout.write(T_NS + away, distance, &mut out);
                prop_assert_eq!(out, text.into_bytes());
            }
        }
    }
}
