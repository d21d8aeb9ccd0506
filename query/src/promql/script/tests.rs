//! That a wrong answer is noticed, in each of the ways an answer can be wrong.

use kymo_storage::model::Labels;

use super::{LoadError, Outcome, Script, TestSample, TestStore, run};
use crate::memory::MemorySource;
use crate::promql::{Engine, EngineOptions, Features};
use crate::source::Source;

const LOAD: &str = "
load 1m
  a{i=\"1\"} 1+1x10
  a{i=\"2\"} 2+2x10
  h{i=\"1\"} 1 {{sum:1 count:1}}
  s@st -1m _
  s 1 2
";

fn outcomes(evals: &str) -> Vec<Outcome> {
    outcomes_of(evals, &mut MemorySource::new())
}

fn outcomes_of(evals: &str, store: &mut dyn TestStore) -> Vec<Outcome> {
    let engine = Engine::new(EngineOptions {
        enable: Features::ALL,
        delayed_name_removal: true,
        use_start_timestamps: true,
        ..EngineOptions::default()
    });
    let script = Script::parse(&format!("{LOAD}\n{evals}")).unwrap();
    let report = run(&script, &engine, store);
    report.evals.into_iter().map(|eval| eval.outcome).collect()
}

#[track_caller]
fn fails(eval: &str, why: &str) {
    match &outcomes(eval)[..] {
        [Outcome::Failed(found)] => assert!(found.contains(why), "{eval}: {found}"),
        other => panic!("{eval}: {other:?}"),
    }
}

#[test]
fn right_answers_pass() {
    let passing = "
eval instant at 1m a
  a{i=\"2\"} 4
  a{i=\"1\"} 2

eval range from 0 to 2m step 1m sum(a)
  {} 3 6 9

eval instant at 1m sum(a)
  expect no_warn
  expect no_info
  {} 6

eval instant at 1m sum(a
  expect fail regex: unclosed left parenthesis

clear

eval instant at 1m a
";
    assert_eq!(outcomes(passing), vec![Outcome::Passed; 5]);
}

#[test]
fn wrong_answers_fail_and_say_why() {
    fails(
        "eval instant at 1m a{i=\"1\"}\n  a{i=\"1\"} 3",
        "expected 3, got 2",
    );
    fails(
        "eval instant at 1m a{i=\"1\"}\n  a{i=\"2\"} 2",
        "unexpected series",
    );
    fails("eval instant at 1m a{i=\"1\"}", "unexpected series");
    fails("eval instant at 1m nothing\n  {} 1", "not found");
    fails("eval instant at 1m 1 + 1\n  3", "expected 3, got 2");
    fails("eval instant at 1m 1 + 1\n  {} 2", "got a scalar");
    fails(
        "eval instant at 1m \"x\"\n  expect string \"y\"",
        "expected string",
    );
    fails(
        "eval range from 0 to 2m step 1m sum(a)\n  {} 3 6",
        "expected [",
    );
    fails(
        "eval range from 0 to 1m step 1m sum(a)\n  {} 3 6 9",
        "do not fit",
    );
    fails(
        "eval range from 0 to 1m step 1m sum(a)\n  {} _ 6",
        "expected [",
    );
    fails(
        "eval instant at 1m sort_desc(a)\n  expect ordered\n  a{i=\"1\"} 2\n  a{i=\"2\"} 4",
        "expected at position 2",
    );
}

#[test]
fn errors_and_annotations_are_part_of_the_answer() {
    fails("eval instant at 1m a\n  expect fail", "no error");
    fails("eval instant at 1m a + on () a\n  {} 1", "many");
    fails(
        "eval instant at 1m a + on () a\n  expect fail msg: x",
        "expected error",
    );
    fails(
        "eval instant at 1m a{i=\"1\"}\n  expect warn\n  a{i=\"1\"} 2",
        "no warn annotation",
    );
    let quantile = "eval instant at 1m quantile(2, a)\n  {} Inf";
    fails(
        &format!("{quantile}\n  expect no_warn"),
        "unexpected annotations",
    );
    fails(
        &format!("{quantile}\n  expect warn msg: x"),
        "no warn annotation like",
    );
    assert_eq!(
        outcomes(&format!("{quantile}\n  expect warn regex: quantile value")),
        [Outcome::Passed]
    );
}

/// A store that keeps no start times.
#[derive(Default)]
struct WithoutStarts(MemorySource);

impl TestStore for WithoutStarts {
    fn clear(&mut self) {
        self.0.clear();
    }

    fn add(&mut self, labels: &Labels, sample: &TestSample<'_>) -> Result<(), LoadError> {
        match sample.start_ms {
            Some(_) => Err(LoadError::Unsupported("start timestamps")),
            None => self.0.add(labels, sample),
        }
    }

    fn source(&self) -> &dyn Source {
        &self.0
    }
}

#[test]
fn what_could_not_be_loaded_is_named() {
    let named = outcomes_of(
        "
eval instant at 1m rate(s[1m])

eval instant at 1m a{i=\"1\"}
  a{i=\"1\"} 2
",
        &mut WithoutStarts::default(),
    );
    let starts = Outcome::Unsupported("start timestamps not supported yet".to_owned());
    assert_eq!(named, [starts, Outcome::Passed]);
}

#[test]
fn start_times_are_loaded() {
    let passing = "
eval instant at 1m start_timestamp(s)
  {} 0

eval instant at 0 start_timestamp(s)
  {} -60

eval instant at 1m resets(s[2m])
  {} 0
";
    assert_eq!(outcomes(passing), vec![Outcome::Passed; 3]);
}

#[test]
fn histograms_are_compared_without_their_empty_buckets() {
    let passing = "
eval instant at 1m h
  h{i=\"1\"} {{sum:1 count:1.0000001 buckets:[0 0]}}

eval range from 0 to 1m step 1m h
  h{i=\"1\"} 1 {{sum:1 count:1}}

eval instant at 1m -h
  {i=\"1\"} {{sum:-1 count:-1 counter_reset_hint:gauge}}
";
    assert_eq!(outcomes(passing), vec![Outcome::Passed; 3]);
    for wrong in [
        "{{sum:1 count:2}}",
        "{{sum:2 count:1}}",
        "{{sum:1 count:1 schema:1}}",
        "{{sum:1 count:1 z_bucket:1}}",
        "{{sum:1 count:1 z_bucket_w:1}}",
        "{{sum:1 count:1 buckets:[1]}}",
        "{{sum:1 count:1 n_buckets:[1]}}",
        "{{sum:1 count:1 counter_reset_hint:gauge}}",
        "1",
    ] {
        let eval = format!("eval instant at 1m h\n  h{{i=\"1\"}} {wrong}");
        fails(&eval, "expected");
    }
    fails(
        "eval range from 0 to 1m step 1m h\n  h{i=\"1\"} 1 _",
        "expected histograms []",
    );
}

#[test]
fn classic_histograms_are_loaded_as_native_ones_where_asked() {
    let text = "
load_with_nhcb 1m
  c_bucket{le=\"1\"} 1 2
  c_bucket{le=\"+Inf\"} 3 5
  c_sum 4 6
  d_bucket{le=\"1\"} 2
  d_bucket{le=\"+Inf\"} 1

eval instant at 1m c
  c {{schema:-53 count:5 sum:6 custom_values:[1] buckets:[2 3]}}

eval instant at 0 d
";
    let engine = Engine::new(EngineOptions::default());
    let script = Script::parse(text).unwrap();
    let report = run(&script, &engine, &mut MemorySource::new());
    let outcomes: Vec<&Outcome> = report.evals.iter().map(|eval| &eval.outcome).collect();
    let wrong = Outcome::Failed("count is not cumulative: 1 < 2".to_owned());
    assert_eq!(outcomes, [&Outcome::Passed, &wrong]);
}
