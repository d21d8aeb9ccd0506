//! Reads arbitrary bytes as exemplars and metadata of a snapshot and writes them again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kymo_storage::metrics::fuzz::check_side_sections(data);
});
