//! Deleted intervals.
//!
//! ```text
//! | magic 0130BA30 | version 1 | n x entry | CRC-32C of the entries |
//! entry   number of the series uvarint | first time varint | last time varint
//! ```
//!
//! The file may be missing. The documentation of Prometheus draws a trailer with an
//! offset; no release that writes index version 2 has it.

use std::collections::HashMap;

use super::scan::{Scan, checked_len};
use super::{PrometheusBlockError, Result};
use crate::codec::crc;
use crate::fs::Dir;
use crate::model::TimeRange;

pub(super) const FILE: &str = "tombstones";
const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 5;

/// What is deleted, by the number of the series.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Sorted, without overlaps.
    by_series: HashMap<u64, Vec<TimeRange>>,
}

impl Tombstones {
    pub(super) fn read(dir: &dyn Dir) -> Result<Tombstones> {
        let len_bytes = match dir.len_bytes(FILE) {
            Ok(len_bytes) => len_bytes,
            Err(error) if error.is_not_found() => return Ok(Tombstones::default()),
            Err(error) => return Err(error.into()),
        };
        let path = dir.path().join(FILE);
        let map = dir.map(FILE, 0..len_bytes)?;
        let mut scan = Scan::at(&path, &map, 0)?;
        let magic = scan.be32("magic of the tombstones")?;
        if magic != MAGIC {
            return Err(PrometheusBlockError::corrupt(
                &path,
                0,
                format!("{magic:08x} is not the magic of tombstones, {MAGIC:08x}"),
            ));
        }
        let version = scan.byte("version of the tombstones")?;
        if version != VERSION {
            return Err(PrometheusBlockError::Version {
                path,
                detail: format!("the tombstones have version {version}, version {VERSION} is read"),
            });
        }
        let len = len_bytes.saturating_sub(HEADER_BYTES + checked_len(0));
        let mut entries = scan.checked(len as usize, true, "the tombstones")?;
        let mut tombstones = Tombstones::default();
        while !entries.is_at_end() {
            let series = entries.uvarint("series of a tombstone")?;
            let start_ms = entries.varint("first time of a tombstone")?;
            let end_ms = entries.varint("last time of a tombstone")?;
            let of_series = tombstones.by_series.entry(series).or_default();
            of_series.push(TimeRange { start_ms, end_ms });
        }
        for ranges in tombstones.by_series.values_mut() {
            merge(ranges);
        }
        Ok(tombstones)
    }

    /// Returns what is deleted of a series, in order and without overlaps.
    pub(super) fn of(&self, number: u32) -> &[TimeRange] {
        let ranges = self.by_series.get(&u64::from(number));
        ranges.map_or(&[], Vec::as_slice)
    }
}

/// Tells whether a time is deleted.
pub(super) fn covers(ranges: &[TimeRange], t_ms: i64) -> bool {
    let behind = ranges.partition_point(|range| range.end_ms < t_ms);
    ranges.get(behind).is_some_and(|range| range.contains(t_ms))
}

/// Returns the file that says that nothing is deleted.
pub(super) fn empty_file() -> Vec<u8> {
    let mut file = MAGIC.to_be_bytes().to_vec();
    file.push(VERSION);
    file.extend(crc::castagnoli(&[]).to_be_bytes());
    file
}

fn merge(ranges: &mut Vec<TimeRange>) {
    ranges.retain(|range| range.start_ms <= range.end_ms);
    ranges.sort_unstable_by_key(|range| range.start_ms);
    ranges.dedup_by(|next, kept| {
        let touches = next.start_ms <= kept.end_ms.saturating_add(1);
        if touches {
            kept.end_ms = kept.end_ms.max(next.end_ms);
        }
        touches
    });
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::fuzz::sealed_tombstones;
    use super::*;
    use crate::codec::varint::{write_i64, write_u64};
    use crate::fs::memory::MemoryDir;

    /// Returns a file of these entries.
    pub(in super::super) fn file(entries: &[(u64, i64, i64)]) -> Vec<u8> {
        let mut content = Vec::new();
        for &(series, start_ms, end_ms) in entries {
            write_u64(&mut content, series);
            write_i64(&mut content, start_ms);
            write_i64(&mut content, end_ms);
        }
        sealed_tombstones(&content)
    }

    #[test]
    fn a_file_without_deletions_has_nine_bytes() {
        assert_eq!(empty_file(), [0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        let dir = MemoryDir::new("block");
        assert!(Tombstones::read(&dir).unwrap().by_series.is_empty());
        dir.put(FILE, empty_file());
        assert!(Tombstones::read(&dir).unwrap().by_series.is_empty());
    }

    #[test]
    fn damage_is_found_and_named() {
        let dir = MemoryDir::new("block");
        let good = file(&[(3, 10, 20)]);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            dir.put(FILE, bad);
            let error = Tombstones::read(&dir).unwrap_err().to_string();
            assert!(error.starts_with("block/tombstones"), "{error}");
            dir.put(FILE, good[..at].to_vec());
            assert!(Tombstones::read(&dir).is_err(), "{at} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_entries_cover_what_they_say(entries in prop::collection::vec((0u64..3, 0i64..40, -2i64..20), 0..20)) {
            let entries: Vec<_> = entries.iter().map(|&(series, start, len)| (series, start, start + len)).collect();
            let dir = MemoryDir::new("block");
            dir.put(FILE, file(&entries));
            let tombstones = Tombstones::read(&dir).unwrap();
            for series in 0..3u32 {
                for t_ms in 0..64 {
                    let expected = entries.iter().any(|&(s, start, end)| {
                        s == u64::from(series) && start <= t_ms && t_ms <= end
                    });
                    prop_assert_eq!(covers(tombstones.of(series), t_ms), expected);
                }
            }
        }
    }
}
