//! Pushes in all their forms, against encoders made by prost and serde.

mod limits;

use std::collections::BTreeMap;
use std::io::Write as _;

use proptest::prelude::*;
use prost::Message;
use serde_json::json;

use super::*;

/// 2026-11-22T05:00:00Z.
const NOW_NS: i64 = 1_795_323_600_000_000_000;

#[derive(Clone, PartialEq, Message)]
struct PbPush {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<PbStream>,
    #[prost(string, tag = "2")]
    format: String,
}

#[derive(Clone, PartialEq, Message)]
struct PbStream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<PbEntry>,
    #[prost(uint64, tag = "3")]
    hash: u64,
}

#[derive(Clone, PartialEq, Message)]
struct PbEntry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<PbTimestamp>,
    #[prost(bytes = "vec", tag = "2")]
    line: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    structured_metadata: Vec<PbLabel>,
}

#[derive(Clone, PartialEq, Message)]
struct PbTimestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct PbLabel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A stream as a test gives it: labels and entries with metadata.
#[derive(Debug, Clone)]
struct Given {
    labels: BTreeMap<String, String>,
    entries: Vec<(i64, Vec<u8>, BTreeMap<String, String>)>,
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    kymo_storage::model::Labels::from_pairs(labels).to_string()
}

fn protobuf(streams: &[Given]) -> Vec<u8> {
    let entry = |(t_ns, line, metadata): &(i64, Vec<u8>, BTreeMap<String, String>)| PbEntry {
        timestamp: Some(PbTimestamp {
            seconds: t_ns.div_euclid(1_000_000_000),
            nanos: t_ns.rem_euclid(1_000_000_000) as i32,
        }),
        line: line.clone(),
        structured_metadata: metadata
            .iter()
            .map(|(name, value)| PbLabel {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
    };
    let streams = streams.iter().map(|stream| PbStream {
        labels: shown(&stream.labels),
        entries: stream.entries.iter().map(entry).collect(),
        hash: 7,
    });
    let push = PbPush {
        streams: streams.collect(),
        format: "x".to_owned(),
    };
    let bytes = push.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&bytes).unwrap()
}

fn text(line: &[u8]) -> String {
    String::from_utf8(line.to_vec()).unwrap()
}

fn json_of(streams: &[Given]) -> Vec<u8> {
    let streams = streams.iter().map(|stream| {
        let values =
            stream
                .entries
                .iter()
                .map(|(t_ns, line, metadata)| match metadata.is_empty() {
                    true => json!([t_ns.to_string(), text(line)]),
                    false => json!([t_ns.to_string(), text(line), metadata]),
                });
        let values: Vec<_> = values.collect();
        json!({"stream": stream.labels, "values": values})
    });
    let streams: Vec<_> = streams.collect();
    serde_json::to_vec(&json!({"streams": streams})).unwrap()
}

fn legacy_json_of(streams: &[Given]) -> Vec<u8> {
    let streams = streams.iter().map(|stream| {
        let entries = stream.entries.iter().map(|(t_ns, line, metadata)| {
            let ts = jiff::Timestamp::from_nanosecond(i128::from(*t_ns)).unwrap();
            json!({"ts": ts.to_string(), "line": text(line), "structuredMetadata": metadata})
        });
        let entries: Vec<_> = entries.collect();
        // Entries stand in front of labels in this form, where a map is written in order.
        json!({"entries": entries, "labels": shown(&stream.labels)})
    });
    let streams: Vec<_> = streams.collect();
    serde_json::to_vec(&json!({"streams": streams})).unwrap()
}

/// Labels of a stream, and time, line and metadata of its entries.
type Stored = (String, Vec<(i64, Vec<u8>, Vec<(String, String)>)>);

fn stored(admitted: &Admitted<'_>) -> Vec<Stored> {
    let batches = admitted.batches.iter().map(|batch| {
        let entries = batch.entries.iter().map(|entry| {
            let metadata = entry.metadata.iter();
            let metadata = metadata.map(|(n, v)| (n.to_string(), v.to_string()));
            (entry.t_ns, entry.line.to_vec(), metadata.collect())
        });
        (batch.labels.to_string(), entries.collect())
    });
    batches.collect()
}

struct Outcome {
    stored: Vec<Stored>,
    result: Result<(), PushError>,
    stats: ReceiverStats,
}

fn push_with(receiver: &Receiver, form: (Format<'_>, Encoding), body: &[u8]) -> Outcome {
    let mut buffers = Buffers::default();
    let admitted = receiver.admit(form, body, &mut buffers, &mut |_| true, NOW_NS);
    let (stored, result) = match admitted {
        Ok(admitted) => (
            stored(&admitted),
            admitted.outcome(receiver.rules().limits()),
        ),
        Err(error) => (Vec::new(), Err(error)),
    };
    Outcome {
        stored,
        result,
        stats: receiver.stats(),
    }
}

fn push(form: (Format<'_>, Encoding), body: &[u8]) -> Outcome {
    push_with(&Receiver::default(), form, body)
}

fn push_json(body: &serde_json::Value) -> Outcome {
    let body = serde_json::to_vec(body).unwrap();
    push((Format::Json, Encoding::Identity), &body)
}

const JSON: (Format<'static>, Encoding) = (Format::Json, Encoding::Identity);
const PROTOBUF: (Format<'static>, Encoding) = (Format::Protobuf, Encoding::Identity);

fn at(seconds: i64) -> String {
    (NOW_NS + seconds * 1_000_000_000).to_string()
}

#[test]
fn a_push_is_completed_as_loki_does() {
    let outcome = push_json(&json!({"streams": [{
        "stream": {"env": "prod", "app": "auth", "empty": ""},
        "values": [
            [at(0), "plain ERROR \u{e9} \"q\" \\ \n"],
            [at(-1), "x", {"odd-name": "v", "trace": "1"}],
            [at(-1), "x", {"detected_level": "WARNING"}],
            [at(-1), "x", {"level": "notice"}],
        ],
    }]}));
    assert!(outcome.result.is_ok());
    let (labels, entries) = &outcome.stored[0];
    assert_eq!(labels, r#"{app="auth", env="prod", service_name="auth"}"#);
    assert_eq!(entries[0].1, "plain ERROR é \"q\" \\ \n".as_bytes());
    let metadata = |at: usize| -> Vec<(&str, &str)> {
        let pairs = entries[at].2.iter();
        pairs.map(|(n, v)| (n.as_str(), v.as_str())).collect()
    };
    assert_eq!(metadata(0), [("detected_level", "error")]);
    assert_eq!(
        metadata(1),
        [
            ("detected_level", "unknown"),
            ("odd_name", "v"),
            ("trace", "1")
        ]
    );
    assert_eq!(metadata(2), [("detected_level", "warn")]);
    assert_eq!(
        metadata(3),
        [("detected_level", "notice"), ("level", "notice")]
    );
    assert_eq!((outcome.stats.lines, outcome.stats.metadata_bytes), (4, 26));
}

#[test]
fn what_is_no_push_is_refused_with_lokis_words() {
    let error = |body: serde_json::Value| {
        let error = push_json(&body).result.unwrap_err();
        (error.status(), error.to_string())
    };
    let stream =
        |values: serde_json::Value| json!({"streams": [{"stream": {"a": "b"}, "values": values}]});
    for (body, status, text) in [
        (
            json!({}),
            422,
            "error at least one valid stream is required for ingestion",
        ),
        (
            json!({"streams": []}),
            422,
            "error at least one valid stream",
        ),
        (
            json!([]),
            400,
            "readObjectStart: expect { or n, but found [",
        ),
        (
            stream(json!([[1, "x"]])),
            400,
            "Value looks like Number/Boolean/None",
        ),
        (
            stream(json!([["x", "x"]])),
            400,
            "Value looks like Number/Boolean/None",
        ),
        (stream(json!([[at(0), 5]])), 400, "Value is string"),
        (
            stream(json!([[at(0), "x", {"a": 5}]])),
            400,
            "Value is string",
        ),
        (
            stream(json!([[at(0), "x", "a"]])),
            400,
            "Value looks like object",
        ),
        (
            stream(json!([["99999999999999999999", "x"]])),
            400,
            "Value looks like Number/Boolean/None",
        ),
        (
            json!({"streams": [{"stream": {"a-b": "c"}, "values": [[at(0), "x"]]}]}),
            400,
            "couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'",
        ),
        (stream(json!({})), 400, "Unknown value type"),
        (stream(json!(["x"])), 400, "Malformed JSON error"),
        (
            json!({"streams": [{"labels": "{a=b}"}]}),
            400,
            "couldn't parse labels: 1:4: parse error",
        ),
    ] {
        let (found_status, found) = error(body.clone());
        assert_eq!(found_status, status, "{body}: {found}");
        assert!(found.contains(text), "{body}: {found}");
    }
    let error = push(PROTOBUF, b"{}").result.unwrap_err();
    assert_eq!(
        (error.status(), error.to_string()),
        (400, "snappy: corrupt input".to_owned())
    );
    let error = Encoding::from_content_encoding(Some("br")).unwrap_err();
    assert_eq!(error.to_string(), "Content-Encoding \"br\" not supported");
}

#[test]
fn entries_without_streams_or_lines_are_as_in_loki() {
    // A stream without entries is no error, and one without labels gets a service.
    let outcome = push_json(&json!({"streams": [{}, {"values": []}]}));
    assert!(outcome.result.is_ok() && outcome.stored.is_empty());
    let outcome = push_json(&json!({"streams": [{"stream": {}, "values": null}]}));
    assert!(outcome.result.is_ok() && outcome.stored.is_empty());
    let outcome = push_json(&json!({"streams": [{"stream": {}, "values": [null, [at(0), ""]]}]}));
    assert_eq!(outcome.stored[0].0, r#"{service_name="unknown_service"}"#);
    // What stands behind is not looked at, and further members of an entry are not either.
    let mut body = serde_json::to_vec(&json!({
        "more": [1, {"a": "]"}],
        "streams": [{"stream": {"n": 5, "t": true}, "values": [[at(0), "x", {}, 5, [6]]]}],
    }))
    .unwrap();
    body.extend_from_slice(b" trailing");
    let outcome = push(JSON, &body);
    assert_eq!(
        outcome.stored[0].0,
        r#"{n="5", service_name="unknown_service", t="true"}"#
    );
}

fn packed(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    match encoding {
        Encoding::Identity => body.to_vec(),
        Encoding::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
            out.write_all(body).unwrap();
            out.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut out = flate2::write::DeflateEncoder::new(Vec::new(), level);
            out.write_all(body).unwrap();
            out.finish().unwrap()
        }
        Encoding::Snappy => snap::raw::Encoder::new().compress_vec(body).unwrap(),
        Encoding::Zstd => zstd::encode_all(body, 1).unwrap(),
        Encoding::Lz4 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(body).unwrap();
            out.finish().unwrap()
        }
    }
}

const ENCODINGS: [Encoding; 6] = [
    Encoding::Identity,
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Snappy,
    Encoding::Zstd,
    Encoding::Lz4,
];

#[test]
fn bodies_come_packed_in_every_way() {
    let given = [Given {
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        entries: vec![(NOW_NS, b"line".to_vec(), BTreeMap::new())],
    }];
    for encoding in ENCODINGS {
        let outcome = push(
            (Format::Json, encoding),
            &packed(encoding, &json_of(&given)),
        );
        assert!(outcome.result.is_ok(), "{encoding:?}");
        assert_eq!(outcome.stored.len(), 1, "{encoding:?}");
        // Protobuf is a block of snappy as such, whether it says so or not.
        let body = match encoding {
            Encoding::Snappy => protobuf(&given),
            _ => packed(encoding, &protobuf(&given)),
        };
        let outcome = push((Format::Protobuf, encoding), &body);
        assert_eq!(outcome.stored.len(), 1, "{encoding:?}");
    }
    // JSON that says it is snappy and is not.
    let outcome = push((Format::Json, Encoding::Snappy), &json_of(&given));
    assert_eq!(outcome.stored.len(), 1);
}

#[test]
fn a_bomb_is_refused_before_it_has_its_memory() {
    let limits = BodyLimits {
        body_bytes: 1 << 20,
        decoded_bytes: 1 << 20,
    };
    let receiver = Receiver::new(Limits::default(), limits);
    let zeros = vec![b' '; 4 << 20];
    for encoding in ENCODINGS {
        if encoding == Encoding::Identity {
            continue;
        }
        let body = packed(encoding, &zeros);
        let error = push_with(&receiver, (Format::Json, encoding), &body)
            .result
            .unwrap_err();
        assert_eq!(error.status(), 413, "{encoding:?}: {error}");
        assert!(
            error.to_string().starts_with(
                "request body too large: decompressed message size too large than max"
            ),
            "{error}"
        );
    }
    assert!(receiver.stats().discarded[Reason::RequestBodyTooLarge as usize].bytes > 0);
    // A length that no such block can have.
    let mut announced = vec![0xff, 0xff, 0xff, 0x7f];
    announced.extend_from_slice(b"abc");
    let receiver = Receiver::default();
    let mut asked = 0;
    let mut buffers = Buffers::default();
    let mut reserve = |bytes: usize| {
        asked += bytes;
        true
    };
    let error = receiver.admit(PROTOBUF, &announced, &mut buffers, &mut reserve, NOW_NS);
    assert_eq!(error.unwrap_err().to_string(), "snappy: corrupt input");
    assert_eq!(asked, 0);
}

#[test]
fn entries_of_two_bytes_take_no_memory_that_was_not_given() {
    // A stream of many empty entries: two bytes each here, far more in a batch.
    let mut stream = vec![0x0a, 2, b'{', b'}'];
    stream.extend([0x12, 0].repeat(100_000));
    let mut body = vec![0x0a];
    crate::wire::writer::put_varint(&mut body, stream.len() as u64);
    body.extend(stream);
    let body = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    let receiver = Receiver::default();
    let mut left = 1 << 20;
    let mut buffers = Buffers::default();
    let mut reserve = |bytes: usize| {
        let fits = bytes <= left;
        left -= if fits { bytes } else { 0 };
        fits
    };
    let outcome = receiver.admit(PROTOBUF, &body, &mut buffers, &mut reserve, NOW_NS);
    assert_eq!(outcome.unwrap_err().status(), 503);
}

fn lines(parameters: &[(&str, &str)], body: &str) -> Outcome {
    let mut fields = LineFields::default();
    for (name, value) in parameters {
        assert!(fields.set(name, value), "{name}");
    }
    push(
        (Format::JsonLines(&fields), Encoding::Identity),
        body.as_bytes(),
    )
}

#[test]
fn json_lines_have_their_fields_told() {
    let body = r#"
        {"_time":"2026-11-22T05:00:00Z","_msg":"hi \"there\"","k8s":{"ns":"a","pod":{"name":"p"}},"n":1.50,"b":true,"z":null,"l":[1, 2]}
        {"_time":1795323600,"_msg":"other","k8s":{"ns":"a"}}

        {"k8s":{"ns":"b"}, "level":"warn"}"#;
    let outcome = lines(
        &[
            ("_stream_fields", "k8s.ns, missing"),
            ("ignore_fields", "l"),
        ],
        body,
    );
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    assert_eq!(outcome.stored.len(), 2);
    let (labels, entries) = &outcome.stored[0];
    assert_eq!(labels, r#"{k8s_ns="a", service_name="unknown_service"}"#);
    assert_eq!(
        (entries[0].0, entries[0].1.as_slice()),
        (NOW_NS, &b"hi \"there\""[..])
    );
    let pairs: Vec<_> = entries[0]
        .2
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("b", "true"),
            ("detected_level", "unknown"),
            ("k8s_pod_name", "p"),
            ("n", "1.50")
        ]
    );
    assert_eq!((entries[1].0, entries[1].2.len()), (NOW_NS, 1));
    // Without a message the object is the line.
    let (labels, entries) = &outcome.stored[1];
    assert_eq!(labels, r#"{k8s_ns="b", service_name="unknown_service"}"#);
    assert_eq!(text(&entries[0].1), r#"{"k8s":{"ns":"b"}, "level":"warn"}"#);
    assert_eq!(
        entries[0].2,
        [("detected_level".to_owned(), "warn".to_owned())]
    );
}

#[test]
fn a_json_line_that_is_none_is_named() {
    let error = lines(&[], "{\"_msg\":\"x\"}\n\n{\"_msg\":\n")
        .result
        .unwrap_err();
    assert_eq!(
        (error.status(), error.to_string().starts_with("line 3: ")),
        (400, true),
        "{error}"
    );
    let error = lines(&[("_time_field", "ts,_time")], r#"{"ts":"soon"}"#)
        .result
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1: the time \"soon\" is neither of RFC 3339 nor a number since the epoch"
    );
    let error = lines(&[("_stream_fields", "-")], r#"{"-":"soon"}"#)
        .result
        .unwrap_err();
    assert_eq!(error.status(), 400);
    assert_eq!(lines(&[], "\n\n").result.unwrap_err().status(), 422);
}

fn given() -> impl Strategy<Value = Vec<Given>> {
    let name = "[a-z][a-z0-9]{0,5}";
    let pairs = proptest::collection::btree_map(name, ".{1,8}", 0..4);
    let line = prop_oneof![".{0,40}", "[a-z =\"{}:\\\\\n]{0,40}"];
    let entry = (
        NOW_NS - 1_000_000..NOW_NS,
        line.prop_map(String::into_bytes),
        pairs.clone(),
    );
    let stream = (pairs, proptest::collection::vec(entry, 0..5));
    let stream = stream.prop_map(|(labels, entries)| Given { labels, entries });
    proptest::collection::vec(stream, 1..4)
}

proptest! {
    #[test]
    fn all_forms_say_the_same_and_lines_come_through(given in given()) {
        let protobuf = push(PROTOBUF, &protobuf(&given));
        let json = push(JSON, &json_of(&given));
        let legacy = push(JSON, &legacy_json_of(&given));
        prop_assert!(protobuf.result.is_ok(), "{:?}", protobuf.result);
        prop_assert_eq!(&protobuf.stored, &json.stored);
        prop_assert_eq!(&protobuf.stored, &legacy.stored);
        prop_assert_eq!(protobuf.stats, json.stats);
        let lines = |stored: &[Stored]| -> Vec<(i64, Vec<u8>)> {
            let entries = stored.iter().flat_map(|(_, entries)| entries);
            entries.map(|(t_ns, line, _)| (*t_ns, line.clone())).collect()
        };
        let wanted = given.iter().flat_map(|stream| &stream.entries);
        let wanted: Vec<_> = wanted.map(|(t_ns, line, _)| (*t_ns, line.clone())).collect();
        prop_assert_eq!(lines(&json.stored), wanted);
    }

    #[test]
    fn lines_of_any_bytes_come_through(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..5)) {
        let entries = lines.iter().map(|line| (NOW_NS, line.clone(), BTreeMap::new()));
        let given = Given { labels: BTreeMap::new(), entries: entries.collect() };
        let outcome = push(PROTOBUF, &protobuf(&[given]));
        let found: Vec<_> = outcome.stored[0].1.iter().map(|(_, line, _)| line.clone()).collect();
        prop_assert_eq!(found, lines);
    }

    #[test]
    fn a_damaged_body_is_no_panic(given in given(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        for (format, mut body) in [
            (Format::Json, json_of(&given)),
            (Format::Json, legacy_json_of(&given)),
            (Format::JsonLines(&LineFields::default()), json_of(&given)),
            (Format::Protobuf, {
                let packed = protobuf(&given);
                snap::raw::Decoder::new().decompress_vec(&packed).unwrap()
            }),
        ] {
            let place = at.index(body.len());
            body[place] = byte;
            body.truncate(cut.index(body.len() + 1));
            if format == Format::Protobuf {
                body = snap::raw::Encoder::new().compress_vec(&body).unwrap();
            }
            let _ = push((format, Encoding::Identity), &body);
        }
    }
}

#[test]
fn seeds_of_fuzzing_are_pushes_of_all_kinds() {
    let fields = LineFields {
        stream: vec!["app".to_owned()],
        ..LineFields::default()
    };
    let seed = |name: &str| {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/log_push");
        let mut bytes = std::fs::read(format!("{dir}/{name}.seed")).unwrap();
        bytes.remove(0);
        bytes
    };
    for (name, format, entries) in [
        ("json", Format::Json, 3),
        ("lines", Format::JsonLines(&fields), 2),
        ("otlp_json", Format::OtlpJson, 1),
        ("otlp_protobuf", Format::OtlpProtobuf, 1),
        ("protobuf", Format::Protobuf, 1),
    ] {
        let mut body = seed(name);
        if format == Format::Protobuf {
            body = packed(Encoding::Snappy, &body);
        }
        let outcome = push((format, Encoding::Identity), &body);
        assert!(outcome.result.is_ok(), "{name}: {:?}", outcome.result);
        let found: usize = outcome
            .stored
            .iter()
            .map(|(_, entries)| entries.len())
            .sum();
        assert_eq!(found, entries, "{name}");
    }
}
