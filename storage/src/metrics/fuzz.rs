//! The sections of a shard over arbitrary bytes: the body of the fuzz target
//! `head_sections`.

use super::shard::Shard;
use crate::model::TimeRange;

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

    /// What the fuzzer once found, and where it starts from.
    #[test]
    fn the_seeds_of_the_fuzz_target_pass() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/head_sections");
        let mut n = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::check_sections(&std::fs::read(seed.unwrap().path()).unwrap());
            n += 1;
        }
        assert!(n > 0, "there are seeds in {seeds}");
    }
}
