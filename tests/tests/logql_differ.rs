//! Some hundred random queries get the answers of a real Loki, where `KYMO_LOKI` names one.
//! `KYMO_LOGQL_QUERIES` asks that many instead, and `KYMO_LOGQL_SEED` other ones.
#![allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "the whole target is a test, its helper functions too"
)]

use kymo_tests::differ::logs::{self, Report};

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Err(_) => default,
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    }
}

#[test]
fn random_queries_get_the_answers_of_a_real_loki() {
    let queries = number("KYMO_LOGQL_QUERIES", 400);
    let mut shown = 0;
    let mut progress = |report: &Report| {
        for difference in &report.differences[shown..] {
            println!(
                "seed {} {}\n  {}\n{}\n",
                difference.seed, difference.when, difference.query, difference.what
            );
        }
        shown = report.differences.len();
        println!("{} queries, {shown} differences", report.queries);
    };
    let Some(report) = logs::run(number("KYMO_LOGQL_SEED", 1), queries, &mut progress) else {
        return;
    };
    println!("{}", report.summary());
    assert!(report.differences.is_empty(), "answers differ: see above");
    // Most answers say something.
    assert!(report.errors + report.empty < report.queries * 3 / 4);
    assert!(report.numbers.same * 100 > report.numbers.compared * 95);
}
