//! Networks: whether an address, or another network, lies in one.
//!
//! Pure; depends on nothing of the crate. One reason: who gets in and where something answers is decided by
//! addresses, and comparing them as text is wrong.

use std::net::IpAddr;

/// A network in CIDR notation; a bare address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    v4: bool,
    bits: u128,
    length: u32,
}

impl Net {
    /// Reads `10.8.0.0/24`, `fd00::/8` or an address. Bits beyond the prefix are ignored, as the kernel does.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let one = Net::from(address.parse::<IpAddr>().ok()?);
        let Some(prefix) = prefix else {
            return Some(one);
        };
        let length: u32 = prefix.parse().ok()?;
        if length > one.length {
            return None;
        }
        Some(Net {
            bits: one.bits & mask(length, one.length),
            length,
            ..one
        })
    }

    /// True if all of the other network lies in this one.
    pub fn covers(&self, other: &Net) -> bool {
        self.v4 == other.v4
            && self.length <= other.length
            && other.bits & mask(self.length, if self.v4 { 32 } else { 128 }) == self.bits
    }

    /// True if the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.covers(&Net::from(address))
    }

    /// True if the two have an address in common.
    pub fn meets(&self, other: &Net) -> bool {
        self.common(other).is_some()
    }

    /// The addresses that the two have in common: all of the smaller one, or none.
    pub fn common(&self, other: &Net) -> Option<Net> {
        match (self.covers(other), other.covers(self)) {
            (true, _) => Some(*other),
            (false, true) => Some(*self),
            (false, false) => None,
        }
    }
}

impl From<IpAddr> for Net {
    /// An IPv4 address in IPv6 clothes (`::ffff:10.0.0.1`) is the IPv4 address.
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(a) => Net {
                v4: true,
                bits: u128::from(u32::from(a)),
                length: 32,
            },
            IpAddr::V6(a) => Net {
                v4: false,
                bits: u128::from(a),
                length: 128,
            },
        }
    }
}

fn mask(length: u32, width: u32) -> u128 {
    let all = if width == 32 {
        u128::from(u32::MAX)
    } else {
        u128::MAX
    };
    let host = width - length;
    all & u128::MAX.checked_shl(host).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_what() {
        for (net, other, inside) in [
            ("10.42.0.0/16", "10.42.7.1", true),
            ("10.42.0.0/16", "10.43.0.1", false),
            ("10.42.0.0/16", "10.42.3.0/24", true),
            ("10.42.3.0/24", "10.42.0.0/16", false),
            ("10.42.0.0/24", "10.42.0.0/16", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("fd00::/8", "fd12:3456::1", true),
            ("fd00::/8", "fe80::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("192.168.1.5", "192.168.1.5", true),
            ("192.168.1.5/24", "192.168.1.77", true),
            ("192.168.1.4/31", "192.168.1.5", true),
            ("192.168.1.4/31", "192.168.1.6", false),
        ] {
            let (net, other) = (Net::parse(net).unwrap(), Net::parse(other).unwrap());
            assert_eq!(net.covers(&other), inside, "{net:?} {other:?}");
        }
        let (a, b) = (
            Net::parse("10.0.0.0/8").unwrap(),
            Net::parse("10.1.0.0/16").unwrap(),
        );
        assert!(a.meets(&b) && b.meets(&a) && !b.covers(&a));
        assert_eq!((a.common(&b), b.common(&a)), (Some(b), Some(b)));
    }

    #[test]
    fn what_is_no_network() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/x",
            "host",
        ] {
            assert_eq!(Net::parse(text), None, "{text}");
        }
    }
}
