//! Web configuration files right and wrong, and who gets in.

use std::path::Path;

use super::file::WebConfig;
use super::*;

fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn sha256(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn refused(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    WebConfig::parse(text, dir.path()).unwrap_err().to_string()
}

/// A certificate with its key, in files of a directory.
fn certificate(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

#[test]
fn mistakes_are_told_in_the_words_of_prometheus_with_their_place() {
    for (text, expected) in [
        ("foo: bar", "line 1: field foo not found in type web.Config"),
        (
            "basic_auth_users:\n  ann: short",
            "crypto/bcrypt: hashedSecret too short to be a bcrypted password (line 2, column 8)",
        ),
        (
            "tls_server_config:\n  cert_file: x",
            "missing one of key or key_file",
        ),
        (
            "tls_server_config:\n  key_file: x",
            "missing one of cert or cert_file",
        ),
        (
            "tls_server_config:\n  cert_file: x\n  key_file: y\n  client_ca_file: z",
            "client CA's have been configured without a Client Auth Policy",
        ),
        (
            "tls_server_config:\n  cert_file: x\n  key_file: y\n  client_auth_type: Maybe",
            "invalid ClientAuth: Maybe",
        ),
        (
            "tls_server_config:\n  cert_file: x\n  key_file: y",
            "no such file or directory",
        ),
        (
            "tls_server_config:\n  min_version: TLS11",
            "TLS11 is not supported by Kymo",
        ),
        (
            "tls_server_config:\n  min_version: SSL3",
            "unknown TLS version: SSL3",
        ),
        (
            "tls_server_config:\n  cipher_suites: [TLS_FAST]",
            "unknown cipher: TLS_FAST",
        ),
        (
            "tls_server_config:\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]",
            "missing an HTTP/2-required",
        ),
        (
            "tls_server_config:\n  curve_preferences: [Curve1]",
            "unknown curve: Curve1",
        ),
        (
            "http_server_config:\n  headers:\n    Server: me",
            "HTTP header \"Server\" can not be configured (line 3",
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: never",
            "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"never\"",
        ),
        ("rate_limit:\n  interval: soon", "time: invalid duration"),
        ("access:\n  open: [queries]", "\"queries\" cannot be open"),
        (
            "access:\n  users:\n    bob: [read]",
            "\"bob\" is not in basic_auth_users",
        ),
        (
            "access:\n  bearer_tokens:\n    - name: a\n      sha256: 12\n      scopes: [read]",
            "64 hexadecimal digits",
        ),
        (
            "access:\n  bearer_tokens:\n    - name: a\n      scopes: [see]",
            "there is no scope \"see\"",
        ),
        (
            "access:\n  bearer_tokens:\n    - name: a\n      scopes: []",
            "a bearer token needs its sha256",
        ),
    ] {
        let told = refused(text);
        assert!(told.contains(expected), "{text}\n{told}");
    }
}

#[test]
fn files_of_exporters_are_read() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let text = format!(
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  min_version: TLS13\n  \
         curve_preferences: [X25519, CurveP256]\n  client_auth_type: RequestClientCert\n\
         http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n\
         rate_limit:\n  burst: 3\n  interval: 1m30s\n\
         basic_auth_users:\n  ann: {}\n",
        hash("opens")
    );
    let config = WebConfig::parse(&text, dir.path()).unwrap();
    assert!(config.tls.is_some() && config.asks());
    assert_eq!(config.rate.unwrap().interval.as_secs(), 90);
    assert_eq!(config.headers.len(), 1);
    assert!(WebConfig::parse("", dir.path()).unwrap().tls.is_none());
    let built = config.tls.unwrap().build().unwrap();
    assert_eq!(built.alpn_protocols, [b"http/1.1".to_vec()]);
}

#[test]
fn secrets_are_not_printed() {
    let hash = hash("opens");
    let text = format!("basic_auth_users:\n  ann: {hash}\n");
    let config = WebConfig::parse(&text, Path::new("")).unwrap();
    assert!(!format!("{config:?}").contains(&hash));
}

struct Door {
    access: Access,
    dir: tempfile::TempDir,
}

impl Door {
    fn new(text: &str) -> Door {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.yml");
        std::fs::write(&file, text).unwrap();
        let access = Access::new(Some(&file)).unwrap();
        Door { access, dir }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.dir.path().join("web.yml"), text).unwrap();
    }

    /// Returns the status of a refusal, or the caller's name and what they may do.
    async fn knock(&self, path: &str, authorization: &str) -> Result<(String, [bool; 3]), u16> {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        match self.access.admit(path, &headers).await {
            Ok(admitted) => {
                let scopes = admitted.caller.scopes;
                let may = [Scope::Read, Scope::Write, Scope::Admin].map(|s| scopes.allow(s));
                Ok((admitted.caller.name.to_string(), may))
            }
            Err(response) => Err(response.status().as_u16()),
        }
    }
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn guarded() -> String {
    format!(
        "basic_auth_users:\n  ann: {}\n  bob: {}\naccess:\n  open: [health]\n  users:\n    \
         bob: [read]\n  bearer_tokens:\n  - name: agents\n    sha256: {}\n    scopes: [write]\n",
        hash("opens"),
        hash("looks"),
        sha256("t0k3n")
    )
}

#[tokio::test]
async fn whoever_shows_nothing_or_something_wrong_stays_outside() {
    let door = Door::new(&guarded());
    let named = |name: &str, may| Ok((name.to_owned(), may));
    let path = "/api/v1/query";
    for wrong in [
        "",
        "Basic",
        "Basic ???",
        "Bearer",
        "Bearer ",
        "Bearer other",
        "Digest x",
        &basic("ann:wrong"),
        &basic("ann"),
        &basic("nobody:opens"),
        &basic("ann:opens:"),
        // A token's hash in the file is not the token.
        &format!("Bearer {}", sha256("t0k3n")),
    ] {
        for _ in 0..2 {
            assert_eq!(door.knock(path, wrong).await, Err(401), "{wrong}");
        }
    }
    let ann = door.knock(path, &basic("ann:opens")).await;
    assert_eq!(ann, named("ann", [true; 3]));
    let bob = door.knock(path, &basic("bob:looks")).await;
    assert_eq!(bob, named("bob", [true, false, false]));
    let agents = door.knock(path, "bearer t0k3n").await;
    assert_eq!(agents, named("agents", [false, true, false]));
    assert_eq!(
        door.knock("/-/healthy", "").await,
        named("", [true; 3]),
        "open by configuration"
    );
    assert_eq!(door.knock("/-/healthy/", "").await, Err(401));
    assert_eq!(door.knock("/metrics", "").await, Err(401));
    assert_eq!(door.access.denied().counts()[0].1, 4);
}

#[tokio::test]
async fn without_users_and_tokens_everybody_gets_in_with_the_headers() {
    let door = Door::new("http_server_config:\n  headers:\n    X-Frame-Options: deny\n");
    let admitted = door.access.admit("/", &HeaderMap::new()).await.unwrap();
    let mut answer = HeaderMap::new();
    admitted.headers.complete(&mut answer);
    assert_eq!(answer["x-frame-options"], "deny");
    assert!(!door.access.asks());
}

#[tokio::test]
async fn a_changed_file_counts_at_once_and_a_broken_one_lets_nobody_in() {
    let door = Door::new(&guarded());
    let ann = basic("ann:opens");
    assert!(door.knock("/", &ann).await.is_ok());
    door.write("nonsense: true");
    assert_eq!(door.knock("/", &ann).await, Err(500));
    assert_eq!(door.knock("/-/healthy", "").await, Err(500));
    door.write(&format!("basic_auth_users:\n  ann: {}\n", hash("changed")));
    assert_eq!(door.knock("/", &ann).await, Err(401));
    assert!(door.knock("/", &basic("ann:changed")).await.is_ok());
    assert_eq!(door.knock("/-/healthy", "").await, Err(401));
    std::fs::remove_file(door.dir.path().join("web.yml")).unwrap();
    assert_eq!(door.knock("/", &basic("ann:changed")).await, Err(500));
}

#[tokio::test]
async fn more_requests_than_the_rate_are_turned_away() {
    let door = Door::new("rate_limit:\n  burst: 2\n  interval: 1h\n");
    let statuses = [(); 4].map(|()| door.knock("/", ""));
    let mut passed = 0;
    for status in statuses {
        match status.await {
            Ok(_) => passed += 1,
            Err(status) => assert_eq!(status, 429),
        }
    }
    assert_eq!(passed, 2);
}

#[test]
fn a_certificate_is_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let file = dir.path().join("web.yml");
    std::fs::write(
        &file,
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n",
    )
    .unwrap();
    let access = Access::new(Some(&file)).unwrap();
    let first = access.handshake().unwrap();
    assert!(Arc::ptr_eq(&first, &access.handshake().unwrap()));
    certificate(dir.path());
    assert!(!Arc::ptr_eq(&first, &access.handshake().unwrap()));
    std::fs::remove_file(dir.path().join("key.pem")).unwrap();
    assert!(access.handshake().unwrap_err().contains("no such file"));
}
