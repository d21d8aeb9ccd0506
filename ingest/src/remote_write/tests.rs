use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Labels, MatchOp, Matcher, TimeRange};
use kymo_storage::{StorageError, StoreOptions};

use super::*;

mod histograms;
mod version_2;

/// The time requests are received at.
const NOW_MS: i64 = 1_700_000_000_000;

struct Fixture {
    _dir: tempfile::TempDir,
    store: MetricStore,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut StoreOptions)) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(dir.path());
        change(&mut options);
        let (store, _) = MetricStore::open(&options).unwrap();
        Fixture { _dir: dir, store }
    }

    /// Returns all exemplars, a line for each.
    fn exemplars(&self) -> Vec<String> {
        let range = TimeRange::new(i64::MIN, i64::MAX);
        let found = self.store.exemplars(&[vec![]], range);
        let lines = found.iter().flat_map(|series| {
            let name = series.labels.metric_name().to_owned();
            let exemplars = series.exemplars.iter();
            exemplars.map(move |e| format!("{name} {:?} {}={}", e.labels, e.t_ms, e.value))
        });
        lines.collect()
    }

    fn send(&self, request: &[u8]) -> Result<Receipt, WriteError> {
        let body = snap::raw::Encoder::new().compress_vec(request).unwrap();
        receive(&self.store, Version::V1, &body, Limits::default(), NOW_MS)
    }

    /// Returns everything stored, a line for each series.
    fn stored(&self) -> Vec<String> {
        let all = Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap();
        let range = TimeRange::new(i64::MIN, i64::MAX);
        let selection = self.store.select(&[all], range).unwrap();
        let mut lines: Vec<String> = (0..selection.len())
            .map(|i| {
                let (mut times, mut values) = (Vec::new(), Vec::new());
                selection.read(i, &mut times, &mut values).unwrap();
                let samples: Vec<_> = times.iter().zip(&values).collect();
                format!("{:?} {samples:?}", selection.labels(i))
            })
            .filter(|line| !line.ends_with("[]"))
            .collect();
        lines.sort();
        lines
    }
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = content.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
    out
}

fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    field(1, &[field(1, name), field(2, value)].concat())
}

fn sample(t_ms: i64, value: f64) -> Vec<u8> {
    let mut content = vec![1 << 3 | 1];
    content.extend(value.to_le_bytes());
    content.push(2 << 3);
    let mut rest = t_ms.cast_unsigned();
    while rest >= 0x80 {
        content.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    content.push(rest as u8);
    field(2, &content)
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (name, value) in labels {
        content.extend(label(name.as_bytes(), value.as_bytes()));
    }
    for &(t_ms, value) in samples {
        content.extend(sample(t_ms, value));
    }
    field(1, &content)
}

fn named(name: &str, samples: &[(i64, f64)]) -> Vec<u8> {
    series(&[("__name__", name)], samples)
}

#[test]
fn samples_are_stored_whatever_the_order_of_labels() {
    let fixture = Fixture::new();
    let first = series(&[("__name__", "m"), ("b", "2"), ("a", "1")], &[(1000, 1.0)]);
    let again = series(&[("a", "1"), ("__name__", "m"), ("b", "2")], &[(2000, 2.0)]);
    let empty = series(
        &[("__name__", "m"), ("a", "1"), ("b", "2"), ("c", "")],
        &[(3000, 3.0)],
    );
    for request in [first, again, empty] {
        assert_eq!(fixture.send(&request).unwrap().samples, 1);
    }
    let line = "{\"__name__\": \"m\", \"a\": \"1\", \"b\": \"2\"} \
                [(1000, 1.0), (2000, 2.0), (3000, 3.0)]";
    assert_eq!(fixture.stored(), [line]);
}

#[test]
fn one_bad_sample_undoes_the_request() {
    let fixture = Fixture::new();
    fixture.send(&named("m", &[(2000, 1.0)])).unwrap();
    let before = fixture.stored();
    let cases = [
        (named("m", &[(1000, 1.0)]), "out of order sample"),
        (
            named("m", &[(2000, 2.0)]),
            "duplicate sample for timestamp 2000; overrides not allowed: existing 1, new value 2",
        ),
        (
            named("m", &[(NOW_MS + 600_001, 1.0)]),
            "out of bounds: timestamp is too far in the future",
        ),
        (
            named("new", &[(NOW_MS + 600_001, 1.0)]),
            "out of bounds: timestamp is too far in the future",
        ),
    ];
    for (bad, text) in cases {
        let request = [named("x", &[(3000, 1.0)]), bad, named("y", &[(3000, 1.0)])].concat();
        let error = fixture.send(&request).unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (400, text));
        assert_eq!(fixture.stored(), before);
    }
    // The very same sample again is no error.
    fixture.send(&named("m", &[(2000, 1.0)])).unwrap();
    fixture
        .send(&named("m", &[(NOW_MS + 600_000, 1.0)]))
        .unwrap();
}

#[test]
fn the_first_bad_sample_is_the_one_reported() {
    let fixture = Fixture::new();
    let known = [named("a", &[(2000, 1.0)]), named("b", &[(2000, 1.0)])].concat();
    fixture.send(&known).unwrap();
    let order = named("a", &[(1000, 1.0)]);
    let twice = named("b", &[(2000, 2.0)]);
    let error = fixture
        .send(&[order.clone(), twice.clone()].concat())
        .unwrap_err();
    assert_eq!(error.to_string(), "out of order sample");
    let error = fixture.send(&[twice, order.clone()].concat()).unwrap_err();
    assert!(error.to_string().starts_with("duplicate sample"));
    // What is malformed comes before what is refused.
    let error = fixture.send(&[order, vec![0x0a, 9]].concat()).unwrap_err();
    assert_eq!(error.to_string(), "unexpected EOF");
}

#[test]
fn series_that_cannot_be_named_are_left_out() {
    let fixture = Fixture::new();
    let raw = |labels: &[(&[u8], &[u8])]| {
        let mut content: Vec<u8> = Vec::new();
        for (name, value) in labels {
            content.extend(label(name, value));
        }
        content.extend(sample(NOW_MS, 1.0));
        content.extend(sample(NOW_MS + 1, 2.0));
        field(1, &content)
    };
    let name: (&[u8], &[u8]) = (b"__name__", b"m");
    let bad = [
        raw(&[]),
        raw(&[(b"a", b"1")]),
        raw(&[(b"__name__", b"")]),
        raw(&[(b"__name__", b"\xff")]),
        raw(&[name, (b"\xff", b"1")]),
        raw(&[name, (b"a", b"\xff")]),
        raw(&[name, (b"", b"1")]),
        raw(&[name, (b"a", b"1"), (b"b", b"1"), (b"a", b"2")]),
        raw(&[name, (b"a", b""), (b"a", b"1")]),
        // So is one whose samples are far ahead.
        series(&[("a", "1")], &[(i64::MAX, 1.0)]),
    ];
    let mut request = bad.concat();
    request.extend(named("good", &[(NOW_MS, 1.0)]));
    let receipt = fixture.send(&request).unwrap();
    assert_eq!(
        (receipt.samples, receipt.series_invalid),
        (1, bad.len() as u64)
    );
    assert_eq!(fixture.stored().len(), 1);
}

#[test]
fn conflicts_inside_one_request_are_settled_in_silence() {
    let fixture = Fixture::new();
    let request = [
        named("m", &[(2000, 1.0), (1000, 1.0)]),
        named("m", &[(2000, 5.0), (3000, 1.0)]),
    ];
    fixture.send(&request.concat()).unwrap();
    let line = "{\"__name__\": \"m\"} [(2000, 1.0), (3000, 1.0)]";
    assert_eq!(fixture.stored(), [line]);
}

#[test]
fn exemplars_and_metadata_are_counted() {
    let fixture = Fixture::new();
    let mut content = label(b"__name__", b"m");
    content.extend(sample(NOW_MS, 1.0));
    let with_exemplar = field(1, &[content.clone(), field(3, &label(b"a", b"b"))].concat());
    let metadata = field(3, &field(2, b"m"));
    let receipt = fixture.send(&[with_exemplar, metadata].concat()).unwrap();
    assert_eq!(
        (receipt.samples, receipt.exemplars, receipt.metadata),
        (1, 1, 1)
    );

    assert_eq!(fixture.stored().len(), 1);
}

#[test]
fn series_over_the_limit_leave_the_others_alone() {
    let fixture = Fixture::with(|options| options.max_series = 1);
    let request = [
        named("a", &[(1000, 1.0)]),
        named("b", &[(1000, 1.0), (2000, 1.0)]),
    ];
    let error = fixture.send(&request.concat()).unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(
        error
            .to_string()
            .starts_with("2 samples refused: series limit of 1")
    );
    assert_eq!(fixture.stored().len(), 1);
}

#[test]
fn limits_of_metrics_and_targets_are_named() {
    let fixture = Fixture::with(|options| {
        options.max_series_per_metric = 1;
        options.max_series_per_target = 1;
    });
    let of = |name: &str, n: &str| {
        let labels = [("__name__", name), ("instance", n), ("job", "j")];
        series(&labels, &[(1000, 1.0)])
    };
    let request = [of("a", "x"), of("a", "y"), of("b", "x"), of("c", "z")];
    let error = fixture.send(&request.concat()).unwrap_err();
    assert_eq!(error.status(), 400);
    assert_eq!(
        error.to_string(),
        "2 samples refused: metric a has reached the limit of 1 series per metric; raise \
         --storage.max-series-per-metric, or drop series or labels of it before they are \
         stored; the other 2 samples of the request are stored"
    );
    let error = fixture.send(&of("d", "z")).unwrap_err();
    let text = error.to_string();
    let start = "1 samples refused: target job=\"j\", instance=\"z\" has reached the limit of 1";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(fixture.stored().len(), 2);
}

fn exemplar(id: &str, t_ms: i64, value: f64) -> Vec<u8> {
    // Of a sample, numbers are one lower.
    let number = |mut field: Vec<u8>| {
        field.drain(..2);
        field[0] += 1 << 3;
        field[9] += 1 << 3;
        field
    };
    let content = [
        label(b"trace_id", id.as_bytes()),
        number(sample(t_ms, value)),
    ];
    field(3, &content.concat())
}

#[test]
fn exemplars_and_metadata_are_kept() {
    let fixture = Fixture::with(|options| options.max_exemplars = 10);
    let request = |parts: &[Vec<u8>]| field(1, &parts.concat());
    let name = |name: &[u8]| label(b"__name__", name);
    let metadata = [
        vec![8, 1],
        field(2, b"m"),
        field(4, b"Help."),
        field(5, b"bytes"),
    ];
    let receipt = fixture.send(
        &[
            request(&[
                name(b"m"),
                sample(NOW_MS, 1.0),
                exemplar("a", NOW_MS - 5, 1.5),
                exemplar("b", NOW_MS, 2.5),
            ]),
            // Exemplars alone make no series.
            request(&[name(b"n"), exemplar("c", NOW_MS, 2.5)]),
            field(3, &metadata.concat()),
        ]
        .concat(),
    );
    let receipt = receipt.unwrap();
    assert_eq!((receipt.samples, receipt.exemplars), (1, 3));
    assert_eq!(
        fixture.exemplars(),
        [
            format!("m {{\"trace_id\": \"a\"}} {}=1.5", NOW_MS - 5),
            format!("m {{\"trace_id\": \"b\"}} {NOW_MS}=2.5"),
        ]
    );
    let told = fixture.store.metadata(None);
    let [(family, told)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((family.as_str(), told.kind.as_str()), ("m", "counter"));
    assert_eq!((told.help.as_str(), told.unit.as_str()), ("Help.", "bytes"));

    // What is not acceptable does not fail the request; known series take exemplars alone.
    let receipt = fixture.send(&request(&[
        name(b"m"),
        exemplar("old", NOW_MS - 1, 9.0),
        exemplar(&"x".repeat(129), NOW_MS + 1, 9.0),
        exemplar("d", NOW_MS + 1, 3.5),
    ]));
    assert_eq!(receipt.unwrap().exemplars_out_of_order, 1);
    assert_eq!(fixture.exemplars().len(), 3);
    // A refused request leaves nothing behind.
    let refused = fixture.send(&request(&[
        name(b"m"),
        sample(NOW_MS - 1, 1.0),
        exemplar("e", NOW_MS + 2, 9.0),
    ]));
    assert_eq!(refused.unwrap_err().status(), 400);
    assert_eq!(fixture.exemplars().len(), 3);
}

#[test]
fn bodies_that_are_not_snappy_or_too_large_take_no_memory() {
    let fixture = Fixture::new();
    let limits = Limits {
        body_bytes: 100,
        decoded_bytes: 1000,
    };
    let send = |body: &[u8]| {
        let error = receive(&fixture.store, Version::V1, body, limits, NOW_MS).unwrap_err();
        (error.status(), error.to_string())
    };
    let corrupt = (400, "s2: corrupt input".to_owned());
    assert_eq!(send(&[]), corrupt);
    assert_eq!(send(&[5, 1, 2, 3]), corrupt);
    assert_eq!(send(&[0xff; 20]), corrupt);
    let large = (413, "request body exceeds the 100 bytes limit".to_owned());
    assert_eq!(send(&[0; 101]), large);
    // Six bytes that announce four gigabytes.
    let bomb = (400, "decoded size exceeds the 1000 bytes limit".to_owned());
    assert_eq!(send(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), bomb);

    let whole = snap::raw::Encoder::new()
        .compress_vec(&named("m", &[(1, 1.0)]))
        .unwrap();
    for len in 0..whole.len() {
        assert_eq!(send(&whole[..len]).0, 400);
    }
    assert!(fixture.stored().is_empty());
}

#[test]
fn a_receiver_checks_headers_and_counts() {
    let fixture = Fixture::new();
    let receiver = Receiver::new(Limits::default(), Accepts::default(), Extras::default());
    let body = snap::raw::Encoder::new()
        .compress_vec(&named("m", &[(1, 1.0)]))
        .unwrap();
    let send = |content_type, encoding, body: &[u8]| {
        receiver
            .receive(&fixture.store, content_type, encoding, body, NOW_MS)
            .result
    };
    assert_eq!(send(None, None, &body).unwrap().samples, 1);
    assert_eq!(send(None, Some("gzip"), &body).unwrap_err().status(), 415);
    assert_eq!(
        send(Some("text/plain"), None, &body).unwrap_err().status(),
        415
    );
    // The encoding is judged first, then the body, then the type.
    assert_eq!(
        send(Some("text/plain"), None, &[]).unwrap_err().status(),
        400
    );
    let stats = receiver.stats();
    assert_eq!((stats.requests, stats.failed, stats.samples), (4, 3, 1));
}

#[test]
fn an_empty_message_is_accepted() {
    let fixture = Fixture::new();
    assert_eq!(fixture.send(&[]).unwrap(), Receipt::default());
}

#[test]
fn a_sender_tries_again_later_where_that_can_help() {
    let reason = "input/output error".to_owned();
    for (error, status, text) in [
        (
            StorageError::DiskFull {
                dir: "/data".into(),
            },
            503,
            "the disk is full; free space below /data",
        ),
        (
            StorageError::Poisoned { reason },
            503,
            "the store takes no more writes after an earlier failure: input/output error",
        ),
        (
            StorageError::TooLarge {
                detail: "a commit of 2 GiB".to_owned(),
            },
            413,
            "a commit of 2 GiB; write less at a time",
        ),
    ] {
        let reply = WriteError::from(error).reply();
        assert_eq!(reply.status, status);
        assert!(reply.body.starts_with(text), "{}", reply.body);
    }
}

#[test]
fn error_replies_are_plain_text() {
    let reply = WriteError::Snappy.reply();
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (400, "s2: corrupt input\n")
    );
    assert!(
        reply
            .headers
            .contains(&("X-Content-Type-Options", "nosniff".to_owned()))
    );
}
