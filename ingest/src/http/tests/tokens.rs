//! Tokens by OAuth 2 against a server that gives them: what is asked, how long a token is
//! used, and what is said where there is none.

use std::collections::BTreeMap;

use http_body_util::BodyExt;

use super::*;

/// What was asked of the server of tokens: `Authorization` and body.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// Serves tokens: each request gets `answer` made of its number.
async fn token_server(
    answer: impl Fn(usize, &str) -> String + Send + Sync + 'static,
) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Asked = Arc::default();
    let log = Arc::clone(&seen);
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request: http::Request<_>| {
                    let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                    async move {
                        let header = request.headers().get("authorization");
                        let header = header.map_or("-", |value| value.to_str().unwrap());
                        let header = header.to_owned();
                        let body: hyper::body::Incoming = request.into_body();
                        let body = body.collect().await?.to_bytes();
                        let body = String::from_utf8(body.to_vec()).unwrap();
                        let mut log = log.lock();
                        log.push((header.clone(), body));
                        let text = answer(log.len(), &header);
                        let (status, body) = text.split_once(' ').unwrap();
                        let response = http::Response::builder()
                            .status(status.parse::<u16>().unwrap())
                            .header("content-type", "application/json")
                            .body(http_body_util::Full::<bytes::Bytes>::from(body.to_owned()));
                        Ok::<_, hyper::Error>(response.unwrap())
                    }
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(io, service).await;
            });
        }
    });
    (format!("http://{address}/token"), seen)
}

fn options(token_url: &str, secret: SecretSource) -> OAuth2Options {
    OAuth2Options {
        client_id: "me & you".to_owned(),
        client_secret: Some(secret),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        token_url: token_url.to_owned(),
        endpoint_params: BTreeMap::from([("audience".to_owned(), "all".to_owned())]),
        ..OAuth2Options::default()
    }
}

fn client(options: OAuth2Options) -> HttpClient {
    HttpClient::new(&ClientOptions {
        auth: Some(Auth::OAuth2(Box::new(options))),
        ..ClientOptions::default()
    })
    .unwrap()
}

async fn target() -> TestServer {
    TestServer::start(|request| {
        let header = request.headers().get("authorization");
        text(
            header
                .map_or("-", |value| value.to_str().unwrap())
                .to_owned(),
        )
    })
    .await
}

async fn ask(client: &HttpClient, url: &str) -> Result<String, String> {
    let answer = client.get(url, &HeaderMap::new(), TIMEOUT, 0).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let body = answer.into_body().map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_again_when_its_secret_changes() {
    let (url, seen) = token_server(|number, _| {
        format!(
            "200 {{\"access_token\":\"t{number}\",\"token_type\":\"bearer\",\"expires_in\":3600}}"
        )
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "word\n").unwrap();
    let client = client(options(&url, SecretSource::File(file.clone())));
    let target = target().await;
    let url = target.url("/");
    let both = tokio::join!(ask(&client, &url), ask(&client, &url));
    assert_eq!(both, (Ok("Bearer t1".into()), Ok("Bearer t1".into())));
    std::fs::write(&file, "other").unwrap();
    assert_eq!(ask(&client, &url).await.unwrap(), "Bearer t2");
    let seen = seen.lock().clone();
    assert_eq!(seen.len(), 2);
    // base64 of `me+%26+you:word`
    assert_eq!(seen[0].0, "Basic bWUrJTI2K3lvdTp3b3Jk");
    assert_eq!(
        seen[0].1,
        "audience=all&grant_type=client_credentials&scope=read+write"
    );
    std::fs::remove_file(&file).unwrap();
    let refused = ask(&client, &url).await.unwrap_err();
    let expected = format!("Get \"{url}\": unable to read oauth2 client secret: unable to read");
    assert!(refused.starts_with(&expected), "{refused}");
}

#[tokio::test]
async fn a_token_that_ends_is_asked_for_again() {
    let (url, seen) = token_server(|number, _| {
        // Ends within the seconds in which a token is not used any more.
        format!("200 {{\"access_token\":\"t{number}\",\"expires_in\":\"9\"}}")
    })
    .await;
    let client = client(options(&url, SecretSource::Inline(Secret::new("word"))));
    let target = target().await;
    for number in 1..=2 {
        let got = ask(&client, &target.url("/")).await.unwrap();
        assert_eq!(got, format!("Bearer t{number}"));
    }
    assert_eq!(seen.lock().len(), 2);
}

#[tokio::test]
async fn credentials_go_into_the_body_where_the_header_is_not_taken() {
    let (url, seen) = token_server(|_, header| match header {
        "-" => "200 {\"access_token\":\"t\",\"token_type\":\"Custom\",\"expires_in\":1}".to_owned(),
        _ => "401 {\"error\":\"invalid_client\"}".to_owned(),
    })
    .await;
    let client = client(options(&url, SecretSource::Inline(Secret::new("word"))));
    let target = target().await;
    for _ in 0..2 {
        assert_eq!(ask(&client, &target.url("/")).await.unwrap(), "Custom t");
    }
    let seen = seen.lock().clone();
    // What worked once is what is done from then on.
    assert_eq!(seen.len(), 3);
    assert_eq!(
        seen[1].1,
        "audience=all&client_id=me+%26+you&client_secret=word&grant_type=client_credentials\
         &scope=read+write"
    );
}

#[tokio::test]
async fn what_the_server_says_is_told() {
    let target = target().await;
    let url = target.url("/");
    for (answer, expected) in [
        (
            "400 {\"error\":\"invalid_scope\",\"error_description\":\"no such\"}",
            "oauth2: \"invalid_scope\" \"no such\"",
        ),
        ("200 {\"error\":\"slow_down\"}", "oauth2: \"slow_down\""),
        ("200 {}", "oauth2: server response missing access_token"),
        (
            "503 later",
            "oauth2: cannot fetch token: 503 Service Unavailable\nResponse: later",
        ),
        (
            "200 [",
            "oauth2: cannot parse json: EOF while parsing a list at line 1 column 1",
        ),
    ] {
        let (token_url, _) = token_server(move |_, _| answer.to_owned()).await;
        let client = client(options(&token_url, SecretSource::Inline(Secret::new("w"))));
        let refused = ask(&client, &url).await.unwrap_err();
        assert_eq!(refused, format!("Get \"{url}\": {expected}"));
    }
    let nowhere = options(
        "http://127.0.0.1:1/t",
        SecretSource::Inline(Secret::new("w")),
    );
    let refused = ask(&client(nowhere), &url).await.unwrap_err();
    assert_eq!(
        refused,
        format!(
            "Get \"{url}\": Post \"http://127.0.0.1:1/t\": dial tcp 127.0.0.1:1: connect: \
             connection refused"
        )
    );
    let mut twice = options(&url, SecretSource::Inline(Secret::new("w")));
    twice.endpoint_params = BTreeMap::from([("scope".to_owned(), "x".to_owned())]);
    let refused = ask(&client(twice), &url).await.unwrap_err();
    assert!(
        refused.ends_with("oauth2: cannot overwrite parameter \"scope\""),
        "{refused}"
    );
}

#[tokio::test]
async fn a_signed_assertion_stands_for_a_secret() {
    let (url, seen) = token_server(|_, _| {
        "200 {\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":3600}".to_owned()
    })
    .await;
    let key = SecretSource::Inline(Secret::new(include_str!("rsa_key.pem")));
    let signing = OAuth2Options {
        client_secret: None,
        assertion: Some(AssertionOptions {
            key: Some(key),
            ..AssertionOptions::default()
        }),
        ..options(&url, SecretSource::Inline(Secret::default()))
    };
    let client = client(signing);
    let target = target().await;
    assert_eq!(ask(&client, &target.url("/")).await.unwrap(), "Bearer t");
    let seen = seen.lock().clone();
    assert_eq!((seen.len(), seen[0].0.as_str()), (1, "-"));
    assert!(seen[0].1.starts_with("assertion=ey"), "{seen:?}");
    let rest = "&audience=all&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=read+write";
    assert!(seen[0].1.ends_with(rest), "{seen:?}");
}
