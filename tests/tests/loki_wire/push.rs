//! Pushing: every form, everything that may be wrong with it, and what is stored.

use std::io::Write as _;

use kymo_ingest::wire::writer::{put_bytes, put_int, put_message};
use serde_json::{Value, json};

use crate::compare::{Case, Report};
use crate::{NS_PER_S, Pair};

const PUSH: &str = "/loki/api/v1/push";
const OLD: &str = "/api/prom/push";
const OTLP: &str = "/otlp/v1/logs";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// Where the answers differ on purpose.
const KEPT: &[(&str, &str)] = &[
    ("json as identity", "an encoding that is none is taken"),
    ("protobuf as identity", "an encoding that is none is taken"),
    ("cut gzip", "the text is that of the unpacker"),
    ("not deflate", "the text is that of the unpacker"),
    ("cut deflate", "the text is that of the unpacker"),
    (
        "body {\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[]]}]}",
        "an entry without a time is of 1970",
    ),
    (
        "body {\"streams\":[{\"labels\":",
        "the older form is read on both paths",
    ),
    (
        "body {\"streams\":[{\"stream\":{\"ctl\"",
        "control characters are taken",
    ),
    ("old ", "the texts are those of the newer form"),
    (
        "entries: metadata names",
        "what cannot be stored is not sent again",
    ),
    ("entries: two hours behind", "nothing is too far behind"),
    ("entries: behind, some", "nothing is too far behind"),
    ("otlp: body", "the texts are Kymo's"),
    ("otlp: json as", "a type may have parameters"),
    ("otlp: as identity", "an encoding that is none is taken"),
    ("otlp: not", "the text is that of the unpacker"),
    ("OPTIONS ", "browsers ask before they call"),
];

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

/// An entry of protobuf: time, line, metadata.
type Entry<'a> = (i64, &'a [u8], &'a [(&'a str, &'a str)]);

/// Returns Loki's protobuf, not packed.
fn protobuf(streams: &[(&str, &[Entry<'_>])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (labels, entries) in streams {
        put_message(&mut body, 1, |stream| {
            put_bytes(stream, 1, labels.as_bytes());
            for (t_ns, line, metadata) in *entries {
                put_message(stream, 2, |entry| {
                    put_message(entry, 1, |time| {
                        put_int(time, 1, t_ns / NS_PER_S);
                        put_int(time, 2, t_ns % NS_PER_S);
                    });
                    put_bytes(entry, 2, line);
                    for (name, value) in *metadata {
                        put_message(entry, 3, |label| {
                            put_bytes(label, 1, name.as_bytes());
                            put_bytes(label, 2, value.as_bytes());
                        });
                    }
                });
            }
        });
    }
    body
}

/// Returns a push of JSON with one stream.
fn stream(labels: Value, values: Value) -> Vec<u8> {
    json!({"streams": [{"stream": labels, "values": values}]})
        .to_string()
        .into_bytes()
}

fn text_case(name: &str, body: &str) -> Case {
    Case::send(name, PUSH, JSON, body.as_bytes())
}

fn forms(t: i64) -> Vec<Case> {
    let body = |app: &str| {
        stream(
            json!({"app": app}),
            json!([[t.to_string(), "level=warn x"]]),
        )
    };
    let proto = |app: &str| {
        let labels = format!("{{app=\"{app}\"}}");
        let metadata = [("trace-id", "1"), ("b", "2")];
        snappy(&protobuf(&[(&labels, &[(t, b"ERROR y", &metadata)])]))
    };
    let send =
        |name: &str, content_type: &str, body: &[u8]| Case::send(name, PUSH, content_type, body);
    let mut cases = vec![
        send("json", JSON, &body("json")),
        send(
            "json with a charset",
            "application/json; charset=utf-8",
            &body("charset"),
        ),
        send("json in capitals", "Application/JSON", &body("capitals")),
        send("json without a type", "", &body("untyped")),
        send(
            "json as a form",
            "application/x-www-form-urlencoded",
            &body("form"),
        ),
        send("json as text", "text/plain", &body("plain")),
        send("a type that is none", "a/b/c", &body("none")),
        send("a type that is half", "application", &body("half")),
        send(
            "a type with a wrong parameter",
            "application/json; charset",
            &body("parameter"),
        ),
        send("protobuf", PROTOBUF, &proto("proto")),
        send("protobuf without a type", "", &proto("untyped proto")),
        send(
            "protobuf as google's",
            "application/vnd.google.protobuf",
            &proto("google"),
        ),
        send(
            "protobuf not packed",
            PROTOBUF,
            &protobuf(&[("{a=\"b\"}", &[(t, b"x", &[])])]),
        ),
        send("protobuf empty", PROTOBUF, b""),
        send("protobuf of nothing", PROTOBUF, &snappy(b"")),
        send("protobuf broken", PROTOBUF, &snappy(b"\x0a\xff\xff")),
        send("protobuf of another kind", PROTOBUF, &snappy(b"\x09\x01")),
        send("protobuf with group", PROTOBUF, &snappy(b"\x0b\x0c")),
        send("protobuf with field 0", PROTOBUF, &snappy(b"\x02\x01")),
        send("protobuf cut", PROTOBUF, &proto("cut")[..20]),
    ];
    for encoding in [
        "gzip",
        "deflate",
        "snappy",
        "",
        "identity",
        "br",
        "GZIP",
        "gzip, deflate",
    ] {
        let packed = |body: Vec<u8>| match encoding {
            "gzip" | "GZIP" => gzip(&body),
            "deflate" => deflate(&body),
            _ => body,
        };
        let name = format!("json as {encoding}");
        let case = send(&name, JSON, &packed(body(&name))).header("Content-Encoding", encoding);
        cases.push(case);
        let name = format!("protobuf as {encoding}");
        let case =
            send(&name, PROTOBUF, &packed(proto(&name))).header("Content-Encoding", encoding);
        cases.push(case);
    }
    for encoding in ["gzip", "deflate"] {
        let name = format!("not {encoding}");
        let case = send(&name, JSON, &body(&name)).header("Content-Encoding", encoding);
        cases.push(case);
        let name = format!("cut {encoding}");
        let packed = if encoding == "gzip" {
            gzip(&body(&name))
        } else {
            deflate(&body(&name))
        };
        let case =
            send(&name, JSON, &packed[..packed.len() / 2]).header("Content-Encoding", encoding);
        cases.push(case);
        let name = format!("empty {encoding}");
        cases.push(send(&name, JSON, b"").header("Content-Encoding", encoding));
    }
    cases
}

fn json_texts(t: i64) -> Vec<Case> {
    let bodies = [
        "",
        " ",
        "null",
        "true",
        "5",
        "\"x\"",
        "[]",
        "{",
        "{}",
        "}",
        "[{}]",
        "{\"streams\":null}",
        "{\"streams\":[]}",
        "{\"streams\":{}}",
        "{\"streams\":\"x\"}",
        "{\"streams\":[null]}",
        "{\"streams\":[5]}",
        "{\"streams\":[{}]}",
        "{\"streams\":[{}]} x",
        "{\"streams\":[{}]",
        "{\"streams\":[[]]}",
        "{\"Streams\":[{}]}",
        "{\"other\":1}",
        "{\"other\":1,\"streams\":[]}",
        r#"{"streams":[{"stream":{"a":"b"}}]}"#,
        r#"{"streams":[{"stream":null,"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["T","no labels"]]}]}"#,
        r#"{"streams":[{"stream":"x","values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":[],"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":1},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":null},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":["x"]},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":null}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":{}}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[null]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":["x"]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[T,"x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T",5]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T",null]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[null,"x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["x","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["1.5","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["-5","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["+5","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[[" 5","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["0","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["99999999999999999999","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["2026-11-27T00:00:00Z","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T",""]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x","y"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",null]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":1}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":null}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":true}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":{"l":"m"}}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":["l"]}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",[]]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{},{}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{},5,6]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x",{"k":"1","k":"2"}]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b","a":"c"},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"]]}}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","\x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","\u00zz"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","\u00e9\ud83d\ude00\n\/\b"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"],]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"]],}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"]],"more":[1,{}]}]}"#,
        r#"{"streams":[{"values":[["T","values first"]],"stream":{"a":"b"}}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"values":[["T","x"]]}],"streams":[{"stream":{"a":"c"},"values":[["T","x"]]}]}"#,
        r#"{"streams":[{"stream":{"a":"b"},"stream":{"c":"d"},"values":[["T","two"]]}]}"#,
        r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{a=\"b\"","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"stream":{"ctl":"b"},"values":[["T","a	tab"]]}]}"#,
        "{\"streams\":[{\"stream\":{\"ctl\":\"b\"},\"values\":[[\"T\",\"a\nline\"]]}]}",
        "\u{feff}{\"streams\":[]}",
    ];
    let (ns, date) = (t.to_string(), date(t));
    bodies
        .iter()
        .map(|body| {
            let sent = body
                .replace('T', &ns)
                .replace("\"S\"", &format!("\"{date}\""));
            text_case(&format!("body {body}"), &sent)
        })
        .collect()
}

fn old_texts(t: i64) -> Vec<Case> {
    let bodies = [
        "",
        "null",
        "{}",
        "{\"streams\":[]}",
        "{\"streams\":[{}]}",
        "{\"streams\":[5]}",
        r#"{"streams":[{"labels":"{old=\"1\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"2\"}","entries":[{"ts":"S","line":"x","structuredMetadata":{"k":"v"}}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"3\"","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"old","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"4\"}","entries":[{"ts":"yesterday","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"5\"}","entries":[{"ts":5,"line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"6\"}","entries":[{"line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"7\"}","entries":[{"ts":"S"}]}]}"#,
        r#"{"streams":[{"labels":"{old=~\"8\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"9\",}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"10\"} |= \"x\"","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"11\", old=\"12\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=`13`}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old='14'}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{\"old\"=\"15\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{1old=\"16\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old.x=\"17\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{old=\"18\", empty=\"\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"x{old=\"19\"}","entries":[{"ts":"S","line":"x"}]}]}"#,
        r#"{"streams":[{"stream":{"new":"1"},"values":[["T","x"]]}]}"#,
    ];
    let (ns, date) = (t.to_string(), date(t));
    bodies
        .iter()
        .map(|body| {
            let sent = body
                .replace("\"T\"", &format!("\"{ns}\""))
                .replace("\"S\"", &format!("\"{date}\""));
            Case::send(&format!("old {body}"), OLD, JSON, sent.as_bytes())
        })
        .collect()
}

fn date(t_ns: i64) -> String {
    let zone = kymo_storage::compat::time::Instant {
        unix_s: t_ns / NS_PER_S,
        nanos: 0,
    };
    zone.rfc3339_nano()
}

fn label_sets(t: i64) -> Vec<Case> {
    let long_name = "n".repeat(1025);
    let long_value = "v".repeat(2049);
    let sixteen: serde_json::Map<String, Value> =
        (0..16).map(|i| (format!("l{i:02}"), json!("x"))).collect();
    let fifteen: serde_json::Map<String, Value> =
        (0..15).map(|i| (format!("l{i:02}"), json!("x"))).collect();
    let sets = [
        ("15 names", json!(fifteen)),
        ("16 names", json!(sixteen)),
        ("a long name", json!({long_name: "x"})),
        ("a long value", json!({"long": long_value})),
        ("a name with a dash", json!({"a-b": "c"})),
        ("a name with a point", json!({"a.b": "c"})),
        ("a name that is a number", json!({"1": "c"})),
        ("a name with a space", json!({"a b": "c"})),
        ("a name of other letters", json!({"é": "c"})),
        ("no name", json!({"": "c"})),
        ("an empty value", json!({"a": ""})),
        ("an empty value beside", json!({"a": "", "b": "c"})),
        ("a value with quotes", json!({"a": "x\"y\\z\n"})),
        ("a value of other letters", json!({"a": "é😀"})),
        ("a reserved name", json!({"__name__": "x"})),
        ("two underscores", json!({"__x": "y"})),
        ("an internal name", json!({"__stream_shard__": "1"})),
        (
            "an aggregated metric",
            json!({"__aggregated_metric__": "1"}),
        ),
        ("a pattern", json!({"__pattern__": "1"})),
        (
            "a service name",
            json!({"service_name": "mine", "app": "other"}),
        ),
        ("a container", json!({"container": "c", "job": "j"})),
        ("a level", json!({"level": "Warning", "app": "levels"})),
        ("a backfill", json!({"__backfill__": "true"})),
        ("a backfill shard", json!({"__backfill_shard__": "1"})),
    ];
    let mut cases: Vec<Case> = sets
        .into_iter()
        .map(|(name, labels)| {
            let body = stream(
                labels,
                json!([[t.to_string(), "x"], [(t + 1).to_string(), "y"]]),
            );
            Case::send(&format!("labels: {name}"), PUSH, JSON, &body)
        })
        .collect();
    for labels in [
        "",
        "{}",
        "{",
        "a",
        "{a}",
        "{a=}",
        "{a=b}",
        "{a=\"b\"",
        "{a=\"b\"}}",
        "{a=\"b\" c=\"d\"}",
        "{a=\"b\",,c=\"d\"}",
        "{a=\"b\",a=\"b\"}",
        "{b=\"1\", a=\"2\"}",
        "{a!=\"b\"}",
        "{a=\"\\q\"}",
        "{a=\"b\"} # c",
        "{ a = \"spaces\" }",
        "{a=\"b\",}",
        "{a=\"x\ny\"}",
        "{é=\"b\"}",
        "{\"a\"=\"b\"}",
        "{a='q'}",
        "{a=`q`}",
        "{app=\"p\"}",
        "{on=\"x\"}",
        "{a=\"\\xff\"}",
        "{a=\"\\u00e9\"}",
    ] {
        let body = snappy(&protobuf(&[(labels, &[(t, b"x", &[])])]));
        cases.push(Case::send(
            &format!("protobuf labels {labels}"),
            PUSH,
            PROTOBUF,
            &body,
        ));
    }
    let body = snappy(&protobuf(&[
        ("{good=\"1\"}", &[(t, b"kept", &[])]),
        ("{bad", &[(t, b"x", &[])]),
        ("{good=\"2\"}", &[(t, b"kept, too", &[])]),
    ]));
    cases.push(Case::send(
        "a bad label set among good ones",
        PUSH,
        PROTOBUF,
        &body,
    ));
    cases
}

fn entries(t: i64) -> Vec<Case> {
    const DAY: i64 = 86_400 * NS_PER_S;
    let of = |name: &str, app: &str, values: Value| {
        let body = stream(json!({"app": app}), values);
        Case::send(&format!("entries: {name}"), PUSH, JSON, &body)
    };
    let at = |t: i64| t.to_string();
    let long = "x".repeat(262_145);
    let most = "x".repeat(262_144);
    let many: serde_json::Map<String, Value> =
        (0..129).map(|i| (format!("k{i}"), json!("v"))).collect();
    let large = json!({"k": "v".repeat(65_536)});
    let twelve: Vec<Value> = (0..12).map(|i| json!([at(t - 8 * DAY + i), "x"])).collect();
    let mut cases = vec![
        of("too old", "old", json!([[at(t - 8 * DAY), "x"]])),
        of(
            "too old, some",
            "old",
            json!([[at(t - 8 * DAY), "x"], [at(t), "kept"]]),
        ),
        of("too old, twelve", "old", json!(twelve)),
        of("too new", "new", json!([[at(t + DAY), "x"]])),
        of(
            "too new, some",
            "new",
            json!([[at(t), "kept"], [at(t + DAY), "x"]]),
        ),
        of("too long", "long", json!([[at(t), long]])),
        of(
            "too long, some",
            "long",
            json!([[at(t), long], [at(t), "kept"], [at(t), long]]),
        ),
        of("as long as may be", "long", json!([[at(t), most]])),
        of("too many metadata", "metadata", json!([[at(t), "x", many]])),
        of(
            "too large metadata",
            "metadata",
            json!([[at(t), "x", large]]),
        ),
        of(
            "in no order",
            "order",
            json!([[at(t), "b"], [at(t - NS_PER_S), "a"], [at(t + 1), "c"]]),
        ),
        of(
            "the same twice",
            "twice",
            json!([[at(t), "b"], [at(t), "b"], [at(t), "c"], [at(t), "b"]]),
        ),
        of("the same again", "twice", json!([[at(t), "b"]])),
        of(
            "metadata names",
            "names",
            json!([[at(t), "x", {"a-b": "1", "c.d": "2", "9": "3", "é": "4", "": "5"}]]),
        ),
        of(
            "metadata that is a level",
            "levels",
            json!([[at(t), "x", {"detected_level": "WARN"}], [at(t + 1), "x", {"severity": "Fatal"}]]),
        ),
        of(
            "metadata that is empty",
            "empty",
            json!([[at(t), "x", {"k": ""}]]),
        ),
        of(
            "levels of lines",
            "lines",
            json!([
                [at(t), "{\"level\":\"err\"}"],
                [at(t + 1), "lvl=dbg x"],
                [at(t + 2), "it is CRITICAL"],
                [at(t + 3), "[info] y"],
                [at(t + 4), "nothing"],
                [at(t + 5), "{\"log\":{\"level\":\"trace\"}}"],
            ]),
        ),
    ];
    // Several reasons at once, and several streams.
    let body = json!({"streams": [
        {"stream": {"app": "mixed"}, "values": [[at(t - 8 * DAY), "x"], [at(t), long], [at(t + DAY), "x"], [at(t), "kept"]]},
        {"stream": {"app": "mixed", "env": "2"}, "values": [[at(t - 8 * DAY), "x"]]},
        {"stream": {"app": "mixed", "long": "v".repeat(2049)}, "values": [[at(t), "x"], [at(t), "y"]]},
        {"stream": {"app": "mixed", "env": "3"}, "values": [[at(t), "kept"]]},
    ]});
    cases.push(text_case("entries: many reasons", &body.to_string()));
    let streams: Vec<Value> = (0..12)
        .map(|i| json!({"stream": {"app": "many", "n": i.to_string()}, "values": [[at(t - 8 * DAY), "x"]]}))
        .collect();
    cases.push(text_case(
        "entries: many streams",
        &json!({"streams": streams}).to_string(),
    ));
    // Far behind the newest entry of its stream.
    cases.push(of("a new one", "behind", json!([[at(t), "new"]])));
    cases.push(of(
        "two hours behind",
        "behind",
        json!([[at(t - 7200 * NS_PER_S), "old"]]),
    ));
    cases.push(of(
        "behind, some",
        "behind",
        json!([
            [at(t - 7200 * NS_PER_S), "a"],
            [at(t - 7300 * NS_PER_S), "b"],
            [at(t - 1), "kept"],
        ]),
    ));
    let proto = |labels: &str, entries: &[Entry<'_>]| snappy(&protobuf(&[(labels, entries)]));
    let not_text = proto("{app=\"bytes\"}", &[(t, b"a\xff\xfeb", &[])]);
    cases.push(Case::send("entries: no text", PUSH, PROTOBUF, &not_text));
    let same = proto(
        "{app=\"dup\"}",
        &[(t, b"x", &[("b", "2"), ("a", "1"), ("b", "3")])],
    );
    cases.push(Case::send("entries: metadata twice", PUSH, PROTOBUF, &same));
    let epoch = proto("{app=\"epoch\"}", &[(0, b"x", &[])]);
    cases.push(Case::send("entries: of 1970", PUSH, PROTOBUF, &epoch));
    let none = proto("{app=\"none\"}", &[]);
    cases.push(Case::send("entries: none", PUSH, PROTOBUF, &none));
    cases
}

fn otlp(t: i64) -> Vec<Case> {
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

fn wrong_calls(t: i64) -> Vec<Case> {
    let body = stream(json!({"app": "tenant"}), json!([[t.to_string(), "x"]]));
    let push = |name: &str| Case::send(name, PUSH, JSON, &body);
    let mut cases = vec![
        push("tenant a").header("X-Scope-OrgID", "a"),
        push("tenants a|b").header("X-Scope-OrgID", "a|b"),
        push("tenant ..").header("X-Scope-OrgID", ".."),
        push("shard 1").header("X-Loki-Backfill-Shard", "1"),
        push("shard of no letters").header("X-Loki-Backfill-Shard", "a b\"c"),
        push("shard too long").header("X-Loki-Backfill-Shard", &"x".repeat(129)),
        push("shard empty").header("X-Loki-Backfill-Shard", ""),
    ];
    for path in [PUSH, OLD, OTLP] {
        // For others Loki says one or the other, as it was put together.
        for method in ["PUT", "PATCH", "OPTIONS", "HEAD"] {
            cases.push(Case::new(method, path));
        }
    }
    for path in [
        "/loki/api/v1/push/",
        "/loki/api/v1/pushx",
        "/loki/api/v2/push",
        "/otlp/v1/log",
        "/otlp",
        "/api/v1/push",
    ] {
        cases.push(Case::send(&format!("POST {path}"), path, JSON, &body));
    }
    cases
}

/// What both hold in the end, but for what one of them alone takes.
fn stored(pair: &Pair) -> Vec<Case> {
    let (start, end) = (pair.ns(-9 * 86_400), pair.ns(3600));
    let range = [("start", start.as_str()), ("end", end.as_str())];
    let both = "service_name=~\".+\",service_name!~\"types|timeless|behind|(.* as )?identity\",new=\"\",ctl=\"\"";
    let (all, labelled) = (
        format!("{{{both}}}"),
        format!("{{{both},__stream_shard__=\"\"}}"),
    );
    let params = [
        ("query", all.as_str()),
        range[0],
        range[1],
        ("limit", "5000"),
        ("direction", "forward"),
    ];
    let entries = Case::get("/loki/api/v1/query_range", &params).unordered();
    let flags = ("X-Loki-Response-Encoding-Flags", "categorize-labels");
    vec![
        entries.clone().named("stored"),
        entries.named("stored by category").header(flags.0, flags.1),
        Case::get(
            "/loki/api/v1/series",
            &[("match[]", &all), range[0], range[1]],
        )
        .unordered(),
        Case::get(
            "/loki/api/v1/labels",
            &[("query", &labelled), range[0], range[1]],
        ),
    ]
}

#[test]
fn pushes_are_answered_and_stored_as_by_loki() {
    let Some(pair) = Pair::start(&[]) else {
        return;
    };
    let (loki, kymo) = (pair.loki.client(), pair.kymo.client());
    let t = (pair.now_s - 60) * NS_PER_S;
    let mut report = Report::default();
    report.ask(loki, kymo, &forms(t));
    report.ask(loki, kymo, &json_texts(t));
    report.ask(loki, kymo, &old_texts(t));
    report.ask(loki, kymo, &label_sets(t));
    report.ask(loki, kymo, &entries(t));
    report.ask(loki, kymo, &otlp(t));
    report.ask(loki, kymo, &wrong_calls(t));
    report.ask(loki, kymo, &stored(&pair));
    report.check(KEPT);
}

/// Pushes that small limits refuse, whole or in part.
fn limited(t: i64) -> Vec<Case> {
    let at = |t: i64| t.to_string();
    let push = |name: &str, labels: Value, values: Value| {
        Case::send(
            &format!("limited: {name}"),
            PUSH,
            JSON,
            &stream(labels, values),
        )
    };
    const HOUR: i64 = 3600 * NS_PER_S;
    vec![
        push("in all of them", json!({"env": "x"}), json!([[at(t), "x"]])),
        push(
            "no enforced label",
            json!({"app": "x"}),
            json!([[at(t), "x"]]),
        ),
        push(
            "names",
            json!({"env": "x", "a": "1", "b": "2", "c": "3"}),
            json!([[at(t), "x"]]),
        ),
        push(
            "a name",
            json!({"env": "x", "abcdefghijk": "1"}),
            json!([[at(t), "x"]]),
        ),
        push(
            "a value",
            json!({"env": "abcdefghijklmnopq"}),
            json!([[at(t), "x"], [at(t), "y"]]),
        ),
        push(
            "a line",
            json!({"env": "x"}),
            json!([[at(t), "x".repeat(201)], [at(t), "kept"]]),
        ),
        push(
            "age",
            json!({"env": "x"}),
            json!([[at(t - 2 * HOUR), "x"], [at(t), "kept"]]),
        ),
        push("future", json!({"env": "x"}), json!([[at(t + HOUR), "x"]])),
        push(
            "metadata",
            json!({"env": "x"}),
            json!([[at(t), "x", {"a": "1", "b": "2", "c": "3"}]]),
        ),
        push(
            "bytes of metadata",
            json!({"env": "x"}),
            json!([[at(t), "x", {"a": "v".repeat(60)}]]),
        ),
        push(
            "all of it",
            json!({"env": "x"}),
            json!([
                [at(t - 2 * HOUR), "x"], [at(t + HOUR), "x"], [at(t), "x".repeat(201)], [at(t), "x", {"a": "v".repeat(60)}],
            ]),
        ),
        // The bytes of a second, all at once.
        push(
            "rate",
            json!({"env": "x"}),
            json!(
                (0..100)
                    .map(|i| json!([at(t + i), "x".repeat(150)]))
                    .collect::<Vec<_>>()
            ),
        ),
    ]
}

#[test]
fn small_limits_are_told_as_by_loki() {
    let limits = [
        ("max_line_size", "200B"),
        ("max_label_names_per_series", "3"),
        ("max_label_name_length", "10"),
        ("max_label_value_length", "15"),
        ("reject_old_samples_max_age", "1h"),
        ("creation_grace_period", "1m"),
        ("max_structured_metadata_size", "50B"),
        ("max_structured_metadata_entries_count", "2"),
        ("enforced_labels", "[env]"),
        ("ingestion_rate_mb", "0.01"),
        ("ingestion_burst_size_mb", "0.01"),
    ];
    let Some(pair) = Pair::start(&limits) else {
        return;
    };
    let mut report = Report::default();
    let t = (pair.now_s - 60) * NS_PER_S;
    report.ask(pair.loki.client(), pair.kymo.client(), &limited(t));
    report.check(&[]);
}

#[test]
fn cut_lines_and_slow_streams_are_as_in_loki() {
    let limits = [
        ("max_line_size", "100B"),
        ("max_line_size_truncate", "true"),
        ("per_stream_rate_limit", "200B"),
        ("per_stream_rate_limit_burst", "400B"),
    ];
    let Some(pair) = Pair::start(&limits) else {
        return;
    };
    let mut report = Report::default();
    let t = (pair.now_s - 60) * NS_PER_S;
    let push = |name: &str, app: &str, values: Value| {
        let body = stream(json!({"app": app}), values);
        Case::send(&format!("limited: {name}"), PUSH, JSON, &body)
    };
    let line = |len: usize, i: i64| json!([(t + i).to_string(), "é".repeat(len / 2)]);
    let cases = [
        push("cut", "cut", json!([line(150, 0), line(99, 1)])),
        push(
            "slow",
            "slow",
            json!([
                line(90, 0),
                line(90, 1),
                line(90, 2),
                line(90, 3),
                line(90, 4),
                line(90, 5)
            ]),
        ),
    ];
    report.ask(pair.loki.client(), pair.kymo.client(), &cases);
    let (start, end) = (pair.ns(-600), pair.ns(60));
    let params = [
        ("query", "{app=\"cut\"}"),
        ("start", start.as_str()),
        ("end", end.as_str()),
    ];
    let stored = Case::get("/loki/api/v1/query_range", &params).unordered();
    report.ask(pair.loki.client(), pair.kymo.client(), &[stored]);
    report.check(&[]);
}
