//! The cache against a plain model of it: whatever the order of lines, and whether
//! scrapes work or fail, both know the same lines and end the same series.

use std::collections::{BTreeMap, BTreeSet};

use kymo_storage::metrics::SeriesRef;
use kymo_storage::model::Labels;
use proptest::prelude::*;

use super::Stored;
use crate::scrape::cache::{Fate, ScrapeCache};

const LINES: usize = 8;

/// Lines 6 and 7 are one series in two spellings; line 0 is dropped.
fn series_of(stored: &Stored) -> Vec<SeriesRef> {
    let mut appender = stored.store.appender();
    let series = (0..LINES).map(|line| {
        let name = format!("m{}", line.min(6));
        appender
            .series(&Labels::from_pairs([("__name__", &name)]))
            .unwrap()
    });
    let series = series.collect();
    appender.commit().unwrap();
    series
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_cache_does_as_its_model(
        scrapes in prop::collection::vec(
            (prop::collection::vec(0..LINES, 0..12), any::<bool>()),
            1..8,
        )
    ) {
        let stored = Stored::new();
        let series = series_of(&stored);
        let mut cache = ScrapeCache::new();
        let mut known: BTreeSet<usize> = BTreeSet::new();
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for (lines, works) in scrapes {
            let mut now: BTreeMap<usize, usize> = BTreeMap::new();
            let mut seen: BTreeSet<usize> = BTreeSet::new();
            for line in lines {
                let key = stored.store.raw_key(format!("line {line}").as_bytes());
                let fate = match line {
                    0 => Fate::Dropped,
                    line => Fate::Stored(series[line]),
                };
                let found = cache.find(key);
                prop_assert_eq!(found.is_some(), known.contains(&line));
                let id = match found {
                    Some((id, found_fate, again)) => {
                        prop_assert_eq!(found_fate, fate);
                        prop_assert_eq!(again, seen.contains(&line));
                        id
                    }
                    None => cache.add(key, fate),
                };
                known.insert(line);
                seen.insert(line);
                if line > 0 {
                    cache.watch(id);
                    now.insert(line, line.min(6));
                }
            }
            let going_on: BTreeSet<usize> = now.values().copied().collect();
            let gone: BTreeSet<usize> = last.values().copied().collect();
            let expected = gone.difference(&going_on).count();
            let ended = cache.ended();
            prop_assert_eq!(ended.len(), expected);
            prop_assert!(gone.difference(&going_on).all(|s| ended.contains(&series[*s])));
            if works {
                cache.finish();
                known = seen;
            } else {
                prop_assert!(!cache.finish_failed());
            }
            prop_assert_eq!(cache.len(), known.len());
            last = now;
        }
    }
}
