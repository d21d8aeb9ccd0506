//! Zones: UTC, a fixed offset, or rules from the database of time zones.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How a time is shown.
#[derive(Debug, Clone)]
pub(crate) enum Zone {
    /// Coordinated universal time; the local time of templates too.
    Utc,
    /// An offset with the name that a text gave it, which may be empty.
    Fixed {
        /// Seconds east of UTC.
        seconds: i64,
        /// The abbreviation.
        name: String,
    },
    /// A zone of the database.
    Rules(TimeZone),
}

impl Zone {
    /// Finds a zone as Go's `time.LoadLocation` does.
    pub(crate) fn load(name: &str) -> Option<Zone> {
        if matches!(name, "" | "UTC" | "Local") {
            return Some(Zone::Utc);
        }
        TimeZone::get(name).ok().map(Zone::Rules)
    }

    /// Returns the offset in seconds and the abbreviation at a moment.
    pub(super) fn offset_and_name(&self, seconds: i64) -> (i64, String) {
        match self {
            Zone::Utc => (0, "UTC".to_owned()),
            Zone::Fixed { seconds, name } => (*seconds, name.clone()),
            Zone::Rules(zone) => {
                let info = zone.to_offset_info(timestamp(seconds));
                (
                    i64::from(info.offset().seconds()),
                    info.abbreviation().to_owned(),
                )
            }
        }
    }

    /// Returns the seconds since the epoch when the zone's clock shows `local`, which
    /// is in seconds too. Go looks at the offset one guess away.
    pub(super) fn to_utc(&self, local: i64) -> i64 {
        match self {
            Zone::Utc => local,
            Zone::Fixed { seconds, .. } => local.saturating_sub(*seconds),
            Zone::Rules(_) => {
                let (guess, _) = self.offset_and_name(local);
                // Near a change the first guess may be that of the other side.
                let (offset, _) = self.offset_and_name(local.saturating_sub(guess));
                local.saturating_sub(offset)
            }
        }
    }

    /// Returns whether the zone knows an abbreviation, and the offset it then has near
    /// a moment.
    pub(super) fn offset_of(&self, name: &str, near: i64) -> Option<i64> {
        // Half a year around is enough to see both halves of a year's rules.
        let half_year = 183 * 86_400;
        [near, near - half_year, near + half_year]
            .into_iter()
            .map(|at| self.offset_and_name(at))
            .find(|(_, known)| known == name)
            .map(|(offset, _)| offset)
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    let clamped = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(clamped).unwrap_or(Timestamp::UNIX_EPOCH)
}
