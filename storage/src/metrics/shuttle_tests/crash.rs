use super::*;

/// Crashes that are tried of each schedule.
const CUTS: usize = 2;

fn crashing(sync: SyncPolicy, losses: [Loss; CUTS]) {
    explore(move || {
        let mut options = options();
        options.wal_sync = sync;
        // Both threads write to series 4, and some samples are late.
        options.out_of_order_window_ms = 1000;
        let world = World::on(CrashDir::new("/store"), options);
        for t_ms in [0, 40, 80, 120] {
            world.write(&[(0, t_ms), (1, t_ms)]);
        }
        let begun = world.dir.ops();
        // After how many changes of the disk which transaction had returned.
        let returned = Mutex::new(vec![(
            begun,
            world.ledger.lock().unwrap().offered.len() - 1,
        )]);
        thread::scope(|scope| {
            for n in [0, 1] {
                let (world, returned) = (&world, &returned);
                scope.spawn(move || {
                    for t_ms in [160, 200] {
                        let samples = [
                            (n, t_ms),
                            (n + 2, t_ms),
                            (n, t_ms - 130),
                            (4, t_ms + i64::from(n)),
                        ];
                        let number = world.write(&samples);
                        let ops = world.dir.ops();
                        returned.lock().unwrap().push((ops, number));
                    }
                });
            }
            scope.spawn(|| {
                world.store.snapshot_head().unwrap();
                world.store.compact(&Retention::default(), &mut on).unwrap();
                world.store.snapshot_head().unwrap();
            });
        });
        let offered = world.offered();
        let known: Samples = offered.iter().flatten().copied().collect();
        let returned = returned.into_inner().unwrap();
        let ops = world.dir.ops();
        for loss in losses {
            let cut = begun
                + shuttle::rand::Rng::gen_range(&mut shuttle::rand::thread_rng(), 0..=ops - begun);
            let image = world.dir.image(
                Cut {
                    ops: cut,
                    partial_bytes: 0,
                },
                loss,
            );
            // A commit that was cut in two is no damage.
            let (store, _) = MetricStore::open_in(&image, &world.options).unwrap();
            let seen = content(&store);
            let invented: Vec<_> = seen.difference(&known).collect();
            assert!(invented.is_empty(), "seen and never written: {invented:?}");
            // All before the threads, and what returned until then.
            let first = returned[0].1;
            let kept = (0..=first).chain(
                returned[1..]
                    .iter()
                    .filter(|(at, _)| *at <= cut)
                    .map(|&(_, number)| number),
            );
            for number in kept {
                let lost: Vec<_> = offered[number].difference(&seen).collect();
                assert!(
                    lost.is_empty(),
                    "committed and lost at {cut} of {ops}: {lost:?}"
                );
            }
        }
    });
}

#[test]
fn a_killed_process_loses_nothing_that_a_thread_committed() {
    crashing(SyncPolicy::Never, [Loss::Process; CUTS]);
}

#[test]
fn a_power_loss_takes_nothing_that_a_thread_committed() {
    crashing(SyncPolicy::Always, [Loss::Everything, Loss::Chance(7)]);
}
