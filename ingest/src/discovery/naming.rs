//! Names and addresses made of what others named.

/// Makes a part of a label's name: what may not stand in one becomes an underscore.
pub(super) fn sanitized(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect()
}

/// Joins a host and a port; an IPv6 address stands in brackets.
pub(super) fn join_host_port(host: &str, port: impl std::fmt::Display) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_addresses_can_be_dialed() {
        assert_eq!(
            sanitized("app.kubernetes.io/näme-1"),
            "app_kubernetes_io_n_me_1"
        );
        assert_eq!(sanitized(""), "");
        assert_eq!(join_host_port("10.0.0.1", 80), "10.0.0.1:80");
        assert_eq!(join_host_port("fd00::1", 80), "[fd00::1]:80");
        assert_eq!(join_host_port("", 80), ":80");
    }
}
