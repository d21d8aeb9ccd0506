//! Go's layouts: a reference time, written as a time shall be written.
//!
//! A layout is cut into elements (`2006`, `Jan`, `15`, ...) and the text between them.
//! Formatting and parsing both walk them.

use super::{Civil, Time};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// How the offset of a zone is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    /// Whether UTC is written as `Z`.
    pub(super) z: bool,
    pub(super) colon: bool,
    pub(super) minutes: bool,
    pub(super) seconds: bool,
}

/// An element of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    LongMonth,
    ShortMonth,
    Month,
    ZeroMonth,
    LongWeekday,
    ShortWeekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    Offset(Offset),
    /// A fraction of so many digits, behind a point or a comma.
    Fraction {
        digits: usize,
        keeps_zeros: bool,
        separator: char,
    },
}

const OFFSETS: [(&str, Offset); 10] = [
    ("Z070000", offset(true, false, true, true)),
    ("Z07:00:00", offset(true, true, true, true)),
    ("Z0700", offset(true, false, true, false)),
    ("Z07:00", offset(true, true, true, false)),
    ("Z07", offset(true, false, false, false)),
    ("-070000", offset(false, false, true, true)),
    ("-07:00:00", offset(false, true, true, true)),
    ("-0700", offset(false, false, true, false)),
    ("-07:00", offset(false, true, true, false)),
    ("-07", offset(false, false, false, false)),
];

const fn offset(z: bool, colon: bool, minutes: bool, seconds: bool) -> Offset {
    Offset {
        z,
        colon,
        minutes,
        seconds,
    }
}

/// Finds the first element: the text before it, it, as it is written, and the rest.
pub(super) fn next_element(layout: &str) -> Option<(&str, Element, &str, &str)> {
    for (at, c) in layout.char_indices() {
        let rest = &layout[at..];
        let found = match c {
            'J' | 'M' | '0' | '1' | '2' | '_' | '3' | '4' | '5' | 'P' | 'p' | '-' | 'Z' => {
                element(rest)
            }
            '.' | ',' => fraction(rest, c),
            _ => None,
        };
        if let Some((element, len)) = found {
            // `_2006` is a year behind an underscore.
            if let Some(behind) = rest.strip_prefix("_2006") {
                return Some((&layout[..=at], Element::LongYear, "2006", behind));
            }
            return Some((&layout[..at], element, &rest[..len], &rest[len..]));
        }
    }
    None
}

fn element(rest: &str) -> Option<(Element, usize)> {
    let plain = [
        ("January", Element::LongMonth),
        ("Monday", Element::LongWeekday),
        ("MST", Element::ZoneName),
        ("01", Element::ZeroMonth),
        ("002", Element::ZeroYearDay),
        ("02", Element::ZeroDay),
        ("03", Element::ZeroHour12),
        ("04", Element::ZeroMinute),
        ("05", Element::ZeroSecond),
        ("06", Element::Year),
        ("15", Element::Hour),
        ("1", Element::Month),
        ("2006", Element::LongYear),
        ("2", Element::Day),
        ("__2", Element::UnderYearDay),
        ("_2", Element::UnderDay),
        ("3", Element::Hour12),
        ("4", Element::Minute),
        ("5", Element::Second),
        ("PM", Element::UpperPm),
        ("pm", Element::LowerPm),
    ];
    if let Some((text, element)) = plain.iter().find(|(text, _)| rest.starts_with(text)) {
        return Some((*element, text.len()));
    }
    // A short name that goes on in lower case is part of a word.
    for (text, element) in [("Jan", Element::ShortMonth), ("Mon", Element::ShortWeekday)] {
        if let Some(behind) = rest.strip_prefix(text)
            && !behind.starts_with(|c: char| c.is_ascii_lowercase())
        {
            return Some((element, 3));
        }
    }
    OFFSETS
        .iter()
        .find(|(text, _)| rest.starts_with(text))
        .map(|(text, offset)| (Element::Offset(*offset), text.len()))
}

fn fraction(rest: &str, separator: char) -> Option<(Element, usize)> {
    let digit = rest[1..]
        .chars()
        .next()
        .filter(|c| matches!(c, '0' | '9'))?;
    let digits = rest[1..].chars().take_while(|&c| c == digit).count();
    // A longer number is no fraction of the layout.
    if rest[1 + digits..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let element = Element::Fraction {
        digits,
        keeps_zeros: digit == '0',
        separator,
    };
    Some((element, 1 + digits))
}

impl Time {
    /// Writes the time as a layout says.
    pub(crate) fn format(&self, layout: &str) -> String {
        let civil = self.civil();
        let mut out = String::with_capacity(layout.len() + 10);
        let mut rest = layout;
        while let Some((before, element, _, behind)) = next_element(rest) {
            out.push_str(before);
            self.push_element(&mut out, &civil, element);
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    fn push_element(&self, out: &mut String, civil: &Civil, element: Element) {
        let month = MONTHS[(civil.month - 1).clamp(0, 11) as usize];
        let weekday = DAYS[civil.weekday.clamp(0, 6) as usize];
        let hour12 = match civil.hour % 12 {
            0 => 12,
            hour => hour,
        };
        let text = match element {
            Element::LongMonth => month.to_owned(),
            Element::ShortMonth => month[..3].to_owned(),
            Element::Month => civil.month.to_string(),
            Element::ZeroMonth => format!("{:02}", civil.month),
            Element::LongWeekday => weekday.to_owned(),
            Element::ShortWeekday => weekday[..3].to_owned(),
            Element::Day => civil.day.to_string(),
            Element::UnderDay => format!("{:2}", civil.day),
            Element::ZeroDay => format!("{:02}", civil.day),
            Element::UnderYearDay => format!("{:3}", civil.year_day),
            Element::ZeroYearDay => format!("{:03}", civil.year_day),
            Element::Hour => format!("{:02}", civil.hour),
            Element::Hour12 => hour12.to_string(),
            Element::ZeroHour12 => format!("{hour12:02}"),
            Element::Minute => civil.minute.to_string(),
            Element::ZeroMinute => format!("{:02}", civil.minute),
            Element::Second => civil.second.to_string(),
            Element::ZeroSecond => format!("{:02}", civil.second),
            Element::LongYear if civil.year < 0 => format!("-{:04}", -civil.year),
            Element::LongYear => format!("{:04}", civil.year),
            Element::Year => format!("{:02}", civil.year.max(0) % 100),
            Element::UpperPm => if civil.hour >= 12 { "PM" } else { "AM" }.to_owned(),
            Element::LowerPm => if civil.hour >= 12 { "pm" } else { "am" }.to_owned(),
            Element::ZoneName => zone_name(civil),
            Element::Offset(offset) => offset_text(civil.offset_seconds, offset),
            Element::Fraction {
                digits,
                keeps_zeros,
                separator,
            } => fraction_text(self.nanos, digits, keeps_zeros, separator),
        };
        out.push_str(&text);
    }
}

fn zone_name(civil: &Civil) -> String {
    if !civil.zone.is_empty() {
        return civil.zone.clone();
    }
    // Without a name the offset stands for it.
    let minutes = civil.offset_seconds / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    format!("{sign}{hours:02}{minutes:02}")
}

fn offset_text(seconds: i64, offset: Offset) -> String {
    if offset.z && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds / 60 < 0 { '-' } else { '+' };
    let total = (seconds / 60).abs();
    let colon = if offset.colon { ":" } else { "" };
    let mut text = format!("{sign}{:02}", total / 60);
    if offset.minutes {
        text.push_str(&format!("{colon}{:02}", total % 60));
    }
    if offset.seconds {
        text.push_str(&format!("{colon}{:02}", (seconds % 60).abs()));
    }
    text
}

fn fraction_text(nanos: u32, digits: usize, keeps_zeros: bool, separator: char) -> String {
    let mut text = format!("{nanos:09}");
    text.truncate(digits.min(9));
    if !keeps_zeros {
        text.truncate(text.trim_end_matches('0').len());
        if text.is_empty() {
            return text;
        }
    }
    format!("{separator}{text}")
}
