//! The store against a sorted map, through everything that moves or ends it: seals,
//! snapshots, page writes, clean and other ends of the process.

use super::*;
use crate::fs::crash::{CrashDir, Cut, Loss};
use crate::fs::memory::MemoryDir;

/// Samples that a step appends to each of its series.
const RUN: i64 = 60;

#[derive(Debug, Clone)]
enum Step {
    /// Series, and whether their values are full doubles.
    Append(Vec<u8>, bool),
    Stale(u8),
    Snapshot,
    Flush,
    Retire,
    Verify,
    Truncate(u8),
    Close,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (proptest::collection::vec(0u8..40, 1..30), any::<bool>())
            .prop_map(|(series, full)| Step::Append(series, full)),
        2 => (0u8..40).prop_map(Step::Stale),
        4 => Just(Step::Snapshot),
        2 => Just(Step::Flush),
        1 => Just(Step::Retire),
        1 => Just(Step::Verify),
        1 => (1u8..4).prop_map(Step::Truncate),
        1 => Just(Step::Close),
        2 => Just(Step::Kill),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What must be there.
#[derive(Debug, Clone, Default)]
struct Model {
    series: BTreeMap<u8, Vec<(i64, u64)>>,
    now_ms: i64,
    /// Older samples may be gone.
    kept_from_ms: i64,
}

struct Run {
    dir: CrashDir,
    options: StoreOptions,
    model: Model,
    /// After so many changes of the disk, so much was acknowledged.
    history: Vec<(usize, Model)>,
}

fn options() -> StoreOptions {
    let mut options = StoreOptions::new("/test");
    options.shards = 2;
    options.wal_sync = SyncPolicy::Always;
    options.wal_segment_bytes = 4000;
    options
}

impl Run {
    fn open(dir: &dyn Dir, options: &StoreOptions) -> (MetricStore, Recovery) {
        MetricStore::open_in(dir, options).unwrap()
    }

    fn append(
        &mut self,
        store: &MetricStore,
        series: &[u8],
        value: impl Fn(u8, i64) -> f64,
        n: i64,
    ) {
        let mut appender = store.appender();
        for _ in 0..n {
            self.model.now_ms += 1000;
            let t_ms = self.model.now_ms;
            for &n in series {
                let found = appender.series(&labels(&format!("n={n},const=x"))).unwrap();
                let value = value(n, t_ms);
                appender.append(found, t_ms, value).unwrap();
                let samples = self.model.series.entry(n).or_default();
                if samples.last().is_none_or(|last| last.0 < t_ms) {
                    samples.push((t_ms, value.to_bits()));
                }
            }
        }
        appender.commit().unwrap();
    }

    fn step(&mut self, store: MetricStore, step: &Step) -> MetricStore {
        match step {
            Step::Append(series, full) => {
                let factor = if *full { 0.37 } else { 1.0 };
                let value = |n: u8, t_ms: i64| (i64::from(n) * 7 + t_ms / 1000) as f64 * factor;
                self.append(&store, series, value, RUN);
            }
            Step::Stale(n) => self.append(&store, &[*n], |_, _| stale_marker(), 1),
            Step::Snapshot => {
                store.snapshot_head().unwrap();
            }
            Step::Flush => store.flush_pages().unwrap(),
            Step::Retire => store.retire_ended(self.model.now_ms),
            Step::Verify => assert_eq!(store.verify_head(), []),
            Step::Truncate(part) => {
                let t_ms = self.model.now_ms / 4 * i64::from(*part);
                self.model.kept_from_ms = self.model.kept_from_ms.max(t_ms);
                store.truncate_before(t_ms).unwrap();
            }
            Step::Close => {
                store.close().unwrap();
                let (store, recovery) = Run::open(&self.dir, &self.options);
                assert_eq!((&recovery.damages[..], recovery.samples), (&[][..], 0));
                return store;
            }
            Step::Kill => {
                drop(store);
                let (store, recovery) = Run::open(&self.dir, &self.options);
                assert_eq!(recovery.damages, []);
                return store;
            }
        }
        store
    }

    fn through(steps: &[Step]) -> Run {
        let dir = CrashDir::new("/test");
        let options = options();
        let (mut store, _) = Run::open(&dir, &options);
        let mut run = Run {
            dir,
            options,
            model: Model::default(),
            history: Vec::new(),
        };
        run.history.push((run.dir.ops(), run.model.clone()));
        for step in steps {
            store = run.step(store, step);
            run.history.push((run.dir.ops(), run.model.clone()));
            run.model.check(&store, &run.model);
        }
        run
    }

    /// Opens what a crash leaves and checks it, also after going on.
    fn crash(&self, cut: Cut, loss: Loss) {
        let image: MemoryDir = self.dir.image(cut, loss);
        let (store, recovery) = Run::open(&image, &self.options);
        if loss == Loss::Process {
            let torn = |damage: &Damage| damage.detail.contains("unfinished commit");
            assert!(recovery.damages.iter().all(torn), "{cut:?}: {recovery:?}");
        }
        let before = self.history.iter().rfind(|(ops, _)| *ops <= cut.ops);
        let after = self.history.iter().find(|(ops, _)| *ops > cut.ops);
        let before = &before.or(self.history.first()).unwrap().1;
        let after = &after.or(self.history.last()).unwrap().1;
        before.check(&store, after);
        let found = content(&store);
        store.snapshot_head().unwrap();
        drop(store);
        let (store, recovery) = Run::open(&image, &self.options);
        assert_eq!(recovery.samples, 0);
        assert_eq!(content(&store), found, "{cut:?} {loss:?}");
    }
}

impl Model {
    /// Checks that the store has everything of `self`, and nothing that is not in `all`.
    fn check(&self, store: &MetricStore, all: &Model) {
        let found = content(store);
        let name = |n: &u8| labels(&format!("n={n},const=x"));
        for (n, samples) in &self.series {
            let kept = samples.iter().filter(|s| s.0 >= all.kept_from_ms);
            let have = found.get(&name(n)).map_or(&[][..], Vec::as_slice);
            let have_kept: Vec<_> = have.iter().filter(|s| s.0 >= all.kept_from_ms).collect();
            let kept: Vec<_> = kept.collect();
            assert!(
                have_kept.starts_with(&kept),
                "series {n}: {have:?}, not {kept:?}"
            );
        }
        for (labels, samples) in &found {
            let n = labels.get("n").unwrap().parse::<u8>().unwrap();
            let known = all.series.get(&n).map_or(&[][..], Vec::as_slice);
            let have: Vec<_> = samples.iter().collect();
            let from = have.first().map_or(i64::MAX, |s| s.0);
            let until = have.last().map_or(i64::MIN, |s| s.0);
            let expected: Vec<_> = known
                .iter()
                .filter(|s| (from..=until).contains(&s.0))
                .collect();
            assert_eq!(have, expected, "series {n} has what was not written");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_acknowledged_is_lost_and_nothing_invented(
        steps in steps(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 6),
    ) {
        let run = Run::through(&steps);
        for (at, seed) in cuts {
            let ops = at.index(run.dir.ops() + 1);
            let partial_bytes = run.dir.write_len(ops) * (seed % 4) as usize / 4;
            let cut = Cut { ops, partial_bytes };
            for loss in [Loss::Process, Loss::Everything, Loss::Chance(seed)] {
                run.crash(cut, loss);
            }
        }
    }
}

/// A crash at every change of the disk of one run that has everything in it.
#[test]
fn a_crash_at_any_change_loses_nothing() {
    let all: Vec<u8> = (0..40).collect();
    let mut steps = Vec::new();
    for round in 0..8 {
        steps.extend([
            Step::Append(all.clone(), true),
            Step::Append(all.clone(), true),
        ]);
        match round {
            1 | 3 => steps.push(Step::Snapshot),
            2 => steps.extend([Step::Stale(3), Step::Flush, Step::Retire]),
            4 => steps.extend([Step::Truncate(2), Step::Snapshot, Step::Snapshot]),
            5 => steps.extend([Step::Kill, Step::Snapshot]),
            6 => steps.push(Step::Close),
            _ => {}
        }
    }
    let run = Run::through(&steps);
    let begun = run.history[0].0;
    let n_pages = |store: &MetricStore| store.shards[0].lock().sealed().next_serial();
    assert!(
        n_pages(&Run::open(&run.dir, &run.options).0) > 1,
        "some page is full"
    );
    for ops in begun..=run.dir.ops() {
        let partial_bytes = run.dir.write_len(ops) / 2;
        let cut = Cut { ops, partial_bytes };
        run.crash(cut, Loss::Process);
        if ops % 3 == 0 {
            run.crash(cut, Loss::Everything);
            run.crash(cut, Loss::Chance(ops as u64));
        }
    }
}
