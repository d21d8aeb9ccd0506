use super::*;
use crate::model::stale_marker;

#[test]
fn readers_see_whole_transactions_while_a_snapshot_is_taken() {
    explore(|| {
        let world = World::new(options());
        world.write(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
        thread::scope(|scope| {
            for first in [0, 4] {
                let world = &world;
                scope.spawn(move || {
                    for t_ms in [10, 20, 30] {
                        let series = first..first + 4;
                        let samples: Vec<_> = series.map(|n| (n, t_ms)).collect();
                        world.write(&samples);
                    }
                });
            }
            scope.spawn(|| {
                world.store.snapshot_head().unwrap();
                world.store.snapshot_head().unwrap();
            });
            for _ in 0..3 {
                world.check();
            }
            world.check_newest();
        });
        world.reopen();
    });
}

#[test]
fn pages_go_to_files_unnoticed() {
    explore(|| {
        let world = World::new(options());
        // Values of no pattern: the first chunks fill a page.
        let mut appender = world.store.appender();
        let mut samples = Vec::new();
        for n in 0..4 {
            let series = appender.series(&labels_of(n)).unwrap();
            for t_ms in 0..400 {
                let value = f64::from(n + 1) / (t_ms as f64 + 3.7);
                appender.append(series, t_ms, value).unwrap();
                samples.push((n, t_ms, value.to_bits()));
            }
            // One has ended.
            if n == 3 {
                let end = stale_marker();
                appender.append(series, 401, end).unwrap();
                samples.push((n, 401, end.to_bits()));
            }
        }
        world.commit(appender, samples);
        assert!(world.store.stats().chunks > 4, "nothing is finished");
        thread::scope(|scope| {
            scope.spawn(|| {
                world.store.flush_pages().unwrap();
                world.store.retire_ended(1000);
            });
            scope.spawn(|| {
                world.store.snapshot_head().unwrap();
            });
            scope.spawn(|| {
                world.write(&[(0, 400), (1, 400), (2, 400)]);
            });
            world.check();
            world.check();
        });
        world.reopen();
    });
}

#[test]
fn a_series_is_created_once() {
    explore(|| {
        let mut options = options();
        options.out_of_order_window_ms = 1000;
        let world = World::new(options);
        thread::scope(|scope| {
            for thread in 0..3 {
                let world = &world;
                scope.spawn(move || {
                    let t_ms = i64::from(thread);
                    // In another order in each thread.
                    world.write(&[(thread, t_ms), ((thread + 1) % 3, t_ms)]);
                    world.write(&[((thread + 2) % 3, t_ms + 10), (thread, t_ms + 10)]);
                });
            }
            world.check();
        });
        assert_eq!(world.store.stats().series, 3);
        let world = world.reopen();
        assert_eq!(world.store.stats().series, 3);
    });
}

#[test]
fn samples_that_turn_late_are_kept() {
    explore(|| {
        let mut options = options();
        options.out_of_order_window_ms = 1000;
        let world = World::new(options);
        world.write(&[(0, 0), (1, 0)]);
        thread::scope(|scope| {
            for thread in 0..3 {
                let world = &world;
                scope.spawn(move || {
                    for turn in 0..3 {
                        let t_ms = 10 * (1 + (turn + i64::from(thread)) % 3) + i64::from(thread);
                        world.write(&[(0, t_ms), (1, t_ms)]);
                    }
                });
            }
            world.check();
            world.store.snapshot_head().unwrap();
            world.check();
        });
        world.reopen();
    });
}
