//! Any bytes as a packed body, gzip or snappy: no more memory is asked for than the limit,
//! and no more taken than was asked for.
#![no_main]

use kymo_ingest::otlp::gunzip;
use kymo_ingest::remote_write::{Limits, unpacked_bytes};

const LIMIT_BYTES: usize = 1 << 20;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let mut reserved = 0;
    let mut reserve = |bytes| {
        reserved += bytes;
        true
    };
    let unpacked = gunzip(body, LIMIT_BYTES, &mut reserve);
    assert!(reserved <= LIMIT_BYTES);
    if let Ok(unpacked) = unpacked {
        assert!(unpacked.len() <= reserved.max(1));
    }
    let limits = Limits {
        body_bytes: LIMIT_BYTES,
        decoded_bytes: LIMIT_BYTES,
    };
    assert!(unpacked_bytes(body, limits) <= LIMIT_BYTES);
});
