//! What the server answers to requests that are wrong, too large or too slow, and
//! that nothing stored is harmed by them.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kymo_tests::{Answer, Kymo, WriteBody};

/// A fixed time in the past, so that the clock plays no part; seconds.
const BASE_S: i64 = 1_700_000_000;

fn with_data(args: &[&str]) -> Kymo {
    let kymo = Kymo::start(args);
    let mut body = WriteBody::new();
    for i in 0..20 {
        let instance = i.to_string();
        let labels = [("__name__", "good"), ("instance", instance.as_str())];
        let samples: Vec<_> = (0..10)
            .map(|j| (BASE_S * 1000 + j * 1000, f64::from(i)))
            .collect();
        body.push_series(&labels, &samples);
    }
    assert_eq!(kymo.write(&body).status, 204);
    assert_unharmed(&kymo);
    kymo
}

fn assert_unharmed(kymo: &Kymo) {
    let answer = kymo.instant("sum(count_over_time(good[1m]))", (BASE_S + 10) as f64);
    assert_eq!(answer["data"]["result"][0]["value"][1], "200", "{answer}");
    assert_eq!(
        kymo.series(&["{__name__=~\".+\"}"])["data"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
}

fn error(answer: &Answer) -> (u16, String, String) {
    let json = answer.json();
    assert_eq!(json["status"], "error");
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (answer.status, text("errorType"), text("error"))
}

#[test]
fn wrong_queries_get_their_status_type_and_text() {
    let kymo = with_data(&["--query.max-samples=50"]);
    let post = |query: &str| {
        error(
            &kymo
                .client()
                .post_form("/api/v1/query", &[("query", query), ("time", "1700000009")]),
        )
    };
    assert_eq!(
        post("sum("),
        (
            400,
            "bad_data".to_owned(),
            "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis".to_owned()
        )
    );
    let (status, kind, text) = post("good * on() good");
    assert_eq!((status, kind.as_str()), (422, "execution"));
    assert!(text.contains("many-to-many matching not allowed"), "{text}");
    let (status, kind, text) = post("good[1m]");
    assert_eq!((status, kind.as_str()), (422, "execution"));
    assert_eq!(
        text,
        "query processing would load too many samples into memory in query execution"
    );
    let nested = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(post(&nested).0, 400);
    assert_unharmed(&kymo);
}

#[test]
fn a_query_over_its_time_is_a_timeout() {
    let kymo = with_data(&[]);
    let expensive = "sum_over_time(count_over_time(good[1m])[1h:1ms])";
    let params = [
        ("query", expensive),
        ("time", "1700000009"),
        ("timeout", "1ms"),
    ];
    let answer = kymo.client().post_form("/api/v1/query", &params);
    let (status, kind, text) = error(&answer);
    assert_eq!((status, kind.as_str()), (503, "timeout"), "{text}");
    assert!(text.starts_with("query timed out in "), "{text}");
}

#[test]
fn wrong_remote_writes_are_refused_and_harm_nothing() {
    let kymo = with_data(&[]);
    let good = WriteBody::new().series(&[("__name__", "other")], &[(BASE_S * 1000, 1.0)]);
    let whole = good.encode();
    assert_eq!(
        kymo.write_bytes(&whole[..whole.len() - 3]).text(),
        "s2: corrupt input\n"
    );
    assert_eq!(kymo.write_bytes(b"not snappy at all").status, 400);
    let broken = snap_block(b"\x0a\x7f\x01");
    assert_eq!(
        (
            kymo.write_bytes(&broken).status,
            kymo.write_bytes(&broken).text().as_str()
        ),
        (400, "unexpected EOF\n")
    );
    // A block that claims to unpack to four gigabytes.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let answer = kymo.write_bytes(&bomb);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, "decoded size exceeds the 33554432 bytes limit\n")
    );
    let stale = WriteBody::new().series(
        &[("__name__", "good"), ("instance", "0")],
        &[(BASE_S * 1000, 7.0)],
    );
    let answer = kymo.write(&stale);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, "out of order sample\n")
    );
    let bad_utf8 = WriteBody::new().series(
        &[(&b"__name__"[..], &b"x\xff"[..])],
        &[(BASE_S * 1000, 1.0)],
    );
    assert_eq!(kymo.write(&bad_utf8).status, 204);
    let twice = WriteBody::new().series(
        &[("__name__", "x"), ("a", "1"), ("a", "2")],
        &[(BASE_S * 1000, 1.0)],
    );
    assert_eq!(kymo.write(&twice).status, 204);
    assert_unharmed(&kymo);
}

#[test]
fn bodies_and_headers_over_the_limit_are_refused() {
    let kymo = with_data(&[]);
    let too_large = kymo.write_bytes(&vec![0; (32 << 20) + 1]);
    assert_eq!(
        (too_large.status, too_large.text().as_str()),
        (413, "request body exceeds the 33554432 bytes limit\n")
    );
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = kymo
        .client()
        .call("POST", "/api/v1/query", &form, &vec![b'a'; (10 << 20) + 1]);
    assert_eq!(error(&answer).0, 413);
    let target = format!("/api/v1/query?query={}", "1".repeat(200 << 10));
    assert!(
        matches!(kymo.client().try_call("GET", &target, &[], b""), Ok(answer) if matches!(answer.status, 414 | 431))
    );
    let huge = "x".repeat(200 << 10);
    let answer = kymo
        .client()
        .try_call("GET", "/-/healthy", &[("X-Huge", huge.as_str())], b"");
    assert!(matches!(answer, Ok(answer) if answer.status == 431));
    assert_unharmed(&kymo);
}

#[test]
fn slow_clients_are_dropped_and_others_are_served() {
    let kymo = with_data(&["--web.read-timeout=1s", "--web.max-connections=4"]);
    let began = Instant::now();
    // Silent, in the middle of its headers, in the middle of its body.
    let mut slow: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(kymo.address()).unwrap())
        .collect();
    slow[1]
        .write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .unwrap();
    slow[2]
        .write_all(b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        .unwrap();
    assert_unharmed(&kymo);
    for stream in &mut slow {
        stream
            .set_read_timeout(Some(Duration::from_secs(90)))
            .unwrap();
        let mut left = Vec::new();
        let _closed = stream.read_to_end(&mut left);
        let text = String::from_utf8_lossy(&left);
        assert!(
            left.is_empty() || text.starts_with("HTTP/1.1 408"),
            "{text}"
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    assert_unharmed(&kymo);
}

fn snap_block(bytes: &[u8]) -> Vec<u8> {
    // A literal of fewer than 60 bytes, as the format asks.
    let mut block = vec![bytes.len() as u8, (bytes.len() as u8 - 1) << 2];
    block.extend_from_slice(bytes);
    block
}

#[test]
fn deep_queries_of_every_shape_are_answered() {
    let kymo = with_data(&[]);
    let time_s = (BASE_S + 9) as f64;
    for open in ["sum(", "abs(", "(", "max_over_time((", "1 + ("] {
        let close = match open {
            "max_over_time((" => ")[1m:30s])",
            _ => ")",
        };
        // A subquery multiplies the steps of those in it, which few levels bear.
        let times = if close.len() > 1 { 20 } else { 300 };
        let query = format!("{}good{}", open.repeat(times), close.repeat(times));
        let answer = kymo.instant(&query, time_s);
        assert_eq!(answer["status"], "success", "{open}: {answer}");
    }
    assert_unharmed(&kymo);
}
