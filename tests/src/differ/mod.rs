//! Random queries over random data, answered by Kymo's engine and by the Prometheus that
//! is installed (Debian's 2.42 knows most of the language).
//!
//! A seed says everything: [`data`] makes the series, [`grammar`] the queries. Where the
//! answers differ the query is made smaller as long as they still do, and shown. What is
//! known to differ between the versions is not asked, or is named in [`explained`].

pub mod answer;
pub mod data;
pub mod grammar;
pub mod logs;
pub mod prometheus;
pub mod random;
mod smaller;

use kymo_query::promql::Features;
use kymo_query::{Cancel, Engine, EngineOptions, MemorySource, QueryOptions};

use crate::Client;
use answer::{Answer, Points, difference};
use data::{Data, SCRAPES, START_MS};
use grammar::{Order, Query};
use prometheus::Prometheus;
use random::Random;
use smaller::smaller;

/// Queries that are asked of the same data.
const QUERIES_PER_DATA: u64 = 1_000;
/// Bytes that a query is written from, at most.
const MAX_CHOICES: u64 = 60;
/// How often a query is made smaller.
const MAX_SHRINKS: usize = 400;

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// Queries asked, each at a time and over a range.
    pub queries: u64,
    /// Answers of both that were compared.
    pub answers: u64,
    /// How many of them were errors of both.
    pub errors: u64,
    /// How many of them were empty.
    pub empty: u64,
    /// Points of the answers.
    pub points: Points,
    /// Differences that are known, by their name.
    pub explained: std::collections::BTreeMap<&'static str, u64>,
    /// All others.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Says in one paragraph what was compared.
    pub fn summary(&self) -> String {
        let points = self.points;
        let share = points.same_bits as f64 * 100.0 / (points.compared.max(1)) as f64;
        let mut text = format!(
            "{} queries, {} answers ({} errors of both, {} empty), {} points, {share:.2} % of them \
             equal to the bit; {} unexplained differences",
            self.queries,
            self.answers,
            self.errors,
            self.empty,
            points.compared,
            self.differences.len()
        );
        for (name, count) in &self.explained {
            text.push_str(&format!("\nexplained: {name}: {count}"));
        }
        text
    }
}

/// Two answers that should be one.
#[derive(Debug)]
pub struct Difference {
    /// Seed of the data.
    pub seed: u64,
    /// The smallest query found.
    pub query: String,
    /// When it was asked.
    pub when: When,
    /// How the answers differ.
    pub what: String,
}

/// When a query is asked, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At a time.
    Instant(i64),
    /// At steps.
    Range {
        /// First.
        start_ms: i64,
        /// Last.
        end_ms: i64,
        /// Distance.
        step_ms: i64,
    },
}

/// Asks `queries` queries of data made from `seed` and the numbers behind it. `None` where
/// `program` is not installed.
pub fn run(
    program: &str,
    seed: u64,
    queries: u64,
    progress: &mut dyn FnMut(&Report),
) -> Option<Report> {
    let mut report = Report::default();
    let mut seed = seed;
    while report.queries < queries {
        let data = Data::new(seed);
        let prometheus = Prometheus::start(program, &data)?;
        let pair = Pair {
            engine: engine(),
            source: data.source(),
            client: prometheus.client(),
        };
        let mut random = Random::new(seed);
        for _ in 0..QUERIES_PER_DATA.min(queries - report.queries) {
            pair.try_one(seed, &mut random, &mut report);
            report.queries += 1;
        }
        progress(&report);
        seed += 1;
    }
    Some(report)
}

fn engine() -> Engine {
    Engine::new(EngineOptions {
        enable: Features::ALL,
        ..EngineOptions::default()
    })
}

/// The two that are asked.
struct Pair {
    engine: Engine,
    source: MemorySource,
    client: Client,
}

impl Pair {
    fn try_one(&self, seed: u64, random: &mut Random, report: &mut Report) {
        let n_choices = 4 + random.below(MAX_CHOICES) as usize;
        let choices = random.bytes(n_choices);
        let query = grammar::query(&choices);
        let offset_s = 60 + random.below((SCRAPES + 10) as u64 * 15) as i64;
        let instant = When::Instant(START_MS + 500 + offset_s * 1_000);
        let step_ms = random.pick(&[15_000, 7_000, 60_000, 1_000, 143_000]);
        let start_ms = START_MS + 500 + random.below(SCRAPES as u64 * 15) as i64 * 1_000;
        let steps = random.below(30) as i64;
        let range = When::Range {
            start_ms,
            end_ms: start_ms + steps * step_ms,
            step_ms,
        };
        for when in [instant, range] {
            if when != instant && !query.has_range {
                continue;
            }
            let (ours, theirs) = self.ask(&query, when);
            report.answers += 1;
            match &theirs {
                Answer::Error(_) => report.errors += 1,
                Answer::Series(series) if series.is_empty() => report.empty += 1,
                _ => {}
            }
            let order = order_of(&query, when);
            let Some(what) = difference(&ours, &theirs, order, &mut report.points) else {
                continue;
            };
            if let Some(name) = explained(&query.text, &ours, &theirs) {
                *report.explained.entry(name).or_default() += 1;
                continue;
            }
            let text = |choices: &[u8]| grammar::query(choices).text;
            let differs = |choices: &[u8]| self.differs(choices, when);
            let (query, what) = smaller(choices.clone(), what, MAX_SHRINKS, text, differs);
            report.differences.push(Difference {
                seed,
                query,
                when,
                what,
            });
        }
    }

    fn ask(&self, query: &Query, when: When) -> (Answer, Answer) {
        (self.ours(&query.text, when), self.theirs(&query.text, when))
    }

    fn ours(&self, query: &str, when: When) -> Answer {
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        Answer::of_engine(match when {
            When::Instant(t_ms) => {
                self.engine
                    .instant(&self.source, query, t_ms, &options, &cancel)
            }
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            } => self.engine.range(
                &self.source,
                query,
                start_ms,
                end_ms,
                step_ms,
                &options,
                &cancel,
            ),
        })
    }

    fn theirs(&self, query: &str, when: When) -> Answer {
        let query = grammar::for_old(query);
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
        let answer = match when {
            When::Instant(t_ms) => {
                let params = [("query", query.as_str()), ("time", &seconds(t_ms))];
                self.client.post_form("/api/v1/query", &params)
            }
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            } => {
                let params = [
                    ("query", query.as_str()),
                    ("start", &seconds(start_ms)),
                    ("end", &seconds(end_ms)),
                    ("step", &seconds(step_ms)),
                ];
                self.client.post_form("/api/v1/query_range", &params)
            }
        };
        Answer::of_api(&answer.json())
    }

    fn differs(&self, choices: &[u8], when: When) -> Option<(String, String)> {
        let query = grammar::query(choices);
        if matches!(when, When::Range { .. }) && !query.has_range {
            return None;
        }
        let (ours, theirs) = self.ask(&query, when);
        let order = order_of(&query, when);
        let what = difference(&ours, &theirs, order, &mut Points::default())?;
        match explained(&query.text, &ours, &theirs) {
            Some(_) => None,
            None => Some((query.text, what)),
        }
    }
}

fn order_of(query: &Query, when: When) -> Order {
    match when {
        When::Instant(_) => query.order,
        When::Range { .. } => Order::Any,
    }
}

/// Names a difference between 2.42 and 3.14 that is known.
fn explained(query: &str, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    match (ours, theirs) {
        // Since 3.0 series that become equal are one, as long as no step has both.
        (Answer::Series(_), Answer::Error(error)) if error.contains("same labelset") => {
            Some("equal labels at different steps")
        }
        // Since 3.1 a second match is an error also where the comparison is false.
        (Answer::Error(error), Answer::Series(_)) if error.starts_with("multiple matches") => {
            Some("a second match that is filtered out")
        }
        // Since 3.0 the sum of one value has a compensation of 0 added to it.
        (Answer::Series(_), Answer::Series(theirs))
            if query.contains("count_values")
                && theirs.iter().any(|(labels, _)| labels.contains(":\"-0\"")) =>
        {
            Some("the sum of a single -0")
        }
        // A subquery that is evaluated at no step evaluates its own subqueries all the
        // same there, so that their errors are seen. Here it does not.
        (Answer::Series(_), Answer::Error(_)) if query.matches(":").count() > 1 => {
            Some("an error in a subquery of one without steps")
        }
        _ => None,
    }
}
