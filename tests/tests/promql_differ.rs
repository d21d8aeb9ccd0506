//! A few hundred random queries get the answers of the installed Prometheus. Many more
//! are asked by the command `promql-differ`.
#![allow(
    clippy::print_stdout,
    reason = "the whole target is a test, its helper functions too"
)]

use kymo_tests::differ;

#[test]
fn random_queries_get_the_answers_of_a_real_prometheus() {
    let Some(report) = differ::run("prometheus", 7, 400, &mut |_| {}) else {
        println!("skipped: prometheus is not installed");
        return;
    };
    println!("{}", report.summary());
    assert!(report.differences.is_empty(), "{:#?}", report.differences);
    // Most answers say something, and nearly all numbers are the same to the bit.
    assert!(report.points.compared > 5_000);
    assert!(report.points.same_bits * 100 > report.points.compared * 95);
    assert!(report.errors + report.empty < report.answers * 2 / 3);
}
