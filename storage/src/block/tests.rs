use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::{Labels, MatchOp, Matcher, TimeRange, stale_marker};

pub(super) const HOUR: i64 = 3_600_000;

/// What a block should hold.
pub(super) type Model = BTreeMap<Labels, Vec<(i64, f64)>>;

pub(super) fn ulid(n: u128) -> Ulid {
    Ulid::from_bits(n)
}

pub(super) fn options(min_t_ms: i64, len_ms: i64) -> BlockOptions {
    BlockOptions {
        min_t_ms,
        max_t_ms: min_t_ms + len_ms,
        level: 1,
        ..BlockOptions::default()
    }
}

pub(super) fn write(
    blocks: &Arc<dyn Dir>,
    ulid: Ulid,
    options: BlockOptions,
    model: &Model,
) -> Result<Option<BlockMeta>, BlockError> {
    let mut writer = BlockWriter::create(blocks, ulid, options)?;
    for (labels, samples) in model {
        let (t, v): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        writer.series(labels.iter(), &t, &v)?;
    }
    writer.finish()
}

fn written(options: BlockOptions, model: &Model) -> (MemoryDir, Block) {
    let memory = MemoryDir::new("blocks");
    let blocks: Arc<dyn Dir> = Arc::new(memory.clone());
    write(&blocks, ulid(7), options, model).unwrap().unwrap();
    let dir = memory.child(&ulid(7).to_string());
    let block = Block::open(Arc::new(dir.clone())).unwrap();
    (dir, block)
}

fn bits(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
    samples.iter().map(|&(t, v)| (t, v.to_bits())).collect()
}

pub(super) fn read(
    block: &Block,
    series: u32,
    range: TimeRange,
    scratch: &mut ReadScratch,
) -> Result<Vec<(i64, f64)>, BlockError> {
    let (mut t, mut v) = (vec![-1], vec![-1.0]);
    block.read(series, range, scratch, &mut t, &mut v)?;
    assert_eq!((t[0], v[0]), (-1, -1.0), "what was there stays");
    assert_eq!(t.len(), v.len());
    Ok(t.into_iter().zip(v).skip(1).collect())
}

/// Labels of a series of the block, owned.
fn labels_of(block: &Block, series: u32) -> Labels {
    Labels::from_sorted(block.labels(series).unwrap())
}

fn check_all(block: &Block, model: &Model) {
    let mut scratch = ReadScratch::default();
    let live = model.iter().filter(|(_, samples)| !samples.is_empty());
    for (series, (labels, samples)) in live.enumerate() {
        let series = series as u32;
        assert_eq!(&labels_of(block, series), labels);
        let found = read(block, series, TimeRange::ALL, &mut scratch).unwrap();
        assert_eq!(bits(&found), bits(samples), "{labels:?}");
    }
}

/// How the times of a series come about.
#[derive(Debug, Clone)]
enum Rhythm {
    /// Every 15 s, with jitter that all of the group share.
    Scraped {
        group: u8,
        from: usize,
        to: usize,
    },
    /// The same, without some.
    Gaps {
        group: u8,
        missing: Vec<prop::sample::Index>,
    },
    /// Every so many milliseconds.
    Regular {
        step: i64,
        n: i64,
    },
    /// Any.
    Random(Vec<i64>),
    Once(i64),
    Never,
}

const SCRAPES: usize = 480;

fn scrapes(group: u8) -> Vec<i64> {
    let jitter = |i: i64| i64::from(group & 1) * (i * i % 11);
    (0..SCRAPES as i64)
        .map(|i| i64::from(group) * 1013 + i * 15_000 + jitter(i))
        .collect()
}

impl Rhythm {
    fn times(&self, len_ms: i64) -> Vec<i64> {
        let mut times = match self {
            Rhythm::Scraped { group, from, to } => {
                let all = scrapes(*group);
                let (from, to) = (from.min(to), to.max(from));
                all[*from..*to].to_vec()
            }
            Rhythm::Gaps { group, missing } => {
                let mut all = scrapes(*group);
                for index in missing {
                    all.remove(index.index(all.len()));
                }
                all
            }
            Rhythm::Regular { step, n } => (0..*n).map(|i| i * step).collect(),
            Rhythm::Random(times) => times.clone(),
            Rhythm::Once(t) => vec![*t],
            Rhythm::Never => Vec::new(),
        };
        times.retain(|&t| t < len_ms);
        times.sort_unstable();
        times.dedup();
        times
    }
}

fn a_rhythm() -> impl Strategy<Value = Rhythm> {
    prop_oneof![
        4 => (0u8..4, 0usize..=SCRAPES, 0usize..=SCRAPES)
            .prop_map(|(group, from, to)| Rhythm::Scraped { group, from, to }),
        4 => (0u8..4).prop_map(|group| Rhythm::Scraped { group, from: 0, to: SCRAPES }),
        2 => (0u8..4, prop::collection::vec(any::<prop::sample::Index>(), 1..80))
            .prop_map(|(group, missing)| Rhythm::Gaps { group, missing }),
        1 => (1i64..100, 1i64..3000).prop_map(|(step, n)| Rhythm::Regular { step, n }),
        1 => prop::collection::vec(0..2 * HOUR, 0..300).prop_map(Rhythm::Random),
        1 => (0..2 * HOUR).prop_map(Rhythm::Once),
        1 => Just(Rhythm::Never),
    ]
}

/// Values of a series: a kind and a seed.
fn values(kind: u8, seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut counter = 0.0;
    let value = |i: usize| match kind {
        0 => 1.0,
        1 => f64::from_bits(seed),
        2 => {
            counter += (random() % 1000) as f64;
            counter
        }
        3 => (random() % 10_000) as f64 / 100.0,
        4 => f64::from_bits(random()),
        5 if i + 1 == n => stale_marker(),
        5 => (seed % 50) as f64,
        6 if random() % 20 == 0 => [f64::NAN, -0.0, f64::NEG_INFINITY][i % 3],
        _ => (i / 7) as f64 * 0.5,
    };
    (0..n).map(value).collect()
}

fn a_model() -> impl Strategy<Value = Model> {
    let series = (
        0u32..8,
        0u32..5,
        0u32..200,
        a_rhythm(),
        0u8..8,
        any::<u64>(),
    );
    prop::collection::vec(series, 1..60).prop_map(|all| {
        let text = |n: u32| {
            if n == 0 {
                String::new()
            } else {
                format!("v{n}")
            }
        };
        all.into_iter()
            .map(|(a, b, c, rhythm, kind, seed)| {
                let labels = Labels::from_pairs([
                    ("__name__", "metric".to_owned()),
                    ("a", text(a)),
                    ("b", text(b)),
                    ("instance", format!("é{c}:9100")),
                ]);
                let times = rhythm.times(2 * HOUR);
                let values = values(kind, seed, times.len());
                let base = -HOUR;
                let times = times.into_iter().map(|t| t + base);
                (labels, times.zip(values).collect())
            })
            .collect()
    })
}

fn a_matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex),
    ];
    let name = prop::sample::select(vec!["__name__", "a", "b", "instance", "absent"]);
    let value = prop::sample::select(vec![
        "",
        "metric",
        "v1",
        "v3",
        "nowhere",
        ".*",
        ".+",
        "v1|v2",
        "v.*",
        "v[0-2]?",
        "|v4",
        "é1.*",
        "é[0-9]+1:9100",
        ".*0:9100",
        "(?i)V1",
        "[^v].*",
        "é2:9100|é3:9100|é50:9100",
    ]);
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

fn is_match(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers
        .iter()
        .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_block_holds_what_was_written(
        model in a_model(),
        cold: bool,
        queries in prop::collection::vec(prop::collection::vec(a_matcher(), 0..4), 1..10),
        ranges in prop::collection::vec((-HOUR - 10..HOUR + 10, 0..2 * HOUR), 1..6),
        deletes in prop::collection::vec((any::<prop::sample::Index>(), -HOUR..HOUR, 0..HOUR), 0..6),
    ) {
        let options = BlockOptions { cold, ..options(-HOUR, 2 * HOUR) };
        let memory = MemoryDir::new("blocks");
        let blocks: Arc<dyn Dir> = Arc::new(memory.clone());
        let meta = write(&blocks, ulid(7), options, &model).unwrap();
        let mut live: Vec<(Labels, Vec<(i64, f64)>)> =
            model.into_iter().filter(|(_, samples)| !samples.is_empty()).collect();
        let Some(meta) = meta else {
            prop_assert!(live.is_empty());
            prop_assert_eq!(memory.dirs().unwrap(), [""; 0]);
            return Ok(());
        };
        let dir: Arc<dyn Dir> = Arc::new(memory.child(&ulid(7).to_string()));
        let block = Block::open(Arc::clone(&dir)).unwrap();
        prop_assert_eq!(block.meta(), &meta);
        prop_assert_eq!(meta.n_series, live.len() as u64);
        prop_assert_eq!(meta.n_samples, live.iter().map(|(_, s)| s.len() as u64).sum::<u64>());
        prop_assert_eq!(list_blocks(&blocks).unwrap(), [ulid(7)]);

        for matchers in &queries {
            let expected: Vec<u32> = (0..live.len() as u32)
                .filter(|&at| is_match(&live[at as usize].0, matchers))
                .collect();
            prop_assert_eq!(block.resolve(matchers).unwrap(), expected, "{:?}", matchers);
        }
        let mut names: Vec<&str> = live.iter().flat_map(|(l, _)| l.iter().map(|p| p.0)).collect();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(block.label_names().unwrap(), &names[..]);
        prop_assert_eq!(block.n_series() as usize, live.len());
        let stats = block.stats().unwrap();
        for (stats, name) in stats.iter().zip(&names) {
            let mut values: Vec<&str> = live.iter().filter_map(|(l, _)| l.get(name)).collect();
            prop_assert_eq!(stats.n_series, values.len() as u64);
            values.sort_unstable();
            let count = |value: &str| values.iter().filter(|v| **v == value).count() as u32;
            let most = values.iter().map(|v| count(v)).max().unwrap();
            prop_assert_eq!(stats.top[0].1, most);
            let mut distinct = values.clone();
            distinct.dedup();
            for &(at, n) in &stats.top {
                prop_assert_eq!(n, count(distinct[at as usize]));
            }
            prop_assert_eq!(block.label_values(name).unwrap(), distinct);
        }
        prop_assert!(block.label_values("absent").unwrap().is_empty());

        let mut scratch = ReadScratch::default();
        for round in 0..3 {
            let reopened;
            let block = if round == 2 {
                reopened = Block::open(Arc::clone(&dir)).unwrap();
                &reopened
            } else {
                &block
            };
            for (series, (labels, samples)) in live.iter().enumerate() {
                let series = series as u32;
                prop_assert_eq!(&labels_of(block, series), labels);
                let mut ranges: Vec<TimeRange> =
                    ranges.iter().map(|&(start, len)| TimeRange::new(start, start + len)).collect();
                ranges.push(TimeRange::ALL);
                if let Some(&(t, _)) = samples.first() {
                    ranges.extend([TimeRange::new(t, t), TimeRange::new(t + 1, t + 15_000)]);
                }
                for range in ranges {
                    let expected: Vec<(i64, f64)> =
                        samples.iter().copied().filter(|s| range.contains(s.0)).collect();
                    let found = read(block, series, range, &mut scratch).unwrap();
                    prop_assert_eq!(bits(&found), bits(&expected), "{:?} {:?}", labels, range);
                    // Chunks are not narrower than the samples that are left.
                    prop_assert!(expected.is_empty() || block.overlaps(series, range).unwrap());
                }
            }
            if round == 0 {
                let mut all = Vec::new();
                for (index, start, len) in &deletes {
                    let series = index.index(live.len());
                    let range = TimeRange::new(*start, start + len);
                    live[series].1.retain(|s| !range.contains(s.0));
                    all.push((series as u32, range));
                }
                let (first, second) = all.split_at(all.len() / 2);
                block.delete(first).unwrap();
                block.delete(second).unwrap();
            }
        }
        let mut pieces = 0;
        block.verify(&mut || { pieces += 1; std::ops::ControlFlow::Continue(()) }).unwrap();
        prop_assert!(pieces >= 2);
    }
}

fn small_model() -> Model {
    let mut model = Model::new();
    for target in 0..3u8 {
        let times = scrapes(target);
        for n in 0..5u8 {
            let labels = Labels::from_pairs([
                ("__name__", format!("metric_{n}")),
                ("instance", format!("host{target}")),
                ("job", "node".to_owned()),
            ]);
            let mut samples: Vec<(i64, f64)> = times
                .iter()
                .copied()
                .zip(values(n + 2, u64::from(n), times.len()))
                .collect();
            if n == 4 {
                samples.drain(100..101);
            }
            model.insert(labels, samples);
        }
    }
    model
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_rule() {
    let blocks: Arc<dyn Dir> = Arc::new(MemoryDir::new("blocks"));
    let empty = BlockWriter::create(&blocks, ulid(1), options(5, 0)).unwrap_err();
    assert!(
        empty.to_string().contains("the range from 5 to 5"),
        "{empty}"
    );
    let mut writer = BlockWriter::create(&blocks, ulid(1), options(0, 100)).unwrap();
    let a = [("a", "1")];
    let mut refused = |labels: &[(&'static str, &'static str)], t: &[i64], what: &str| {
        let values = vec![0.0; t.len()];
        let error = writer
            .series(labels.iter().copied(), t, &values)
            .unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    };
    refused(&a, &[100], "end before 100");
    refused(&a, &[-1, 5], "ascend from 0");
    refused(&a, &[5, 5], "must ascend");
    refused(&[("b", "1"), ("a", "1")], &[5], "names must ascend");
    refused(&[("b", "")], &[5], "have values");
    let mut writer = BlockWriter::create(&blocks, ulid(1), options(0, 100)).unwrap();
    assert!(writer.series(a.into_iter(), &[1, 2], &[1.0]).is_err());
    writer
        .series([("a", "2")].into_iter(), &[1], &[1.0])
        .unwrap();
    for labels in [("a", "2"), ("a", "1"), ("A", "3")] {
        let error = writer
            .series([labels].into_iter(), &[1], &[1.0])
            .unwrap_err();
        assert!(
            error.to_string().contains("behind the one before"),
            "{error}"
        );
    }
    let longer = [("a", "2"), ("b", "1")];
    writer.series(longer.into_iter(), &[1], &[1.0]).unwrap();
    drop(writer);
    assert_eq!(blocks.dirs().unwrap(), [""; 0], "nothing is left");
}

#[test]
fn a_block_of_a_series_without_labels_can_be_read() {
    let model = Model::from([(Labels::empty(), vec![(5, 2.5)])]);
    let (_, block) = written(options(0, 10), &model);
    check_all(&block, &model);
    assert_eq!(block.resolve(&[]).unwrap(), [0]);
    let error = block.labels(1).unwrap_err();
    assert!(
        error.to_string().contains("there is none with number 1"),
        "{error}"
    );
}

/// A byte is changed: the answer is the right one, or an error with the file's name.
#[test]
fn no_changed_byte_gives_a_wrong_answer() {
    let model = small_model();
    let (dir, block) = written(options(0, 2 * HOUR), &model);
    block.delete(&[(3, TimeRange::new(0, HOUR))]).unwrap();
    let matchers = [
        Matcher::new(MatchOp::Regex, "instance", "host[01]").unwrap(),
        Matcher::new(MatchOp::NotEqual, "__name__", "metric_1").unwrap(),
    ];
    let mut scratch = ReadScratch::default();
    let answers = |block: &Block, scratch: &mut ReadScratch| -> Result<_, BlockError> {
        let mut all = Vec::new();
        for series in block.resolve(&matchers)? {
            let labels = Labels::from_sorted(block.labels(series)?);
            let is_there = block.overlaps(series, TimeRange::new(0, HOUR / 2))?;
            let samples = bits(&read(block, series, TimeRange::ALL, scratch)?);
            all.push((labels, is_there, samples));
        }
        Ok(all)
    };
    let expected = answers(&block, &mut scratch).unwrap();
    let mut noticed = 0;
    for name in dir.files().unwrap() {
        let whole = dir.read(&name, 1 << 24).unwrap();
        let step = whole.len() / 1500 + 1;
        for at in (0..whole.len()).step_by(step) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            dir.put(&name, damaged);
            // What was decoded before must not hide the damage.
            let mut scratch = ReadScratch::default();
            let opened = Block::open(Arc::new(dir.clone()));
            let verified = opened.as_ref().is_ok_and(|block| {
                let go_on = &mut || std::ops::ControlFlow::Continue(());
                block.verify(go_on).is_ok()
            });
            match opened.and_then(|block| answers(&block, &mut scratch)) {
                Ok(found) => assert_eq!(found, expected, "byte {at} of {name}"),
                Err(error) => {
                    noticed += 1;
                    let text = error.to_string();
                    assert!(text.contains(&name), "byte {at} of {name}: {text}");
                }
            }
            assert!(!verified || name == "meta.json", "byte {at} of {name}");
        }
        // Cut off anywhere, and too long.
        for len in (0..whole.len()).step_by(step * 7) {
            dir.put(&name, whole[..len].to_vec());
            let error = Block::open(Arc::new(dir.clone())).unwrap_err();
            assert!(
                error.to_string().contains(&name),
                "{len} of {name}: {error}"
            );
        }
        if name != "meta.json" {
            let longer = [whole.as_slice(), b"x"].concat();
            dir.put(&name, longer);
            assert!(Block::open(Arc::new(dir.clone())).is_err(), "{name}");
        }
        dir.put(&name, whole);
    }
    assert!(noticed > 1000, "{noticed}");
    let mut scratch = ReadScratch::default();
    let again = Block::open(Arc::new(dir)).unwrap();
    assert_eq!(answers(&again, &mut scratch).unwrap(), expected);
}

#[test]
fn an_automaton_finds_what_a_scan_finds() {
    let mut model = Model::new();
    for n in 0..6000u32 {
        let path = format!(
            "/api/v{}/item-{:04}/{}",
            n % 3,
            n / 2,
            ["get", "put"][n as usize % 2]
        );
        let labels = Labels::from_pairs([("__name__", "requests"), ("path", path.as_str())]);
        model.insert(labels, vec![(1, f64::from(n))]);
    }
    let (_, block) = written(options(0, 10), &model);
    let all: Vec<&Labels> = model.keys().collect();
    for pattern in [
        "/api/v[12]/item-0[0-9]{3}/get",
        "/api/v(0|2)/.*[79]/p[u]t",
        "[^x]*",
        "/api/v3/[a-z]+",
        "(?i)/API/V1/ITEM-00[0-9]+/GET",
        ".*item-2.9[0-9]/.*",
    ] {
        for op in [MatchOp::Regex, MatchOp::NotRegex] {
            let matcher = Matcher::new(op, "path", pattern).unwrap();
            assert!(matcher.automaton().is_some(), "{pattern}");
            let expected: Vec<u32> = (0..all.len() as u32)
                .filter(|&at| is_match(all[at as usize], std::slice::from_ref(&matcher)))
                .collect();
            assert_eq!(block.resolve(&[matcher]).unwrap(), expected, "{pattern}");
        }
    }
}

#[test]
fn series_of_one_scrape_share_their_times() {
    let mut model = Model::new();
    let times: Vec<i64> = (0..480).map(|i| i * 15_000 + i * i % 7).collect();
    for n in 0..500u32 {
        let labels = Labels::from_pairs([("__name__", format!("metric_{n:03}"))]);
        let mut samples: Vec<(i64, f64)> = times.iter().map(|&t| (t, f64::from(n))).collect();
        match n % 10 {
            7 => drop(samples.drain(..200)),
            8 => drop(samples.remove(n as usize % 400)),
            _ => {}
        }
        model.insert(labels, samples);
    }
    let (_, block) = written(options(0, 2 * HOUR), &model);
    check_all(&block, &model);
    let meta = block.meta();
    assert_eq!(meta.n_chunks, 500);
    // Constants with shared times have nothing in the data but the first's own times.
    assert!(meta.bytes_data < 800, "{meta:?}");
    assert!(meta.bytes_index < 500 * 40, "{meta:?}");
    let sizes: BTreeMap<String, usize> = block.section_sizes().into_iter().collect();
    assert!(sizes["Vectors"] < 400, "{sizes:?}");
    assert!(sizes["Chunks"] < 500 * 6, "{sizes:?}");
}

#[test]
fn chunks_are_long_in_cold_blocks_and_short_in_others() {
    let times: Vec<i64> = (0..28_800).map(|i| i * 1000).collect();
    let late: Vec<i64> = times[7000..].to_vec();
    let mut model = Model::new();
    for (name, times) in [("a", times.clone()), ("b", times), ("c", late)] {
        let samples = times.iter().map(|&t| (t, (t % 977) as f64)).collect();
        model.insert(Labels::from_pairs([("n", name)]), samples);
    }
    let (_, hot) = written(options(0, 8 * HOUR), &model);
    check_all(&hot, &model);
    assert_eq!(hot.meta().n_chunks, 32 + 32 + 25);
    let cold = BlockOptions {
        cold: true,
        ..options(0, 8 * HOUR)
    };
    let (_, cold) = written(cold, &model);
    check_all(&cold, &model);
    assert_eq!(cold.meta().n_chunks, 4 + 4 + 4);
}

#[test]
fn what_interrupted_work_left_is_removed_and_links_are_blocks() {
    let memory = MemoryDir::new("blocks");
    let blocks: Arc<dyn Dir> = Arc::new(memory.clone());
    let model = small_model();
    for n in [3, 1, 2] {
        write(&blocks, ulid(n), options(0, 2 * HOUR), &model)
            .unwrap()
            .unwrap();
    }
    let name = |n: u128| ulid(n).to_string();
    memory
        .child(&format!("{}.tmp", name(8)))
        .put("data", vec![1]);
    memory
        .child(&format!("{}.deleting", name(9)))
        .put("index", vec![1]);
    memory.child("lost+found");
    memory.child(&name(5)).put("index", vec![1]);
    assert_eq!(list_blocks(&blocks).unwrap(), [ulid(1), ulid(2), ulid(3)]);
    let expected = [name(1), name(2), name(3), name(5), "lost+found".to_owned()];
    assert_eq!(memory.dirs().unwrap(), expected);

    let block = Block::open(blocks.subdir(&name(2)).unwrap()).unwrap();
    block.delete(&[(0, TimeRange::ALL)]).unwrap();
    let other: Arc<dyn Dir> = Arc::new(MemoryDir::new("snapshot"));
    block.link_into(&other.subdir("x").unwrap()).unwrap();
    remove_block(&blocks, ulid(2)).unwrap();
    assert_eq!(list_blocks(&blocks).unwrap(), [ulid(1), ulid(3)]);
    let linked = Block::open(other.subdir("x").unwrap()).unwrap();
    assert_eq!(linked.n_tombstones(), 1);
    assert!(!linked.overlaps(0, TimeRange::ALL).unwrap());
    assert!(linked.overlaps(1, TimeRange::ALL).unwrap());
    let mut scratch = ReadScratch::default();
    assert_eq!(read(&linked, 0, TimeRange::ALL, &mut scratch).unwrap(), []);
    assert_eq!(
        read(&block, 1, TimeRange::ALL, &mut scratch).unwrap().len(),
        480
    );
}

#[test]
fn narrow_ranges_of_long_chunks_are_those_of_the_whole() {
    let times: Vec<i64> = (0..5760).map(|i| i * 15_000 + i * i % 97).collect();
    let mut outage = times.clone();
    outage.drain(1000..3000);
    let mut model = Model::new();
    let all = [("a", &times), ("b", &times), ("c", &outage), ("d", &outage)];
    for (name, times) in all {
        for kind in [2, 3, 4, 6] {
            let values = values(kind, 77, times.len());
            let samples = times.iter().copied().zip(values).collect();
            let labels = [("kind", kind.to_string()), ("n", name.to_owned())];
            model.insert(Labels::from_pairs(labels), samples);
        }
    }
    let cold = BlockOptions {
        cold: true,
        ..options(0, 24 * HOUR)
    };
    let (_, block) = written(cold, &model);
    assert_eq!(block.meta().n_chunks, 16);
    for (series, samples) in model.values().enumerate() {
        let mut kept = ReadScratch::default();
        for i in 0..200 {
            let start = i * 433_000 - 100_000;
            let range = TimeRange::new(
                start,
                start + [0, 16_000, 300_000, 20 * HOUR][i as usize % 4],
            );
            let expected: Vec<_> = samples
                .iter()
                .copied()
                .filter(|s| range.contains(s.0))
                .collect();
            let mut fresh = ReadScratch::default();
            for scratch in [&mut fresh, &mut kept] {
                let found = read(&block, series as u32, range, scratch).unwrap();
                assert_eq!(bits(&found), bits(&expected), "{series} {range:?}");
            }
        }
    }
}
