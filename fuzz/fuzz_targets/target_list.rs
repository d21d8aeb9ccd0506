//! Any bytes as a list of targets in JSON, and as a pattern of paths.
#![no_main]

use kymo_ingest::discovery::{TargetGroup, glob};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(groups) = TargetGroup::read_json(bytes) {
        assert!(groups.iter().all(|group| !group.labels.contains_key("")));
    }
    // Below a directory that does not exist, so that nothing is listed but the pattern
    // is read.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let found = glob(&format!("/nonexistent/{}", text.replace('/', "_")));
        assert!(found.is_err() || found.is_ok_and(|paths| paths.is_empty()));
    }
});
