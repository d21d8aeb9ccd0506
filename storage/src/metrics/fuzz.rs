//! What a snapshot and a head file may hold, over arbitrary bytes: the bodies of the fuzz
//! targets `head_sections`, `side_sections`, `head_snapshot` and `head_file`.

use super::exemplars::Exemplars;
use super::extras::Taken;
use super::head_files;
use super::histograms::{self, TakenHistograms};
use super::metadata::MetadataStore;
use super::page::{self, PAGE_BYTES, Page, PageInfo};
use super::sealed::{ChunkRef, SealedChunks};
use super::shard::{ReadScratch, Shard, Wanted, Window};
use super::snapshot_format::{Manifest, Part, PartWriter, ROW_BYTES, kind, read_part};
use super::snapshot_load;
use crate::fs::memory::MemoryDir;
use crate::fs::{Dir, FileMap};
use crate::model::TimeRange;
use crate::options::StoreOptions;

/// Restores a shard of eight series from `data` and from what it writes itself.
///
/// # Panics
/// When a shard breaks a promise; that is what it is for.
pub fn check_sections(data: &[u8]) {
    let Some((&split, rest)) = data.split_first() else {
        return;
    };
    let (late, deleted) = rest.split_at(usize::from(split).min(rest.len()));
    let first = restore(late, deleted);
    let written = write(&first);
    let again = restore(&written.0, &written.1);
    assert_eq!(write(&again), written, "what is written is read");
    assert_eq!(again.late.n_samples(), first.late.n_samples());
    check_histograms(data);
}

/// Reads `data` as a section of histograms.
fn check_histograms(data: &[u8]) {
    let mut shard = empty();
    let is_whole = shard.restore_section(kind::HISTOGRAMS, data);
    let written = histograms::sections(&shard.histograms.saved());
    let mut again = empty();
    for section in &written {
        assert!(again.restore_section(kind::HISTOGRAMS, section));
    }
    for slot in 0..8 {
        let (Some(one), Some(other)) = (shard.histograms.get(slot), again.histograms.get(slot))
        else {
            let none = shard.histograms.get(slot).or(again.histograms.get(slot));
            assert!(none.is_none(), "what is written is read");
            continue;
        };
        let mut points = [Vec::new(), Vec::new()];
        for (series, points) in [one, other].into_iter().zip(&mut points) {
            let taken = TakenHistograms::new(series, i64::MAX, None);
            let read = taken.read(Some(TimeRange::ALL), TimeRange::ALL, points);
            assert!(read.is_ok(), "histograms are readable");
            assert!(points.is_sorted_by(|one, next| one.t_ms < next.t_ms));
        }
        let [one, other] = points.map(|points| format!("{points:?}"));
        assert!(!is_whole || one == other, "what is written is read");
    }
}

fn empty() -> Shard {
    let mut shard = Shard::default();
    for slot in 0..8 {
        shard.create(slot, slot);
    }
    shard
}

/// Reads `data` as the sections of exemplars and of metadata.
///
/// # Panics
/// When one of them is read and is not read again from what is written.
pub fn check_side_sections(data: &[u8]) {
    let mut options = StoreOptions::new("");
    options.max_exemplars = 16;
    if let Ok(read) = Exemplars::decode(data, &options) {
        let figures = read.stats();
        assert!(figures.exemplars <= 16);
        let written = read.encode();
        let again = Exemplars::decode(&written, &options).map(|again| again.stats());
        assert!(
            again.is_ok_and(|again| (again.exemplars, again.series, again.first_time_ms)
                == (figures.exemplars, figures.series, figures.first_time_ms)),
            "exemplars that were read are read again"
        );
    }
    if let Ok(read) = MetadataStore::decode(data) {
        let again = MetadataStore::decode(&read.encode());
        assert!(
            again.is_ok_and(|again| again.stats().metrics == read.stats().metrics),
            "metadata that was read is read again"
        );
    }
}

fn restore(late: &[u8], deleted: &[u8]) -> Shard {
    let mut shard = empty();
    // Damage is told, and what was read before it stays.
    let _ = shard.restore_late(late);
    let _ = shard.restore_tombstones(deleted);
    for slot in 0..8 {
        let all = shard.late.copy(slot, TimeRange::ALL, None);
        let mut samples = Vec::new();
        let read = all.map(|all| all.read(TimeRange::ALL, &mut samples));
        assert!(
            read.is_none_or(|read| read.is_ok()),
            "late samples are readable"
        );
        let in_order = samples.is_sorted_by(|one, next| one.t_ms < next.t_ms);
        assert!(in_order, "a time is there once");
    }
    shard
}

fn write(shard: &Shard) -> (Vec<u8>, Vec<u8>) {
    let mut sections = (Vec::new(), Vec::new());
    shard.encode_extras(&mut sections.0, &mut sections.1);
    sections
}

/// Reads the parts of a snapshot made of `data`, and goes on with what is found.
///
/// The first byte says what the rest is: a part as it is, or frames of
/// `kind u8 | len u16 | body` whose headers and checksums are put right, so that the
/// decoders are reached.
///
/// # Panics
/// When reading breaks a promise; that is what it is for.
pub fn check_snapshot(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let part = match mode & 3 {
        0 => Part::Manifest,
        1 => Part::Store,
        _ => Part::Shard(0),
    };
    let dir = MemoryDir::new("head");
    let name = part.name(1);
    if mode & 4 == 0 {
        dir.put(&name, rest.to_vec());
    } else {
        write_frames(&dir, &name, part, rest);
    }
    let file = head_files::name(0, 1);
    dir.put(&file, vec![mode; 2 * PAGE_BYTES]);
    let Ok(bytes) = dir.read(&name, u64::MAX) else {
        return;
    };
    let n_pairs = u32::from(mode >> 3);
    match (part, read_part(&bytes, part, 1)) {
        (Part::Manifest, _) => {
            if let Ok(manifest) = Manifest::read(&bytes, 1) {
                let again = part_of(Part::Manifest, &[(kind::STATE, manifest.encode())]);
                assert_eq!(Manifest::read(&again, 1), Ok(manifest));
            }
        }
        (Part::Store, Ok(frames)) => {
            if let Ok((dictionary, _)) = snapshot_load::read_texts(&frames, n_pairs) {
                for pair in 0..n_pairs {
                    let (name, value) = dictionary.pair_text(pair);
                    assert!(name.len() + value.len() <= bytes.len());
                }
            }
        }
        (Part::Shard(_), Ok(frames)) => {
            let loaded = snapshot_load::read_shard(&dir, 0, &frames, n_pairs, mode & 8 == 0);
            if let Ok(mut loaded) = loaded {
                go_on(&mut loaded.shard);
            }
        }
        _ => {}
    }
}

/// Appends to every series of a restored shard, reads all of it and drops it.
fn go_on(shard: &mut Shard) {
    for slot in 0..shard.end_slot() {
        let last_ms = shard.newest_ms(slot).unwrap_or(0);
        for n in 1..4 {
            shard.apply(slot, 0, last_ms.saturating_add(n * 1000), 0.5, 1);
        }
    }
    let (mut taken, pages) = (Taken::default(), shard.pages());
    let window = Window::new(TimeRange::ALL, i64::MIN);
    for slot in 0..shard.end_slot() {
        let captured = shard.capture(slot, window, Wanted::All, 2, &pages, &mut taken);
        let (mut t, mut v) = (Vec::new(), Vec::new());
        if let Some(captured) = captured {
            let scratch = &mut ReadScratch::default();
            // That tokens are no samples is told.
            let _ = captured.read(&pages, &taken, window, scratch, &mut t, &mut v);
        }
    }
    shard.truncate_before(i64::MAX);
    assert_eq!(shard.sealed().n_chunks(), 0);
}

fn part_of(part: Part, frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let dir = MemoryDir::new("head");
    let written = PartWriter::create(&dir, "part", part, 1).and_then(|mut writer| {
        for (kind, body) in frames {
            writer.frame(*kind, &[body])?;
        }
        writer.finish()
    });
    let bytes = written.and_then(|len| dir.read("part", len));
    bytes.unwrap_or_default()
}

fn write_frames(dir: &MemoryDir, name: &str, part: Part, mut data: &[u8]) {
    let mut frames = Vec::new();
    while let Some((&[frame_kind, low, high], rest)) = data.split_first_chunk() {
        let len = usize::from(low) | usize::from(high) << 8;
        let body = rest.get(..len).unwrap_or(rest);
        data = &rest[body.len()..];
        let mut body = body.to_vec();
        if frame_kind == kind::ROWS && body.len() >= 8 {
            // High slots cost memory and find nothing.
            for state in body[8..].chunks_exact_mut(ROW_BYTES) {
                state[2..4].fill(0);
            }
        }
        frames.push((frame_kind, body));
    }
    dir.put(name, part_of(part, &frames));
}

/// Reads the records of a page made of `data`, as it is and with its checksums put right.
///
/// # Panics
/// When reading breaks a promise; that is what it is for.
pub fn check_page(data: &[u8]) {
    let Some((&[low, high], rest)) = data.split_first_chunk() else {
        return;
    };
    let raw = Page::mapped(0, 0, FileMap::from_bytes(rest));
    assert!(raw.bytes().is_err() || page::read_header(rest, 0).is_some());
    let mut bytes = vec![0; page::HEADER_BYTES];
    bytes.extend_from_slice(&rest[..rest.len().min(PAGE_BYTES - page::HEADER_BYTES)]);
    let info = PageInfo {
        serial: 9,
        len: bytes.len() as u32,
        n_chunks: 1,
        range: TimeRange::ALL,
        place: None,
    };
    let memory = Page::from_bytes(9, bytes);
    let Some(stored) = memory.stored(0, &info) else {
        return;
    };
    let mapped = Page::mapped(0, 9, FileMap::from_bytes(&stored));
    assert!(mapped.bytes().is_ok(), "what is stored is read");
    let mut sealed = SealedChunks::default();
    assert!(sealed.restore(0, mapped, info, false));
    let pages = sealed.pages(i64::MIN);
    let newest = ChunkRef::from_stored(u32::from(low) | u32::from(high) << 8);
    let (mut records, mut t, mut v) = (Vec::new(), Vec::new(), Vec::new());
    let found = pages.overlapping(newest, TimeRange::ALL, &mut records);
    assert!(found.is_err() || records.len() <= stored.len());
    for record in records {
        let scratch = &mut super::sealed::ReadScratch::default();
        let before = t.len();
        if pages
            .decode(record, TimeRange::ALL, scratch, &mut t, &mut v)
            .is_ok()
        {
            assert_eq!(t.len(), v.len());
        }
        t.truncate(before);
        v.truncate(before);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::StoreOptions;
    use crate::metrics::MetricStore;
    use crate::model::Labels;

    /// The parts of a small real snapshot, as the fuzz target takes them, and a page.
    fn real() -> (Vec<Vec<u8>>, Vec<u8>) {
        let dir = MemoryDir::new("/fuzz");
        let mut options = StoreOptions::new("/fuzz");
        options.shards = 1;
        let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
        let mut appender = store.appender();
        for n in 0..4i64 {
            let labels = Labels::from_pairs([("job", "x".to_owned()), ("n", n.to_string())]);
            let series = appender.series(&labels).unwrap();
            for t_ms in 0..n * 130 {
                appender.append(series, t_ms, (t_ms as f64).sqrt()).unwrap();
            }
        }
        appender.commit().unwrap();
        store.snapshot_head().unwrap();
        let head: Arc<dyn Dir> = dir.subdir("head").unwrap();
        let parts = [
            (Part::Manifest, 4),
            (Part::Store, 5 | 5 << 3),
            (Part::Shard(0), 6 | 7 << 3),
        ];
        let mut page = Vec::new();
        let parts = parts.map(|(part, mode)| {
            let bytes = head.read(&part.name(1), 1 << 20).unwrap();
            let mut data = vec![mode];
            for frame in read_part(&bytes, part, 1).unwrap() {
                if frame.kind == kind::MEMORY_PAGE {
                    page = [&[16, 0], &frame.body[36..][page::HEADER_BYTES..]].concat();
                }
                data.push(frame.kind);
                data.extend_from_slice(&(frame.body.len() as u16).to_le_bytes());
                data.extend_from_slice(frame.body);
            }
            data
        });
        (parts.to_vec(), page)
    }

    proptest! {
        #[test]
        fn arbitrary_sections_break_no_promise(
            split: u8,
            bytes in proptest::collection::vec(prop_oneof![0u8..20, any::<u8>()], 0..200),
        ) {
            super::check_sections(&[&[split], bytes.as_slice()].concat());
        }

        #[test]
        fn arbitrary_snapshots_and_pages_break_no_promise(
            bytes in proptest::collection::vec(prop_oneof![0u8..20, any::<u8>()], 0..300),
        ) {
            super::check_snapshot(&bytes);
            super::check_page(&bytes);
        }
    }

    /// Every byte of a real snapshot and of a real page is changed in several ways,
    /// behind checksums that match.
    #[test]
    fn changed_snapshots_and_pages_break_no_promise() {
        let (parts, page) = real();
        assert!(page.len() > 500);
        for data in &parts {
            for at in 0..data.len() {
                for change in [1, 0x80, 0xff] {
                    let mut data = data.clone();
                    data[at] ^= change;
                    super::check_snapshot(&data);
                }
                super::check_snapshot(&data[..at]);
            }
        }
        for at in 0..page.len() {
            for change in [1, 0x80, 0xff] {
                let mut page = page.clone();
                page[at] ^= change;
                super::check_page(&page);
            }
        }
    }

    proptest! {
        #[test]
        fn changed_side_sections_break_no_promise(
            seed in 0usize..2,
            changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = seeds("side_sections").swap_remove(seed);
            let len = bytes.len();
            for (at, byte) in changes {
                bytes[at % len] = byte;
            }
            super::check_side_sections(&bytes);
        }
    }

    /// Returns what the fuzzer once found, and where it starts from.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");
        let seeds = std::fs::read_dir(format!("{dir}/{target}")).unwrap();
        let seeds = seeds.map(|seed| std::fs::read(seed.unwrap().path()).unwrap());
        seeds.collect()
    }

    #[test]
    fn the_seeds_of_the_fuzz_targets_pass() {
        type Check = fn(&[u8]);
        let checks = [
            ("head_sections", super::check_sections as Check),
            ("head_snapshot", super::check_snapshot),
            ("head_file", super::check_page),
        ];
        for (target, check) in checks {
            let seeds = seeds(target);
            assert!(!seeds.is_empty(), "there are seeds of {target}");
            seeds.iter().for_each(|seed| check(seed));
        }
        for seed in seeds("side_sections") {
            let options = super::StoreOptions::new("");
            let is_read = super::Exemplars::decode(&seed, &options).is_ok()
                || super::MetadataStore::decode(&seed).is_ok();
            assert!(is_read, "a seed is a section");
            super::check_side_sections(&seed);
        }
    }
}
