//! Reads arbitrary bytes as parts of a snapshot and goes on with what is found.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kymo_storage::metrics::fuzz::check_snapshot(data));
