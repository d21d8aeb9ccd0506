use std::sync::Arc;

use super::*;
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::stale_marker;

/// Everything a log holds, as it was replayed.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Contents {
    pub(super) series: Vec<(u32, Vec<(String, String)>)>,
    /// Series, time, bits of the value.
    pub(super) samples: Vec<(u32, i64, u64)>,
}

impl Contents {
    pub(super) fn apply(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Series { id, labels } => {
                let owned = labels
                    .iter()
                    .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
                self.series.push((id, owned.collect()));
            }
            Entry::Floats { ids, t_ms, values } => {
                assert!(ids.len() == t_ms.len() && ids.len() == values.len());
                for ((&id, &t), v) in ids.iter().zip(t_ms).zip(values) {
                    self.samples.push((id, t, v.to_bits()));
                }
            }
        }
    }
}

pub(super) const OPTIONS: WalOptions = WalOptions {
    shard: 3,
    segment_bytes: 64 << 20,
};

pub(super) fn open(dir: &Arc<dyn Dir>, options: WalOptions) -> (Wal, Replayed, Contents) {
    let mut contents = Contents::default();
    let (wal, replayed) = Wal::open(dir.clone(), options, &mut |e| contents.apply(e)).unwrap();
    (wal, replayed, contents)
}

fn memory() -> (MemoryDir, Arc<dyn Dir>) {
    let dir = MemoryDir::new("wal");
    (dir.clone(), Arc::new(dir))
}

/// Commits one sample per value of series 0.., and notes them in `expected`.
pub(super) fn commit_samples(wal: &mut Wal, expected: &mut Contents, t_ms: i64, values: &[f64]) {
    for (id, &value) in values.iter().enumerate() {
        wal.float(id as u32, t_ms, value);
        expected.samples.push((id as u32, t_ms, value.to_bits()));
    }
    wal.commit().unwrap();
}

#[test]
fn replays_what_was_committed_in_order() {
    let (_, dir) = memory();
    let (mut wal, replayed, _) = open(&dir, OPTIONS);
    assert_eq!(replayed, Replayed::default());
    let labels = [("__name__", "up"), ("job", "node"), ("empty", "")];
    wal.series(0, labels.iter().copied());
    wal.series(7, labels.iter().copied());
    wal.float(7, 1000, 1.5);
    wal.float(0, 1000, f64::NAN);
    wal.float(7, 2000, 1.25);
    wal.commit().unwrap();
    wal.commit().unwrap();
    wal.float(7, 3000, stale_marker());
    wal.float(7, 500, 1.25);
    wal.commit().unwrap();

    let (wal, replayed, contents) = open(&dir, OPTIONS);
    let owned: Vec<_> = labels
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect();
    assert_eq!(contents.series, [(0, owned.clone()), (7, owned)]);
    assert_eq!(
        contents.samples,
        [
            (7, 1000, 1.5f64.to_bits()),
            (0, 1000, f64::NAN.to_bits()),
            (7, 2000, 1.25f64.to_bits()),
            (7, 3000, stale_marker().to_bits()),
            (7, 500, 1.25f64.to_bits()),
        ]
    );
    assert_eq!(
        (replayed.segments, replayed.series, replayed.samples),
        (1, 2, 5)
    );
    assert_eq!((replayed.torn, replayed.damages.len()), (None, 0));
    assert_eq!(wal.stats().len_bytes, replayed.len_bytes);
}

#[test]
fn goes_on_in_the_same_segment_after_reopening() {
    let (_, dir) = memory();
    let mut expected = Contents::default();
    for round in 0..3 {
        let (mut wal, _, contents) = open(&dir, OPTIONS);
        assert_eq!(contents, expected);
        commit_samples(
            &mut wal,
            &mut expected,
            round,
            &[1.0, 0.25, 7e9 + round as f64],
        );
        commit_samples(
            &mut wal,
            &mut expected,
            round + 10,
            &[1.0, 0.5, 7e9 + round as f64],
        );
    }
    assert_eq!(dir.files().unwrap(), ["00000001.wal"]);
    assert_eq!(open(&dir, OPTIONS).2, expected);
}
