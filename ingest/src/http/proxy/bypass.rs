//! What does not go through the proxy: `no_proxy`, by the rules of Go's `httpproxy`.

use std::net::IpAddr;

/// The rules of one list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bypass {
    /// A star stands for everything.
    all: bool,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Network {
        address: IpAddr,
        bits: u8,
    },
    Address {
        address: IpAddr,
        port: Option<u16>,
    },
    /// `suffix` begins with a point.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Bypass {
    /// Reads a list with commas. Entries that mean nothing are passed over.
    pub(super) fn parse(list: &str) -> Bypass {
        let entries: Vec<String> = list
            .split(',')
            .map(|entry| entry.trim().to_ascii_lowercase())
            .filter(|entry| !entry.is_empty())
            .collect();
        Bypass {
            all: entries.iter().any(|entry| entry == "*"),
            rules: entries.iter().filter_map(|entry| rule(entry)).collect(),
        }
    }

    /// Tells whether a destination is reached directly.
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.trim().to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if self.all || host == "localhost" || address.is_some_and(|a| a.is_loopback()) {
            return true;
        }
        self.rules.iter().any(|rule| match rule {
            Rule::Network { address: net, bits } => {
                address.is_some_and(|address| contains(*net, *bits, address))
            }
            Rule::Address {
                address: a,
                port: p,
            } => address == Some(*a) && p.is_none_or(|p| p == port),
            Rule::Domain {
                suffix,
                itself,
                port: p,
            } => {
                let same = *itself && host == suffix.trim_start_matches('.');
                (same || host.ends_with(suffix.as_str())) && p.is_none_or(|p| p == port)
            }
        })
    }
}

fn rule(entry: &str) -> Option<Rule> {
    if let Some((address, bits)) = entry.split_once('/')
        && let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>())
        && bits <= if address.is_ipv4() { 32 } else { 128 }
    {
        return Some(Rule::Network { address, bits });
    }
    let (host, port) = host_and_port(entry);
    if let Ok(address) = host.parse() {
        return Some(Rule::Address { address, port });
    }
    let host = host
        .strip_prefix('*')
        .filter(|h| h.starts_with('.'))
        .unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    let below = host.starts_with('.');
    Some(Rule::Domain {
        suffix: if below {
            host.to_owned()
        } else {
            format!(".{host}")
        },
        itself: !below,
        port,
    })
}

/// An IPv6 address without brackets has no port behind its last colon.
fn host_and_port(entry: &str) -> (&str, Option<u16>) {
    let split = match entry.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => entry
            .rsplit_once(':')
            .filter(|(host, _)| !host.contains(':')),
    };
    match split.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host, Some(port)),
        None => (super::bare(entry), None),
    }
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
        IpAddr::V6(v6) => (u128::from(v6), false),
    };
    let ((network, v4), (address, other_v4)) = (number(network), number(address));
    let mask = match bits {
        0 => 0,
        bits => u128::MAX << (128 - u32::from(bits)),
    };
    v4 == other_v4 && network & mask == address & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_of_go() {
        for (list, host, port, covered) in [
            ("", "a.example", 80, false),
            ("", "localhost", 80, true),
            ("", "127.8.8.8", 80, true),
            ("", "::1", 80, true),
            ("*", "a.example", 80, true),
            ("example", "example", 80, true),
            ("example", "a.example", 80, true),
            ("example", "anexample", 80, false),
            (".example", "example", 80, false),
            (".example", "A.Example", 80, true),
            ("*.example", "a.example", 80, true),
            ("*.example", "example", 80, false),
            ("example:81", "example", 80, false),
            ("example:80", "example", 80, true),
            ("x, 10.0.0.1", "10.0.0.1", 9, true),
            ("10.0.0.1:80", "10.0.0.1", 9, false),
            ("10.0.0.0/8", "10.200.0.1", 9, true),
            ("10.0.0.0/8", "11.0.0.1", 9, false),
            ("0.0.0.0/0", "11.0.0.1", 9, true),
            ("fe80::/10", "fe80::7", 9, true),
            ("fe80::1", "fe80::1", 9, true),
            ("[fe80::1]:9", "fe80::1", 9, true),
            ("[fe80::1]:9", "fe80::1", 8, false),
            ("10.0.0.0/99,:80,*.", "a.example", 80, false),
        ] {
            assert_eq!(
                Bypass::parse(list).covers(host, port),
                covered,
                "{list} {host}"
            );
        }
    }
}
