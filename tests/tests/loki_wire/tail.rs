//! Following logs: what is refused before and after the upgrade, and the first messages.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kymo_tests::encode;
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::{Error, Message, client};

use crate::Pair;
use crate::compare::Report;
use crate::json::{Mask, cut};
use crate::reads::fill;

const KEPT: &[(&str, &str)] = &[
    (
        "/loki/api/v1/tail [(\"query\", \"{app=\\\"db\\\"}\"), (\"start\", \"0\")]",
        "the limit is told before the upgrade",
    ),
    ("plain", "it is told what is missing"),
];

/// What a client sees: the refusal, or the entries of the backlog one by one, or the end.
fn seen(address: SocketAddr, path: &str, params: &[(&str, &str)], flags: &str, n: usize) -> String {
    let url = format!("ws://{address}{path}?{}", encode(params));
    let mut request = url.into_client_request().unwrap();
    if !flags.is_empty() {
        let name = "X-Loki-Response-Encoding-Flags";
        request.headers_mut().insert(name, flags.parse().unwrap());
    }
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut socket = match client(request, stream) {
        Ok((socket, _)) => socket,
        Err(HandshakeError::Failure(Error::Http(answer))) => {
            let body = answer.body().clone().unwrap_or_default();
            let body = Mask::default().apply(&String::from_utf8_lossy(&body));
            return format!("{} {body}", answer.status().as_u16());
        }
        Err(other) => panic!("{other}"),
    };
    let mut entries: Vec<String> = Vec::new();
    let mut members: Vec<String> = Vec::new();
    while entries.len() < n {
        match socket.read() {
            Err(error) => return format!("ended {error} after {entries:?}"),
            Ok(Message::Text(text)) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                let names = message.as_object().unwrap().iter();
                members.extend(names.map(|(name, value)| match name.as_str() {
                    "streams" => name.clone(),
                    _ => format!("{name}={value}"),
                }));
                for stream in message["streams"].as_array().unwrap() {
                    let labels = stream.get("stream").or_else(|| stream.get("labels"));
                    let values = stream.get("values").or_else(|| stream.get("entries"));
                    for value in values.unwrap().as_array().unwrap() {
                        entries.push(format!("{} {value}", labels.unwrap()));
                    }
                }
            }
            Ok(Message::Close(frame)) => return format!("closed {frame:?} after {entries:?}"),
            Ok(_) => {}
        }
    }
    entries.sort();
    members.sort();
    members.dedup();
    format!("{members:?} {}", entries.join("\n"))
}

#[test]
fn tails_begin_as_those_of_loki() {
    let Some(pair) = Pair::start(&[]) else {
        return;
    };
    fill(&pair);
    let mut report = Report::default();
    let start = pair.ns(-660);
    let db = "{app=\"db\"}";
    let mut ask = |path: &str, params: &[(&str, &str)], flags: &str, n: usize| {
        let theirs = seen(pair.loki.address(), path, params, flags, n);
        let ours = seen(pair.kymo.address(), path, params, flags, n);
        let name = format!("{path} {params:?} {flags}");
        let difference =
            (theirs != ours).then(|| format!("\n  loki {}\n  kymo {}", cut(&theirs), cut(&ours)));
        report.note(&name, difference);
    };
    let tail = "/loki/api/v1/tail";
    for params in [
        &[("query", "")][..],
        &[("query", "{")],
        &[("query", "{}")],
        &[],
        &[("query", db), ("limit", "0")],
        &[("query", db), ("limit", "x")],
        &[("query", db), ("limit", "6000")],
        &[("query", db), ("start", "x")],
        &[("query", db), ("start", "0")],
        &[("query", db), ("end", "x")],
        &[("query", db), ("delay_for", "6")],
        &[("query", db), ("delay_for", "-1")],
        &[("query", db), ("delay_for", "x")],
        &[("query", "sum(rate({app=\"db\"}[1m]))")],
        &[("query", "{app=\"db\"} | json | x")],
        &[("query", "{app=~\".*\"}")],
    ] {
        ask(tail, params, "", 1);
    }
    for flags in ["", "categorize-labels"] {
        ask(tail, &[("query", db), ("start", &start)], flags, 30);
        ask(
            tail,
            &[("query", db), ("start", &start), ("limit", "5")],
            flags,
            5,
        );
        let logfmt = "{app=\"web\",env=\"dev\"} | logfmt | n=~\"1.\"";
        ask(tail, &[("query", logfmt), ("start", &start)], flags, 10);
    }
    ask(
        "/api/prom/tail",
        &[("query", db), ("start", &start), ("limit", "5")],
        "",
        5,
    );
    // Without an upgrade.
    for (name, params) in [
        ("plain", vec![("query", db)]),
        ("plain and wrong", vec![("query", "{")]),
    ] {
        let case = crate::compare::Case::get(tail, &params).named(name);
        report.ask(pair.loki.client(), pair.kymo.client(), &[case]);
    }
    report.check(KEPT);
}
