//! A crash anywhere leaves whole blocks only.

use std::sync::Arc;

use super::tests::{HOUR, Model, options, read, ulid, write};
use super::*;
use crate::fs::Dir;
use crate::fs::crash::{CrashDir, Cut, Faults, Loss};
use crate::fs::memory::MemoryDir;
use crate::model::{Labels, TimeRange};

fn model() -> Model {
    let series = |n: i64| {
        let samples = (0..100).map(|i| (i * 1000 + n, (i * n) as f64)).collect();
        (Labels::from_pairs([("n", n.to_string())]), samples)
    };
    (0..20).map(series).collect()
}

fn check(block: &Block, model: &Model) {
    let mut scratch = ReadScratch::default();
    for (series, (labels, samples)) in model.iter().enumerate() {
        let series = series as u32;
        assert_eq!(&Labels::from_sorted(block.labels(series).unwrap()), labels);
        let found = read(block, series, TimeRange::ALL, &mut scratch).unwrap();
        assert_eq!(&found, samples);
    }
}

fn blocks_of(image: MemoryDir) -> (Arc<dyn Dir>, Vec<Ulid>) {
    let blocks: Arc<dyn Dir> = Arc::new(image);
    let listed = list_blocks(&blocks).unwrap();
    (blocks, listed)
}

#[test]
fn a_block_is_whole_or_absent_after_a_crash_at_any_moment() {
    let dir = CrashDir::new("blocks");
    let blocks: Arc<dyn Dir> = Arc::new(dir.clone());
    let model = model();
    write(&blocks, ulid(1), options(0, 2 * HOUR), &model)
        .unwrap()
        .unwrap();
    let first = dir.ops();
    write(&blocks, ulid(2), options(0, 2 * HOUR), &model)
        .unwrap()
        .unwrap();
    let second = dir.ops();
    remove_block(&blocks, ulid(1)).unwrap();
    let (mut absent, mut whole) = (0, 0);
    for ops in 0..=dir.ops() {
        let torn = dir.write_len(ops) / 2;
        for partial_bytes in [0, torn] {
            let mut losses = vec![Loss::Process, Loss::Everything];
            losses.extend((0..12).map(Loss::Chance));
            for loss in losses {
                let cut = Cut { ops, partial_bytes };
                let (blocks, listed) = blocks_of(dir.image(cut, loss));
                for &found in &listed {
                    let block = Block::open(blocks.subdir(&found.to_string()).unwrap());
                    check(&block.unwrap(), &model);
                    whole += 1;
                }
                let is_first_durable = ops >= first && ops < second;
                let is_second_durable = ops >= second;
                assert!(
                    !is_first_durable || listed.contains(&ulid(1)),
                    "{cut:?} {loss:?}"
                );
                assert!(
                    !is_second_durable || listed.contains(&ulid(2)),
                    "{cut:?} {loss:?}"
                );
                absent += usize::from(listed.is_empty());
                assert!(
                    blocks
                        .dirs()
                        .unwrap()
                        .iter()
                        .all(|name| name.parse::<Ulid>().is_ok()),
                    "no remains"
                );
            }
        }
        if ops == dir.ops() {
            let end = Cut {
                ops,
                partial_bytes: 0,
            };
            assert_eq!(blocks_of(dir.image(end, Loss::Everything)).1, [ulid(2)]);
        }
    }
    assert!(absent > 100 && whole > 100, "{absent} {whole}");
}

#[test]
fn tombstones_are_the_old_or_the_new_after_a_crash() {
    let dir = CrashDir::new("blocks");
    let blocks: Arc<dyn Dir> = Arc::new(dir.clone());
    let model = model();
    write(&blocks, ulid(1), options(0, 2 * HOUR), &model)
        .unwrap()
        .unwrap();
    let block = Block::open(blocks.subdir(&ulid(1).to_string()).unwrap()).unwrap();
    let mut steps = vec![(dir.ops(), 0)];
    for n in 1..4u32 {
        block.delete(&[(n, TimeRange::new(0, 50_000))]).unwrap();
        steps.push((dir.ops(), u64::from(n)));
    }
    for ops in steps[0].0..=dir.ops() {
        for seed in 0..30 {
            let cut = Cut {
                ops,
                partial_bytes: dir.write_len(ops) / 3,
            };
            let loss = if seed == 0 {
                Loss::Everything
            } else {
                Loss::Chance(seed)
            };
            let (blocks, listed) = blocks_of(dir.image(cut, loss));
            assert_eq!(listed, [ulid(1)]);
            let block = Block::open(blocks.subdir(&ulid(1).to_string()).unwrap()).unwrap();
            let done = steps
                .iter()
                .filter(|step| step.0 <= ops)
                .map(|step| step.1)
                .max();
            let found = block.n_tombstones();
            assert!(
                found == done.unwrap() || found == done.unwrap() + 1,
                "{ops} {found}"
            );
            // And it can be gone on with.
            block.delete(&[(9, TimeRange::ALL)]).unwrap();
            assert_eq!(block.n_tombstones(), found + 1);
        }
    }
}

#[test]
fn a_failure_leaves_no_block_and_says_why() {
    let model = model();
    let faults = [
        Faults {
            capacity_bytes: Some(0),
            ..Faults::default()
        },
        Faults {
            capacity_bytes: Some(300),
            ..Faults::default()
        },
        Faults {
            capacity_bytes: Some(1200),
            ..Faults::default()
        },
        Faults {
            short_write: Some(7),
            ..Faults::default()
        },
        Faults {
            syncs: true,
            ..Faults::default()
        },
        Faults {
            creates: true,
            ..Faults::default()
        },
    ];
    for faults in faults {
        let dir = CrashDir::new("blocks");
        let blocks: Arc<dyn Dir> = Arc::new(dir.clone());
        dir.set_faults(faults.clone());
        let error = write(&blocks, ulid(1), options(0, 2 * HOUR), &model).unwrap_err();
        assert!(matches!(error, BlockError::Fs(_)), "{error:?}");
        assert!(error.to_string().contains("blocks"), "{error}");
        dir.set_faults(Faults::default());
        assert_eq!(blocks.dirs().unwrap(), [""; 0], "{faults:?}");
        // There is room again.
        write(&blocks, ulid(1), options(0, 2 * HOUR), &model)
            .unwrap()
            .unwrap();
        let block = Block::open(blocks.subdir(&ulid(1).to_string()).unwrap()).unwrap();
        dir.set_faults(Faults {
            capacity_bytes: Some(0),
            ..Faults::default()
        });
        assert!(block.delete(&[(1, TimeRange::ALL)]).is_err());
        assert_eq!(block.n_tombstones(), 0);
        check(&block, &model);
    }
}
