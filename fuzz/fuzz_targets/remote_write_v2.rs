//! Any bytes as a remote-write 2.0 request: the views, the table and the histograms say
//! the same about whether they are one.
#![no_main]

use kymo_ingest::wire::histogram::read_histogram;
use kymo_ingest::wire::write_request_v2::{RequestV2, histograms, read_exemplars, read_series};
use kymo_ingest::wire::{WireError, schema};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let walked = walk(bytes);
    let checked = schema::check(bytes, &schema::REQUEST_V2);
    assert_eq!(walked.is_ok(), checked.is_ok(), "{walked:?} {checked:?}");
});

fn walk(bytes: &[u8]) -> Result<(), WireError> {
    let (mut symbols, mut refs, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    let mut request = RequestV2::new(bytes, &mut symbols)?;
    while let Some(series) = request.next_series()? {
        refs.clear();
        samples.clear();
        read_series(series, &mut refs, &mut samples)?;
        read_exemplars(series, |_, _, _| {})?;
        for bytes in histograms(series) {
            // Whatever it holds, judging it must end.
            let _judged = read_histogram(bytes?)?.histogram.into_stored();
        }
    }
    Ok(())
}
