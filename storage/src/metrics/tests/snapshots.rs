//! Snapshots and head files: what a restart makes of them, also of damaged ones.

use super::*;
use crate::metrics::page::PAGE_BYTES;

/// A store with enough samples for some full pages, and what is in it.
fn filled(place: &Place) -> (MetricStore, BTreeMap<Labels, Samples>) {
    let store = place.open();
    for round in 0..20 {
        write_round(&store, round);
    }
    let expected = content(&store);
    (store, expected)
}

const N_SERIES: i64 = 50;

/// Forty samples of every series; full doubles, so that pages fill.
fn write_round(store: &MetricStore, round: i64) {
    let mut appender = store.appender();
    for n in 0..N_SERIES {
        let series = labels(&format!("job=j{},n={n}", n % 7));
        let series = appender.series(&series).unwrap();
        for i in 0..40 {
            let t_ms = (round * 40 + i) * 1000;
            let value = ((n * 31 + t_ms) as f64 * 0.37).sin();
            appender.append(series, t_ms, value).unwrap();
        }
    }
    appender.commit().unwrap();
}

fn small() -> Place {
    let mut place = place();
    place.options.shards = 1;
    place
}

impl Place {
    fn head_files(&self, suffix: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.path().join("head")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let mut found: Vec<_> = files
            .filter(|path| path.to_str().unwrap().ends_with(suffix))
            .collect();
        found.sort();
        found
    }

    fn reopen(&self) -> (MetricStore, Recovery) {
        MetricStore::open(&self.options).unwrap()
    }
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_closed_store_is_read_from_its_snapshot_alone() {
    let place = small();
    let (store, expected) = filled(&place);
    let order: Vec<Labels> = read(&store, &all(), TimeRange::ALL)
        .into_iter()
        .map(|(labels, _)| labels)
        .collect();
    let before = store.stats();
    store.close().unwrap();
    let (store, recovery) = place.reopen();
    assert_eq!(recovery.damages, []);
    assert_eq!((recovery.samples, recovery.segments), (0, 0));
    assert_eq!(recovery.snapshot_series, N_SERIES as u64);
    assert_eq!(content(&store), expected);
    let again = read(&store, &all(), TimeRange::ALL);
    let again: Vec<Labels> = again.into_iter().map(|(labels, _)| labels).collect();
    assert_eq!(again, order);
    let after = store.stats();
    assert_eq!(
        (after.series, after.chunks, after.chunk_bytes),
        (before.series, before.chunks, before.chunk_bytes)
    );
    assert_eq!(
        (after.min_time_ms, after.max_time_ms),
        (before.min_time_ms, before.max_time_ms)
    );
    // It goes on, and what comes then is in the log.
    write_round(&store, 20);
    let expected = content(&store);
    drop(store);
    let (store, recovery) = place.reopen();
    assert_eq!(recovery.samples, 40 * N_SERIES as u64);
    assert_eq!(content(&store), expected);
    // Nothing new: nothing is written.
    store.close().unwrap();
    let snapshots = place.head_files(".snap");
    place.open().close().unwrap();
    assert_eq!(place.head_files(".snap"), snapshots);
}

#[test]
fn full_pages_move_to_files_and_are_read_there() {
    let place = small();
    let (store, expected) = filled(&place);
    let before = store.stats();
    store.flush_pages().unwrap();
    let after = store.stats();
    assert_eq!(after.head.pages_waiting, 0);
    assert!(after.memory.sealed_chunks <= PAGE_BYTES as u64, "{after:?}");
    assert_eq!(after.chunk_bytes, before.chunk_bytes);
    assert_eq!(content(&store), expected);
    assert!(!place.head_files(".chunks").is_empty());
    // Without a snapshot that names them they are written again after a kill.
    drop(store);
    let store = place.open();
    assert_eq!(content(&store), expected);
    store.snapshot_head().unwrap();
    store.snapshot_head().unwrap();
    drop(store);
    let (store, recovery) = place.reopen();
    assert_eq!(recovery.samples, 0);
    assert_eq!(content(&store), expected);
    // Files go with their pages, when no kept snapshot needs them.
    let end = 2_000_000;
    write(&store, &[("n=new", end, 1.0)]);
    store.truncate_before(end).unwrap();
    assert!(!place.head_files(".chunks").is_empty());
    store.snapshot_head().unwrap();
    assert!(!place.head_files(".chunks").is_empty());
    store.snapshot_head().unwrap();
    assert!(place.head_files(".chunks").is_empty());
    drop(store);
    assert_eq!(content(&place.open()).len(), 1);
}

#[test]
fn pages_do_not_pile_up_without_maintenance() {
    let place = small();
    let store = place.open();
    for round in 0..80 {
        write_round(&store, round);
    }
    let stats = store.stats();
    assert!(stats.head.pages_waiting <= 5, "{:?}", stats.head);
    assert_eq!(content(&store).values().next().unwrap().len(), 80 * 40);
}

/// Every byte of every file of the newest snapshot, one in some: the older snapshot and
/// the log give everything.
#[test]
fn a_damaged_snapshot_is_named_and_costs_nothing() {
    let place = small();
    let (store, _) = filled(&place);
    store.snapshot_head().unwrap();
    write_round(&store, 20);
    store.snapshot_head().unwrap();
    write_round(&store, 21);
    let expected = content(&store);
    drop(store);
    let newest: Vec<PathBuf> = [place.head_files(".part"), place.head_files(".snap")]
        .concat()
        .into_iter()
        .filter(|path| path.to_str().unwrap().contains("00000002"))
        .collect();
    assert_eq!(newest.len(), 3);
    let backup = tempfile::tempdir().unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        for dir in ["head", "wal/0000"] {
            let _ = fs::remove_dir_all(to.join(dir));
            fs::create_dir_all(to.join(dir)).unwrap();
            for file in fs::read_dir(from.join(dir)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), to.join(dir).join(file.file_name())).unwrap();
            }
        }
    };
    copy(place.dir.path(), backup.path());
    for path in &newest {
        let len = fs::metadata(path).unwrap().len() as usize;
        for at in (0..len).step_by(1 + len / 11) {
            flip(path, at);
            let (store, recovery) = place.reopen();
            let [damage] = &recovery.damages[..] else {
                panic_with(&recovery);
            };
            assert_eq!(&damage.path, path);
            assert!(damage.offset as usize <= at, "{damage:?}");
            assert_eq!(content(&store), expected, "byte {at} of {}", path.display());
            drop(store);
            assert!(!path.exists(), "what the log replaces goes");
            copy(backup.path(), place.dir.path());
        }
        fs::remove_file(path).unwrap();
        let (store, recovery) = place.reopen();
        // A snapshot without a manifest never was one.
        assert_eq!(
            recovery.damages.len(),
            usize::from(!path.ends_with("00000002.snap"))
        );
        assert_eq!(content(&store), expected);
        drop(store);
        copy(backup.path(), place.dir.path());
    }
}

fn panic_with(recovery: &Recovery) -> ! {
    unreachable!("one damage is expected: {recovery:?}")
}

#[test]
fn without_a_good_snapshot_the_log_is_read_and_nothing_is_thrown_away() {
    let place = small();
    let (store, expected) = filled(&place);
    store.snapshot_head().unwrap();
    drop(store);
    // One snapshot: the whole log is still there.
    let manifest = place.head_files(".snap").pop().unwrap();
    flip(&manifest, 50);
    let (store, recovery) = place.reopen();
    assert_eq!(recovery.damages.len(), 1);
    assert_eq!(recovery.damages[0].path, manifest);
    assert_eq!(content(&store), expected);
    assert!(place.head_files(".damaged").len() >= 4);
    // Two: the log before the older one is gone, what came later is served.
    store.snapshot_head().unwrap();
    store.snapshot_head().unwrap();
    write(&store, &[("n=new", 1_200_000, 5.0)]);
    drop(store);
    for part in place.head_files("-store.part") {
        flip(&part, 40);
    }
    let (store, recovery) = place.reopen();
    assert!(recovery.damages.len() >= 2, "{:?}", recovery.damages);
    let found = content(&store);
    assert_eq!(found[&labels("n=new")], [(1_200_000, 5f64.to_bits())]);
    for (labels, samples) in found {
        let known = expected.get(&labels).map_or(&[][..], Vec::as_slice);
        assert!(known.starts_with(&samples) || labels.get("n") == Some("new"));
    }
}

#[test]
fn a_damaged_head_file_is_found_out_and_can_be_given_up() {
    let place = small();
    let (store, expected) = filled(&place);
    store.close().unwrap();
    let file = place.head_files(".chunks").pop().unwrap();
    let pages = fs::metadata(&file).unwrap().len() as usize / PAGE_BYTES;
    assert!(pages >= 2);
    flip(&file, PAGE_BYTES + 5000);
    let (store, recovery) = place.reopen();
    assert_eq!(recovery.damages, [], "pages are read when they are needed");
    let selection = store.select(&all(), TimeRange::ALL).unwrap();
    let (mut t, mut v) = (Vec::new(), Vec::new());
    let failed = (0..selection.len())
        .filter(|&index| selection.read(index, &mut t, &mut v).is_err())
        .count();
    assert!(failed > 0);
    let damages = store.verify_head();
    assert_eq!(damages.len(), 1);
    assert_eq!(
        (&damages[0].path, damages[0].offset),
        (&file, PAGE_BYTES as u64)
    );
    assert_eq!(store.verify_head(), []);
    assert_eq!(store.stats().wal.corruptions_total, 1);
    let check = |found: BTreeMap<Labels, Samples>| {
        let mut lost = 0;
        for (labels, samples) in found {
            assert!(expected[&labels].ends_with(&samples), "{labels:?}");
            lost += expected[&labels].len() - samples.len();
        }
        assert!(lost > 0);
    };
    check(content(&store));
    store.snapshot_head().unwrap();
    drop(store);
    check(content(&place.open()));
}

/// A head file that is gone takes its samples, and no more.
#[test]
fn a_missing_head_file_loses_its_pages_only() {
    let place = small();
    let (store, expected) = filled(&place);
    store.snapshot_head().unwrap();
    write_round(&store, 20);
    store.snapshot_head().unwrap();
    drop(store);
    let file = place.head_files(".chunks").remove(0);
    fs::remove_file(&file).unwrap();
    let (store, recovery) = place.reopen();
    assert!(recovery.damages.iter().any(|damage| damage.path == file));
    for (labels, samples) in content(&store) {
        let newest = samples.last().unwrap().0;
        assert_eq!(newest, (21 * 40 - 1) * 1000, "{labels:?}");
        let known = &expected[&labels];
        assert!(
            samples
                .iter()
                .take(5)
                .all(|sample| known.contains(sample) || sample.0 > 799_000)
        );
    }
}

#[test]
fn a_snapshot_of_a_newer_version_is_refused() {
    let place = small();
    let (store, _) = filled(&place);
    store.close().unwrap();
    let manifest = place.head_files(".snap").pop().unwrap();
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[8] = 3;
    let sum = crate::codec::crc::ieee(&[&bytes[..28]]);
    bytes[28..32].copy_from_slice(&sum.to_le_bytes());
    fs::write(&manifest, bytes).unwrap();
    let error = MetricStore::open(&place.options).unwrap_err();
    assert!(matches!(error, StorageError::Version { .. }), "{error}");
}

#[test]
fn ended_series_give_up_their_open_chunks() {
    let place = small();
    let store = place.open();
    for n in 0..500 {
        let series = format!("n={n}");
        write(&store, &[(&series, 1000, 1.0), (&series, 2000, 2.0)]);
        if n < 400 {
            write(&store, &[(&series, 3000, stale_marker())]);
        }
    }
    let expected = content(&store);
    let before = store.stats();
    store.retire_ended(3000);
    assert_eq!(store.stats().memory.open_chunks, before.memory.open_chunks);
    store.retire_ended(3001);
    let after = store.stats();
    assert!(after.memory.open_chunks < before.memory.open_chunks);
    assert_eq!((after.chunks, after.stale_series), (500, 400));
    assert_eq!(content(&store), expected);
    // One that comes back goes on.
    write(&store, &[("n=7", 4000, 3.0)]);
    store.close().unwrap();
    let store = place.open();
    assert_eq!(content(&store)[&labels("n=7")].len(), 4);
    assert_eq!(store.stats().stale_series, 399);
}

/// Commits, readers and snapshots at once; then a kill.
#[test]
fn snapshots_do_not_stop_commits_and_lose_none() {
    let mut place = place();
    place.options.wal_segment_bytes = 1 << 16;
    let store = Arc::new(place.open());
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|group| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut t_ms = 0;
                while !stop.load(Ordering::Relaxed) {
                    t_ms += 1;
                    let mut appender = store.appender();
                    for n in 0..40 {
                        let name = format!("group={group},n={}", n + t_ms / 50);
                        let series = appender.series(&labels(&name)).unwrap();
                        let value = (t_ms * n) as f64 * 0.1;
                        appender.append(series, t_ms, value).unwrap();
                    }
                    appender.commit().unwrap();
                }
            })
        })
        .collect();
    for round in 0..20 {
        store.snapshot_head().unwrap();
        if round % 5 == 0 {
            store.flush_pages().unwrap();
            store.retire_ended(i64::MAX);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().unwrap();
    }
    let expected = content(&store);
    drop(store);
    assert_eq!(content(&place.open()), expected);
}

/// A snapshot that the disk refuses changes nothing.
#[test]
fn a_full_disk_fails_a_snapshot_and_nothing_else() {
    use crate::fs::crash::{CrashDir, Faults};
    let dir = CrashDir::new("/test");
    let options = small().options;
    let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
    for round in 0..20 {
        write_round(&store, round);
    }
    store.snapshot_head().unwrap();
    write_round(&store, 20);
    let expected = content(&store);
    let head = dir.subdir("head").unwrap();
    let files = head.files().unwrap();
    for room in [0, 100, 9_000, 20_000] {
        dir.set_faults(Faults {
            capacity_bytes: Some(dir.written_bytes() + room),
            ..Faults::default()
        });
        let error = store.snapshot_head().unwrap_err();
        assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
        assert_eq!(store.poisoned(), None);
        assert_eq!(content(&store), expected);
    }
    dir.set_faults(Faults::default());
    let left: Vec<String> = head.files().unwrap();
    assert!(
        left.iter()
            .all(|f| files.contains(f) || f.ends_with(".chunks")),
        "{left:?}"
    );
    store.snapshot_head().unwrap();
    assert_eq!(content(&store), expected);
    drop(store);
    let (store, recovery) = MetricStore::open_in(&dir, &options).unwrap();
    assert_eq!((recovery.damages, recovery.samples), (vec![], 0));
    assert_eq!(content(&store), expected);
}

#[test]
fn samples_before_1970_outlive_a_snapshot() {
    let place = place();
    let store = place.open();
    // Enough that chunks are finished.
    for t in -2000..-1000 {
        write(&store, &[("n=a", t * 1000, t as f64 * 0.37)]);
    }
    let before = content(&store);
    assert_eq!(before.values().map(Vec::len).sum::<usize>(), 1000);
    store.snapshot_head().unwrap();
    drop(store);
    assert_eq!(content(&place.open()), before);
}
