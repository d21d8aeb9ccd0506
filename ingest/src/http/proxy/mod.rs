//! Which proxy a request goes through, and how a connection is made by one.
//!
//! Plain `http` over an HTTP proxy is asked for at the proxy, with the whole URL; for
//! `https` a tunnel is opened with `CONNECT`, and SOCKS5 opens one for both. The rules
//! for what goes around the proxy are those of Go's `httpproxy`, which differ from
//! curl's: `.host` is not `host` itself, and the loopback never goes through a proxy that
//! has rules or comes from the environment.

mod bypass;
mod socks;
mod tunnel;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use url::Url;

use super::secret::Secret;
use bypass::Bypass;

pub(super) use socks::open as open_socks;
pub(super) use tunnel::open as open_tunnel;

/// Which proxy requests go through, as the configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyOptions {
    /// The proxy for all requests.
    pub url: Option<ProxyUrl>,
    /// What goes around it, in a list with commas.
    pub no_proxy: String,
    /// Whether the environment says it all, by `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    pub from_environment: bool,
    /// Headers of `CONNECT` requests by name. They may well be secrets.
    pub connect_headers: Vec<(String, Vec<Secret>)>,
}

/// The address of a proxy. Its password is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    text: String,
    url: Url,
}

/// How to speak to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyKind {
    /// HTTP over TCP.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS5, which finds the addresses of names itself.
    Socks,
}

impl ProxyUrl {
    /// Reads the address of a proxy.
    ///
    /// # Errors
    /// It is not a URL, or of a kind that is no proxy.
    pub fn parse(text: &str) -> Result<ProxyUrl, String> {
        let url = match Url::parse(text) {
            Ok(url) if url.has_host() => url,
            Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
                return Err(format!(
                    "{text:?} is not the URL of a proxy: write it as http://host:port"
                ));
            }
            Err(error) => return Err(format!("parse {text:?}: {error}")),
        };
        let proxy = ProxyUrl {
            text: text.to_owned(),
            url,
        };
        match proxy.kind_of_scheme() {
            Some(_) => Ok(proxy),
            None => Err(format!(
                "proxy scheme {:?} is not one of http, https, socks5 and socks5h",
                proxy.url.scheme()
            )),
        }
    }

    fn kind_of_scheme(&self) -> Option<ProxyKind> {
        match self.url.scheme() {
            "http" => Some(ProxyKind::Http),
            "https" => Some(ProxyKind::Https),
            "socks5" | "socks5h" => Some(ProxyKind::Socks),
            _ => None,
        }
    }

    /// Returns how to speak to it.
    pub(super) fn kind(&self) -> ProxyKind {
        self.kind_of_scheme().unwrap_or(ProxyKind::Http)
    }

    /// Returns its host, an IPv6 address without brackets.
    pub(super) fn host(&self) -> &str {
        bare(self.url.host_str().unwrap_or_default())
    }

    /// Returns its port.
    pub(super) fn port(&self) -> u16 {
        let default = match self.kind() {
            ProxyKind::Http => 80,
            ProxyKind::Https => 443,
            ProxyKind::Socks => 1080,
        };
        self.url.port().unwrap_or(default)
    }

    /// Returns user and password, where the URL has them.
    pub(super) fn credentials(&self) -> Option<(String, String)> {
        let plain = |text: &str| {
            let bytes = percent_decode(text);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let password = self.url.password();
        if self.url.username().is_empty() && password.is_none() {
            return None;
        }
        Some((
            plain(self.url.username()),
            plain(password.unwrap_or_default()),
        ))
    }

    /// Returns the header that proves to an HTTP proxy who asks.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = self.credentials()?;
        let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Display for ProxyUrl {
    /// Prints the URL as it was written, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = || {
            let (scheme, rest) = self.text.split_once("://")?;
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let at = rest[..end].rfind('@')?;
            let (user, _) = rest[..at].split_once(':')?;
            Some(format!("{scheme}://{user}:xxxxx{}", &rest[at..]))
        };
        f.write_str(hidden().as_deref().unwrap_or(&self.text))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Chooses the proxy of each request of one client.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    http: Option<Arc<ProxyUrl>>,
    https: Option<Arc<ProxyUrl>>,
    /// `None` = everything goes through the proxy.
    bypass: Option<Bypass>,
    connect_headers: Vec<(String, Vec<Secret>)>,
}

impl Proxies {
    /// Reads the options; `variable` looks into the environment.
    pub(super) fn new(
        options: &ProxyOptions,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Proxies {
        let connect_headers = options.connect_headers.clone();
        if !options.from_environment {
            let url = options.url.clone().map(Arc::new);
            let has_rules = !options.no_proxy.is_empty();
            return Proxies {
                http: url.clone(),
                https: url,
                bypass: has_rules.then(|| Bypass::parse(&options.no_proxy)),
                connect_headers,
            };
        }
        let named = |name: &str| {
            let found = variable(name).filter(|text| !text.is_empty());
            found.or_else(|| variable(&name.to_lowercase()))
        };
        let proxy = |name: &str| {
            let text = named(name).filter(|text| !text.is_empty())?;
            // A host alone is an HTTP proxy there.
            let parsed = ProxyUrl::parse(&text);
            match parsed
                .or_else(|error| ProxyUrl::parse(&format!("http://{text}")).map_err(|_| error))
            {
                Ok(url) => Some(Arc::new(url)),
                Err(error) => {
                    tracing::warn!(variable = name, error, "no proxy is used");
                    None
                }
            }
        };
        Proxies {
            http: proxy("HTTP_PROXY"),
            https: proxy("HTTPS_PROXY"),
            bypass: Some(Bypass::parse(&named("NO_PROXY").unwrap_or_default())),
            connect_headers,
        }
    }

    /// Returns the proxy for a destination; `None` to go there directly.
    pub(super) fn choose(&self, secure: bool, host: &str, port: u16) -> Option<&Arc<ProxyUrl>> {
        let proxy = if secure { &self.https } else { &self.http };
        let proxy = proxy.as_ref()?;
        let around = self
            .bypass
            .as_ref()
            .is_some_and(|bypass| bypass.covers(host, port));
        (!around).then_some(proxy)
    }

    /// Returns the header for the proxy that a request has to carry itself: one that is
    /// not sent through a tunnel.
    pub(super) fn request_authorization(&self, url: &Url) -> Option<HeaderValue> {
        if url.scheme() != "http" {
            return None;
        }
        let host = bare(url.host_str().unwrap_or_default());
        let proxy = self.choose(false, host, url.port().unwrap_or(80))?;
        match proxy.kind() {
            ProxyKind::Socks => None,
            ProxyKind::Http | ProxyKind::Https => proxy.authorization(),
        }
    }

    /// Returns the headers of `CONNECT` requests.
    pub(super) fn connect_headers(&self) -> &[(String, Vec<Secret>)] {
        &self.connect_headers
    }
}

/// An IPv6 address stands in brackets in a URL and without them elsewhere.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ProxyUrl {
        ProxyUrl::parse(text).unwrap()
    }

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        for (text, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("http://me@proxy", "http://me@proxy"),
            ("http://me:word@proxy/x", "http://me:xxxxx@proxy/x"),
            ("socks5://me:a%40b@[::1]:1", "socks5://me:xxxxx@[::1]:1"),
        ] {
            assert_eq!(url(text).to_string(), shown);
            assert!(!format!("{:?}", url(text)).contains("word"));
        }
        let credentials = url("socks5://me:a%40b@[::1]:1").credentials();
        assert_eq!(credentials, Some(("me".to_owned(), "a@b".to_owned())));
        assert_eq!(url("socks5://[::1]:1").host(), "::1");
        assert_eq!(url("http://p").port(), 80);
        assert_eq!(url("https://p").port(), 443);
        assert_eq!(url("socks5h://p").port(), 1080);
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for (text, part) in [
            ("proxy:3128", "write it as http://host:port"),
            ("proxy", "write it as http://host:port"),
            ("ftp://proxy", "proxy scheme \"ftp\" is not one of"),
            ("http://", "parse \"http://\": empty host"),
        ] {
            let refused = ProxyUrl::parse(text).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn the_environment_is_asked_where_it_is_to_be() {
        let environment = |name: &str| {
            let value = match name {
                "HTTP_PROXY" => "proxy:3128",
                "https_proxy" => "http://other:1",
                "NO_PROXY" => "inner",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let options = ProxyOptions {
            from_environment: true,
            ..ProxyOptions::default()
        };
        let proxies = Proxies::new(&options, environment);
        let chosen = |secure, host| proxies.choose(secure, host, 1).map(|p| p.host().to_owned());
        assert_eq!(chosen(false, "a").as_deref(), Some("proxy"));
        assert_eq!(chosen(true, "a").as_deref(), Some("other"));
        assert_eq!(chosen(true, "inner"), None);
        assert_eq!(chosen(true, "127.0.0.1"), None);
        let none = Proxies::new(&ProxyOptions::default(), environment);
        assert!(none.choose(false, "a", 1).is_none());
    }

    #[test]
    fn a_proxy_without_rules_is_for_everything() {
        let options = ProxyOptions {
            url: Some(url("http://u:p@proxy")),
            ..ProxyOptions::default()
        };
        let proxies = Proxies::new(&options, |_| None);
        assert!(proxies.choose(false, "127.0.0.1", 1).is_some());
        let header = |text: &str| proxies.request_authorization(&Url::parse(text).unwrap());
        assert_eq!(header("http://a/").unwrap(), "Basic dTpw");
        assert_eq!(header("https://a/"), None);
    }
}
