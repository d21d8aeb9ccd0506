//! Reading a time by a layout, as Go's `time.ParseInLocation` does.

use super::layout::{DAYS, Element, MONTHS, Offset, next_element};
use super::{Civil, Time, Zone};

/// What was read so far. Fields that no element gave keep their start.
struct Read {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i64>,
    zone_name: String,
}

/// Reads a text; what it does not say about the zone is `zone`. `None` where the text
/// does not follow the layout, or names no time.
pub(crate) fn parse(layout: &str, text: &str, zone: &Zone) -> Option<Time> {
    let mut read = Read {
        year: 0,
        month: None,
        day: None,
        year_day: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        afternoon: None,
        utc: false,
        offset: None,
        zone_name: String::new(),
    };
    let (mut layout, mut text) = (layout, text);
    while let Some((before, element, _, behind)) = next_element(layout) {
        text = skip(text, before)?;
        text = read.element(element, text, behind)?;
        layout = behind;
    }
    text = skip(text, layout)?;
    text.is_empty().then_some(())?;
    read.finish(zone)
}

/// Takes the text between two elements. A space stands for any number of spaces.
fn skip<'t>(mut text: &'t str, mut before: &str) -> Option<&'t str> {
    while let Some(c) = before.chars().next() {
        if c == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            before = before.trim_start_matches(' ');
            text = text.trim_start_matches(' ');
            continue;
        }
        before = &before[c.len_utf8()..];
        text = text.strip_prefix(c)?;
    }
    Some(text)
}

/// Takes a number of `min` to `max` digits.
fn digits(text: &str, min: usize, max: usize) -> Option<(i64, &str)> {
    let len = text
        .bytes()
        .take(max)
        .take_while(u8::is_ascii_digit)
        .count();
    if len < min {
        return None;
    }
    Some((text[..len].parse().ok()?, &text[len..]))
}

/// Takes one of some names, in any case.
fn lookup<'t>(names: &[&str], len: Option<usize>, text: &'t str) -> Option<(i64, &'t str)> {
    for (index, name) in names.iter().enumerate() {
        let name = len.map_or(*name, |len| &name[..len]);
        let head = text.get(..name.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(name)) {
            return Some((index as i64, &text[name.len()..]));
        }
    }
    None
}

impl Read {
    /// Takes one element from a text. `behind` is the rest of the layout.
    fn element<'t>(&mut self, element: Element, text: &'t str, behind: &str) -> Option<&'t str> {
        let (value, rest) = match element {
            Element::LongYear => {
                if !text.starts_with(|c: char| c.is_ascii_digit()) {
                    return None;
                }
                let (year, rest) = digits(text, 4, 4)?;
                self.year = year;
                return Some(rest);
            }
            Element::Year => {
                let (year, rest) = digits(text, 2, 2)?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
                return Some(rest);
            }
            Element::LongMonth => lookup(&MONTHS, None, text)?,
            Element::ShortMonth => lookup(&MONTHS, Some(3), text)?,
            Element::LongWeekday => return lookup(&DAYS, None, text).map(|(_, rest)| rest),
            Element::ShortWeekday => return lookup(&DAYS, Some(3), text).map(|(_, rest)| rest),
            Element::UnderDay => digits(text.strip_prefix(' ').unwrap_or(text), 1, 2)?,
            Element::UnderYearDay => {
                let text = text.strip_prefix(' ').unwrap_or(text);
                digits(text.strip_prefix(' ').unwrap_or(text), 1, 3)?
            }
            Element::ZeroYearDay => digits(text, 3, 3)?,
            Element::Hour => digits(text, 1, 2)?,
            Element::Day | Element::Month | Element::Hour12 | Element::Minute | Element::Second => {
                digits(text, 1, 2)?
            }
            Element::ZeroDay
            | Element::ZeroMonth
            | Element::ZeroHour12
            | Element::ZeroMinute
            | Element::ZeroSecond => digits(text, 2, 2)?,
            Element::UpperPm | Element::LowerPm => {
                let (afternoon, morning) = match element {
                    Element::UpperPm => ("PM", "AM"),
                    _ => ("pm", "am"),
                };
                let (head, rest) = text.split_at_checked(2)?;
                self.afternoon = match head {
                    head if head == afternoon => Some(true),
                    head if head == morning => Some(false),
                    _ => return None,
                };
                return Some(rest);
            }
            Element::ZoneName => return self.zone_name(text),
            Element::Offset(offset) => return self.offset(offset, text),
            Element::Fraction {
                digits: count,
                keeps_zeros,
                ..
            } => return self.fraction(text, count, keeps_zeros),
        };
        match element {
            Element::LongMonth | Element::ShortMonth => self.month = Some(value + 1),
            Element::Month | Element::ZeroMonth => {
                self.month = Some(value).filter(|month| (1..=12).contains(month));
                self.month?;
            }
            Element::Day | Element::UnderDay | Element::ZeroDay => self.day = Some(value),
            Element::UnderYearDay | Element::ZeroYearDay => self.year_day = Some(value),
            Element::Hour => self.hour = Some(value).filter(|hour| *hour < 24)?,
            Element::Hour12 | Element::ZeroHour12 => {
                self.hour = Some(value).filter(|hour| *hour <= 12)?;
            }
            Element::Minute | Element::ZeroMinute => {
                self.minute = Some(value).filter(|minute| *minute < 60)?;
            }
            _ => {
                self.second = Some(value).filter(|second| *second < 60)?;
                return self.unasked_fraction(rest, behind);
            }
        }
        Some(rest)
    }

    /// Takes a fraction that stands behind the seconds without being asked for.
    fn unasked_fraction<'t>(&mut self, text: &'t str, behind: &str) -> Option<&'t str> {
        let mut chars = text.chars();
        let starts = matches!(chars.next(), Some('.' | ','))
            && chars.next().is_some_and(|c| c.is_ascii_digit());
        let asked = matches!(
            next_element(behind),
            Some(("", Element::Fraction { .. }, ..))
        );
        if !starts || asked {
            return Some(text);
        }
        let count = text[1..].bytes().take_while(u8::is_ascii_digit).count();
        self.fraction(text, count, true)
    }

    fn fraction<'t>(&mut self, text: &'t str, count: usize, exact: bool) -> Option<&'t str> {
        let separator = text.starts_with(['.', ',']);
        let found = match separator {
            true => text[1..].bytes().take_while(u8::is_ascii_digit).count(),
            false => 0,
        };
        let len = match exact {
            true if found < count || !separator => return None,
            true => count,
            // Nothing there is fine where zeros are left out.
            false if found == 0 => return Some(text),
            false => found,
        };
        let (fraction, rest) = text[1..].split_at(len);
        let nanos: String = fraction
            .chars()
            .chain("000000000".chars())
            .take(9)
            .collect();
        self.nanos = nanos.parse().ok()?;
        Some(rest)
    }

    fn offset<'t>(&mut self, offset: Offset, text: &'t str) -> Option<&'t str> {
        if offset.z && text.starts_with('Z') {
            self.utc = true;
            return Some(&text[1..]);
        }
        let sign = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, mut rest) = digits(&text[1..], 2, 2)?;
        let mut seconds = hours * 3600;
        for (wanted, unit) in [(offset.minutes, 60), (offset.seconds, 1)] {
            if wanted {
                if offset.colon {
                    rest = rest.strip_prefix(':')?;
                }
                let (value, behind) = digits(rest, 2, 2)?;
                if value > 60 {
                    return None;
                }
                seconds += value * unit;
                rest = behind;
            }
        }
        if hours > 24 {
            return None;
        }
        self.offset = Some(sign * seconds);
        Some(rest)
    }

    fn zone_name<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        if let Some(rest) = text.strip_prefix("UTC") {
            self.utc = true;
            return Some(rest);
        }
        let len = zone_name_len(text)?;
        self.zone_name = text[..len].to_owned();
        Some(&text[len..])
    }

    fn finish(self, zone: &Zone) -> Option<Time> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let (month, day) = match self.year_day {
            Some(year_day) => {
                let (month, day) = month_and_day(year_day, leap)?;
                let agrees = self.month.is_none_or(|m| m == month);
                (agrees && self.day.is_none_or(|d| d == day)).then_some((month, day))?
            }
            None => (self.month.unwrap_or(1), self.day.unwrap_or(1)),
        };
        if day < 1 || day > days_in(month, leap) {
            return None;
        }
        let civil = Civil {
            year: self.year,
            month,
            day,
            hour,
            minute: self.minute,
            second: self.second,
            weekday: 0,
            year_day: 0,
            offset_seconds: 0,
            zone: String::new(),
        };
        if self.utc {
            return Some(Time::from_civil(&civil, self.nanos, Zone::Utc));
        }
        let near = Time::from_civil(&civil, self.nanos, Zone::Utc).unix();
        if let Some(seconds) = self.offset {
            // An offset that the zone has just then is the zone.
            let (known, name) = zone.offset_and_name(near - seconds);
            if known == seconds && (self.zone_name.is_empty() || self.zone_name == name) {
                return Some(Time::from_civil(&civil, self.nanos, zone.clone()));
            }
            let name = self.zone_name;
            return Some(Time::from_civil(
                &civil,
                self.nanos,
                Zone::Fixed { seconds, name },
            ));
        }
        if !self.zone_name.is_empty() {
            let name = self.zone_name;
            if let Some(seconds) = zone.offset_of(&name, near) {
                let moment = Time::from_civil(&civil, self.nanos, Zone::Fixed { seconds, name });
                return Some(moment.in_zone(zone.clone()));
            }
            // An unknown name is read as UTC, even where it says how it shall be shown.
            let seconds = match name.strip_prefix("GMT") {
                Some(offset) => offset.parse::<i64>().unwrap_or(0) * 3600,
                None => 0,
            };
            let moment = Time::from_civil(&civil, self.nanos, Zone::Utc);
            return Some(moment.in_zone(Zone::Fixed { seconds, name }));
        }
        Some(Time::from_civil(&civil, self.nanos, zone.clone()))
    }
}

/// Returns the bytes of the abbreviation that a text starts with.
fn zone_name_len(text: &str) -> Option<usize> {
    if text.starts_with("ChST") || text.starts_with("MeST") {
        return Some(4);
    }
    if let Some(behind) = text.strip_prefix("GMT") {
        let signed = behind.starts_with(['+', '-']);
        let number = behind.get(1..).filter(|_| signed).unwrap_or("");
        let count = number.bytes().take_while(u8::is_ascii_digit).count();
        let hours = number[..count].parse::<i64>();
        return Some(match hours {
            Ok(hours) if hours < 24 => 4 + count,
            _ => 3,
        });
    }
    if text.starts_with(['+', '-']) {
        let count = text[1..].bytes().take_while(u8::is_ascii_digit).count();
        let hours: i64 = text[1..=count].parse().ok()?;
        return (hours < 24).then_some(1 + count);
    }
    let upper = text
        .bytes()
        .take(6)
        .take_while(u8::is_ascii_uppercase)
        .count();
    match upper {
        3 => Some(3),
        4 if text.as_bytes()[3] == b'T' || text.starts_with("WITA") => Some(4),
        5 if text.as_bytes()[4] == b'T' => Some(5),
        _ => None,
    }
}

fn days_in(month: i64, leap: bool) -> i64 {
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn month_and_day(year_day: i64, leap: bool) -> Option<(i64, i64)> {
    let mut left = year_day;
    for month in 1..=12 {
        if left >= 1 && left <= days_in(month, leap) {
            return Some((month, left));
        }
        left -= days_in(month, leap);
    }
    None
}
