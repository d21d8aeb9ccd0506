//! Points in time as Go's `time.Time` has them: to the nanosecond, each in a zone.
//!
//! Only zones need a library; the calendar is plain arithmetic over any year.

mod duration;
mod layout;
mod methods;
mod parse;
mod zone;

use kymo_storage::compat::time::{civil_from_days, days_from_civil};

pub(super) use duration::DURATION;
pub(super) use parse::parse;
pub(super) use zone::Zone;

use super::value::{NamedType, Shape, Value};

const SECONDS_PER_DAY: i64 = 86_400;

/// `time.Time`
pub(super) static TIME: NamedType = NamedType {
    name: "time.Time",
    shape: Shape::Time,
    methods: &methods::METHODS,
    stringer: Some(|value| match value.pointee() {
        Value::Time(time) => time.to_string(),
        _ => String::new(),
    }),
    stringer_on_pointer: false,
};

/// A point in time, with the zone that it is shown in.
#[derive(Debug, Clone)]
pub struct Time {
    /// Seconds since the epoch.
    seconds: i64,
    nanos: u32,
    zone: Zone,
}

/// A time in the words of the calendar and the clock of its zone.
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    /// From Sunday, which is 0.
    pub(super) weekday: i64,
    /// From 1.
    pub(super) year_day: i64,
    pub(super) offset_seconds: i64,
    pub(super) zone: String,
}

impl Time {
    /// The first moment of the year one: Go's zero time.
    pub(super) const ZERO: Time = Time {
        seconds: -62_135_596_800,
        nanos: 0,
        zone: Zone::Utc,
    };

    /// Returns a time of the epoch's seconds, in UTC.
    pub(super) fn from_seconds(seconds: i64) -> Time {
        Time {
            seconds,
            nanos: 0,
            zone: Zone::Utc,
        }
    }

    /// Returns a time of the epoch's nanoseconds, in UTC.
    pub fn from_nanos(nanos: i64) -> Time {
        Time {
            seconds: nanos.div_euclid(1_000_000_000),
            nanos: nanos.rem_euclid(1_000_000_000) as u32,
            zone: Zone::Utc,
        }
    }

    /// Returns a time of the epoch's milliseconds, in UTC.
    pub fn from_ms(ms: i64) -> Time {
        Time {
            seconds: ms.div_euclid(1000),
            nanos: ms.rem_euclid(1000) as u32 * 1_000_000,
            zone: Zone::Utc,
        }
    }

    /// Returns the time that the clock of a zone shows; what is beyond the range of a
    /// field is carried over.
    pub(super) fn from_civil(civil: &Civil, nanos: u32, zone: Zone) -> Time {
        let days = days_from_civil(civil.year, civil.month, civil.day);
        let local = days * SECONDS_PER_DAY + civil.hour * 3600 + civil.minute * 60 + civil.second;
        Time {
            seconds: zone.to_utc(local),
            nanos,
            zone,
        }
    }

    /// Returns the time that the clock of the same zone shows, with the same nanoseconds.
    pub(super) fn at_civil(&self, civil: &Civil) -> Time {
        Time::from_civil(civil, self.nanos, self.zone.clone())
    }

    /// Returns the same moment in another zone.
    pub(super) fn in_zone(&self, zone: Zone) -> Time {
        Time {
            zone,
            ..self.clone()
        }
    }

    pub(super) fn unix(&self) -> i64 {
        self.seconds
    }

    pub(super) fn unix_ms(&self) -> i64 {
        let ms = self.seconds.wrapping_mul(1000);
        ms.wrapping_add(i64::from(self.nanos / 1_000_000))
    }

    pub(super) fn unix_nanos(&self) -> i64 {
        let nanos = self.seconds.wrapping_mul(1_000_000_000);
        nanos.wrapping_add(i64::from(self.nanos))
    }

    fn total_nanos(&self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos)
    }

    fn plus(&self, nanos: i128) -> Time {
        let total = self.total_nanos() + nanos;
        Time {
            seconds: total.div_euclid(1_000_000_000) as i64,
            nanos: total.rem_euclid(1_000_000_000) as u32,
            zone: self.zone.clone(),
        }
    }

    /// Returns the numbers that Go keeps of a time: nanoseconds, and seconds since the
    /// year one.
    pub(super) fn go_fields(&self) -> (u64, i64) {
        (u64::from(self.nanos), self.seconds - Time::ZERO.seconds)
    }

    /// Returns the time as Go code.
    pub(super) fn go_code(&self) -> String {
        let civil = self.civil();
        let zone = match &self.zone {
            Zone::Utc => "UTC".to_owned(),
            _ => format!(
                "Location({})",
                kymo_storage::compat::quote::quote(&civil.zone)
            ),
        };
        let month = layout::MONTHS[(civil.month - 1).clamp(0, 11) as usize];
        format!(
            "time.Date({}, time.{month}, {}, {}, {}, {}, {}, time.{zone})",
            civil.year, civil.day, civil.hour, civil.minute, civil.second, self.nanos
        )
    }

    /// Returns what calendar and clock show.
    pub(super) fn civil(&self) -> Civil {
        let (offset_seconds, zone) = self.zone.offset_and_name(self.seconds);
        let local = self.seconds.saturating_add(offset_seconds);
        let days = local.div_euclid(SECONDS_PER_DAY);
        let second = local.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            // The epoch was a Thursday.
            weekday: (days + 4).rem_euclid(7),
            year_day: days - days_from_civil(year, 1, 1) + 1,
            offset_seconds,
            zone,
        }
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}
