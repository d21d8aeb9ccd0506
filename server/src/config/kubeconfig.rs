//! The file that tells `kubectl` where a cluster is, as far as it holds what it says:
//! commands that fetch credentials are not run. Keys that nobody reads are passed over,
//! since other tools write theirs.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kymo_ingest::discovery::ClusterAccess;
use kymo_ingest::http::{
    Auth, ClientOptions, PemSource, ProxyOptions, ProxyUrl, Secret, SecretSource, TlsOptions,
};
use kymo_storage::compat::quote::quote;

use super::error::ConfigError;
use super::fields::yaml_bool;
use super::http_client::join_dir;
use super::yaml::{self, Node, Value};

/// Reads where the current context of a text leads. Paths are relative to `dir`.
///
/// # Errors
/// It is no such file, or needs what cannot be done here; the text names it.
pub fn parse_kubeconfig(text: &str, dir: &Path) -> Result<ClusterAccess, String> {
    let document = yaml::parse(text).map_err(|error| ConfigError::from(error).to_string())?;
    let root = &document.root;
    let current = string(root, "current-context");
    if current.is_empty() {
        return Err(
            "there is no current-context; choose one with kubectl config use-context".into(),
        );
    }
    let context = named(root, "contexts", "context", &current)?;
    let cluster = named(root, "clusters", "cluster", &string(context, "cluster"))?;
    let user_name = string(context, "user");
    let user = match user_name.is_empty() {
        true => None,
        false => Some(named(root, "users", "user", &user_name)?),
    };
    let server = string(cluster, "server");
    if server.is_empty() {
        return Err(format!(
            "the cluster of context {} has no server",
            quote(&current)
        ));
    }
    let mut client = ClientOptions {
        tls: TlsOptions {
            ca: pem(cluster, "certificate-authority", dir)?,
            server_name: filled(string(cluster, "tls-server-name")),
            insecure_skip_verify: flag(cluster, "insecure-skip-tls-verify")?,
            ..TlsOptions::default()
        },
        ..ClientOptions::default()
    };
    if let Some(proxy) = filled(string(cluster, "proxy-url")) {
        client.proxy = ProxyOptions {
            url: Some(ProxyUrl::parse(&proxy)?),
            ..ProxyOptions::default()
        };
    }
    if let Some(user) = user {
        set_user(&mut client, user, dir)?;
    }
    Ok(ClusterAccess {
        url: server,
        client,
    })
}

fn set_user(client: &mut ClientOptions, user: &Node, dir: &Path) -> Result<(), String> {
    for key in ["exec", "auth-provider", "as"] {
        if user.get(key).is_some_and(|node| !node.is_empty()) {
            return Err(format!(
                "{key} is not supported; give the user a token, a tokenFile or a certificate"
            ));
        }
    }
    client.tls.cert = pem(user, "client-certificate", dir)?;
    client.tls.key = match pem(user, "client-key", dir)? {
        Some(PemSource::Inline(text)) => Some(SecretSource::Inline(Secret::new(text))),
        Some(PemSource::File(path)) => Some(SecretSource::File(path)),
        None => None,
    };
    let secret = |text| SecretSource::Inline(Secret::new(text));
    let file = filled(string(user, "tokenFile"));
    let file = file.map(|path| SecretSource::File(join_dir(dir, &path)));
    // A file stands above a token, since what is in it is renewed.
    let token = file.or_else(|| filled(string(user, "token")).map(secret));
    let username = filled(string(user, "username"));
    client.auth = match (token, username) {
        (Some(token), _) => Some(Auth::Scheme {
            scheme: "Bearer".to_owned(),
            credentials: Some(token),
        }),
        (None, Some(username)) => Some(Auth::Basic {
            username: Some(secret(username)),
            password: filled(string(user, "password")).map(secret),
        }),
        (None, None) => None,
    };
    Ok(())
}

/// Finds what has a name in a list of named things.
fn named<'n>(
    root: &'n Node,
    list: &str,
    key: &'static str,
    name: &str,
) -> Result<&'n Node, String> {
    let items = match root.get(list).map(|node| &node.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    let mut items = items.iter();
    let found = items.find(|item| string(item, "name") == name);
    let found = found.and_then(|item| item.get(key));
    found.ok_or_else(|| format!("{key} {} does not exist", quote(name)))
}

/// Takes certificates or a key that are in a file, or in the text itself, which wins.
fn pem(node: &Node, key: &str, dir: &Path) -> Result<Option<PemSource>, String> {
    let data = string(node, &format!("{key}-data"));
    if !data.is_empty() {
        let bytes = STANDARD.decode(data.trim()).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| format!("{key}-data is not a text in base64"))?;
        return Ok(Some(PemSource::Inline(text)));
    }
    let path = filled(string(node, key));
    Ok(path.map(|path| PemSource::File(join_dir(dir, &path))))
}

fn flag(node: &Node, key: &str) -> Result<bool, String> {
    let text = string(node, key);
    match text.is_empty() {
        true => Ok(false),
        false => yaml_bool(&text).ok_or_else(|| format!("{key} is neither true nor false")),
    }
}

fn string(node: &Node, key: &str) -> String {
    let text = node.get(key).and_then(Node::text);
    text.unwrap_or_default().to_owned()
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: prod
contexts:
- {name: test, context: {cluster: none, user: none}}
- name: prod
  context: {cluster: big, user: me, namespace: shop}
clusters:
- name: big
  cluster:
    server: https://api:6443
    certificate-authority-data: Q0E=
    extensions: [{name: x}]
users:
- name: me
  user:
    client-certificate: me.crt
    client-key: /keys/me.key
    token: hidden
";

    fn read(text: &str) -> Result<ClusterAccess, String> {
        parse_kubeconfig(text, Path::new("/home/me"))
    }

    #[test]
    fn the_current_context_leads_to_a_server_and_a_user() {
        let access = read(FILE).unwrap();
        assert_eq!(access.url, "https://api:6443");
        let tls = &access.client.tls;
        assert_eq!(tls.ca, Some(PemSource::Inline("CA".to_owned())));
        assert_eq!(
            tls.cert,
            Some(PemSource::File(PathBuf::from("/home/me/me.crt")))
        );
        let key = tls.key.as_ref().and_then(SecretSource::file);
        assert_eq!(key, Some(Path::new("/keys/me.key")));
        let bearer = |credentials| {
            Some(Auth::Scheme {
                scheme: "Bearer".to_owned(),
                credentials: Some(credentials),
            })
        };
        let token = SecretSource::Inline(Secret::new("hidden"));
        assert_eq!(access.client.auth, bearer(token));
        let renewed = read(&format!("{FILE}    tokenFile: t\n")).unwrap();
        let file = SecretSource::File(PathBuf::from("/home/me/t"));
        assert_eq!(renewed.client.auth, bearer(file));
        let basic = read(&FILE.replace("token: hidden", "username: u\n    password: p")).unwrap();
        assert!(matches!(basic.client.auth, Some(Auth::Basic { .. })));
    }

    #[test]
    fn what_leads_nowhere_is_named() {
        for (old, new, complaint) in [
            ("current-context: prod", "", "there is no current-context"),
            (
                "current-context: prod",
                "current-context: x",
                "context \"x\" does not exist",
            ),
            (
                "current-context: prod",
                "current-context: test",
                "cluster \"none\" does not exist",
            ),
            ("user: me", "user: you", "user \"you\" does not exist"),
            (
                "https://api:6443",
                "",
                "the cluster of context \"prod\" has no server",
            ),
            (
                "Q0E=",
                "=",
                "certificate-authority-data is not a text in base64",
            ),
            (
                "token: hidden",
                "exec: {command: aws}",
                "exec is not supported",
            ),
            (
                "extensions",
                "insecure-skip-tls-verify: 7\n    extensions",
                "neither true nor false",
            ),
            ("kind: Config", "kind: [", "yaml: line"),
        ] {
            let found = read(&FILE.replace(old, new)).unwrap_err();
            assert!(found.contains(complaint), "{new}: {found}");
        }
    }
}
