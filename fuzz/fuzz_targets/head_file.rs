//! Reads the records of an arbitrary page of a head file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kymo_storage::metrics::fuzz::check_page(data));
