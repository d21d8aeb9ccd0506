use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{Labels, MatchOp, Matcher};

fn labels(pairs: &[(&str, String)]) -> Labels {
    Labels::from_pairs(pairs.iter().map(|(n, v)| (*n, v.as_str())))
}

impl Index {
    fn find(&self, labels: &Labels) -> Option<u32> {
        self.search(labels.iter(), &mut Search::default())
    }

    fn find_or_create(&mut self, labels: &Labels, end: u32) -> Option<(u32, bool)> {
        self.find_or_create_after(labels, end, &mut Search::default())
    }

    /// As what came before with `search` was found or created.
    fn find_or_create_after(
        &mut self,
        labels: &Labels,
        end: u32,
        search: &mut Search,
    ) -> Option<(u32, bool)> {
        match self.search(labels.iter(), search) {
            Some(id) => Some((id, false)),
            None => Some((self.create(labels.iter(), search, end)?, true)),
        }
    }
}

fn matches(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers
        .iter()
        .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
}

fn a_matcher() -> impl Strategy<Value = Matcher> {
    let value = prop_oneof![
        Just(""),
        Just("v1"),
        Just("v7"),
        Just("nowhere"),
        Just(".*"),
        Just(".+"),
        Just("v1|v2|v3"),
        Just("v.*"),
        Just("v[0-4]?"),
        Just("|v5"),
    ];
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex),
    ];
    (
        op,
        prop_oneof![Just("a"), Just("b"), Just("c"), Just("absent")],
        value,
    )
        .prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

/// Returns an index with the same series, filled as from logs.
fn restored(index: &Index, n_threads: usize) -> Index {
    let mut fresh = Index::default();
    let dictionary = index.dictionary();
    let dictionary = dictionary.read();
    let (mut rows, mut row) = (Rows::default(), Vec::new());
    for id in &index.live {
        let pairs = index.row(id).unwrap().pairs();
        let pairs = fresh.intern(pairs.map(|pair| dictionary.pair_text(pair)));
        encode_row(&pairs, &mut row);
        assert!(rows.set(id, &row));
    }
    let mut restoring = fresh.restore(index.len());
    for id in &index.live {
        assert_eq!(restoring.add(id, rows.get(id).unwrap()), Ok(()));
    }
    let first = index.live.min().unwrap();
    let again = rows.get(first).unwrap();
    assert_eq!(restoring.add(5_000, again), Err(first));
    restoring.remove(first);
    assert_eq!(restoring.add(first, again), Ok(()));
    restoring.finish(0, n_threads)
}

proptest! {
    /// The planner answers what looking at every series answers, before and after
    /// series were removed and ids given again.
    #[test]
    fn planner_agrees_with_a_scan(
        sets in proptest::collection::btree_set((0u32..12, 0u32..40, 0u32..3), 1..400),
        queries in proptest::collection::vec(proptest::collection::vec(a_matcher(), 0..4), 1..12),
        dead in proptest::collection::vec(0u32..400, 0..50),
    ) {
        let mut index = Index::default();
        let mut model: BTreeMap<u32, Labels> = BTreeMap::new();
        let mut search = Search::default();
        let value = |n: u32| if n == 0 { String::new() } else { format!("v{n}") };
        for (a, b, c) in sets {
            let set = labels(&[("a", value(a)), ("b", value(b)), ("c", value(c)), ("id", "x".into())]);
            let (id, new) = index.find_or_create_after(&set, u32::MAX, &mut search).unwrap();
            prop_assert!(new);
            prop_assert!(model.insert(id, set).is_none());
        }
        for round in 0..2 {
            let restored = restored(&index, 1 + round);
            for matchers in &queries {
                let expected: Vec<u32> = model
                    .iter()
                    .filter(|(_, set)| matches(set, matchers))
                    .map(|(&id, _)| id)
                    .collect();
                prop_assert_eq!(restored.resolve(matchers), &expected[..], "{:?}", matchers);
                prop_assert_eq!(index.resolve(matchers), expected, "{:?}", matchers);
            }
            for (&id, set) in &model {
                prop_assert_eq!(index.search(set.iter(), &mut search), Some(id));
                prop_assert_eq!(restored.find(set), Some(id));
            }
            if round == 0 {
                let dead: RoaringBitmap = dead.iter().copied().filter(|id| model.contains_key(id)).collect();
                index.remove(&dead);
                index.release(&dead);
                for id in &dead {
                    let set = model.remove(&id).unwrap();
                    prop_assert_eq!(index.find(&set), None);
                }
                // Some come before, some while, and some after pairs are numbered anew.
                let mut renumbering = index.begin_renumbering();
                for n in 0..9u32 {
                    if n == 3 {
                        prop_assert!(index.renumber_slice(&mut renumbering));
                        prop_assert!(!index.renumber_slice(&mut renumbering));
                    }
                    let set = labels(&[("a", value(n)), ("new", "y".into())]);
                    let (id, _) = index.find_or_create_after(&set, u32::MAX, &mut search).unwrap();
                    prop_assert!(model.insert(id, set).is_none());
                    if n == 6 {
                        index.adopt(renumbering);
                        renumbering = index.begin_renumbering();
                    }
                }
            }
        }
    }
}

#[test]
fn rows_copied_before_a_rebuild_keep_their_texts() {
    let mut index = Index::default();
    let keep = labels(&[("a", "kept".into()), ("b", "2".into())]);
    let gone = labels(&[("a", "gone".into()), ("b", "2".into())]);
    let (gone_id, _) = index.find_or_create(&gone, u32::MAX).unwrap();
    index.find_or_create(&keep, u32::MAX).unwrap();
    let dictionary = index.dictionary();
    let row: Vec<PairId> = index.row(gone_id).unwrap().pairs().collect();
    index.remove(&RoaringBitmap::from_iter([gone_id]));
    let mut renumbering = index.begin_renumbering();
    while index.renumber_slice(&mut renumbering) {}
    index.adopt(renumbering);
    let dictionary = dictionary.read();
    let texts: Vec<(&str, &str)> = row.iter().map(|&pair| dictionary.pair_text(pair)).collect();
    assert_eq!(texts, [("a", "gone"), ("b", "2")]);
    assert_eq!(index.values("a"), ["kept"]);
    assert_eq!(index.find(&keep), Some(1));
}

#[test]
fn ids_run_out_with_an_answer() {
    let mut index = Index::default();
    let (first, second) = (labels(&[("a", "1".into())]), labels(&[("a", "2".into())]));
    assert_eq!(index.find_or_create(&first, 1), Some((0, true)));
    assert_eq!(index.find_or_create(&second, 1), None);
    assert_eq!(index.find_or_create(&first, 1), Some((0, false)));
}
