//! Following logs over a websocket: L-55 to L-59 of what Grafana asks, and what a tail does
//! beside other clients.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::Kymo;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

const LIMIT: Duration = Duration::from_secs(60);

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as i64
}

fn push(kymo: &Kymo, app: &str, entries: &[(i64, &str)]) {
    let values: Vec<Value> = entries
        .iter()
        .map(|(t_ns, line)| json!([t_ns.to_string(), line, {"trace_id": "t"}]))
        .collect();
    let body = json!({"streams": [{"stream": {"app": app}, "values": values}]}).to_string();
    let headers = [("Content-Type", "application/json")];
    let client = kymo.client();
    let answer = client.call("POST", "/loki/api/v1/push", &headers, body.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// A client that follows.
struct Tail(WebSocket<TcpStream>);

impl Tail {
    /// Follows; the error is the status with which the server refuses.
    fn open(kymo: &Kymo, path: &str, headers: &[(&'static str, &str)]) -> Result<Tail, u16> {
        let url = format!("ws://{}{path}", kymo.address());
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(kymo.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        match client(request, stream) {
            Ok((socket, _)) => Ok(Tail(socket)),
            Err(HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Returns the next message with text.
    fn next(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Returns the next lines, however many messages they come in.
    fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            for stream in self.next()["streams"].as_array().unwrap() {
                let values = stream["values"].as_array().unwrap().iter();
                lines.extend(values.map(|value| value[1].as_str().unwrap().to_owned()));
            }
        }
        lines
    }

    /// Returns why the server ends it.
    fn ending(&mut self) -> (CloseCode, String) {
        loop {
            match self.0.read().unwrap() {
                Message::Close(Some(close)) => return (close.code, close.reason.to_string()),
                Message::Close(None) => panic!("no reason"),
                _ => {}
            }
        }
    }
}

const TAIL: &str = "/loki/api/v1/tail";
const SHOP: &str = "/loki/api/v1/tail?query=%7Bapp%3D%22shop%22%7D";

#[test]
fn first_comes_what_there_is_then_what_comes() {
    let kymo = Kymo::start(&[]);
    let now_ns = now_ns();
    let second = 1_000_000_000;
    let old = [
        (now_ns - 9 * second, "one"),
        (now_ns - 7 * second, "three"),
        (now_ns - 8 * second, "two <x>"),
    ];
    push(&kymo, "shop", &old);
    push(&kymo, "other", &[(now_ns, "nothing to us")]);
    let path = format!("{SHOP}%20%7C%3D%20%22o%22&limit=10");
    let mut tail = Tail::open(&kymo, &path, &[]).unwrap();
    let first = tail.next();
    let streams = first["streams"].as_array().unwrap();
    // L-56: pairs of texts; of one stream, in order of time.
    let stream = json!({
        "app": "shop", "detected_level": "unknown", "service_name": "shop", "trace_id": "t",
    });
    let values = json!([
        [(now_ns - 9 * second).to_string(), "one"],
        [(now_ns - 8 * second).to_string(), "two <x>"],
    ]);
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0], json!({"stream": stream, "values": values}));
    assert!(first.get("dropped_entries").is_none());
    // The filter is on, and nothing comes twice.
    push(&kymo, "other", &[(now_ns + 1, "four or more")]);
    push(&kymo, "shop", &[(now_ns + 2, "five"), (now_ns + 3, "four")]);
    push(&kymo, "shop", &[(now_ns + 4, "to the end")]);
    assert_eq!(tail.lines(2), ["four", "to the end"]);
    let metrics = kymo.get("/metrics").text();
    assert!(
        metrics.contains("loki_querier_tail_active 1\n"),
        "{metrics}"
    );
}

#[test]
fn a_backlog_may_be_longer_than_an_answer() {
    let kymo = Kymo::start(&["--logs.query.max-entries=100"]);
    let now_ns = now_ns();
    let lines: Vec<String> = (0..2500).map(|n| format!("line {n}")).collect();
    let entries: Vec<(i64, &str)> = (now_ns - 5000..)
        .zip(lines.iter().map(String::as_str))
        .collect();
    push(&kymo, "shop", &entries);
    let mut tail = Tail::open(&kymo, &format!("{SHOP}&limit=4294967295"), &[]).unwrap();
    assert_eq!(tail.lines(2500), lines);
    push(&kymo, "shop", &[(now_ns, "and on")]);
    assert_eq!(tail.lines(1), ["and on"]);
}

#[test]
fn entries_have_their_labels_by_category_on_demand() {
    let kymo = Kymo::start(&[]);
    let now_ns = now_ns();
    push(&kymo, "shop", &[(now_ns, "level=warn n=1")]);
    let flag = [("X-Loki-Response-Encoding-Flags", "categorize-labels")];
    let path = format!("{SHOP}%20%7C%20logfmt%20n");
    let mut tail = Tail::open(&kymo, &path, &flag).unwrap();
    let check = |message: &Value, n: &str| {
        assert_eq!(message["encodingFlags"], json!(["categorize-labels"]));
        let stream = &message["streams"][0];
        assert_eq!(
            stream["stream"],
            json!({"app": "shop", "service_name": "shop"})
        );
        let metadata = json!({"detected_level": "warn", "trace_id": "t"});
        let own = json!({"structuredMetadata": metadata, "parsed": {"n": n}});
        assert_eq!(stream["values"][0][2], own);
    };
    check(&tail.next(), "1");
    push(&kymo, "shop", &[(now_ns + 1, "level=warn n=2")]);
    check(&tail.next(), "2");
}

#[test]
fn entries_that_are_held_back_come_in_order() {
    let kymo = Kymo::start(&[]);
    let now_ns = now_ns();
    push(&kymo, "shop", &[(now_ns, "there")]);
    let mut tail = Tail::open(&kymo, &format!("{SHOP}&delay_for=2"), &[]).unwrap();
    assert_eq!(tail.lines(1), ["there"]);
    push(&kymo, "shop", &[(now_ns + 30, "c"), (now_ns + 20, "b")]);
    push(&kymo, "shop", &[(now_ns + 10, "a")]);
    assert_eq!(tail.lines(3), ["a", "b", "c"]);
}

#[test]
fn what_cannot_be_followed_is_refused_with_a_reason() {
    let kymo = Kymo::start(&["--logs.tail.max-clients=1"]);
    // Before the socket is open: a status.
    for query in ["query=%7Bapp%3D", "query=%7Ba%3D%22b%22%7D&delay_for=6"] {
        let refused = Tail::open(&kymo, &format!("{TAIL}?{query}"), &[]);
        assert_eq!(refused.err(), Some(400), "{query}");
    }
    let late = kymo.get(&format!("{SHOP}&delay_for=6"));
    assert_eq!(late.text(), "delay_for can't be greater than 5");
    let no_socket = kymo.get(SHOP);
    assert_eq!(no_socket.status, 400, "{}", no_socket.text());
    // L-57, L-58: after that, a code and a reason.
    let metric = "query=count_over_time(%7Ba%3D%22b%22%7D%5B1m%5D)";
    let mut tail = Tail::open(&kymo, &format!("{TAIL}?{metric}"), &[]).unwrap();
    let (code, reason) = tail.ending();
    assert_eq!(code, CloseCode::Error);
    assert_eq!(reason, "only log selector is supported");
    push(&kymo, "shop", &[(now_ns(), "x")]);
    let mut first = Tail::open(&kymo, SHOP, &[]).unwrap();
    assert_eq!(first.lines(1), ["x"]);
    let (code, reason) = Tail::open(&kymo, SHOP, &[]).unwrap().ending();
    assert_eq!(code, CloseCode::Error);
    let limit = "max concurrent tail requests limit exceeded, count > limit (2 > 1)";
    assert!(reason.starts_with(limit), "{reason}");
    // L-59: a client that is idle is asked whether it is there.
    match first.0.read().unwrap() {
        Message::Ping(_) => {}
        other => panic!("{other:?}"),
    }
    // Who is gone makes room.
    first.0.close(None).unwrap();
    drop(first);
    kymo_tests::wait_until("room for another", LIMIT, || {
        let mut tail = Tail::open(&kymo, SHOP, &[]).unwrap();
        matches!(tail.0.read(), Ok(Message::Text(_)))
    });
}

#[test]
fn a_server_that_stops_says_so() {
    let kymo = Kymo::start(&[]);
    push(&kymo, "shop", &[(now_ns(), "x")]);
    let mut tail = Tail::open(&kymo, SHOP, &[]).unwrap();
    assert_eq!(tail.lines(1), ["x"]);
    kymo.signal("TERM");
    let (code, reason) = tail.ending();
    assert_eq!(code, CloseCode::Away);
    assert_eq!(reason, "the server is stopping");
}

#[test]
fn messages_of_2018_have_texts_and_dates() {
    let kymo = Kymo::start(&[]);
    push(&kymo, "shop", &[(now_ns(), "x y"), (now_ns(), "z")]);
    let path = "/api/prom/tail?query=%7Bapp%3D%22shop%22%7D&regexp=%5Ex";
    let mut tail = Tail::open(&kymo, path, &[]).unwrap();
    let message = tail.next();
    let stream = &message["streams"][0];
    assert!(
        stream["labels"]
            .as_str()
            .unwrap()
            .starts_with("{app=\"shop\", ")
    );
    assert_eq!(stream["entries"].as_array().unwrap().len(), 1);
    assert_eq!(stream["entries"][0]["line"], "x y");
    assert_eq!(message["dropped_entries"], Value::Null);
}
