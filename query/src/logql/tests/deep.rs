//! Queries as deep as they may be long, on a stack of the usual size.

use crate::logql::{format_query, parse};

/// Parses, prints, copies and drops a query where little stack is left.
fn survives(query: String) {
    let outcome = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            let expr = parse(&query).unwrap();
            let copy = expr.clone();
            drop(expr);
            let printed = copy.to_string();
            assert_eq!(parse(&printed).unwrap().to_string(), printed);
        })
        .unwrap()
        .join();
    assert!(outcome.is_ok());
}

#[test]
fn deep_queries_take_no_stack() {
    let leaf = "rate({a=\"b\"}[1m])";
    survives(format!(
        "{}{leaf}{}",
        "sum(".repeat(10_000),
        ")".repeat(10_000)
    ));
    survives(format!("{}{leaf}", "1+".repeat(5_000)));
    survives(format!("{leaf}{}", format!("^{leaf}").repeat(1_000)));
    survives(format!("{{a=\"b\"}} | c>1{}", " or c>1".repeat(5_000)));
    survives(format!("{{a=\"b\"}} | c>1{}", ",c>1".repeat(5_000)));
    let parentheses = format!("{}{leaf}{}", "(".repeat(50_000), ")".repeat(50_000));
    assert_eq!(parse(&parentheses).unwrap().to_string(), leaf);
}

#[test]
fn deep_queries_are_written_in_lines_that_stay_short() {
    let leaf = "rate({a=\"b\"}[1m])";
    let query = format!("{}{leaf}{}", "sum(".repeat(8_000), ")".repeat(8_000));
    assert!(format_query(&query).unwrap().len() < 16_000 * 135);
    let query = format!("{}{leaf}{}", "sum(".repeat(300), ")".repeat(300));
    let formatted = format_query(&query).unwrap();
    assert!(formatted.lines().count() > 500);
    assert_eq!(
        parse(&formatted).unwrap().to_string(),
        parse(&query).unwrap().to_string()
    );
}
