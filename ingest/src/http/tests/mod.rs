//! The client against a real server: what arrives, what is refused, and the texts.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::test_server::{Identity, TestServer, answer, text};
use super::*;

mod between;
mod tokens;

const TIMEOUT: Duration = Duration::from_secs(5);

async fn get(options: &ClientOptions, url: &str) -> Result<Answer, FetchError> {
    let client = HttpClient::new(options).unwrap();
    client.get(url, &HeaderMap::new(), TIMEOUT, 0).await
}

async fn refusal(options: &ClientOptions, url: &str) -> String {
    get(options, url).await.unwrap_err().to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_answer_comes_with_type_and_body() {
    let server = TestServer::start(|_| text("a 1\n")).await;
    let answer = get(&ClientOptions::default(), &server.url("/metrics"))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.status_text.as_str()),
        (200, "200 OK")
    );
    assert_eq!(answer.content_type, "text/plain; version=0.0.4");
    assert_eq!(answer.into_body().unwrap(), "a 1\n");
}

#[tokio::test]
async fn requests_carry_agent_and_credentials() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = TestServer::start(move |request| {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value
                .map_or("-", |value| value.to_str().unwrap())
                .to_owned()
        };
        log.lock().push([
            header("user-agent"),
            header("authorization"),
            header("x-scope"),
        ]);
        text("")
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "pass\n").unwrap();
    let basic = ClientOptions {
        auth: Some(Auth::Basic {
            username: Some(SecretSource::Inline(Secret::new("me"))),
            password: Some(SecretSource::File(file)),
        }),
        headers: vec![ExtraHeader {
            name: "X-Scope".to_owned(),
            values: vec!["one".to_owned()],
            secrets: Vec::new(),
            files: Vec::new(),
        }],
        ..ClientOptions::default()
    };
    get(&basic, &server.url("/")).await.unwrap();
    let bearer = ClientOptions {
        auth: Some(Auth::Scheme {
            scheme: "Bearer".to_owned(),
            credentials: Some(SecretSource::Inline(Secret::new("tok"))),
        }),
        ..ClientOptions::default()
    };
    get(&bearer, &server.url("/")).await.unwrap();
    let seen = seen.lock().clone();
    assert!(seen[0][0].starts_with("Kymo/"));
    assert_eq!(seen[0][1], "Basic bWU6cGFzcw==");
    assert_eq!(seen[0][2], "one");
    assert_eq!(seen[1][1], "Bearer tok");
}

#[tokio::test]
async fn a_body_is_sent_again_where_a_redirect_asks_for_it() {
    let server = TestServer::start(|request| {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.map_or("-", |value| value.to_str().unwrap())
        };
        match request.uri().path() {
            "/same" => answer(307, &[("location", "/here")], ""),
            "/other" => answer(302, &[("location", "/here")], ""),
            _ => text(format!(
                "{} {} {}",
                request.method(),
                header("content-type"),
                header("content-length")
            )),
        }
    })
    .await;
    let client = HttpClient::new(&ClientOptions::default()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    for (path, expected) in [
        ("/here", "POST application/json 4"),
        ("/same", "POST application/json 4"),
        ("/other", "GET - -"),
    ] {
        let (url, body) = (server.url(path), "[{}]".into());
        let posted = client.post(&url, &headers, body, TIMEOUT, 0).await;
        assert_eq!(posted.unwrap().into_body().unwrap(), expected);
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let posted = client.post(&url, &headers, "[]".into(), TIMEOUT, 0).await;
    let error = posted.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("Post \"{url}\": dial tcp ")),
        "{error}"
    );
}

#[tokio::test]
async fn redirects_are_followed_with_a_referer_and_without_credentials_elsewhere() {
    let elsewhere = TestServer::start(|request| {
        let trusted = request.headers().contains_key("authorization");
        text(format!("trusted {}\n", u8::from(trusted)))
    })
    .await;
    // Another name of the same machine is another host.
    let target = format!("http://localhost:{}/", elsewhere.address.port());
    let server = TestServer::start(move |request| {
        let referer = request.headers().get("referer").cloned();
        match request.uri().path() {
            "/start" => answer(302, &[("location", "/next")], ""),
            "/next" => text(referer.unwrap().to_str().unwrap().to_owned()),
            "/away" => answer(307, &[("location", &target)], ""),
            "/bare" => answer(302, &[], "no location"),
            _ => answer(301, &[("location", "/loop")], ""),
        }
    })
    .await;
    let options = ClientOptions {
        auth: Some(Auth::Scheme {
            scheme: "Bearer".to_owned(),
            credentials: None,
        }),
        ..ClientOptions::default()
    };
    let start = server.url("/start");
    let followed = get(&options, &start).await.unwrap().into_body().unwrap();
    assert_eq!(followed, start);
    let away = get(&options, &server.url("/away")).await.unwrap();
    assert_eq!(away.into_body().unwrap(), "trusted 0\n");
    assert_eq!(
        get(&options, &server.url("/bare")).await.unwrap().status,
        302
    );
    let looped = refusal(&options, &server.url("/loop")).await;
    let expected = format!(
        "Get \"{}\": stopped after 10 redirects",
        server.url("/loop")
    );
    assert_eq!(looped, expected);
    let stays = ClientOptions {
        follow_redirects: false,
        ..options
    };
    assert_eq!(get(&stays, &start).await.unwrap().status_text, "302 Found");
}

#[tokio::test]
async fn packed_bodies_are_unpacked_and_limits_count_unpacked_bytes() {
    let body = "x 1\n".repeat(1_000);
    let packed = gzip(body.as_bytes());
    let cut = packed[..packed.len() / 2].to_vec();
    let server = TestServer::start(move |request| {
        let bytes = match request.uri().path() {
            "/cut" => cut.clone(),
            "/not" => b"not packed".to_vec(),
            _ => packed.clone(),
        };
        answer(200, &[("content-encoding", "gzip")], bytes)
    })
    .await;
    let client = HttpClient::new(&ClientOptions::default()).unwrap();
    let fetch = |path: &'static str, limit: u64| {
        let (client, url) = (client.clone(), server.url(path));
        async move {
            let answer = client.get(&url, &HeaderMap::new(), TIMEOUT, limit).await?;
            answer.into_body().map(|body| body.len())
        }
    };
    assert_eq!(fetch("/", 4_001).await, Ok(4_000));
    assert_eq!(fetch("/", 4_000).await, Err(FetchError::BodyLimit));
    assert_eq!(fetch("/", 0).await, Ok(4_000));
    let text = |error: FetchError| error.to_string();
    assert_eq!(text(fetch("/cut", 0).await.unwrap_err()), "unexpected EOF");
    assert_eq!(
        text(fetch("/not", 0).await.unwrap_err()),
        "gzip: invalid header"
    );
}

#[tokio::test]
async fn plain_bodies_are_limited_while_they_arrive() {
    let server = TestServer::start(|_| text("x".repeat(100_000))).await;
    let client = HttpClient::new(&ClientOptions::default()).unwrap();
    let fetched = client
        .get(&server.url("/"), &HeaderMap::new(), TIMEOUT, 1_000)
        .await;
    assert_eq!(fetched.unwrap_err(), FetchError::BodyLimit);
}

/// Accepts one connection, reads a request, writes `bytes` and closes.
async fn raw_server(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    format!("http://{address}/m")
}

#[tokio::test]
async fn failures_read_as_in_go() {
    let options = ClientOptions::default();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("http://{closed}/metrics");
    assert_eq!(
        refusal(&options, &url).await,
        format!("Get \"{url}\": dial tcp {closed}: connect: connection refused")
    );
    let url = raw_server(b"").await;
    assert_eq!(refusal(&options, &url).await, format!("Get \"{url}\": EOF"));
    let url = raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert_eq!(refusal(&options, &url).await, "unexpected EOF");
    let url = raw_server(b"nonsense\r\n\r\n").await;
    let text = refusal(&options, &url).await;
    assert!(text.contains("malformed HTTP response"), "{text}");
    let secure = raw_server(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        .await
        .replace("http:", "https:");
    assert_eq!(
        refusal(&options, &secure).await,
        format!("Get \"{secure}\": tls: first record does not look like a TLS handshake")
    );
    assert_eq!(
        refusal(&options, "ftp://x/").await,
        "Get \"ftp://x/\": unsupported protocol scheme \"ftp\""
    );
    assert_eq!(
        refusal(&options, "//x/").await,
        "Get \"//x/\": unsupported protocol scheme \"\""
    );
}

#[tokio::test]
async fn the_deadline_covers_head_and_body() {
    let client = HttpClient::new(&ClientOptions::default()).unwrap();
    let short = Duration::from_secs(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        for head in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            stream.write_all(head).await.unwrap();
            open.push(stream);
        }
        std::future::pending::<()>().await;
    });
    let url = format!("http://{address}/");
    let headers = HeaderMap::new();
    let fetch = || client.get(&url, &headers, short, 0);
    let silent = fetch().await.unwrap_err().to_string();
    assert_eq!(silent, format!("Get \"{url}\": context deadline exceeded"));
    let half = fetch().await.unwrap_err().to_string();
    assert_eq!(half, "context deadline exceeded");
}

fn trusting(identity: &Identity) -> ClientOptions {
    ClientOptions {
        tls: TlsOptions {
            ca: Some(PemSource::Inline(identity.cert_pem.clone())),
            ..TlsOptions::default()
        },
        ..ClientOptions::default()
    }
}

#[tokio::test]
async fn certificates_are_verified_against_the_given_authority() {
    let identity = Identity::new("localhost");
    let server = TestServer::start_tls(&identity, None, |request| {
        text(format!("{:?}", request.version()))
    })
    .await;
    let url = server.https("/");
    let fetched = get(&trusting(&identity), &url).await.unwrap();
    assert_eq!(fetched.into_body().unwrap(), "HTTP/2.0");
    let http1 = ClientOptions {
        http2: false,
        ..trusting(&identity)
    };
    let fetched = get(&http1, &url).await.unwrap();
    assert_eq!(fetched.into_body().unwrap(), "HTTP/1.1");
    let other = trusting(&Identity::new("localhost"));
    let refused = refusal(&other, &url).await;
    let verify = "tls: failed to verify certificate: x509:";
    assert!(
        refused.starts_with(&format!("Get \"{url}\": {verify} ")),
        "{refused}"
    );
    let by_address = format!("https://{}/", server.address);
    let refused = refusal(&trusting(&identity), &by_address).await;
    assert!(
        refused.contains("certificate is not valid for any names"),
        "{refused}"
    );
}

#[tokio::test]
async fn verification_can_be_bent() {
    let identity = Identity::new("inner.example");
    let server = TestServer::start_tls(&identity, None, |_| text("ok")).await;
    let url = server.https("/");
    let mut named = trusting(&identity);
    named.tls.server_name = Some("inner.example".to_owned());
    assert_eq!(get(&named, &url).await.unwrap().into_body().unwrap(), "ok");
    let mut blind = ClientOptions::default();
    blind.tls.insecure_skip_verify = true;
    assert_eq!(get(&blind, &url).await.unwrap().into_body().unwrap(), "ok");
    blind.tls.min_version = Some(TlsVersion::Tls13);
    assert!(get(&blind, &url).await.is_ok());
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let identity = Identity::new("localhost");
    let client = Identity::new("client");
    let server = TestServer::start_tls(&identity, Some(&client), |_| text("ok")).await;
    let mut options = trusting(&identity);
    assert!(get(&options, &server.https("/")).await.is_err());
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    options.tls.cert = Some(PemSource::File(path("cert.pem", &client.cert_pem)));
    options.tls.key = Some(SecretSource::File(path("key.pem", &client.key_pem)));
    assert!(get(&options, &server.https("/")).await.is_ok());
    options.tls.cert = Some(PemSource::File(dir.path().join("missing.pem")));
    let error = HttpClient::new(&options).unwrap_err().to_string();
    assert!(
        error.starts_with("unable to read specified client cert: unable to read file "),
        "{error}"
    );
    assert!(error.ends_with("no such file or directory"), "{error}");
}
