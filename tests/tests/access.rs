//! Who may call the real server: passwords, tokens, scopes, TLS.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kymo_tests::{Authority, Kymo, TlsClient};

/// Bcrypt hash of `opens`, at the least cost.
const OPENS: &str = "$2b$04$BFU4nnUgnZtCb2MRxbwTsOe.Hiq6iqlBNDuaJEfDcXXfGJny7ffm.";

/// Tokens and their SHA-256.
const READER: (&str, &str) = (
    "reader-token",
    "ba5005a40cf5212e4ac0190104cc127edab013294bb71279a975b27a80982d45",
);
const WRITER: (&str, &str) = (
    "writer-token",
    "3590c0a59f72ce02700194a05f228a725c1f135a6dcb3ded9b2d86ab6a6f52cb",
);
const OPERATOR: (&str, &str) = (
    "operator-token",
    "0850123315d21ab90f4f7236408a52ef6dbd6a02a6550e5c10dc73f4d993680e",
);

fn web_config(open: &str) -> String {
    let token = |(name, sha256): (&str, &str), scope| {
        format!("  - name: {name}\n    sha256: {sha256}\n    scopes: [{scope}]\n")
    };
    format!(
        "basic_auth_users:\n  ann: {OPENS}\naccess:\n  open: [{open}]\n  bearer_tokens:\n{}{}{}",
        token(READER, "read"),
        token(WRITER, "write"),
        token(OPERATOR, "admin"),
    )
}

/// Starts a server with a web configuration file in `dir`.
fn start(dir: &Path, web_config: &str) -> Kymo {
    std::fs::write(dir.join("web.yml"), web_config).unwrap();
    let args = [
        "--web.config.file=web.yml",
        "--web.enable-admin-api",
        "--web.enable-lifecycle",
    ];
    Kymo::spawn_in(dir, &args)
}

/// Paths and scopes as the manual lists them.
fn routes() -> Vec<(String, String)> {
    let manual = include_str!("../../docs/security.md");
    let cells = |line: &str| -> Option<(String, String)> {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let path = cells.next()?.trim_end_matches('`').to_owned();
        let scope = cells.next()?.trim_end_matches(" |").to_owned();
        Some((path, scope))
    };
    let routes: Vec<_> = manual.lines().filter_map(cells).collect();
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

fn bearer((token, _): (&str, &str)) -> String {
    format!("Bearer {token}")
}

#[test]
fn every_route_is_shut_to_callers_without_its_scope() {
    let dir = tempfile::tempdir().unwrap();
    let mut kymo = start(dir.path(), &web_config("health"));
    kymo.wait_ready();
    let client = kymo.client();
    let status = |method: &str, path: &str, authorization: &str| {
        let headers = [("Authorization", authorization)];
        let headers: &[(&str, &str)] = if authorization.is_empty() {
            &[]
        } else {
            &headers
        };
        client.call(method, path, headers, b"").status
    };
    // What is not there is not told to strangers either.
    for path in ["/", "/nothing", "/api/v1/nothing", "/api/v1/query/"] {
        assert_eq!(status("GET", path, ""), 401, "{path}");
        assert_ne!(status("GET", path, &bearer(READER)), 401, "{path}");
    }
    for (path, scope) in routes() {
        let path = path.replace("{name}", "job").replace("{group}", "g");
        let open = matches!(path.as_str(), "/-/healthy" | "/-/ready" | "/ready");
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
            let anonymous = status(method, &path, "");
            let expected = if open { anonymous } else { 401 };
            assert_eq!(anonymous, expected, "{method} {path} without credentials");
            let wrong = status(method, &path, "Bearer guess");
            let expected = if open { wrong } else { 401 };
            assert_eq!(wrong, expected, "{method} {path} with a guess");
        }
        // Its answer does not end, where it is given.
        let streams = path == "/api/v1/notifications/live";
        for (token, has) in [(READER, "read"), (WRITER, "write")] {
            if streams && scope == has {
                continue;
            }
            // GET changes nothing on any route; OPTIONS is answered for any path.
            let got = status("GET", &path, &bearer(token));
            let allowed = open || scope == "any" || scope == has;
            assert_eq!(
                got != 403,
                allowed,
                "{path} asks for {scope}, has {has}: {got}"
            );
        }
        if scope != "admin" && !streams {
            let got = status("GET", &path, &bearer(OPERATOR));
            assert!(got != 401 && got != 403, "{path}: {got}");
        }
    }
    // The right method of a route that ends the server.
    assert_eq!(status("POST", "/-/quit", &bearer(READER)), 403);
    assert_eq!(status("POST", "/-/reload", &bearer(WRITER)), 403);
    assert_eq!(status("POST", "/-/reload", &bearer(OPERATOR)), 200);
    let basic = format!("Basic {}", STANDARD.encode("ann:opens"));
    assert_eq!(status("POST", "/-/reload", &basic), 200);
    let refused = client.get("/api/v1/query?query=1");
    assert_eq!(refused.header("www-authenticate"), Some("Basic"));
    assert_eq!(refused.text(), "Unauthorized\n");
    // Grafana shows its user what JSON says (check C-12 of its data sources), and sends
    // headers of its own along.
    let from_grafana = [
        ("Accept", "application/json, text/plain, */*"),
        ("X-Scope-OrgID", "one"),
    ];
    let query = "/api/v1/query?query=1";
    let refused = client.call("GET", query, &from_grafana, b"");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["errorType"], "unauthorized");
    assert!(
        refused.json()["message"]
            .as_str()
            .unwrap()
            .contains("password")
    );
    let known = [from_grafana[0], from_grafana[1], ("Authorization", &basic)];
    assert_eq!(client.call("GET", query, &known, b"").status, 200);
    let own = client.call("GET", "/metrics", &[("Authorization", &basic)], b"");
    let count = |reason: &str| {
        let line = format!("kymo_http_denied_total{{reason=\"{reason}\"}} ");
        let text = own.text();
        let count = text
            .lines()
            .find_map(|l| l.strip_prefix(&line).map(str::to_owned));
        count.unwrap().parse::<f64>().unwrap()
    };
    assert!(count("missing_credentials") > 100.0);
    assert!(count("wrong_credentials") > 100.0);
    assert!(count("scope") > 5.0);
}

#[test]
fn a_wrong_file_ends_the_start_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("web.yml"),
        "tls_server_config:\n  certfile: x\n",
    )
    .unwrap();
    let output = std::process::Command::new(kymo_tests::program())
        .current_dir(dir.path())
        .args([
            "--web.config.file=web.yml",
            "--web.listen-address=127.0.0.1:0",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("Unable to validate web configuration file"),
        "{told}"
    );
    assert!(
        told.contains("field certfile not found in type web.TLSConfig"),
        "{told}"
    );
    assert!(told.contains("did you mean"), "{told}");
}

#[test]
fn tls_takes_the_clients_it_should_and_new_certificates_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, strangers) = (Authority::new(), Authority::new());
    authority.sign("localhost").write(dir.path(), "server");
    std::fs::write(dir.path().join("clients.crt"), authority.pem()).unwrap();
    let kymo = start(
        dir.path(),
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n  \
         client_allowed_sans: [agent.test]\n  min_version: TLS12\n",
    );
    let agent = authority.sign("agent.test");
    let client = |identity| TlsClient::new(kymo.address(), &authority, identity);
    let answer = client(Some(&agent)).get("/-/healthy").unwrap();
    assert_eq!(answer.status, 200);
    let old = TlsClient::with_versions(
        kymo.address(),
        &authority,
        Some(&agent),
        &[&rustls::version::TLS12],
    );
    assert_eq!(old.get("/-/healthy").unwrap().status, 200);
    let other = authority.sign("other.test");
    let stranger = strangers.sign("agent.test");
    for (who, identity) in [
        ("no certificate", None),
        ("a name that is not listed", Some(&other)),
        ("another authority", Some(&stranger)),
    ] {
        assert!(client(identity).get("/-/healthy").is_err(), "{who}");
    }
    let plain = kymo
        .client()
        .try_call("GET", "/-/healthy", &[], b"")
        .unwrap();
    assert_eq!(plain.status, 400);
    assert_eq!(
        plain.text(),
        "Client sent an HTTP request to an HTTPS server.\n"
    );
    // A certificate of an authority that the client does not know is in force at once.
    strangers.sign("localhost").write(dir.path(), "server");
    assert!(client(Some(&agent)).get("/-/healthy").is_err());
    let moved = TlsClient::new(kymo.address(), &strangers, Some(&agent));
    assert_eq!(moved.get("/-/healthy").unwrap().status, 200);
    // Nothing is served while a file is broken.
    std::fs::write(dir.path().join("server.key"), "gone").unwrap();
    assert!(moved.get("/-/healthy").is_err());
}
