use super::*;

/// Before this all goes.
const KEPT_FROM_MS: i64 = 5000;

impl<D: Dir> World<D> {
    /// Writes one sample by raw key, as a scrape does.
    fn write_raw(&self, n: u32, t_ms: i64) {
        let mut appender = self.store.appender();
        let key = self.store.raw_key(&n.to_le_bytes());
        let value = f64::from(n) * 1e6 + t_ms as f64;
        let (mut misses, mut rejected) = (Vec::new(), Vec::new());
        let sample = RawSample { key, t_ms, value };
        appender.append_raw(&[sample], &mut misses, &mut rejected);
        assert_eq!(rejected, []);
        if !misses.is_empty() {
            let series = appender.series(&labels_of(n)).unwrap();
            appender.alias(key, series);
            appender.append(series, t_ms, value).unwrap();
        }
        self.commit(appender, vec![(n, t_ms, value.to_bits())]);
    }

    /// Checks what is kept for certain.
    fn check_kept(&self) {
        let mut committed = self.committed();
        committed.retain(|(_, t_ms, _)| *t_ms >= KEPT_FROM_MS);
        let seen = content(&self.store);
        let lost: Vec<_> = committed.difference(&seen).collect();
        assert!(lost.is_empty(), "committed and not seen: {lost:?}");
        let known: Samples = self.offered().into_iter().flatten().collect();
        let invented: Vec<_> = seen.difference(&known).collect();
        assert!(invented.is_empty(), "seen and never written: {invented:?}");
    }
}

#[test]
fn a_series_that_goes_may_come_back() {
    explore(|| {
        let mut options = options();
        // Two threads write to the same series.
        options.out_of_order_window_ms = 1000;
        let world = World::new(options);
        // Series without newer samples, known by raw keys.
        for n in 0..4 {
            world.write_raw(n, 10);
        }
        world.write(&[(9, 10_000)]);
        thread::scope(|scope| {
            scope.spawn(|| {
                world.write_raw(0, 10_010);
                world.write_raw(1, 10_020);
                world.write_raw(5, 10_030);
            });
            scope.spawn(|| {
                world.write(&[(6, 10_040), (0, 10_040)]);
                world.write(&[(2, 10_050)]);
            });
            scope.spawn(|| {
                for _ in 0..3 {
                    world.store.truncate_before(KEPT_FROM_MS).unwrap();
                }
                // Ids of removed series can be given again after these.
                world.store.snapshot_head().unwrap();
                world.store.snapshot_head().unwrap();
                world.write(&[(7, 10_060), (8, 10_060)]);
            });
            world.check_kept();
            world.check_kept();
        });
        world.check_kept();
        let before: BTreeMap<u32, usize> = by_series(&world);
        let World {
            dir,
            options,
            store,
            ledger,
        } = world;
        drop(store);
        let (store, recovery) = MetricStore::open_in(&dir, &options).unwrap();
        assert_eq!(recovery.damages, []);
        let world = World {
            dir,
            options,
            store,
            ledger,
        };
        world.check_kept();
        assert_eq!(by_series(&world), before);
    });
}

/// Counts the samples of each series that are kept for certain.
fn by_series<D: Dir>(world: &World<D>) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for (n, t_ms, _) in content(&world.store) {
        if t_ms >= KEPT_FROM_MS {
            *counts.entry(n).or_default() += 1;
        }
    }
    counts
}
