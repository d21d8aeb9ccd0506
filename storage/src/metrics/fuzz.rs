//! The sections of a snapshot over arbitrary bytes: the bodies of the fuzz targets
//! `head_sections` and `side_sections`.

use super::exemplars::Exemplars;
use super::metadata::MetadataStore;
use super::shard::Shard;
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
    let mut shard = Shard::default();
    for slot in 0..8 {
        shard.create(slot, slot);
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_sections_break_no_promise(
            split: u8,
            bytes in proptest::collection::vec(prop_oneof![0u8..20, any::<u8>()], 0..200),
        ) {
            super::check_sections(&[&[split], bytes.as_slice()].concat());
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
        assert!(seeds("head_sections").len() > 2);
        for seed in seeds("head_sections") {
            super::check_sections(&seed);
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
