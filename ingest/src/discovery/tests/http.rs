//! Lists of targets from a server, good and bad.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::super::HttpConfig;
use super::{Found, SourceConfig};
use crate::http::ClientOptions;
use crate::http::test_server::{Answered, TestServer, answer};

fn listing(url: String, refresh_interval: Duration) -> SourceConfig {
    SourceConfig::Http(Box::new(HttpConfig {
        url,
        client: ClientOptions::default(),
        refresh_interval,
    }))
}

fn json(body: &'static str) -> Answered {
    answer(200, &[("content-type", "application/json")], body)
}

#[tokio::test]
async fn a_list_is_followed_and_a_bad_answer_changes_nothing() {
    let turn = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(Mutex::new(String::new()));
    let server = {
        let (turn, asked) = (Arc::clone(&turn), Arc::clone(&asked));
        TestServer::start(move |request| {
            let header = |name: &str| {
                let value = request.headers().get(name);
                value.map_or("", |value| value.to_str().unwrap()).to_owned()
            };
            *asked.lock() = format!(
                "{} {}",
                header("accept"),
                header("x-prometheus-refresh-interval-seconds")
            );
            match turn.load(Ordering::SeqCst) {
                0 => json(r#"[{"targets":["a:1"],"labels":{"x":"y"}},{"targets":["b:1"]}]"#),
                1 => answer(500, &[], "no"),
                2 => answer(200, &[("content-type", "text/plain")], "[]"),
                3 => json("[null]"),
                4 => json("{"),
                _ => json(r#"[{"targets":["c:1"]}]"#),
            }
        })
        .await
    };
    let url = server.url("/sd");
    let mut found = Found::new();
    found.run(listing(url.clone(), Duration::from_millis(100)));
    found.wait_for(&["a:1", "b:1"]).await;
    assert_eq!(
        found.group(&format!("{url}:0")),
        format!("[{{\"__address__\": \"a:1\"}}] {{\"__meta_url\": \"{url}\", \"x\": \"y\"}}")
    );
    assert_eq!(*asked.lock(), "application/json 0.1");
    for bad in 1..=4 {
        let failures = found.stats.snapshot().http_failures;
        turn.store(bad, Ordering::SeqCst);
        // One may have been on its way before.
        found
            .wait_for_stats(|stats| stats.http_failures >= failures + 2)
            .await;
    }
    assert_eq!(super::addresses(&found.last, "a"), ["a:1", "b:1"]);
    let stats = found.stats.snapshot();
    assert_eq!(stats.refreshes[0].failures, stats.http_failures);
    turn.store(5, Ordering::SeqCst);
    found.wait_for(&["c:1"]).await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_a_failure() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let found = Found::new();
    found.run(listing(url, Duration::from_secs(60)));
    found
        .wait_for_stats(|s| s.http_failures == 1 && s.refreshes[0].failures == 1)
        .await;
}
