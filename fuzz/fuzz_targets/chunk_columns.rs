//! Reads arbitrary bytes as values, timestamps and presence, and seals arbitrary values.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kymo_storage::codec::fuzz::check_columns(data));
