//! What requests store, and what their senders are told.

use std::io::Write;

use serde_json::json;

use super::*;
use crate::otlp::{Promotion, Strategy, gunzip};

fn gauge(name: &str, points: Value) -> Value {
    json!({"name": name, "gauge": {"dataPoints": points}})
}

fn point(t_ms: i64, value: f64) -> Value {
    json!({"timeUnixNano": ns(t_ms), "asDouble": value})
}

fn service() -> Value {
    json!([
        text_attribute("service.name", "cart"),
        text_attribute("service.namespace", "shop"),
        text_attribute("service.instance.id", "i-1"),
    ])
}

#[test]
fn a_resource_names_job_and_instance_and_has_its_facts_apart() {
    let fixture = Fixture::new();
    let mut resource = service();
    let attributes = resource.as_array_mut().unwrap();
    attributes.push(text_attribute("host.name", "h1"));
    let metrics = json!([gauge(
        "a.b",
        json!([point(NOW_MS, 1.0), point(NOW_MS + 150_000, 2.0)])
    )]);
    let receipt = fixture.push(&request(resource, metrics)).unwrap();
    assert_eq!(receipt.samples, 4);
    assert_eq!(
        fixture.stored(),
        [
            "{__name__=\"a_b\", instance=\"i-1\", job=\"shop/cart\"} \
             [(1700000000000, 1.0), (1700000150000, 2.0)]",
            "{__name__=\"target_info\", host_name=\"h1\", instance=\"i-1\", job=\"shop/cart\"} \
             [(1700000000000, 1.0), (1700000150000, 1.0)]",
        ]
    );
}

#[test]
fn series_are_known_again_and_settings_are_not_mixed_up() {
    let mut fixture = Fixture::new();
    let resource = || {
        json!([
            text_attribute("service.name", "x"),
            text_attribute("env.x", "a")
        ])
    };
    let at = |t_ms| {
        let mut point = point(t_ms, 1.0);
        point["attributes"] = json!([text_attribute("k.a", "v")]);
        request(resource(), json!([gauge("m.x", json!([point]))]))
    };
    fixture.push(&at(NOW_MS)).unwrap();
    fixture.push(&at(NOW_MS + 1)).unwrap();
    fixture.settings.strategy = Strategy::NoTranslation;
    fixture.push(&at(NOW_MS + 2)).unwrap();
    fixture.settings.promotion = Promotion::Listed(vec!["env.x".to_owned()]);
    fixture.push(&at(NOW_MS + 3)).unwrap();
    let stored = fixture.stored();
    let of_metric: Vec<&String> = stored
        .iter()
        .filter(|line| !line.contains("target"))
        .collect();
    assert_eq!(
        of_metric,
        [
            "{__name__=\"m.x\", \"env.x\"=\"a\", job=\"x\", \"k.a\"=\"v\"} \
             [(1700000000003, 1.0)]",
            "{__name__=\"m.x\", job=\"x\", \"k.a\"=\"v\"} [(1700000000002, 1.0)]",
            "{__name__=\"m_x\", job=\"x\", k_a=\"v\"} [(1700000000000, 1.0), (1700000000001, 1.0)]",
        ]
    );
}

#[test]
fn one_bad_metric_undoes_the_request_and_each_is_told() {
    let fixture = Fixture::new();
    fixture
        .push(&request(
            json!([]),
            json!([gauge("old", json!([point(NOW_MS, 1.0)]))]),
        ))
        .unwrap();
    let delta = json!({"name": "d", "sum": {"aggregationTemporality": 1, "dataPoints": [{}]}});
    let metrics = json!([
        gauge("new", json!([point(NOW_MS + 1, 1.0)])),
        delta,
        gauge("old", json!([point(NOW_MS - 1, 1.0), point(NOW_MS, 7.0)])),
        gauge("late", json!([point(NOW_MS + 3_600_000, 1.0)])),
    ]);
    let error = fixture.push(&request(json!([]), metrics)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid temporality and type combination for metric \"d\"\nout of order sample\n\
         out of bounds: timestamp is too far in the future"
    );
    assert_eq!(error.status(), 400);
    assert_eq!(fixture.stored().len(), 1);
    let untranslatable = request(
        json!([]),
        json!([{"name": "é", "gauge": {"dataPoints": [{}]}}]),
    );
    let error = fixture.push(&untranslatable).unwrap_err();
    assert_eq!(error.status(), 500);
    let stats = fixture.receiver.stats();
    assert_eq!((stats.requests, stats.failed, stats.samples), (3, 2, 1));
}

#[test]
fn a_malformed_request_is_told_before_what_is_wrong_with_its_metrics() {
    let fixture = Fixture::new();
    // A metric that cannot be translated, and behind it a cut field.
    let bytes = [&[0x0a, 4, 0x12, 2, 0x12, 0][..], &[0x0a, 5, 0x0a]].concat();
    let error = fixture.push_as(Format::Protobuf, &bytes).unwrap_err();
    assert_eq!(
        (error.status(), error.to_string()),
        (400, "unexpected EOF".to_owned())
    );
    for json in [
        "",
        "not json",
        "[]",
        "{\"resourceMetrics\":5}",
        "{\"resourceMetrics\":[{}",
    ] {
        let error = fixture.push_as(Format::Json, json.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400, "{json}");
    }
    for json in [
        "null",
        "{}",
        "{\"resourceMetrics\":null} and more",
        "{\"x\":[{}]}",
    ] {
        fixture.push_as(Format::Json, json.as_bytes()).unwrap();
    }
}

#[test]
fn labels_that_collide_are_wondered_about_each_time() {
    let fixture = Fixture::new();
    for t_ms in [NOW_MS, NOW_MS + 1] {
        let mut point = point(t_ms, 1.0);
        point["attributes"] = json!([text_attribute("a_b", "2"), text_attribute("a.b", "1")]);
        let receipt = fixture.push(&request(json!([]), json!([gauge("m", json!([point]))])));
        let warnings = receipt.unwrap().warnings;
        assert_eq!(
            warnings.texts(),
            [
                "OTLP data point attributes \"a.b\", \"a_b\" collide as label \"a_b\" after name \
              sanitization, values are concatenated with ';'"
            ]
        );
    }
    assert_eq!(
        fixture.stored(),
        ["{__name__=\"m\", a_b=\"1;2\"} [(1700000000000, 1.0), (1700000000001, 1.0)]"]
    );
    assert_eq!(fixture.receiver.stats().warnings, [0, 2, 0]);
}

#[test]
fn a_resource_whose_points_are_ages_apart_does_not_fill_the_store() {
    let fixture = Fixture::new();
    let mut resource = service();
    resource
        .as_array_mut()
        .unwrap()
        .push(text_attribute("x", "y"));
    let metrics = json!([gauge("m", json!([{"asInt": 1}, point(NOW_MS, 1.0)]))]);
    let error = fixture.push(&request(resource, metrics)).unwrap_err();
    assert!(error.to_string().contains("too far apart"), "{error}");
    assert!(fixture.stored().is_empty());
}

#[test]
fn values_too_deep_are_refused_in_both_forms() {
    let fixture = Fixture::new();
    let mut value = json!({"boolValue": true});
    for _ in 0..200 {
        value = json!({"arrayValue": {"values": [value]}});
    }
    let resource = json!([{"key": "k", "value": value}]);
    let error = fixture.push(&request(resource, json!([]))).unwrap_err();
    assert_eq!(error.status(), 400);
    // The same in protobuf, much deeper.
    let mut bytes = Vec::new();
    for at in 0..100_000 {
        let tag = if at % 2 == 0 { 0x0a } else { 0x2a };
        let mut field = vec![tag];
        let mut len = bytes.len();
        while len >= 0x80 {
            field.push(len as u8 | 0x80);
            len >>= 7;
        }
        field.push(len as u8);
        if bytes.len() > 20_000 {
            break;
        }
        bytes.splice(..0, field);
    }
    for tag in [0x12, 0x0a, 0x0a, 0x0a] {
        let len = bytes.len();
        let head = [
            tag,
            len as u8 | 0x80,
            (len >> 7) as u8 | 0x80,
            (len >> 14) as u8,
        ];
        bytes.splice(..0, head);
    }
    let error = fixture.push_as(Format::Protobuf, &bytes).unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_unpacked_as_far_as_there_is_memory() {
    let body = gzip(&vec![b'x'; 1 << 20]);
    let mut asked = Vec::new();
    let mut reserve = |bytes| {
        asked.push(bytes);
        asked.iter().sum::<usize>() <= 300 << 10
    };
    let error = gunzip(&body, 32 << 20, &mut reserve).unwrap_err();
    assert_eq!(error.status(), 503);
    assert_eq!(asked, [64 << 10, 64 << 10, 128 << 10, 256 << 10]);
    let mut all = |_| true;
    assert_eq!(gunzip(&body, 1 << 20, &mut all).unwrap().len(), 1 << 20);
    let error = gunzip(&body, (1 << 20) - 1, &mut all).unwrap_err();
    assert_eq!(error.status(), 413);
    let two = [gzip(b"ab"), gzip(b"c")].concat();
    assert_eq!(gunzip(&two, 3, &mut all).unwrap(), b"abc");
    for (bad, text) in [
        (&b""[..], "gzip: invalid header"),
        (b"{}", "gzip: invalid header"),
        (&body[..20], "gzip: "),
    ] {
        let error = gunzip(bad, 1 << 20, &mut all).unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn headers_are_taken_as_they_stand() {
    assert!(Format::from_content_type(Some("application/json")).is_ok());
    let error = Format::from_content_type(Some("application/json; charset=utf-8")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unsupported content type: application/json; charset=utf-8, supported: \
         [application/json, application/x-protobuf]"
    );
    let error = Encoding::from_content_encoding(Some("snappy")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unsupported compression: snappy. Only \"gzip\" or no compression supported"
    );
    assert_eq!(error.status(), 400);
}
