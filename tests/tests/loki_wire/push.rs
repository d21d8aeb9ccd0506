//! Pushing: every form, everything that may be wrong with it, and what is stored.

use std::io::Write as _;

use kymo_ingest::wire::writer::{put_bytes, put_int, put_message};
use serde_json::{Value, json};

use crate::compare::{Case, Report};
use crate::{NS_PER_S, Pair, push_json, push_otlp};

pub const PUSH: &str = "/loki/api/v1/push";
pub const OLD: &str = "/api/prom/push";
pub const OTLP: &str = "/otlp/v1/logs";
pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/x-protobuf";

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

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

pub fn deflate(body: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

pub fn snappy(body: &[u8]) -> Vec<u8> {
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
pub fn stream(labels: Value, values: Value) -> Vec<u8> {
    json!({"streams": [{"stream": labels, "values": values}]})
        .to_string()
        .into_bytes()
}

pub fn text_case(name: &str, body: &str) -> Case {
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
    report.ask(loki, kymo, &push_json::json_texts(t));
    report.ask(loki, kymo, &push_json::old_texts(t));
    report.ask(loki, kymo, &label_sets(t));
    report.ask(loki, kymo, &entries(t));
    report.ask(loki, kymo, &push_otlp::otlp(t));
    report.ask(loki, kymo, &wrong_calls(t));
    report.ask(loki, kymo, &stored(&pair));
    report.check(KEPT);
}
