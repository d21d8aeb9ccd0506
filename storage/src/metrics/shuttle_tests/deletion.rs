use super::*;

/// What a deletion means for the ledger.
struct Deletion {
    name: &'static str,
    range: TimeRange,
    /// Committed when it began: gone once it has ended.
    before: Samples,
}

impl Deletion {
    fn begin<D: Dir>(world: &World<D>, name: &'static str, range: TimeRange) -> Deletion {
        let mut before = world.committed();
        let deletion = Deletion {
            name,
            range,
            before: Samples::new(),
        };
        before.retain(|sample| deletion.hits(sample));
        Deletion { before, ..deletion }
    }

    fn hits(&self, &(n, t_ms, _): &(u32, i64, u64)) -> bool {
        labels_of(n).get("__name__") == Some(self.name) && self.range.contains(t_ms)
    }

    fn run<D: Dir>(&self, world: &World<D>) {
        let sets = [named(self.name)];
        world.store.delete_series(&sets, self.range).unwrap();
    }

    /// Checks what is seen after the deletion.
    fn check<D: Dir>(&self, world: &World<D>) {
        let committed = world.committed();
        let seen = content(&world.store);
        let back: Vec<_> = self.before.intersection(&seen).collect();
        assert!(back.is_empty(), "deleted and seen: {back:?}");
        let lost = committed
            .difference(&seen)
            .find(|sample| !self.hits(sample));
        assert_eq!(lost, None, "committed, not deleted and not seen");
    }
}

fn deleting(with: impl Fn(&World<MemoryDir>) + Send + Sync + 'static) {
    explore(move || {
        let world = World::new(options());
        for t_ms in [0, 40, 80, 120] {
            world.write(&[(0, t_ms), (1, t_ms), (2, t_ms)]);
        }
        let world = &world;
        let deletion = thread::scope(|scope| {
            scope.spawn(|| {
                for t_ms in [160, 200] {
                    world.write(&[(0, t_ms), (1, t_ms), (3, t_ms)]);
                }
            });
            scope.spawn(|| with(world));
            let deletion = Deletion::begin(world, "m0", TimeRange::new(30, 170));
            deletion.run(world);
            deletion.check(world);
            deletion.check(world);
            deletion
        });
        // It holds for what comes later in order, too.
        let number = world.write(&[(0, 500), (2, 500)]);
        deletion.check(world);
        let late = &world.offered()[number];
        assert!(late.is_subset(&content(&world.store)));
        let before = content(&world.store);
        drop(with_reopened(world, |store| {
            assert_eq!(content(store), before)
        }));
    });
}

/// Opens what a killed process would have left.
fn with_reopened(world: &World<MemoryDir>, check: impl Fn(&MetricStore)) -> MetricStore {
    let copy = copy_of(&world.dir);
    let (store, recovery) = MetricStore::open_in(&copy, &world.options).unwrap();
    assert_eq!(recovery.damages, []);
    check(&store);
    store
}

fn copy_of(dir: &MemoryDir) -> MemoryDir {
    let copy = MemoryDir::new(dir.path());
    copy_into(dir, &copy);
    copy
}

fn copy_into(from: &MemoryDir, to: &MemoryDir) {
    for name in from.files().unwrap() {
        to.put(&name, from.read(&name, u64::MAX).unwrap());
    }
    for name in from.dirs().unwrap() {
        copy_into(&from.child(&name), &to.child(&name));
    }
}

#[test]
fn what_is_deleted_while_a_snapshot_is_taken_stays_away() {
    deleting(|world| {
        world.store.snapshot_head().unwrap();
    });
}

#[test]
fn what_is_deleted_while_a_block_is_written_stays_away() {
    deleting(|world| {
        for _ in 0..2 {
            world.store.compact(&Retention::default(), &mut on).unwrap();
        }
    });
}

#[test]
fn what_is_deleted_while_others_are_cleaned_away_stays_away() {
    deleting(|world| {
        world.store.flush_before(100, &mut on).unwrap();
        world.store.clean_tombstones(&mut on).unwrap();
    });
}
