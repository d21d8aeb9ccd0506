//! Any bytes as a query, or as choices of which one is written, evaluated over a few
//! series: an answer or an error, whatever the times, durations and numbers.
#![no_main]

#[path = "../../query/tests/any_query/check.rs"]
mod check;
#[path = "../../query/tests/any_query/write.rs"]
mod write;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some(case) = check::Case::read(input) {
        case.run();
    }
});
