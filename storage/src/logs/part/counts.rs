//! How many entries each stream has in each minute, by level: answers without rows.

use super::error::Decoded;
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
    /// Minutes since the epoch, rounded down.
    pub minute: i64,
    /// How many entries.
    pub rows: u64,
    /// How many bytes their lines have.
    pub bytes: u64,
}

/// The counts of a row group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Values of [`LEVEL_NAME`]; the first is that of entries without it. Empty where there
    /// are more than can be counted apart; all counts have the level 0 then.
    pub levels: Vec<String>,
    /// By stream, then minute, then level.
    pub counts: Vec<Count>,
}

impl Counts {
    /// Counts entries, of which those of a stream come together and in order of time.
    pub(super) fn of<'a>(rows: impl Iterator<Item = (u32, i64, &'a str, usize)>) -> Counts {
        let mut counts = Counts {
            levels: vec![String::new()],
            counts: Vec::new(),
        };
        let (mut from, mut too_many) = (0, false);
        for (stream, t_ns, level, bytes) in rows {
            let minute = t_ns.div_euclid(MINUTE_NS);
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

    pub(super) fn decode(mut bytes: &[u8], n_streams: usize) -> Decoded<Counts> {
        let bytes = &mut bytes;
        let mut counts = Counts::default();
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
            counts.counts.push(Count {
                stream: stream as u32,
                level: level as u32,
                minute,
                rows: varint::read_u64(bytes)?,
                bytes: varint::read_u64(bytes)?,
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
            (0, MINUTE_NS - 1, "info", 5),
            (0, MINUTE_NS, "", 1),
            (3, -1, "info", 2),
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
        assert_eq!(Counts::decode(&bytes, 4), Ok(counts));
        assert!(Counts::decode(&bytes, 3).is_err());
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
        assert_eq!(Counts::decode(&bytes, 2), Ok(counts));
    }
}
