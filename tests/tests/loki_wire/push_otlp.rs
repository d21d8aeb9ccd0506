//! Logs of OpenTelemetry that are pushed.

use kymo_ingest::wire::writer::{put_bytes, put_int, put_message};
use serde_json::{Value, json};

use crate::compare::Case;
use crate::push::{JSON, OTLP, PROTOBUF, deflate, gzip, snappy};

pub fn otlp(t: i64) -> Vec<Case> {
    let record = |extra: Value| {
        let mut record = json!({"timeUnixNano": t.to_string(), "body": {"stringValue": "hello"}});
        for (name, value) in extra.as_object().unwrap() {
            record[name] = value.clone();
        }
        record
    };
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    let push = |service: &str, records: Value| {
        json!({"resourceLogs": [{
            "resource": {"attributes": [
                attribute("service.name", json!({"stringValue": service})),
                attribute("k8s.pod.name", json!({"stringValue": "pod-1"})),
                attribute("os.type", json!({"stringValue": "linux"})),
            ], "droppedAttributesCount": 2},
            "scopeLogs": [{"scope": {"name": "lib", "version": "1.2", "attributes": [
                attribute("scope.attr", json!({"boolValue": true})),
            ]}, "logRecords": records}],
        }]})
        .to_string()
    };
    let send =
        |name: &str, body: &str| Case::send(&format!("otlp: {name}"), OTLP, JSON, body.as_bytes());
    let mut cases = vec![
        send("a record", &push("plain", json!([record(json!({}))]))),
        send("severity", &push("severity", json!([
            record(json!({"severityNumber": 17, "severityText": "ERROR"})),
            record(json!({"severityNumber": 9, "body": {"stringValue": "b"}})),
            record(json!({"severityText": "Warn", "body": {"stringValue": "c"}})),
            record(json!({"severityNumber": 99, "body": {"stringValue": "d"}})),
        ]))),
        send("ids and flags", &push("ids", json!([record(json!({
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "flags": 1,
            "observedTimeUnixNano": (t + 5).to_string(), "droppedAttributesCount": 3, "eventName": "ev",
        }))]))),
        send("attributes of all kinds", &push("kinds", json!([record(json!({"attributes": [
            attribute("s", json!({"stringValue": "x"})), attribute("i", json!({"intValue": "5"})),
            attribute("d", json!({"doubleValue": 1.5})), attribute("b", json!({"boolValue": false})),
            attribute("y", json!({"bytesValue": "AQID"})),
            attribute("a", json!({"arrayValue": {"values": [{"stringValue": "1"}, {"intValue": "2"}]}})),
            attribute("m", json!({"kvlistValue": {"values": [
                {"key": "n.x", "value": {"stringValue": "deep"}},
                {"key": "o", "value": {"kvlistValue": {"values": [{"key": "p", "value": {"intValue": "7"}}]}}},
            ]}})),
            attribute("e", json!({})), attribute("with.dots/and-more", json!({"stringValue": "z"})),
        ]}))]))),
        send("bodies of all kinds", &push("bodies", json!([
            record(json!({"body": {"intValue": "5"}})), record(json!({"body": {"doubleValue": 0.1}})),
            record(json!({"body": {"boolValue": true}})), record(json!({"body": {"bytesValue": "AQID"}})),
            record(json!({"body": {"arrayValue": {"values": [{"stringValue": "<a>"}, {"doubleValue": 2}]}}})),
            record(json!({"body": {"kvlistValue": {"values": [{"key": "b", "value": {"stringValue": "é"}}, {"key": "a", "value": {"boolValue": true}}]}}})),
            record(json!({"body": {}})),
        ]))),
        send("no time", &push("timeless", json!([{"body": {"stringValue": "x"}}]))),
        send("observed time alone", &push("observed", json!([
            {"observedTimeUnixNano": t.to_string(), "body": {"stringValue": "x"}}]))),
        send("too old", &push("old", json!([record(json!({"timeUnixNano": "1700000000000000000"}))]))),
        send("no records", &push("none", json!([]))),
        send("no resource", &json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record(json!({}))]}]}]}).to_string()),
        send("the newest names", &json!({"resource_logs": [{"scope_logs": [{"log_records": [record(json!({}))]}]}]}).to_string()),
        send("unknown members", &json!({"resourceLogs": [{"x": 1, "scopeLogs": [{"y": {}, "logRecords": [record(json!({"z": []}))]}]}]}).to_string()),
    ];
    for body in [
        "",
        "{}",
        "null",
        "[]",
        "x",
        "{\"resourceLogs\":5}",
        "{\"resourceLogs\":[5]}",
        "{\"resourceLogs\":[{}]}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"x\"}]}]}]}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"traceId\":\"zz\"}]}]}]}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":\"x\"}]}]}]}",
        "{\"resourceLogs\":[",
    ] {
        cases.push(send(&format!("body {body}"), body));
    }
    for content_type in [
        "",
        "text/plain",
        "application/json; charset=utf-8",
        PROTOBUF,
    ] {
        let body = push("types", json!([record(json!({}))]));
        cases.push(Case::send(
            &format!("otlp: json as {content_type}"),
            OTLP,
            content_type,
            body.as_bytes(),
        ));
    }
    for (encoding, body) in [
        (
            "gzip",
            gzip(push("gzip", json!([record(json!({}))])).as_bytes()),
        ),
        (
            "zstd",
            zstd::encode_all(push("zstd", json!([record(json!({}))])).as_bytes(), 1).unwrap(),
        ),
        (
            "deflate",
            deflate(push("deflate", json!([record(json!({}))])).as_bytes()),
        ),
        (
            "snappy",
            snappy(push("snappy", json!([record(json!({}))])).as_bytes()),
        ),
        (
            "identity",
            push("identity", json!([record(json!({}))])).into_bytes(),
        ),
    ] {
        let case = Case::send(&format!("otlp: as {encoding}"), OTLP, JSON, &body);
        cases.push(case.header("Content-Encoding", encoding));
    }
    for encoding in ["gzip", "zstd", "lz4"] {
        let case = Case::send(&format!("otlp: not {encoding}"), OTLP, JSON, b"{}");
        cases.push(case.header("Content-Encoding", encoding));
    }
    let put_text = |out: &mut Vec<u8>, field: u32, text: &str| {
        put_message(out, field, |value| put_bytes(value, 1, text.as_bytes()));
    };
    let mut body = Vec::new();
    put_message(&mut body, 1, |logs| {
        put_message(logs, 1, |resource| {
            put_message(resource, 1, |pair| {
                put_bytes(pair, 1, b"service.name");
                put_text(pair, 2, "protobuf");
            });
        });
        put_message(logs, 2, |scope| {
            put_message(scope, 2, |record| {
                record.push(0x09);
                record.extend_from_slice(&t.to_le_bytes());
                put_int(record, 2, 13);
                put_text(record, 5, "a body");
            });
        });
    });
    cases.push(Case::send("otlp: protobuf", OTLP, PROTOBUF, &body));
    cases.push(Case::send(
        "otlp: protobuf cut",
        OTLP,
        PROTOBUF,
        &body[..body.len() - 3],
    ));
    cases.push(Case::send("otlp: protobuf of nothing", OTLP, PROTOBUF, b""));
    cases.push(Case::send(
        "otlp: protobuf broken",
        OTLP,
        PROTOBUF,
        b"\xff\xff\xff",
    ));
    cases
}
