use proptest::prelude::*;

use super::ring::{Added, Ring, SeriesExemplars};
use crate::model::{Exemplar, Labels, MatchOp, Matcher, TimeRange};

fn series(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "j")])
}

fn exemplar(t_ms: i64, value: f64, id: &str) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace_id", id)]),
        value,
        t_ms,
        timed: true,
    }
}

fn everything() -> Vec<Vec<Matcher>> {
    vec![vec![Matcher::new(MatchOp::Equal, "job", "j").unwrap()]]
}

const ALWAYS: TimeRange = TimeRange {
    start_ms: i64::MIN,
    end_ms: i64::MAX,
};

/// Name of the series, time, bits of the value, trace id, of everything selected.
fn listed(found: &[SeriesExemplars]) -> Vec<(String, i64, u64, String)> {
    let each = |series: &SeriesExemplars| {
        let name = series.labels.metric_name().to_owned();
        let exemplars = series.exemplars.clone().into_iter();
        exemplars.map(move |e| {
            let id = e.labels.get("trace_id").unwrap_or("").to_owned();
            (name.clone(), e.t_ms, e.value.to_bits(), id)
        })
    };
    found.iter().flat_map(each).collect()
}

#[test]
fn the_last_ones_are_kept_over_all_series() {
    let mut ring = Ring::new(3, 0);
    for t_ms in 1..=3 {
        assert_eq!(
            ring.add(&series("b"), &exemplar(t_ms, 1.0, "x")),
            Added::Stored
        );
    }
    ring.add(&series("a"), &exemplar(9, 2.0, "y"));
    assert_eq!(ring.first_ms(), Some(2));
    let found = listed(&ring.select(&everything(), ALWAYS));
    let times: Vec<_> = found.iter().map(|f| (f.0.as_str(), f.1)).collect();
    assert_eq!(times, [("a", 9), ("b", 2), ("b", 3)]);
    ring.set_max(1);
    assert_eq!((ring.len(), ring.n_series()), (1, 1));
    ring.set_max(0);
    assert_eq!((ring.len(), ring.n_series()), (0, 0));
    ring.add(&series("a"), &exemplar(10, 2.0, "y"));
    assert_eq!(ring.len(), 0);
    ring.set_max(2);
    assert_eq!(
        ring.add(&series("a"), &exemplar(10, 2.0, "y")),
        Added::Stored
    );
}

#[test]
fn repeated_and_late_ones_are_told_apart() {
    let mut ring = Ring::new(10, 0);
    let mut add = |t_ms, value, id: &str| ring.add(&series("a"), &exemplar(t_ms, value, id));
    assert_eq!(add(100, 5.0, "x"), Added::Stored);
    assert_eq!(add(100, 5.0, "x"), Added::Repeated);
    assert_eq!(add(99, 5.0, "x"), Added::OutOfOrder);
    assert_eq!(add(100, 4.0, "x"), Added::OutOfOrder);
    assert_eq!(add(100, 6.0, "x"), Added::Stored);
    // At one time and value the hashes decide; one of the two orders is right.
    let (low, high) = if exemplar(0, 0.0, "p").labels.prometheus_hash()
        < exemplar(0, 0.0, "q").labels.prometheus_hash()
    {
        ("p", "q")
    } else {
        ("q", "p")
    };
    assert_eq!(add(200, 7.0, high), Added::Stored);
    assert_eq!(add(200, 7.0, low), Added::OutOfOrder);
    ring.set_window_ms(50);
    let mut add = |t_ms, value, id: &str| ring.add(&series("a"), &exemplar(t_ms, value, id));
    assert_eq!(add(150, 1.0, "z"), Added::OutOfOrder);
    assert_eq!(add(151, 1.0, "z"), Added::Stored);
    assert_eq!(add(151, 2.0, "other"), Added::Repeated);
    let found = listed(&ring.select(&everything(), TimeRange::new(101, 199)));
    assert_eq!(found.iter().map(|f| f.1).collect::<Vec<_>>(), [151]);
}

#[test]
fn one_without_a_time_is_the_same_at_any_time() {
    let mut ring = Ring::new(10, 0);
    let untimed = |t_ms| Exemplar {
        timed: false,
        ..exemplar(t_ms, 1.0, "x")
    };
    assert_eq!(ring.add(&series("a"), &untimed(1)), Added::Stored);
    assert_eq!(ring.add(&series("a"), &untimed(2)), Added::Repeated);
    assert_eq!(
        ring.add(&series("a"), &exemplar(2, 1.0, "x")),
        Added::Stored
    );
}

#[test]
fn long_labels_do_not_take_more_than_the_limit_of_bytes() {
    let mut ring = Ring::new(20, 0);
    for n in 0..20 {
        let labels = Labels::from_pairs([
            ("__name__", format!("m{n}")),
            ("job", "j".to_owned()),
            ("long", "x".repeat(10_000)),
        ]);
        ring.add(&labels, &exemplar(n, 1.0, "x"));
    }
    assert!(ring.memory_bytes() < 60_000, "{}", ring.memory_bytes());
    let found = listed(&ring.select(&everything(), ALWAYS));
    assert_eq!(found.last().map(|f| f.1), Some(19));
}

#[test]
fn a_full_ring_is_small() {
    let mut ring = Ring::new(10_000, 0);
    for n in 0..20_000i64 {
        let id = format!("{n:032x}");
        ring.add(&series(&format!("m{}", n % 1024)), &exemplar(n, 1.0, &id));
    }
    let each = ring.memory_bytes() / ring.len();
    assert!(each < 130, "{each} bytes each");
}

/// What Prometheus keeps, written down as plainly as it goes.
#[derive(Debug, Default)]
struct Model {
    max: usize,
    window_ms: i64,
    arrived: Vec<(String, Exemplar)>,
}

impl Model {
    fn of(&self, name: &str) -> Vec<&Exemplar> {
        let mut of: Vec<&Exemplar> = self
            .arrived
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, exemplar)| exemplar)
            .collect();
        of.sort_by_key(|exemplar| exemplar.t_ms);
        of
    }

    fn add(&mut self, name: &str, e: &Exemplar) -> Added {
        let of = self.of(name);
        if let Some(newest) = of.last() {
            if newest.is_same(e) {
                return Added::Repeated;
            }
            let hash = |e: &Exemplar| e.labels.prometheus_hash();
            if (e.t_ms < newest.t_ms && e.t_ms <= newest.t_ms - self.window_ms)
                || (e.t_ms == newest.t_ms && e.value < newest.value)
                || (e.t_ms == newest.t_ms && e.value == newest.value && hash(e) < hash(newest))
            {
                return Added::OutOfOrder;
            }
            if e.t_ms < newest.t_ms && of.iter().any(|other| other.t_ms == e.t_ms) {
                return Added::Repeated;
            }
        }
        self.arrived.push((name.to_owned(), e.clone()));
        self.shorten();
        Added::Stored
    }

    fn shorten(&mut self) {
        let surplus = self.arrived.len().saturating_sub(self.max);
        self.arrived.drain(..surplus);
    }

    fn listed(&self, range: TimeRange) -> Vec<(String, i64, u64, String)> {
        let mut names: Vec<&String> = self.arrived.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        let each = |name: &String| {
            let found = SeriesExemplars {
                labels: series(name),
                exemplars: self
                    .of(name)
                    .into_iter()
                    .filter(|e| range.start_ms <= e.t_ms && e.t_ms <= range.end_ms)
                    .cloned()
                    .collect(),
            };
            listed(&[found])
        };
        names.into_iter().flat_map(each).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8, i64, i8, u8, bool),
    Max(usize),
    Window(i64),
    Reopen,
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0u8..4, 0i64..40, -2i8..3, 0u8..3, any::<bool>())
            .prop_map(|(s, t, v, id, timed)| Step::Add(s, t, v, id, timed)),
        1 => (0usize..12).prop_map(Step::Max),
        1 => (0i64..20).prop_map(Step::Window),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #[test]
    fn behaves_as_the_plain_model(
        steps in proptest::collection::vec(a_step(), 1..200),
        from in 0i64..40,
        to in 0i64..40,
    ) {
        let mut model = Model { max: 8, ..Model::default() };
        let mut ring = Ring::new(8, 0);
        for step in steps {
            match step {
                Step::Add(s, t_ms, value, id, timed) => {
                    let name = format!("s{s}");
                    let value = if value == 2 { f64::NAN } else { f64::from(value) };
                    let e = Exemplar { timed, ..exemplar(t_ms, value, &id.to_string()) };
                    if model.max > 0 {
                        prop_assert_eq!(ring.add(&series(&name), &e), model.add(&name, &e));
                    }
                }
                Step::Max(max) => {
                    model.max = max;
                    model.shorten();
                    ring.set_max(max);
                }
                Step::Window(window_ms) => {
                    model.window_ms = window_ms;
                    ring.set_window_ms(window_ms);
                }
                Step::Reopen => {
                    let mut bytes = Vec::new();
                    ring.encode(&mut bytes);
                    ring = Ring::new(model.max, model.window_ms);
                    prop_assert_eq!(ring.decode(&mut &bytes[..]), Ok(()));
                }
            }
            let range = TimeRange::new(from, to);
            prop_assert_eq!(listed(&ring.select(&everything(), ALWAYS)), model.listed(ALWAYS));
            prop_assert_eq!(listed(&ring.select(&everything(), range)), model.listed(range));
            prop_assert_eq!(ring.len(), model.arrived.len());
            prop_assert_eq!(ring.first_ms(), model.arrived.first().map(|(_, e)| e.t_ms));
        }
    }

    #[test]
    fn fewer_than_were_kept_are_the_last_ones(n in 0i64..40, max in 0usize..40) {
        let mut ring = Ring::new(64, 0);
        for t_ms in 0..n {
            ring.add(&series(&format!("s{}", t_ms % 3)), &exemplar(t_ms, 1.0, "x"));
        }
        let mut bytes = Vec::new();
        ring.encode(&mut bytes);
        let mut small = Ring::new(max, 0);
        prop_assert_eq!(small.decode(&mut &bytes[..]), Ok(()));
        ring.set_max(max);
        prop_assert_eq!(
            listed(&small.select(&everything(), ALWAYS)),
            listed(&ring.select(&everything(), ALWAYS))
        );
    }

    #[test]
    fn hostile_bytes_are_refused_or_make_a_sound_ring(
        n in 0i64..20,
        cuts in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        noise: Vec<u8>,
        is_noise: bool,
    ) {
        let mut ring = Ring::new(64, 0);
        for t_ms in 0..n {
            ring.add(&series(&format!("s{}", t_ms % 3)), &exemplar(t_ms, 1.0, "x"));
        }
        let mut bytes = Vec::new();
        ring.encode(&mut bytes);
        for (at, byte) in cuts {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let bytes = if is_noise { noise } else { bytes };
        let mut read = Ring::new(16, 0);
        if read.decode(&mut &bytes[..]).is_ok() {
            let found = read.select(&[vec![]], ALWAYS);
            let n: usize = found.iter().map(|series| series.exemplars.len()).sum();
            prop_assert_eq!(n, read.len());
            prop_assert!(n <= 16);
            let ascend = |s: &SeriesExemplars| s.exemplars.is_sorted_by_key(|e| e.t_ms);
            prop_assert!(found.iter().all(ascend));
            read.add(&series("s1"), &exemplar(50, 1.0, "y"));
            read.set_max(1);
            prop_assert!(read.len() <= 1);
        }
    }
}
