//! Requests of logs in both forms.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::json::transcode;
use super::settings::{AttributeAction, AttributeRule};
use super::*;
use crate::loki::{BodyLimits, Buffers, Encoding, Format, Limits, Receiver};

const NOW_NS: i64 = 1_795_323_600_000_000_000;

type Stored = Vec<(String, i64, String, Vec<(String, String)>)>;

fn push_with(
    limits: Limits,
    form: (Format<'_>, Encoding),
    body: &[u8],
) -> Result<Stored, PushError> {
    let receiver = Receiver::new(limits, BodyLimits::default());
    let mut buffers = Buffers::default();
    let admitted = receiver.admit(form, body, &mut buffers, &mut |_| true, NOW_NS)?;
    let mut stored = Stored::new();
    for batch in &admitted.batches {
        for entry in &batch.entries {
            let pairs = entry.metadata.iter();
            stored.push((
                batch.labels.to_string(),
                entry.t_ns,
                String::from_utf8_lossy(&entry.line).into_owned(),
                pairs.map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            ));
        }
    }
    let rules = receiver.rules();
    admitted.outcome(rules.limits())?;
    Ok(stored)
}

fn push(body: &Value) -> Result<Stored, PushError> {
    let body = serde_json::to_vec(body).unwrap();
    push_with(
        Limits::default(),
        (Format::OtlpJson, Encoding::Identity),
        &body,
    )
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({"key": key, "value": value})
}

fn request(resource: &[Value], records: &[Value]) -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": resource},
        "scopeLogs": [{
            "scope": {"name": "lib", "version": "1.2", "droppedAttributesCount": 2,
                "attributes": [attribute("s.a", &json!({"intValue": "7"}))]},
            "logRecords": records,
        }],
    }]})
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
    owned.collect()
}

#[test]
fn a_record_becomes_an_entry_as_loki_makes_it() {
    let resource = [
        attribute("service.name", &json!({"stringValue": "cart"})),
        attribute("k8s.pod.name", &json!({"stringValue": "cart-0"})),
        attribute("host.name", &json!({"stringValue": "h1"})),
    ];
    let record = json!({
        "timeUnixNano": NOW_NS.to_string(),
        "observedTimeUnixNano": (NOW_NS + 5).to_string(),
        "severityNumber": "SEVERITY_NUMBER_WARN2",
        "severityText": "Warning",
        "body": {"kvlistValue": {"values": [attribute("a", &json!({"intValue": 5}))]}},
        "attributes": [
            attribute("obj", &json!({"kvlistValue": {"values": [
                attribute("x", &json!({"boolValue": true})),
                attribute("y-z", &json!({"kvlistValue": {"values": [
                    attribute("w", &json!({"doubleValue": 1.5}))]}})),
            ]}})),
            attribute("list", &json!({"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "b"}]}})),
            attribute("event_name", &json!({"stringValue": "not this"})),
        ],
        "droppedAttributesCount": 3,
        "flags": 1,
        "traceId": "0102030405060708090a0b0c0d0e0f10",
        "spanId": "01020304050607ff",
        "eventName": "this",
    });
    let stored = push(&request(&resource, &[record])).unwrap();
    let (labels, t_ns, line, metadata) = &stored[0];
    assert_eq!(labels, r#"{k8s_pod_name="cart-0", service_name="cart"}"#);
    assert_eq!((*t_ns, line.as_str()), (NOW_NS, r#"{"a":5}"#));
    assert_eq!(
        *metadata,
        pairs(&[
            ("detected_level", "warn"),
            ("dropped_attributes_count", "3"),
            ("event_name", "this"),
            ("flags", "1"),
            ("host_name", "h1"),
            ("list", r#"[1,"b"]"#),
            ("obj_x", "true"),
            ("obj_y_z_w", "1.5"),
            ("observed_timestamp", &(NOW_NS + 5).to_string()),
            ("s_a", "7"),
            ("scope_dropped_attributes_count", "2"),
            ("scope_name", "lib"),
            ("scope_version", "1.2"),
            ("severity_number", "14"),
            ("severity_text", "Warning"),
            ("span_id", "01020304050607ff"),
            ("trace_id", "0102030405060708090a0b0c0d0e0f10"),
        ])
    );
}

#[test]
fn times_and_levels_have_fallbacks() {
    let record = |fields: Value| {
        let stored = push(&request(&[], &[fields])).unwrap();
        let level = stored[0]
            .3
            .iter()
            .find(|(name, _)| name == "detected_level");
        (stored[0].1, level.unwrap().1.clone(), stored[0].0.clone())
    };
    let unknown = r#"{service_name="unknown_service"}"#.to_owned();
    let body = json!({"stringValue": "an error"});
    assert_eq!(
        record(json!({"body": body})),
        (NOW_NS, "error".to_owned(), unknown.clone())
    );
    let observed = json!({"observedTimeUnixNano": (NOW_NS - 9).to_string(), "severityNumber": 9});
    assert_eq!(record(observed), (NOW_NS - 9, "info".to_owned(), unknown));
    assert_eq!(push(&json!({})).unwrap_err().status(), 422);
}

#[test]
fn attributes_go_where_the_configuration_puts_them() {
    let mut limits = Limits::default();
    let rule = |action, name: &str| AttributeRule {
        action,
        names: vec![name.to_owned()],
        pattern: None,
    };
    limits.otlp.resource.push(AttributeRule {
        action: AttributeAction::Drop,
        names: Vec::new(),
        pattern: Some(kymo_storage::compat::regex::Regex::new("^host").unwrap()),
    });
    limits.otlp.log = vec![rule(AttributeAction::IndexLabel, "tier")];
    limits.otlp.scope = vec![rule(AttributeAction::Drop, "s.a")];
    limits.otlp.severity_text_as_label = true;
    let resource = [attribute("host.name", &json!({"stringValue": "h1"}))];
    let tier = |tier: &str| attribute("tier", &json!({"stringValue": tier}));
    let body = request(
        &resource,
        &[
            json!({"attributes": [tier("a")], "severityText": "INFO"}),
            json!({"attributes": [tier("b")]}),
            json!({"attributes": [tier("a")], "severityText": "INFO"}),
        ],
    );
    let body = serde_json::to_vec(&body).unwrap();
    let stored = push_with(limits, (Format::OtlpJson, Encoding::Identity), &body).unwrap();
    let streams: Vec<&str> = stored.iter().map(|(labels, ..)| labels.as_str()).collect();
    let with_severity = r#"{service_name="unknown_service", severity_text="INFO", tier="a"}"#;
    assert_eq!(
        streams,
        [
            with_severity,
            with_severity,
            r#"{service_name="unknown_service", tier="b"}"#
        ]
    );
    assert!(stored.iter().all(|(.., metadata)| {
        metadata
            .iter()
            .all(|(name, _)| name != "host_name" && name != "s_a" && name != "tier")
    }));
}

#[test]
fn both_forms_say_the_same() {
    let record = json!({"timeUnixNano": NOW_NS.to_string(), "body": {"stringValue": "x é"},
        "flags": 4_294_967_295u32, "severityNumber": 24});
    let json = serde_json::to_vec(&request(&[], &[record.clone(), record])).unwrap();
    let mut protobuf = Vec::new();
    transcode(&json, &schema::REQUEST, &mut protobuf, 1 << 20).unwrap();
    let of_json = push_with(
        Limits::default(),
        (Format::OtlpJson, Encoding::Identity),
        &json,
    );
    let of_protobuf = push_with(
        Limits::default(),
        (Format::OtlpProtobuf, Encoding::Identity),
        &protobuf,
    );
    assert_eq!(of_json.unwrap(), of_protobuf.unwrap());
}

#[test]
fn mistakes_are_named() {
    let error = |form: Format<'_>, body: &[u8]| {
        let error = push_with(Limits::default(), (form, Encoding::Identity), body).unwrap_err();
        (error.status(), error.to_string())
    };
    assert_eq!(
        error(Format::OtlpProtobuf, &[0x0a, 5, 1]),
        (400, "unexpected EOF".to_owned())
    );
    let (status, text) = error(Format::OtlpJson, b"{\"resourceLogs\": 5}");
    assert_eq!(status, 400);
    assert!(text.contains("ResourceLogs"), "{text}");
    let unnamed =
        serde_json::to_vec(&request(&[attribute("", &json!({"intValue": 1}))], &[])).unwrap();
    assert_eq!(
        error(Format::OtlpJson, &unnamed),
        (400, "label name is empty".to_owned())
    );
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200), tags in proptest::collection::vec((1u8..13, 0u8..6, 0u8..40), 0..30)) {
        let form = (Format::OtlpProtobuf, Encoding::Identity);
        let _ = push_with(Limits::default(), form, &bytes);
        let fields: Vec<u8> = tags.iter().flat_map(|(field, wire, len)| [field << 3 | wire, *len]).collect();
        let _ = push_with(Limits::default(), form, &fields);
        let _ = push_with(Limits::default(), (Format::OtlpJson, Encoding::Identity), &bytes);
    }
}
