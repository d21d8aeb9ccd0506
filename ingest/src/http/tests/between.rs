//! What stands between the client and whom it asks: proxies and sockets.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener};

use super::*;

/// A proxy that opens tunnels to wherever it is asked to, and writes down the requests.
async fn tunnelling() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let wanted = head.split(' ').nth(1).unwrap().to_owned();
            log.lock().push(head);
            let Ok(mut other) = TcpStream::connect(&wanted).await else {
                stream
                    .write_all(b"HTTP/1.1 502 Nobody There\r\n\r\n")
                    .await
                    .unwrap();
                continue;
            };
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut stream, &mut other).await });
        }
    });
    (format!("http://me:word@{address}"), seen)
}

fn through(proxy: &str) -> ClientOptions {
    ClientOptions {
        proxy: ProxyOptions {
            url: Some(ProxyUrl::parse(proxy).unwrap()),
            ..ProxyOptions::default()
        },
        ..ClientOptions::default()
    }
}

#[tokio::test]
async fn plain_requests_are_asked_at_the_proxy_with_the_whole_url() {
    let proxy = TestServer::start(|request| {
        let header = request.headers().get("proxy-authorization");
        let header = header.map_or("-", |value| value.to_str().unwrap());
        text(format!("{} {header}", request.uri()))
    })
    .await;
    let options = through(&format!("http://me:word@{}", proxy.address));
    let fetched = get(&options, "http://nowhere.invalid/a?b=c").await.unwrap();
    assert_eq!(
        fetched.into_body().unwrap(),
        "http://nowhere.invalid/a?b=c Basic bWU6d29yZA=="
    );
    // What is to go around the proxy does.
    let around = ClientOptions {
        proxy: ProxyOptions {
            no_proxy: "other.example".to_owned(),
            ..options.proxy.clone()
        },
        ..options
    };
    let direct = get(&around, &proxy.url("/x")).await.unwrap();
    assert_eq!(direct.into_body().unwrap(), "/x -");
}

#[tokio::test]
async fn secure_requests_go_through_a_tunnel() {
    let identity = Identity::new("localhost");
    let server = TestServer::start_tls(&identity, None, |request| {
        text(format!(
            "{:?}",
            request.headers().get("proxy-authorization")
        ))
    })
    .await;
    let (proxy, seen) = tunnelling().await;
    let options = ClientOptions {
        proxy: ProxyOptions {
            connect_headers: vec![("X-Zone".to_owned(), vec![Secret::new("a")])],
            ..through(&proxy).proxy
        },
        ..trusting(&identity)
    };
    let fetched = get(&options, &server.https("/")).await.unwrap();
    assert_eq!(fetched.into_body().unwrap(), "None");
    let head = seen.lock()[0].clone();
    let port = server.address.port();
    assert!(
        head.starts_with(&format!("CONNECT localhost:{port} ")),
        "{head}"
    );
    assert!(head.contains("X-Zone: a\r\n"), "{head}");
    assert!(
        head.contains("Proxy-Authorization: Basic bWU6d29yZA==\r\n"),
        "{head}"
    );
    let refused = refusal(&options, "https://127.0.0.1:1/").await;
    assert_eq!(refused, "Get \"https://127.0.0.1:1/\": Nobody There");
}

#[tokio::test]
async fn a_secure_proxy_is_verified_like_a_target() {
    let identity = Identity::new("localhost");
    let proxy = TestServer::start_tls(&identity, None, |request| {
        text(format!("{} {:?}", request.uri(), request.version()))
    })
    .await;
    let address = format!("https://localhost:{}", proxy.address.port());
    let options = ClientOptions {
        proxy: through(&address).proxy,
        ..trusting(&identity)
    };
    let fetched = get(&options, "http://nowhere.invalid/").await.unwrap();
    assert_eq!(
        fetched.into_body().unwrap(),
        "http://nowhere.invalid/ HTTP/1.1"
    );
    let refused = refusal(&through(&address), "http://nowhere.invalid/").await;
    assert!(
        refused.contains("proxyconnect tcp: tls: failed to verify certificate"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_named() {
    let refused = refusal(&through("http://127.0.0.1:1"), "http://a.invalid/").await;
    assert_eq!(
        refused,
        "Get \"http://a.invalid/\": proxyconnect tcp: dial tcp 127.0.0.1:1: connect: \
         connection refused"
    );
}

#[tokio::test]
async fn socks_carries_names_and_refusals() {
    let server = TestServer::start(|request| text(request.uri().to_string())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let destination = server.address;
    tokio::spawn(async move {
        for reply in [0, 5] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut greeting = [0; 3];
            stream.read_exact(&mut greeting).await.unwrap();
            stream.write_all(&[5, 0]).await.unwrap();
            let mut head = [0; 5];
            stream.read_exact(&mut head).await.unwrap();
            let mut name = vec![0; usize::from(head[4]) + 2];
            stream.read_exact(&mut name).await.unwrap();
            assert_eq!(&name[..14], b"nowhere.invalid"[..14].as_ref());
            stream
                .write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0])
                .await
                .unwrap();
            if reply == 0 {
                let mut other = TcpStream::connect(destination).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut stream, &mut other).await });
            }
        }
    });
    let options = through(&format!("socks5://{proxy}"));
    let url = "http://nowhere.invalid/a";
    let fetched = get(&options, url).await.unwrap();
    // The server is reached as if there were nobody between.
    assert_eq!(fetched.into_body().unwrap(), "/a");
    assert_eq!(
        refusal(&options, url).await,
        format!(
            "Get \"{url}\": socks connect tcp {proxy}->nowhere.invalid:80: unknown error \
             connection refused"
        )
    );
}

#[tokio::test]
async fn a_socket_is_asked_whatever_the_address_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let host = String::from_utf8(head).unwrap().to_lowercase();
        assert!(host.contains("host: nowhere.invalid\r\n"), "{host}");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na 1\n")
            .await
            .unwrap();
    });
    let client = HttpClient::new(&ClientOptions::default()).unwrap();
    let client = client.over_socket(&path);
    let headers = HeaderMap::new();
    let url = "http://nowhere.invalid/";
    let fetched = client.get(url, &headers, TIMEOUT, 0).await.unwrap();
    assert_eq!(fetched.into_body().unwrap(), "a 1\n");
    let missing = dir.path().join("missing.sock");
    let client = client.over_socket(&missing);
    let refused = client.get(url, &headers, TIMEOUT, 0).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "Get \"{url}\": dial unix {}: connect: no such file or directory",
            missing.display()
        )
    );
}
