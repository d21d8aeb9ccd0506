//! The HTTP client block that jobs (and later senders) write among their own keys.

use std::path::{Path, PathBuf};

use kymo_ingest::http::{
    ClientOptions, ExtraHeader, PemSource, Secret, SecretSource, TlsOptions, TlsVersion,
};

use kymo_storage::compat::quote::quote;

use super::fields::{self, Fields, Problems};
use super::yaml::{Node, Position};
use super::{auth, proxy};

/// Headers that a configuration may not set, because they are set from elsewhere.
pub(super) const RESERVED_HEADERS: [&str; 18] = [
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
    let auth = auth::take(fields, dir, problems);
    let proxy = proxy::take(fields, problems);
    let tls = fields.take("tls_config");
    let headers = fields.take("http_headers");
    ClientOptions {
        auth,
        tls: tls.map_or_else(TlsOptions::default, |node| tls_options(node, dir, problems)),
        follow_redirects: fields.bool_or("follow_redirects", true, problems),
        http2: fields.bool_or("enable_http2", true, problems),
        proxy,
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

/// Takes a secret written inline or in a file, and tells whether it was both.
pub(super) fn pair(
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

/// Returns a secret that is in one of two places; `None` where both are empty.
pub(super) fn secret_source(text: &str, path: &str, dir: &Path) -> Option<SecretSource> {
    if !text.is_empty() {
        Some(SecretSource::Inline(Secret::new(text)))
    } else if !path.is_empty() {
        Some(SecretSource::File(join_dir(dir, path)))
    } else {
        None
    }
}

/// Reads `tls_config`.
pub(super) fn tls_options(node: &Node, dir: &Path, problems: &mut Problems) -> TlsOptions {
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
        "TLS10" | "TLS11" if name == "max_version" => Err(format!(
            "{name} {text} is not supported by Kymo, which speaks TLS12 and TLS13: use TLS12"
        )),
        "TLS10" => Ok(TlsVersion::Tls10),
        "TLS11" => Ok(TlsVersion::Tls11),
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
