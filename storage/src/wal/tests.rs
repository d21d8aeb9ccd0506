use std::sync::Arc;

use super::*;
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::{Exemplar, Labels, MetricType, TimeRange, stale_marker};

/// Everything a log holds, as it was replayed.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Contents {
    pub(super) series: Vec<(u32, Vec<(String, String)>)>,
    /// Series, time, bits of the value.
    pub(super) samples: Vec<(u32, i64, u64)>,
    pub(super) late: Vec<(u32, i64, u64)>,
    pub(super) histograms: Vec<String>,
    pub(super) deleted: Vec<(u32, TimeRange)>,
    pub(super) exemplars: Vec<String>,
    pub(super) metadata: Vec<String>,
}

impl Contents {
    pub(super) fn apply(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Series(found) => {
                for (id, labels) in found.texts() {
                    let owned = labels.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
                    self.series.push((id, owned.collect()));
                }
            }
            Entry::Floats { ids, t_ms, values } => {
                assert!(ids.len() == t_ms.len() && ids.len() == values.len());
                for ((&id, &t), v) in ids.iter().zip(t_ms).zip(values) {
                    self.samples.push((id, t, v.to_bits()));
                }
            }
            Entry::Late { ids, t_ms, values } => {
                assert!(ids.len() == t_ms.len() && ids.len() == values.len());
                for ((&id, &t), v) in ids.iter().zip(t_ms).zip(values) {
                    self.late.push((id, t, v.to_bits()));
                }
            }
            Entry::Histograms(found) => {
                let texts = found.iter().map(|logged| format!("{logged:?}"));
                self.histograms.extend(texts);
            }
            Entry::Tombstones(deleted) => self.deleted.extend_from_slice(deleted),
            Entry::Exemplars(found) => {
                let texts = found.iter().map(|logged| format!("{logged:?}"));
                self.exemplars.extend(texts);
            }
            Entry::Metadata(found) => {
                let texts = found.iter().map(|logged| format!("{logged:?}"));
                self.metadata.extend(texts);
            }
            // Their own tests are in `entries`.
            Entry::Entries(_) | Entry::Deletion(_) => {}
        }
    }
}

pub(super) const OPTIONS: WalOptions = WalOptions {
    shard: 3,
    segment_bytes: 64 << 20,
};

pub(super) fn open(dir: &Arc<dyn Dir>, options: WalOptions) -> (Wal, Replayed, Contents) {
    open_from(dir, options, Start::default())
}

pub(super) fn open_from(
    dir: &Arc<dyn Dir>,
    options: WalOptions,
    start: Start,
) -> (Wal, Replayed, Contents) {
    let mut contents = Contents::default();
    let opened = Wal::open_from(dir.clone(), options, start, &mut |e| contents.apply(e));
    let (wal, replayed) = opened.unwrap();
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
fn late_samples_and_deleted_times_are_told_from_others() {
    let (_, dir) = memory();
    let (mut wal, _, _) = open(&dir, OPTIONS);
    let mut expected = Contents::default();
    commit_samples(&mut wal, &mut expected, 1000, &[1.5, 2.5]);
    // Values of both kinds build on each other, in the order of the frames.
    for round in 0..3 {
        let (t_ms, value) = (2000 + round, 1.5 + round as f64);
        wal.float(0, t_ms, value);
        let late = [(0, 500 + round, value + 0.25), (1, 600, f64::MIN)];
        wal.late(late.iter().copied());
        wal.float(1, t_ms, value);
        let deleted = [
            (1, TimeRange::new(-5, round)),
            (0, TimeRange::ALL),
            (7, TimeRange::new(3, 3)),
        ];
        wal.tombstones(&deleted);
        wal.commit().unwrap();
        let bits = value.to_bits();
        expected.samples.extend([(0, t_ms, bits), (1, t_ms, bits)]);
        let late = late.map(|(id, t, v)| (id, t, v.to_bits()));
        expected.late.extend(late);
        expected.deleted.extend(deleted);
    }
    // A commit of late samples, or of deleted times, alone; it may begin a segment.
    wal.roll();
    wal.late([(0, 7, 0.25)].into_iter());
    wal.commit().unwrap();
    wal.roll();
    wal.tombstones(&[(0, TimeRange::new(1, 2))]);
    wal.commit().unwrap();
    expected.late.push((0, 7, 0.25f64.to_bits()));
    expected.deleted.push((0, TimeRange::new(1, 2)));
    let (wal, replayed, contents) = open(&dir, OPTIONS);
    assert_eq!(contents, expected);
    assert_eq!(
        (replayed.samples, replayed.damages.len()),
        (2 + 6 + 6 + 1, 0)
    );
    assert_eq!(wal.segments().count(), 3);
}

#[test]
fn many_late_samples_and_deleted_times_take_several_frames() {
    let (_, dir) = memory();
    let (mut wal, _, _) = open(&dir, OPTIONS);
    let late = (0..200_000u32).map(|n| (n % 1000, i64::from(n), f64::from(n)));
    wal.late(late.clone());
    let deleted = |n: u32| (n % 1000, TimeRange::new(0, i64::from(n)));
    let deleted: Vec<_> = (0..150_000).map(deleted).collect();
    wal.tombstones(&deleted);
    wal.commit().unwrap();
    // One that is refused leaves nothing, and what follows is sound.
    wal.late([(format::MAX_SERIES, 1, 1.0)].into_iter());
    wal.commit().unwrap_err();
    wal.tombstones(&[(format::MAX_SERIES, TimeRange::ALL)]);
    wal.commit().unwrap_err();
    wal.late([(5, 1, 199_005.0)].into_iter());
    wal.commit().unwrap();
    let (_, replayed, contents) = open(&dir, OPTIONS);
    assert_eq!(replayed.damages, []);
    let last = (5, 1, 199_005.0);
    let late = late.chain([last]).map(|(id, t, v)| (id, t, v.to_bits()));
    assert!(contents.late.into_iter().eq(late));
    assert_eq!(contents.deleted, deleted);
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

#[test]
fn a_full_segment_is_left_behind_and_reads_alone() {
    let (memory, dir) = memory();
    let options = WalOptions {
        segment_bytes: 200,
        ..OPTIONS
    };
    let mut expected = Contents::default();
    let (mut wal, ..) = open(&dir, options);
    for round in 0..50 {
        commit_samples(
            &mut wal,
            &mut expected,
            round,
            &[0.5 + round as f64, 7.25, f64::NAN],
        );
    }
    let names = dir.files().unwrap();
    assert!(names.len() > 3, "{names:?}");
    assert_eq!(wal.segments().count(), names.len());
    assert_eq!(open(&dir, options).2, expected);

    // The last one on its own, under the first number.
    let last = names.last().unwrap();
    let mut bytes = dir.read(last, 1 << 20).unwrap();
    let seq = format::segment_seq(last).unwrap();
    let mut header = format::Header::decode(&bytes).unwrap();
    assert_eq!(header.seq, seq);
    header.seq = 1;
    bytes[..format::HEADER_BYTES].copy_from_slice(&header.encode());
    for name in names {
        dir.remove(&name).unwrap();
    }
    memory.put("00000001.wal", bytes);
    let (_, replayed, alone) = open(&dir, options);
    assert_eq!(replayed.damages, []);
    assert!(!alone.samples.is_empty() && expected.samples.ends_with(&alone.samples));
}

#[test]
fn a_large_commit_takes_several_frames_and_stays_one_commit() {
    let (memory, dir) = memory();
    let (mut wal, ..) = open(&dir, OPTIONS);
    let mut expected = Contents::default();
    commit_samples(&mut wal, &mut expected, 1, &[1.0]);
    let before = wal.stats().len_bytes as usize;
    wal.series(0, [("a", "b")].into_iter());
    let values: Vec<f64> = (0..150_000).map(|i| f64::from(i % 1000) / 8.0).collect();
    commit_samples(&mut wal, &mut expected, 2, &values);
    assert_eq!(open(&dir, OPTIONS).2.samples, expected.samples);

    // Without its last byte all of it goes.
    let mut bytes = dir.read("00000001.wal", 1 << 30).unwrap();
    bytes.pop();
    let len = bytes.len();
    memory.put("00000001.wal", bytes);
    let (_, replayed, contents) = open(&dir, OPTIONS);
    assert_eq!(contents.samples.len(), 1);
    let torn = replayed.torn.unwrap();
    assert_eq!(
        (torn.offset, torn.len_bytes),
        (before as u64, (len - before) as u64)
    );
    assert_eq!(dir.read("00000001.wal", 1 << 30).unwrap().len(), before);
}

#[test]
fn a_commit_can_be_taken_back() {
    let (_, dir) = memory();
    let (mut wal, ..) = open(&dir, OPTIONS);
    let mut expected = Contents::default();
    wal.revert_last().unwrap();
    commit_samples(&mut wal, &mut expected, 1, &[1.5, 2.5]);
    commit_samples(&mut wal, &mut Contents::default(), 2, &[1.75, 3.5]);
    wal.revert_last().unwrap();
    wal.revert_last().unwrap();
    commit_samples(&mut wal, &mut expected, 3, &[1.25, 2.25]);
    wal.float(0, 4, 99.0);
    wal.discard();
    commit_samples(&mut wal, &mut expected, 5, &[1.25, 4.25]);
    assert_eq!(open(&dir, OPTIONS).2, expected);
}

#[test]
fn old_segments_are_removed_or_passed_over() {
    let (_, dir) = memory();
    let options = WalOptions {
        segment_bytes: 100,
        ..OPTIONS
    };
    let (mut wal, ..) = open(&dir, options);
    let mut expected = Contents::default();
    let mut begins = vec![(1, 0)];
    for t_ms in 0..30 {
        commit_samples(&mut wal, &mut expected, t_ms, &[t_ms as f64, 0.5]);
        if t_ms == 12 || t_ms == 20 {
            wal.roll();
            begins.push((wal.stats().current_seq, expected.samples.len()));
        }
    }
    let n_before = wal.segments().count();
    let [_, (keep, first), (replay, second)] = begins[..] else {
        unreachable!("two rolls");
    };
    wal.remove_before(keep).unwrap();
    wal.remove_before(keep).unwrap();
    assert_eq!(wal.segments().count(), n_before + 1 - keep as usize);
    let from = |start| {
        let (wal, replayed, contents) = open_from(&dir, options, start);
        assert_eq!((replayed.torn, replayed.damages), (None, vec![]));
        (wal, contents.samples)
    };
    let (all, samples) = from(Start { keep, replay: keep });
    assert_eq!(samples, expected.samples[first..]);
    let (some, samples) = from(Start { keep, replay });
    assert_eq!(samples, expected.samples[second..]);
    assert_eq!(all.stats(), some.stats());
    // What is not kept goes with the next opening.
    let (mut some, samples) = from(Start {
        keep: replay,
        replay,
    });
    assert_eq!(samples, expected.samples[second..]);
    assert!(some.segments().all(|segment| segment.seq >= replay));
    // The current segment stays whatever is asked.
    some.remove_before(u64::MAX).unwrap();
    assert_eq!(some.segments().count(), 1);
}

#[test]
fn what_is_too_large_is_refused_and_nothing_else() {
    let (_, dir) = memory();
    let (mut wal, ..) = open(&dir, OPTIONS);
    let mut expected = Contents::default();
    wal.float(format::MAX_SERIES, 1, 1.0);
    wal.float(1, 1, 1.0);
    assert!(matches!(
        wal.commit(),
        Err(WalError::TooLarge {
            what: "series number",
            ..
        })
    ));
    let long = "x".repeat(format::MAX_BODY_BYTES);
    wal.series(1, [("a", &*long)].into_iter());
    assert!(matches!(
        wal.commit(),
        Err(WalError::TooLarge {
            what: "label set",
            ..
        })
    ));
    commit_samples(&mut wal, &mut expected, 2, &[1.0]);
    assert_eq!(open(&dir, OPTIONS).2, expected);
}

#[test]
fn files_of_others_are_refused_with_their_name() {
    let (memory, dir) = memory();
    let (mut wal, ..) = open(&dir, OPTIONS);
    commit_samples(&mut wal, &mut Contents::default(), 1, &[1.0]);
    let good = dir.read("00000001.wal", 1000).unwrap();
    let mut header = format::Header::decode(&good).unwrap();
    let other = WalOptions {
        shard: 4,
        ..OPTIONS
    };
    let error = Wal::open(dir.clone(), other, &mut |_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wal/00000001.wal belongs to shard 3, not to shard 4"
    );

    header.version = 3;
    memory.put(
        "00000001.wal",
        [&header.encode(), &good[format::HEADER_BYTES..]].concat(),
    );
    let error = Wal::open(dir, OPTIONS, &mut |_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            WalError::Version {
                found: 3,
                supported: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_segment_of_an_older_version_is_read_and_not_written_on() {
    for torn in [false, true] {
        let (memory, dir) = memory();
        let (mut wal, ..) = open(&dir, OPTIONS);
        let mut expected = Contents::default();
        commit_samples(&mut wal, &mut expected, 1, &[1.0]);
        drop(wal);
        let good = dir.read("00000001.wal", 1000).unwrap();
        let mut header = format::Header::decode(&good).unwrap();
        header.version = 1;
        let mut old = [&header.encode(), &good[format::HEADER_BYTES..]].concat();
        if torn {
            old.extend_from_slice(&[9; 7]);
        }
        memory.put("00000001.wal", old);
        let (mut wal, replayed, found) = open(&dir, OPTIONS);
        assert_eq!(found, expected);
        assert_eq!((replayed.torn.is_some(), replayed.damages), (torn, vec![]));
        commit_samples(&mut wal, &mut expected, 2, &[2.0]);
        drop(wal);
        let header = |name| format::Header::decode(&dir.read(name, 1000).unwrap());
        assert_eq!(header("00000001.wal").unwrap().version, 1);
        assert_eq!(header("00000002.wal").unwrap().version, 2);
        assert_eq!(open(&dir, OPTIONS).2, expected);
    }
}

#[test]
fn histograms_come_back_as_they_were_logged() {
    use crate::codec::flat::Flat;
    use crate::model::histogram::{Histogram, IntegerHistogram, Span};
    let (_, dir) = memory();
    let (mut wal, ..) = open(&dir, OPTIONS);
    let flat = |n: u64| {
        let histogram = Histogram::Integer(IntegerHistogram {
            count: n,
            positive_spans: vec![Span {
                offset: -3,
                length: 1,
            }],
            positive_deltas: vec![n as i64],
            ..IntegerHistogram::default()
        });
        Flat::of(&histogram).unwrap()
    };
    let flats: Vec<Flat> = (0..100_000).map(flat).collect();
    let logged = |n: usize| {
        (
            n as u32 % 9,
            n as i64 * 1000,
            n.is_multiple_of(7),
            &flats[n],
        )
    };
    wal.series(1, [("a", "b")].into_iter());
    wal.histograms((0..flats.len()).map(logged));
    wal.float(1, 5, 2.5);
    wal.commit().unwrap();
    drop(wal);
    let (_, replayed, found) = open(&dir, OPTIONS);
    assert_eq!(replayed.samples, 100_001);
    assert_eq!((found.samples.len(), found.histograms.len()), (1, 100_000));
    for (n, text) in found.histograms.iter().enumerate() {
        let (id, t_ms, is_late, flat) = logged(n);
        let flat = flat.clone();
        let expected = LoggedHistogram {
            id,
            t_ms,
            is_late,
            flat,
        };
        assert_eq!(*text, format!("{expected:?}"));
    }
}

mod crash;
mod damage;

#[test]
fn exemplars_and_metadata_follow_the_samples_of_their_commit() {
    let (_, dir) = memory();
    let (mut wal, _, _) = open(&dir, OPTIONS);
    let exemplar = |n: i64| Exemplar {
        labels: Labels::from_pairs([("trace_id", format!("{n:x}"))]),
        value: if n % 7 == 0 { f64::NAN } else { n as f64 },
        t_ms: 1_000 - n,
        timed: n % 2 == 0,
    };
    let exemplars: Vec<Exemplar> = (0..40_000).map(exemplar).collect();
    let metadata = LoggedMetadata {
        name: "up",
        kind: MetricType::Gauge,
        help: "Is it?",
        unit: "",
    };
    wal.metadata([metadata].into_iter());
    wal.exemplars(5, (0..).map(|n| n % 1000).zip(&exemplars));
    wal.float(7, 1000, 1.5);
    wal.commit().unwrap();
    wal.metadata([metadata; 3].into_iter());
    wal.commit().unwrap();
    wal.exemplars(9, [(3, &exemplars[1])].into_iter());
    wal.discard();
    wal.commit().unwrap();

    let (_, replayed, contents) = open(&dir, OPTIONS);
    assert_eq!((replayed.torn, replayed.damages), (None, vec![]));
    assert_eq!(contents.samples, [(7, 1000, 1.5f64.to_bits())]);
    let logged = exemplars.into_iter().zip(0..).map(|(exemplar, n)| {
        let id = n as u32 % 1000;
        let number = n + 5;
        format!(
            "{:?}",
            LoggedExemplar {
                number,
                id,
                exemplar
            }
        )
    });
    assert_eq!(contents.exemplars, logged.collect::<Vec<_>>());
    assert_eq!(contents.metadata, vec![format!("{metadata:?}"); 4]);
}

proptest::proptest! {
    #[test]
    fn hostile_records_are_refused(body: Vec<u8>, n in 0usize..70_000) {
        if let Ok(found) = super::exemplars::decode(&body, n) {
            assert_eq!(found.len(), n);
            assert!(found.iter().all(|logged| logged.exemplar.has_short_labels()));
        }
        if let Ok(found) = super::metadata::decode(&body, n) {
            assert_eq!(found.len(), n);
        }
    }
}
