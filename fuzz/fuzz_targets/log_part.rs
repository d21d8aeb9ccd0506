//! Damages a part of logs, with and without the right checksums, and asks it everything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kymo_storage::logs::part::fuzz::check_part(data));
