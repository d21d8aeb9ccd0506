//! Any bytes as a body of protobuf.
#![no_main]

mod exposition;

use kymo_ingest::exposition::Format;

libfuzzer_sys::fuzz_target!(|body: &[u8]| exposition::check(Format::Protobuf, body));
