//! Asks Kymo and the installed Prometheus the same random questions.
//!
//! ```sh
//! cargo run -p kymo-tests --bin promql-differ -- --seed 1 --queries 20000
//! ```

use std::process::ExitCode;

use kymo_tests::differ;

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)
    };
    let number = |name: &str, default: u64| match value(name) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let program = value("--prometheus").map_or("prometheus", String::as_str);
    let (Some(seed), Some(queries)) = (number("--seed", 1), number("--queries", 20_000)) else {
        eprintln!("usage: promql-differ [--seed N] [--queries N] [--prometheus PROGRAM]");
        return ExitCode::FAILURE;
    };
    let report = differ::run(program, seed, queries, &mut |report| {
        println!(
            "{} queries, {} differences",
            report.queries,
            report.differences.len()
        );
    });
    let Some(report) = report else {
        eprintln!("{program} is not installed");
        return ExitCode::FAILURE;
    };
    for difference in &report.differences {
        println!(
            "seed {} {:?}\n  {}\n  {}",
            difference.seed, difference.when, difference.query, difference.what
        );
    }
    println!("{}", report.summary());
    match report.differences.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
