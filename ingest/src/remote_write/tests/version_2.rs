//! Remote write 2.0.

use proptest::prelude::*;

use super::*;

/// A request under construction: texts become symbols as they come.
#[derive(Default)]
pub(super) struct Request {
    symbols: Vec<String>,
    series: Vec<Vec<u8>>,
}

/// One series of a request.
#[derive(Default)]
pub(super) struct Series {
    pub(super) bytes: Vec<u8>,
}

impl Request {
    pub(super) fn new() -> Request {
        let mut request = Request::default();
        request.symbol("");
        request
    }

    pub(super) fn symbol(&mut self, text: &str) -> u32 {
        let at = self.symbols.iter().position(|one| one == text);
        let at = at.unwrap_or_else(|| {
            self.symbols.push(text.to_owned());
            self.symbols.len() - 1
        });
        u32::try_from(at).unwrap()
    }

    pub(super) fn refs(&mut self, labels: &[(&str, &str)]) -> Vec<u32> {
        let pairs = labels.iter().flat_map(|&(name, value)| [name, value]);
        pairs.map(|text| self.symbol(text)).collect()
    }

    pub(super) fn series(&mut self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> &mut Self {
        let refs = self.refs(labels);
        self.push(Series::with(&refs).samples(samples))
    }

    pub(super) fn push(&mut self, series: Series) -> &mut Self {
        self.series.push(field(5, &series.bytes));
        self
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let symbols = self.symbols.iter().map(|text| field(4, text.as_bytes()));
        symbols
            .chain(self.series.iter().cloned())
            .flatten()
            .collect()
    }
}

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(super) fn packed(refs: &[u32]) -> Vec<u8> {
    refs.iter()
        .flat_map(|&one| varint(u64::from(one)))
        .collect()
}

impl Series {
    pub(super) fn with(refs: &[u32]) -> Series {
        Series {
            bytes: field(1, &packed(refs)),
        }
    }

    pub(super) fn samples(mut self, samples: &[(i64, f64)]) -> Series {
        for &(t_ms, value) in samples {
            // The sample of 1.0 is one of 2.0 without its start time.
            let in_1 = sample(t_ms, value);
            self.bytes.extend(in_1);
        }
        self
    }

    pub(super) fn exemplar(mut self, refs: &[u32], t_ms: i64, value: f64) -> Series {
        let mut exemplar = field(1, &packed(refs));
        exemplar.push(0x11);
        exemplar.extend(value.to_le_bytes());
        exemplar.push(0x18);
        exemplar.extend(varint(t_ms.cast_unsigned()));
        self.bytes.extend(field(4, &exemplar));
        self
    }

    pub(super) fn metadata(mut self, kind: u64, help: u32, unit: u32) -> Series {
        let mut metadata = vec![0x08];
        metadata.extend(varint(kind));
        metadata.push(0x18);
        metadata.extend(varint(u64::from(help)));
        metadata.push(0x20);
        metadata.extend(varint(u64::from(unit)));
        self.bytes.extend(field(5, &metadata));
        self
    }
}

fn send(fixture: &Fixture, request: &[u8]) -> Outcome {
    send_with(fixture, request, Extras::default())
}

pub(super) fn send_with(fixture: &Fixture, request: &[u8], extras: Extras) -> Outcome {
    let body = snap::raw::Encoder::new().compress_vec(request).unwrap();
    let receiver = Receiver::new(Limits::default(), Accepts::default(), extras);
    let kind = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    receiver.receive(&fixture.store, Some(kind), Some("snappy"), &body, NOW_MS)
}

/// Returns status, counts of what was written (samples, histograms, exemplars) and body.
pub(super) fn answer(fixture: &Fixture, request: &Request) -> (u16, String, String) {
    let reply = send(fixture, &request.encode()).reply();
    let written = reply
        .headers
        .iter()
        .filter(|(name, _)| name.ends_with("-Written"));
    let counts: Vec<&str> = written.map(|(_, count)| count.as_str()).collect();
    (reply.status, counts.join(" "), reply.body)
}

pub(super) fn stored_whole(counts: &str) -> (u16, String, String) {
    (204, counts.to_owned(), String::new())
}

#[test]
fn series_are_stored_and_known_again() {
    let fixture = Fixture::new();
    for round in 0..3 {
        let t_ms = NOW_MS + round * 1000;
        let mut request = Request::new();
        // Other symbols in front, so that the same label has another number each time.
        request.symbol(&format!("filler {round}"));
        request.series(
            &[("__name__", "a"), ("x", "1")],
            &[(t_ms, 1.0), (t_ms + 1, 2.0)],
        );
        request.series(
            &[("x", "2"), ("__name__", "a"), ("empty", "")],
            &[(t_ms, 3.0)],
        );
        assert_eq!(answer(&fixture, &request), stored_whole("3 0 0"));
    }
    let n = NOW_MS;
    let first = [(0, 1), (1, 2), (1000, 1), (1001, 2), (2000, 1), (2001, 2)];
    let first = first.map(|(t, v)| format!("({}, {v}.0)", n + t)).join(", ");
    let second = [0, 1000, 2000]
        .map(|t| format!("({}, 3.0)", n + t))
        .join(", ");
    assert_eq!(
        fixture.stored(),
        [
            format!("{{\"__name__\": \"a\", \"x\": \"1\"}} [{first}]"),
            format!("{{\"__name__\": \"a\", \"x\": \"2\"}} [{second}]"),
        ]
    );
}

#[test]
fn what_is_wrong_is_left_out_and_told_in_order() {
    let fixture = Fixture::new();
    let mut request = Request::new();
    request.series(&[("__name__", "a")], &[(NOW_MS, 1.0)]);
    request.series(&[("__name__", "b")], &[(NOW_MS, 1.0)]);
    assert_eq!(answer(&fixture, &request), stored_whole("2 0 0"));

    let mut request = Request::new();
    request.series(&[("__name__", "a")], &[(NOW_MS, 2.0), (NOW_MS + 1, 3.0)]);
    request.series(&[("job", "x")], &[(NOW_MS, 1.0)]);
    request.series(&[("__name__", "b")], &[(NOW_MS - 5, 1.0)]);
    request.series(
        &[("__name__", "c"), ("z", "1"), ("z", "2")],
        &[(NOW_MS, 1.0)],
    );
    request.series(&[("__name__", "d")], &[]);
    request.series(
        &[("__name__", "e")],
        &[(NOW_MS + 3_600_000, 1.0), (NOW_MS, 4.0)],
    );
    request.series(&[("__name__", "f"), ("", "1")], &[(NOW_MS, 1.0)]);
    request.push(Series::with(&[1, 2, 1]).samples(&[(NOW_MS, 1.0)]));
    request.push(Series::with(&[1, 999]).samples(&[(NOW_MS, 1.0)]));
    request.series(&[("__name__", "g")], &[(NOW_MS, 5.0)]);
    let n_symbols = request.symbols.len();
    let (status, counts, body) = answer(&fixture, &request);
    assert_eq!((status, counts.as_str()), (400, "3 0 0"));
    assert_eq!(
        body.lines().collect::<Vec<_>>(),
        [
            format!(
                "duplicate sample for timestamp {NOW_MS}; overrides not allowed: existing 1, new \
                 value 2 for series {{__name__=\"a\"}}"
            ),
            "invalid metric name or labels, got {job=\"x\"}".to_owned(),
            "out of order sample for series {__name__=\"b\"}".to_owned(),
            "invalid labels for series, labels {__name__=\"c\", z=\"1\", z=\"2\"}, duplicated \
             label z"
                .to_owned(),
            "TimeSeries must contain at least one sample or histogram for series \
             {__name__=\"d\"}"
                .to_owned(),
            "out of bounds: timestamp is too far in the future for series {__name__=\"e\"}"
                .to_owned(),
            "invalid metric name or labels, got {\"\"=\"1\", __name__=\"f\"}".to_owned(),
            "parsing labels for series [1 2 1]: invalid labelRefs length 3".to_owned(),
            format!(
                "parsing labels for series [1 999]: labelRefs 1 (name) = 999 (value) outside of \
                 symbols table (size {n_symbols})"
            ),
        ]
    );
    assert_eq!(fixture.stored().len(), 4);
}

#[test]
fn exemplars_are_kept_and_counted() {
    let fixture = Fixture::with(|options| options.max_exemplars = 10);
    let mut request = Request::new();
    let (refs, trace) = (
        request.refs(&[("__name__", "a")]),
        request.refs(&[("trace_id", "t")]),
    );
    let series = Series::with(&refs).samples(&[(NOW_MS, 1.0)]);
    request.push(
        series
            .exemplar(&trace, NOW_MS, 0.5)
            .exemplar(&[50, 51], NOW_MS, 1.0),
    );
    let (status, counts, body) = answer(&fixture, &request);
    assert_eq!((status, counts.as_str()), (400, "1 0 1"));
    assert_eq!(
        body,
        "parsing exemplar for series {__name__=\"a\"}: labelRefs 50 (name) = 51 (value) outside \
         of symbols table (size 5)\n"
    );
    assert_eq!(fixture.exemplars().len(), 1);
    let mut late = Request::new();
    let (refs, trace) = (
        late.refs(&[("__name__", "a")]),
        late.refs(&[("trace_id", "u")]),
    );
    let series = Series::with(&refs).samples(&[(NOW_MS + 1, 1.0)]);
    late.push(series.exemplar(&trace, NOW_MS - 9, 0.5));
    let (status, counts, body) = answer(&fixture, &late);
    assert_eq!((status, counts.as_str()), (400, "1 0 0"));
    assert_eq!(body, "out of order exemplar for series {__name__=\"a\"}\n");
}

#[test]
fn metadata_goes_to_the_family() {
    let fixture = Fixture::new();
    let mut request = Request::new();
    let (help, unit) = (request.symbol("How long."), request.symbol("seconds"));
    for (name, kind) in [("d_bucket", 3), ("d_sum", 3), ("e_total", 1)] {
        let refs = request.refs(&[("__name__", name)]);
        let series = Series::with(&refs).samples(&[(NOW_MS, 1.0)]);
        request.push(series.metadata(kind, help, unit));
    }
    let refs = request.refs(&[("__name__", "f")]);
    request.push(
        Series::with(&refs)
            .samples(&[(NOW_MS, 1.0)])
            .metadata(1, 77, 0),
    );
    let n_symbols = request.symbols.len();
    let (status, counts, body) = answer(&fixture, &request);
    assert_eq!((status, counts.as_str()), (400, "3 0 0"));
    assert_eq!(
        body,
        format!(
            "parsing metadata for series [{} {}]: metadata help_ref 77 outside of symbols table \
             (size {n_symbols})\n",
            refs[0], refs[1]
        )
    );
    let families: Vec<String> = fixture
        .store
        .metadata(None)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(families, ["d", "e_total"]);
}

#[test]
fn a_malformed_request_stores_nothing_and_counts_zero() {
    let fixture = Fixture::new();
    let mut request = Request::new();
    request.series(&[("__name__", "a")], &[(NOW_MS, 1.0)]);
    let mut bytes = request.encode();
    bytes.extend([0x2a, 0x7f]);
    let reply = send(&fixture, &bytes).reply();
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (400, "unexpected EOF\n")
    );
    let counts: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| name.ends_with("-Written"))
        .collect();
    assert!(counts.len() == 3 && counts.iter().all(|(_, count)| count == "0"));
    assert!(fixture.stored().is_empty());
}

/// Label sets and samples: series number, time, value.
fn rounds() -> impl Strategy<Value = Vec<Vec<(u8, i64, i32)>>> {
    let sample = (0u8..6, 0i64..40, -3i32..3);
    prop::collection::vec(prop::collection::vec(sample, 0..12), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    // Where every sample is acceptable, both versions store the same.
    #[test]
    fn both_versions_store_the_same(rounds in rounds()) {
        let (one, two) = (Fixture::new(), Fixture::new());
        for (at, round) in rounds.iter().enumerate() {
            let mut v1 = Vec::new();
            let mut v2 = Request::new();
            for &(series, t, value) in round {
                let number = series.to_string();
                let t_ms = NOW_MS + at as i64 * 100 + t;
                let labels = [("__name__", "m"), ("n", number.as_str())];
                let mut in_1: Vec<u8> = labels
                    .iter()
                    .flat_map(|(name, value)| label(name.as_bytes(), value.as_bytes()))
                    .collect();
                in_1.extend(sample(t_ms, f64::from(value)));
                v1.extend(field(1, &in_1));
                v2.series(&labels, &[(t_ms, f64::from(value))]);
            }
            one.send(&v1).unwrap();
            prop_assert_eq!(send(&two, &v2.encode()).reply().status, 204);
        }
        prop_assert_eq!(one.stored(), two.stored());
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_stored(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let fixture = Fixture::new();
        let status = send(&fixture, &bytes).reply().status;
        prop_assert!(matches!(status, 204 | 400), "{}", status);
    }
}
