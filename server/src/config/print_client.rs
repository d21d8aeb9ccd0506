//! The HTTP client block as text: the values that Prometheus shows, secrets hidden.

use std::path::Path;

use kymo_ingest::http::{
    AssertionOptions, Auth, ClientOptions, HIDDEN, OAuth2Options, PemSource, ProxyOptions,
    SecretSource, TlsOptions,
};

use serde_json::Value;

use super::auth::JWT_BEARER;
use super::emit::{MapWriter, Yaml};
use super::print::text;

/// Puts the block among the keys of who asks.
pub(super) fn put_client(map: &mut MapWriter, client: &ClientOptions) {
    let mut auth = MapWriter::default();
    match &client.auth {
        None => {}
        Some(Auth::Basic { username, password }) => {
            match username {
                Some(SecretSource::Inline(name)) => auth.text("username", name.expose()),
                Some(SecretSource::File(path)) => auth.text("username_file", &shown(path)),
                None => &mut auth,
            };
            put_secret(&mut auth, ["password", "password_file"], password.as_ref());
            map.map("basic_auth", auth);
        }
        Some(Auth::Scheme {
            scheme,
            credentials,
        }) => {
            auth.text("type", scheme);
            let names = ["credentials", "credentials_file"];
            put_secret(&mut auth, names, credentials.as_ref());
            map.map("authorization", auth);
        }
        Some(Auth::OAuth2(options)) => {
            map.map("oauth2", oauth2(options));
        }
    }
    if client.tls != TlsOptions::default() {
        map.map("tls_config", tls(&client.tls));
    }
    map.flag("follow_redirects", client.follow_redirects)
        .flag("enable_http2", client.http2);
    put_proxy(map, &client.proxy);
    let mut headers = MapWriter::default();
    for header in &client.headers {
        let mut entry = MapWriter::default();
        let hidden = header.secrets.iter().map(|_| text(HIDDEN));
        let files = header.files.iter().map(|path| text(&shown(path)));
        entry
            .list("values", header.values.iter().map(|v| text(v)).collect())
            .list("secrets", hidden.collect())
            .list("files", files.collect());
        headers.put(&header.name, entry.done());
    }
    map.map("http_headers", headers);
}

fn oauth2(options: &OAuth2Options) -> MapWriter {
    let mut map = MapWriter::default();
    map.text("client_id", &options.client_id);
    let names = ["client_secret", "client_secret_file"];
    put_secret(&mut map, names, options.client_secret.as_ref());
    if let Some(assertion) = &options.assertion {
        put_assertion(&mut map, assertion);
    }
    map.list("scopes", options.scopes.iter().map(|s| text(s)).collect())
        .text("token_url", &options.token_url);
    let mut params = MapWriter::default();
    for (name, value) in &options.endpoint_params {
        params.put(name, text(value));
    }
    map.map("endpoint_params", params);
    if options.tls != TlsOptions::default() {
        map.map("tls_config", tls(&options.tls));
    }
    put_proxy(&mut map, &options.proxy);
    map
}

fn put_assertion(map: &mut MapWriter, assertion: &AssertionOptions) {
    map.text("client_certificate_key_id", &assertion.key_id);
    let names = ["client_certificate_key", "client_certificate_key_file"];
    put_secret(map, names, assertion.key.as_ref());
    map.text("grant_type", JWT_BEARER)
        .text("signature_algorithm", &assertion.algorithm)
        .text("iss", &assertion.issuer)
        .text("audience", &assertion.audience);
    let mut claims = MapWriter::default();
    for (name, value) in &assertion.claims {
        claims.put(name, any(value));
    }
    map.map("claims", claims);
}

fn any(value: &Value) -> Yaml {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Yaml::Plain(value.to_string()),
        Value::String(value) => text(value),
        Value::Array(items) => Yaml::List(items.iter().map(any).collect()),
        Value::Object(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), any(value)));
            Yaml::Map(pairs.collect())
        }
    }
}

fn put_proxy(map: &mut MapWriter, proxy: &ProxyOptions) {
    if let Some(url) = &proxy.url {
        map.text("proxy_url", &url.to_string());
    }
    map.text("no_proxy", &proxy.no_proxy);
    if proxy.from_environment {
        map.flag("proxy_from_environment", true);
    }
    let mut headers = MapWriter::default();
    for (name, values) in &proxy.connect_headers {
        headers.put(
            name,
            Yaml::List(values.iter().map(|_| text(HIDDEN)).collect()),
        );
    }
    map.map("proxy_connect_header", headers);
}

fn tls(options: &TlsOptions) -> MapWriter {
    let mut map = MapWriter::default();
    // Certificates are public; Prometheus shows them, and the paths of all files.
    let inline = |source: &Option<PemSource>| match source {
        Some(PemSource::Inline(pem)) => pem.clone(),
        _ => String::new(),
    };
    let file = |source: &Option<PemSource>| match source {
        Some(PemSource::File(path)) => shown(path),
        _ => String::new(),
    };
    map.text("ca", &inline(&options.ca))
        .text("cert", &inline(&options.cert));
    if let Some(SecretSource::Inline(_)) = options.key {
        map.text("key", HIDDEN);
    }
    map.text("ca_file", &file(&options.ca))
        .text("cert_file", &file(&options.cert));
    if let Some(SecretSource::File(path)) = &options.key {
        map.text("key_file", &shown(path));
    }
    map.text(
        "server_name",
        options.server_name.as_deref().unwrap_or_default(),
    )
    .flag("insecure_skip_verify", options.insecure_skip_verify);
    for (name, version) in [
        ("min_version", options.min_version),
        ("max_version", options.max_version),
    ] {
        map.text(name, version.map_or("", |version| version.name()));
    }
    map
}

fn put_secret(map: &mut MapWriter, [inline, file]: [&str; 2], source: Option<&SecretSource>) {
    match source {
        None => {}
        Some(SecretSource::Inline(_)) => {
            map.text(inline, HIDDEN);
        }
        Some(SecretSource::File(path)) => {
            map.text(file, &shown(path));
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
