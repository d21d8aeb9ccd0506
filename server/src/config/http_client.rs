//! The HTTP client block that jobs (and later senders) write among their own keys.

use std::path::{Path, PathBuf};

use kymo_ingest::http::{
    Auth, ClientOptions, ExtraHeader, PemSource, Secret, SecretSource, TlsOptions, TlsVersion,
};

use kymo_storage::compat::quote::quote;

use super::fields::{self, Fields, Problems};
use super::yaml::{Node, Position};

/// Headers that a configuration may not set, because they are set from elsewhere.
const RESERVED_HEADERS: [&str; 18] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "user-agent",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

/// Takes the block out of `fields`. Paths are relative to `dir`.
pub(super) fn take(fields: &mut Fields<'_>, dir: &Path, problems: &mut Problems) -> ClientOptions {
    let basic = fields.take("basic_auth");
    let authorization = fields.take("authorization");
    let bearer = fields.string("bearer_token", problems);
    let bearer_file = fields.string("bearer_token_file", problems);
    let at = fields.position_of("authorization");
    let has_bearer = !bearer.is_empty() || !bearer_file.is_empty();
    if !bearer.is_empty() && !bearer_file.is_empty() {
        let text = "at most one of bearer_token & bearer_token_file must be configured";
        problems.value(fields.position_of("bearer_token"), text);
    }
    if basic.is_some() && has_bearer {
        let text = "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured";
        problems.value(fields.position_of("basic_auth"), text);
    }
    if authorization.is_some() && has_bearer {
        let text = "authorization is not compatible with bearer_token & bearer_token_file";
        problems.value(at, text);
    }
    if basic.is_some() && authorization.is_some() {
        let text = "at most one of basic_auth, oauth2 & authorization must be configured";
        problems.value(at, text);
    }
    let auth = match (basic, authorization) {
        (Some(node), _) => Some(basic_auth(node, dir, problems)),
        (None, Some(node)) => Some(scheme_auth(node, dir, problems)),
        (None, None) if has_bearer => Some(Auth::Scheme {
            scheme: "Bearer".to_owned(),
            credentials: secret_source(&bearer, &bearer_file, dir),
        }),
        (None, None) => None,
    };
    refuse_proxies(fields, problems);
    let tls = fields.take("tls_config");
    let headers = fields.take("http_headers");
    ClientOptions {
        auth,
        tls: tls.map_or_else(TlsOptions::default, |node| tls_options(node, dir, problems)),
        follow_redirects: fields.bool_or("follow_redirects", true, problems),
        http2: fields.bool_or("enable_http2", true, problems),
        headers: headers.map_or_else(Vec::new, |node| extra_headers(node, dir, problems)),
    }
}

/// Puts a relative path below `dir`; an empty one stays empty.
pub(super) fn join_dir(dir: &Path, path: &str) -> PathBuf {
    if path.is_empty() {
        return PathBuf::new();
    }
    dir.join(path)
}

fn refuse_proxies(fields: &mut Fields<'_>, problems: &mut Problems) {
    for name in ["oauth2", "proxy_url", "no_proxy", "proxy_connect_header"] {
        if let Some(node) = fields.take(name)
            && !node.is_empty()
            && node.text() != Some("")
        {
            let at = fields.position_of(name);
            let remedy = match name {
                "oauth2" => "use basic_auth or authorization, or remove it",
                _ => "remove it; targets are reached directly",
            };
            problems.unsupported(at, name, remedy);
        }
    }
    if fields.bool("proxy_from_environment", problems) == Some(true) {
        let at = fields.position_of("proxy_from_environment");
        problems.unsupported(at, "proxy_from_environment", "set it to false or remove it");
    }
}

fn basic_auth(node: &Node, dir: &Path, problems: &mut Problems) -> Auth {
    let mut fields = Fields::open(node, "config.plain", problems);
    let username = pair(&mut fields, "username", "username_file", dir, problems);
    let password = pair(&mut fields, "password", "password_file", dir, problems);
    let remedy = "use the key that ends in _file";
    fields.unsupported(&["username_ref", "password_ref"], remedy, problems);
    for (both, name) in [(username.1, "username"), (password.1, "password")] {
        if both {
            let text = format!(
                "at most one of basic_auth {name}, {name}_file & {name}_ref must be configured"
            );
            problems.value(node.at, text);
        }
    }
    fields.finish(problems);
    Auth::Basic {
        username: username.0,
        password: password.0,
    }
}

fn scheme_auth(node: &Node, dir: &Path, problems: &mut Problems) -> Auth {
    let mut fields = Fields::open(node, "config.Authorization", problems);
    let scheme = fields.string("type", problems).trim().to_owned();
    let (credentials, both) = pair(
        &mut fields,
        "credentials",
        "credentials_file",
        dir,
        problems,
    );
    let remedy = "use credentials_file";
    fields.unsupported(&["credentials_ref"], remedy, problems);
    if both {
        let text = "at most one of authorization credentials & credentials_file must be configured";
        problems.value(node.at, text);
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let text = "authorization type cannot be set to \"basic\", use \"basic_auth\" instead";
        problems.value(fields.position_of("type"), text);
    }
    fields.finish(problems);
    let scheme = if scheme.is_empty() {
        "Bearer".to_owned()
    } else {
        scheme
    };
    Auth::Scheme {
        scheme,
        credentials,
    }
}

/// Takes a secret written inline or in a file, and tells whether it was both.
fn pair(
    fields: &mut Fields<'_>,
    inline: &'static str,
    file: &'static str,
    dir: &Path,
    problems: &mut Problems,
) -> (Option<SecretSource>, bool) {
    let text = fields.string(inline, problems);
    let path = fields.string(file, problems);
    let both = !text.is_empty() && !path.is_empty();
    (secret_source(&text, &path, dir), both)
}

fn secret_source(text: &str, path: &str, dir: &Path) -> Option<SecretSource> {
    if !text.is_empty() {
        Some(SecretSource::Inline(Secret::new(text)))
    } else if !path.is_empty() {
        Some(SecretSource::File(join_dir(dir, path)))
    } else {
        None
    }
}

fn tls_options(node: &Node, dir: &Path, problems: &mut Problems) -> TlsOptions {
    let mut fields = Fields::open(node, "config.plain", problems);
    let ca = pem(&mut fields, "ca", "ca_file", dir, problems);
    let cert = pem(&mut fields, "cert", "cert_file", dir, problems);
    let (key, both_keys) = pair(&mut fields, "key", "key_file", dir, problems);
    if both_keys {
        let text = "at most one of key, key_file & key_ref must be configured";
        problems.value(node.at, text);
    }
    let remedy = "use the key that ends in _file";
    fields.unsupported(&["ca_ref", "cert_ref", "key_ref"], remedy, problems);
    if cert.is_some() && key.is_none() {
        let text = "exactly one of key or key_file must be configured when a client certificate is configured";
        problems.value(node.at, text);
    }
    if key.is_some() && cert.is_none() {
        let text =
            "exactly one of cert or cert_file must be configured when a client key is configured";
        problems.value(node.at, text);
    }
    let server_name = fields.string("server_name", problems);
    let options = TlsOptions {
        ca,
        cert,
        key,
        server_name: (!server_name.is_empty()).then_some(server_name),
        insecure_skip_verify: fields.bool_or("insecure_skip_verify", false, problems),
        min_version: tls_version(&mut fields, "min_version", problems),
        max_version: tls_version(&mut fields, "max_version", problems),
    };
    fields.finish(problems);
    options
}

fn pem(
    fields: &mut Fields<'_>,
    inline: &'static str,
    file: &'static str,
    dir: &Path,
    problems: &mut Problems,
) -> Option<PemSource> {
    let text = fields.string(inline, problems);
    let path = fields.string(file, problems);
    if !text.is_empty() && !path.is_empty() {
        let at = fields.position_of(file);
        let message = format!("at most one of {inline}, {file} & {inline}_ref must be configured");
        problems.value(at, message);
    }
    if !text.is_empty() {
        Some(PemSource::Inline(text))
    } else if !path.is_empty() {
        Some(PemSource::File(join_dir(dir, &path)))
    } else {
        None
    }
}

fn tls_version(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<TlsVersion> {
    let parse = |text: &str| match text {
        "TLS12" => Ok(TlsVersion::Tls12),
        "TLS13" => Ok(TlsVersion::Tls13),
        "TLS10" | "TLS11" => Err(format!(
            "{name} {text} is not supported by Kymo, which speaks TLS12 and TLS13: use TLS12"
        )),
        other => Err(format!("unknown TLS version: {other}")),
    };
    fields.parsed(name, problems, parse)
}

fn extra_headers(node: &Node, dir: &Path, problems: &mut Problems) -> Vec<ExtraHeader> {
    let mut headers = Vec::new();
    for (at, name, value) in fields::pairs(node, "config.Headers", problems) {
        check_header_name(at, &name, problems);
        let mut fields = Fields::open(value, "config.Header", problems);
        let mut texts = |key: &'static str, problems: &mut Problems| match fields.take(key) {
            Some(node) => fields::strings(node, problems),
            None => Vec::new(),
        };
        let header = ExtraHeader {
            name,
            values: texts("values", problems),
            secrets: texts("secrets", problems)
                .into_iter()
                .map(Secret::new)
                .collect(),
            files: texts("files", problems)
                .iter()
                .map(|file| join_dir(dir, file))
                .collect(),
        };
        fields.finish(problems);
        headers.push(header);
    }
    headers.sort_by(|a, b| a.name.cmp(&b.name));
    headers
}

fn check_header_name(at: Position, name: &str, problems: &mut Problems) {
    let lower = name.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&lower.as_str()) {
        let name = canonical_header(name);
        problems.value(
            at,
            format!("setting header {} is not allowed", quote(&name)),
        );
    } else if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        problems.value(at, format!("{} is not a valid header name", quote(name)));
    }
}

/// Writes a header's name as Go does: each word with a capital.
fn canonical_header(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    });
    words.collect::<Vec<_>>().join("-")
}
