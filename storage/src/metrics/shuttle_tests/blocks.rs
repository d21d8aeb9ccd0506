use super::*;

/// A store whose head is about to be long enough for a block.
fn long_head(window_ms: i64) -> World<MemoryDir> {
    let mut options = options();
    options.out_of_order_window_ms = window_ms;
    let world = World::new(options);
    for t_ms in [0, 40, 80, 120] {
        world.write(&[(0, t_ms), (1, t_ms), (2, t_ms)]);
    }
    world
}

#[test]
fn a_block_takes_over_from_the_head_unnoticed() {
    explore(|| {
        let world = long_head(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for t_ms in [160, 200, 330] {
                    world.write(&[(0, t_ms), (1, t_ms), (3, t_ms)]);
                }
            });
            scope.spawn(|| {
                for _ in 0..3 {
                    let retention = Retention::default();
                    world.store.compact(&retention, &mut on).unwrap();
                }
            });
            for _ in 0..3 {
                world.check();
            }
            world.check_newest();
        });
        while world
            .store
            .compact(&Retention::default(), &mut on)
            .unwrap()
            .flushed
            > 0
        {}
        assert!(world.store.stats().blocks.blocks > 0);
        world.reopen();
    });
}

#[test]
fn late_samples_go_to_blocks_unnoticed() {
    explore(|| {
        let world = long_head(1000);
        world.write(&[(0, 50), (1, 50), (2, 130)]);
        thread::scope(|scope| {
            scope.spawn(|| {
                world.write(&[(0, 300), (1, 60), (2, 90)]);
                world.write(&[(0, 70), (1, 310), (4, 20)]);
            });
            scope.spawn(|| {
                for _ in 0..2 {
                    let retention = Retention::default();
                    world.store.compact(&retention, &mut on).unwrap();
                }
            });
            for _ in 0..3 {
                world.check();
            }
        });
        let world = world.reopen();
        world.store.compact(&Retention::default(), &mut on).unwrap();
        world.reopen();
    });
}

#[test]
fn a_head_that_is_emptied_for_memory_loses_nothing() {
    explore(|| {
        let world = long_head(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for t_ms in [140, 150, 160] {
                    world.write(&[(0, t_ms), (3, t_ms)]);
                }
            });
            scope.spawn(|| {
                let _ = world.store.flush_before(130, &mut on).unwrap();
                world.store.snapshot_head().unwrap();
            });
            world.check();
            world.check();
        });
        world.reopen();
    });
}

#[test]
fn blocks_are_merged_unnoticed() {
    explore(|| {
        let world = long_head(0);
        for step in 5..16 {
            let t_ms = step * 40;
            world.write(&[(0, t_ms), (1, t_ms)]);
            if step % 2 == 0 {
                assert!(world.store.flush_before(t_ms, &mut on).unwrap());
            }
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                let retention = Retention::default();
                world.store.compact(&retention, &mut on).unwrap();
                world.store.clean_tombstones(&mut on).unwrap();
            });
            scope.spawn(|| {
                world.write(&[(0, 700), (5, 700)]);
            });
            world.check();
            world.check();
        });
        world.reopen();
    });
}

#[test]
fn a_copy_has_all_that_was_committed_before() {
    explore(|| {
        let world = long_head(0);
        let copy = MemoryDir::new("/copy");
        let before = thread::scope(|scope| {
            scope.spawn(|| {
                for t_ms in [160, 200] {
                    world.write(&[(0, t_ms), (1, t_ms), (3, t_ms)]);
                }
            });
            scope.spawn(|| {
                let retention = Retention::default();
                world.store.compact(&retention, &mut on).unwrap();
                world.store.snapshot_head().unwrap();
            });
            let before = world.committed();
            world.store.backup_to(&copy, true, &mut on).unwrap();
            before
        });
        let (copied, recovery) = MetricStore::open_in(&copy, &world.options).unwrap();
        assert_eq!(recovery.damages, []);
        let seen = content(&copied);
        let lost: Vec<_> = before.difference(&seen).collect();
        assert!(lost.is_empty(), "committed and not copied: {lost:?}");
        assert!(seen.is_subset(&content(&world.store)));
        for transaction in world.offered() {
            let n_seen = transaction.intersection(&seen).count();
            assert!(n_seen == 0 || n_seen == transaction.len());
        }
    });
}
