//! Exemplars, metadata and limits of a whole store.

use proptest::prelude::*;

use super::exemplars::Exemplars;
use super::metadata::MetadataStore;
use super::store::MetricStore;
use crate::error::AppendError;
use crate::fs::memory::MemoryDir;
use crate::model::{Exemplar, Labels, MatchOp, Matcher, MetricMetadata, MetricType, TimeRange};
use crate::options::StoreOptions;

fn options() -> StoreOptions {
    let mut options = StoreOptions::new("side");
    options.shards = 4;
    options.max_exemplars = 100;
    options
}

fn open(dir: &MemoryDir, options: &StoreOptions) -> MetricStore {
    MetricStore::open_in(dir, options).unwrap().0
}

fn labels(name: &str, n: usize) -> Labels {
    let instance = format!("host{}", n % 3);
    Labels::from_pairs([
        ("__name__", name),
        ("instance", &instance),
        ("job", "j"),
        ("n", &n.to_string()),
    ])
}

fn exemplar(t_ms: i64, id: &str) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace_id", id)]),
        value: 1.0,
        t_ms,
        timed: true,
    }
}

fn help(kind: MetricType, text: &str) -> MetricMetadata {
    MetricMetadata {
        kind,
        help: text.to_owned(),
        unit: String::new(),
    }
}

/// Metric, its label `n`, time and trace id of all exemplars.
fn stored(store: &MetricStore) -> Vec<String> {
    let range = TimeRange::new(i64::MIN, i64::MAX);
    let found = store.exemplars(&[vec![]], range);
    let each = |series: &super::SeriesExemplars| {
        let name = series.labels.to_string();
        let exemplars = series.exemplars.clone().into_iter();
        exemplars.map(move |e| format!("{name} {} {:?}", e.t_ms, e.labels))
    };
    found.iter().flat_map(each).collect()
}

#[test]
fn exemplars_come_with_their_transaction_and_survive_a_restart() {
    let dir = MemoryDir::new("side");
    let store = open(&dir, &options());
    for t_ms in 0..50 {
        let mut appender = store.appender();
        for n in 0..5 {
            let series = appender.series(&labels("m", n)).unwrap();
            appender.append(series, t_ms, t_ms as f64).unwrap();
            let id = format!("{t_ms}/{n}");
            appender
                .append_exemplar(series, &exemplar(t_ms, &id))
                .unwrap();
        }
        assert!(stored(&store).len() <= 100);
        appender.commit().unwrap();
    }
    let mut dropped = store.appender();
    let series = dropped.series(&labels("m", 0)).unwrap();
    dropped
        .append_exemplar(series, &exemplar(99, "never"))
        .unwrap();
    dropped.rollback();
    // One without a sample, of a series that no log knows.
    let mut alone = store.appender();
    let series = alone.series(&labels("alone", 0)).unwrap();
    alone
        .append_exemplar(series, &exemplar(60, "alone"))
        .unwrap();
    alone.commit().unwrap();

    let before = stored(&store);
    assert_eq!(before.len(), 100);
    assert!(before[0].contains("alone"), "{before:?}");
    let stats = store.stats().exemplars;
    assert_eq!(
        (stats.exemplars, stats.series, stats.appended_total),
        (100, 6, 251)
    );
    assert_eq!(stats.first_time_ms, Some(30));
    let snapshot = store.exemplars.encode();
    drop(store);

    let store = open(&dir, &options());
    assert_eq!(stored(&store), before);
    assert_eq!(store.exemplars.encode().len(), snapshot.len());
    // Numbers go on, so what comes now is newer than what was logged before.
    let mut appender = store.appender();
    let series = appender.series(&labels("m", 0)).unwrap();
    appender
        .append_exemplar(series, &exemplar(70, "later"))
        .unwrap();
    appender.commit().unwrap();
    let before = stored(&store);
    drop(store);
    let store = open(&dir, &options());
    assert_eq!(stored(&store), before);

    // A snapshot with the log behind it is what the log alone is.
    let read = Exemplars::decode(&snapshot, &options()).unwrap();
    assert_eq!(read.stats().exemplars, 100);
    store.set_max_exemplars(7);
    assert_eq!(stored(&store).len(), 7);
}

#[test]
fn a_snapshot_keeps_what_its_logs_are_cut_off() {
    let dir = MemoryDir::new("side");
    let store = open(&dir, &options());
    let fill = |store: &MetricStore, from_ms: i64| {
        let mut appender = store.appender();
        for t_ms in from_ms..from_ms + 60 {
            let series = appender.series(&labels("m", t_ms as usize % 4)).unwrap();
            let id = t_ms.to_string();
            appender.append(series, t_ms, 1.0).unwrap();
            appender
                .append_exemplar(series, &exemplar(t_ms, &id))
                .unwrap();
            appender.set_metadata(&format!("m{}", t_ms % 7), &help(MetricType::Info, &id));
        }
        appender.commit().unwrap();
    };
    fill(&store, 0);
    let (exemplars, metadata) = (stored(&store), store.metadata(None));
    store.close().unwrap();
    let (store, recovery) = MetricStore::open_in(&dir, &options()).unwrap();
    assert_eq!((recovery.samples, recovery.damages), (0, vec![]));
    assert_eq!(stored(&store), exemplars);
    assert_eq!(store.metadata(None), metadata);
    // What comes after the snapshot is newer than all in it.
    fill(&store, 60);
    let (exemplars, metadata) = (stored(&store), store.metadata(None));
    assert_eq!(exemplars.len(), 100);
    drop(store);
    let store = open(&dir, &options());
    assert_eq!(stored(&store), exemplars);
    assert_eq!(store.metadata(None), metadata);
}

#[test]
fn exemplars_may_be_as_late_as_samples() {
    let dir = MemoryDir::new("side");
    let mut options = options();
    options.out_of_order_window_ms = 10;
    let store = open(&dir, &options);
    let mut appender = store.appender();
    let series = appender.series(&labels("m", 0)).unwrap();
    let mut append = |t_ms, id: &str| appender.append_exemplar(series, &exemplar(t_ms, id));
    append(100, "a").unwrap();
    append(95, "b").unwrap();
    appender.commit().unwrap();
    let kept = stored(&store);
    assert_eq!(kept.len(), 2);
    assert!(kept[0].contains(" 95 "), "{kept:?}");
    store.set_out_of_order_window_ms(0);
    let mut appender = store.appender();
    let refused = appender.append_exemplar(series, &exemplar(97, "c"));
    assert_eq!(refused, Err(AppendError::OutOfOrderExemplar));
    drop(appender);
    drop(store);
    assert_eq!(stored(&open(&dir, &options)), kept);
}

#[test]
fn a_log_that_is_replayed_over_a_snapshot_changes_nothing() {
    let dir = MemoryDir::new("side");
    let store = open(&dir, &options());
    let mut appender = store.appender();
    for t_ms in 0..30 {
        let series = appender.series(&labels("m", t_ms as usize % 4)).unwrap();
        let id = t_ms.to_string();
        appender
            .append_exemplar(series, &exemplar(t_ms, &id))
            .unwrap();
    }
    appender.commit().unwrap();
    let read = Exemplars::decode(&store.exemplars.encode(), &options()).unwrap();
    let mut replayed = super::exemplars::ReplayedExemplars::new(100);
    for t_ms in 0..30 {
        let labels = labels("m", t_ms as usize % 4);
        replayed.push(t_ms as u64, &labels, &exemplar(t_ms, &t_ms.to_string()));
    }
    replayed.finish(&read);
    assert_eq!(read.encode(), store.exemplars.encode());
}

#[test]
fn refused_exemplars_are_named_and_counted() {
    let dir = MemoryDir::new("side");
    let store = open(&dir, &options());
    let mut appender = store.appender();
    let series = appender.series(&labels("m", 0)).unwrap();
    appender
        .append_exemplar(series, &exemplar(10, "a"))
        .unwrap();
    // The first of two that conflict inside a transaction stays.
    appender.append_exemplar(series, &exemplar(5, "b")).unwrap();
    appender.commit().unwrap();

    let mut appender = store.appender();
    let refused = appender.append_exemplar(series, &exemplar(5, "b"));
    assert_eq!(refused, Err(AppendError::OutOfOrderExemplar));
    let refused = appender.append_exemplar(series, &exemplar(20, &"x".repeat(121)));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "label length for exemplar exceeds maximum of 128 UTF-8 characters"
    );
    let same = appender.append_exemplar(series, &exemplar(10, "a"));
    assert_eq!(same, Ok(()));
    appender.commit().unwrap();
    let stats = store.stats().exemplars;
    assert_eq!((stats.exemplars, stats.out_of_order_total), (1, 2));
    assert_eq!(stats.long_labels_total, 1);

    store.set_max_exemplars(0);
    let mut appender = store.appender();
    assert_eq!(appender.append_exemplar(series, &exemplar(5, "b")), Ok(()));
    appender.commit().unwrap();
    assert_eq!(stored(&store).len(), 0);
}

#[test]
fn exemplars_are_selected_by_any_of_the_sets() {
    let dir = MemoryDir::new("side");
    let store = open(&dir, &options());
    let mut appender = store.appender();
    for name in ["b", "c", "a"] {
        let series = appender.series(&labels(name, 0)).unwrap();
        appender
            .append_exemplar(series, &exemplar(10, name))
            .unwrap();
    }
    appender.commit().unwrap();
    let set = |name: &str| vec![Matcher::new(MatchOp::Equal, "__name__", name).unwrap()];
    let names = |sets: &[Vec<Matcher>], range| -> Vec<String> {
        let found = store.exemplars(sets, range);
        let names = found.iter().map(|s| s.labels.metric_name().to_owned());
        names.collect()
    };
    let range = TimeRange::new(0, 10);
    assert_eq!(names(&[set("b"), set("a"), set("b")], range), ["a", "b"]);
    assert!(names(&[], range).is_empty());
    assert!(names(&[set("a")], TimeRange::new(11, 20)).is_empty());
}

#[test]
fn metadata_survives_a_restart_and_is_written_once() {
    let dir = MemoryDir::new("side");
    let store = open(&dir, &options());
    let set = |store: &MetricStore, name: &str, metadata: &MetricMetadata| {
        let mut appender = store.appender();
        appender.set_metadata(name, metadata);
        appender.commit().unwrap();
    };
    let first = help(MetricType::Counter, "first");
    let second = MetricMetadata {
        unit: "seconds".to_owned(),
        ..help(MetricType::Gauge, "second")
    };
    set(&store, "b", &first);
    set(&store, "a", &first);
    set(&store, "b", &second);
    let written = store.stats().wal.written_bytes_total;
    set(&store, "b", &second);
    assert_eq!(store.stats().wal.written_bytes_total, written);
    let mut dropped = store.appender();
    dropped.set_metadata("c", &first);
    dropped.rollback();

    let expected = [("a".to_owned(), first), ("b".to_owned(), second)];
    assert_eq!(store.metadata(None), expected);
    assert_eq!(store.metadata(Some("b")), expected[1..]);
    assert!(store.metadata(Some("c")).is_empty());
    let snapshot = store.metadata.encode();
    assert_eq!(store.stats().metadata.changes_total, 3);
    drop(store);
    let store = open(&dir, &options());
    assert_eq!(store.metadata(None), expected);
    let read = MetadataStore::decode(&snapshot).unwrap();
    assert_eq!(read.stats().metrics, 2);
}

#[test]
fn metadata_is_cut_or_refused_where_it_is_too_much() {
    let dir = MemoryDir::new("side");
    let store = open(&dir, &options());
    let mut appender = store.appender();
    appender.set_metadata("long", &help(MetricType::Info, &"é".repeat(3000)));
    appender.set_metadata(&"n".repeat(1025), &help(MetricType::Info, ""));
    appender.set_metadata("", &help(MetricType::Info, ""));
    appender.commit().unwrap();
    let found = store.metadata(None);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1.help, "é".repeat(2048));
    let stats = store.stats().metadata;
    assert_eq!((stats.cut_total, stats.refused_total), (1, 2));
    // 4 KiB each, so the bytes run out long before the names do.
    let mut appender = store.appender();
    for n in 0..17_000 {
        appender.set_metadata(&format!("m{n}"), &help(MetricType::Info, &"x".repeat(4096)));
    }
    appender.commit().unwrap();
    let stats = store.stats().metadata;
    assert!(
        stats.metrics > 16_000 && stats.metrics < 16_384,
        "{stats:?}"
    );
    assert_eq!(stats.metrics + stats.refused_total, 17_003);
    assert!(stats.memory_bytes < 80 << 20, "{stats:?}");
}

#[test]
fn limits_refuse_new_series_and_name_themselves() {
    let dir = MemoryDir::new("side");
    let mut options = options();
    options.max_series_per_metric = 5;
    options.max_series_per_target = 3;
    let store = open(&dir, &options);
    let mut appender = store.appender();
    for n in 0..5 {
        let series = appender.series(&labels("m", n)).unwrap();
        appender.append(series, 1_000, 1.0).unwrap();
    }
    let refused = appender.series(&labels("m", 5)).unwrap_err();
    assert!(refused.is_series_limit());
    assert_eq!(
        refused.to_string(),
        "metric m has reached the limit of 5 series per metric; raise \
         --storage.max-series-per-metric, or drop series or labels of it before they are stored"
    );
    // Known series are not refused.
    assert!(appender.series(&labels("m", 4)).is_ok());
    // Targets host0 and host1 have two series each.
    let series = appender.series(&labels("other", 0)).unwrap();
    appender.append(series, 1_000, 1.0).unwrap();
    let refused = appender.series(&labels("third", 3)).unwrap_err();
    assert_eq!(
        refused,
        AppendError::TargetSeriesLimit {
            limit: 3,
            job: "j".to_owned(),
            instance: "host0".to_owned(),
        }
    );
    let homeless = Labels::from_pairs([("__name__", "third"), ("job", "j")]);
    assert!(appender.series(&homeless).is_ok());
    appender.commit().unwrap();
    let stats = store.stats();
    assert_eq!(stats.metric_series_limit_total, 1);
    assert_eq!(stats.target_series_limit_total, 1);
    assert_eq!(stats.series_limit_total, 0);
    drop(store);

    // What was stored is counted again after a restart.
    let store = open(&dir, &options);
    let mut appender = store.appender();
    assert!(appender.series(&labels("third", 3)).is_err());
    assert!(appender.series(&labels("m", 5)).is_err());
    let mut later = Labels::from_pairs([("__name__", "later")]);
    let series = appender.series(&later).unwrap();
    appender.append(series, 100_000_000, 1.0).unwrap();
    appender.commit().unwrap();
    // Series that are removed make room.
    store.truncate_before(50_000_000).unwrap();
    store.truncate_before(50_000_000).unwrap();
    assert_eq!(store.stats().series, 1);
    let mut appender = store.appender();
    for n in [0, 3, 6] {
        appender.series(&labels("m", n)).unwrap();
    }
    assert!(appender.series(&labels("m", 9)).is_err());
    later = Labels::from_pairs([("job", "j"), ("instance", "host1")]);
    assert!(appender.series(&later).is_ok());
}

proptest! {
    #[test]
    fn hostile_metadata_is_refused_or_kept_within_limits(
        names in proptest::collection::vec("[a-c]{0,3}", 0..6),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        noise: Vec<u8>,
    ) {
        let store = MetadataStore::default();
        for name in &names {
            let pending = store.change(name, &help(MetricType::Summary, name));
            store.apply(pending.into_iter().collect());
        }
        let mut bytes = store.encode();
        let n_bytes = bytes.len();
        for (at, byte) in changes {
            bytes[at % n_bytes] = byte;
        }
        for bytes in [bytes, noise] {
            if let Ok(read) = MetadataStore::decode(&bytes) {
                prop_assert!(read.stats().memory_bytes < 1 << 20);
            }
            let _ = Exemplars::decode(&bytes, &options());
        }
    }
}
