//! What must hold for any body: no panic, an end, and series that mean the same when
//! they are read by themselves, which is what a scrape relies on when it keeps series
//! by their raw bytes.

use std::collections::HashMap;

use kymo_ingest::exposition::{Entry, Exemplar, Format, Parser, ParserOptions, Series};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn check(format: Format, body: &[u8]) {
    for number in 0..16u8 {
        let on = |bit: u8| number & bit > 0;
        let options = ParserOptions {
            type_and_unit_labels: on(1),
            native_histograms: true,
            convert_classic_histograms: on(2),
            keep_classic_histograms: on(4),
            skip_created_series: on(8),
        };
        walk(format, body, options);
    }
    // Reading ahead for start times is another walk over the same bytes.
    let mut parser = Parser::new(format, body, ParserOptions::default());
    while parser.next().is_some() {
        parser.start_timestamp_ms();
    }
}

fn walk(format: Format, body: &[u8], options: ParserOptions) {
    let mut entries = 0;
    let mut kind_is_set = false;
    let mut known: HashMap<Vec<u8>, Pairs> = HashMap::new();
    let mut note = |series: &Series<'_>| {
        let found = labels(series);
        let identity = series.identity(&mut Vec::new()).to_vec();
        // A line means what its bytes and the metadata before it say.
        if series.line().is_none() {
            let known = known.entry(identity).or_insert_with(|| found.clone());
            assert_eq!(*known, found);
        }
        found
    };
    for entry in Parser::new(format, body, options) {
        entries += 1;
        // A metric may stand for its count, its sum, a bucket that is not there and the
        // histogram made of it; families have help, type and unit.
        assert!(entries <= body.len() * 4 + 4, "more entries than bytes");
        match entry {
            Ok(Entry::Sample(sample)) => {
                let labels = note(&sample.series);
                // An empty name is no label where metadata makes labels.
                assert!(options.type_and_unit_labels || !labels.is_empty());
                if let Some(line) = sample.series.line()
                    && !kind_is_set
                    && !options.type_and_unit_labels
                {
                    assert_eq!(alone(format, line), labels);
                }
                sample.exemplar.iter().for_each(read);
            }
            Ok(Entry::Histogram(sample)) => {
                note(&sample.series);
                sample.exemplars.iter().for_each(read);
                // Whatever it holds, judging it must end.
                let _judged = sample.histogram.check();
            }
            Ok(Entry::Help { help, .. }) => drop(help.unescape()),
            Ok(Entry::Type { .. }) => kind_is_set = true,
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn read(exemplar: &Exemplar<'_>) {
    exemplar.labels().for_each(drop);
}

fn labels(series: &Series<'_>) -> Pairs {
    let pairs = series.labels();
    pairs.map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
}

/// Reads a series as the only line of a body.
fn alone(format: Format, series: &[u8]) -> Pairs {
    let mut body = series.to_vec();
    body.extend_from_slice(b" 1\n");
    if format == Format::OpenMetrics {
        body.extend_from_slice(b"# EOF\n");
    }
    let mut parser = Parser::new(format, &body, ParserOptions::default());
    match parser.next() {
        Some(Ok(Entry::Sample(sample))) => {
            assert_eq!(sample.series.line(), Some(series));
            labels(&sample.series)
        }
        other => panic!("{:?} alone is {other:?}", String::from_utf8_lossy(series)),
    }
}
