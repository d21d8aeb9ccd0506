//! What Grafana asks of a Prometheus data source, check by check, against the real server.
//!
//! The ids are those of the written contract: C for what all data sources have to do, P for
//! Prometheus. Checks that need credentials (C-12) stand beside the tests of access; that a
//! query ends when its client is gone (C-10) and that many run at one time (P-32) stand in
//! `hostile_queries.rs` and `queries.rs` too, and are asked briefly here.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::Read;
use std::time::{Duration, Instant};

use kymo_storage::model::histogram::{Histogram, IntegerHistogram, Span};
use kymo_tests::{Answer, Client, Exemplar, Kymo, WriteBody};
use serde_json::{Value, json};

/// Where the recorded data begins, in seconds; a multiple of a day.
const T_S: i64 = 1_699_920_000;
const STEP_S: i64 = 15;
const SAMPLES: i64 = 240;
const END_S: i64 = T_S + (SAMPLES - 1) * STEP_S;

fn recorded() -> Kymo {
    let kymo = Kymo::start(&["--enable-feature=exemplar-storage"]);
    let mut body = WriteBody::new();
    let mut series = |labels: &[(&str, &str)], value: &dyn Fn(i64) -> f64| {
        let samples: Vec<(i64, f64)> = (0..SAMPLES)
            .map(|i| ((T_S + i * STEP_S) * 1000, value(i)))
            .collect();
        body.push_series(labels, &samples);
    };
    for (instance, factor) in [("a:1", 1.0), ("b:1", 2.0)] {
        let with =
            |name: &'static str| [("__name__", name), ("instance", instance), ("job", "web")];
        series(&with("http_requests_total"), &|i| factor * 10.0 * i as f64);
        series(&with("temperature"), &|i| factor + (i % 7) as f64 / 3.0);
    }
    for (le, share) in [("0.1", 0.5), ("1", 0.9), ("+Inf", 1.0)] {
        series(
            &[
                ("__name__", "latency_seconds_bucket"),
                ("job", "web"),
                ("le", le),
            ],
            &|i| (100.0 * share * i as f64).floor(),
        );
    }
    series(&[("__name__", "odd"), ("kind", "nan")], &|_| f64::NAN);
    series(&[("__name__", "odd"), ("kind", "up")], &|_| f64::INFINITY);
    series(&[("__name__", "odd"), ("kind", "down")], &|_| {
        f64::NEG_INFINITY
    });
    series(&[("__name__", "my.metric"), ("http.status", "2_0")], &|i| {
        i as f64
    });
    // A gap of ten minutes that no lookback closes.
    let gap: Vec<(i64, f64)> = (0..SAMPLES)
        .filter(|i| !(80..120).contains(i))
        .map(|i| ((T_S + i * STEP_S) * 1000, 1.0))
        .collect();
    body.push_series(&[("__name__", "gappy")], &gap);
    let native = IntegerHistogram {
        count: 9,
        sum: 12.5,
        zero_threshold: 0.001,
        zero_count: 2,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_deltas: vec![4, -1],
        ..IntegerHistogram::default()
    };
    let labels = [("__name__", "native_seconds"), ("job", "web")];
    body.push_histogram(&labels, END_S * 1000, &Histogram::Integer(native));
    let exemplar = Exemplar {
        t_ms: END_S * 1000 + 123,
        value: 0.3,
        labels: vec![("trace_id".to_owned(), "abc".to_owned())],
    };
    let bucket = [
        ("__name__", "latency_seconds_bucket"),
        ("job", "web"),
        ("le", "1"),
    ];
    body.push_exemplars(&bucket, None, &[exemplar]);
    let answer = kymo.write(&body);
    assert_eq!(answer.status, 204, "{answer:?}");
    kymo
}

/// Asks with a form, as the backend does, or in the URL.
fn ask(client: Client, method: &str, path: &str, params: &[(&str, &str)]) -> Answer {
    match method {
        "POST" => client.post_form(path, params),
        _ => client.get(&format!("{path}?{}", encoded(params))),
    }
}

fn encoded(params: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            b' ' => "+".to_owned(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    pairs.join("&")
}

/// Asks and expects an answer of JSON with this status.
fn json_of(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    let kind = answer.header("content-type").unwrap_or("");
    assert!(kind.contains("json"), "{kind}");
    answer.json()
}

fn data(answer: &Answer) -> Value {
    let mut json = json_of(answer, 200);
    assert_eq!(json["status"], "success");
    json["data"].take()
}

fn range(client: Client, query: &str, start: &str, end: &str, step: &str) -> Answer {
    let params = [
        ("query", query),
        ("start", start),
        ("end", end),
        ("step", step),
    ];
    ask(client, "POST", "/api/v1/query_range", &params)
}

fn instant(client: Client, query: &str) -> Value {
    let time = format!("{END_S}.5");
    data(&ask(
        client,
        "POST",
        "/api/v1/query",
        &[("query", query), ("time", &time)],
    ))
}

/// Checks by id. Each may ask what it likes.
type Check = (&'static str, fn(Client));

const CHECKS: &[Check] = &[
    ("C-01 P0", answers_are_json),
    ("C-02 P0", unknown_paths_are_not_found),
    ("C-04 P0", unknown_parameters_and_headers_are_ignored),
    ("C-05 P0", doubled_slashes_lead_to_the_call),
    ("C-06 P0", forms_and_urls_are_merged),
    ("C-07 P1", times_are_read_in_every_form),
    ("C-08 P0", absurd_times_are_answered),
    ("C-09 P1", answers_are_compressed),
    ("C-13 P1", mistakes_of_users_are_their_own),
    ("C-14 P1", answers_are_whole),
    ("P-01 P0", save_and_test_by_post),
    ("P-02 P0", save_and_test_by_get),
    ("P-03 P1", build_information),
    ("P-04 P0", the_flavour_is_prometheus),
    ("P-06 P1", the_version_is_new_enough),
    ("P-10 P1", rules),
    ("P-11 P1", metadata),
    ("P-12 P0", metric_names),
    ("P-13 P0", label_names),
    ("P-14 P1", the_probe_for_exemplars),
    ("P-20 P0", range_queries_by_both_methods),
    ("P-21 P0", a_range_of_one_point),
    ("P-22 P0", too_many_points),
    ("P-23 P0", instant_queries_at_any_time),
    ("P-24 P0", the_order_of_keys),
    ("P-25 P0", samples_are_a_number_and_a_text),
    ("P-26 P1", native_histograms),
    ("P-27 P1", notes_are_lists_of_texts),
    ("P-28 P0", errors_have_type_and_text),
    ("P-29 P1", nothing_is_an_empty_list),
    ("P-30 P1", texts_are_a_result),
    ("P-31 P1", statistics_come_last),
    ("P-32 P1", many_queries_at_one_time),
    ("P-34 P1", the_same_step_twice_is_the_same),
    ("P-35 P1", exemplars_by_both_methods),
    ("P-36 P1", the_form_of_exemplars),
    ("P-37 P1", exemplars_keep_their_labels),
    ("P-40 P0", values_of_labels),
    ("P-41 P1", escaped_names_of_labels),
    ("P-42 P0", methods_that_are_not_there_say_so),
    ("P-43 P0", series),
    ("P-44 P1", limits_are_told),
    ("P-45 P1", answers_depend_on_the_range),
    ("P-46 P1", variables),
    ("P-47 P1", filters),
    ("P-60 P1", sparklines),
    ("P-61 P1", names_in_braces),
    ("P-62 P1", recent_metrics),
];

#[test]
fn every_check_of_the_contract_holds() {
    let kymo = recorded();
    let mut failed = Vec::new();
    for (id, check) in CHECKS {
        let client = kymo.client();
        if let Err(panic) = std::panic::catch_unwind(|| check(client)) {
            let text = panic.downcast_ref::<String>().cloned();
            failed.push(format!("{id}: {}", text.unwrap_or_default()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn answers_are_json(client: Client) {
    for path in [
        "/api/v1/query?query=1",
        "/api/v1/labels",
        "/api/v1/rules",
        "/api/v1/metadata",
        "/api/v1/status/buildinfo",
        "/api/v1/alerts",
    ] {
        json_of(&client.get(path), 200);
    }
    json_of(&client.get("/api/v1/query?query=sum("), 400);
}

fn unknown_paths_are_not_found(client: Client) {
    for path in [
        "/api/v1/nosuch",
        "/nosuch",
        "/api/v2/status",
        "/loki/api/v1/nosuch",
        "/api/v1/status/nosuch",
    ] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
}

fn unknown_parameters_and_headers_are_ignored(client: Client) {
    let headers = [
        ("X-Dashboard-Uid", "d"),
        ("X-Grafana-Org-Id", "1"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("X-Scope-OrgID", "tenant"),
        ("User-Agent", "Grafana/12.1.0"),
    ];
    for target in [
        "/api/v1/query?query=1&since=5m&max_source_resolution=auto",
        "/api/v1/labels?x=y",
        "/api/v1/series?match[]=odd&dedup=true",
        "/api/v1/rules?dashboard_uid=x&panel_id=1",
    ] {
        json_of(&client.call("GET", target, &headers, b""), 200);
    }
}

fn doubled_slashes_lead_to_the_call(client: Client) {
    let answer = client.get("//api/v1/query?query=1%2B1");
    // Go's client follows it, as it does with Prometheus.
    assert_eq!(answer.status, 301);
    assert_eq!(answer.header("location"), Some("/api/v1/query?query=1%2B1"));
}

fn forms_and_urls_are_merged(client: Client) {
    let answer = client.post_form("/api/v1/query?time=4", &[("query", "time()")]);
    assert_eq!(data(&answer)["result"], json!([4, "4"]));
    let answer = client.post_form(
        "/api/v1/series?match[]=gappy",
        &[("match[]", "temperature")],
    );
    assert_eq!(data(&answer).as_array().map(Vec::len), Some(3));
}

fn times_are_read_in_every_form(client: Client) {
    for time in [
        "1699920000",
        "1699920000.25",
        "2023-11-14T00:00:00Z",
        "2023-11-14T01:00:00.250+01:00",
    ] {
        let answer = ask(
            client,
            "GET",
            "/api/v1/query",
            &[("query", "time()"), ("time", time)],
        );
        let t = data(&answer)["result"][0].as_f64().unwrap();
        assert!((t - T_S as f64).abs() < 1.0, "{time}: {t}");
    }
}

fn absurd_times_are_answered(client: Client) {
    for time in [
        "0",
        "-62135596800",
        "1516192560000",
        "99999999999999",
        "1700000000000",
    ] {
        let params = [("query", "temperature"), ("time", time)];
        assert_eq!(
            data(&ask(client, "GET", "/api/v1/query", &params))["result"],
            json!([])
        );
        let params = [("match[]", "temperature"), ("start", time), ("end", time)];
        json_of(&ask(client, "GET", "/api/v1/series", &params), 200);
        json_of(&ask(client, "GET", "/api/v1/labels", &params), 200);
    }
}

fn answers_are_compressed(client: Client) {
    let target = format!("/api/v1/query_range?query=temperature&start={T_S}&end={END_S}&step=15");
    let plain = client.get(&target);
    let packed = client.call("GET", &target, &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain.body);
}

fn mistakes_of_users_are_their_own(client: Client) {
    for (query, status) in [
        ("sum(", 400),
        ("temperature * on(job) temperature", 422),
        ("nosuchfunction(temperature)", 400),
    ] {
        let time = END_S.to_string();
        let params = [("query", query), ("time", time.as_str())];
        json_of(&ask(client, "POST", "/api/v1/query", &params), status);
    }
}

fn answers_are_whole(client: Client) {
    let answer = range(
        client,
        "{__name__!=\"\"}",
        &T_S.to_string(),
        &END_S.to_string(),
        "1",
    );
    assert_eq!(data(&answer)["result"].as_array().map(Vec::len), Some(13));
}

fn save_and_test(client: Client, method: &str) {
    for params in [
        &[("query", "1+1"), ("time", "4")][..],
        &[("query", "1+1"), ("time", "4"), ("timeout", "60s")],
    ] {
        let found = data(&ask(client, method, "/api/v1/query", params));
        assert_eq!(found, json!({"resultType": "scalar", "result": [4, "2"]}));
    }
}

fn save_and_test_by_post(client: Client) {
    save_and_test(client, "POST");
}

fn save_and_test_by_get(client: Client) {
    save_and_test(client, "GET");
}

fn build_information(client: Client) {
    let found = data(&client.get("/api/v1/status/buildinfo"));
    for key in [
        "version",
        "revision",
        "branch",
        "buildUser",
        "buildDate",
        "goVersion",
    ] {
        assert!(found[key].is_string(), "{key}");
    }
}

fn the_flavour_is_prometheus(client: Client) {
    let found = data(&client.get("/api/v1/status/buildinfo"));
    assert!(found.get("features").is_none() && found.get("application").is_none());
}

fn the_version_is_new_enough(client: Client) {
    let found = data(&client.get("/api/v1/status/buildinfo"));
    let version = found["version"].as_str().unwrap();
    let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
    assert!(
        numbers.len() == 3 && (numbers[0], numbers[1]) >= (2, 24),
        "{version}"
    );
}

fn rules(client: Client) {
    assert_eq!(data(&client.get("/api/v1/rules")), json!({"groups": []}));
}

fn metadata(client: Client) {
    assert!(data(&client.get("/api/v1/metadata?limit=40000")).is_object());
}

fn span(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, String)> {
    let mut params = vec![
        ("start", T_S.to_string()),
        ("end", END_S.to_string()),
        ("limit", "40000".to_owned()),
    ];
    params.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    params
}

fn ask_span(
    client: Client,
    method: &str,
    path: &str,
    more: &[(&'static str, &'static str)],
) -> Value {
    let params = span(more);
    let params: Vec<(&str, &str)> = params.iter().map(|(n, v)| (*n, v.as_str())).collect();
    data(&ask(client, method, path, &params))
}

fn metric_names(client: Client) {
    let names = ask_span(client, "GET", "/api/v1/label/__name__/values", &[]);
    let expected = [
        "gappy",
        "http_requests_total",
        "latency_seconds_bucket",
        "my.metric",
        "native_seconds",
        "odd",
        "temperature",
    ];
    assert_eq!(names, json!(expected));
}

fn label_names(client: Client) {
    for method in ["GET", "POST"] {
        let names = ask_span(client, method, "/api/v1/labels", &[]);
        assert_eq!(
            names,
            json!(["__name__", "http.status", "instance", "job", "kind", "le"])
        );
    }
}

fn the_probe_for_exemplars(client: Client) {
    for method in ["GET", "POST"] {
        let params = [
            ("query", "test"),
            ("start", "1700000000000"),
            ("end", "1700003600000"),
        ];
        let answer = ask(client, method, "/api/v1/query_exemplars", &params);
        assert_eq!(
            json_of(&answer, 200),
            json!({"status": "success", "data": []})
        );
    }
}

fn range_queries_by_both_methods(client: Client) {
    let (start, end) = (T_S.to_string(), END_S.to_string());
    for method in ["GET", "POST"] {
        for (step, points) in [("15", 240), ("0.5", 7171), ("60", 60)] {
            let params = [
                ("query", "temperature{instance=\"a:1\"}"),
                ("start", start.as_str()),
                ("end", end.as_str()),
                ("step", step),
                ("timeout", "30s"),
            ];
            let found = data(&ask(client, method, "/api/v1/query_range", &params));
            assert_eq!(found["resultType"], "matrix");
            let values = found["result"][0]["values"].as_array().unwrap();
            assert_eq!(values.len(), points, "{step}");
        }
    }
}

fn a_range_of_one_point(client: Client) {
    let start = T_S.to_string();
    for (end, step) in [(start.clone(), "15"), ((T_S + 10).to_string(), "60")] {
        let found = data(&range(client, "temperature", &start, &end, step));
        assert_eq!(found["result"][0]["values"][0][0], T_S);
        assert_eq!(
            found["result"][0]["values"].as_array().map(Vec::len),
            Some(1)
        );
    }
}

fn too_many_points(client: Client) {
    let at_most = range(client, "1", "0", "11000", "1");
    assert_eq!(
        data(&at_most)["result"][0]["values"]
            .as_array()
            .map(Vec::len),
        Some(11_001)
    );
    let json = json_of(&range(client, "1", "0", "11001", "1"), 400);
    assert_eq!(json["errorType"], "bad_data");
    let text = json["error"].as_str().unwrap();
    assert!(
        text.contains("exceeded maximum resolution of 11,000 points"),
        "{text}"
    );
}

fn instant_queries_at_any_time(client: Client) {
    let found = instant(client, "temperature{instance=\"a:1\"}");
    assert_eq!(found["resultType"], "vector");
    assert_eq!(found["result"][0]["value"][0], END_S as f64 + 0.5);
}

fn the_order_of_keys(client: Client) {
    let start = T_S.to_string();
    let texts = [
        range(client, "temperature", &start, &start, "15").text(),
        client.get("/api/v1/query?query=1").text(),
    ];
    for text in texts {
        assert!(
            text.starts_with("{\"status\":\"success\",\"data\":{\"resultType\":\""),
            "{text}"
        );
        assert!(text.find("resultType").unwrap() < text.find("\"result\"").unwrap());
    }
}

fn samples_are_a_number_and_a_text(client: Client) {
    for (kind, value) in [("nan", "NaN"), ("up", "+Inf"), ("down", "-Inf")] {
        let query = format!("odd{{kind=\"{kind}\"}}");
        let sample = &instant(client, &query)["result"][0]["value"];
        assert!(sample[0].is_number());
        assert_eq!(sample[1], value);
        assert_eq!(sample.as_array().map(Vec::len), Some(2));
    }
}

fn native_histograms(client: Client) {
    let buckets = json!([
        [3, "-0.001", "0.001", "2"],
        [0, "0.5", "1", "4"],
        [0, "1", "2", "3"]
    ]);
    let expected = json!({"count": "9", "sum": "12.5", "buckets": buckets});
    let found = instant(client, "native_seconds");
    let sample = &found["result"][0]["histogram"];
    assert_eq!(
        (&sample[0], &sample[1]),
        (&json!(END_S as f64 + 0.5), &expected)
    );
    let end = END_S.to_string();
    let found = data(&range(client, "native_seconds", &end, &end, "15"));
    assert_eq!(found["result"][0]["histograms"], json!([[END_S, expected]]));
    assert!(found["result"][0].get("values").is_none());
}

fn notes_are_lists_of_texts(client: Client) {
    let time = END_S.to_string();
    let params = [("query", "rate(temperature[5m])"), ("time", time.as_str())];
    let json = json_of(&ask(client, "POST", "/api/v1/query", &params), 200);
    assert!(json["infos"][0].is_string(), "{json}");
    let json = json_of(&client.get("/api/v1/label/__name__/values?limit=1"), 200);
    assert_eq!(json["warnings"], json!(["results truncated due to limit"]));
    assert!(
        json_of(&client.get("/api/v1/labels"), 200)
            .get("warnings")
            .is_none()
    );
}

fn errors_have_type_and_text(client: Client) {
    let time = END_S.to_string();
    for (query, status, kind) in [
        ("sum(", 400, "bad_data"),
        ("temperature * on(job) temperature", 422, "execution"),
    ] {
        let params = [("query", query), ("time", time.as_str())];
        let json = json_of(&ask(client, "POST", "/api/v1/query", &params), status);
        assert_eq!(
            (&json["status"], &json["errorType"]),
            (&json!("error"), &json!(kind))
        );
        assert!(json["error"].is_string());
    }
    let params = [("query", "temperature"), ("timeout", "0")];
    let json = json_of(&ask(client, "POST", "/api/v1/query", &params), 400);
    assert!(
        json["error"]
            .as_str()
            .unwrap()
            .contains("context deadline exceeded")
    );
}

fn nothing_is_an_empty_list(client: Client) {
    assert_eq!(
        instant(client, "nosuch"),
        json!({"resultType": "vector", "result": []})
    );
    let start = T_S.to_string();
    let found = data(&range(client, "nosuch", &start, &start, "15"));
    assert_eq!(found, json!({"resultType": "matrix", "result": []}));
    assert_eq!(
        data(&client.get("/api/v1/series?match[]=nosuch")),
        json!([])
    );
    assert_eq!(data(&client.get("/api/v1/label/nosuch/values")), json!([]));
}

fn texts_are_a_result(client: Client) {
    let found = instant(client, "\"hello\"");
    assert_eq!(found["resultType"], "string");
    assert_eq!(found["result"][1], "hello");
}

fn statistics_come_last(client: Client) {
    let text = client
        .get("/api/v1/query?query=temperature&stats=true")
        .text();
    assert!(text.find("\"result\":").unwrap() < text.find("\"stats\":").unwrap());
}

fn many_queries_at_one_time(client: Client) {
    let (start, end) = (T_S.to_string(), END_S.to_string());
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..30)
            .map(|_| {
                scope.spawn(|| {
                    range(
                        client,
                        "sum(rate(http_requests_total[1m]))",
                        &start,
                        &end,
                        "15",
                    )
                })
            })
            .collect();
        for answer in asked {
            json_of(&answer.join().unwrap(), 200);
        }
    });
}

fn the_same_step_twice_is_the_same(client: Client) {
    let query = "sum by (job) (rate(http_requests_total[1m]))";
    let (start, end) = (T_S.to_string(), END_S.to_string());
    let values = |start: &str| {
        let found = data(&range(client, query, start, &end, "15"));
        found["result"][0]["values"].as_array().unwrap().clone()
    };
    let all = values(&start);
    let newest = values(&(END_S - 600).to_string());
    assert_eq!(newest.len(), 41);
    assert_eq!(all[all.len() - 41..], newest[..]);
}

fn exemplars(client: Client, method: &str) -> Value {
    let (start, end) = (T_S.to_string(), (END_S + 1).to_string());
    let query = "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))";
    let params = [
        ("query", query),
        ("start", start.as_str()),
        ("end", end.as_str()),
    ];
    data(&ask(client, method, "/api/v1/query_exemplars", &params))
}

fn exemplars_by_both_methods(client: Client) {
    assert_eq!(exemplars(client, "GET"), exemplars(client, "POST"));
}

fn the_form_of_exemplars(client: Client) {
    let found = exemplars(client, "GET");
    let expected = json!([{
        "seriesLabels": {"__name__": "latency_seconds_bucket", "job": "web", "le": "1"},
        "exemplars": [{
            "labels": {"trace_id": "abc"},
            "value": "0.3",
            "timestamp": END_S as f64 + 0.123,
        }],
    }]);
    assert_eq!(found, expected);
    let target = format!(
        "/api/v1/query_exemplars?query=latency_seconds_bucket&start={T_S}&end={}",
        END_S + 1
    );
    let text = client.get(&target).text();
    assert!(text.find("seriesLabels").unwrap() < text.find("\"exemplars\"").unwrap());
}

fn exemplars_keep_their_labels(client: Client) {
    assert_eq!(
        exemplars(client, "POST")[0]["exemplars"][0]["labels"]["trace_id"],
        "abc"
    );
}

fn values_of_labels(client: Client) {
    let values = |more| ask_span(client, "GET", "/api/v1/label/instance/values", more);
    assert_eq!(values(&[]), json!(["a:1", "b:1"]));
    assert_eq!(
        values(&[("match[]", "temperature{instance=~\"b.*\"}")]),
        json!(["b:1"])
    );
    assert_eq!(values(&[("match[]", "odd")]), json!([]));
}

fn escaped_names_of_labels(client: Client) {
    let found = data(&client.get("/api/v1/label/U__http_2e_status/values"));
    assert_eq!(found, json!(["2_0"]));
}

fn methods_that_are_not_there_say_so(client: Client) {
    for path in [
        "query",
        "query_range",
        "query_exemplars",
        "series",
        "labels",
    ] {
        let answer = client.post_form(&format!("/api/v1/{path}"), &[]);
        assert!(matches!(answer.status, 200 | 400), "{path}: {answer:?}");
    }
    assert_eq!(
        client.post_form("/api/v1/label/job/values", &[]).status,
        405
    );
    assert_eq!(client.post_form("/api/v1/metadata", &[]).status, 405);
}

fn series(client: Client) {
    for method in ["GET", "POST"] {
        let found = ask_span(
            client,
            method,
            "/api/v1/series",
            &[("match[]", "{__name__!=\"\"}")],
        );
        assert_eq!(found.as_array().map(Vec::len), Some(13));
        let found = ask_span(client, method, "/api/v1/series", &[("match[]", "gappy")]);
        assert_eq!(found, json!([{"__name__": "gappy"}]));
    }
}

fn limits_are_told(client: Client) {
    for target in [
        "/api/v1/labels?",
        "/api/v1/label/__name__/values?",
        "/api/v1/series?match[]={__name__!=%22%22}&",
    ] {
        let asked = |limit: &str| json_of(&client.get(&format!("{target}limit={limit}")), 200);
        let some = asked("2");
        assert_eq!(some["data"].as_array().map(Vec::len), Some(2));
        assert_eq!(some["warnings"], json!(["results truncated due to limit"]));
        let all = asked("0");
        assert!(all["data"].as_array().unwrap().len() > 2 && all.get("warnings").is_none());
    }
}

fn answers_depend_on_the_range(client: Client) {
    let later = (END_S + 86_400 * 30).to_string();
    let params = [("start", later.as_str())];
    let found = data(&ask(
        client,
        "GET",
        "/api/v1/label/instance/values",
        &params,
    ));
    assert_eq!(found, json!([]));
}

fn variables(client: Client) {
    let matching = [("match[]", "{__name__=~\"http_.*\"}")];
    let names = ask_span(client, "GET", "/api/v1/label/__name__/values", &matching);
    assert_eq!(names, json!(["http_requests_total"]));
    let found = instant(client, "topk(1, http_requests_total)");
    assert_eq!(found["result"][0]["metric"]["instance"], "b:1");
}

fn filters(client: Client) {
    let matching = [("match[]", "{__name__=~\"temperature|odd\",job=\"web\"}")];
    assert_eq!(
        ask_span(client, "POST", "/api/v1/labels", &matching),
        json!(["__name__", "instance", "job"])
    );
    let both = [("match[]", "temperature"), ("match[]", "odd")];
    assert_eq!(
        ask_span(client, "GET", "/api/v1/label/__name__/values", &both),
        json!(["odd", "temperature"])
    );
}

fn sparklines(client: Client) {
    let (start, end) = (T_S.to_string(), END_S.to_string());
    let began = Instant::now();
    for query in [
        "avg(temperature{instance=~\"a.*\"})",
        "sum(rate(http_requests_total{}[1m]))",
        "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[1m])))",
        "histogram_quantile(0.9, sum(rate(nosuch_native[1m])))",
    ] {
        let found = data(&range(client, query, &start, &end, "15"));
        assert_eq!(found["resultType"], "matrix", "{query}");
    }
    assert!(began.elapsed() < Duration::from_secs(60));
}

fn names_in_braces(client: Client) {
    let found = instant(client, "{\"my.metric\", \"http.status\"=\"2_0\"}");
    assert_eq!(found["result"][0]["value"][1], "239");
    let values = range(client, "gappy", &T_S.to_string(), &END_S.to_string(), "15");
    let values = data(&values)["result"][0]["values"]
        .as_array()
        .map(Vec::len);
    // A gap is a gap, as annotations need it.
    assert_eq!(values, Some(219));
}

fn recent_metrics(client: Client) {
    let query = "group by (__name__) ({__name__!=\"\"}) unless (group by (__name__) \
                 ({__name__!=\"\"} offset 2h))";
    let params = format!(
        "/api/v1/query?{}&time={END_S}",
        encoded(&[("query", query)])
    );
    assert_eq!(
        data(&client.get(&params))["result"]
            .as_array()
            .map(Vec::len),
        Some(7)
    );
}
