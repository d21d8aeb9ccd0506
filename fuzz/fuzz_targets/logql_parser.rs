//! Any text as a query and as a selector: the parser never panics, and what it prints it
//! reads again.
#![no_main]

use kymo_query::logql::{format_query, parse, parse_any_matchers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = parse_any_matchers(text);
    let formatted = format_query(text);
    let Ok(expr) = parse(text) else {
        return;
    };
    let printed = expr.to_string();
    // What is no number has no notation, and what is printed may be too long to be read.
    let has_notation = !["NaN", "Inf"].iter().any(|word| printed.contains(word));
    for again in [Some(printed.clone()), formatted.ok()].into_iter().flatten() {
        if has_notation && again.len() < kymo_query::logql::MAX_QUERY_BYTES {
            let again = parse(&again).map(|expr| expr.to_string());
            assert_eq!(again.as_ref(), Ok(&printed));
        }
    }
});
