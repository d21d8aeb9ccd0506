//! Any bytes as a body of the text format 0.0.4.
#![no_main]

mod exposition;

use kymo_ingest::exposition::Format;

libfuzzer_sys::fuzz_target!(|body: &[u8]| exposition::check(Format::Text, body));
