//! Times in log lines, read by Go's layouts.

use super::time::{Time, Zone, parse};

/// Largest distance from the epoch that nanoseconds in 64 bits have, in seconds.
const MAX_SECONDS: i64 = i64::MAX / 1_000_000_000;

/// A layout of times, with the zone of texts that name none.
///
/// A layout without year is one of lines that leave the year out, as syslog does: the year
/// is the one that is close to the present.
#[derive(Debug, Clone)]
pub struct TimeLayout {
    layout: String,
    zone: Zone,
    has_year: bool,
}

impl TimeLayout {
    /// Returns a layout; `None` where there is no such location. Without one it is UTC.
    pub fn new(layout: &str, location: Option<&str>) -> Option<TimeLayout> {
        Some(TimeLayout {
            layout: layout.to_owned(),
            zone: Zone::load(location.unwrap_or("UTC"))?,
            has_year: layout.contains("06"),
        })
    }

    /// Reads a time, in nanoseconds since the epoch. `None` where the text does not follow
    /// the layout, or the time does not fit.
    pub fn read(&self, text: &str, now_ns: i64) -> Option<i64> {
        let time = parse(&self.layout, text, &self.zone)?;
        let time = match self.has_year {
            true => time,
            false => in_year(&time, now_ns)?,
        };
        let seconds = time.unix();
        let fits = (-MAX_SECONDS..MAX_SECONDS).contains(&seconds);
        fits.then(|| time.unix_nanos())
    }
}

/// Moves a time of the year zero to the year that is close to the present.
fn in_year(time: &Time, now_ns: i64) -> Option<Time> {
    let mut civil = time.civil();
    let now = Time::from_nanos(now_ns).civil();
    // A layout that has a year in another form has named one.
    if civil.year != 0 {
        return None;
    }
    civil.year = match (civil.month, now.month) {
        (12, 1) => now.year - 1,
        (1, 12) => now.year + 1,
        _ => now.year,
    };
    Some(time.at_civil(&civil))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(layout: &str, location: Option<&str>, text: &str, now: &str) -> Option<i64> {
        let now_ns = TimeLayout::new("2006-01-02", None)
            .unwrap()
            .read(now, 0)
            .unwrap();
        TimeLayout::new(layout, location)
            .unwrap()
            .read(text, now_ns)
    }

    #[test]
    fn times_are_read_by_their_layout() {
        let rfc = "2006-01-02T15:04:05.999999999Z07:00";
        for (layout, location, text, expected) in [
            (
                rfc,
                None,
                "2026-01-02T03:04:05.000000006Z",
                Some(1_767_323_045_000_000_006),
            ),
            (
                rfc,
                None,
                "2026-01-02T03:04:05+01:00",
                Some(1_767_319_445_000_000_000),
            ),
            (rfc, None, "2026-01-02", None),
            (
                "02/Jan/2006:15:04:05 -0700",
                None,
                "02/Jan/2026:03:04:05 +0100",
                Some(1_767_319_445_000_000_000),
            ),
            (
                "2006-01-02 15:04:05",
                Some("Europe/Berlin"),
                "2026-01-02 04:04:05",
                Some(1_767_323_045_000_000_000),
            ),
            ("2006-01-02", None, "2500-01-01", None),
        ] {
            assert_eq!(
                read(layout, location, text, "2026-06-01"),
                expected,
                "{text}"
            );
        }
        assert!(TimeLayout::new("2006", Some("No/Where")).is_none());
    }

    #[test]
    fn a_missing_year_is_the_one_close_to_now() {
        let day = 86_400_000_000_000;
        let start_of_2026 = 1_767_225_600_000_000_000;
        for (text, now, expected) in [
            ("Jan  2 00:00:00", "2026-06-01", start_of_2026 + day),
            ("Jan  2 00:00:00", "2025-12-31", start_of_2026 + day),
            ("Dec 31 00:00:00", "2026-01-01", start_of_2026 - day),
            ("Feb 29 00:00:00", "2026-03-01", start_of_2026 + 59 * day),
        ] {
            assert_eq!(
                read("Jan _2 15:04:05", None, text, now),
                Some(expected),
                "{text} {now}"
            );
        }
    }
}
