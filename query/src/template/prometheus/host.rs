//! Hosts and ports, as Go's `net` splits them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Splits `host:port`; `None` where the text is not of that form.
fn split(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    if let Some(inside) = host.strip_prefix('[') {
        // Brackets end right in front of the port.
        let inside = inside.strip_suffix(']')?;
        if inside.contains(['[', ']']) {
            return None;
        }
        return Some((inside, port)).filter(|_| !port.contains(['[', ']']));
    }
    let plain = !host.contains([':', '[', ']']) && !port.contains(['[', ']']);
    plain.then_some((host, port))
}

/// Returns a host without its port.
pub(super) fn strip_port(text: &str) -> &str {
    split(text).map_or(text, |(host, _)| host)
}

/// Returns the first name of a host, with the port it came with. Addresses stay.
pub(super) fn strip_domain(text: &str) -> String {
    let (host, port) = split(text).unwrap_or((text, ""));
    if is_address(host) {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or("");
    if port.is_empty() {
        return name.to_owned();
    }
    if name.contains(':') {
        return format!("[{name}]:{port}");
    }
    format!("{name}:{port}")
}

fn is_address(host: &str) -> bool {
    // Neither takes a zone.
    host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_stripped_where_there_is_one() {
        for (text, want) in [
            ("host:80", "host"),
            ("host", "host"),
            ("host:", "host"),
            ("a:b:80", "a:b:80"),
            ("[::1]:80", "::1"),
            ("[::1]", "[::1]"),
            ("[a]b:80", "[a]b:80"),
            ("a[b]:80", "a[b]:80"),
            ("[[a]:80", "[[a]:80"),
            ("", ""),
        ] {
            assert_eq!(strip_port(text), want, "{text}");
        }
    }

    #[test]
    fn domains_are_stripped_from_names_only() {
        for (text, want) in [
            ("a.b.c:80", "a:80"),
            ("a.b.c", "a"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("::1", "::1"),
            ("010.0.0.1", "010"),
            ("[a:b.c]:80", "[a:b]:80"),
        ] {
            assert_eq!(strip_domain(text), want, "{text}");
        }
    }
}
