//! Where the server is found: the prefix of its paths, and its address from outside.

use url::Url;

use crate::flags::Flags;

/// Hosts that mean this machine and nothing to anybody else.
const LOCALHOSTS: [&str; 4] = ["127.0.0.1", "localhost", "::1", "[::1]"];

/// Where the server is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Urls {
    /// Prefix of all paths, empty or `/like/this`.
    pub(crate) prefix: String,
    /// URL under which others reach the server.
    external: Url,
    /// Port the server listens on.
    port: u16,
}

impl Urls {
    /// Works out the URLs for a server on `port` of the machine `host`; `secure` where it
    /// speaks TLS.
    ///
    /// # Errors
    /// `--web.external-url` is not an HTTP URL.
    pub(crate) fn new(flags: &Flags, host: &str, port: u16, secure: bool) -> Result<Urls, String> {
        let scheme = if secure { "https" } else { "http" };
        let external = match flags.web.external_url.as_deref() {
            None | Some("") => format!("{scheme}://{host}:{port}/"),
            Some(text) => text.to_owned(),
        };
        let external = Url::parse(&external)
            .map_err(|error| format!("--web.external-url: {external:?}: {error}"))?;
        if !matches!(external.scheme(), "http" | "https") {
            return Err(format!(
                "--web.external-url: {:?}: the scheme must be http or https",
                external.as_str()
            ));
        }
        let prefix = flags.web.route_prefix.as_deref().unwrap_or(external.path());
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("/{prefix}"),
        };
        Ok(Urls {
            prefix,
            external,
            port,
        })
    }

    /// Returns the URL under which others reach the server, without a slash at its end.
    pub(crate) fn external(&self) -> &str {
        self.external.as_str().trim_end_matches('/')
    }

    /// Returns the path of that URL, empty or `/like/this`.
    pub(crate) fn external_path(&self) -> &str {
        self.external.path().trim_end_matches('/')
    }

    /// Returns a target's URL as others reach it: a host that means this machine is
    /// replaced by the server's own from outside.
    pub(crate) fn reachable(&self, target: &str) -> String {
        let Ok(mut url) = Url::parse(target) else {
            return target.to_owned();
        };
        if !url
            .host_str()
            .is_some_and(|host| LOCALHOSTS.contains(&host))
        {
            return target.to_owned();
        }
        let host = self.external.host_str();
        if url.port_or_known_default() == Some(self.port) {
            // It is this very server, so scheme and port from outside are known too.
            let moved = url.set_scheme(self.external.scheme()).is_ok()
                && url.set_host(host).is_ok()
                && url.set_port(self.external.port()).is_ok();
            if !moved {
                return target.to_owned();
            }
        } else if url.set_host(host).is_err() {
            return target.to_owned();
        }
        url.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(args: &[&str]) -> Result<Urls, String> {
        let args = std::iter::once("kymo").chain(args.iter().copied());
        let flags = Flags::parse_from(args.map(Into::into)).unwrap();
        Urls::new(&flags, "box", 9090, false)
    }

    #[test]
    fn the_prefix_comes_from_the_external_url_unless_given() {
        assert_eq!(urls(&[]).unwrap().prefix, "");
        let external = "--web.external-url=https://example.test/metrics/";
        assert_eq!(urls(&[external]).unwrap().prefix, "/metrics");
        let given = urls(&[external, "--web.route-prefix=/"]).unwrap();
        assert_eq!(given.prefix, "");
        assert!(urls(&["--web.external-url=ftp://x"]).is_err());
        assert!(urls(&["--web.external-url=::"]).is_err());
    }

    #[test]
    fn local_targets_are_shown_as_others_reach_them() {
        for (external, target, expected) in [
            (
                "",
                "http://127.0.0.1:29491/metrics",
                "http://box:29491/metrics",
            ),
            (
                "",
                "http://localhost:9090/metrics",
                "http://box:9090/metrics",
            ),
            (
                "",
                "https://example.invalid/probe?a=b",
                "https://example.invalid/probe?a=b",
            ),
            (
                "https://mon.example.test/k",
                "http://localhost:9090/k/metrics",
                "https://mon.example.test/k/metrics",
            ),
            (
                "https://mon.example.test/k",
                "http://localhost:9100/metrics",
                "http://mon.example.test:9100/metrics",
            ),
        ] {
            let urls = urls(&[&format!("--web.external-url={external}")]).unwrap();
            assert_eq!(urls.reachable(target), expected);
        }
    }
}
