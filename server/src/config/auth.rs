//! How requests prove who asks: `basic_auth`, `authorization`, `oauth2` and the old keys
//! for bearer tokens, of which one can be used.

use std::collections::BTreeMap;
use std::path::Path;

use kymo_ingest::http::{AssertionOptions, Auth, OAuth2Options, TlsOptions};

use super::fields::{self, Fields, Problems};
use super::http_client::{pair, secret_source, tls_options};
use super::proxy;
use super::yaml::Node;

/// The other grant, by a signed assertion (RFC 7523).
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Takes the keys out of `fields`. Paths are relative to `dir`.
pub(super) fn take(fields: &mut Fields<'_>, dir: &Path, problems: &mut Problems) -> Option<Auth> {
    let basic = fields.take("basic_auth");
    let authorization = fields.take("authorization");
    let oauth2_node = fields.take("oauth2");
    let bearer = fields.string("bearer_token", problems);
    let bearer_file = fields.string("bearer_token_file", problems);
    let has_bearer = !bearer.is_empty() || !bearer_file.is_empty();
    if !bearer.is_empty() && !bearer_file.is_empty() {
        let text = "at most one of bearer_token & bearer_token_file must be configured";
        problems.value(fields.position_of("bearer_token"), text);
    }
    for (name, node) in [("basic_auth", basic), ("oauth2", oauth2_node)] {
        if node.is_some() && has_bearer {
            let text = "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured";
            problems.value(fields.position_of(name), text);
        }
    }
    if authorization.is_some() && has_bearer {
        let text = "authorization is not compatible with bearer_token & bearer_token_file";
        problems.value(fields.position_of("authorization"), text);
    }
    let methods = [basic, oauth2_node, authorization];
    if methods.iter().flatten().count() > 1 {
        let at = match authorization {
            Some(_) => fields.position_of("authorization"),
            None => fields.position_of("oauth2"),
        };
        let text = "at most one of basic_auth, oauth2 & authorization must be configured";
        problems.value(at, text);
    }
    // Each is read, so that all mistakes are told.
    let basic = basic.map(|node| basic_auth(node, dir, problems));
    let scheme = authorization.map(|node| scheme_auth(node, dir, problems));
    let oauth2 = oauth2_node.map(|node| oauth2(node, dir, problems));
    let bearer = has_bearer.then(|| Auth::Scheme {
        scheme: "Bearer".to_owned(),
        credentials: secret_source(&bearer, &bearer_file, dir),
    });
    basic.or(scheme).or(oauth2).or(bearer)
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

fn oauth2(node: &Node, dir: &Path, problems: &mut Problems) -> Auth {
    let mut fields = Fields::open(node, "config.plain", problems);
    let client_id = fields.string("client_id", problems);
    let token_url = fields.string("token_url", problems);
    for (name, text) in [("client_id", &client_id), ("token_url", &token_url)] {
        if text.is_empty() {
            problems.value(node.at, format!("oauth2 {name} must be configured"));
        }
    }
    let (client_secret, both) = pair(
        &mut fields,
        "client_secret",
        "client_secret_file",
        dir,
        problems,
    );
    fields.unsupported(&["client_secret_ref"], "use client_secret_file", problems);
    let assertion = assertion(&mut fields, dir, problems);
    if both && assertion.is_none() {
        let text = "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials";
        problems.value(node.at, text);
    }
    let scopes = fields.take("scopes");
    let params = fields.take("endpoint_params");
    let tls = fields.take("tls_config");
    let options = OAuth2Options {
        client_id,
        client_secret,
        assertion,
        scopes: scopes.map_or_else(Vec::new, |node| fields::strings(node, problems)),
        token_url,
        endpoint_params: params.map_or_else(BTreeMap::new, |node| params_of(node, problems)),
        tls: tls.map_or_else(TlsOptions::default, |node| tls_options(node, dir, problems)),
        proxy: proxy::take(&mut fields, problems),
    };
    fields.finish(problems);
    Auth::OAuth2(Box::new(options))
}

/// Takes what assertions are made of, which is of use with their grant alone. Any other
/// word than theirs is the grant of client credentials, as in Prometheus.
fn assertion(
    fields: &mut Fields<'_>,
    dir: &Path,
    problems: &mut Problems,
) -> Option<AssertionOptions> {
    let is_wanted = fields.string("grant_type", problems) == JWT_BEARER;
    let key = "client_certificate_key";
    let (key, both) = pair(fields, key, "client_certificate_key_file", dir, problems);
    fields.unsupported(
        &["client_certificate_key_ref"],
        "use client_certificate_key_file",
        problems,
    );
    let algorithm = fields.string("signature_algorithm", problems);
    let claims = fields.take("claims");
    let claims = claims.map_or_else(Vec::new, |node| {
        fields::pairs(node, "map[string]interface {}", problems)
    });
    let options = AssertionOptions {
        key,
        key_id: fields.string("client_certificate_key_id", problems),
        issuer: fields.string("iss", problems),
        audience: fields.string("audience", problems),
        claims: claims
            .into_iter()
            .map(|(_, name, value)| (name, fields::json(value)))
            .collect(),
        algorithm,
    };
    if !is_wanted {
        return None;
    }
    if both {
        let text = "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer";
        problems.value(fields.position_of("client_certificate_key"), text);
    }
    let algorithm = options.algorithm.as_str();
    if !algorithm.is_empty() && !AssertionOptions::ALGORITHMS.contains(&algorithm) {
        let at = fields.position_of("signature_algorithm");
        problems.value(at, "valid signature algorithms are RS256, RS384 and RS512");
    }
    Some(options)
}

fn params_of(node: &Node, problems: &mut Problems) -> BTreeMap<String, String> {
    let pairs = fields::pairs(node, "map[string]string", problems);
    let mut params = BTreeMap::new();
    for (_, name, value) in pairs {
        if let Some(value) = fields::string(value, problems) {
            params.insert(name, value);
        }
    }
    params
}
