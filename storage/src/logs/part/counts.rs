//! How many entries each stream has in each minute, by level: answers without rows.
//!
//! A minute has its last nanosecond and not its first, as the windows of LogQL do, so that
//! windows which end with minutes are made of whole ones. In files of version 1 it is the
//! other way round.

use super::error::Decoded;
use super::head::MAX_ROWS;
use super::wire::{put, put_bytes, take, take_count, take_text};
use crate::codec::{CodecError, varint};

/// Nanoseconds of the times that are counted together.
pub const MINUTE_NS: i64 = 60_000_000_000;

/// Most levels that are told apart.
const MAX_LEVELS: usize = 64;

/// The metadata that holds the level of an entry.
pub const LEVEL_NAME: &str = "detected_level";

/// Entries of one stream, minute and level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Number of the stream in the part.
    pub stream: u32,
    /// Number of the level among [`Counts::levels`].
    pub level: u32,
    /// Minutes since the epoch to the beginning of this one; see [`Counts::times`].
    pub minute: i64,
    /// How many entries.
    pub rows: u64,
    /// How many bytes their lines have.
    pub bytes: u64,
}

/// Which bound of a minute is a time of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Bound {
    /// The first, as it was in version 1.
    First,
    /// The last.
    #[default]
    Last,
}

/// The counts of a row group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Values of [`LEVEL_NAME`]; the first is that of entries without it. Empty where there
    /// are more than can be counted apart; all counts have the level 0 then.
    pub levels: Vec<String>,
    /// By stream, then minute, then level.
    pub counts: Vec<Count>,
    bound: Bound,
}

impl Counts {
    /// Counts entries, of which those of a stream come together and in order of time.
    pub(super) fn of<'a>(rows: impl Iterator<Item = (u32, i64, &'a str, usize)>) -> Counts {
        let mut counts = Counts {
            levels: vec![String::new()],
            ..Counts::default()
        };
        let (mut from, mut too_many) = (0, false);
        for (stream, t_ns, level, bytes) in rows {
            let minute = t_ns.saturating_sub(1).div_euclid(MINUTE_NS);
            let known = counts.levels.iter().position(|known| known == level);
            let level = match known {
                Some(level) => level as u32,
                None if counts.levels.len() < MAX_LEVELS => {
                    counts.levels.push(level.to_owned());
                    counts.levels.len() as u32 - 1
                }
                None => {
                    too_many = true;
                    0
                }
            };
            let last = counts.counts.last();
            if last.is_none_or(|last| last.stream != stream || last.minute != minute) {
                from = counts.counts.len();
            }
            let of_minute = &mut counts.counts[from..];
            match of_minute.iter_mut().find(|count| count.level == level) {
                Some(count) => {
                    count.rows += 1;
                    count.bytes += bytes as u64;
                }
                None => counts.counts.push(Count {
                    stream,
                    level,
                    minute,
                    rows: 1,
                    bytes: bytes as u64,
                }),
            }
        }
        if too_many {
            counts.levels.clear();
            counts.counts.iter_mut().for_each(|count| count.level = 0);
            counts.counts.dedup_by(|next, count| {
                let same = (next.stream, next.minute) == (count.stream, count.minute);
                if same {
                    count.rows += next.rows;
                    count.bytes += next.bytes;
                }
                same
            });
        }
        counts
    }

    /// Returns the first and the last time that are counted together in one of the counts.
    pub fn times(&self, count: &Count) -> (i64, i64) {
        let start = i128::from(count.minute) * i128::from(MINUTE_NS);
        let first = start + i128::from(self.bound == Bound::Last);
        let last = first + i128::from(MINUTE_NS - 1);
        let clamp = |t: i128| t.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        (clamp(first), clamp(last))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.levels.len());
        for level in &self.levels {
            put_bytes(out, level.as_bytes());
        }
        put(out, self.counts.len());
        let (mut stream, mut minute) = (0, 0);
        for count in &self.counts {
            varint::write_u64(out, u64::from(count.stream - stream));
            varint::write_i64(out, count.minute.wrapping_sub(minute));
            put(out, count.level as usize);
            varint::write_u64(out, count.rows);
            varint::write_u64(out, count.bytes);
            (stream, minute) = (count.stream, count.minute);
        }
    }

    pub(super) fn decode(mut bytes: &[u8], n_streams: usize, bound: Bound) -> Decoded<Counts> {
        let bytes = &mut bytes;
        let mut counts = Counts {
            bound,
            ..Counts::default()
        };
        for _ in 0..take_count(bytes)? {
            counts.levels.push(take_text(bytes)?.to_owned());
        }
        let (mut stream, mut minute) = (0usize, 0i64);
        // Each takes five bytes at least.
        let n = take(bytes, bytes.len() / 5)?;
        counts.counts.reserve_exact(n);
        for _ in 0..n {
            stream += take(bytes, n_streams)?;
            minute = minute.wrapping_add(varint::read_i64(bytes)?);
            let level = take(bytes, MAX_LEVELS)?;
            if stream >= n_streams || level >= counts.levels.len().max(1) {
                return Err(CodecError::Invalid("stream or level of a count"));
            }
            let (rows, of_lines) = (varint::read_u64(bytes)?, varint::read_u64(bytes)?);
            // Whoever adds them up need not fear for the sum.
            if rows > MAX_ROWS as u64 || of_lines > u64::from(u32::MAX) {
                return Err(CodecError::Invalid("rows or bytes of a count"));
            }
            counts.counts.push(Count {
                stream: stream as u32,
                level: level as u32,
                minute,
                rows,
                bytes: of_lines,
            });
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_stream_minute_and_level() {
        let rows = [
            (0, 1, "info", 10),
            (0, 2, "warn", 20),
            (0, MINUTE_NS, "info", 5),
            (0, MINUTE_NS + 1, "", 1),
            (3, 0, "info", 2),
        ];
        let counts = Counts::of(rows.into_iter());
        let found = counts.counts.iter().map(|c| {
            (
                c.stream,
                c.minute,
                counts.levels[c.level as usize].as_str(),
                c.rows,
                c.bytes,
            )
        });
        let expected = [
            (0, 0, "info", 2, 15),
            (0, 0, "warn", 1, 20),
            (0, 1, "", 1, 1),
            (3, -1, "info", 1, 2),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        let mut bytes = Vec::new();
        counts.encode(&mut bytes);
        let minute = counts.counts[2];
        assert_eq!(counts.times(&minute), (MINUTE_NS + 1, 2 * MINUTE_NS));
        assert_eq!(Counts::decode(&bytes, 4, Bound::Last), Ok(counts));
        assert!(Counts::decode(&bytes, 3, Bound::Last).is_err());
        // As it was in the first version.
        let first = Counts::decode(&bytes, 4, Bound::First).unwrap();
        assert_eq!(first.times(&minute), (MINUTE_NS, 2 * MINUTE_NS - 1));
    }

    #[test]
    fn every_time_is_in_its_minute() {
        for t_ns in [i64::MIN, i64::MIN + 1, -MINUTE_NS, -1, 0, 1, i64::MAX] {
            let counts = Counts::of([(0, t_ns, "", 1)].into_iter());
            let (first, last) = counts.times(&counts.counts[0]);
            assert!((first..=last).contains(&t_ns), "{t_ns}: {first} {last}");
        }
    }

    #[test]
    fn more_levels_than_can_be_told_apart_are_counted_together() {
        let levels: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let rows = levels.iter().map(|level| (1, 5, level.as_str(), 2));
        let counts = Counts::of(rows);
        assert!(counts.levels.is_empty());
        assert_eq!(
            (
                counts.counts.len(),
                counts.counts[0].rows,
                counts.counts[0].bytes
            ),
            (1, 100, 200)
        );
        let mut bytes = Vec::new();
        counts.encode(&mut bytes);
        assert_eq!(Counts::decode(&bytes, 2, Bound::Last), Ok(counts));
    }
}
