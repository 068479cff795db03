//! Prefixes of addresses: what a route or an assigned address covers.

use crate::address::Address;

/// How many bits stand before an IPv4 address in an [`Address`].
const MAPPED_BITS: u8 = 96;

/// The addresses of one family that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub(crate) struct Prefix {
    network: u128,
    /// Counted over the 128 bits of an [`Address`].
    bits: u8,
    v4: bool,
}

impl Prefix {
    /// The prefix of so many bits (of 32 or of 128) that an address has; none if it can't have so many.
    pub(crate) fn new(address: Address, length: u8) -> Option<Prefix> {
        let v4 = address.is_v4();
        if length > if v4 { 32 } else { 128 } {
            return None;
        }
        let bits = if v4 { length + MAPPED_BITS } else { length };
        Some(Prefix { network: number(address) & mask(bits), bits, v4 })
    }

    /// The prefix of one address alone.
    pub(crate) fn host(address: Address) -> Prefix {
        Prefix { network: number(address), bits: 128, v4: address.is_v4() }
    }

    /// Whether an address begins with these bits.
    pub(crate) fn contains(self, address: Address) -> bool {
        address.is_v4() == self.v4 && number(address) & mask(self.bits) == self.network
    }

    /// Whether it covers IPv4 addresses.
    pub(crate) fn is_v4(self) -> bool {
        self.v4
    }

    /// How many bits, of 32 or of 128.
    pub(crate) fn length(self) -> u8 {
        if self.v4 { self.bits - MAPPED_BITS } else { self.bits }
    }

    /// The address with no bit set past the prefix.
    pub(crate) fn network(self) -> Address {
        address(self.network, self.v4)
    }

    /// The broadcast address of an IPv4 network of more than two addresses (RFC 1122, 3.3.6; RFC 3021).
    pub(crate) fn broadcast(self) -> Option<Address> {
        (self.v4 && self.length() < 31).then(|| address(self.network | !mask(self.bits), true))
    }

    /// The first bits of an address, as a number: prefixes of one length are sorted by it.
    pub(crate) fn cut(self, address: Address) -> u128 {
        number(address) & mask(self.bits)
    }

    /// The bits, as a number.
    pub(crate) fn bits(self) -> u128 {
        self.network
    }
}

/// How many bits two addresses have in common at their front (RFC 6724, 2.2).
pub(crate) fn common_bits(a: Address, b: Address) -> u32 {
    (number(a) ^ number(b)).leading_zeros()
}

/// An address as a number.
#[inline]
pub(crate) fn number(address: Address) -> u128 {
    u128::from_be_bytes(*address.bytes())
}

fn address(number: u128, v4: bool) -> Address {
    match v4 {
        true => core::net::Ipv4Addr::from_bits(number as u32).into(),
        false => core::net::Ipv6Addr::from_bits(number).into(),
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::testing::addr;

    #[test]
    fn a_prefix_covers_what_begins_with_its_bits_and_nothing_of_the_other_family() {
        let prefix = Prefix::new(addr("10.1.2.3"), 8).unwrap();
        assert!(prefix.contains(addr("10.255.0.1")) && !prefix.contains(addr("11.0.0.1")));
        assert_eq!((prefix.network(), prefix.length()), (addr("10.0.0.0"), 8));
        let all = Prefix::new(addr("::"), 0).unwrap();
        assert!(all.contains(addr("2001:db8::1")) && !all.contains(addr("10.0.0.1")));
        assert!(Prefix::new(addr("10.0.0.0"), 33).is_none() && Prefix::new(addr("::"), 129).is_none());
    }

    #[test]
    fn networks_of_two_addresses_have_no_broadcast() {
        let broadcast = |address, length| Prefix::new(addr(address), length).unwrap().broadcast();
        assert_eq!(broadcast("192.0.2.5", 24), Some(addr("192.0.2.255")));
        assert_eq!(broadcast("192.0.2.5", 31), None);
        assert_eq!(broadcast("2001:db8::", 64), None);
    }

    #[test]
    fn common_bits_are_counted_from_the_front() {
        assert_eq!(common_bits(addr("2001:db8::1"), addr("2001:db8::2")), 126);
        assert_eq!(common_bits(addr("10.0.0.1"), addr("10.0.0.1")), 128);
    }
}
