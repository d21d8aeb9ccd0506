//! What becomes of entries after memory: parts, merges, retention, deletions.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::logs::flush::DAY_NS;

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn maintain(store: &LogStore) -> Maintained {
    let retention = LogRetention::default();
    store.maintain(0, &retention, &mut on).unwrap()
}

fn flush(store: &LogStore) {
    store.flush(&mut on).unwrap();
}

/// Stores an entry of the next day, so that the parts of the first are to be merged.
fn end_day(store: &LogStore) {
    let next = batch(&stream("next"), &[(DAY_NS, "next day")]);
    store.push(&[next]).unwrap();
    flush(store);
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(MatchOp::Equal, name, value).unwrap()
}

fn delete(store: &LogStore, app: &str, range: NanoRange, filter: Option<EntryFilter>) -> u64 {
    let request = DeleteRequest {
        matchers: vec![equal("app", app)],
        range,
        query: format!("{{app={app:?}}}"),
        filter,
        created_ns: 7,
    };
    store.delete(request).unwrap()
}

fn with_x() -> EntryFilter {
    Arc::new(|_, entry| entry.line.contains(&b'x'))
}

#[test]
fn a_flush_moves_entries_to_parts_and_the_log_is_short_again() {
    let dir = MemoryDir::new("/test");
    let store = open(&dir);
    for n in 0..100 {
        let line = format!("line {n}");
        let app = ["a", "b"][n % 2];
        // Not in order of time, and over three days.
        let t = (n as i64 * 37 % 100) * DAY_NS / 40;
        store.push(&[batch(&stream(app), &[(t, &line)])]).unwrap();
    }
    let before = all(&store);
    let stats = store.stats();
    assert_eq!((stats.memory_entries, stats.parts), (100, 0));
    flush(&store);
    assert_eq!(all(&store), before);
    let stats = store.stats();
    assert_eq!(
        (stats.memory_entries, stats.parts, stats.parts_entries),
        (0, 3, 100)
    );
    assert_eq!(stats.wal_bytes, 0);
    store.push(&[batch(&stream("c"), &[(3, "new")])]).unwrap();
    assert_eq!(all(&store).len(), 101);
    drop(store);
    let store = open(&dir);
    assert_eq!(all(&store).len(), 101);
    assert_eq!(store.streams(&[], NanoRange::ALL).unwrap().len(), 3);
    let first_day = NanoRange {
        start_ns: 0,
        end_ns: DAY_NS,
    };
    let matcher = [equal("app", "b")];
    let wanted: Vec<_> = before
        .iter()
        .filter(|row| row.0 == "b" && row.1 < DAY_NS)
        .cloned()
        .collect();
    assert_eq!(read(&store, &matcher, first_day), wanted);
    let volumes = store.volumes(&matcher, first_day).unwrap();
    assert_eq!(volumes[0].entries, wanted.len() as u64);
    let bytes: usize = wanted.iter().map(|row| row.2.len()).sum();
    assert_eq!(volumes[0].bytes, bytes as u64);
    // Also where a range ends within a minute, or on one of its entries.
    let times: Vec<i64> = before.iter().map(|row| row.1).collect();
    let minute = times[times.len() / 2] / 60_000_000_000 * 60_000_000_000;
    for (start_ns, end_ns) in [
        (minute, minute + 60_000_000_000),
        (times[5], times[70]),
        (times[5] + 1, times[70] + 1),
        (i64::MIN, times[33] + 5),
    ] {
        let range = NanoRange { start_ns, end_ns };
        for app in ["a", "b"] {
            let matcher = [equal("app", app)];
            let rows = read(&store, &matcher, range);
            let volumes = store.volumes(&matcher, range).unwrap();
            let found: u64 = volumes.iter().map(|volume| volume.entries).sum();
            assert_eq!(found, rows.len() as u64, "{app} {range:?}");
            let bytes: usize = rows.iter().map(|row| row.2.len()).sum();
            let found: u64 = volumes.iter().map(|volume| volume.bytes).sum();
            assert_eq!(found, bytes as u64, "{app} {range:?}");
        }
    }
}

#[test]
fn memory_is_bounded_by_pushes_that_flush() {
    let mut options = options();
    options.flush_bytes = 1 << 20;
    let (store, _) = LogStore::open_in(&MemoryDir::new("/test"), &options).unwrap();
    let line = "x".repeat(10_000);
    for n in 0..1000 {
        store.push(&[batch(&stream("a"), &[(n, &line)])]).unwrap();
        assert!(store.memory_bytes() < 4 << 20);
    }
    let stats = store.stats();
    assert!(stats.flushes_total > 2 && stats.wal_bytes < 4 << 20);
    assert_eq!(all(&store).len(), 1000);
}

#[test]
fn memory_of_a_flush_is_used_again_and_freed_at_rest() {
    let mut options = options();
    options.flush_bytes = 4 << 20;
    let (store, _) = LogStore::open_in(&MemoryDir::new("/test"), &options).unwrap();
    let line = "x".repeat(10_000);
    let mut n = 0;
    let mut fill = || {
        for _ in 0..300 {
            n += 1;
            store.push(&[batch(&stream("a"), &[(n, &line)])]).unwrap();
        }
    };
    let spare = Arc::clone(store.state.lock().table.spare());
    fill();
    assert_eq!(spare.memory_bytes(), 0);
    flush(&store);
    let kept = spare.memory_bytes();
    assert!(kept >= 3 << 20 && store.memory_bytes() >= kept as u64);
    // A reader that holds a block keeps its memory, and sees what it has seen.
    fill();
    assert!(spare.memory_bytes() < kept);
    let held = store.state.lock().snapshot();
    let rows = held.blocks.iter().map(|block| block.rows().len());
    let seen: usize = rows.sum();
    flush(&store);
    fill();
    let rows = held
        .blocks
        .iter()
        .flat_map(|block| block.rows().iter().map(|row| row.t_ns));
    assert!(rows.eq(301..301 + seen as i64));
    drop(held);
    flush(&store);
    assert_eq!(all(&store).len(), 900);
    // Nothing is flushed for ten seconds.
    store.flush_is_due(0);
    assert!(spare.memory_bytes() > 0);
    store.flush_is_due(10_000_000_000);
    assert_eq!(spare.memory_bytes(), 0);
    // Whoever needs memory does not wait for that.
    store.push(&[batch(&stream("a"), &[(0, "x")])]).unwrap();
    flush(&store);
    assert!(spare.memory_bytes() > 0);
    store.release_memory();
    assert_eq!(spare.memory_bytes(), 0);
}

#[test]
fn entries_of_one_time_keep_their_order_through_flush_and_merge() {
    let store = open(&MemoryDir::new("/test"));
    let mut wanted = Vec::new();
    for n in 0..20 {
        let (one, other) = (format!("one {n}"), format!("other {n}"));
        let entries = [(5, one.as_str()), (4, "same"), (5, other.as_str())];
        store.push(&[batch(&stream("a"), &entries)]).unwrap();
        wanted.extend([one, other]);
        if n % 2 == 1 {
            flush(&store);
        }
    }
    let lines = |store: &LogStore| -> Vec<String> {
        let rows = all(store).into_iter();
        rows.filter(|row| row.1 == 5).map(|row| row.2).collect()
    };
    assert_eq!(lines(&store), wanted);
    assert_eq!(store.stats().parts, 10);
    end_day(&store);
    assert!(maintain(&store).merged > 0);
    assert!(store.stats().parts < 5);
    assert_eq!(lines(&store), wanted);
}

#[test]
fn a_deletion_hides_what_was_there_and_not_what_follows() {
    let dir = MemoryDir::new("/test");
    let store = open(&dir);
    let (a, b) = (stream("a"), stream("b"));
    let entries = [(1, "ax"), (2, "ay"), (9, "az")];
    store
        .push(&[batch(&a, &entries), batch(&b, &[(1, "bx")])])
        .unwrap();
    flush(&store);
    store.push(&[batch(&a, &[(3, "mx"), (4, "my")])]).unwrap();
    let range = NanoRange {
        start_ns: 1,
        end_ns: 9,
    };
    let number = delete(&store, "a", range, None);
    let kept = rows(&[("a", 9, "az"), ("b", 1, "bx")]);
    assert_eq!(all(&store), kept);
    // The same entries come again: these are new.
    store.push(&[batch(&a, &[(2, "ay"), (3, "mx")])]).unwrap();
    let with_new = rows(&[
        ("a", 2, "ay"),
        ("a", 3, "mx"),
        ("a", 9, "az"),
        ("b", 1, "bx"),
    ]);
    assert_eq!(all(&store), with_new);
    drop(store);
    let store = open(&dir);
    assert_eq!(all(&store), with_new);
    assert_eq!(store.deletions()[0].progress, DeleteProgress::Received);
    assert_eq!(maintain(&store).cleaned, 1);
    assert_eq!(store.deletions()[0].progress, DeleteProgress::Percent(50));
    assert_eq!(
        store.cancel_deletion(number, false).unwrap(),
        Cancelled::Begun
    );
    flush(&store);
    maintain(&store);
    assert_eq!(store.deletions()[0].progress, DeleteProgress::Processed);
    assert_eq!(all(&store), with_new);
    assert_eq!(
        store.cancel_deletion(number, true).unwrap(),
        Cancelled::Processed
    );
    assert_eq!(store.stats().parts_entries, 4);
    drop(store);
    let store = open(&dir);
    assert_eq!(all(&store), with_new);
}

#[test]
fn filters_of_deletions_are_made_again_after_a_restart() {
    let dir = MemoryDir::new("/test");
    let mut options = options();
    let compile = |query: &str| match query {
        r#"{app="a"}"# => Ok(with_x()),
        _ => Err("no".to_owned()),
    };
    options.filters = Some(FilterCompiler::new(compile));
    let (store, _) = LogStore::open_in(&dir, &options).unwrap();
    let entries = [(1, "ax"), (2, "ay")];
    store
        .push(&[batch(&stream("a"), &entries), batch(&stream("b"), &entries)])
        .unwrap();
    flush(&store);
    let number = delete(&store, "a", NanoRange::ALL, Some(with_x()));
    let kept = rows(&[("a", 2, "ay"), ("b", 1, "ax"), ("b", 2, "ay")]);
    assert_eq!(all(&store), kept);
    drop(store);
    let (store, recovery) = LogStore::open_in(&dir, &options).unwrap();
    assert_eq!((recovery.damages.len(), all(&store)), (0, kept.clone()));
    assert_eq!(
        store.cancel_deletion(number, false).unwrap(),
        Cancelled::Done
    );
    assert_eq!(all(&store).len(), 4);
    let unreadable = delete(&store, "b", NanoRange::ALL, Some(with_x()));
    assert!(unreadable > number);
    drop(store);
    let (store, recovery) = LogStore::open_in(&dir, &options).unwrap();
    assert_eq!((recovery.damages.len(), all(&store).len()), (1, 4));
    assert_eq!(store.deletions()[0].progress, DeleteProgress::Failed);
}

#[test]
fn retention_drops_parts_by_time_by_size_and_streams_by_rules() {
    let store = open(&MemoryDir::new("/test"));
    let line = "x".repeat(2000);
    for day in 0..4 {
        let at = day * DAY_NS + 5;
        let entries = [(at, line.as_str())];
        store
            .push(&[batch(&stream("a"), &entries), batch(&stream("b"), &entries)])
            .unwrap();
        flush(&store);
    }
    let now = 4 * DAY_NS;
    let mut retention = LogRetention {
        time_ns: Some(3 * DAY_NS),
        ..LogRetention::default()
    };
    let done = store.maintain(now, &retention, &mut on).unwrap();
    assert_eq!((done.dropped_by_time, store.stats().parts), (1, 3));
    // Two of the three are over the time of the rule.
    retention.streams.push(StreamRetention {
        matchers: vec![equal("app", "b")],
        time_ns: Some(2 * DAY_NS),
    });
    let done = store.maintain(now, &retention, &mut on).unwrap();
    assert_eq!(done.cleaned, 1);
    let apps = |store: &LogStore, app: &str| all(store).iter().filter(|r| r.0 == app).count();
    assert_eq!((apps(&store, "a"), apps(&store, "b")), (3, 2));
    let one = store.stats().parts_bytes / 3;
    retention.size_bytes = Some(one * 5 / 2);
    let done = store.maintain(now, &retention, &mut on).unwrap();
    assert_eq!((done.dropped_by_size, store.stats().parts), (1, 2));
    // Streams that have nothing left are forgotten.
    retention.time_ns = Some(0);
    retention.streams.clear();
    store.maintain(now, &retention, &mut on).unwrap();
    let stats = store.stats();
    assert_eq!((stats.parts, stats.streams), (0, 0));
    store.push(&[batch(&stream("c"), &[(1, "new")])]).unwrap();
    assert_eq!(all(&store), rows(&[("c", 1, "new")]));
}

#[test]
fn a_damaged_part_is_named_and_the_rest_is_served() {
    let dir = MemoryDir::new("/test");
    let store = open(&dir);
    for day in 0..3 {
        let line = format!("day {day}");
        store
            .push(&[batch(&stream("a"), &[(day * DAY_NS, &line)])])
            .unwrap();
        flush(&store);
    }
    drop(store);
    let parts = dir.child("logs").child("parts");
    let name = &crate::fs::Dir::files(&parts).unwrap()[1];
    let whole = crate::fs::Dir::read(&parts, name, u64::MAX).unwrap();
    // Cut short: found at the opening.
    parts.put(name, whole[..whole.len() / 2].to_vec());
    let (store, recovery) = LogStore::open_in(&dir, &options()).unwrap();
    assert_eq!(recovery.damages.len(), 1);
    assert!(recovery.damages[0].path.ends_with(name));
    assert_eq!(
        all(&store),
        rows(&[("a", 0, "day 0"), ("a", 2 * DAY_NS, "day 2")])
    );
    drop(store);
    // It does not come back, and is told of once more: the manifest names it no longer
    // once it was written.
    let store = LogStore::open_in(&dir, &options()).unwrap().0;
    store.push(&[batch(&stream("a"), &[(5, "more")])]).unwrap();
    flush(&store);
    drop(store);
    let store = open(&dir);
    assert_eq!(all(&store).len(), 3);
    drop(store);
    // A byte within a group: found by the first reader.
    let name = &crate::fs::Dir::files(&parts).unwrap()[0];
    let mut bytes = crate::fs::Dir::read(&parts, name, u64::MAX).unwrap();
    bytes[17] ^= 1;
    parts.put(name, bytes);
    let store = open(&dir);
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    let reads = (0..selection.groups().len()).map(|group| selection.read(group, &mut |_| {}));
    let errors: Vec<_> = reads.filter_map(Result::err).collect();
    assert!(
        matches!(errors[..], [StorageError::Corrupt { .. }]),
        "{errors:?}"
    );
    assert_eq!(store.take_damages().len(), 1);
    let left = all(&store).len();
    assert!(left == 2 || left == 1, "{left}");
    maintain(&store);
    assert!(
        crate::fs::Dir::files(&parts)
            .unwrap()
            .contains(&format!("{name}.damaged"))
    );
    assert_eq!(all(&store).len(), left);
}

#[test]
fn a_lost_manifest_is_named_and_the_parts_are_served() {
    let dir = MemoryDir::new("/test");
    let store = open(&dir);
    for n in 0..12 {
        let line = format!("line {n}");
        store.push(&[batch(&stream("a"), &[(n, &line)])]).unwrap();
        flush(&store);
    }
    end_day(&store);
    assert!(maintain(&store).merged > 0);
    store
        .push(&[batch(&stream("b"), &[(9, "memory")])])
        .unwrap();
    let before = all(&store);
    drop(store);
    let logs = dir.child("logs");
    let mut bytes = crate::fs::Dir::read(&logs, "MANIFEST", u64::MAX).unwrap();
    bytes[12] ^= 4;
    logs.put("MANIFEST", bytes);
    let (store, recovery) = LogStore::open_in(&dir, &options()).unwrap();
    assert_eq!(recovery.damages.len(), 1);
    assert_eq!(all(&store), before);
    flush(&store);
    drop(store);
    assert_eq!(all(&open(&dir)), before);
}

#[test]
fn times_from_anywhere_make_few_parts() {
    let store = open(&MemoryDir::new("/test"));
    let entries: Vec<(i64, &str)> = (0..2000).map(|n| (n * DAY_NS, "line")).collect();
    store.push(&[batch(&stream("a"), &entries)]).unwrap();
    let ends = [(i64::MIN, "first"), (i64::MAX, "last")];
    store.push(&[batch(&stream("a"), &ends)]).unwrap();
    flush(&store);
    assert!(store.stats().parts <= 34, "{} parts", store.stats().parts);
    // The last nanosecond belongs to no range.
    assert_eq!(all(&store).len(), 2001);
    maintain(&store);
    assert_eq!(all(&store).len(), 2001);
}

#[test]
fn metadata_in_any_order_is_stored_in_order() {
    let store = open(&MemoryDir::new("/test"));
    let mut of = batch(&stream("a"), &[(1, "line")]);
    let pairs = [("b", "2"), ("a", "1"), ("b", "3")];
    of.entries[0].metadata = pairs
        .map(|(n, v)| (n.into(), v.into()))
        .into_iter()
        .collect();
    store.push(&[of]).unwrap();
    flush(&store);
    assert_eq!(all(&store), rows(&[("a", 1, "line a=1 b=2")]));
}
