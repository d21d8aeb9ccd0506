//! The store against Prometheus' rules on maps.

use super::*;

const STEP: i64 = 100_000;

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, i64, f64)>),
    Window(i64),
    /// A series or all, and times.
    Delete(Option<u8>, TimeRange),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Four hours: samples are out of bounds, too.
    let t_ms = || (0i64..150).prop_map(|t| t * STEP);
    let samples = proptest::collection::vec((0u8..4, t_ms(), a_value()), 1..30);
    let window = prop_oneof![
        Just(0),
        Just(20 * STEP),
        Just(50 * STEP),
        Just(10_000 * STEP)
    ];
    let delete = (proptest::option::of(0u8..4), t_ms(), 0i64..30);
    let step = prop_oneof![
        10 => samples.prop_map(Step::Commit),
        2 => window.prop_map(Step::Window),
        2 => delete.prop_map(|(n, t, d)| Step::Delete(n, TimeRange::new(t, t + d * STEP))),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

#[derive(Debug, Default)]
struct Series {
    in_order: BTreeMap<i64, f64>,
    late: BTreeMap<i64, f64>,
    deleted: Vec<TimeRange>,
}

impl Series {
    fn last(&self) -> Option<(i64, f64)> {
        let (&t_ms, &value) = self.in_order.last_key_value()?;
        Some((t_ms, value))
    }

    fn insert_late(&mut self, t_ms: i64, value: f64) -> u64 {
        let newest = self.last().map(|(t, v)| (t, v.to_bits()));
        if newest == Some((t_ms, value.to_bits())) || self.late.contains_key(&t_ms) {
            return 0;
        }
        self.late.insert(t_ms, value);
        1
    }

    fn delete(&mut self, range: TimeRange) {
        let both = || self.in_order.keys().chain(self.late.keys());
        if let Some((&first, &last)) = both().min().zip(both().max()) {
            let range = TimeRange::new(range.start_ms.max(first), range.end_ms.min(last));
            if range.start_ms <= range.end_ms {
                self.deleted.push(range);
                self.late.retain(|&t, _| !range.contains(t));
            }
        }
    }

    fn samples(&self, range: TimeRange) -> Samples {
        let mut all = self.late.clone();
        all.extend(&self.in_order);
        all.retain(|&t, _| range.contains(t) && !self.deleted.iter().any(|at| at.contains(t)));
        all.into_iter().map(|(t, v)| (t, v.to_bits())).collect()
    }
}

#[derive(Debug, Default)]
struct Model {
    window_ms: i64,
    newest_ms: Option<i64>,
    series: BTreeMap<u8, Series>,
}

impl Model {
    /// Tells whether a sample is late, for a transaction that began at `newest_ms`;
    /// `None` for one that is there and need not wait for the commit.
    fn check(
        &self,
        n: u8,
        t_ms: i64,
        value: f64,
        newest_ms: i64,
    ) -> Result<Option<bool>, AppendError> {
        if t_ms >= newest_ms - HOUR {
            match self.series.get(&n).and_then(Series::last) {
                None => return Ok(Some(false)),
                Some((last, _)) if t_ms > last => return Ok(Some(false)),
                Some((last, existing)) if t_ms == last => {
                    let new = value;
                    return if existing.to_bits() == new.to_bits() {
                        Ok(None)
                    } else {
                        Err(AppendError::DuplicateTimestamp {
                            t_ms,
                            existing,
                            new,
                        })
                    };
                }
                Some(_) => {}
            }
        }
        if self.window_ms > 0 && t_ms >= newest_ms - self.window_ms {
            return Ok(Some(true));
        }
        Err(if self.window_ms > 0 {
            AppendError::TooOld
        } else if t_ms < newest_ms - HOUR {
            AppendError::OutOfBounds
        } else {
            AppendError::OutOfOrder
        })
    }

    /// Returns how many samples are stored.
    fn commit(&mut self, accepted: &[(u8, i64, f64, bool)], newest_ms: i64) -> u64 {
        let (mut stored, mut late) = (0, Vec::new());
        for &(n, t_ms, value, _) in accepted.iter().filter(|s| !s.3) {
            match self.check(n, t_ms, value, newest_ms) {
                Ok(Some(false)) => {
                    self.series
                        .entry(n)
                        .or_default()
                        .in_order
                        .insert(t_ms, value);
                    stored += 1;
                    self.newest_ms = self.newest_ms.max(Some(t_ms));
                }
                Ok(Some(true)) => late.push((n, t_ms, value)),
                Ok(None) | Err(_) => {}
            }
        }
        let first = accepted
            .iter()
            .filter(|s| s.3)
            .map(|&(n, t, v, _)| (n, t, v));
        for (n, t_ms, value) in first.chain(late) {
            stored += self.series.entry(n).or_default().insert_late(t_ms, value);
        }
        stored
    }
}

fn name(n: u8) -> Labels {
    labels(&format!("const=x,n={n}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn behaves_as_maps_with_the_rules_of_prometheus(steps in steps()) {
        let mut place = place();
        let mut store = place.open();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Reopen => {
                    drop(store);
                    store = place.open();
                    let newest = model.series.values().filter_map(Series::last);
                    model.newest_ms = newest.map(|(t_ms, _)| t_ms).max();
                }
                Step::Window(window_ms) => {
                    place.options.out_of_order_window_ms = window_ms;
                    store.set_out_of_order_window_ms(window_ms);
                    model.window_ms = window_ms;
                }
                Step::Delete(n, range) => {
                    let matchers = n.map(|n| equal("n", &n.to_string()));
                    let sets = [matchers.into_iter().collect::<Vec<_>>()];
                    store.delete_in_head(&sets, range).unwrap();
                    for (&number, series) in &mut model.series {
                        if n.is_none_or(|n| n == number) {
                            series.delete(range);
                        }
                    }
                }
                Step::Commit(samples) => {
                    let mut appender = store.appender();
                    let newest_ms = *model.newest_ms.get_or_insert(samples[0].1);
                    let mut accepted = Vec::new();
                    for (n, t_ms, value) in samples {
                        let series = appender.series(&name(n)).unwrap();
                        let answer = appender.append(series, t_ms, value);
                        let expected = model.check(n, t_ms, value, newest_ms);
                        let same = expected.clone().map(|_| ());
                        prop_assert_eq!(format!("{answer:?}"), format!("{same:?}"));
                        accepted.extend(expected.ok().flatten().map(|late| (n, t_ms, value, late)));
                    }
                    let stored = model.commit(&accepted, newest_ms);
                    prop_assert_eq!(appender.commit().unwrap().samples, stored);
                }
            }
            for range in [TimeRange::ALL, TimeRange::new(30 * STEP, 77 * STEP)] {
                let expected = model.series.iter().map(|(&n, s)| (name(n), s.samples(range)));
                let expected: BTreeMap<_, _> = expected.filter(|(_, s)| !s.is_empty()).collect();
                let found = read(&store, &all(), range).into_iter();
                let found: BTreeMap<_, _> = found.filter(|(_, s)| !s.is_empty()).collect();
                prop_assert_eq!(&found, &expected);
                let newest = read_selection(&store.select_newest(&all(), range).unwrap());
                let newest = newest.into_iter().filter_map(|(n, s)| Some((n, *s.last()?)));
                let expected = expected.into_iter().filter_map(|(n, s)| Some((n, *s.last()?)));
                prop_assert_eq!(newest.collect::<BTreeMap<_, _>>(), expected.collect());
            }
        }
    }
}
