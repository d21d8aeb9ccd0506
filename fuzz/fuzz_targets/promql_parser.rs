//! Any bytes as a query, a selector, a label set, a series line and a test script:
//! the parser never panics, and what it prints it reads again.
#![no_main]

use kymo_query::promql::script::Script;
use kymo_query::promql::{
    Features, expr_json, parse_expr, parse_metric, parse_selector, parse_series, pretty,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for features in [Features::default(), Features::ALL] {
        if let Ok(expr) = parse_expr(input, &features) {
            let printed = expr.to_string();
            pretty(&expr);
            expr_json(&expr);
            // What is printed may be no query (an offset in parentheses before an
            // operator, `info(a, {})`); where it is one, it prints as itself from
            // then on.
            if let Ok(again) = parse_expr(&printed, &features) {
                let printed = again.to_string();
                if let Ok(last) = parse_expr(&printed, &features) {
                    assert_eq!(last.value_type(), again.value_type());
                }
            }
        }
    }
    let _ = parse_selector(input, &Features::default());
    let _ = parse_metric(input);
    let _ = parse_series(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Script::parse(text);
    }
});
