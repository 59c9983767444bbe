//! Which addresses a webhook may reach: the public Internet, and what the configuration adds. A task can name any
//! URL, and this machine may reach places its user may not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses, as in `10.1.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `address/bits`, or one address.
    ///
    /// # Errors
    /// What is allowed and what came.
    pub fn parse(text: &str) -> Result<Network, String> {
        let wrong = || format!("must be a network as in 10.1.0.0/16, got {text:?}");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { Err(wrong()) } else { Ok(Network { address, bits }) }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(own.to_bits().into(), other.to_bits().into(), 32 - self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128 - self.bits),
            _ => false,
        }
    }
}

/// Whether two numbers are the same but for their last `loose` bits.
fn same(a: u128, b: u128, loose: u8) -> bool {
    (a ^ b).checked_shr(loose.into()).unwrap_or(0) == 0
}

/// Whether a call may go to `address`.
pub fn allowed(address: IpAddr, private: &[Network]) -> bool {
    is_public(address) || private.iter().any(|network| network.contains(address))
}

/// Whether an address belongs to the public Internet, by the special-purpose registries of IANA (RFC 6890 and its
/// updates).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        // This network; private; shared between carriers; loopback; link-local, where clouds keep their metadata.
        (0 | 10 | 127, ..) | (169, 254, _) | (192, 168, _) => true,
        (100, b, _) => (64..128).contains(&b),
        (172, b, _) => (16..32).contains(&b),
        // Protocol assignments, documentation, 6to4 relays, AS112, AMT, benchmarks.
        (192, 0, 0 | 2) | (192, 88, 99) | (192, 31, 196) | (192, 52, 193) | (192, 175, 48) => true,
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224..=255, ..) => true,
        _ => false,
    };
    // Metadata and DNS of a cloud that stand in its public range.
    !special && address != Ipv4Addr::new(168, 63, 129, 16)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Addresses that carry an IPv4 one lead to it through a translator: NAT64 (64:ff9b::/96, 64:ff9b:1::/48),
    // 6to4 (2002::/16), Teredo (2001::/32), mapped and compatible (::/96). Nobody needs them for a webhook.
    // Only 2000::/3 is handed out at all; ORCHID and assignments are 2001::/23, documentation 2001:db8::/32 and 3fff::/20.
    (a & 0xe000) == 0x2000
        && !(a == 0x2001 && b < 0x0200)
        && !(a == 0x2001 && b == 0x0db8)
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
    }

    #[test]
    fn places_of_this_machine_and_its_neighbours_are_not_public() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "169.254.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "192.88.99.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "100::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!allowed(address(text), &[]), "{text}");
        }
    }

    #[test]
    fn the_public_internet_is_public() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "169.253.1.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
            "2001:200::1",
        ] {
            assert!(allowed(address(text), &[]), "{text}");
        }
    }

    #[test]
    fn a_listed_network_is_allowed_and_its_neighbour_is_not() {
        let networks =
            ["10.1.0.0/16", "127.0.0.1", "fd00:1::/32"].map(|text| Network::parse(text).expect(text));
        for text in ["10.1.0.1", "10.1.255.255", "127.0.0.1", "fd00:1::5", "::ffff:10.1.0.1"] {
            assert!(allowed(address(text), &networks), "{text}");
        }
        for text in ["10.2.0.1", "10.0.255.255", "127.0.0.2", "fd00:2::5"] {
            assert!(!allowed(address(text), &networks), "{text}");
        }
        assert!(Network::parse("0.0.0.0/0").expect("all").contains(address("192.168.1.1")));
        for text in ["", "10.0.0.0/33", "10.0.0/8", "x/8", "::/129", "10.0.0.0/-1"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
