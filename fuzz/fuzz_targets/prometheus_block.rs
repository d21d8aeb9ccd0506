//! Any bytes as a part of a block of Prometheus: an error or the series, each sample
//! once, whatever the ranges it is read in.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kymo_storage::prometheus_block::fuzz::check_reader(data));
