//! Restores late samples and deleted times from arbitrary bytes and writes them again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kymo_storage::metrics::fuzz::check_sections(data));
