//! Bad input on the write path: each request gets the answer Prometheus gives, nothing
//! of it is stored that should not be, and what was stored before stays as it was.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use kymo_tests::{Answer, Kymo, WriteBody};
use serde_json::Value;

/// A time near the clock, on a whole second.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() * 1000
}

fn one(name: &str, samples: &[(i64, f64)]) -> WriteBody {
    WriteBody::new().series(&[("__name__", name)], samples)
}

/// A server that holds `kept` with one sample at `t_ms`.
struct Fixture {
    kymo: Kymo,
    t_ms: i64,
}

impl Fixture {
    fn start() -> Fixture {
        let kymo = Kymo::start(&[]);
        let t_ms = now_ms() - 60_000;
        assert_eq!(kymo.write(&one("kept", &[(t_ms, 1.0)])).status, 204);
        Fixture { kymo, t_ms }
    }

    /// Returns name and samples of every series, all of them within two minutes.
    fn stored(&self) -> Vec<(String, Value)> {
        let time_s = (self.t_ms + 90_000) as f64 / 1000.0;
        let answer = self.kymo.instant("{__name__=~\".+\"}[2m]", time_s);
        let series = answer["data"]["result"].as_array().unwrap();
        let mut stored: Vec<(String, Value)> = series
            .iter()
            .map(|series| (series["metric"].to_string(), series["values"].clone()))
            .collect();
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        stored
    }

    /// Checks that a request is refused with this status and text, and changes nothing.
    fn refuses(&self, what: &str, answer: &Answer, status: u16, text: &str) {
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.text(), format!("{text}\n"), "{what}");
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("text/plain; charset=utf-8"), "{what}");
        self.holds_only_what_was_kept(what);
    }

    fn holds_only_what_was_kept(&self, what: &str) {
        let stored = self.stored();
        assert_eq!(stored.len(), 1, "{what}: {stored:?}");
        assert_eq!(stored[0].0, "{\"__name__\":\"kept\"}", "{what}");
        assert_eq!(stored[0].1.as_array().unwrap().len(), 1, "{what}");
    }

    /// Sends the request and a good sample with other headers.
    fn with_headers(&self, headers: &[(&str, &str)]) -> Answer {
        let body = one("new", &[(self.t_ms, 1.0)]).encode();
        self.kymo
            .client()
            .call("POST", "/api/v1/write", headers, &body)
    }
}

#[test]
fn bodies_that_cannot_be_read_are_refused_and_harm_nothing() {
    let fixture = Fixture::start();
    let kymo = &fixture.kymo;
    let whole = one("new", &[(fixture.t_ms, 1.0)]);

    let corrupt = "s2: corrupt input";
    fixture.refuses("no body", &kymo.write_bytes(&[]), 400, corrupt);
    fixture.refuses("no snappy", &kymo.write_bytes(b"not snappy"), 400, corrupt);
    let encoded = whole.encode();
    let cut = &encoded[..encoded.len() - 3];
    fixture.refuses("cut snappy", &kymo.write_bytes(cut), 400, corrupt);
    // Six bytes that announce four gigabytes.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    let text = "decoded size exceeds the 33554432 bytes limit";
    fixture.refuses("snappy bomb", &kymo.write_bytes(&bomb), 400, text);
    let large = vec![0; (32 << 20) + 1];
    let text = "request body exceeds the 33554432 bytes limit";
    fixture.refuses("large body", &kymo.write_bytes(&large), 413, text);

    let message = whole.message();
    let snappy = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    for len in 1..message.len() {
        let answer = kymo.write_bytes(&snappy(&message[..len]));
        fixture.refuses("cut message", &answer, 400, "unexpected EOF");
    }
    // A good series in front of what is malformed is not stored either.
    let mut tail = message.to_vec();
    tail.extend([0x0a, 0x7f]);
    fixture.refuses(
        "bad tail",
        &kymo.write_bytes(&snappy(&tail)),
        400,
        "unexpected EOF",
    );
    let group = kymo.write_bytes(&snappy(&[0x0c]));
    let text = "proto: WriteRequest: wiretype end group for non-group";
    fixture.refuses("end of group", &group, 400, text);
    let wire_type = kymo.write_bytes(&snappy(&[0x08, 1]));
    let text = "proto: wrong wireType = 0 for field Timeseries";
    fixture.refuses("wire type", &wire_type, 400, text);

    assert_eq!(kymo.write(&whole).status, 204);
    assert_eq!(fixture.stored().len(), 2);
}

#[test]
fn headers_of_other_protocols_are_refused() {
    let fixture = Fixture::start();
    let answer = fixture.with_headers(&[("Content-Encoding", "gzip")]);
    let text =
        "gzip encoding (compression) is not accepted by this server; only snappy is acceptable";
    fixture.refuses("gzip", &answer, 415, text);
    let answer = fixture.with_headers(&[("Content-Type", "text/plain")]);
    let text =
        "expected application/x-protobuf as the first (media) part, got text/plain content-type";
    fixture.refuses("text", &answer, 415, text);
    let other = "application/x-protobuf;proto=foo.Bar";
    let answer = fixture.with_headers(&[("Content-Type", other)]);
    let text = "got application/x-protobuf;proto=foo.Bar content type; unknown type for remote \
                write protobuf message foo.Bar, supported: prometheus.WriteRequest, \
                io.prometheus.write.v2.Request";
    fixture.refuses("other message", &answer, 415, text);
    // The fields of 1.0 mean nothing in 2.0: nothing is found, and that is told.
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let answer = fixture.with_headers(&[("Content-Type", v2)]);
    assert_eq!(answer.status, 204);
    let written = answer.header("x-prometheus-remote-write-samples-written");
    assert_eq!(written, Some("0"));
    fixture.holds_only_what_was_kept("a body of the other version");
    assert_eq!(fixture.kymo.get("/api/v1/write").status, 405);
    assert_eq!(fixture.with_headers(&[]).status, 204);
}

#[test]
fn samples_that_are_not_acceptable_undo_their_request() {
    let fixture = Fixture::start();
    let t_ms = fixture.t_ms;
    let far_ms = now_ms() + 700_000;
    let duplicate = format!(
        "duplicate sample for timestamp {t_ms}; overrides not allowed: existing 1, new value 2"
    );
    let cases = [
        ("older", "kept", t_ms - 1000, 1.0, "out of order sample"),
        ("other value", "kept", t_ms, 2.0, duplicate.as_str()),
        (
            "far ahead",
            "kept",
            far_ms,
            1.0,
            "out of bounds: timestamp is too far in the future",
        ),
    ];
    for (what, name, at_ms, value, text) in cases {
        let body = one("before", &[(t_ms, 1.0)])
            .series(&[("__name__", name)], &[(at_ms, value)])
            .series(&[("__name__", "after")], &[(t_ms, 1.0)]);
        fixture.refuses(what, &fixture.kymo.write(&body), 400, text);
    }
    let again = fixture.kymo.write(&one("kept", &[(t_ms, 1.0)]));
    assert_eq!((again.status, again.body.len()), (204, 0));
    fixture.holds_only_what_was_kept("the same sample again");
}

#[test]
fn series_with_bad_labels_are_left_out_of_their_request() {
    let fixture = Fixture::start();
    let samples = [(fixture.t_ms, 1.0)];
    type Labels<'a> = &'a [(&'a [u8], &'a [u8])];
    let bad: [Labels<'_>; 7] = [
        &[],
        &[(b"a", b"1")],
        &[(b"__name__", b"")],
        &[(b"__name__", b"\xff")],
        &[(b"__name__", b"bad"), (b"\xff", b"1")],
        &[(b"__name__", b"bad"), (b"a", b"\xff")],
        &[
            (b"__name__", b"bad"),
            (b"a", b"1"),
            (b"b", b"2"),
            (b"a", b"1"),
        ],
    ];
    let mut body = WriteBody::new();
    for labels in bad {
        body.push_series(labels, &samples);
    }
    body.push_series(
        &[("__name__", "good"), ("b", "2"), ("a", "1"), ("c", "")],
        &samples,
    );
    assert_eq!(fixture.kymo.write(&body).status, 204);
    let stored = fixture.stored();
    let good = "{\"__name__\":\"good\",\"a\":\"1\",\"b\":\"2\"}";
    assert!(
        stored.iter().any(|(labels, _)| labels == good),
        "{stored:?}"
    );
    assert_eq!(stored.len(), 2, "{stored:?}");
}

#[test]
fn conflicts_inside_a_request_keep_the_first() {
    let fixture = Fixture::start();
    let t_ms = fixture.t_ms;
    let body = one(
        "m",
        &[
            (t_ms, 1.0),
            (t_ms - 1000, 2.0),
            (t_ms, 3.0),
            (t_ms + 1000, 4.0),
        ],
    );
    assert_eq!(fixture.kymo.write(&body).status, 204);
    let stored = fixture.stored();
    let values = &stored
        .iter()
        .find(|(labels, _)| labels.contains("\"m\""))
        .unwrap()
        .1;
    let at_s = |t_ms: i64| t_ms / 1000;
    let expected = serde_json::json!([[at_s(t_ms), "1"], [at_s(t_ms + 1000), "4"]]);
    assert_eq!(*values, expected);
}
