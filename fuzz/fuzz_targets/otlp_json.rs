//! A byte of settings and any bytes as a request of OTLP metrics in JSON: what is taken
//! becomes a request in protobuf within its bounds, which can be translated.
#![no_main]

mod otlp;

use kymo_ingest::otlp::{check_request, from_json};

const LIMIT_BYTES: usize = 1 << 20;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((bits, json)) = input.split_first() else {
        return;
    };
    let mut reserved = 0;
    let mut reserve = |bytes| {
        reserved += bytes;
        true
    };
    if let Ok(request) = from_json(json, LIMIT_BYTES, &mut reserve) {
        assert!(request.len() <= reserved && reserved <= LIMIT_BYTES);
        assert_eq!(check_request(&request), Ok(()));
        otlp::run(*bits, &request);
    }
});
