//! What `ip("...")` stands for: an address, a network or a range of addresses.

use std::net::IpAddr;

/// Addresses that a filter looks for. Those of the two families are never the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// `192.168.0.1`
    One(IpAddr),
    /// `192.168.0.0/16`: the address and how many of its leading bits count.
    Network(IpAddr, u32),
    /// `192.168.0.1-192.168.0.9`, both included.
    Range(IpAddr, IpAddr),
}

impl Addresses {
    /// Reads addresses; `None` where they are none.
    pub(crate) fn parse(text: &str) -> Option<Addresses> {
        if let Ok(address) = text.parse() {
            return Some(Addresses::One(address));
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let is_canonical = bits == "0" || !bits.starts_with(['0', '+']);
            let bits: u32 = bits.parse().ok()?;
            let fits = is_canonical && bits <= width(address);
            return fits.then_some(Addresses::Network(address, bits));
        }
        let (first, last) = text.split_once('-')?;
        let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
        let is_range = first.is_ipv4() == last.is_ipv4() && first <= last;
        is_range.then_some(Addresses::Range(first, last))
    }

    /// Tells whether an address is one of these.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match *self {
            Addresses::One(one) => one == address,
            Addresses::Network(network, bits) => {
                let ignored = width(network) - bits;
                let head = |address| number(address).checked_shr(ignored).unwrap_or(0);
                network.is_ipv4() == address.is_ipv4() && head(network) == head(address)
            }
            Addresses::Range(first, last) => {
                first.is_ipv4() == address.is_ipv4() && (first..=last).contains(&address)
            }
        }
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(pattern: &str, address: &str) -> bool {
        let addresses = Addresses::parse(pattern).unwrap();
        addresses.contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_networks_and_ranges_contain_their_own() {
        assert!(has("10.0.0.1", "10.0.0.1"));
        assert!(!has("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(has("10.1.0.0/16", "10.1.255.1"));
        assert!(!has("10.1.0.0/16", "10.2.0.0"));
        assert!(has("0.0.0.0/0", "1.2.3.4") && has("::/0", "::1"));
        assert!(!has("::/0", "1.2.3.4"));
        assert!(has("10.0.0.1-10.0.0.9", "10.0.0.9"));
        assert!(!has("10.0.0.1-10.0.0.9", "10.0.0.10"));
        assert!(has("2001:db8::/32", "2001:db8::1"));
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "999.1.1.1",
            "1.2.3",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/",
            "::/129",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1-::1",
            "10.0.0.1 - 10.0.0.2",
            "x",
        ] {
            assert_eq!(Addresses::parse(text), None, "{text}");
        }
    }
}
