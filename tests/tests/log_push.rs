//! Logs pushed to the real server in every form: answers, limits, figures, and what is
//! stored in the end.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_ingest::wire::writer::{put_bytes, put_int, put_message};
use kymo_storage::logs::{LogStore, LogStoreOptions};
use kymo_storage::model::NanoRange;
use kymo_tests::{Answer, Kymo, wait_until};
use serde_json::json;

const PUSH: &str = "/loki/api/v1/push";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_nanos()).unwrap()
}

fn push(kymo: &Kymo, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    kymo.client().call("POST", path, headers, body)
}

/// Returns Loki's protobuf of one entry, as Promtail sends it.
fn protobuf(labels: &str, t_ns: i64, line: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_message(&mut body, 1, |stream| {
        put_bytes(stream, 1, labels.as_bytes());
        put_message(stream, 2, |entry| {
            put_message(entry, 1, |time| {
                put_int(time, 1, t_ns / 1_000_000_000);
                put_int(time, 2, t_ns % 1_000_000_000);
            });
            put_bytes(entry, 2, line.as_bytes());
            put_message(entry, 3, |label| {
                put_bytes(label, 1, b"trace-id");
                put_bytes(label, 2, b"abc");
            });
        });
    });
    snap::raw::Encoder::new().compress_vec(&body).unwrap()
}

fn json_push(app: &str, t_ns: i64, line: &str) -> Vec<u8> {
    let push = json!({"streams": [{"stream": {"app": app}, "values": [[t_ns.to_string(), line]]}]});
    serde_json::to_vec(&push).unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

/// Labels, line and metadata of an entry.
type Stored = (String, String, Vec<(String, String)>);

/// Returns the stored entries of a server that has ended: labels, line and metadata.
fn stored(data: &Path) -> Vec<Stored> {
    let (store, recovery) = LogStore::open(&LogStoreOptions::new(data)).unwrap();
    assert!(recovery.damages.is_empty(), "{:?}", recovery.damages);
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    let mut found = Vec::new();
    for group in 0..selection.groups().len() {
        selection
            .read(group, &mut |entry| {
                let labels = selection.streams()[entry.stream as usize].to_string();
                let line = String::from_utf8_lossy(entry.line).into_owned();
                let pairs = entry.metadata.iter();
                let pairs = pairs.map(|&(n, v)| (n.to_owned(), v.to_owned()));
                found.push((labels, line, pairs.collect()));
            })
            .unwrap();
    }
    found.sort();
    found
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
    owned.collect()
}

#[test]
fn every_form_is_stored_as_loki_would_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::start_in(dir.path(), &[]);
    let t_ns = now_ns();
    let no_content =
        |answer: Answer| assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    let proto = [("Content-Type", "application/x-protobuf")];
    no_content(push(
        &kymo,
        PUSH,
        &proto,
        &protobuf("{app=\"promtail\"}", t_ns, "a WARN line"),
    ));
    no_content(push(
        &kymo,
        PUSH,
        &[("Content-Type", "text/plain")],
        &protobuf("{app=\"untyped\"}", t_ns, "x"),
    ));
    no_content(push(
        &kymo,
        "/api/prom/push",
        &[JSON],
        &json_push("json", t_ns, "lvl=err \"x\""),
    ));
    let packed = [JSON, ("Content-Encoding", "gzip")];
    no_content(push(
        &kymo,
        PUSH,
        &packed,
        &gzip(&json_push("gzip", t_ns, "{\"level\":\"debug\"}")),
    ));
    let otlp = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "otel"}}]},
        "scopeLogs": [{"logRecords": [{
            "timeUnixNano": t_ns.to_string(), "severityNumber": 17, "body": {"stringValue": "boom"},
        }]}],
    }]});
    let otlp = serde_json::to_vec(&otlp).unwrap();
    no_content(push(&kymo, "/otlp/v1/logs", &[JSON], &otlp));
    no_content(push(&kymo, "/v1/logs", &packed, &gzip(&otlp)));
    // As Fluent Bit's output "http" sends with the format "json_lines".
    let lines = format!(
        "{{\"date\":{t_ns},\"log\":\"one\",\"pod\":\"p\"}}\n{{\"date\":{t_ns},\"log\":\"two\",\"pod\":\"p\",\"n\":1}}\n"
    );
    let path = "/insert/jsonline?_stream_fields=pod&_msg_field=log&_time_field=date";
    no_content(push(
        &kymo,
        path,
        &[("Content-Type", "application/stream+json")],
        lines.as_bytes(),
    ));

    let metrics = kymo.get("/metrics").text();
    for line in [
        "loki_distributor_lines_received_total{tenant=\"fake\"} 8",
        "kymo_logs_streams 6",
        // The same record came on both paths of OTLP, and is one.
        "kymo_logs_entries_total 7",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(kymo.terminate().success());
    let stream = |app: &str| format!("{{app=\"{app}\", service_name=\"{app}\"}}");
    let level = |level: &str| pairs(&[("detected_level", level)]);
    let unknown = "{pod=\"p\", service_name=\"unknown_service\"}".to_owned();
    let expected = [
        (
            stream("gzip"),
            "{\"level\":\"debug\"}".to_owned(),
            level("debug"),
        ),
        (stream("json"), "lvl=err \"x\"".to_owned(), level("error")),
        (
            stream("promtail"),
            "a WARN line".to_owned(),
            pairs(&[("detected_level", "warn"), ("trace_id", "abc")]),
        ),
        (
            stream("untyped"),
            "x".to_owned(),
            pairs(&[("detected_level", "unknown"), ("trace_id", "abc")]),
        ),
        (unknown.clone(), "one".to_owned(), level("unknown")),
        (
            unknown,
            "two".to_owned(),
            pairs(&[("detected_level", "unknown"), ("n", "1")]),
        ),
        (
            "{service_name=\"otel\"}".to_owned(),
            "boom".to_owned(),
            pairs(&[("detected_level", "error"), ("severity_number", "17")]),
        ),
    ];
    assert_eq!(stored(&dir.path().join("data")), expected);
}

#[test]
fn what_is_wrong_is_told_as_loki_tells_it() {
    let kymo = Kymo::start(&[]);
    let old_ns = now_ns() - 8 * 86_400 * 1_000_000_000;
    let unknown = [JSON, ("Content-Encoding", "br")];
    let no_json = br#"{"streams":[{"stream":{"a":"b"},"values":[[5,"x"]]}]}"#;
    for (headers, body, status, text) in [
        (&[][..], b"{}".to_vec(), 400, "mime: no media type"),
        (
            &[("Content-Type", "text/plain")],
            b"{}".to_vec(),
            400,
            "snappy: corrupt input",
        ),
        (
            &[JSON],
            b"{}".to_vec(),
            422,
            "error at least one valid stream is required for ingestion",
        ),
        (
            &unknown,
            b"{}".to_vec(),
            400,
            "Content-Encoding \"br\" not supported",
        ),
        (
            &[JSON],
            no_json.to_vec(),
            400,
            "Value looks like Number/Boolean/None, but can't find its end",
        ),
        (
            &[JSON],
            json_push("a", old_ns, "x"),
            400,
            "has timestamp too old: ",
        ),
        (
            &[JSON],
            json_push("a", now_ns(), &"x".repeat(300_000)),
            400,
            "max entry size '262144' bytes exceeded for stream '{app=\"a\", service_name=\"a\"}'",
        ),
    ] {
        let answer = push(&kymo, PUSH, headers, &body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text().contains(text), "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
    let get = kymo.get(PUSH);
    assert_eq!(get.status, 405, "{get:?}");
    let answer = push(
        &kymo,
        "/otlp/v1/logs",
        &[("Content-Type", "text/plain")],
        b"x",
    );
    assert_eq!(answer.status, 400);
    // A message of protobuf with the text in its second field.
    assert_eq!(
        answer.body,
        b"\x12\x29content type: text/plain is not supported"
    );
    let metrics = kymo.get("/metrics").text();
    for line in [
        "loki_discarded_samples_total{reason=\"greater_than_max_sample_age\",tenant=\"fake\"} 1",
        "loki_discarded_bytes_total{reason=\"line_too_long\",tenant=\"fake\"} 300000",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[test]
fn limits_come_from_the_configuration_and_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kymo.yml");
    std::fs::write(
        &file,
        "limits_config:\n  reject_old_samples: false\n  max_line_size: 8\n",
    )
    .unwrap();
    let kymo = Kymo::start_in(dir.path(), &["--config.file=kymo.yml"]);
    let old_ns = now_ns() - 30 * 86_400 * 1_000_000_000;
    assert_eq!(
        push(&kymo, PUSH, &[JSON], &json_push("a", old_ns, "old")).status,
        204
    );
    let long = json_push("a", now_ns(), "123456789");
    assert_eq!(push(&kymo, PUSH, &[JSON], &long).status, 400);
    std::fs::write(&file, "limits_config:\n  max_line_size: 9\n").unwrap();
    kymo.signal("HUP");
    wait_until("the new limits hold", Duration::from_secs(60), || {
        push(&kymo, PUSH, &[JSON], &long).status == 204
    });
    assert_eq!(
        push(&kymo, PUSH, &[JSON], &json_push("a", old_ns, "x")).status,
        400
    );
}
