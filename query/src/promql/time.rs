//! The calendar in UTC, as Go's `time` package computes it.
//!
//! Values of series are used as times, so that years far outside of any calendar
//! library's range occur; Go's results for them are kept, overflow included.

use std::fmt::Write;

use kymo_storage::compat::time::{civil_from_days, days_from_civil};

const SECONDS_PER_DAY: i64 = 86_400;

/// Seconds from Go's absolute zero (1 January of the year -292277022399) to 1970.
const ABSOLUTE_TO_UNIX: i128 = 9_223_371_966_579_724_800 + 62_135_596_800;

/// A moment taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    /// 0 is Sunday.
    pub(crate) weekday: i64,
    /// 1 to 366.
    pub(crate) year_day: i64,
}

/// Returns the second that a time in milliseconds lies in, rounded towards zero.
pub(crate) fn seconds_of(t_ms: i64) -> i64 {
    t_ms / 1000
}

impl Civil {
    /// Takes a Unix time in seconds apart.
    pub(crate) fn from_unix(seconds: i64) -> Civil {
        let mut absolute = i128::from(seconds) + ABSOLUTE_TO_UNIX;
        if absolute < 0 {
            absolute += 1 << 64;
        }
        let seconds = absolute - ABSOLUTE_TO_UNIX;
        let day_seconds = i128::from(SECONDS_PER_DAY);
        let days = seconds.div_euclid(day_seconds) as i64;
        let rest = seconds.rem_euclid(day_seconds) as i64;
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest % 3600 / 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
            year_day: days - days_from_civil(year, 1, 1) + 1,
        }
    }

    /// Returns the number of days of the month.
    pub(crate) fn days_in_month(&self) -> i64 {
        let (year, month) = match self.month {
            12 => (self.year + 1, 1),
            month => (self.year, month + 1),
        };
        days_from_civil(year, month, 1) - days_from_civil(self.year, self.month, 1)
    }

    /// Returns the moment as `2006-01-02T15:04:05Z`.
    pub(crate) fn rfc3339(&self) -> String {
        let mut text = String::with_capacity(20);
        let _ = write!(
            text,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_taken_apart() {
        let cases = [
            (0, "1970-01-01T00:00:00Z", 4, 1, 31),
            (951_782_400, "2000-02-29T00:00:00Z", 2, 60, 29),
            (-1, "1969-12-31T23:59:59Z", 3, 365, 31),
            (1_795_305_600, "2026-11-22T00:00:00Z", 0, 326, 30),
        ];
        for (seconds, text, weekday, year_day, month_days) in cases {
            let civil = Civil::from_unix(seconds);
            assert_eq!(civil.rfc3339(), text);
            assert_eq!(
                (civil.weekday, civil.year_day, civil.days_in_month()),
                (weekday, year_day, month_days),
                "{text}"
            );
        }
    }

    #[test]
    fn times_beyond_all_calendars_wrap_as_in_go() {
        let civil = Civil::from_unix(i64::MIN);
        assert_eq!(civil.rfc3339(), "292277026596-12-04T15:30:08Z");
    }
}
