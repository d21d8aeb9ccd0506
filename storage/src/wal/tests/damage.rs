//! Files that were cut or changed behind the log's back.

use proptest::prelude::*;

use super::*;

const SMALL: WalOptions = WalOptions {
    shard: 3,
    segment_bytes: 120,
};

/// Writes `n` commits of two samples and returns their bytes by file name.
fn written(n: i64) -> (Contents, Vec<(String, Vec<u8>)>) {
    let (_, dir) = memory();
    let (mut wal, ..) = open(&dir, SMALL);
    let mut expected = Contents::default();
    for t_ms in 0..n {
        commit_samples(&mut wal, &mut expected, t_ms, &[t_ms as f64 / 4.0, 100.0]);
    }
    let files = dir.files().unwrap();
    let read = |name: String| {
        let bytes = dir.read(&name, 1 << 20).unwrap();
        (name, bytes)
    };
    (expected, files.into_iter().map(read).collect())
}

fn reopened(files: &[(String, Vec<u8>)]) -> (Replayed, Contents) {
    let (memory, dir) = memory();
    for (name, bytes) in files {
        memory.put(name, bytes.clone());
    }
    let (mut wal, replayed, found) = open(&dir, SMALL);
    let mut expected = found.clone();
    commit_samples(&mut wal, &mut expected, 999, &[3.0]);
    let (_, again, contents) = open(&dir, SMALL);
    assert_eq!(
        contents.samples, expected.samples,
        "what is written after repair is found"
    );
    assert_eq!((again.torn, &again.damages), (None, &replayed.damages));
    (replayed, found)
}

#[test]
fn every_cut_of_the_last_segment_is_a_torn_tail() {
    let (expected, files) = written(12);
    let (name, bytes) = files.last().unwrap().clone();
    for len in 0..bytes.len() {
        let mut files = files.clone();
        files.last_mut().unwrap().1.truncate(len);
        let (replayed, found) = reopened(&files);
        assert!(expected.samples.starts_with(&found.samples));
        assert_eq!(replayed.damages, []);
        if let Some(torn) = replayed.torn {
            assert!(torn.file.ends_with(&name));
            assert_eq!(torn.offset + torn.len_bytes, len as u64);
        }
    }
}

#[test]
fn a_flipped_bit_loses_the_rest_of_its_segment_and_is_reported() {
    let (expected, files) = written(40);
    assert!(files.len() > 4);
    for which in 0..files.len() {
        for at in 0..files[which].1.len() {
            let mut files = files.clone();
            files[which].1[at] ^= 1 << (at % 8);
            let (replayed, found) = reopened(&files);
            let reports = replayed.damages.len() + usize::from(replayed.torn.is_some());
            assert_eq!(reports, 1, "byte {at} of file {which}: {replayed:?}");
            if let [damage] = &replayed.damages[..] {
                assert!(damage.file.ends_with(&files[which].0), "{damage:?}");
                assert!(damage.offset as usize <= at, "{damage:?}");
                assert_eq!(
                    damage.offset + damage.len_bytes,
                    files[which].1.len() as u64
                );
            }
            // Nothing wrong is replayed, and the other segments are complete.
            assert!(found.samples.iter().all(|s| expected.samples.contains(s)));
            let lost = expected.samples.len() - found.samples.len();
            assert!(lost <= 2 * 8, "byte {at} of file {which} loses {lost}");
        }
    }
}

#[test]
fn damage_before_good_frames_is_not_cut_off() {
    let (_, mut files) = written(6);
    let last = files.last_mut().unwrap();
    last.1[format::HEADER_BYTES + format::FRAME_HEADER_BYTES + 1] ^= 0x10;
    let (name, bytes) = last.clone();
    let (memory, dir) = memory();
    for (name, bytes) in &files {
        memory.put(name, bytes.clone());
    }
    let (mut wal, replayed, _) = open(&dir, SMALL);
    assert_eq!(replayed.damages.len(), 1);
    assert_eq!(replayed.damages[0].reason, "the checksum does not match");
    commit_samples(&mut wal, &mut Contents::default(), 7, &[1.0]);
    assert_eq!(
        dir.read(&name, 1 << 20).unwrap(),
        bytes,
        "kept for whoever can read it"
    );
}

#[test]
fn a_missing_segment_is_reported() {
    let (_, mut files) = written(40);
    files.remove(1);
    files.remove(1);
    let (replayed, _) = reopened(&files);
    assert_eq!(replayed.damages.len(), 1);
    assert!(replayed.damages[0].file.ends_with("00000002.wal"));
    assert_eq!(
        replayed.damages[0].reason,
        "2 segments from this one on are missing"
    );
}

#[test]
fn foreign_files_are_left_alone() {
    let (expected, mut files) = written(5);
    for name in [
        "notes.txt",
        "1.wal",
        "+0000001.wal",
        "00000001.wal.bak",
        "00000001.checkpoint",
    ] {
        files.push((name.to_owned(), b"mine".to_vec()));
    }
    let (replayed, found) = reopened(&files);
    assert_eq!(found, expected);
    assert_eq!(replayed.damages, []);
}

proptest! {
    #[test]
    fn arbitrary_files_never_panic(one: Vec<u8>, other: Vec<u8>) {
        let files = [
            ("00000001.wal".to_owned(), one),
            ("00000002.wal".to_owned(), other),
        ];
        reopened(&files);
    }

    /// Bodies behind a good header and checksum reach the record decoders.
    #[test]
    fn arbitrary_records_never_panic(
        frames in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..60), 0u8..3, 0u8..4, 0u16..20),
            0..6,
        )
    ) {
        let (memory, dir) = memory();
        let header = format::Header {
            version: format::VERSION,
            shard: 3,
            seq: 1,
        };
        let mut bytes = header.encode().to_vec();
        for (body, kind, flags, n) in frames {
            let kinds = [
                format::FrameKind::Series,
                format::FrameKind::Floats,
                format::FrameKind::Histograms,
            ];
            let start = format::begin_frame(&mut bytes);
            bytes.extend_from_slice(&body);
            format::finish_frame(&mut bytes, start, kinds[usize::from(kind)], flags, n);
        }
        memory.put("00000001.wal", bytes);
        open(&dir, OPTIONS);
    }

    #[test]
    fn any_samples_come_back_bit_by_bit(
        commits in prop::collection::vec(
            prop::collection::vec((0u32..6, -3i64..3, prop_oneof![
                any::<u64>().prop_map(f64::from_bits),
                (-5000i32..5000).prop_map(|d| f64::from(d) / 100.0),
                (0i32..5).prop_map(|d| 1e6 + f64::from(d)),
                Just(stale_marker()), Just(-0.0), Just(f64::NAN),
            ]), 0..40),
            0..12,
        ),
        segment_bytes in 50u64..2000,
    ) {
        let (_, dir) = memory();
        let options = WalOptions { segment_bytes, ..OPTIONS };
        let mut expected = Contents::default();
        for (i, commit) in commits.iter().enumerate() {
            // Reopens now and then, so that lanes start over in mid-segment.
            let (mut wal, ..) = open(&dir, options);
            for half in commit.chunks(20) {
                for &(id, t_ms, value) in half {
                    wal.float(id, t_ms * 1000 + i as i64, value);
                    expected.samples.push((id, t_ms * 1000 + i as i64, value.to_bits()));
                }
                wal.commit().unwrap();
            }
        }
        let (_, replayed, found) = open(&dir, options);
        prop_assert_eq!(found, expected);
        prop_assert_eq!((replayed.torn, replayed.damages), (None, vec![]));
    }
}
