//! Any bytes as a body of OpenMetrics.
#![no_main]

mod exposition;

use kymo_ingest::exposition::Format;

libfuzzer_sys::fuzz_target!(|body: &[u8]| exposition::check(Format::OpenMetrics, body));
