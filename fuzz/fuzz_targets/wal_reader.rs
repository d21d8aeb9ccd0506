//! Replays arbitrary bytes as a log, then writes to it and replays again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kymo_storage::wal::fuzz::check_reader(data));
