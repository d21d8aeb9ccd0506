//! What must hold for any body: no panic, an end, and series that mean the same when
//! they are read by themselves, which is what a scrape relies on when it keeps series
//! by their raw bytes.

use kymo_ingest::exposition::{Entry, Format, Parser, ParserOptions};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn check(format: Format, body: &[u8]) {
    for type_and_unit_labels in [false, true] {
        let options = ParserOptions {
            skip_created_series: false,
            type_and_unit_labels,
        };
        let mut entries = 0;
        let mut kind_is_set = false;
        for entry in Parser::new(format, body, options).unwrap() {
            entries += 1;
            assert!(entries <= body.len() + 1, "more entries than bytes");
            match entry {
                Ok(Entry::Sample(sample)) => {
                    let labels: Pairs = sample
                        .labels()
                        .map(|(n, v)| (n.to_vec(), v.to_vec()))
                        .collect();
                    // An empty name is no label where metadata makes labels.
                    assert!(type_and_unit_labels || !labels.is_empty());
                    if !kind_is_set && !type_and_unit_labels {
                        assert_eq!(alone(format, sample.series), labels);
                    }
                    if let Some(exemplar) = &sample.exemplar {
                        exemplar.labels().for_each(drop);
                    }
                }
                Ok(Entry::Help { help, .. }) => drop(help.unescape()),
                Ok(Entry::Type { .. }) => kind_is_set = true,
                Ok(_) => {}
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
    // Reading ahead for start times is another walk over the same bytes.
    let mut parser = Parser::new(format, body, ParserOptions::default()).unwrap();
    while parser.next().is_some() {
        parser.start_timestamp_ms();
    }
}

/// Reads a series as the only line of a body.
fn alone(format: Format, series: &[u8]) -> Pairs {
    let mut body = series.to_vec();
    body.extend_from_slice(b" 1\n");
    if format == Format::OpenMetrics {
        body.extend_from_slice(b"# EOF\n");
    }
    let mut parser = Parser::new(format, &body, ParserOptions::default()).unwrap();
    match parser.next() {
        Some(Ok(Entry::Sample(sample))) => {
            assert_eq!(sample.series, series);
            sample
                .labels()
                .map(|(n, v)| (n.to_vec(), v.to_vec()))
                .collect()
        }
        other => panic!("{:?} alone is {other:?}", String::from_utf8_lossy(series)),
    }
}
