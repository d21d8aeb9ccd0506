//! Random queries over random entries, answered by Kymo's server and by a real Loki, both
//! over HTTP.
//!
//! A seed says everything: [`data`] makes the streams, [`grammar`] the queries. Where the
//! answers differ the query is made smaller as long as they still do, and shown. What
//! differs on purpose (docs/compatibility.md) is named in [`explained`].

pub mod answer;
pub mod data;
mod explained;
pub mod grammar;
mod metrics;
mod stages;
mod templates;

use std::collections::BTreeMap;

use super::random::Random;
use super::smaller::smaller;
use crate::{Client, Kymo, Loki};
use answer::{Answer, Numbers, difference};
use data::{Data, SPAN_S};
use explained::explained;
use grammar::{Kind, Query};

/// Queries that are asked of the same entries.
const QUERIES_PER_DATA: u64 = 500;
/// Bytes that a query is written from, at most.
const MAX_CHOICES: u64 = 120;
/// How often a query is made smaller.
const MAX_SHRINKS: usize = 200;
/// Limits of Loki that no query meets, and no parts that queries are cut into.
const LIMITS: &[(&str, &str)] = &[
    ("split_queries_by_interval", "0"),
    ("split_instant_metric_queries_by_interval", "0"),
    ("reject_old_samples", "false"),
    ("ingestion_rate_mb", "1000"),
    ("ingestion_burst_size_mb", "1000"),
    ("max_query_length", "0"),
    ("max_query_series", "100000"),
];
/// Entries of any age stay in memory, and each query is evaluated once, as a whole.
const FLAGS: &[&str] = &[
    "-ingester.query-store-max-look-back-period=-1ns",
    "-ingester.max-chunk-age=200000h",
    "-ingester.chunks-idle-period=200000h",
    "-querier.parallelise-shardable-queries=false",
    "-querier.max-retries-per-request=1",
];
/// How often a query is asked again whose answers differ.
const OTHER_ANSWERS: usize = 5;
const PUSH: &str = "/loki/api/v1/push";

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// Queries asked.
    pub queries: u64,
    /// How many of the answers were errors of both.
    pub errors: u64,
    /// How many of them were empty.
    pub empty: u64,
    /// Numbers of the answers.
    pub numbers: Numbers,
    /// Differences that are known, by their name.
    pub explained: BTreeMap<&'static str, u64>,
    /// All others.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Says in one paragraph what was compared.
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{} queries ({} errors of both, {} empty), {} numbers, {} of them equal as texts; \
             {} unexplained differences",
            self.queries,
            self.errors,
            self.empty,
            self.numbers.compared,
            self.numbers.same,
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
    /// Seed of the entries.
    pub seed: u64,
    /// The smallest query found.
    pub query: String,
    /// Path and parameters.
    pub when: String,
    /// How the answers differ.
    pub what: String,
}

/// How a query is asked.
#[derive(Debug, Clone)]
pub struct When {
    path: &'static str,
    params: Vec<(&'static str, String)>,
    categorized: bool,
}

impl When {
    fn new(random: &mut Random, kind: Kind, start_s: i64) -> When {
        let at = |random: &mut Random| start_s + random.below(SPAN_S as u64 + 120) as i64;
        let mut params = Vec::new();
        // Logs are no instant queries, which is an answer, too.
        let is_instant = match kind {
            Kind::Entries => random.once_in(40),
            Kind::Numbers => random.once_in(2),
        };
        if is_instant {
            params.push(("time", time(random, start_s + 300, start_s + SPAN_S)));
        } else if kind == Kind::Entries {
            let (from, to) = match random.once_in(3) {
                true => (at(random), at(random)),
                false => (start_s - 1, start_s + SPAN_S + 60),
            };
            params.push(("start", seconds(from.min(to))));
            params.push(("end", seconds(from.max(to) + 1)));
            let direction = random.pick(&["forward", "backward"]);
            params.push(("direction", direction.to_owned()));
            // What is in memory Loki limits before it leaves entries out of intervals.
            let limit = match random.once_in(8) {
                true => {
                    params.push(("interval", random.pick(&["10s", "1m", "45"]).to_owned()));
                    "1000"
                }
                false => random.pick(&["1000", "1000", "100", "5", "1"]),
            };
            params.push(("limit", limit.to_owned()));
        } else {
            let from = at(random);
            let step_s = random.pick(&[60, 15, 7, 143, 300, 1]);
            let steps = random.below(20) as i64;
            // Kymo moves a range to its steps, as Loki does only where it splits queries.
            let from = from - from.rem_euclid(step_s);
            params.push(("start", seconds(from)));
            params.push(("end", seconds(from + steps * step_s)));
            let step = match random.once_in(4) {
                true => format!("{step_s}"),
                false => format!("{step_s}s"),
            };
            params.push(("step", step));
        }
        When {
            path: match is_instant {
                true => "/loki/api/v1/query",
                false => "/loki/api/v1/query_range",
            },
            params,
            categorized: random.once_in(4),
        }
    }

    /// Returns a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Tells whether it is asked for one moment.
    pub fn is_instant(&self) -> bool {
        self.path == "/loki/api/v1/query"
    }
}

fn seconds(seconds: i64) -> String {
    format!("{seconds}000000000")
}

fn time(random: &mut Random, from_s: i64, to_s: i64) -> String {
    let at_s = from_s + random.below((to_s - from_s) as u64) as i64;
    match random.below(3) {
        0 => format!("{at_s}"),
        1 => format!("{at_s}.5"),
        _ => seconds(at_s),
    }
}

/// Asks `queries` queries of entries made from `seed` and the numbers behind it. `None`
/// where there is no Loki.
pub fn run(seed: u64, queries: u64, progress: &mut dyn FnMut(&Report)) -> Option<Report> {
    let loki = Loki::start_with(LIMITS, FLAGS)?;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("kymo.yml");
    std::fs::write(&config, "limits_config:\n  reject_old_samples: false\n").unwrap();
    let kymo = Kymo::start_in(
        dir.path(),
        &[
            &format!("--config.file={}", config.display()),
            "--storage.logs.retention.time=100y",
            "--logs.query.max-series=100000",
        ],
    );
    let pair = Pair {
        ours: kymo.client(),
        theirs: loki.client(),
    };
    let mut report = Report::default();
    let mut seed = seed;
    while report.queries < queries {
        let data = Data::new(seed);
        pair.push(&data);
        let mut random = Random::new(seed);
        for _ in 0..QUERIES_PER_DATA.min(queries - report.queries) {
            pair.try_one(seed, data.start_s, &mut random, &mut report);
            report.queries += 1;
        }
        progress(&report);
        seed += 1;
    }
    Some(report)
}

/// The two that are asked.
struct Pair {
    ours: Client,
    theirs: Client,
}

impl Pair {
    fn push(&self, data: &Data) {
        let headers = [("Content-Type", "application/json")];
        let body = data.push_body();
        for client in [self.ours, self.theirs] {
            let answer = client.call("POST", PUSH, &headers, body.as_bytes());
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
    }

    fn try_one(&self, seed: u64, start_s: i64, random: &mut Random, report: &mut Report) {
        let n_choices = 2 + random.below(MAX_CHOICES) as usize;
        let choices = random.bytes(n_choices);
        let query = grammar::query(&choices);
        let when = When::new(random, query.kind, start_s);
        let (ours, theirs) = self.ask(&query, &when);
        report.errors += u64::from(ours.is_error() && theirs.is_error());
        report.empty += u64::from(theirs.is_empty());
        let Some(what) = difference(&ours, &theirs, query.order(), &mut report.numbers) else {
            return;
        };
        if let Some(name) = explained(&query.text, &when, &ours, &theirs) {
            *report.explained.entry(name).or_default() += 1;
            return;
        }
        // Sums of many series are added up in any order, and what is made of them may jump.
        for _ in 0..OTHER_ANSWERS {
            let (ours, theirs) = self.ask(&query, &when);
            if difference(&ours, &theirs, query.order(), &mut Numbers::default()).is_none() {
                let name = "another answer of Loki to the same query";
                *report.explained.entry(name).or_default() += 1;
                return;
            }
        }
        let text = |choices: &[u8]| grammar::query(choices).text;
        let differs = |choices: &[u8]| self.differs(choices, &when);
        let (query, what) = smaller(choices, what, MAX_SHRINKS, text, differs);
        report.differences.push(Difference {
            seed,
            query,
            when: format!("{} {:?}", when.path, when.params),
            what,
        });
    }

    fn ask(&self, query: &Query, when: &When) -> (Answer, Answer) {
        let mut params = vec![("query", query.text.as_str())];
        params.extend(when.params.iter().map(|(n, v)| (*n, v.as_str())));
        let form = crate::http::encode(&params);
        let mut headers = vec![("Content-Type", "application/x-www-form-urlencoded")];
        if when.categorized {
            headers.push(("X-Loki-Response-Encoding-Flags", "categorize-labels"));
        }
        let [ours, mut theirs] = [self.ours, self.theirs].map(|client| {
            let answer = client.call("POST", when.path, &headers, form.as_bytes());
            Answer::of_api(&answer)
        });
        theirs.by_pushed_stream(when.param("direction") == Some("forward"));
        (ours, theirs)
    }

    fn differs(&self, choices: &[u8], when: &When) -> Option<(String, String)> {
        let query = grammar::query(choices);
        let (ours, theirs) = self.ask(&query, when);
        let what = difference(&ours, &theirs, query.order(), &mut Numbers::default())?;
        match explained(&query.text, when, &ours, &theirs) {
            Some(_) => None,
            None => Some((query.text, what)),
        }
    }
}
