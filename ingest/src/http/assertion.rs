//! Signed assertions, by which OAuth 2 gives tokens without a shared secret (RFC 7523): a
//! JSON Web Token that says who asks for what, signed with an RSA key.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use super::options::OAuth2Options;
use super::secret::{Secret, SecretSource};

/// How long an assertion may be shown to the server that gives tokens.
const LIFE_S: u64 = 600;

/// How the assertions of a client are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AssertionOptions {
    /// The key that signs, in PEM form.
    pub key: Option<SecretSource>,
    /// Which of the client's keys it is; empty to leave that out.
    pub key_id: String,
    /// `RS256`, `RS384` or `RS512`; empty for the first.
    pub algorithm: String,
    /// Who says so; empty for the client.
    pub issuer: String,
    /// Whom it is for; empty for the server that gives tokens.
    pub audience: String,
    /// What else it claims.
    pub claims: BTreeMap<String, Value>,
}

impl AssertionOptions {
    /// Algorithms that an assertion can be signed with.
    pub const ALGORITHMS: [&str; 3] = ["RS256", "RS384", "RS512"];
}

/// Makes an assertion that is good from now on.
///
/// # Errors
/// The key cannot be used.
pub(super) fn signed(
    client: &OAuth2Options,
    options: &AssertionOptions,
    key: &Secret,
) -> Result<String, String> {
    let random = SystemRandom::new();
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut id = [0; 16];
    random
        .fill(&mut id)
        .map_err(|_| "no random numbers".to_owned())?;
    let claims = claims(client, options, now_s, u128::from_be_bytes(id));
    sign(options, key, &claims, &random)
}

fn claims(
    client: &OAuth2Options,
    options: &AssertionOptions,
    now_s: u64,
    id: u128,
) -> Map<String, Value> {
    let or = |text: &str, other: &str| match text {
        "" => other.to_owned(),
        text => text.to_owned(),
    };
    let own = [
        ("iss", json!(or(&options.issuer, &client.client_id))),
        ("sub", json!(client.client_id)),
        ("jti", json!(format!("{id:032x}"))),
        ("aud", json!(or(&options.audience, &client.token_url))),
        ("iat", json!(now_s)),
        ("exp", json!(now_s + LIFE_S)),
    ];
    let mut claims: Map<String, Value> = own
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if !client.scopes.is_empty() {
        claims.insert("scope".to_owned(), json!(client.scopes.join(" ")));
    }
    claims.extend(options.claims.clone());
    claims
}

fn sign(
    options: &AssertionOptions,
    key: &Secret,
    claims: &Map<String, Value>,
    random: &SystemRandom,
) -> Result<String, String> {
    let (name, encoding): (&str, &dyn RsaEncoding) = match options.algorithm.as_str() {
        "RS384" => ("RS384", &RSA_PKCS1_SHA384),
        "RS512" => ("RS512", &RSA_PKCS1_SHA512),
        _ => ("RS256", &RSA_PKCS1_SHA256),
    };
    let mut header = json!({"alg": name, "typ": "JWT"});
    if !options.key_id.is_empty() {
        header["kid"] = json!(options.key_id);
    }
    let unsigned = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(Value::from(claims.clone()).to_string())
    );
    let pair = key_pair(key)?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(encoding, random, unsigned.as_bytes(), &mut signature)
        .map_err(|_| "the key cannot sign".to_owned())?;
    Ok(format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn key_pair(key: &Secret) -> Result<RsaKeyPair, String> {
    let der = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key".to_owned())?;
    let pair = match &der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err("key is not a valid RSA private key".to_owned()),
    };
    pair.map_err(|error| format!("key is not a valid RSA private key: {error}"))
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey};

    use super::*;

    /// Made for this test, and used nowhere else.
    const KEY: &str = include_str!("tests/rsa_key.pem");

    fn client() -> OAuth2Options {
        OAuth2Options {
            client_id: "me".to_owned(),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            token_url: "https://auth/token".to_owned(),
            ..OAuth2Options::default()
        }
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn an_assertion_says_who_asks_and_is_signed_with_the_key() {
        let options = AssertionOptions {
            key_id: "k1".to_owned(),
            algorithm: "RS384".to_owned(),
            audience: "them".to_owned(),
            claims: BTreeMap::from([("zone".to_owned(), json!({"a": 1}))]),
            ..AssertionOptions::default()
        };
        let key = Secret::new(KEY);
        let token = signed(&client(), &options, &key).unwrap();
        assert_eq!(
            part(&token, 0),
            json!({"alg": "RS384", "kid": "k1", "typ": "JWT"})
        );
        let claims = part(&token, 1);
        for (name, value) in [
            ("iss", "me"),
            ("sub", "me"),
            ("aud", "them"),
            ("scope", "a b"),
        ] {
            assert_eq!(claims[name], value);
        }
        assert_eq!(claims["zone"]["a"], 1);
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(life, LIFE_S);
        let (unsigned, signature) = token.rsplit_once('.').unwrap();
        let public = key_pair(&key).unwrap().public().as_ref().to_vec();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA384, public)
            .verify(
                unsigned.as_bytes(),
                &URL_SAFE_NO_PAD.decode(signature).unwrap(),
            )
            .unwrap();
        // Each is used once.
        let other = signed(&client(), &options, &key).unwrap();
        assert_ne!(part(&other, 1)["jti"], claims["jti"]);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let refused = |key: &str| {
            let key = Secret::new(key);
            signed(&client(), &AssertionOptions::default(), &key).unwrap_err()
        };
        let text = "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key";
        assert_eq!(refused("nothing"), text);
        let empty = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(refused(empty).starts_with("key is not a valid RSA private key"));
    }
}
