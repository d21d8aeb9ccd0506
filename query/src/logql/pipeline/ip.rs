//! Addresses of the internet in lines and labels.
//!
//! Upstream source: `pkg/logql/log/ip.go` of Loki.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::logql::address::Addresses;

/// Tells whether a text holds one of the addresses.
pub(super) fn holds(text: &[u8], addresses: &Addresses) -> bool {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let allowed: fn(&u8) -> bool = if is_v4_start(rest) {
            |c| c.is_ascii_digit() || *c == b'.'
        } else if is_v6_start(rest) {
            |c| c.is_ascii_hexdigit() || matches!(c, b':' | b'.')
        } else {
            at += 1;
            continue;
        };
        let len = rest.iter().position(|c| !allowed(c)).unwrap_or(rest.len());
        let found = str::from_utf8(&rest[..len]).ok().and_then(parse_ip);
        if found.is_some_and(|ip| addresses.contains(ip)) {
            return true;
        }
        at += len + 1;
    }
    false
}

fn parse_ip(text: &str) -> Option<IpAddr> {
    match text.contains(':') {
        true => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        false => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

fn is_v4_start(text: &[u8]) -> bool {
    text.len() > 3 && text[0].is_ascii_digit() && text[1..4].contains(&b'.')
}

/// Tells whether a text starts with `::` and a digit, or with up to four digits and a colon.
fn is_v6_start(text: &[u8]) -> bool {
    if let [b':', b':', digit, ..] = text {
        return digit.is_ascii_hexdigit();
    }
    let digits = text.iter().take(5).position(|c| !c.is_ascii_hexdigit());
    digits.is_some_and(|n| n > 0 && text[n] == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        holds(text.as_bytes(), &Addresses::parse(pattern).unwrap())
    }

    #[test]
    fn addresses_are_found_in_text() {
        assert!(found("192.168.4.5", "from 192.168.4.5:80 to x"));
        assert!(!found("192.168.4.5", "from 192.168.4.50 to x"));
        assert!(found("192.168.0.0/16", "x=192.168.255.1"));
        assert!(!found("192.168.0.0/16", "192.169.0.1"));
        assert!(found("10.0.0.3-10.0.1.0", "10.0.0.255"));
        assert!(!found("10.0.0.3-10.0.1.0", "10.0.0.2"));
        assert!(found("2001:db8::/32", "remote=2001:db8::33d flag"));
        assert!(found("::1", "[::1]:3100"));
        assert!(!found("2001:db8::/32", "12:30:45 10.0.0.1"));
        assert!(found("0.0.0.0/0", "1.2.3.4"));
        assert!(!found("0.0.0.0/0", ""));
        assert!(!found("0.0.0.0/0", "1.2.3"));
    }
}
