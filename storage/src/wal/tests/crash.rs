//! A crash at every change of a workload, with every kind of loss.

use super::*;
use crate::fs::crash::{CrashDir, Cut, Faults, Loss};

/// Commits are told apart by their timestamp, which counts up.
struct Workload {
    dir: CrashDir,
    wal: Wal,
    options: WalOptions,
    /// Per commit: its samples, and how many changes there were when it returned.
    commits: Vec<(Contents, usize)>,
    /// After so many changes, so many commits were synced.
    syncs: Vec<(usize, usize)>,
    /// From so many changes on, segments below this are not needed, and commits below
    /// that number may be gone.
    removals: Vec<(usize, u64, usize)>,
    /// The segment of each commit.
    segments: Vec<u64>,
}

const N_SERIES: u32 = 3;

impl Workload {
    fn new(segment_bytes: u64) -> Workload {
        let dir = CrashDir::new("wal");
        let options = WalOptions {
            segment_bytes,
            ..OPTIONS
        };
        let (wal, ..) = open(&(Arc::new(dir.clone()) as Arc<dyn Dir>), options);
        Workload {
            dir,
            wal,
            options,
            commits: vec![],
            syncs: vec![],
            removals: vec![],
            segments: vec![],
        }
    }

    fn commit(&mut self) {
        let t_ms = self.commits.len() as i64;
        if t_ms == 0 {
            for id in 0..N_SERIES {
                self.wal.series(id, [("__name__", "m")].into_iter());
            }
        }
        let mut contents = Contents::default();
        let base = t_ms as f64 * 1.25;
        let values = [
            base,
            if t_ms % 3 == 0 { base.sqrt() } else { 7.5 },
            1e9 - base,
        ];
        commit_samples(&mut self.wal, &mut contents, t_ms, &values);
        self.commits.push((contents, self.dir.ops()));
        self.segments.push(self.wal.stats().current_seq);
    }

    fn sync(&mut self) {
        self.wal.sync().unwrap();
        self.syncs.push((self.dir.ops(), self.commits.len()));
    }

    /// Removes the segments before that of commit `below`, which is no longer current.
    fn remove(&mut self, below: usize) {
        let keep = self.segments[below];
        let below = self.segments.partition_point(|&seq| seq < keep);
        // Segments may go as soon as this begins, so that is when it counts.
        self.removals.push((self.dir.ops(), keep, below));
        self.wal.remove_before(keep).unwrap();
        assert!(below > 0, "something to drop");
    }

    fn run() -> Workload {
        let mut work = Workload::new(150);
        for i in 0..24 {
            work.commit();
            if i % 5 == 4 {
                work.sync();
            }
            if i == 12 || i == 19 {
                work.remove(i - 6);
            }
        }
        work
    }

    /// Checks what is found after a crash at `cut`.
    fn check(&self, cut: Cut, loss: Loss) {
        let image: Arc<dyn Dir> = Arc::new(self.dir.image(cut, loss));
        let removal = self.removals.iter().rfind(|(ops, ..)| *ops <= cut.ops);
        let keep = removal.map_or(1, |(_, keep, _)| *keep);
        let start = Start { keep, replay: keep };
        let (mut wal, replayed, found) = open_from(&image, self.options, start);
        let place = format!("{cut:?} {loss:?}: {replayed:?}");

        let at_most = |list: &[(usize, usize)]| {
            list.iter()
                .filter(|(ops, _)| *ops <= cut.ops)
                .map(|(_, n)| *n)
                .max()
                .unwrap_or(0)
        };
        let returned = self
            .commits
            .iter()
            .filter(|(_, ops)| *ops <= cut.ops)
            .count();
        let oldest = removal.map_or(0, |(_, _, below)| *below);
        let safe = if loss == Loss::Process {
            returned
        } else {
            at_most(&self.syncs)
        };
        for (i, (commit, _)) in self.commits.iter().enumerate() {
            let t_ms = i as i64;
            let samples: Vec<_> = found
                .samples
                .iter()
                .filter(|s| s.1 == t_ms)
                .copied()
                .collect();
            if samples.is_empty() {
                assert!(
                    i < oldest || i >= safe,
                    "commit {i} of {safe} is lost, {place}"
                );
            } else {
                assert_eq!(samples, commit.samples, "commit {i}, {place}");
                assert!(i <= returned, "commit {i} was not begun, {place}");
            }
        }
        assert!(found.samples.is_sorted_by_key(|s| s.1), "{place}");
        if loss == Loss::Process {
            assert_eq!(replayed.damages, [], "{place}");
        }
        if replayed.damages.is_empty() && start.keep == 1 {
            let defined = |id| found.series.iter().any(|s| s.0 == id);
            assert!(found.samples.iter().all(|s| defined(s.0)), "{place}");
        }

        // It can be written to, and what was found stays.
        let mut expected = found.clone();
        commit_samples(&mut wal, &mut expected, 1000, &[0.5, 1.5, 2.5]);
        wal.sync().unwrap();
        let (_, again, contents) = open_from(&image, self.options, start);
        assert_eq!(contents.samples, expected.samples, "{place}");
        assert_eq!(
            (again.torn, again.damages),
            (None, replayed.damages.clone()),
            "{place}"
        );
    }
}

#[test]
fn a_kill_at_any_byte_loses_nothing_acknowledged() {
    let work = Workload::run();
    for ops in 0..=work.dir.ops() {
        for partial_bytes in 0..work.dir.write_len(ops).max(1) {
            work.check(Cut { ops, partial_bytes }, Loss::Process);
        }
    }
}

#[test]
fn a_power_loss_at_any_change_keeps_what_was_synced() {
    let work = Workload::run();
    for ops in 0..=work.dir.ops() {
        let cut = Cut {
            ops,
            partial_bytes: 0,
        };
        work.check(cut, Loss::Everything);
        for seed in 0..12 {
            work.check(cut, Loss::Chance(seed * 1000 + ops as u64));
        }
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    for room in 0..120 {
        let mut work = Workload::new(150);
        for _ in 0..5 {
            work.commit();
        }
        let capacity_bytes = Some(work.dir.written_bytes() + room);
        work.dir.set_faults(Faults {
            capacity_bytes,
            ..Faults::default()
        });
        let mut refused = 0;
        for t_ms in 100..110 {
            work.wal.float(0, t_ms, t_ms as f64 / 3.0);
            match work.wal.commit() {
                Ok(()) => {
                    let sample = (0, t_ms, (t_ms as f64 / 3.0).to_bits());
                    work.commits[4].0.samples.push(sample);
                }
                Err(WalError::DiskFull { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(refused > 0);
        work.dir.set_faults(Faults::default());
        work.commit();
        let expected: Vec<_> = work
            .commits
            .iter()
            .flat_map(|c| c.0.samples.clone())
            .collect();
        let dir: Arc<dyn Dir> = Arc::new(work.dir.clone());
        let (_, replayed, found) = open(&dir, work.options);
        assert_eq!((replayed.torn, replayed.damages), (None, vec![]));
        assert_eq!(found.samples, expected, "room for {room} bytes");
    }
}

#[test]
fn no_room_for_a_new_segment_is_a_full_disk() {
    let mut work = Workload::new(10);
    work.commit();
    work.dir.set_faults(Faults {
        creates: true,
        ..Faults::default()
    });
    work.wal.float(0, 50, 1.0);
    assert!(matches!(work.wal.commit(), Err(WalError::DiskFull { .. })));
    work.dir.set_faults(Faults::default());
    work.commit();
    let dir: Arc<dyn Dir> = Arc::new(work.dir.clone());
    assert_eq!(open(&dir, work.options).2.samples.len(), 6);
}

/// Runs one commit under `faults` and checks that it fails, that the log stays
/// poisoned when the fault is gone, and that reopening finds what was good.
fn check_poisoned(faults: Faults, fail: impl Fn(&mut Wal) -> Result<(), WalError>) {
    let mut work = Workload::new(1 << 20);
    work.commit();
    work.commit();
    work.dir.set_faults(faults);
    assert!(matches!(fail(&mut work.wal), Err(WalError::Fs(_))));
    work.dir.set_faults(Faults::default());
    work.wal.float(0, 7, 1.0);
    assert!(matches!(work.wal.commit(), Err(WalError::Poisoned { .. })));
    assert!(matches!(work.wal.sync(), Err(WalError::Poisoned { .. })));
    assert!(matches!(work.wal.check(), Err(WalError::Poisoned { .. })));

    let dir: Arc<dyn Dir> = Arc::new(work.dir.clone());
    let (_, replayed, found) = open(&dir, work.options);
    assert_eq!(replayed.damages, []);
    let expected: Vec<_> = work
        .commits
        .iter()
        .flat_map(|c| c.0.samples.clone())
        .collect();
    assert_eq!(found.samples, expected);
}

#[test]
fn an_io_error_poisons_the_log() {
    let commit = |wal: &mut Wal| {
        wal.float(0, 9, 2.0);
        wal.commit()
    };
    for short_write in [0, 1, 11, 12, 15] {
        let faults = Faults {
            short_write: Some(short_write),
            ..Faults::default()
        };
        check_poisoned(faults.clone(), commit);
        // Half a frame stays at the end and is cut at the next opening.
        check_poisoned(
            Faults {
                truncates: true,
                ..faults
            },
            commit,
        );
    }
    check_poisoned(
        Faults {
            syncs: true,
            ..Faults::default()
        },
        |wal| wal.sync(),
    );
}

#[test]
fn a_failed_cut_after_a_full_disk_poisons_too() {
    let faults = Faults {
        capacity_bytes: Some(0),
        truncates: true,
        ..Faults::default()
    };
    check_poisoned(faults, |wal| {
        wal.float(0, 9, 2.0);
        wal.commit()
    });
}
