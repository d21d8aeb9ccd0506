//! Remote read: the answers of `/api/v1/read` byte by byte, and a real Prometheus that
//! reads through it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::fs;

use kymo_ingest::wire::Reader;
use kymo_ingest::wire::writer::{put_bytes, put_int, put_message, put_number_always};
use kymo_tests::{Answer, Kymo, Peer, WriteBody};

const CONFIG: &str = "global: {external_labels: {cluster: here, host: other}}\n";
const SAMPLES: i64 = 300;
const STEP_MS: i64 = 15_000;

fn value(series: i64, i: i64) -> f64 {
    match i % 50 {
        7 => f64::INFINITY,
        _ => (series * 1000 + i) as f64 / 8.0,
    }
}

/// Starts a server with three series whose newest sample is at `end_ms`.
fn server(dir: &std::path::Path, end_ms: i64, args: &[&str]) -> Kymo {
    fs::write(dir.join("kymo.yml"), CONFIG).unwrap();
    let mut all = vec!["--config.file=kymo.yml"];
    all.extend_from_slice(args);
    let kymo = Kymo::start_in(dir, &all);
    let mut body = WriteBody::new();
    for series in 0..3 {
        let host = format!("h{series}");
        let samples: Vec<(i64, f64)> = (0..SAMPLES)
            .map(|i| (end_ms - (SAMPLES - 1 - i) * STEP_MS, value(series, i)))
            .collect();
        body.push_series(&[("__name__", "load"), ("host", &host)], &samples);
    }
    assert_eq!(kymo.write(&body).status, 204);
    kymo
}

/// A request with one query.
fn request(accepted: &[u8], range: (i64, i64), matchers: &[(u64, &str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_int(out, 1, range.0);
        put_int(out, 2, range.1);
        for (kind, name, value) in matchers {
            put_message(out, 3, |out| {
                put_number_always(out, 1, *kind);
                put_bytes(out, 2, name.as_bytes());
                put_bytes(out, 3, value.as_bytes());
            });
        }
    });
    put_bytes(&mut out, 2, accepted);
    out
}

fn ask(kymo: &Kymo, message: &[u8]) -> Answer {
    let packed = snap::raw::Encoder::new().compress_vec(message).unwrap();
    kymo.client().call("POST", "/api/v1/read", &[], &packed)
}

type Series = BTreeMap<String, Vec<(i64, u64)>>;

fn expected(end_ms: i64) -> Series {
    let series = (0..3).map(|series| {
        let samples = (0..SAMPLES).map(|i| {
            let t_ms = end_ms - (SAMPLES - 1 - i) * STEP_MS;
            (t_ms, value(series, i).to_bits())
        });
        let labels = format!("__name__=load,cluster=here,host=h{series}");
        (labels, samples.collect())
    });
    series.collect()
}

fn label(mut reader: Reader<'_>) -> String {
    let mut parts = Vec::new();
    while let Some(tag) = reader.tag("Label").unwrap() {
        parts.push(reader.text(tag, "Label").unwrap());
    }
    parts.join("=")
}

/// Takes a message with all samples apart.
fn samples(answer: &Answer) -> Series {
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(answer.header("content-encoding"), Some("snappy"));
    let message = snap::raw::Decoder::new()
        .decompress_vec(&answer.body)
        .unwrap();
    let mut found = Series::new();
    let mut reader = Reader::new(&message);
    while let Some(tag) = reader.tag("ReadResponse").unwrap() {
        let mut result = reader.message(tag, "Results").unwrap();
        while let Some(tag) = result.tag("QueryResult").unwrap() {
            let mut series = result.message(tag, "Timeseries").unwrap();
            let (mut labels, mut samples) = (Vec::new(), Vec::new());
            while let Some(tag) = series.tag("TimeSeries").unwrap() {
                let mut inner = series.message(tag, "field").unwrap();
                if tag.field == 1 {
                    labels.push(label(inner));
                    continue;
                }
                let (mut t_ms, mut bits) = (0, 0);
                while let Some(tag) = inner.tag("Sample").unwrap() {
                    match tag.field {
                        1 => bits = inner.fixed64().unwrap(),
                        _ => t_ms = inner.int(tag, "Timestamp").unwrap(),
                    }
                }
                samples.push((t_ms, bits));
            }
            found.insert(labels.join(","), samples);
        }
    }
    found
}

/// Takes a stream of frames apart. Returns the samples, and how many frames there were.
fn streamed(answer: &Answer) -> (Series, usize) {
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
    );
    let mut found = Series::new();
    let mut frames = 0;
    let mut rest = &answer.body[..];
    while !rest.is_empty() {
        let mut reader = Reader::new(rest);
        let len = usize::try_from(reader.varint().unwrap()).unwrap();
        let at = reader.pos() + 4;
        let checksum = u32::from_be_bytes(rest[at - 4..at].try_into().unwrap());
        let message = &rest[at..at + len];
        assert_eq!(crc32c::crc32c(message), checksum);
        rest = &rest[at + len..];
        frames += 1;
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag("ChunkedReadResponse").unwrap() {
            assert_eq!(tag.field, 1, "the first query's index is left out");
            let mut series = reader.message(tag, "ChunkedSeries").unwrap();
            let (mut labels, mut samples) = (Vec::new(), Vec::new());
            while let Some(tag) = series.tag("ChunkedSeries").unwrap() {
                let inner = series.message(tag, "field").unwrap();
                match tag.field {
                    1 => labels.push(label(inner)),
                    _ => samples.extend(chunk(inner)),
                }
            }
            found.entry(labels.join(",")).or_default().extend(samples);
        }
    }
    (found, frames)
}

fn chunk(mut reader: Reader<'_>) -> Vec<(i64, u64)> {
    let (mut from, mut to, mut samples) = (0, 0, Vec::new());
    while let Some(tag) = reader.tag("Chunk").unwrap() {
        match tag.field {
            1 => from = reader.int(tag, "MinTimeMs").unwrap(),
            2 => to = reader.int(tag, "MaxTimeMs").unwrap(),
            3 => assert_eq!(reader.int(tag, "Type").unwrap(), 1),
            _ => samples = xor_samples(reader.bytes().unwrap()),
        }
    }
    assert_eq!(samples.first().map(|s| s.0), Some(from));
    assert_eq!(samples.last().map(|s| s.0), Some(to));
    samples
}

/// A decoder of float chunks that shares nothing with the server's.
fn xor_samples(data: &[u8]) -> Vec<(i64, u64)> {
    struct Bits<'a>(&'a [u8], usize);
    impl Bits<'_> {
        fn take(&mut self, n: usize) -> u64 {
            (0..n).fold(0, |value, _| {
                let bit = self.0[self.1 / 8] >> (7 - self.1 % 8) & 1;
                self.1 += 1;
                value << 1 | u64::from(bit)
            })
        }
        fn uvarint(&mut self) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = self.take(8);
                value |= (byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return value;
                }
            }
        }
    }
    let n = usize::from(u16::from_be_bytes([data[0], data[1]]));
    let mut bits = Bits(&data[2..], 0);
    let zigzag = bits.uvarint();
    let mut t_ms = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    let mut value = bits.take(64);
    let mut samples = vec![(t_ms, value)];
    let (mut step, mut leading, mut trailing) = (0, 0, 0);
    for i in 1..n {
        step = match i {
            1 => bits.uvarint() as i64,
            _ => {
                let width = [14, 17, 20].into_iter();
                match bits.take(1) {
                    0 => step,
                    _ => {
                        let width = width.clone().find(|_| bits.take(1) == 0).unwrap_or(64);
                        let field = bits.take(width);
                        let change = match width < 64 && field > 1 << (width - 1) {
                            true => field as i64 - (1 << width),
                            false => field as i64,
                        };
                        step + change
                    }
                }
            }
        };
        t_ms += step;
        if bits.take(1) == 1 {
            if bits.take(1) == 1 {
                leading = bits.take(5) as usize;
                let significant = match bits.take(6) as usize {
                    0 => 64,
                    n => n,
                };
                trailing = 64 - leading - significant;
            }
            value ^= bits.take(64 - leading - trailing) << trailing;
        }
        samples.push((t_ms, value));
    }
    samples
}

const END_MS: i64 = 1_700_000_000_000;
const ALL: (i64, i64) = (0, END_MS + 1);

#[test]
fn both_forms_of_answer_have_every_sample_and_the_external_labels() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = server(
        dir.path(),
        END_MS,
        &["--storage.remote.read-max-bytes-in-frame=400"],
    );
    let wanted = [(0, "__name__", "load"), (0, "cluster", "here")];
    assert_eq!(
        samples(&ask(&kymo, &request(&[], ALL, &wanted))),
        expected(END_MS)
    );
    assert_eq!(
        samples(&ask(&kymo, &request(&[0], ALL, &wanted))),
        expected(END_MS)
    );
    let answer = ask(&kymo, &request(&[1, 0], ALL, &wanted));
    let (series, frames) = streamed(&answer);
    assert_eq!(series, expected(END_MS));
    assert!(frames > 3, "one series in several frames: {frames}");
    // What an external label says is not in the store, but `host` of a series is.
    for (matcher, n_series) in [
        ((0, "host", "h1"), 1),
        ((0, "host", "other"), 0),
        ((1, "host", "h1"), 2),
        ((2, "host", "h[12]"), 2),
        ((3, "host", "h[12]"), 1),
        ((0, "cluster", "there"), 0),
    ] {
        let message = request(&[], ALL, &[(0, "__name__", "load"), matcher]);
        assert_eq!(
            samples(&ask(&kymo, &message)).len(),
            n_series,
            "{matcher:?}"
        );
    }
    let newest = request(&[1], (END_MS - STEP_MS, END_MS), &wanted);
    let (series, _) = streamed(&ask(&kymo, &newest));
    assert!(series.len() == 3 && series.values().all(|samples| samples.len() == 2));
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = server(
        dir.path(),
        END_MS,
        &["--storage.remote.read-sample-limit=500"],
    );
    let all = [(0, "__name__", "load")];
    for (message, status, text) in [
        (
            request(&[], ALL, &all),
            400,
            "exceeded sample limit (500)\n",
        ),
        (
            request(&[7, 8], ALL, &all),
            400,
            "server does not support any of the requested response types: [7 8]; supported: \
             map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]\n",
        ),
        (
            request(&[], ALL, &[(2, "a", "(")]),
            500,
            "error parsing regexp: missing closing ): `(`\n",
        ),
        (
            request(&[1], ALL, &[(9, "a", "b")]),
            500,
            "invalid matcher type\n",
        ),
        (vec![0x0a, 0x7f], 400, "unexpected EOF\n"),
    ] {
        let answer = ask(&kymo, &message);
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(answer.header("content-encoding"), None);
    }
    // A stream has no limit of samples.
    let (series, _) = streamed(&ask(&kymo, &request(&[1], ALL, &all)));
    assert_eq!(series, expected(END_MS));
    let answer = kymo.client().call("POST", "/api/v1/read", &[], b"");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, "snappy: corrupt input\n")
    );
    let metrics = kymo.get("/metrics").text();
    assert!(metrics.contains("\nprometheus_remote_read_handler_queries 0\n"));
}

#[test]
fn a_real_prometheus_reads_what_kymo_has() {
    let dir = tempfile::tempdir().unwrap();
    let now_ms = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap();
    let end_ms = now_ms / STEP_MS * STEP_MS - STEP_MS;
    let kymo = server(dir.path(), end_ms, &[]);
    let config = format!(
        "global: {{external_labels: {{cluster: here}}}}\nremote_read:\n- url: \
         http://{}/api/v1/read\n  read_recent: true\n",
        kymo.address()
    );
    let peer_dir = tempfile::tempdir().unwrap();
    fs::write(peer_dir.path().join("prometheus.yml"), config).unwrap();
    let Some(prometheus) = Peer::start(
        "prometheus",
        peer_dir.path(),
        &["--config.file=prometheus.yml", "--storage.tsdb.path=data"],
    ) else {
        return;
    };
    prometheus.wait_ready();
    let start = (end_ms - SAMPLES * STEP_MS) / 1000;
    let (start, end) = (start.to_string(), (end_ms / 1000).to_string());
    // No window ends on a sample: its left end belongs to it in Debian's version only.
    for query in [
        "load",
        "sum by (host) (rate(load[5m7s]))",
        "max_over_time(load{host=~\"h[01]\"}[10m7s]) - load",
        "count({__name__!=\"\"})",
    ] {
        let params = [
            ("query", query),
            ("start", &start),
            ("end", &end),
            ("step", "60"),
        ];
        let theirs = prometheus
            .client()
            .post_form("/api/v1/query_range", &params);
        let ours = kymo.client().post_form("/api/v1/query_range", &params);
        let (theirs, ours) = (theirs.json(), ours.json());
        assert!(
            theirs["data"] == ours["data"],
            "{query}: {theirs} and {ours}"
        );
        assert_eq!(theirs.get("warnings"), None, "{query}");
        assert_ne!(ours["data"]["result"], serde_json::json!([]), "{query}");
    }
    let answer = prometheus.client().get("/api/v1/series?match[]=load");
    assert_eq!(answer.json()["data"].as_array().map(Vec::len), Some(3));
}
